//! ppoll and pselect6 with no time to wait: what is pending and let through by their own mask is handled as in a wait, unless something is ready. And
//! what they write when a signal ends them. As Linux 6.1.

use super::answers::{answer, last_of};
use super::ignored::{BLOCK, CONT, TSTP, USR1, USR2, WINCH};
use super::ignored::{DEFAULT, HANDLER, IGNORE, SELF, act, kill, mask, program, said, show, shown};
use super::machine::{Arg::Lit, Arg::Saved, Code, Op};
use super::rig::Case;
use super::threads::thread;
use super::{A, B, BIG, FDS, HERE, idle, seen, sleep, timespec};
use abi::linux::nr;

const EINTR: i8 = -4;
const ALRM: u8 = 14;

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

/// Two entries of a list, and what stands behind them; "UU" in revents. Nothing can be read of descriptor 3, and -1 is none.
const ENTRIES: &[u8; 24] = b"\x03\0\0\0\x01\0UU\xff\xff\xff\xff\x01\0UU\x03\0\0\0\x01\0UU";
/// What a ppoll of the two writes there.
const WRITTEN: &[u8; 24] = b"\x03\0\0\0\x01\0\0\0\xff\xff\xff\xff\x01\0\0\0\x03\0\0\0\x01\0UU";

/// A signal that ends ppoll leaves no old revents; sets stay. With no time, with some and with all there is; a signal that was pending, and one that comes.
#[test]
fn a_signal_that_ends_them_writes_revents_and_leaves_sets() {
    for (ms, pending) in [(Some(0), true), (Some(20), true), (None, true), (Some(5000), false), (None, false)]
    {
        for select in [false, true] {
            let mut c = Code::default();
            wait_with(&mut c, if pending { &[USR1] } else { &[] }, HANDLER);
            c.call(nr::pipe2, &[FDS, 0]).put(LIST, ENTRIES).put(SETS, &(1u64 << 3).to_le_bytes());
            c.put(MASK, &[0, MASK, 8].map(u64::to_le_bytes).concat()).put(TIME, &timespec(ms.unwrap_or(0)));
            if !pending {
                act(&mut c, ALRM, HANDLER);
                c.put(A, &[0u64, 0, 0, 30_000].map(u64::to_le_bytes).concat())
                    .call(nr::setitimer, &[0, A, 0]);
            }
            let time = if ms.is_some() { TIME } else { 0 };
            match select {
                true => c.call(nr::pselect6, &[5, SETS, 0, 0, time, MASK + 8]),
                false => c.call(nr::ppoll, &[LIST, 2, time, MASK, 8]),
            };
            c.save(6).call(nr::write, &[1, LIST, 24]).call(nr::write, &[1, SETS, 8]);
            c.with(nr::exit_group, &[Saved(6)]);
            let list = if select { ENTRIES } else { WRITTEN };
            let output = String::from_utf8_lossy(list).into_owned() + "\x08\0\0\0\0\0\0\0";
            let told = last_of(&Case::new(c, 0));
            assert_eq!(told, (EINTR, "h".to_owned() + &output), "{ms:?} {pending} {select}");
        }
    }
}

/// Revents that cannot be written when a signal comes are as those of a result: EFAULT. Another thread takes the memory away.
#[test]
fn a_signal_that_ends_ppoll_whose_list_is_gone_says_so() {
    const EFAULT: i8 = -14;
    let list = BIG << 4;
    let ended = |rights: u64| {
        let mut c = Code::default();
        wait_with(&mut c, &[], DEFAULT);
        act(&mut c, USR1, HANDLER);
        c.call(nr::pipe2, &[FDS, 0]).call(nr::mmap, &[list, 0x2000, 3, 0x32, u64::MAX, 0]);
        c.put(list + 0x1000 - 8, &ENTRIES[..16]);
        thread(&mut c, 0, |c| {
            sleep(c, 100);
            c.call(nr::mprotect, &[list + 0x1000, 0x1000, rights]);
            c.with(nr::tgkill, &[Saved(SELF), Saved(SELF), Lit(USR1.into())]);
            sleep(c, 100);
        });
        c.call(nr::ppoll, &[list + 0x1000 - 8, 2, 0, 0, 8])
            .save(6)
            .call(nr::write, &[1, list + 0x1000 - 8, 8]);
        c.with(nr::exit_group, &[Saved(6)]);
        let mut case = Case::new(c, 0);
        case.tier = 3;
        last_of(&case)
    };
    let text = |list: &[u8]| "h".to_owned() + &String::from_utf8_lossy(&list[..8]);
    assert_eq!(ended(3), (EINTR, text(WRITTEN)));
    assert_eq!([ended(1), ended(0)], [(EFAULT, text(ENTRIES)), (EFAULT, text(ENTRIES))]);
}
