//! openat of paths and of links' texts that end in a slash, with O_CREAT and without.

use super::names::{O_PATH, PATH, Script};
use super::program::check::*;
use super::program::run::HERE;
use abi::linux::nr;

const RDWR: u64 = 2;
const CREAT: u64 = 0o100;
const EXCL: u64 = 0o200;
const NOFOLLOW: u64 = 0o100000;
const CHARACTER: u64 = 0o20000;
const NULL: u64 = 0x103;
/// It is opened.
const OPENS: i64 = 0;

const WAYS: [u64; 7] = [RDWR | CREAT, RDWR, 0, CREAT, CREAT | EXCL, O_PATH | CREAT, CREAT | NOFOLLOW];

trait Slashes {
    fn symlink(&mut self, to: &str, path: &str) -> &mut Self;
    fn one(&mut self, path: &str, flags: u64, answer: i64) -> &mut Self;
    fn all(&mut self, path: &str, answers: [i64; 7]) -> &mut Self;
}

impl Slashes for Script {
    fn symlink(&mut self, to: &str, path: &str) -> &mut Self {
        self.on(nr::symlinkat, &[PATH, HERE, PATH], &[to, path], 0)
    }

    fn one(&mut self, path: &str, flags: u64, answer: i64) -> &mut Self {
        if answer == OPENS {
            return self.open(path, flags, 3).on(nr::close, &[3], &[], 0);
        }
        self.open(path, flags, answer)
    }

    fn all(&mut self, path: &str, answers: [i64; 7]) -> &mut Self {
        WAYS.iter().zip(answers).for_each(|(flags, answer)| {
            self.one(path, *flags, answer);
        });
        self
    }
}

/// In /st: r, a regular file; d, a directory; c, a device. Links to-r, to-d, to-c and to-n (where nothing is) with a slash behind their texts.
fn there() -> Script {
    let mut s = Script::default();
    s.on(nr::chdir, &[PATH], &["/"], 0).mkdir("st").mkdir("st/d").one("st/r", CREAT, OPENS);
    s.on(nr::mknodat, &[HERE, PATH, CHARACTER | 0o666, NULL], &["st/c"], 0);
    s.symlink("st/r/", "to-r").symlink("st/d/", "to-d").symlink("st/c/", "to-c").symlink("nofile/", "to-n");
    s
}

const FILE: [i64; 7] = [EISDIR, ENOTDIR, ENOTDIR, EISDIR, EEXIST, ENOTDIR, ELOOP];
const DIRECTORY: [i64; 7] = [EISDIR, EISDIR, OPENS, EISDIR, EEXIST, OPENS, ELOOP];
const NOTHING: [i64; 7] = [EISDIR, ENOENT, ENOENT, EISDIR, EEXIST, ENOENT, ELOOP];

/// The path's own slash comes before O_EXCL, and lets O_NOFOLLOW have no effect.
fn own(mut answers: [i64; 7]) -> [i64; 7] {
    (answers[4], answers[6]) = (EISDIR, EISDIR);
    answers
}

#[test]
fn with_o_creat_a_slash_behind_the_last_name_is_eisdir_whatever_is_there() {
    let mut s = there();
    s.all("nofile/", own(NOTHING)).all("st/r/", own(FILE)).all("st/c/", own(FILE));
    s.all("st/d/", own(DIRECTORY)).all("to-r/", own(FILE)).all("to-d/", own(DIRECTORY));
    s.run();
}

#[test]
fn with_o_creat_a_slash_behind_a_followed_links_text_is_eisdir_whatever_is_there() {
    let mut s = there();
    s.all("to-n", NOTHING).all("to-r", FILE).all("to-c", FILE).all("to-d", DIRECTORY);
    // It counts in the text that is followed last.
    s.symlink("to-r", "l").all("l", FILE).symlink("to-n", "m").all("m", NOTHING);
    // And what has it is not looked up, be it a link that has none or is a descriptor's.
    s.symlink("st/r", "r").symlink("r/", "n").all("n", FILE).symlink("n", "o").all("o", FILE);
    s.symlink("/proc/self/exe/", "p").all("p", FILE);
    s.run();
}

#[test]
fn only_the_last_name_is_asked_for_a_slash_and_only_once_its_directory_is_there() {
    let mut s = there();
    s.symlink("nodir/x/", "a").one("a", CREAT, ENOENT).symlink("st/r/x/", "b").one("b", CREAT, ENOTDIR);
    s.symlink("st/r/.", "c").one("c", CREAT, ENOTDIR).symlink("st/d/./", "e").one("e", CREAT, EISDIR);
    s.one("to-d/new", CREAT | EXCL, OPENS).one("st/d/new", 0, OPENS).one("to-r/.", CREAT, ENOTDIR);
    s.symlink("/", "root").all("root", DIRECTORY).symlink("st/r", "r").one("r", RDWR | CREAT, OPENS);
    // Nothing was made meanwhile.
    s.one("nofile", 0, ENOENT);
    s.run();
}
