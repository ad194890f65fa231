//! Lines of text for the operator's console, formatted without a heap.

use abi::hypercall::TEXT_MAX;
use core::fmt;

/// A line under construction; what is too long is cut.
pub struct Line {
    bytes: [u8; TEXT_MAX as usize],
    length: usize,
}

impl Line {
    /// Empty.
    pub const fn new() -> Self {
        Line { bytes: [0; TEXT_MAX as usize], length: 0 }
    }

    /// What was written.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&[])
    }
}

impl Default for Line {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for &b in s.as_bytes() {
            let slot = self.bytes.get_mut(self.length).ok_or(fmt::Error)?;
            *slot = b;
            self.length += 1;
        }
        Ok(())
    }
}

/// Prints one formatted line.
pub fn line(arguments: fmt::Arguments<'_>) {
    let mut line = Line::new();
    // Cut or refused text is lost by design: a console must not stop its writer.
    let _ = fmt::write(&mut line, arguments);
    let _ = crate::calls::print(line.bytes());
}

/// `println!` below EL2.
#[macro_export]
macro_rules! say {
    ($($arg:tt)*) => { $crate::text::line(format_args!($($arg)*)) };
}
