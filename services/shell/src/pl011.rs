//! PL011 serial port (Arm DDI 0183): both directions, sending polled, receiving by interrupt.

// The macros below make types and constants of their own, whose names are the manual's.
#![allow(missing_docs)]

use crate::registers;
use abi::bootinfo::BootInfo;
use tock_registers::interfaces::{ReadWriteable, Readable, Writeable};
use tock_registers::registers::{ReadOnly, ReadWrite, WriteOnly};
use tock_registers::{register_bitfields, register_structs};

register_bitfields! {u32,
    /// UARTFR, flags.
    Flags [
        /// Receive FIFO empty.
        RXFE OFFSET(4) NUMBITS(1) [],
        /// Transmit FIFO full.
        TXFF OFFSET(5) NUMBITS(1) [],
    ],
    /// UARTLCR_H, line control.
    LineControl [
        /// FIFOs on.
        FEN OFFSET(4) NUMBITS(1) [],
        /// Word length; 3: eight bits.
        WLEN OFFSET(5) NUMBITS(2) [],
    ],
    /// UARTCR, control.
    Control [
        UARTEN OFFSET(0) NUMBITS(1) [],
        TXE OFFSET(8) NUMBITS(1) [],
        RXE OFFSET(9) NUMBITS(1) [],
    ],
    /// UARTIMSC, UARTICR: interrupts.
    Interrupts [
        /// The receive FIFO is filled to its mark.
        RX OFFSET(4) NUMBITS(1) [],
        /// Something lies in the receive FIFO and nothing more comes.
        RT OFFSET(6) NUMBITS(1) [],
    ],
}

register_structs! {
    Registers {
        (0x00 => data: ReadWrite<u32>),
        (0x04 => _reserved0),
        (0x18 => flags: ReadOnly<u32, Flags::Register>),
        (0x1c => _reserved1),
        (0x2c => line_control: ReadWrite<u32, LineControl::Register>),
        (0x30 => control: ReadWrite<u32, Control::Register>),
        (0x34 => _reserved2),
        (0x38 => mask: ReadWrite<u32, Interrupts::Register>),
        (0x3c => _reserved3),
        (0x44 => clear: WriteOnly<u32, Interrupts::Register>),
        (0x48 => @END),
    }
}

/// A serial port.
pub struct Pl011 {
    registers: &'static Registers,
    intid: u32,
}

impl Pl011 {
    /// This service's port, if the manifest gives it one. Baud rate stays as firmware or EL2 set it; QEMU needs none.
    pub fn find(boot: &'static BootInfo) -> Option<Self> {
        // SAFETY: (1) the layout is the PL011's; (2) tock-registers accesses are volatile, and the device has no DMA of its own.
        let (registers, info) = unsafe { registers::of::<Registers>(boot, "pl011") }?;
        Some(Pl011 { registers, intid: info.intid })
    }

    /// Sets the port up from nothing: eight bits, FIFOs, both directions. Not for a port that EL2 prints on.
    pub fn enable(&self) {
        self.registers.line_control.write(LineControl::FEN::SET + LineControl::WLEN.val(3));
        self.registers.control.write(Control::UARTEN::SET + Control::TXE::SET + Control::RXE::SET);
    }

    /// From now on a received byte interrupts.
    pub fn listen(&self) {
        self.registers.control.modify(Control::RXE::SET);
        self.registers.mask.write(Interrupts::RX::SET + Interrupts::RT::SET);
    }

    /// The next received byte, with its error flags dropped: a damaged byte is as good as any for a person to correct.
    pub fn receive(&self) -> Option<u8> {
        if self.registers.flags.is_set(Flags::RXFE) { None } else { Some(self.registers.data.get() as u8) }
    }

    /// Sends `byte`, or answers `false` when there is no room now.
    pub fn send(&self, byte: u8) -> bool {
        if self.registers.flags.is_set(Flags::TXFF) {
            return false;
        }
        self.registers.data.set(u32::from(byte));
        true
    }

    /// The interrupt was served; the next may come. Call it after the FIFO was emptied.
    pub fn acknowledge(&self) {
        self.registers.clear.write(Interrupts::RX::SET + Interrupts::RT::SET);
        // The interrupt is this domain's own: EL2 cannot refuse.
        let _ = runtime::irq_ack(self.intid);
    }
}
