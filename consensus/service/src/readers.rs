//! The rings that this replica reads, but for the other replicas': votes, verdicts, input, control.

use crate::outlets::Outlets;
use abi::bootinfo::{BootInfo, DOMAINS_MAX, name_str};
use abi::hypercall::NOTIFY_DOMAIN;
use abi::vote::{Control, Input, PAYLOAD_MAX, Verdict, Vote};
use ipc::{BroadcastReader, ReadError, Receive, ReceiveError};
use replica::Board;
use replica::clerk::{Clerk, Taken};
use replica::restarts::{Agreed, Restarts};
use replica::snapshots::Follower;

/// So many records are taken of one ring before the others have their turn: a flood of one delays nobody for long.
const BUDGET: usize = 256;
/// Fewer of the large ones, each of which is hashed.
const SNAPSHOT_BUDGET: usize = 32;
const RECORD_MAX: usize = PAYLOAD_MAX + 128;
const _: () = assert!(RECORD_MAX >= abi::snapshot::RECORD_MAX);

struct Voter {
    domain: u32,
    ring: BroadcastReader<'static>,
    snapshots: Option<(BroadcastReader<'static>, Follower)>,
    /// A vote that speaks of an entry which is still to be executed here.
    held: Option<Vote<'static>>,
    /// It was begun anew, and has said nothing since: what is no ring, or a new epoch, is what its predecessor left, or its own beginning.
    renewed: bool,
    /// It has begun another epoch of the ring, and the gate's word that it was begun anew is still to come: until then it is not read.
    early: bool,
    /// EL2 had begun it anew so often when the gate said so last.
    restarts: u64,
}

/// The rings.
pub struct Readers {
    voters: [Option<Voter>; DOMAINS_MAX],
    verdicts: BroadcastReader<'static>,
    control: BroadcastReader<'static>,
    input: BroadcastReader<'static>,
    record: [u8; RECORD_MAX],
    /// An input record that found no room, and its length.
    waiting: ([u8; RECORD_MAX], Option<usize>),
    /// Its name in orders.
    own: u32,
}

impl Readers {
    /// Looks them up.
    pub fn open(boot: &'static BootInfo) -> Self {
        let mut voters = [const { None }; DOMAINS_MAX];
        for (slot, (domain, ring)) in voters.iter_mut().zip(shell::kernels(boot)) {
            let info = boot.read_channels("snapshot-").find(|c| c.writer == domain);
            let snapshots = info.map(|c| (shell::reader(boot, name_str(&c.name)), Follower::default()));
            let restarts = shell::restarts(domain);
            *slot =
                Some(Voter { domain, ring, snapshots, held: None, renewed: false, early: false, restarts });
        }
        let mut control = shell::reader(boot, "control");
        if boot.restarts > 0 {
            // What was ordered of its predecessor is decided.
            control.skip_to_head();
        }
        Readers {
            voters,
            verdicts: shell::reader(boot, "verdicts"),
            control,
            input: shell::reader(boot, "input"),
            record: [0; RECORD_MAX],
            waiting: ([0; RECORD_MAX], None),
            own: boot.incarnation(),
        }
    }

    /// Takes what has arrived; `word` is the notification word. `true`: there may be more.
    pub fn take(
        &mut self,
        word: u64,
        now_us: u64,
        line: &mut Board<'static>,
        clerk: &mut Clerk,
        out: &mut Outlets,
    ) -> bool {
        self.take_verdicts(clerk);
        let mut more = false;
        for voter in self.voters.iter_mut().flatten() {
            more |= take_votes(voter, &mut self.record, now_us, line, clerk, out);
            more |= take_snapshots(voter, &mut self.record, clerk, out);
            if word >> NOTIFY_DOMAIN & 1 == 1 && shell::crashed(voter.domain) {
                clerk.on_out(voter.domain);
            }
        }
        more | self.take_input(now_us, line)
    }

    fn take_verdicts(&mut self, clerk: &mut Clerk) {
        let mut record = [0; 256];
        for _ in 0..BUDGET {
            match self.verdicts.receive::<Verdict>(&mut record) {
                Ok(Some(verdict)) => {
                    clerk.on_verdict(&verdict);
                    if let Verdict::Restarted { voter, .. } = verdict {
                        self.renew(voter);
                    }
                }
                Ok(None) => return,
                Err(ReceiveError::Malformed) => {}
                // The newest Released says all that is needed.
                Err(ReceiveError::Ring(_)) => {
                    self.verdicts.skip_to_head();
                    clerk.on_verdicts_lost();
                }
            }
        }
    }

    /// What is left of a kernel in its ring is not its successor's. What that one has said already is: while the program waits it says it once.
    fn renew(&mut self, domain: u32) {
        for voter in self.voters.iter_mut().flatten().filter(|v| v.domain == domain) {
            (voter.held, voter.renewed, voter.restarts) = (None, true, shell::restarts(domain));
            if !core::mem::take(&mut voter.early) {
                skip_to_epoch(&mut voter.ring, &mut self.record);
            }
        }
    }

    fn take_input(&mut self, now_us: u64, line: &mut Board<'static>) -> bool {
        let (record, waiting) = &mut self.waiting;
        for _ in 0..BUDGET {
            let length = match waiting.take() {
                Some(length) => length,
                None => match self.input.read(record) {
                    Ok(Some(length)) => length,
                    Ok(None) => return false,
                    Err(ReadError::Overrun | ReadError::Fault) => {
                        defmt::warn!("input was lost: its ring was not read in time");
                        self.input.skip_to_head();
                        continue;
                    }
                    Err(ReadError::TooLong(_) | ReadError::NewEpoch) => continue,
                },
            };
            let bytes = record.get(..length).unwrap_or(&[]);
            if let Ok(Input { n, event }) = postcard::from_bytes(bytes)
                && line.push(0, n, event, now_us).is_err()
            {
                *waiting = Some(length);
                return false;
            }
        }
        true
    }

    /// What the operator and the manager want: orders to begin somebody anew; whether this replica is to equivocate.
    pub fn take_control(&mut self, restarts: &mut Restarts, agreed: &Agreed, clerk: &mut Clerk) -> bool {
        let mut wanted = false;
        for _ in 0..BUDGET {
            match self.control.receive::<Control>(&mut [0; 16]) {
                Ok(Some(Control::Equivocate { domain })) => wanted |= domain == self.own,
                Ok(Some(Control::Restart { domain, image, again })) => {
                    restarts.order(domain, image, again, agreed);
                }
                Ok(Some(Control::Replace { domain, by, image })) => {
                    restarts.order(by, image, false, agreed);
                    clerk.on_replace(by & 0xff, domain & 0xff);
                }
                Ok(Some(_)) | Err(ReceiveError::Malformed) => {}
                Ok(None) => break,
                Err(ReceiveError::Ring(_)) => self.control.skip_to_head(),
            }
        }
        wanted
    }
}

fn take_votes(
    voter: &mut Voter,
    record: &mut [u8],
    now_us: u64,
    line: &Board<'_>,
    clerk: &mut Clerk,
    out: &mut Outlets,
) -> bool {
    let domain = voter.domain;
    if voter.early {
        return false;
    }
    for _ in 0..BUDGET {
        if let Some(vote) = voter.held.take()
            && clerk.on_vote(domain, &vote, line.next(), now_us, out) == Taken::Later
        {
            voter.held = Some(vote);
            return false;
        }
        match voter.ring.receive::<Vote>(record) {
            Ok(Some(vote)) => {
                voter.renewed = false;
                if clerk.on_vote(domain, &vote, line.next(), now_us, out) == Taken::Later {
                    voter.held = owned(&vote);
                }
            }
            Ok(None) => return false,
            // One that was cold, or never spoke, was renewed by the gate's word on its predecessor.
            Err(ReceiveError::Ring(ReadError::NewEpoch))
                if voter.renewed && shell::restarts(domain) != voter.restarts =>
            {
                voter.early = true;
                return false;
            }
            Err(ReceiveError::Malformed | ReceiveError::Ring(ReadError::NewEpoch)) if voter.renewed => {}
            Err(ReceiveError::Ring(ReadError::Fault)) if voter.renewed => return false,
            Err(ReceiveError::Malformed) => {
                defmt::warn!("domain {=u32} posts what is no vote", domain);
                clerk.on_out(domain);
            }
            Err(ReceiveError::Ring(ReadError::Overrun)) => {
                defmt::warn!("votes of domain {=u32} were lost: its ring was not read in time", domain);
                clerk.on_lost(domain);
                voter.ring.skip_to_head();
            }
            Err(ReceiveError::Ring(e @ (ReadError::Fault | ReadError::TooLong(_) | ReadError::NewEpoch))) => {
                // One that makes another epoch of its own ring is no newcomer.
                voter.early = e == ReadError::NewEpoch && shell::restarts(domain) != voter.restarts;
                clerk.on_out(domain);
                return false;
            }
        }
    }
    true
}

/// Passes over what stands before a new epoch of `ring`, or over all.
fn skip_to_epoch(ring: &mut BroadcastReader<'_>, record: &mut [u8]) {
    for _ in 0..BUDGET {
        match ring.read(record) {
            Ok(Some(_)) | Err(ReadError::TooLong(_)) => {}
            Ok(None) | Err(ReadError::NewEpoch) => return,
            Err(ReadError::Overrun | ReadError::Fault) => break,
        }
    }
    ring.skip_to_head();
}

/// Follows what `voter` writes of snapshots. Its vote was read before: what it speaks of is in the ring.
fn take_snapshots(voter: &mut Voter, record: &mut [u8], clerk: &mut Clerk, out: &mut Outlets) -> bool {
    let Some((ring, follower)) = &mut voter.snapshots else { return false };
    for _ in 0..SNAPSHOT_BUDGET {
        let position = ring.position();
        match ring.read(record) {
            Ok(Some(length)) => follower.take(position, record.get(..length).unwrap_or(&[])),
            Ok(None) => {
                if clerk.wants_written(voter.domain) {
                    clerk.on_written(voter.domain, follower.found(), out);
                }
                return false;
            }
            Err(ReadError::NewEpoch) => follower.on_renewed(),
            Err(ReadError::Overrun) => {
                follower.on_lapped();
                ring.skip_to_head();
            }
            // No correct kernel writes that; it leads to no snapshot.
            Err(ReadError::TooLong(_)) => follower.on_renewed(),
            Err(ReadError::Fault) => {
                follower.on_renewed();
                ring.skip_to_head();
            }
        }
    }
    true
}

/// Only these are held.
fn owned(vote: &Vote<'_>) -> Option<Vote<'static>> {
    match *vote {
        Vote::Passed { s, call, effects, runnable, deadline_us, state } => {
            Some(Vote::Passed { s, call, effects, runnable, deadline_us, state })
        }
        Vote::Stuck { call } => Some(Vote::Stuck { call }),
        _ => None,
    }
}
