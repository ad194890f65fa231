//! The signal frame: Linux' `struct rt_sigframe` (arch/arm64/kernel/signal.c) byte for byte, and the way back.

use crate::errno::*;
use crate::signals::{AUTODISARM, Begun, ONSTACK, RESTORER, UNBLOCKABLE};
use crate::space::{TRAMPOLINE, WRITE};
use crate::state::State;

const INFO: usize = 128;
/// Offsets within the frame; ucontext begins behind siginfo.
const STACK_AT: usize = INFO + 16;
const MASK_AT: usize = INFO + 40;
const CONTEXT_AT: usize = INFO + 176;
const RESERVED_AT: usize = CONTEXT_AT + 288;
const FRAME: usize = RESERVED_AT + 4096;
const RECORD: usize = 16;
const FPSIMD_MAGIC: u32 = 0x4650_8001;
const FPSIMD_SIZE: u32 = 0x210;
const FLAGS: u64 = 0xf << 28;

fn set(frame: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(to) = frame.get_mut(at..at + bytes.len()) {
        to.copy_from_slice(bytes);
    }
}

fn word(frame: &[u8], at: usize) -> u64 {
    frame.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

impl State {
    /// Where the frame for a signal begins and ends: on the thread's stack or on the alternate one.
    fn frame_place(&self, serial: u64, begun: &Begun) -> (u64, u64) {
        let p = self.process(serial);
        let (base, _, size) = p.signals.alternate;
        let moves = begun.action.flags & ONSTACK != 0 && size != 0 && !self.is_on_alternate(serial);
        let top = if moves { base.wrapping_add(size) } else { p.user.sp };
        let record = top.wrapping_sub(RECORD as u64) & !15;
        (record.wrapping_sub(FRAME as u64) & !15, record)
    }

    /// Where a frame can be pushed without a further chunk of charge it can be pushed outside a turn; else the address that is missing.
    pub fn frame_fits(&mut self, serial: u64, begun: &Begun) -> core::result::Result<(), u64> {
        let (at, record) = self.frame_place(serial, begun);
        // Both are what the program's stack pointer makes them: below a frame's size the frame begins at the other end of all addresses.
        let length = record.wrapping_sub(at) + RECORD as u64;
        let space = self.space(serial);
        let fits = space.growth(at).is_none() && space.reach(at, length, WRITE) == length;
        if fits { Ok(()) } else { Err(at) }
    }

    /// Pushes a frame and sets the registers for the handler; `false`: there is no room for it.
    pub fn push_frame(&mut self, serial: u64, begun: &Begun) -> bool {
        let Begun { info, action, mask } = begun;
        let p = self.process(serial);
        let (base, flags, size) = p.signals.alternate;
        let user = &p.user;
        let (at, record) = self.frame_place(serial, begun);
        let mut f = alloc::vec![0u8; FRAME];
        set(&mut f, 0, &u32::from(info.signal).to_le_bytes());
        set(&mut f, 8, &info.code.to_le_bytes());
        set(&mut f, 16, &info.fields[0].to_le_bytes());
        set(&mut f, 24, &info.fields[1].to_le_bytes());
        set(&mut f, STACK_AT, &base.to_le_bytes());
        set(&mut f, STACK_AT + 8, &flags.to_le_bytes());
        set(&mut f, STACK_AT + 16, &size.to_le_bytes());
        set(&mut f, MASK_AT, &mask.to_le_bytes());
        set(&mut f, CONTEXT_AT, &info.far.to_le_bytes());
        for (i, x) in user.x.iter().chain([&user.sp, &user.pc, &(user.pstate & FLAGS)]).enumerate() {
            set(&mut f, CONTEXT_AT + 8 + i * 8, &x.to_le_bytes());
        }
        set(&mut f, RESERVED_AT, &FPSIMD_MAGIC.to_le_bytes());
        set(&mut f, RESERVED_AT + 4, &FPSIMD_SIZE.to_le_bytes());
        set(&mut f, RESERVED_AT + 8, &(user.fpsr as u32).to_le_bytes());
        set(&mut f, RESERVED_AT + 12, &(user.fpcr as u32).to_le_bytes());
        for (i, v) in user.v.iter().enumerate() {
            set(&mut f, RESERVED_AT + 16 + i * 16, &v.to_le_bytes());
        }
        let (fp, lr) = (user.x[29], user.x[30]);
        let written = self.grow_for(serial, at) && {
            let space = self.space(serial);
            space.put(at, &f).is_ok()
                && space.put(record, &fp.to_le_bytes()).is_ok()
                && space.put(record + 8, &lr.to_le_bytes()).is_ok()
        };
        if !written {
            return false;
        }
        let p = self.process_mut(serial);
        p.user.x[0] = u64::from(info.signal);
        p.user.x[1] = at;
        p.user.x[2] = at + INFO as u64;
        p.user.x[29] = record;
        p.user.x[30] = if action.flags & RESTORER != 0 { action.restorer } else { TRAMPOLINE };
        p.user.sp = at;
        p.user.pc = action.handler;
        if flags & AUTODISARM != 0 {
            p.signals.alternate = (0, 2, 0);
        }
        true
    }

    /// Charges what a frame at `at` needs of the stack; `false`: over the limit.
    fn grow_for(&mut self, serial: u64, at: u64) -> bool {
        match self.space(serial).growth(at) {
            Some(chunks) => self.charge(serial, chunks).is_ok(),
            None => true,
        }
    }

    /// rt_sigreturn.
    pub fn pop_frame(&mut self, serial: u64) -> Result<()> {
        let at = self.process(serial).user.sp;
        let mut f = alloc::vec![0u8; FRAME];
        if !at.is_multiple_of(16) {
            return Err(EFAULT);
        }
        self.space(serial).get(at, &mut f)?;
        let pstate = word(&f, CONTEXT_AT + 8 + 33 * 8);
        if pstate & 0x1f != 0 {
            return Err(EFAULT);
        }
        let head = word(&f, RESERVED_AT);
        if head != u64::from(FPSIMD_MAGIC) | u64::from(FPSIMD_SIZE) << 32 {
            return Err(EFAULT);
        }
        let alternate = (word(&f, STACK_AT), word(&f, STACK_AT + 8) as u32, word(&f, STACK_AT + 16));
        let p = self.process_mut(serial);
        p.signals.mask = word(&f, MASK_AT) & !UNBLOCKABLE;
        for (i, x) in p.user.x.iter_mut().enumerate() {
            *x = word(&f, CONTEXT_AT + 8 + i * 8);
        }
        p.user.sp = word(&f, CONTEXT_AT + 8 + 31 * 8);
        p.user.pc = word(&f, CONTEXT_AT + 8 + 32 * 8);
        p.user.pstate = pstate & FLAGS;
        let status = word(&f, RESERVED_AT + 8);
        p.user.fpsr = status & 0xffff_ffff;
        p.user.fpcr = status >> 32;
        for (i, v) in p.user.v.iter_mut().enumerate() {
            let at = RESERVED_AT + 16 + i * 16;
            *v = u128::from(word(&f, at)) | u128::from(word(&f, at + 8)) << 64;
        }
        // As Linux: what is no alternate stack is passed over.
        let _ = self.set_alternate(serial, alternate);
        Ok(())
    }
}
