//! Signals that are ignored: dropped where nobody blocks them, kept where somebody does, until they are let through or their action is set.

use super::test::{DATA, Fake, START, call, kernel};
use super::*;
use crate::process::{Action, Info, bit, sig};
use crate::turns::Place;
use abi::linux::nr;
use abi::log::Event;

const SIGHUP: u8 = 1;
const SIGINT: u8 = 2;
pub(super) const SIGUSR1: u8 = 10;
const SIGUSR2: u8 = 12;
const SIGTSTP: u8 = 20;
const DEFAULT: u64 = 0;
const IGNORE: u64 = 1;
pub(super) const HANDLER: u64 = 0x1234;
const NOCLDSTOP: u64 = 1;
const NOCLDWAIT: u64 = 2;

impl Kernel<Fake> {
    /// A whole step of `me`: its call, and what signals make of it. What stands in x0 then.
    pub(super) fn makes(&mut self, me: Serial, number: u64, arguments: &[u64]) -> i64 {
        let call = call(number, arguments);
        let t = self.threads.get_mut(&me).unwrap();
        t.want = Want::Call;
        t.user.x[8] = call[0];
        t.user.x[..6].copy_from_slice(&call[1..]);
        t.user.pc += 4;
        self.step(me, false);
        self.threads.get(&me).map_or(0, |t| t.user.x[0] as i64)
    }

    /// A child of process 1; its serial, which is its pid.
    pub(super) fn child(&mut self) -> Serial {
        let pid = self.makes(1, nr::clone, &[17]);
        assert!(pid > 1);
        pid as Serial
    }

    pub(super) fn acts(&mut self, me: Serial, signal: u8, handler: u64) {
        self.acts_so(me, signal, Action { handler, ..Action::default() });
    }

    fn acts_so(&mut self, me: Serial, signal: u8, action: Action) {
        let raw = [action.handler, action.flags, action.restorer, action.mask].map(u64::to_le_bytes).concat();
        self.bytes_out(me, DATA, &raw).unwrap();
        assert_eq!(self.makes(me, nr::rt_sigaction, &[signal.into(), DATA, 0, 8]), 0);
    }

    fn blocks(&mut self, me: Serial, signals: &[u8]) {
        let mask: u64 = signals.iter().map(|s| bit(*s)).sum();
        self.bytes_out(me, DATA, &mask.to_le_bytes()).unwrap();
        self.makes(me, nr::rt_sigprocmask, &[2, DATA, 0, 8]);
    }

    fn pending(&self, me: Serial) -> u64 {
        self.processes.get(me).unwrap().signals.pending_set()
    }

    pub(super) fn waits(&self, me: Serial) -> bool {
        matches!(self.turns.place(me), Some(Place::Waiting { .. }))
    }

    /// Whether the next instruction of `me` is its handler's.
    pub(super) fn is_in_handler(&self, me: Serial) -> bool {
        self.threads[&me].user.pc == HANDLER
    }
}

#[test]
fn what_is_ignored_and_blocked_is_kept_and_asks_its_action_when_it_is_let_through() {
    let mut k = kernel();
    let me = k.child();
    k.acts(me, SIGUSR1, IGNORE);
    k.makes(1, nr::kill, &[me, SIGUSR1.into()]);
    assert_eq!(k.pending(me), 0);
    k.blocks(me, &[SIGUSR1, sig::SIGWINCH]);
    k.makes(1, nr::kill, &[me, SIGUSR1.into()]);
    // By default, too.
    k.makes(1, nr::tkill, &[me, sig::SIGWINCH.into()]);
    assert_eq!(k.pending(me), bit(SIGUSR1) | bit(sig::SIGWINCH));
    k.makes(me, nr::rt_sigpending, &[DATA + 64, 8]);
    assert_eq!(k.bytes_in(me, DATA + 64, 8).unwrap(), k.pending(me).to_le_bytes());
    k.acts(me, SIGUSR1, HANDLER);
    k.blocks(me, &[]);
    assert!(k.is_in_handler(me));
    assert_eq!(k.pending(me), 0);
}

#[test]
fn one_that_is_ignored_when_it_is_taken_is_dropped_and_the_next_is_taken() {
    let mut k = kernel();
    let me = k.child();
    k.acts(me, SIGHUP, IGNORE);
    k.acts(me, SIGUSR2, HANDLER);
    k.blocks(me, &[SIGHUP, SIGUSR2]);
    for signal in [SIGHUP, SIGUSR2] {
        k.makes(1, nr::kill, &[me, signal.into()]);
    }
    assert_eq!(k.pending(me), bit(SIGHUP) | bit(SIGUSR2));
    k.blocks(me, &[]);
    assert_eq!(k.pending(me), 0);
    assert!(k.is_in_handler(me));
}

#[test]
fn an_action_that_ignores_drops_what_is_pending_blocked_or_not() {
    let mut k = kernel();
    let me = k.child();
    k.blocks(me, &[SIGUSR1, sig::SIGWINCH, SIGINT]);
    for signal in [SIGUSR1, sig::SIGWINCH, SIGINT] {
        k.acts(me, signal, HANDLER);
        k.makes(1, nr::kill, &[me, signal.into()]);
    }
    k.acts(me, SIGUSR1, IGNORE);
    k.acts(me, sig::SIGWINCH, DEFAULT);
    k.acts(me, SIGINT, DEFAULT);
    assert_eq!(k.pending(me), bit(SIGINT));
    k.acts(me, SIGUSR1, HANDLER);
    assert_eq!(k.pending(me), bit(SIGINT));
}

#[test]
fn a_group_s_and_the_terminal_s_signals_ask_each_member_s_mask() {
    let mut k = kernel();
    let (open, shut) = (k.child(), k.child());
    for me in [1, open, shut] {
        k.acts(me, SIGINT, IGNORE);
    }
    k.blocks(shut, &[SIGINT, sig::SIGWINCH, sig::SIGCHLD]);
    k.makes(1, nr::kill, &[0, SIGINT.into()]);
    assert_eq!((k.pending(open), k.pending(shut)), (0, bit(SIGINT)));
    k.acts(shut, SIGINT, IGNORE);
    assert_eq!(k.pending(shut), 0);
    for (s, event) in [Event::TtySignal(SIGINT), Event::WindowSize { rows: 1, columns: 2 }].iter().enumerate()
    {
        let events = postcard::to_slice(event, &mut [0; 16]).unwrap().to_vec();
        k.apply(&crate::log::Sync { s: s as u64 + 1, time_us: START, events });
    }
    assert_eq!((k.pending(open), k.pending(shut)), (0, bit(SIGINT) | bit(sig::SIGWINCH)));
}

#[test]
fn a_child_s_end_is_no_signal_for_who_ignores_it_and_one_that_is_kept_by_default() {
    let end = |action: Action, parent_is_first: bool| {
        let mut k = kernel();
        let parent = if parent_is_first { 1 } else { k.child() };
        let child = k.makes(parent, nr::clone, &[17]) as Serial;
        k.blocks(parent, &[sig::SIGCHLD]);
        k.acts_so(parent, sig::SIGCHLD, action);
        k.makes(child, nr::exit_group, &[3]);
        let waited = k.makes(parent, nr::wait4, &[u64::MAX, 0, 1, 0]);
        (k.pending(parent) & bit(sig::SIGCHLD) != 0, waited == child as i64)
    };
    for first in [false, true] {
        let action = |handler, flags| Action { handler, flags, ..Action::default() };
        assert_eq!(end(action(DEFAULT, 0), first), (true, true));
        assert_eq!(end(action(DEFAULT, NOCLDSTOP), first), (true, true));
        assert_eq!(end(action(DEFAULT, NOCLDWAIT), first), (true, false));
        assert_eq!(end(action(HANDLER, 0), first), (true, true));
        assert_eq!(end(action(IGNORE, 0), first), (false, false));
    }
}

#[test]
fn a_stop_and_a_continuation_are_no_signal_for_who_ignores_sigchld() {
    for (handler, flags, heard) in [(DEFAULT, 0, true), (DEFAULT, NOCLDSTOP, false), (IGNORE, 0, false)] {
        let mut k = kernel();
        let parent = k.child();
        let child = k.makes(parent, nr::clone, &[17]) as Serial;
        k.blocks(parent, &[sig::SIGCHLD]);
        k.acts_so(parent, sig::SIGCHLD, Action { handler, flags, ..Action::default() });
        for signal in [sig::SIGSTOP, sig::SIGCONT] {
            k.makes(1, nr::kill, &[child, signal.into()]);
            if signal == sig::SIGSTOP {
                k.makes(child, nr::getpid, &[]);
                assert_eq!(k.turns.place(child), Some(&Place::Stopped));
            }
            assert_eq!(k.pending(parent) != 0, heard, "{handler} {flags} {signal}");
            k.processes.get_mut(parent).unwrap().signals.pending.clear();
        }
        assert_eq!(k.turns.place(child), Some(&Place::Round));
    }
}

#[test]
fn stops_and_sigcont_cancel_each_other_though_they_are_ignored_and_blocked() {
    let mut k = kernel();
    let me = k.child();
    k.acts(me, SIGTSTP, IGNORE);
    k.blocks(me, &[SIGTSTP, sig::SIGCONT, SIGHUP]);
    for (signal, left) in [(SIGTSTP, SIGTSTP), (sig::SIGCONT, sig::SIGCONT), (SIGTSTP, SIGTSTP)] {
        k.makes(1, nr::kill, &[me, signal.into()]);
        assert_eq!(k.pending(me), bit(left));
    }
    // A stopped process is continued by one that it ignores and blocks.
    k.makes(1, nr::kill, &[me, sig::SIGSTOP.into()]);
    k.makes(me, nr::getpid, &[]);
    assert_eq!(k.turns.place(me), Some(&Place::Stopped));
    k.makes(1, nr::kill, &[me, sig::SIGCONT.into()]);
    assert_eq!((k.turns.place(me), k.pending(me)), (Some(&Place::Round), bit(sig::SIGCONT)));
}

#[test]
fn what_is_ignored_and_blocked_wakes_nobody_and_ends_no_wait() {
    let mut k = kernel();
    let me = k.child();
    k.acts(me, SIGUSR1, IGNORE);
    k.blocks(me, &[SIGUSR1]);
    k.makes(me, nr::read, &[0, DATA, 1]);
    assert!(k.waits(me));
    k.makes(1, nr::kill, &[me, SIGUSR1.into()]);
    assert!(k.waits(me));
    assert_eq!(k.pending(me), bit(SIGUSR1));
    // Nor is a wait prevented by one that is pending already.
    let other = k.child();
    k.acts(other, SIGUSR1, IGNORE);
    k.blocks(other, &[SIGUSR1]);
    k.makes(1, nr::kill, &[other, SIGUSR1.into()]);
    k.makes(other, nr::read, &[0, DATA, 1]);
    assert!(k.waits(other));
    assert_eq!(k.pending(other), bit(SIGUSR1));
}

#[test]
fn a_wait_under_a_mask_of_its_own_drops_what_that_lets_through() {
    let mut k = kernel();
    let me = k.child();
    k.acts(me, SIGUSR1, IGNORE);
    k.acts_so(me, SIGHUP, Action { handler: HANDLER, mask: bit(SIGUSR1), ..Action::default() });
    k.blocks(me, &[SIGUSR1, SIGUSR2]);
    k.acts(me, SIGUSR2, IGNORE);
    for signal in [SIGUSR1, SIGUSR2] {
        k.makes(1, nr::kill, &[me, signal.into()]);
    }
    k.bytes_out(me, DATA, &bit(SIGUSR2).to_le_bytes()).unwrap();
    k.makes(me, nr::rt_sigsuspend, &[DATA, 8]);
    assert!(k.waits(me));
    assert_eq!(k.pending(me), bit(SIGUSR2));
    // A handler that comes now finds what the old mask blocks, and no more of what was dropped.
    k.makes(1, nr::kill, &[me, SIGHUP.into()]);
    k.step(me, false);
    assert!(k.is_in_handler(me));
    assert_eq!(k.pending(me), bit(SIGUSR2));
}

#[test]
fn process_1_keeps_what_it_ignores_until_it_looks() {
    let mut k = kernel();
    let other = k.child();
    k.makes(other, nr::kill, &[1, SIGUSR1.into()]);
    assert_eq!(k.pending(1), bit(SIGUSR1));
    k.makes(1, nr::getpid, &[]);
    assert_eq!(k.pending(1), 0);
    k.blocks(1, &[SIGUSR1]);
    k.makes(other, nr::kill, &[1, SIGUSR1.into()]);
    k.makes(1, nr::getpid, &[]);
    assert_eq!(k.pending(1), bit(SIGUSR1));
    k.acts(1, SIGUSR1, HANDLER);
    k.blocks(1, &[]);
    assert!(k.is_in_handler(1));
}

#[test]
fn a_state_digest_and_a_snapshot_hold_what_is_ignored_and_blocked() {
    let mut k = kernel();
    k.acts(1, SIGUSR1, IGNORE);
    k.blocks(1, &[SIGUSR1, sig::SIGURG]);
    let before = k.state_digest();
    let pid = 1;
    for signal in [SIGUSR1, sig::SIGURG] {
        k.processes.generate(1, Info::user(signal, pid), &mut k.post);
    }
    assert_ne!(before, k.state_digest());
    k.take_snapshot(1);
    k.makes(1, nr::getpid, &[]);
    let module = k.machine.snapshot.clone();
    let again = Kernel::resume(Fake::default(), &module, super::test::root(), 50_000).unwrap();
    assert_eq!(again.pending(1), bit(SIGUSR1) | bit(sig::SIGURG));
    assert_eq!(again.processes.get(1).unwrap().signals.pending, k.processes.get(1).unwrap().signals.pending);
}

const PPOLL: u64 = nr::ppoll;
const PSELECT: u64 = nr::pselect6;

/// A poll of the terminal that is over at once, under a mask of its own; `out`: for writing, too, for which it is ready.
fn polls(k: &mut Kernel<Fake>, me: Serial, number: u64, mask: u64, out: bool) -> i64 {
    let [time, mask_at, pair, list, set] = [0x100, 0x110, 0x120, 0x130, 0x140].map(|at| DATA + at);
    let ready = u64::from(out);
    // A pollfd: descriptor 0, POLLIN, POLLOUT.
    let values = [(time, 0), (time + 8, 0), (mask_at, mask), (pair, mask_at), (pair + 8, 8)];
    for (at, value) in values.into_iter().chain([(list, (1 | ready << 2) << 32), (set, 1), (set + 8, ready)])
    {
        k.bytes_out(me, at, &value.to_le_bytes()).unwrap();
    }
    match number {
        PPOLL => k.makes(me, number, &[list, 1, time, mask_at, 8]),
        _ => k.makes(me, number, &[1, set, set + 8, 0, time, pair]),
    }
}

/// A child in a group of its own, for which signals are pending that it blocks.
pub(super) fn with_pending(signals: &[u8], handler: u64) -> (Kernel<Fake>, Serial) {
    let mut k = kernel();
    let me = k.child();
    assert_eq!(k.makes(me, nr::setpgid, &[0, 0]), 0);
    signals.iter().for_each(|s| k.acts(me, *s, handler));
    k.blocks(me, signals);
    signals.iter().for_each(|s| _ = k.makes(1, nr::kill, &[me, (*s).into()]));
    assert_eq!(k.pending(me), signals.iter().map(|s| bit(*s)).sum());
    (k, me)
}

#[test]
fn a_poll_that_is_over_at_once_drops_what_its_mask_lets_through_and_is_ignored() {
    for number in [PPOLL, PSELECT] {
        let (mut k, me) = with_pending(&[SIGUSR1, SIGUSR2], IGNORE);
        assert_eq!(polls(&mut k, me, number, bit(SIGUSR2), false), 0);
        assert!(!k.waits(me));
        assert_eq!(k.pending(me), bit(SIGUSR2));
        assert_eq!(k.processes.get(me).unwrap().signals.mask, bit(SIGUSR1) | bit(SIGUSR2));
    }
}

#[test]
fn a_poll_that_is_over_at_once_is_ended_by_a_handler_that_its_mask_lets_through() {
    for number in [PPOLL, PSELECT] {
        let (mut k, me) = with_pending(&[SIGUSR1, SIGUSR2], HANDLER);
        polls(&mut k, me, number, bit(SIGUSR2), false);
        assert!(k.is_in_handler(me));
        assert_eq!(k.pending(me), bit(SIGUSR2));
        let eintr = -4;
        assert_eq!(k.makes(me, nr::rt_sigreturn, &[]), eintr);
        assert_eq!(k.processes.get(me).unwrap().signals.mask, bit(SIGUSR1) | bit(SIGUSR2));
        assert_eq!(k.pending(me), bit(SIGUSR2));
    }
}

#[test]
fn a_poll_that_is_over_at_once_ends_or_stops_by_what_its_mask_lets_through() {
    for number in [PPOLL, PSELECT] {
        let (mut k, me) = with_pending(&[SIGUSR1], DEFAULT);
        polls(&mut k, me, number, 0, false);
        assert_eq!(k.processes.get(me).unwrap().ended, Some(SIGUSR1.into()));
        let (mut k, me) = with_pending(&[SIGTSTP], DEFAULT);
        polls(&mut k, me, number, 0, false);
        assert_eq!(k.turns.place(me), Some(&Place::Stopped));
        k.makes(1, nr::kill, &[me, sig::SIGCONT.into()]);
        k.step(me, false);
        assert_eq!((k.threads[&me].user.x[0], k.pending(me)), (0, 0));
        assert_eq!(k.processes.get(me).unwrap().signals.mask, bit(SIGTSTP));
        // A group without a parent elsewhere in the session does not stop: the signal goes, and time is up.
        let (mut k, me) = with_pending(&[SIGTSTP], DEFAULT);
        assert_eq!(k.makes(1, nr::setpgid, &[me, 1]), 0);
        assert_eq!(polls(&mut k, me, number, 0, false), 0);
        assert_eq!((k.turns.place(me), k.pending(me)), (Some(&Place::Round), 0));
    }
}

#[test]
fn what_is_ready_is_told_before_what_a_poll_s_mask_lets_through() {
    for (number, handler) in
        [PPOLL, PSELECT].into_iter().flat_map(|n| [(n, IGNORE), (n, HANDLER), (n, DEFAULT)])
    {
        let (mut k, me) = with_pending(&[SIGUSR1], handler);
        assert_eq!(polls(&mut k, me, number, 0, true), 1);
        assert_eq!((k.pending(me), k.is_in_handler(me)), (bit(SIGUSR1), false));
    }
}
