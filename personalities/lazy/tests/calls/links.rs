//! What the links of a process that has ended lead to, and where texts of links and paths are too long to be told ("Names of what is open" in
//! `docs/linux-abi.md`).

use super::names::{GIVEN, O_PATH, PATH, Script, mapped};
use super::program::Step;
use super::program::check::*;
use super::program::run::{HERE, call, words};
use abi::linux::nr;

/// Bytes of a path at most.
const LONGEST: usize = 4095;

fn stat(s: &mut Script, path: &str, flags: u64, result: i64) {
    s.on(nr::newfstatat, &[HERE, PATH, GIVEN, flags], &[path], result);
}

fn tells(s: &mut Script, link: &str, result: i64) {
    s.on(nr::readlinkat, &[HERE, PATH, GIVEN, 0x2000], &[link], result);
}

#[test]
fn exe_and_cwd_of_a_zombie_are_there_and_lead_nowhere() {
    const NOFOLLOW: u64 = 0x100;
    let mut s = Script::default();
    let sleep = (call(nr::nanosleep, &[AREA, 0]), 0);
    s.steps.extend([(words(AREA, &[0, 5_000_000]), 0), (Step::Fork(17, 1), 2), sleep]);
    for link in ["/proc/2/exe", "/proc/2/cwd"] {
        tells(&mut s, link, ENOENT);
        stat(&mut s, link, 0, ENOENT);
        stat(&mut s, link, NOFOLLOW, 0);
        s.open(link, 0, ENOENT).open(link, O_PATH, ENOENT).open(link, 0o102, ENOENT);
        s.on(nr::execve, &[PATH, 0, 0], &[link], ENOENT).on(nr::chdir, &[PATH], &[link], ENOENT);
        s.on(nr::faccessat, &[HERE, PATH, 0], &[link], ENOENT);
        s.on(nr::statfs, &[PATH, GIVEN], &[link], ENOENT);
    }
    s.on(nr::chdir, &[PATH], &["/proc/2/cwd/bin"], ENOENT).on(nr::chdir, &[PATH], &["/proc/2/cwd/"], ENOENT);
    s.open("/proc/2/cwd", O_PATH | 0o100000, 3).on(nr::readlinkat, &[3, PATH, GIVEN, 9], &[""], ENOENT);
    let run = check_all(vec![], s.steps, vec![]);
    assert!(run.kernel.processes[&2].zombie);
}

/// A working directory whose path has 4080 bytes.
fn deep() -> Script {
    let name = "n".repeat(254);
    let mut s = Script::default();
    s.on(nr::chdir, &[PATH], &["/"], 0);
    for _ in 0..16 {
        s.mkdir(&name).on(nr::chdir, &[PATH], &[&name], 0);
    }
    s
}

const DEEP: usize = 16 * 255;

/// A name in that directory, so that the path has so many bytes.
fn name_for(length: usize) -> String {
    "x".repeat(length - DEEP - 1)
}

#[test]
fn links_do_not_tell_what_is_longer_than_a_path_and_lead_there_all_the_same() {
    let [fits, long, removed] = [LONGEST, LONGEST + 1, LONGEST - 10].map(name_for);
    let mut s = deep();
    s.open(&fits, 0o102, 3).open(&long, 0o102, 4).open(&removed, 0o102, 5).on(
        nr::ftruncate,
        &[4, 0x1000],
        &[],
        0,
    );
    tells(&mut s, "/dev/fd/3", LONGEST as i64);
    tells(&mut s, "/dev/fd/4", ENAMETOOLONG);
    s.unlink(&removed).unlink(&fits);
    tells(&mut s, "/dev/fd/5", LONGEST as i64);
    tells(&mut s, "/dev/fd/3", ENAMETOOLONG);
    for (n, link) in ["/dev/fd/3", "/dev/fd/4", "/dev/fd/5"].iter().enumerate() {
        stat(&mut s, link, 0, 0);
        s.open(link, 0, 6 + n as i64);
    }
    s.rename("/bin/init", &name_for(LONGEST + 2));
    tells(&mut s, "/proc/self/exe", ENAMETOOLONG);
    stat(&mut s, "/proc/self/exe", 0, 0);
    // The text is made before it is written.
    s.on(nr::readlinkat, &[HERE, PATH, NOWHERE, 9], &["/dev/fd/4"], ENAMETOOLONG);
    s.open("/proc/self/exe", 0, 9).on(nr::read, &[9, AREA, 4], &[], 4);
    let at = AREA + 0x40000;
    s.on(nr::mmap, &[at, 0x1000, 1, 0x12, 4, 0], &[], at as i64);
    let names = mapped(&s.run(), 1);
    let lengths: Vec<usize> = names.iter().map(String::len).collect();
    assert_eq!(lengths, [LONGEST + 1, LONGEST + 2], "maps tells them whole");
}

#[test]
fn getcwd_asks_whether_it_is_there_and_how_long_before_it_asks_for_room() {
    let [fits, long] = [LONGEST, LONGEST + 1].map(name_for);
    let cwd = |s: &mut Script, at: u64, size: usize, result: i64| {
        s.on(nr::getcwd, &[at, size as u64], &[], result);
    };
    let mut s = deep();
    s.mkdir(&fits).mkdir(&long).on(nr::chdir, &[PATH], &[&fits], 0);
    tells(&mut s, "/proc/self/cwd", LONGEST as i64);
    cwd(&mut s, GIVEN, LONGEST + 1, LONGEST as i64 + 1);
    cwd(&mut s, NOWHERE, LONGEST + 1, EFAULT);
    cwd(&mut s, NOWHERE, LONGEST, ERANGE);
    s.on(nr::chdir, &[PATH], &[&format!("../{long}")], 0);
    tells(&mut s, "/proc/self/cwd", ENAMETOOLONG);
    stat(&mut s, "/proc/self/cwd", 0, 0);
    s.open("/proc/self/cwd", 0o40000, 3);
    tells(&mut s, "/dev/fd/3", ENAMETOOLONG);
    for (at, size) in [(GIVEN, 0x2000), (GIVEN, 0), (NOWHERE, 0x2000)] {
        cwd(&mut s, at, size, ENAMETOOLONG);
    }
    s.rmdir(&format!("../{long}"));
    cwd(&mut s, NOWHERE, 0, ENOENT);
    s.run();
}
