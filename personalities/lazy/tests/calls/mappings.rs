//! Mappings in pieces: what puts them together again, and where this kernel's own memory ends.

use super::program::Step;
use super::program::check::*;
use super::program::run::{HERE, Run, call, text, words};
use abi::layout::layout;
use abi::linux::nr;
use lazy::files::procfs::Node;

/// 64 pages that are only read, and cost no charge.
const PIECES: u64 = 0x4000_0000;
const PAGES: u64 = 64;

fn at(page: u64) -> u64 {
    PIECES + page * 4096
}

fn mapped(rights: u64) -> Step {
    call(nr::mmap, &[PIECES, PAGES * 4096, rights, 0x32, u64::MAX, 0])
}

/// How many mappings there are from PIECES on, up to the stack.
fn pieces(run: &Run) -> usize {
    let space = run.kernel.processes[&1].space.unwrap();
    run.kernel.memory.spaces.get(space).unwrap().map.within(PIECES, at(PAGES)).count()
}

#[test]
fn a_heap_that_is_full_takes_no_piece_more() {
    let cut = |page| call(nr::munmap, &[at(page), 4096]);
    check(
        vec![mapped(1), text(AREA, "/proc/self/maps")],
        vec![
            (cut(1), 0),
            (Step::Room(0), 0),
            (cut(3), ENOMEM),
            (call(nr::munmap, &[at(2) + 1, 4096]), EINVAL),
            // What cuts nothing in two is given back.
            (cut(0), 0),
            (call(nr::munmap, &[at(2), PAGES * 4096]), 0),
            (call(nr::clone, &[17, 0, 0, 0, 0]), ENOMEM),
            (Step::Room(100), 0),
            (call(nr::clone, &[17, 0, 0, 0, 0]), ENOMEM),
            (call(nr::openat, &[HERE, AREA, 0, 0]), ENOMEM),
            (Step::Room(1 << 20), 0),
            (call(nr::openat, &[HERE, AREA, 0, 0]), 3),
        ],
    );
}

#[test]
fn a_file_in_many_pieces_is_mapped_if_the_heap_holds_them_twice() {
    let map = call(nr::mmap, &[at(0), 4096, 1, 0x12, 4, 0]);
    check(
        files(),
        vec![
            (call(nr::pwrite64, &[4, AREA, 1, 0]), 1),
            (call(nr::pwrite64, &[4, AREA, 1, 1 << 39]), 1),
            (Step::Room(2000), 0),
            (map.clone(), ENOMEM),
            (Step::Room(100_000), 0),
            (map, at(0) as i64),
        ],
    );
}

#[test]
fn a_fault_that_needs_more_heap_than_there_is_ends_its_process() {
    let store = Step::Store(at(1), vec![1]);
    let run = check_all(
        vec![mapped(3), store.clone(), Step::Store(AREA, vec![1])],
        vec![(Step::Fork(17, 1), 2), (call(nr::wait4, &[2, AREA, 0, 0]), 2), (Step::Room(1 << 20), 0)],
        vec![Step::Room(0), store],
    );
    let space = run.kernel.processes[&1].space.unwrap();
    let mut memory = run.kernel.memory;
    // By SIGKILL.
    assert_eq!(memory.read_u32(space, AREA), Ok(9));
}

#[test]
fn rights_that_go_back_and_forth_leave_no_pieces() {
    let protect = |page, n: u64, rights| call(nr::mprotect, &[at(page), n * 4096, rights]);
    let mut script = vec![];
    for page in [5, 9, 7, 6, 8, 0, 63] {
        script.extend([(protect(page, 1, 1), 0), (protect(page, 1, 3), 0)]);
    }
    script.extend([(protect(3, 1, 1), 0), (protect(20, 4, 1), 0), (protect(0, PAGES, 3), 0)]);
    let run = check(vec![mapped(3)], script);
    assert_eq!(pieces(&run), 1);
}

#[test]
fn pages_that_are_given_back_are_zero_and_leave_the_mapping_whole() {
    let give = |page: u64, n: u64| call(nr::madvise, &[at(page), n * 4096, 4]);
    let send = |page: u64| call(nr::sendfile, &[4, 3, at(page), 1]);
    let mut setup = vec![mapped(3)];
    setup.extend(files());
    // A word that is no more than a position; zero again, it is one that leads to the first byte.
    setup.extend([2, 3, 4].map(|p| words(at(p), &[9])));
    let run = check(
        setup,
        vec![
            (give(3, 1), 0),
            (send(2), 1),
            (send(3), 1),
            (send(4), 1),
            (call(nr::pread64, &[4, AREA, 3, 0]), 3),
            (give(0, PAGES), 0),
            (call(nr::munmap, &[at(10), 4096]), 0),
            (give(8, 4), ENOMEM),
            (give(11, 1), 0),
        ],
    );
    assert_eq!(pieces(&run), 2);
    let space = run.kernel.processes[&1].space.unwrap();
    let mut memory = run.kernel.memory;
    let (mut sent, mut page) = ([0; 3], [1; 8]);
    memory.read(space, AREA, &mut sent).unwrap();
    assert_eq!(&sent, b"909");
    memory.read(space, at(4), &mut page).unwrap();
    assert_eq!(page, [0; 8]);
}

#[test]
fn advice_is_looked_at_before_the_place_and_the_length() {
    let advise = |start: u64, length: u64, advice: u64| call(nr::madvise, &[start, length, advice]);
    let known = || (0..=4).chain(8..=25).chain([100, 101]);
    let mut script = vec![];
    for advice in (5..8).chain(26..100).chain(102..200).chain([1 << 31, u64::MAX]) {
        script.extend([0, 4096].map(|length| (advise(at(0), length, advice), EINVAL)));
    }
    for advice in known() {
        script.extend([
            (advise(at(0), 4096, advice), 0),
            // It is an int.
            (advise(at(0), 4096, advice | 1 << 32), 0),
            (advise(at(0) + 1, 4096, advice), EINVAL),
            (advise(at(0) + 1, 0, advice), EINVAL),
            (advise(at(0), u64::MAX, advice), EINVAL),
            (advise(at(0), at(0).wrapping_neg(), advice), EINVAL),
            (advise(NOWHERE, 0, advice), 0),
            (advise(NOWHERE, 4096, advice), ENOMEM),
            (advise(NOWHERE, 4096, advice | 7 << 32), ENOMEM),
        ]);
    }
    // Holes at the beginning, in the middle and at the end; two neighbours are none.
    script.extend([
        (call(nr::munmap, &[at(10), 4096]), 0),
        (call(nr::mprotect, &[at(20), 4096, 1]), 0),
        (call(nr::munmap, &[at(0), 4096]), 0),
    ]);
    for advice in known() {
        let over = |page: u64, pages: u64| advise(at(page), pages * 4096, advice);
        let whole = [(over(1, 9), 0), (over(11, 53), 0), (over(9, 1), 0), (over(10, 0), 0)];
        script.extend(whole.into_iter().chain(
            [(0, 2), (8, 4), (9, 2), (10, 1), (10, 2), (60, 5), (1, 64)].map(|(p, n)| (over(p, n), ENOMEM)),
        ));
    }
    check(vec![mapped(3)], script);
}

#[test]
fn room_for_the_stack_below_its_lowest_touched_page_is_a_hole() {
    let stack = |page: u64| layout(&[7; 32], 0).stack_top - page * 4096;
    let mut script = vec![];
    // What exec puts there takes a page; a program then touches one further down.
    for lowest in [1, 4] {
        script.push((words(stack(lowest), &[7]), 0));
        for advice in (0..=4).chain(8..=25).chain([100, 101]) {
            let over = |page, pages: u64| call(nr::madvise, &[stack(page), pages * 4096, advice]);
            script.extend([(over(lowest, lowest), 0), (over(lowest + 1, 1), ENOMEM)]);
            script.extend([(over(lowest + 1, 2), ENOMEM), (over(lowest + 100, 101), ENOMEM)]);
        }
        let protect = |page, pages: u64, rights| call(nr::mprotect, &[stack(page), pages * 4096, rights]);
        script.extend([
            (protect(lowest + 1, 1, 3), ENOMEM),
            // What lies behind the hole keeps its rights.
            (protect(lowest + 1, 2, 1), ENOMEM),
            (words(stack(lowest), &[8]), 0),
            (protect(lowest, lowest, 3), 0),
            (call(nr::mremap, &[stack(lowest + 1), 4096, 4096, 1]), EFAULT),
        ]);
    }
    let run = check(vec![], script);
    assert_eq!(lines(&run, stack(100), stack(0)), [(stack(4), stack(0), "[stack]".to_string())]);
}

/// The lines of `maps` from `from` to `to`: place, and what stands behind it.
fn lines(run: &Run, from: u64, to: u64) -> Vec<(u64, u64, String)> {
    let maps = run.kernel.proc_text(Node::Entry(1, b"maps")).expect("there is room");
    let line = |l: &str| {
        let (start, rest) = l.split_once('-')?;
        let (end, _) = rest.split_once(' ')?;
        let [start, end] = [start, end].map(|n| u64::from_str_radix(n, 16).expect("a number"));
        Some((start, end, l.split_whitespace().nth(5).unwrap_or_default().to_string()))
    };
    let lines = String::from_utf8(maps).expect("plain names");
    lines.lines().filter_map(line).filter(|l| (from..to).contains(&l.0)).collect()
}

#[test]
fn what_leaves_the_heap_has_no_name_and_what_stays_or_grows_in_place_keeps_it() {
    let heap = |page: u64| 0x13000 + layout(&[7; 32], 0).brk_gap + 4096 * page;
    let moves = |from: u64, old: u64, new: u64, to: u64| {
        (call(nr::mremap, &[from, old * 4096, new * 4096, 3, to]), to as i64)
    };
    let anonymous =
        |page: u64, n: u64| (call(nr::mmap, &[at(page), n * 4096, 3, 0x32, u64::MAX, 0]), at(page) as i64);
    let run = check(
        vec![],
        vec![
            (call(nr::brk, &[heap(8)]), heap(8) as i64),
            (words(heap(2), &[7]), 0),
            moves(heap(2), 2, 2, at(0)),
            // It is one with such neighbours, above and below.
            anonymous(2, 1),
            moves(at(0), 3, 3, at(16)),
            anonymous(15, 1),
            moves(at(15), 4, 4, at(24)),
            moves(heap(4), 1, 3, at(32)),
            moves(heap(5), 2, 1, at(40)),
            (call(nr::mremap, &[heap(7), 4096, 2 * 4096, 1]), heap(7) as i64),
        ],
    );
    let line = |start: u64, end: u64, name: &str| (start, end, name.to_string());
    assert_eq!(
        lines(&run, heap(0), heap(20)),
        [line(heap(0), heap(2), "[heap]"), line(heap(7), heap(9), "[heap]")]
    );
    let moved = [line(at(24), at(28), ""), line(at(32), at(35), ""), line(at(40), at(41), "")];
    assert_eq!(lines(&run, at(0), at(PAGES)), moved);
    assert_eq!(bytes_at(run, at(25), 1), [7]);
}

/// What is written to a part of a file's mapping is neither seen nor lost by another part that grows to those pages.
#[test]
fn a_part_of_a_files_mapping_grows_into_the_file_alone() {
    let moves = |pages: u64, to| (call(nr::mremap, &[at(0), 4096, pages * 4096, 3, to]), to as i64);
    let begin = || {
        vec![
            (call(nr::pwrite64, &[4, AREA, 1, 0x3fff]), 1),
            (call(nr::mmap, &[at(0), 4 * 4096, 3, 0x12, 4, 0]), at(0) as i64),
            (words(at(3), &[7]), 0),
            moves(4, at(16)),
        ]
    };
    let then = |step: Step, result: i64| {
        let mut script = begin();
        script.push((step, result));
        check(files(), script)
    };
    assert_eq!(bytes_at(then(call(nr::munmap, &[at(16), 4 * 4096]), 0), at(3), 1), [7]);
    assert_eq!(bytes_at(then(words(at(19), &[9]), 0), at(3), 1), [7]);
    assert_eq!(bytes_at(then(words(at(17), &[9]), 0), at(19), 1), [0]);
}
