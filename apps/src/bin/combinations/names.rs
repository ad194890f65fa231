//! Calls that make, remove, rename and open names.

use crate::ask::{Asker, Value};
use crate::places::{CWD, MINUS, ZERO, close, files, paths, quietly, renew, texts};

pub fn ask(asker: &mut Asker) {
    changes(asker);
    makes(asker);
    opens(asker);
}

/// What is renamed, linked, removed.
fn from() -> Vec<Value> {
    let mut found = texts(&[
        c"f", c"d", c"l", c"nx", c"f/", c"d/", c".", c"..", c"/", c"", c"d/..", c"d/.", c"l/", c"f/y", c"ff",
    ]);
    found.push(("NULL", 0));
    found
}

/// What it becomes, or what is made.
fn to() -> Vec<Value> {
    let mut found = texts(&[
        c"x", c"f", c"d", c"l", c"d/x", c"x/", c"f/", c"nx/y", c".", c"/", c"", c"d/.", c"dl", c"dl/", c"d/e",
    ]);
    found.push(("NULL", 0));
    found
}

fn changes(asker: &mut Asker) {
    let (from, to) = (from(), to());
    // RENAME_EXCHANGE and RENAME_WHITEOUT alone: EINVAL by the contract.
    let flags = [ZERO, ("1", 1), ("3", 3), ("8", 8), MINUS];
    let rename = asker.call("renameat2", libc::SYS_renameat2).undone_by(files);
    rename.over(&[&[CWD], &from, &[CWD], &to, &flags]);
    let flags = [ZERO, ("400", 0x400), ("1000", 0x1000), ("1", 1), ("100", 0x100)];
    let link = asker.call("linkat", libc::SYS_linkat).undone_by(files);
    link.over(&[&[CWD], &from, &[CWD], &to, &flags]);
    let flags = [ZERO, ("200", 0x200), ("1", 1), ("300", 0x300)];
    asker.call("unlinkat", libc::SYS_unlinkat).undone_by(files).over(&[&[CWD], &from, &flags]);
}

fn makes(asker: &mut Asker) {
    let to = to();
    asker.call("mkdirat", libc::SYS_mkdirat).undone_by(files).over(&[&[CWD], &to, &[("755", 0o755)]]);
    let mut contents = texts(&[c"f", c""]);
    contents.push(("NULL", 0));
    asker.call("symlinkat", libc::SYS_symlinkat).undone_by(files).over(&[&contents, &[CWD], &to]);
    let modes = [("100644", 0o100644), ("10644", 0o10644), ("40644", 0o40644), ("644", 0o644)];
    asker.call("mknodat", libc::SYS_mknodat).undone_by(files).over(&[&[CWD], &to, &modes, &[ZERO]]);
}

const READ: u64 = 0;
const WRITE: u64 = 1;
const BOTH: u64 = 2;
const CREATE: u64 = 0o100;
const EXCLUSIVE: u64 = 0o200;
const TRUNCATE: u64 = 0o1000;
const APPEND: u64 = 0o2000;
const NONBLOCK: u64 = 0o4000;
const ASYNC: u64 = 0o20000;
const DIRECTORY: u64 = 0o40000;
const NOFOLLOW: u64 = 0o100000;
const NOATIME: u64 = 0o1000000;
const SYNC: u64 = 0o4010000;
const PATH: u64 = 0o10000000;
const TMPFILE: u64 = 0o20000000;

/// Asked in columns, whose names are not shown.
const FLAGS: [u64; 27] = [
    READ,
    WRITE,
    BOTH,
    3,
    CREATE | BOTH,
    CREATE | EXCLUSIVE | BOTH,
    TRUNCATE,
    TRUNCATE | WRITE,
    DIRECTORY,
    DIRECTORY | BOTH,
    NOFOLLOW,
    PATH,
    PATH | NOFOLLOW,
    PATH | DIRECTORY,
    APPEND | WRITE,
    DIRECTORY | CREATE,
    NONBLOCK,
    NONBLOCK | WRITE,
    NOATIME,
    TMPFILE | BOTH,
    CREATE | NOFOLLOW | BOTH,
    CREATE | TRUNCATE,
    CREATE | PATH | BOTH,
    NOFOLLOW | DIRECTORY,
    1 << 31,
    SYNC | BOTH,
    ASYNC,
];

/// Those of [`FLAGS`] that this holds for.
fn flags(hold: impl Fn(u64) -> bool) -> Vec<Value> {
    FLAGS.iter().filter(|flags| hold(**flags)).map(|flags| ("", *flags)).collect()
}

/// What F_GETFL says of what was opened, which is closed.
fn told(fd: i64) -> i64 {
    let flags = quietly(libc::SYS_fcntl, [fd as u64, libc::F_GETFL as u64, 0, 0, 0, 0]);
    close(fd as u64);
    flags
}

fn opens(asker: &mut Asker) {
    let mode = [("644", 0o644)];
    let mut of = |paths: &[Value], flags: &[Value]| {
        let openat = asker.call("openat", libc::SYS_openat).shown_as(told).undone_by(renew);
        openat.over(&[&[CWD], paths, flags, &mode]);
    };
    of(&paths(), &flags(|_| true));
    let others = texts(&[
        c"/dev/null",
        c"/proc/self",
        c"/proc/self/",
        c"/proc/self/stat",
        c"/proc/self/fd/3",
        c"/dev/nx",
        c"/dev/fd/4",
        c"/dev/fd/4/e",
        c"/dev/tty",
        c"/proc/self/cwd",
        c"/dev",
        c"/proc",
        c"/dev/stdin",
    ]);
    of(&others, &flags(|_| true));
    // Else it waits for another end.
    of(&texts(&[c"ff"]), &flags(|f| f & (NONBLOCK | PATH | DIRECTORY | BOTH) != 0));
    // ETXTBSY is never given.
    let writes = |f| f & (WRITE | BOTH | TRUNCATE) != 0 && f & 3 != 3;
    of(&texts(&[c"/proc/self/exe"]), &flags(|f| f & PATH != 0 || !writes(f)));
    // What is not there and to be made in /proc is EROFS by the contract, as in /dev (Linux: ENOENT).
    of(&texts(&[c"/proc/self/fd/99", c"/proc/nx"]), &flags(|f| f & CREATE == 0));
    // What belongs to others is only read.
    let others = &texts(&[c"/tmp", c"/bin", c"/bin/busybox", c"/bin/busybox/", c"/etc/passwd/x"]);
    of(others, &flags(|f| f & (CREATE | TRUNCATE | WRITE | BOTH) == 0));
}
