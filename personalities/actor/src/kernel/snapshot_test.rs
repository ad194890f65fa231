//! Snapshots taken in the middle of everything: a kernel that begins with one writes the same again, and the program goes on to the same end.
//! A program's place is in its registers (x28: which list of calls, x27: which of them), so a snapshot holds it.

use super::test::{DATA, Fake, START, call, kernel, root};
use super::*;
use abi::linux::nr;
use abi::log::{Entry, Event};
use abi::snapshot::Record;
use proptest::prelude::*;

const FORK: u64 = 1 << 32;
const VFORK: u64 = 2 << 32;
const SIGCHLD: u64 = 17;
const AT_CWD: u64 = -100i64 as u64;
const O_CREAT_RDWR: u64 = 0o102;
const NOBODY: u64 = u64::MAX;

/// A scenario: each program's calls, memory at the start, and what happens at sync points.
pub(super) struct Scenario {
    pub programs: Vec<Vec<[u64; 7]>>,
    pub memory: Vec<(u64, Vec<u8>)>,
    pub events: Vec<(u64, Event<'static>)>,
}

/// The child that this makes is program `name`.
fn fork(name: u64) -> [u64; 7] {
    call(FORK | name, &[SIGCHLD])
}

fn vfork(name: u64) -> [u64; 7] {
    call(VFORK | name, &[0x4100 | SIGCHLD])
}

pub(super) fn exit(code: u64) -> [u64; 7] {
    call(nr::exit_group, &[code])
}

fn say(byte: u64) -> [u64; 7] {
    call(nr::write, &[1, DATA + byte, 1])
}

impl Scenario {
    fn play(&self, machine: &mut Fake) {
        for (name, calls) in self.programs.iter().enumerate() {
            let calls = calls.clone();
            let script = move |user: &mut User| {
                let before = (user.x[27] as usize).checked_sub(1).and_then(|i| calls.get(i));
                let forked = before.filter(|c| c[0] >= FORK && user.x[0] == 0).map(|c| c[0] as u32);
                if let Some(child) = forked {
                    (user.x[28], user.x[27]) = (child.into(), 0);
                    return Some(call(nr::getpid, &[]));
                }
                let mut next = *calls.get(user.x[27] as usize)?;
                user.x[27] += 1;
                if next[0] >= FORK {
                    next[0] = nr::clone;
                }
                Some(next)
            };
            machine.scripts.insert(name as u64, Box::new(script));
        }
    }

    /// The log, with a snapshot wanted at sync point `at`.
    fn log(&self, k: &mut Kernel<Fake>, at: u64) {
        for s in 1..60 {
            let mut events: Vec<Event<'_>> =
                self.events.iter().filter(|(when, _)| *when == s).map(|(_, e)| *e).collect();
            events.extend((s == at).then_some(Event::Snapshot));
            k.sync(s, START + s * 1000, &events);
        }
    }

    /// Runs all of it; what the kernel is at the end.
    pub(super) fn run(&self, at: u64) -> Kernel<Fake> {
        let mut k = kernel();
        self.memory.iter().for_each(|(place, bytes)| k.put(*place, bytes));
        self.play(&mut k.machine);
        self.log(&mut k, at);
        finish(k)
    }

    /// Takes a snapshot at each sync point that the program has, begins with it, and compares.
    pub(super) fn check(&self) {
        let whole = self.run(0);
        assert!(whole.is_over(), "{:?}", whole.machine.said);
        let mut taken = 0;
        for at in 1..60 {
            let module = self.run(at).machine.snapshot;
            if !is_whole(&module) {
                continue;
            }
            taken += 1;
            let mut again = begin(&module).unwrap_or_else(|w| panic!("sync point {at}: {w:?}"));
            assert_eq!(lines(&again.machine.snapshot), lines(&module), "sync point {at}");
            let first = again.machine.said.first().map(String::as_str);
            assert!(first.is_some_and(|f| f.starts_with(&format!("Snapshot {{ s: {at}"))), "{first:?}");
            self.play(&mut again.machine);
            let boot = again.boot.clone();
            again.machine.log.push_back(boot);
            self.log(&mut again, 0);
            let end = finish(again);
            assert!(end.is_over(), "sync point {at}: {:?}", end.machine.said);
            let (output, rest) = (&whole.machine.output, &end.machine.output);
            assert!(output.ends_with(rest), "sync point {at}: {rest:?} of {output:?}");
            let said = &whole.machine.said;
            let behind = said.iter().position(|v| v.starts_with(&format!("passed {at} "))).unwrap() + 1;
            let passes = |said: &[String]| -> Vec<String> {
                said.iter().filter(|v| v.starts_with("passed") || v.contains("Exit")).cloned().collect()
            };
            assert_eq!(passes(&end.machine.said[1..]), passes(&said[behind..]), "sync point {at}");
        }
        assert!(taken > 0, "no snapshot was taken");
    }
}

fn finish(mut k: Kernel<Fake>) -> Kernel<Fake> {
    for _ in 0..400 {
        if k.is_over() {
            break;
        }
        k.turn(1);
    }
    k
}

fn begin(module: &[u8]) -> Result<Kernel<Fake>, Wrong> {
    Kernel::resume(Fake::default(), module, root(), 50_000)
}

fn decoded(module: &[u8]) -> Vec<Vec<u8>> {
    abi::snapshot::records(module).map_while(|r| r.ok().map(<[u8]>::to_vec)).collect()
}

fn lines(module: &[u8]) -> Vec<String> {
    decoded(module).iter().map(|r| format!("{:?}", postcard::from_bytes::<Record<'_>>(r))).collect()
}

fn is_whole(module: &[u8]) -> bool {
    let last = decoded(module).pop();
    last.is_some_and(|r| matches!(postcard::from_bytes(&r), Ok(Record::End(_))))
}

/// Bytes of a timespec.
pub(super) fn timespec(us: u64) -> Vec<u8> {
    [us / 1_000_000, us % 1_000_000 * 1000].map(u64::to_le_bytes).concat()
}

pub(super) fn letters() -> (u64, Vec<u8>) {
    (DATA, b"abcdefghijklmnopqrstuvwxyz".to_vec())
}

fn pipeline() -> Scenario {
    // Program 0 reads what 1 writes in pieces, waits for it, and says what it got.
    let reader = vec![
        call(nr::pipe2, &[DATA + 256, 0]),
        fork(1),
        call(nr::close, &[4]),
        call(nr::read, &[3, DATA + 64, 9]),
        call(nr::write, &[1, DATA + 64, 3]),
        call(nr::read, &[3, DATA + 64, 9]),
        call(nr::write, &[1, DATA + 64, 2]),
        call(nr::wait4, &[NOBODY, 0, 0, 0]),
        say(25),
        exit(3),
    ];
    let writer = vec![
        call(nr::write, &[4, DATA, 3]),
        call(nr::nanosleep, &[DATA + 512, 0]),
        call(nr::write, &[4, DATA + 3, 2]),
        call(nr::nanosleep, &[DATA + 512, 0]),
        exit(0),
    ];
    let memory = vec![letters(), (DATA + 512, timespec(2500))];
    Scenario { programs: vec![reader, writer], memory, events: vec![] }
}

#[test]
fn in_a_pipeline() {
    pipeline().check();
}

#[test]
fn a_blocked_write_a_poll_and_a_sleep() {
    // More than a pipe holds, by one writev; the other end polls with a timeout, then empties the pipe.
    let vector = [[DATA, 0x1800u64]; 12].concat().into_iter().flat_map(u64::to_le_bytes).collect();
    let parent = vec![
        call(nr::pipe2, &[DATA + 256, 0]),
        fork(1),
        call(nr::nanosleep, &[DATA + 512, 0]),
        call(nr::ppoll, &[DATA + 600, 2, DATA + 528, 0, 8]),
        call(nr::read, &[3, DATA + 0x800, 0x1000]),
        call(nr::ppoll, &[DATA + 600, 1, DATA + 512, 0, 8]),
        say(1),
        call(nr::close, &[3]),
        call(nr::wait4, &[NOBODY, DATA + 700, 0, 0]),
        call(nr::write, &[1, DATA + 700, 4]),
        exit(0),
    ];
    let child = vec![call(nr::close, &[3]), call(nr::writev, &[4, DATA + 1024, 12]), exit(1)];
    let entry = |fd: u32, events: u32| [fd.to_le_bytes(), events.to_le_bytes()].concat();
    let memory = vec![
        letters(),
        (DATA + 512, timespec(1500)),
        (DATA + 528, timespec(2500)),
        (DATA + 600, [entry(0, 1), entry(u32::MAX, 0)].concat()),
        (DATA + 1024, vector),
    ];
    Scenario { programs: vec![parent, child], memory, events: vec![] }.check();
}

#[test]
fn in_vfork_and_after_it() {
    // The child sleeps in its parent's memory, writes there, and ends; its parent ignores SIGCHLD, so the child is gone for good.
    let ignore = [1u64, 0, 0, 0].map(u64::to_le_bytes).concat();
    let parent = vec![
        call(nr::rt_sigaction, &[SIGCHLD, DATA + 300, 0, 8]),
        vfork(1),
        say(2),
        call(nr::write, &[1, DATA + 64, 1]),
        call(nr::wait4, &[NOBODY, 0, 0, 0]),
        exit(0),
    ];
    let child = vec![
        call(nr::nanosleep, &[DATA + 512, 0]),
        call(nr::brk, &[0]),
        call(nr::clock_gettime, &[0, DATA + 64]),
        call(nr::nanosleep, &[DATA + 512, 0]),
        exit(0),
    ];
    let memory = vec![letters(), (DATA + 300, ignore), (DATA + 512, timespec(1500))];
    Scenario { programs: vec![parent, child], memory, events: vec![] }.check();
}

#[test]
fn files_that_are_open_unlinked_changed_or_read_half() {
    let at = |name: u64| DATA + 800 + 16 * name;
    let program = vec![
        call(nr::openat, &[AT_CWD, at(0), O_CREAT_RDWR, 0o600]),
        call(nr::pwrite64, &[3, DATA, 9, 5000]),
        call(nr::unlinkat, &[AT_CWD, at(0), 0]),
        call(nr::openat, &[AT_CWD, at(1), 2, 0]),
        call(nr::pwrite64, &[4, DATA, 3, 4000]),
        call(nr::mkdirat, &[AT_CWD, at(2), 0o755]),
        call(nr::linkat, &[AT_CWD, at(1), AT_CWD, at(3), 0]),
        call(nr::symlinkat, &[at(1), AT_CWD, at(4)]),
        call(nr::openat, &[AT_CWD, at(5), 0o40000, 0]),
        call(nr::getdents64, &[5, DATA + 1024, 60]),
        call(nr::mmap, &[0, 8192, 1, 2, 3, 0]),
        call(nr::chdir, &[at(2)]),
        call(nr::nanosleep, &[DATA + 512, 0]),
        call(nr::unlinkat, &[AT_CWD, at(6), 0x200]),
        call(nr::nanosleep, &[DATA + 512, 0]),
        call(nr::getdents64, &[5, DATA + 1024, 512]),
        call(nr::write, &[1, DATA + 1024, 160]),
        call(nr::pread64, &[3, DATA + 1024, 16, 4996]),
        call(nr::write, &[1, DATA + 1024, 13]),
        call(nr::fstat, &[4, DATA + 1024]),
        call(nr::write, &[1, DATA + 1024, 128]),
        exit(0),
    ];
    let names = [&b"/f"[..], b"/init", b"/d", b"/d/hard", b"/d/soft", b"/", b"/d/no"];
    let mut memory = vec![letters(), (DATA + 512, timespec(1500))];
    memory.extend(names.iter().enumerate().map(|(i, n)| (at(i as u64), [n, &b"\0"[..]].concat())));
    Scenario { programs: vec![program], memory, events: vec![] }.check();
}

#[test]
fn a_fifo_whose_other_end_comes_late() {
    let opener = vec![
        call(nr::mknodat, &[AT_CWD, DATA + 800, 0o010600, 0]),
        fork(1),
        call(nr::openat, &[AT_CWD, DATA + 800, 0, 0]),
        call(nr::read, &[3, DATA + 64, 9]),
        call(nr::write, &[1, DATA + 64, 4]),
        call(nr::read, &[3, DATA + 64, 9]),
        exit(0),
    ];
    let writer = vec![
        call(nr::nanosleep, &[DATA + 512, 0]),
        call(nr::openat, &[AT_CWD, DATA + 800, 1, 0]),
        call(nr::write, &[3, DATA + 5, 4]),
        call(nr::close, &[3]),
        call(nr::nanosleep, &[DATA + 512, 0]),
        exit(0),
    ];
    let memory = vec![letters(), (DATA + 512, timespec(1500)), (DATA + 800, b"/fifo\0".to_vec())];
    Scenario { programs: vec![opener, writer], memory, events: vec![] }.check();
}

#[test]
fn an_opener_of_a_fifo_that_has_no_name_any_more() {
    let parent = vec![
        call(nr::mknodat, &[AT_CWD, DATA + 800, 0o010600, 0]),
        fork(1),
        call(nr::nanosleep, &[DATA + 512, 0]),
        call(nr::unlinkat, &[AT_CWD, DATA + 800, 0]),
        call(nr::nanosleep, &[DATA + 512, 0]),
        call(nr::kill, &[2, 9]),
        call(nr::wait4, &[NOBODY, DATA + 64, 0, 0]),
        call(nr::write, &[1, DATA + 64, 4]),
        exit(0),
    ];
    let child = vec![call(nr::openat, &[AT_CWD, DATA + 800, 0, 0]), exit(1)];
    let memory = vec![letters(), (DATA + 512, timespec(1500)), (DATA + 800, b"/fifo\0".to_vec())];
    Scenario { programs: vec![parent, child], memory, events: vec![] }.check();
}

#[test]
fn signals_jobs_timers_and_what_was_typed_ahead() {
    let handler = [0x1234u64, 0, 0, 0].map(u64::to_le_bytes).concat();
    let timer = [timespec(0), timespec(0)].concat();
    let parent = vec![
        fork(1),
        call(nr::rt_sigaction, &[10, DATA + 300, 0, 8]),
        call(nr::rt_sigprocmask, &[0, DATA + 340, 0, 8]),
        call(nr::kill, &[1, 10]),
        call(nr::wait4, &[NOBODY, DATA + 64, 2, 0]),
        call(nr::write, &[1, DATA + 64, 4]),
        call(nr::setitimer, &[0, DATA + 400, 0]),
        call(nr::nanosleep, &[DATA + 512, 0]),
        call(nr::kill, &[2, 18]),
        call(nr::wait4, &[NOBODY, DATA + 64, 0, 0]),
        call(nr::write, &[1, DATA + 64, 4]),
        call(nr::read, &[0, DATA + 64, 2]),
        call(nr::nanosleep, &[DATA + 512, 0]),
        call(nr::read, &[0, DATA + 68, 9]),
        call(nr::write, &[1, DATA + 64, 9]),
        exit(0),
    ];
    let child = vec![call(nr::kill, &[2, 19]), call(nr::nanosleep, &[DATA + 512, 0]), exit(4)];
    let memory = vec![
        letters(),
        (DATA + 300, handler),
        (DATA + 340, (1u64 << 9).to_le_bytes().to_vec()),
        (DATA + 400, timer),
        (DATA + 512, timespec(1500)),
    ];
    let events =
        vec![(2, Event::TtyLine(b"typed\n")), (3, Event::TtyLine(b"")), (4, Event::TtyData(b"more"))];
    Scenario { programs: vec![parent, child], memory, events }.check();
}

#[test]
fn a_snapshot_that_is_damaged_or_contradicts_itself_does_no_harm() {
    let module = pipeline().run(2).machine.snapshot;
    assert!(is_whole(&module) && begin(&module).is_ok());
    assert!(begin(&module[..module.len() - 1]).is_err() && begin(b"").is_err());
    let all = decoded(&module);
    let damage = (0..all.len(), any::<prop::sample::Index>(), any::<u8>(), 0..6u8);
    let framed = |records: &[Vec<u8>]| -> Vec<u8> {
        records.iter().flat_map(|r| [&(r.len() as u32).to_le_bytes()[..], r].concat()).collect()
    };
    let config = ProptestConfig { cases: 3000, ..ProptestConfig::default() };
    proptest!(config, |(hits in prop::collection::vec(damage, 1..3))| {
        let mut records = all.clone();
        for (i, at, byte, how) in hits {
            let i = i % records.len();
            match how {
                0 => drop(records.remove(i)),
                1 => records.insert(i, all[at.index(all.len())].clone()),
                2 => { let n = at.index(records.len()); records.swap(i, n) }
                _ if records[i].is_empty() => {}
                3 => { let n = at.index(records[i].len()); records[i][n] ^= 1 << (byte % 8) }
                _ => { let n = at.index(records[i].len()); records[i][n] = byte }
            }
            if records.is_empty() { break }
        }
        if let Ok(mut k) = begin(&framed(&records)) {
            let boot = k.boot.clone();
            k.machine.log.push_back(boot);
            let s = k.turns.next_sync();
            if s < 1000 {
                for n in 1..s + 8 {
                    k.entry(&Entry::Sync(abi::log::Sync { s: n, time_us: START + n * 1000, events: b"" }));
                }
            }
            k.state_digest();
            let _ = (0..20).try_for_each(|_| k.go());
        }
    });
}
