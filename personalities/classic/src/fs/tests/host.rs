//! The same sequence of file calls here and on the host's Linux: results and errnos are equal.
//!
//! The host runs in a directory of its own, by directory descriptor. Left out is what linux-abi.md decides otherwise: inode numbers,
//! sizes of directories, atimes, and pipes near their capacity (Linux counts pages).

use crate::fs::file::PIPE;
use crate::fs::linux::*;
use crate::fs::testing::*;
use abi::linux::nr;
use proptest::prelude::*;
use rustix::fs as host;
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

#[derive(Clone, Debug)]
enum Op {
    Open(String, u32),
    Close(usize),
    Write(usize, u8, usize),
    Pwrite(usize, u8, usize, i64),
    Read(usize, usize),
    Pread(usize, usize, i64),
    Seek(usize, i64, u8),
    Ftruncate(usize, i64),
    Rename(String, String),
    Link(String, String),
    Unlink(String),
    Rmdir(String),
    Mkdir(String),
    Symlink(String, String),
    Readlink(String),
    Stat(String, bool),
    Dup(usize),
    Pipe,
    List(String),
    Access(String, u32),
    Chmod(String, u32),
    Sendfile(usize, usize, usize),
}

/// A path without "..": a link to "." would lead it out of the host's directory.
fn name() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec!["a", "b", "c", "d", "."]);
    let long = "n".repeat(256);
    prop_oneof![
        30 => (prop::collection::vec(part, 1..4), prop::bool::weighted(0.1))
            .prop_map(|(parts, slash)| format!("{}{}", parts.join("/"), if slash { "/" } else { "" })),
        1 => Just(String::new()),
        1 => Just(long),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let flags = (0..4u32, any::<u8>()).prop_map(|(mode, bits)| {
        let all = [O_CREAT, O_CREAT, O_EXCL, O_TRUNC, O_APPEND, O_NOFOLLOW, O_DIRECTORY, O_PATH];
        let odd = [2, 5, 6, 7].iter().fold(0, |n, i| n | 1 << i);
        let bits = if bits & 0x11 == 0x11 { bits } else { bits & !odd };
        let flags = all
            .iter()
            .enumerate()
            .fold(mode.min(2), |f, (i, flag)| f | if bits >> i & 1 == 1 { *flag } else { 0 });
        if flags & (O_CREAT | O_DIRECTORY) == O_CREAT | O_DIRECTORY { flags & !O_DIRECTORY } else { flags }
    });
    let fd = || 0..6usize;
    let len = || prop_oneof![0..20usize, 0..2000usize];
    let offset = || prop_oneof![-20..50i64, 0..20000i64];
    prop_oneof![
        6 => (name(), flags).prop_map(|(n, f)| Op::Open(n, f)),
        1 => fd().prop_map(Op::Close),
        4 => (fd(), any::<u8>(), len()).prop_map(|(f, b, n)| Op::Write(f, b, n)),
        1 => (fd(), any::<u8>(), len(), offset()).prop_map(|(f, b, n, o)| Op::Pwrite(f, b, n, o)),
        4 => (fd(), len()).prop_map(|(f, n)| Op::Read(f, n)),
        1 => (fd(), len(), offset()).prop_map(|(f, n, o)| Op::Pread(f, n, o)),
        3 => (fd(), offset(), 0..3u8).prop_map(|(f, o, w)| Op::Seek(f, o, w)),
        2 => (fd(), offset()).prop_map(|(f, o)| Op::Ftruncate(f, o)),
        4 => (name(), name()).prop_map(|(a, b)| Op::Rename(a, b)),
        2 => (name(), name()).prop_map(|(a, b)| Op::Link(a, b)),
        2 => name().prop_map(Op::Unlink),
        2 => name().prop_map(Op::Rmdir),
        5 => name().prop_map(Op::Mkdir),
        3 => (name(), name()).prop_map(|(a, b)| Op::Symlink(a, b)),
        1 => name().prop_map(Op::Readlink),
        4 => (name(), any::<bool>()).prop_map(|(n, f)| Op::Stat(n, f)),
        1 => fd().prop_map(Op::Dup),
        1 => Just(Op::Pipe),
        1 => name().prop_map(Op::List),
        1 => (name(), 0..8u32).prop_map(|(n, m)| Op::Access(n, m)),
        1 => (name(), 0..0o10000u32).prop_map(|(n, m)| Op::Chmod(n, m)),
        // Linux since 6.5 lets a sendfile of nothing from anything pass.
        1 => (fd(), fd(), 1..2000usize).prop_map(|(a, b, n)| Op::Sendfile(a, b, n)),
    ]
}

/// A result and what it brought.
type Seen = Result<(i64, Vec<u8>), i64>;

struct Host {
    path: PathBuf,
    root: OwnedFd,
    fds: Vec<OwnedFd>,
}

fn plain<T>(r: Result<T, Errno>) -> Seen {
    r.map(|_| (0, Vec::new())).map_err(|e| -i64::from(e.raw_os_error()))
}

fn count(r: Result<usize, Errno>) -> Seen {
    r.map(|n| (n as i64, Vec::new())).map_err(|e| -i64::from(e.raw_os_error()))
}

fn host_flags(flags: u32) -> host::OFlags {
    let same = flags & (O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC | O_APPEND);
    let mut out = host::OFlags::from_bits_retain(same) | host::OFlags::NONBLOCK;
    for (ours, theirs) in [
        (O_NOFOLLOW, host::OFlags::NOFOLLOW),
        (O_DIRECTORY, host::OFlags::DIRECTORY),
        (O_PATH, host::OFlags::PATH),
    ] {
        out.set(theirs, flags & ours != 0);
    }
    out
}

impl Host {
    fn new(n: u64) -> Host {
        let base =
            if std::path::Path::new("/dev/shm").is_dir() { "/dev/shm".into() } else { std::env::temp_dir() };
        let path = base.join(format!("classic-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        let root = host::open(&path, host::OFlags::DIRECTORY, host::Mode::empty()).unwrap();
        Host { path, root, fds: Vec::new() }
    }

    fn fd(&self, i: usize) -> Option<&OwnedFd> {
        if self.fds.is_empty() { None } else { self.fds.get(i % self.fds.len()) }
    }

    fn run(&mut self, op: &Op) -> Seen {
        const BAD: Seen = Err(-9);
        let root = &self.root;
        match op {
            Op::Open(n, f) => match host::openat(root, n, host_flags(*f), host::Mode::from_raw_mode(0o644)) {
                Ok(fd) => {
                    self.fds.push(fd);
                    Ok((0, Vec::new()))
                }
                e => plain(e),
            },
            Op::Close(i) => {
                if self.fds.is_empty() {
                    return BAD;
                }
                let i = i % self.fds.len();
                self.fds.remove(i);
                Ok((0, Vec::new()))
            }
            Op::Write(i, b, n) => self.fd(*i).map_or(BAD, |fd| count(rustix::io::write(fd, &vec![*b; *n]))),
            Op::Pwrite(i, b, n, o) => {
                self.fd(*i).map_or(BAD, |fd| count(rustix::io::pwrite(fd, &vec![*b; *n], *o as u64)))
            }
            Op::Read(i, n) => {
                let mut buf = vec![0; *n];
                let r = self.fd(*i).map_or(BAD, |fd| count(rustix::io::read(fd, &mut buf[..])));
                r.map(|(n, _)| (n, buf[..n as usize].to_vec()))
            }
            Op::Pread(i, n, o) => {
                let mut buf = vec![0; *n];
                let r = self.fd(*i).map_or(BAD, |fd| count(rustix::io::pread(fd, &mut buf[..], *o as u64)));
                r.map(|(n, _)| (n, buf[..n as usize].to_vec()))
            }
            Op::Seek(i, o, w) => self.fd(*i).map_or(BAD, |fd| {
                let from = match w {
                    0 => host::SeekFrom::Start(*o as u64),
                    1 => host::SeekFrom::Current(*o),
                    _ => host::SeekFrom::End(*o),
                };
                count(host::seek(fd, from).map(|n| n as usize))
            }),
            Op::Ftruncate(i, n) => self.fd(*i).map_or(BAD, |fd| plain(host::ftruncate(fd, *n as u64))),
            Op::Rename(a, b) => plain(host::renameat(root, a, root, b)),
            Op::Link(a, b) => plain(host::linkat(root, a, root, b, host::AtFlags::empty())),
            Op::Unlink(n) => plain(host::unlinkat(root, n, host::AtFlags::empty())),
            Op::Rmdir(n) => plain(host::unlinkat(root, n, host::AtFlags::REMOVEDIR)),
            Op::Mkdir(n) => plain(host::mkdirat(root, n, host::Mode::from_raw_mode(0o755))),
            Op::Symlink(t, n) => plain(host::symlinkat(t, root, n)),
            Op::Readlink(n) => host::readlinkat(root, n, Vec::new())
                .map(|t| (t.as_bytes().len() as i64, t.as_bytes().to_vec()))
                .map_err(|e| -i64::from(e.raw_os_error())),
            Op::Stat(n, follow) => {
                let flags = if *follow { host::AtFlags::empty() } else { host::AtFlags::SYMLINK_NOFOLLOW };
                host::statat(root, n, flags)
                    .map(|s| {
                        let size = if s.st_mode & S_IFMT == S_IFDIR { 0 } else { s.st_size };
                        (0, format!("{:o} {} {size}", s.st_mode, s.st_nlink).into_bytes())
                    })
                    .map_err(|e| -i64::from(e.raw_os_error()))
            }
            Op::Dup(i) => match self.fd(*i).map(rustix::io::dup) {
                None => BAD,
                Some(Ok(fd)) => {
                    self.fds.push(fd);
                    Ok((0, Vec::new()))
                }
                Some(e) => plain(e),
            },
            Op::Pipe => {
                let (r, w) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).unwrap();
                self.fds.extend([r, w]);
                Ok((0, Vec::new()))
            }
            Op::List(n) => {
                let dir = host::openat(root, n, host::OFlags::DIRECTORY, host::Mode::empty())
                    .and_then(host::Dir::new);
                let names = dir.map(|dir| {
                    let mut names: Vec<_> = dir.map(|e| e.unwrap().file_name().to_bytes().to_vec()).collect();
                    names.sort();
                    (0, names.join(&b' '))
                });
                names.map_err(|e| -i64::from(e.raw_os_error()))
            }
            Op::Access(n, m) => {
                plain(host::accessat(root, n, host::Access::from_bits_retain(*m), host::AtFlags::empty()))
            }
            Op::Chmod(n, m) => {
                plain(host::chmodat(root, n, host::Mode::from_raw_mode(*m), host::AtFlags::empty()))
            }
            Op::Sendfile(a, b, n) => match (self.fd(*a), self.fd(*b)) {
                (Some(a), Some(b)) => count(host::sendfile(a, b, None, *n)),
                _ => BAD,
            },
        }
    }
}

struct Ours {
    w: World,
    fds: Vec<i64>,
}

impl Ours {
    fn fd(&self, i: usize) -> u64 {
        if self.fds.is_empty() { u64::MAX } else { self.fds[i % self.fds.len()] as u64 }
    }

    fn at(&mut self, number: u64, path: &str, rest: &[u64]) -> Seen {
        done(self.w.at(number, path, rest))
    }

    fn two(&mut self, number: u64, a: &str, b: &str) -> Seen {
        let (a, b) = (self.w.text(0, a.as_bytes()), self.w.text(1, b.as_bytes()));
        done(self.w.call(number, &[AT, a, AT, b, 0]))
    }

    fn data(&mut self, n: i64) -> Seen {
        if n < 0 { Err(n) } else { Ok((n, self.w.out(n as usize))) }
    }

    fn push(&mut self, fd: i64) -> Seen {
        if fd < 0 {
            return Err(fd);
        }
        self.fds.push(fd);
        Ok((0, Vec::new()))
    }

    fn run(&mut self, op: &Op) -> Seen {
        match op {
            Op::Open(n, f) => {
                let path = self.w.text(0, n.as_bytes());
                let fd = self.w.call(nr::openat, &[AT, path, u64::from(f | O_NONBLOCK), 0o644]);
                self.push(fd)
            }
            Op::Close(i) => {
                let fd = self.fd(*i);
                if !self.fds.is_empty() {
                    self.fds.remove(i % self.fds.len());
                }
                done(self.w.call(nr::close, &[fd]))
            }
            Op::Write(i, b, n) => done(self.w.write(self.fd(*i) as i64, &vec![*b; *n])),
            Op::Pwrite(i, b, n, o) => {
                crate::user::UserMemory::write(&mut self.w.memory, OUT, &vec![*b; *n]).unwrap();
                done(self.w.call(nr::pwrite64, &[self.fd(*i), OUT, *n as u64, *o as u64]))
            }
            Op::Read(i, n) => {
                let n = self.w.call(nr::read, &[self.fd(*i), OUT, *n as u64]);
                self.data(n)
            }
            Op::Pread(i, n, o) => {
                let n = self.w.call(nr::pread64, &[self.fd(*i), OUT, *n as u64, *o as u64]);
                self.data(n)
            }
            Op::Seek(i, o, w) => done(self.w.call(nr::lseek, &[self.fd(*i), *o as u64, u64::from(*w)])),
            Op::Ftruncate(i, n) => done(self.w.call(nr::ftruncate, &[self.fd(*i), *n as u64])),
            Op::Rename(a, b) => self.two(nr::renameat, a, b),
            Op::Link(a, b) => self.two(nr::linkat, a, b),
            Op::Unlink(n) => self.at(nr::unlinkat, n, &[0]),
            Op::Rmdir(n) => self.at(nr::unlinkat, n, &[0x200]),
            Op::Mkdir(n) => self.at(nr::mkdirat, n, &[0o755]),
            Op::Symlink(t, n) => {
                let (t, n) = (self.w.text(0, t.as_bytes()), self.w.text(1, n.as_bytes()));
                done(self.w.call(nr::symlinkat, &[t, AT, n]))
            }
            Op::Readlink(n) => {
                let n = self.w.at(nr::readlinkat, n, &[OUT, 4096]);
                self.data(n)
            }
            Op::Stat(n, follow) => {
                let flags = u64::from(if *follow { 0 } else { AT_SYMLINK_NOFOLLOW });
                self.at(nr::newfstatat, n, &[OUT, flags])?;
                let b = self.w.out(128);
                let word = |i: usize| u32::from_le_bytes(b[i..i + 4].try_into().unwrap());
                let size = if word(16) & S_IFMT == S_IFDIR { 0 } else { word(48) };
                Ok((0, format!("{:o} {} {size}", word(16), word(20)).into_bytes()))
            }
            Op::Dup(i) => {
                let fd = self.w.call(nr::dup, &[self.fd(*i)]);
                self.push(fd)
            }
            Op::Pipe => {
                assert_eq!(self.w.call(nr::pipe2, &[OUT, u64::from(O_NONBLOCK)]), 0);
                let b = self.w.out(8);
                self.fds.extend([i64::from(b[0]), i64::from(b[4])]);
                Ok((0, Vec::new()))
            }
            Op::List(n) => self.list(n),
            Op::Access(n, m) => self.at(nr::faccessat, n, &[u64::from(*m)]),
            Op::Chmod(n, m) => self.at(nr::fchmodat, n, &[u64::from(*m)]),
            Op::Sendfile(a, b, n) => {
                done(self.w.call(nr::sendfile, &[self.fd(*a), self.fd(*b), 0, *n as u64]))
            }
        }
    }

    /// Linux' sendfile moves pages, not bytes: what is overlapped, or changed while it is in a pipe, shows through there.
    fn shares_pages(&self, op: &Op) -> bool {
        let Op::Sendfile(a, b, _) = op else { return false };
        let node = |i: usize| self.w.fs.file(&self.w.p.fds, self.fd(i) as i32).map(|open| open.node).ok();
        node(*a) == node(*b) || node(*a).is_some_and(|node| node >= PIPE)
    }

    fn list(&mut self, name: &str) -> Seen {
        let fd = self.w.open(name, O_DIRECTORY);
        if fd < 0 {
            return Err(fd);
        }
        let mut names = Vec::new();
        loop {
            let n = self.w.call(nr::getdents64, &[fd as u64, OUT, 300]);
            assert!(n >= 0);
            let b = self.w.out(n as usize);
            let mut at = 0;
            while at < b.len() {
                let len = u16::from_le_bytes([b[at + 16], b[at + 17]]) as usize;
                names.push(b[at + 19..at + len].iter().copied().take_while(|c| *c != 0).collect::<Vec<u8>>());
                at += len;
            }
            if n == 0 {
                break;
            }
        }
        self.w.call(nr::close, &[fd as u64]);
        names.sort();
        Ok((0, names.join(&b' ')))
    }
}

fn done(n: i64) -> Seen {
    if n < 0 { Err(n) } else { Ok((n, Vec::new())) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, max_shrink_iters: 4000, ..ProptestConfig::default() })]
    #[test]
    fn files_behave_as_the_hosts(ops in prop::collection::vec(op(), 1..40), n in any::<u64>()) {
        let mut host = Host::new(n);
        let mut w = World::new();
        assert_eq!(w.at(nr::mkdirat, "/tmp/x", &[0o755]), 0);
        let path = w.text(0, b"/tmp/x");
        assert_eq!(w.call(nr::chdir, &[path]), 0);
        let mut ours = Ours { w, fds: Vec::new() };
        let mut different = None;
        for (i, op) in ops.iter().enumerate() {
            if ours.shares_pages(op) {
                continue;
            }
            let (theirs, mine) = (host.run(op), ours.run(op));
            // Without a descriptor the host's side makes no call.
            let none = host.fds.is_empty() && theirs == Err(-9);
            if theirs != mine && !none {
                different = Some(format!("step {i} {op:?}: Linux {theirs:?}, here {mine:?}"));
                break;
            }
        }
        std::fs::remove_dir_all(&host.path).unwrap();
        prop_assert!(different.is_none(), "{}", different.unwrap_or_default());
    }
}
