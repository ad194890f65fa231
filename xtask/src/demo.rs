//! `make demo`: a short tour. Types at both consoles what a person would, and prints what both say.

use crate::kernels::KERNELS;
use crate::machine::{Images, Machine, Options};
use crate::terminal::OperatorLog;
use anyhow::{Result, bail};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// A step that does not end by then has failed.
const LIMIT: Duration = Duration::from_secs(180);
const PROMPT: &str = "# ";

/// One step: what the tour says about it, what is typed where, and what must be seen before the next.
enum Step {
    Say(&'static str),
    Type(&'static str),
    Operate(&'static str, &'static [&'static str]),
}

use Step::{Operate, Say, Type};

const TOUR: &[Step] = &[
    Say("Four kernels that share no code run one shell; a byte comes out when three of them agree on it."),
    Type("seq 1 1000 | md5sum"),
    Operate("status", &["k4 "]),
    Say(
        "One of them begins to lie. Its vote differs: it is out-voted and named. It executes the same turns again: did it happen once, or does it each time?",
    ),
    Operate("inject lie k2", &["injected: lie in k2"]),
    Type("seq 1 1000 | md5sum"),
    Operate("status", &["return: k2 votes as ", "four vote again"]),
    Say("Another crashes. The shell does not notice."),
    Operate("inject crash k3", &["return: k3 votes as ", "four vote again"]),
    Type("seq 1 1000 | md5sum"),
    Say("A healthy one is replaced by order."),
    Operate("replace k1 journal", &["return: k1 votes as journal", "four vote again"]),
    Type("seq 1 1000 | md5sum"),
    Operate("status", &["k4 "]),
    Type("exit"),
];

struct Tour {
    machine: Machine,
    console: Vec<u8>,
    operator: OperatorLog,
    /// Operator's lines that were printed, and those that earlier steps have looked at.
    printed: usize,
    seen: usize,
}

impl Tour {
    /// Prints what both consoles say. `false`: the machine is gone.
    fn pump(&mut self) -> Result<bool> {
        let mut open = false;
        let mut buffer = [0; 4096];
        let mut read = |socket: &mut UnixStream| match socket.read(&mut buffer) {
            Ok(n) => (n > 0, buffer[..n].to_vec()),
            Err(_) => (true, vec![]),
        };
        let (alive, bytes) = read(&mut self.machine.console);
        open |= alive;
        let mut out = std::io::stdout().lock();
        out.write_all(&bytes)?;
        self.console.extend(bytes);
        let (alive, bytes) = read(&mut self.machine.operator);
        open |= alive;
        self.operator.push(&bytes);
        let fresh = &self.operator.lines[self.printed..];
        self.printed += fresh.len();
        let shown: Vec<_> = fresh.iter().filter(|l| !l.starts_with("el2: ") && !l.starts_with('[')).collect();
        shown.iter().try_for_each(|line| write!(out, "\r\n    | {line}"))?;
        if !shown.is_empty() {
            out.write_all(b"\r\n")?;
        }
        out.flush()?;
        Ok(open)
    }

    fn until(&mut self, what: &str, mut done: impl FnMut(&mut Tour) -> bool) -> Result<()> {
        let limit = Instant::now() + LIMIT;
        while !done(self) {
            if Instant::now() > limit || !self.pump()? {
                bail!("the tour ended early: {what} did not come");
            }
        }
        Ok(())
    }

    fn prompt(&mut self) -> Result<()> {
        self.until("the prompt", |t| t.console.windows(PROMPT.len()).any(|w| w == PROMPT.as_bytes()))
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        match step {
            Say(text) => {
                println!("\r\n\r\n--- {text}\r");
                print!("{PROMPT}");
                Ok(())
            }
            Type("exit") => Ok(self.machine.console.write_all(b"exit\r")?),
            Type(line) => {
                self.console.clear();
                self.machine.console.write_all(format!("{line}\r").as_bytes())?;
                self.prompt()
            }
            Operate(line, words) => {
                self.machine.operator.write_all(format!("{line}\r").as_bytes())?;
                let until = |t: &mut Tour| {
                    let found = |l: &String| words.iter().all(|w| l.contains(w));
                    let at = t.operator.lines[t.seen..].iter().position(found);
                    at.map(|at| t.seen += at + 1).is_some()
                };
                self.until(&format!("{words:?}"), until)
            }
        }
    }
}

/// Boots one of each kernel and shows what becomes of faults. The program's exit status.
pub fn demo(images: &Images) -> Result<i32> {
    let kernels = KERNELS.map(str::to_owned).into();
    let machine = Machine::boot(images, &Options { kernels, ..Options::default() })?;
    for socket in [&machine.console, &machine.operator] {
        socket.set_read_timeout(Some(Duration::from_millis(5)))?;
    }
    let mut tour = Tour { machine, console: vec![], operator: OperatorLog::default(), printed: 0, seen: 0 };
    tour.prompt()?;
    for step in TOUR {
        tour.step(step)?;
    }
    while tour.pump()? {}
    println!();
    match tour.operator.end() {
        Some(status) => Ok(status),
        None => bail!("the machine stopped before the program ended"),
    }
}
