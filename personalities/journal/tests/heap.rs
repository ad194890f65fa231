//! The name of a heap of which mremap moved parts away, as Linux 6.1 has it.

#[macro_use]
mod board;

use abi::linux::nr;
use board::script::{ANY, Call, HEAP, HERE, LAST, OUT, SYNC, data, place, run, shows};
use journal::machine::User;

const MAPS_PATH: &[&str] = &["/proc/self/maps"];
const PAGE: u64 = 4096;
const BELOW: u64 = 0x30_0000;
const ELSEWHERE: u64 = 0x31_0000;

const fn heap(page: u64) -> u64 {
    HEAP + page * PAGE
}
const fn map(at: u64) -> Call {
    (nr::mmap, [at, PAGE, 3, 0x32, u64::MAX, 0], at as i64)
}
const fn move_to(from: u64, pages: u64, to: u64) -> Call {
    (nr::mremap, [from, pages * PAGE, pages * PAGE, 3, to, 0], to as i64)
}
const fn grow(from: u64, before: u64, pages: u64, may_move: u64, x0: i64) -> Call {
    (nr::mremap, [from, before * PAGE, pages * PAGE, may_move, 0, 0], x0)
}
const MAPS: &[Call] = &[
    (nr::openat, [HERE, place(MAPS_PATH, MAPS_PATH[0]), 0, 0, 0, 0], 3),
    (nr::read, [3, OUT, 4000, 0, 0, 0], ANY),
    (nr::write, [1, OUT, LAST, 0, 0, 0], ANY),
    (nr::close, [3, 0, 0, 0, 0, 0], 0),
    SYNC,
];

/// What is moved away joins what is alike, so that it is one mapping with it.
const AWAY: &[Call] = &[
    (nr::brk, [0; 6], HEAP as i64),
    (nr::brk, [heap(6), 0, 0, 0, 0, 0], heap(6) as i64),
    map(BELOW + PAGE),
    move_to(heap(1), 1, BELOW),
    move_to(BELOW, 2, ELSEWHERE),
];
/// In place, beyond the break.
const GROW: &[Call] = &[grow(heap(4), 2, 3, 0, heap(4) as i64)];
/// Where it can't grow it goes; back in its place it is without a name still.
const BACK: &[Call] = &[map(heap(7)), grow(heap(6), 1, 3, 1, ANY), move_to(ELSEWHERE, 1, heap(1))];

/// Start and end of the lines with the heap's name, in pages from its start.
fn heap_of(maps: &str) -> Vec<[u64; 2]> {
    let place = |line: &str| {
        let (start, rest) = line.split_once('-').unwrap();
        [start, rest.split(' ').next().unwrap()].map(|n| u64::from_str_radix(n, 16).unwrap())
    };
    let all: Vec<_> = maps.lines().filter(|l| l.ends_with("[heap]")).map(place).collect();
    all.iter().map(|place| place.map(|n| (n - all[0][0]) / PAGE)).collect()
}

#[test]
fn what_is_moved_away_from_the_heap_has_no_name() {
    let calls = |u: &mut User| run(u, &[AWAY, MAPS, GROW, MAPS, BACK, MAPS].concat());
    let said = shows(&data(MAPS_PATH), 2, calls);
    let [away, grown, back] = &said[..] else { panic!("{said:?}") };
    assert!(away.starts_with("00310000-00312000 rw-p 00000000 00:00 0 \n"), "{away}");
    assert_eq!(heap_of(away), [[0, 1], [2, 6]], "{away}");
    assert_eq!(heap_of(grown), [[0, 1], [2, 7]], "{grown}");
    assert!(back.starts_with("00311000-00312000 rw-p 00000000 00:00 0 \n"), "{back}");
    assert_eq!(heap_of(back), [[0, 1], [2, 6]], "{back}");
    // Below, in its old place, behind the heap, and where there was room.
    assert_eq!(back.lines().filter(|l| l.ends_with(" rw-p 00000000 00:00 0 ")).count(), 4, "{back}");
}
