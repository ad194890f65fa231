//! The terminal server: modes, size, whose terminal it is, and the input queue. Line editing and output happen behind the gate.

use crate::bytes::u32_at;
use crate::post::{Note, Post};
use crate::process::Info;
use crate::snapshot::Out;
use crate::turns::Thing;
use abi::snapshot::{self, Record};
use abi::turn::TTY_INPUT_MAX;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Bytes of `struct termios`.
pub const TERMIOS: usize = 36;
const LFLAG_AT: usize = 12;
const CC_AT: usize = 17;
const VTIME: usize = 5;
const VMIN: usize = 6;
const ICANON: u32 = 2;
const NOFLSH: u32 = 0x80;
const TOSTOP: u32 = 0x100;

/// Linux' initial modes.
fn initial() -> [u8; TERMIOS] {
    let mut modes = [0; TERMIOS];
    for (i, flags) in [0x500u32, 0x5, 0xcbd, 0x8a3b].into_iter().enumerate() {
        modes[4 * i..4 * i + 4].copy_from_slice(&flags.to_le_bytes());
    }
    let cc = [3, 0x1c, 0x7f, 0x15, 4, 0, 1, 0, 0x11, 0x13, 0x1a, 0, 0x12, 0xf, 0x17, 0x16];
    modes[CC_AT..CC_AT + cc.len()].copy_from_slice(&cc);
    modes
}

/// One thing in the queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Item {
    Byte(u8),
    /// The end of a unit that no newline ends, or an end of file.
    End,
}

/// What a read comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    Bytes(Vec<u8>),
    /// Wait, at most so long (µs).
    Wait(Option<u64>),
}

/// The server's state.
pub struct Terminal {
    modes: [u8; TERMIOS],
    /// Rows, columns, and the pixels of both.
    pub size: [u16; 4],
    pub foreground: u32,
    pub session: Option<u32>,
    queue: VecDeque<Item>,
}

impl Terminal {
    /// Process 1's.
    pub fn new(rows: u16, columns: u16) -> Terminal {
        let size = [rows, columns, 0, 0];
        Terminal { modes: initial(), size, foreground: 1, session: Some(1), queue: VecDeque::new() }
    }

    pub fn modes(&self) -> &[u8; TERMIOS] {
        &self.modes
    }

    fn lflag(&self) -> u32 {
        u32_at(&self.modes, LFLAG_AT)
    }

    fn canonical(&self) -> bool {
        self.lflag() & ICANON != 0
    }

    /// Whether background output stops its writer.
    pub fn stops_output(&self) -> bool {
        self.lflag() & TOSTOP != 0
    }

    pub fn set_modes(&mut self, modes: [u8; TERMIOS], post: &mut Post) {
        self.modes = modes;
        post.send(Note::Wake(Thing::Terminal));
    }

    /// TCFLSH, TCSETSF: what was typed is forgotten.
    pub fn flush(&mut self) {
        self.queue.clear();
    }

    /// Room in the queue: bytes count, and ends of file; the end of a line does not.
    fn room(&self) -> usize {
        let mut before = Item::End;
        let takes_room = |item: &&Item| {
            let counts = **item != Item::End || matches!(before, Item::End | Item::Byte(b'\n'));
            before = **item;
            counts
        };
        TTY_INPUT_MAX.saturating_sub(self.queue.iter().filter(takes_room).count())
    }

    /// Entry `TtyData`.
    pub fn data(&mut self, bytes: &[u8], post: &mut Post) {
        let room = self.room();
        self.queue.extend(bytes.iter().take(room).map(|b| Item::Byte(*b)));
        post.send(Note::Wake(Thing::Terminal));
    }

    /// Entry `TtyLine`.
    pub fn line(&mut self, bytes: &[u8], post: &mut Post) {
        let room = self.room();
        self.queue.extend(bytes.iter().take(room).map(|b| Item::Byte(*b)));
        let marked = !bytes.is_empty() && self.queue.back() == Some(&Item::Byte(b'\n'));
        if room > 0 && !marked {
            self.queue.push_back(Item::End);
        }
        post.send(Note::Wake(Thing::Terminal));
    }

    /// Entry `TtySignal`.
    pub fn signal(&mut self, signal: u8, post: &mut Post) {
        if self.lflag() & NOFLSH == 0 {
            self.flush();
        }
        post.send(Note::Group(self.foreground, Info::kernel(signal)));
    }

    /// Bytes of the first line, and items with its end, if a line is complete: a newline ends one, and so does an end behind bytes without. An end
    /// that stands alone is an end of file.
    fn first_line(&self) -> Option<(usize, usize)> {
        let ends = |i: &Item| matches!(i, Item::End | Item::Byte(b'\n'));
        let at = self.queue.iter().position(ends)?;
        let is_byte = self.queue.get(at) != Some(&Item::End);
        Some((at + usize::from(is_byte), at + 1))
    }

    /// What read would give without waiting, or how long it waits.
    pub fn read(&mut self, count: usize) -> Input {
        if self.canonical() {
            let Some((bytes, end)) = self.first_line() else { return Input::Wait(None) };
            let n = bytes.min(count);
            let items = if n == bytes { end } else { n };
            return Input::Bytes(self.take(items));
        }
        if self.queue.iter().any(|i| *i != Item::End) {
            self.queue.retain(|i| *i != Item::End);
            let n = count.min(self.queue.len());
            return Input::Bytes(self.take(n));
        }
        self.queue.clear();
        match (self.modes[CC_AT + VMIN], self.modes[CC_AT + VTIME]) {
            (0, 0) => Input::Bytes(Vec::new()),
            (0, tenths) => Input::Wait(Some(u64::from(tenths) * 100_000)),
            _ => Input::Wait(None),
        }
    }

    fn take(&mut self, items: usize) -> Vec<u8> {
        let byte = |i: Item| if let Item::Byte(b) = i { Some(b) } else { None };
        self.queue.drain(..items).filter_map(byte).collect()
    }

    /// Whether read would not block.
    pub fn readable(&self) -> bool {
        match self.canonical() {
            true => self.first_line().is_some(),
            false => {
                self.queue.iter().any(|i| *i != Item::End)
                    || (self.modes[CC_AT + VMIN], self.modes[CC_AT + VTIME]) == (0, 0)
            }
        }
    }

    /// FIONREAD.
    pub fn held(&self) -> usize {
        let is_byte = |i: &&Item| **i != Item::End;
        if !self.canonical() {
            return self.queue.iter().filter(is_byte).count();
        }
        let end = self.queue.iter().rposition(|i| matches!(i, Item::End | Item::Byte(b'\n')));
        end.map_or(0, |end| self.queue.iter().take(end + 1).filter(is_byte).count())
    }

    /// This server's part of a snapshot.
    pub fn write(&self, out: &mut Out<'_>) {
        let (mut bytes, mut ends) = (0u32, Vec::new());
        for item in &self.queue {
            match item {
                Item::Byte(_) => bytes += 1,
                Item::End => ends.extend_from_slice(&bytes.to_le_bytes()),
            }
        }
        let [rows, columns, x_pixels, y_pixels] = self.size;
        out(&Record::Terminal(snapshot::Terminal {
            modes: &self.modes,
            rows,
            columns,
            x_pixels,
            y_pixels,
            session: self.session.unwrap_or(0),
            foreground: self.foreground,
            queue: &self.queued(),
            ends: &ends,
        }));
    }

    /// As a snapshot has it; what is wrong with that.
    pub fn restore(t: &snapshot::Terminal<'_>) -> Result<Terminal, &'static str> {
        let modes = t.modes.try_into().map_err(|_| "terminal modes of a wrong size")?;
        let ends: Vec<usize> = t.ends.chunks(4).map(|end| u32_at(end, 0) as usize).collect();
        let in_order = ends.is_sorted() && ends.last().is_none_or(|end| *end <= t.queue.len());
        if !t.ends.len().is_multiple_of(4) || !in_order || t.queue.len() > TTY_INPUT_MAX {
            return Err("a terminal queue that cannot be");
        }
        let mut queue = VecDeque::new();
        let mut ends = ends.into_iter().peekable();
        for at in 0..=t.queue.len() {
            while ends.next_if_eq(&at).is_some() {
                queue.push_back(Item::End);
            }
            queue.extend(t.queue.get(at).map(|b| Item::Byte(*b)));
        }
        let size = [t.rows, t.columns, t.x_pixels, t.y_pixels];
        let session = Some(t.session).filter(|s| *s != 0);
        Ok(Terminal { modes, size, foreground: t.foreground, session, queue })
    }

    /// The bytes queued, for the state digest.
    pub fn queued(&self) -> Vec<u8> {
        self.queue.iter().filter_map(|i| if let Item::Byte(b) = i { Some(*b) } else { None }).collect()
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn terminal() -> (Terminal, Post) {
        (Terminal::new(24, 80), Post::default())
    }

    fn bytes(t: &mut Terminal, n: usize) -> Option<Vec<u8>> {
        match t.read(n) {
            Input::Bytes(b) => Some(b),
            Input::Wait(_) => None,
        }
    }

    #[test]
    fn a_read_in_canonical_mode_ends_with_its_line() {
        let (mut t, mut p) = terminal();
        assert_eq!(bytes(&mut t, 9), None);
        t.line(b"ab\n", &mut p);
        t.line(b"", &mut p);
        assert_eq!(t.held(), 3);
        assert_eq!(bytes(&mut t, 1).as_deref(), Some(&b"a"[..]));
        assert_eq!(bytes(&mut t, 9).as_deref(), Some(&b"b\n"[..]));
        assert_eq!(bytes(&mut t, 9).as_deref(), Some(&b""[..]));
        assert_eq!(bytes(&mut t, 9), None);
    }

    #[test]
    fn a_unit_s_end_that_is_reached_with_the_count_goes_with_it() {
        let (mut t, mut p) = terminal();
        t.line(b"ab", &mut p);
        assert_eq!(bytes(&mut t, 2).as_deref(), Some(&b"ab"[..]));
        assert_eq!(bytes(&mut t, 2), None);
    }

    #[test]
    fn data_counts_as_part_of_the_line_that_follows() {
        let (mut t, mut p) = terminal();
        t.data(b"x", &mut p);
        assert!(!t.readable());
        t.line(b"", &mut p);
        assert_eq!(bytes(&mut t, 9).as_deref(), Some(&b"x"[..]));
        t.data(b"y\nz", &mut p);
        assert_eq!(bytes(&mut t, 9).as_deref(), Some(&b"y\n"[..]));
        assert!(!t.readable());
        // An end of file behind a line that came as data is one.
        let (mut t, mut p) = terminal();
        t.data(b"y\n", &mut p);
        t.line(b"", &mut p);
        assert_eq!(
            (bytes(&mut t, 9).as_deref(), bytes(&mut t, 9).as_deref()),
            (Some(&b"y\n"[..]), Some(&b""[..]))
        );
    }

    #[test]
    fn what_does_not_fit_is_lost() {
        let (mut t, mut p) = terminal();
        t.line(&[b'a'; TTY_INPUT_MAX + 5], &mut p);
        assert_eq!(t.queued().len(), TTY_INPUT_MAX);
        assert_eq!(bytes(&mut t, 9999).map(|b| b.len()), Some(TTY_INPUT_MAX));
        assert_eq!(bytes(&mut t, 9), None);
    }
}
