//! Talks to the operator: verdicts and states as lines that a person understands, commands, faults on demand, the end.
//!
//! The core is sans-IO: records, domain states and typed bytes go in, lines and acts go out through a [`Board`]. The manager is trusted
//! for liveness only: it sees verdicts, it does not make them.
//!
//! `causes.rs` finds out why, `iteration.rs` brings lost kernels back, `spare.rs` has one replaced by a kernel that is held cold, `recall.rs` goes on where a
//! dead manager ended, `report.rs` puts verdicts into words, `command.rs` reads
//! what the operator types. `table.rs` is `status`, `history.rs` what was told last, `orders.rs` what is neither.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod causes;
mod command;
mod counters;
mod history;
mod iteration;
mod line;
mod orders;
mod recall;
mod replicas;
mod report;
mod snapshots;
mod spare;
mod table;

use abi::bootinfo::{DOMAINS_MAX, DomainState, DomainStatus, Iteration, Name, SparePolicy, name_str};
use abi::digest::Digest;
use abi::hypercall::{Error, Inject};
use abi::monitor::Monitor;
use abi::vote::Control;
use consensus::verdict::{Causes, Policy};
use history::History;
use iteration::Return;
pub use iteration::{DESIGNS, Design};

/// Epochs of the voters whose policies are remembered.
const EPOCHS: usize = 16;
/// Longest command, bytes.
const COMMAND_MAX: usize = 128;

/// Where the core's output goes.
pub trait Board {
    /// Prints one line on the operator's console.
    fn text(&mut self, line: &[u8]);
    /// Something happened, which this line tells; `text` prints it. For the log.
    fn happened(&mut self, line: &[u8]);
    /// Shows typed bytes.
    fn echo(&mut self, bytes: &[u8]);
    /// A fault that EL2 causes.
    fn inject(&mut self, domain: u32, inject: Inject) -> Result<(), Error>;
    /// The same, many times a second: nobody makes a note of it.
    fn pace(&mut self, domain: u32, inject: Inject) -> Result<(), Error>;
    /// What kernel `domain` tells of itself, if it does.
    fn monitor(&self, domain: u32) -> Option<Monitor<'static>>;
    /// Microseconds since some moment.
    fn now_us(&self) -> u64;
    /// An order for others: a fault that a kernel itself causes, an input to be agreed, what the replicas are to decide about.
    fn control(&mut self, control: Control);
    /// The manager tries whatever its capabilities let it: how often, and how often something took effect.
    fn usurp(&mut self) -> [u64; 2];
    /// Turns the machine off.
    fn power_off(&mut self);
}

/// The parameters of a run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Names of the domains.
    pub names: [Name; DOMAINS_MAX],
    /// How many there are.
    pub domains: u32,
    /// This domain.
    pub own: u32,
    /// Bit k: domain k is a kernel, whether it votes or is held cold.
    pub kernels: u64,
    /// So many of them vote.
    pub seats: u32,
    /// When the spare takes the place of a lost kernel without an order.
    pub spare: SparePolicy,
    /// Bit k: domain k is a replica of the log.
    pub replicas: u64,
    /// For the text of a late voter.
    pub grace_ms: u32,
    /// For the text of one that hangs.
    pub hang_ms: u32,
    /// What becomes of a lost kernel.
    pub iteration: Iteration,
    /// The kernels that can take its place.
    pub designs: heapless::Vec<Design, DESIGNS>,
    /// On which core each domain runs.
    pub cores: [u32; DOMAINS_MAX],
    /// The memory of each, MiB.
    pub mib: [u32; DOMAINS_MAX],
    /// With which image each domain began.
    pub images: [Name; DOMAINS_MAX],
}

/// Why a voter does not count any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Out {
    WrongOutput(u64),
    WrongState(u64),
    Malformed,
    Crashed,
    Silent,
    Contradicts(u64),
    FalseSnapshot(u64),
}

/// What is known of one domain.
#[derive(Clone, Copy, Default)]
struct Row {
    status: Option<DomainStatus>,
    out: Option<Out>,
    late: Option<u64>,
    lagging: Option<u64>,
    /// It has passed all sync points below this number, as was said when it was accused; and what it said that is wrong.
    stood: Option<u64>,
    said: Option<Digest>,
}

impl Row {
    /// What was said of its predecessor does not hold for who is begun anew.
    fn forget(&mut self) {
        *self = Row { status: self.status, ..Row::default() };
    }

    fn exits(&self) -> u64 {
        self.status.map_or(0, |s| s.exits)
    }

    fn crashed(&self) -> bool {
        self.status.is_some_and(|s| s.state == DomainState::Crashed as u16)
    }
}

/// The manager's state.
pub struct Manager {
    config: Config,
    rows: [Row; DOMAINS_MAX],
    /// The command being typed.
    command: heapless::Vec<u8, COMMAND_MAX>,
    /// The last byte was a carriage return.
    after_return: bool,
    released: u64,
    sync: u64,
    call: u64,
    runnable: bool,
    over: bool,
    tally: replicas::Tally,
    /// Equal votes that decide, by epoch of the voters.
    policies: heapless::LinearMap<u64, Policy, EPOCHS>,
    /// Accusations by cause.
    causes: Causes,
    /// Who votes, once that is agreed: a bit a domain.
    set: Option<u64>,
    /// By domain: how a lost kernel comes back.
    returns: [Return; DOMAINS_MAX],
    /// Who stands in for whom.
    places: spare::Places,
    /// The program's end, told while there was no manager.
    ended: Option<i32>,
    /// What was told last.
    history: History,
    /// It is told as JSON.
    json: bool,
    /// Kernels that get a tenth of their cores, a bit a domain; those of them that stand still; and when that changes.
    slowed: u64,
    standing: u64,
    turns_at: u64,
}

impl Manager {
    /// Knows nothing yet.
    pub fn new(config: Config) -> Self {
        Manager {
            config,
            rows: [Row::default(); DOMAINS_MAX],
            command: heapless::Vec::new(),
            after_return: false,
            released: 0,
            sync: 0,
            call: 0,
            runnable: true,
            over: false,
            tally: replicas::Tally::default(),
            policies: heapless::LinearMap::new(),
            causes: Causes::default(),
            set: None,
            returns: [Return::default(); DOMAINS_MAX],
            places: spare::Places::default(),
            ended: None,
            history: History::default(),
            json: false,
            slowed: 0,
            standing: 0,
            turns_at: 0,
        }
    }

    /// Takes the state of `domain` as EL2's table has it now.
    pub fn on_domain(&mut self, domain: u32, status: DomainStatus, board: &mut impl Board) {
        let voter = self.voter(domain);
        if voter {
            self.watch(domain, status, board);
        }
        let replica = self.replica(domain);
        let known = self.rows.get(domain as usize).and_then(|r| r.status);
        if self.slowed >> domain & 1 == 1 && known.is_some_and(|s| s.restarts != status.restarts) {
            // The successor is to have all of its core.
            self.slowed &= !(1 << domain);
            let _refused = board.pace(domain, Inject::Resume);
        }
        let Some(row) = self.rows.get_mut(domain as usize) else { return };
        let crashed_before = row.crashed();
        let begun = row.status.is_some_and(|s| s.restarts != status.restarts);
        row.status = Some(status);
        if begun && voter {
            self.tally.forget(domain);
        }
        if begun && replica {
            return self.say(board, format_args!("restarted: {}", self.name(domain)));
        }
        // Of a voter's crash the gate speaks, as of all verdicts.
        if row.crashed() && !crashed_before && !voter {
            self.say(
                board,
                format_args!("tetrarch: {} crashed ({})", self.name(domain), report::Cause(status)),
            );
        }
    }

    fn say(&self, board: &mut impl Board, arguments: core::fmt::Arguments<'_>) {
        let (now_us, line) = (board.now_us(), line::Line::of(arguments));
        if self.history.note(now_us, &line) {
            board.happened(line.bytes());
        }
        let json = if self.json { history::json(now_us, &line) } else { None };
        board.text(json.as_ref().unwrap_or(&line).bytes());
    }

    fn name(&self, domain: u32) -> &str {
        self.config.names.get(domain as usize).map_or("?", name_str)
    }

    fn replica(&self, domain: u32) -> bool {
        self.config.replicas.checked_shr(domain).unwrap_or(0) & 1 == 1
    }

    /// Whether `domain` is a kernel, which votes or may.
    fn voter(&self, domain: u32) -> bool {
        self.config.kernels.checked_shr(domain).unwrap_or(0) & 1 == 1
    }
}
