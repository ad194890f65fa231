//! wait4(2).

use super::{Process, Processes};
use crate::error::{Res, e};
use crate::turns::Serial;
use linux_raw_sys::general::{__WALL, __WCLONE, __WNOTHREAD, WCONTINUED, WNOHANG, WUNTRACED};

const CONTINUED_STATUS: i32 = 0xffff;

/// Calls that stand for CPU time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    pub calls: u64,
}

/// What a wait found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waited {
    /// A child's news. `gone`: it was a zombie, and is no more.
    Child { pid: u32, status: i32, usage: Usage, gone: bool },
    /// Nothing, and WNOHANG was given.
    Nothing,
    /// Children, but no news of them.
    Blocks,
}

fn news(p: &Process, options: u32) -> Option<i32> {
    if p.ended.is_some() {
        return p.ended;
    }
    match p.stopped {
        Some(signal) if p.stop_news && options & WUNTRACED != 0 => Some(i32::from(signal) << 8 | 0x7f),
        None if p.continue_news && options & WCONTINUED != 0 => Some(CONTINUED_STATUS),
        _ => None,
    }
}

impl Processes {
    /// Takes a child's news.
    pub fn wait(&mut self, me: Serial, pid: i32, options: u32) -> Res<Waited> {
        if options & !(WNOHANG | WUNTRACED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL) != 0 {
            return Err(e::EINVAL);
        }
        if pid == i32::MIN {
            return Err(e::ESRCH);
        }
        let group = self.get(me)?.pgid;
        // SIGCHLD tells of all children: those that __WCLONE alone asks for are none.
        let forked = options & __WALL != 0 || options & __WCLONE == 0;
        let meant = |p: &Process| {
            p.parent == me
                && forked
                && match pid {
                    1.. => p.pid == pid as u32,
                    0 => p.pgid == group,
                    -1 => true,
                    _ => p.pgid == pid.unsigned_abs(),
                }
        };
        let mut children = self.all.values().filter(|p| meant(p)).peekable();
        if children.peek().is_none() {
            return Err(e::ECHILD);
        }
        let Some((serial, status)) = children.find_map(|p| Some((p.serial, news(p, options)?))) else {
            return Ok(if options & WNOHANG != 0 { Waited::Nothing } else { Waited::Blocks });
        };
        let child = self.get_mut(serial)?;
        let usage = Usage { calls: child.calls + child.children_calls };
        let (pid, gone) = (child.pid, child.ended.is_some());
        (child.stop_news, child.continue_news) = (false, false);
        if gone {
            self.all.remove(&serial);
            self.get_mut(me)?.children_calls += usage.calls;
        }
        Ok(Waited::Child { pid, status, usage, gone })
    }
}
