//! The other replicas' rings.

use crate::outlets::Outlets;
use crate::shell_main::{M, Node};
use abi::bootinfo::{BootInfo, ROLE_NONE, ROLE_WRITER, name_str};
use consensus::auth::{Identity, Members};
use consensus::line::Proposal;
use consensus::{REPLICAS, ReplicaId};
use ipc::{BroadcastReader, ReadError};
use replica::hello::{self, Hello};
use replica::start::{Outcome, Start};
use shell::Clock;

/// So many messages are taken of one ring before the others have their turn.
pub const BUDGET: usize = 64;
/// A replica's new keys are let in once in so long, µs: each time ends an epoch. As often it says hello while it waits for that.
pub const REKEY_EVERY_US: u64 = 1_000_000;

/// The rings `peer-`, in the order of the manifest: that is the replicas' numbering.
pub struct Peers {
    me: ReplicaId,
    rings: [Option<BroadcastReader<'static>>; REPLICAS],
    record: [u8; M],
    /// The newest hello of each, and when it came.
    greeted: [Option<(Identity, u64)>; REPLICAS],
}

/// Name of this replica's own ring, and its number.
pub fn own(boot: &'static BootInfo) -> (&'static str, ReplicaId) {
    let mut peers = boot.channels.iter().filter(|c| name_str(&c.name).starts_with("peer-")).enumerate();
    match peers.find(|(_, c)| c.role == ROLE_WRITER) {
        Some((i, c)) if i < REPLICAS => (name_str(&c.name), i as ReplicaId),
        _ => panic!("the manifest gives this service no channel `peer-` to write, or more than {REPLICAS}"),
    }
}

impl Peers {
    /// Looks them up.
    pub fn open(boot: &'static BootInfo) -> Self {
        let (_, me) = own(boot);
        let mut rings = [const { None }; REPLICAS];
        let peers = boot.channels.iter().filter(|c| name_str(&c.name).starts_with("peer-"));
        for (i, (ring, c)) in rings.iter_mut().zip(peers).enumerate() {
            if i != usize::from(me) {
                assert!(c.role != ROLE_NONE, "the manifest lets this replica not read all channels `peer-`");
                *ring = Some(shell::reader(boot, name_str(&c.name)));
            }
        }
        Peers { me, rings, record: [0; M], greeted: [None; REPLICAS] }
    }

    /// Hears only what is said from now on.
    fn skip_to_head(&mut self) {
        self.rings.iter_mut().flatten().for_each(BroadcastReader::skip_to_head);
    }

    /// The start of the machine: who begins, and with which seed. `None`: the others begin without this one.
    pub fn begin(&mut self, own: Hello, clock: &Clock, out: &mut Outlets) -> Option<(Members, [u8; 32])> {
        let mut start = Start::new(self.me, own, clock.now_us());
        let (mut said, mut again) = (0, 0);
        loop {
            for from in 0..REPLICAS as ReplicaId {
                while let Some(record) = self.next(from) {
                    start.take(from, record);
                }
            }
            let outcome = start.poll(clock.now_us());
            let records = start.records().count();
            if records != said || clock.now_us() >= again {
                said = records;
                again = clock.now_us().saturating_add(REKEY_EVERY_US);
                out.last_word = start.last_word();
                out.hello();
                start.records().for_each(|record| out.say(&record));
            }
            match outcome {
                Some(Outcome::Begin(members, seed)) => return Some((members, seed)),
                Some(Outcome::LeftOut) => return None,
                None => {
                    let next = start.until(clock.now_us()).into_iter().chain([again]).min();
                    runtime::wait(clock.deadline(next));
                }
            };
        }
    }

    /// Waits for the others' answers to the hello of one that was restarted, or left out at the start, and says it until then, now and again: who was too
    /// busy to answer the first time hears the next.
    pub fn gather(&mut self, own: Hello, clock: &Clock, out: &mut Outlets) -> Members {
        let mut hellos = [None; REPLICAS];
        if let Some(slot) = hellos.get_mut(usize::from(self.me)) {
            *slot = Some(own);
        }
        self.skip_to_head();
        loop {
            out.hello();
            let again = clock.now_us().saturating_add(REKEY_EVERY_US);
            while clock.now_us() < again {
                for (i, hello) in hellos.iter_mut().enumerate() {
                    while hello.is_none()
                        && let Some(record) = self.next(i as ReplicaId)
                    {
                        *hello = Hello::decode(record);
                    }
                }
                if let Some(all) = hello::members(&hellos) {
                    return all;
                }
                runtime::wait(clock.deadline(Some(again)));
            }
        }
    }

    /// The next record of replica `from`'s ring. What was lost, its sender notices by the next status.
    pub fn next(&mut self, from: ReplicaId) -> Option<&[u8]> {
        let ring = self.rings.get_mut(usize::from(from))?.as_mut()?;
        for _ in 0..BUDGET {
            match ring.read(&mut self.record) {
                Ok(Some(length)) => return self.record.get(..length),
                Ok(None) => return None,
                Err(ReadError::NewEpoch | ReadError::TooLong(_)) => {}
                Err(ReadError::Overrun | ReadError::Fault) => {
                    defmt::warn!("messages of replica {=u8} were lost", from);
                    ring.skip_to_head();
                }
            }
        }
        None
    }

    /// Replica `from` says hello in the middle: it was restarted, and has new keys. They are to be ordered, and it is to know ours.
    pub fn on_hello(
        &mut self,
        from: ReplicaId,
        hello: &Hello,
        now_us: u64,
        node: &mut Node,
        out: &mut Outlets,
    ) {
        let Some(greeted) = self.greeted.get_mut(usize::from(from)) else { return };
        let known = node.member(from) == Some(hello.identity);
        let soon = greeted.is_some_and(|(_, at)| now_us < at.saturating_add(REKEY_EVERY_US));
        if soon {
            return;
        }
        if known {
            // It may have missed who begins.
            *greeted = Some((hello.identity, now_us));
            return out.repeat_last_word();
        }
        if let Some((old, _)) = greeted.replace((hello.identity, now_us))
            && old != hello.identity
        {
            node.application().forbid(&member(from, &old));
        }
        node.application().permit(member(from, &hello.identity), now_us);
        out.hello();
    }
}

fn member(replica: ReplicaId, identity: &Identity) -> Proposal {
    let (sign, exchange) = identity.halves();
    Proposal::Member { replica, sign, exchange }
}
