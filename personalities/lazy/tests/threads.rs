//! Threads of one process: scripts, and what the manual pages and `docs/linux-abi.md` ("Threads") say must come of them.

mod program;

use abi::linux::nr;
use abi::log::{Entry, Event, Sync};
use abi::vote::{EffectKind, Vote};
use lazy::process::Place;
use program::run::{BOOT_US, Run, boot_entry, call, encoded, text, words};
use program::{HANDLER, Step, elf, image};

/// Memory of the scripts.
const AREA: u64 = 0x2000_0000;
const WAIT: u64 = 0;
const WAKE: u64 = 1;
const WAIT_BITSET: u64 = 9;
const WAKE_BITSET: u64 = 10;
const CMP_REQUEUE: u64 = 4;
const EAGAIN: i64 = -11;
const EINVAL: i64 = -22;
const ETIMEDOUT: i64 = -110;
/// Waits for ever.
fn rest() -> Step {
    call(nr::ppoll, &[0, 0, 0, 0, 8])
}

fn map() -> Step {
    call(nr::mmap, &[AREA, 0x20000, 3, 0x32, u64::MAX, 0])
}

/// Sync points; all bring back thread `outside` that was skipped at `call`.
fn log(outside: Option<(u64, u64)>) -> Vec<Vec<u8>> {
    let entry = |s: u64| {
        let event = |(thread, call)| encoded!(&Event::Rejoin { thread, call });
        let events = if s < 20 { Vec::new() } else { outside.map(event).unwrap_or_default() };
        encoded!(&Entry::Sync(Sync { s, time_us: BOOT_US + s * 1000, events: &events }))
    };
    let skip = outside.map(|(_, call)| encoded!(&Entry::Skip { call }));
    skip.into_iter().chain((1..100).map(entry)).collect()
}

fn run(scripts: Vec<Vec<Step>>) -> Run {
    let image = image(&[("bin", 0o40755, vec![]), ("bin/init", 0o100755, elf())]);
    Run::from_boot(image, scripts, log(None))
}

/// The results of script `n`.
fn results(run: &Run, n: usize) -> Vec<i64> {
    run.outside.borrow().results.iter().filter(|r| r.0 == n).map(|r| r.1).collect()
}

fn word(run: &mut Run, at: u64) -> u32 {
    let space = run.kernel.processes[&1].space.unwrap();
    run.kernel.memory.read_u32(space, at).unwrap()
}

#[test]
fn a_thread_is_joined_by_its_number_that_becomes_zero() {
    let joined = AREA + 0x10;
    let mut run = run(vec![
        vec![map(), Step::Thread(1, joined), call(nr::futex, &[joined, WAIT, 2, 0]), rest()],
        vec![
            Step::Store(AREA, b"shared".to_vec()),
            call(nr::gettid, &[]),
            call(nr::getpid, &[]),
            call(nr::tgkill, &[7, 2, 0]),
            call(nr::exit, &[5]),
        ],
    ]);
    assert_eq!(results(&run, 0), [AREA as i64, 2, 0]);
    assert_eq!(results(&run, 1), [2, 1, -3]);
    assert_eq!((word(&mut run, AREA), word(&mut run, joined)), (u32::from_le_bytes(*b"shar"), 0));
    assert!(!run.kernel.has_threads(1) && run.kernel.threads.len() == 1);
}

#[test]
fn wakes_go_in_the_order_of_waiting_to_those_whose_bits_meet() {
    let (a, b) = (AREA, AREA + 8);
    let waiter = |bits| vec![call(nr::futex, &[a, WAIT_BITSET | 128, 0, 0, 0, bits]), call(nr::exit, &[0])];
    let yields = |n| vec![call(nr::sched_yield, &[]); n];
    let mut first = vec![map(), Step::Thread(1, b), Step::Thread(2, b), Step::Thread(3, b)];
    first.extend(yields(3));
    first.extend([
        call(nr::futex, &[a, WAKE_BITSET, 9, 0, 0, 4]),
        call(nr::futex, &[a, WAKE_BITSET, 9, 0, 0, 2]),
        call(nr::futex, &[a, WAKE, 1]),
        call(nr::futex, &[a, CMP_REQUEUE, 0, 9, b, 1]),
        call(nr::futex, &[a, CMP_REQUEUE, 0, 9, b, 0]),
        call(nr::futex, &[a, WAIT, 1, 0]),
        call(nr::futex, &[a + 2, WAIT, 0, 0]),
        call(nr::futex, &[a, WAIT_BITSET, 0, 0, 0, 0]),
        words(AREA + 0x40, &[0, 5_000_000]),
        call(nr::futex, &[a, WAIT, 0, AREA + 0x40]),
        rest(),
    ]);
    let run = run(vec![first, waiter(1), waiter(2), waiter(1)]);
    assert_eq!(results(&run, 0)[4..7], [0, 0, 0], "sched_yield");
    assert_eq!(results(&run, 0)[7..], [0, 1, 1, EAGAIN, 1, EAGAIN, EINVAL, EINVAL, ETIMEDOUT]);
    for n in 1..4 {
        assert_eq!(results(&run, n), [0], "waiter {n}");
    }
}

#[test]
fn who_dies_with_a_robust_futex_leaves_it_to_the_next() {
    let (head, entry, futex) = (AREA + 0x100, AREA + 0x110 + 8, AREA + 0x130);
    let held = 0x8000_0002u64;
    let run = run(vec![
        vec![
            map(),
            words(futex, &[held]),
            Step::Thread(1, AREA),
            call(nr::futex, &[futex, WAIT, held, 0]),
            words(AREA + 0x40, &[0, 0]),
            call(nr::futex, &[futex, WAIT, 0xc000_0000, AREA + 0x40]),
            rest(),
        ],
        vec![
            words(head, &[entry, futex - entry, 0]),
            words(entry, &[head]),
            call(nr::set_robust_list, &[head, 24]),
            call(nr::getppid, &[]),
            call(nr::exit, &[0]),
        ],
    ]);
    assert_eq!(results(&run, 0)[2..], [0, ETIMEDOUT], "woken, and the value says so");
}

#[test]
fn execve_of_a_second_thread_leaves_one_with_the_number_of_the_process() {
    let run = run(vec![
        vec![map(), call(nr::gettid, &[]), Step::Thread(1, AREA + 8), rest()],
        vec![call(nr::gettid, &[]), text(AREA + 0x100, "/bin/init"), call(nr::execve, &[AREA + 0x100, 0, 0])],
    ]);
    let first: Vec<i64> = results(&run, 0).chunks_exact(3).map(|c| c[1]).collect();
    assert!(first.len() > 2 && first.iter().all(|tid| *tid == 1), "{first:?}");
    assert_eq!(results(&run, 1)[..2], [2, 3], "numbers that are given once");
    assert_eq!(run.kernel.processes.len(), 1);
}

#[test]
fn exit_group_of_any_thread_ends_all_with_its_status() {
    let run = run(vec![
        vec![map(), Step::Thread(1, AREA), Step::Thread(2, AREA), rest()],
        vec![rest()],
        vec![call(nr::getppid, &[]), call(nr::exit_group, &[7])],
    ]);
    let outside = run.outside.borrow();
    let last = outside.votes.iter().map(|v| postcard::from_bytes::<Vote<'_>>(v).unwrap()).next_back();
    assert!(
        matches!(last, Some(Vote::Effect { kind: EffectKind::Exit, payload, .. }) if payload == 0x700i32.to_le_bytes()),
        "{last:?}"
    );
}

#[test]
fn a_child_of_one_thread_is_waited_for_by_another_and_signals_find_whom_they_are_for() {
    let action = |at| words(at, &[HANDLER, 0, 0, 0]);
    let run = run(vec![
        vec![
            map(),
            action(AREA + 0x80),
            call(nr::rt_sigaction, &[10, AREA + 0x80, 0, 8]),
            words(AREA + 0xc0, &[1 << 9]),
            call(nr::rt_sigprocmask, &[0, AREA + 0xc0, 0, 8]),
            Step::Thread(1, AREA),
            Step::Fork(17, 2),
            rest(),
        ],
        vec![
            words(AREA + 0xc8, &[0]),
            call(nr::rt_sigprocmask, &[2, AREA + 0xc8, 0, 8]),
            // The signal is blocked by the first thread, so it is for this one.
            call(nr::wait4, &[u64::MAX, 0, 0, 0]),
            call(nr::wait4, &[u64::MAX, 0, 0, 0]),
            call(nr::tgkill, &[1, 1, 10]),
            call(nr::rt_sigpending, &[AREA + 0xd0, 8]),
            rest(),
        ],
        vec![call(nr::kill, &[1, 10]), call(nr::exit, &[0])],
    ]);
    assert_eq!(results(&run, 1), [0, -4, 3, 0, 0]);
    assert_eq!(run.kernel.threads[&1].pending, 1 << 9, "blocked by whom it is for alone");
    assert_eq!(run.kernel.threads[&2].pending, 0);
}

/// Whoever is skipped, wherever: the others wait until it is back, and in the end all is as without the skip.
#[test]
fn a_skipped_sharer_goes_on_alone() {
    let scripts = || {
        let worker = |n: u64| {
            vec![
                call(nr::getppid, &[]),
                words(AREA + 0x200 + 8 * n, &[n]),
                call(nr::sched_yield, &[]),
                call(nr::getppid, &[]),
                call(nr::exit, &[0]),
            ]
        };
        let mut first = vec![map()];
        first.extend((1..4).map(|n| Step::Thread(n, AREA + 8 * n as u64)));
        first.extend((1..4).map(|n| call(nr::futex, &[AREA + 8 * n, WAIT, n + 1, 0])));
        first.push(rest());
        vec![first, worker(1), worker(2), worker(3)]
    };
    let image = image(&[("bin", 0o40755, vec![]), ("bin/init", 0o100755, elf())]);
    let mut skipped = 0;
    for at in 0..24 {
        for serial in 1..=4 {
            let mut run = Run::new(image, scripts());
            run.kernel.boot = boot_entry();
            let entry = boot_entry();
            let Ok(Entry::Boot(boot)) = postcard::from_bytes(&entry) else { panic!("Boot") };
            run.outside.borrow_mut().log.extend(log(Some((serial, at))));
            run.kernel.start(&boot);
            let mut was_outside = false;
            let before = run.outside.borrow().waits;
            while run.outside.borrow().waits == before {
                run.kernel.cycle();
                let place = |s: &u64| run.kernel.threads.get(s).map(|t| t.place);
                let outside = (1..=4).find(|s| matches!(place(s), Some(Place::Outside { .. })));
                if outside.is_some() && run.kernel.threads.len() > 1 {
                    was_outside = true;
                    assert!(run.kernel.turn.round.is_empty(), "another sharer is in the round");
                }
            }
            skipped += usize::from(was_outside);
            if (1..=4)
                .any(|s| run.kernel.threads.get(&s).is_some_and(|t| matches!(t.place, Place::Outside { .. })))
            {
                // Another thread than the log brings back.
                continue;
            }
            for n in 1..4 {
                assert_eq!(word(&mut run, AREA + 0x200 + 8 * n), n as u32, "skip at {at}");
                assert_eq!(word(&mut run, AREA + 8 * n), 0, "skip at {at}");
            }
            assert_eq!(run.kernel.threads.len(), 1, "skip at {at}");
        }
    }
    assert!(skipped > 20, "{skipped} skips hit");
}

#[test]
fn the_memory_of_threads_is_told_of_at_the_sync_point_and_there_is_no_snapshot() {
    let run = run(vec![vec![map(), Step::Thread(1, AREA), rest()], vec![rest()]]);
    let outside = run.outside.borrow();
    let votes: Vec<Vote<'_>> = outside.votes.iter().map(|v| postcard::from_bytes(v).unwrap()).collect();
    let told = votes.windows(2).filter(|w| {
        matches!((&w[0], &w[1]), (Vote::Passed { s, .. }, Vote::Memory { s: of, process: 1, .. }) if s == of)
    });
    assert!(told.count() > 50);
    assert!(!votes.iter().any(|v| matches!(v, Vote::Snapshot { .. })));
}
