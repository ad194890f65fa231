//! The last hop of every output: what a quorum of kernels said, once, in order, and who said something else.
//!
//! The core is sans-IO and has neither drivers nor parsers, beyond postcard's of one [`Vote`]. It reads each voter's ring in order and *stops
//! reading* a voter at its first effect that is not yet released: the ring itself is the buffer of one that is ahead, so here is room
//! for one vote a voter and no more. The payload is copied out of shared memory once, hashed here, and released from that same copy.
//!
//! What it promises, whatever the rings contain: effect n leaves only when a quorum of voters posted the same number, call, kind and
//! bytes for it; never twice, never out of order; it never panics and never loops for ever.
//!
//! `release.rs` lets out and accuses, `history.rs` and `states.rs` are the tables behind that.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod history;
mod hole;
mod release;
mod states;

use abi::bootinfo::DOMAINS_MAX;
use abi::digest::{Digest, effect_digest};
use abi::log::VOUCHERS;
use abi::vote::{EffectKind, Output, PAYLOAD_MAX, SNAPSHOT, Verdict, Vote};
use consensus::verdict::{Evidence, Policy};
use history::{History, Released};
use hole::{Hole, hole};
pub use states::VOTERS_MAX;
use states::{Key, ROOT, States};

/// Longest record that can be a vote.
pub const VOTE_MAX: usize = PAYLOAD_MAX + 128;

/// Where the core's output goes.
pub trait Sink {
    /// Hands an effect to its device. `false`: no room, try again later.
    fn output(&mut self, output: &Output<'_>) -> bool;
    /// Whether the device has put everything out.
    fn drained(&mut self) -> bool;
    /// Says what was found.
    fn verdict(&mut self, verdict: Verdict);
    /// Keeps what an accusation rests on, for whoever wants to find the verdict again. Voters are numbered as in [`Config::kernels`], from 0.
    fn evidence(&mut self, evidence: &Evidence);
}

/// The parameters of a run.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Counts the changes of the voters.
    pub epoch: u64,
    /// Bit k: domain k is a kernel, and may vote now or later.
    pub kernels: u64,
    /// Bit k: domain k is a voter.
    pub voters: u64,
    /// Equal votes that release.
    pub quorum: u32,
    /// How long a voter may be behind before it is called late.
    pub grace_us: u64,
}

/// An effect that a voter posted and that is not released yet.
#[derive(Clone, Copy)]
struct Held {
    n: u64,
    /// The gate's own digest of its own copy.
    digest: Digest,
    /// What the voter claims its digest is.
    claimed: Digest,
    /// Bytes of the voter's `record`.
    length: usize,
}

struct Voter {
    domain: u32,
    /// The row is somebody's.
    used: bool,
    member: bool,
    /// Wrong, malformed, crashed or silent: it does not count any more.
    out: bool,
    /// Begun anew, and not in the voters yet: it does not count, what it says is compared as far as that is possible.
    returning: bool,
    late: bool,
    /// It said something since the last poll, and when that was.
    heard: (bool, u64),
    /// When it became a voter.
    joined_us: u64,
    /// Its next effect's number.
    next_effect: u64,
    /// Its next sync point.
    next_sync: u64,
    held: Option<Held>,
    /// What it was accused of last, until it votes again: whoever is begun anew in its place may come to it.
    accused: Option<Accused>,
    /// The replicas that say it contradicts the other voters, a bit each.
    contradicted: u8,
    record: [u8; VOTE_MAX],
}

/// What an accusation was about, and what the quorum said: kept for longer than `history.rs` and `states.rs` remember.
#[derive(Clone, Copy)]
enum Accused {
    Effect(u64, Released),
    State(Key, Digest),
}

const NOBODY: Voter = Voter {
    domain: 0,
    used: false,
    member: false,
    out: false,
    returning: false,
    late: false,
    heard: (false, 0),
    joined_us: 0,
    next_effect: 0,
    next_sync: 0,
    held: None,
    accused: None,
    contradicted: 0,
    record: [0; VOTE_MAX],
};

/// How far the end of the program has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Running,
    /// The exit is agreed; its output is still on its way.
    Exited(i32),
    /// Nothing more will be released.
    Over,
}

/// The gate's state. Large (some hundred KiB) and of fixed size.
pub struct Gate {
    /// What decides, of whom.
    policy: Policy,
    epoch: u64,
    grace_us: u64,
    voters: [Voter; VOTERS_MAX],
    history: History,
    states: States,
    /// What the last [`Verdict::Released`] said.
    told: u64,
    end: End,
}

/// What one record of a ring turned out to be.
enum Judged {
    Fine,
    Malformed,
    Effect(Held),
    State(Key, u32, Digest),
}

/// So many equal votes release.
fn policy(quorum: u32) -> Policy {
    Policy::Quorum { k: if hole(Hole::Quorum) { 1 } else { quorum } }
}

impl Gate {
    /// `None`: no voters, more kernels than [`VOTERS_MAX`], a voter that is no kernel, or a quorum that they cannot reach.
    pub fn new(config: Config) -> Option<Self> {
        let mut gate = Gate {
            policy: policy(config.quorum),
            epoch: config.epoch,
            grace_us: config.grace_us,
            voters: [NOBODY; VOTERS_MAX],
            history: History::new(),
            states: States::new(),
            told: 0,
            end: End::Running,
        };
        let mut slots = gate.voters.iter_mut();
        for domain in (0..DOMAINS_MAX as u32).filter(|d| config.kernels >> d & 1 == 1) {
            let voter = slots.next()?;
            (voter.domain, voter.used, voter.member) = (domain, true, config.voters >> domain & 1 == 1);
        }
        let members = config.voters.count_ones();
        let known = config.voters & !config.kernels == 0;
        (known && config.quorum > 0 && config.quorum <= members).then_some(gate)
    }

    /// From now on these vote, and so many equal votes release: an agreed entry. Nobody joins whom [`Gate::new`] did not know. Who joins has
    /// the grace from now on.
    pub fn set_voters(&mut self, epoch: u64, set: u64, quorum: u32, now_us: u64) {
        self.policy = policy(quorum);
        self.epoch = epoch;
        for voter in self.voters.iter_mut().filter(|v| v.used) {
            let member = set >> voter.domain & 1 == 1;
            if member && !voter.member {
                (voter.returning, voter.joined_us, voter.accused) = (false, now_us, None);
                voter.contradicted = 0;
            }
            voter.member = member;
        }
    }

    /// EL2 begins `domain`'s kernel anew: nothing that its predecessor said counts any more, and it neither, until it is a voter again.
    pub fn on_restarted(&mut self, domain: u32, sink: &mut impl Sink) {
        let Some(slot) = self.voters.iter().position(|v| v.used && v.domain == domain) else { return };
        let Some(voter) = self.voters.get_mut(slot) else { return };
        (voter.out, voter.returning, voter.late, voter.held) = (false, true, false, None);
        (voter.next_effect, voter.next_sync) = (0, 0);
        self.states.forget(slot);
        sink.verdict(Verdict::Restarted { voter: domain, epoch: self.epoch });
    }

    /// Whether `domain` was begun anew and does not vote yet: then its ring may have a new epoch, and what is lost of it is lost.
    pub fn is_returning(&self, domain: u32) -> bool {
        self.slot(domain).and_then(|slot| self.voters.get(slot)).is_some_and(|v| v.returning)
    }

    fn slot(&self, domain: u32) -> Option<usize> {
        self.voters.iter().position(|v| (v.member || v.returning) && v.domain == domain)
    }

    /// Where to copy the next record of `domain`'s ring; `None`: it is not to be read now.
    pub fn wants(&mut self, domain: u32) -> Option<&mut [u8; VOTE_MAX]> {
        let slot = self.slot(domain)?;
        let voter = self.voters.get_mut(slot)?;
        (!voter.out && voter.held.is_none() && self.end == End::Running).then_some(&mut voter.record)
    }

    /// A record of `length` bytes, which stood at `position` of its ring, was copied to where [`Gate::wants`] said.
    pub fn on_record(&mut self, domain: u32, length: usize, position: u64, sink: &mut impl Sink) {
        let Some(slot) = self.slot(domain) else { return };
        let Some(voter) = self.voters.get_mut(slot) else { return };
        if voter.out || voter.held.is_some() {
            return;
        }
        voter.heard.0 = true;
        match voter.judge(length) {
            Judged::Fine => {}
            Judged::Malformed => self.on_malformed(domain, position, sink),
            Judged::State(key, pid, digest) => self.compare_state(slot, key, pid, digest, sink),
            Judged::Effect(held) if held.n < self.history.count() => {
                self.compare_late(slot, held, position, sink);
            }
            Judged::Effect(held) => voter.held = Some(held),
        }
    }

    /// `domain`'s ring holds what no correct kernel writes, or it has lapped us.
    pub fn on_malformed(&mut self, domain: u32, position: u64, sink: &mut impl Sink) {
        assert!(!hole(Hole::Trust), "domain {domain} says what is no vote");
        if self.expel(domain, sink) {
            sink.verdict(Verdict::Malformed { voter: domain, position });
        }
    }

    /// `domain`'s kernel crashed.
    pub fn on_crashed(&mut self, domain: u32, sink: &mut impl Sink) {
        if self.expel(domain, sink) {
            sink.verdict(Verdict::Crashed { voter: domain });
        }
    }

    /// Replica number `replica` says that `domain`'s report of sync point `s` is not the believed one. The gate does not compare reports: it takes the word of f + 1
    /// replicas for it, as it does for who votes. Of one that does not vote nothing is taken: it may be about who stood there before.
    pub fn on_contradicts(&mut self, domain: u32, replica: usize, s: u64, sink: &mut impl Sink) {
        let Some(voter) = self.slot(domain).and_then(|slot| self.voters.get_mut(slot)) else { return };
        if !voter.live() {
            return;
        }
        voter.contradicted |= 1u8.checked_shl(replica as u32).unwrap_or(0);
        if voter.contradicted.count_ones() as usize >= VOUCHERS && self.expel(domain, sink) {
            sink.verdict(Verdict::Contradicts { voter: domain, s });
        }
    }

    /// From now on `domain` does not count; says where it stood. Whether it did count before.
    fn expel(&mut self, domain: u32, sink: &mut impl Sink) -> bool {
        let Some(voter) = self.slot(domain).and_then(|slot| self.voters.get_mut(slot)) else { return false };
        voter.held = None;
        let counted = !core::mem::replace(&mut voter.out, true);
        if counted {
            sink.verdict(Verdict::Stood { voter: domain, s: voter.next_sync });
        }
        counted
    }
}

impl Voter {
    fn live(&self) -> bool {
        self.member && !self.out && !self.returning
    }

    /// `number` is the one that follows `next`. Of one that returns some may be lost.
    fn follows(&self, number: u64, next: u64) -> bool {
        number == next || self.returning && number > next
    }

    /// Reads one vote and holds it against what a correct kernel could say here.
    fn judge(&mut self, length: usize) -> Judged {
        let Some(record) = self.record.get(..length) else { return Judged::Malformed };
        let Ok((vote, [])) = postcard::take_from_bytes::<Vote>(record) else { return Judged::Malformed };
        match vote {
            Vote::Passed { s, state, .. } if self.follows(s, self.next_sync) => {
                self.next_sync = s.saturating_add(1);
                state.map_or(Judged::Fine, |digest| Judged::State(Key { s, process: 0 }, 0, digest))
            }
            Vote::Memory { s, process, pid, digest }
                if s < self.next_sync && process != 0 && process != ROOT =>
            {
                Judged::State(Key { s, process }, pid, digest)
            }
            Vote::Effect { n, call, kind, digest: claimed, payload }
                if self.follows(n, self.next_effect) && payload.len() <= PAYLOAD_MAX =>
            {
                Judged::Effect(Held { n, digest: effect_digest(n, call, kind, payload), claimed, length })
            }
            Vote::Passed { .. } | Vote::Memory { .. } | Vote::Effect { .. } => Judged::Malformed,
            Vote::Snapshot { s, effects, root, .. } => {
                if self.next_sync == 0 && self.next_effect == 0 {
                    (self.next_sync, self.next_effect) = (s.saturating_add(1), effects);
                }
                // Where every process waits it is complete just before the sync point is passed.
                let told = Judged::State(Key { s, process: ROOT }, SNAPSHOT, root);
                if s <= self.next_sync { told } else { Judged::Malformed }
            }
            Vote::Stuck { .. } | Vote::Took { .. } | Vote::Rejoin { .. } => Judged::Fine,
        }
    }

    /// The effect it holds, as it stands in its copy.
    fn effect(&self) -> Option<(u64, EffectKind, &[u8])> {
        let record = self.record.get(..self.held?.length)?;
        match postcard::from_bytes(record).ok()? {
            Vote::Effect { call, kind, payload, .. } => Some((call, kind, payload)),
            _ => None,
        }
    }
}

impl Held {
    /// What it votes for: bytes and claim alike, or else something that nobody votes for.
    fn vote(&self) -> Digest {
        if self.digest == self.claimed {
            return self.digest;
        }
        abi::digest::Encoder::new("a claim that is not its effect's")
            .raw(&self.digest)
            .raw(&self.claimed)
            .finish()
    }

    /// Whether it is a vote for `digest`: by what the voter wrote, and by what it says it wrote.
    fn is_for(&self, digest: &Digest) -> bool {
        self.digest == *digest && self.claimed == *digest
    }

    /// The digest to show for a vote that is not for `quorum`: its bytes' own, unless only the claim is wrong.
    fn accused(&self, quorum: &Digest) -> Digest {
        if self.digest == *quorum { self.claimed } else { self.digest }
    }
}
