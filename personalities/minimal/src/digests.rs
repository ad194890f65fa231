//! State and memory digests (`docs/linux-abi.md`, "State digest"), of one process and no files.

use crate::Machine;
use crate::kernel::{Kernel, Place};
use abi::digest::{Digest, Encoder};
use abi::layout::PAGE;
use alloc::vec::Vec;

/// Inode number of /dev/console: the directory itself, then null, zero, full, random, urandom, tty, console.
const CONSOLE: u64 = (1 << 32) + 7;
const O_RDWR: u64 = 2;

impl<M: Machine> Kernel<M> {
    /// Everything that calls read or write.
    pub(crate) fn state_digest(&self) -> Digest {
        let mut e = Encoder::new("state");
        e.u64(self.call).u64(1).u64(1).u64(1).u64(self.base_us);
        match self.place {
            Place::Round => e.u64(1).u64(1),
            Place::Outside(..) => e.u64(0).u64(1),
            Place::Gone => e.u64(0),
        };
        let state = if self.place == Place::Round { 0 } else { 4 };
        let set = |which: fn(u64) -> bool| {
            self.process.actions.iter().filter(|(_, a)| which(a[0])).fold(0u64, |s, (n, _)| s | 1 << (n - 1))
        };
        e.u64(1).u64(1).u64(0).u64(1).u64(1).u64(state).u64(0);
        e.u64(0).u64(set(|h| h == 1)).u64(set(|h| h > 1)).u64(self.space.charge);
        for fd in &self.process.descriptors {
            e.u64(*fd).u64(0).u64(0);
        }
        e.u64(1);
        if !self.process.descriptors.is_empty() {
            e.u64(4).u64(CONSOLE).u64(O_RDWR).u64(0);
        }
        e.bytes(&self.modes).u64(self.size[0].into()).u64(self.size[1].into()).u64(1).bytes(&self.queue);
        e.u64(self.next_inode);
        e.finish()
    }

    /// The process' registers and memory, before its call.
    pub(crate) fn memory_digest(&mut self) -> Digest {
        let mut e = Encoder::new("memory");
        e.u64(1);
        self.user.x.iter().for_each(|x| {
            e.u64(*x);
        });
        e.u64(self.user.sp).u64(self.user.pc).u64(self.user.state & 0xf000_0000);
        e.u64(self.user.thread).u64(self.process.mask).u64(self.space.break_end);
        let (vectors, fpsr, fpcr) = self.m.float();
        vectors.iter().for_each(|v| {
            e.raw(&v.to_le_bytes());
        });
        e.u64(fpsr).u64(fpcr);
        for (first, count, rights, charged) in self.runs() {
            e.u64(first * PAGE).u64((first + count) * PAGE).u64(rights.into());
            if charged {
                (first..first + count).for_each(|p| self.page(p, &mut e));
            }
        }
        e.finish()
    }

    fn page(&mut self, number: u64, e: &mut Encoder) {
        match self.space.pages.get(&number).and_then(|p| p.frame) {
            Some(frame) => e.raw(self.m.bytes(frame)),
            None => e.raw(&[0; 4096]),
        };
    }

    /// Neighbouring pages that agree: first page, count, rights, charged.
    fn runs(&self) -> Vec<(u64, u64, u8, bool)> {
        let mut runs: Vec<(u64, u64, u8, bool)> = Vec::new();
        for (&number, page) in &self.space.pages {
            match runs.last_mut() {
                Some((first, count, rights, charged))
                    if *first + *count == number && (*rights, *charged) == (page.rights, page.charged) =>
                {
                    *count += 1;
                }
                _ => runs.push((number, 1, page.rights, page.charged)),
            }
        }
        runs
    }
}
