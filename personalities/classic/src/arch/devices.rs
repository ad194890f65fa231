//! The virtual GIC CPU interface (a GICv2 CPU interface to us) and the virtual timer.

use super::OFFSET;
use aarch64_cpu::registers::{CNTV_CTL_EL0, CNTV_CVAL_EL0};
use abi::hypercall::{DOORBELL_INTID, TIMER_INTID};
use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::register_structs;
use tock_registers::registers::{ReadOnly, ReadWrite, WriteOnly};

/// Where EL2 shows it (`abi::bootinfo`).
const CPU_INTERFACE_IPA: u64 = 0x0801_0000;
/// Nothing is pending.
const SPURIOUS: u32 = 1020;

register_structs! {
    CpuInterface {
        (0x0000 => ctlr: ReadWrite<u32>),
        (0x0004 => pmr: ReadWrite<u32>),
        (0x0008 => bpr: ReadWrite<u32>),
        (0x000c => iar: ReadOnly<u32>),
        (0x0010 => eoir: WriteOnly<u32>),
        (0x0014 => @END),
    }
}

/// The two devices of this kernel.
pub struct Devices {
    gic: &'static CpuInterface,
}

impl Devices {
    /// Interrupts on (they stay masked at EL1), timer off.
    pub fn new() -> Devices {
        CNTV_CTL_EL0.set(0);
        // SAFETY: (1) EL2 shows the interface at this address, and `kernel_map` maps it as device memory; (2) it is used through this
        // one reference only.
        let gic = unsafe { &*((CPU_INTERFACE_IPA + OFFSET) as *const CpuInterface) };
        gic.pmr.set(0xf0);
        gic.ctlr.set(1);
        Devices { gic }
    }

    /// The timer interrupts when the counter reaches `at`; `None`: not at all.
    pub fn set_timer(&self, at: Option<u64>) {
        match at {
            Some(at) => {
                CNTV_CVAL_EL0.set(at);
                CNTV_CTL_EL0.set(1);
            }
            None => CNTV_CTL_EL0.set(0),
        }
    }

    /// Answers all pending interrupts. What a doorbell means is found in the channels.
    pub fn answer(&self) {
        loop {
            let acknowledged = self.gic.iar.get();
            match acknowledged & 0x3ff {
                TIMER_INTID => CNTV_CTL_EL0.set(0),
                // The word is taken before the end of the interrupt, so that the next change rings again.
                DOORBELL_INTID => drop(runtime::poll()),
                SPURIOUS.. => return,
                _ => {}
            }
            self.gic.eoir.set(acknowledged);
        }
    }
}
