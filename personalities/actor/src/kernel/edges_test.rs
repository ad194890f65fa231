//! Edges of the contract at which kernels did apart from Linux: links of zombies, texts longer than a path, the moved heap.

use super::linux_test::answer;
use super::names_test::{open, path, remove, rename};
use super::test::{DATA, Fake, kernel, root};
use super::*;
use abi::linux::nr;

const AT_CWD: i64 = -100;
const NO_FOLLOW: i64 = 0x100;
const ENOENT: i64 = -2;
const EFAULT: i64 = -14;
const ERANGE: i64 = -34;
const ENAMETOOLONG: i64 = -36;
const O_RDWR: i64 = 2;
const O_CREAT: i64 = 0o100;
const O_PATH: i64 = 0o10000000;
const MADE: i64 = O_RDWR | O_CREAT;

/// What readlink, stat, open, execve, chdir and lstat make of a zombie's links.
fn asks_zombie(k: &mut Kernel<Fake>, pid: i64, name: &str) -> [i64; 6] {
    let (link, out) = (format!("/proc/{pid}/{name}"), DATA as i64 + 0x800);
    let at = path(k, 0, &link);
    [
        answer(k, nr::readlinkat, &[AT_CWD, at, out, 64]),
        answer(k, nr::newfstatat, &[AT_CWD, at, out, 0]),
        answer(k, nr::openat, &[AT_CWD, at, O_PATH, 0]),
        k.executable(1, link.as_bytes()).map(|_| 0).unwrap_or_else(|errno| errno.result() as i64),
        answer(k, nr::chdir, &[at]),
        answer(k, nr::newfstatat, &[AT_CWD, at, out, NO_FOLLOW]),
    ]
}

/// As a kernel that goes on from a snapshot has it.
fn behind_a_snapshot(mut k: Kernel<Fake>) -> Kernel<Fake> {
    k.take_snapshot(1);
    k.makes(1, nr::getpid, &[]);
    Kernel::resume(Fake::default(), &k.machine.snapshot, root(), 50_000).unwrap()
}

#[test]
fn the_links_of_a_zombie_are_there_and_lead_nowhere() {
    let mut k = kernel();
    let pid = answer(&mut k, nr::clone, &[17, 0, 0, 0, 0]);
    let serial = k.processes.by_pid(pid as u32).unwrap().serial;
    assert_eq!(asks_zombie(&mut k, pid, "cwd")[5], 0);
    assert!(asks_zombie(&mut k, pid, "exe")[0] > 0);
    k.end(serial, 0);
    let nowhere = [ENOENT, ENOENT, ENOENT, ENOENT, ENOENT, 0];
    let mut kernels = [behind_a_snapshot(kernel_with_zombie()), k];
    for (k, name) in [(0, "exe"), (0, "cwd"), (1, "exe"), (1, "cwd")] {
        assert_eq!(asks_zombie(&mut kernels[k], pid, name), nowhere, "{k} {name}");
    }
}

fn kernel_with_zombie() -> Kernel<Fake> {
    let mut k = kernel();
    let pid = k.makes(1, nr::clone, &[17]);
    k.makes(pid as Serial, nr::exit_group, &[0]);
    k
}

/// What a link of process 1 says: its length, or the error.
fn said(k: &mut Kernel<Fake>, name: &str) -> i64 {
    let at = path(k, 0, &format!("/proc/1/{name}"));
    answer(k, nr::readlinkat, &[AT_CWD, at, DATA as i64 + 0x800, 0x1400])
}

fn enter(k: &mut Kernel<Fake>, name: &str) {
    let at = path(k, 0, name);
    assert_eq!(answer(k, nr::mkdirat, &[AT_CWD, at, 0o755]), 0);
    assert_eq!(answer(k, nr::chdir, &[at]), 0);
}

/// A name that makes a path of `length` bytes below the directory of 3840 in which this kernel's process 1 is.
fn name(length: usize) -> String {
    "m".repeat(length - 3841)
}

fn deep() -> Kernel<Fake> {
    let mut k = kernel();
    (0..15).for_each(|_| enter(&mut k, &"n".repeat(255)));
    k
}

#[test]
fn a_link_s_text_is_as_long_as_a_path_at_most_and_the_link_is_followed_all_the_same() {
    let mut k = deep();
    let leads = |k: &mut Kernel<Fake>, link: &str| {
        let at = path(k, 0, &format!("/proc/1/{link}"));
        assert_eq!(answer(k, nr::newfstatat, &[AT_CWD, at, DATA as i64 + 0x800, 0]), 0, "{link}");
        assert!(answer(k, nr::openat, &[AT_CWD, at, O_PATH, 0]) > 2, "{link}");
    };
    let file = open(&mut k, &name(4095), MADE);
    let link = format!("fd/{file}");
    assert_eq!(said(&mut k, &link), 4095);
    for (length, expected) in [(4096, ENAMETOOLONG), (4085, 4085)] {
        rename(&mut k, &name(if length == 4096 { 4095 } else { 4096 }), &name(length));
        assert_eq!(said(&mut k, &link), expected);
        leads(&mut k, &link);
    }
    // With ` (deleted)`, which is ten bytes.
    let other = open(&mut k, &name(4086), MADE);
    [4085, 4086].iter().for_each(|length| remove(&mut k, &name(*length), 0));
    assert_eq!(said(&mut k, &link), 4095);
    assert_eq!(said(&mut k, &format!("fd/{other}")), ENAMETOOLONG);
    leads(&mut k, &format!("fd/{other}"));
    // The program's, in `maps` also, which tells it whole.
    rename(&mut k, "/init", &name(4095));
    assert_eq!(said(&mut k, "exe"), 4095);
    rename(&mut k, &name(4095), &name(4096));
    assert_eq!(said(&mut k, "exe"), ENAMETOOLONG);
    leads(&mut k, "exe");
    let maps = k.memory.space(k.space_of(1).unwrap()).unwrap().maps().unwrap();
    let paths = maps
        .split(|b| *b == b'\n')
        .filter_map(|line| Some(line.len() - line.iter().position(|b| *b == b'/')?));
    assert!(paths.collect::<Vec<_>>().starts_with(&[4096]));
}

#[test]
fn getcwd_looks_whether_its_directory_is_there_then_at_the_path_then_at_the_room_then_at_the_place() {
    let mut k = deep();
    let (there, nowhere) = (DATA as i64 + 0x800, 8);
    let all = |k: &mut Kernel<Fake>| {
        let ask = [(there, 4096), (nowhere, 4096), (there, 4095), (nowhere, 1)];
        ask.map(|(at, room)| answer(k, nr::getcwd, &[at, room]))
    };
    enter(&mut k, &name(4095));
    assert_eq!(all(&mut k), [4096, EFAULT, ERANGE, ERANGE]);
    assert_eq!(said(&mut k, "cwd"), 4095);
    rename(&mut k, &format!("../{}", name(4095)), &format!("../{}", name(4096)));
    assert_eq!(all(&mut k), [ENAMETOOLONG; 4]);
    assert_eq!(said(&mut k, "cwd"), ENAMETOOLONG);
    let at = path(&mut k, 0, "/proc/1/cwd");
    assert_eq!(answer(&mut k, nr::chdir, &[at]), 0);
    remove(&mut k, &format!("../{}", name(4096)), 0x200);
    assert_eq!(all(&mut k), [ENOENT; 4]);
}

const PAGE: i64 = 4096;

/// Where `maps` of process 1 has lines in a range: its pages from `from` on, and their name.
fn named(k: &Kernel<Fake>, from: i64, pages: i64) -> Vec<(i64, i64, String)> {
    let maps = String::from_utf8(k.memory.space(k.space_of(1).unwrap()).unwrap().maps().unwrap()).unwrap();
    let lines = maps.lines().filter_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let page = |text| (i64::from_str_radix(text, 16).unwrap() - from).div_euclid(PAGE);
        let name = rest.split_whitespace().nth(4).unwrap_or("");
        Some((page(start), page(end), name.to_string()))
    });
    lines.filter(|(start, end, _)| *start < pages && *end > 0).collect()
}

#[test]
fn what_mremap_moves_away_from_the_heap_has_no_name_and_what_grows_in_place_keeps_it() {
    let (may_move, fixed, keep) = (1, 2, 4);
    let mut k = kernel();
    let heap = (answer(&mut k, nr::brk, &[0]) + PAGE - 1) / PAGE * PAGE;
    assert_eq!(answer(&mut k, nr::brk, &[heap + 8 * PAGE]), heap + 8 * PAGE);
    let place = 0x50_0000_0000;
    // Anonymous neighbours on both sides of where it goes.
    for at in [place, place + 3 * PAGE] {
        assert_eq!(answer(&mut k, nr::mmap, &[at, PAGE, 3, 0x32, -1, 0]), at);
    }
    let moved =
        answer(&mut k, nr::mremap, &[heap + 2 * PAGE, 2 * PAGE, 2 * PAGE, may_move | fixed, place + PAGE]);
    assert_eq!(moved, place + PAGE);
    assert_eq!(answer(&mut k, nr::mremap, &[heap + 7 * PAGE, PAGE, 2 * PAGE, 0, 0]), heap + 7 * PAGE);
    let grown = answer(&mut k, nr::mremap, &[heap + PAGE, PAGE, 2 * PAGE, 0, 0]);
    assert_eq!(grown, heap + PAGE);
    let kept =
        answer(&mut k, nr::mremap, &[heap + 5 * PAGE, PAGE, PAGE, may_move | fixed | keep, place + 9 * PAGE]);
    assert_eq!(kept, place + 9 * PAGE);
    let check = |k: &Kernel<Fake>| {
        let name = |start, end, name: &str| (start, end, name.to_string());
        assert_eq!(named(k, heap, 12), [name(0, 3, "[heap]"), name(4, 9, "[heap]")]);
        assert_eq!(named(k, place, 12), [name(0, 4, ""), name(9, 10, "")]);
    };
    check(&k);
    check(&behind_a_snapshot(k));
}
