//! Calls on descriptors: fcntl, ioctl, flock, dup3.

use crate::ask::{Asker, Value};
use crate::places::{
    BUFFERS, CWD, FDS, FEW, HOLE, MINUS, OUT, POINTERS, TTY, ZERO, descriptors, quietly, structure, without,
};

pub fn ask(asker: &mut Asker) {
    commands(asker);
    locks(asker);
    copies(asker);
    requests(asker);
}

fn commands(asker: &mut Asker) {
    // F_GETFL of the terminal is how who began this opened it. F_GETSIG, F_SETOWN and F_SETOWN_EX and their like: the contract forgets what they set.
    let commands = [
        ("GETFD", 1),
        ("GETOWN", 9),
        ("SETSIG", 10),
        ("12", 12),
        ("13", 13),
        ("14", 14),
        ("GETPIPE", 1032),
        ("1029", 1029),
        MINUS,
        ("SETFD", 2),
    ];
    let arguments = [ZERO, ("1", 1), MINUS, ("out", OUT)];
    asker.call("fcntl", libc::SYS_fcntl).over(&[&FDS, &commands, &arguments]);
    let others = without(&FDS, &[TTY]);
    asker.call("fcntl", libc::SYS_fcntl).over(&[&others, &[("GETFL", 3)], &arguments]);
    let duplicates = [("DUPFD", 0), ("DUPFD_CLOEXEC", 1030)];
    let least = [MINUS, ("256", 256), ("255", 255), ("2^32", 1 << 32)];
    asker.call("fcntl", libc::SYS_fcntl).undone_by(descriptors).over(&[&FEW, &duplicates, &least]);
}

/// Words of a `struct flock`.
const LOCKS: [(&str, [u64; 4]); 6] = [
    ("rd", lock(0, 0, 0, 0)),
    ("wr1", lock(1, 1, 0, 0)),
    ("t5", lock(5, 0, 0, 0)),
    ("un2", lock(2, 2, -100, 0)),
    ("w3", lock(0, 3, 0, 0)),
    ("neg", lock(1, 0, -1, 5)),
];

const fn lock(kind: u64, whence: u64, start: i64, length: i64) -> [u64; 4] {
    [kind | whence << 16, start as u64, length as u64, 0]
}

/// The locks as at first, for F_GETLK writes to them; none is held, for the contract has none that collide.
fn release() {
    for (i, (_, words)) in LOCKS.iter().enumerate() {
        structure(4 * i, words);
    }
    let whole = structure(4 * LOCKS.len(), &lock(2, 0, 0, 0));
    for (_, fd) in without(&FDS, &[MINUS, TTY, CWD]) {
        for command in [libc::F_SETLK, libc::F_OFD_SETLK] {
            quietly(libc::SYS_fcntl, [fd, command as u64, whole, 0, 0, 0]);
        }
    }
}

fn locks(asker: &mut Asker) {
    release();
    let mut given: Vec<Value> =
        LOCKS.iter().enumerate().map(|(i, (name, words))| (*name, structure(4 * i, words))).collect();
    given.extend([("null", 0), ("hole", HOLE)]);
    let commands = [("GETLK", 5), ("SETLK", 6), ("OFD_GETLK", 36), ("OFD_SETLK", 37)];
    // How the terminal was opened is not the program's.
    let others = without(&FDS, &[TTY]);
    asker.call("fcntl", libc::SYS_fcntl).undone_by(release).over(&[&others, &commands, &given]);
    // For each descriptor the last that holds is taken back by 8 and 12 (LOCK_UN).
    let operations = [
        ZERO,
        ("1", 1),
        ("2", 2),
        ("4", 4),
        ("5", 5),
        ("6", 6),
        ("8", 8),
        ("9", 9),
        ("c", 12),
        ("20", 32),
        MINUS,
    ];
    asker.call("flock", libc::SYS_flock).over(&[&FDS, &operations]);
}

fn copies(asker: &mut Asker) {
    let flags = [ZERO, ("1", 1), ("80000", 0x80000), MINUS];
    let to = [("3", 3), ("256", 256), MINUS, ("30", 30)];
    asker.call("dup3", libc::SYS_dup3).undone_by(descriptors).over(&[&FDS, &to, &flags]);
    asker.call("dup", libc::SYS_dup).undone_by(descriptors).over(&[&FDS]);
    let flags = [ZERO, ("1", 1), ("800", 0x800), ("80000", 0x80000), ("80800", 0x80800), MINUS];
    asker.call("pipe2", libc::SYS_pipe2).undone_by(descriptors).over(&[&POINTERS, &flags]);
    asker.call("close", libc::SYS_close).undone_by(descriptors).over(&[&without(&FDS, &[TTY])]);
}

/// Of what they write only success counts. FIOASYNC, FIGETBSZ and FIOQSIZE the contract does not know.
fn requests(asker: &mut Asker) {
    let common = [
        ("FIONREAD", 0x541b),
        ("FIOCLEX", 0x5451),
        ("FIONCLEX", 0x5450),
        ("TIOCGWINSZ", 0x5413),
        ("TIOCGPGRP", 0x540f),
        ("TIOCGSID", 0x5429),
        ("0x1234", 0x1234),
        ("TIOCOUTQ", 0x5411),
        ("TIOCGETD", 0x5424),
        ("TIOCGEXCL", 0x8004_5440),
    ];
    let mut requests = common.to_vec();
    requests.extend([
        ("TCGETS", 0x5401),
        ("FIONBIO", 0x5421),
        ("TIOCMGET", 0x5415),
        ("BLKGETSIZE", 0x1260),
        ("FS_GETFLAGS", 0x8008_6601),
        ("TIOCNXCL", 0x540d),
        ("TIOCEXCL", 0x540c),
        ("TCFLSH", 0x540b),
        ("TCSBRKP", 0x5425),
        ("TCXONC", 0x540a),
        ("big", 0x1_0000_5401),
    ]);
    let others = without(&FDS, &[TTY]);
    asker.call("ioctl", libc::SYS_ioctl).result().over(&[&others, &requests, &BUFFERS]);
    // The others change the terminal, which is the run's own console.
    asker.call("ioctl", libc::SYS_ioctl).result().over(&[&[TTY], &common, &BUFFERS]);
}
