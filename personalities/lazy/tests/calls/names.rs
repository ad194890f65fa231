//! What the links of /proc and the paths in `maps` say of what is open, executed and mapped while names are renamed and removed ("Names of what
//! is open" in `docs/linux-abi.md`).

use super::program::Step;
use super::program::check::*;
use super::program::run::{HERE, Run, call, text};
use abi::linux::nr;
use lazy::files::procfs::Node;
use std::collections::BTreeSet;

/// Where texts are put that the script reads, and where it has its paths.
pub const GIVEN: u64 = AREA + 0x4000;
/// In a call it stands for the place of the next path.
pub const PATH: u64 = PATHS - 1;
const PATHS: u64 = AREA + 0x1000;
pub const O_PATH: u64 = 0o10000000;

/// A script that names files by their paths; each look at a link has the text that it must have.
#[derive(Default)]
pub struct Script {
    pub steps: Vec<(Step, i64)>,
    looks: Vec<String>,
}

impl Script {
    pub fn on(&mut self, number: u64, a: &[u64], paths: &[&str], result: i64) -> &mut Self {
        let (mut a, mut at) = (a.to_vec(), PATHS);
        for path in paths {
            self.steps.push((text(at, path), 0));
            let place = a.iter().position(|n| *n == PATHS - 1).expect("a place for each path");
            a[place] = at;
            at += 0x100;
        }
        self.steps.push((call(number, &a), result));
        self
    }

    pub fn mkdir(&mut self, path: &str) -> &mut Self {
        self.on(nr::mkdirat, &[HERE, PATHS - 1, 0o755], &[path], 0)
    }

    pub fn open(&mut self, path: &str, flags: u64, fd: i64) -> &mut Self {
        self.on(nr::openat, &[HERE, PATHS - 1, flags, 0o700], &[path], fd)
    }

    pub fn rename(&mut self, from: &str, to: &str) -> &mut Self {
        self.on(nr::renameat, &[HERE, PATHS - 1, HERE, PATHS - 1], &[from, to], 0)
    }

    pub fn link(&mut self, from: &str, to: &str) -> &mut Self {
        self.on(nr::linkat, &[HERE, PATHS - 1, HERE, PATHS - 1, 0], &[from, to], 0)
    }

    pub fn unlink(&mut self, path: &str) -> &mut Self {
        self.on(nr::unlinkat, &[HERE, PATHS - 1, 0], &[path], 0)
    }

    pub fn rmdir(&mut self, path: &str) -> &mut Self {
        self.on(nr::unlinkat, &[HERE, PATHS - 1, 0x200], &[path], 0)
    }

    /// The link `link` shows `shown` now.
    pub fn look(&mut self, link: &str, shown: &str) -> &mut Self {
        let at = GIVEN + 0x80 * self.looks.len() as u64;
        self.looks.push(shown.into());
        self.on(nr::readlinkat, &[HERE, PATHS - 1, at, 0x80], &[link], shown.len() as i64)
    }

    pub fn run(&mut self) -> Run {
        // The child waits for ever.
        let child = vec![call(nr::ppoll, &[0, 0, 0, 0, 8])];
        let mut run = check_all(vec![], core::mem::take(&mut self.steps), child);
        let space = run.kernel.processes[&1].space.expect("it lives");
        for (n, shown) in self.looks.iter().enumerate() {
            let mut found = vec![0; shown.len()];
            run.kernel.memory.read(space, GIVEN + 0x80 * n as u64, &mut found).expect("it is mapped");
            assert_eq!(String::from_utf8_lossy(&found), *shown, "look {n}");
        }
        run
    }
}

/// The files that `maps` of process `pid` names, each once.
pub fn mapped(run: &Run, pid: u32) -> BTreeSet<String> {
    let node = Node::Entry(pid, b"maps");
    let maps = String::from_utf8(run.kernel.proc_text(node).expect("there is room")).expect("plain names");
    maps.lines().filter_map(|l| Some(l[l.find(" /")?..].trim().to_string())).collect()
}

#[test]
fn a_descriptor_tells_the_entry_by_which_it_was_opened() {
    let fd = |n: u64| format!("/dev/fd/{n}");
    let mut s = Script::default();
    s.mkdir("/d").open("/d/a", 0o102, 3).look(&fd(3), "/d/a");
    s.rename("/d", "/g").look(&fd(3), "/g/a").rename("/g/a", "/g/b").look(&fd(3), "/g/b");
    // Another name of the same file is another entry.
    s.open("/dev/fd/3", 0, 4).link("/g/b", "/g/c").rename("/g/c", "/g/e");
    s.look(&fd(3), "/g/b").look(&fd(4), "/g/b").open("/g/e", O_PATH, 5);
    s.unlink("/g/b").look(&fd(3), "/g/b (deleted)").look(&fd(4), "/g/b (deleted)").look(&fd(5), "/g/e");
    s.rename("/g/e", "/g/b").look(&fd(3), "/g/b (deleted)").look(&fd(5), "/g/b");
    // One renamed onto another.
    s.open("/g/o", 0o102, 6).rename("/g/o", "/g/b").look(&fd(6), "/g/b").look(&fd(5), "/g/b (deleted)");
    s.rename("/g", "/h").look(&fd(3), "/h/b (deleted)").look(&fd(6), "/h/b");
    s.run();
}

#[test]
fn what_was_removed_follows_the_directories_that_are_there() {
    let mut s = Script::default();
    s.mkdir("/k").mkdir("/k/l").open("/k/l/a", 0o102, 3).open("/k/l", 0o40000, 4);
    s.on(nr::chdir, &[PATHS - 1], &["/k/l"], 0);
    s.unlink("/k/l/a")
        .rmdir("/k/l")
        .look("/dev/fd/3", "/k/l/a (deleted)")
        .look("/dev/fd/4", "/k/l (deleted)");
    s.rename("/k", "/q").look("/dev/fd/3", "/q/l/a (deleted)").look("/proc/self/cwd", "/q/l (deleted)");
    // A directory of the same name is another one.
    s.mkdir("/q/l").rename("/q/l", "/q/m").rmdir("/q/m").rmdir("/q").mkdir("/q").rename("/q", "/r");
    s.look("/dev/fd/3", "/q/l/a (deleted)").look("/dev/fd/4", "/q/l (deleted)");
    s.open("/proc/self/cwd", 0o40000, 5).look("/dev/fd/5", "/q/l (deleted)");
    s.mkdir("/v").open("/v", 0o40000, 6).mkdir("/w").rename("/v", "/w").look("/dev/fd/6", "/w");
    s.mkdir("/v").open("/v", O_PATH, 7).rename("/w", "/v");
    s.look("/dev/fd/6", "/v").look("/dev/fd/7", "/v (deleted)");
    s.run();
}

#[test]
fn exe_and_maps_tell_the_same_entry_and_follow_it() {
    let map = |fd: u64| {
        let at = AREA + 0x30000 + 0x10000 * fd;
        (call(nr::mmap, &[at, 0x1000, 1, 0x12, fd, 0]), at as i64)
    };
    let mut s = Script::default();
    s.look("/proc/self/exe", "/bin/init").rename("/bin", "/c").look("/proc/self/exe", "/c/init");
    s.open("/proc/self/exe", 0, 3).rename("/c/init", "/c/i").look("/dev/fd/3", "/c/i");
    s.link("/c/i", "/c/other").rename("/c/other", "/c/third").look("/proc/self/exe", "/c/i");
    s.open("/etc/a", 0, 4).steps.extend([map(3), map(4), (Step::Fork(17, 1), 2)]);
    // What is mapped needs no descriptor.
    s.on(nr::close, &[4], &[], 0);
    let before = Script { steps: s.steps.clone(), looks: s.looks.clone() }.run();
    s.unlink("/c/i").rename("/c/third", "/c/i").rename("/c", "/e").rename("/etc", "/f");
    s.look("/proc/self/exe", "/e/i (deleted)").look("/proc/2/exe", "/e/i (deleted)");
    s.look("/dev/fd/3", "/e/i (deleted)").mkdir("/etc").rename("/f/a", "/etc/b");
    let after = s.run();
    let names = |names: [&str; 2]| BTreeSet::from(names.map(String::from));
    for pid in [1, 2] {
        assert_eq!(mapped(&before, pid), names(["/c/i", "/etc/a"]));
        assert_eq!(mapped(&after, pid), names(["/e/i (deleted)", "/etc/b"]));
    }
}

/// Its text does not matter, nor what has that name; without a name and without an open file description there is nothing.
#[test]
fn exe_leads_to_the_program_and_never_where_its_text_says() {
    let (exe, decoy) = ("/proc/self/exe", "/bin/init (deleted)");
    let path = PATHS - 1;
    let mut s = Script::default();
    s.link("/bin/init", "/bin/other").unlink("/bin/init").open(decoy, 0o102, 3).look(exe, decoy);
    // The file that has another name; the other one is empty.
    s.open(exe, 0, 4).on(nr::read, &[4, AREA, 4], &[], 4);
    s.unlink("/bin/other").open(exe, 0, 5).on(nr::read, &[5, AREA, 4], &[], 4);
    for fd in [4, 5] {
        s.on(nr::close, &[fd], &[], 0);
    }
    for there in [true, false] {
        s.open(exe, 0, ENOENT).open(exe, 0o101, ENOENT).open(exe, O_PATH, ENOENT);
        s.on(nr::newfstatat, &[HERE, path, AREA, 0], &[exe], ENOENT).on(
            nr::execve,
            &[path, 0, 0],
            &[exe],
            ENOENT,
        );
        s.on(nr::newfstatat, &[HERE, path, AREA, 0x100], &[exe], 0).look(exe, decoy);
        if there {
            s.unlink(decoy);
        }
    }
    s.on(nr::faccessat, &[HERE, path, 0], &[decoy], ENOENT);
    s.run();
}

#[test]
fn a_program_that_is_only_open_is_executed_by_exe() {
    let place = AREA + 0x40000;
    let mut s = Script::default();
    s.steps.push((call(nr::mmap, &[AREA, 0x20000, 3, 0x32, u64::MAX, 0]), 0));
    // Who runs this again finds no such file, so has no mapping, and ends where it stores.
    s.open("/etc/a", 0o2000000, 3).on(nr::mmap, &[place, 0x1000, 3, 0x12, 3, 0], &[], 0);
    s.steps.push((Step::Store(place, vec![1]), 0));
    s.unlink("/etc/a").open("/proc/self/exe", 0, 4).unlink("/bin/init");
    s.steps.extend([(Step::Fork(17, 1), 2), (call(nr::ppoll, &[0, 0, 0, 0, 8]), 0)]);
    let first = s.steps.into_iter().map(|(step, _)| step).collect();
    let second = vec![text(PATHS, "/proc/self/exe"), call(nr::execve, &[PATHS, 0, 0])];
    let run = booted(vec![first, second]);
    assert!(run.outside.borrow().results.iter().all(|(script, _)| *script == 0), "execve does not come back");
    let [one, two] = [1, 2].map(|pid| &run.kernel.processes[&pid]);
    assert!(two.execed && two.zombie);
    assert_eq!(two.exe.0, one.exe.0);
    assert_eq!(two.exe.1.text().unwrap(), b"/bin/init (deleted)");
}

/// On Linux they are one mapping by file; here, as in a snapshot, by inode and path: two names of one file are two mappings until they show the same.
#[test]
fn mappings_of_one_file_are_one_if_they_show_the_same_path() {
    let at = AREA + 0x40000;
    let map = |fd: u64, n: u64| {
        (call(nr::mmap, &[at + n * 0x1000, 0x1000, 1, 0x12, fd, n * 0x1000]), (at + n * 0x1000) as i64)
    };
    let moved = |result| (call(nr::mremap, &[at, 0x2000, 0x2000, 3, at + 0x10000]), result);
    let mut s = Script::default();
    s.open("/x", 0o102, 3).on(nr::ftruncate, &[3, 0x3000], &[], 0).link("/x", "/y").open("/y", 0, 4);
    s.steps.extend([map(3, 0), map(4, 1)]);
    let mut apart = Script { steps: s.steps.clone(), ..Script::default() };
    apart.steps.push(moved(EFAULT));
    apart.run();
    s.unlink("/x").rename("/y", "/x").unlink("/x");
    s.steps.push(moved((at + 0x10000) as i64));
    assert!(mapped(&s.run(), 1).contains("/x (deleted)"));
}

/// Names below a path that is renamed need no work for each of them, and those that nobody holds any more are forgotten.
#[test]
fn entries_that_nobody_holds_are_forgotten() {
    let mut s = Script::default();
    s.mkdir("/d");
    for n in 0..300 {
        let name = format!("/d/{n}");
        s.open(&name, 0o102, 3).on(nr::close, &[3], &[], 0);
    }
    s.open("/d/0", 0, 3).rename("/d", "/g").look("/dev/fd/3", "/g/0");
    let run = s.run();
    assert!(run.kernel.files.known.len() < 10, "{}", run.kernel.files.known.len());
}

/// Thousands of names below a deep path: a rename above them changes one entry, and a text of all of them is refused if this kernel's heap
/// has no room for it.
#[test]
fn deep_paths_cost_what_they_show() {
    let name = "n".repeat(200);
    let (mut s, mut top) = (Script::default(), format!("/{name}"));
    s.mkdir(&top).on(nr::chdir, &[PATHS - 1], &[&top], 0);
    for _ in 0..15 {
        s.mkdir(&name).on(nr::chdir, &[PATHS - 1], &[&name], 0);
    }
    for n in 0..40 {
        let at = AREA + 0x40000 + 0x2000 * n;
        s.open(&format!("{n}"), 0o102, 3).on(nr::ftruncate, &[3, 0x1000], &[], 0);
        s.on(nr::mmap, &[at, 0x1000, 1, 0x12, 3, 0], &[], at as i64).on(nr::close, &[3], &[], 0);
    }
    for to in ["/a", "/b", "/c"] {
        s.rename(&top, to);
        top = to.into();
    }
    s.steps.push((Step::Room(100_000), 0));
    s.open("/proc/self/maps", 0, ENOMEM);
    s.steps.push((Step::Room(1_000_000), 0));
    s.open("/proc/self/maps", 0, 3);
    let files = mapped(&s.run(), 1);
    assert_eq!(files.len(), 41);
    assert!(files.iter().filter(|f| f.starts_with("/c/nnn") && f.len() > 3000).count() == 40, "{files:?}");
}
