//! The names of what is open (`docs/linux-abi.md`), asked for as a program asks, and carried by snapshots.

use super::linux_test::answer;
use super::snapshot_test::{Scenario, exit, letters, timespec};
use super::test::{DATA, Fake, call, kernel};
use super::*;
use abi::linux::nr;

const AT_CWD: i64 = -100;
const O_CREAT_RDWR: i64 = 0o102;
const O_DIRECTORY: i64 = 0o40000;
const AT_REMOVEDIR: i64 = 0x200;
const O_PATH: i64 = 0o10000000;
const ENOENT: i64 = -2;
const ENOTDIR: i64 = -20;
const ENAMETOOLONG: i64 = -36;

/// A path in memory; two of them have room.
pub(super) fn path(k: &mut Kernel<Fake>, which: u64, text: &str) -> i64 {
    let at = DATA + which * 0x400;
    k.put(at, &[text.as_bytes(), b"\0"].concat());
    at as i64
}

pub(super) fn open(k: &mut Kernel<Fake>, text: &str, flags: i64) -> i64 {
    let at = path(k, 0, text);
    answer(k, nr::openat, &[AT_CWD, at, flags, 0o700])
}

pub(super) fn rename(k: &mut Kernel<Fake>, old: &str, new: &str) {
    let (old, new) = (path(k, 0, old), path(k, 1, new));
    assert_eq!(answer(k, nr::renameat2, &[AT_CWD, old, AT_CWD, new, 0]), 0);
}

fn link(k: &mut Kernel<Fake>, old: &str, new: &str) {
    let (old, new) = (path(k, 0, old), path(k, 1, new));
    assert_eq!(answer(k, nr::linkat, &[AT_CWD, old, AT_CWD, new, 0]), 0);
}

pub(super) fn mkdir(k: &mut Kernel<Fake>, text: &str) {
    let at = path(k, 0, text);
    assert_eq!(answer(k, nr::mkdirat, &[AT_CWD, at, 0o755]), 0);
}

pub(super) fn remove(k: &mut Kernel<Fake>, text: &str, flags: i64) {
    let at = path(k, 0, text);
    assert_eq!(answer(k, nr::unlinkat, &[AT_CWD, at, flags]), 0);
}

/// What a link of process 1 says.
fn says(k: &mut Kernel<Fake>, name: &str) -> Result<String, i64> {
    let (at, out) = (path(k, 0, &format!("/proc/1/{name}")), DATA + 0x800);
    let n = answer(k, nr::readlinkat, &[AT_CWD, at, out as i64, 0x400]);
    if n < 0 { Err(n) } else { Ok(String::from_utf8(k.bytes_in(1, out, n as usize).unwrap()).unwrap()) }
}

fn shows(k: &mut Kernel<Fake>, fd: i64, text: &str) {
    assert_eq!(says(k, &format!("fd/{fd}")).as_deref(), Ok(text));
}

/// The path of the first mapping of a file.
fn mapped(k: &mut Kernel<Fake>) -> String {
    let space = k.space_of(1).unwrap();
    let maps = String::from_utf8(k.memory.space(space).unwrap().maps().unwrap()).unwrap();
    maps.lines().find_map(|l| Some(l[l.find('/')?..].to_string())).unwrap()
}

#[test]
fn the_link_of_a_descriptor_follows_its_entry() {
    let mut k = kernel();
    mkdir(&mut k, "/d");
    let file = open(&mut k, "/d/a", O_CREAT_RDWR);
    rename(&mut k, "/d", "/g");
    rename(&mut k, "/g/a", "/g/b");
    shows(&mut k, file, "/g/b");
    let again = open(&mut k, &format!("/proc/self/fd/{file}"), 0);
    // Another hard link's entry is another's business, also once this one is removed and its name given again.
    link(&mut k, "/g/b", "/g/c");
    rename(&mut k, "/g/c", "/g/e");
    shows(&mut k, again, "/g/b");
    remove(&mut k, "/g/b", 0);
    rename(&mut k, "/g/e", "/g/b");
    for fd in [file, again] {
        shows(&mut k, fd, "/g/b (deleted)");
    }
    let other = open(&mut k, "/g/b", 0);
    shows(&mut k, other, "/g/b");
    // Renamed onto; what is opened by the link of a removed entry has that one.
    let over = open(&mut k, "/g/o", O_CREAT_RDWR);
    rename(&mut k, "/g/o", "/g/b");
    let by_link = open(&mut k, &format!("/dev/fd/{other}"), 0);
    shows(&mut k, other, "/g/b (deleted)");
    shows(&mut k, by_link, "/g/b (deleted)");
    shows(&mut k, over, "/g/b");
    let copy = answer(&mut k, nr::dup, &[other]);
    answer(&mut k, nr::close, &[other]);
    rename(&mut k, "/g", "/h");
    shows(&mut k, copy, "/h/b (deleted)");
}

#[test]
fn a_removed_directory_is_followed_through_those_above_it() {
    let mut k = kernel();
    mkdir(&mut k, "/k");
    mkdir(&mut k, "/k/l");
    let file = open(&mut k, "/k/l/a", O_CREAT_RDWR);
    let directory = open(&mut k, "/k/l", O_DIRECTORY);
    let at = path(&mut k, 0, "/k/l");
    assert_eq!(answer(&mut k, nr::chdir, &[at]), 0);
    remove(&mut k, "/k/l/a", 0);
    rename(&mut k, "/k/l", "/k/m");
    remove(&mut k, "/k/m", AT_REMOVEDIR);
    rename(&mut k, "/k", "/q");
    let here = open(&mut k, ".", O_DIRECTORY);
    for round in 0..3 {
        shows(&mut k, file, "/q/m/a (deleted)");
        shows(&mut k, directory, "/q/m (deleted)");
        shows(&mut k, here, "/q/m (deleted)");
        assert_eq!(says(&mut k, "cwd").as_deref(), Ok("/q/m (deleted)"));
        match round {
            0 => remove(&mut k, "/q", AT_REMOVEDIR),
            1 => {
                mkdir(&mut k, "/q");
                rename(&mut k, "/q", "/r");
            }
            _ => {}
        }
    }
}

#[test]
fn the_program_and_its_mappings_follow_their_entry() {
    let mut k = kernel();
    mkdir(&mut k, "/c");
    rename(&mut k, "/init", "/c/busy");
    link(&mut k, "/c/busy", "/c/third");
    let by_link = open(&mut k, "/proc/1/exe", 0);
    let all = |k: &mut Kernel<Fake>, text: &str| {
        assert_eq!(says(k, "exe").as_deref(), Ok(text));
        assert_eq!(mapped(k), text);
        shows(k, by_link, text);
    };
    all(&mut k, "/c/busy");
    let child = answer(&mut k, nr::clone, &[17, 0, 0, 0, 0]);
    remove(&mut k, "/c/busy", 0);
    rename(&mut k, "/c", "/e");
    all(&mut k, "/e/busy (deleted)");
    assert_eq!(says(&mut k, &format!("../{child}/exe")).as_deref(), Ok("/e/busy (deleted)"));
    remove(&mut k, "/e/third", 0);
    remove(&mut k, "/e", AT_REMOVEDIR);
    all(&mut k, "/e/busy (deleted)");
    answer(&mut k, nr::close, &[by_link]);
    let child = k.processes.by_pid(child as u32).unwrap().serial;
    k.end(child, 0);
    // The file is gone, and its name is still told.
    assert_eq!(says(&mut k, "exe").as_deref(), Ok("/e/busy (deleted)"));
    assert_eq!(mapped(&mut k), "/e/busy (deleted)");
}

#[test]
fn digests_do_not_tell_by_which_name_a_file_was_opened() {
    let opened = |name: &str| {
        let mut k = kernel();
        let file = open(&mut k, "/a", O_CREAT_RDWR);
        link(&mut k, "/a", "/b");
        answer(&mut k, nr::close, &[file]);
        let file = open(&mut k, name, 0);
        let at = answer(&mut k, nr::mmap, &[0, 4096, 1, 2, file, 0]);
        assert!(at > 0);
        remove(&mut k, "/a", 0);
        let mut memory = abi::digest::Encoder::new("memory");
        k.memory.space(k.space_of(1).unwrap()).unwrap().digest(&mut memory);
        // What the calls themselves left in memory is not what is compared.
        k.put(DATA, &[0; 0xc00]);
        (says(&mut k, &format!("fd/{file}")).unwrap(), k.state_digest())
    };
    let (a, b) = (opened("/a"), opened("/b"));
    assert_eq!((&*a.0, &*b.0), ("/a (deleted)", "/b"));
    assert_eq!(a.1, b.1);
}

#[test]
fn mappings_are_one_if_they_say_the_same() {
    let mut k = kernel();
    let file = open(&mut k, "/a", O_CREAT_RDWR);
    link(&mut k, "/a", "/b");
    let (same, other) = (open(&mut k, "/a", 0), open(&mut k, "/b", 0));
    let at = answer(&mut k, nr::mmap, &[0, 3 << 12, 1, 2, file, 0]);
    let mut lines = |fd: i64, number: i64| {
        let fixed = 0x12;
        assert!(answer(&mut k, nr::mmap, &[at + (number << 12), 4096, 1, fixed, fd, number << 12]) > 0);
        let space = k.space_of(1).unwrap();
        k.memory.space(space).unwrap().over(at as u64, (at + (3 << 12)) as u64).count()
    };
    assert_eq!(lines(same, 1), 1);
    assert_eq!(lines(other, 2), 2);
}

#[test]
fn maps_tells_what_is_shared() {
    let mut k = kernel();
    let file = open(&mut k, "/a", O_CREAT_RDWR);
    let (shared, private) = (1, 2);
    let mut kinds = vec![];
    for kind in [shared, private] {
        let at = answer(&mut k, nr::mmap, &[0, 4096, 1, kind, file, 0]);
        let space = k.space_of(1).unwrap();
        let maps = String::from_utf8(k.memory.space(space).unwrap().maps().unwrap()).unwrap();
        let line = maps.lines().find(|l| l.starts_with(&format!("{at:08x}-"))).unwrap();
        kinds.push(line.split(' ').nth(1).unwrap().to_string());
    }
    assert_eq!(kinds, ["r--s", "r--p"]);
}

#[test]
fn exe_leads_to_its_file_as_long_as_that_has_a_name_or_is_open() {
    let mut k = kernel();
    let lead = |k: &mut Kernel<Fake>| {
        let at = path(k, 0, "/proc/1/exe");
        let (stat, slash) = (DATA as i64 + 0x800, path(k, 1, "/proc/1/exe/"));
        let looked = answer(k, nr::newfstatat, &[AT_CWD, at, stat, 0]);
        for flags in [0, O_PATH] {
            let fd = answer(k, nr::openat, &[AT_CWD, at, flags, 0]);
            assert_eq!(fd.min(0), looked);
            answer(k, nr::close, &[fd]);
        }
        let executed =
            k.executable(1, b"/proc/1/exe").map(|_| 0).unwrap_or_else(|errno| errno.result() as i64);
        assert_eq!(executed, looked);
        let by_slash = answer(k, nr::openat, &[AT_CWD, slash, O_PATH, 0]);
        assert_eq!(by_slash, if looked == 0 { ENOTDIR } else { looked });
        looked
    };
    assert_eq!(lead(&mut k), 0);
    link(&mut k, "/init", "/other");
    remove(&mut k, "/init", 0);
    // By another hard link, then by who has it open alone.
    assert_eq!(lead(&mut k), 0);
    let held = open(&mut k, "/other", O_PATH);
    remove(&mut k, "/other", 0);
    assert_eq!(lead(&mut k), 0);
    answer(&mut k, nr::close, &[held]);
    assert_eq!(lead(&mut k), ENOENT);
    // Another file of the name is another one.
    open(&mut k, "/init", O_CREAT_RDWR);
    assert_eq!(lead(&mut k), ENOENT);
}

/// A chain of directories below the working directory, which ends up at its end.
fn descend(k: &mut Kernel<Fake>, name: &str, depth: usize) {
    let at = path(k, 0, name);
    for _ in 0..depth {
        assert_eq!(answer(k, nr::mkdirat, &[AT_CWD, at, 0o755]), 0);
        assert_eq!(answer(k, nr::chdir, &[at]), 0);
    }
}

/// Back up through such a chain, removing it.
fn ascend(k: &mut Kernel<Fake>, name: &str, depth: usize) {
    let (at, up) = (path(k, 0, name), path(k, 1, ".."));
    for _ in 0..depth {
        assert_eq!(answer(k, nr::chdir, &[up]), 0);
        assert_eq!(answer(k, nr::unlinkat, &[AT_CWD, at, AT_REMOVEDIR]), 0);
    }
}

/// Each round puts what the last one left at the end of a further chain of directories, removes all of it, and holds what was at the end of the first. What
/// the link of that said in each round, and its text at the end.
fn rounds(name: &str, count: usize) -> (Vec<Result<usize, i64>>, Res<Vec<u8>>) {
    let (mut k, depth) = (kernel(), 3000);
    let (mut held, mut child, mut said) = (0, 0, vec![]);
    for round in 0..count {
        mkdir(&mut k, "/top");
        let at = path(&mut k, 0, "/top");
        assert_eq!(answer(&mut k, nr::chdir, &[at]), 0);
        descend(&mut k, name, depth);
        if round == 0 {
            held = open(&mut k, ".", O_DIRECTORY);
            child = answer(&mut k, nr::clone, &[17, 0, 0, 0, 0]);
        } else {
            rename(&mut k, "/last", "last");
            // Another process walks it as a path, which has its own bound.
            let by_text = path(&mut k, 0, &format!("/proc/{child}/fd/{held}/x"));
            assert_eq!(answer(&mut k, nr::chdir, &[by_text]), ENAMETOOLONG);
            said.push(says(&mut k, &format!("fd/{held}")).map(|text| text.len()));
            remove(&mut k, "last", AT_REMOVEDIR);
        }
        ascend(&mut k, name, depth);
        let root = path(&mut k, 0, "/");
        assert_eq!(answer(&mut k, nr::chdir, &[root]), 0);
        rename(&mut k, "/top", "/last");
    }
    let handle = k.files.handle(1, held as u32).unwrap();
    let text = k.files.dentry_of(handle.node, handle.name.as_ref()).unwrap().text(1 << 20);
    assert_eq!(answer(&mut k, nr::close, &[held]), 0);
    // The last that holds all of them.
    let child = k.processes.by_pid(child as u32).unwrap().serial;
    k.end(child, 0);
    (said, text)
}

#[test]
fn removed_directories_below_each_other_without_end_do_no_harm() {
    // No more of them are held than hang below each other in two trees.
    let (said, text) = rounds("x", 24);
    assert_eq!(said, vec![Err(ENAMETOOLONG); 23]);
    assert!((6000..20_000).contains(&text.unwrap().len()));
    let (said, text) = rounds(&"n".repeat(255), 3);
    assert_eq!((said, text), (vec![Err(ENAMETOOLONG); 2], Err(e::ENAMETOOLONG)));
}

#[test]
fn a_snapshot_carries_names_and_they_are_followed_on() {
    let at = |name: u64| DATA + 800 + 16 * name;
    let cwd = AT_CWD as u64;
    let rename = |a: u64, b: u64| call(nr::renameat2, &[cwd, at(a), cwd, at(b), 0]);
    let sleep = call(nr::nanosleep, &[DATA + 512, 0]);
    let mut program = vec![
        call(nr::mkdirat, &[cwd, at(0), 0o755]),
        call(nr::mkdirat, &[cwd, at(1), 0o755]),
        call(nr::openat, &[cwd, at(2), 0o102, 0o600]),
        call(nr::openat, &[cwd, at(1), 0o40000, 0]),
        call(nr::pwrite64, &[3, DATA, 9, 0]),
        call(nr::mmap, &[0, 4096, 1, 2, 3, 0]),
        call(nr::openat, &[cwd, at(3), 0, 0]),
        rename(3, 4),
        sleep,
        call(nr::unlinkat, &[cwd, at(2), 0]),
        call(nr::unlinkat, &[cwd, at(1), 0x200]),
        sleep,
        // /d, in which there was /d/e/f, is /g from now on; the program in /d/i is removed and has another name in it.
        rename(0, 5),
        call(nr::linkat, &[cwd, at(6), cwd, at(7), 0]),
        call(nr::unlinkat, &[cwd, at(6), 0]),
        sleep,
        rename(5, 0),
        sleep,
    ];
    for link in [8, 9, 10, 11] {
        program.push(call(nr::readlinkat, &[cwd, at(link), DATA + 1200, 32]));
        program.push(call(nr::write, &[1, DATA + 1200, 18]));
    }
    program.push(call(nr::openat, &[cwd, at(12), 0, 0]));
    program.push(call(nr::read, &[6, DATA + 1300, 600]));
    program.push(call(nr::write, &[1, DATA + 1300, 600]));
    // The program's file has its other name.
    program.push(call(nr::openat, &[cwd, at(11), 0, 0]));
    program.push(call(nr::read, &[7, DATA + 1300, 4]));
    program.push(call(nr::write, &[1, DATA + 1300, 4]));
    program.push(exit(0));
    let names = [
        "/d",
        "/d/e",
        "/d/e/f",
        "/init",
        "/d/i",
        "/g",
        "/g/i",
        "/g/j",
        "/proc/1/fd/3",
        "/proc/1/fd/4",
        "/proc/1/fd/5",
        "/proc/1/exe",
        "/proc/1/maps",
    ];
    let mut memory = vec![letters(), (DATA + 512, timespec(1500))];
    memory.extend(names.iter().enumerate().map(|(i, n)| (at(i as u64), [n.as_bytes(), &b"\0"[..]].concat())));
    let scenario = Scenario { programs: vec![program], memory, events: vec![] };
    scenario.check();
    let output = String::from_utf8_lossy(&scenario.run(0).machine.output).into_owned();
    for text in ["/d/e/f (deleted)", "/d/e (deleted)", "/d/i (deleted)"] {
        assert!(output.contains(text), "{output}");
    }
    assert!(output.lines().filter(|l| l.ends_with(" /d/i (deleted)")).count() >= 1, "{output}");
    assert!(output.ends_with("\x7fELF"), "{output}");
}
