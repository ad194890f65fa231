//! Signal frames as arm64 Linux makes them (`struct rt_sigframe`), and the way back.

use super::signals::{SS_AUTODISARM, SS_DISABLE, on_stack};
use crate::bytes::{Out as Bytes, u32_at, u64_at};
use crate::kernel::{Flow, Kernel, Out};
use crate::machine::Machine;
use crate::memory::TRAMPOLINE;
use crate::process::{Action, AltStack, Info, Payload, SA_ONSTACK, SA_RESTORER, UNBLOCKABLE, sig};
use crate::turns::Serial;

const INFO: usize = 128;
/// Where the parts of a frame begin.
const STACK_AT: usize = INFO + 16;
const MASK_AT: usize = INFO + 40;
const CONTEXT_AT: usize = INFO + 176;
const REGISTERS_AT: usize = CONTEXT_AT + 8;
const RESERVED_AT: usize = CONTEXT_AT + 288;
const FRAME: usize = RESERVED_AT + 4096;
const FPSIMD_MAGIC: u32 = 0x4650_8001;
const FPSIMD_SIZE: u32 = 0x210;
const NZCV: u64 = 0xf000_0000;
const SI_KERNEL: i32 = 0x80;

impl<M: Machine> Kernel<M> {
    /// A handler begins: the mask changes, the frame is pushed.
    pub(crate) fn push_handler(&mut self, me: Serial, info: Info, action: Action) {
        let Ok(p) = self.processes.get_mut(me) else { return };
        let old = p.signals.enter_handler(info.signal, &action);
        self.push_frame(me, info, action, old);
    }

    /// Pushes the frame of a handler; the process dies by SIGSEGV if there is no room for it.
    pub(crate) fn push_frame(&mut self, me: Serial, info: Info, action: Action, mask: u64) {
        self.settle_fp();
        let (Ok(p), Some(t)) = (self.processes.get(me), self.threads.get(&me)) else { return };
        let (stack, sp) = (p.signals.stack, t.user.sp);
        let base = match action.flags & SA_ONSTACK != 0 && stack.size > 0 && !on_stack(&stack, sp) {
            true => stack.sp.wrapping_add(stack.size),
            false => sp,
        };
        let record = base.wrapping_sub(16) & !15;
        let frame = record.wrapping_sub(FRAME as u64) & !15;
        let mut out = self.frame(me, &info, mask, &stack);
        out.to(record.wrapping_sub(frame) as usize);
        let Some(t) = self.threads.get_mut(&me) else { return };
        out.u64(t.user.x[29]).u64(t.user.x[30]);
        if self.memory.write(t.space, frame, &out.0).is_err() {
            let info = Info { signal: sig::SIGSEGV, code: SI_KERNEL, payload: Payload::Nothing };
            if let Ok(p) = self.processes.get_mut(me) {
                p.signals.set_action(sig::SIGSEGV, Action::default());
                p.signals.mask &= !crate::process::bit(sig::SIGSEGV);
            }
            return self.processes.force(me, info);
        }
        let u = &mut t.user;
        (u.x[0], u.x[1], u.x[2]) = (info.signal.into(), frame, frame + INFO as u64);
        (u.x[29], u.x[30]) =
            (record, if action.flags & SA_RESTORER != 0 { action.restorer } else { TRAMPOLINE });
        (u.sp, u.pc) = (frame, action.handler);
        if stack.flags & SS_AUTODISARM != 0
            && let Ok(p) = self.processes.get_mut(me)
        {
            p.signals.stack = AltStack { sp: 0, flags: SS_DISABLE, size: 0 };
        }
    }

    /// siginfo and ucontext.
    fn frame(&self, me: Serial, info: &Info, mask: u64, stack: &AltStack) -> Bytes {
        let mut out = Bytes(info.bytes());
        let Some(t) = self.threads.get(&me) else { return out };
        let fault = match info.payload {
            Payload::Address(at) if matches!(info.signal, sig::SIGSEGV | sig::SIGBUS) => at,
            _ => 0,
        };
        out.u64(0).u64(0).u64(stack.sp).u32(stack.flags).u32(0).u64(stack.size);
        out.to(MASK_AT).u64(mask).to(CONTEXT_AT).u64(fault);
        t.user.x.iter().for_each(|x| _ = out.u64(*x));
        out.u64(t.user.sp).u64(t.user.pc).u64(t.user.pstate & NZCV).to(RESERVED_AT);
        let fp = &t.user.fp;
        out.u32(FPSIMD_MAGIC).u32(FPSIMD_SIZE).u32(fp.fpsr as u32).u32(fp.fpcr as u32);
        fp.v.iter().for_each(|v| out.0.extend_from_slice(&v.to_le_bytes()));
        out.to(FRAME);
        out
    }

    /// rt_sigreturn(2).
    pub(super) fn sigreturn(&mut self, me: Serial) -> Out {
        self.settle_fp();
        let t = self.thread(me)?;
        let (space, at) = (t.space, t.user.sp);
        let frame = match at.is_multiple_of(16) {
            true => self.memory.bytes(space, at, FRAME),
            false => Err(crate::error::e::EFAULT),
        };
        let good = frame.ok().filter(|f| {
            let fp = (u32_at(f, RESERVED_AT), u32_at(f, RESERVED_AT + 4));
            let pstate = u64_at(f, REGISTERS_AT + 33 * 8);
            fp == (FPSIMD_MAGIC, FPSIMD_SIZE) && pstate & 0x1f == 0
        });
        let Some(frame) = good else {
            let info = Info { signal: sig::SIGSEGV, code: SI_KERNEL, payload: Payload::Nothing };
            self.processes.force(me, info);
            return Ok(Flow::Registers);
        };
        self.processes.get_mut(me)?.signals.mask = u64_at(&frame, MASK_AT) & !UNBLOCKABLE;
        let t = self.thread(me)?;
        for (i, x) in t.user.x.iter_mut().enumerate() {
            *x = u64_at(&frame, REGISTERS_AT + 8 * i);
        }
        let [sp, pc, pstate] = [31, 32, 33].map(|i| u64_at(&frame, REGISTERS_AT + 8 * i));
        (t.user.sp, t.user.pc, t.user.pstate) = (sp, pc, pstate & NZCV);
        let fp = &mut t.user.fp;
        fp.fpsr = u32_at(&frame, RESERVED_AT + 8).into();
        fp.fpcr = u32_at(&frame, RESERVED_AT + 12).into();
        for (i, v) in fp.v.iter_mut().enumerate() {
            let at = RESERVED_AT + 16 + 16 * i;
            *v = u128::from(u64_at(&frame, at)) | u128::from(u64_at(&frame, at + 8)) << 64;
        }
        let flags = u32_at(&frame, STACK_AT + 8);
        let stack = AltStack { sp: u64_at(&frame, STACK_AT), flags, size: u64_at(&frame, STACK_AT + 16) };
        // As Linux: a stack that is none leaves things as they are.
        let _ = self.set_stack(me, stack, sp);
        Ok(Flow::Registers)
    }
}
