//! A session with a machine, as a test drives it: type, wait for text, inject faults, read verdicts.
//!
//! Waits have generous limits that only end a test that hangs; nothing is asserted about time.

pub mod campaign;
pub mod clock;
pub mod determinism;
mod kept;
pub mod marked;
pub mod seeded;
pub mod voices;

use anyhow::{Context, Result, bail};
use std::io::{Read, Write};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};
use xtask::build::Tools;
pub use xtask::machine::Options;
use xtask::machine::{Images, Machine};
use xtask::session::Record;
use xtask::terminal::OperatorLog;

/// A hung test ends after so long.
pub const LIMIT: Duration = Duration::from_secs(120);
/// What the shell prints when it waits.
pub const PROMPT: &str = "# ";

/// The images, built once for all tests of a binary.
pub fn images() -> &'static Images {
    static IMAGES: OnceLock<Images> = OnceLock::new();
    IMAGES.get_or_init(|| {
        Tools::find().and_then(|t| Images::build(&t)).unwrap_or_else(|e| panic!("cannot build: {e:#}"))
    })
}

/// One machine at a time: two host cores carry six emulated ones.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(|e| e.into_inner())
}

/// A booted machine.
pub struct Session {
    machine: Machine,
    /// All that the console has shown.
    pub console: Vec<u8>,
    /// Up to where `expect` has looked.
    seen: usize,
    /// What the operator's console has shown.
    pub operator: OperatorLog,
    open: bool,
    /// Where the machine announces itself.
    tools: Tools,
    /// How long it may take for what is waited for.
    limit: Duration,
    /// None: whoever boots it has the turn.
    _turn: Option<MutexGuard<'static, ()>>,
}

/// How a session ended.
pub struct Finished {
    /// Exit status of the program, as a shell gives it.
    pub status: Option<i32>,
    /// All that the console has shown.
    pub console: String,
    /// The operator's lines.
    pub operator: Vec<String>,
    /// Log and output.
    pub record: Record,
}

impl Session {
    /// Boots.
    pub fn boot(options: &Options) -> Result<Session> {
        Session::boot_images(images(), options)
    }

    /// Boots images that are not all the usual ones.
    pub fn boot_images(images: &Images, options: &Options) -> Result<Session> {
        let turn = turn();
        // A clock of its own says that the host may be busy.
        let limit = if options.preload.is_some() { 10 * LIMIT } else { LIMIT };
        Ok(Session { _turn: Some(turn), ..Session::boot_beside(images, options, limit)? })
    }

    /// Boots beside other machines, for at most `limit`. The caller has the turn for all of them.
    pub(crate) fn boot_beside(images: &Images, options: &Options, limit: Duration) -> Result<Session> {
        let machine = Machine::boot(images, options)?;
        // One waits for both: the operator's console is looked at when the other has shown something or a moment is over.
        machine.console.set_read_timeout(Some(Duration::from_millis(5)))?;
        machine.operator.set_nonblocking(true)?;
        Ok(Session {
            machine,
            console: vec![],
            seen: 0,
            operator: OperatorLog::default(),
            open: true,
            tools: images.tools().clone(),
            limit,
            _turn: None,
        })
    }

    /// Boots a shell and waits for its prompt.
    pub fn shell(options: &Options) -> Result<Session> {
        Session::shell_of(images(), options)
    }

    /// The same, of images that are not all the usual ones.
    pub fn shell_of(images: &Images, options: &Options) -> Result<Session> {
        let mut s = Session::boot_images(images, options)?;
        s.expect(PROMPT)?;
        Ok(s)
    }

    fn pump(&mut self) {
        let mut buffer = [0; 4096];
        let mut open = false;
        match self.machine.console.read(&mut buffer) {
            Ok(0) => {}
            Ok(n) => {
                self.console.extend_from_slice(&buffer[..n]);
                open = true;
            }
            Err(_) => open = true,
        }
        match self.machine.operator.read(&mut buffer) {
            Ok(0) => {}
            Ok(n) => {
                self.operator.push(&buffer[..n]);
                open = true;
            }
            Err(_) => open = true,
        }
        self.open = open;
    }

    /// Waits until `done` has something to give; `what` is what is waited for, in words.
    pub fn until<T>(&mut self, what: &str, mut done: impl FnMut(&mut Session) -> Option<T>) -> Result<T> {
        let limit = Instant::now() + self.limit;
        loop {
            if let Some(value) = done(self) {
                return Ok(value);
            }
            if !self.open || Instant::now() > limit {
                let why = if self.open { "time is up" } else { "the machine has stopped" };
                bail!(
                    "{why} before {what}\n--- console\n{}\n--- operator\n{}",
                    String::from_utf8_lossy(&self.console),
                    self.operator.lines.join("\n")
                );
            }
            self.pump();
        }
    }

    /// Waits until the console shows `text` behind what earlier calls have waited for; what stood before it.
    pub fn expect(&mut self, text: &str) -> Result<String> {
        self.until(&format!("the console shows {text:?}"), |s| {
            let at = s.console[s.seen..].windows(text.len()).position(|w| w == text.as_bytes())?;
            let before = String::from_utf8_lossy(&s.console[s.seen..s.seen + at]).into_owned();
            s.seen += at + text.len();
            Some(before)
        })
    }

    /// Types.
    pub fn send(&mut self, keys: &str) -> Result<()> {
        Ok(self.machine.console.write_all(keys.as_bytes())?)
    }

    /// Types a command line at the prompt and waits for the next prompt; what the console showed between (echo included).
    pub fn command(&mut self, line: &str) -> Result<String> {
        self.send(&format!("{line}\r"))?;
        self.expect("\r\n")?;
        self.expect(PROMPT)
    }

    /// Types an operator's command.
    pub fn operate(&mut self, line: &str) -> Result<()> {
        Ok(self.machine.operator.write_all(format!("{line}\r").as_bytes())?)
    }

    /// Waits for a line on the operator's console that holds all of `words`.
    pub fn operator_says(&mut self, words: &[&str]) -> Result<String> {
        self.operator_has_said(words, 1)
    }

    /// Waits until there are `times` such lines; the last of them.
    pub fn operator_has_said(&mut self, words: &[&str], times: usize) -> Result<String> {
        self.until(&format!("the operator's console says {words:?}, {times} times"), |s| {
            let lines = s.operator.lines.iter();
            lines.filter(|l| words.iter().all(|w| l.contains(w))).nth(times.checked_sub(1)?).cloned()
        })
    }

    /// The same, of the lines from number `from` on.
    pub fn operator_says_since(&mut self, from: usize, words: &[&str]) -> Result<String> {
        self.until(&format!("the operator's console says {words:?}"), |s| {
            s.operator.lines[from..].iter().find(|l| words.iter().all(|w| l.contains(w))).cloned()
        })
    }

    /// Waits until on kernel `name` one thread is left, and waits: a kernel may be behind the quorum whose output the console shows.
    pub fn one_waits_on(&mut self, name: &str) -> Result<()> {
        self.until(&format!("one thread is left on {name}, and waits"), |s| {
            let threads = s.look("threads", name).ok()?;
            let mut rows = threads.lines().skip(1);
            let waits = rows.next().is_some_and(|row| !row.starts_with('>'));
            (waits && rows.next().is_none()).then_some(())
        })
    }

    /// Lets the machine run for a while.
    pub fn run_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end && self.open {
            self.pump();
        }
    }

    /// The longest time without a byte on the console, until a line of the operator's console holds all of `words`, or for so long.
    pub fn longest_silence(&mut self, limit: Duration, words: &[&str]) -> Duration {
        let (mut seen, mut since, mut longest) = (self.console.len(), Instant::now(), Duration::ZERO);
        let begun = Instant::now();
        let said = |s: &Session| s.operator.lines.iter().any(|l| words.iter().all(|w| l.contains(w)));
        while !said(self) && begun.elapsed() < limit && self.open {
            self.pump();
            if self.console.len() != seen {
                longest = longest.max(since.elapsed());
                (seen, since) = (self.console.len(), Instant::now());
            }
        }
        longest.max(since.elapsed())
    }

    /// What `make state` says of this machine: an error if tables, capabilities and manifest do not agree.
    pub fn state(&self) -> Result<String> {
        xtask::look::look(&self.tools, &["capabilities".into()])
    }

    /// What kernel `name` tells of itself (`xtask look WHAT KERNEL`): its threads, turns or counters.
    pub fn look(&self, what: &str, name: &str) -> Result<String> {
        xtask::look::look(&self.tools, &[what.into(), name.into()])
    }

    /// Fills the memory of domain `name` with ones.
    pub fn ruin(&self, name: &str) -> Result<()> {
        xtask::look::ruin(&self.tools, name)
    }

    /// QEMU's process.
    pub fn pid(&self) -> u32 {
        self.machine.pid()
    }

    /// Waits until the program has ended and the machine is off.
    pub fn finish(mut self) -> Result<Finished> {
        self.until("the machine turns itself off", |s| (!s.open).then_some(()))?;
        self.stop()
    }

    /// Stops the machine now.
    pub fn stop(self) -> Result<Finished> {
        let status = self.operator.end();
        let console = String::from_utf8_lossy(&self.console).into_owned();
        let record = self.machine.finish().context("recording")?;
        Ok(Finished { status, console, operator: self.operator.lines, record })
    }
}

impl Finished {
    /// The verdicts that accuse someone.
    pub fn accusations(&self) -> Vec<&String> {
        self.operator.iter().filter(|l| accuses(l)).collect()
    }

    /// All verdicts.
    pub fn verdicts(&self) -> Vec<&String> {
        self.operator.iter().filter(|l| l.starts_with("verdict:")).collect()
    }
}

/// Whom an operator's line accuses, and of what, in the gate's or the replicas' words. Emulated cores on a busy host are late now and then, which is no
/// fault; and what follows an accusation (`return: k3 (actor, contradicts the others) ...`) is none.
pub fn accused(line: &str) -> Option<(&str, &str)> {
    let (kind, told) = line.split_once(": ")?;
    let (who, what) = told.split_once(' ')?;
    let accuses = match kind {
        "verdict" => !what.starts_with("late: ") && !what.starts_with("has caught up"),
        "progress" => what.starts_with("contradicts the others"),
        _ => false,
    };
    accuses.then_some((who, what))
}

/// Whether an operator's line accuses a kernel.
pub fn accuses(line: &str) -> bool {
    accused(line).is_some()
}

/// Runs one command line to its end.
pub fn run(command: &str, options: Options) -> Result<Finished> {
    Session::boot(&Options { command: Some(command.into()), ..options })?.finish()
}

/// Options for the strict mode of tests: the abstract program's digest is compared at every sync point.
pub fn strict() -> Options {
    Options { run: vec![("digest-interval".into(), 1), ("grace-ms".into(), GRACE_MS)], ..Options::default() }
}

/// The grace in tests, milliseconds: emulated cores on a busy host are late more often than real ones.
pub const GRACE_MS: u32 = 500;

#[cfg(test)]
mod tests {
    use super::accused;

    #[test]
    fn an_accusation_names_whom_it_is_of_and_other_lines_are_none() {
        for (line, who, what) in [
            ("verdict: k3 crashed (exception class 0x20, pc 0x0, address 0x0)", "k3", "crashed (exception"),
            ("verdict: k2 wrong output: effect 54 (call 375) differs: own", "k2", "wrong output: effect 54"),
            ("verdict: no quorum is possible for effect 7: output stops here", "no", "quorum is possible"),
            (
                "progress: k3 contradicts the others at sync point 36: not heard any more",
                "k3",
                "contradicts the others",
            ),
        ] {
            let told = accused(line).unwrap_or_else(|| panic!("{line}"));
            assert!(told.0 == who && told.1.starts_with(what), "{told:?}");
        }
        for line in [
            "return: k3 (actor, contradicts the others) is begun anew as journal",
            "return: k3 votes as journal, 3905 ms after it was lost (contradicts the others), 1792 ms of them following the log: four vote again",
            "verdict: k2 late: effect 9 is missing 500 ms after the quorum's",
            "verdict: k2 has caught up",
            "progress: k2 lagging: the others go on, its last sync point was 30",
            "evidence: effect 54, epoch 1: k1, k3, k4 agree on 643fc0b6",
        ] {
            assert_eq!(accused(line), None, "{line}");
        }
    }
}
