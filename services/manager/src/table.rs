//! What `status` shows.

use crate::history::Quoted;
use crate::{Board, Manager, Out, Row};
use abi::bootinfo::DomainState;
use consensus::verdict::Causes;
use core::fmt;

impl Manager {
    /// The state of the program and of every domain; as a table, or as JSON with one object a line.
    pub(crate) fn status(&self, json: bool, board: &mut impl Board) {
        let state = if self.runnable { "running" } else { "waiting" };
        let (sync, call, released) = (self.sync, self.call, self.released);
        let Causes { transient, one_kernel, common_mode, attack, undetermined } = self.causes;
        if json {
            self.say(
                board,
                format_args!(
                    r#"{{"kind":"program","state":"{state}","sync":{sync},"call":{call},"released":{released},"causes":{{"transient":{transient},"one_kernel":{one_kernel},"common_mode":{common_mode},"attack":{attack},"undetermined":{undetermined}}}}}"#
                ),
            );
        } else {
            self.say(
                board,
                format_args!("program {state}; sync point {sync}, call {call}, {released} effects released"),
            );
            if self.causes != Causes::default() {
                self.say(
                    board,
                    format_args!(
                        "losses by cause: transient {transient}, one kernel {one_kernel}, common mode {common_mode}, attack {attack}, undetermined {undetermined}"
                    ),
                );
            }
            self.say(
                board,
                format_args!("   domain           core design       MiB state       exits starts vote"),
            );
        }
        for domain in 0..self.config.domains {
            self.status_of(domain, json, board);
        }
    }

    fn status_of(&self, domain: u32, json: bool, board: &mut impl Board) {
        let at = domain as usize;
        let Some(row) = self.rows.get(at) else { return };
        let slow = self.slowed >> domain & 1 == 1;
        let standing = Standing {
            row,
            voter: self.voter(domain),
            cold: self.is_cold(domain),
            returning: self.returning(domain),
            slow,
        };
        let state = match row.status.map(|s| s.state) {
            Some(s) if s == DomainState::Running as u16 => "running",
            Some(s) if s == DomainState::Crashed as u16 => "crashed",
            Some(s) if s == DomainState::Restarting as u16 => "scrubbed",
            Some(s) if s == DomainState::Cold as u16 => "cold",
            _ => "absent",
        };
        let (core, mib) =
            (self.config.cores.get(at).map_or(0, |c| *c), self.config.mib.get(at).map_or(0, |m| *m));
        let (exits, starts) = (row.exits(), row.status.map_or(0, |s| u32::from(s.restarts)) + 1);
        let (name, design) = (self.name(domain), self.image(domain));
        if json {
            self.say(
                board,
                format_args!(
                    r#"{{"kind":"domain","index":{domain},"name":{},"core":{core},"design":{},"mib":{mib},"state":"{state}","exits":{exits},"starts":{starts},"vote":"{standing}"}}"#,
                    Quoted(name.as_bytes()),
                    Quoted(design.as_bytes())
                ),
            );
        } else {
            self.say(
                board,
                format_args!(
                    "{domain:>2} {name:<16} {core:>4} {design:<10} {mib:>5} {state:<8} {exits:>8} {starts:>6} {standing}"
                ),
            );
        }
    }
}

/// How a voter stands, for the table.
struct Standing<'a> {
    row: &'a Row,
    voter: bool,
    cold: bool,
    returning: Option<&'static str>,
    slow: bool,
}

impl fmt::Display for Standing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.row.out, self.row.late, self.row.lagging) {
            _ if !self.voter => Ok(()),
            _ if self.cold => f.write_str("spare"),
            _ if self.returning.is_some() => f.write_str(self.returning.unwrap_or_default()),
            (Some(Out::WrongOutput(n)), ..) => write!(f, "wrong since effect {n}"),
            (Some(Out::WrongState(s)), ..) => write!(f, "wrong since sync point {s}"),
            (Some(Out::Malformed), ..) => write!(f, "wrong: its ring is malformed"),
            (Some(Out::Crashed), ..) => write!(f, "crashed"),
            (Some(Out::Silent), ..) => write!(f, "silent"),
            (Some(Out::FalseSnapshot(s)), ..) => write!(f, "wrong: false snapshot of sync point {s}"),
            (Some(Out::Contradicts(s)), ..) => write!(f, "wrong: contradicts at sync point {s}"),
            (_, Some(n), _) => write!(f, "late since effect {n}"),
            (_, _, Some(s)) => write!(f, "lagging since sync point {s}"),
            _ if self.row.crashed() => write!(f, "crashed"),
            _ if self.slow => write!(f, "voting, slowed"),
            _ => write!(f, "voting"),
        }
    }
}
