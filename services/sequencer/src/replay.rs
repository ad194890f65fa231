//! A recorded log, issued again.
//!
//! The syncs go out in step with the voters; the skips and gos go out *early*: before Sync k, all that stand before Sync k+3. Why: call c of
//! the stretch after sync point k was decided while no quorum had passed k+1, and without that Sync k+3 was not issued; so
//! the decision stands before Sync k+3 in the recording. In this run the thread may be quicker and reach call c at once after entry
//! k: then the kernel must know already that the call is not its. To know a decision too early does no harm, it names its call.

use abi::log::Entry;

/// How far ahead of the next sync the decisions go.
const AHEAD: u64 = 3;

/// A recorded log that is being issued: records of `u32` length (little-endian) and an encoded [`Entry`].
#[derive(Clone)]
pub struct Replay<'a> {
    boot: abi::log::Boot<'a>,
    syncs: Cursor<'a>,
    decisions: Cursor<'a>,
    /// Decisions before this sync are out.
    decided: u64,
}

#[derive(Clone, Copy)]
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

/// A decision of the recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Skip(u64),
    Go(u64),
}

impl<'a> Replay<'a> {
    /// `None`: the recording does not begin with [`Entry::Boot`].
    pub fn new(recording: &'a [u8]) -> Option<Self> {
        let mut records = Cursor(recording);
        let Some(Entry::Boot(boot)) = records.next() else { return None };
        Some(Replay { boot, syncs: records, decisions: records, decided: 0 })
    }

    /// How it began.
    pub fn boot(&self) -> abi::log::Boot<'a> {
        self.boot
    }

    /// The next decision that must be known before Sync `k` is issued.
    pub fn decision(&mut self, k: u64) -> Option<Decision> {
        while self.decided < k.saturating_add(AHEAD) {
            match self.decisions.next()? {
                Entry::Skip { call } => return Some(Decision::Skip(call)),
                Entry::Go { call } => return Some(Decision::Go(call)),
                Entry::Sync(sync) => self.decided = sync.s,
                Entry::Boot(_) => {}
            }
        }
        None
    }

    /// The next sync; `None` at the end of the recording.
    pub fn sync(&mut self) -> Option<abi::log::Sync<'a>> {
        self.syncs.find_map(|entry| if let Entry::Sync(sync) = entry { Some(sync) } else { None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::log::{Boot, Sync};

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
    fn decisions_go_out_three_syncs_early() {
        let skip = |call| Entry::Skip { call };
        let bytes = recording(&[boot(), sync(1), sync(2), sync(3), skip(10), sync(4), skip(11), sync(5)]);
        let mut r = Replay::new(&bytes).unwrap();
        assert_eq!(r.decision(0), None);
        assert_eq!(r.decision(1), Some(Decision::Skip(10)));
        assert_eq!(r.decision(1), None);
        assert_eq!(r.sync().unwrap().s, 1);
        assert_eq!(r.decision(2), Some(Decision::Skip(11)));
        assert_eq!(r.decision(2), None);
        assert_eq!([2, 3, 4, 5], [(); 4].map(|()| r.sync().unwrap().s));
        assert_eq!(r.sync(), None);
    }

    #[test]
    fn damage_ends_the_recording() {
        let mut bytes = recording(&[boot(), sync(1)]);
        bytes.extend_from_slice(&[255, 255, 255, 255, 1]);
        let mut r = Replay::new(&bytes).unwrap();
        assert_eq!(r.sync().unwrap().s, 1);
        assert_eq!(r.sync(), None);
        assert!(Replay::new(&bytes[1..]).is_none());
        assert!(Replay::new(&[]).is_none());
    }
}
