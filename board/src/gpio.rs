//! Pins of the BCM2711 (ARM Peripherals, chapter 5), as far as the serial line needs them.

// The macros below make types and constants of their own, whose names are the manual's.
#![allow(missing_docs)]

use tock_registers::interfaces::ReadWriteable;
use tock_registers::registers::ReadWrite;
use tock_registers::{register_bitfields, register_structs};

register_bitfields! {u32,
    /// GPFSEL1, functions of pins 10 to 19, and GPIO_PUP_PDN_CNTRL_REG0, pulls of pins 0 to 15.
    Function [
        PIN14 OFFSET(12) NUMBITS(3) [ Alternate0 = 4 ],
        PIN15 OFFSET(15) NUMBITS(3) [ Alternate0 = 4 ],
    ],
    Pull [
        PIN14 OFFSET(28) NUMBITS(2) [ None = 0 ],
        /// An open receive line must not look like a break.
        PIN15 OFFSET(30) NUMBITS(2) [ Up = 1 ],
    ],
}

register_structs! {
    pub Registers {
        (0x00 => _reserved0),
        (0x04 => functions1: ReadWrite<u32, Function::Register>),
        (0x08 => _reserved1),
        (0xe4 => pulls0: ReadWrite<u32, Pull::Register>),
        (0xe8 => @END),
    }
}

/// Puts the PL011 on GPIO 14 (TXD) and 15 (RXD), pins 8 and 10 of the header, where firmware has put the mini UART (`enable_uart=1`).
pub fn header_to_pl011(registers: &Registers) {
    registers.functions1.modify(Function::PIN14::Alternate0 + Function::PIN15::Alternate0);
    registers.pulls0.modify(Pull::PIN14::None + Pull::PIN15::Up);
}
