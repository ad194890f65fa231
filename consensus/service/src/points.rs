//! What the voters report of each sync point, and from when on a report is believed.

use abi::bootinfo::DOMAINS_MAX;

/// So many sync points back are reports kept. Flow control looks two back; the rest is to compare late reports.
const WINDOW: usize = 64;

/// What a voter says of one sync point. Believed only when enough voters say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Calls made before it.
    pub call: u64,
    /// Effects posted before it.
    pub effects: u64,
    /// Whether the round has a thread in it.
    pub runnable: bool,
    /// If not: the earliest deadline on the program's clock.
    pub deadline_us: u64,
}

#[derive(Clone, Copy)]
struct Point {
    s: u64,
    reports: [Option<Report>; DOMAINS_MAX],
    agreed: Option<Report>,
    quorum_at_us: Option<u64>,
}

/// The reports of the last [`WINDOW`] sync points.
pub struct Points {
    ring: [Point; WINDOW],
    /// Equal reports that are believed: f + 1, so that one of them is a correct voter's.
    need: usize,
}

fn slot(s: u64) -> usize {
    (s % WINDOW as u64) as usize
}

impl Points {
    pub fn new(quorum: u32) -> Self {
        let empty = Point { s: 0, reports: [None; DOMAINS_MAX], agreed: None, quorum_at_us: None };
        Points { ring: [empty; WINDOW], need: quorum.clamp(1, 2) as usize }
    }

    /// Equal reports that are believed.
    pub fn need(&self) -> usize {
        self.need
    }

    /// The row of sync point `s`; `None` when it is older than the window.
    fn row(&mut self, s: u64) -> Option<&mut Point> {
        let row = self.ring.get_mut(slot(s))?;
        if row.s < s {
            *row = Point { s, reports: [None; DOMAINS_MAX], agreed: None, quorum_at_us: None };
        }
        (row.s == s).then_some(row)
    }

    fn known(&self, s: u64) -> Option<&Point> {
        self.ring.get(slot(s)).filter(|p| p.s == s)
    }

    /// What is believed of sync point `s`.
    pub fn agreed(&self, s: u64) -> Option<Report> {
        self.known(s)?.agreed
    }

    /// When a quorum had passed sync point `s`.
    pub fn quorum_at_us(&self, s: u64) -> Option<u64> {
        self.known(s)?.quorum_at_us
    }

    /// Notes that a quorum has passed `s`, the first time.
    pub fn quorum_passed(&mut self, s: u64, now_us: u64) {
        if let Some(row) = self.row(s) {
            row.quorum_at_us.get_or_insert(now_us);
        }
    }

    /// Whether `report` is what is believed of `s`; `None`: nothing is, or not any more.
    pub fn compare(&self, s: u64, report: Report) -> Option<bool> {
        self.agreed(s).map(|agreed| agreed == report)
    }

    /// What `voter` reported is forgotten: it was another kernel.
    pub fn forget(&mut self, voter: u32) {
        for row in &mut self.ring {
            if let Some(report) = row.reports.get_mut(voter as usize) {
                *report = None;
            }
        }
    }

    /// Takes `voter`'s report of `s`. Returns the voters that are contradicted by what is now believed, a bit a domain.
    pub fn report(&mut self, voter: u32, s: u64, report: Report) -> u64 {
        let need = self.need;
        let Some(row) = self.row(s) else { return 0 };
        let Some(own) = row.reports.get_mut(voter as usize) else { return 0 };
        *own = Some(report);
        if row.agreed.is_none() && row.reports.iter().flatten().filter(|r| **r == report).count() >= need {
            row.agreed = Some(report);
        }
        let Some(agreed) = row.agreed else { return 0 };
        let differs = |r: &Option<Report>| r.is_some_and(|r| r != agreed);
        row.reports.iter().enumerate().filter(|(_, r)| differs(r)).fold(0, |mask, (i, _)| mask | 1 << i)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(call: u64) -> Report {
        Report { call, effects: 0, runnable: true, deadline_us: 0 }
    }

    #[test]
    fn two_equal_reports_are_believed_and_others_contradict() {
        let mut points = Points::new(3);
        assert_eq!(points.report(4, 7, report(1)), 0);
        assert_eq!(points.agreed(7), None);
        assert_eq!(points.report(5, 7, report(2)), 0);
        assert_eq!(points.report(6, 7, report(2)), 1 << 4);
        assert_eq!(points.agreed(7), Some(report(2)));
        assert_eq!(points.report(7, 7, report(2)), 1 << 4);
    }

    #[test]
    fn one_voter_alone_is_believed_when_the_quorum_is_one() {
        let mut points = Points::new(1);
        points.report(4, 0, report(3));
        assert_eq!(points.agreed(0), Some(report(3)));
    }

    #[test]
    fn reports_older_than_the_window_say_nothing() {
        let mut points = Points::new(3);
        points.report(4, 100, report(1));
        points.report(5, 100 - WINDOW as u64, report(2));
        points.report(6, 100, report(1));
        assert_eq!((points.agreed(100), points.agreed(100 - WINDOW as u64)), (Some(report(1)), None));
    }
}
