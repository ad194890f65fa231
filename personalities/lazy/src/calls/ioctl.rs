//! ioctl: the terminal's, and the few that all files have.

use super::*;
use crate::files::Body;
use crate::open::{Kind, O_NONBLOCK};
use crate::process::{Descriptor, Info};
use crate::signal::{SI_KERNEL, SIGTTOU, SIGWINCH};
use abi::vote::EffectKind;

#[allow(missing_docs)]
mod requests {
    pub const TCGETS: u32 = 0x5401;
    pub const TCSETS: u32 = 0x5402;
    pub const TCSETSW: u32 = 0x5403;
    pub const TCSETSF: u32 = 0x5404;
    pub const TCSBRK: u32 = 0x5409;
    pub const TCXONC: u32 = 0x540a;
    pub const TCFLSH: u32 = 0x540b;
    pub const TIOCSCTTY: u32 = 0x540e;
    pub const TIOCGPGRP: u32 = 0x540f;
    pub const TIOCSPGRP: u32 = 0x5410;
    pub const TIOCOUTQ: u32 = 0x5411;
    pub const TIOCGWINSZ: u32 = 0x5413;
    pub const TIOCSWINSZ: u32 = 0x5414;
    pub const FIONREAD: u32 = 0x541b;
    pub const FIONBIO: u32 = 0x5421;
    pub const TIOCNOTTY: u32 = 0x5422;
    pub const TIOCGETD: u32 = 0x5424;
    pub const TCSBRKP: u32 = 0x5425;
    pub const TIOCGSID: u32 = 0x5429;
    pub const FIONCLEX: u32 = 0x5450;
    pub const FIOCLEX: u32 = 0x5451;
    pub const FICLONE: u32 = 0x4004_9409;
    pub const TIOCGEXCL: u32 = 0x8004_5440;
}
use requests::*;

impl<H: Hardware> Kernel<H> {
    pub(super) fn sys_ioctl(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let id = self.file(serial, a[0])?;
        let f = self.open.get(id).ok_or(EBADF)?;
        let (request, argument) = (a[1] as u32, a[2]);
        match request {
            FIOCLEX | FIONCLEX => {
                let fd = a[0] as u32 as usize;
                let d = Descriptor { file: id, cloexec: request == FIOCLEX };
                self.process_mut(serial)?.set_descriptor(fd, Some(d));
                return done(0);
            }
            FIONBIO => {
                let space = self.space(serial)?;
                let on = self.memory.read_u32(space, argument)? != 0;
                if let Some(f) = self.open.get_mut(id) {
                    f.flags = f.flags & !O_NONBLOCK | if on { O_NONBLOCK } else { 0 };
                }
                return done(0);
            }
            FICLONE => return Err(EOPNOTSUPP),
            _ => {}
        }
        let pipe = f.pipe();
        match (&f.kind, request) {
            (Kind::Terminal, _) => self.terminal_ioctl(serial, request, argument),
            (_, FIONREAD) if pipe.is_some() => {
                let held = pipe.and_then(|p| self.pipes.get(p.0)).map_or(0, |p| p.data.len() as u32);
                self.put(serial, argument, &held.to_le_bytes())?;
                done(0)
            }
            (Kind::File, FIONREAD) => {
                let size = match &self.files.inode(f.inode)?.body {
                    Body::File(c) => c.size,
                    _ => 0,
                };
                let left = (size as i64 - f.offset as i64) as u32;
                self.put(serial, argument, &left.to_le_bytes())?;
                done(0)
            }
            // A regular file of no size.
            (Kind::Text(_), FIONREAD) => {
                let left = f.offset.wrapping_neg() as u32;
                self.put(serial, argument, &left.to_le_bytes())?;
                done(0)
            }
            _ => Err(ENOTTY),
        }
    }

    fn terminal_ioctl(&mut self, serial: u64, request: u32, argument: u64) -> CallResult {
        let space = self.space(serial)?;
        if matches!(request, TCSETS | TCSETSW | TCSETSF | TCFLSH | TCXONC | TCSBRK | TCSBRKP)
            && let Some(result) = self.background(serial, SIGTTOU)
        {
            return result;
        }
        match request {
            TCGETS => {
                let modes = self.terminal.modes;
                self.put(serial, argument, &modes)?;
            }
            TCSETS | TCSETSW | TCSETSF => {
                let mut modes = [0; 36];
                self.memory.read(space, argument, &mut modes)?;
                self.terminal.modes = modes;
                self.effect(EffectKind::TtyModes, &modes);
                if request == TCSETSF {
                    self.terminal.flush();
                    self.effect(EffectKind::TtyFlush, &[]);
                }
                self.wake(Key::Terminal);
            }
            TCFLSH => match argument {
                0 | 2 => {
                    self.terminal.flush();
                    self.effect(EffectKind::TtyFlush, &[]);
                }
                1 => {}
                _ => return Err(EINVAL),
            },
            TCXONC if argument > 3 => return Err(EINVAL),
            TCXONC | TCSBRK | TCSBRKP => {}
            TIOCGWINSZ => {
                let size: Vec<u8> = self.terminal.size.iter().flat_map(|v| v.to_le_bytes()).collect();
                self.put(serial, argument, &size)?;
            }
            TIOCSWINSZ => {
                let mut bytes = [0; 8];
                self.memory.read(space, argument, &mut bytes)?;
                let word = |i: usize| u16::from_le_bytes([bytes[i * 2], bytes[i * 2 + 1]]);
                let size = [word(0), word(1), word(2), word(3)];
                if size != self.terminal.size {
                    self.terminal.size = size;
                    self.generate_group(self.terminal.foreground, SIGWINCH, KERNEL);
                }
            }
            FIONREAD => {
                let n = self.terminal.available() as u32;
                self.put(serial, argument, &n.to_le_bytes())?;
            }
            // What was written is on its way, the line discipline is N_TTY, and nobody has the terminal alone.
            TIOCOUTQ | TIOCGETD | TIOCGEXCL => self.put(serial, argument, &0u32.to_le_bytes())?,
            _ => return self.terminal_owner(serial, request, argument),
        }
        done(0)
    }

    /// Sessions and groups.
    fn terminal_owner(&mut self, serial: u64, request: u32, argument: u64) -> CallResult {
        let p = self.process(serial)?;
        let (pid, session, group) = (p.pid, p.session, p.group);
        let own = self.terminal.session == session;
        match request {
            TIOCGPGRP if !own => Err(ENOTTY),
            TIOCGPGRP => {
                let group = self.terminal.foreground;
                self.put(serial, argument, &group.to_le_bytes())?;
                done(0)
            }
            TIOCSPGRP => self.set_foreground(serial, argument),
            TIOCGSID if !own => Err(ENOTTY),
            TIOCGSID => {
                self.put(serial, argument, &session.to_le_bytes())?;
                done(0)
            }
            TIOCSCTTY => {
                if pid == session && own {
                    return done(0);
                }
                if pid != session || self.session_has_terminal(session) {
                    return Err(EPERM);
                }
                if self.terminal.session != 0 && argument != 1 {
                    return Err(EPERM);
                }
                self.terminal.session = session;
                self.terminal.foreground = group;
                done(0)
            }
            TIOCNOTTY if !own => Err(ENOTTY),
            TIOCNOTTY => {
                if pid == session {
                    let group = self.terminal.foreground;
                    self.terminal.session = 0;
                    self.terminal.foreground = 0;
                    self.generate_group(group, crate::signal::SIGHUP, KERNEL);
                    self.generate_group(group, crate::signal::SIGCONT, KERNEL);
                }
                done(0)
            }
            _ => Err(ENOTTY),
        }
    }

    /// TIOCSPGRP.
    fn set_foreground(&mut self, serial: u64, argument: u64) -> CallResult {
        let space = self.space(serial)?;
        let session = self.process(serial)?.session;
        let own = self.terminal.session == session;
        match self.background(serial, SIGTTOU) {
            Some(Err(EIO)) => return Err(ENOTTY),
            Some(result) => return result,
            None => {}
        }
        if !own {
            return Err(ENOTTY);
        }
        let wanted = self.memory.read_u32(space, argument)?;
        if (wanted as i32) < 0 {
            return Err(EINVAL);
        }
        let mut members = self.processes.values().filter(|p| p.group == wanted);
        let known =
            self.processes.values().any(|p| p.group == wanted || p.pid == wanted || p.session == wanted);
        if !known {
            return Err(ESRCH);
        }
        if !members.any(|p| p.session == session) {
            return Err(EPERM);
        }
        self.terminal.foreground = wanted;
        done(0)
    }

    fn session_has_terminal(&self, session: u32) -> bool {
        self.terminal.session == session
    }
}

const KERNEL: Info = Info { code: SI_KERNEL, fields: [0; 3], address: None };
