//! What the tests share: a small image, a caller with memory, and calls by name.

use super::*;
use abi::linux::nr;

/// A cpio archive of members (path, mode, data), data at multiples of the page size.
pub fn image_of(members: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (path, mode, data) in members.iter().copied().chain([("TRAILER!!!", 0, &b""[..])]) {
        let mut name = path.as_bytes().to_vec();
        name.push(0);
        while !data.is_empty() && (out.len() + 110 + name.len()) % 4096 != 0 {
            name.push(0);
        }
        let size = name.len();
        let fields = [0, mode, 0, 0, 1, 1000, data.len() as u32, 0, 0, 0, 0, size as u32, 0];
        out.extend_from_slice(b"070701");
        fields.iter().for_each(|f| out.extend_from_slice(format!("{f:08x}").as_bytes()));
        out.extend_from_slice(&name);
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend_from_slice(data);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out.resize(out.len().next_multiple_of(4096), 0);
    out
}

/// Memory at [`Memory::BASE`].
pub struct Memory(pub Vec<u8>);

impl Memory {
    pub const BASE: u64 = 0x10000;
    fn range(&self, address: u64, len: usize) -> usize {
        let at = address.wrapping_sub(Memory::BASE);
        if at > self.0.len() as u64 { 0 } else { (self.0.len() - at as usize).min(len) }
    }
}

impl UserMemory for Memory {
    fn read(&mut self, address: u64, out: &mut [u8]) -> Result<(), Errno> {
        if self.range(address, out.len()) < out.len() {
            return Err(crate::errno::EFAULT);
        }
        if !out.is_empty() {
            let at = (address - Memory::BASE) as usize;
            out.copy_from_slice(&self.0[at..at + out.len()]);
        }
        Ok(())
    }
    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        if self.range(address, bytes.len()) < bytes.len() {
            return Err(crate::errno::EFAULT);
        }
        if !bytes.is_empty() {
            let at = (address - Memory::BASE) as usize;
            self.0[at..at + bytes.len()].copy_from_slice(bytes);
        }
        Ok(())
    }
    fn readable(&mut self, address: u64, len: usize) -> usize {
        self.range(address, len)
    }
    fn writable(&mut self, address: u64, len: usize) -> usize {
        self.range(address, len)
    }
}

/// A process table of the test's making.
#[derive(Default)]
pub struct Rows {
    pub rows: Vec<ProcessRow>,
    pub orphaned: bool,
    pub ignores: bool,
    /// Everybody's program.
    pub exe: Option<(Ino, Entry)>,
}

impl System for Rows {
    fn processes(&self) -> Vec<ProcessRow> {
        self.rows.clone()
    }
    fn details(&self, pid: u32) -> Option<ProcessRow> {
        self.rows.iter().find(|row| row.pid == pid).cloned()
    }
    fn exe(&self, _pid: u32) -> Option<(Ino, Entry)> {
        self.exe.clone()
    }
    fn charged(&self) -> u64 {
        self.rows.iter().map(|row| row.charged_pages).sum()
    }
    fn counts(&self) -> (u64, u64, u32) {
        (1, 7, 9)
    }
    fn group_in_session(&self, pgid: u32, sid: u32) -> bool {
        self.rows.iter().any(|r| r.pgid == pgid && r.sid == sid)
    }
    fn caller_group_orphaned(&self) -> bool {
        self.orphaned
    }
    fn caller_ignores_or_blocks(&self, _signal: u8) -> bool {
        self.ignores
    }
}

/// What calls caused: effects, signals, wake-ups.
pub type Drained = (Vec<(EffectKind, Vec<u8>)>, Vec<(SignalTarget, u8)>, Vec<WaitKey>);

/// A process.
pub struct Process {
    pub fds: FdTable,
    pub cwd: Ino,
    pub umask: u32,
    pub pid: u32,
    pub pgid: u32,
    pub sid: u32,
    pub progress: Progress,
    pub random_offset: u64,
}

/// File systems, processes and their memory.
pub struct World {
    pub fs: Fs,
    pub p: Process,
    pub memory: Memory,
    pub now_us: u64,
    pub system: Rows,
}

pub const BOOT_US: u64 = 1_700_000_000_000_000;
/// Where [`World::text`] puts paths, and where results go.
const TEXTS: u64 = Memory::BASE;
pub const OUT: u64 = Memory::BASE + 0x8000;
pub const AT: u64 = linux::AT_FDCWD as i64 as u64;

impl World {
    pub fn new() -> World {
        World::with(&[
            ("bin", 0o40755, b""),
            ("bin/busybox", 0o100755, &[7; 9000]),
            ("bin/sh", 0o120777, b"busybox"),
            ("dev", 0o40755, b""),
            ("etc", 0o40755, b""),
            ("etc/passwd", 0o100644, b"root:x:0:0::/:/bin/sh\n"),
            ("proc", 0o40755, b""),
            ("tmp", 0o41777, b""),
        ])
    }

    pub fn with(members: &[(&str, u32, &[u8])]) -> World {
        // A page-aligned place in memory is not needed: alignment is within the image.
        let image = image_of(members).leak();
        let mut fs = Fs::new(image, [9; 32], BOOT_US, 24, 80).unwrap();
        let fds = fs.first_fds();
        fs.set_session(1, 1);
        let p = Process {
            fds,
            cwd: 1,
            umask: 0o22,
            pid: 1,
            pgid: 1,
            sid: 1,
            progress: Progress::default(),
            random_offset: 0,
        };
        let row = ProcessRow {
            pid: 1,
            pgid: 1,
            sid: 1,
            state: b'R',
            comm: b"init".to_vec(),
            ..ProcessRow::default()
        };
        let system = Rows { rows: vec![row], ..Rows::default() };
        World { fs, p, memory: Memory(vec![0; 0x40000]), now_us: BOOT_US, system }
    }

    /// A child with copies of the descriptors; `swap` makes it the caller.
    pub fn fork(&mut self, pid: u32) -> Process {
        let fds = self.fs.fork_fds(&self.p.fds);
        Process {
            fds,
            pid,
            progress: Progress::default(),
            ..Process { fds: FdTable::default(), ..self.p_copy() }
        }
    }

    fn p_copy(&self) -> Process {
        let p = &self.p;
        Process {
            fds: FdTable::default(),
            progress: Progress::default(),
            cwd: p.cwd,
            umask: p.umask,
            pid: p.pid,
            pgid: p.pgid,
            sid: p.sid,
            random_offset: p.random_offset,
        }
    }

    pub fn swap(&mut self, other: &mut Process) {
        core::mem::swap(&mut self.p, other);
    }

    /// Makes a call, keeping Progress until it is done; effects and wake-ups pile up.
    pub fn outcome(&mut self, number: u64, args: &[u64]) -> Outcome {
        let mut all = [0; 6];
        all[..args.len()].copy_from_slice(args);
        let p = &mut self.p;
        let mut caller = Caller {
            fds: &mut p.fds,
            cwd: &mut p.cwd,
            umask: &mut p.umask,
            pid: p.pid,
            tid: p.pid,
            pgid: p.pgid,
            sid: p.sid,
            process: u64::from(p.pid),
            random_offset: &mut p.random_offset,
            progress: &mut p.progress,
            now_us: self.now_us,
            system: &self.system,
        };
        let outcome = self.fs.syscall(&mut caller, number, &all, &mut self.memory);
        if matches!(outcome, Outcome::Done(_)) {
            p.progress = Progress::default();
        }
        self.now_us += 1;
        outcome
    }

    /// A call that ends at once, or in slices.
    pub fn call(&mut self, number: u64, args: &[u64]) -> i64 {
        loop {
            match self.outcome(number, args) {
                Outcome::Done(result) => return result,
                Outcome::Again | Outcome::Expired => continue,
                other => panic!("{other:?}"),
            }
        }
    }

    /// Puts text number `i` into memory.
    pub fn text(&mut self, i: u64, text: &[u8]) -> u64 {
        let at = TEXTS + i * 0x2000;
        self.memory.write(at, &[text, &[0]].concat()).unwrap();
        at
    }

    pub fn open(&mut self, path: &str, flags: u32) -> i64 {
        let path = self.text(0, path.as_bytes());
        self.call(nr::openat, &[AT, path, u64::from(flags), 0o666])
    }

    pub fn write(&mut self, fd: i64, bytes: &[u8]) -> i64 {
        self.memory.write(OUT, bytes).unwrap();
        self.call(nr::write, &[fd as u64, OUT, bytes.len() as u64])
    }

    pub fn read(&mut self, fd: i64, len: usize) -> Result<Vec<u8>, i64> {
        let n = self.call(nr::read, &[fd as u64, OUT, len as u64]);
        if n < 0 { Err(n) } else { Ok(self.out(n as usize)) }
    }

    pub fn out(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.memory.read(OUT, &mut bytes).unwrap();
        bytes
    }

    pub fn cat(&mut self, path: &str) -> Vec<u8> {
        let fd = self.open(path, 0);
        assert!(fd >= 0, "{path}: {fd}");
        let bytes = self.read(fd, 0x8000).unwrap();
        self.call(nr::close, &[fd as u64]);
        bytes
    }

    /// A call with one path after `AT_FDCWD`.
    pub fn at(&mut self, number: u64, path: &str, rest: &[u64]) -> i64 {
        let path = self.text(0, path.as_bytes());
        self.call(number, &[&[AT, path], rest].concat())
    }

    pub fn readlink(&mut self, path: &str) -> Vec<u8> {
        let n = self.at(nr::readlinkat, path, &[OUT, 4096]);
        assert!(n >= 0, "{path}: {n}");
        self.out(n as usize)
    }

    pub fn pipe(&mut self) -> (i64, i64) {
        assert_eq!(self.call(nr::pipe2, &[OUT, 0]), 0);
        let b = self.out(8);
        (i64::from(b[0]), i64::from(b[4]))
    }

    /// Effects, signals and wake-ups since the last time.
    pub fn drain(&mut self) -> Drained {
        let fs = &mut self.fs;
        (core::mem::take(&mut fs.effects), core::mem::take(&mut fs.signals), core::mem::take(&mut fs.wakeups))
    }
}
