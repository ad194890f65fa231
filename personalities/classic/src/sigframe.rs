//! The signal frame: Linux' `struct rt_sigframe` for arm64, as bytes.
//!
//! siginfo 128, ucontext 4560 (of which 4096 are records: FP state, then zeros), then a frame record {x29, x30} so that
//! unwinders walk through.

use crate::machine::{FpRegisters, NZCV, Registers};
use crate::signal::{AltStack, SigSet, words};
use alloc::vec;
use alloc::vec::Vec;

/// Bytes of the frame without the record.
pub const FRAME_BYTES: usize = 4688;
/// Bytes of the frame record above it.
pub const RECORD_BYTES: u64 = 16;
/// Offset of the ucontext.
pub const UCONTEXT: u64 = 128;

const STACK: usize = 128 + 16;
const MASK: usize = 128 + 40;
const CONTEXT: usize = 128 + 176;
const REGISTERS: usize = CONTEXT + 8;
const RECORDS: usize = CONTEXT + 288;
const FPSIMD_MAGIC: u32 = 0x4650_8001;
const FPSIMD_BYTES: usize = 0x210;
const ESR_MAGIC: u32 = 0x4553_5201;

/// What a frame holds.
#[derive(Clone, Debug)]
pub struct SignalFrame {
    /// The registers to go back to.
    pub registers: Registers,
    /// The FP registers to go back to.
    pub fp: FpRegisters,
    /// The mask to go back to.
    pub mask: SigSet,
    /// The alternate stack to go back to.
    pub altstack: AltStack,
}

impl SignalFrame {
    /// The bytes of the frame; `info` is the siginfo, `fault` the faulting address or 0.
    pub fn to_bytes(&self, info: &[u8; 128], fault: u64) -> Vec<u8> {
        let mut b = vec![0; FRAME_BYTES];
        let mut put = |at: usize, bytes: &[u8]| {
            if let Some(to) = b.get_mut(at..at + bytes.len()) {
                to.copy_from_slice(bytes);
            }
        };
        put(0, info);
        put(STACK, &self.altstack.to_bytes());
        put(MASK, &self.mask.0.to_le_bytes());
        put(CONTEXT, &fault.to_le_bytes());
        let r = &self.registers;
        for (i, value) in r.x.iter().chain([&r.sp, &r.pc, &(r.pstate & NZCV)]).enumerate() {
            put(REGISTERS + i * 8, &value.to_le_bytes());
        }
        put(RECORDS, &FPSIMD_MAGIC.to_le_bytes());
        put(RECORDS + 4, &(FPSIMD_BYTES as u32).to_le_bytes());
        put(RECORDS + 8, &(self.fp.fpsr as u32).to_le_bytes());
        put(RECORDS + 12, &(self.fp.fpcr as u32).to_le_bytes());
        for (i, v) in self.fp.v.iter().enumerate() {
            put(RECORDS + 16 + i * 16, &v.to_le_bytes());
        }
        b
    }

    /// What the bytes of a frame say; `None`: no frame that Linux would take. TPIDR_EL0 is not part of it.
    pub fn from_bytes(b: &[u8]) -> Option<SignalFrame> {
        let all: [u64; 34] = words(b.get(REGISTERS..RECORDS)?);
        let mut registers = Registers::default();
        registers.x.copy_from_slice(&all[..31]);
        (registers.sp, registers.pc, registers.pstate) = (all[31], all[32], all[33] & NZCV);
        let stack: &[u8; 24] = b.get(STACK..STACK + 24)?.try_into().ok()?;
        let [mask] = words(b.get(MASK..MASK + 8)?);
        Some(SignalFrame {
            registers,
            fp: Self::find_fp(b.get(RECORDS..RECORDS + 4096)?)?,
            mask: SigSet(mask).without(SigSet::UNBLOCKABLE),
            altstack: AltStack::from_bytes(stack),
        })
    }

    fn find_fp(mut records: &[u8]) -> Option<FpRegisters> {
        let mut found = None;
        loop {
            let [head] = words(records.get(..8)?);
            let (magic, size) = (head as u32, (head >> 32) as usize);
            match magic {
                0 if size == 0 => return found,
                FPSIMD_MAGIC if size == FPSIMD_BYTES && found.is_none() => {
                    let body = records.get(..size)?;
                    let [_, status] = words(body);
                    let mut fp = FpRegisters {
                        fpsr: status & 0xffff_ffff,
                        fpcr: status >> 32,
                        ..FpRegisters::default()
                    };
                    for (v, bytes) in fp.v.iter_mut().zip(body[16..].chunks_exact(16)) {
                        let [low, high] = words(bytes);
                        *v = u128::from(high) << 64 | u128::from(low);
                    }
                    found = Some(fp);
                }
                ESR_MAGIC if size == 16 => {}
                _ => return None,
            }
            records = records.get(size..)?;
        }
    }
}

/// Where frame and record go below `sp_top`; `None`: no room in the address space.
pub fn places(sp_top: u64) -> Option<(u64, u64)> {
    let record = sp_top.checked_sub(RECORD_BYTES)? & !15;
    let frame = record.checked_sub(FRAME_BYTES as u64)?;
    Some((frame, record))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> SignalFrame {
        let mut registers =
            Registers { sp: 0x7f_0000, pc: 0x40_0000, pstate: 0x6000_0000, ..Registers::default() };
        for (i, x) in registers.x.iter_mut().enumerate() {
            *x = i as u64 * 3;
        }
        let mut fp = FpRegisters { fpsr: 5, fpcr: 1 << 22, ..FpRegisters::default() };
        fp.v[31] = u128::MAX - 4;
        SignalFrame {
            registers,
            fp,
            mask: SigSet::of(2),
            altstack: AltStack { base: 4096, size: 8192, flags: 0 },
        }
    }

    #[test]
    fn a_frame_survives_its_bytes() {
        let f = frame();
        let back = SignalFrame::from_bytes(&f.to_bytes(&[0; 128], 0)).expect("its own frame");
        assert_eq!(back.registers.x, f.registers.x);
        assert_eq!(
            (back.registers.sp, back.registers.pc, back.registers.pstate),
            (0x7f_0000, 0x40_0000, 0x6000_0000)
        );
        assert_eq!((back.fp.v, back.fp.fpsr, back.fp.fpcr), (f.fp.v, f.fp.fpsr, f.fp.fpcr));
        assert_eq!((back.mask, back.altstack), (f.mask, f.altstack));
    }

    #[test]
    fn offsets_are_those_of_linux() {
        let b = frame().to_bytes(&[0; 128], 0xabcd);
        assert_eq!(words::<1>(&b[304..]), [0xabcd], "uc_mcontext is at 128 + 176");
        assert_eq!(words::<1>(&b[304 + 256..]), [0x7f_0000], "sp");
        assert_eq!(b[592..596], FPSIMD_MAGIC.to_le_bytes(), "__reserved is at 592");
    }

    #[test]
    fn bad_records_are_refused() {
        let mut b = frame().to_bytes(&[0; 128], 0);
        b[592] = 9;
        assert!(SignalFrame::from_bytes(&b).is_none());
        assert!(SignalFrame::from_bytes(&b[..100]).is_none());
    }
}
