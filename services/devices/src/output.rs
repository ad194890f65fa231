//! Output processing: what OPOST and its kin make of a byte, and where the cursor is afterwards.

use crate::Uart;
use crate::modes::Modes;
use linux_raw_sys::general as c;

/// Distance of tab stops.
const TAB: usize = 8;

/// The cursor's column, as far as the bytes put out tell.
#[derive(Default)]
pub struct Output {
    /// Columns from the left.
    pub column: usize,
}

/// Columns to the next tab stop.
pub fn to_tab(column: usize) -> usize {
    TAB - column % TAB
}

impl Output {
    /// Puts one byte out as the modes say.
    pub fn put(&mut self, byte: u8, modes: &Modes, uart: &mut impl Uart) {
        let flag = |f: u32| modes.output & f != 0;
        if !flag(c::OPOST) {
            return self.plain(byte, modes, uart);
        }
        match byte {
            b'\n' if flag(c::ONLCR) => {
                self.column = 0;
                uart.put(b'\r');
                uart.put(b'\n');
            }
            b'\n' => {
                self.column = if flag(c::ONLRET) { 0 } else { self.column };
                uart.put(b'\n');
            }
            b'\r' if flag(c::ONOCR) && self.column == 0 => {}
            b'\r' if flag(c::OCRNL) => {
                self.column = if flag(c::ONLRET) { 0 } else { self.column };
                uart.put(b'\n');
            }
            b'\t' if modes.output & c::TABDLY == c::XTABS => {
                for _ in 0..to_tab(self.column) {
                    self.plain(b' ', modes, uart);
                }
            }
            _ if flag(c::OLCUC) => self.plain(byte.to_ascii_uppercase(), modes, uart),
            _ => self.plain(byte, modes, uart),
        }
    }

    /// Puts one byte out as it is.
    pub fn plain(&mut self, byte: u8, modes: &Modes, uart: &mut impl Uart) {
        self.column = match byte {
            b'\r' => 0,
            b'\x08' => self.column.saturating_sub(1),
            b'\t' => self.column.saturating_add(to_tab(self.column)),
            0..=0x1f | 0x7f => self.column,
            _ if continues(byte, modes) => self.column,
            _ => self.column.saturating_add(1),
        };
        uart.put(byte);
    }
}

/// Whether `byte` goes on with a character begun before it (UTF-8).
pub fn continues(byte: u8, modes: &Modes) -> bool {
    modes.takes(c::IUTF8) && byte & 0xc0 == 0x80
}
