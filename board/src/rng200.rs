//! The hardware random number generator of the BCM2711 (as Linux' drivers/char/hw_random/iproc-rng200.c knows it).

// The macro below makes types of its own, whose names are those of the registers.
#![allow(missing_docs)]

use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::register_structs;
use tock_registers::registers::{ReadOnly, ReadWrite};

register_structs! {
    pub Registers {
        (0x00 => control: ReadWrite<u32>),
        (0x04 => _reserved0),
        (0x20 => data: ReadOnly<u32>),
        (0x24 => count: ReadOnly<u32>),
        (0x28 => @END),
    }
}

const ENABLE_MASK: u32 = 0x1fff;
const ENABLE: u32 = 1;
/// Words in the FIFO.
const COUNT_MASK: u32 = 0xff;
/// Looks at the FIFO before the device is given up: seconds, where a word takes microseconds.
const TRIES: u32 = 50_000_000;

/// 32 random bytes; `None` when the device gives none, or a word twice in a row.
pub fn seed(registers: &Registers) -> Option<[u8; 32]> {
    registers.control.set(registers.control.get() & !ENABLE_MASK | ENABLE);
    let mut seed = [0; 32];
    let mut last = 0;
    for bytes in seed.chunks_mut(4) {
        (0..TRIES).find(|_| registers.count.get() & COUNT_MASK > 0)?;
        let word = registers.data.get();
        if word == last {
            return None;
        }
        bytes.copy_from_slice(&word.to_le_bytes());
        last = word;
    }
    Some(seed)
}
