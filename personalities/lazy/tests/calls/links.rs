//! What the links of a process that has ended lead to, and where texts of links and paths are too long to be told ("Names of what is open" in
//! `docs/linux-abi.md`).

use super::names::{GIVEN, O_PATH, PATH, Script};
use super::program::Step;
use super::program::check::*;
use super::program::run::{HERE, call, words};
use abi::linux::nr;

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
