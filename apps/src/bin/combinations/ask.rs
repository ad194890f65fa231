//! All combinations of arguments, and a line for what they were answered.

use crate::places::{OUT, OUT_SIZE, renew};
use apps::raw;
use std::fmt::Write as _;
use std::io::Write as _;

/// What is behind an argument's name.
pub type Value = (&'static str, u64);

/// What stands in the buffer before each call.
const UNTOUCHED: u8 = 0x55;
/// Each write is a vote of its own: few of them, but a run that stops in between has shown what came before.
const AT_ONCE: usize = 8192;

/// What of an answer counts.
#[derive(Clone, Copy)]
enum Counts {
    /// What it wrote to the buffer, too.
    All,
    /// The result alone.
    Result,
    /// What this makes of it.
    As(fn(i64) -> i64),
}

/// Asks, and prints what was answered.
pub struct Asker {
    only: Option<String>,
    text: String,
    asked: u64,
    written: std::io::Result<()>,
}

/// A call that is about to be asked.
pub struct Question<'a> {
    asker: &'a mut Asker,
    name: &'a str,
    number: i64,
    counts: Counts,
    undo: Option<fn()>,
    begin: fn(),
}

impl Asker {
    /// `only`: the one call that is asked; none: all.
    pub fn new(only: Option<String>) -> Asker {
        Asker { only, text: String::new(), asked: 0, written: Ok(()) }
    }

    /// Begins to ask a call.
    pub fn call<'a>(&'a mut self, name: &'a str, number: i64) -> Question<'a> {
        Question { asker: self, name, number, counts: Counts::All, undo: None, begin: renew }
    }

    /// Whether such a call is asked.
    pub fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.split(' ').any(|word| word == only))
    }

    /// A line of its own.
    pub fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
        if self.text.len() >= AT_ONCE {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.written.is_ok() {
            self.written = std::io::stdout().write_all(self.text.as_bytes());
        }
        self.text.clear();
    }

    /// Says how many calls were asked.
    pub fn end(mut self) -> std::io::Result<()> {
        self.line(&format!("{} calls", self.asked));
        self.flush();
        self.written
    }
}

impl Question<'_> {
    /// What is written to the buffer does not count: it is chance, a time, or the contract's own.
    pub fn result(self) -> Self {
        Question { counts: Counts::Result, ..self }
    }

    /// Of a success what this makes of it counts.
    pub fn shown_as(self, show: fn(i64) -> i64) -> Self {
        Question { counts: Counts::As(show), ..self }
    }

    /// What succeeds is undone by this before the next.
    pub fn undone_by(self, undo: fn()) -> Self {
        Question { undo: Some(undo), ..self }
    }

    /// Each table begins with this, not with the usual files and descriptors.
    pub fn from(self, begin: fn()) -> Self {
        Question { begin, ..self }
    }

    /// Asks it with all combinations of these values. A line goes over the last argument that has several; those behind it are not shown.
    pub fn over(self, domains: &[&[Value]]) {
        if !self.asker.wants(self.name) {
            return;
        }
        (self.begin)();
        let across = domains.iter().rposition(|values| values.len() > 1).unwrap_or(0);
        let rows: usize = domains[..across].iter().map(|values| values.len()).product();
        let mut arguments = [0; 6];
        for (argument, values) in arguments.iter_mut().zip(domains) {
            *argument = values[0].1;
        }
        for row in 0..rows {
            let mut line = format!("{}(", self.name);
            let mut below = rows;
            for (argument, values) in arguments.iter_mut().zip(&domains[..across]) {
                below /= values.len();
                let (name, value) = values[row / below % values.len()];
                *argument = value;
                let _ = write!(line, "{name} ");
            }
            line.push_str("):");
            for (_, value) in domains[across] {
                arguments[across] = *value;
                self.answer(arguments, &mut line);
            }
            self.asker.asked += domains[across].len() as u64;
            self.asker.line(&line);
        }
    }

    fn answer(&self, arguments: [u64; 6], line: &mut String) {
        // SAFETY: (1) OUT is mapped, writable, and referred to by nobody.
        unsafe { (OUT as *mut u8).write_bytes(UNTOUCHED, OUT_SIZE) };
        // SAFETY: (1) tables give addresses of `places` that are for this or where nothing is mapped; (2) what calls do to this process' own state
        // is the point of the program.
        let result = unsafe { raw(self.number, arguments) };
        let shown = match self.counts {
            Counts::As(show) if result >= 0 => show(result),
            _ => result,
        };
        let _ = match errno(shown) {
            Some(name) => write!(line, " {name}"),
            None => write!(line, " {shown:x}"),
        };
        if let (Counts::All, Some(sum)) = (self.counts, written()) {
            let _ = write!(line, "/{sum:x}");
        }
        if let Some(undo) = self.undo.filter(|_| result >= 0) {
            undo();
        }
    }
}

/// A sum (FNV-1a, its last 16 bits) of the buffer as far as it was written to.
fn written() -> Option<u64> {
    // SAFETY: (1) OUT is mapped, and written to by calls only.
    let bytes = unsafe { std::slice::from_raw_parts(OUT as *const u8, OUT_SIZE) };
    let end = bytes.iter().rposition(|b| *b != UNTOUCHED)?;
    let sum = bytes[..=end]
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum: u64, b| (sum ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3));
    Some(sum & 0xffff)
}

/// The name of a failure.
fn errno(result: i64) -> Option<String> {
    const NAMES: [&str; 40] = [
        "EPERM",
        "ENOENT",
        "ESRCH",
        "EINTR",
        "EIO",
        "ENXIO",
        "E2BIG",
        "ENOEXEC",
        "EBADF",
        "ECHILD",
        "EAGAIN",
        "ENOMEM",
        "EACCES",
        "EFAULT",
        "ENOTBLK",
        "EBUSY",
        "EEXIST",
        "EXDEV",
        "ENODEV",
        "ENOTDIR",
        "EISDIR",
        "EINVAL",
        "ENFILE",
        "EMFILE",
        "ENOTTY",
        "ETXTBSY",
        "EFBIG",
        "ENOSPC",
        "ESPIPE",
        "EROFS",
        "EMLINK",
        "EPIPE",
        "EDOM",
        "ERANGE",
        "EDEADLK",
        "ENAMETOOLONG",
        "ENOLCK",
        "ENOSYS",
        "ENOTEMPTY",
        "ELOOP",
    ];
    let number = usize::try_from(result.checked_neg()?).ok().filter(|n| (1..4096).contains(n))?;
    Some(match number {
        75 => "EOVERFLOW".into(),
        95 => "EOPNOTSUPP".into(),
        _ => NAMES.get(number - 1).map_or_else(|| format!("E{number}"), |name| (*name).into()),
    })
}
