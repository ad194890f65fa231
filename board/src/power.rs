//! Power manager of the BCM2835 and its descendants: its watchdog resets the machine, and what is left in RSTS tells the firmware to stay off.
//! (The manual leaves it out; the layout is that of Linux' drivers/watchdog/bcm2835_wdt.c.)

// The macro below makes types of its own, whose names are those of the registers.
#![allow(missing_docs)]

use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::register_structs;
use tock_registers::registers::ReadWrite;

register_structs! {
    pub Registers {
        (0x00 => _reserved0),
        (0x1c => rstc: ReadWrite<u32>),
        (0x20 => rsts: ReadWrite<u32>),
        (0x24 => wdog: ReadWrite<u32>),
        (0x28 => @END),
    }
}

/// Every write carries it.
const PASSWORD: u32 = 0x5a00_0000;
/// RSTC, bits 5:4: what happens when the watchdog barks; 2: full reset.
const RSTC_ACTION: u32 = 0x30;
const RSTC_FULL_RESET: u32 = 0x20;
/// RSTS, the partition to boot from, in the even bits of 0 to 10; 63: none, stay off.
const RSTS_HALT: u32 = 0x555;
/// The watchdog counts in units of 1/65536 s.
const TICKS: u32 = 10;

/// What RSTS and RSTC are to hold, from what they hold.
fn halting(rsts: u32, rstc: u32) -> (u32, u32) {
    (PASSWORD | rsts | RSTS_HALT, PASSWORD | rstc & !RSTC_ACTION | RSTC_FULL_RESET)
}

/// Turns the machine off, or resets a board whose firmware cannot keep it off; it takes a fraction of a millisecond.
pub fn off(registers: &Registers) {
    let (rsts, rstc) = halting(registers.rsts.get(), registers.rstc.get());
    registers.rsts.set(rsts);
    registers.wdog.set(PASSWORD | TICKS);
    registers.rstc.set(rstc);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn off_keeps_other_bits_and_carries_the_password() {
        assert_eq!(halting(0x1000, 0x102), (0x5a00_1555, 0x5a00_0122));
        assert_eq!(halting(0, 0x30), (0x5a00_0555, 0x5a00_0020));
    }
}
