//! Calls on files, directories and pipes.

use crate::attributes::{attributes, permissions};
use crate::places::{SINK, SINK_SIZE, SOURCE, SOURCE_SIZE, left, structure, word};
use crate::storm::{LAST, Storm, digest};

/// Descriptors that belong to the sequence's own bookkeeping.
pub const SPARE: u64 = 100;

impl Storm {
    pub fn file_step(&mut self) {
        match self.random.below(62) {
            0..8 => self.open(),
            8..10 => self.call("close", libc::SYS_close, [self.fd(), 0, 0, 0, 0, 0]),
            10..15 => self.read(),
            15..20 => self.write(),
            20..22 => self.vector(),
            22 => self.seek(),
            23 => self.send(),
            24 => {
                let size = self.random.of(&[0, 1, 4095, 4096, 10_000, 70_000, u64::MAX]);
                self.call("ftruncate", libc::SYS_ftruncate, [self.fd(), size, 0, 0, 0, 0]);
            }
            25 => self.call("dup", libc::SYS_dup, [self.fd(), 0, 0, 0, 0, 0]),
            26 => {
                let a =
                    [self.fd(), 3 + self.random.below(14), self.random.of(&[0, 0, 0o2000000, 1]), 0, 0, 0];
                self.call("dup3", libc::SYS_dup3, a);
            }
            27..30 => self.control(),
            30 => {
                let (sink, flags) = (self.sink(), self.random.of(&[0o4000, 0o4000, 0o2004000, 1]));
                self.call_for("pipe2", libc::SYS_pipe2, [sink, flags, 0, 0, 0, 0], sink, |_| 8);
            }
            31..34 => self.stat(),
            34..36 => self.list(),
            36 => {
                let (sink, size) = (self.sink(), self.random.of(&[0, 1, 10, 4096, 1 << 31]));
                let a = [self.dirfd(), self.any(), sink, size, 0, 0];
                let r = self.quietly(libc::SYS_readlinkat, a);
                let text = if r > 0 { left(sink, r as u64) } else { None };
                // What a link to a pipe says behind this is its number.
                let text = text.map(|t| if t.starts_with(b"pipe:") { &t[..5] } else { t });
                let sum = text.map_or(0, digest);
                self.answered("readlinkat", &a, text.map_or(r, |t| t.len() as i64), &[sum]);
            }
            37 => self.call(
                "faccessat",
                libc::SYS_faccessat,
                [self.dirfd(), self.any(), self.random.below(9), 0, 0, 0],
            ),
            38 => {
                let (sink, size) = (self.sink(), self.random.of(&[0, 3, 20, 4096]));
                self.call_for("getcwd", libc::SYS_getcwd, [sink, size, 0, 0, 0, 0], sink, |r| r as u64);
            }
            39 => self.poll(),
            40 => self.ioctl(),
            _ => self.name_step(),
        }
    }

    /// Calls that change names and attributes.
    fn name_step(&mut self) {
        let (dir, path) = (self.dirfd(), self.own());
        match self.random.below(20) {
            0..3 => self.call("mkdirat", libc::SYS_mkdirat, [dir, path, self.random.below(4096), 0, 0, 0]),
            3 | 4 => {
                let (mode, number) = (
                    self.random.of(&[0o100644, 0o10644, 0o10600, 0o20666, 0o40755, 0, 0o150000]),
                    self.random.of(&[0x103, 0x105, 7]),
                );
                self.call("mknodat", libc::SYS_mknodat, [dir, path, mode, number, 0, 0]);
            }
            5 => self.call("symlinkat", libc::SYS_symlinkat, [self.inside(), dir, path, 0, 0, 0]),
            6 | 7 => {
                let flags = self.random.of(&[0, 0, 0x400, 1]);
                self.call("linkat", libc::SYS_linkat, [dir, path, self.dirfd(), self.own(), flags, 0]);
            }
            8..11 => self.call(
                "unlinkat",
                libc::SYS_unlinkat,
                [dir, path, self.random.of(&[0, 0, 0x200, 1]), 0, 0, 0],
            ),
            11..14 => self.call("renameat", libc::SYS_renameat, [dir, path, self.dirfd(), self.own(), 0, 0]),
            14 => self.call("fchmodat", libc::SYS_fchmodat, [dir, path, self.random.below(8192), 0, 0, 0]),
            15 => {
                let (owner, group, flags) = (
                    self.random.of(&[0, 5, 0xffff_ffff]),
                    self.random.of(&[0, 7, 0xffff_ffff]),
                    self.random.of(&[0, 0x100, 2]),
                );
                self.call("fchownat", libc::SYS_fchownat, [dir, path, owner, group, flags, 0]);
            }
            16 | 17 => {
                let parts = [5, 1000, (1 << 30) - 1, (1 << 30) - 2, 999_999_999, 1_000_000_000];
                let times = [
                    1 + self.random.below(9999),
                    self.random.of(&parts),
                    self.random.below(9999),
                    self.random.of(&parts),
                ];
                let at = structure(&times);
                let path = if self.random.below(5) == 0 { 0 } else { path };
                self.call(
                    "utimensat",
                    libc::SYS_utimensat,
                    [dir, path, at, self.random.of(&[0, 0x100, 2]), 0, 0],
                );
            }
            18 => self.call("chdir", libc::SYS_chdir, [self.inside(), 0, 0, 0, 0, 0]),
            _ => self.call("fchmod", libc::SYS_fchmod, [self.fd(), self.random.below(8192), 0, 0, 0, 0]),
        }
    }

    /// Never for long: nothing is opened without O_NONBLOCK.
    fn open(&mut self) {
        let flags = &[
            0o1, 0o2, 0o2, 0o100, 0o100, 0o200, 0o1000, 0o2000, 0o40000, 0o100000, 0o2000000, 0o10000000,
            0o400,
        ];
        let flags = self.random.bits(flags) | 0o4000;
        if self.random.below(5) == 0 {
            // What is the image's is only read.
            let a = [-100i64 as u64, self.opened(), flags & !0o1303, 0, 0, 0];
            self.call("openat", libc::SYS_openat, a);
        } else {
            self.call(
                "openat",
                libc::SYS_openat,
                [self.dirfd(), self.own(), flags, self.random.below(4096), 0, 0],
            );
        }
    }

    fn read(&mut self) {
        let (fd, mut sink, length) = (self.fd(), self.sink(), self.length());
        // Into a buffer that ends early Linux moves whole pages of a pipe, and else as much as its copying does at a time; the contract bytes.
        let ends_early = match self.mode(fd) & libc::S_IFMT {
            libc::S_IFIFO => sink > SINK,
            libc::S_IFREG | libc::S_IFCHR => (SINK + 8192..SINK + SINK_SIZE).contains(&sink),
            _ => false,
        };
        if ends_early {
            sink = SINK;
        }
        if self.random.below(4) == 0 {
            let at = self.random.of(&[0, 3, 4095, 4097, 40_960, u64::MAX]);
            self.call_for("pread64", libc::SYS_pread64, [fd, sink, length, at, 0, 0], sink, |r| r as u64);
        } else {
            self.call_for("read", libc::SYS_read, [fd, sink, length, 0, 0, 0], sink, |r| r as u64);
        }
    }

    /// A count of bytes that does not fill a pipe of whole pages before one of bytes.
    fn fitting(&mut self, fd: u64, length: u64) -> u64 {
        if !self.is(fd, libc::S_IFIFO) || length == 0 {
            return length;
        }
        let length = length.min(600);
        self.room = self.room.saturating_sub(2);
        if self.room == 0 { 0 } else { length }
    }

    fn write(&mut self) {
        let (fd, mut source, length) = (self.fd(), self.source(), self.length());
        let length = self.fitting(fd, length);
        // What cannot be read leaves an empty buffer in a pipe of Linux, which then can be read from, and a file's time of change.
        let bad = self.together && !(SOURCE..SINK).contains(&source);
        let ends_early = (SOURCE + SOURCE_SIZE - 4096..SINK).contains(&source);
        if bad && self.is(fd, libc::S_IFREG) || (bad || ends_early) && self.is(fd, libc::S_IFIFO) {
            source = SOURCE;
        }
        if self.random.below(4) == 0 {
            let at = self.random.of(&[0, 3, 4095, 40_970, u64::MAX]);
            self.call("pwrite64", libc::SYS_pwrite64, [fd, source, length, at, 0, 0]);
        } else {
            self.call("write", libc::SYS_write, [fd, source, length, 0, 0, 0]);
        }
    }

    fn vector(&mut self) {
        let (fd, parts) = (self.fd(), self.random.of(&[0, 1, 2, 3, 1025, u64::MAX]));
        let reads = self.random.below(2) == 0;
        let mut words = [0; 6];
        for pair in words.chunks_mut(2) {
            let good = self.random.below(8) > 0;
            pair[0] = if !good {
                self.source()
            } else if reads {
                SINK
            } else {
                SOURCE
            };
            pair[1] = if self.random.below(20) == 0 { u64::MAX } else { self.random.below(300) };
        }
        if self.is(fd, libc::S_IFIFO) {
            let good = if reads { SINK } else { SOURCE };
            words.chunks_mut(2).for_each(|pair| pair[0] = good);
            self.room = self.room.saturating_sub(2);
            if self.room == 0 {
                return;
            }
        }
        let a = [fd, structure(&words), parts, 0, 0, 0];
        if reads {
            // What an earlier call left there may be a time or a number.
            // SAFETY: (1) SINK is writable for good, and longer.
            unsafe { (SINK as *mut [u8; 600]).write([0; 600]) };
            self.call_for("readv", libc::SYS_readv, a, SINK, |_| 600);
        } else {
            self.call("writev", libc::SYS_writev, a);
        }
    }

    fn seek(&mut self) {
        let (fd, whence) = (self.fd(), self.random.below(6));
        let a = [fd, self.random.of(&[0, 5, 4096, 100_000, u64::MAX, -5i64 as u64]), whence, 0, 0, 0];
        let r = self.quietly(libc::SYS_lseek, a);
        // Positions in directories are not Linux'.
        let directory = self.is(fd, libc::S_IFDIR);
        if !directory {
            self.answered("lseek", &a, r, &[]);
        }
    }

    fn send(&mut self) {
        let (to, from, length) = (self.fd(), self.fd(), self.length());
        let length = self.fitting(to, length.min(1 << 20));
        if self.is(to, libc::S_IFCHR) && self.status(to)[4] != 0x103 {
            // Of the other devices Linux refuses it (EINVAL: no splice_write), the contract does not.
            return;
        }
        // From a file to itself Linux hands on pages, which the write may change before it comes to them.
        let length = if self.same_file(to, from) { length.min(1) } else { length };
        let offset =
            if self.random.below(2) == 0 { 0 } else { structure(&[self.random.of(&[0, 3, 5000, u64::MAX])]) };

        self.call_for("sendfile", libc::SYS_sendfile, [to, from, offset, length, 0, 0], offset, |_| 8);
        if self.is(to, libc::S_IFIFO) && self.is(from, libc::S_IFREG) {
            // Linux has put the file's pages into the pipe, where a write to the file would show: what is there is read at once.
            let pipes: Vec<u64> = (3..=LAST).filter(|fd| self.is(*fd, libc::S_IFIFO)).collect();
            for fd in pipes {
                self.quietly(libc::SYS_fcntl, [fd, libc::F_SETFL as u64, 0o4000, 0, 0, 0]);
                self.call_for("read", libc::SYS_read, [fd, SINK, SINK_SIZE, 0, 0, 0], SINK, |r| r as u64);
            }
        }
    }

    /// Whether both lead to the same regular file.
    fn same_file(&self, one: u64, other: u64) -> bool {
        self.is(one, libc::S_IFREG) && self.is(other, libc::S_IFREG) && self.status(one)[1] == self.status(other)[1]
    }

    fn control(&mut self) {
        let commands = if self.depth == 0 {
            &[0, 1, 2, 3, 4, 5, 6, 7, 1030, 1032, 99][..]
        } else {
            &[0, 1, 2, 3, 4, 1030, 1032, 99][..]
        };
        let (fd, command) = (self.fd(), self.random.of(commands));
        let argument = match command {
            4 => self.random.of(&[0, 0o2000, 0o1, 0o100]) | 0o4000,
            5..=7 => {
                let (kind, whence) = (self.random.of(&[0, 1, 2, 5]), self.random.of(&[0, 1, 2, 5]));
                structure(&[
                    kind | whence << 16,
                    self.random.of(&[0, 5, -5i64 as u64]),
                    self.random.of(&[0, 10, -3i64 as u64]),
                    0,
                ])
            }
            _ => self.random.of(&[0, 1, 5, 4096, 300]),
        };
        self.call("fcntl", libc::SYS_fcntl, [fd, command, argument, 0, 0, 0]);
    }

    fn ioctl(&mut self) {
        let (fd, request) =
            (self.fd(), self.random.of(&[0x541b, 0x5401, 0x5413, 0x5421, 0x5451, 0x5450, 0x1234]));
        let sink = if request == 0x5421 { structure(&[1]) } else { self.sink() };
        self.call_for("ioctl", libc::SYS_ioctl, [fd, request, sink, 0, 0, 0], sink, |_| {
            if request == 0x541b { 4 } else { 0 }
        });
    }

    /// Two descriptors, no time.
    fn poll(&mut self) {
        let words = [
            self.fd() & 0xffff_ffff | 5 << 32,
            self.fd() & 0xffff_ffff | 4 << 32,
            0,
            self.random.of(&[0, 1000, 2_000_000_000]),
        ];
        let at = structure(&words);
        let n = self.random.below(3);
        let a = [at, n, at + 16, 0, 0, 0];
        let r = self.quietly(libc::SYS_ppoll, a);
        let what: Vec<u64> = left(at, 8 * n)
            .unwrap_or_default()
            .as_chunks()
            .0
            .iter()
            .map(|w| u64::from_le_bytes(*w))
            .collect();
        self.answered("ppoll", &a, r, &what);
    }

    fn stat(&mut self) {
        let (dir, path, sink) = (self.dirfd(), self.any(), self.sink());
        let flags = self.random.of(&[0, 0, 0x100, 0x1000, 0x800, 1]);
        match self.random.below(4) {
            0 => {
                let fd = self.fd();
                let r = self.quietly(libc::SYS_fstat, [fd, sink, 0, 0, 0, 0]);
                let what = attributes(r, sink);
                self.answered("fstat", &[fd, sink], r, &what);
            }
            1 => {
                let flags = self.random.of(&[0, 0x100, 0x1000, 0x6000, 0x8000]);
                let r = self.quietly(libc::SYS_statx, [dir, path, flags, 0x7ff, sink, 0]);
                let what = left(sink, 256).filter(|_| r == 0);
                let what: Vec<u64> = what.iter().map(|b| permissions(word(b, 7) & 0xffff)).collect();
                self.answered("statx", &[dir, path, flags, 0x7ff, sink], r, &what);
            }
            _ => {
                let r = self.quietly(libc::SYS_newfstatat, [dir, path, sink, flags, 0, 0]);
                let what = attributes(r, sink);
                self.answered("newfstatat", &[dir, path, sink, flags], r, &what);
            }
        }
    }

    /// Names and types in a directory, in no order: the contract has its own.
    fn list(&mut self) {
        let path = self.inside();
        let names = self.names(path);
        let bytes: Vec<u8> = names.iter().flatten().copied().collect();
        self.mix_bytes(&bytes);
        self.answered("list", &[path], names.len() as i64, &[]);
        // And a call as it comes, of which only success counts.
        let (fd, sink) = (self.fd(), self.sink());
        if !self.is(fd, libc::S_IFDIR) {
            self.call(
                "getdents64",
                libc::SYS_getdents64,
                [fd, sink, self.random.of(&[0, 24, 4096]), 0, 0, 0],
            );
        }
    }

    /// Each entry of a directory: type and name, sorted.
    fn names(&self, path: u64) -> Vec<Vec<u8>> {
        let fd = self.quietly(libc::SYS_openat, [-100i64 as u64, path, 0o2040000, 0, 0, 0]);
        if fd < 0 {
            return vec![];
        }
        self.quietly(libc::SYS_dup3, [fd as u64, SPARE, 0o2000000, 0, 0, 0]);
        self.quietly(libc::SYS_close, [fd as u64, 0, 0, 0, 0, 0]);
        let mut names = Vec::new();
        let mut buffer = [0u8; 2048];
        loop {
            let n = self.quietly(libc::SYS_getdents64, [SPARE, buffer.as_mut_ptr() as u64, 2048, 0, 0, 0]);
            if n <= 0 {
                break;
            }
            let mut rest = &buffer[..n as usize];
            while rest.len() > 19 {
                let (record, after) = rest
                    .split_at(usize::from(u16::from_le_bytes([rest[16], rest[17]])).clamp(20, rest.len()));
                let name = record[19..].split(|b| *b == 0).next().unwrap_or_default();
                names.push([&record[18..19], name, &[0]].concat());
                rest = after;
            }
        }
        self.quietly(libc::SYS_close, [SPARE, 0, 0, 0, 0, 0]);
        names.sort();
        names
    }

    /// What the sequence left behind: every name in its directory with its attributes and first bytes.
    pub fn look_back(&mut self) {
        self.quietly(libc::SYS_chdir, [c"/tmp/q/w".as_ptr() as u64, 0, 0, 0, 0, 0]);
        for dir in [c".", c"d"] {
            for name in self.names(dir.as_ptr() as u64) {
                let path = [dir.to_bytes(), b"/", &name[1..]].concat();
                let at = path.as_ptr() as u64;
                let r = self.quietly(libc::SYS_newfstatat, [-100i64 as u64, at, SINK, 0x100, 0, 0]);
                let what = attributes(r, SINK);
                if left(SINK, 128).is_some_and(|b| word(b, 4) & libc::S_IFMT as u64 == libc::S_IFREG as u64) {
                    let fd = self.quietly(libc::SYS_openat, [-100i64 as u64, at, 0o4000, 0, 0, 0]) as u64;
                    self.call_for("read", libc::SYS_read, [fd, SINK, 8192, 0, 0, 0], SINK, |n| n as u64);
                    self.quietly(libc::SYS_close, [fd, 0, 0, 0, 0, 0]);
                }
                self.mix_bytes(&path);
                self.answered(&String::from_utf8_lossy(&path[..path.len() - 1]), &[], r, &what);
            }
        }
    }
}
