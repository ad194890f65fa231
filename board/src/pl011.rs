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
    /// UARTLCR_H, line control.
    pub Line [
        /// FIFOs on.
        FEN OFFSET(4) NUMBITS(1) [],
        /// Word length; 3: eight bits.
        WLEN OFFSET(5) NUMBITS(2) [],
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
        (0x24 => whole_divisor: WriteOnly<u32>),
        (0x28 => fractional_divisor: WriteOnly<u32>),
        (0x2c => line: ReadWrite<u32, Line::Register>),
        (0x30 => control: ReadWrite<u32, Control::Register>),
        (0x34 => @END),
    }
}

/// Sets the line up from nothing, while nothing is under way: `baud` from a clock of `clock_hz`, eight bits (3.3.6: the divisor has six bits of
/// fraction, and takes effect with the next write of UARTLCR_H).
pub fn set_rate(port: &Registers, clock_hz: u32, baud: u32) {
    let divisor = (clock_hz as u64 * 4 + baud as u64 / 2) / baud as u64;
    port.control.set(0);
    port.whole_divisor.set((divisor >> 6) as u32);
    port.fractional_divisor.set((divisor & 0x3f) as u32);
    port.line.write(Line::FEN::SET + Line::WLEN.val(3));
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
