//! Both sides correct, each acting between any two accesses of the other: no copy may pass that nobody wrote.

use super::*;
use ipc::{BroadcastReader, BroadcastWriter, ReadError, StreamReader, StreamWriter};
use std::rc::Rc;

/// Half of the records fill the reader's buffer, the others do not.
const OUT: usize = 67;

/// Record `i`: its number, its length and every byte follow from it.
fn record(i: u64) -> Vec<u8> {
    let length = if i.is_multiple_of(2) { OUT } else { 8 + (i * 7 % 60) as usize };
    let mut bytes: Vec<u8> = (0..length).map(|k| (i as u8).wrapping_mul(31).wrapping_add(k as u8)).collect();
    bytes[..8].copy_from_slice(&i.to_le_bytes());
    bytes
}

fn number(bytes: &[u8]) -> Result<u64, Violation> {
    let (i, _) = bytes.split_first_chunk().ok_or(Violation::Torn)?;
    let i = u64::from_le_bytes(*i);
    if i < 1 << 40 && bytes == record(i) { Ok(i) } else { Err(Violation::Torn) }
}

/// The two sides of a ring and what was found so far.
struct Pair<W, R> {
    writer: RefCell<W>,
    reader: RefCell<R>,
    written: Cell<u64>,
    read: Cell<u64>,
    found: Cell<Result<(), Violation>>,
    report: Cell<Report>,
}

impl<W: 'static, R: 'static> Pair<W, R> {
    fn count(&self, accepted: bool) {
        let mut report = self.report.get();
        report.operations += 1;
        report.accepted += u64::from(accepted);
        report.refused += u64::from(!accepted);
        self.report.set(report);
    }

    /// Each side in turn is called, while the other acts between its accesses.
    fn run(self: Rc<Self>, seed: u64, operations: u64, write: fn(&Self), read: fn(&Self)) -> Found {
        let mut chance = Chance::new(seed);
        let hook = |action: fn(&Self), pair: Rc<Self>, seed, one_in| -> Option<Hook> {
            let mut chance = Chance::new(seed);
            Some(Box::new(move || {
                while chance.one_in(one_in) {
                    action(&pair);
                }
            }))
        };
        let mut while_reading = hook(write, self.clone(), !seed, 3);
        let mut while_writing = hook(read, self.clone(), seed ^ 1, 3);
        while self.report.get().operations < operations {
            if chance.one_in(2) {
                watch(&mut while_reading, || read(&self));
            } else {
                watch(&mut while_writing, || write(&self));
            }
            self.found.get()?;
        }
        Ok(self.report.get())
    }

    fn accept(&self, bytes: &[u8], without_gap: bool) {
        self.count(true);
        let expected = self.read.get();
        match number(bytes) {
            Ok(i) if i == expected || (i > expected && !without_gap) => self.read.set(i + 1),
            Ok(_) => self.found.set(Err(Violation::Order)),
            Err(v) => self.found.set(Err(v)),
        }
    }

    fn refuse(&self, error: ReadError, lapped: bool) {
        self.count(false);
        if error != ReadError::Overrun || !lapped {
            self.found.set(Err(Violation::Accused));
        }
    }
}

fn fresh(words: &[Watched]) {
    words.iter().for_each(|w| w.poke(0));
}

/// A writer that never waits, and a reader that it laps as it likes.
pub fn broadcast(words: &'static [Watched; WORDS], seed: u64, operations: u64) -> Found {
    type Both = Pair<BroadcastWriter<'static, Watched>, BroadcastReader<'static, Watched>>;
    fn write(pair: &Both) {
        let i = pair.written.get();
        pair.written.set(i + 1);
        pair.count(pair.writer.borrow_mut().write(&record(i)).is_ok());
    }
    fn read(pair: &Both) {
        let mut out = [0; OUT];
        let mut reader = pair.reader.borrow_mut();
        match reader.read(&mut out) {
            Ok(Some(n)) => pair.accept(&out[..n], false),
            Ok(None) => pair.count(false),
            Err(e) => {
                reader.skip_to_head();
                pair.refuse(e, true);
            }
        }
    }
    fresh(words);
    let pair = Pair {
        writer: BroadcastWriter::new(words).unwrap().into(),
        reader: BroadcastReader::new(words).unwrap().into(),
        written: Cell::new(0),
        read: Cell::new(0),
        found: Cell::new(Ok(())),
        report: Cell::default(),
    };
    Rc::new(pair).run(seed, operations, write, read)
}

/// A stream: nothing is lost, nothing comes twice.
pub fn stream(words: &'static [Watched; WORDS], seed: u64, operations: u64) -> Found {
    static POSITION: Watched = Watched::new();
    type Both = Pair<StreamWriter<'static, Watched>, StreamReader<'static, Watched>>;
    fn write(pair: &Both) {
        let i = pair.written.get();
        let written = pair.writer.borrow_mut().write(&record(i)).is_ok();
        pair.written.set(i + u64::from(written));
        pair.count(written);
    }
    fn read(pair: &Both) {
        let mut out = [0; OUT];
        match pair.reader.borrow_mut().read(&mut out) {
            Ok(Some(n)) => pair.accept(&out[..n], true),
            Ok(None) => pair.count(false),
            Err(e) => pair.refuse(e, false),
        }
    }
    fresh(words);
    POSITION.poke(0);
    let pair = Pair {
        writer: StreamWriter::new(words, &POSITION).unwrap().into(),
        reader: StreamReader::new(words, &POSITION).unwrap().into(),
        written: Cell::new(0),
        read: Cell::new(0),
        found: Cell::new(Ok(())),
        report: Cell::default(),
    };
    Rc::new(pair).run(seed, operations, write, read)
}
