//! PL011 serial port (Arm DDI 0183), transmit side only: lines of text, polled. Receiving belongs to the service that owns the port.

// The macros below make types and constants of their own, whose names are the manual's.
#![allow(missing_docs)]

use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::registers::{ReadOnly, ReadWrite, WriteOnly};
use tock_registers::{register_bitfields, register_structs};

register_bitfields! {u32,
    /// UARTFR, flags.
    pub Flags [
        /// Transmit FIFO full.
        TXFF OFFSET(5) NUMBITS(1) [],
    ],
    /// UARTCR, control.
    pub Control [
        /// Port enable.
        UARTEN OFFSET(0) NUMBITS(1) [],
        /// Transmit enable.
        TXE OFFSET(8) NUMBITS(1) [],
        /// Receive enable.
        RXE OFFSET(9) NUMBITS(1) [],
    ],
}

register_structs! {
    /// The registers that we touch.
    pub Registers {
        (0x00 => data: WriteOnly<u32>),
        (0x04 => _reserved0),
        (0x18 => flags: ReadOnly<u32, Flags::Register>),
        (0x1c => _reserved1),
        (0x30 => control: ReadWrite<u32, Control::Register>),
        (0x34 => @END),
    }
}

/// Switches the port on. Baud rate and format stay as firmware set them; QEMU needs none.
pub fn enable(port: &Registers) {
    port.control.write(Control::UARTEN::SET + Control::TXE::SET + Control::RXE::SET);
}

/// Sends `byte`, waiting while the FIFO is full: bounded by the line's speed, since nobody can stop this port.
pub fn send(port: &Registers, byte: u8) {
    while port.flags.is_set(Flags::TXFF) {
        core::hint::spin_loop();
    }
    port.data.set(u32::from(byte));
}
