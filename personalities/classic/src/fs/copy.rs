//! copy_file_range: from one regular file into another.

use super::Fs;
use super::file::{FileId, Kind};
use super::inode::Time;
use super::linux::*;
use super::syscalls::{Answer, Call};
use crate::errno::*;

/// One end of a copy: its open file description, and where it begins.
struct End {
    id: FileId,
    position: i64,
    /// Where the program keeps the position; 0: the file's own offset is meant.
    pointer: u64,
}

impl Fs {
    /// Order of errors: Linux 6.1, `vfs_copy_file_range`.
    pub(super) fn copy_file_range(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let (input, _) = self.real_file(call.caller.fds, call.fd(0))?;
        let (output, _) = self.real_file(call.caller.fds, call.fd(2))?;
        let from = self.end_of_copy(call, input, 1)?;
        let to = self.end_of_copy(call, output, 3)?;
        if call.u32(5) != 0 {
            return Err(EINVAL.into());
        }
        let len = self.check_copy(&from, &to, call.args[4])?;
        if len == 0 {
            return Ok(0);
        }
        let (source, target) =
            (self.files.get(input).ok_or(EBADF)?.node, self.files.get(output).ok_or(EBADF)?.node);
        let now = Time::from_us(call.caller.now_us);
        let len = len.min(MAX_RW_COUNT);
        let done = self.copy_regular(source, from.position as u64, len, target, to.position as u64, now)?;
        for end in [from, to] {
            let position = end.position as u64 + done;
            if end.pointer != 0 {
                call.user.write(end.pointer, &position.to_le_bytes())?;
            } else if let Some(open) = self.files.get_mut(end.id) {
                open.offset = position;
            }
        }
        Ok(done as i64)
    }

    fn end_of_copy(&self, call: &mut Call<'_, '_>, id: FileId, argument: usize) -> Result<End, Errno> {
        let pointer = call.args[argument];
        let position = match pointer {
            0 => self.files.get(id).ok_or(EBADF)?.offset as i64,
            at => i64::from_le_bytes(call.get(at)?),
        };
        Ok(End { id, position, pointer })
    }

    /// How many bytes there are to copy.
    fn check_copy(&self, from: &End, to: &End, len: u64) -> Result<u64, Errno> {
        let (input, output) = (self.files.get(from.id).ok_or(EBADF)?, self.files.get(to.id).ok_or(EBADF)?);
        if [&input.kind, &output.kind].contains(&&Kind::Directory) {
            return Err(EISDIR);
        }
        let regular = |kind: &Kind| matches!(kind, Kind::Regular | Kind::Text(_));
        if !regular(&input.kind) || !regular(&output.kind) {
            return Err(EINVAL);
        }
        if !input.readable() || !output.writable() || output.flags & O_APPEND != 0 {
            return Err(EBADF);
        }
        // Nothing of /proc is open for writing: the files lie in two file systems.
        if input.kind != Kind::Regular {
            return Err(EXDEV);
        }
        let wraps = |position: i64| (position as u64).checked_add(len).is_none();
        if wraps(from.position) || wraps(to.position) {
            return Err(EOVERFLOW);
        }
        let rest = i64::try_from(self.size(input.node)).map_err(|_| EINVAL)?.saturating_sub(from.position);
        let len = len.min(u64::try_from(rest).unwrap_or(0));
        let limit = (FILE_SIZE_MAX as i64).saturating_sub(to.position);
        let len = len.min(u64::try_from(limit).ok().filter(|&n| n > 0).ok_or(EFBIG)?);
        let overlap = |a: i64, b: i64| a.wrapping_add(len as i64) > b;
        if input.node == output.node
            && overlap(to.position, from.position)
            && overlap(from.position, to.position)
        {
            return Err(EINVAL);
        }
        if from.position < 0 || to.position < 0 { Err(EINVAL) } else { Ok(len) }
    }
}
