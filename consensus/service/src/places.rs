//! Where each kernel was lost: before which sync point its successor begins, if it is to execute the same turns again.
//!
//! What the gate found it tells itself ([`Verdict::Stood`]), alike to all replicas; of what replicas find each knows its own. They may differ by a sync point or two, and one
//! may lie: a newcomer takes a word that a correct one gave, or an earlier one (`runtime::beginning`).

use crate::points::Report;
use abi::bootinfo::DOMAINS_MAX;
use abi::vote::Verdict;

/// Where one was lost.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// The last sync point at which it was right, as far as anybody can tell.
    right_at: Option<u64>,
    /// Its report of this sync point was not the believed one, which was this.
    report: Option<(u64, Report)>,
}

/// By domain.
#[derive(Default)]
pub struct Places([Place; DOMAINS_MAX]);

impl Places {
    /// `voter` was right at `s`, and wrong, or gone, before the next; the first that is found lies furthest back, or a later one does.
    fn lost(&mut self, voter: u32, s: u64) -> Option<&mut Place> {
        let place = self.0.get_mut(voter as usize)?;
        place.right_at = Some(place.right_at.map_or(s, |known| known.min(s)));
        Some(place)
    }

    /// Takes what the gate says.
    pub fn on_verdict(&mut self, verdict: &Verdict) {
        match *verdict {
            Verdict::Stood { voter, s } => self.lost(voter, s.saturating_sub(1)),
            // What is wrong at a sync point went wrong before it.
            Verdict::WrongState { voter, s, .. } => self.lost(voter, s.saturating_sub(1)),
            _ => None,
        };
    }

    /// It hangs, and has passed all sync points below `s`.
    pub fn hangs(&mut self, voter: u32, s: u64) {
        self.lost(voter, s.saturating_sub(1));
    }

    /// What it reported of `s` was not what is believed.
    pub fn contradicts(&mut self, voter: u32, s: u64, believed: Option<Report>) {
        if let Some(place) = self.lost(voter, s.saturating_sub(1)) {
            place.report = place.report.or(believed.map(|report| (s, report)));
        }
    }

    /// Whether a newcomer reports of `s`, where its predecessor was contradicted, what is believed; `None`: it was not contradicted there.
    pub fn compare(&self, voter: u32, s: u64, report: Report) -> Option<bool> {
        let (at, believed) = self.0.get(voter as usize)?.report?;
        (at == s).then_some(report == believed)
    }

    /// See [`crate::clerk::Clerk::begins_not_after`].
    pub fn bound(&self, voter: u32) -> Option<u64> {
        self.0.get(voter as usize)?.right_at
    }

    /// It votes again.
    pub fn joins(&mut self, voter: u32) {
        if let Some(place) = self.0.get_mut(voter as usize) {
            *place = Place::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_lies_before_all_that_was_found() {
        let mut places = Places::default();
        assert_eq!((places.bound(5), places.bound(99)), (None, None));
        places.on_verdict(&Verdict::Stood { voter: 5, s: 41 });
        assert_eq!(places.bound(5), Some(40));
        // What is wrong at sync point 38 was wrong before it; what comes later changes nothing.
        places.on_verdict(&Verdict::WrongState {
            voter: 5,
            s: 38,
            process: 0,
            own: [1; 32],
            quorum: [2; 32],
        });
        places.hangs(5, 60);
        places.on_verdict(&Verdict::Stood { voter: 99, s: 41 });
        assert_eq!((places.bound(5), places.bound(6)), (Some(37), None));
        places.on_verdict(&Verdict::Stood { voter: 6, s: 0 });
        assert_eq!(places.bound(6), Some(0), "it had not begun");
        places.joins(5);
        assert_eq!(places.bound(5), None);
    }

    #[test]
    fn what_was_contradicted_is_known_until_its_successor_votes() {
        let (mut places, report) =
            (Places::default(), |call| Report { call, effects: 1, runnable: true, deadline_us: 0 });
        places.contradicts(5, 38, Some(report(7)));
        places.contradicts(5, 50, Some(report(9)));
        assert_eq!(places.bound(5), Some(37));
        assert_eq!(places.compare(5, 38, report(7)), Some(true));
        assert_eq!(places.compare(5, 38, report(8)), Some(false));
        assert_eq!((places.compare(5, 37, report(7)), places.compare(6, 38, report(7))), (None, None));
        places.joins(5);
        assert_eq!(places.compare(5, 38, report(7)), None);
    }
}
