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
