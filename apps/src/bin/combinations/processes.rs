//! Calls on processes, signals, limits and the machine.

use crate::ask::{Asker, Value};
use crate::places::{BAD, BUFFERS, HOLE, MINUS, OUT, POINTERS, STACK, ZERO, ZEROS, quietly, structure};

/// The least pid_t.
const LEAST: Value = ("min", -0x8000_0000i64 as u64);
const NOBODY: Value = ("99999", 99_999);

pub fn ask(asker: &mut Asker) {
    ids(asker);
    limits(asker);
    operations(asker);
    kills(asker);
    signals(asker);
    machine(asker);
}

fn ids(asker: &mut Asker) {
    // What process 1 is differs.
    let others = [MINUS, NOBODY];
    asker.call("getpgid", libc::SYS_getpgid).over(&[&others]);
    asker.call("getsid", libc::SYS_getsid).over(&[&others]);
    asker.call("setpgid", libc::SYS_setpgid).over(&[&others, &others]);
    let numbers =
        [MINUS, ZERO, ("1", 1), ("64", 64), ("257", 257), ("1e6", 1_000_000), ("neg32", 0x8000_0000)];
    asker.call("getgroups", libc::SYS_getgroups).over(&[&numbers, &POINTERS]);
    let who = [ZERO, NOBODY, MINUS];
    let which = [ZERO, ("3", 3), MINUS];
    let values = [ZERO, ("5", 5), ("100", 100), ("-100", -100i64 as u64), MINUS];
    let usual = || {
        quietly(libc::SYS_setpriority, [0; 6]);
    };
    asker.call("setpriority", libc::SYS_setpriority).undone_by(usual).over(&[&which, &who, &values]);
    asker.call("getpriority", libc::SYS_getpriority).over(&[&which, &who]);
    // There are no children.
    let pids = [MINUS, ZERO, ("1", 1), NOBODY, ("-5", -5i64 as u64), LEAST];
    let options = [
        ("1", 1),
        ZERO,
        ("3", 3),
        ("8", 8),
        ("9", 9),
        ("4", 4),
        ("1000001", 0x100_0001),
        ("40000001", 0x4000_0001),
        ("80000001", 0x8000_0001),
        ("20000001", 0x2000_0001),
        ("10", 16),
    ];
    asker.call("wait4", libc::SYS_wait4).over(&[&pids, &POINTERS, &options, &BUFFERS]);
}

/// Of limits' values most are the machine's.
fn limits(asker: &mut Asker) {
    let pids = [ZERO, MINUS, ("1", 1), NOBODY, LEAST];
    let resources = [
        ZERO,
        ("1", 1),
        ("3", 3),
        ("4", 4),
        ("5", 5),
        ("6", 6),
        ("7", 7),
        ("8", 8),
        ("15", 15),
        ("16", 16),
        MINUS,
    ];
    let new = [ZERO, ("257>256", structure(0, &[257, 256])), ("hole", HOLE)];
    asker.call("prlimit64", libc::SYS_prlimit64).result().over(&[&pids, &resources, &new, &BUFFERS]);
    let sizes = [ZERO, ("1", 1), ("4", 4), ("7", 7), ("8", 8), ("12", 12), ("16", 16), ("128", 128), MINUS];
    asker.call("sched_getaffinity", libc::SYS_sched_getaffinity).result().over(&[&pids, &sizes, &POINTERS]);
    let who = [ZERO, ("1", 1), ("2", 2), ("3", 3), MINUS];
    asker.call("getrusage", libc::SYS_getrusage).result().over(&[&who, &POINTERS]);
}

fn operations(asker: &mut Asker) {
    // PR_CAPBSET_DROP (24) is not asked: the contract keeps no capabilities apart.
    let options = [
        ZERO,
        ("2", 2),
        ("3", 3),
        ("4", 4),
        ("16", 16),
        ("17", 17),
        ("18", 18),
        ("23", 23),
        ("38", 38),
        ("39", 39),
        MINUS,
    ];
    let second = [ZERO, ("1", 1), ("out", OUT), ("bad", BAD), ("41", 41), ("65", 65)];
    asker.call("prctl", libc::SYS_prctl).over(&[&options, &second, &[ZERO, ("1", 1)]]);
}

fn kills(asker: &mut Asker) {
    let signals = [ZERO, ("65", 65), MINUS, ("2^32", 1 << 32)];
    let threads = [ZERO, MINUS, NOBODY];
    asker.call("tgkill", libc::SYS_tgkill).over(&[&threads, &threads, &signals]);
    asker.call("tkill", libc::SYS_tkill).over(&[&threads, &signals]);
    let pids = [ZERO, NOBODY, ("-99999", -99_999i64 as u64), LEAST];
    asker.call("kill", libc::SYS_kill).over(&[&pids, &signals]);
}

fn signals(asker: &mut Asker) {
    let sizes = [ZERO, ("4", 4), ("8", 8), ("16", 16), ("24", 24), MINUS];
    asker.call("rt_sigpending", libc::SYS_rt_sigpending).over(&[&POINTERS, &sizes]);
    asker.call("set_robust_list", libc::SYS_set_robust_list).over(&[&[ZERO], &sizes]);
    // With a mask that can be read it would wait.
    asker.call("rt_sigsuspend", libc::SYS_rt_sigsuspend).over(&[&POINTERS[1..], &sizes]);
    let how = [MINUS, ZERO, ("1", 1), ("2", 2), ("3", 3)];
    asker.call("rt_sigprocmask", libc::SYS_rt_sigprocmask).over(&[&how, &BUFFERS, &BUFFERS, &sizes]);
    quietly(libc::SYS_rt_sigprocmask, [2, ZEROS, 0, 8, 0, 0]);
    let numbers = [MINUS, ZERO, ("1", 1), ("9", 9), ("19", 19), ("64", 64), ("65", 65), ("10", 10)];
    let actions = [("null", 0), ("dfl", ZEROS), ("hole", HOLE)];
    // What was set before is the language's.
    let action = asker.call("rt_sigaction", libc::SYS_rt_sigaction).result();
    action.over(&[&numbers, &actions, &BUFFERS, &sizes]);
    stacks(asker);
}

/// Flags and sizes of alternate stacks: 5120 is the least (MINSIGSTKSZ).
fn stacks(asker: &mut Asker) {
    const ASKED: [(&str, u64, u64); 12] = [
        ("0", 2, 0),
        ("1", 0, 0),
        ("2", 0, 5000),
        ("3", 1, 5000),
        ("4", 4, 5000),
        ("5", 0x8000_0000, 5000),
        ("6", 3, 5000),
        ("7", 0, 5119),
        ("8", 0, 5120),
        ("9", 0x8000_0000, 5120),
        ("10", 0x8000_0002, 0),
        ("11", 0x8000_0001, 5120),
    ];
    let put = |(i, (name, flags, size)): (usize, &(&'static str, u64, u64))| {
        (*name, structure(3 * i, &[STACK, *flags, *size]))
    };
    let mut given: Vec<Value> = ASKED.iter().enumerate().map(put).collect();
    given.push(("hole", HOLE));
    // The language's own stack lies where the kernel chose: there is none from here on.
    let none = given[0].1;
    quietly(libc::SYS_sigaltstack, [none, 0, 0, 0, 0, 0]);
    asker.call("sigaltstack", libc::SYS_sigaltstack).over(&[&given, &BUFFERS]);
    quietly(libc::SYS_sigaltstack, [none, 0, 0, 0, 0, 0]);
}

/// What they write is the machine's, or chance; beyond 256 bytes getrandom takes other ways.
fn machine(asker: &mut Asker) {
    asker.call("sysinfo", libc::SYS_sysinfo).result().over(&[&POINTERS]);
    asker.call("uname", libc::SYS_uname).result().over(&[&POINTERS]);
    let flags = [ZERO, ("1", 1), ("2", 2), ("3", 3), ("4", 4), ("6", 6), ("8", 8)];
    let sizes = [ZERO, ("10", 10), ("256", 256)];
    asker.call("getrandom", libc::SYS_getrandom).result().over(&[&BUFFERS, &sizes, &flags]);
}
