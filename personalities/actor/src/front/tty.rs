//! ioctl(2): the terminal's, and the few that other files know.

use super::Arguments;
use crate::bytes::{Out as Bytes, u16_at};
use crate::error::{Res, e};
use crate::files::Target;
use crate::files::flags::O_NONBLOCK;
use crate::kernel::{DONE, Flow, Kernel, Out};
use crate::machine::Machine;
use crate::post::Note;
use crate::process::{Info, sig};
use crate::terminal::TERMIOS;
use crate::turns::Serial;
use abi::vote::EffectKind;

const TCGETS: u32 = 0x5401;
const TCSETS: u32 = 0x5402;
const TCSETSW: u32 = 0x5403;
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
const TCSBRKP: u32 = 0x5425;
const TIOCGSID: u32 = 0x5429;
const FIONCLEX: u32 = 0x5450;
const FIOCLEX: u32 = 0x5451;
const TIOCGEXCL: u32 = 0x8004_5440;
const FICLONE: u32 = 0x4004_9409;

impl<M: Machine> Kernel<M> {
    pub(super) fn ioctl(&mut self, me: Serial, a: Arguments) -> Out {
        let (fd, command, at) = (a.fd(0), a.uint(1), a.0[2]);
        let handle = self.files.active(me, fd)?;
        let (target, node, offset) = (handle.target.clone(), handle.node, handle.offset);
        match command {
            FIOCLEX | FIONCLEX => {
                self.files.set_cloexec(me, fd, command == FIOCLEX)?;
                return DONE;
            }
            FIONBIO => {
                let space = self.space_of(me)?;
                let on = self.memory.half(space, at)? != 0;
                let handle = self.files.handle_mut(me, fd)?;
                handle.flags = handle.flags & !O_NONBLOCK | if on { O_NONBLOCK } else { 0 };
                return DONE;
            }
            FICLONE if matches!(target, Target::File) => return Err(e::EOPNOTSUPP),
            _ => {}
        }
        match target {
            Target::File if command == FIONREAD => {
                let left = self.files.size(node) as i64 - offset as i64;
                self.give(me, at, &(left as i32).to_le_bytes())
            }
            // A regular file whose size is 0.
            Target::Text(_) if command == FIONREAD => {
                self.give(me, at, &(offset as i32).wrapping_neg().to_le_bytes())
            }
            Target::Pipe { pipe, .. } if command == FIONREAD => {
                let held = self.pipes.held(pipe) as u32;
                self.give(me, at, &held.to_le_bytes())
            }
            Target::Terminal => self.terminal_ioctl(me, command, at),
            _ => Err(e::ENOTTY),
        }
    }

    fn terminal_ioctl(&mut self, me: Serial, command: u32, at: u64) -> Out {
        let changes =
            matches!(command, TCSETS | TCSETSW | TCSETSF | TCFLSH | TCXONC | TCSBRK | TCSBRKP | TIOCSPGRP);
        // TIOCSPGRP looks for itself: its error differs.
        if changes
            && command != TIOCSPGRP
            && let Some(flow) = self.background(me, sig::SIGTTOU)?
        {
            return Ok(flow);
        }
        let t = &self.terminal;
        match command {
            TCGETS => {
                let modes = *t.modes();
                self.give(me, at, &modes)
            }
            TCSETS | TCSETSW | TCSETSF => self.set_modes(me, at, command == TCSETSF),
            TIOCGWINSZ => {
                let mut out = Bytes::default();
                t.size.iter().for_each(|v| _ = out.u16(*v));
                self.give(me, at, &out.0)
            }
            TIOCSWINSZ => self.set_size(me, at),
            FIONREAD => {
                let held = t.held() as u32;
                self.give(me, at, &held.to_le_bytes())
            }
            // Nothing waits to be put out, there is one line discipline, and nobody has the terminal to himself.
            TIOCOUTQ | TIOCGETD | TIOCGEXCL => self.give(me, at, &[0; 4]),
            TCFLSH => {
                match at {
                    0 | 2 => {
                        self.terminal.flush();
                        self.effect(EffectKind::TtyFlush, &[]);
                    }
                    1 => {}
                    _ => return Err(e::EINVAL),
                }
                DONE
            }
            TCXONC if at > 3 => Err(e::EINVAL),
            TCXONC | TCSBRK | TCSBRKP => DONE,
            _ => self.session_ioctl(me, command, at),
        }
    }

    fn set_modes(&mut self, me: Serial, at: u64, flush: bool) -> Out {
        let bytes = self.bytes_in(me, at, TERMIOS)?;
        let modes: [u8; TERMIOS] = bytes.try_into().map_err(|_| e::EFAULT)?;
        self.terminal.set_modes(modes, &mut self.post);
        self.effect(EffectKind::TtyModes, &modes);
        if flush {
            self.terminal.flush();
            self.effect(EffectKind::TtyFlush, &[]);
        }
        DONE
    }

    fn set_size(&mut self, me: Serial, at: u64) -> Out {
        let bytes = self.bytes_in(me, at, 8)?;
        let size = [0, 2, 4, 6].map(|i| u16_at(&bytes, i));
        if size != self.terminal.size {
            self.terminal.size = size;
            let group = self.terminal.foreground;
            self.post.send(Note::Group(group, Info::kernel(sig::SIGWINCH)));
        }
        DONE
    }

    /// Requests about sessions and groups.
    fn session_ioctl(&mut self, me: Serial, command: u32, at: u64) -> Out {
        let p = self.processes.get(me)?;
        let (pid, sid) = (p.pid, p.sid);
        let mine = self.terminal.session == Some(sid);
        match command {
            TIOCGPGRP if !mine => Err(e::ENOTTY),
            TIOCGPGRP => {
                let group = self.terminal.foreground;
                self.give(me, at, &group.to_le_bytes())
            }
            TIOCGSID if !mine => Err(e::ENOTTY),
            TIOCGSID => self.give(me, at, &sid.to_le_bytes()),
            TIOCSPGRP => self.set_foreground(me, at, mine, sid),
            TIOCSCTTY => {
                if mine && pid == sid {
                    return DONE;
                }
                if pid != sid || self.terminal.session.is_some() && at != 1 {
                    return Err(e::EPERM);
                }
                self.take_terminal(me)?;
                DONE
            }
            TIOCNOTTY if !mine => Err(e::ENOTTY),
            TIOCNOTTY => {
                if pid == sid {
                    self.give_terminal_up();
                }
                DONE
            }
            _ => Err(e::ENOTTY),
        }
    }

    /// The terminal becomes that of `me`'s session.
    pub(super) fn take_terminal(&mut self, me: Serial) -> Res {
        let p = self.processes.get(me)?;
        self.terminal.session = Some(p.sid);
        self.terminal.foreground = p.pgid;
        Ok(())
    }

    fn set_foreground(&mut self, me: Serial, at: u64, mine: bool, sid: u32) -> Out {
        match self.background(me, sig::SIGTTOU) {
            Err(e::EIO) => return Err(e::ENOTTY),
            Ok(Some(flow)) => return Ok(flow),
            _ if !mine => return Err(e::ENOTTY),
            _ => {}
        }
        let space = self.space_of(me)?;
        let group = self.memory.half(space, at)?;
        if (group as i32) < 0 {
            return Err(e::EINVAL);
        }
        match self.processes.session_of_group(group) {
            None => Err(e::ESRCH),
            Some(session) if session != sid => Err(e::EPERM),
            Some(_) => {
                self.terminal.foreground = group;
                Ok(Flow::Done(0))
            }
        }
    }
}
