//! The kernel: its state, and its loop. One stack: the loop takes what the turn rule allows next (a log entry, a call, user code) and carries it
//! out; whatever has to wait is a [`Continuation`](crate::process::Continuation) in its thread.

use crate::files::Files;
use crate::hw::{Event, Hardware};
use crate::memory::Memory;
use crate::open::OpenFile;
use crate::pipe::Pipe;
use crate::process::{Process, Stand, Thread};
use crate::sched;
use crate::slab::Slab;
use crate::snapshot::Taking;
use crate::snapshot::read::Refused;
use crate::terminal::Terminal;
use crate::turn::Turn;
use abi::log::{ENTRY_MAX, Entry, VERSION};
use abi::vote::{Control, EffectKind, PAYLOAD_MAX, Vote};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec;
use alloc::vec::Vec;

/// Entries that may wait here; a log that runs further ahead is no log of ours.
const AHEAD_MAX: usize = 4096;

/// An entry of a sync point that is still to come.
struct SyncEntry {
    time_us: u64,
    events: Vec<u8>,
}

/// What the log decided about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The head leaves the round.
    Skip,
    /// It stays.
    Go,
}

/// Everything.
pub struct Kernel<H> {
    /// Memory, and the machine below it.
    pub memory: Memory<H>,
    /// Threads by serial.
    pub threads: BTreeMap<u64, Thread>,
    /// Processes by serial, zombies too.
    pub processes: BTreeMap<u64, Process>,
    /// The turn rule's state.
    pub turn: Turn,
    /// Files.
    pub files: Files,
    /// Open file descriptions.
    pub open: Slab<OpenFile>,
    /// Pipes.
    pub pipes: Slab<Pipe>,
    /// Next pipe's inode number.
    pub pipe_numbers: u64,
    /// The terminal.
    pub terminal: Terminal,
    /// Decisions about calls to come.
    pub decisions: BTreeMap<u64, Decision>,
    log: VecDeque<SyncEntry>,
    /// Sync number of the next entry to come in.
    next_entry: u64,
    buffer: Box<[u8]>,
    /// Boot's entry as it stood in the log.
    pub boot: Vec<u8>,
    /// Of Boot.
    pub seed: [u8; 32],
    /// Of Boot.
    pub boot_us: u64,
    /// Of Boot.
    pub digest_interval: u64,
    /// Which calls programs are offered.
    pub tier: u8,
    /// Execs so far.
    pub execs: u64,
    /// The last serial given.
    pub last_serial: u64,
    /// The last pid given.
    pub last_pid: u32,
    /// Effects posted.
    pub effects: u64,
    /// Process 1 has ended.
    pub ended: bool,
    /// See [`abi::bootinfo::RunParameters::stuck_ms`].
    pub stuck_us: u64,
    domain: u32,
    lies: bool,
    /// Invert a byte of the process that next makes a call.
    pub diverges: bool,
    /// Whose FP registers the processor holds.
    pub fp_owner: Option<u64>,
    /// System calls that programs wanted and nobody offers, each told once.
    pub unknown: BTreeSet<u64>,
    /// A snapshot that is not finished.
    pub taking: Option<Box<Taking>>,
    /// For whoever watches.
    pub tally: crate::monitor::Tally,
}

impl<H: Hardware> Kernel<H> {
    /// Before the log's first entry.
    pub fn new(hw: H, stuck_us: u64, domain: u32) -> Self {
        Kernel {
            memory: Memory::new(hw),
            threads: BTreeMap::new(),
            processes: BTreeMap::new(),
            turn: Turn::default(),
            files: Files::default(),
            open: Slab::default(),
            pipes: Slab::default(),
            pipe_numbers: 1,
            terminal: Terminal::default(),
            decisions: BTreeMap::new(),
            log: VecDeque::new(),
            next_entry: 1,
            buffer: vec![0; ENTRY_MAX].into_boxed_slice(),
            boot: Vec::new(),
            seed: [0; 32],
            boot_us: 0,
            digest_interval: 0,
            tier: abi::tier::LEAST,
            execs: 0,
            last_serial: 0,
            last_pid: 0,
            effects: 0,
            ended: false,
            stuck_us,
            domain,
            lies: false,
            diverges: false,
            fp_owner: None,
            unknown: BTreeSet::new(),
            taking: None,
            tally: Default::default(),
        }
    }

    /// Runs for ever.
    pub fn run(mut self) -> ! {
        while !self.begin() {
            self.memory.physical.hw.wait(None);
        }
        loop {
            self.cycle();
        }
    }

    /// One round of the loop.
    pub fn cycle(&mut self) {
        self.read_log();
        self.read_control();
        if self.ended {
            self.memory.physical.hw.wait(None);
            return;
        }
        self.ask_to_rejoin();
        if self.advance() {
            return;
        }
        let now = self.memory.physical.hw.now_us();
        if self.turn.said < self.turn.call && now.saturating_sub(self.turn.unsaid_since) > self.stuck_us / 2 {
            self.say_last_call();
        }
        let runnable = |t: &&Thread| self.may_run(t);
        match sched::pick(self.threads.values().filter(runnable).map(|t| (t.serial, t.entity))) {
            Some(serial) => {
                let others = self.threads.values().filter(runnable).count() > 1;
                self.run_user(serial, now, others);
            }
            None => {
                self.say_last_call();
                self.tell();
                self.memory.physical.hw.wait(None);
            }
        }
    }

    /// Takes Boot; whether it was there.
    fn begin(&mut self) -> bool {
        if let Some(snapshot) = self.memory.physical.hw.beginning() {
            if let Err(Refused { record, why }) = self.begin_with(snapshot) {
                self.memory.physical.hw.say(format_args!("lazy: record {record} of the snapshot: {why}"));
                self.memory.physical.hw.fail("the snapshot is none to begin with");
            }
            return true;
        }
        let length = match self.memory.physical.hw.log(&mut self.buffer) {
            Ok(Some(n)) => n,
            Ok(None) => return false,
            Err(e) => self.memory.physical.hw.fail(e),
        };
        let record = self.buffer.get(..length).unwrap_or(&[]).to_vec();
        match postcard::from_bytes(&record) {
            Ok(Entry::Boot(boot)) if boot.version == VERSION => {
                self.boot = record.clone();
                self.start(&boot);
            }
            Ok(Entry::Boot(_)) => self.memory.physical.hw.fail("the log is of another version"),
            _ => self.memory.physical.hw.fail("the log does not begin with Boot"),
        }
        true
    }

    /// Takes what the log has, or a good part of it: who begins late finds all of it at once.
    fn read_log(&mut self) {
        while self.log.len() < AHEAD_MAX / 2 {
            let length = match self.memory.physical.hw.log(&mut self.buffer) {
                Ok(Some(n)) => n,
                Ok(None) => return,
                Err(e) => self.memory.physical.hw.fail(e),
            };
            let record = self.buffer.get(..length).unwrap_or(&[]);
            match postcard::from_bytes::<Entry<'_>>(record) {
                // What lies before the snapshot that this kernel began with is passed over, from wherever the log is read.
                Ok(Entry::Boot(_)) if self.next_entry == 1 && record == self.boot => {}
                Ok(Entry::Sync(sync)) if (self.next_entry..self.turn.sync).contains(&sync.s) => {
                    self.next_entry = sync.s + 1;
                }
                Ok(Entry::Skip { call } | Entry::Go { call }) if call < self.turn.call => {}
                Ok(Entry::Sync(sync)) if sync.s == self.next_entry => {
                    self.next_entry += 1;
                    self.log.push_back(SyncEntry { time_us: sync.time_us, events: sync.events.to_vec() });
                }
                Ok(Entry::Skip { call }) => drop(self.decisions.insert(call, Decision::Skip)),
                Ok(Entry::Go { call }) => drop(self.decisions.insert(call, Decision::Go)),
                Ok(_) => self.memory.physical.hw.fail("the log's entries are out of order"),
                Err(_) => self.memory.physical.hw.fail("the log holds what is no entry"),
            }
            if self.log.len() + self.decisions.len() > AHEAD_MAX {
                self.memory.physical.hw.fail("the log runs too far ahead");
            }
        }
    }

    fn read_control(&mut self) {
        let mut buffer = [0; 64];
        while let Some(n) = self.memory.physical.hw.control(&mut buffer) {
            match postcard::from_bytes(buffer.get(..n).unwrap_or(&[])) {
                Ok(Control::Lie { domain }) if domain == self.domain => self.lies = true,
                Ok(Control::Diverge { domain }) if domain == self.domain => self.diverges = true,
                _ => {}
            }
        }
    }

    /// What the turn rule has next; whether there was anything.
    fn advance(&mut self) -> bool {
        if self.turn.sync_due {
            let Some(entry) = self.log.pop_front() else {
                self.say_last_call();
                return false;
            };
            self.take_sync(entry.time_us, &entry.events);
            return true;
        }
        let Some(&head) = self.turn.round.front() else { return false };
        let call = self.turn.call;
        let decision = self.decisions.get(&call).copied();
        let at_call = self.threads.get(&head).is_some_and(|t| t.stand != Stand::User);
        let stuck = self.turn.ran_us >= self.stuck_us;
        match decision {
            Some(Decision::Skip) if at_call || stuck => {
                self.skip(head);
                return true;
            }
            Some(Decision::Skip) => return false,
            Some(Decision::Go) => {}
            None if stuck && self.turn.promised != Some(call) => {
                self.turn.promised = Some(call);
                self.note(Event::Stuck(head, call));
                self.post(&Vote::Stuck { call });
                self.turn.said = call;
            }
            None if self.turn.promised == Some(call) => return false,
            None => {}
        }
        if at_call && (self.turn.promised != Some(call) || decision.is_some()) {
            self.make_call(head);
            return true;
        }
        false
    }

    /// Posts a vote.
    pub fn post(&mut self, vote: &Vote<'_>) {
        let mut record = [0; PAYLOAD_MAX + 256];
        match postcard::to_slice(vote, &mut record) {
            Ok(bytes) => self.memory.physical.hw.post(bytes),
            Err(_) => self.memory.physical.hw.fail("a vote that is too long"),
        }
    }

    /// Posts an external effect of the call that is being made.
    pub fn effect(&mut self, kind: EffectKind, payload: &[u8]) {
        let mut payload = payload.to_vec();
        if self.lies
            && let Some(first) = payload.first_mut()
        {
            *first = !*first;
        }
        let (n, call) = (self.effects, self.turn.call);
        let digest = abi::digest::effect_digest(n, call, kind, &payload);
        self.post(&Vote::Effect { n, call, kind, digest, payload: &payload });
        self.effects += 1;
        self.turn.said = call + 1;
    }
}
