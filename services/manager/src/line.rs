//! One line of text for people, of bounded length: what is longer is cut.

use abi::digest::Digest;
use abi::hypercall::TEXT_MAX;
use core::fmt;

/// A line under construction.
#[derive(Clone, Default)]
pub struct Line(heapless::Vec<u8, { TEXT_MAX as usize }>);

impl Line {
    /// The line that `arguments` make.
    pub fn of(arguments: fmt::Arguments<'_>) -> Self {
        let mut line = Line::default();
        // It fails only when the line is full: then it is cut.
        let _ = fmt::write(&mut line, arguments);
        line
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let room = self.0.capacity() - self.0.len();
        let fits = s.as_bytes().get(..room).unwrap_or(s.as_bytes());
        self.0.extend_from_slice(fits).map_err(|_| fmt::Error)?;
        if fits.len() < s.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

/// The beginning of a digest: enough for a person to tell two apart.
pub struct Short<'a>(pub &'a Digest);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "{a:02x}{b:02x}{c:02x}{d:02x}..")
    }
}
