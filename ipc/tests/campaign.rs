//! Ten million operations against the rings (`IPC_OPERATIONS`: another number), on the code that ships.
//!
//! What is asserted stands in `adversary/`; that each check would find a fault, `controls.rs` shows.

mod adversary;

use adversary::{Found, Report, WORDS, Watched};

fn operations() -> u64 {
    if cfg!(miri) {
        return 2_000;
    }
    std::env::var("IPC_OPERATIONS").map_or(10_000_000, |n| n.parse().expect("IPC_OPERATIONS is a number"))
}

fn report(name: &str, found: Found) -> Report {
    let report = found.unwrap_or_else(|violation| panic!("{name}: {violation:?}"));
    println!("{name}: {report:?}");
    report
}

#[test]
fn a_hostile_writer_gets_nothing_past_a_reader() {
    static RING: [Watched; WORDS] = [const { Watched::new() }; WORDS];
    let r = report("hostile writer", adversary::reader(&RING, 1, operations() * 6 / 10));
    assert!(r.accepted > r.operations / 500 && r.refused > r.operations / 500, "{r:?}");
}

#[test]
fn a_hostile_reader_gets_nothing_past_a_writer() {
    static RING: [Watched; WORDS] = [const { Watched::new() }; WORDS];
    let r = report("hostile reader", adversary::writer(&RING, 2, operations() * 2 / 10));
    assert!(r.accepted > r.operations / 50 && r.refused > r.operations / 50, "{r:?}");
}

#[test]
fn a_lapped_reader_gets_no_torn_record() {
    static RING: [Watched; WORDS] = [const { Watched::new() }; WORDS];
    let r = report("broadcast", adversary::broadcast(&RING, 3, operations() / 10));
    assert!(r.accepted > r.operations / 50, "{r:?}");
}

#[test]
fn a_stream_loses_nothing() {
    static RING: [Watched; WORDS] = [const { Watched::new() }; WORDS];
    let r = report("stream", adversary::stream(&RING, 4, operations() / 10));
    assert!(r.accepted > r.operations / 50, "{r:?}");
}
