//! Reading and writing: by the kind of the open file description.

use super::buffer::Buffer;
use super::file::{FileId, Kind};
use super::inode::{Body, Time};
use super::linux::*;
use super::syscalls::{Answer, Call, Stop};
use super::{Fs, Ino, WaitKey};
use crate::errno::*;
use alloc::vec;

/// Bytes moved at a time between a file and user memory.
const CHUNK: u64 = 16384;
/// Bytes of one step of sendfile.
const STEP: u64 = 65536;

impl Fs {
    /// The descriptor of a read: EBADF if it is not open for reading.
    fn to_read(&self, call: &Call<'_, '_>, i: usize) -> Result<FileId, Errno> {
        let (id, open) = self.real_file(call.caller.fds, call.fd(i))?;
        if open.readable() { Ok(id) } else { Err(EBADF) }
    }

    fn to_write(&self, call: &Call<'_, '_>, i: usize) -> Result<FileId, Errno> {
        let (id, open) = self.real_file(call.caller.fds, call.fd(i))?;
        if open.writable() { Ok(id) } else { Err(EBADF) }
    }

    pub(super) fn read(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let id = self.to_read(call, 0)?;
        call.buffer = Buffer::one(call.args[1], call.args[2])?;
        self.read_file(call, id, None)
    }

    pub(super) fn write(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let id = self.to_write(call, 0)?;
        call.buffer = Buffer::one(call.args[1], call.args[2])?;
        self.write_file(call, id, None)
    }

    pub(super) fn readv(&mut self, call: &mut Call<'_, '_>) -> Answer {
        self.real_file(call.caller.fds, call.fd(0))?;
        call.buffer = Buffer::vector(call.user, call.args[1], call.args[2])?;
        let id = self.to_read(call, 0)?;
        if call.buffer.len == 0 { Ok(0) } else { self.read_file(call, id, None) }
    }

    pub(super) fn writev(&mut self, call: &mut Call<'_, '_>) -> Answer {
        self.real_file(call.caller.fds, call.fd(0))?;
        call.buffer = Buffer::vector(call.user, call.args[1], call.args[2])?;
        let id = self.to_write(call, 0)?;
        if call.buffer.len == 0 { Ok(0) } else { self.write_file(call, id, None) }
    }

    /// The offset of pread64 and pwrite64: EINVAL, ESPIPE.
    fn position(&self, call: &Call<'_, '_>) -> Result<u64, Errno> {
        let offset = u64::try_from(call.args[3] as i64).map_err(|_| EINVAL)?;
        let (_, open) = self.real_file(call.caller.fds, call.fd(0))?;
        if matches!(open.kind, Kind::Pipe { .. } | Kind::Tty) { Err(ESPIPE) } else { Ok(offset) }
    }

    pub(super) fn pread64(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let offset = self.position(call)?;
        let id = self.to_read(call, 0)?;
        call.buffer = Buffer::one(call.args[1], call.args[2])?;
        fits(offset, call.args[2])?;
        self.read_file(call, id, Some(offset))
    }

    pub(super) fn pwrite64(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let offset = self.position(call)?;
        let id = self.to_write(call, 0)?;
        call.buffer = Buffer::one(call.args[1], call.args[2])?;
        fits(offset, call.args[2])?;
        self.write_file(call, id, Some(offset))
    }

    /// Reads into the call's buffer, at `at` or at the file's offset, which moves.
    fn read_file(&mut self, call: &mut Call<'_, '_>, id: FileId, at: Option<u64>) -> Answer {
        let len = call.buffer.len;
        let open = self.files.get(id).ok_or(EBADF)?;
        let (node, offset, nonblocking) = (open.node, at.unwrap_or(open.offset), open.nonblocking());
        let done = match open.kind {
            Kind::Directory => return Err(EISDIR.into()),
            Kind::Pipe { pipe, .. } => return self.read_pipe(call, pipe, nonblocking, len),
            Kind::Tty => return self.read_tty(call, nonblocking, len),
            Kind::Null => return Ok(0),
            Kind::Zero | Kind::Full => return zeros(call, len),
            Kind::Random => return self.random(call, len),
            Kind::Path => return Err(EBADF.into()),
            Kind::Text(ref text) => {
                let rest = usize::try_from(offset).ok().and_then(|at| text.get(at..)).unwrap_or_default();
                let n = call.buffer.touchable_out(call.user, 0, len.min(rest.len() as u64))?;
                call.buffer.copy_out(call.user, 0, &rest[..n as usize])?;
                n
            }
            Kind::Regular => self.read_regular(call, node, offset, len)?,
        };
        if at.is_none()
            && let Some(open) = self.files.get_mut(id)
        {
            open.offset = offset.saturating_add(done);
        }
        Ok(done as i64)
    }

    fn read_regular(&self, call: &mut Call<'_, '_>, node: Ino, offset: u64, len: u64) -> Result<u64, Errno> {
        let Some(Body::Regular(content)) = self.tree.get(node).map(|inode| &inode.body) else {
            return Err(EIO);
        };
        let len = len.min(content.size().saturating_sub(offset));
        let len = call.buffer.touchable_out(call.user, 0, len)?;
        let mut chunk = vec![0; len.min(CHUNK) as usize];
        let mut done = 0;
        while done < len {
            let n = (len - done).min(CHUNK) as usize;
            content.read(offset + done, &mut chunk[..n]);
            call.buffer.copy_out(call.user, done, &chunk[..n])?;
            done += n as u64;
        }
        Ok(done)
    }

    fn random(&mut self, call: &mut Call<'_, '_>, len: u64) -> Answer {
        let len = call.buffer.touchable_out(call.user, 0, len)?;
        let mut chunk = vec![0; len.min(CHUNK) as usize];
        let mut done = 0;
        while done < len {
            let n = (len - done).min(CHUNK) as usize;
            let offset = &mut *call.caller.random_offset;
            abi::layout::random_bytes(&self.seed, call.caller.process, *offset, &mut chunk[..n]);
            *offset = offset.wrapping_add(n as u64);
            call.buffer.copy_out(call.user, done, &chunk[..n])?;
            done += n as u64;
        }
        Ok(done as i64)
    }

    /// Writes from the call's buffer, at `at` or at the file's offset, which moves.
    fn write_file(&mut self, call: &mut Call<'_, '_>, id: FileId, at: Option<u64>) -> Answer {
        let len = call.buffer.len;
        let open = self.files.get(id).ok_or(EBADF)?;
        let (node, nonblocking, append) = (open.node, open.nonblocking(), open.flags & O_APPEND != 0);
        let offset = at.unwrap_or(open.offset);
        match open.kind {
            Kind::Pipe { pipe, .. } => return self.write_pipe(call, pipe, nonblocking, len),
            Kind::Tty => return self.write_tty(call, len),
            Kind::Null | Kind::Zero => return Ok(len as i64),
            Kind::Full => return if len == 0 { Ok(0) } else { Err(ENOSPC.into()) },
            Kind::Random => return Ok(call.buffer.touchable_in(call.user, 0, len)? as i64),
            Kind::Regular => (),
            Kind::Directory | Kind::Text(_) | Kind::Path => return Err(EBADF.into()),
        }
        if len == 0 {
            return Ok(0);
        }
        let offset = if append { self.size(node) } else { offset };
        let done = self.write_regular(call, node, offset, len)?;
        if at.is_none()
            && let Some(open) = self.files.get_mut(id)
        {
            open.offset = offset + done;
        }
        Ok(done as i64)
    }

    /// The size of a file of the root file system.
    pub(super) fn size(&self, node: Ino) -> u64 {
        self.tree.get(node).map_or(0, |inode| inode.size())
    }

    fn write_regular(
        &mut self,
        call: &mut Call<'_, '_>,
        node: Ino,
        offset: u64,
        len: u64,
    ) -> Result<u64, Errno> {
        if offset >= FILE_SIZE_MAX {
            return Err(EFBIG);
        }
        let len = call.buffer.touchable_in(call.user, 0, len.min(FILE_SIZE_MAX - offset))?;
        let now = Time::from_us(call.caller.now_us);
        let mut chunk = vec![0; len.min(CHUNK) as usize];
        let mut done = 0;
        while done < len {
            let n = (len - done).min(CHUNK) as usize;
            call.buffer.copy_in(call.user, done, &mut chunk[..n])?;
            let written = self.tree.write(node, offset + done, &chunk[..n], now);
            done += written as u64;
            if written < n {
                break;
            }
        }
        if done == 0 { Err(ENOSPC) } else { Ok(done) }
    }

    pub(super) fn sendfile(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let (pointer, count) = (call.args[2], call.args[3]);
        let mut offset = None;
        if pointer != 0 {
            if call.user.writable(pointer, 8) < 8 {
                return Err(EFAULT.into());
            }
            offset = Some(i64::from_le_bytes(call.get(pointer)?));
        }
        let input = self.to_read(call, 1)?;
        let open = self.files.get(input).ok_or(EBADF)?;
        let (node, kind) = (open.node, open.kind.clone());
        if offset.is_some() && matches!(kind, Kind::Pipe { .. } | Kind::Tty) {
            return Err(ESPIPE.into());
        }
        let start = u64::try_from(offset.unwrap_or(open.offset as i64)).map_err(|_| EINVAL)?;
        if (count as i64) < 0 || (start as i64).checked_add(count as i64).is_none() {
            return Err(EINVAL.into());
        }
        let output = self.to_write(call, 0)?;
        let target = self.files.get(output).ok_or(EBADF)?;
        // Linux looks at a pipe before it looks for bytes to send.
        let to_pipe = matches!(target.kind, Kind::Pipe { .. });
        let sendable = kind == Kind::Regular;
        // Of no bytes it asks only whether the source has a position.
        let nothing = count == 0 && !matches!(kind, Kind::Pipe { .. } | Kind::Tty);
        if !to_pipe && (!sendable && !nothing || target.flags & O_APPEND != 0) {
            return Err(EINVAL.into());
        }
        let before = call.caller.progress.done;
        let wanted = count.min(MAX_RW_COUNT).saturating_sub(before);
        let left = wanted.min(self.size(node).saturating_sub(start));
        let sent = match (target.kind.clone(), target.nonblocking()) {
            (Kind::Pipe { pipe, .. }, nonblocking) => {
                let source = sendable.then_some(node);
                self.send_to_pipe(source, start, left, pipe, nonblocking)
            }
            _ if left == 0 => Ok(0),
            // A file sent into itself may grow on the way.
            (Kind::Regular, _) => self.send(call, node, start, wanted, output),
            _ => self.send(call, node, start, left, output),
        };
        let (n, answer) = match sent {
            Ok(n) => (n as u64, Ok((before + n as u64) as i64)),
            Err(stop) => (call.caller.progress.done - before, Err(stop)),
        };
        if pointer != 0 {
            call.put(2, &(start + n).to_le_bytes())?;
        } else if let Some(open) = self.files.get_mut(input) {
            open.offset = start + n;
        }
        match answer {
            Err(Stop::Error(_)) if before > 0 => Ok(before as i64),
            answer => answer,
        }
    }

    /// Moves `len` bytes of a regular file to `output`; returns how many. Progress moves where the call will be made again.
    fn send(&mut self, call: &mut Call<'_, '_>, node: Ino, start: u64, len: u64, output: FileId) -> Answer {
        let open = self.files.get(output).ok_or(EBADF)?;
        let target = open.node;
        match open.kind {
            Kind::Null | Kind::Zero => Ok(len as i64),
            Kind::Full => Err(ENOSPC.into()),
            Kind::Tty => self.send_to_tty(call, node, start, len),
            Kind::Regular => {
                let at = open.offset;
                let now = Time::from_us(call.caller.now_us);
                let done = self.copy_regular(node, start, len, target, at, now)?;
                if let Some(open) = self.files.get_mut(output) {
                    open.offset = at + done;
                }
                Ok(done as i64)
            }
            Kind::Random => Ok(len as i64),
            Kind::Pipe { .. } | Kind::Directory | Kind::Text(_) | Kind::Path => Err(EINVAL.into()),
        }
    }

    pub(super) fn copy_regular(
        &mut self,
        from: Ino,
        start: u64,
        len: u64,
        to: Ino,
        at: u64,
        now: Time,
    ) -> Result<u64, Errno> {
        if at >= FILE_SIZE_MAX {
            return Err(EFBIG);
        }
        let len = len.min(FILE_SIZE_MAX - at);
        let mut step = vec![0; len.min(STEP) as usize];
        let mut done = 0;
        while done < len {
            let want = (len - done).min(STEP) as usize;
            let n = self.read_inode(from, start + done, &mut step[..want]);
            let written = self.tree.write(to, at + done, &step[..n], now);
            done += written as u64;
            if n == 0 || written < n {
                break;
            }
        }
        if done == 0 { Err(ENOSPC) } else { Ok(done) }
    }

    /// As much of `source` as fits, once; None is a file that cannot be sent.
    fn send_to_pipe(
        &mut self,
        source: Option<Ino>,
        start: u64,
        len: u64,
        id: u64,
        nonblocking: bool,
    ) -> Answer {
        let pipe = self.pipes.get(&id).ok_or(EBADF)?;
        if pipe.readers == 0 {
            self.broken_pipe();
            return Err(EPIPE.into());
        }
        let n = len.min(pipe.room() as u64);
        if pipe.room() == 0 {
            return if nonblocking { Err(EAGAIN.into()) } else { Err(Stop::wait(WaitKey::PipeWrite(id))) };
        }
        let node = source.ok_or(EINVAL)?;
        if n > 0 && self.tree.room < super::pipe::PIPE_COST {
            return Err(ENOMEM.into());
        }
        let mut bytes = vec![0; n as usize];
        self.read_inode(node, start, &mut bytes);
        self.pipes.get_mut(&id).ok_or(EBADF)?.bytes.extend(bytes);
        if n > 0 {
            self.wake(WaitKey::PipeRead(id));
        }
        Ok(n as i64)
    }

    fn send_to_tty(&mut self, call: &mut Call<'_, '_>, node: Ino, start: u64, len: u64) -> Answer {
        let mut slice = vec![0; len.min(abi::turn::TTY_SLICE as u64) as usize];
        self.read_inode(node, start, &mut slice);
        self.stop_background_write(call.caller)?;
        let n = slice.len() as u64;
        self.effects.push((abi::vote::EffectKind::TtyOutput, slice));
        if n == len {
            return Ok(n as i64);
        }
        call.caller.progress.done += n;
        Err(Stop::Out(super::Outcome::Again))
    }
}

/// EINVAL if the end of a positioned transfer lies beyond all files.
fn fits(offset: u64, len: u64) -> Result<(), Errno> {
    offset.checked_add(len).filter(|end| *end <= i64::MAX as u64).map(drop).ok_or(EINVAL)
}

fn zeros(call: &mut Call<'_, '_>, len: u64) -> Answer {
    let len = call.buffer.touchable_out(call.user, 0, len)?;
    let mut done = 0;
    while done < len {
        let n = (len - done).min(4096);
        call.buffer.copy_out(call.user, done, &[0; 4096][..n as usize])?;
        done += n;
    }
    Ok(done as i64)
}
