//! The program's console: a line discipline between a serial port on one side, agreed input and voted output on the other.
//!
//! It stands *behind* the gate and *before* the log, once for all kernels: they see finished lines, data and signals as events of the log, and
//! their output before OPOST; so four kernels do not each echo what was typed, and editing needs no agreement. Its modes are the
//! voted ones. The editing follows Linux' n_tty, case by case in `tests/line_discipline.rs`.
//!
//! `input.rs` is what happens to a typed byte, `output.rs` to a byte of output, `queue.rs` what waits for the replicas, `window.rs` how much they take.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod input;
mod modes;
mod output;
mod queue;
mod window;

use abi::log::Event;
use abi::vote::{Control, EffectKind};
use linux_raw_sys::general as c;
pub use modes::{Modes, TERMIOS_SIZE};
use output::Output;
pub use queue::EVENT_MAX;
use queue::Queue;
pub use window::Window;

/// Longest line, its terminator included (as Linux: N_TTY_BUF_SIZE).
pub const LINE_MAX: usize = 4096;
/// Longest piece of data typed while the terminal is not canonical.
pub const DATA_MAX: usize = 1024;

/// The serial port's sending side.
pub trait Uart {
    /// Sends one byte, waiting for room.
    fn put(&mut self, byte: u8);
}

/// The line discipline's state.
pub struct Console {
    modes: Modes,
    output: Output,
    /// The unfinished line (canonical).
    line: heapless::Vec<u8, LINE_MAX>,
    /// Column at which it began.
    line_column: usize,
    /// Data of this burst (not canonical).
    data: heapless::Vec<u8, DATA_MAX>,
    queue: Queue,
    /// The next byte has no special meaning.
    literal: bool,
    /// Output is held by the stop character.
    stopped: bool,
    lost: u64,
}

impl Default for Console {
    fn default() -> Self {
        Console {
            modes: Modes::standard(),
            output: Output::default(),
            line: heapless::Vec::new(),
            line_column: 0,
            data: heapless::Vec::new(),
            queue: Queue::default(),
            literal: false,
            stopped: false,
            lost: 0,
        }
    }
}

impl Console {
    /// The bytes that have arrived are all handed in: what they make goes out as few events as possible.
    pub fn end_of_burst(&mut self) {
        if self.data.is_empty() {
            return;
        }
        let data = core::mem::take(&mut self.data);
        self.push(&Event::TtyData(&data), data.len());
    }

    fn push(&mut self, event: &Event<'_>, bytes: usize) {
        if !self.queue.push(event) {
            self.lost = self.lost.saturating_add(bytes as u64);
        }
    }

    /// An order of the operator's: an input like typed bytes, if it concerns the terminal.
    pub fn order(&mut self, order: &Control) {
        self.end_of_burst();
        match *order {
            Control::Resize { rows, columns } => self.push(&Event::WindowSize { rows, columns }, 1),
            Control::Signal { signal } => self.push(&Event::TtySignal(signal), 1),
            Control::Lie { .. }
            | Control::Diverge { .. }
            | Control::Equivocate { .. }
            | Control::Restart { .. }
            | Control::Replace { .. } => {}
        }
    }

    /// The oldest event for the log, encoded; [`Console::sent`] removes it.
    pub fn event(&self) -> Option<&[u8]> {
        self.queue.front()
    }

    /// The oldest event is on its way.
    pub fn sent(&mut self) {
        self.queue.pop();
    }

    /// Typed bytes that were lost because nobody took them.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether output is held by the stop character; effects are to wait.
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// Carries out one released effect.
    pub fn effect(&mut self, kind: EffectKind, payload: &[u8], uart: &mut impl Uart) {
        match kind {
            EffectKind::TtyOutput => {
                for &byte in payload {
                    self.output.put(byte, &self.modes, uart);
                }
                // What is typed after a prompt is erased back to the prompt, no further.
                if self.line.is_empty() {
                    self.line_column = self.output.column;
                }
            }
            EffectKind::TtyModes => {
                if let Some(modes) = Modes::parse(payload) {
                    self.change(modes);
                }
            }
            EffectKind::TtyFlush => {
                self.line.clear();
                self.data.clear();
                self.queue.clear();
                self.literal = false;
            }
            EffectKind::Exit => {}
        }
    }

    fn change(&mut self, modes: Modes) {
        if !modes.has(c::ICANON) && self.modes.has(c::ICANON) {
            // What was typed of a line is now just data, as for a reader under Linux.
            let line = core::mem::take(&mut self.line);
            for piece in line.chunks(DATA_MAX) {
                self.push(&Event::TtyData(piece), piece.len());
            }
        }
        self.end_of_burst();
        self.literal = false;
        self.stopped &= modes.takes(c::IXON);
        self.modes = modes;
    }
}
