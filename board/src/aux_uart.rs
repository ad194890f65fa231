//! Mini UART of the BCM2835 and its descendants (BCM2711 ARM Peripherals, 2.2), transmit side only: lines of text, polled.

// The macros below make types and constants of their own, whose names are the manual's.
#![allow(missing_docs)]

use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::registers::{ReadOnly, ReadWrite, WriteOnly};
use tock_registers::{register_bitfields, register_structs};

register_bitfields! {u32,
    /// AUX_MU_LSR_REG, line status.
    pub Status [
        /// The transmit FIFO can take a byte.
        TX_EMPTY OFFSET(5) NUMBITS(1) [],
    ],
    /// AUX_MU_LCR_REG, line control. Bit 1 belongs to it (errata).
    pub Line [
        DATA_SIZE OFFSET(0) NUMBITS(2) [ EightBits = 3 ],
    ],
    /// AUX_MU_CNTL_REG, extra control.
    pub Control [
        RX OFFSET(0) NUMBITS(1) [],
        TX OFFSET(1) NUMBITS(1) [],
    ],
}

register_structs! {
    /// The registers that we touch, from AUX_MU_IO_REG on.
    pub Registers {
        (0x00 => data: WriteOnly<u32>),
        (0x04 => _reserved0),
        (0x0c => line: ReadWrite<u32, Line::Register>),
        (0x10 => _reserved1),
        (0x14 => status: ReadOnly<u32, Status::Register>),
        (0x18 => _reserved2),
        (0x20 => control: ReadWrite<u32, Control::Register>),
        (0x24 => @END),
    }
}

/// Switches the port on: eight bits, both directions. The baud rate, and that the block is on at all (AUX_ENABLES), is firmware's (`enable_uart=1`).
pub fn enable(port: &Registers) {
    port.line.write(Line::DATA_SIZE::EightBits);
    port.control.write(Control::RX::SET + Control::TX::SET);
}

/// Sends `byte`, waiting while the FIFO is full: bounded by the line's speed, since nobody can stop this port.
pub fn send(port: &Registers, byte: u8) {
    while !port.status.is_set(Status::TX_EMPTY) {
        core::hint::spin_loop();
    }
    port.data.set(u32::from(byte));
}
