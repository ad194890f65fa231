//! The terminal: modes, size, foreground group, session and the input queue. Line editing and echo happen behind the gate.

use super::linux::*;
use super::syscalls::{Answer, Call, Stop};
use super::{Caller, Fs, Outcome, SignalTarget, WaitKey};
use crate::errno::*;
use abi::log::Event;
use abi::turn::{TTY_INPUT_MAX, TTY_SLICE};
use abi::vote::EffectKind;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Bytes of `struct termios`.
pub const TERMIOS: usize = 36;
const ICANON: u32 = 0x2;
const NOFLSH: u32 = 0x80;
const TOSTOP: u32 = 0x100;
const VTIME: usize = 5;
const VMIN: usize = 6;

/// What stands in the input queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// A byte.
    Byte(u8),
    /// The end of a line that has bytes.
    LineEnd,
    /// End of file: an empty line.
    Eof,
}

/// The terminal.
pub struct Tty {
    /// `struct termios`.
    pub modes: [u8; TERMIOS],
    /// `struct winsize`: rows, columns and their sizes in pixels.
    pub size: [u16; 4],
    /// Foreground group; 0: none.
    pub foreground: u32,
    /// The session whose controlling terminal it is.
    pub session: Option<u32>,
    queue: VecDeque<Item>,
}

impl Tty {
    /// In Linux' default modes.
    pub fn new(rows: u16, columns: u16) -> Tty {
        let mut modes = [0; TERMIOS];
        for (word, value) in modes.chunks_exact_mut(4).zip([0x500u32, 0x5, 0xcbd, 0x8a3b]) {
            word.copy_from_slice(&value.to_le_bytes());
        }
        let cc = [3, 0x1c, 0x7f, 0x15, 4, 0, 1, 0, 0x11, 0x13, 0x1a, 0, 0x12, 0x0f, 0x17, 0x16, 0, 0, 0];
        modes[17..].copy_from_slice(&cc);
        Tty { modes, size: [rows, columns, 0, 0], foreground: 0, session: None, queue: VecDeque::new() }
    }

    fn local(&self) -> u32 {
        u32::from_le_bytes([self.modes[12], self.modes[13], self.modes[14], self.modes[15]])
    }

    fn canonical(&self) -> bool {
        self.local() & ICANON != 0
    }

    /// Whether a write from the background stops.
    fn tostop(&self) -> bool {
        self.local() & TOSTOP != 0
    }

    fn vmin(&self) -> u8 {
        self.modes[17 + VMIN]
    }

    fn vtime(&self) -> u8 {
        self.modes[17 + VTIME]
    }

    fn bytes(&self) -> usize {
        self.queue.iter().filter(|item| matches!(item, Item::Byte(_))).count()
    }

    /// The bytes in the queue.
    pub fn queued(&self) -> Vec<u8> {
        self.queue.iter().filter_map(|item| if let Item::Byte(b) = item { Some(*b) } else { None }).collect()
    }

    /// What stands in the queue.
    pub fn items(&self) -> impl Iterator<Item = Item> + '_ {
        self.queue.iter().copied()
    }

    /// Puts a queue in its place.
    pub fn set_items(&mut self, queue: VecDeque<Item>) {
        self.queue = queue;
    }

    /// Forgets all input.
    pub fn flush(&mut self) {
        self.queue.clear();
    }

    /// Whether a read would not block.
    pub fn readable(&self) -> bool {
        match self.canonical() {
            true => self.queue.iter().any(|item| !matches!(item, Item::Byte(b) if *b != b'\n')),
            false => self.vmin() == 0 && self.vtime() == 0 || self.bytes() > 0,
        }
    }

    /// What FIONREAD tells: bytes in whole lines, or all bytes in raw mode.
    pub fn available(&self) -> usize {
        if !self.canonical() {
            return self.bytes();
        }
        let ends = |item: &Item| !matches!(item, Item::Byte(b) if *b != b'\n');
        let upto = self.queue.iter().rposition(ends).map_or(0, |i| i + 1);
        self.queue.iter().take(upto).filter(|item| matches!(item, Item::Byte(_))).count()
    }

    /// Adds bytes while there is room; an end of file takes the room of one.
    fn add(&mut self, bytes: &[u8], line: bool) -> bool {
        let room =
            TTY_INPUT_MAX.saturating_sub(self.queue.iter().filter(|item| **item != Item::LineEnd).count());
        let bytes = &bytes[..bytes.len().min(room)];
        let open = matches!(self.queue.back(), Some(Item::Byte(b)) if *b != b'\n');
        self.queue.extend(bytes.iter().map(|b| Item::Byte(*b)));
        if !line {
            return !bytes.is_empty();
        }
        match (bytes.is_empty(), room) {
            (false, _) => self.queue.push_back(Item::LineEnd),
            // Pushes out what was typed before it.
            (true, _) if open => self.queue.push_back(Item::LineEnd),
            (true, 0) => return false,
            (true, _) => self.queue.push_back(Item::Eof),
        }
        true
    }

    /// Takes a line, or as much of it as `len` bytes. `readable` was true.
    fn take_line(&mut self, len: usize) -> Vec<u8> {
        let mut line = Vec::new();
        while line.len() < len {
            match self.queue.pop_front() {
                Some(Item::Byte(b)) => line.push(b),
                _ => return line,
            }
            if line.last() == Some(&b'\n') {
                break;
            }
        }
        // The end of the line that was just read whole is no end of file.
        if self.queue.front() == Some(&Item::LineEnd) {
            self.queue.pop_front();
        }
        line
    }

    fn take_raw(&mut self, len: usize) -> Vec<u8> {
        let n = self.queue.len().min(len);
        self.queue
            .drain(..n)
            .filter_map(|item| if let Item::Byte(b) = item { Some(b) } else { None })
            .collect()
    }
}

impl Fs {
    /// Whether the terminal is the caller's controlling terminal.
    pub(super) fn controls(&self, caller: &Caller<'_>) -> bool {
        self.tty.session == Some(caller.sid)
    }

    /// Linux' job control: a caller of the terminal's session that is not in the foreground is stopped by `signal`.
    pub(super) fn job_control(&mut self, caller: &Caller<'_>, signal: u8) -> Result<(), Stop> {
        let foreground = self.tty.foreground;
        if !self.controls(caller) || foreground == 0 || foreground == caller.pgid {
            return Ok(());
        }
        if caller.system.caller_ignores_or_blocks(signal) {
            return if signal == SIGTTIN { Err(EIO.into()) } else { Ok(()) };
        }
        if caller.system.caller_group_orphaned() {
            return Err(EIO.into());
        }
        self.signals.push((SignalTarget::Group(caller.pgid), signal));
        Err(Stop::Out(Outcome::Restart))
    }

    pub(super) fn read_tty(&mut self, call: &mut Call<'_, '_>, nonblocking: bool, len: u64) -> Answer {
        self.job_control(call.caller, SIGTTIN)?;
        if len == 0 {
            return Ok(0);
        }
        let canonical = self.tty.canonical();
        if !canonical {
            self.tty.queue.retain(|item| matches!(item, Item::Byte(_)));
        }
        let empty = if canonical { !self.tty.readable() } else { self.tty.bytes() == 0 };
        if empty {
            return self.wait_for_input(call, nonblocking);
        }
        if self.tty.queue.front() == Some(&Item::Eof) {
            self.tty.queue.pop_front();
            return Ok(0);
        }
        let n = call.buffer.touchable_out(call.user, 0, len.min(TTY_INPUT_MAX as u64))? as usize;
        let bytes = if canonical { self.tty.take_line(n) } else { self.tty.take_raw(n) };
        call.buffer.copy_out(call.user, 0, &bytes)?;
        Ok(bytes.len() as i64)
    }

    fn wait_for_input(&mut self, call: &mut Call<'_, '_>, nonblocking: bool) -> Answer {
        let mut deadline_us = None;
        if !self.tty.canonical() && self.tty.vmin() == 0 {
            let wait_us = u64::from(self.tty.vtime()) * 100_000;
            let until =
                *call.caller.progress.deadline_us.get_or_insert(call.caller.now_us.saturating_add(wait_us));
            if wait_us == 0 || call.caller.now_us >= until {
                return Ok(0);
            }
            deadline_us = Some(until);
        }
        if nonblocking {
            return Err(EAGAIN.into());
        }
        Err(Stop::Out(Outcome::Block { on: Vec::from([WaitKey::TtyRead]), deadline_us }))
    }

    /// TOSTOP.
    pub(super) fn stop_background_write(&mut self, caller: &Caller<'_>) -> Result<(), Stop> {
        if self.tty.tostop() { self.job_control(caller, SIGTTOU) } else { Ok(()) }
    }

    /// Writes one slice.
    pub(super) fn write_tty(&mut self, call: &mut Call<'_, '_>, len: u64) -> Answer {
        let done = call.caller.progress.done;
        if let Err(stop) = self.stop_background_write(call.caller) {
            return if done > 0 { Ok(done as i64) } else { Err(stop) };
        }
        let slice = len.saturating_sub(done).min(TTY_SLICE as u64);
        if slice == 0 {
            return Ok(done as i64);
        }
        let n = match call.buffer.touchable_in(call.user, done, slice) {
            Err(_) if done > 0 => return Ok(done as i64),
            n => n?,
        };
        let mut bytes = alloc::vec![0; n as usize];
        call.buffer.copy_in(call.user, done, &mut bytes)?;
        self.effects.push((EffectKind::TtyOutput, bytes));
        call.caller.progress.done = done + n;
        if n < slice || done + n == len { Ok((done + n) as i64) } else { Err(Stop::Out(Outcome::Again)) }
    }

    /// New modes, for readers too: what was no line may be input now.
    pub(super) fn set_modes(&mut self, modes: [u8; TERMIOS]) {
        self.tty.modes = modes;
        self.effects.push((EffectKind::TtyModes, modes.to_vec()));
        self.wake(WaitKey::TtyRead);
    }

    /// Forgets input here and behind the gate.
    pub(super) fn flush_tty(&mut self) {
        self.tty.flush();
        self.effects.push((EffectKind::TtyFlush, Vec::new()));
    }

    /// A signal for the foreground group, if there is one.
    pub(super) fn signal_foreground(&mut self, signal: u8) {
        if self.tty.foreground != 0 {
            self.signals.push((SignalTarget::Group(self.tty.foreground), signal));
        }
    }

    pub(super) fn handle_tty_event(&mut self, event: Event<'_>) {
        let added = match event {
            Event::TtyData(bytes) => self.tty.add(bytes, false),
            Event::TtyLine(bytes) => self.tty.add(bytes, true),
            Event::TtySignal(signal) => {
                if self.tty.local() & NOFLSH == 0 {
                    self.tty.flush();
                }
                if (1..=64).contains(&signal) {
                    self.signal_foreground(signal);
                }
                false
            }
            Event::WindowSize { rows, columns } => {
                self.tty.size = [rows, columns, self.tty.size[2], self.tty.size[3]];
                self.signal_foreground(SIGWINCH);
                false
            }
            Event::Rejoin { .. } | Event::Snapshot => false,
        };
        if added {
            self.wake(WaitKey::TtyRead);
        }
    }
}
