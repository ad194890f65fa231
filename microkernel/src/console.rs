//! Lines on the operator's console. A line is whole: cores take turns by a lock round it.

use crate::arch::sync::Lock;
use crate::memory;
use board::{Console, Port, SetUp, aux_uart, gpio, pl011};
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU64, Ordering};

/// The operator's port, and the other one until the domains run: its address, with bit 0 set for a mini UART; 0: none. Plain loads and
/// stores, for they are set with the MMU off, where hardware has no exclusives.
static PORTS: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
static LOCK: Lock = Lock::new();
/// Tries before a line is printed regardless: far longer than any line takes.
const SPINS: u32 = 50_000_000;
const AUX: u64 = 1;

struct Text(Port);

impl Write for Text {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        match self.0 {
            Port::Pl011(address) => s.bytes().for_each(|b| pl011::send(memory::device(address), b)),
            Port::Aux(address) => s.bytes().for_each(|b| aux_uart::send(memory::device(address), b)),
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
            address | AUX
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

/// From now on lines go to the operator's port alone: the other one is the program's.
pub fn leave_boot_port() {
    PORTS[1].store(0, Ordering::Relaxed);
}

/// Prints one line.
pub fn line(text: fmt::Arguments<'_>) {
    let ports = PORTS.each_ref().map(|p| p.load(Ordering::Relaxed));
    if ports == [0; 2] {
        return;
    }
    LOCK.with(SPINS, || {
        for word in ports.into_iter().filter(|&p| p != 0) {
            let mut port = Text(if word & AUX == 0 { Port::Pl011(word) } else { Port::Aux(word & !AUX) });
            // Writing to the port cannot fail; a Display that fails leaves a short line.
            let _ = port.write_fmt(text);
            let _ = port.write_str("\n");
        }
    });
}

/// Prints one line: `println!` for EL2.
#[macro_export]
macro_rules! say {
    ($($arg:tt)*) => { $crate::console::line(format_args!($($arg)*)) };
}

/// Text from below: control characters and bytes that are not UTF-8 show as '?', so that nobody steers the operator's terminal.
pub struct Printable<'a>(pub &'a [u8]);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                f.write_char(if c.is_control() { '?' } else { c })?;
            }
            for _ in chunk.invalid() {
                f.write_char('?')?;
            }
        }
        Ok(())
    }
}
