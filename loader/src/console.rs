//! Lines for a person: on the operator's console, and on the other port that the board has for the start.

use crate::memory;
use abi::handover::PORT_AUX;
use board::{Console, Port, SetUp, aux_uart, gpio, pl011};
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU64, Ordering};

/// The ports as the handover has them. Plain loads and stores, for they are set with the MMU off, where hardware has no exclusives.
static PORTS: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

struct Text(u64);

impl Write for Text {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let address = self.0 & !PORT_AUX;
        match self.0 & PORT_AUX {
            0 => s.bytes().for_each(|b| pl011::send(memory::device(address), b)),
            _ => s.bytes().for_each(|b| aux_uart::send(memory::device(address), b)),
        }
        Ok(())
    }
}

fn enable(port: Port) -> u64 {
    match port {
        Port::Pl011(address) => {
            pl011::enable(memory::device(address));
            address
        }
        Port::Aux(address) => {
            aux_uart::enable(memory::device(address));
            address | PORT_AUX
        }
    }
}

/// Says where the console is.
pub fn start(console: Console) {
    if let Some(pi) = console.set_up {
        gpio::header_to_pl011(memory::device(pi.gpio));
        pl011::set_rate(memory::device(pi.pl011), SetUp::CLOCK_HZ, SetUp::BAUD);
    }
    PORTS[0].store(enable(console.operator), Ordering::Relaxed);
    PORTS[1].store(console.at_boot.map_or(0, enable), Ordering::Relaxed);
}

/// The ports, for the microkernel.
pub fn ports() -> [u64; 2] {
    PORTS.each_ref().map(|p| p.load(Ordering::Relaxed))
}

/// Prints one line.
pub fn line(text: fmt::Arguments<'_>) {
    for port in ports().into_iter().filter(|&p| p != 0) {
        // Writing to the port cannot fail; a Display that fails leaves a short line.
        let _ = Text(port).write_fmt(text);
        let _ = Text(port).write_str("\n");
    }
}

/// Prints one line: `println!` for the loader.
#[macro_export]
macro_rules! say {
    ($($arg:tt)*) => { $crate::console::line(format_args!($($arg)*)) };
}
