//! Reads a running machine from outside, through its memory: the agreed log and the released output. The rings are treated as hostile,
//! with the same reader that domains use.

use crate::machine::{Images, Machine, Options};
use abi::bootinfo::name_str;
use abi::log::Entry;
use abi::manifest::{Manifest, Range};
use abi::vote::{EffectKind, Output};
use anyhow::{Context, Result, ensure};
use ipc::{BroadcastReader, ReadError};
use runtime::AgreedLog;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

/// The pages of channel `name`.
pub fn channel(manifest: &Manifest, name: &str) -> Result<Range> {
    let channel = manifest.channels.iter().find(|c| name_str(&c.name) == name);
    Ok(channel.with_context(|| format!("the manifest has no channel {name}"))?.frames)
}

/// The pages of all channels whose names begin with `prefix`.
pub fn channels(manifest: &Manifest, prefix: &str) -> Vec<Range> {
    let named = manifest.channels.iter().filter(|c| name_str(&c.name).starts_with(prefix));
    named.map(|c| c.frames).collect()
}

/// Appends a record to a sequence of records: its length as `u32`, little-endian, then its bytes.
pub fn push_record(to: &mut Vec<u8>, record: &[u8]) {
    to.extend_from_slice(&(record.len() as u32).to_le_bytes());
    to.extend_from_slice(record);
}

/// The lowest address of RAM, with which its file begins.
pub fn ram_base(tree: &[u8]) -> Result<u64> {
    let tree = fdt::Fdt::new(tree).map_err(|e| anyhow::anyhow!("device tree: {e}"))?;
    let base = tree.memory().regions().map(|r| r.starting_address as u64).min();
    base.context("the device tree has no memory")
}

/// The machine's memory, mapped read-only.
pub struct Memory {
    map: memmap2::Mmap,
    /// Its first address.
    base: u64,
}

impl Memory {
    /// Maps the file that backs the RAM of a machine with this device tree.
    pub fn map(path: &Path, tree: &[u8]) -> Result<Memory> {
        let base = ram_base(tree)?;
        let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
        // SAFETY: (1) the mapping is only read through `words`, as atomics, so the guest's concurrent writes are no data race;
        // (2) QEMU has made the file with its full size before the machine starts, and never shrinks it.
        let map = unsafe { memmap2::Mmap::map(&file) }?;
        Ok(Memory { map, base })
    }

    /// The words at a place, if it lies in RAM.
    pub fn words(&self, place: Range) -> Option<&[AtomicU64]> {
        let (offset, size) = (place.base.checked_sub(self.base)? as usize, place.size as usize);
        let bytes = self.map.get(offset..offset.checked_add(size)?)?;
        // SAFETY: (1) the range lies inside the mapping (checked by `get`); (2) places are page-aligned and so is the mapping; (3) an AtomicU64
        // has the layout of 8 bytes; the map is read-only and these atomics are only loaded.
        Some(unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), size / 8) })
    }
}

/// What a session leaves behind: the log as a module for `replay`, and the program's output.
#[derive(Default)]
pub struct Record {
    /// Each entry as `u32` length, little-endian, and its bytes.
    pub log: Vec<u8>,
    /// Entries in it.
    pub entries: u64,
    /// Terminal output released by the gate.
    pub output: Vec<u8>,
    /// What the first kernel wrote of snapshots: records with their lengths in front.
    pub snapshot: Vec<u8>,
}

/// Drains the channels of a running machine into a [`Record`].
pub struct Recorder<'a> {
    log: AgreedLog<'a>,
    output: Tap<'a>,
    snapshot: Option<Tap<'a>>,
    /// So far.
    pub record: Record,
}

struct Tap<'a> {
    words: &'a [AtomicU64],
    reader: Option<BroadcastReader<'a>>,
}

impl<'a> Tap<'a> {
    /// The next record, if any. Before the guest has made the ring there is none.
    fn next<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Option<&'b [u8]>, ReadError> {
        if self.reader.is_none() {
            self.reader = BroadcastReader::new(self.words);
        }
        let Some(reader) = &mut self.reader else { return Ok(None) };
        let len = reader.read(buffer)?;
        Ok(len.map(|n| &buffer[..n]))
    }

    fn skip_to_head(&mut self) {
        if let Some(reader) = &mut self.reader {
            reader.skip_to_head();
        }
    }
}

impl<'a> Recorder<'a> {
    /// Over a machine's memory.
    pub fn new(
        memory: &'a Memory,
        agreed: &[Range],
        output: Range,
        snapshot: Option<Range>,
    ) -> Result<Recorder<'a>> {
        let log = AgreedLog::new(agreed.iter().filter_map(|place| memory.words(*place)));
        let log =
            log.context("the replicas' rings are too few, too many, or outside the machine's memory")?;
        let words = memory.words(output).context("channel output lies outside the machine's memory")?;
        let snapshot = snapshot.and_then(|place| Some(Tap { words: memory.words(place)?, reader: None }));
        Ok(Recorder { log, output: Tap { words, reader: None }, snapshot, record: Record::default() })
    }

    /// Takes all that is there now.
    pub fn drain(&mut self) -> Result<()> {
        let mut buffer = vec![0; abi::ring::RECORD_MAX];
        while let Some(length) =
            self.log.read(&mut buffer).map_err(|e| anyhow::anyhow!("the agreed log: {e:?}"))?
        {
            let bytes = &buffer[..length];
            postcard::from_bytes::<Entry<'_>>(bytes).context("the agreed log holds what is no entry")?;
            push_record(&mut self.record.log, bytes);
            self.record.entries += 1;
        }
        while let Some(bytes) =
            self.output.next(&mut buffer).map_err(|e| anyhow::anyhow!("channel output: {e:?}"))?
        {
            let output: Output<'_> =
                postcard::from_bytes(bytes).context("channel output holds what is no effect")?;
            if output.kind == EffectKind::TtyOutput {
                self.record.output.extend_from_slice(output.payload);
            }
        }
        while let Some(tap) = &mut self.snapshot {
            match tap.next(&mut buffer) {
                Ok(Some(bytes)) => push_record(&mut self.record.snapshot, bytes),
                Ok(None) => break,
                // Another kernel writes from now on, or it wrote faster than this looks: the next whole one counts.
                Err(ReadError::NewEpoch) => {}
                Err(ReadError::Overrun) => tap.skip_to_head(),
                Err(e) => anyhow::bail!("channel snapshot: {e:?}"),
            }
        }
        Ok(())
    }
}

impl Record {
    /// Writes `PATH` and `PATH.out`.
    pub fn save(&self, path: &Path) -> Result<()> {
        std::fs::write(path, &self.log).with_context(|| path.display().to_string())?;
        std::fs::write(output_path(path), &self.output)?;
        Ok(())
    }

    /// Reads what [`Record::save`] wrote.
    pub fn load(path: &Path) -> Result<Record> {
        let log = std::fs::read(path).with_context(|| format!("no recorded log at {}", path.display()))?;
        let (mut at, mut entries) = (0, 0);
        while at < log.len() {
            let len = log.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
            let entry = len.and_then(|n| log.get(at + 4..at + 4 + n as usize));
            let entry = entry.with_context(|| format!("{}: truncated at byte {at}", path.display()))?;
            let decoded = postcard::from_bytes::<Entry<'_>>(entry);
            let decoded =
                decoded.map_err(|e| anyhow::anyhow!("{}: no log entry at byte {at}: {e}", path.display()))?;
            ensure!(
                at > 0 || matches!(decoded, Entry::Boot(_)),
                "{}: the first entry is not Boot",
                path.display()
            );
            at += 4 + entry.len();
            entries += 1;
        }
        ensure!(entries > 0, "{}: empty", path.display());
        let output = std::fs::read(output_path(path))
            .with_context(|| format!("no recorded output beside {}", path.display()))?;
        Ok(Record { log, entries, output, snapshot: Vec::new() })
    }
}

fn output_path(path: &Path) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".out");
    name.into()
}

/// Boots `options` (which hold a log to replay) and returns the record, with the program's output: all of it if the program ended, otherwise what
/// there is once `expect` bytes have come and nothing more follows for a second, or time is up.
pub fn replay(images: &Images, options: &Options, expect: usize, timeout: Duration) -> Result<Record> {
    let mut machine = Machine::boot(images, options)?;
    let end = Instant::now() + timeout;
    let (mut buffer, mut quiet) = ([0; 4096], Instant::now());
    machine.console.set_read_timeout(Some(Duration::from_millis(50)))?;
    machine.operator.set_read_timeout(Some(Duration::from_millis(50)))?;
    while Instant::now() < end && !machine.has_ended()? {
        // Both consoles must be emptied, or the machine waits for us.
        let read =
            machine.console.read(&mut buffer).unwrap_or(0) + machine.operator.read(&mut buffer).unwrap_or(0);
        if read > 0 || machine.released() < expect {
            quiet = Instant::now();
        }
        if quiet.elapsed() > Duration::from_secs(1) {
            break;
        }
    }
    machine.finish()
}
