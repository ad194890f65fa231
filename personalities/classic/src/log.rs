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
}

impl Log {
    /// A client of the replicas' rings.
    pub fn new(reader: AgreedLog<'static>) -> Log {
        Log { reader, buffer: vec![0; ENTRY_MAX], syncs: VecDeque::new() }
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
            match postcard::from_bytes(bytes).map_err(|_| "log: an entry cannot be decoded")? {
                Entry::Boot(boot) => return start(&boot).map(Some),
                Entry::Sync(sync) => {
                    let entry = SyncEntry { s: sync.s, time_us: sync.time_us, events: sync.events.to_vec() };
                    self.syncs.push_back(entry);
                }
                Entry::Skip { call } => return Ok(Some(News::Decided(call, Decision::Skip))),
                Entry::Go { call } => return Ok(Some(News::Decided(call, Decision::Go))),
            }
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

fn start(boot: &abi::log::Boot<'_>) -> Result<News, &'static str> {
    if boot.version != VERSION {
        return Err("log: Boot has a version that this kernel does not know");
    }
    let program: abi::log::Program<'_> =
        postcard::from_bytes(boot.program).map_err(|_| "log: Boot's program cannot be decoded")?;
    Ok(News::Start(Start {
        seed: boot.seed,
        time_us: boot.time_us,
        digest_interval: boot.digest_interval,
        size: (boot.rows, boot.columns),
        path: program.path.as_bytes().to_vec(),
        argv: strings(program.argv).map(<[u8]>::to_vec).collect(),
        env: strings(program.env).map(<[u8]>::to_vec).collect(),
    }))
}
