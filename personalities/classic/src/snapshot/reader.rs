//! The records of a snapshot that is begun with, one by one. Whoever wrote them may have lied.

use abi::snapshot::{Damaged, Record, records};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

/// What is wrong with a snapshot; the reader knows at which record.
pub(crate) type Wrong = &'static str;

/// Reads a module.
pub(crate) struct Reader<'a> {
    rest: Box<dyn Iterator<Item = Result<&'a [u8], Damaged>> + 'a>,
    /// The next one, looked at already.
    ahead: Option<Record<'a>>,
    taken: u64,
}

impl<'a> Reader<'a> {
    /// From the first record of `module` on.
    pub fn new(module: &'a [u8]) -> Reader<'a> {
        Reader { rest: Box::new(records(module)), ahead: None, taken: 0 }
    }

    /// The next record, which stays.
    pub fn peek(&mut self) -> Result<Record<'a>, Wrong> {
        if let Some(record) = self.ahead {
            return Ok(record);
        }
        let bytes = self.rest.next().ok_or("the end is missing")?.map_err(|_| "no record stands there")?;
        match postcard::take_from_bytes(bytes) {
            Ok((record, [])) => Ok(*self.ahead.insert(record)),
            _ => Err("bytes that are no record"),
        }
    }

    /// Takes the record that `pick` knows; `None`: the next is another.
    pub fn next<T>(&mut self, pick: impl FnOnce(Record<'a>) -> Option<T>) -> Result<Option<T>, Wrong> {
        let picked = pick(self.peek()?);
        if picked.is_some() {
            self.ahead = None;
            self.taken += 1;
        }
        Ok(picked)
    }

    /// How many records were taken.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Nothing stands behind the records taken.
    pub fn is_over(&mut self) -> bool {
        self.ahead.is_none() && self.rest.next().is_none()
    }

    /// What the kernel says before it stops.
    pub fn complaint(&self, why: Wrong) -> String {
        format!("snapshot: record {}: {why}", self.taken)
    }
}
