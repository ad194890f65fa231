//! A snapshot's bytes as records in their order. Nothing of what they say is believed here.

use super::begin::Refused;
use abi::snapshot::{
    Action, Damaged, Descriptor, DirectoryEntry, Head, Inode, Limit, Mapping, OpenFile, Page, Pending, Pipe,
    Private, Process, Record, Terminal, records,
};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// A process, and at which record it stands.
pub struct Held<'a> {
    /// Its record's number.
    pub at: u64,
    /// The record.
    pub process: Process<'a>,
    /// Its command line.
    pub arguments: Vec<u8>,
    /// What it does on signals.
    pub actions: Vec<Action>,
    /// What is pending.
    pub pending: Vec<Pending>,
    /// Limits that were set.
    pub limits: Vec<Limit>,
    /// Descriptors.
    pub descriptors: Vec<Descriptor>,
}

/// A file of the writable layer.
pub struct Changed<'a> {
    /// Its record's number.
    pub at: u64,
    /// The record.
    pub inode: Inode<'a>,
    /// A directory's entries.
    pub entries: Vec<DirectoryEntry<'a>>,
    /// Pages that count.
    pub pages: Vec<Page<'a>>,
}

/// A mapping with its record's number and its pages.
pub type Mapped<'a> = (u64, Mapping<'a>, Vec<Page<'a>>);

/// An own part.
pub struct Own<'a> {
    /// Its record's number.
    pub at: u64,
    /// The record.
    pub private: Private<'a>,
    /// Its mappings.
    pub mappings: Vec<Mapped<'a>>,
}

/// All of a snapshot.
pub struct Parsed<'a> {
    /// The head.
    pub head: Head<'a>,
    /// The terminal.
    pub terminal: Terminal<'a>,
    /// Serials of the round.
    pub round: Vec<u64>,
    /// Processes.
    pub processes: Vec<Held<'a>>,
    /// Open file descriptions, their record's numbers and texts.
    pub opens: Vec<(u64, OpenFile<'a>, Vec<u8>)>,
    /// Pipes, their record's numbers and bytes.
    pub pipes: Vec<(u64, Pipe, Vec<u8>)>,
    /// Files.
    pub files: Vec<Changed<'a>>,
    /// Own parts.
    pub own: Vec<Own<'a>>,
}

struct Reader<'a> {
    rest: Box<dyn Iterator<Item = Result<&'a [u8], Damaged>> + 'a>,
    next: Option<Record<'a>>,
    at: u64,
}

impl<'a> Reader<'a> {
    fn refuse<T>(&self, why: &'static str) -> Result<T, Refused> {
        Err(Refused { record: self.at, why })
    }

    fn advance(&mut self) -> Result<(), Refused> {
        self.next = match self.rest.next() {
            None => None,
            Some(Err(_)) => return self.refuse("no record stands behind it"),
            Some(Ok(bytes)) => match postcard::take_from_bytes(bytes) {
                Ok((record, [])) => Some(record),
                _ => return self.refuse("behind it stands what is no record"),
            },
        };
        Ok(())
    }

    /// The next record, if it is what `pick` wants.
    fn maybe<T>(&mut self, pick: impl FnOnce(Record<'a>) -> Option<T>) -> Result<Option<T>, Refused> {
        let Some(found) = self.next.and_then(pick) else { return Ok(None) };
        self.at += 1;
        self.advance()?;
        Ok(Some(found))
    }

    fn must<T>(
        &mut self,
        why: &'static str,
        pick: impl FnOnce(Record<'a>) -> Option<T>,
    ) -> Result<T, Refused> {
        match self.maybe(pick)? {
            Some(found) => Ok(found),
            None => self.refuse(why),
        }
    }

    fn list<T>(&mut self, pick: impl Fn(Record<'a>) -> Option<T>) -> Result<Vec<T>, Refused> {
        let mut all = Vec::new();
        while let Some(one) = self.maybe(&pick)? {
            all.push(one);
        }
        Ok(all)
    }
}

macro_rules! only {
    ($kind:ident) => {
        |record| if let Record::$kind(x) = record { Some(x) } else { None }
    };
}

fn process<'a>(r: &mut Reader<'a>, at: u64, process: Process<'a>) -> Result<Held<'a>, Refused> {
    Ok(Held {
        at,
        process,
        arguments: r.list(only!(CommandLine))?.concat(),
        actions: r.list(only!(Action))?,
        pending: r.list(only!(Pending))?,
        limits: r.list(only!(Limit))?,
        descriptors: r.list(only!(Descriptor))?,
    })
}

/// The records of `module`, in the order that `docs/snapshot.md` says.
pub fn parse(module: &[u8]) -> Result<Parsed<'_>, Refused> {
    let mut r = Reader { rest: Box::new(records(module)), next: None, at: 0 };
    r.advance()?;
    let head = r.must("it begins with no Head", only!(Head))?;
    let terminal = r.must("no Terminal", only!(Terminal))?;
    let round = r.must("no Round", only!(Round))?;
    let (words, rest) = round.as_chunks::<8>();
    if !rest.is_empty() {
        return r.refuse("a Round of no whole serials");
    }
    let round = words.iter().map(|w| u64::from_le_bytes(*w)).collect();
    let (mut processes, mut opens, mut pipes) = (Vec::new(), Vec::new(), Vec::new());
    let (mut files, mut own) = (Vec::new(), Vec::new());
    while let (at, Some(p)) = (r.at, r.maybe(only!(Process))?) {
        processes.push(process(&mut r, at, p)?);
    }
    while let (at, Some(open)) = (r.at, r.maybe(only!(OpenFile))?) {
        opens.push((at, open, r.list(only!(Text))?.concat()));
    }
    while let (at, Some(pipe)) = (r.at, r.maybe(only!(Pipe))?) {
        pipes.push((at, pipe, r.list(only!(PipeData))?.concat()));
    }
    while let (at, Some(inode)) = (r.at, r.maybe(only!(Inode))?) {
        files.push(Changed { at, inode, entries: r.list(only!(Entry))?, pages: r.list(only!(FilePage))? });
    }
    while let (at, Some(private)) = (r.at, r.maybe(only!(Private))?) {
        let mut mappings = Vec::new();
        while let (at, Some(mapping)) = (r.at, r.maybe(only!(Mapping))?) {
            mappings.push((at, mapping, r.list(only!(MemoryPage))?));
        }
        own.push(Own { at, private, mappings });
    }
    let before = r.at;
    if r.must("what stands here does not belong here", only!(End))? != before || r.next.is_some() {
        return r.refuse("End is not the end");
    }
    Ok(Parsed { head, terminal, round, processes, opens, pipes, files, own })
}
