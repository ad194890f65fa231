//! Joins a machine's consoles to the person's terminal.
//!
//! Standard output carries the program's output and nothing else; what the operator's console says goes to standard error, line by line.
//! In an interactive session Ctrl-] asks for an operator's command.

use crate::machine::Machine;
use crate::operator::Relay;
use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{self, SetArg, Termios};
use std::io::{IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// The key that asks for an operator's command: Ctrl-].
const OPERATOR_KEY: u8 = 0x1d;

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The program exited with this status, or was killed by a signal (128 + its number), as a shell says it.
    Program(i32),
    /// The machine went away without a word.
    Machine,
    /// The person asked to quit.
    Quit,
    /// Time was up.
    Timeout,
}

/// What the operator's console said so far, cut into lines.
#[derive(Default)]
pub struct OperatorLog {
    partial: Vec<u8>,
    /// Whole lines.
    pub lines: Vec<String>,
}

impl OperatorLog {
    /// Takes bytes; the number of lines completed by them.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let before = self.lines.len();
        for &b in bytes {
            match b {
                b'\n' => {
                    self.lines.push(String::from_utf8_lossy(&std::mem::take(&mut self.partial)).into_owned())
                }
                b'\r' => {}
                _ => self.partial.push(b),
            }
        }
        self.lines.len() - before
    }

    /// The program's end, once the manager has told it.
    pub fn end(&self) -> Option<i32> {
        self.lines.iter().rev().find_map(|line| {
            let told = line.strip_prefix("tetrarch: program ")?;
            if let Some(status) = told.strip_prefix("exited with status ") {
                status.trim().parse().ok()
            } else {
                told.strip_prefix("killed by signal ")?.trim().parse::<i32>().ok().map(|s| 128 + s)
            }
        })
    }
}

struct Raw(Option<Termios>);

impl Raw {
    fn enter() -> Result<Raw> {
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            return Ok(Raw(None));
        }
        let old = termios::tcgetattr(&stdin)?;
        let mut raw = old.clone();
        termios::cfmakeraw(&mut raw);
        termios::tcsetattr(&stdin, SetArg::TCSANOW, &raw)?;
        Ok(Raw(Some(old)))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(old) = &self.0 {
            let _ = termios::tcsetattr(std::io::stdin(), SetArg::TCSANOW, old);
        }
    }
}

/// Runs a session to its end. `interactive`: the person's keys go to the program.
pub fn attach(
    machine: &mut Machine,
    interactive: bool,
    verbose: bool,
    timeout: Option<Duration>,
    relay: &Relay,
) -> Result<End> {
    let raw = if interactive { Raw::enter()? } else { Raw(None) };
    let deadline = timeout.map(|t| Instant::now() + t);
    let mut log = OperatorLog::default();
    let mut keys_open = interactive;
    let mut command: Option<Vec<u8>> = None;
    let (mut console_open, mut operator_open) = (true, true);
    while console_open || operator_open {
        if deadline.is_some_and(|d| Instant::now() > d) {
            return Ok(End::Timeout);
        }
        let stdin = std::io::stdin();
        let ready = wait(machine, &stdin, [console_open, operator_open, keys_open])?;
        let mut buffer = [0; 4096];
        if ready[0] {
            let n = machine.console.read(&mut buffer).unwrap_or(0);
            console_open = n > 0;
            let mut out = std::io::stdout().lock();
            out.write_all(&buffer[..n])?;
            out.flush()?;
        }
        if ready[1] {
            let n = machine.operator.read(&mut buffer).unwrap_or(0);
            operator_open = n > 0;
            relay.tell(&buffer[..n]);
            let new = log.push(&buffer[..n]);
            for line in &log.lines[log.lines.len() - new..] {
                show(line, verbose, raw.0.is_some());
                crate::symbols::explain(line, machine.kernel())
                    .iter()
                    .for_each(|l| show(l, verbose, raw.0.is_some()));
            }
        }
        if ready[2] {
            let n = nix::unistd::read(&stdin, &mut buffer).unwrap_or(0);
            keys_open = n > 0;
            if keys(&buffer[..n], machine, &mut command)? {
                return Ok(End::Quit);
            }
        }
    }
    Ok(log.end().map_or(End::Machine, End::Program))
}

fn wait(machine: &Machine, stdin: &std::io::Stdin, open: [bool; 3]) -> Result<[bool; 3]> {
    let flags = |o: bool| if o { PollFlags::POLLIN } else { PollFlags::empty() };
    let mut fds = vec![
        PollFd::new(machine.console.as_fd(), flags(open[0])),
        PollFd::new(machine.operator.as_fd(), flags(open[1])),
    ];
    if open[2] {
        fds.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
    }
    match poll(&mut fds, PollTimeout::from(200u16)) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(e) => return Err(e).context("poll"),
    }
    let hit = |i: usize| {
        open[i] && fds.get(i).is_some_and(|f: &PollFd<'_>| f.revents().is_some_and(|r| !r.is_empty()))
    };
    Ok([hit(0), hit(1), hit(2)])
}

/// A line of the operator's console that a person wants to see in passing; any with `verbose`.
fn show(line: &str, verbose: bool, raw: bool) {
    let quiet =
        line.is_empty() || line.starts_with("tetrarch: program") || line.starts_with("tetrarch: power off");
    if verbose || !quiet {
        let (on, off) = if std::io::stderr().is_terminal() { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
        eprint!("{on}| {line}{off}{}", if raw { "\r\n" } else { "\n" });
    }
}

/// Passes keys on; true when the person asked to quit.
fn keys(bytes: &[u8], machine: &mut Machine, command: &mut Option<Vec<u8>>) -> Result<bool> {
    for &b in bytes {
        match (&mut *command, b) {
            (None, OPERATOR_KEY) => {
                *command = Some(Vec::new());
                eprint!("\r\noperator (help, status, inject ...; empty: back; quit) > ");
            }
            (None, b) => machine.console.write_all(&[b])?,
            (Some(line), b'\r' | b'\n') => {
                eprint!("\r\n");
                let line = std::mem::take(line);
                *command = None;
                if line == b"quit" {
                    return Ok(true);
                }
                if !line.is_empty() {
                    machine.operator.write_all(&[&line[..], b"\r"].concat())?;
                }
            }
            (Some(line), 0x7f | 8) if !line.is_empty() => {
                line.pop();
                eprint!("\x08 \x08");
            }
            (Some(line), b) if (0x20..0x7f).contains(&b) => {
                line.push(b);
                eprint!("{}", b as char);
            }
            _ => {}
        }
    }
    Ok(false)
}
