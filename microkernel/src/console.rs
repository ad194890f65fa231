//! Lines on the operator's console. A line is whole: cores take turns by a lock round it. What a line is made of is [`Part`]s: all of
//! `core::fmt` would be a fifth of the text that is left of EL2.

use crate::arch::sync::Lock;
use crate::memory;
use abi::bootinfo::Name;
use abi::handover::PORT_AUX;
use board::{aux_uart, pl011};
use core::sync::atomic::{AtomicU64, Ordering};

/// The operator's port, and the other one until the domains run, as the handover has them. Plain loads and stores, for they are set with
/// the MMU off, where hardware has no exclusives.
static PORTS: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
static LOCK: Lock = Lock::new();
/// Tries before a line is printed regardless: far longer than any line takes.
const SPINS: u32 = 50_000_000;

/// A piece of a line.
#[derive(Clone, Copy)]
pub enum Part<'a> {
    /// As it is.
    Text(&'a str),
    /// Without the zeros behind it.
    Name(&'a Name),
    /// From below: what is no printable ASCII shows as '?', so that nobody steers the operator's terminal.
    Foreign(&'a [u8]),
    /// Decimal.
    Number(u64),
    /// Hexadecimal, with 0x.
    Hex(u64),
    /// Each hexadecimal, behind a space.
    Addresses(&'a [u64]),
    /// All these.
    Parts(&'a [Part<'a>]),
}

impl<'a> From<&'a str> for Part<'a> {
    fn from(text: &'a str) -> Self {
        Part::Text(text)
    }
}

impl<'a> From<&'a Name> for Part<'a> {
    fn from(name: &'a Name) -> Self {
        Part::Name(name)
    }
}

impl From<u64> for Part<'_> {
    fn from(number: u64) -> Self {
        Part::Number(number)
    }
}

impl From<usize> for Part<'_> {
    fn from(number: usize) -> Self {
        Part::Number(number as u64)
    }
}

/// Digits of `n` to base `base`, at most 16.
fn digits(mut n: u64, base: u64, put: &mut dyn FnMut(u8)) {
    // u64::MAX has 20 digits.
    let mut text = [0; 20];
    let mut first = text.len();
    for place in text.iter_mut().rev() {
        let digit = (n % base) as u8;
        *place = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
        first -= 1;
        n /= base;
        if n == 0 {
            break;
        }
    }
    text.iter().skip(first).for_each(|&b| put(b));
}

/// Gives `put` the bytes of `parts`.
pub fn write(parts: &[Part<'_>], put: &mut dyn FnMut(u8)) {
    for part in parts {
        match *part {
            Part::Text(text) => text.bytes().for_each(&mut *put),
            Part::Name(name) => name.iter().take_while(|b| **b != 0).for_each(|&b| put(b)),
            Part::Foreign(bytes) => {
                bytes.iter().for_each(|&b| put(if matches!(b, b' '..=b'~') { b } else { b'?' }));
            }
            Part::Number(n) => digits(n, 10, put),
            Part::Hex(n) => {
                b"0x".iter().for_each(|&b| put(b));
                digits(n, 16, put);
            }
            Part::Addresses(all) => {
                all.iter().for_each(|&a| write(&[Part::Text(" "), Part::Hex(a)], put));
            }
            Part::Parts(parts) => write(parts, put),
        }
    }
}

/// Says where the console is: ports that the loader has switched on.
pub fn start(ports: [u64; 2]) {
    PORTS.iter().zip(ports).for_each(|(word, port)| word.store(port, Ordering::Relaxed));
}

/// From now on lines go to the operator's port alone: the other one is the program's.
pub fn leave_boot_port() {
    PORTS[1].store(0, Ordering::Relaxed);
}

/// Prints one line.
pub fn line(parts: &[Part<'_>]) {
    let ports = PORTS.each_ref().map(|p| p.load(Ordering::Relaxed));
    if ports == [0; 2] {
        return;
    }
    LOCK.with(SPINS, || {
        for word in ports.into_iter().filter(|&p| p != 0) {
            let address = word & !PORT_AUX;
            let mut put = |b| match word & PORT_AUX {
                0 => pl011::send(memory::device(address), b),
                _ => aux_uart::send(memory::device(address), b),
            };
            write(parts, &mut put);
            put(b'\n');
        }
    });
}

/// Prints one line: `println!` for EL2.
#[macro_export]
macro_rules! say {
    ($($part:expr),* $(,)?) => { $crate::console::line(&[$($part.into()),*]) };
}
