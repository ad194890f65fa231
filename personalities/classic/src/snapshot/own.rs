//! Taking a snapshot: what a process changes without a call, at its next call or where it waits.

use super::{Writer, trimmed};
use crate::kernel::Kernel;
use crate::machine::{Machine, NZCV};
use crate::thread::Want;
use crate::turns::Serial;
use abi::snapshot::{Private, Record};
use alloc::vec::Vec;

impl<M: Machine> Kernel<M> {
    /// Writes the own part of a process. The process table holds its FP registers.
    pub(super) fn put_own(&self, out: &mut Writer, serial: Serial) {
        let (Some(p), Some(t)) = (self.procs.get(&serial), self.threads.get(&serial)) else { return };
        let r = &t.registers;
        let registers: Vec<u8> = r.x.into_iter().chain([r.sp, r.pc]).flat_map(u64::to_le_bytes).collect();
        let vectors: Vec<u8> = t.fp.v.into_iter().flat_map(u128::to_le_bytes).collect();
        // While it waits in vfork its address space is its child's, which moves the break without a call.
        let space =
            self.spaces.get(&p.space).filter(|_| !self.turns.waits_for_vfork(serial)).map(|s| &s.space);
        out.put(&Record::Private(Private {
            serial,
            registers: &registers,
            flags: (r.pstate & NZCV) as u32,
            at_call: matches!(t.want, Some(Want::Call { .. })),
            thread_pointer: r.tpidr,
            vectors: trimmed(&vectors),
            fpsr: t.fp.fpsr as u32,
            fpcr: t.fp.fpcr as u32,
            alternate_stack: [t.altstack.base, t.altstack.flags.into(), t.altstack.size],
            clear_child_tid: t.clear_child_tid,
            robust_list: t.robust_list,
            random_used: p.random_offset,
            layout: space.map_or(0, |s| s.exec),
            break_start: space.map_or(0, |s| s.brk_start),
            break_end: space.map_or(0, |s| s.brk),
        }));
        if let Some(space) = space {
            space.put(&self.m, &self.fs, out);
        }
    }
}
