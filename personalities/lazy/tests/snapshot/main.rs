//! Snapshots at every sync point of programs that wait in everything there is: begun with, each is written again byte for byte, and from there
//! on everything is said as it was said without it. And what is no snapshot is refused.

mod names;
#[path = "../program/mod.rs"]
mod program;

use abi::linux::nr;
use abi::log::{Entry, Event, Sync};
use abi::snapshot::{Record, records};
use abi::vote::Vote;
use lazy::memory::map::Kind;
use program::run::{BOOT_US, HERE, Run, boot_entry, call, encoded, text, words};
use program::{HANDLER, Step, elf, image};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Memory of the scripts.
const AREA: u64 = 0x2000_0000;
const FORK: u64 = 17;
const VFORK: u64 = 0x4111;
const SA_RESETHAND: u64 = 0x8000_0000;
/// Deadlines of the log: an entry is due so much later than the one before.
const BETWEEN_US: u64 = 30_000;
/// A sleep of `ms`.
fn sleep(ms: u64) -> [Step; 2] {
    [words(AREA, &[0, ms * 1_000_000]), call(nr::nanosleep, &[AREA, 0])]
}

/// Process 1, then its children.
fn scripts() -> Vec<Vec<Step>> {
    let names = AREA + 0x1000;
    let path = |n: u64| names + 64 * n;
    let mut first = vec![call(nr::mmap, &[AREA, 0x20000, 3, 0x32, u64::MAX, 0])];
    for (n, name) in ["/f", "/etc/a", "/pipe", "/etc", "/etc/b", "/d"].iter().enumerate() {
        first.push(text(path(n as u64), name));
    }
    first.extend([
        call(nr::mknodat, &[HERE, path(2), 0o10644, 0]),
        call(nr::mkdirat, &[HERE, path(5), 0o755]),
        call(nr::pipe2, &[AREA + 0x800, 0]),              // 3, 4
        call(nr::pipe2, &[AREA + 0x808, 0]),              // 5, 6
        call(nr::openat, &[HERE, path(0), 0o102, 0o600]), // 7: a file, held when it has no name any more
        call(nr::write, &[7, names, 5000]),
        call(nr::unlinkat, &[HERE, path(0), 0]),
        call(nr::openat, &[HERE, path(1), 2]), // 8: a member that is changed
        call(nr::mmap, &[0, 0x3000, 3, 2, 8, 0]),
        call(nr::lseek, &[8, 4090, 0]),
        call(nr::write, &[8, names, 20]),
        call(nr::mmap, &[0, 0x2000, 1, 2, 8, 0x1000]),
        call(nr::openat, &[HERE, path(3), 0o40000]), // 9: a directory read half
        call(nr::getdents64, &[9, AREA + 0x900, 60]),
        call(nr::utimensat, &[HERE, path(4), 0, 0]),
        call(nr::set_robust_list, &[0x1234, 24]),
    ]);
    // A pipe that only O_PATH holds.
    first.extend([
        call(nr::pipe2, &[AREA + 0x810, 0]), // 10, 11
        text(AREA + 0x820, "/dev/fd/11"),
        call(nr::openat, &[HERE, AREA + 0x820, 0o10000000]), // 12
        call(nr::close, &[10]),
        call(nr::close, &[11]),
    ]);
    for child in (1..=7).chain([9]) {
        first.push(Step::Fork(FORK, child));
    }
    first.extend([call(nr::kill, &[5, 19]), call(nr::kill, &[2, 10])]);
    first.extend([call(nr::read, &[0, AREA + 0x2000, 100]), call(nr::write, &[1, AREA + 0x2000, 3])]);
    first.push(call(nr::write, &[4, names, 100]));
    first.extend(sleep(50));
    first.extend([call(nr::kill, &[5, 18]), call(nr::wait4, &[u64::MAX, AREA + 0x600, 0, 0])]);
    for _ in 0..9 {
        first.push(call(nr::wait4, &[u64::MAX, AREA + 0x600, 0, 0]));
        first.push(call(nr::write, &[1, AREA + 0x600, 4]));
    }
    let mut vfork = vec![Step::Fork(VFORK, 8)];
    vfork.extend([call(nr::getppid, &[]), call(nr::write, &[1, names, 6])]);
    let mut busy = vec![call(nr::getppid, &[]); 40];
    busy.extend([call(nr::brk, &[0]), call(nr::getrandom, &[AREA + 0x3000, 9, 0])]);
    busy.extend(sleep(20));
    vec![
        first,
        // Waits to read, then passes it on.
        vec![call(nr::read, &[3, AREA + 0x4000, 4096]), call(nr::write, &[1, AREA + 0x4000, 7])],
        // Writes more than a pipe holds.
        vec![call(nr::close, &[5]), call(nr::write, &[6, AREA, 0x11000])],
        // Polls.
        [
            vec![words(AREA + 0x500, &[1 << 32 | 3, 1 << 32])],
            vec![words(AREA + 0x520, &[1, 0]), call(nr::ppoll, &[AREA + 0x500, 2, AREA + 0x520, 0, 8])],
        ]
        .concat(),
        // Is stopped in its sleep.
        sleep(200).to_vec(),
        // Opens the FIFO, alone.
        vec![call(nr::openat, &[HERE, path(2), 0])],
        // Waits for its own alarm under a mask.
        vec![
            words(AREA + 0x700, &[HANDLER, SA_RESETHAND, 0, 0]),
            call(nr::rt_sigaction, &[14, AREA + 0x700, 0, 8]),
            words(AREA + 0x400, &[0, 0, 0, 70_000, 0]),
            call(nr::setitimer, &[0, AREA + 0x400, 0]),
            call(nr::rt_sigsuspend, &[AREA + 0x420, 8]),
            call(nr::write, &[1, names, 4]),
        ],
        vfork,
        busy,
        // Opens the FIFO by the link of a descriptor that holds no end of it.
        vec![
            call(nr::openat, &[HERE, path(2), 0o10000000]), // 10, the lowest that is free
            text(AREA + 0x500, "/dev/fd/10"),
            call(nr::openat, &[HERE, AREA + 0x500, 0]),
        ],
    ]
}

fn root_image() -> &'static [u8] {
    image(&[
        ("bin", 0o40755, vec![]),
        ("bin/init", 0o100755, elf()),
        ("etc", 0o40755, vec![]),
        ("etc/a", 0o100644, vec![b'a'; 6000]),
        ("etc/b", 0o100644, vec![b'b'; 10]),
        ("etc/c", 0o120777, b"a".to_vec()),
    ])
}

/// The entries of sync points 1 to `count`: each asks for a snapshot; some bring input.
fn log(count: u64) -> Vec<Vec<u8>> {
    let sync = |s: u64| {
        let mut events = Vec::new();
        match s {
            5 => events.extend(encoded!(&Event::TtyData(b"ty"))),
            8 => events.extend(encoded!(&Event::TtyLine(b"ped\n"))),
            9 => events.extend(encoded!(&Event::TtyLine(b""))),
            11 => events.extend(encoded!(&Event::WindowSize { rows: 9, columns: 8 })),
            _ => {}
        }
        events.extend(encoded!(&Event::Snapshot));
        let time_us = BOOT_US + s * BETWEEN_US;
        encoded!(&Entry::Sync(Sync { s, time_us, events: &events }))
    };
    (1..=count).map(sync).collect()
}

impl Run {
    /// What was voted that does not depend on when the machine waited.
    fn votes(&self) -> Vec<(u64, String)> {
        let outside = self.outside.borrow();
        let all = outside.votes.iter().map(|v| postcard::from_bytes::<Vote<'_>>(v).unwrap());
        all.filter_map(|v| match v {
            Vote::Passed { s, .. } | Vote::Memory { s, .. } | Vote::Snapshot { s, .. } => {
                Some((s, format!("{v:?}")))
            }
            Vote::Effect { n, .. } => Some((1000 + n, format!("{v:?}"))),
            _ => None,
        })
        .collect()
    }
}

/// All whole snapshots in `bytes` by sync point, each with the effects before it.
fn whole(bytes: &[u8]) -> BTreeMap<u64, (u64, Vec<u8>)> {
    let (mut all, mut current, mut head) = (BTreeMap::new(), Vec::new(), (0, 0));
    for record in records(bytes) {
        let record = record.unwrap();
        let decoded = postcard::from_bytes(record).unwrap();
        if let Record::Head(h) = decoded {
            head = (h.s, h.effects);
            current.clear();
        }
        current.extend_from_slice(&(record.len() as u32).to_le_bytes());
        current.extend_from_slice(record);
        if matches!(decoded, Record::End(_)) {
            all.insert(head.0, (head.1, current.clone()));
        }
    }
    all
}

const SYNCS: u64 = 30;

/// The whole run from Boot on.
fn recorded(image: &'static [u8], scripts: Vec<Vec<Step>>) -> Run {
    Run::from_boot(image, scripts, log(SYNCS))
}

/// Each snapshot of the run is written again byte for byte, and what is voted from there on is what was voted without it.
fn check_each(image: &'static [u8], first: &Run, scripts: impl Fn() -> Vec<Vec<Step>>, least: usize) {
    let snapshots = whole(&first.outside.borrow().snapshot);
    assert!(snapshots.len() >= least, "{} snapshots", snapshots.len());
    let said = first.votes();
    for (s, (effects, bytes)) in &snapshots {
        let mut again = Run::new(image, scripts());
        again.kernel.begin_with(bytes).unwrap_or_else(|e| panic!("at {s}: {e:?}"));
        let written = again.outside.borrow().snapshot.clone();
        assert!(written == *bytes, "at {s}");
        assert_eq!(again.outside.borrow().votes.len(), 1);
        again.outside.borrow_mut().votes.clear();
        again.outside.borrow_mut().log.push_back(boot_entry());
        again.outside.borrow_mut().log.extend(log(SYNCS));
        again.cycles();
        let later = |(at, _): &&(u64, String)| if *at < 1000 { at > s } else { *at >= 1000 + effects };
        let (expected, votes) = (said.iter().filter(later).count(), again.votes());
        for (vote, expected) in votes.iter().zip(said.iter().filter(later)) {
            assert_eq!(vote, expected, "from {s} on");
        }
        assert_eq!(votes.len(), expected, "from {s} on");
    }
}

#[test]
fn every_snapshot_is_written_again_and_gone_on_from() {
    let image = root_image();
    check_each(image, &recorded(image, scripts()), scripts, SYNCS as usize / 2);
}

#[test]
fn the_scripts_wait_in_everything() {
    let first = recorded(root_image(), scripts());
    let snapshots = whole(&first.outside.borrow().snapshot);
    let mut seen = std::collections::BTreeSet::new();
    for (_, bytes) in snapshots.values() {
        let mut waiting = BTreeMap::new();
        for record in records(bytes) {
            match postcard::from_bytes(record.unwrap()).unwrap() {
                Record::Process(p) => {
                    seen.insert(format!("{:?}", p.state));
                    seen.extend(p.vfork.map(|_| "vfork".into()));
                    seen.extend(p.saved_mask.map(|_| "mask".into()));
                    seen.extend((p.timer_us != u64::MAX).then(|| "timer".into()));
                    if let Some(call) = p.call {
                        waiting.insert(p.serial, call);
                        seen.extend((call.done > 0).then(|| "done".into()));
                    }
                }
                Record::Private(p) => {
                    let number = u64::from_le_bytes(p.registers[64..72].try_into().unwrap());
                    if waiting.contains_key(&p.serial) {
                        seen.insert(abi::linux::name(number).unwrap().into());
                    }
                }
                Record::Terminal(t) => seen.extend((!t.queue.is_empty()).then(|| "typed".into())),
                Record::Inode(i) => seen.extend((i.links == 0).then(|| "unlinked".into())),
                Record::Pending(_) => drop(seen.insert("pending".into())),
                _ => {}
            }
        }
    }
    for what in
        ["Round", "Waiting", "Stopped", "Zombie", "vfork", "mask", "timer", "done", "typed", "unlinked"]
            .into_iter()
            .chain(["read", "write", "ppoll", "nanosleep", "openat", "rt_sigsuspend", "wait4", "clone"])
    {
        assert!(seen.contains(what), "{what} is not among {seen:?}");
    }
}

/// A snapshot writes them as one mapping, so they must have been one before.
#[test]
fn neighbours_that_are_one_mapping_to_a_program_move_together() {
    let script = vec![
        call(nr::mmap, &[AREA, 0x8000, 3, 0x32, u64::MAX, 0]),
        Step::Store(AREA + 0x1000, b"b".to_vec()),
        call(nr::mprotect, &[AREA + 0x2000, 0x1000, 1]),
        call(nr::mprotect, &[AREA + 0x2000, 0x1000, 3]),
        call(nr::mremap, &[AREA, 0x4000, 0xc000, 1]),
        call(nr::read, &[0, AREA + 0x5000, 1]),
    ];
    let run = recorded(root_image(), vec![script]);
    let memory = &run.kernel.memory;
    let space = run.kernel.processes[&1].space.and_then(|s| memory.spaces.get(s)).unwrap();
    assert!(space.map.is_free(AREA, AREA + 0x4000));
    let above = space.map.0.range(AREA + 0x8000..).map(|(_, m)| m);
    let moved: Vec<_> = above.filter(|m| m.kind == Kind::Anonymous).collect();
    assert_eq!(moved.iter().map(|m| m.pages()).sum::<u64>(), 12);
    let mut page = [0; 4096];
    memory.page_bytes(moved[0].object, moved[0].index(moved[0].start + 0x1000), &mut page);
    assert_eq!(page[0], b'b');
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn damaged_snapshots_are_refused_or_harmless(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>(), 0u8..8), 1..4),
    ) {
        thread_local!(static TAKEN: Vec<Vec<u8>> = {
            let first = recorded(root_image(), scripts());
            let bytes = whole(&first.outside.borrow().snapshot);
            bytes.into_values().map(|(_, bytes)| bytes).collect()
        });
        thread_local!(static IMAGE: &'static [u8] = root_image());
        let bytes = TAKEN.with(|all| which.get(all).clone());
        let mut parts: Vec<Vec<u8>> = records(&bytes).map(|r| r.unwrap().to_vec()).collect();
        for (record, place, value, kind) in changes {
            if parts.is_empty() {
                break;
            }
            let (at, other) = (record.index(parts.len()), place.index(parts.len()));
            match kind {
                0 => drop(parts.remove(at)),
                1 => parts.insert(at, parts[other].clone()),
                2 => parts.swap(at, other),
                3 => parts.truncate(at + 1),
                // Small records hold the numbers that refer to something: hit those more often.
                _ => {
                    let small: Vec<usize> = (0..parts.len()).filter(|i| (1..200).contains(&parts[*i].len())).collect();
                    let at = if kind > 5 || small.is_empty() { at } else { small[record.index(small.len())] };
                    let byte = place.index(parts[at].len().max(1));
                    if let Some(b) = parts[at].get_mut(byte) {
                        *b = value;
                    }
                }
            }
        }
        let mut damaged = Vec::new();
        for p in &parts {
            damaged.extend_from_slice(&(p.len() as u32).to_le_bytes());
            damaged.extend_from_slice(p);
        }
        let mut run = Run::new(IMAGE.with(|i| *i), scripts());
        if run.kernel.begin_with(&damaged).is_ok() {
            for _ in 0..200 {
                run.kernel.cycle();
            }
        }
    }
}
