//! The trap front end: turns a system call into requests to the servers. Each file is the desk for one kind of calls; a desk answers `None` to a number that
//! is another's.

mod buffers;
mod control;
mod descriptors;
mod exec;
mod frame;
mod input;
mod lifetime;
mod names;
mod opening;
mod output;
mod poll;
mod sending;
mod signals;
mod spaces;
mod status;
mod system;
mod times;
mod tty;
mod waited;

use crate::error::{Res, e};
use crate::files::walk::PATH_MAX;
use crate::kernel::{DONE, Flow, Kernel, Out};
use crate::machine::Machine;
use crate::memory::Growth;
use crate::turns::Serial;
use abi::linux::nr;
use alloc::vec::Vec;

/// So much of the heap, bytes, is kept for what cannot be refused, and for what one call needs at the most.
const HEAP_RESERVE: usize = 8 << 20;

/// Calls that make what stays: names, regions, handles, processes. No agreed limit bounds how many names a file has, how long paths of mappings and texts
/// of /proc are, so they are refused when little heap is left.
fn makes(number: u64) -> bool {
    matches!(
        number,
        nr::openat | nr::mkdirat | nr::mknodat | nr::symlinkat | nr::linkat | nr::renameat | nr::renameat2
    ) || matches!(number, nr::pipe2 | nr::clone | nr::execve | nr::mmap | nr::mremap | nr::mprotect)
}

/// A call's arguments.
#[derive(Clone, Copy)]
pub struct Arguments(pub [u64; 6]);

impl Arguments {
    pub fn fd(&self, i: usize) -> u32 {
        self.0[i] as u32
    }

    pub fn int(&self, i: usize) -> i32 {
        self.0[i] as i32
    }

    pub fn uint(&self, i: usize) -> u32 {
        self.0[i] as u32
    }
}

/// The highest tier of calls that this kernel offers.
pub(crate) const TIER: u8 = 2;

impl<M: Machine> Kernel<M> {
    /// Carries out the call that a thread's registers say.
    pub(crate) fn perform(&mut self, me: Serial, growth: Growth) -> Out {
        let Some(t) = self.threads.get(&me) else { return Ok(Flow::Gone) };
        let (number, x) = (t.user.x[8], &t.user.x);
        let a = Arguments([x[0], x[1], x[2], x[3], x[4], x[5]]);
        if !abi::tier::offers(self.tier, number) {
            return self.unknown(number);
        }
        if makes(number) && self.machine.heap_left() < HEAP_RESERVE {
            return Err(e::ENOMEM);
        }
        None.or_else(|| self.memory_call(me, number, a, growth))
            .or_else(|| self.descriptor_call(me, number, a))
            .or_else(|| self.transfer_call(me, number, a))
            .or_else(|| self.name_call(me, number, a))
            .or_else(|| self.status_call(me, number, a))
            .or_else(|| self.lifetime_call(me, number, a))
            .or_else(|| self.signal_call(me, number, a))
            .or_else(|| self.time_call(me, number, a))
            .or_else(|| self.system_call(me, number, a))
            .unwrap_or_else(|| self.unknown(number))
    }

    /// Calls that move bytes.
    fn transfer_call(&mut self, me: Serial, number: u64, a: Arguments) -> Option<Out> {
        Some(match number {
            nr::read | nr::readv | nr::pread64 | nr::preadv => self.read_call(me, number, a),
            nr::write | nr::writev | nr::pwrite64 | nr::pwritev => self.write_call(me, number, a),
            nr::sendfile => self.sendfile(me, a),
            nr::ppoll => self.ppoll(me, a),
            nr::pselect6 => self.pselect(me, a),
            nr::ioctl => self.ioctl(me, a),
            nr::getdents64 => self.getdents(me, a),
            _ => return None,
        })
    }

    /// A path from memory.
    pub(crate) fn path_in(&mut self, me: Serial, at: u64) -> Res<Vec<u8>> {
        let space = self.space_of(me)?;
        let path = self.memory.string(space, at, PATH_MAX)?.ok_or(e::ENAMETOOLONG)?;
        if path.is_empty() { Err(e::ENOENT) } else { Ok(path) }
    }

    /// A path from memory that may be empty.
    pub(crate) fn path_or_empty(&mut self, me: Serial, at: u64) -> Res<Vec<u8>> {
        match self.path_in(me, at) {
            Err(e::ENOENT) => Ok(Vec::new()),
            other => other,
        }
    }

    fn getdents(&mut self, me: Serial, a: Arguments) -> Out {
        let (fd, at) = (a.fd(0), a.0[1]);
        // As Linux, to which 2^31 and more are negative: no entry fits.
        let room = a.int(2).max(0) as usize;
        let (bytes, position) = self.files.list(me, fd, room)?;
        if !bytes.is_empty() {
            self.bytes_out(me, at, &bytes)?;
        }
        self.files.handle_mut(me, fd)?.offset = position;
        Ok(Flow::Done(bytes.len() as u64))
    }

    /// Puts bytes into memory, then answers 0.
    pub(crate) fn give(&mut self, me: Serial, at: u64, bytes: &[u8]) -> Out {
        self.bytes_out(me, at, bytes)?;
        DONE
    }
}
