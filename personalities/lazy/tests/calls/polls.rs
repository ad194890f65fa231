//! What ppoll and pselect6 have written when a signal ends them.

use super::program::check::*;
use super::program::run::{Run, call, words};
use super::program::{HANDLER, Step};
use abi::linux::nr;

const USR1: u64 = 10;
const RESETHAND: u64 = 0x8000_0000;
const RESTART: u64 = 0x1000_0000;
const EINTR: i64 = -4;
/// No mask, the empty one, and how long a call waits.
const MASK: u64 = AREA + 0x100;
const TIME: u64 = AREA + 0x200;
const PENDING: u64 = AREA + 0x300;
/// The lists of the calls, one behind the other.
const LISTS: u64 = AREA + 0x400;
/// A list in a page that can only be read.
const READ_ONLY: u64 = AREA + 0x1000;
/// The pipe's end 3 to be read, and an entry that asks for nothing, both with revents from before.
const LIST: [u64; 2] = [3 | 1 << 32 | 0x5555 << 48, u32::MAX as u64 | 4 << 32 | 0x5555 << 48];
const TOLD: [u64; 2] = [LIST[0] & !(0xffff << 48), LIST[1] & !(0xffff << 48)];

fn list(n: u64) -> u64 {
    LISTS + 16 * n
}

fn setup() -> Vec<Step> {
    let mut steps = vec![call(nr::pipe2, &[AREA, 0]), words(MASK, &[0]), words(READ_ONLY, &LIST)];
    steps.extend((0..4).map(|n| words(list(n), &LIST)));
    steps.push(call(nr::mprotect, &[READ_ONLY, 4096, 1]));
    steps
}

/// A handler, which runs once.
fn handler(flags: u64) -> [(Step, i64); 2] {
    [
        (words(AREA + 0x80, &[HANDLER, RESETHAND | flags, 0, 0]), 0),
        (call(nr::rt_sigaction, &[USR1, AREA + 0x80, 0, 8]), 0),
    ]
}

/// The signal is blocked (0) or not (1).
fn block(how: u64) -> [(Step, i64); 2] {
    [(words(AREA + 0xc0, &[1 << (USR1 - 1)]), 0), (call(nr::rt_sigprocmask, &[how, AREA + 0xc0, 0, 8]), 0)]
}

fn time(ns: u64) -> (Step, i64) {
    (words(TIME, &[0, ns]), 0)
}

fn poll(list: u64, time: u64, mask: u64, answer: i64) -> (Step, i64) {
    (call(nr::ppoll, &[list, 2, time, mask, 8]), answer)
}

fn kill() -> (Step, i64) {
    (call(nr::kill, &[1, USR1]), 0)
}

/// Sends the signal again and again.
fn sender() -> Vec<Step> {
    let send = || [words(AREA, &[0, 5_000_000]), call(nr::nanosleep, &[AREA, 0]), call(nr::kill, &[1, USR1])];
    [send(), send(), send()].concat()
}

fn word(run: &mut Run, at: u64) -> u64 {
    let space = run.kernel.processes[&1].space.expect("it lives");
    run.kernel.memory.read_u64(space, at).expect("it is mapped")
}

fn told(run: &mut Run, list: u64) -> [u64; 2] {
    [0, 8].map(|n| word(run, list + n))
}

#[test]
fn a_poll_that_a_signal_ends_has_written_all_revents() {
    let mut script = vec![(Step::Fork(17, 1), 2)];
    // The signal comes while the call waits, without an end and with one.
    script.extend(handler(RESTART));
    script.push(poll(list(0), 0, 0, EINTR));
    script.extend(handler(0));
    script.extend([time(50_000_000), poll(list(1), TIME, 0, EINTR)]);
    let (sets, pselect) = (AREA + 0x500, nr::pselect6);
    script.extend(handler(0));
    script.extend([(words(sets, &[1 << 3]), 0), (call(pselect, &[4, sets, 0, 0, 0, 0]), EINTR)]);
    // It is pending, and the call's mask lets it through.
    for (n, timeout) in [(2, 0), (3, TIME)] {
        script.extend(handler(0));
        script.extend(block(0));
        script.extend([kill(), time(0), poll(list(n), timeout, MASK, EINTR)]);
    }
    let mut run = check_all(setup(), script, sender());
    for n in 0..4 {
        assert_eq!(told(&mut run, list(n)), TOLD, "list {n}");
    }
    assert_eq!(word(&mut run, sets), 1 << 3, "the sets of pselect6 stay");
}

/// As when nothing gets ready in time: the call has failed, and is over when the signal is looked at.
#[test]
fn a_poll_that_a_signal_ends_and_that_cannot_tell_has_failed() {
    const WAITS: u64 = 50_000_000;
    let mut script = vec![(Step::Fork(17, 1), 2), time(1000), poll(READ_ONLY, TIME, 0, EFAULT)];
    script.extend(handler(0));
    script.extend([time(WAITS), poll(READ_ONLY, TIME, 0, EFAULT)]);
    let mut run = check_all(setup(), script.clone(), sender());
    assert_eq!(run.kernel.processes[&1].actions[USR1 as usize].handler, 0, "its handler has run");
    assert!((1..WAITS).contains(&word(&mut run, TIME + 8)), "the time left is told");
    assert_eq!(told(&mut run, READ_ONLY), LIST);
    // The mask before blocks it.
    let mut script: Vec<(Step, i64)> = vec![];
    script.extend(handler(0));
    script.extend(block(0));
    script.extend([kill(), poll(READ_ONLY, 0, MASK, EFAULT), time(0), poll(READ_ONLY, TIME, MASK, EFAULT)]);
    script.push((call(nr::rt_sigpending, &[PENDING, 8]), 0));
    let mut kept = check(setup(), script.clone());
    assert_eq!(word(&mut kept, PENDING), 1 << (USR1 - 1));
    assert_eq!(kept.kernel.processes[&1].actions[USR1 as usize].handler, HANDLER);
    script.extend(block(1));
    let handled = check(setup(), script);
    assert_eq!(handled.kernel.processes[&1].actions[USR1 as usize].handler, 0);
    assert_eq!(handled.kernel.processes[&1].pending, 0);
}
