//! The terminal as the kernel has it: modes, size, groups and the queue of input. Editing and echo happen behind the gate.

use crate::process::Thing;
use crate::signals::{Info, number::*};
use crate::state::State;
use crate::turns::SI_KERNEL;
use abi::turn::TTY_INPUT_MAX;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Size of `struct termios` (asm-generic).
pub const TERMIOS: usize = 36;
const ICANON: u32 = 2;
const NOFLSH: u32 = 0x80;
const TOSTOP: u32 = 0x100;

/// The terminal.
#[derive(Clone)]
pub struct Tty {
    /// `struct termios`.
    pub modes: [u8; TERMIOS],
    /// Rows.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
    /// Pixels, as TIOCSWINSZ set them.
    pub pixels: (u16, u16),
    /// The session whose terminal it is; 0: nobody's.
    pub session: u32,
    /// Foreground process group.
    pub foreground: u32,
    /// Typed bytes.
    pub bytes: VecDeque<u8>,
    /// Where lines end, counted in bytes from the queue's front; the same end twice is an end of file between.
    pub ends: VecDeque<usize>,
}

impl Tty {
    /// As Linux has it at boot.
    pub fn new(rows: u16, columns: u16) -> Tty {
        let mut modes = [0; TERMIOS];
        for (i, flags) in [0x500u32, 0x5, 0xcbd, 0x8a3b].iter().enumerate() {
            modes[i * 4..i * 4 + 4].copy_from_slice(&flags.to_le_bytes());
        }
        let cc = [3, 0x1c, 0x7f, 0x15, 4, 0, 1, 0, 0x11, 0x13, 0x1a, 0, 0x12, 0xf, 0x17, 0x16, 0, 0, 0];
        modes[17..36].copy_from_slice(&cc);
        Tty {
            modes,
            rows,
            columns,
            pixels: (0, 0),
            session: 1,
            foreground: 1,
            bytes: VecDeque::new(),
            ends: VecDeque::new(),
        }
    }

    fn local(&self) -> u32 {
        u32::from_le_bytes([self.modes[12], self.modes[13], self.modes[14], self.modes[15]])
    }

    /// Lines, not bytes.
    pub fn is_canonical(&self) -> bool {
        self.local() & ICANON != 0
    }

    /// Background writers are stopped.
    pub fn stops_writers(&self) -> bool {
        self.local() & TOSTOP != 0
    }

    /// VMIN and VTIME.
    pub fn minimum(&self) -> (u8, u8) {
        (self.modes[17 + 6], self.modes[17 + 5])
    }

    /// Adds typed bytes; a line has an end.
    fn add(&mut self, bytes: &[u8], line: bool) {
        let room = TTY_INPUT_MAX - self.bytes.len().min(TTY_INPUT_MAX);
        let fits = bytes.len().min(room);
        let loose = self.bytes.len() > self.ends.back().copied().unwrap_or(0);
        for &b in &bytes[..fits] {
            self.bytes.push_back(b);
            if !line && b == b'\n' {
                self.ends.push_back(self.bytes.len());
            }
        }
        if line && (fits > 0 || !bytes.is_empty() || loose || room > 0) {
            self.ends.push_back(self.bytes.len());
        }
    }

    /// Whether a read would not wait.
    pub fn is_readable(&self) -> bool {
        if self.is_canonical() { !self.ends.is_empty() } else { !self.bytes.is_empty() }
    }

    /// Takes what a read of `count` bytes gets; none: it waits.
    pub fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        if !self.is_canonical() {
            let n = count.min(self.bytes.len());
            let out = (n > 0).then(|| self.bytes.drain(..n).collect());
            // Ends of units are forgotten; a '\n' stays one.
            self.ends = self.lines().collect();
            return out;
        }
        let end = *self.ends.front()?;
        let n = count.min(end);
        let out = self.bytes.drain(..n).collect();
        self.ends.iter_mut().for_each(|e| *e -= n);
        if n == end {
            self.ends.pop_front();
        }
        Some(out)
    }

    /// The places behind each '\n' of the queue.
    pub fn lines(&self) -> impl Iterator<Item = usize> + '_ {
        self.bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1)
    }

    /// FIONREAD.
    pub fn readable_bytes(&self) -> usize {
        if self.is_canonical() { self.ends.back().copied().unwrap_or(0) } else { self.bytes.len() }
    }

    /// Empties the queue.
    pub fn flush(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

impl State {
    /// Input from the log.
    pub fn tty_input(&mut self, bytes: &[u8], line: bool) {
        self.tty.add(bytes, line);
        self.wake(Thing::Terminal);
    }

    /// A signal character was typed.
    pub fn tty_signal(&mut self, signal: u8) {
        if self.tty.local() & NOFLSH == 0 {
            self.tty.flush();
        }
        let group = self.tty.foreground;
        if (1..=64).contains(&signal) && group != 0 {
            self.signal_group(group, Info { signal, code: SI_KERNEL, ..Info::default() });
        }
    }

    /// Whether a process is in the background of its terminal.
    pub fn in_background(&self, serial: u64) -> bool {
        let p = self.process(serial);
        self.tty.session != 0 && p.session == self.tty.session && p.group != self.tty.foreground
    }

    /// Job control for a call of a background process: `Some`: its outcome, else the call goes on.
    pub fn job_control(
        &mut self,
        serial: u64,
        signal: u8,
    ) -> Option<crate::errno::Result<crate::calls::Outcome>> {
        if !self.in_background(serial) {
            return None;
        }
        let p = self.process(serial);
        let deaf = p.signals.mask & crate::signals::bit(signal) != 0
            || p.signals.action(signal).handler == crate::signals::IGNORE;
        if deaf {
            return (signal == SIGTTIN).then_some(Err(crate::errno::EIO));
        }
        if self.is_orphaned(p.group) {
            return Some(Err(crate::errno::EIO));
        }
        let group = p.group;
        self.signal_group(group, Info { signal, code: SI_KERNEL, ..Info::default() });
        Some(Ok(crate::calls::Outcome::Interrupted))
    }
}
