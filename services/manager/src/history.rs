//! What was told last, to be told again; and as JSON on request.

use crate::Board;
use crate::line::Line;
use abi::hypercall::TEXT_MAX;
use core::cell::RefCell;
use core::fmt::{self, Write};

/// Lines that are kept, of verdicts with their evidence and cause, and of all the rest.
const KEPT: usize = 32;
/// What lines begin with that tell of something that happened; others answer a command.
const KINDS: [&[u8]; 9] = [
    b"verdict",
    b"evidence",
    b"cause",
    b"voters",
    b"return",
    b"progress",
    b"injected",
    b"restarted",
    b"policy",
];

type Lines = heapless::Deque<(u64, Line), KEPT>;

/// The last lines.
#[derive(Default)]
pub struct History {
    verdicts: RefCell<Lines>,
    log: RefCell<Lines>,
}

/// What a line tells of, and its text; `None`: it answers a command, or is none of the manager's own.
fn parts(line: &[u8]) -> Option<(&'static [u8], &[u8])> {
    let kind = KINDS.into_iter().find(|k| line.starts_with(k))?;
    let colon = line.iter().position(|b| *b == b':')?;
    let text = line.get(colon + 1..)?.trim_ascii_start();
    // `voters 3: k1 ...`: the number is part of what is told.
    if kind == b"voters" { Some((kind, line)) } else { Some((kind, text)) }
}

fn is_verdict(line: &[u8]) -> bool {
    matches!(parts(line), Some((b"verdict" | b"evidence" | b"cause", _)))
}

impl History {
    /// Keeps a line that tells of something; whether it does.
    pub fn note(&self, now_us: u64, line: &Line) -> bool {
        if parts(line.bytes()).is_none() {
            return false;
        }
        let list = if is_verdict(line.bytes()) { &self.verdicts } else { &self.log };
        if let Ok(mut list) = list.try_borrow_mut() {
            if list.is_full() {
                list.pop_front();
            }
            let _room = list.push_back((now_us, line.clone()));
        }
        true
    }

    /// Tells again what happened: verdicts alone, or all in the order of time.
    pub fn replay(&self, verdicts_only: bool, board: &mut impl Board) {
        let (Ok(verdicts), Ok(log)) = (self.verdicts.try_borrow(), self.log.try_borrow()) else { return };
        let others = if verdicts_only { 0 } else { KEPT };
        let (mut a, mut b) = (verdicts.iter().peekable(), log.iter().take(others).peekable());
        if a.peek().is_none() && b.peek().is_none() {
            return board.text(b"nothing so far");
        }
        loop {
            let next = match (a.peek(), b.peek()) {
                (Some((at, _)), Some((other, _))) if other < at => b.next(),
                (Some(_), _) => a.next(),
                (None, _) => b.next(),
            };
            let Some((now_us, line)) = next else { return };
            let text = core::str::from_utf8(line.bytes()).unwrap_or("?");
            let (s, ms) = (now_us / 1_000_000, now_us / 1_000 % 1_000);
            board.text(Line::of(format_args!("{s:>6}.{ms:03} {text}")).bytes());
        }
    }
}

/// The line as an object of JSON, if it tells of something. What is too long is cut inside the text.
pub fn json(now_us: u64, line: &Line) -> Option<Line> {
    let (kind, text) = parts(line.bytes())?;
    let kind = core::str::from_utf8(kind).unwrap_or("?");
    let head =
        |text: &[u8]| Line::of(format_args!(r#"{{"us":{now_us},"kind":"{kind}","text":{}}}"#, Quoted(text)));
    // The shortest text that is cut is one for which the line is full.
    let fits = |n: &usize| head(text.get(..*n).unwrap_or(text)).bytes().len() < TEXT_MAX as usize;
    let length = (0..=text.len()).rev().find(fits)?;
    Some(head(text.get(..length)?))
}

/// Bytes as a string of JSON.
pub struct Quoted<'a>(pub &'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for &byte in self.0 {
            match byte {
                b'"' | b'\\' => write!(f, "\\{}", char::from(byte))?,
                b' '..=b'~' => f.write_char(char::from(byte))?,
                _ => write!(f, "\\u{byte:04x}")?,
            }
        }
        f.write_char('"')
    }
}
