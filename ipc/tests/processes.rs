//! Rings between processes, whose writer is killed at any moment, again and again: what a dead peer leaves harms nobody.
//!
//! The region is a file that the writer maps for writing and the reader for reading only; a stream's position the other way round. When the
//! writer is killed its mapping goes, the reader's stays, and a successor takes the ring over: what EL2 is to do with a domain's frames.
//! `IPC_KILLS`: how many writers die of each kind (CI: 200).
#![cfg(not(any(miri, loom)))]

use ipc::{BroadcastReader, BroadcastWriter, ReadError, StreamReader, StreamWriter};
use memmap2::{Mmap, MmapMut};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use zerocopy::IntoBytes;

const CAPACITY: usize = 128 * 1024;
/// Words of the longest record.
const RECORD: usize = 5000;
/// Longer than any test; then a forgotten writer ends by itself.
const LIFE: Duration = Duration::from_secs(60);

fn kills() -> u64 {
    std::env::var("IPC_KILLS").map_or(200, |n| n.parse().expect("IPC_KILLS is a number"))
}

fn words(bytes: &[u8]) -> &[AtomicU64] {
    // SAFETY: (1) a mapping is aligned to pages and as long as the slice; (2) all access is atomic, by whatever process; (3) nothing is
    // stored through a mapping that is only for reading: it would end the test.
    unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len() / 8) }
}

fn for_reading(path: &Path) -> Mmap {
    // SAFETY: the file keeps its length.
    unsafe { Mmap::map(&File::open(path).expect("file")) }.expect("mapping")
}

fn for_writing(path: &Path) -> MmapMut {
    let file = File::options().read(true).write(true).open(path).expect("file");
    // SAFETY: the file keeps its length.
    unsafe { MmapMut::map_mut(&file) }.expect("mapping")
}

/// Record `i` of writer `life`: every word follows from both.
fn record(life: u64, i: u64, out: &mut [u64; RECORD]) -> &[u8] {
    let length = 2 + (i.wrapping_mul(0x9e37_79b9) % (RECORD as u64 - 2)) as usize;
    let out = &mut out[..length];
    let seed = (life << 32 ^ i).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for (k, word) in (0..).zip(out.iter_mut()) {
        *word = seed.wrapping_add(k);
    }
    (out[0], out[1]) = (life, i);
    out.as_bytes()
}

/// The life and number of a whole record.
fn check(bytes: &[u8]) -> (u64, u64) {
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let (life, i) = (word(0), word(8));
    assert!(life < 1 << 32 && bytes == record(life, i, &mut [0; RECORD]), "a record that nobody wrote");
    (life, i)
}

/// Not a test: what the killed process runs.
#[test]
fn writer() {
    let Ok(stem) = std::env::var("IPC_WRITER") else { return };
    let life: u64 = std::env::var("IPC_LIFE").expect("life").parse().expect("number");
    let (ring, position) = (
        for_writing(Path::new(&format!("{stem}.ring"))),
        for_reading(Path::new(&format!("{stem}.position"))),
    );
    let (region, position, start) = (words(&ring), &words(&position)[0], Instant::now());
    let mut buffer = [0; RECORD];
    if stem.ends_with("stream") {
        let mut writer = StreamWriter::new(region, position).expect("ring");
        for i in 0.. {
            let record = record(life, i, &mut buffer);
            while writer.write(record).is_err() {
                assert!(start.elapsed() < LIFE);
                std::thread::yield_now();
            }
        }
    } else {
        let mut writer = BroadcastWriter::new(region).expect("ring");
        for i in 0.. {
            writer.write(record(life, i, &mut buffer)).expect("a length that fits");
            assert!(start.elapsed() < LIFE);
            if i % 3 == 2 {
                // On one core with its reader it would lap it each time.
                std::thread::yield_now();
            }
        }
    }
}

struct Files(PathBuf);

impl Files {
    fn new(name: &str) -> Self {
        let stem = std::env::temp_dir().join(format!("tetrarch-{}-{name}", std::process::id()));
        for (extension, length) in [("ring", 4096 + CAPACITY), ("position", 4096)] {
            let file = File::create(stem.with_extension(extension)).expect("file");
            file.set_len(length as u64).expect("length");
        }
        Files(stem)
    }

    fn path(&self, extension: &str) -> PathBuf {
        self.0.with_extension(extension)
    }

    fn start_writer(&self, life: u64) -> Child {
        let mut command = Command::new(std::env::current_exe().expect("this test"));
        command.args(["--exact", "writer"]).stdout(Stdio::null());
        command.env("IPC_WRITER", &self.0).env("IPC_LIFE", life.to_string());
        command.spawn().expect("a process")
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for extension in ["ring", "position"] {
            let _ = std::fs::remove_file(self.path(extension));
        }
    }
}

/// Starts a writer, reads until it wrote something, then on for up to a quarter of a millisecond, takes what there is, so that the writer has
/// room, and kills it a moment later. `read` makes one call and says whose record it got, or `None` when there is nothing to
/// have. Returns how many writers left a record half written.
fn lives(files: &Files, region: &[AtomicU64], mut read: impl FnMut() -> Option<u64>) -> u64 {
    let mut cut_short = 0;
    let mut seed = 88172645463325252u64;
    for life in 1..=kills() {
        let mut child = files.start_writer(life);
        let start = Instant::now();
        while read() != Some(life) {
            assert!(start.elapsed() < LIFE, "writer {life} wrote nothing");
            std::thread::yield_now();
        }
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let (heard, after) = (Instant::now(), Duration::from_nanos(seed % 250_000));
        while heard.elapsed() < after {
            read();
        }
        let (drained, after) = (Instant::now(), Duration::from_nanos(seed >> 32 & 0x3fff));
        while drained.elapsed() < after {
            std::hint::spin_loop();
        }
        child.kill().expect("kill");
        child.wait().expect("wait");
        let [head, reserve] = [abi::ring::OFFSET_HEAD, abi::ring::OFFSET_RESERVE]
            .map(|offset| region[offset / 8].load(Ordering::Relaxed));
        cut_short += u64::from(reserve > head);
        while read().is_some() {}
    }
    cut_short
}

#[test]
fn a_broadcaster_that_is_killed_leaves_only_whole_records() {
    let files = Files::new("broadcast");
    let mapping = for_reading(&files.path("ring"));
    let region = words(&mapping);
    let mut reader = BroadcastReader::new(region).expect("ring");
    let (mut out, mut last, mut got, mut epochs) = ([0; 8 * RECORD], (0, 0), 0u64, 0);
    let cut_short = lives(&files, region, || {
        // A writer that never waits may lap its reader as soon as it found its head: try a while to keep up.
        let mut tries = 0;
        loop {
            match reader.read(&mut out) {
                Ok(Some(length)) => {
                    let this = check(&out[..length]);
                    assert!(this > last, "an old record: {this:?} after {last:?}");
                    (last, got) = (this, got + 1);
                    return Some(this.0);
                }
                Ok(None) if tries == 0 => return None,
                Ok(None) => tries -= 1,
                Err(ReadError::Overrun) => {
                    reader.skip_to_head();
                    tries = 10_000;
                }
                Err(ReadError::NewEpoch) => epochs += 1,
                Err(wrong) => panic!("{wrong:?} of correct writers"),
            }
        }
    });
    println!("broadcast: {} writers killed, {cut_short} of them in a record; {got} records read", kills());
    assert_eq!(epochs, kills() - 1, "each successor begins an epoch");
    // A busy host kills few of them in mid-record; the recorded run (IPC_KILLS=2000) must have many.
    assert!(
        kills() < 2000 || cut_short > kills() / 10,
        "{cut_short}: the writers were not killed while they wrote"
    );
}

#[test]
fn a_stream_whose_writer_is_killed_loses_nothing_that_was_complete() {
    let files = Files::new("stream");
    let (mapping, own) = (for_reading(&files.path("ring")), for_writing(&files.path("position")));
    let (region, position) = (words(&mapping), &words(&own)[0]);
    let mut reader = StreamReader::new(region, position).expect("ring");
    let (mut out, mut last, mut got) = ([0; 8 * RECORD], (0, 0), 0u64);
    let cut_short = lives(&files, region, || {
        loop {
            match reader.read(&mut out) {
                Ok(Some(length)) => {
                    let this = check(&out[..length]);
                    let next = this == (last.0, last.1 + 1) || (this.0 > last.0 && this.1 == 0);
                    assert!(next, "lost or twice: {this:?} after {last:?}");
                    (last, got) = (this, got + 1);
                    return Some(this.0);
                }
                Ok(None) => return None,
                Err(ReadError::NewEpoch) => {}
                Err(wrong) => panic!("{wrong:?} of correct writers"),
            }
        }
    });
    println!("stream: {} writers killed, {cut_short} of them in a record; {got} records read", kills());
    // A stream's writer mostly waits for room, so that few die in a record.
    assert!(cut_short > kills() / 500, "{cut_short}: the writers were not killed while they wrote");
}
