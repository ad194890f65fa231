//! ioctl: the terminal's, and the few that every file has.

use super::file::Kind;
use super::linux::*;
use super::syscalls::{Answer, Call};
use super::tty::TERMIOS;
use super::{Fs, SignalTarget};
use crate::errno::*;

const TCGETS: u32 = 0x5401;
const TCSETS: u32 = 0x5402;
const TCSETSF: u32 = 0x5404;
const TCSBRK: u32 = 0x5409;
const TCXONC: u32 = 0x540a;
const TCFLSH: u32 = 0x540b;
const TIOCSCTTY: u32 = 0x540e;
const TIOCGPGRP: u32 = 0x540f;
const TIOCSPGRP: u32 = 0x5410;
const TIOCOUTQ: u32 = 0x5411;
const TIOCGWINSZ: u32 = 0x5413;
const TIOCSWINSZ: u32 = 0x5414;
const FIONREAD: u32 = 0x541b;
const FIONBIO: u32 = 0x5421;
const TIOCNOTTY: u32 = 0x5422;
const TIOCGETD: u32 = 0x5424;
const TIOCGSID: u32 = 0x5429;
const FIONCLEX: u32 = 0x5450;
const FIOCLEX: u32 = 0x5451;
const TIOCGEXCL: u32 = 0x8004_5440;
const FICLONE: u32 = 0x4004_9409;

impl Fs {
    pub(super) fn ioctl(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let (id, open) = self.real_file(call.caller.fds, call.fd(0))?;
        let (kind, node, offset) = (open.kind.clone(), open.node, open.offset);
        let request = call.u32(1);
        match request {
            FIOCLEX | FIONCLEX => {
                call.caller.fds.slot_mut(call.fd(0))?.cloexec = request == FIOCLEX;
                Ok(0)
            }
            FIONBIO => {
                let on = u32::from_le_bytes(call.get(call.args[2])?) != 0;
                if let Some(open) = self.files.get_mut(id) {
                    open.flags = open.flags & !O_NONBLOCK | if on { O_NONBLOCK } else { 0 };
                }
                Ok(0)
            }
            FICLONE if kind == Kind::Regular => {
                self.real_file(call.caller.fds, call.args[2] as i32)?;
                Err(EOPNOTSUPP.into())
            }
            FIONREAD => {
                let n = match kind {
                    Kind::Regular => (self.size(node) as i64).wrapping_sub(offset as i64) as u32,
                    Kind::Pipe { pipe, .. } => self.pipes.get(&pipe).map_or(0, |p| p.bytes.len() as u32),
                    Kind::Tty => self.tty.available() as u32,
                    // A text of /proc is a regular file of size 0.
                    Kind::Text(_) => 0u64.wrapping_sub(offset) as u32,
                    _ => return Err(ENOTTY.into()),
                };
                call.put(2, &n.to_le_bytes())
            }
            _ if kind == Kind::Tty => self.tty_ioctl(call, request),
            _ => Err(ENOTTY.into()),
        }
    }

    fn tty_ioctl(&mut self, call: &mut Call<'_, '_>, request: u32) -> Answer {
        match request {
            TCGETS => {
                let modes = self.tty.modes;
                call.put(2, &modes)
            }
            TCSETS..=TCSETSF => {
                self.job_control(call.caller, SIGTTOU)?;
                let modes: [u8; TERMIOS] = call.get(call.args[2])?;
                self.set_modes(modes);
                if request == TCSETSF {
                    self.flush_tty();
                }
                Ok(0)
            }
            TCFLSH => {
                self.job_control(call.caller, SIGTTOU)?;
                match call.args[2] {
                    0 | 2 => self.flush_tty(),
                    1 => (),
                    _ => return Err(EINVAL.into()),
                }
                Ok(0)
            }
            TCXONC | TCSBRK => {
                self.job_control(call.caller, SIGTTOU)?;
                if request == TCXONC && call.args[2] > 3 { Err(EINVAL.into()) } else { Ok(0) }
            }
            TIOCGWINSZ => {
                let size = self.tty.size;
                let mut bytes = [0; 8];
                bytes.chunks_exact_mut(2).zip(size).for_each(|(b, v)| b.copy_from_slice(&v.to_le_bytes()));
                call.put(2, &bytes)
            }
            TIOCSWINSZ => {
                let bytes: [u8; 8] = call.get(call.args[2])?;
                let size = [0, 2, 4, 6].map(|i| u16::from_le_bytes([bytes[i], bytes[i + 1]]));
                if size != self.tty.size {
                    self.tty.size = size;
                    self.signal_foreground(SIGWINCH);
                }
                Ok(0)
            }
            TIOCGPGRP | TIOCGSID => {
                if !self.controls(call.caller) {
                    return Err(ENOTTY.into());
                }
                let id = if request == TIOCGPGRP { self.tty.foreground } else { call.caller.sid };
                call.put(2, &id.to_le_bytes())
            }
            // No output waits in the kernel, the line discipline is N_TTY, and TIOCEXCL is not known.
            TIOCOUTQ | TIOCGETD | TIOCGEXCL => call.put(2, &0i32.to_le_bytes()),
            TIOCSPGRP => self.set_foreground(call),
            TIOCSCTTY => self.take_terminal(call),
            TIOCNOTTY => self.leave_terminal(call),
            _ => Err(ENOTTY.into()),
        }
    }

    fn set_foreground(&mut self, call: &mut Call<'_, '_>) -> Answer {
        match self.job_control(call.caller, SIGTTOU) {
            Err(stop) if stop == EIO.into() => return Err(ENOTTY.into()),
            other => other?,
        }
        let group = i32::from_le_bytes(call.get(call.args[2])?);
        let group = u32::try_from(group).map_err(|_| EINVAL)?;
        if !self.controls(call.caller) {
            return Err(ENOTTY.into());
        }
        let sid = call.caller.sid;
        if !call.caller.system.group_in_session(group, sid) {
            // As Linux: the id may be a process' that leads no group.
            let rows = call.caller.system.processes();
            if !rows.iter().any(|r| r.pid == group || r.pgid == group || r.sid == group) {
                return Err(ESRCH.into());
            }
            let led = rows.iter().any(|r| r.pgid == group);
            if led || !rows.iter().any(|r| r.pid == group && r.sid == sid) {
                return Err(EPERM.into());
            }
        }
        self.tty.foreground = group;
        Ok(0)
    }

    fn take_terminal(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let caller = &call.caller;
        let leader = caller.pid == caller.sid;
        if leader && self.controls(caller) {
            return Ok(0);
        }
        if !leader || (self.tty.session.is_some() && call.args[2] != 1) {
            return Err(EPERM.into());
        }
        self.tty.session = Some(caller.sid);
        self.tty.foreground = caller.pgid;
        Ok(0)
    }

    /// The session's leader gives the terminal up for all; another process of it cannot (a departure from Linux).
    fn leave_terminal(&mut self, call: &mut Call<'_, '_>) -> Answer {
        if !self.controls(call.caller) {
            return Err(ENOTTY.into());
        }
        if call.caller.pid == call.caller.sid {
            self.signal_foreground(SIGHUP);
            self.signal_foreground(SIGCONT);
            self.tty.session = None;
            self.tty.foreground = 0;
        }
        Ok(0)
    }

    pub(super) fn end_session(&mut self, sid: u32) {
        if self.tty.session == Some(sid) {
            if self.tty.foreground != 0 {
                self.signals.push((SignalTarget::Group(self.tty.foreground), SIGHUP));
            }
            self.tty.session = None;
            self.tty.foreground = 0;
        }
    }
}
