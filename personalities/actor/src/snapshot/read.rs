//! A snapshot's records in the order that `docs/snapshot.md` gives. What they say is for the servers to check.

use super::{Read, Wrong, check};
use abi::snapshot::{
    Action, Descriptor, DirectoryEntry, Head, Inode, Limit, Mapping, OpenFile, Page, Pending, Pipe, Private,
    Process, Record, Terminal, VERSION, records,
};
use alloc::vec::Vec;

/// A process, as far as the kernel held it.
pub struct ProcessPart<'a> {
    /// Number of its first record.
    pub record: u64,
    pub process: Process<'a>,
    pub command_line: Vec<u8>,
    pub actions: Vec<(u64, Action)>,
    pub pending: Vec<(u64, Pending)>,
    pub limits: Vec<(u64, Limit)>,
    pub descriptors: Vec<(u64, Descriptor)>,
}

/// An open file description.
pub struct OpenPart<'a> {
    pub record: u64,
    pub open: OpenFile<'a>,
    pub text: Vec<u8>,
}

/// A pipe.
pub struct PipePart {
    pub record: u64,
    pub pipe: Pipe,
    pub data: Vec<u8>,
}

/// A file of the writable layer.
pub struct InodePart<'a> {
    pub record: u64,
    pub inode: Inode<'a>,
    pub entries: Vec<(u64, DirectoryEntry<'a>)>,
    pub pages: Vec<(u64, Page<'a>)>,
}

/// A process' own part.
pub struct PrivatePart<'a> {
    pub record: u64,
    pub private: Private<'a>,
    pub mappings: Vec<MappingPart<'a>>,
}

/// A mapping with its pages.
pub struct MappingPart<'a> {
    pub record: u64,
    pub mapping: Mapping<'a>,
    pub pages: Vec<(u64, Page<'a>)>,
}

/// A whole snapshot.
pub struct Document<'a> {
    pub head: Head<'a>,
    pub terminal: Terminal<'a>,
    pub round: Vec<u64>,
    pub processes: Vec<ProcessPart<'a>>,
    pub open: Vec<OpenPart<'a>>,
    pub pipes: Vec<PipePart>,
    pub inodes: Vec<InodePart<'a>>,
    pub privates: Vec<PrivatePart<'a>>,
}

/// The records that are still to be read.
struct Rest<'a, I: Iterator<Item = Read<Record<'a>>>> {
    records: core::iter::Peekable<I>,
    /// Number of the next.
    at: u64,
}

impl<'a, I: Iterator<Item = Read<Record<'a>>>> Rest<'a, I> {
    /// The next record.
    fn next(&mut self) -> Read<(u64, Record<'a>)> {
        let at = self.at;
        self.at += 1;
        match self.records.next() {
            Some(record) => Ok((at, record?)),
            None => Err(Wrong { record: at, what: "the snapshot is cut off" }),
        }
    }

    /// The next record, as far as `pick` knows its kind; else it stays.
    fn next_if<T>(&mut self, pick: impl FnOnce(Record<'a>) -> Option<T>) -> Option<(u64, T)> {
        let found = pick((*self.records.peek()?).ok()?)?;
        self.records.next();
        self.at += 1;
        Some((self.at - 1, found))
    }
}

/// Takes all that follow and are of one kind.
macro_rules! all {
    ($rest:ident, $kind:ident) => {{
        let mut all = Vec::new();
        while let Some(one) = $rest.next_if(|r| if let Record::$kind(x) = r { Some(x) } else { None }) {
            all.push(one);
        }
        all
    }};
}

/// Takes the data that follow.
macro_rules! data {
    ($rest:ident, $kind:ident) => {{
        let mut data = Vec::new();
        while let Some((_, x)) = $rest.next_if(|r| if let Record::$kind(x) = r { Some(x) } else { None }) {
            data.extend_from_slice(x);
        }
        data
    }};
}

/// Takes the next record, if it is of this kind.
macro_rules! one {
    ($rest:ident, $kind:ident) => {
        $rest.next_if(|r| if let Record::$kind(x) = r { Some(x) } else { None })
    };
}

/// Reads a module: records with their lengths in front.
pub fn document(module: &[u8]) -> Read<Document<'_>> {
    let mut number = 0;
    let decoded = records(module).map(move |record| {
        number += 1;
        let wrong = |what| Wrong { record: number - 1, what };
        let bytes = record.map_err(|_| wrong("no record stands there"))?;
        match postcard::take_from_bytes::<Record<'_>>(bytes) {
            Ok((record, [])) => Ok(record),
            _ => Err(wrong("it is no record")),
        }
    });
    let mut rest = Rest { records: decoded.peekable(), at: 0 };
    let (_, Record::Head(head)) = rest.next()? else {
        return Err(Wrong { record: 0, what: "the head is missing" });
    };
    check(head.version == VERSION, 0, "another version")?;
    let (_, Record::Terminal(terminal)) = rest.next()? else {
        return Err(Wrong { record: 1, what: "the terminal is missing" });
    };
    let (_, Record::Round(round)) = rest.next()? else {
        return Err(Wrong { record: 2, what: "the round is missing" });
    };
    check(round.len().is_multiple_of(8), 2, "a round of broken numbers")?;
    let round = round.chunks(8).map(|b| crate::bytes::u64_at(b, 0)).collect();
    let mut d = Document {
        head,
        terminal,
        round,
        processes: Vec::new(),
        open: Vec::new(),
        pipes: Vec::new(),
        inodes: Vec::new(),
        privates: Vec::new(),
    };
    held(&mut rest, &mut d);
    while let Some((record, private)) = one!(rest, Private) {
        let mut mappings = Vec::new();
        while let Some((record, mapping)) = one!(rest, Mapping) {
            mappings.push(MappingPart { record, mapping, pages: all!(rest, MemoryPage) });
        }
        d.privates.push(PrivatePart { record, private, mappings });
    }
    let (at, end) = rest.next()?;
    check(end == Record::End(at), at, "a record that does not belong there")?;
    check(rest.records.next().is_none(), at + 1, "something behind the end")?;
    Ok(d)
}

/// Processes, open files, pipes, the writable layer.
fn held<'a>(rest: &mut Rest<'a, impl Iterator<Item = Read<Record<'a>>>>, d: &mut Document<'a>) {
    while let Some((record, process)) = one!(rest, Process) {
        d.processes.push(ProcessPart {
            record,
            process,
            command_line: data!(rest, CommandLine),
            actions: all!(rest, Action),
            pending: all!(rest, Pending),
            limits: all!(rest, Limit),
            descriptors: all!(rest, Descriptor),
        });
    }
    while let Some((record, open)) = one!(rest, OpenFile) {
        d.open.push(OpenPart { record, open, text: data!(rest, Text) });
    }
    while let Some((record, pipe)) = one!(rest, Pipe) {
        d.pipes.push(PipePart { record, pipe, data: data!(rest, PipeData) });
    }
    while let Some((record, inode)) = one!(rest, Inode) {
        let (entries, pages) = (all!(rest, Entry), all!(rest, FilePage));
        d.inodes.push(InodePart { record, inode, entries, pages });
    }
}
