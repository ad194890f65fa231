//! Which call comes next.

use crate::files::SPARE;
use crate::places::{ARGUMENTS, structure};
use crate::storm::{IMAGE, LAST, OWN, Storm};

impl Storm {
    /// Descriptors to begin with: 3 a file, 4 its directory, 5 and 6 a pipe, IMAGE a file of the image.
    pub fn begin(&mut self) {
        let cwd = -100i64 as u64;
        // The language's own alternate stack lies where the kernel chose.
        self.quietly(libc::SYS_sigaltstack, [structure(&[0, 2, 0]), 0, 0, 0, 0, 0]);
        self.call("openat", libc::SYS_openat, [cwd, c"a".as_ptr() as u64, 0o2, 0, 0, 0]);
        self.call("openat", libc::SYS_openat, [cwd, c".".as_ptr() as u64, 0, 0, 0, 0]);
        self.call_for("pipe2", libc::SYS_pipe2, [structure(&[0]), 0o4000, 0, 0, 0, 0], ARGUMENTS, |_| 8);
        let fd = self.quietly(libc::SYS_openat, [cwd, c"/bin/busybox".as_ptr() as u64, 0o2000000, 0, 0, 0]);
        self.call("dup3", libc::SYS_dup3, [fd as u64, IMAGE, 0o2000000, 0, 0, 0]);
        self.call("close", libc::SYS_close, [fd as u64, 0, 0, 0, 0, 0]);
    }

    /// Behind another sequence of the same process: in its directory again, room in the pipes, few descriptors but those that calls are given, and
    /// a file and perhaps a pipe among them.
    pub fn go_on(&mut self) {
        self.quietly(libc::SYS_chdir, [c"/tmp/q/w".as_ptr() as u64, 0, 0, 0, 0, 0]);
        self.drain();
        let next = self.quietly(libc::SYS_fcntl, [0, libc::F_DUPFD as u64, LAST + 1, 0, 0, 0]) as u64;
        let given = (0..2).map(|_| 3 + self.random.below(LAST - 2));
        for fd in (LAST + 1..=next.min(SPARE)).filter(|fd| *fd != IMAGE).chain(given) {
            self.quietly(libc::SYS_close, [fd, 0, 0, 0, 0, 0]);
        }
        let a = [-100i64 as u64, self.one_of(&OWN), 0o4102, 0o644, 0, 0];
        self.call("openat", libc::SYS_openat, a);
        if self.random.below(2) == 0 {
            self.call_for("pipe2", libc::SYS_pipe2, [structure(&[0]), 0o4000, 0, 0, 0, 0], ARGUMENTS, |_| 8);
        }
    }

    /// One call, or a few that belong together. Of sequences that share a process a third as many fork, which costs as much as all the rest of one.
    pub fn step(&mut self) {
        match self.random.below(100) {
            96.. if self.together && self.random.below(3) > 0 => self.file_step(),
            0..62 => self.file_step(),
            62..75 => self.memory_step(),
            75..87 => self.signal_step(),
            87..96 => self.process_step(),
            _ if self.depth > 0 => self.file_step(),
            96..99 => self.fork_step(),
            _ => self.execute_step(),
        }
    }

    fn process_step(&mut self) {
        let sink = self.sink();
        match self.random.below(10) {
            0 => {
                self.call("umask", libc::SYS_umask, [self.random.of(&[0o22, 0, 0o77, 0o7000]), 0, 0, 0, 0, 0])
            }
            1 => {
                let a = [0, self.random.of(&[3, 7, 4, 16, 99]), 0, sink, 0, 0];
                // RLIMIT_STACK, NOFILE, CORE: the others' values are the machine's.
                let length = if matches!(a[1], 3 | 4 | 7) { 16 } else { 0 };
                self.call_for("prlimit64", libc::SYS_prlimit64, a, sink, |_| length);
            }
            2 => self.call(
                "getrusage",
                libc::SYS_getrusage,
                [self.random.of(&[0, u64::MAX, 5]), sink, 0, 0, 0, 0],
            ),
            3 => self.call(
                "setpgid",
                libc::SYS_setpgid,
                [self.random.of(&[0, 1 << 20, u64::MAX]), self.random.of(&[0, u64::MAX]), 0, 0, 0, 0],
            ),
            4 => {
                // A child's answer is its number.
                let r = self.quietly(libc::SYS_setsid, [0; 6]);
                self.answered("setsid", &[], r.min(1), &[]);
            }
            5 => {
                let a = [
                    self.random.of(&[u64::MAX, 0, 1 << 20, -5i64 as u64]),
                    sink,
                    self.random.of(&[1, 0, 3, 16, 0x8000_0001]),
                    0,
                    0,
                    0,
                ];
                self.call("wait4", libc::SYS_wait4, a);
            }
            6 => {
                let a = [self.random.of(&[0, 0, 3]), self.random.of(&[0, 1 << 20]), 0, 0, 0, 0];
                self.call("getpriority", libc::SYS_getpriority, a);
            }
            7 => {
                let times = structure(&[0, self.random.of(&[0, 1000, 1_000_000_000, u64::MAX])]);
                let at = if self.random.below(4) == 0 { sink } else { times };
                if at == times {
                    self.call("nanosleep", libc::SYS_nanosleep, [at, 0, 0, 0, 0, 0]);
                }
            }
            8 => self.call(
                "clock_gettime",
                libc::SYS_clock_gettime,
                [self.random.of(&[0, 1, 2, 7, 99, u64::MAX]), sink, 0, 0, 0, 0],
            ),
            _ => {
                let a = [
                    self.random.of(&[15, 16, 3, 4, 23, 38, 39]),
                    if self.random.below(2) == 0 { 1 } else { sink },
                    0,
                    0,
                    0,
                    0,
                ];
                self.prctl(a);
            }
        }
    }

    fn prctl(&mut self, mut a: [u64; 6]) {
        match a[0] {
            // A name: of the process, at an address; the rest take numbers.
            15 => a[1] = c"a name that is too long".as_ptr() as u64,
            16 => {
                a[1] = self.sink();
                self.call_for("prctl", libc::SYS_prctl, a, a[1], |_| 16);
                return;
            }
            3 | 39 => a[1] = 0,
            _ => a[1] = 1,
        }
        self.call("prctl", libc::SYS_prctl, a);
    }
}
