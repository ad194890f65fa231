//! One sequence: its chance, its sum, the arguments it draws.

use crate::places::{FREE, FREE_PAGES, MOVED, SINK, SINK_SIZE, SOURCE, SOURCE_SIZE, left};
use apps::{Random, raw};
use std::cell::Cell;

/// The last descriptor that calls are given; higher ones are closed behind a sequence.
pub const LAST: u64 = 16;
/// A file of the image, open from the start.
pub const IMAGE: u64 = 20;
/// Relative paths: what they name lies in the sequence's own directory.
pub const OWN: [&str; 22] = [
    "a\0",
    "b\0",
    "d\0",
    "d/a\0",
    "d/../a\0",
    "d/b\0",
    "l\0",
    "l/a\0",
    "loop\0",
    "f\0",
    "\0",
    ".\0",
    "d/\0",
    "a/\0",
    "nowhere/a\0",
    "g\0",
    "./a\0",
    "d/.\0",
    "l/\0",
    "loop/a\0",
    "d//b\0",
    "h\0",
];
/// What a symbolic link may say, and where the working directory may go: never out of the directory.
const INSIDE: [&str; 8] = ["a\0", "b\0", "d\0", "l\0", "loop\0", "d/b\0", "nowhere\0", ".\0"];
/// Looked at, never changed.
const OTHERS: [&str; 14] = [
    "/tmp\0",
    "/\0",
    "/dev/null\0",
    "/dev/zero\0",
    "/dev/full\0",
    "/dev/tty\0",
    "/bin/busybox\0",
    "/bin/ls\0",
    "/etc/passwd\0",
    "/proc/self/cwd\0",
    "/dev/fd/0\0",
    "/bin/busybox/a\0",
    "/nowhere\0",
    "..\0",
];
/// The same that may be opened.
const OPENED: [&str; 9] = [
    "/dev/null\0",
    "/dev/zero\0",
    "/dev/full\0",
    "/dev/tty\0",
    "/bin/busybox\0",
    "/bin/ls\0",
    "/etc/passwd\0",
    "/proc/self/cwd\0",
    "/dev/fd/0\0",
];

/// A sequence under way.
pub struct Storm {
    pub random: Random,
    pub sum: u64,
    pub verbose: bool,
    /// Pipes' buffers that may still be filled: Linux counts them by pages, the contract by bytes.
    pub room: u64,
    /// How deep in children of children.
    pub depth: u32,
    /// Whether several sequences share a process.
    pub together: bool,
    /// What `fstat` said of descriptors, until a call may have changed what they lead to.
    modes: [Cell<Option<u32>>; 32],
}

/// The room of all pipes together, in pages of Linux.
const ROOM: u64 = 12;
/// Calls behind which a descriptor may lead elsewhere.
const CHANGES_DESCRIPTORS: [i64; 6] =
    [libc::SYS_openat, libc::SYS_close, libc::SYS_dup, libc::SYS_dup3, libc::SYS_pipe2, libc::SYS_fcntl];

impl Storm {
    pub fn new(together: bool, verbose: bool) -> Storm {
        let modes = [const { Cell::new(None) }; 32];
        Storm { random: Random::new(1), sum: 0, verbose, room: ROOM, depth: 0, together, modes }
    }

    /// Begins sequence `seed`'s chance and sum.
    pub fn draw_from(&mut self, seed: u64) {
        self.random = Random::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        (0..4).fold(0, |_, _| self.random.next());
        self.sum = 0;
    }

    /// Empties all pipes that can be read from, if they may have filled.
    pub fn drain(&mut self) {
        if self.room > ROOM / 2 {
            return;
        }
        self.room = ROOM;
        for fd in (3..=LAST).filter(|fd| self.is(*fd, libc::S_IFIFO)) {
            self.quietly(libc::SYS_fcntl, [fd, libc::F_SETFL as u64, 0o4000, 0, 0, 0]);
            self.quietly(libc::SYS_read, [fd, SINK, SINK_SIZE, 0, 0, 0]);
        }
    }

    /// Takes a value into the sum.
    pub fn mix(&mut self, value: u64) {
        self.sum = (self.sum ^ value).wrapping_mul(0x0100_0000_01b3).rotate_left(23) ^ (value >> 32);
    }

    /// Takes bytes into the sum.
    pub fn mix_bytes(&mut self, bytes: &[u8]) {
        let sum = digest(bytes);
        self.mix(sum);
    }

    /// A line of the trace.
    pub fn trace(&self, line: &str) {
        if self.verbose {
            let line = format!("{}{line}\n", "  ".repeat(self.depth as usize));
            // SAFETY: (1) the line outlives the call.
            unsafe {
                raw(libc::SYS_write, [crate::TRACE as u64, line.as_ptr() as u64, line.len() as u64, 0, 0, 0])
            };
        }
    }

    /// Makes a call. What it answered is not in the sum yet.
    pub fn quietly(&self, number: i64, a: [u64; 6]) -> i64 {
        // SAFETY: (1) arguments are drawn so that calls write to SINK, ARGUMENTS, FREE and the kernel's own state only; (2) whatever happens
        // to this process is the point of the program.
        let r = unsafe { raw(number, a) };
        if CHANGES_DESCRIPTORS.contains(&number) {
            self.modes.iter().for_each(|mode| mode.set(None));
        }
        r
    }

    /// What the contract fixes of an answer, and of what stands where it was to be written.
    pub fn answered(&mut self, name: &str, a: &[u64], r: i64, what: &[u64]) {
        self.mix(r as u64);
        what.iter().for_each(|w| self.mix(*w));
        if self.verbose {
            let shown: Vec<String> = a.iter().map(|v| shown(*v)).collect();
            let what: Vec<String> = what.iter().map(|w| format!("{w:x}")).collect();
            self.trace(&format!("{name} {} = {r} [{}] {:016x}", shown.join(" "), what.join(" "), self.sum));
        }
    }

    /// Makes a call whose answer counts as it is.
    pub fn call(&mut self, name: &str, number: i64, a: [u64; 6]) {
        let r = self.quietly(number, a);
        self.answered(name, &a, r, &[]);
    }

    /// As `call`; of the answer so many bytes at an address count too, if it succeeds.
    pub fn call_for(&mut self, name: &str, number: i64, a: [u64; 6], at: u64, length: impl Fn(i64) -> u64) {
        let r = self.quietly(number, a);
        let bytes = if r >= 0 { left(at, length(r)) } else { None };
        let sum = bytes.map_or(0, digest);
        self.answered(name, &a, r, &[sum]);
    }

    /// An address that is none.
    fn nowhere(&self) -> u64 {
        self.random.of(&[0, 1, u64::MAX, 1 << 49, 0xffff_ff80_4000_0000, FREE + FREE_PAGES * 4096 * 3])
    }

    /// Where bytes come from: mostly good.
    pub fn source(&self) -> u64 {
        match self.random.below(24) {
            0 => self.nowhere(),
            1 => FREE + self.random.below(FREE_PAGES) * 4096,
            2 => SOURCE + SOURCE_SIZE - self.random.below(64),
            _ => SOURCE + (self.random.below(SOURCE_SIZE - 4096) & !7),
        }
    }

    /// Where answers go: mostly good.
    pub fn sink(&self) -> u64 {
        match self.random.below(20) {
            0 => self.nowhere(),
            1 => SINK + SINK_SIZE - self.random.below(64),
            _ => SINK + (self.random.below(8192) & !7),
        }
    }

    pub fn one_of(&self, list: &[&'static str]) -> u64 {
        list[self.random.below(list.len() as u64) as usize].as_ptr() as u64
    }

    /// A path that may be changed.
    pub fn own(&self) -> u64 {
        match self.random.below(40) {
            0 => self.nowhere(),
            1 => SOURCE + SOURCE_SIZE - 40 + self.random.below(8),
            2 => SOURCE + self.random.below(100),
            _ => self.one_of(&OWN),
        }
    }

    pub fn inside(&self) -> u64 {
        self.one_of(&INSIDE)
    }

    /// A path to look at.
    pub fn any(&self) -> u64 {
        if self.random.below(4) == 0 { self.one_of(&OTHERS) } else { self.own() }
    }

    /// A path to open that is not the sequence's.
    pub fn opened(&self) -> u64 {
        self.one_of(&OPENED)
    }

    pub fn fd(&self) -> u64 {
        match self.random.below(20) {
            0 => u64::MAX,
            1 => self.random.of(&[255, 256, 1 << 32, 77]),
            _ => 3 + self.random.below(LAST - 2),
        }
    }

    pub fn dirfd(&self) -> u64 {
        if self.random.below(4) > 0 { -100i64 as u64 } else { self.fd() }
    }

    pub fn length(&self) -> u64 {
        match self.random.below(14) {
            0 => 0,
            1 => self.random.of(&[u64::MAX, 1 << 31, 1 << 36, 70_000, 100_000]),
            2 => self.random.below(70_000),
            _ => self.random.below(600),
        }
    }

    pub fn page(&self) -> u64 {
        FREE + self.random.below(FREE_PAGES) * 4096 + if self.random.below(30) == 0 { 8 } else { 0 }
    }

    pub fn pages(&self) -> u64 {
        match self.random.below(20) {
            0 => self.random.of(&[0, 1, 5000, 1 << 36]),
            _ => (1 + self.random.below(12)) * 4096,
        }
    }

    /// The words of `struct stat` (1: inode, 2: mode below the links, 4: device); zero: it is no descriptor.
    pub fn status(&self, fd: u64) -> [u64; 16] {
        let mut stat = [0u64; 16];
        self.quietly(libc::SYS_fstat, [fd, stat.as_mut_ptr() as u64, 0, 0, 0, 0]);
        stat
    }

    /// Type and first permissions of what a descriptor leads to; 0: it is none.
    pub fn mode(&self, fd: u64) -> u32 {
        let known = usize::try_from(fd).ok().and_then(|fd| self.modes.get(fd));
        known.and_then(Cell::get).unwrap_or_else(|| {
            let mode = self.status(fd)[2] as u32;
            known.inspect(|known| known.set(Some(mode)));
            mode
        })
    }

    pub fn is(&self, fd: u64, kind: u32) -> bool {
        self.mode(fd) & libc::S_IFMT == kind
    }

    /// Writes the sum.
    pub fn tell(&self, fd: i32) {
        let sum = self.sum.max(1).to_le_bytes();
        self.quietly(libc::SYS_write, [fd as u64, sum.as_ptr() as u64, 8, 0, 0, 0]);
    }
}

/// As FNV-1a, but by words and with a rotation, and the rest by bytes.
pub fn digest(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks();
    let values = words.iter().map(|w| u64::from_le_bytes(*w)).chain(rest.iter().map(|b| u64::from(*b)));
    values.fold(0xcbf2_9ce4_8422_2325, |s: u64, v| (s ^ v).wrapping_mul(0x0100_0000_01b3).rotate_left(29))
}

/// An argument, for people.
fn shown(v: u64) -> String {
    let named = |list: &[&'static str]| {
        list.iter().find(|p| p.as_ptr() as u64 == v).map(|p| p.trim_end_matches('\0').to_owned())
    };
    let offset = |name: &str, base: u64, size: u64| {
        (v >= base && v < base + size).then(|| format!("{name}+{:x}", v - base))
    };
    named(&OWN)
        .or_else(|| named(&INSIDE))
        .or_else(|| named(&OTHERS))
        .or_else(|| named(&OPENED))
        .map(|p| format!("\"{p}\""))
        .or_else(|| offset("source", SOURCE, SOURCE_SIZE))
        .or_else(|| offset("sink", SINK, SINK_SIZE))
        .or_else(|| offset("free", FREE, FREE_PAGES * 4096))
        .or_else(|| offset("moved", MOVED, FREE_PAGES * 4096))
        .unwrap_or_else(|| format!("{v:x}"))
}
