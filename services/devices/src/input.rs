//! What becomes of a typed byte. The order of the questions is Linux' (`n_tty_receive_char_special`).

use crate::output::{continues, to_tab};
use crate::{Console, LINE_MAX, Uart};
use abi::log::Event;
use linux_raw_sys::general as c;

const SIGNALS: [(u32, u32); 3] = [(c::VINTR, c::SIGINT), (c::VQUIT, c::SIGQUIT), (c::VSUSP, c::SIGTSTP)];

impl Console {
    /// Takes one typed byte.
    pub fn input(&mut self, byte: u8, uart: &mut impl Uart) {
        let byte = if self.modes.takes(c::ISTRIP) { byte & 0x7f } else { byte };
        if core::mem::take(&mut self.literal) {
            return self.ordinary(byte, uart);
        }
        let lower = self.modes.takes(c::IUCLC) && self.modes.has(c::IEXTEN);
        let byte = if lower { byte.to_ascii_lowercase() } else { byte };
        if self.flow(byte) || self.signal(byte, uart) {
            return;
        }
        let byte = match byte {
            b'\r' if self.modes.takes(c::IGNCR) => return,
            b'\r' if self.modes.takes(c::ICRNL) => b'\n',
            b'\n' if self.modes.takes(c::INLCR) => b'\r',
            byte => byte,
        };
        if !(self.modes.has(c::ICANON) && self.edit(byte, uart)) {
            self.ordinary(byte, uart);
        }
    }

    /// Stop and start of output.
    fn flow(&mut self, byte: u8) -> bool {
        if !self.modes.takes(c::IXON) {
            return false;
        }
        let (start, stop) = (self.modes.is(byte, c::VSTART), self.modes.is(byte, c::VSTOP));
        if start || (self.stopped && self.modes.takes(c::IXANY) && !stop) {
            self.stopped = false;
        } else if stop {
            self.stopped = true;
        }
        start || stop
    }

    fn signal(&mut self, byte: u8, uart: &mut impl Uart) -> bool {
        let signal = SIGNALS.iter().find(|(index, _)| self.modes.is(byte, *index));
        let Some((_, signal)) = signal.filter(|_| self.modes.has(c::ISIG)) else { return false };
        self.stopped = false;
        if self.modes.has(c::NOFLSH) {
            self.end_of_burst();
        } else {
            self.line.clear();
            self.data.clear();
        }
        if self.modes.has(c::ECHO) {
            self.echo(byte, uart);
        }
        if self.line.is_empty() {
            self.line_column = self.output.column;
        }
        self.push(&Event::TtySignal(*signal as u8), 1);
        true
    }

    /// The editing keys of canonical mode. `false`: `byte` is none.
    fn edit(&mut self, byte: u8, uart: &mut impl Uart) -> bool {
        let extended = self.modes.has(c::IEXTEN);
        if self.modes.is(byte, c::VERASE) {
            self.erase(byte, Span::Character, uart);
        } else if extended && self.modes.is(byte, c::VWERASE) {
            self.erase(byte, Span::Word, uart);
        } else if self.modes.is(byte, c::VKILL) {
            self.kill(byte, uart);
        } else if extended && self.modes.is(byte, c::VLNEXT) {
            self.literal = true;
            if self.modes.has(c::ECHO) && self.modes.has(c::ECHOCTL) {
                self.output.plain(b'^', &self.modes, uart);
                self.output.plain(b'\x08', &self.modes, uart);
            }
        } else if extended && self.modes.has(c::ECHO) && self.modes.is(byte, c::VREPRINT) {
            self.reprint(byte, uart);
        } else if byte == b'\n' {
            if self.modes.has(c::ECHO) || self.modes.has(c::ECHONL) {
                self.output.put(b'\n', &self.modes, uart);
            }
            self.finish(Some(byte));
        } else if self.modes.is(byte, c::VEOF) {
            self.finish(None);
        } else if self.modes.is(byte, c::VEOL) || (extended && self.modes.is(byte, c::VEOL2)) {
            if self.modes.has(c::ECHO) {
                self.echo(byte, uart);
            }
            self.finish(Some(byte));
        } else {
            return false;
        }
        true
    }

    /// The line is complete.
    fn finish(&mut self, terminator: Option<u8>) {
        let mut line = core::mem::take(&mut self.line);
        if let Some(byte) = terminator {
            // `ordinary` keeps the last place free for it.
            let _kept_free = line.push(byte);
        }
        self.line_column = self.output.column;
        self.push(&Event::TtyLine(&line), line.len());
    }

    /// A byte that means itself.
    fn ordinary(&mut self, byte: u8, uart: &mut impl Uart) {
        if self.modes.has(c::ICANON) {
            if self.line.len() + 1 >= LINE_MAX {
                if self.modes.takes(c::IMAXBEL) {
                    uart.put(b'\x07');
                }
                return;
            }
            if self.line.is_empty() {
                self.line_column = self.output.column;
            }
            let _fits_as_checked = self.line.push(byte);
        } else {
            if self.data.is_full() {
                self.end_of_burst();
            }
            let _fits_after_that = self.data.push(byte);
        }
        if self.modes.has(c::ECHO) {
            self.echo(byte, uart);
        }
    }

    /// Shows a typed byte; a control character as ^X.
    fn echo(&mut self, byte: u8, uart: &mut impl Uart) {
        let control = byte.is_ascii_control() && byte != b'\t' && byte != b'\n';
        if control && self.modes.has(c::ECHOCTL) {
            self.output.plain(b'^', &self.modes, uart);
            self.output.plain(byte ^ 0x40, &self.modes, uart);
        } else {
            self.output.put(byte, &self.modes, uart);
        }
    }

    /// Columns that `byte`, typed at `column`, took.
    fn width(&self, byte: u8, column: usize) -> usize {
        match byte {
            b'\t' => to_tab(column),
            _ if byte.is_ascii_control() => 2 * usize::from(self.modes.has(c::ECHOCTL)),
            _ if continues(byte, &self.modes) => 0,
            _ => 1,
        }
    }

    fn erase(&mut self, key: u8, span: Span, uart: &mut impl Uart) {
        let mut in_word = false;
        while let Some(&last) = self.line.last() {
            let word = last.is_ascii_alphanumeric() || last == b'_';
            if span == Span::Word && in_word && !word {
                break;
            }
            in_word |= word;
            self.erase_one(key, uart);
            if span == Span::Character {
                break;
            }
        }
    }

    /// Takes the last character off the line and the screen.
    fn erase_one(&mut self, key: u8, uart: &mut impl Uart) {
        let mut first = self.line.pop();
        while first.is_some_and(|b| continues(b, &self.modes)) && !self.line.is_empty() {
            first = self.line.pop();
        }
        let Some(first) = first.filter(|_| self.modes.has(c::ECHO)) else { return };
        if !self.modes.has(c::ECHOE) {
            return self.echo(key, uart);
        }
        let column = self.line.iter().fold(self.line_column, |at, b| at + self.width(*b, at));
        let blank = first != b'\t';
        for _ in 0..self.width(first, column) {
            let wipe: &[u8] = if blank { b"\x08 \x08" } else { b"\x08" };
            for &byte in wipe {
                self.output.plain(byte, &self.modes, uart);
            }
        }
    }

    fn kill(&mut self, key: u8, uart: &mut impl Uart) {
        let wipe = [c::ECHOK, c::ECHOKE, c::ECHOE].into_iter().all(|f| self.modes.has(f));
        if self.modes.has(c::ECHO) && wipe {
            while !self.line.is_empty() {
                self.erase_one(key, uart);
            }
            return;
        }
        self.line.clear();
        if self.modes.has(c::ECHO) {
            self.echo(key, uart);
            if self.modes.has(c::ECHOK) {
                self.output.put(b'\n', &self.modes, uart);
            }
        }
    }

    /// Shows the line again on a new line.
    fn reprint(&mut self, key: u8, uart: &mut impl Uart) {
        self.echo(key, uart);
        self.output.put(b'\n', &self.modes, uart);
        self.line_column = self.output.column;
        for i in 0..self.line.len() {
            if let Some(&byte) = self.line.get(i) {
                self.echo(byte, uart);
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Span {
    Character,
    Word,
}
