//! Input of one origin that is not ordered yet: a queue of records with consecutive numbers, in a fixed space.
//!
//! Each replica reads the origin's ring itself, so that it knows what was really said, and for how long it has been waiting.

use crate::Ticks;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Entry {
    start: u64,
    length: u32,
    arrived: Ticks,
}

/// At most `COUNT` records of together `BYTES` bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Inputs<const COUNT: usize, const BYTES: usize> {
    entries: [Entry; COUNT],
    bytes: [u8; BYTES],
    /// Number of the oldest record held, or of the next one when none is.
    first: u64,
    count: usize,
    /// Position after the newest record's bytes; grows for ever.
    end: u64,
}

/// There is no room now; offer it again when something was ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl<const COUNT: usize, const BYTES: usize> Default for Inputs<COUNT, BYTES> {
    fn default() -> Self {
        Inputs { entries: [Entry::default(); COUNT], bytes: [0; BYTES], first: 1, count: 0, end: 0 }
    }
}

impl<const COUNT: usize, const BYTES: usize> Inputs<COUNT, BYTES> {
    /// Takes record `number`. One that is known or too old is dropped; after a gap (the ring lapped us) what came before is forgotten, the
    /// others will vouch for it.
    pub fn push(&mut self, number: u64, payload: &[u8], now: Ticks) -> Result<(), Full> {
        let next = self.first + self.count as u64;
        if number < next {
            return Ok(());
        }
        if number > next {
            (self.first, self.count) = (number, 0);
        }
        let oldest = self.entry(self.first).map_or(self.end, |e| e.start);
        let used = self.end.wrapping_sub(oldest) as usize;
        if self.count == COUNT || BYTES - used.min(BYTES) < payload.len() {
            return Err(Full);
        }
        let at = self.end as usize % BYTES;
        let (head, tail) = payload.split_at(payload.len().min(BYTES - at));
        self.bytes[at..at + head.len()].copy_from_slice(head);
        if !tail.is_empty() {
            self.bytes[..tail.len()].copy_from_slice(tail);
        }
        self.entries[number as usize % COUNT] =
            Entry { start: self.end, length: payload.len() as u32, arrived: now };
        self.end = self.end.wrapping_add(payload.len() as u64);
        self.count += 1;
        Ok(())
    }

    #[inline]
    fn entry(&self, number: u64) -> Option<&Entry> {
        let held = number >= self.first && number - self.first < self.count as u64;
        if held { self.entries.get(number as usize % COUNT) } else { None }
    }

    /// Record `number`, in two parts; `None`: it is not held.
    #[inline]
    pub fn get(&self, number: u64) -> Option<(&[u8], &[u8])> {
        let entry = self.entry(number)?;
        let at = entry.start as usize % BYTES;
        let head = (entry.length as usize).min(BYTES - at);
        Some((self.bytes.get(at..at + head)?, self.bytes.get(..entry.length as usize - head)?))
    }

    /// Whether record `number` is held and is `payload`.
    #[inline]
    pub fn is(&self, number: u64, payload: &[u8]) -> bool {
        self.are(number, 1, payload.len(), payload)
    }

    /// Whether `count` records from `number` on are held, have `length` bytes each, and are `payloads`. They lie one behind the other.
    pub fn are(&self, number: u64, count: u16, length: usize, payloads: &[u8]) -> bool {
        let whole = |k| self.entry(number.wrapping_add(k)).is_some_and(|e| e.length as usize == length);
        let (true, Some(entry)) = ((0..u64::from(count)).all(whole), self.entry(number)) else {
            return false;
        };
        let at = entry.start as usize % BYTES;
        let (head, tail) = payloads.split_at(payloads.len().min(BYTES - at));
        self.bytes.get(at..at + head.len()) == Some(head) && self.bytes.get(..tail.len()) == Some(tail)
    }

    /// Forgets all up to `number`, which were ordered.
    #[inline]
    pub fn release(&mut self, number: u64) {
        if number >= self.first {
            let drop = (number - self.first + 1).min(self.count as u64);
            self.count -= drop as usize;
            self.first = number + 1;
        }
    }

    /// When the oldest arrived.
    #[inline]
    pub fn oldest(&self) -> Option<Ticks> {
        self.entry(self.first).map(|e| e.arrived)
    }

    /// Number after the newest.
    pub fn next(&self) -> u64 {
        self.first + self.count as u64
    }

    /// Number of the oldest.
    pub fn first(&self) -> u64 {
        self.first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_wrap_are_found_and_make_room() {
        let mut inputs = Inputs::<4, 10>::default();
        for n in 1..200u64 {
            let payload = [n as u8; 3];
            assert_eq!(inputs.push(n, &payload, n), Ok(()));
            assert!(inputs.is(n, &payload) && !inputs.is(n, &[0; 3]) && !inputs.is(n, &payload[..2]));
            if n >= 3 {
                assert_eq!(inputs.push(n + 1, &payload, n), Err(Full));
                assert_eq!(inputs.oldest(), Some(n - 2));
                inputs.release(n - 2);
            }
        }
    }

    #[test]
    fn many_are_compared_at_once_and_each_boundary_counts() {
        let mut inputs = Inputs::<4, 10>::default();
        for (n, payload) in [(1, &[1, 1, 1][..]), (2, &[2; 3]), (3, &[3; 3])] {
            assert_eq!(inputs.push(n, payload, 0), Ok(()));
        }
        inputs.release(1);
        assert_eq!(inputs.push(4, &[4; 3], 0), Ok(()));
        assert!(
            inputs.are(2, 3, 3, &[2, 2, 2, 3, 3, 3, 4, 4, 4]) && inputs.are(2, 2, 3, &[2, 2, 2, 3, 3, 3])
        );
        assert!(
            !inputs.are(2, 3, 3, &[2, 2, 2, 3, 3, 3, 4, 4, 5])
                && !inputs.are(2, 3, 3, &[2, 2, 1, 3, 3, 3, 4, 4, 4])
        );
        assert!(!inputs.are(1, 2, 3, &[1, 1, 1, 2, 2, 2]) && !inputs.are(4, 2, 3, &[4; 6]));
        inputs.release(4);
        assert!(inputs.push(5, &[5; 2], 0).is_ok() && inputs.push(6, &[5; 4], 0).is_ok());
        assert!(!inputs.are(5, 2, 3, &[5; 6]));
    }

    #[test]
    fn a_gap_forgets_and_what_is_old_is_dropped() {
        let mut inputs = Inputs::<4, 10>::default();
        assert_eq!(inputs.push(1, &[1], 0), Ok(()));
        assert_eq!(inputs.push(3, &[3], 0), Ok(()));
        assert!(inputs.get(1).is_none() && inputs.is(3, &[3]));
        assert_eq!(inputs.push(2, &[2], 0), Ok(()));
        assert!(inputs.get(2).is_none());
        inputs.release(7);
        assert_eq!((inputs.next(), inputs.oldest()), (8, None));
    }
}
