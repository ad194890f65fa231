//! Lines on the operator's console. A line is whole: cores take turns by a lock round it.

use crate::arch::sync::Lock;
use crate::memory;
use board::pl011;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU64, Ordering};

/// Address of the port; 0: not known. Plain loads and stores, for it is set with the MMU off, where hardware has no exclusives.
static PORT: AtomicU64 = AtomicU64::new(0);
static LOCK: Lock = Lock::new();
/// Tries before a line is printed regardless: far longer than any line takes.
const SPINS: u32 = 50_000_000;

struct Port(&'static pl011::Registers);

impl Write for Port {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        s.bytes().for_each(|b| pl011::send(self.0, b));
        Ok(())
    }
}

/// Says where the console is.
pub fn start(address: u64) {
    PORT.store(address, Ordering::Relaxed);
    pl011::enable(memory::device(address));
}

/// Prints one line.
pub fn line(text: fmt::Arguments<'_>) {
    let address = PORT.load(Ordering::Relaxed);
    if address == 0 {
        return;
    }
    LOCK.with(SPINS, || {
        let mut port = Port(memory::device(address));
        // Writing to the port cannot fail; a Display that fails leaves a short line.
        let _ = port.write_fmt(text);
        let _ = port.write_str("\n");
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
