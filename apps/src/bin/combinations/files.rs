//! Calls on files that are there: attributes, sizes, reads and writes.

use crate::ask::{Asker, Value};
use crate::places::{
    BUFFERS, CWD, DIR, DIRECTORIES, FDS, FEW, MINUS, MOST, POINTERS, PROC, TTY, ZERO, paths, quietly, without,
};
use std::ffi::CStr;

/// Beyond 2^40 the contract has no files (EFBIG); so MOST stands only where no size comes of it.
const OFFSETS: [Value; 4] = [ZERO, MINUS, ("4096", 4096), MOST];
const AT_FLAGS: [Value; 9] = [
    ZERO,
    ("100", 0x100),
    ("1000", 0x1000),
    ("800", 0x800),
    ("2000", 0x2000),
    ("4000", 0x4000),
    ("6000", 0x6000),
    ("1", 1),
    ("400", 0x400),
];

pub fn ask(asker: &mut Asker) {
    access(asker);
    attributes(asker);
    sizes(asker);
    changes(asker);
    bytes(asker);
    lists(asker);
}

fn access(asker: &mut Asker) {
    let modes = [ZERO, ("1", 1), ("2", 2), ("4", 4), ("7", 7), ("8", 8), MINUS];
    let flags = [
        ZERO,
        ("100", 0x100),
        ("200", 0x200),
        ("1000", 0x1000),
        ("1100", 0x1100),
        ("400", 0x400),
        ("800", 0x800),
        ("1", 1),
    ];
    let paths = paths();
    asker.call("faccessat2", libc::SYS_faccessat2).over(&[&DIRECTORIES, &paths, &modes, &flags]);
    asker.call("faccessat", libc::SYS_faccessat).over(&[&DIRECTORIES, &paths, &modes]);
    let sizes = [ZERO, ("1", 1), MINUS, ("4", 4), ("100", 100)];
    asker.call("readlinkat", libc::SYS_readlinkat).over(&[&DIRECTORIES, &paths, &POINTERS, &sizes]);
}

/// What they write is the contract's own in part; `sequences` compares the rest.
fn attributes(asker: &mut Asker) {
    let paths = paths();
    let masks = [("7ff", 0x7ff), ZERO, ("80000000", 0x8000_0000), ("fff", 0xfff)];
    let statx = asker.call("statx", libc::SYS_statx).result();
    statx.over(&[&DIRECTORIES, &paths, &AT_FLAGS, &masks, &BUFFERS]);
    let newfstatat = asker.call("newfstatat", libc::SYS_newfstatat).result();
    newfstatat.over(&[&DIRECTORIES, &paths, &BUFFERS, &AT_FLAGS]);
    asker.call("fstat", libc::SYS_fstat).result().over(&[&FDS, &POINTERS]);
    asker.call("fstatfs", libc::SYS_fstatfs).result().over(&[&FDS, &POINTERS]);
    asker.call("statfs", libc::SYS_statfs).result().over(&[&paths, &POINTERS]);
}

fn sizes(asker: &mut Asker) {
    let advice = [ZERO, ("1", 1), ("2", 2), ("3", 3), ("4", 4), ("5", 5), ("6", 6), ("7", 7), MINUS];
    asker.call("fadvise64", libc::SYS_fadvise64).over(&[&FDS, &OFFSETS, &OFFSETS, &advice]);
    let modes = [ZERO, ("1", 1), ("2", 2), ("3", 3), ("8", 8), ("10", 0x10), ("80", 0x80)];
    let offsets = without(&OFFSETS, &[MOST]);
    asker.call("fallocate", libc::SYS_fallocate).over(&[&FEW, &modes, &offsets, &offsets]);
    let lengths = [MINUS, ZERO, ("5", 5), ("100000", 100_000)];
    asker.call("ftruncate", libc::SYS_ftruncate).over(&[&FDS, &lengths]);
    asker.call("truncate", libc::SYS_truncate).over(&[&paths(), &lengths]);
    asker.call("fsync", libc::SYS_fsync).over(&[&FDS]);
    asker.call("fdatasync", libc::SYS_fdatasync).over(&[&FDS]);
    // Positions in directories are the contract's own.
    let descriptors = without(&FDS, &[DIR]);
    let whence = [ZERO, ("1", 1), ("2", 2), ("3", 3), ("4", 4), ("5", 5), MINUS];
    asker.call("lseek", libc::SYS_lseek).over(&[&descriptors, &offsets, &whence]);
}

fn changes(asker: &mut Asker) {
    let home = || std::env::set_current_dir(crate::places::HOME).unwrap_or(());
    asker.call("fchdir", libc::SYS_fchdir).undone_by(home).over(&[&FDS]);
    let ids = [MINUS, ZERO, ("5", 5)];
    asker.call("fchown", libc::SYS_fchown).over(&[&FDS, &ids, &ids]);
    let modes = [ZERO, ("644", 0o644), ("7777", 0o7777), MINUS];
    asker.call("fchmod", libc::SYS_fchmod).over(&[&FDS, &modes]);
}

fn bytes(asker: &mut Asker) {
    // Nobody types; and what /proc says of a process is its own.
    let descriptors = without(&FDS, &[TTY, PROC]);
    let counts = [ZERO, ("3", 3), MINUS];
    let offsets = without(&OFFSETS, &[MOST]);
    asker.call("read", libc::SYS_read).over(&[&descriptors, &POINTERS, &counts]);
    asker.call("pread64", libc::SYS_pread64).over(&[&descriptors, &POINTERS, &counts, &OFFSETS]);
    asker.call("pwrite64", libc::SYS_pwrite64).over(&[&descriptors, &BUFFERS, &counts, &offsets]);
    asker.call("write", libc::SYS_write).over(&[&descriptors, &BUFFERS, &counts]);
}

fn lists(asker: &mut Asker) {
    let rewind = || {
        quietly(libc::SYS_lseek, [DIR.1, 0, 0, 0, 0, 0]);
    };
    let sizes = [ZERO, ("10", 10), ("23", 23), ("24", 24), ("4096", 4096), MINUS];
    // Numbers of inodes and positions are the contract's own.
    let getdents = asker.call("getdents64", libc::SYS_getdents64).result().undone_by(rewind);
    getdents.over(&[&FEW, &POINTERS, &sizes]);
    let sizes = [ZERO, ("1", 1), ("7", 7), ("100", 100), MINUS];
    asker.call("getcwd", libc::SYS_getcwd).over(&[&POINTERS, &sizes]);
    let absolute: [&CStr; 3] = [c"/tmp/c/f", c"/tmp/c/d/", c"/tmp/c/d/../l"];
    let mut names = paths();
    names.extend(crate::places::texts(&absolute));
    let home = || std::env::set_current_dir(crate::places::HOME).unwrap_or(());
    asker.call("chdir", libc::SYS_chdir).undone_by(home).over(&[&names]);
    let modes = [ZERO, ("7777", 0o7777), MINUS];
    // Not of directories above HOME, which other programs use.
    let own: Vec<Value> = names.into_iter().filter(|(name, _)| !matches!(*name, ".." | "/")).collect();
    asker.call("fchmodat", libc::SYS_fchmodat).undone_by(crate::places::files).over(&[&[CWD], &own, &modes]);
}
