//! Orders that are no faults: policies, and inputs from outside that do not come from the keyboard (R63, R64).

use crate::{Board, Manager};
use abi::bootinfo::{Iteration, SparePolicy};
use abi::hypercall::Inject;
use abi::vote::Control;

/// A slowed kernel runs for so long, and then stands still for so long, microseconds.
const RUNS_US: u64 = 2_000;
const STANDS_US: u64 = 18_000;

/// Names of the signals 1 to 31 on arm64 Linux, without SIG.
const SIGNALS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

fn signal_name(signal: u8) -> Option<&'static str> {
    SIGNALS.get(usize::from(signal).checked_sub(1)?).copied()
}

impl Manager {
    /// `policy`: shows the policies; `policy iteration refresh`: from now on another.
    pub(crate) fn policy(&mut self, name: Option<&str>, value: Option<&str>, board: &mut impl Board) {
        match (name, value.map(Iteration::named), value.map(SparePolicy::named)) {
            (None, None, None) => {}
            (Some("iteration"), Some(Some(iteration)), _) => self.config.iteration = iteration,
            (Some("spare"), _, Some(Some(spare))) => self.config.spare = spare,
            _ => {
                return self.say(
                    board,
                    format_args!(
                        "usage: policy, policy iteration re-execute|rotate|refresh|none, policy spare after-attempts|first|manual"
                    ),
                );
            }
        }
        let word = match self.config.iteration {
            Iteration::ReExecute => {
                "re-execute: a lost kernel executes its last turns again; lost again, the next design takes its place"
            }
            Iteration::Rotate => "rotate: the next design takes a lost kernel's place",
            Iteration::Refresh => "refresh: a lost kernel begins anew as it was",
            Iteration::None => "none: a lost kernel stays out until `replace`",
        };
        self.say(board, format_args!("policy: iteration is {word}"));
        let word = match self.config.spare {
            _ if self.config.kernels.count_ones() <= self.config.seats => return,
            SparePolicy::AfterAttempts => {
                "after-attempts: it takes over when a lost kernel's own place does not bring it back"
            }
            SparePolicy::First => "first: it takes over at once, and the lost one's place is the next spare",
            SparePolicy::Manual => "manual: it takes over by `replace K spare`",
        };
        self.say(board, format_args!("policy: spare is {word}"));
    }

    /// `resize ROWS COLUMNS`.
    pub(crate) fn resize(&mut self, rows: &str, columns: &str, board: &mut impl Board) {
        match (rows.parse(), columns.parse()) {
            (Ok(rows @ 1..), Ok(columns @ 1..)) => {
                board.control(Control::Resize { rows, columns });
                self.say(
                    board,
                    format_args!("to be agreed: the terminal has {rows} rows of {columns} columns"),
                );
            }
            _ => self.say(board, format_args!("rows and columns are numbers from 1 to 65535")),
        }
    }

    /// `signal TERM`, `signal 15`.
    pub(crate) fn signal(&mut self, word: &str, board: &mut impl Board) {
        let name = word.strip_prefix("SIG").unwrap_or(word);
        let named = (1..=31).find(|n| signal_name(*n) == Some(name));
        let Some(signal) = named.or_else(|| word.parse().ok().filter(|n| (1..=31).contains(n))) else {
            return self.say(
                board,
                format_args!("no signal `{word}`: give a name such as TERM, or a number from 1 to 31"),
            );
        };
        board.control(Control::Signal { signal });
        let name = signal_name(signal).unwrap_or("?");
        self.say(board, format_args!("to be agreed: SIG{name} for the terminal's foreground process group"));
    }

    /// When [`Manager::on_time`] is to be called, in the [`Board`]'s microseconds; `None`: nothing is to come.
    pub fn wakes_at(&self) -> Option<u64> {
        (self.slowed != 0 || self.standing != 0).then_some(self.turns_at)
    }

    /// Lets slowed kernels run, or stand still, when it is time for that.
    pub fn on_time(&mut self, board: &mut impl Board) {
        let now = board.now_us();
        if self.wakes_at().is_none_or(|at| now < at) {
            return;
        }
        let (kind, of, lasts) = match self.standing {
            0 => (Inject::Pause, self.slowed, STANDS_US),
            standing => (Inject::Resume, standing, RUNS_US),
        };
        for domain in (0..self.config.domains).filter(|d| of >> d & 1 == 1) {
            // One that is dead or just begins anew needs no rest; EL2 knows.
            let _refused = board.pace(domain, kind);
        }
        self.standing = if kind == Inject::Pause { of } else { 0 };
        self.turns_at = now + lasts;
    }
}
