//! ioctl: the terminal's, and FIONREAD of others.

use super::{Outcome, ok};
use crate::errno::*;
use crate::signals::{Info, number::*};
use crate::state::{Leads, State};
use crate::tty::TERMIOS;
use crate::turns::SI_KERNEL;
use abi::vote::EffectKind;

// include/uapi/asm-generic/ioctls.h
const TCGETS: u32 = 0x5401;
const TCSETS: u32 = 0x5402;
const TCSETSF: u32 = 0x5404;
const TCSBRK: u32 = 0x5409;
const TCXONC: u32 = 0x540a;
const TCFLSH: u32 = 0x540b;
const TIOCOUTQ: u32 = 0x5411;
const TIOCGETD: u32 = 0x5424;
const TIOCGEXCL: u32 = 0x8004_5440;
const TIOCSCTTY: u32 = 0x540e;
const TIOCGPGRP: u32 = 0x540f;
const TIOCSPGRP: u32 = 0x5410;
const TIOCGWINSZ: u32 = 0x5413;
const TIOCSWINSZ: u32 = 0x5414;
const FIONREAD: u32 = 0x541b;
const FIONBIO: u32 = 0x5421;
const TIOCNOTTY: u32 = 0x5422;
const TIOCGSID: u32 = 0x5429;
const FIONCLEX: u32 = 0x5450;
const FIOCLEX: u32 = 0x5451;
const FICLONE: u32 = 0x4004_9409;
const NONBLOCK: u32 = 0o4000;

impl State {
    /// ioctl.
    pub fn ioctl(&mut self, s: u64, fd: u64, request: u32, at: u64) -> Result<Outcome> {
        let (number, open) = self.usable(s, fd)?;
        match request {
            FIOCLEX | FIONCLEX => {
                if let Some(f) = self.process_mut(s).fds.get_mut(&(fd as u32)) {
                    f.cloexec = request == FIOCLEX;
                }
                return ok();
            }
            FIONBIO => {
                let on = self.space(s).get_u32(at)? != 0;
                if let Some(o) = self.opens.get_mut(&number) {
                    o.flags = if on { o.flags | NONBLOCK } else { o.flags & !NONBLOCK };
                }
                return ok();
            }
            FICLONE => return Err(EOPNOTSUPP),
            _ => {}
        }
        match &open.leads {
            Leads::Terminal => self.terminal_ioctl(s, request, at),
            Leads::Pipe(pipe, ..) if request == FIONREAD => {
                let held = self.pipes.get(pipe).map_or(0, |p| p.bytes.len() as u32);
                self.space(s).put(at, &held.to_le_bytes())?;
                ok()
            }
            Leads::File(inode) if request == FIONREAD => {
                let size = self.files.inode(*inode).map_or(0, |i| i.size);
                let left = (size as i64 - open.offset as i64) as i32;
                self.space(s).put(at, &left.to_le_bytes())?;
                ok()
            }
            // As Linux: such a file has no size to it.
            Leads::Text(_) if request == FIONREAD => {
                let left = (open.offset as i64).wrapping_neg() as i32;
                self.space(s).put(at, &left.to_le_bytes())?;
                ok()
            }
            _ => Err(ENOTTY),
        }
    }

    fn is_own_terminal(&self, s: u64) -> bool {
        self.tty.session != 0 && self.process(s).session == self.tty.session
    }

    fn terminal_ioctl(&mut self, s: u64, request: u32, at: u64) -> Result<Outcome> {
        let changes = matches!(request, 0x5402..=0x5404 | TIOCSPGRP | TCFLSH | TCXONC | TCSBRK);
        if changes
            && self.job_deaf(s, SIGTTOU).is_none()
            && let Some(outcome) = self.job_control(s, SIGTTOU)
        {
            return match outcome {
                Err(_) if request == TIOCSPGRP => Err(ENOTTY),
                other => other,
            };
        }
        match request {
            TCGETS => {
                let modes = self.tty.modes;
                self.space(s).put(at, &modes)?;
                ok()
            }
            TCSETS..=TCSETSF => self.set_modes(s, request, at),
            TIOCGWINSZ => {
                let t = &self.tty;
                let words = [t.rows, t.columns, t.pixels.0, t.pixels.1].map(u16::to_le_bytes);
                self.space(s).put(at, &words.concat())?;
                ok()
            }
            TIOCSWINSZ => self.set_size(s, at),
            TIOCGPGRP | TIOCGSID if !self.is_own_terminal(s) => Err(ENOTTY),
            TIOCGPGRP | TIOCGSID => {
                let id = if request == TIOCGPGRP { self.tty.foreground } else { self.tty.session };
                self.space(s).put(at, &id.to_le_bytes())?;
                ok()
            }
            TIOCSPGRP => self.set_foreground(s, at),
            TIOCSCTTY => {
                let p = self.process(s);
                if p.session == p.pid && self.tty.session == p.session {
                    return ok();
                }
                if p.session != p.pid || self.tty.session != 0 {
                    return Err(EPERM);
                }
                (self.tty.session, self.tty.foreground) = (p.session, p.group);
                ok()
            }
            TIOCNOTTY => self.give_up_terminal(s),
            FIONREAD => {
                let n = self.tty.readable_bytes() as u32;
                self.space(s).put(at, &n.to_le_bytes())?;
                ok()
            }
            TCFLSH => match at {
                0 | 2 => {
                    self.tty.flush();
                    self.effect(EffectKind::TtyFlush, alloc::vec![]);
                    ok()
                }
                1 => ok(),
                _ => Err(EINVAL),
            },
            TCXONC | TCSBRK => ok(),
            // Nothing is left to put out; the line discipline is N_TTY; the terminal is nobody's alone.
            TIOCOUTQ | TIOCGETD | TIOCGEXCL => {
                self.space(s).put(at, &0u32.to_le_bytes())?;
                ok()
            }
            _ => Err(ENOTTY),
        }
    }

    fn set_modes(&mut self, s: u64, request: u32, at: u64) -> Result<Outcome> {
        let mut modes = [0; TERMIOS];
        self.space(s).get(at, &mut modes)?;
        self.tty.modes = modes;
        self.effect(EffectKind::TtyModes, modes.to_vec());
        if request == TCSETSF {
            self.tty.flush();
            self.effect(EffectKind::TtyFlush, alloc::vec![]);
        }
        self.wake(crate::process::Thing::Terminal);
        ok()
    }

    fn set_size(&mut self, s: u64, at: u64) -> Result<Outcome> {
        let mut b = [0; 8];
        self.space(s).get(at, &mut b)?;
        let half = |i: usize| u16::from_le_bytes([b[i], b[i + 1]]);
        let t = &mut self.tty;
        let old = (t.rows, t.columns, t.pixels);
        (t.rows, t.columns, t.pixels) = (half(0), half(2), (half(4), half(6)));
        if old != (t.rows, t.columns, t.pixels) {
            let group = t.foreground;
            self.signal_group(group, Info { signal: SIGWINCH, code: SI_KERNEL, ..Info::default() });
        }
        ok()
    }

    fn set_foreground(&mut self, s: u64, at: u64) -> Result<Outcome> {
        if !self.is_own_terminal(s) {
            return Err(ENOTTY);
        }
        let group = self.space(s).get_u32(at)?;
        if (group as i32) < 0 {
            return Err(EINVAL);
        }
        let session = self.process(s).session;
        let mut members = self.processes.values().filter(|p| p.group == group).peekable();
        if members.peek().is_none() {
            return Err(ESRCH);
        }
        if !members.any(|p| p.session == session) {
            return Err(EPERM);
        }
        self.tty.foreground = group;
        ok()
    }

    fn give_up_terminal(&mut self, s: u64) -> Result<Outcome> {
        if !self.is_own_terminal(s) {
            return Err(ENOTTY);
        }
        let p = self.process(s);
        if p.session != p.pid {
            return ok();
        }
        let group = self.tty.foreground;
        (self.tty.session, self.tty.foreground) = (0, 0);
        for signal in [SIGHUP, SIGCONT] {
            self.signal_group(group, Info { signal, code: SI_KERNEL, ..Info::default() });
        }
        ok()
    }
}
