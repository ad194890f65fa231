//! Bytes of regular files by position; truncation; the position itself.

use super::data::SIZE_MAX;
use super::node::{Body, NodeId, Realm, realm};
use super::{Device, Files, Target};
use crate::error::{Res, e};
use crate::turns::Serial;

const SEEK_SET: u32 = 0;
const SEEK_CUR: u32 = 1;
const SEEK_END: u32 = 2;
const SEEK_DATA: u32 = 3;
const SEEK_HOLE: u32 = 4;

impl Files {
    pub fn size(&self, node: NodeId) -> u64 {
        match self.nodes.get(&node).map(|n| &n.body) {
            Some(Body::File(data)) => data.size,
            _ => 0,
        }
    }

    /// Bytes of a regular file from `at` on.
    pub fn read_at(&self, node: NodeId, at: u64, out: &mut [u8]) -> usize {
        match self.nodes.get(&node).map(|n| &n.body) {
            Some(Body::File(data)) => data.read(at, out),
            _ => 0,
        }
    }

    /// A run of bytes of a regular file from `at` on, at most `most` and at least one; empty at its end.
    pub fn piece(&self, node: NodeId, at: u64, most: u64) -> &[u8] {
        match self.nodes.get(&node).map(|n| &n.body) {
            Some(Body::File(data)) => data.piece(at, most),
            _ => &[],
        }
    }

    /// Writes into a regular file: how much, at least a byte of `bytes`.
    pub fn write_at(&mut self, id: NodeId, at: u64, bytes: &[u8]) -> Res<usize> {
        if at >= SIZE_MAX {
            return Err(e::EFBIG);
        }
        let room = (SIZE_MAX - at).min(bytes.len() as u64) as usize;
        let (left, now) = (self.pages_left(), self.now);
        let node = self.node_mut(id)?;
        let Body::File(data) = &mut node.body else { return Err(e::EINVAL) };
        let before = data.counted();
        let done = data.write(at, &bytes[..room], left);
        let after = data.counted();
        node.times[1] = now;
        node.times[2] = now;
        node.changed |= done > 0;
        self.pages = self.pages - before + after;
        if done == 0 { Err(e::ENOSPC) } else { Ok(done) }
    }

    /// Truncates a regular file that may be written.
    pub fn truncate(&mut self, id: NodeId, size: u64) -> Res {
        if realm(id) != Realm::Root {
            return Err(e::EROFS);
        }
        if size > SIZE_MAX {
            return Err(e::EFBIG);
        }
        let (left, now) = (self.pages_left(), self.now);
        let node = self.node_mut(id)?;
        let Body::File(data) = &mut node.body else { return Err(e::EINVAL) };
        let before = data.counted();
        let done = data.truncate(size, left);
        let after = data.counted();
        if done {
            node.times[1] = now;
            node.times[2] = now;
            node.changed = true;
        }
        self.pages = self.pages - before + after;
        if done { Ok(()) } else { Err(e::ENOSPC) }
    }

    /// lseek(2).
    pub fn seek(&mut self, me: Serial, fd: u32, offset: i64, whence: u32) -> Res<u64> {
        let handle = self.active(me, fd)?;
        if whence > SEEK_HOLE {
            return Err(e::EINVAL);
        }
        let (size, here) = (self.size(handle.node), handle.offset);
        let is_file = match &handle.target {
            Target::File => true,
            Target::Directory | Target::Text(_) => false,
            Target::Device(Device::Null | Device::Zero | Device::Full | Device::Random) => return Ok(0),
            _ => return Err(e::ESPIPE),
        };
        let to = match whence {
            SEEK_SET => Some(offset),
            SEEK_CUR => (here as i64).checked_add(offset),
            SEEK_END if is_file => (size as i64).checked_add(offset),
            SEEK_DATA | SEEK_HOLE if is_file => {
                if offset < 0 || offset as u64 >= size {
                    return Err(e::ENXIO);
                }
                Some(if whence == SEEK_DATA { offset } else { size as i64 })
            }
            _ => return Err(e::EINVAL),
        };
        let most = if is_file { SIZE_MAX as i64 } else { i64::MAX };
        let to = to.filter(|t| (0..=most).contains(t)).ok_or(e::EINVAL)? as u64;
        self.handle_mut(me, fd)?.offset = to;
        Ok(to)
    }
}
