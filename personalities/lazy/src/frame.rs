//! The signal frame: `struct rt_sigframe` of arm64 Linux, then a frame record. "Signals" in `docs/linux-abi.md`.

use crate::errno::*;
use crate::hw::{FpState, Hardware};
use crate::kernel::Kernel;
use crate::memory::space::TRAMPOLINE;
use crate::process::{Action, AltStack, Info, Stand, Thread};
use crate::signal::*;
use alloc::vec;

const SIZE: usize = 4688;
const RECORD: u64 = 16;
const OFFSET_CONTEXT: u64 = 128;
const OFFSET_STACK: usize = 144;
const OFFSET_MASK: usize = 168;
const OFFSET_FAULT: usize = 304;
const OFFSET_REGISTERS: usize = 312;
const OFFSET_SP: usize = 560;
const OFFSET_PC: usize = 568;
const OFFSET_PSTATE: usize = 576;
const OFFSET_FP: usize = 592;
const FP_MAGIC: u32 = 0x4650_8001;
const FP_SIZE: u32 = 0x210;
const NZCV: u64 = 0xf000_0000;

/// A little-endian word in a byte string.
fn put(bytes: &mut [u8], at: usize, value: u64) {
    if let Some(to) = bytes.get_mut(at..at + 8) {
        to.copy_from_slice(&value.to_le_bytes());
    }
}

fn get(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// `struct siginfo`, 128 bytes.
pub fn siginfo(signal: u32, info: &Info) -> [u8; 128] {
    let mut out = [0; 128];
    out[..4].copy_from_slice(&signal.to_le_bytes());
    out[8..12].copy_from_slice(&info.code.to_le_bytes());
    match info.address {
        Some(a) => out[16..24].copy_from_slice(&a.to_le_bytes()),
        None => {
            for (to, from) in out[16..28].chunks_mut(4).zip(info.fields) {
                to.copy_from_slice(&from.to_le_bytes());
            }
        }
    }
    out
}

impl<H: Hardware> Kernel<H> {
    /// Puts a frame on the program's stack and enters the handler; whether there was room.
    pub fn push_frame(&mut self, serial: u64, signal: u32, info: &Info, action: &Action) -> bool {
        if self.fp_owner == Some(serial) {
            self.save_fp();
        }
        let Some(space) = self.process_of(serial).and_then(|p| p.space) else { return false };
        let Some(t) = self.threads.get(&serial) else { return false };
        let use_alt = action.flags & SA_ONSTACK != 0 && t.alt.size > 0 && !t.alt.holds(t.registers.sp);
        let top = if use_alt { t.alt.base.wrapping_add(t.alt.size) } else { t.registers.sp };
        let record = top.wrapping_sub(RECORD) & !15;
        let base = record.wrapping_sub(SIZE as u64);
        let mut f = vec![0; SIZE + RECORD as usize];
        f[..128].copy_from_slice(&siginfo(signal, info));
        put(&mut f, OFFSET_STACK, t.alt.base);
        put(&mut f, OFFSET_STACK + 8, t.alt.flags.into());
        put(&mut f, OFFSET_STACK + 16, t.alt.size);
        put(&mut f, OFFSET_MASK, t.saved_mask.unwrap_or(t.mask));
        put(
            &mut f,
            OFFSET_FAULT,
            if matches!(signal, SIGSEGV | SIGBUS) { info.address.unwrap_or(0) } else { 0 },
        );
        for (i, x) in t.registers.x.iter().enumerate() {
            put(&mut f, OFFSET_REGISTERS + i * 8, *x);
        }
        put(&mut f, OFFSET_SP, t.registers.sp);
        put(&mut f, OFFSET_PC, t.registers.pc);
        put(&mut f, OFFSET_PSTATE, t.registers.pstate & NZCV);
        put(&mut f, OFFSET_FP, u64::from(FP_MAGIC) | u64::from(FP_SIZE) << 32);
        put(&mut f, OFFSET_FP + 8, t.fp.fpsr | t.fp.fpcr << 32);
        for (i, v) in t.fp.v.iter().enumerate() {
            put(&mut f, OFFSET_FP + 16 + i * 16, *v as u64);
            put(&mut f, OFFSET_FP + 24 + i * 16, (*v >> 64) as u64);
        }
        put(&mut f, SIZE, t.registers.x[29]);
        put(&mut f, SIZE + 8, t.registers.x[30]);
        if base > record || self.memory.write(space, base, &f).is_err() {
            return false;
        }
        let Some(t) = self.threads.get_mut(&serial) else { return false };
        let r = &mut t.registers;
        (r.x[0], r.x[1], r.x[2]) = (signal.into(), base, base + OFFSET_CONTEXT);
        r.x[29] = record;
        r.x[30] = if action.flags & SA_RESTORER != 0 { action.restorer } else { TRAMPOLINE };
        (r.sp, r.pc) = (base, action.handler);
        t.mask = (t.mask | action.mask | if action.flags & SA_NODEFER == 0 { bit(signal) } else { 0 })
            & !UNBLOCKABLE;
        t.saved_mask = None;
        if t.alt.flags & SS_AUTODISARM != 0 {
            t.alt = AltStack::OFF;
        }
        t.stand = Stand::User;
        if action.flags & SA_RESETHAND != 0
            && let Some(a) = self.process_of_mut(serial).and_then(|p| p.actions.get_mut(signal as usize))
        {
            a.handler = 0;
        }
        true
    }

    /// rt_sigreturn: back to where the frame says; whether there was one.
    pub fn pop_frame(&mut self, serial: u64) -> bool {
        let Some(space) = self.process_of(serial).and_then(|p| p.space) else { return false };
        let Some(base) = self.threads.get(&serial).map(|t| t.registers.sp) else { return false };
        let mut f = vec![0; SIZE];
        if base % 16 != 0 || self.memory.read(space, base, &mut f).is_err() {
            return false;
        }
        if get(&f, OFFSET_FP) != u64::from(FP_MAGIC) | u64::from(FP_SIZE) << 32 {
            return false;
        }
        let mut fp = FpState {
            fpsr: get(&f, OFFSET_FP + 8) & 0xffff_ffff,
            fpcr: get(&f, OFFSET_FP + 8) >> 32,
            ..FpState::default()
        };
        for (i, v) in fp.v.iter_mut().enumerate() {
            let (low, high) = (get(&f, OFFSET_FP + 16 + i * 16), get(&f, OFFSET_FP + 24 + i * 16));
            *v = u128::from(low) | u128::from(high) << 64;
        }
        self.set_fp(serial, fp);
        let Some(t) = self.threads.get_mut(&serial) else { return false };
        for (i, x) in t.registers.x.iter_mut().enumerate() {
            *x = get(&f, OFFSET_REGISTERS + i * 8);
        }
        t.registers.sp = get(&f, OFFSET_SP);
        t.registers.pc = get(&f, OFFSET_PC);
        t.registers.pstate = get(&f, OFFSET_PSTATE) & NZCV;
        t.mask = get(&f, OFFSET_MASK) & !UNBLOCKABLE;
        let [base, flags, size] = [0, 8, 16].map(|at| get(&f, OFFSET_STACK + at));
        // As Linux: one that cannot be had leaves that of now.
        let _ = t.set_alternate_stack(AltStack { base, flags: flags as u32, size });
        t.stand = Stand::User;
        true
    }
}

impl AltStack {
    /// None.
    const OFF: AltStack = AltStack { base: 0, flags: SS_DISABLE, size: 0 };

    /// Whether a program with this stack pointer is on it. One that each handler has anew (SS_AUTODISARM) never counts as such.
    pub fn holds(&self, sp: u64) -> bool {
        self.flags & SS_AUTODISARM == 0 && sp > self.base && sp - self.base <= self.size
    }
}

impl Thread {
    /// Makes `new` the alternate stack, as sigaltstack does: EPERM on the present one, EINVAL for flags, ENOMEM for too small a one.
    pub fn set_alternate_stack(&mut self, new: AltStack) -> Result<()> {
        if self.alt.holds(self.registers.sp) {
            return Err(EPERM);
        }
        self.alt = match new.flags & !SS_AUTODISARM {
            SS_DISABLE => AltStack { flags: new.flags, ..AltStack::OFF },
            // As Linux, which looks at no size if nothing changes: who has none yet may set none in these words, too.
            0 | SS_ONSTACK if new.size < STACK_LEAST && new != self.alt => return Err(ENOMEM),
            0 | SS_ONSTACK => new,
            _ => return Err(EINVAL),
        };
        Ok(())
    }
}

/// MINSIGSTKSZ of arm64.
const STACK_LEAST: u64 = 5120;
const SS_ONSTACK: u32 = 1;
/// The alternate stack is off.
pub const SS_DISABLE: u32 = 2;
/// It is off while a handler runs, wherever that runs.
pub const SS_AUTODISARM: u32 = 1 << 31;
