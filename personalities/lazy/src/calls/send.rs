//! sendfile: "as read then write". "Files: common" in `docs/linux-abi.md`.

use super::*;
use crate::files::Body;
use crate::open::{Kind, O_APPEND};
use crate::signal::SIGTTOU;
use crate::terminal::TOSTOP;
use abi::turn::TTY_SLICE;
use abi::vote::EffectKind;

const STEP: u64 = 65536;

impl<H: Hardware> Kernel<H> {
    pub(super) fn sys_sendfile(
        &mut self,
        serial: u64,
        a: &[u64; 6],
        from: Option<Continuation>,
    ) -> CallResult {
        let space = self.space(serial)?;
        let mut position = match a[2] {
            0 => None,
            at => Some(self.memory.read_u64(space, at)?),
        };
        let result = self.send_from(serial, a, &mut position, from);
        // Written back even after an error.
        if let Some(p) = position
            && !matches!(result, Ok(Outcome::Block(_)))
        {
            self.put(serial, a[2], &p.to_le_bytes())?;
        }
        result
    }

    /// sendfile, but for the place of its offset.
    fn send_from(
        &mut self,
        serial: u64,
        a: &[u64; 6],
        position: &mut Option<u64>,
        from: Option<Continuation>,
    ) -> CallResult {
        let source = self.file(serial, a[1])?;
        let s = self.open.get(source).ok_or(EBADF)?;
        if !s.readable() {
            return Err(EBADF);
        }
        let (inode, kind) = (s.inode, s.kind.clone());
        let start = position.unwrap_or(s.offset);
        let unplaced = s.pipe().is_some() || kind == Kind::Terminal;
        if position.is_some() && unplaced {
            return Err(ESPIPE);
        }
        // Linux verifies the source's range before it looks at the target.
        if (start as i64) < 0 || (a[3] as i64) < 0 {
            return Err(EINVAL);
        }
        let target = self.file(serial, a[0])?;
        let t = self.open.get(target).ok_or(EBADF)?;
        if !t.writable() {
            return Err(EBADF);
        }
        // A pipe is not asked whether it appends.
        let appends = t.pipe().is_none() && t.flags & O_APPEND != 0;
        // Nothing to send: only a source without a position, and an output that appends, are refused.
        if a[3] == 0 && t.pipe().is_none() {
            return if unplaced || appends { Err(EINVAL) } else { done(0) };
        }
        // Linux waits for room in a pipe, and finds out that nobody reads it, before it asks what the source is.
        let refused = kind != Kind::File || appends;
        if refused {
            let (pipe, nonblocking) = (t.pipe(), t.nonblocking());
            return match pipe {
                Some((p, ..)) if self.room_in(serial, p, nonblocking)?.is_none() => {
                    wait_for(Key::Writers(p), Continuation::Again)
                }
                _ => Err(EINVAL),
            };
        }
        let count = a[3].min(0x7fff_f000);
        let before = if let Some(Continuation::Written(n)) = from { n } else { 0 };
        let (sent, result) = self.send(serial, inode, start, target, count, before);
        if sent > 0 {
            match position {
                Some(p) => *p += sent,
                None => {
                    // Set last, and not moved on: it may be the target's own, which has moved.
                    if let Some(s) = self.open.get_mut(source) {
                        s.offset = start + sent;
                    }
                }
            }
        }
        result
    }

    /// How many of `count` bytes from `at` on a source has.
    fn source_left(&self, inode: u64, at: u64, count: u64) -> u64 {
        self.content_size(inode).unwrap_or(0).saturating_sub(at).min(count)
    }

    /// They themselves; a caller asks for few at a time.
    pub(super) fn source_bytes(&self, inode: u64, at: u64, count: u64) -> Vec<u8> {
        let n = self.source_left(inode, at, count);
        let Ok(Body::File(c)) = self.files.inode(inode).map(|i| &i.body) else { return Vec::new() };
        let mut out = Vec::with_capacity(n as usize);
        c.append(&self.memory.physical, at, n as usize, &mut out);
        out
    }

    /// Sends; how far the source moved, and what the call comes to.
    fn send(
        &mut self,
        serial: u64,
        inode: u64,
        start: u64,
        target: u32,
        count: u64,
        before: u64,
    ) -> (u64, CallResult) {
        let Some(t) = self.open.get(target) else { return (0, Err(EBADF)) };
        let (kind, nonblocking, pipe) = (t.kind.clone(), t.nonblocking(), t.pipe());
        let left = count - before.min(count);
        if let Some((p, ..)) = pipe {
            return self.send_pipe(serial, inode, start, p, left, nonblocking);
        }
        match kind {
            Kind::Terminal => self.send_terminal(serial, inode, start, left, before),
            // No byte is looked at: a file of holes may have 2^40 of them.
            Kind::Device(n) => {
                let bytes = self.source_left(inode, start, left);
                let full = n == crate::files::device::FULL && bytes > 0;
                (if full { 0 } else { bytes }, if full { Err(ENOSPC) } else { done(bytes) })
            }
            Kind::File => self.send_file(inode, start, target, left),
            _ => (0, Err(EINVAL)),
        }
    }

    /// Bytes that pipe `p` takes; none: the call waits.
    fn room_in(&mut self, serial: u64, p: u32, nonblocking: bool) -> Result<Option<u64>> {
        let pipe = self.pipes.get(p).ok_or(EBADF)?;
        if pipe.readers == 0 {
            self.broken_pipe(serial);
            return Err(EPIPE);
        }
        match pipe.room() as u64 {
            0 if nonblocking => Err(EAGAIN),
            0 => Ok(None),
            room => Ok(Some(room)),
        }
    }

    fn send_pipe(
        &mut self,
        serial: u64,
        inode: u64,
        start: u64,
        p: u32,
        left: u64,
        nonblocking: bool,
    ) -> (u64, CallResult) {
        let room = match self.room_in(serial, p, nonblocking) {
            Ok(Some(room)) => room,
            Ok(None) => return (0, wait_for(Key::Writers(p), Continuation::Again)),
            Err(e) => return (0, Err(e)),
        };
        let bytes = self.source_bytes(inode, start, left.min(room));
        let n = bytes.len() as u64;
        if let Some(pipe) = self.pipes.get_mut(p)
            && n > 0
        {
            pipe.data.extend(bytes);
            self.wake(Key::Readers(p));
        }
        (n, done(n))
    }

    fn send_terminal(
        &mut self,
        serial: u64,
        inode: u64,
        start: u64,
        left: u64,
        before: u64,
    ) -> (u64, CallResult) {
        let bytes = self.source_bytes(inode, start, left.min(TTY_SLICE as u64));
        let n = bytes.len() as u64;
        if n == 0 {
            return (0, done(before));
        }
        if self.terminal.has(TOSTOP)
            && let Some(result) = self.background(serial, SIGTTOU)
        {
            return match result {
                Err(_) if before > 0 => (0, done(before)),
                Ok(Outcome::Block(w)) if before > 0 => {
                    (0, Ok(Outcome::Block(Wait { next: Continuation::Written(before), ..w })))
                }
                other => (0, other),
            };
        }
        self.effect(EffectKind::TtyOutput, &bytes);
        let more = left > n && !self.source_bytes(inode, start + n, 1).is_empty();
        let result =
            if more { Ok(Outcome::GoOn(Continuation::Written(before + n))) } else { done(before + n) };
        (n, result)
    }

    fn send_file(&mut self, inode: u64, start: u64, target: u32, left: u64) -> (u64, CallResult) {
        let mut total = 0;
        while total < left {
            let bytes = self.source_bytes(inode, start + total, (left - total).min(STEP));
            if bytes.is_empty() {
                break;
            }
            let Some((to, at)) = self.open.get(target).map(|t| (t.inode, t.offset)) else { break };
            let n = match self.write_content(to, at, &bytes) {
                Ok(0) if total == 0 => return (0, Err(ENOSPC)),
                Err(e) if total == 0 => return (0, Err(e)),
                Ok(n) => n,
                Err(_) => 0,
            };
            if let Some(t) = self.open.get_mut(target) {
                t.offset += n;
            }
            total += n;
            if n < bytes.len() as u64 {
                break;
            }
        }
        (total, done(total))
    }
}
