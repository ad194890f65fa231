//! What the tests of endpoints, replies, notifications and domains share.

use crate::common::*;
use capability_model::Status;

pub const E: u64 = FREE;
pub const N: u64 = FREE + 1;
pub const R: u64 = FREE + 2;
pub const D: u64 = FREE + 3;
pub const X: u64 = FREE + 10;

/// An endpoint, a notification, a reply and so many domains besides the first.
pub fn world(domains: u64) -> (World, Vec<u64>) {
    let mut w = World::new();
    w.make(K_ENDPOINT, 0, E);
    w.make(K_NOTIFICATION, 0, N);
    w.make(K_REPLY, 0, R);
    let all = (0..domains).map(|n| w.domain_in(D + n)).collect();
    (w, all)
}

pub fn status(answer: Answer) -> Option<Status> {
    answer.ok().map(|outcome| outcome.status)
}
