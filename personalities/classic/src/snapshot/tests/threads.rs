//! Programs with threads: turns, futexes, ends, signals. What they print follows from the rule (`docs/turn-rule.md`, `docs/linux-abi.md`).

use super::machine::{Arg::Lit, Arg::Saved, Code, DATA, Op, TEXT};
use super::rig::{Case, Said};
use super::{A, B, action, idle, sleep};
use abi::linux::nr;
use abi::log::Event;

/// What pthread_create asks for.
const THREAD: u64 = 0x3d_0f00;
/// A futex, and where thread ids go.
const WORD: u64 = DATA + 0x5000;
const TID: u64 = DATA + 0x5100;
const WAIT: u64 = 128;
const WAKE: u64 = 129;

/// A thread that does `body` and exits; its id goes to [`TID`] and is saved as `i`.
pub fn thread(c: &mut Code, i: usize, body: impl FnOnce(&mut Code)) {
    c.call(nr::clone, &[THREAD, 0, TID, 77, TID]);
    let at = c.0.len();
    c.op(Op::IfParent(0));
    body(c);
    c.call(nr::exit, &[0]);
    c.0[at] = Op::IfParent(c.0.len());
    c.save(i);
}

/// As many dots as the last result.
fn say_result(c: &mut Code) {
    c.save(6).put(B, b"........").with(nr::write, &[Lit(1), Lit(B), Saved(6)]);
}

fn case(c: Code, second: u64) -> Case {
    let mut case = Case::new(c, second);
    case.tier = 3;
    case
}

/// Runs it twice: the same is said, and it ends with this wait status.
fn run(case: &Case, status: u8) -> Said {
    let (said, _) = case.run(None, None, 20_000);
    assert_eq!(said, case.run(None, None, 20_000).0);
    let last = said.effects.last_key_value().expect("effects").1;
    assert!(last.contains("Exit") && last.contains(&format!("payload: [0, {status}, 0, 0]")), "{last}");
    said
}

#[test]
fn a_thread_wakes_another_and_its_end_clears_its_id() {
    let mut c = Code::default();
    thread(&mut c, 0, |c| {
        c.call(nr::gettid, &[]);
        say_result(c);
        c.say(b"thread\n").put(WORD, &[1]).call(nr::futex, &[WORD, WAKE, 5, 0, 0, 0]);
        say_result(c);
        sleep(c, 100);
    });
    c.call(nr::futex, &[WORD, WAIT, 0, 0, 0, 0]).say(b"woken\n");
    // Now the value is another.
    c.call(nr::futex, &[WORD, WAIT, 0, 0, 0, 0]).save(1).say(b"join\n");
    c.call(nr::futex, &[TID, 0, 2, 0, 0, 0]).say(b"joined\n").put(A, b"x").call(nr::getpid, &[]);
    say_result(&mut c);
    c.call(nr::write, &[1, TID, 4]).call(nr::exit_group, &[3]);
    let case = case(c, 0);
    let said = run(&case, 3);
    assert_eq!(said.output, "..thread\n.woken\njoin\njoined\n.\0\0\0\0");
    // A program with threads gives no snapshot; with none left it does.
    let taken = |s| !case.run(Some(s), None, 20_000).1.is_empty();
    assert!(!taken(1) && !taken(2));
    // Its memory is voted at the sync points themselves.
    assert!(said.memory.contains_key(&(1, 1)) && said.memory.contains_key(&(2, 1)));
}

#[test]
fn threads_run_in_the_order_of_the_round_and_yield_their_turns() {
    let mut c = Code::default();
    for (i, text) in [b"a", b"b", b"c"].into_iter().enumerate() {
        thread(&mut c, i, |c| {
            c.say(text).call(nr::sched_yield, &[]).say(text);
        });
    }
    c.say(b"-").call(nr::sched_yield, &[]).say(b"+").call(nr::sched_yield, &[]).say(b"=");
    c.call(nr::exit, &[0]);
    assert_eq!(run(&case(c, 0), 0).output, "-abc+abc=");
}

#[test]
fn the_process_lives_until_its_last_thread_has_ended() {
    let mut c = Code::default();
    c.fork(5, |c| {
        thread(c, 0, |c| {
            sleep(c, 100);
            c.say(b"last\n").call(nr::getpid, &[]);
            say_result(c);
            c.call(nr::exit, &[9]);
        });
        c.say(b"first\n").call(nr::exit, &[1]);
    });
    c.call(nr::wait4, &[u64::MAX, A, 0, 0]);
    say_result(&mut c);
    c.call(nr::write, &[1, A + 1, 1]).call(nr::exit_group, &[0]);
    assert_eq!(run(&case(c, 0), 0).output, "first\nlast\n....\t");
}

#[test]
fn exit_group_of_one_ends_all() {
    let mut c = Code::default();
    thread(&mut c, 0, |c| {
        c.call(nr::futex, &[WORD, WAIT, 0, 0, 0, 0]).say(b"never\n");
    });
    thread(&mut c, 1, |c| {
        idle(c, 20);
        c.call(nr::exit_group, &[5]);
    });
    c.call(nr::futex, &[WORD, WAIT, 0, 0, 0, 0]).say(b"never\n");
    assert_eq!(run(&case(c, 0), 5).output, "");
}

#[test]
fn execve_of_a_thread_leaves_it_alone_with_the_process_number() {
    let mut c = Code::default();
    c.path(DATA + 0x6000, "/bin/second");
    c.fork(5, |c| {
        thread(c, 0, |c| {
            c.call(nr::gettid, &[]);
            say_result(c);
            c.call(nr::execve, &[DATA + 0x6000, 0, 0]);
        });
        c.call(nr::futex, &[WORD, WAIT, 0, 0, 0, 0]).say(b"never\n");
    });
    c.call(nr::wait4, &[u64::MAX, A, 0, 0]);
    say_result(&mut c);
    c.call(nr::exit_group, &[0]);
    let second = c.here();
    c.call(nr::gettid, &[]);
    say_result(&mut c);
    c.say(b"second\n").call(nr::exit_group, &[0]);
    assert_eq!(run(&case(c, second), 0).output, ".....second\n..");
}

#[test]
fn a_wait_ends_by_its_bits_its_deadline_or_a_signal() {
    let mut c = Code::default();
    c.op(Op::Jump(4)).say(b"h").op(Op::Return);
    action(&mut c, 10, TEXT + 4, 0);
    thread(&mut c, 0, |c| {
        // WAIT_BITSET for bit 1.
        c.call(nr::futex, &[WORD, WAIT + 9, 0, 0, 0, 2]).say(b"bit\n");
        c.call(nr::futex, &[WORD, WAIT, 0, 0, 0, 0]).save(3).say(b"EINTR\n");
    });
    c.call(nr::sched_yield, &[]).call(nr::futex, &[WORD, WAKE + 9, 9, 0, 0, 1]);
    say_result(&mut c);
    c.call(nr::futex, &[WORD, WAKE + 9, 9, 0, 0, 3]);
    say_result(&mut c);
    c.call(nr::sched_yield, &[]).call(nr::tgkill, &[1, 2, 10]).call(nr::sched_yield, &[]);
    c.put(A, &super::timespec(100))
        .call(nr::futex, &[WORD, WAIT, 0, A, 0, 0])
        .say(b"late\n")
        .call(nr::exit_group, &[0]);
    assert_eq!(run(&case(c, 0), 0).output, ".bit\nhEINTR\nlate\n");
}

#[test]
fn a_lock_whose_owner_ends_says_so() {
    let (head, entry) = (DATA + 0x7000, DATA + 0x7100);
    let mut c = Code::default();
    // One entry, its word 8 bytes further, held by thread 2 with a waiter.
    c.put(head, &[entry, 8, 0].map(u64::to_le_bytes).concat()).put(entry, &head.to_le_bytes());
    c.put(entry + 8, &0x8000_0002u32.to_le_bytes());
    thread(&mut c, 0, |c| {
        c.call(nr::set_robust_list, &[head, 24]);
    });
    c.call(nr::futex, &[entry + 8, WAIT, 0x8000_0002, 0, 0, 0]).say(b"owner died ");
    c.call(nr::write, &[1, entry + 11, 1]).call(nr::exit_group, &[0]);
    let said = run(&case(c, 0), 0);
    // 0xc0000000: waiters and owner died.
    assert!(said.output.starts_with("owner died ") && said.output.len() > 11, "{:?}", said.output);
    assert!(said.effects.values().any(|e| e.contains("payload: [192]")));
}

#[test]
fn who_is_skipped_holds_the_others_of_its_memory() {
    let mut c = Code::default();
    thread(&mut c, 0, |c| {
        c.say(b"one\n");
        idle(c, 12);
        c.say(b"two\n");
    });
    c.fork(1, |c| {
        idle(c, 60);
        c.say(b"child\n");
    });
    idle(&mut c, 60);
    c.call(nr::wait4, &[u64::MAX, A, 0, 0]).say(b"main\n").call(nr::exit_group, &[0]);
    let plain = run(&case(c.clone(), 0), 0);
    assert_eq!(plain.output, "one\ntwo\nchild\nmain\n");
    // The first thread is skipped at its second turn; the other waits until it has come back, the child does not.
    let mut held = case(c, 0).event(12, Event::Rejoin { thread: 1, call: 24 });
    held.skips.push(24);
    assert_eq!(run(&held, 0).output, "one\nchild\ntwo\nmain\n");
}
