//! What the replicas say is believed when f + 1 of them say it.

use abi::log::{REPLICAS, VOUCHERS};
use abi::vote::Progress;

/// So many words of each that no other has said yet are remembered.
const OPEN: usize = 16;

/// The words of each that wait for a second voice, and the last sync point each told of.
#[derive(Default)]
pub struct Tally {
    open: [heapless::Deque<Progress, OPEN>; REPLICAS],
    issued: [u64; REPLICAS],
}

/// Two replicas that look at different moments see a lagging voter at different points; they mean the same.
fn same(a: &Progress, b: &Progress) -> bool {
    match (a, b) {
        (Progress::Lagging { voter: a, .. }, Progress::Lagging { voter: b, .. })
        | (Progress::CaughtUp { voter: a, .. }, Progress::CaughtUp { voter: b, .. })
        | (Progress::Contradicts { voter: a, .. }, Progress::Contradicts { voter: b, .. })
        | (Progress::Hangs { voter: a, .. }, Progress::Hangs { voter: b, .. }) => a == b,
        // Who voted for it, and whose bytes were found, depends on when each replica decides.
        (Progress::Snapshot { s: a, root: c, .. }, Progress::Snapshot { s: b, root: d, .. }) => {
            (a, c) == (b, d)
        }
        _ => a == b,
    }
}

/// The voter that a word is of.
fn about(word: &Progress) -> Option<u32> {
    use Progress::*;
    match *word {
        Lagging { voter, .. } | CaughtUp { voter, .. } | Contradicts { voter, .. } => Some(voter),
        Hangs { voter, .. } | FalseSnapshot { voter, .. } | SnapshotMissing { voter, .. } => Some(voter),
        Begun { voter, .. } => Some(voter),
        _ => None,
    }
}

impl Tally {
    /// Replica `from` says `word`. Whether that is believed now, for the first time.
    pub fn hear(&mut self, from: usize, word: &Progress) -> bool {
        if let Progress::Issued { s, .. } = *word {
            return self.issued(from, s);
        }
        let said = |open: &heapless::Deque<Progress, OPEN>| open.iter().any(|w| same(w, word));
        let Some(own) = self.open.get_mut(from).filter(|own| !said(own)) else { return false };
        if own.is_full() {
            own.pop_front();
        }
        let _room = own.push_back(*word);
        // Exactly so many: whoever says it later adds nothing, and its word stays open until it is pushed out.
        let believed = self.open.iter().filter(|open| said(open)).count() == VOUCHERS;
        self.forget_opposites(word);
        believed
    }

    /// A voter that is back may lag again, and the other way round.
    fn forget_opposites(&mut self, word: &Progress) {
        let opposite = match *word {
            Progress::Lagging { voter, s } => Progress::CaughtUp { voter, s },
            Progress::CaughtUp { voter, s } => Progress::Lagging { voter, s },
            _ => return,
        };
        self.retain(|w| !same(w, &opposite));
    }

    /// `voter` was begun anew: what was said of its predecessor may be said of it, too.
    pub fn forget(&mut self, voter: u32) {
        self.retain(|w| about(w) != Some(voter));
    }

    fn retain(&mut self, stays: impl Fn(&Progress) -> bool) {
        for open in &mut self.open {
            for _ in 0..open.len() {
                if let Some(word) = open.pop_front().filter(&stays) {
                    let _room = open.push_back(word);
                }
            }
        }
    }

    /// Entry `s` is there when f + 1 have told of it or of a later one; the last of them says how things stand.
    fn issued(&mut self, from: usize, s: u64) -> bool {
        let Some(own) = self.issued.get_mut(from) else { return false };
        *own = s.max(*own);
        self.issued.iter().filter(|other| **other >= s).count() == VOUCHERS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_voice_is_none_two_are_heard_once() {
        let mut t = Tally::default();
        let (lagging, back) = (|s| Progress::Lagging { voter: 4, s }, Progress::CaughtUp { voter: 4, s: 9 });
        for _ in 0..3 {
            assert!(!t.hear(0, &lagging(1)) && !t.hear(0, &lagging(1)));
            assert!(t.hear(2, &lagging(2)) && !t.hear(1, &lagging(2)));
            assert!(!t.hear(1, &back) && t.hear(3, &back) && !t.hear(0, &back));
        }
        let issued = |s| Progress::Issued { s, call: 0, runnable: true, lagging: 0 };
        assert!(!t.hear(3, &issued(u64::MAX)) && t.hear(0, &issued(256)) && !t.hear(1, &issued(256)));
        for call in 0..100 {
            assert!(!t.hear(3, &Progress::Skipped { call }));
        }
        assert!(!t.hear(0, &Progress::Skipped { call: 7 }) && t.hear(1, &Progress::Skipped { call: 7 }));
    }
}
