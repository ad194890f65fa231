//! Signals that are ignored: which of them stay pending, as `docs/turn-rule.md` ("Signals") has it of Linux 6.1.

mod program;

use abi::linux::nr;
use abi::log::{Entry, Event, Sync};
use abi::snapshot::{Record, records};
use lazy::process::Place;
use program::run::{BOOT_US, Run, call, encoded, words};
use program::{HANDLER, Step, elf, image};

/// Memory of the scripts.
const AREA: u64 = 0x2000_0000;
/// What rt_sigpending gives, one behind the other.
const GIVEN: u64 = AREA + 0x2000;
const FORK: u64 = 17;
const SA_RESETHAND: u64 = 0x8000_0000;
const DEFAULT: u64 = 0;
const IGNORE: u64 = 1;
const INT: u64 = 2;
const USR1: u64 = 10;
const USR2: u64 = 12;
const TERM: u64 = 15;
const CHLD: u64 = 17;
const CONT: u64 = 18;
const STOP: u64 = 19;
const TSTP: u64 = 20;
const URG: u64 = 23;
const WINCH: u64 = 28;
const EINTR: i64 = -4;
const ECHILD: i64 = -10;

fn bits(signals: &[u64]) -> u64 {
    signals.iter().map(|s| 1 << (s - 1)).sum()
}

fn action(signal: u64, handler: u64) -> [Step; 2] {
    [words(AREA + 0x80, &[handler, SA_RESETHAND, 0, 0]), call(nr::rt_sigaction, &[signal, AREA + 0x80, 0, 8])]
}

fn block(signals: &[u64]) -> [Step; 2] {
    [words(AREA + 0xc0, &[bits(signals)]), call(nr::rt_sigprocmask, &[2, AREA + 0xc0, 0, 8])]
}

/// rt_sigpending, as the `n`th of [`given`].
fn pending(n: u64) -> Step {
    call(nr::rt_sigpending, &[GIVEN + 8 * n, 8])
}

fn kill(pid: u64, signal: u64) -> Step {
    call(nr::kill, &[pid, signal])
}

fn sleep(ms: u64) -> [Step; 2] {
    [words(AREA, &[0, ms * 1_000_000]), call(nr::nanosleep, &[AREA, 0])]
}

/// Waits for ever.
fn rest() -> Step {
    call(nr::ppoll, &[0, 0, 0, 0, 8])
}

/// What process 1 does first.
fn begin(forks: &[usize]) -> Vec<Step> {
    let map = call(nr::mmap, &[AREA, 0x20000, 3, 0x32, u64::MAX, 0]);
    [map].into_iter().chain(forks.iter().map(|script| Step::Fork(FORK, *script))).collect()
}

/// A sync point each millisecond with a snapshot. `typed`: the terminal is resized at the 40th, and ^C is typed at the 41st.
fn run_at(typed: bool, scripts: Vec<Vec<Step>>) -> Run {
    let entry = |s: u64| {
        let mut events = match s {
            40 if typed => encoded!(&Event::WindowSize { rows: 9, columns: 8 }),
            41 if typed => encoded!(&Event::TtySignal(INT as u8)),
            _ => Vec::new(),
        };
        events.extend(encoded!(&Event::Snapshot));
        encoded!(&Entry::Sync(Sync { s, time_us: BOOT_US + s * 1000, events: &events }))
    };
    let image = image(&[("bin", 0o40755, vec![]), ("bin/init", 0o100755, elf())]);
    Run::from_boot(image, scripts, (1..100).map(entry).collect())
}

fn run(scripts: Vec<Vec<Step>>) -> Run {
    run_at(false, scripts)
}

/// The results of script `n`.
fn results(run: &Run, n: usize) -> Vec<i64> {
    run.outside.borrow().results.iter().filter(|r| r.0 == n).map(|r| r.1).collect()
}

/// The first `count` sets that rt_sigpending gave a process that lives.
fn given(run: &mut Run, serial: u64, count: u64) -> Vec<u64> {
    let space = run.kernel.processes[&serial].space.expect("it lives");
    (0..count).map(|n| run.kernel.memory.read_u64(space, GIVEN + 8 * n).expect("it is mapped")).collect()
}

#[test]
fn what_is_blocked_and_ignored_stays_until_it_is_let_through_or_set_to_be_ignored() {
    let child = [
        block(&[USR1, CHLD, CONT, URG]).to_vec(),
        action(USR1, IGNORE).to_vec(),
        vec![kill(2, USR1), kill(2, URG), kill(2, CONT), call(nr::tgkill, &[2, 2, CHLD]), kill(2, WINCH)],
        vec![pending(0)],
        action(USR1, IGNORE).to_vec(),
        action(CONT, DEFAULT).to_vec(),
        action(URG, HANDLER).to_vec(),
        vec![pending(1)],
        block(&[]).to_vec(),
        vec![pending(2), rest()],
    ];
    let mut run = run(vec![[begin(&[1]), vec![rest()]].concat(), child.concat()]);
    let kept = [bits(&[USR1, CHLD, CONT, URG]), bits(&[CHLD, URG]), 0];
    assert_eq!(given(&mut run, 2, 3), kept);
    assert_eq!(run.kernel.processes[&2].pending, 0, "SIGCHLD was let through and is ignored");
    assert_eq!(run.kernel.processes[&2].actions[URG as usize].handler, 0, "its handler has run");
}

#[test]
fn it_wakes_nobody_and_ends_no_call() {
    let poll = |mask| [words(AREA, &[0, 5_000_000, mask]), call(nr::ppoll, &[0, 0, AREA, AREA + 16, 8])];
    let first = [
        begin(&[1]),
        sleep(2).to_vec(),
        vec![kill(2, USR1)],
        sleep(30).to_vec(),
        vec![kill(2, USR2), rest()],
    ];
    let child = [
        block(&[USR1]).to_vec(),
        action(USR1, IGNORE).to_vec(),
        action(USR2, HANDLER).to_vec(),
        // It comes meanwhile, then it is pending already; under the mask it is blocked or not.
        poll(bits(&[USR1])).to_vec(),
        poll(bits(&[USR1])).to_vec(),
        poll(0).to_vec(),
        vec![kill(2, USR1)],
        vec![words(AREA, &[0]), call(nr::rt_sigsuspend, &[AREA, 8]), rest()],
    ];
    let run = run(vec![first.concat(), child.concat()]);
    // kill of oneself is the last but one; what ends the wait is the handled one.
    assert_eq!(results(&run, 1), [0, 0, 0, 0, 0, 0, 0, EINTR]);
    assert_eq!(run.kernel.processes[&2].pending, 0);
    assert_eq!(run.kernel.threads[&2].place, Place::Waiting);
}

#[test]
fn a_mask_of_a_calls_own_drops_what_it_lets_through_when_the_call_waits() {
    let child = [
        block(&[USR1]).to_vec(),
        action(USR1, IGNORE).to_vec(),
        vec![kill(2, USR1)],
        poll(nr::ppoll, 1_000_000).to_vec(),
        vec![pending(0), kill(2, USR1), words(AREA, &[0]), call(nr::rt_sigsuspend, &[AREA, 8])],
    ];
    let mut run = run(vec![[begin(&[1]), vec![rest()]].concat(), child.concat()]);
    assert_eq!(given(&mut run, 2, 1), [0]);
    assert_eq!(run.kernel.threads[&2].place, Place::Waiting);
    assert_eq!(run.kernel.processes[&2].pending, 0, "what the state digest holds while it waits");
}

/// ppoll or pselect6 for so long under a mask that lets all through, for nothing that could be ready.
fn poll(number: u64, ns: u64) -> [Step; 2] {
    poll_for(number, ns, 0, true)
}

/// The same, for descriptor 4 to be written to if `count` is 1. `masked`: under that mask, or under none of its own.
fn poll_for(number: u64, ns: u64, count: u64, masked: bool) -> [Step; 2] {
    // A timespec, a mask, a pollfd, a set, and pselect6's last argument.
    let own = [0, ns, 0, 4 << 32 | 4, 1 << 4, if masked { AREA + 16 } else { 0 }, 8];
    let mask = if masked { AREA + 16 } else { 0 };
    let made = match number {
        nr::ppoll => call(number, &[AREA + 24, count, AREA, mask, 8]),
        _ => call(number, &[5 * count, 0, AREA + 32, 0, AREA, AREA + 40]),
    };
    [words(AREA, &own), made]
}

#[test]
fn a_look_without_waiting_handles_what_its_mask_lets_through_if_nothing_is_ready() {
    for number in [nr::ppoll, nr::pselect6] {
        let look = |count, masked| poll_for(number, 0, count, masked).to_vec();
        let child = [
            block(&[USR1, CHLD]).to_vec(),
            vec![call(nr::pipe2, &[AREA + 0x100, 0])],
            action(USR1, IGNORE).to_vec(),
            vec![kill(2, USR1), kill(2, CHLD)],
            look(0, false), // 0
            vec![pending(0)],
            look(1, true), // 1
            vec![pending(1)],
            look(0, true), // 0
            vec![pending(2)],
            action(USR1, HANDLER).to_vec(),
            vec![kill(2, USR1)],
            look(1, true),  // 1
            look(0, false), // 0
            vec![pending(3)],
            look(0, true), // EINTR
            vec![pending(4)],
            look(0, true), // 0
            vec![rest()],
        ];
        let mut run = run(vec![[begin(&[1]), vec![rest()]].concat(), child.concat()]);
        let both = bits(&[USR1, CHLD]);
        assert_eq!(given(&mut run, 2, 5), [both, both, 0, bits(&[USR1]), 0], "{number}");
        assert_eq!(
            results(&run, 1),
            [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, EINTR, 0, 0],
            "{number}"
        );
        assert_eq!(run.kernel.processes[&2].actions[USR1 as usize].handler, DEFAULT, "its handler has run");
        assert_eq!(run.kernel.threads[&2].mask, both, "the mask is the one before");
    }
}

#[test]
fn a_look_without_waiting_stops_and_ends_by_what_its_mask_lets_through() {
    const UNTRACED: u64 = 2;
    for number in [nr::ppoll, nr::pselect6] {
        let look = poll(number, 0).to_vec();
        let wait = call(nr::wait4, &[2, AREA + 0x300, UNTRACED, 0]);
        let first = [begin(&[1]), vec![wait.clone(), kill(2, CONT), wait, rest()]];
        let child = [
            // A group that is not orphaned stops.
            vec![call(nr::setpgid, &[0, 0])],
            block(&[TSTP, TERM]).to_vec(),
            vec![kill(2, TSTP)],
            look.clone(),
            vec![kill(2, TERM)],
            look,
            vec![rest()],
        ];
        let mut run = run(vec![first.concat(), child.concat()]);
        assert_eq!(results(&run, 1), [0, 0, 0, 0, 0], "{number}: it goes on after its stop, and ends");
        assert_eq!(results(&run, 0), [AREA as i64, 2, 2, 0, 2], "{number}");
        let space = run.kernel.processes[&1].space.expect("it lives");
        assert_eq!(run.kernel.memory.read_u32(space, AREA + 0x300), Ok(TERM as u32), "{number}");
    }
}

#[test]
fn of_a_group_each_keeps_what_it_has_blocked_from_calls_and_from_the_terminal() {
    let blocks = [
        block(&[USR1, INT, WINCH]).to_vec(),
        action(USR1, IGNORE).to_vec(),
        action(INT, IGNORE).to_vec(),
        vec![rest()],
    ];
    let ignores = [action(USR1, IGNORE).to_vec(), action(INT, IGNORE).to_vec(), vec![rest()]];
    let first = [begin(&[1, 2]), sleep(5).to_vec(), vec![kill(0, USR1), rest()]];
    let run = run_at(true, vec![first.concat(), blocks.concat(), ignores.concat()]);
    assert_eq!(run.kernel.processes[&2].pending, bits(&[USR1, INT, WINCH]));
    assert_eq!(run.kernel.processes[&3].pending, 0);
    assert!(run.kernel.threads.values().all(|t| t.serial == 1 || t.place == Place::Waiting));
    // What a snapshot holds: process 1 keeps what it ignores until it looks.
    let outside = run.outside.borrow();
    let last = records(&outside.snapshot).map(|r| postcard::from_bytes(r.expect("whole")).expect("a record"));
    let (mut held, mut process) = (Vec::new(), 0);
    for record in last {
        match record {
            Record::Head(_) => held.clear(),
            Record::Process(p) => process = p.serial,
            Record::Pending(p) => held.push((process, u64::from(p.signal))),
            _ => {}
        }
    }
    assert_eq!(held, [(1, INT), (1, WINCH), (2, INT), (2, USR1), (2, WINCH)]);
}

#[test]
fn sigchld_is_not_generated_for_who_ignores_it_and_is_kept_by_who_blocks_it() {
    let wait = call(nr::wait4, &[u64::MAX, 0, 0, 0]);
    let job = [vec![Step::Fork(FORK, 3)], sleep(3).to_vec(), vec![kill(4, STOP)], sleep(3).to_vec()];
    let job = [job.concat(), vec![kill(4, CONT)], sleep(3).to_vec()].concat();
    let child = [
        block(&[CHLD]).to_vec(),
        vec![Step::Fork(FORK, 2), wait.clone(), pending(0)],
        action(CHLD, IGNORE).to_vec(),
        vec![pending(1)],
        job,
        vec![pending(2), kill(4, TERM), wait, pending(3), rest()],
    ];
    let mut run = run(vec![[begin(&[1]), vec![rest()]].concat(), child.concat(), vec![], vec![rest()]]);
    assert_eq!(given(&mut run, 2, 4), [bits(&[CHLD]), 0, 0, 0]);
    let results = results(&run, 1);
    assert_eq!(results[2], 3, "the first child is waited for");
    assert_eq!(results[results.len() - 2], ECHILD, "the second is gone by itself");
    assert!(!run.kernel.processes.contains_key(&4));
}

#[test]
fn stops_and_sigcont_cancel_each_other_though_they_are_ignored_and_nothing_of_them_is_left() {
    let child = [
        block(&[TSTP, CONT]).to_vec(),
        action(TSTP, IGNORE).to_vec(),
        vec![kill(2, TSTP), pending(0), kill(2, CONT), pending(1), kill(2, TSTP), pending(2)],
        block(&[TSTP]).to_vec(),
        vec![kill(2, CONT), pending(3), rest()],
    ];
    let mut run = run(vec![[begin(&[1]), vec![rest()]].concat(), child.concat()]);
    assert_eq!(given(&mut run, 2, 4), [bits(&[TSTP]), bits(&[CONT]), bits(&[TSTP]), 0]);
    // A snapshot would have held it otherwise.
    assert!(run.kernel.processes[&2].infos.is_empty());
}

#[test]
fn process_1_too_forgets_what_is_set_to_be_ignored_and_nothing_else() {
    let first = [
        begin(&[1, 1]),
        block(&[CHLD, TERM, USR1]).to_vec(),
        sleep(3).to_vec(),
        vec![kill(1, TERM), kill(1, USR1), pending(0)],
        // It ignores both as process 1 does, and one as everybody.
        action(TERM, DEFAULT).to_vec(),
        action(CHLD, DEFAULT).to_vec(),
        vec![pending(1)],
        action(USR1, IGNORE).to_vec(),
        action(CHLD, IGNORE).to_vec(),
        vec![pending(2), Step::Fork(FORK, 1)],
        sleep(3).to_vec(),
        vec![pending(3)],
        block(&[]).to_vec(),
        vec![rest()],
    ];
    let mut run = run(vec![first.concat(), vec![]]);
    let kept = [bits(&[CHLD, TERM, USR1]), bits(&[TERM, USR1]), bits(&[TERM]), bits(&[TERM])];
    assert_eq!(given(&mut run, 1, 4), kept);
    assert_eq!(run.kernel.processes[&1].pending, 0, "let through, it is ignored");
}

/// Of a signal to the process it is its first thread that counts, of one to a thread that one. The threads are 2 and 3 of process 2.
#[test]
fn whose_mask_counts_among_threads() {
    let first = [begin(&[]), action(USR1, IGNORE).to_vec(), vec![Step::Fork(FORK, 1), rest()]];
    let leader = [vec![Step::Thread(2, AREA + 8)], block(&[USR1]).to_vec(), vec![rest()]];
    let second = [
        sleep(5).to_vec(),
        // Kept for the process, and it is for this thread, which drops it when it next looks: at this call's end.
        vec![kill(2, USR1), call(nr::tgkill, &[2, 3, USR1]), call(nr::tgkill, &[2, 2, USR1]), rest()],
    ];
    let run = run(vec![first.concat(), leader.concat(), second.concat()]);
    assert_eq!(results(&run, 2), [0, 0, 0, 0], "and nobody's wait ended");
    assert_eq!(run.kernel.processes[&2].pending, 0);
    assert_eq!(run.kernel.threads[&2].pending, bits(&[USR1]));
    assert_eq!(run.kernel.threads[&3].pending, 0);
    assert_eq!(results(&run, 1).len(), 2, "the first thread still waits");
}

#[test]
fn the_first_threads_mask_counts_when_it_has_ended() {
    let ends_with = |blocked: &[u64], then: Step| {
        let first = [begin(&[]), action(USR1, IGNORE).to_vec(), vec![Step::Fork(FORK, 1), rest()]];
        let leader = [vec![Step::Thread(2, AREA + 8)], block(blocked).to_vec(), vec![call(nr::exit, &[0])]];
        let second = [block(&[USR1]).to_vec(), sleep(5).to_vec(), vec![then, rest()]];
        run(vec![first.concat(), leader.concat(), second.concat()])
    };
    let kept = |run: Run| run.kernel.processes[&2].pending;
    assert_eq!(kept(ends_with(&[], kill(2, USR1))), 0);
    assert_eq!(kept(ends_with(&[USR1], kill(2, USR1))), bits(&[USR1]));
    assert_eq!(kept(ends_with(&[], call(nr::tgkill, &[2, 3, USR1]))), bits(&[USR1]));
}
