//! Snapshots that voters tell of: which root is believed, whose bytes have it, who says something else.
//!
//! A root is believed when as many live voters vote for it as make a report believed; then one of them is correct. That a voter's ring holds what it voted
//! for is looked at here too, because only a newcomer would find out otherwise, and nobody believes a newcomer.

use crate::clerk::{Clerk, Sink};
use crate::voter::Voter;
use abi::bootinfo::DOMAINS_MAX;
use abi::digest::Digest;
use abi::snapshot::{Record, Root};
use abi::vote::Progress;

/// So many decided ones are remembered, to hold newcomers' first words against.
const KEPT: usize = 4;
/// A voter may be so many sync points beyond the decision before its word is missed.
const MISSED_AFTER: u64 = 64;

/// A whole snapshot in a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its sync point, as its head says.
    pub s: u64,
    /// Position of its first record in the ring.
    pub position: u64,
    /// Records.
    pub records: u64,
    /// Bytes, as a module.
    pub bytes: u64,
    /// The digest of the records.
    pub root: Digest,
}

/// Follows one ring `snapshot-NAME`.
#[derive(Default)]
pub struct Follower {
    /// The one that is being written: sync point, position, digest so far.
    current: Option<(u64, u64, Root)>,
    /// The last whole one.
    last: Option<Written>,
    /// Records were overwritten before they were read: what is missing may have been there.
    lapped: bool,
}

impl Follower {
    /// Takes the record that stood at `position`.
    pub fn take(&mut self, position: u64, record: &[u8]) {
        let decoded = postcard::from_bytes::<Record<'_>>(record);
        if let Ok(Record::Head(head)) = decoded {
            self.current = Some((head.s, position, Root::default()));
            self.lapped = false;
        }
        let Some((s, position, root)) = &mut self.current else { return };
        root.push(record);
        if let Ok(Record::End(_)) = decoded {
            let (s, position) = (*s, *position);
            let (records, bytes, root) = (root.records(), root.bytes(), root.digest());
            self.last = Some(Written { s, position, records, bytes, root });
            self.current = None;
        }
    }

    /// The writer was faster.
    pub fn on_lapped(&mut self) {
        (self.current, self.lapped) = (None, true);
    }

    /// Another kernel writes from now on.
    pub fn on_renewed(&mut self) {
        (self.current, self.last) = (None, None);
    }

    /// What the ring holds, all of it having been read; `None`: that cannot be said.
    pub fn found(&self) -> Option<Option<Written>> {
        (!self.lapped).then_some(self.last)
    }
}

/// A snapshot that is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Sync point.
    pub s: u64,
    /// Root.
    pub root: Digest,
    /// Records; 0: nobody's ring holds it whole.
    pub records: u64,
    /// Bytes, as a module; 0 likewise.
    pub bytes: u64,
    /// In which voters' rings it begins where, by domain.
    pub places: [Option<u64>; DOMAINS_MAX],
    /// The log's next entry was for this sync point.
    next: u64,
    /// Whose word is missed, and was told: a bit a domain.
    missed: u64,
}

/// What one voter told.
#[derive(Clone, Copy, Default)]
struct Row {
    vote: Option<(u64, Digest)>,
    /// What its ring holds; `None`: not looked at since the vote.
    found: Option<Option<Written>>,
}

/// All of them.
#[derive(Default)]
pub struct Snapshots {
    rows: [Row; DOMAINS_MAX],
    decided: heapless::Deque<Decided, KEPT>,
    /// The sync point of the last that enough voted for, and when that was.
    open: Option<(u64, u64)>,
    /// Of this one no two said the same, and it was told.
    split: u64,
}

impl Snapshots {
    /// The root that is believed of `s`.
    pub fn root(&self, s: u64) -> Option<Digest> {
        self.decided.iter().find(|d| d.s == s).map(|d| d.root)
    }

    fn last(&self) -> Option<u64> {
        self.decided.back().map(|d| d.s)
    }

    /// `voter` has told of the last sync point below `passed` by a snapshot, and of the root that is believed.
    pub(crate) fn confirm(&self, voter: usize, passed: u64) -> bool {
        let vote = self.rows.get(voter).and_then(|row| row.vote);
        vote.is_some_and(|(s, root)| s.checked_add(1) == Some(passed) && self.root(s) == Some(root))
    }

    pub(crate) fn vote(&mut self, voter: u32, s: u64, root: Digest) {
        if let Some(row) = self.rows.get_mut(voter as usize) {
            *row = Row { vote: Some((s, root)), found: None };
        }
    }

    pub(crate) fn forget(&mut self, voter: u32) {
        if let Some(row) = self.rows.get_mut(voter as usize) {
            *row = Row::default();
        }
    }

    /// Live voters for which `holds`.
    fn count(&self, voters: &[Voter; DOMAINS_MAX], holds: impl Fn(&Row) -> bool) -> u64 {
        let rows = self.rows.iter().zip(voters).enumerate().filter(|(_, (row, v))| v.live() && holds(row));
        rows.fold(0, |mask, (i, _)| mask | 1 << i)
    }
}

impl Clerk {
    /// Whether `voter` told of a snapshot and its ring was not looked at since.
    pub fn wants_written(&self, voter: u32) -> bool {
        let row = self.snapshots.rows.get(voter as usize);
        row.is_some_and(|row| row.vote.is_some() && row.found.is_none())
    }

    /// All that `voter` wrote before its vote was read; see [`Follower::found`].
    pub fn on_written(&mut self, voter: u32, found: Option<Option<Written>>, sink: &mut impl Sink) {
        let Some(row) = self.snapshots.rows.get_mut(voter as usize) else { return };
        let Some((s, root)) = row.vote else { return };
        row.found = Some(found.flatten().filter(|w| w.s == s && w.root == root));
        // One of a later sync point has taken its place, if the vote was read late.
        let told_otherwise = found.is_some_and(|w| w.is_none_or(|w| w.s < s || w.s == s && w.root != root));
        let heard = self.voters.get(voter as usize).is_some_and(Voter::heard);
        if told_otherwise && heard {
            self.accuse(voter);
            sink.progress(Progress::FalseSnapshot { voter, s });
        }
    }

    /// A newcomer says it stands behind the snapshot of `s`; `false`: not with that root.
    pub(crate) fn may_begin(&self, s: u64, root: &Digest) -> bool {
        self.snapshots.root(s).is_none_or(|known| known == *root)
    }

    /// Decides what can be decided; `next` is the log's.
    pub(crate) fn decide_snapshots(&mut self, next: u64, now_us: u64, sink: &mut impl Sink) {
        self.miss(sink);
        let Some((s, root, by)) = self.candidate() else { return self.tell_split(sink) };
        if self.snapshots.open.is_none_or(|(open, _)| open != s) {
            self.snapshots.open = Some((s, now_us));
        }
        let silent = self.snapshots.count(&self.voters, |row| row.vote.is_none_or(|(t, _)| t < s));
        let waiting = self.snapshots.count(&self.voters, |row| row.vote.is_some() && row.found.is_none());
        let over = self.snapshot_wake_at().is_none_or(|at| now_us >= at);
        if (silent & !self.lagging() | waiting) != 0 && !over {
            return;
        }
        let found = |row: &Row| row.found.flatten().filter(|w| w.s == s && w.root == root);
        let whole = self.snapshots.rows.iter().find_map(found);
        let places = self.snapshots.rows.each_ref().map(|row| found(row).map(|w| w.position));
        let (records, bytes) = whole.map_or((0, 0), |w| (w.records, w.bytes));
        let decided = Decided { s, root, records, bytes, places, next, missed: 0 };
        if self.snapshots.decided.is_full() {
            self.snapshots.decided.pop_front();
        }
        let _room = self.snapshots.decided.push_back(decided);
        sink.progress(Progress::Snapshot { s, root, bytes, by });
        if records > 0 {
            sink.decided(&decided);
        }
    }

    fn lagging(&self) -> u64 {
        self.voters.iter().enumerate().filter(|(_, v)| v.lagging).fold(0, |mask, (i, _)| mask | 1 << i)
    }

    /// A root newer than the last decided that enough vote for, and who.
    fn candidate(&self) -> Option<(u64, Digest, u64)> {
        let need = self.points.need() as u32;
        let votes = self.snapshots.rows.iter().filter_map(|row| row.vote);
        votes.filter(|(s, _)| self.snapshots.last().is_none_or(|last| *s > last)).find_map(|(s, root)| {
            let by = self.snapshots.count(&self.voters, |row| row.vote == Some((s, root)));
            (by.count_ones() >= need).then_some((s, root, by))
        })
    }

    /// When the others' words are not waited for any more.
    pub(crate) fn snapshot_wake_at(&self) -> Option<u64> {
        let open = self.snapshots.open.filter(|(s, _)| self.snapshots.last().is_none_or(|last| *s > last));
        open.map(|(_, at)| at.saturating_add(self.config.grace_us))
    }

    /// All have told of the same sync point, and no two of the same root.
    fn tell_split(&mut self, sink: &mut impl Sink) {
        let live = self.snapshots.count(&self.voters, |_| true);
        let Some(s) = self.snapshots.rows.iter().filter_map(|row| row.vote).map(|(s, _)| s).max() else {
            return;
        };
        let told = self.snapshots.count(&self.voters, |row| row.vote.is_some_and(|(t, _)| t == s));
        let decided = self.snapshots.last().is_some_and(|last| last >= s);
        if !decided && told == live && live.count_ones() > 1 && self.snapshots.split < s {
            self.snapshots.split = s;
            sink.progress(Progress::NoSnapshot { s });
        }
    }

    /// Who is far beyond the last decision and has not told of it.
    fn miss(&mut self, sink: &mut impl Sink) {
        let Some(Decided { s, next, missed, .. }) = self.snapshots.decided.back().copied() else { return };
        let quiet = self.snapshots.count(&self.voters, |row| row.vote.is_none_or(|(t, _)| t < s));
        for (i, v) in self.voters.iter().enumerate().filter(|(i, _)| quiet >> i & 1 == 1) {
            // Who has joined since began with another.
            let beyond = v.passed > next.saturating_add(MISSED_AFTER) && v.since <= s;
            if beyond && missed >> i & 1 == 0 {
                sink.progress(Progress::SnapshotMissing { voter: i as u32, s });
                if let Some(decided) = self.snapshots.decided.back_mut() {
                    decided.missed |= 1 << i;
                }
            }
        }
    }
}
