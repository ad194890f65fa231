//! The agreed log's client: takes an entry as agreed on f + 1 equal replica rings (`abi::log`).
//!
//! Nobody's own replica is believed, that of the same core as little as another: each is a ring like the others. Of a record that cannot be delivered yet
//! only number and digest are kept; its bytes stay in the ring, and are read again when they are wanted. So there is no buffer here, and the caller's one
//! is enough. All kernels share this code: it is common mode, as is what the replicas run.

use abi::bootinfo::{BootInfo, name_str};
use abi::digest::{Digest, Encoder};
use abi::log::{NUMBER_SIZE, REPLICAS, VOUCHERS};
use core::sync::atomic::AtomicU64;
use ipc::{BroadcastReader, ReadError};

/// So many records are taken of one ring in one call: a replica that writes without end holds nobody up.
const BUDGET: usize = 1024;

/// A record that was read: where it stands, and what it is.
#[derive(Clone, Copy)]
struct Held {
    position: u64,
    number: u64,
    digest: Digest,
}

struct Source<'a> {
    words: &'a [AtomicU64],
    ring: BroadcastReader<'a>,
    held: Option<Held>,
}

/// The log as f + 1 replicas tell it.
pub struct AgreedLog<'a> {
    sources: [Option<Source<'a>>; REPLICAS],
    next: u64,
}

/// Number and digest of a record; `None`: it is too short.
fn judge(record: &[u8]) -> Option<(u64, Digest)> {
    let (number, _) = record.split_first_chunk::<NUMBER_SIZE>()?;
    let digest = Encoder::new("agreed entry").raw(record).finish();
    Some((u64::from_le_bytes(*number), digest))
}

impl<'a> Source<'a> {
    /// Reads on until it holds a record of number `next` or later. `Some`: one of number `next` was read just now, so its bytes, of this length, are in `out`.
    fn advance(&mut self, next: u64, out: &mut [u8]) -> Option<usize> {
        for _ in 0..BUDGET {
            if self.held.is_some_and(|h| h.number >= next) {
                return None;
            }
            let position = self.ring.position();
            match self.ring.read(out) {
                Ok(None) => return None,
                Ok(Some(length)) => {
                    let judged = out.get(..length).and_then(judge);
                    self.held = judged.map(|(number, digest)| Held { position, number, digest });
                    if self.held.is_some_and(|h| h.number == next) {
                        return Some(length);
                    }
                }
                // A replica that was restarted: what its predecessor wrote counts no more.
                Err(ReadError::NewEpoch) => self.held = None,
                Err(ReadError::TooLong(_)) => {}
                Err(ReadError::Overrun | ReadError::Fault) => {
                    self.ring.skip_to_head();
                    self.held = None;
                    return None;
                }
            }
        }
        None
    }

    /// Reads the record that it holds once more.
    fn again(&self, out: &mut [u8]) -> Option<usize> {
        let held = self.held?;
        let length = BroadcastReader::starting_at(self.words, held.position)?.read(out).ok()??;
        let judged = out.get(..length).and_then(judge);
        (judged == Some((held.number, held.digest))).then_some(length)
    }
}

impl<'a> AgreedLog<'a> {
    /// Over the regions of the replicas' rings. `None`: one is too small, there are too few of them, or too many.
    pub fn new(regions: impl Iterator<Item = &'a [AtomicU64]>) -> Option<Self> {
        Self::starting(regions.map(|words| (words, Some(0))), 0)
    }

    /// The same, from entry `next` on: with each region the position of that entry there. Of one without only what is said from now on is heard.
    pub fn starting(
        regions: impl Iterator<Item = (&'a [AtomicU64], Option<u64>)>,
        next: u64,
    ) -> Option<Self> {
        let mut sources = [const { None }; REPLICAS];
        let mut slots = sources.iter_mut();
        for (words, position) in regions {
            let mut ring = BroadcastReader::starting_at(words, position.unwrap_or(0))?;
            if position.is_none() {
                ring.skip_to_head();
            }
            *slots.next()? = Some(Source { words, ring, held: None });
        }
        let enough = sources.iter().flatten().count() >= VOUCHERS;
        enough.then_some(AgreedLog { sources, next })
    }

    /// Over the channels `agreed-` of a domain that maps channels at `virtual = ipa + offset`.
    ///
    /// # Safety
    /// As [`crate::Channel::at`]: (1) all channels are mapped so, normal memory, write-back, for ever.
    pub unsafe fn open(boot: &'static BootInfo, offset: u64) -> Option<AgreedLog<'static>> {
        let own = boot.read_channels("agreed-");
        // SAFETY: (1) the caller mapped them so; (2) no stream is among them.
        let found =
            own.map(|c| unsafe { crate::Channel::at(boot, name_str(&c.name), c.ipa.wrapping_add(offset)) });
        AgreedLog::new(found.flatten().map(|c| c.words()))
    }

    /// Copies the next entry into `out` (of at least [`abi::log::ENTRY_MAX`] bytes) and returns its length; `None`: it is not agreed yet. An error: the replicas have gone on
    /// beyond it, it will never come.
    pub fn read(&mut self, out: &mut [u8]) -> Result<Option<usize>, ReadError> {
        for i in 0..REPLICAS {
            let fresh = self.sources.get_mut(i).and_then(|s| s.as_mut()?.advance(self.next, out));
            if let Some(length) = fresh
                && self.vouched(i)
            {
                return Ok(Some(self.deliver(length, out)));
            }
        }
        for i in 0..REPLICAS {
            if self.vouched(i)
                && let Some(length) = self.sources.get(i).and_then(|s| s.as_ref()?.again(out))
            {
                return Ok(Some(self.deliver(length, out)));
            }
        }
        let all = self.sources.iter().flatten();
        let beyond = all.clone().filter(|s| s.held.is_some_and(|h| h.number > self.next)).count();
        if beyond + VOUCHERS > all.count() { Err(ReadError::Overrun) } else { Ok(None) }
    }

    /// Enough rings hold as the next entry what ring `i` holds.
    fn vouched(&self, i: usize) -> bool {
        let held = |s: &Source<'_>| s.held.filter(|h| h.number == self.next).map(|h| h.digest);
        let Some(digest) = self.sources.get(i).and_then(|s| held(s.as_ref()?)) else { return false };
        self.sources.iter().flatten().filter(|s| held(s) == Some(digest)).count() >= VOUCHERS
    }

    fn deliver(&mut self, length: usize, out: &mut [u8]) -> usize {
        self.next = self.next.saturating_add(1);
        out.copy_within(NUMBER_SIZE.min(length)..length, 0);
        length.saturating_sub(NUMBER_SIZE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::BroadcastWriter;

    type Region = Vec<AtomicU64>;

    fn regions(words: usize) -> [Region; 4] {
        core::array::from_fn(|_| (0..words).map(|_| AtomicU64::new(0)).collect())
    }

    fn log(regions: &[Region; 4]) -> AgreedLog<'_> {
        AgreedLog::new(regions.iter().map(|r| &r[..])).unwrap()
    }

    fn record(number: u64, entry: &[u8]) -> Vec<u8> {
        [&number.to_le_bytes()[..], entry].concat()
    }

    fn next(log: &mut AgreedLog<'_>) -> Option<Vec<u8>> {
        let mut out = [0; 64];
        log.read(&mut out).unwrap().map(|n| out[..n].to_vec())
    }

    #[test]
    fn an_entry_is_agreed_on_two_equal_rings_and_a_liar_changes_nothing() {
        let regions = regions(1024);
        let mut writers = regions.each_ref().map(|r| BroadcastWriter::new(r).unwrap());
        let mut log = log(&regions);
        for n in 0..20u64 {
            let (liar, first, second) = (n as usize % 4, (n as usize + 1) % 4, (n as usize + 2) % 4);
            // The liar is first, once with another entry, once with another number.
            let lie = if n % 2 == 0 { record(n, b"lie") } else { record(0, b"entry") };
            writers[liar].write(&lie).unwrap();
            assert_eq!(next(&mut log), None);
            for (w, found) in [(first, false), (second, true)] {
                writers[w].write(&record(n, b"entry")).unwrap();
                assert_eq!(next(&mut log).is_some(), found, "{n}");
            }
        }
    }

    #[test]
    fn who_begins_later_counts_from_there() {
        let regions = regions(1024);
        let mut writers = regions.each_ref().map(|r| BroadcastWriter::new(r).unwrap());
        let mut log = log(&regions);
        for n in 0..4 {
            for w in &mut writers[..2] {
                w.write(&record(n, &[n as u8 + 1])).unwrap();
            }
        }
        // Two others were restarted and go on at 2; all that the first two say beyond is lost with them.
        for n in 2..6 {
            for w in &mut writers[2..] {
                w.write(&record(n, &[n as u8 + 1])).unwrap();
            }
        }
        for n in 0..6u8 {
            assert_eq!(next(&mut log), Some(vec![n + 1]));
        }
        assert_eq!(next(&mut log), None);
    }

    #[test]
    fn bytes_that_two_hold_are_read_again_and_a_lapped_reader_is_told() {
        let regions = regions(512 + 16);
        let mut writers = regions.each_ref().map(|r| BroadcastWriter::new(r).unwrap());
        let mut log = log(&regions);
        writers[0].write(&record(1, b"b")).unwrap();
        writers[1].write(&record(1, b"b")).unwrap();
        assert_eq!(next(&mut log), None);
        writers[2].write(&record(0, b"a")).unwrap();
        writers[3].write(&record(0, b"a")).unwrap();
        assert_eq!(next(&mut log), Some(b"a".to_vec()));
        assert_eq!(next(&mut log), Some(b"b".to_vec()));
        // 16 words hold five records.
        for n in 2..20 {
            writers.iter_mut().for_each(|w| w.write(&record(n, b"c")).unwrap());
        }
        assert_eq!(next(&mut log), None);
        writers.iter_mut().for_each(|w| w.write(&record(20, b"c")).unwrap());
        assert_eq!(log.read(&mut [0; 64]), Err(ReadError::Overrun));
    }
}
