//! Children: how they end, how they are waited for, what an executed program finds.

use crate::places::{SINK, left, structure, word};
use crate::signals::{CHILD, child_ended, handle};
use crate::storm::Storm;
use std::io::Write;
use std::sync::atomic::Ordering::Relaxed;

const SIGCHLD: u64 = 17;
/// The pipe by which a child's child tells its sum.
const TOLD: u64 = 120;

impl Storm {
    /// Forks; the child makes a few calls and ends in some way. The parent looks only when it has ended, so that nothing depends on who is faster.
    pub fn fork_step(&mut self) {
        let (calls, end, how) = (self.random.below(5), self.random.below(8), self.random.below(256));
        let apart = self.random.below(4) == 0;
        let mask = self.wait_begins();
        let Some(pid) = self.fork(&mask, |child| {
            if apart {
                child.call("setpgid", libc::SYS_setpgid, [0; 6]);
            }
            (0..calls).for_each(|_| child.step());
            child.tell(TOLD as i32);
            child.end(end, how);
        }) else {
            return;
        };
        self.wait_until_told(&mask);
        let [code, status] = [0, 1].map(|i| CHILD[i].load(Relaxed));
        self.answered("SIGCHLD", &[], code as i64, &[status]);
        self.wait_for(pid, apart);
        if code == libc::CLD_STOPPED as u64 {
            self.quietly(libc::SYS_kill, [pid, self.random.of(&[9, 18]), 0, 0, 0, 0]);
        }
        let r = self.quietly(libc::SYS_wait4, [pid, SINK, 0, 0, 0, 0]);
        let status = left(SINK, 4).map_or(0, |b| word(b, 0));
        if r > 0 {
            self.answered("wait4", &[], 1, &[status]);
        }
        self.wait_ends(&mask);
    }

    /// The ways of ending.
    fn end(&mut self, way: u64, how: u64) -> ! {
        let own = u64::from(std::process::id());
        let signal = match way {
            0..3 => self.leave(how),
            3 => 9,
            4 => 19,
            5 => 20,
            6 => 15,
            _ => [11, 6, 1, 2, 8][how as usize % 5],
        };
        self.quietly(libc::SYS_kill, [own, signal, 0, 0, 0, 0]);
        self.leave(how)
    }

    fn leave(&self, status: u64) -> ! {
        loop {
            self.quietly(libc::SYS_exit_group, [status, 0, 0, 0, 0, 0]);
        }
    }

    /// Waits in odd ways, never for long.
    fn wait_for(&mut self, pid: u64, apart: bool) {
        for _ in 0..self.random.below(4) {
            let whom = [pid, u64::MAX, 0, pid.wrapping_neg(), 1 << 20][self.random.below(5) as usize];
            let options = 1 | self.random.of(&[0, 0, 2, 2, 16]);
            let at = if self.random.below(8) == 0 { 8 } else { SINK };
            structure(&[0]);
            // SAFETY: (1) SINK is writable for good; the word is written so that an answer that writes nothing shows.
            unsafe { (SINK as *mut u32).write(0xffff) };
            // What is free by then, or continued by the child itself, is no question of who is faster.
            let r = self.quietly(libc::SYS_wait4, [whom, at, options, 0, 0, 0]);
            let status = left(SINK, 4).map_or(0, |b| word(b, 0));
            self.answered(
                "wait4",
                &[u64::from(apart), u64::from(whom == pid), options],
                if r > 0 { 1 } else { r },
                &[status],
            );
        }
    }

    /// Forks and executes: a program, a script, what cannot be executed.
    pub fn execute_step(&mut self) {
        let script = c"/tmp/q/w/s".as_ptr() as u64;
        let text: &[u8] = match self.random.below(6) {
            0 => b"#!/bin/sh\nexit 3\n",
            1 => b"#! /bin/busybox false\n",
            2 => b"#!/nowhere\n",
            3 => b"\x7fELF and nothing else",
            4 => b"",
            _ => b"#!/tmp/q/w/s\n",
        };
        let fd = self.quietly(libc::SYS_openat, [-100i64 as u64, script, 0o1101, 0o755, 0, 0]) as u64;
        self.quietly(libc::SYS_write, [fd, text.as_ptr() as u64, text.len() as u64, 0, 0, 0]);
        self.quietly(libc::SYS_close, [fd, 0, 0, 0, 0, 0]);
        let own = self.own();
        let (path, first): (u64, u64) = match self.random.below(10) {
            0 => (c"/bin/busybox".as_ptr() as u64, c"true".as_ptr() as u64),
            // By the contract a file that somebody writes to is executed; on Linux it is busy.
            1 | 2 if self.writes_to_none() => (own, c"x".as_ptr() as u64),
            3 => (c"/etc/passwd".as_ptr() as u64, c"x".as_ptr() as u64),
            1 | 2 | 4..7 => (script, c"s".as_ptr() as u64),
            _ => (c"/usr/bin/sequences".as_ptr() as u64, c"sequences".as_ptr() as u64),
        };
        let arguments = [first, c"inherit".as_ptr() as u64, c"120".as_ptr() as u64, 0];
        let environment = [c"A=b".as_ptr() as u64, 0];
        let mask = self.wait_begins();
        let Some(pid) = self.fork(&mask, |child| {
            let a = [path, arguments.as_ptr() as u64, environment.as_ptr() as u64, 0, 0, 0];
            let r = child.quietly(libc::SYS_execve, a);
            child.answered("execve", &[path], r, &[]);
            child.tell(TOLD as i32);
            child.leave(99)
        }) else {
            return;
        };
        self.wait_until_told(&mask);
        let r = self.quietly(libc::SYS_wait4, [pid, SINK, 0, 0, 0, 0]);
        let status = left(SINK, 4).map_or(0, |b| word(b, 0));
        self.answered("executed", &[path], i64::from(r > 0), &[status]);
        self.wait_ends(&mask);
    }

    /// Whether no regular file is open for writing.
    fn writes_to_none(&self) -> bool {
        let writes = |fd: &u64| self.quietly(libc::SYS_fcntl, [*fd, 3, 0, 0, 0, 0]) & 3 != 0;
        (3..TOLD).filter(|fd| self.is(*fd, libc::S_IFREG)).find(writes).is_none()
    }

    /// Blocks all signals and takes SIGCHLD; the mask as it was.
    fn wait_begins(&mut self) -> [u64; 1] {
        let mut old = [0];
        let all = [u64::MAX];
        self.quietly(libc::SYS_rt_sigprocmask, [2, all.as_ptr() as u64, old.as_mut_ptr() as u64, 8, 0, 0]);
        CHILD.iter().for_each(|c| c.store(0, Relaxed));
        handle(SIGCHLD, child_ended as *const () as u64);
        old
    }

    fn wait_ends(&mut self, mask: &[u64; 1]) {
        let all_but = [!(1u64 << (SIGCHLD - 1))];
        self.quietly(libc::SYS_rt_sigprocmask, [2, all_but.as_ptr() as u64, 0, 8, 0, 0]);
        handle(SIGCHLD, 0);
        self.quietly(libc::SYS_rt_sigprocmask, [2, mask.as_ptr() as u64, 0, 8, 0, 0]);
    }

    /// Runs `does` in a child, which has the old mask; its pid.
    fn fork(&mut self, mask: &[u64; 1], does: impl FnOnce(&mut Storm)) -> Option<u64> {
        let mut ends = [0i32; 2];
        self.quietly(libc::SYS_pipe2, [ends.as_mut_ptr() as u64, 0o4000, 0, 0, 0, 0]);
        for (i, end) in ends.into_iter().enumerate() {
            self.quietly(libc::SYS_dup3, [end as u64, TOLD + 1 - i as u64, 0, 0, 0, 0]);
            self.quietly(libc::SYS_close, [end as u64, 0, 0, 0, 0, 0]);
        }
        self.quietly(libc::SYS_fcntl, [TOLD + 1, 2, 1, 0, 0, 0]);
        let pid = self.quietly(libc::SYS_clone, [SIGCHLD, 0, 0, 0, 0, 0]);
        if pid == 0 {
            handle(SIGCHLD, 0);
            self.depth += 1;
            self.quietly(libc::SYS_rt_sigprocmask, [2, mask.as_ptr() as u64, 0, 8, 0, 0]);
            does(self);
        }
        if pid < 0 {
            self.answered("clone", &[], pid, &[]);
            self.wait_ends(mask);
            return None;
        }
        Some(pid as u64)
    }

    /// Waits for SIGCHLD, then takes what the child told.
    fn wait_until_told(&mut self, _mask: &[u64; 1]) {
        let but_child = [!(1u64 << (SIGCHLD - 1))];
        while CHILD[0].load(Relaxed) == 0 {
            self.quietly(libc::SYS_rt_sigsuspend, [but_child.as_ptr() as u64, 8, 0, 0, 0, 0]);
        }
        let n = self.quietly(libc::SYS_read, [TOLD + 1, SINK, 8, 0, 0, 0]);
        if let Some(bytes) = left(SINK, 8).filter(|_| n == 8) {
            self.mix_bytes(bytes);
        }
        for fd in [TOLD, TOLD + 1] {
            self.quietly(libc::SYS_close, [fd, 0, 0, 0, 0, 0]);
        }
    }
}

/// What an executed program finds: descriptors, ignored and blocked signals, its directory, umask and arguments.
pub fn inherit(fd: i32) -> std::io::Result<()> {
    let mut storm = Storm::new(false, false);
    for fd in 0..64 {
        let flags = storm.quietly(libc::SYS_fcntl, [fd, 1, 0, 0, 0, 0]);
        storm.mix(flags as u64);
    }
    for signal in 1..32 {
        let mut action = [0u64; 4];
        storm.quietly(libc::SYS_rt_sigaction, [signal, 0, action.as_mut_ptr() as u64, 8, 0, 0]);
        storm.mix(u64::from(action[0] == 1));
    }
    let mut mask = [0u64];
    storm.quietly(libc::SYS_rt_sigprocmask, [0, 0, mask.as_mut_ptr() as u64, 8, 0, 0]);
    storm.mix(mask[0]);
    storm.quietly(libc::SYS_rt_sigpending, [mask.as_mut_ptr() as u64, 8, 0, 0, 0, 0]);
    storm.mix(mask[0]);
    let umask = storm.quietly(libc::SYS_umask, [0; 6]);
    storm.mix(umask as u64);
    for text in std::env::args().chain(std::env::vars().map(|(k, v)| format!("{k}={v}"))) {
        storm.mix_bytes(text.as_bytes());
    }
    storm.tell(fd);
    std::io::stdout().flush()
}
