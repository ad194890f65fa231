//! The records of a snapshot, one after the other, with the number of each for what is wrong with it.

use abi::snapshot::{Damaged, Record, records};
use alloc::boxed::Box;

/// Counters and moments beyond this are no program's, and sums of two of them still fit.
pub const LARGEST: u64 = 1 << 62;

/// Why a snapshot is not begun with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Number of the record, from 0.
    pub record: u64,
    /// What is wrong with it.
    pub why: &'static str,
}

type Raw<'a> = Box<dyn Iterator<Item = Result<&'a [u8], Damaged>> + 'a>;

/// Reads them.
pub struct Reader<'a> {
    rest: Raw<'a>,
    ahead: Option<Record<'a>>,
    taken: u64,
}

impl<'a> Reader<'a> {
    /// Before the first record of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Refused> {
        let mut reader = Reader { rest: Box::new(records(bytes)), ahead: None, taken: 0 };
        reader.advance()?;
        Ok(reader)
    }

    fn advance(&mut self) -> Result<(), Refused> {
        let record = self.taken;
        self.ahead = match self.rest.next() {
            None => None,
            Some(Err(_)) => return Err(Refused { record, why: "no record stands here" }),
            Some(Ok(bytes)) => match postcard::take_from_bytes(bytes) {
                Ok((record, [])) => Some(record),
                _ => return Err(Refused { record, why: "it is no record" }),
            },
        };
        Ok(())
    }

    /// The next record, if it is one that `what` wants.
    pub fn take<T>(&mut self, what: impl FnOnce(Record<'a>) -> Option<T>) -> Result<Option<T>, Refused> {
        let Some(found) = self.ahead.and_then(what) else { return Ok(None) };
        self.taken += 1;
        self.advance()?;
        Ok(Some(found))
    }

    /// The next record, which must be one that `what` wants.
    pub fn need<T>(
        &mut self,
        what: impl FnOnce(Record<'a>) -> Option<T>,
        why: &'static str,
    ) -> Result<T, Refused> {
        let record = self.taken;
        self.take(what)?.ok_or(Refused { record, why })
    }

    /// Whether all were taken.
    pub fn at_end(&self) -> bool {
        self.ahead.is_none()
    }

    /// Records taken so far.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Refuses the record taken last, unless `right`.
    pub fn check(&self, right: bool, why: &'static str) -> Result<(), Refused> {
        if right { Ok(()) } else { Err(self.refuse(why)) }
    }

    /// What is wrong with the record taken last.
    pub fn refuse(&self, why: &'static str) -> Refused {
        Refused { record: self.taken.saturating_sub(1), why }
    }
}
