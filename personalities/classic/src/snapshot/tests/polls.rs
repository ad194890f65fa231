//! ppoll and pselect6 with no time to wait: what is pending and let through by their own mask is handled as in a wait, unless something is ready. As
//! Linux 6.1.

use super::answers::answer;
use super::ignored::{BLOCK, CONT, TSTP, USR1, USR2, WINCH};
use super::ignored::{DEFAULT, HANDLER, IGNORE, SELF, act, kill, mask, program, said, show, shown};
use super::machine::{Arg::Lit, Arg::Saved, Code, Op};
use super::rig::Case;
use super::{A, B, FDS, HERE, idle, seen, timespec};
use abi::linux::nr;

const EINTR: i8 = -4;

/// One of the two calls, on a pipe's read end, where nothing is, and perhaps on its write end, which is ready.
#[derive(Clone, Copy, Debug)]
struct Poll {
    select: bool,
    ready: bool,
    masked: bool,
    ms: u64,
}

/// Lists, sets, the mask and the time of a [`Poll`], behind the pipe's descriptors at [`FDS`].
const LIST: u64 = FDS + 16;
const SETS: u64 = FDS + 64;
const MASK: u64 = FDS + 128;
const TIME: u64 = FDS + 192;

/// All that have this much time.
fn polls(ms: u64, ready: bool) -> [Poll; 2] {
    [false, true].map(|select| Poll { select, ready, masked: true, ms })
}

impl Poll {
    /// Asks; its mask lets all signals through.
    fn ask(self, c: &mut Code) {
        c.call(nr::pipe2, &[FDS, 0]).put(TIME, &timespec(self.ms));
        c.put(LIST, &[3, 0, 0, 0, 1, 0, 0xaa, 0xaa, 4, 0, 0, 0, 4, 0, 0xaa, 0xaa]);
        c.put(SETS, &[1u64 << 3, 1 << 4].map(u64::to_le_bytes).concat());
        c.put(MASK, &[0, MASK, 8].map(u64::to_le_bytes).concat());
        let mask = |at: u64| if self.masked { at } else { 0 };
        if self.select {
            let out = if self.ready { SETS + 8 } else { 0 };
            c.call(nr::pselect6, &[5, SETS, out, 0, TIME, mask(MASK + 8)]);
        } else {
            c.call(nr::ppoll, &[LIST, 1 + u64::from(self.ready), TIME, mask(MASK), 8]);
        }
    }

    /// Its answer, and what was printed, in a process 1 in which these signals have that action, and are pending and blocked.
    fn answer(self, signals: &[u8], action: u64) -> (i8, String) {
        answer(|c| {
            wait_with(c, signals, action);
            self.ask(c);
        })
    }

    /// What is pending behind it.
    fn leaves(self, signals: &[u8], action: u64) -> String {
        answer(|c| {
            wait_with(c, signals, action);
            self.ask(c);
            show(c);
        })
        .1
    }
}

fn wait_with(c: &mut Code, signals: &[u8], action: u64) {
    c.op(Op::Jump(4)).say(b"h").op(Op::Return);
    c.call(nr::getpid, &[]).save(SELF);
    mask(c, BLOCK, signals);
    for &signal in signals {
        act(c, signal, action);
        kill(c, signal);
    }
}

#[test]
fn a_handler_ends_them_and_what_is_ignored_is_dropped() {
    // With no time as with some.
    for poll in [0, 20].into_iter().flat_map(|ms| polls(ms, false)) {
        assert_eq!(poll.answer(&[USR1], HANDLER), (EINTR, "h".into()), "{poll:?}");
        assert_eq!(poll.leaves(&[USR1], HANDLER), "h".to_owned() + &shown(&[]), "{poll:?}");
        assert_eq!(poll.answer(&[USR2, USR1], HANDLER), (EINTR, "hh".into()), "{poll:?}");
        assert_eq!(poll.answer(&[USR1], IGNORE), (0, String::new()), "{poll:?}");
        assert_eq!(poll.leaves(&[USR1], IGNORE), shown(&[]), "{poll:?}");
        assert_eq!(poll.answer(&[WINCH], DEFAULT), (0, String::new()), "{poll:?}");
        assert_eq!(poll.leaves(&[WINCH], DEFAULT), shown(&[]), "{poll:?}");
        assert_eq!(poll.answer(&[], DEFAULT), (0, String::new()), "{poll:?}");
    }
}

#[test]
fn what_is_ready_is_told_first_and_leaves_them_pending() {
    for poll in polls(0, true) {
        for action in [HANDLER, IGNORE] {
            assert_eq!(poll.answer(&[USR1], action), (1, String::new()), "{poll:?}");
            assert_eq!(poll.leaves(&[USR1], action), shown(&[USR1]), "{poll:?}");
        }
    }
}

#[test]
fn without_a_mask_what_is_blocked_stays() {
    for poll in polls(0, false).map(|poll| Poll { masked: false, ..poll }) {
        for action in [HANDLER, IGNORE] {
            assert_eq!(poll.answer(&[USR1], action), (0, String::new()), "{poll:?}");
            assert_eq!(poll.leaves(&[USR1], action), shown(&[USR1]), "{poll:?}");
        }
    }
}

/// Behind an ignored signal the answer is whole: nothing is ready, and sets and lists say so; and the old mask is back.
#[test]
fn an_ignored_signal_leaves_no_trace() {
    for poll in polls(0, false) {
        let (at, len) = if poll.select { (SETS, 8) } else { (LIST + 6, 2) };
        let (_, output) = answer(|c| {
            wait_with(c, &[USR1], IGNORE);
            poll.ask(c);
            c.call(nr::write, &[1, at, len]);
            act(c, USR1, HANDLER);
            kill(c, USR1);
            show(c);
        });
        assert_eq!(output, "\0".repeat(len as usize) + &shown(&[USR1]), "{poll:?}");
    }
}

#[test]
fn a_signal_that_ends_the_process_ends_it() {
    for poll in [0, 20].into_iter().flat_map(|ms| polls(ms, false)) {
        let mut c = Code::default();
        c.fork(0, |c| {
            c.call(nr::getpid, &[]).save(SELF);
            mask(c, BLOCK, &[USR2]);
            kill(c, USR2);
            poll.ask(c);
            c.say(b"not so");
        });
        c.call(nr::wait4, &[2, A, 0, 0]).call(nr::write, &[1, A, 4]).call(nr::exit_group, &[0]);
        assert_eq!(said(&Case::new(c, 0)), String::from_utf8(vec![USR2, 0, 0, 0]).unwrap(), "{poll:?}");
    }
}

/// One that stops the process does; when it is continued nothing is ready still, or something is. Behind a snapshot, too.
#[test]
fn a_signal_that_stops_the_process_stops_it_and_then_it_asks_again() {
    for poll in polls(0, false) {
        for writes in [false, true] {
            let mut c = Code::default();
            c.path(A, "/tmp/f")
                .call(nr::mknodat, &[HERE, A, 0o10644, 0])
                .call(nr::openat, &[HERE, A, 2, 0])
                .save(1);
            c.fork(SELF, |c| {
                c.call(nr::setpgid, &[0, 0]).call(nr::getpid, &[]).save(SELF);
                mask(c, BLOCK, &[TSTP]);
                kill(c, TSTP);
                c.put(TIME, &timespec(0)).put(LIST, &[3, 0, 0, 0, 1, 0, 0, 0]);
                c.put(SETS, &(1u64 << 3).to_le_bytes())
                    .put(MASK, &[0, MASK, 8].map(u64::to_le_bytes).concat());
                match poll.select {
                    true => c.call(nr::pselect6, &[5, SETS, 0, 0, TIME, MASK + 8]),
                    false => c.call(nr::ppoll, &[LIST, 1, TIME, MASK, 8]),
                };
                c.save(2).with(nr::exit_group, &[Saved(2)]);
            });
            c.call(nr::wait4, &[2, A, 2, 0]).call(nr::write, &[1, A, 4]);
            idle(&mut c, 40);
            if writes {
                c.with(nr::write, &[Saved(1), Lit(A), Lit(1)]);
            }
            kill(&mut c, CONT);
            c.call(nr::wait4, &[2, B, 0, 0]).call(nr::write, &[1, B, 4]).call(nr::exit_group, &[0]);
            let case = Case::new(c, 0);
            let status = [0x7f, TSTP, 0, 0, 0, u8::from(writes), 0, 0];
            assert_eq!(said(&case), String::from_utf8(status.to_vec()).unwrap(), "{poll:?}");
            assert!(seen(&case.everywhere(), "state: Stopped"));
        }
    }
}

/// A stop that an orphaned group does not heed is as one that is ignored.
#[test]
fn a_stop_that_is_not_heeded_is_dropped() {
    for poll in polls(0, false) {
        let case = program(|c| {
            mask(c, BLOCK, &[TSTP]);
            kill(c, TSTP);
            poll.ask(c);
            show(c);
        });
        assert_eq!(said(&case), shown(&[]), "{poll:?}");
    }
}
