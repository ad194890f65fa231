//! The process server: ids, parents, groups and sessions, signals, and what else a process is by number. Its threads' registers are the front
//! end's, its memory and files other servers'.

mod end;
mod groups;
mod signals;
mod snapshot;
mod wait;

use crate::error::{Res, e};
use crate::turns::Serial;
use abi::turn::{PID_MAX, PROCESSES_MAX};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
pub use signals::{
    Action, AltStack, Delivery, Info, Payload, SA_ONSTACK, SA_RESTART, SA_RESTORER, Signals, UNBLOCKABLE,
    bit, sig,
};
pub use wait::{Usage, Waited};

/// Soft and hard limits, by resource number.
pub type Limits = [(u64, u64); 16];

const INFINITY: u64 = u64::MAX;
pub const RLIMIT_STACK: usize = 3;
pub const RLIMIT_CORE: usize = 4;
pub const RLIMIT_NPROC: usize = 6;
pub const RLIMIT_NOFILE: usize = 7;

fn default_limits() -> Limits {
    let mut limits = [(INFINITY, INFINITY); 16];
    limits[RLIMIT_STACK].0 = abi::layout::STACK_MAX;
    limits[RLIMIT_CORE].0 = 0;
    limits[RLIMIT_NPROC] = (128, 128);
    limits[RLIMIT_NOFILE] = (256, 256);
    limits
}

/// A process.
#[derive(Clone)]
pub struct Process {
    pub serial: Serial,
    pub pid: u32,
    /// 0: none (process 1).
    pub parent: Serial,
    pub pgid: u32,
    pub sid: u32,
    pub name: Vec<u8>,
    pub cmdline: Vec<u8>,
    /// Wait status of a zombie.
    pub ended: Option<i32>,
    /// Signal that stopped it.
    pub stopped: Option<u8>,
    /// A stop that no wait has reported.
    stop_news: bool,
    /// A continuation that no wait has reported.
    continue_news: bool,
    pub has_execed: bool,
    /// Calls made, and those of children waited for.
    pub calls: u64,
    pub children_calls: u64,
    pub signals: Signals,
    pub limits: Limits,
    pub nice: i32,
    pub dumpable: u64,
    pub no_new_privs: bool,
    pub death_signal: u64,
    pub start_us: u64,
    /// set_tid_address(2), which nobody looks at as long as there are no threads.
    pub clear_child_tid: u64,
    /// set_robust_list(2), likewise.
    pub robust_list: u64,
    /// Bytes of its random stream that it has read.
    pub random_read: u64,
    /// ITIMER_REAL: when it is due and its interval, µs; 0: off.
    pub timer_us: (u64, u64),
    /// Its memory may differ between kernels ("Signals" in the turn rule).
    pub unagreed: bool,
}

impl Process {
    /// As process 1 is at the start, alone in its group and session.
    fn new(serial: Serial, pid: u32, now_us: u64) -> Process {
        Process {
            serial,
            pid,
            parent: 0,
            pgid: pid,
            sid: pid,
            name: Vec::new(),
            cmdline: Vec::new(),
            ended: None,
            stopped: None,
            stop_news: false,
            continue_news: false,
            has_execed: true,
            calls: 0,
            children_calls: 0,
            signals: Signals::default(),
            limits: default_limits(),
            nice: 0,
            dumpable: 1,
            no_new_privs: false,
            death_signal: 0,
            start_us: now_us,
            clear_child_tid: 0,
            robust_list: 0,
            random_read: 0,
            timer_us: (0, 0),
            unagreed: false,
        }
    }
}

/// The server's state.
#[derive(Default)]
pub struct Processes {
    all: BTreeMap<Serial, Process>,
    last_serial: Serial,
    last_pid: u32,
}

impl Processes {
    pub fn get(&self, serial: Serial) -> Res<&Process> {
        self.all.get(&serial).ok_or(e::ESRCH)
    }

    pub fn get_mut(&mut self, serial: Serial) -> Res<&mut Process> {
        self.all.get_mut(&serial).ok_or(e::ESRCH)
    }

    pub fn by_pid(&self, pid: u32) -> Res<&Process> {
        self.all.values().find(|p| p.pid == pid).ok_or(e::ESRCH)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Process> {
        self.all.values()
    }

    pub fn count(&self) -> usize {
        self.all.len()
    }

    pub fn last_serial(&self) -> Serial {
        self.last_serial
    }

    pub fn last_pid(&self) -> u32 {
        self.last_pid
    }

    /// Process 1.
    pub fn first(&mut self, now_us: u64) -> Serial {
        (self.last_serial, self.last_pid) = (1, 1);
        self.all.insert(1, Process::new(1, 1, now_us));
        1
    }

    fn pid_is_used(&self, pid: u32) -> bool {
        self.all.values().any(|p| [p.pid, p.pgid, p.sid].contains(&pid))
    }

    /// Whether a fork is within the limit.
    pub fn room(&self) -> Res {
        if self.all.len() >= PROCESSES_MAX { Err(e::EAGAIN) } else { Ok(()) }
    }

    /// A child of `parent`; its serial and pid.
    pub fn fork(&mut self, parent: Serial, now_us: u64) -> Res<(Serial, u32)> {
        self.room()?;
        let above = (self.last_pid + 1..PID_MAX).find(|p| !self.pid_is_used(*p));
        let pid = above.or_else(|| (2..PID_MAX).find(|p| !self.pid_is_used(*p))).ok_or(e::EAGAIN)?;
        let mut child = self.get(parent)?.clone();
        self.last_serial += 1;
        self.last_pid = pid;
        child.serial = self.last_serial;
        child.pid = pid;
        child.parent = parent;
        (child.stop_news, child.continue_news, child.has_execed) = (false, false, false);
        (child.calls, child.children_calls, child.random_read) = (0, 0, 0);
        child.signals.pending.clear();
        child.timer_us = (0, 0);
        child.death_signal = 0;
        (child.clear_child_tid, child.robust_list) = (0, 0);
        child.start_us = now_us;
        self.all.insert(child.serial, child);
        Ok((self.last_serial, pid))
    }

    /// A process executes a program: what the process server forgets then.
    pub fn exec(&mut self, serial: Serial, name: &[u8], cmdline: Vec<u8>) -> Res {
        let p = self.get_mut(serial)?;
        p.name = name.to_vec();
        p.name.truncate(15);
        p.cmdline = cmdline;
        p.has_execed = true;
        p.unagreed = false;
        p.dumpable = 1;
        (p.clear_child_tid, p.robust_list) = (0, 0);
        p.signals.exec();
        Ok(())
    }
}
