//! Who begins: before there is a log, four replicas agree on whose hellos count, one of them being silent or a liar.
//!
//! ```text
//! hello                     who I am (`hello.rs`)
//! heard:  0x57 · set        once: whose hellos I heard; when I have heard all, or after PATIENCE_US
//! begin:  0x42 · set        once: whose hello is good; when all have said what they heard, or three have and PATIENCE_US is over again
//! set:    4 x (present u8 · Ed25519 [32] · X25519 [32] · share [32])
//! ```
//! A hello is good if two of the three *others* heard it: one of them is correct, and of a liar's hellos at most one is good. Three equal `begin` decide. Two
//! decisions would share a correct replica, which says one thing; so **all who begin, begin with the same members**, whatever the delays. If the
//! words of correct replicas arrive in time, all compute the same: about a liar's hello decide the three correct ones alone, and each correct one's is good.
//! So three are enough to begin. Who is left out begins as one that was restarted does.

use crate::hello::Hello;
use consensus::auth::{Identity, Members};
use consensus::{QUORUM, REPLICAS, ReplicaId, Ticks, WEAK};

/// How long each step waits for the last one, µs. (Emulated cores stall; who is late is left out, and joins by a `Member` entry.)
pub const PATIENCE_US: Ticks = 3_000_000;
const HEARD: u8 = 0x57;
const BEGIN: u8 = 0x42;
/// Bytes of an encoded hello without its tag, and whether there is one.
const ONE: usize = 1 + 96;
/// Bytes of the longer records.
pub const SIZE: usize = 1 + REPLICAS * ONE;

/// Hellos by replica.
pub type Set = [Option<Hello>; REPLICAS];

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "there is one, and no heap")]
pub enum Outcome {
    /// These begin, this replica among them. Who is missing has the keys of nobody.
    Begin(Members, [u8; 32]),
    /// The others begin.
    LeftOut,
}

/// The start of one replica.
#[derive(Clone, Debug)]
pub struct Start {
    me: ReplicaId,
    hellos: Set,
    heard: [Option<Set>; REPLICAS],
    begin: [Option<Set>; REPLICAS],
    /// The step that it is in ends at the latest then.
    until: Ticks,
}

fn encode(tag: u8, set: &Set) -> [u8; SIZE] {
    let mut bytes = [0; SIZE];
    let (first, rest) = bytes.split_at_mut(1);
    first.copy_from_slice(&[tag]);
    for (to, hello) in rest.chunks_exact_mut(ONE).zip(set) {
        let Some(hello) = hello else { continue };
        let (present, to) = to.split_at_mut(1);
        present.copy_from_slice(&[1]);
        to.copy_from_slice(&hello.encode()[1..]);
    }
    bytes
}

/// Tag and set; `None`: it is no such record.
fn decode(record: &[u8]) -> Option<(u8, Set)> {
    let bytes: &[u8; SIZE] = record.try_into().ok()?;
    let (tag, rest) = bytes.split_first()?;
    let mut set = [None; REPLICAS];
    for (slot, bytes) in set.iter_mut().zip(rest.chunks_exact(ONE)) {
        let (present, hello) = bytes.split_first()?;
        *slot = match present {
            0 => None,
            _ => Some(Hello::from_body(hello.try_into().ok()?)),
        };
    }
    matches!(*tag, HEARD | BEGIN).then_some((*tag, set))
}

/// Whether `record` belongs to the start; afterwards nobody needs it.
pub fn is_of_start(record: &[u8]) -> bool {
    decode(record).is_some()
}

impl Start {
    /// Replica `me` says `own`.
    pub fn new(me: ReplicaId, own: Hello, now: Ticks) -> Self {
        let mut hellos = [None; REPLICAS];
        if let Some(slot) = hellos.get_mut(usize::from(me)) {
            *slot = Some(own);
        }
        let until = now.saturating_add(PATIENCE_US);
        Start { me, hellos, heard: [None; REPLICAS], begin: [None; REPLICAS], until }
    }

    /// Takes a record of `from`'s ring. Of each kind the first counts; what is none is dropped.
    pub fn take(&mut self, from: ReplicaId, record: &[u8]) {
        let from = usize::from(from);
        if let Some(hello) = Hello::decode(record)
            && let Some(slot) = self.hellos.get_mut(from)
        {
            slot.get_or_insert(hello);
        }
        let Some((tag, set)) = decode(record) else { return };
        let words = if tag == HEARD { &mut self.heard } else { &mut self.begin };
        if let Some(slot) = words.get_mut(from) {
            slot.get_or_insert(set);
        }
    }

    /// The hello of `j` that two of the others heard.
    fn good(&self, j: usize) -> Option<Hello> {
        let others = || self.heard.iter().enumerate().filter(|(i, _)| *i != j);
        let heard = || others().filter_map(|(_, set)| set.as_ref()?.get(j).copied().flatten());
        heard().find(|hello| heard().filter(|h| h == hello).count() >= WEAK)
    }

    /// Goes on as far as it can at `now`; then [`Start::records`] may be new.
    pub fn poll(&mut self, now: Ticks) -> Option<Outcome> {
        let (me, over) = (usize::from(self.me), now >= self.until);
        if self.heard.get(me)?.is_none() {
            if over || self.hellos.iter().all(Option::is_some) {
                self.heard[me] = Some(self.hellos);
                // Others may say it no sooner than their patience is over: whoever is early waits for them all the same.
                self.until = self.until.max(now).saturating_add(PATIENCE_US);
            }
        } else if self.begin.get(me)?.is_none() {
            let heard = self.heard.iter().flatten().count();
            let good: Set = core::array::from_fn(|j| self.good(j));
            let enough = heard == REPLICAS || over && heard >= QUORUM;
            if enough && good.iter().flatten().count() >= QUORUM {
                self.begin[me] = Some(good);
            }
        }
        self.decided()
    }

    /// What three say.
    fn decided(&self) -> Option<Outcome> {
        let words = || self.begin.iter().flatten();
        let set = words().find(|set| words().filter(|s| s == set).count() >= QUORUM)?;
        let me = usize::from(self.me);
        if set.iter().flatten().count() < QUORUM || set.get(me)? != self.hellos.get(me)? {
            return Some(Outcome::LeftOut);
        }
        let mut members = [Identity([0; 64]); REPLICAS];
        let mut hasher = blake3::Hasher::new_derive_key("tetrarch replica 1 seed of the run");
        for (member, hello) in members.iter_mut().zip(set) {
            let share = hello.map_or([0; 32], |hello| {
                *member = hello.identity;
                hello.share
            });
            hasher.update(&share);
        }
        Some(Outcome::Begin(members, *hasher.finalize().as_bytes()))
    }

    /// What this replica has to say besides its hello, again and again: others may have missed it.
    pub fn records(&self) -> impl Iterator<Item = [u8; SIZE]> {
        let me = usize::from(self.me);
        let own = |words: &[Option<Set>; REPLICAS]| words.get(me).copied().flatten();
        let (heard, begin) = (own(&self.heard), own(&self.begin));
        heard.map(|s| encode(HEARD, &s)).into_iter().chain(begin.map(|s| encode(BEGIN, &s)))
    }

    /// Its last word, for whoever comes late.
    pub fn last_word(&self) -> Option<[u8; SIZE]> {
        self.records().nth(1)
    }

    /// When its patience ends next; `None`: it is over, only the words of others help.
    pub fn until(&self, now: Ticks) -> Option<Ticks> {
        Some(self.until).filter(|until| *until > now)
    }
}
