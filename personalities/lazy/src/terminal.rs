//! The terminal: modes, size, foreground group, and the input queue. Line editing and echo happen behind the gate. "The terminal" in
//! `docs/linux-abi.md`.

use crate::calls::{CallResult, Outcome, Wait};
use crate::errno::*;
use crate::hw::Hardware;
use crate::kernel::Kernel;
use crate::process::Continuation;
use crate::signal::*;
use crate::turn::Key;
use abi::turn::TTY_INPUT_MAX;
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

/// `struct termios`, 36 bytes: iflag, oflag, cflag, lflag, line, cc.
pub type Modes = [u8; 36];

const CC: usize = 17;
const VTIME: usize = 5;
const VMIN: usize = 6;
const ICANON: u32 = 2;
const NOFLSH: u32 = 0o200;
/// Background writers are stopped.
pub const TOSTOP: u32 = 0o400;

/// What stands in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    Byte(u8),
    /// The end of a line that has no '\n'.
    End,
}

/// The terminal.
pub struct Terminal {
    /// Modes.
    pub modes: Modes,
    /// Rows, columns, width and height in pixels.
    pub size: [u16; 4],
    /// The session whose terminal it is; 0: nobody's.
    pub session: u32,
    /// Its foreground group.
    pub foreground: u32,
    queue: VecDeque<Item>,
}

impl Default for Terminal {
    fn default() -> Self {
        let mut modes = [0; 36];
        for (i, word) in [0x500u32, 0x5, 0xcbd, 0x8a3b].iter().enumerate() {
            modes[i * 4..i * 4 + 4].copy_from_slice(&word.to_le_bytes());
        }
        modes[CC..].copy_from_slice(&[
            0x03, 0x1c, 0x7f, 0x15, 0x04, 0x00, 0x01, 0x00, 0x11, 0x13, 0x1a, 0x00, 0x12, 0x0f, 0x17, 0x16,
            0, 0, 0,
        ]);
        Terminal { modes, size: [0; 4], session: 0, foreground: 0, queue: VecDeque::new() }
    }
}

impl Terminal {
    fn local(&self) -> u32 {
        let [_, _, _, _, _, _, _, _, _, _, _, _, a, b, c, d, ..] = self.modes;
        u32::from_le_bytes([a, b, c, d])
    }

    /// Whether a local mode is on.
    pub fn has(&self, flag: u32) -> bool {
        self.local() & flag != 0
    }

    /// Takes an event in; what does not fit is lost.
    fn push(&mut self, bytes: &[u8], line: bool) {
        for b in bytes {
            if self.queue.len() >= TTY_INPUT_MAX {
                return;
            }
            self.queue.push_back(Item::Byte(*b));
        }
        // '\n' ends its line by itself.
        if line && bytes.last() != Some(&b'\n') && self.queue.len() < TTY_INPUT_MAX {
            self.queue.push_back(Item::End);
        }
    }

    /// Forgets all input.
    pub fn flush(&mut self) {
        self.queue.clear();
    }

    /// Takes over a queue: its bytes, and where units end that no '\n' ends (ascending).
    pub fn fill(&mut self, bytes: &[u8], ends: &[usize]) {
        self.queue.clear();
        let mut ends = ends.iter().copied().peekable();
        for at in 0..=bytes.len() {
            while ends.next_if(|end| *end <= at).is_some() {
                self.queue.push_back(Item::End);
            }
            self.queue.extend(bytes.get(at).map(|b| Item::Byte(*b)));
        }
    }

    /// Bytes queued.
    pub fn bytes(&self) -> Vec<u8> {
        self.queue.iter().filter_map(|i| if let Item::Byte(b) = i { Some(*b) } else { None }).collect()
    }

    /// Where units end that no '\n' ends: bytes before each.
    pub fn ends(&self) -> impl Iterator<Item = usize> {
        let mut before = 0;
        self.queue.iter().filter_map(move |item| match item {
            Item::Byte(_) => {
                before += 1;
                None
            }
            Item::End => Some(before),
        })
    }

    fn is_end(item: &Item) -> bool {
        matches!(item, Item::End | Item::Byte(b'\n'))
    }

    /// Whether a read would find something.
    pub fn readable(&self) -> bool {
        if self.has(ICANON) {
            self.queue.iter().any(Self::is_end)
        } else {
            self.queue.iter().any(|i| matches!(i, Item::Byte(_)))
        }
    }

    /// What FIONREAD gives.
    pub fn available(&self) -> usize {
        let count = |q: &mut dyn Iterator<Item = &Item>| q.filter(|i| matches!(i, Item::Byte(_))).count();
        if !self.has(ICANON) {
            return count(&mut self.queue.iter());
        }
        match self.queue.iter().rposition(Self::is_end) {
            Some(last) => count(&mut self.queue.iter().take(last + 1)),
            None => 0,
        }
    }

    /// Takes up to `count` bytes as a read does; only when `readable`.
    fn take(&mut self, count: usize) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.has(ICANON) {
            self.queue.retain(|i| matches!(i, Item::Byte(_)));
            let n = count.min(self.queue.len());
            out.extend(
                self.queue.drain(..n).filter_map(|i| if let Item::Byte(b) = i { Some(b) } else { None }),
            );
            return out;
        }
        while out.len() < count {
            match self.queue.pop_front() {
                Some(Item::Byte(b)) => {
                    out.push(b);
                    if b == b'\n' {
                        return out;
                    }
                }
                _ => return out,
            }
        }
        if self.queue.front() == Some(&Item::End) {
            self.queue.pop_front();
        }
        out
    }
}

impl<H: Hardware> Kernel<H> {
    /// An event brings input.
    pub fn terminal_input(&mut self, bytes: &[u8], line: bool) {
        self.terminal.push(bytes, line);
        self.wake(Key::Terminal);
    }

    /// A signal character was typed.
    pub fn terminal_signal(&mut self, signal: u32) {
        if !self.terminal.has(NOFLSH) {
            self.terminal.flush();
        }
        self.generate_group(self.terminal.foreground, signal, Info0);
    }

    /// The terminal's size changed.
    pub fn terminal_resized(&mut self, rows: u16, columns: u16) {
        self.terminal.size[0] = rows;
        self.terminal.size[1] = columns;
        self.generate_group(self.terminal.foreground, SIGWINCH, Info0);
    }

    /// Job control: whether process `serial` may use the terminal so; `None`: yes, else what its call comes to.
    pub fn background(&mut self, serial: u64, signal: u32) -> Option<CallResult> {
        let p = self.process_of(serial)?;
        if p.session != self.terminal.session || p.group == self.terminal.foreground {
            return None;
        }
        let blocked = self.threads.get(&serial).is_some_and(|t| t.mask & bit(signal) != 0);
        let ignored = p.actions.get(signal as usize).is_some_and(|a| a.handler == 1);
        let group = p.group;
        if blocked || ignored {
            return if signal == SIGTTIN { Some(Err(EIO)) } else { None };
        }
        if self.orphaned(group, None) || self.disposition(serial, signal) == Disposition::Ignore {
            return Some(Err(EIO));
        }
        self.generate_group(group, signal, Info0);
        // The signal is pending now, so this does not wait: it stops, or a handler comes, and the call is made again.
        Some(Ok(Outcome::Block(Wait { keys: Vec::new(), deadline: None, next: Continuation::Again })))
    }

    /// read: `count` bytes at most, handed to `put`.
    pub fn terminal_read(
        &mut self,
        serial: u64,
        count: usize,
        nonblocking: bool,
        continuation: Option<Continuation>,
    ) -> core::result::Result<Vec<u8>, CallResult> {
        if let Some(result) = self.background(serial, SIGTTIN) {
            return Err(result);
        }
        if self.terminal.readable() {
            return Ok(self.terminal.take(count));
        }
        let canonical = self.terminal.has(ICANON);
        let (time, min) = (self.terminal.modes[CC + VTIME], self.terminal.modes[CC + VMIN]);
        if !canonical {
            self.terminal.queue.clear();
        }
        let wait = |deadline: Option<u64>| {
            let next = deadline.map_or(Continuation::Again, Continuation::Until);
            Err(Ok(Outcome::Block(Wait { keys: vec![Key::Terminal], deadline, next })))
        };
        if nonblocking {
            return if !canonical && min == 0 && time == 0 { Ok(Vec::new()) } else { Err(Err(EAGAIN)) };
        }
        if canonical || min > 0 {
            return wait(None);
        }
        if time == 0 {
            return Ok(Vec::new());
        }
        let until = match continuation {
            Some(Continuation::Until(until)) => until,
            _ => self.clock() + u64::from(time) * 100_000,
        };
        if until <= self.clock() { Ok(Vec::new()) } else { wait(Some(until)) }
    }
}

#[allow(non_upper_case_globals)] // reads as the value it is
const Info0: crate::process::Info = crate::process::Info { code: SI_KERNEL, fields: [0; 3], address: None };

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(t: &mut Terminal, counts: &[usize]) -> Vec<String> {
        let read = |n: &usize| {
            if t.readable() { String::from_utf8(t.take(*n)).unwrap() } else { "waits".into() }
        };
        counts.iter().map(read).collect()
    }

    #[test]
    fn lines_and_ends_of_file() {
        let mut t = Terminal::default();
        t.push(b"ab\n", true);
        t.push(b"cd", true);
        t.push(b"", true);
        t.push(b"ef\n", true);
        assert_eq!(t.available(), 8);
        assert_eq!(reads(&mut t, &[9, 2, 9, 1, 9, 9]), ["ab\n", "cd", "", "e", "f\n", "waits"]);
    }

    #[test]
    fn raw_bytes_before_a_line_belong_to_it() {
        let mut t = Terminal::default();
        t.push(b"ab", false);
        assert!(!t.readable());
        t.push(b"", true);
        assert_eq!(reads(&mut t, &[9, 9]), ["ab", "waits"]);
        t.push(b"ab\n", false);
        t.push(b"", true);
        assert_eq!(reads(&mut t, &[9, 9, 9]), ["ab\n", "", "waits"]);
    }

    #[test]
    fn what_does_not_fit_is_lost() {
        let mut t = Terminal::default();
        t.push(&[b'x'; TTY_INPUT_MAX + 5], true);
        assert!(!t.readable());
        assert_eq!(t.bytes().len(), TTY_INPUT_MAX);
    }
}
