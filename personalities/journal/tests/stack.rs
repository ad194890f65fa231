//! The room for the stack below its lowest touched page, as Linux 6.1 has it: a hole to madvise, mprotect and mremap. What is done to it and to the stack
//! goes on so from a snapshot, and in memory digests.

#[macro_use]
mod board;

use abi::linux::nr;
use abi::vote::Vote;
use board::script::{ANY, Call, HERE, LAST, OUT, SYNC, data, place, run, shows, votes};
use journal::machine::User;
use std::collections::BTreeMap;

const MAPS_PATH: &[&str] = &["/proc/self/maps"];
const EFAULT: i64 = -14;
const ENOMEM: i64 = -12;
const PAGE: u64 = 4096;
const DONTNEED: u64 = 4;
const MAY_MOVE: u64 = 1;
const ELSEWHERE: u64 = 0x30_0000;

const fn advise(at: u64, pages: u64, advice: u64, x0: i64) -> Call {
    (nr::madvise, [at, pages * PAGE, advice, 0, 0, 0], x0)
}
const fn protect(at: u64, pages: u64, rights: u64, x0: i64) -> Call {
    (nr::mprotect, [at, pages * PAGE, rights, 0, 0, 0], x0)
}
const fn remap(at: u64, before: u64, pages: u64, flags: u64, x0: i64) -> Call {
    (nr::mremap, [at, before * PAGE, pages * PAGE, flags, 0, 0], x0)
}
const fn move_to(from: u64, to: u64) -> Call {
    (nr::mremap, [from, PAGE, PAGE, 3, to, 0], to as i64)
}
const fn map(at: u64) -> Call {
    (nr::mmap, [at, PAGE, 3, 0x32, u64::MAX, 0], at as i64)
}
const fn unmap(at: u64, pages: u64) -> Call {
    (nr::munmap, [at, pages * PAGE, 0, 0, 0, 0], 0)
}
/// Touches a page, if it can be written.
const fn touch(at: u64, x0: i64) -> Call {
    (nr::getcwd, [at, 8, 0, 0, 0, 0], x0)
}
const MAPS: [Call; 5] = [
    (nr::openat, [HERE, place(MAPS_PATH, MAPS_PATH[0]), 0, 0, 0, 0], 3),
    (nr::read, [3, OUT, 4000, 0, 0, 0], ANY),
    (nr::write, [1, OUT, LAST, 0, 0, 0], ANY),
    (nr::close, [3, 0, 0, 0, 0, 0], 0),
    SYNC,
];

/// `low`: the lowest touched page.
fn hole(low: u64) -> Vec<Call> {
    let below = low - PAGE;
    let mut calls = vec![SYNC];
    for advice in [0, 1, 2, 3, 8, 10, 14, 25, DONTNEED] {
        calls.push(advise(low, 1, advice, 0));
        calls.extend(
            [(below, 1), (below, 2), (low - 9 * PAGE, 3)].map(|(at, n)| advise(at, n, advice, ENOMEM)),
        );
    }
    calls.extend([
        protect(below, 1, 1, ENOMEM),
        protect(below, 2, 1, ENOMEM),
        protect(low - 9 * PAGE, 2, 1, ENOMEM),
        // Nothing was changed.
        touch(low, 2),
        remap(below, 1, 1, 0, EFAULT),
        remap(below, 2, 1, 0, EFAULT),
        remap(below, 1, 2, MAY_MOVE, EFAULT),
        (nr::mremap, [below, PAGE, PAGE, 3, ELSEWHERE, 0], EFAULT),
        SYNC,
    ]);
    // It still is room, and no hole when it was touched.
    calls.extend([touch(below, 2), advise(below, 1, 0, 0), advise(below, 2, DONTNEED, 0), SYNC]);
    calls
}

/// The room is as its lowest page is.
fn rights(low: u64) -> Vec<Call> {
    let below = low - PAGE;
    vec![
        protect(low, 1, 1, 0),
        SYNC,
        touch(low, EFAULT),
        touch(below, EFAULT),
        protect(low, 1, 3, 0),
        SYNC,
        touch(below, 2),
        SYNC,
    ]
}

/// What is mapped in the room ends it, and grows into it; what is unmapped of it is room again.
fn bounds(low: u64) -> Vec<Call> {
    let (above, below, apart) = (low + PAGE, low - PAGE, low - 600 * PAGE);
    vec![
        map(apart),
        SYNC,
        touch(apart - PAGE, EFAULT),
        remap(apart, 1, 2, 0, apart as i64),
        advise(apart, 2, 0, 0),
        advise(apart, 3, 0, ENOMEM),
        protect(apart, 3, 1, ENOMEM),
        touch(apart, EFAULT),
        touch(low - 100 * PAGE, 2),
        SYNC,
        unmap(apart, 2),
        SYNC,
        touch(apart - PAGE, 2),
        // Holes may be unmapped.
        unmap(apart - 9 * PAGE, 2),
        SYNC,
        touch(apart - 9 * PAGE, 2),
        unmap(apart - 9 * PAGE, 609),
        unmap(low, 1),
        SYNC,
        advise(low, 1, 0, ENOMEM),
        touch(below, 2),
        advise(below, 2, 0, 0),
        advise(above, 1, 0, 0),
        SYNC,
    ]
}

/// What is moved away is no stack; what grew above its place still is.
fn moved(low: u64, top: u64) -> Vec<Call> {
    let last = top - PAGE;
    vec![
        move_to(low, ELSEWHERE),
        touch(ELSEWHERE, 2),
        advise(ELSEWHERE, 1, 0, 0),
        protect(ELSEWHERE, 1, 1, 0),
        SYNC,
        remap(ELSEWHERE, 1, 2, 0, ELSEWHERE as i64),
        move_to(ELSEWHERE, top + PAGE),
        SYNC,
        unmap(top + PAGE, 1),
        remap(last, 1, 3, 0, last as i64),
        touch(top + PAGE, 2),
        SYNC,
        protect(top, 1, 1, 0),
        SYNC,
    ]
}

/// With a stack of three pages; arguments and all else at its beginning are in one.
fn program(u: &mut User, calls: impl Fn(u64) -> Vec<Call>) -> bool {
    let low = (u.sp & !(PAGE - 1)) - 2 * PAGE;
    run(u, &[&[touch(low, 2)], &calls(low)[..]].concat())
}

/// The end of the stack of the boards' programs.
fn top() -> u64 {
    abi::layout::layout(&[9; 32], 0).stack_top
}

/// Runs it as `shows` does, and holds memory digests of the runs from snapshots against those of the first.
fn agrees(snapshots_above: usize, program: fn(&mut User) -> bool) -> Vec<String> {
    let data = data(MAPS_PATH);
    let digests = |votes: &[Vec<u8>]| -> BTreeMap<u64, [u8; 32]> {
        let memory = |v: &Vec<u8>| match postcard::from_bytes(v).unwrap() {
            Vote::Memory { s, digest, .. } => Some((s, digest)),
            _ => None,
        };
        votes.iter().filter_map(memory).collect()
    };
    let all: Vec<_> = votes(&data, program).iter().map(|v| digests(v)).collect();
    assert!(all[0].len() > snapshots_above);
    for (i, again) in all.iter().enumerate().skip(1) {
        for (s, digest) in again {
            assert_eq!(Some(digest), all[0].get(s), "from snapshot {i}, sync point {s}");
        }
    }
    shows(&data, snapshots_above, program)
}

#[test]
fn room_for_the_stack_is_a_hole() {
    agrees(2, |u| program(u, hole));
}

#[test]
fn room_for_the_stack_has_its_lowest_pages_rights() {
    agrees(2, |u| program(u, rights));
}

#[test]
fn room_for_the_stack_is_what_nothing_is_mapped_in() {
    agrees(5, |u| program(u, bounds));
}

#[test]
fn what_mremap_makes_of_the_stack_is_in_snapshots() {
    let said = agrees(4, |u| program(u, |low| [&moved(low, top())[..], &MAPS].concat()));
    let [maps] = &said[..] else { panic!("{said:?}") };
    let stack: Vec<_> = maps.lines().filter(|l| l.ends_with("[stack]")).map(|l| &l[..17]).collect();
    assert!(stack.len() > 1, "{maps}");
    assert!(maps.contains(&format!("{:08x}-{:08x} r--p", ELSEWHERE + PAGE, ELSEWHERE + 2 * PAGE)), "{maps}");
}
