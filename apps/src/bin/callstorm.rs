//! `callstorm SEED CHILDREN CALLS [-v]`: children make pseudo-random system calls, good and bad, on files, pipes, memory, signals and each other;
//! what each call answered goes into a sum that is printed. Kernels that agree print the same, and have the same state and memory at every sync point.
use apps::{Random, raw};
use std::io::Write;

const ARENA: usize = 1 << 20;
const FREE: u64 = 0x20_0000_0000;
const PATHS: [&str; 34] = [
    "a\0", "b\0", "d\0", "d/a\0", "d/../a\0", "d/b\0", "l\0", "l/a\0", "loop\0", "f\0", "/tmp\0", "/\0", "\0", ".\0", "..\0", "d/\0", "a/\0",
    "/dev/null\0", "/dev/zero\0", "/dev/full\0", "/dev/tty\0", "/dev/urandom\0", "/proc/self/stat\0", "/proc/self/fd\0", "/proc/self/fd/1\0",
    "/proc/self/maps\0", "/proc/meminfo\0", "/bin/busybox\0", "/bin/ls\0", "/etc/passwd\0", "nowhere/a\0", "/proc/self/cwd\0", "/dev/fd/0\0", "g\0",
];

struct Storm {
    random: Random,
    arena: u64,
    paths: u64,
    sum: u64,
    verbose: bool,
}

impl Storm {
    /// An address: mostly good.
    fn pointer(&mut self) -> u64 {
        match self.random.below(24) {
            0 => 0,
            1 => self.random.of(&[1, u64::MAX, 1 << 39, 1 << 48, 0xffff_ff80_4000_0000, FREE + 4096 * 3]),
            2 => FREE + self.random.below(64) * 4096,
            3 => self.arena + ARENA as u64 - self.random.below(64),
            _ => self.arena + self.random.below(ARENA as u64 - 65536) & !7,
        }
    }

    fn path(&mut self) -> u64 {
        match self.random.below(30) {
            0 => self.pointer(),
            _ => self.paths + 32 * self.random.below(PATHS.len() as u64),
        }
    }

    fn fd(&mut self) -> u64 {
        match self.random.below(20) {
            0 => u64::MAX,
            1 => self.random.of(&[255, 256, 1 << 32, 77]),
            _ => 3 + self.random.below(14),
        }
    }

    fn dirfd(&mut self) -> u64 {
        if self.random.below(4) > 0 { -100i64 as u64 } else { self.fd() }
    }

    fn length(&mut self) -> u64 {
        match self.random.below(12) {
            0 => 0,
            1 => self.random.of(&[u64::MAX, 1 << 31, 1 << 40, 70_000, 200_000]),
            2 => self.random.below(70_000),
            _ => self.random.below(600),
        }
    }

    fn page(&mut self) -> u64 {
        FREE + self.random.below(64) * 4096 + if self.random.below(30) == 0 { 8 } else { 0 }
    }

    fn pages(&mut self) -> u64 {
        match self.random.below(20) {
            0 => self.random.of(&[1, 5000, 1 << 36]),
            _ => (1 + self.random.below(12)) * 4096,
        }
    }

    fn call(&mut self, number: i64, a: [u64; 6]) -> i64 {
        // SAFETY: (1) the calls are chosen so that they touch the arena, the region at FREE and the kernel's own state only; (2) whatever
        // happens to this process is the point of the program.
        let r = unsafe { raw(number, a) };
        self.sum = (self.sum ^ r as u64).wrapping_mul(0x0100_0000_01b3).rotate_left(5) ^ number as u64;
        if self.verbose {
            let place = |v: u64| match v.wrapping_sub(self.arena) {
                n if n < ARENA as u64 => format!("arena+{n:x}"),
                _ if v.wrapping_sub(self.paths) < 32 * PATHS.len() as u64 => PATHS[(v - self.paths) as usize / 32].trim_end_matches('\0').to_owned(),
                _ => format!("{v:x}"),
            };
            // What the call may have written, as a sum.
            let mut bytes = 0u64;
            for at in a.into_iter().filter(|v| v.wrapping_sub(self.arena) < ARENA as u64 - 4096) {
                // SAFETY: (1) the arena is ours, mapped and has room for a page from there on.
                let page = unsafe { std::slice::from_raw_parts(at as *const u8, 4096) };
                bytes = page.iter().fold(bytes, |sum, b| (sum ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
            }
            // Of a small structure, word by word, so that a difference shows where it is.
            let words = match (number, r) {
                (libc::SYS_newfstatat, 0) => Some((a[2], 16)),
                (libc::SYS_fstat, 0) => Some((a[1], 16)),
                _ => None,
            };
            let words = words.filter(|(at, _)| at.wrapping_sub(self.arena) < ARENA as u64 - 4096).map_or_else(String::new, |(at, n)| {
                // SAFETY: (1) as above.
                (0..n).map(|i| format!(" {:x}", unsafe { (at as *const u64).add(i).read_unaligned() })).collect()
            });
            let line = format!("{number} {} = {r} {bytes:x}{words}\n", a.map(place).join(" "));
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
        r
    }

    /// A ppoll over an own structure: two descriptors, a short timeout.
    fn poll(&mut self) -> (i64, [u64; 6]) {
        for (i, v) in [self.fd() | 5 << 32, self.fd() | 4 << 32, 0, 1_500_000].into_iter().enumerate() {
            // SAFETY: (1) the arena is ours and has room.
            unsafe { ((self.arena as *mut u64).add(i)).write(v & 0xffff_ffff_ffff) };
        }
        (libc::SYS_ppoll, [self.arena, self.random.below(3), self.arena + 16, 0, 0, 0])
    }

    fn step(&mut self) {
        let o = &[0o1, 0o2, 0o100, 0o200, 0o1000, 0o2000, 0o4000, 0o40000, 0o100000, 0o2000000, 0o400];
        let (p, q) = (self.pointer(), self.pointer());
        let (number, a) = match self.random.below(64) {
            0..=5 => {
                let flags = self.random.bits(o) | 0o4000;
                (libc::SYS_openat, [self.dirfd(), self.path(), flags, self.random.below(512), 0, 0])
            }
            6..=8 => (libc::SYS_close, [self.fd(), 0, 0, 0, 0, 0]),
            9..=12 => (libc::SYS_read, [self.fd(), p, self.length(), 0, 0, 0]),
            13..=17 => (libc::SYS_write, [self.fd(), p, self.length(), 0, 0, 0]),
            18 => (libc::SYS_readv, [self.fd(), p, self.random.below(4), 0, 0, 0]),
            19 => (libc::SYS_pread64, [self.fd(), p, self.length(), self.random.of(&[0, 3, 4095, 4097, u64::MAX]), 0, 0]),
            20 => (libc::SYS_pwrite64, [self.fd(), p, self.length(), self.random.of(&[0, 3, 4095, 40_970, u64::MAX]), 0, 0]),
            21 => (libc::SYS_lseek, [self.fd(), self.random.of(&[0, 5, 4096, 100_000, u64::MAX, -5i64 as u64]), self.random.below(6), 0, 0, 0]),
            22 => (libc::SYS_sendfile, [self.fd(), self.fd(), if self.random.below(2) == 0 { 0 } else { p }, self.length(), 0, 0]),
            23 => (libc::SYS_ftruncate, [self.fd(), self.random.of(&[0, 1, 4095, 4096, 10_000, 70_000, u64::MAX]), 0, 0, 0, 0]),
            24 => (libc::SYS_dup, [self.fd(), 0, 0, 0, 0, 0]),
            25 => (libc::SYS_dup3, [self.fd(), 3 + self.random.below(14), self.random.of(&[0, 0, 0o2000000, 1]), 0, 0, 0]),
            26 | 27 => {
                let (command, argument) = (self.random.of(&[0, 1, 2, 3, 4, 5, 6, 8, 9, 11, 1030, 1031, 1032, 99]), self.random.of(&[0, 1, 5, 4096, 0o4000, 300]));
                (libc::SYS_fcntl, [self.fd(), command, if matches!(command, 5 | 6) { p } else { argument | 0 }, 0, 0, 0])
            }
            28 => (libc::SYS_pipe2, [p, self.random.of(&[0o4000, 0o4000, 0o2004000, 0o40000]), 0, 0, 0, 0]),
            29 => (libc::SYS_newfstatat, [self.dirfd(), self.path(), p, self.random.of(&[0, 0, 0x100, 0x1000, 0x800, 1]), 0, 0]),
            30 => (libc::SYS_statx, [self.dirfd(), self.path(), self.random.of(&[0, 0x100, 0x1000, 0x6000]), 0x7ff, p, 0]),
            31 => (libc::SYS_getdents64, [self.fd(), p, self.random.of(&[10, 24, 100, 1000, 4096]), 0, 0, 0]),
            32 => (libc::SYS_readlinkat, [self.dirfd(), self.path(), p, self.random.of(&[0, 1, 10, 4096]), 0, 0]),
            33 => (libc::SYS_faccessat, [self.dirfd(), self.path(), self.random.below(9), 0, 0, 0]),
            34 => (libc::SYS_mkdirat, [self.dirfd(), self.path(), self.random.below(4096), 0, 0, 0]),
            35 => (libc::SYS_mknodat, [self.dirfd(), self.path(), self.random.of(&[0o100644, 0o10644, 0o20666, 0o40755, 0]), self.random.of(&[0x103, 0x105, 7]), 0, 0]),
            36 => (libc::SYS_symlinkat, [self.path(), self.dirfd(), self.path(), 0, 0, 0]),
            37 => (libc::SYS_linkat, [self.dirfd(), self.path(), self.dirfd(), self.path(), self.random.of(&[0, 0x400, 1]), 0]),
            38 | 39 => (libc::SYS_unlinkat, [self.dirfd(), self.path(), self.random.of(&[0, 0, 0x200, 1]), 0, 0, 0]),
            40 => (libc::SYS_renameat, [self.dirfd(), self.path(), self.dirfd(), self.path(), 0, 0]),
            41 => (libc::SYS_fchmodat, [self.dirfd(), self.path(), self.random.below(8192), 0, 0, 0]),
            42 => (libc::SYS_fchownat, [self.dirfd(), self.path(), self.random.of(&[0, 5, 0xffff_ffff]), self.random.below(9), self.random.of(&[0, 0x100]), 0]),
            43 => (libc::SYS_utimensat, [self.dirfd(), self.path(), if self.random.below(2) == 0 { 0 } else { p }, self.random.of(&[0, 0x100]), 0, 0]),
            44 => (libc::SYS_chdir, [self.path(), 0, 0, 0, 0, 0]),
            45 => (libc::SYS_getcwd, [p, self.random.of(&[0, 3, 20, 4096]), 0, 0, 0, 0]),
            46..=49 => {
                let prot = self.random.of(&[0, 1, 3, 3, 3, 5, 7]);
                let flags = self.random.of(&[0x22, 0x22, 0x32, 0x32, 0x10_0022, 0x12, 0x21, 0x23, 0x20]);
                let (fd, offset) = (self.fd(), self.random.of(&[0, 0, 4096, 8192, 100]));
                (libc::SYS_mmap, [self.page(), self.pages(), prot, flags, fd, offset])
            }
            50 => (libc::SYS_munmap, [self.page(), self.pages(), 0, 0, 0, 0]),
            51 => (libc::SYS_mprotect, [self.page(), self.pages(), self.random.of(&[0, 1, 3, 7, 64]), 0, 0, 0]),
            52 => {
                let flags = self.random.of(&[0, 1, 1, 3, 2, 8]);
                {
                let old = self.pages();
                (libc::SYS_mremap, [self.page(), old, old + self.pages(), flags, (self.page() & !4095) + (1 << 30), 0])
            }
            }
            53 => (libc::SYS_madvise, [self.page(), self.pages(), self.random.of(&[4, 4, 8, 3]), 0, 0, 0]),
            54 => (libc::SYS_rt_sigaction, [self.random.of(&[10, 12, 17, 28, 9, 65]), if self.random.below(2) == 0 { 0 } else { p }, q, 8, 0, 0]),
            55 => (libc::SYS_rt_sigprocmask, [self.random.below(4), if self.random.below(3) == 0 { 0 } else { p }, q, 8, 0, 0]),
            56 => (libc::SYS_prlimit64, [0, self.random.below(17), 0, p, 0, 0]),
            57 => self.poll(),
            58 => (libc::SYS_getrusage, [self.random.of(&[0, 1, u64::MAX, 5]), p, 0, 0, 0, 0]),
            59 => (libc::SYS_ioctl, [self.fd(), self.random.of(&[0x541b, 0x5401, 0x5413, 0x5421, 0x5451, 0x5450, 0x1234]), p, 0, 0, 0]),
            60 => (libc::SYS_statfs, [self.path(), p, 0, 0, 0, 0]),
            61 => (libc::SYS_brk, [0, 0, 0, 0, 0, 0]),
            62 => (libc::SYS_kill, [self.random.of(&[0, 1 << 20]), self.random.of(&[0, 17, 28, 18, 65]), 0, 0, 0, 0]),
            _ => (libc::SYS_getrandom, [p, self.random.below(300), self.random.below(9), 0, 0, 0]),
        };
        self.call(number, a);
    }
}

fn child(seed: u64, calls: u64, verbose: bool) -> ! {
    let mut arena = vec![0u64; ARENA / 8];
    let random = Random::new(seed);
    arena.iter_mut().take(4096).for_each(|w| *w = random.next());
    let mut paths = vec![0u8; PATHS.len() * 32];
    PATHS.iter().zip(paths.chunks_mut(32)).for_each(|(p, to)| to[..p.len()].copy_from_slice(p.as_bytes()));
    let (arena, paths) = (arena.as_mut_ptr() as u64, paths.as_ptr() as u64);
    let mut storm = Storm { random, arena, paths, sum: 0, verbose };
    for _ in 0..calls {
        storm.step();
    }
    println!("seed {seed}: {:016x}", storm.sum);
    std::process::exit(0)
}

fn main() {
    let number = |n: usize, default: u64| std::env::args().nth(n).and_then(|a| a.parse().ok()).unwrap_or(default);
    let (seed, children, calls) = (number(1, 1), number(2, 4), number(3, 300));
    let verbose = std::env::args().any(|a| a == "-v");
    let dir = format!("/tmp/storm{seed}");
    std::fs::create_dir_all(&dir).unwrap();
    std::env::set_current_dir(&dir).unwrap();
    let _ = std::os::unix::fs::symlink("loop", "loop");
    let _ = std::os::unix::fs::symlink("d", "l");
    std::fs::write("a", b"some bytes to begin with").unwrap();
    std::fs::create_dir_all("d").unwrap();
    std::io::stdout().flush().unwrap();
    let start = |i: u64| {
        // SAFETY: (1) this program has one thread.
        match unsafe { libc::fork() } {
            0 => child(seed.wrapping_mul(1000).wrapping_add(i).wrapping_add(1), calls, verbose),
            pid => pid,
        }
    };
    let pids: Vec<i32> = (0..children).map(start).collect();
    for pid in pids {
        let mut status = 0;
        let mut waited = 0;
        // A child that blocks for good is killed: the program's clock is agreed, so this comes at the same point everywhere.
        for _ in 0..400 {
            // SAFETY: (1) `status` outlives the call.
            waited = unsafe { libc::waitpid(pid, &mut status, libc::WNOHANG) };
            if waited != 0 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        if waited == 0 {
            // SAFETY: (1) the child is ours; (2) `status` outlives the call.
            unsafe {
                libc::kill(pid, libc::SIGKILL);
                libc::waitpid(pid, &mut status, 0);
            }
        }
        println!("status {status:x}");
    }
}
