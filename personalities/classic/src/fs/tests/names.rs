//! What links of /proc say of what is open while names are renamed, removed and given again: as tests/system/workloads/names.txt, which is Linux'.

use crate::fs::linux::*;
use crate::fs::testing::*;
use abi::linux::nr;
use abi::turn::INODES_MAX;

impl World {
    fn two(&mut self, number: u64, old: &str, new: &str, rest: &[u64]) {
        let (old, new) = (self.text(0, old.as_bytes()), self.text(1, new.as_bytes()));
        assert_eq!(self.call(number, &[&[AT, old, AT, new], rest].concat()), 0);
    }
    fn mv(&mut self, old: &str, new: &str) {
        self.two(nr::renameat, old, new, &[]);
    }
    fn ln(&mut self, old: &str, new: &str) {
        self.two(nr::linkat, old, new, &[0]);
    }
    fn rm(&mut self, path: &str) {
        assert_eq!(self.at(nr::unlinkat, path, &[0]), 0, "{path}");
    }
    fn rmdir(&mut self, path: &str) {
        assert_eq!(self.at(nr::unlinkat, path, &[0x200]), 0, "{path}");
    }
    fn mkdir(&mut self, path: &str) {
        assert_eq!(self.at(nr::mkdirat, path, &[0o755]), 0, "{path}");
    }
    fn cd(&mut self, path: &str) {
        let path = self.text(0, path.as_bytes());
        assert_eq!(self.call(nr::chdir, &[path]), 0);
    }
    fn made(&mut self, path: &str) -> i64 {
        self.open(path, O_CREAT | O_RDWR)
    }
    fn close(&mut self, fd: i64) {
        assert_eq!(self.call(nr::close, &[fd as u64]), 0);
    }
    fn link(&mut self, what: &str) -> String {
        String::from_utf8(self.readlink(&format!("/proc/self/{what}"))).unwrap()
    }
    fn shows(&mut self, fd: i64) -> String {
        self.link(&format!("fd/{fd}"))
    }
    fn again(&mut self, fd: i64) -> i64 {
        self.open(&format!("/proc/self/fd/{fd}"), 0)
    }
}

#[test]
fn a_file_has_the_name_by_which_it_was_opened() {
    let mut w = World::new();
    w.mkdir("/tmp/d");
    let f = w.made("/tmp/d/a");
    w.mv("/tmp/d", "/tmp/g");
    assert_eq!(w.shows(f), "/tmp/g/a");
    w.mv("/tmp/g/a", "/tmp/g/b");
    let by_link = w.again(f);
    w.ln("/tmp/g/b", "/tmp/g/c");
    w.mv("/tmp/g/c", "/tmp/g/e");
    let other = w.open("/tmp/g/e", 0);
    assert_eq!([f, by_link, other].map(|fd| w.shows(fd)), ["/tmp/g/b", "/tmp/g/b", "/tmp/g/e"]);
    w.rm("/tmp/g/b");
    let removed = "/tmp/g/b (deleted)";
    let late = w.again(f);
    assert_eq!([f, by_link, late, other].map(|fd| w.shows(fd)), [removed, removed, removed, "/tmp/g/e"]);
    // For good, though the name be given again, and though it be given to the file.
    let new = w.made("/tmp/g/b");
    assert_eq!([f, new].map(|fd| w.shows(fd)), [removed, "/tmp/g/b"]);
    w.mv("/tmp/g/e", "/tmp/g/b");
    assert_eq!([f, new, other].map(|fd| w.shows(fd)), [removed, removed, "/tmp/g/b"]);
    w.mv("/tmp/g", "/tmp/h");
    assert_eq!([f, new].map(|fd| w.shows(fd)), ["/tmp/h/b (deleted)"; 2]);
    // A rename of one name of a file to another of it does nothing.
    w.ln("/tmp/h/b", "/tmp/h/z");
    w.mv("/tmp/h/b", "/tmp/h/z");
    assert_eq!(w.shows(other), "/tmp/h/b");
    // An opened place is a name, too, and so is a symbolic link.
    let place = w.open("/bin/sh", O_PATH | O_NOFOLLOW);
    w.mv("/bin/sh", "/bin/ash");
    assert_eq!(w.shows(place), "/bin/ash");
}

#[test]
fn what_lay_in_a_removed_directory_follows_what_is_above_it() {
    let mut w = World::new();
    for dir in ["/tmp/k", "/tmp/k/l"] {
        w.mkdir(dir);
    }
    let (file, dir) = (w.made("/tmp/k/l/a"), w.open("/tmp/k/l", 0));
    w.rm("/tmp/k/l/a");
    w.rmdir("/tmp/k/l");
    w.close(dir);
    w.mv("/tmp/k", "/tmp/q");
    assert_eq!(w.shows(file), "/tmp/q/l/a (deleted)");
    w.rmdir("/tmp/q");
    assert_eq!(w.shows(file), "/tmp/q/l/a (deleted)");
    w.mkdir("/tmp/q");
    w.mv("/tmp/q", "/tmp/r");
    w.mv("/tmp", "/t");
    assert_eq!(w.shows(file), "/t/q/l/a (deleted)");
    // That the directories live on as names does not count.
    assert_eq!(w.fs.tree.made, 2);
}

#[test]
fn digests_do_not_depend_on_names() {
    let [a, b] = ["/tmp/a", "/tmp/b"].map(|name| {
        let mut w = World::new();
        let made = w.made("/tmp/a");
        w.ln("/tmp/a", "/tmp/b");
        let fd = w.open(name, 0);
        w.close(made);
        w.rm("/tmp/a");
        w.rm("/tmp/b");
        let mut e = abi::digest::Encoder::new("state");
        let mut numbering = Vec::new();
        w.fs.digest_fds(&w.p.fds, &mut numbering, &mut e);
        w.fs.digest_rest(&numbering, &mut e);
        (w.shows(fd), e.finish())
    });
    assert_eq!((&a.0[..], &b.0[..]), ("/tmp/a (deleted)", "/tmp/b (deleted)"));
    assert_eq!(a.1, b.1);
}

#[test]
fn directories_and_working_directories_follow_likewise() {
    let mut w = World::new();
    for dir in ["/tmp/x", "/tmp/x/y", "/tmp/v", "/tmp/w"] {
        w.mkdir(dir);
    }
    w.cd("/tmp/x/y");
    assert_eq!((w.link("cwd"), w.shows(0)), ("/tmp/x/y".into(), "/dev/console".into()));
    w.mv("/tmp/x", "/tmp/z");
    w.mv("../y", "../yy");
    let dot = w.open(".", 0);
    assert_eq!((w.link("cwd"), w.shows(dot)), ("/tmp/z/yy".into(), "/tmp/z/yy".into()));
    w.rmdir("/tmp/z/yy");
    w.mv("/tmp/z", "/tmp/zz");
    w.rmdir("/tmp/zz");
    let cwd = w.open("/proc/self/cwd", 0);
    assert_eq!([w.link("cwd"), w.shows(dot), w.shows(cwd)], ["/tmp/zz/yy (deleted)"; 3]);
    let mut child = w.fork(2);
    w.cd("/tmp");
    w.close(dot);
    w.swap(&mut child);
    w.p.pid = 2;
    let row = crate::fs::ProcessRow { pid: 2, ..Default::default() };
    w.system.rows.push(row);
    assert_eq!([w.link("cwd"), w.shows(dot)], ["/tmp/zz/yy (deleted)"; 2]);
    // One renamed over another.
    let (v, over) = (w.open("/tmp/v", 0), w.open("/tmp/w", 0));
    w.mv("/tmp/v", "/tmp/w");
    assert_eq!([w.shows(v), w.shows(over)], ["/tmp/w", "/tmp/w (deleted)"]);
    assert_eq!(w.at(nr::mknodat, "/tmp/p", &[0o10644, 0]), 0);
    let fifo = w.open("/tmp/p", O_RDWR);
    w.mv("/tmp/p", "/tmp/t");
    assert_eq!(w.shows(fifo), "/tmp/t");
    w.rm("/tmp/t");
    assert_eq!(w.shows(fifo), "/tmp/t (deleted)");
}

/// As many directories as there can be above each other, with long names, and a file at the bottom: the names go with the last who holds one.
#[test]
fn deep_names_are_told_and_dropped() {
    let mut w = World::new();
    let name = "n".repeat(NAME_MAX);
    let depth = INODES_MAX - 1;
    w.cd("/tmp");
    let top = w.open(".", 0);
    for _ in 0..depth {
        w.mkdir(&name);
        w.cd(&name);
    }
    let file = w.made("f");
    let len = "/tmp".len() + depth as usize * (NAME_MAX + 1) + "/f".len();
    let text = |w: &World| w.fs.show_fds(&w.p.fds, |_| true).pop().unwrap().1;
    assert_eq!(text(&w).len(), len);
    // The texts of many are broken off where there is no room.
    assert_eq!(w.fs.show_fds(&w.p.fds, |bytes| bytes < 20).len(), 2);
    w.rm("f");
    for _ in 0..depth {
        w.cd("..");
        w.rmdir(&name);
    }
    assert_eq!((text(&w).len(), w.fs.tree.made), (len + " (deleted)".len(), 1));
    w.call(nr::fchdir, &[top as u64]);
    w.close(file);
    assert_eq!(w.fs.tree.made, 0);
}

/// Names that nobody holds any more are forgotten, however many were opened.
#[test]
fn names_are_kept_for_who_holds_them() {
    let mut w = World::new();
    let kept = w.made("/tmp/kept");
    for i in 0..3000 {
        let name = format!("/tmp/{i}");
        let fd = w.made(&name);
        w.mv(&name, "/tmp/moved");
        w.close(fd);
    }
    assert!(w.fs.tree.entries.kept() < 200, "{}", w.fs.tree.entries.kept());
    w.mv("/tmp/kept", "/tmp/it");
    assert_eq!(w.shows(kept), "/tmp/it");
}

/// As Linux: where the name shall go is looked at before what shall have it.
#[test]
fn nothing_is_linked_into_a_removed_directory() {
    const ENOENT: i64 = -2;
    const EPERM: i64 = -1;
    const EXDEV: i64 = -18;
    let mut w = World::new();
    for dir in ["/tmp/gone", "/tmp/d"] {
        w.mkdir(dir);
    }
    let gone = w.open("/tmp/gone", O_DIRECTORY) as u64;
    let link = |w: &mut World, old: &str| {
        let (old, new) = (w.text(0, old.as_bytes()), w.text(1, b"new"));
        w.call(nr::linkat, &[AT, old, gone, new, 0])
    };
    let old = ["/tmp/d", "/proc/version", "/dev/null", "/etc/passwd"];
    assert_eq!(old.map(|old| link(&mut w, old)), [EPERM, EXDEV, EXDEV, 0]);
    assert_eq!(w.at(nr::unlinkat, "/tmp/gone/new", &[0]), 0);
    w.rmdir("/tmp/gone");
    assert_eq!(old.map(|old| link(&mut w, old)), [ENOENT; 4]);
    assert_eq!(link(&mut w, "/nothing"), ENOENT);
}
