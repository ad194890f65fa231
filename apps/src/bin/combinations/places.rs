//! What calls are asked about: memory at the same addresses on every kernel, files, and a descriptor of each kind.

use crate::ask::Value;
use apps::raw;
use std::ffi::CStr;
use std::os::unix::fs::symlink;

/// Where answers go.
pub const OUT: u64 = 0x10_1000_0000;
pub const OUT_SIZE: usize = 4096;
/// A page that is mapped between two that are not; HOLE is where it ends.
const BRINK: u64 = 0x10_2000_0000;
pub const HOLE: u64 = BRINK + 4096;
/// Zeros that calls may write to.
pub const ZEROS: u64 = 0x10_3000_0000;
/// Structures that calls are given.
pub const ARGUMENTS: u64 = 0x10_4000_0000;
/// For an alternate signal stack.
pub const STACK: u64 = 0x10_5000_0000;
const STACK_SIZE: usize = 2 * 4096;
/// Above all that a process may have mapped.
pub const BAD: u64 = -4096i64 as u64;

/// The directory in which all happens.
pub const HOME: &str = "/tmp/c";
/// Where a call's directory is this one.
pub const CWD: Value = ("cwd", -100i64 as u64);
/// The first descriptor that is not among FDS.
const FREE: u64 = 15;

pub const TTY: Value = ("tty", 0);
pub const PROC: Value = ("proc", 10);
pub const DIR: Value = ("dir", 4);
pub const ZERO: Value = ("0", 0);
pub const MINUS: Value = ("-1", u64::MAX);
pub const MOST: Value = ("max", i64::MAX as u64);
/// Numbers whose upper half does not count.
const BIG: Value = ("big", 1 << 32 | 3);

/// Descriptors of each kind, as `descriptors` opens them, and what is none.
pub const FDS: [Value; 17] = [
    MINUS,
    TTY,
    ("rw", 3),
    DIR,
    ("pr", 5),
    ("pw", 6),
    ("path", 7),
    ("ro", 8),
    ("null", 9),
    PROC,
    ("wo", 11),
    ("99", 99),
    CWD,
    ("zero", 12),
    ("pathdir", 13),
    BIG,
    ("fifo", 14),
];
/// A choice of them, where there are many other arguments.
pub const FEW: [Value; 7] = [MINUS, ("rw", 3), DIR, ("pr", 5), ("path", 7), ("ro", 8), PROC];
/// What a path may begin at.
pub const DIRECTORIES: [Value; 4] = [CWD, ("99", 99), ("file", 3), DIR];
/// Where an answer may be asked to go: EDGE is four bytes before a hole.
pub const POINTERS: [Value; 5] =
    [("buf", OUT), ("null", 0), ("bad", BAD), ("hole", HOLE), ("edge", HOLE - 4)];
pub const BUFFERS: [Value; 3] = [("buf", OUT), ("null", 0), ("hole", HOLE)];

/// All of `values` but some.
pub fn without(values: &[Value], left_out: &[Value]) -> Vec<Value> {
    values.iter().filter(|v| !left_out.contains(v)).copied().collect()
}

/// Names as arguments.
pub fn texts(names: &[&'static CStr]) -> Vec<Value> {
    let named = |text: &'static CStr| match text.to_str() {
        Ok("") | Err(_) => "empty",
        Ok(name) => name,
    };
    names.iter().map(|text| (named(text), text.as_ptr() as u64)).collect()
}

/// Names that lead somewhere in HOME, or nowhere.
pub fn paths() -> Vec<Value> {
    let mut found = texts(&[
        c"f", c"d", c"l", c"dl", c"nx", c"", c"d/", c"f/", c"nx/y", c"f/y", c"l/", c"loop", c"d/e", c".",
        c"..", c"/",
    ]);
    found.extend([("NULL", 0), ("bad", BAD)]);
    found
}

/// Maps all that has an address here.
pub fn fill() {
    for (at, size) in [(OUT, OUT_SIZE), (BRINK, 4096), (ZEROS, 4096), (ARGUMENTS, 4096), (STACK, STACK_SIZE)]
    {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        // SAFETY: (1) nothing of a static program lies there.
        let got = unsafe { libc::mmap(at as *mut _, size, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
        assert_eq!(got as u64, at);
    }
    // On Linux pselect6 looks at sets as far as the table of descriptors has ever had to grow: here it is as large as it may be.
    quietly(libc::SYS_dup3, [0, 255, 0, 0, 0, 0]);
    close(255);
    // What would end or stop this process, and is no answer.
    for signal in [libc::SIGPIPE, libc::SIGIO, libc::SIGTTOU, libc::SIGTTIN] {
        // SAFETY: (1) no handler is set.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// Puts words where structures stand, `at` words behind the first; their address.
pub fn structure(at: usize, words: &[u64]) -> u64 {
    assert!(at + words.len() <= 512);
    let place = ARGUMENTS + 8 * at as u64;
    for (i, word) in words.iter().enumerate() {
        // SAFETY: (1) ARGUMENTS has a page, and this is in it; (2) nobody refers to it.
        unsafe { (place as *mut u64).add(i).write(*word) };
    }
    place
}

/// A call of the program's own.
pub fn quietly(number: i64, arguments: [u64; 6]) -> i64 {
    // SAFETY: (1) callers pass numbers, strings that live, and no addresses to write to but those of `places`.
    unsafe { raw(number, arguments) }
}

pub fn close(fd: u64) {
    quietly(libc::SYS_close, [fd, 0, 0, 0, 0, 0]);
}

/// HOME and all that stands in it, as at first; and it is the working directory.
pub fn files() {
    let made = || {
        std::env::set_current_dir("/")?;
        if std::fs::exists(HOME)? {
            std::fs::remove_dir_all(HOME)?;
        }
        std::fs::create_dir(HOME)?;
        std::env::set_current_dir(HOME)?;
        std::fs::write("f", b"hello")?;
        symlink("f", "l")?;
        symlink("nowhere", "dl")?;
        symlink("loop", "loop")?;
        std::fs::create_dir("d")?;
        std::fs::write("d/e", b"")
    };
    made().unwrap_or_else(|e: std::io::Error| panic!("{HOME}: {e}"));
    let fifo = [CWD.1, c"ff".as_ptr() as u64, u64::from(libc::S_IFIFO | 0o644), 0, 0, 0];
    quietly(libc::SYS_mknodat, fifo);
}

/// FDS as at first, and no others but the standard ones.
pub fn descriptors() {
    let next = quietly(libc::SYS_fcntl, [0, libc::F_DUPFD as u64, FREE, 0, 0, 0]);
    let more = FREE..=u64::try_from(next).unwrap_or(FREE);
    (3..FREE).chain(more).chain([30, 255]).for_each(close);
    let open = |path: &CStr, flags: i32| {
        quietly(libc::SYS_openat, [CWD.1, path.as_ptr() as u64, flags as u64, 0, 0, 0]);
    };
    open(c"f", libc::O_RDWR);
    open(c"d", libc::O_RDONLY);
    quietly(libc::SYS_pipe2, [OUT, libc::O_NONBLOCK as u64, 0, 0, 0, 0]);
    open(c"f", libc::O_PATH);
    open(c"f", libc::O_RDONLY);
    open(c"/dev/null", libc::O_RDWR);
    open(c"/proc/self/stat", libc::O_RDONLY);
    open(c"f", libc::O_WRONLY);
    open(c"/dev/zero", libc::O_RDWR);
    open(c"d", libc::O_PATH);
    open(c"ff", libc::O_RDWR | libc::O_NONBLOCK);
}

/// All as at first.
pub fn renew() {
    files();
    descriptors();
}
