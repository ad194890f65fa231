//! Calls on descriptors that move no bytes.

use super::Arguments;
use crate::error::{Res, e};
use crate::files::data::SIZE_MAX;
use crate::files::flags::{O_CLOEXEC, O_NONBLOCK, O_WRONLY};
use crate::files::node::{PIPES, Stamp};
use crate::files::table::Closed;
use crate::files::{Opened, Target};
use crate::kernel::{DONE, Flow, Kernel, Out};
use crate::machine::Machine;
use crate::turns::Serial;
use abi::linux::nr;

const CLOSE_RANGE_UNSHARE: u32 = 2;
const CLOSE_RANGE_CLOEXEC: u32 = 4;
const FALLOC_KEEP_SIZE: u32 = 1;
const FALLOC_PUNCH_HOLE: u32 = 2;
const FALLOC_COLLAPSE_RANGE: u32 = 8;
const FALLOC_ZERO_RANGE: u32 = 0x10;
const FALLOC_INSERT_RANGE: u32 = 0x20;
const FALLOC_UNSHARE_RANGE: u32 = 0x40;

/// Whether a mode of fallocate(2) is one that Linux 6.1 knows (EOPNOTSUPP) and makes sense (EINVAL), in the order of `vfs_fallocate`.
fn allocates(mode: u32) -> Res {
    let known = FALLOC_KEEP_SIZE
        | FALLOC_PUNCH_HOLE
        | FALLOC_COLLAPSE_RANGE
        | FALLOC_ZERO_RANGE
        | FALLOC_INSERT_RANGE
        | FALLOC_UNSHARE_RANGE;
    let has = |bits| mode & bits == bits;
    if mode & !known != 0
        || has(FALLOC_PUNCH_HOLE | FALLOC_ZERO_RANGE)
        || has(FALLOC_PUNCH_HOLE) && !has(FALLOC_KEEP_SIZE)
    {
        return Err(e::EOPNOTSUPP);
    }
    let more_than = |one: u32, with: u32| has(one) && mode & !(one | with) != 0;
    let is_mixed = more_than(FALLOC_COLLAPSE_RANGE, 0)
        || more_than(FALLOC_INSERT_RANGE, 0)
        || more_than(FALLOC_UNSHARE_RANGE, FALLOC_KEEP_SIZE);
    if is_mixed { Err(e::EINVAL) } else { Ok(()) }
}

impl<M: Machine> Kernel<M> {
    pub(super) fn descriptor_call(&mut self, me: Serial, number: u64, a: Arguments) -> Option<Out> {
        Some(match number {
            nr::openat => self.openat(me, a),
            nr::close => self.close(me, a.fd(0)),
            nr::close_range => self.close_range(me, a),
            nr::dup => self.dup(me, a.fd(0)),
            nr::dup3 => self.dup3(me, a),
            nr::fcntl => self.fcntl(me, a),
            nr::flock => self.flock(me, a),
            nr::pipe2 => self.pipe2(me, a),
            nr::lseek => self.files.seek(me, a.fd(0), a.0[1] as i64, a.uint(2)).map(Flow::Done),
            nr::ftruncate => self.ftruncate(me, a),
            nr::fallocate => self.fallocate(me, a),
            nr::fsync | nr::fdatasync => self.sync_file(me, a.fd(0)),
            nr::syncfs => self.files.active(me, a.fd(0)).map(|_| Flow::Done(0)),
            nr::sync => DONE,
            nr::fadvise64 => self.advise(me, a),
            _ => return None,
        })
    }

    /// What a close leaves to the pipe server.
    pub(super) fn closed(&mut self, closed: Closed) {
        if let Some((pipe, reads, writes)) = closed {
            self.pipe_closed(pipe, reads, writes);
        }
    }

    fn close(&mut self, me: Serial, fd: u32) -> Out {
        let closed = self.files.close(me, fd)?;
        self.closed(closed);
        DONE
    }

    fn close_range(&mut self, me: Serial, a: Arguments) -> Out {
        let (first, last, flags) = (a.uint(0), a.uint(1), a.uint(2));
        if flags & !(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC) != 0 || first > last {
            return Err(e::EINVAL);
        }
        let fds: alloc::vec::Vec<u32> =
            self.files.table(me)?.fds.range(first..=last).map(|(fd, _)| *fd).collect();
        for fd in fds {
            if flags & CLOSE_RANGE_CLOEXEC != 0 {
                self.files.set_cloexec(me, fd, true)?;
            } else {
                let closed = self.files.close(me, fd)?;
                self.closed(closed);
            }
        }
        DONE
    }

    fn dup(&mut self, me: Serial, fd: u32) -> Out {
        self.files.handle(me, fd)?;
        let to = self.files.free_fd(me, 0)?;
        self.files.duplicate(me, fd, to, false)?;
        Ok(Flow::Done(to.into()))
    }

    fn dup3(&mut self, me: Serial, a: Arguments) -> Out {
        let (from, to, flags) = (a.fd(0), a.fd(1), a.uint(2));
        if flags & !O_CLOEXEC != 0 || from == to {
            return Err(e::EINVAL);
        }
        if u64::from(to) >= self.files.table(me)?.limit {
            return Err(e::EBADF);
        }
        let closed = self.files.duplicate(me, from, to, flags & O_CLOEXEC != 0)?;
        self.closed(closed);
        Ok(Flow::Done(to.into()))
    }

    fn pipe2(&mut self, me: Serial, a: Arguments) -> Out {
        let (at, flags) = (a.0[0], a.uint(1));
        if flags & !(O_CLOEXEC | O_NONBLOCK) != 0 {
            return Err(e::EINVAL);
        }
        self.files.room_for_handles(2)?;
        let first = self.files.free_fd(me, 0)?;
        self.files.free_fd(me, first + 1)?;
        let now = Stamp::from_us(self.now_us());
        let pipe = self.pipes.make(false, now)?;
        let end = |reads| Opened::nameless(Target::Pipe { pipe, reads, writes: !reads }, PIPES + pipe);
        let reader = self.files.install(me, end(true), flags)?;
        let writer = self.files.install(me, end(false), flags | O_WRONLY)?;
        let mut out = crate::bytes::Out::default();
        out.u32(reader).u32(writer);
        if let Err(errno) = self.bytes_out(me, at, &out.0) {
            self.close(me, reader)?;
            self.close(me, writer)?;
            return Err(errno);
        }
        DONE
    }

    fn ftruncate(&mut self, me: Serial, a: Arguments) -> Out {
        if (a.0[1] as i64) < 0 {
            return Err(e::EINVAL);
        }
        let handle = self.files.active(me, a.fd(0))?;
        let node = handle.node;
        if !matches!(handle.target, Target::File) || !handle.writes() {
            return Err(e::EINVAL);
        }
        self.files.truncate(node, a.0[1])?;
        DONE
    }

    fn fallocate(&mut self, me: Serial, a: Arguments) -> Out {
        let handle = self.files.active(me, a.fd(0))?;
        if (a.0[2] as i64) < 0 || (a.0[3] as i64) <= 0 {
            return Err(e::EINVAL);
        }
        allocates(a.uint(1))?;
        if !handle.writes() {
            return Err(e::EBADF);
        }
        match handle.target {
            Target::File if a.0[2] + a.0[3] > SIZE_MAX => Err(e::EFBIG),
            Target::File => Err(e::EOPNOTSUPP),
            Target::Pipe { .. } => Err(e::ESPIPE),
            Target::Directory => Err(e::EISDIR),
            _ => Err(e::ENODEV),
        }
    }

    fn sync_file(&mut self, me: Serial, fd: u32) -> Out {
        match self.files.active(me, fd)?.target {
            Target::File | Target::Directory => DONE,
            _ => Err(e::EINVAL),
        }
    }

    fn advise(&mut self, me: Serial, a: Arguments) -> Out {
        match self.files.active(me, a.fd(0))?.target {
            Target::Pipe { .. } => Err(e::ESPIPE),
            _ if (a.0[2] as i64) < 0 || a.uint(3) > 5 => Err(e::EINVAL),
            _ => DONE,
        }
    }
}
