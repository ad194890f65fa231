//! What the operator types.

use crate::line::Line;
use crate::{Board, Manager};
use abi::bootinfo::incarnation;
use abi::hypercall::Inject;
use abi::vote::Control;

const HELP: &[&str] = &[
    "help                   this text",
    "status [json]          every domain, and how each voter stands",
    "counters K [json]      what kernel K counts of itself: calls by kind, faults, switches, frames",
    "verdicts, log          the last verdicts with their evidence; all that was told last; with the seconds since power-on",
    "inject crash|hang K    EL2 makes K jump to nowhere, or never runs it again",
    "inject slow K          K gets a tenth of its core, until `resume K`",
    "inject corrupt K       EL2 flips a bit in each of the first 1024 pages of K's memory",
    "inject lie|diverge K   kernel K falsifies its output, or a byte of its program's memory",
    "inject equivocate R    replica R says different things to different others",
    "inject usurp manager   the manager tries all it can: every invocation, and orders to begin everybody anew",
    "restart R              replica R loses its memory and its keys, and begins anew",
    "replace K [design]     kernel K begins anew, as it was or with another design, follows the log and votes again",
    "replace K spare [design]  the kernel held cold takes the place of K, which votes until then; K's place is the spare then",
    "pause K, resume K      K stands still while the others go on; with kernels it is late then",
    "policy [iteration re-execute|rotate|refresh|none]  what becomes of a lost kernel: its turns again, the next design, the same again, nothing",
    "policy [spare after-attempts|first|manual]  when the spare takes its place: when its own does not bring it back, at once, never",
    "resize ROWS COLUMNS    the terminal has another size; agreed like typed bytes",
    "signal NAME|NUMBER     to the terminal's foreground process group; agreed likewise",
    "json on|off            what is told comes as JSON, an object a line",
    "K: a domain's name, or the number of a voter (1: the first)",
];

#[derive(Clone, Copy)]
enum Fault {
    Crash,
    Hang,
    Lie,
    Diverge,
    Equivocate,
    Usurp,
    Restart,
    Pause,
    Resume,
    Slow,
    Corrupt,
}

impl Manager {
    /// Takes one byte that the operator typed.
    pub fn on_byte(&mut self, byte: u8, board: &mut impl Board) {
        let after_return = core::mem::replace(&mut self.after_return, byte == b'\r');
        match byte {
            b'\n' if after_return => {}
            b'\r' | b'\n' => {
                board.echo(b"\r\n");
                let typed = core::mem::take(&mut self.command);
                match core::str::from_utf8(&typed) {
                    Ok(typed) => self.command(typed.trim(), board),
                    Err(_) => self.say(board, format_args!("a command is plain text; try `help`")),
                }
            }
            0x7f | 0x08 if self.command.pop().is_some() => board.echo(b"\x08 \x08"),
            b' '..=b'~' if self.command.push(byte).is_ok() => board.echo(&[byte]),
            _ => {}
        }
    }

    fn command(&mut self, typed: &str, board: &mut impl Board) {
        let mut words = typed.split_ascii_whitespace();
        let first = [(); 4].map(|()| words.next());
        match first {
            [None, ..] => {}
            [Some("help"), None, ..] => HELP.iter().for_each(|line| board.text(line.as_bytes())),
            [Some("status"), None, ..] => self.status(self.json, board),
            [Some("status"), Some("json"), None, _] => self.status(true, board),
            [Some("counters"), Some(target), None, _] => self.counters(target, self.json, board),
            [Some("counters"), Some(target), Some("json"), None] => self.counters(target, true, board),
            [Some("verdicts"), None, ..] => self.history.replay(true, board),
            [Some("log"), None, ..] => self.history.replay(false, board),
            [Some("policy"), name, value, None] => self.policy(name, value, board),
            [Some("resize"), Some(rows), Some(columns), None] => self.resize(rows, columns, board),
            [Some("signal"), Some(signal), None, _] => self.signal(signal, board),
            [Some("json"), Some(word @ ("on" | "off")), None, _] => self.json = word == "on",
            [Some("inject"), Some(fault), Some(target), None] => self.inject(fault, target, board),
            [Some("restart"), Some(target), None, ..] => self.harm("restart", Fault::Restart, target, board),
            [Some("pause"), Some(target), None, ..] => self.harm("pause", Fault::Pause, target, board),
            [Some("resume"), Some(target), None, ..] => self.harm("resume", Fault::Resume, target, board),
            [Some("replace"), Some(target), Some("spare"), design] if words.next().is_none() => {
                self.replace_by_spare(target, design, board);
            }
            [Some("replace"), Some(target), design, None] => self.replace(target, design, board),
            [Some("replace"), ..] => {
                self.say(
                    board,
                    format_args!(
                        "usage: replace K [spare] [design], e.g. `replace k2 lazy`, `replace k2 spare`"
                    ),
                );
            }
            [Some("counters"), ..] => {
                self.say(board, format_args!("usage: counters K [json], e.g. `counters k2`"))
            }
            [Some("inject"), ..] => {
                self.say(
                    board,
                    format_args!(
                        "usage: inject crash|hang|slow|corrupt|lie|diverge|equivocate K, e.g. `inject lie k2`"
                    ),
                );
            }
            [Some("pause" | "resume" | "restart"), ..] => {
                self.say(board, format_args!("usage: pause K, resume K, restart R, e.g. `pause k2`"));
            }
            [Some("resize" | "signal" | "json" | "policy"), ..] => self.say(
                board,
                format_args!(
                    "usage: resize ROWS COLUMNS, signal TERM, json on|off, policy iteration refresh"
                ),
            ),
            [Some("help" | "status" | "verdicts" | "log"), Some(_), ..] => {
                self.say(board, format_args!("`{typed}`: nothing may follow that command"));
            }
            [Some(other), ..] => self.say(board, format_args!("unknown command `{other}`; try `help`")),
        }
    }

    fn inject(&mut self, fault: &str, target: &str, board: &mut impl Board) {
        let kind = match fault {
            "crash" => Fault::Crash,
            "hang" => Fault::Hang,
            "lie" => Fault::Lie,
            "diverge" => Fault::Diverge,
            "equivocate" => Fault::Equivocate,
            "slow" => Fault::Slow,
            "corrupt" => Fault::Corrupt,
            "usurp" => Fault::Usurp,
            _ => {
                return self.say(
                    board,
                    format_args!(
                        "unknown fault `{fault}`: there are crash, hang, slow, corrupt, lie, diverge, equivocate and usurp"
                    ),
                );
            }
        };
        self.harm(fault, kind, target, board);
    }

    fn harm(&mut self, what: &str, kind: Fault, target: &str, board: &mut impl Board) {
        let Some(domain) = self.domain(target) else {
            return self.say(
                board,
                format_args!("no domain `{target}`: give a name of `status`, or a voter's number from 1"),
            );
        };
        if domain == self.config.own && matches!(kind, Fault::Usurp) {
            return self.usurp(board);
        }
        if domain == self.config.own {
            return self.say(board, format_args!("the manager does not harm itself"));
        }
        if self.is_cold(domain) {
            return self.say(board, format_args!("{} is the spare: it does not run", self.name(domain)));
        }
        let name = Line::of(format_args!("{}", self.name(domain)));
        let name = core::str::from_utf8(name.bytes()).unwrap_or("?");
        let done = match kind {
            Fault::Lie | Fault::Diverge | Fault::Slow if !self.voter(domain) => {
                return self.say(board, format_args!("{name} is no kernel: only a voter can {what}"));
            }
            Fault::Equivocate | Fault::Restart if !self.replica(domain) => {
                return self.say(board, format_args!("{name} is no replica: only one can {what}"));
            }
            Fault::Usurp => return self.say(board, format_args!("only the manager can {what}")),
            Fault::Crash => board.inject(domain, Inject::Crash),
            Fault::Hang => board.inject(domain, Inject::Hang),
            Fault::Corrupt => board.inject(domain, Inject::Corrupt),
            Fault::Slow => {
                self.slowed |= 1 << domain;
                Ok(())
            }
            Fault::Pause => board.inject(domain, Inject::Pause),
            Fault::Resume => {
                self.slowed &= !(1 << domain);
                board.inject(domain, Inject::Resume)
            }
            Fault::Restart => {
                board.control(Control::Restart { domain: self.incarnation(domain), image: 0, again: false });
                Ok(())
            }
            Fault::Lie => {
                board.control(Control::Lie { domain: self.incarnation(domain) });
                Ok(())
            }
            Fault::Diverge => {
                board.control(Control::Diverge { domain: self.incarnation(domain) });
                Ok(())
            }
            Fault::Equivocate => {
                board.control(Control::Equivocate { domain: self.incarnation(domain) });
                Ok(())
            }
        };
        match done {
            Ok(()) if matches!(kind, Fault::Pause | Fault::Resume) => {
                self.say(board, format_args!("{what}d: {name}"))
            }
            Ok(()) if matches!(kind, Fault::Restart) => {
                self.say(board, format_args!("the replicas are asked to restart {name}"));
            }
            Ok(()) => self.say(board, format_args!("injected: {what} in {name}")),
            Err(e) => self.say(board, format_args!("EL2 refuses {what} in {name}: {e:?}")),
        }
    }

    /// This manager turns hostile: all invocations that it can think of, and an order to begin each domain anew, at once.
    fn usurp(&mut self, board: &mut impl Board) {
        let [tried, done] = board.usurp();
        for domain in 0..self.config.domains {
            board.control(Control::Restart { domain: self.incarnation(domain), image: 0, again: false });
        }
        // And somebody else is to vote in place of the last that does.
        let last = (0..self.config.domains).rfind(|d| self.set.is_some_and(|set| set >> d & 1 == 1));
        if let (Some(last), Some(spare)) = (last, self.spare()) {
            let (domain, by) = (self.incarnation(last), self.incarnation(spare));
            board.control(Control::Replace { domain, by, image: 0 });
        }
        self.say(
            board,
            format_args!(
                "injected: usurp: {tried} invocations, {done} took effect; {} orders to begin somebody anew",
                self.config.domains
            ),
        );
    }

    /// How an order names `domain` as it is now.
    pub(crate) fn incarnation(&self, domain: u32) -> u32 {
        let status = self.rows.get(domain as usize).and_then(|r| r.status);
        incarnation(domain, status.map_or(0, |s| s.restarts.into()))
    }

    /// The domain named `target`, or the voter of that number.
    pub(crate) fn domain(&self, target: &str) -> Option<u32> {
        if let Some(domain) = (0..self.config.domains).find(|d| self.name(*d) == target) {
            return Some(domain);
        }
        let nth: usize = target.parse().ok()?;
        (0..self.config.domains).filter(|d| self.voter(*d)).nth(nth.checked_sub(1)?)
    }
}
