//! A recorded log, issued again.
//!
//! The syncs go out in step with the voters; the skips and gos go out *early*: before Sync k, all that stand before Sync k+3. Why: call c of
//! the stretch after sync point k was decided while no quorum had passed k+1, and without that Sync k+3 was not issued; so
//! the decision stands before Sync k+3 in the recording. In this run the thread may be quicker and reach call c at once after entry
//! k: then the kernel must know already that the call is not its. To know a decision too early does no harm, it names its call.

use abi::log::{Boot, Entry, Sync};

/// How far ahead of the next sync the decisions go.
const AHEAD: u64 = 3;

/// A recorded log that is being issued: records of `u32` length (little-endian) and an encoded [`Entry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Recording<'a> {
    whole: &'a [u8],
    syncs: Cursor<'a>,
    decisions: Cursor<'a>,
    /// Decisions before this sync are out.
    decided: u64,
    /// Number of the last sync.
    last: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Cursor<'a>(&'a [u8]);

impl<'a> Iterator for Cursor<'a> {
    type Item = Entry<'a>;

    /// The next entry; `None` at the end, and at bytes that are none.
    fn next(&mut self) -> Option<Entry<'a>> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (record, rest) = rest.split_at_checked(length)?;
        let entry = postcard::from_bytes(record).ok()?;
        self.0 = rest;
        Some(entry)
    }
}

impl<'a> Recording<'a> {
    /// `None`: the recording does not begin with [`Entry::Boot`].
    pub fn new(whole: &'a [u8]) -> Option<Self> {
        let mut records = Cursor(whole);
        let Some(Entry::Boot(_)) = records.next() else { return None };
        let last = records.filter_map(|e| if let Entry::Sync(s) = e { Some(s.s) } else { None }).last();
        Some(Recording { whole, syncs: records, decisions: records, decided: 0, last: last.unwrap_or(0) })
    }

    /// How it began.
    pub fn boot(&self) -> Option<Boot<'a>> {
        if let Some(Entry::Boot(boot)) = Cursor(self.whole).next() { Some(boot) } else { None }
    }

    /// The number of the last sync; 0: there is none.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The next decision that must be known before Sync `k` is issued.
    pub fn decision(&mut self, k: u64) -> Option<Entry<'a>> {
        while self.decided < k.saturating_add(AHEAD) {
            match self.decisions.next()? {
                Entry::Sync(sync) => self.decided = sync.s,
                Entry::Boot(_) => {}
                decision => return Some(decision),
            }
        }
        None
    }

    /// The next sync; `None` at the end of the recording.
    pub fn sync(&mut self) -> Option<Sync<'a>> {
        self.syncs.find_map(|entry| if let Entry::Sync(sync) = entry { Some(sync) } else { None })
    }

    /// Goes where it stands when Sync `next` is the next to be issued.
    pub fn seek(&mut self, next: u64) {
        let Some(mut fresh) = Self::new(self.whole) else { return };
        while next > 0 && fresh.decision(next - 1).is_some() {}
        for _ in 1..next {
            fresh.sync();
        }
        *self = fresh;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(entries: &[Entry]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for entry in entries {
            let mut buf = [0; 256];
            let record = postcard::to_slice(entry, &mut buf).unwrap();
            bytes.extend_from_slice(&(record.len() as u32).to_le_bytes());
            bytes.extend_from_slice(record);
        }
        bytes
    }

    fn boot() -> Entry<'static> {
        let boot = Boot {
            version: 1,
            seed: [7; 32],
            time_us: 5,
            digest_interval: 0,
            rows: 24,
            columns: 80,
            program: b"x",
        };
        Entry::Boot(boot)
    }

    fn sync(s: u64) -> Entry<'static> {
        Entry::Sync(Sync { s, time_us: s, events: &[] })
    }

    #[test]
    fn decisions_go_out_three_syncs_early_also_after_a_seek() {
        let skip = |call| Entry::Skip { call };
        let bytes = recording(&[boot(), sync(1), sync(2), sync(3), skip(10), sync(4), skip(11), sync(5)]);
        let mut r = Recording::new(&bytes).unwrap();
        assert_eq!((r.last(), r.decision(0)), (5, None));
        assert_eq!(r.decision(1), Some(skip(10)));
        assert_eq!(r.decision(1), None);
        assert_eq!(r.sync().unwrap().s, 1);
        let mut again = Recording::new(&bytes).unwrap();
        again.seek(2);
        for mut r in [r, again] {
            assert_eq!(r.decision(2), Some(skip(11)));
            assert_eq!(r.decision(2), None);
            assert_eq!([2, 3, 4, 5], [(); 4].map(|()| r.sync().unwrap().s));
            assert_eq!(r.sync(), None);
        }
        again.seek(0);
        assert_eq!(again, Recording::new(&bytes).unwrap());
    }

    #[test]
    fn damage_ends_the_recording() {
        let mut bytes = recording(&[boot(), sync(1)]);
        bytes.extend_from_slice(&[255, 255, 255, 255, 1]);
        let mut r = Recording::new(&bytes).unwrap();
        assert_eq!(r.sync().unwrap().s, 1);
        assert_eq!(r.sync(), None);
        assert!(Recording::new(&bytes[1..]).is_none());
        assert!(Recording::new(&[]).is_none());
    }
}
