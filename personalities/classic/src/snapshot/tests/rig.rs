//! Runs of a program on the test's machine: with a log, with what it said, and what it wrote of snapshots.

use super::machine::{Code, DATA, Host, TEXT};
use crate::fs::testing::image_of;
use crate::kernel::{Kernel, Setup};
use abi::log::{Boot, Entry, Event, Program, Sync, VERSION};
use abi::snapshot::{Head, Record, records};
use abi::vote::Vote;
use ipc::{BroadcastReader, BroadcastWriter};
use runtime::AgreedLog;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::AtomicU64;

pub const SEED: [u8; 32] = [3; 32];
pub const BOOT_US: u64 = 1_700_000_000_000_000;
/// Sync points that the log has.
const SYNCS: u64 = 120;
/// Between two of them, µs.
pub const SYNC_US: u64 = 50_000;

/// A program, and what reaches it.
pub struct Case {
    code: Rc<Vec<super::machine::Op>>,
    image: &'static [u8],
    events: BTreeMap<u64, Vec<Event<'static>>>,
    /// Calls that are skipped.
    pub skips: Vec<u64>,
    /// The tier of calls.
    pub tier: u8,
    /// Bytes of heap that are free.
    pub heap: usize,
}

/// What a kernel said, in order: effects by number, and what it voted of each sync point.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Said {
    pub effects: BTreeMap<u64, String>,
    pub passed: BTreeMap<u64, String>,
    pub memory: BTreeMap<(u64, u64), String>,
    pub roots: Vec<(u64, [u8; 32])>,
    pub first: String,
    /// What the terminal showed.
    pub output: String,
    /// What the operator was told.
    pub texts: Vec<String>,
}

macro_rules! encoded {
    ($value:expr) => {{
        let mut bytes = vec![0; 4096];
        postcard::to_slice($value, &mut bytes).unwrap().to_vec()
    }};
}

fn region(words: usize) -> &'static [AtomicU64] {
    (0..words).map(|_| AtomicU64::new(0)).collect::<Vec<_>>().leak()
}

/// A static program of one page of code and some of data, linked at [`TEXT`] and [`DATA`].
fn elf(entry: u64) -> Vec<u8> {
    let mut b = vec![0; 0x3000];
    b[..16].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    let mut put =
        |at: usize, value: u64, size: usize| b[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
    let header = [
        (16, 2, 2),
        (18, 183, 2),
        (20, 1, 4),
        (24, entry, 8),
        (32, 64, 8),
        (52, 64, 2),
        (54, 56, 2),
        (56, 2, 2),
    ];
    header.into_iter().for_each(|(at, value, size)| put(at, value, size));
    for (i, (flags, offset, address, size, memory)) in
        [(5, 0x1000, TEXT, 0x1000, 0x1000), (6, 0x2000, DATA, 0xf00, 0x2_0000)].into_iter().enumerate()
    {
        let at = 64 + 56 * i;
        put(at, 1, 4);
        put(at + 4, flags, 4);
        for (j, value) in [offset, address, address, size, memory, 0x1000].into_iter().enumerate() {
            put(at + 8 + 8 * j, value, 8);
        }
    }
    b[0x2000..0x2f00].iter_mut().enumerate().for_each(|(i, b)| *b = i as u8);
    b
}

impl Case {
    /// `/bin/first` is process 1, from the code's start; `/bin/second` begins at `second`.
    pub fn new(code: Code, second: u64) -> Case {
        let (first, second) = (elf(TEXT), elf(second));
        let text = "a line of the image\n".repeat(300);
        let image = image_of(&[
            ("bin", 0o40755, &b""[..]),
            ("bin/first", 0o100755, &first),
            ("bin/second", 0o100755, &second),
            ("dev", 0o40755, b""),
            ("etc", 0o40755, b""),
            ("etc/motd", 0o100644, text.as_bytes()),
            ("etc/other", 0o100644, b"short\n"),
            ("proc", 0o40755, b""),
            ("tmp", 0o41777, b""),
        ]);
        let space = vec![0; image.len() + 4096].leak();
        let skip = space.as_ptr().align_offset(4096);
        space[skip..skip + image.len()].copy_from_slice(&image);
        Case {
            code: Rc::new(code.0),
            image: &space[skip..skip + image.len()],
            events: BTreeMap::new(),
            skips: Vec::new(),
            tier: abi::tier::LEAST,
            heap: usize::MAX,
        }
    }

    pub fn event(mut self, s: u64, event: Event<'static>) -> Case {
        self.events.entry(s).or_default().push(event);
        self
    }

    /// The log, asking for a snapshot at one sync point.
    fn log(&self, snapshot_at: Option<u64>) -> AgreedLog<'static> {
        let program =
            Program { path: "/bin/first", argv: b"first\0an argument\0", env: b"A=B\0", tier: self.tier };
        let program = encoded!(&program);
        let boot = Boot {
            version: VERSION,
            seed: SEED,
            time_us: BOOT_US,
            digest_interval: 1,
            rows: 24,
            columns: 80,
            program: &program,
        };
        let mut entries = vec![encoded!(&Entry::Boot(boot))];
        entries.extend(self.skips.iter().map(|call| encoded!(&Entry::Skip { call: *call })));
        for s in 1..=SYNCS {
            let mut events = self.events.get(&s).cloned().unwrap_or_default();
            events.extend((snapshot_at == Some(s)).then_some(Event::Snapshot));
            let events: Vec<u8> = events.iter().flat_map(|e| encoded!(e)).collect();
            let sync = Sync { s, time_us: BOOT_US + s * SYNC_US, events: &events };
            entries.push(encoded!(&Entry::Sync(sync)));
        }
        let regions = [region(512 + 4096), region(512 + 4096)];
        for region in regions {
            let mut writer = BroadcastWriter::new(region).unwrap();
            for (number, entry) in (0u64..).zip(&entries) {
                writer.write(&[&number.to_le_bytes()[..], entry].concat()).unwrap();
            }
        }
        AgreedLog::new(regions.into_iter()).unwrap()
    }

    /// Runs until nothing happens any more; what it said, and the records of snapshots with their lengths in front.
    pub fn run(&self, snapshot_at: Option<u64>, begin: Option<&[u8]>, cycles: usize) -> (Said, Vec<u8>) {
        let (votes, snapshots) = (region(512 + (1 << 14)), region(512 + (1 << 15)));
        let mut heard = BroadcastWriter::new(votes).map(|_| BroadcastReader::new(votes).unwrap()).unwrap();
        BroadcastWriter::new(snapshots).unwrap();
        let mut written = BroadcastReader::new(snapshots).unwrap();
        let setup = Setup {
            domain: 1,
            root: self.image,
            log: self.log(snapshot_at),
            effects: (votes, 0),
            control: None,
            monitor: None,
            snapshots: Some(snapshots),
            snapshot: begin.map(|bytes| &*bytes.to_vec().leak()),
            stuck_ms: 1000,
        };
        let mut host = Host::new(self.code.clone());
        host.heap = self.heap;
        let mut k = Kernel::boot(host, setup);
        let (mut said, mut taken, mut buffer) = (Said::default(), Vec::new(), vec![0; 1 << 16]);
        for _ in 0..cycles {
            k.cycle();
            while let Ok(Some(n)) = heard.read(&mut buffer).or_else(|_| heard.read(&mut buffer)) {
                said.hear(postcard::from_bytes(&buffer[..n]).unwrap());
            }
            while let Ok(Some(n)) = written.read(&mut buffer).or_else(|_| written.read(&mut buffer)) {
                taken.extend_from_slice(&(n as u32).to_le_bytes());
                taken.extend_from_slice(&buffer[..n]);
            }
            if k.halted || k.m.waits > 1 {
                break;
            }
        }
        said.texts = k.m.texts;
        (said, taken)
    }

    /// At every sync point that the program had: take, begin, take again, go on; all as if nothing had been.
    pub fn everywhere(&self) -> Vec<Vec<u8>> {
        let (plain, nothing) = self.run(None, None, 20_000);
        assert!(nothing.is_empty() && plain.effects.len() > 1, "{plain:?}");
        let last = *plain.passed.last_key_value().unwrap().0;
        let ended = plain.effects.values().any(|e| e.contains("Exit"));
        assert!(ended, "it runs to its end: {:?}", plain.effects);
        let all: Vec<Vec<u8>> = (1..=last).filter_map(|s| self.round_trip(s, &plain)).collect();
        // Who began with one takes the next as if it had been there all the time.
        for (one, next) in all.iter().zip(all.iter().skip(1)) {
            let s = head(next).s;
            let (_, taken) = self.run(Some(s), Some(one), 20_000);
            let wanted = [lines(one), lines(next)].concat();
            let differ = wanted.into_iter().zip(lines(&taken)).find(|(a, b)| a != b);
            assert_eq!(differ, None, "{s}, begun at {}", head(one).s);
            assert!(taken == [&one[..], next].concat(), "{s}: its end");
        }
        all
    }

    fn round_trip(&self, s: u64, plain: &Said) -> Option<Vec<u8>> {
        let (mut said, taken) = self.run(Some(s), None, 20_000);
        let roots = std::mem::take(&mut said.roots);
        assert_eq!(
            (&said.effects, &said.passed, &said.memory),
            (&plain.effects, &plain.passed, &plain.memory)
        );
        let whole = matches!(lines(&taken).last(), Some(l) if l.starts_with("End"));
        assert_eq!(roots.len(), whole as usize, "{s}: a vote for each snapshot");
        if !whole {
            return None; // its end came before all had made a call
        }
        let head = head(&taken);
        assert_eq!((head.s, roots[0].0), (s, s));
        let (again, retaken) = self.run(None, Some(&taken), 20_000);
        let differ = lines(&taken).into_iter().zip(lines(&retaken)).find(|(a, b)| a != b);
        assert_eq!(differ, None, "{s}: what is written again");
        assert!(
            taken == retaken && again.roots == roots && again.first == "Snapshot",
            "{s}: {}",
            again.first
        );
        let rest = |n: &u64| *n > s;
        let later: BTreeMap<_, _> = plain.effects.iter().filter(|(n, _)| **n >= head.effects).collect();
        assert_eq!(again.effects.iter().collect::<BTreeMap<_, _>>(), later, "{s}: effects");
        let later: BTreeMap<_, _> = plain.passed.iter().filter(|(n, _)| rest(n)).collect();
        assert_eq!(again.passed.iter().collect::<BTreeMap<_, _>>(), later, "{s}: sync points");
        let later: BTreeMap<_, _> = plain.memory.iter().filter(|((n, _), _)| rest(n)).collect();
        assert_eq!(again.memory.iter().collect::<BTreeMap<_, _>>(), later, "{s}: memory");
        Some(taken)
    }
}

impl Said {
    fn hear(&mut self, vote: Vote<'_>) {
        let text = format!("{vote:?}");
        if self.first.is_empty() {
            self.first = text.split(' ').next().unwrap().to_owned();
        }
        if let Vote::Effect { kind: abi::vote::EffectKind::TtyOutput, payload, .. } = vote {
            self.output.push_str(&String::from_utf8_lossy(payload));
        }
        match vote {
            Vote::Passed { s, .. } => drop(self.passed.insert(s, text)),
            Vote::Memory { s, process, .. } => drop(self.memory.insert((s, process), text)),
            Vote::Effect { n, .. } => drop(self.effects.insert(n, text)),
            Vote::Snapshot { s, root, .. } => self.roots.push((s, root)),
            _ => {}
        }
    }
}

/// The records of a snapshot as text.
pub fn lines(bytes: &[u8]) -> Vec<String> {
    records(bytes).map(|r| format!("{:?}", postcard::from_bytes::<Record<'_>>(r.unwrap()).unwrap())).collect()
}

/// Its first record.
pub fn head(bytes: &[u8]) -> Head<'_> {
    match postcard::from_bytes(records(bytes).next().unwrap().unwrap()) {
        Ok(Record::Head(head)) => head,
        other => panic!("{other:?}"),
    }
}
