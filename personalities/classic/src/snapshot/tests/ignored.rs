//! Signals that are ignored: what is blocked stays pending, what is taken is dropped, SIGCHLD for who ignores it does not come (`docs/turn-rule.md`,
//! "Signals"; all as Linux 6.1).

use super::machine::{Arg::Lit, Arg::Saved, Code, Op, TEXT};
use super::rig::Case;
use super::threads::thread;
use super::{A, B, action, idle, seen, sleep};
use crate::signal::SigSet;
use abi::linux::nr;
use abi::log::Event;

pub const DEFAULT: u64 = 0;
pub const IGNORE: u64 = 1;
/// Says "h" and returns; [`program`] puts it there.
pub const HANDLER: u64 = TEXT + 4;
pub const BLOCK: u64 = 0;
const UNBLOCK: u64 = 1;
pub const USR1: u8 = 10;
pub const USR2: u8 = 12;
const CHLD: u8 = 17;
pub const CONT: u8 = 18;
const STOP: u8 = 19;
pub const TSTP: u8 = 20;
pub const WINCH: u8 = 28;
/// Where programs keep the number of who is signalled.
pub const SELF: usize = 5;

fn set_of(signals: &[u8]) -> u64 {
    signals.iter().fold(0, |set, s| set | SigSet::of(*s).0)
}

pub fn mask(c: &mut Code, how: u64, signals: &[u8]) {
    c.put(A, &set_of(signals).to_le_bytes()).call(nr::rt_sigprocmask, &[how, A, 0, 8]);
}

pub fn act(c: &mut Code, signal: u8, handler: u64) {
    action(c, signal.into(), handler, 0);
}

pub fn kill(c: &mut Code, signal: u8) {
    c.with(nr::kill, &[Saved(SELF), Lit(signal.into())]);
}

/// Prints the 8 bytes of what is pending and blocked.
pub fn show(c: &mut Code) {
    c.call(nr::rt_sigpending, &[B, 8]).call(nr::write, &[1, B, 8]);
}

/// What [`show`] prints of `signals`.
pub fn shown(signals: &[u8]) -> String {
    String::from_utf8(set_of(signals).to_le_bytes().to_vec()).unwrap()
}

/// A program whose process 2 does `body`, and knows itself as [`SELF`]; process 1 waits for it.
pub fn program(body: impl FnOnce(&mut Code)) -> Case {
    let mut c = Code::default();
    c.op(Op::Jump(4)).say(b"h").op(Op::Return);
    c.fork(0, |c| {
        c.call(nr::getpid, &[]).save(SELF);
        body(c);
    });
    c.call(nr::wait4, &[2, A, 0, 0]).call(nr::exit_group, &[0]);
    let mut case = Case::new(c, 0);
    case.tier = 3;
    case
}

pub fn said(case: &Case) -> String {
    let (said, _) = case.run(None, None, 20_000);
    assert!(said.effects.values().any(|e| e.contains("Exit")), "it ends: {:?}", said.effects);
    said.output
}

fn prints(body: impl FnOnce(&mut Code)) -> String {
    said(&program(body))
}

#[test]
fn what_is_blocked_is_kept_for_the_action_that_comes() {
    for later in [HANDLER, IGNORE] {
        let output = prints(|c| {
            act(c, USR1, IGNORE);
            mask(c, BLOCK, &[USR1, USR2]);
            act(c, USR2, HANDLER);
            kill(c, USR1);
            kill(c, USR2);
            show(c);
            if later == HANDLER {
                act(c, USR1, HANDLER);
            }
            mask(c, UNBLOCK, &[USR1, USR2]);
            mask(c, BLOCK, &[USR1]);
            show(c);
            act(c, USR1, HANDLER);
            mask(c, UNBLOCK, &[USR1]);
        });
        // One that is still ignored when it is taken is dropped, and the next is taken.
        let handled = if later == HANDLER { "hh" } else { "h" };
        assert_eq!(output, shown(&[USR1, USR2]) + handled + &shown(&[]));
    }
}

#[test]
fn what_is_not_blocked_is_dropped_at_once() {
    let output = prints(|c| {
        act(c, USR1, IGNORE);
        kill(c, USR1);
        kill(c, WINCH);
        mask(c, BLOCK, &[USR1, WINCH]);
        show(c);
    });
    assert_eq!(output, shown(&[]));
}

#[test]
fn an_action_that_ignores_drops_what_is_pending() {
    let output = prints(|c| {
        mask(c, BLOCK, &[USR1, USR2, CHLD, WINCH]);
        for signal in [USR1, USR2, CHLD, WINCH] {
            act(c, signal, IGNORE);
            kill(c, signal);
        }
        show(c);
        act(c, USR1, IGNORE);
        act(c, USR2, DEFAULT); // ends the process: nothing that ignores
        act(c, CHLD, DEFAULT);
        act(c, WINCH, HANDLER);
        show(c);
        act(c, WINCH, DEFAULT);
        show(c);
    });
    assert_eq!(output, shown(&[USR1, USR2, CHLD, WINCH]) + &shown(&[USR2, WINCH]) + &shown(&[USR2]));
}

#[test]
fn stops_and_continuations_forget_each_other() {
    let output = prints(|c| {
        act(c, TSTP, IGNORE);
        mask(c, BLOCK, &[CONT, TSTP]);
        for signal in [CONT, TSTP, CONT] {
            kill(c, signal);
            show(c);
        }
        act(c, CONT, HANDLER);
        mask(c, UNBLOCK, &[CONT]);
    });
    assert_eq!(output, shown(&[CONT]) + &shown(&[TSTP]) + &shown(&[CONT]) + "h");
}

/// What its child's end, stop and continuation leave pending in a process with this action and these SA_ flags.
fn of_a_child(handler: u64, flags: u64, stops: bool) -> String {
    prints(|c| {
        action(c, CHLD.into(), handler, flags);
        mask(c, BLOCK, &[CHLD]);
        c.fork(SELF, |c| idle(c, if stops { 60 } else { 1 }));
        if stops {
            kill(c, STOP);
            idle(c, 20);
            kill(c, CONT);
        } else {
            sleep(c, 300);
        }
        show(c);
        kill(c, 9);
    })
}

#[test]
fn sigchld_is_not_generated_for_who_ignores_it() {
    const NOCLDSTOP: u64 = 1;
    const NOCLDWAIT: u64 = 2;
    for stops in [false, true] {
        assert_eq!(of_a_child(IGNORE, 0, stops), shown(&[]));
        assert_eq!(of_a_child(DEFAULT, 0, stops), shown(&[CHLD]));
        assert_eq!(of_a_child(DEFAULT, NOCLDWAIT, stops), shown(&[CHLD]));
    }
    assert_eq!(of_a_child(DEFAULT, NOCLDSTOP, true), shown(&[]));
    assert_eq!(of_a_child(DEFAULT, NOCLDSTOP, false), shown(&[CHLD]));
}

#[test]
fn process_1_is_as_any_parent() {
    for (handler, left) in [(IGNORE, &[][..]), (DEFAULT, &[CHLD])] {
        let mut c = Code::default();
        act(&mut c, CHLD, handler);
        mask(&mut c, BLOCK, &[CHLD]);
        c.fork(0, |_| {}).call(nr::wait4, &[u64::MAX, A, 0, 0]);
        show(&mut c);
        c.call(nr::exit_group, &[0]);
        assert_eq!(said(&Case::new(c, 0)), shown(left));
    }
}

#[test]
fn process_1_ignores_by_default_what_stays_pending() {
    let mut c = Code::default();
    c.op(Op::Jump(4)).say(b"h").op(Op::Return);
    mask(&mut c, BLOCK, &[USR1, WINCH]);
    c.call(nr::kill, &[1, USR1.into()]).call(nr::kill, &[1, WINCH.into()]);
    act(&mut c, USR1, DEFAULT);
    act(&mut c, WINCH, DEFAULT);
    show(&mut c);
    act(&mut c, USR1, HANDLER);
    mask(&mut c, UNBLOCK, &[USR1]);
    c.call(nr::exit_group, &[0]);
    assert_eq!(said(&Case::new(c, 0)), shown(&[USR1]) + "h");
}

#[test]
fn a_group_and_the_terminal_find_it_blocked() {
    let case = program(|c| {
        c.fork(SELF, |c| {
            mask(c, BLOCK, &[USR1, WINCH]);
            act(c, USR1, IGNORE);
            c.call(nr::kill, &[0, USR1.into()]);
            idle(c, 60);
            show(c);
            act(c, WINCH, HANDLER);
            mask(c, UNBLOCK, &[WINCH]);
        });
        // It is of the same group, and blocks neither.
        act(c, USR1, IGNORE);
        c.call(nr::wait4, &[u64::MAX, A, 0, 0]);
        mask(c, BLOCK, &[USR1, WINCH]);
        show(c);
    });
    let case = case.event(2, Event::WindowSize { rows: 30, columns: 90 });
    assert_eq!(said(&case), shown(&[USR1, WINCH]) + "h" + &shown(&[]));
}

#[test]
fn nobody_is_woken_or_interrupted_by_it() {
    let output = prints(|c| {
        act(c, USR1, IGNORE);
        act(c, USR2, HANDLER);
        mask(c, BLOCK, &[USR1, USR2]);
        c.fork(1, |c| {
            sleep(c, 100);
            kill(c, USR1);
            c.say(b"sent ");
            sleep(c, 400);
            c.say(b"second ");
            kill(c, USR2);
        });
        // The sleep goes on to its end; the suspension takes the ignored one, drops it, and waits for the other.
        c.put(A + 64, &super::timespec(200)).call(nr::nanosleep, &[A + 64, 0]).say(b"slept ");
        show(c);
        c.put(A, &0u64.to_le_bytes()).call(nr::rt_sigsuspend, &[A, 8]).say(b" suspended");
        show(c);
    });
    assert_eq!(output, format!("sent slept {}second h suspended{}", shown(&[USR1]), shown(&[])));
}

#[test]
fn of_a_thread_its_own_mask_decides_of_a_process_its_first_threads() {
    for first_blocks in [false, true] {
        let output = prints(|c| {
            act(c, USR1, IGNORE);
            act(c, USR2, IGNORE);
            mask(c, BLOCK, if first_blocks { &[USR1, USR2] } else { &[] });
            thread(c, 1, |c| {
                mask(c, if first_blocks { UNBLOCK } else { BLOCK }, &[USR1, USR2]);
                c.call(nr::gettid, &[]).save(4);
                kill(c, USR1);
                c.with(nr::tgkill, &[Saved(SELF), Saved(4), Lit(USR2.into())]);
                mask(c, BLOCK, &[USR1, USR2]);
                show(c);
            });
            sleep(c, 100);
            mask(c, BLOCK, &[USR1, USR2]);
            show(c);
        });
        // Kept for the process, USR1 is for the other thread, which takes and drops it at its call's end.
        let own = if first_blocks { shown(&[]) } else { shown(&[USR2]) };
        assert_eq!(output, own + &shown(&[]), "{first_blocks}");
    }
}

#[test]
fn a_first_thread_decides_though_it_has_ended() {
    for first_blocks in [false, true] {
        let output = prints(|c| {
            act(c, USR1, IGNORE);
            mask(c, BLOCK, if first_blocks { &[USR1] } else { &[] });
            thread(c, 1, |c| {
                mask(c, BLOCK, &[USR1]);
                sleep(c, 100);
                kill(c, USR1);
                show(c);
                c.call(nr::exit_group, &[0]);
            });
            c.call(nr::exit, &[0]);
        });
        assert_eq!(output, if first_blocks { shown(&[USR1]) } else { shown(&[]) });
    }
}

#[test]
fn a_snapshot_holds_what_is_blocked_and_ignored() {
    let case = program(|c| {
        act(c, USR1, IGNORE);
        mask(c, BLOCK, &[USR1, WINCH]);
        kill(c, USR1);
        kill(c, WINCH);
        idle(c, 50);
        act(c, USR1, HANDLER);
        mask(c, UNBLOCK, &[USR1, WINCH]);
        idle(c, 30);
    });
    let all = case.everywhere();
    assert!(seen(&all, "signal: 10, code: 0, pid: 2") && seen(&all, "signal: 28, code: 0, pid: 2"));
    assert_eq!(said(&case), "h");
}
