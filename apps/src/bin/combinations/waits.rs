//! Calls that may wait, with what lets them wait for no time; and clocks.

use crate::ask::{Asker, Value};
use crate::places::{BAD, BUFFERS, HOLE, MINUS, POINTERS, ZERO, ZEROS, quietly, structure, without};

pub fn ask(asker: &mut Asker) {
    clocks(asker);
    timers(asker);
    select(asker);
    poll(asker);
}

/// Negative ones but -1 are the CPU clocks of processes, which the contract does not have.
const CLOCKS: [Value; 16] = [
    ZERO,
    ("1", 1),
    ("2", 2),
    ("3", 3),
    ("4", 4),
    ("5", 5),
    ("6", 6),
    ("7", 7),
    ("8", 8),
    ("9", 9),
    ("10", 10),
    ("11", 11),
    ("12", 12),
    MINUS,
    ("max", 0x7fff_ffff),
    ("100000001", 0x1_0000_0001),
];

const TIMES: [(&str, i64, i64); 6] = [
    ("0.0", 0, 0),
    ("0.-1", 0, -1),
    ("0.1e9", 0, 1_000_000_000),
    ("-1.0", -1, 0),
    ("0.1", 0, 1),
    ("-1.-1", -1, -1),
];

/// Such times, as structures.
fn times() -> Vec<Value> {
    let put = |(i, (name, seconds, parts)): (usize, &(&'static str, i64, i64))| {
        (*name, structure(2 * i, &[*seconds as u64, *parts as u64]))
    };
    TIMES.iter().enumerate().map(put).collect()
}

fn clocks(asker: &mut Asker) {
    let mut times = times();
    times.extend([("null", 0), ("hole", HOLE)]);
    // A sleep by the process' own clock (2) lasts until somebody else has computed.
    let clocks = without(&CLOCKS, &[("2", 2)]);
    let flags = [ZERO, ("1", 1), ("2", 2)];
    let sleep = asker.call("clock_nanosleep", libc::SYS_clock_nanosleep);
    sleep.over(&[&clocks, &flags, &times, &BUFFERS]);
    asker.call("nanosleep", libc::SYS_nanosleep).over(&[&times, &BUFFERS]);
    // The time is the log's, and the resolution the contract's.
    asker.call("clock_gettime", libc::SYS_clock_gettime).result().over(&[&CLOCKS, &POINTERS]);
    asker.call("clock_getres", libc::SYS_clock_getres).result().over(&[&CLOCKS, &POINTERS]);
    asker.call("gettimeofday", libc::SYS_gettimeofday).result().over(&[&POINTERS, &BUFFERS]);
}

fn timers(asker: &mut Asker) {
    let which = [ZERO, ("3", 3), MINUS];
    asker.call("getitimer", libc::SYS_getitimer).over(&[&which, &POINTERS]);
    let settings: [(&str, [i64; 4]); 7] = [
        ("0", [0; 4]),
        ("us1e6", [0, 0, 0, 1_000_000]),
        ("us-1", [0, 0, 0, -1]),
        ("s-1", [0, 0, -1, 0]),
        ("int1e6", [0, 1_000_000, 0, 0]),
        ("1000s", [0, 0, 1000, 0]),
        ("int-1", [0, -1, 1000, 0]),
    ];
    let mut given: Vec<Value> = vec![("null", 0), ("hole", HOLE)];
    for (i, (name, words)) in settings.iter().enumerate() {
        given.push((*name, structure(4 * i, &words.map(|word| word as u64))));
    }
    let stop = || {
        quietly(libc::SYS_setitimer, [0, ZEROS, 0, 0, 0, 0]);
    };
    // What is left of a timer is a time.
    let setitimer = asker.call("setitimer", libc::SYS_setitimer).result();
    setitimer.undone_by(stop).over(&[&which, &given, &POINTERS]);
}

fn select(asker: &mut Asker) {
    let numbers =
        [MINUS, ZERO, ("1", 1), ("64", 64), ("257", 257), ("1e6", 1_000_000), ("neg32", 0x8000_0000)];
    let sets = [("null", 0), ("zero", ZEROS), ("hole", HOLE), ("edge", HOLE - 8)];
    let mut limits: Vec<Value> = times().into_iter().take(4).collect();
    limits.push(("hole", HOLE));
    let masks: [(&str, [u64; 2]); 6] = [
        ("0/8", [0, 8]),
        ("0/7", [0, 7]),
        ("z/8", [ZEROS, 8]),
        ("z/7", [ZEROS, 7]),
        ("bad/8", [BAD, 8]),
        ("bad/0", [BAD, 0]),
    ];
    let mut given: Vec<Value> = vec![("none", 0), ("hole", HOLE)];
    for (i, (name, words)) in masks.iter().enumerate() {
        given.push((*name, structure(2 * (TIMES.len() + i), words)));
    }
    let pselect = asker.call("pselect6", libc::SYS_pselect6);
    pselect.over(&[&numbers, &sets, &[ZERO], &sets, &limits, &given]);
}

/// Descriptors and the events that are asked for.
const POLLED: [(i32, u16); 10] =
    [(3, 0xffff), (99, 1), (7, 1), (5, 1), (6, 4), (4, 5), (9, 0), (10, 0x2000), (6, 1), (14, 0x7fff)];
/// As many as a call is asked about at most; those behind [`POLLED`] have no descriptor.
const MOST_POLLED: usize = 257;

fn poll(asker: &mut Asker) {
    let limits: Vec<Value> = times().into_iter().take(4).chain([("hole", HOLE)]).collect();
    let mut words = [u64::from(u32::MAX); MOST_POLLED];
    for (word, (fd, events)) in words.iter_mut().zip(POLLED) {
        *word = fd as u32 as u64 | u64::from(events) << 32;
    }
    let list = structure(2 * TIMES.len(), &words);
    let lists = [("pf", list), ("null", 0), ("hole", HOLE), ("edge", HOLE - 8)];
    let numbers =
        [ZERO, ("1", 1), ("2", 2), ("10", 10), ("256", 256), ("257", 257), MINUS, ("2^32", 1 << 32)];
    let masks = [ZERO, ("z", ZEROS), ("bad", BAD)];
    let sizes = [("8", 8), ("7", 7), ZERO, ("16", 16)];
    let ppoll = asker.call("ppoll", libc::SYS_ppoll);
    ppoll.over(&[&lists, &numbers, &limits, &masks, &sizes]);
    if asker.wants("ppoll") {
        for i in 0..POLLED.len() {
            // SAFETY: (1) the list lies in ARGUMENTS, and nothing has been put there since.
            let word = unsafe { (list as *const u64).add(i).read() };
            asker.line(&format!("revents {i}: {:x}", word >> 48));
        }
    }
}
