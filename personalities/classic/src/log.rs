//! The agreed log's client: reads the channel eagerly (a slow reader would be lapped) and keeps entries until they are due.

use crate::turns::Decision;
use abi::log::{ENTRY_MAX, Entry, VERSION, strings};
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use ipc::ReadError;
use runtime::AgreedLog;

/// What all kernels start from, in memory of our own.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// The seed of all chance.
    pub seed: [u8; 32],
    /// Clock at Boot, µs since 1970.
    pub time_us: u64,
    /// Digests at every so many sync points.
    pub digest_interval: u32,
    /// Terminal size: rows, columns.
    pub size: (u16, u16),
    /// Path of process 1.
    pub path: Vec<u8>,
    /// Its arguments.
    pub argv: Vec<Vec<u8>>,
    /// Its environment.
    pub env: Vec<Vec<u8>>,
    /// The tier of calls that the run offers (`abi::tier`).
    pub tier: u8,
    /// The entry itself, as it stood in the log.
    pub entry: Vec<u8>,
}

/// The entry of a sync point, in memory of our own.
#[derive(Clone, Debug)]
pub struct SyncEntry {
    /// Its number.
    pub s: u64,
    /// Its time.
    pub time_us: u64,
    /// Its events, encoded.
    pub events: Vec<u8>,
}

/// What one look at the log brought besides sync entries.
#[derive(Clone, Debug)]
pub enum News {
    /// The first entry.
    Start(Start),
    /// A decision about a call.
    Decided(u64, Decision),
}

/// The client.
pub struct Log {
    reader: AgreedLog<'static>,
    buffer: Vec<u8>,
    syncs: VecDeque<SyncEntry>,
    /// Sync points below this, and Boot if it is not 0, are passed already.
    from: u64,
}

impl Log {
    /// A client of the replicas' rings.
    pub fn new(reader: AgreedLog<'static>) -> Log {
        Log { reader, buffer: vec![0; ENTRY_MAX], syncs: VecDeque::new(), from: 0 }
    }

    /// What leads to sync point `s` is passed over: a snapshot has it.
    pub fn begin_behind(&mut self, s: u64) {
        self.from = s + 1;
    }

    /// Takes one entry from the channel; sync entries are kept. An error is one that this kernel does not survive.
    pub fn poll(&mut self) -> Result<Option<News>, &'static str> {
        loop {
            let n = match self.reader.read(&mut self.buffer) {
                Ok(None) => return Ok(None),
                Ok(Some(n)) => n,
                Err(ReadError::NewEpoch) => continue,
                Err(ReadError::Overrun) => return Err("log: overrun, entries are lost"),
                Err(ReadError::TooLong(_)) => return Err("log: an entry is too long"),
                Err(ReadError::Fault) => return Err("log: the channel holds what no writer writes"),
            };
            let bytes = self.buffer.get(..n).unwrap_or_default();
            let entry = postcard::from_bytes(bytes).map_err(|_| "log: an entry cannot be decoded")?;
            match entry {
                Entry::Boot(_) | Entry::Sync(_) if self.passed_over(&entry) => {}
                Entry::Boot(_) => return start(bytes).map(|start| Some(News::Start(start))),
                Entry::Sync(sync) => {
                    let entry = SyncEntry { s: sync.s, time_us: sync.time_us, events: sync.events.to_vec() };
                    self.syncs.push_back(entry);
                }
                Entry::Skip { call } => return Ok(Some(News::Decided(call, Decision::Skip))),
                Entry::Go { call } => return Ok(Some(News::Decided(call, Decision::Go))),
            }
        }
    }

    fn passed_over(&self, entry: &Entry<'_>) -> bool {
        match entry {
            Entry::Boot(_) => self.from > 0,
            Entry::Sync(sync) => sync.s < self.from,
            Entry::Skip { .. } | Entry::Go { .. } => false,
        }
    }

    /// The entry of sync point `s`, if it is there.
    pub fn sync(&mut self, s: u64) -> Result<Option<SyncEntry>, &'static str> {
        match self.syncs.pop_front() {
            Some(entry) if entry.s == s => Ok(Some(entry)),
            Some(_) => Err("log: a sync entry is out of order"),
            None => Ok(None),
        }
    }
}

/// What all kernels start from, out of the log's first entry.
pub fn start(entry: &[u8]) -> Result<Start, &'static str> {
    let Ok(Entry::Boot(boot)) = postcard::from_bytes(entry) else {
        return Err("log: Boot cannot be decoded");
    };
    if boot.version != VERSION {
        return Err("log: Boot has a version that this kernel does not know");
    }
    let program: abi::log::Program<'_> =
        postcard::from_bytes(boot.program).map_err(|_| "log: Boot's program cannot be decoded")?;
    if program.tier > abi::tier::MOST {
        return Err("log: Boot asks for a tier of calls that this kernel has not");
    }
    Ok(Start {
        seed: boot.seed,
        time_us: boot.time_us,
        digest_interval: boot.digest_interval,
        size: (boot.rows, boot.columns),
        path: program.path.as_bytes().to_vec(),
        argv: strings(program.argv).map(<[u8]>::to_vec).collect(),
        tier: program.tier,
        env: strings(program.env).map(<[u8]>::to_vec).collect(),
        entry: entry.to_vec(),
    })
}
