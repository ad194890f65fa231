//! Mini UART of the BCM2835 and its descendants (BCM2711 ARM Peripherals, 2.2): both directions, sending polled, receiving by interrupt.

// The macros below make types and constants of their own, whose names are the manual's.
#![allow(missing_docs)]

use crate::registers;
use abi::bootinfo::BootInfo;
use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::registers::{ReadOnly, ReadWrite};
use tock_registers::{register_bitfields, register_structs};

register_bitfields! {u32,
    /// AUX_MU_IER_REG, interrupts. Bits 2 and 3 must be set for reception to interrupt (errata).
    Interrupts [
        RECEIVE OFFSET(0) NUMBITS(1) [],
        REQUIRED OFFSET(2) NUMBITS(2) [ Set = 3 ],
    ],
    /// AUX_MU_LSR_REG, line status.
    Status [
        /// The receive FIFO holds a byte.
        DATA_READY OFFSET(0) NUMBITS(1) [],
        /// The transmit FIFO can take a byte.
        TX_EMPTY OFFSET(5) NUMBITS(1) [],
    ],
}

register_structs! {
    /// A page: the block's own registers begin at 0x40.
    Registers {
        (0x00 => _reserved0),
        (0x40 => data: ReadWrite<u32>),
        (0x44 => interrupts: ReadWrite<u32, Interrupts::Register>),
        (0x48 => _reserved1),
        (0x54 => status: ReadOnly<u32, Status::Register>),
        (0x58 => @END),
    }
}

/// A mini UART.
pub struct AuxUart {
    registers: &'static Registers,
    intid: u32,
}

impl AuxUart {
    /// This service's port, if the manifest gives it one.
    pub fn find(boot: &'static BootInfo) -> Option<Self> {
        // SAFETY: (1) the layout is the mini UART's, which lies at 0x40 of its page; (2) tock-registers accesses are volatile, and the device has no DMA of its own.
        let (registers, info) = unsafe { registers::of::<Registers>(boot, "aux-uart") }?;
        Some(AuxUart { registers, intid: info.intid })
    }

    /// From now on a received byte interrupts.
    pub fn listen(&self) {
        self.registers.interrupts.write(Interrupts::RECEIVE::SET + Interrupts::REQUIRED::Set);
    }

    /// The next received byte.
    pub fn receive(&self) -> Option<u8> {
        self.registers.status.is_set(Status::DATA_READY).then(|| self.registers.data.get() as u8)
    }

    /// Sends `byte`, or answers `false` when there is no room now.
    pub fn send(&self, byte: u8) -> bool {
        let room = self.registers.status.is_set(Status::TX_EMPTY);
        if room {
            self.registers.data.set(u32::from(byte));
        }
        room
    }

    /// The interrupt was served (the FIFO was emptied); the next may come.
    pub fn acknowledge(&self) {
        // The interrupt is this domain's own: EL2 cannot refuse.
        let _ = runtime::irq_ack(self.intid);
    }
}
