//! openat of names with a slash behind them, and of links whose text has one, as Linux 6.1 has it: with O_CREAT it is EISDIR, whatever is there.

#[macro_use]
mod board;

use abi::linux::nr;
use board::DATA;
use board::script::{Call, HERE, SYNC, data, place, run, shows};
use journal::machine::User;

const ENOENT: i64 = -2;
const EEXIST: i64 = -17;
const ENOTDIR: i64 = -20;
const EISDIR: i64 = -21;
const ELOOP: i64 = -40;
const OK: i64 = 3;

const RDWR: u64 = 2;
const CREAT: u64 = 0o100;
const EXCL: u64 = 0o200;
const NOFOLLOW: u64 = 0o100000;
const O_PATH: u64 = 0o10000000;
const FLAGS: [u64; 7] = [RDWR | CREAT, RDWR, 0, CREAT, CREAT | EXCL, O_PATH | CREAT, CREAT | NOFOLLOW];

const PATHS: &[&str] = &[
    "/",
    "/st",
    "/st/r",
    "/st/r/",
    "/st/d",
    "/st/d/",
    "/st/c",
    "/st/c/",
    "/st/l",
    "/st/l/",
    "nofile/",
    "st/r/",
    "st/d/",
    "st/c/",
    "st/l/",
    "st/r/x/",
    "nofile/x/",
    "st/d/.",
    "st/r/.",
    "to-r",
    "loop/",
    "to-d/made",
    "/to-none",
    "/to-r",
    "/to-d",
    "/to-c",
    "/to-l",
    "/to-to-r",
    "/to-below-r",
    "/to-below-none",
    "/to-dot",
    "/to-r-dot",
    "/to-root",
    "/loop",
    "/to-made",
    "/to-d/new",
    "/st/r/x/",
];
/// A name of 256 bytes, and a slash.
const OVERLONG: u64 = DATA + 0x800;

const fn at(path: &str) -> u64 {
    place(PATHS, path)
}
fn open(path: u64, flags: u64, x0: i64) -> Vec<Call> {
    let open = (nr::openat, [HERE, path, flags, 0o644, 0, 0], x0);
    if x0 == OK { vec![open, (nr::close, [3, 0, 0, 0, 0, 0], 0)] } else { vec![open] }
}
fn opens(path: &str, answers: [i64; 7]) -> Vec<Call> {
    FLAGS.iter().zip(answers).flat_map(|(flags, x0)| open(at(path), *flags, x0)).collect()
}
const fn make_directory(path: &str) -> Call {
    (nr::mkdirat, [HERE, at(path), 0o755, 0, 0, 0], 0)
}
const fn make(path: &str, mode: u64, device: u64) -> Call {
    (nr::mknodat, [HERE, at(path), mode, device, 0, 0], 0)
}
const fn link(path: &str, target: &str) -> Call {
    (nr::symlinkat, [at(target), HERE, at(path), 0, 0, 0], 0)
}

const MAKE: &[Call] = &[
    make_directory("/st"),
    make("/st/r", 0o100644, 0),
    make_directory("/st/d"),
    make("/st/c", 0o020666, 0x103),
    link("/st/l", "/st/r"),
    link("/to-none", "nofile/"),
    link("/to-r", "st/r/"),
    link("/to-d", "st/d/"),
    link("/to-c", "st/c/"),
    link("/to-l", "st/l/"),
    link("/to-to-r", "to-r"),
    link("/to-below-r", "st/r/x/"),
    link("/to-below-none", "nofile/x/"),
    link("/to-dot", "st/d/."),
    link("/to-r-dot", "st/r/."),
    link("/to-root", "/"),
    link("/loop", "loop/"),
    link("/to-made", "to-d/made"),
    SYNC,
];

const NOTHING: [i64; 7] = [EISDIR, ENOENT, ENOENT, EISDIR, EISDIR, ENOENT, EISDIR];
const FILE: [i64; 7] = [EISDIR, ENOTDIR, ENOTDIR, EISDIR, EISDIR, ENOTDIR, EISDIR];
const DIRECTORY: [i64; 7] = [EISDIR, EISDIR, OK, EISDIR, EISDIR, OK, EISDIR];
const TO_NOTHING: [i64; 7] = [EISDIR, ENOENT, ENOENT, EISDIR, EEXIST, ENOENT, ELOOP];
const TO_FILE: [i64; 7] = [EISDIR, ENOTDIR, ENOTDIR, EISDIR, EEXIST, ENOTDIR, ELOOP];
const TO_DIRECTORY: [i64; 7] = [EISDIR, EISDIR, OK, EISDIR, EEXIST, OK, ELOOP];

fn program(u: &mut User) -> bool {
    let calls = [
        opens("nofile/", NOTHING),
        opens("/st/r/", FILE),
        opens("/st/c/", FILE),
        opens("/st/d/", DIRECTORY),
        // The name's own slash, whatever link stands there.
        opens("/st/l/", FILE),
        opens("/to-none", TO_NOTHING),
        opens("/to-r", TO_FILE),
        opens("/to-c", TO_FILE),
        opens("/to-d", TO_DIRECTORY),
        // The slash behind the name that is looked up last.
        opens("/to-l", TO_FILE),
        opens("/to-to-r", TO_FILE),
        opens("/loop", [EISDIR, ELOOP, ELOOP, EISDIR, EEXIST, ELOOP, ELOOP]),
        // What lies above it is looked at first.
        opens("/to-below-r", [ENOTDIR, ENOTDIR, ENOTDIR, ENOTDIR, EEXIST, ENOTDIR, ELOOP]),
        opens("/to-below-none", [ENOENT, ENOENT, ENOENT, ENOENT, EEXIST, ENOENT, ELOOP]),
        // No name of its own.
        opens("/to-dot", TO_DIRECTORY),
        opens("/to-root", TO_DIRECTORY),
        opens("/to-r-dot", [ENOTDIR, ENOTDIR, ENOTDIR, ENOTDIR, EEXIST, ENOTDIR, ELOOP]),
        open(OVERLONG, CREAT, EISDIR),
        // A link on the way.
        open(at("/to-d/new"), CREAT | EXCL, OK),
        open(at("/to-made"), CREAT, OK),
        open(at("/to-made"), RDWR, OK),
    ];
    run(u, &[MAKE, &calls.concat(), &[SYNC]].concat())
}

#[test]
fn with_creat_a_slash_behind_the_last_name_is_a_directory() {
    let mut data = data(PATHS);
    data[(OVERLONG - DATA) as usize..][..256].fill(b'n');
    data[(OVERLONG - DATA) as usize + 256] = b'/';
    assert!(shows(&data, 1, program).is_empty());
}
