//! Take, begin, take again, go on: at every sync point of programs that stand in the middle of everything there is.

mod answers;
mod grid;
mod hostile;
mod ignored;
mod linux;
mod long;
mod machine;
mod names;
mod polls;
mod rig;
mod threads;

use abi::linux::nr;
use abi::log::Event;
use machine::{Arg::Lit, Arg::Saved, Code, DATA, Op};
use rig::{Case, lines};

/// Scratch places of the programs.
const A: u64 = DATA + 0x2000;
const B: u64 = DATA + 0x3000;
const FDS: u64 = DATA + 0x4000;
const BIG: u64 = DATA + 0x8000;
const HERE: u64 = -100i64 as u64;
const O_CREAT_RDWR: u64 = 0o102;

fn timespec(ms: u64) -> Vec<u8> {
    [(ms / 1000).to_le_bytes(), (ms % 1000 * 1_000_000).to_le_bytes()].concat()
}

/// `n` calls that take turns and change nothing: sync points come.
fn idle(c: &mut Code, n: usize) {
    for _ in 0..n {
        c.call(nr::getppid, &[]);
    }
}

fn sleep(c: &mut Code, ms: u64) {
    c.put(A, &timespec(ms)).call(nr::nanosleep, &[A, 0]);
}

fn action(c: &mut Code, signal: u64, handler: u64, flags: u64) {
    let words = [handler, flags, 0, 0];
    c.put(A, &words.map(u64::to_le_bytes).concat()).call(nr::rt_sigaction, &[signal, A, 0, 8]);
}

/// What stands in any of the snapshots.
fn seen(all: &[Vec<u8>], what: &str) -> bool {
    all.iter().any(|s| lines(s).iter().any(|line| line.contains(what)))
}

fn pipes() -> Case {
    let mut c = Code::default();
    c.op(Op::Float(77)).call(nr::pipe2, &[FDS, 0]).call(nr::pipe2, &[FDS + 8, 0o4000]);
    c.fork(0, |c| {
        c.call(nr::close, &[3]).put(BIG, &[5; 3000]);
        c.call(nr::write, &[4, BIG, 70_000]).say(b"written\n");
    });
    c.fork(1, |c| {
        // A poll on both ends with a deadline, then one that waits for good.
        c.put(B, &[3, 0, 0, 0, 1, 0, 0, 0, 6, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0]);
        c.put(A, &timespec(120)).call(nr::ppoll, &[B + 16, 1, A, 0, 0]).say(b"polled\n");
        c.call(nr::ppoll, &[B + 16, 1, 0, 0, 0]).say(b"ready\n");
    });
    sleep(&mut c, 200);
    c.call(nr::read, &[3, BIG, 100]).call(nr::read, &[3, BIG, 9000]).call(nr::close, &[4]);
    c.call(nr::write, &[6, BIG, 10]);
    for _ in 0..8 {
        c.call(nr::read, &[3, BIG, 9000]);
        idle(&mut c, 12);
    }
    c.call(nr::wait4, &[u64::MAX, A, 0, 0]).call(nr::wait4, &[u64::MAX, A, 0, 0]);
    c.say(b"pipes\n").call(nr::exit_group, &[0]);
    Case::new(c, 0)
}

#[test]
fn in_the_middle_of_pipes_and_polls() {
    let all = pipes().everywhere();
    assert!(all.len() > 9 && seen(&all, "PipeData") && seen(&all, "done: 65536"), "{}", all.len());
    assert!(seen(&all, "vectors: [0, 0") && seen(&all, "state: Zombie"));
}

fn files() -> Case {
    let mut c = Code::default();
    c.path(A, "/tmp/a")
        .path(B, "/etc/motd")
        .path(A + 64, "/tmp/b")
        .path(A + 128, "/etc/other")
        .path(A + 192, "/tmp/d");
    c.call(nr::openat, &[HERE, A, O_CREAT_RDWR, 0o644]).call(nr::write, &[3, DATA, 0xf00]);
    c.call(nr::lseek, &[3, 0x5000, 0])
        .call(nr::write, &[3, DATA, 7])
        .call(nr::linkat, &[HERE, A, HERE, A + 64, 0]);
    idle(&mut c, 16);
    c.call(nr::unlinkat, &[HERE, A, 0]).call(nr::openat, &[HERE, B, 2, 0]).call(nr::write, &[4, DATA, 9]);
    c.call(nr::mmap, &[0, 0x4000, 1, 2, 4, 0]).save(0).call(nr::mmap, &[0, 0x3000, 3, 2, 3, 0]).save(1);
    c.call(nr::mmap, &[0, 0x2000, 1, 1, 4, 0]).call(nr::mmap, &[0, 1 << 30, 0, 0x22, u64::MAX, 0]);
    idle(&mut c, 16);
    c.call(nr::unlinkat, &[HERE, A + 64, 0])
        .call(nr::mkdirat, &[HERE, A + 192, 0o755])
        .call(nr::chdir, &[A + 192]);
    c.path(A, "sub").call(nr::mkdirat, &[HERE, A, 0o700]).path(A, "link").call(nr::symlinkat, &[B, HERE, A]);
    c.call(nr::unlinkat, &[HERE, A + 128, 0]).call(nr::fchmodat, &[HERE, B, 0o600]);
    c.path(A, "/").call(nr::openat, &[HERE, A, 0o40000, 0]).call(nr::getdents64, &[5, BIG, 80]);
    c.put(B + 64, &[9u64, 5, 9, 6].map(u64::to_le_bytes).concat()).path(A, "/bin/second");
    c.call(nr::utimensat, &[HERE, A, B + 64, 0]);
    idle(&mut c, 16);
    c.call(nr::getdents64, &[5, BIG, 4096]).save(2).with(nr::write, &[Lit(1), Lit(BIG), Saved(2)]);
    c.path(A, "/proc/self/stat").call(nr::openat, &[HERE, A, 0, 0]).call(nr::read, &[6, BIG, 9]);
    c.call(nr::dup3, &[6, 40, 0o2000000]).call(nr::brk, &[0]).save(3).call(nr::close, &[4]);
    c.path(A, "/etc/motd").path(B, "/tmp/d/m").call(nr::renameat, &[HERE, A, HERE, B]);
    idle(&mut c, 16);
    c.call(nr::read, &[40, BIG, 200]).save(2).with(nr::write, &[Lit(1), Lit(BIG), Saved(2)]);
    c.path(A, "/proc/self/maps").call(nr::openat, &[HERE, A, 0, 0]).call(nr::read, &[4, BIG, 4000]).save(2);
    c.with(nr::write, &[Lit(1), Lit(BIG), Saved(2)])
        .path(A, "/bin/second")
        .call(nr::newfstatat, &[HERE, A, BIG, 0]);
    c.call(nr::write, &[1, BIG, 128]).with(nr::write, &[Lit(1), Saved(0), Lit(16)]);
    c.with(nr::write, &[Lit(1), Saved(1), Lit(16)]).call(nr::exit_group, &[3]);
    Case::new(c, 0)
}

#[test]
fn files_of_all_kinds_and_mappings_of_them() {
    let all = files().everywhere();
    for what in [
        "/tmp/a (deleted)",
        "Beyond",
        "FilePage",
        "from_image: true",
        "target: [47",
        "kind: 6",
        "shared: true",
    ] {
        let bytes = format!("{:?}", what.as_bytes());
        assert!(seen(&all, what) || seen(&all, bytes.trim_matches(['[', ']'])), "{what}");
    }
}

fn signals() -> Case {
    let mut c = Code::default();
    c.op(Op::Jump(3)).call(nr::getppid, &[]).op(Op::Return);
    let handler = machine::TEXT + 4;
    action(&mut c, 10, handler, 0);
    action(&mut c, 14, handler, 0x1000_0000);
    action(&mut c, 12, 1, 0);
    c.put(A, &(1u64 << 11).to_le_bytes()).call(nr::rt_sigprocmask, &[0, A, 0, 8]);
    c.put(A, &[[0; 16], [1; 16]].concat()).put(A, &[0, 100_000, 0, 70_000].map(u64::to_le_bytes).concat());
    c.call(nr::setitimer, &[0, A, 0])
        .call(nr::sigaltstack, &[0, A])
        .put(A, &[BIG, 0, 0x5000].map(u64::to_le_bytes).concat());
    c.call(nr::sigaltstack, &[A, 0]).call(nr::prctl, &[15, A]).call(nr::setpriority, &[0, 0, 5]);
    c.fork(0, |c| {
        c.put(A, &0u64.to_le_bytes())
            .call(nr::setpgid, &[0, 0])
            .call(nr::rt_sigsuspend, &[A, 8])
            .say(b"came\n");
        sleep(c, 300);
        c.say(b"slept\n").put(B, &9u64.to_le_bytes()).put(A, &timespec(90)).call(nr::futex, &[B, 0, 9, A]);
        c.call(nr::kill, &[1, 10]).call(nr::rt_sigsuspend, &[A + 512, 8]);
    });
    idle(&mut c, 20);
    for signal in [10, 19, 19] {
        c.with(nr::kill, &[Saved(0), Lit(signal)]);
        idle(&mut c, 9);
    }
    c.call(nr::wait4, &[u64::MAX, A, 2, 0]).with(nr::kill, &[Saved(0), Lit(10)]);
    sleep(&mut c, 400);
    c.with(nr::kill, &[Saved(0), Lit(18)]).call(nr::wait4, &[u64::MAX, A, 8, 0]);
    for _ in 0..9 {
        sleep(&mut c, 120);
    }
    c.with(nr::kill, &[Saved(0), Lit(19)]);
    idle(&mut c, 20);
    c.with(nr::kill, &[Saved(0), Lit(9)]);
    idle(&mut c, 20);
    c.call(nr::wait4, &[u64::MAX, A, 0, 0])
        .call(nr::write, &[1, A, 4])
        .say(b"end\n")
        .call(nr::exit_group, &[0]);
    Case::new(c, 0)
}

#[test]
fn signals_timers_sleeps_and_stopped_jobs() {
    let all = signals().everywhere();
    for what in
        ["Pending(", "Action(", "state: Stopped", "news: Stopped", "saved_mask: Some", "interval_us: 100000"]
    {
        assert!(seen(&all, what), "{what}");
    }
}

fn vforks() -> Case {
    let mut c = Code::default();
    action(&mut c, 17, 1, 0);
    c.path(B, "/bin/second");
    c.child(0, 0x4111, |c| {
        c.call(nr::brk, &[0]).call(nr::getrandom, &[BIG, 100, 0]);
        idle(c, 20);
        c.child(1, 0x4111, |c| {
            idle(c, 20);
            c.call(nr::execve, &[B, 0, 0]);
        });
        idle(c, 10);
    });
    c.say(b"back\n");
    idle(&mut c, 30);
    action(&mut c, 17, 0, 0);
    c.fork(2, |c| {
        c.call(nr::exit_group, &[2]);
    });
    sleep(&mut c, 120);
    c.call(nr::wait4, &[u64::MAX, A, 0, 0]).save(3).call(nr::wait4, &[u64::MAX, A, 0, 0]);
    c.say(b"all\n").call(nr::exit_group, &[0]);
    let second = c.here();
    c.say(b"second\n");
    idle(&mut c, 40);
    c.call(nr::exit_group, &[1]);
    Case::new(c, second)
}

#[test]
fn vfork_in_vfork_and_zombies() {
    let all = vforks().everywhere();
    assert!(seen(&all, "vfork: Some(2)") && seen(&all, "vfork: Some(3)") && seen(&all, "state: Zombie"));
}

fn terminal() -> Case {
    let mut c = Code::default();
    idle(&mut c, 40);
    for len in [2u64, 100, 100, 3, 100, 100] {
        c.call(nr::read, &[0, BIG, len]).save(0).with(nr::write, &[Lit(1), Lit(BIG), Saved(0)]);
        idle(&mut c, 9);
    }
    c.call(nr::write, &[1, BIG, 0x1_7000]);
    // Not canonical, with a deadline.
    c.call(nr::ioctl, &[0, 0x5401, A])
        .put(A + 12, &[0x39])
        .put(A + 17 + 5, &[3, 0])
        .call(nr::ioctl, &[0, 0x5402, A]);
    c.call(nr::read, &[0, BIG, 10]).call(nr::read, &[0, BIG, 10]);
    c.fork(1, |c| {
        c.call(nr::setpgid, &[0, 0]).call(nr::read, &[0, BIG, 10]).say(b"reads\n");
    });
    c.call(nr::wait4, &[u64::MAX, A, 2, 0])
        .with(nr::kill, &[Saved(1), Lit(9)])
        .call(nr::wait4, &[u64::MAX, A, 0, 0]);
    c.call(nr::exit_group, &[0]);
    let events = [
        (1, Event::TtyLine(b"first\n")),
        (1, Event::TtyData(b"data\n")),
        (2, Event::TtyLine(b"")),
        (2, Event::TtyLine(b"no end")),
        (2, Event::TtyLine(b"")),
        (2, Event::TtyData(b"open")),
        (8, Event::TtyLine(b"late\n")),
        (9, Event::WindowSize { rows: 5, columns: 6 }),
        (14, Event::TtyLine(b"later\n")),
    ];
    events.into_iter().fold(Case::new(c, 0), |case, (s, event)| case.event(s, event))
}

#[test]
fn input_typed_ahead_and_output_in_slices() {
    let all = terminal().everywhere();
    assert!((1..23).any(|slices| seen(&all, &format!("done: {},", slices * 4096))));
    assert!(seen(&all, "ends: [11, 0, 0, 0, 17, 0, 0, 0, 17, 0, 0, 0]") && seen(&all, "rows: 5, columns: 6"));
}

fn fifos() -> Case {
    let mut c = Code::default();
    c.path(A, "/tmp/f").path(A + 64, "/tmp/g").call(nr::mknodat, &[HERE, A, 0o10644, 0]);
    c.call(nr::mknodat, &[HERE, A + 64, 0o10644, 0]).call(nr::openat, &[HERE, A + 64, 0o4000, 0]);
    c.fork(0, |c| {
        c.call(nr::openat, &[HERE, A, 1, 0]).say(b"opened\n").call(nr::write, &[4, A, 50]);
        c.call(nr::openat, &[HERE, A + 64, 1, 0]);
    });
    sleep(&mut c, 120);
    // The turn that opens the other end is the last before a sync point: the first opener has not come back by then.
    idle(&mut c, 11);
    c.path(A, "/tmp/f").call(nr::openat, &[HERE, A, 0, 0]);
    idle(&mut c, 20);
    c.call(nr::read, &[4, BIG, 20]).call(nr::read, &[4, BIG, 20]).call(nr::wait4, &[u64::MAX, B, 0, 0]);
    c.put(B, &[3, 0, 0, 0, 1, 0, 0, 0]).put(A, &timespec(100)).call(nr::ppoll, &[B, 1, A, 0, 0]);
    c.call(nr::write, &[1, B, 8]).call(nr::exit_group, &[0]);
    Case::new(c, 0)
}

#[test]
fn opens_that_wait_for_the_other_end() {
    let all = fifos().everywhere();
    assert!(seen(&all, "before_writers: true") && seen(&all, "fifo: true"));
    assert!(seen(&all, "came: true"));
}

fn faults() -> Case {
    let mut c = Code::default();
    c.op(Op::Jump(3)).call(nr::mmap, &[BIG << 4, 4096, 3, 0x32, u64::MAX, 0]).op(Op::Return);
    action(&mut c, 11, machine::TEXT + 4, 0x4000_0000);
    c.fork(0, |c| {
        // Nothing is mapped there until the handler has been: a fault and a sigreturn, four times a turn.
        for _ in 0..14 {
            c.call(nr::munmap, &[BIG << 4, 4096]).put(BIG << 4, &[8; 20]);
        }
        c.say(b"repaired\n");
        action(c, 11, 0, 0);
        c.put(5, &[1]);
    });
    idle(&mut c, 60);
    c.call(nr::brk, &[0]).save(1).call(nr::wait4, &[u64::MAX, A, 0, 0]).call(nr::write, &[1, A, 4]);
    c.call(nr::exit_group, &[0]);
    Case::new(c, 0)
}

#[test]
fn faults_that_are_calls() {
    let all = faults().everywhere();
    // The child, whose next call is none.
    assert!(seen(&all, "at_call: false"), "{}", all.len());
}

#[test]
fn nothing_is_taken_while_a_thread_is_outside_or_before_it_is_skipped() {
    let mut c = Code::default();
    c.fork(0, |c| idle(c, 60));
    idle(&mut c, 60);
    c.call(nr::wait4, &[u64::MAX, A, 0, 0]).say(b"both\n").call(nr::exit_group, &[0]);
    let rejoin = |thread| Event::Rejoin { thread, call: 42 };
    let mut case = Case::new(c, 0).event(5, rejoin(1)).event(5, rejoin(2));
    case.skips.push(42);
    let taken: Vec<u64> = case.everywhere().iter().map(|bytes| rig::head(bytes).s).collect();
    assert!(taken.contains(&1) && taken.contains(&5) && taken.contains(&6), "{taken:?}");
    assert!(!taken.contains(&3) && !taken.contains(&4), "{taken:?}");
}
