//! The turn rule for one thread (`docs/turn-rule.md`): calls are counted, sync points taken, a thread without calls is skipped and comes back.

use crate::program::{Program, load};
use crate::space::Space;
use crate::{Machine, Registers, TIER, Trap, image};
use abi::digest::effect_digest;
use abi::layout::layout;
use abi::log::{Boot, Entry, VERSION, strings};
use abi::turn::{CALLS_PER_SYNC, CALLS_PER_TURN, CLOCK_PER_CALL_US, Class, class};
use abi::vote::{EffectKind, Vote};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

/// What the program wants before it can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// Nothing: it runs.
    Run,
    /// A call, or a fault that is one.
    Call,
    /// A fault that raises this signal.
    Fault(u8),
    /// An access that may need a further chunk of charge, and the rights it wants.
    Page(u64, u8),
}

/// Where the thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Round,
    /// Skipped at this call; whether it said that it wants to come back.
    Outside(u64, bool),
    Gone,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Run the program until a trap.
    Run,
    /// Wait for the log.
    Wait,
    /// Nothing will happen any more.
    End,
}

/// A decision about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Skip,
    Go,
}

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this in x0.
    Done(u64),
    /// With the registers as they are.
    Kept,
    /// Part of it is done: the rest is a further call.
    Again,
    /// The process has ended, with this wait status.
    Exit(i32),
}

/// What process 1 has that calls read and write.
#[derive(Debug, Default)]
pub(crate) struct Process {
    pub(crate) actions: BTreeMap<u64, [u64; 4]>,
    pub(crate) mask: u64,
    pub(crate) alternate_stack: [u64; 3],
    pub(crate) random: u64,
    pub(crate) descriptors: BTreeSet<u64>,
    /// comm, with zeros behind it.
    pub(crate) name: [u8; 16],
    /// Bytes of a terminal write that are done.
    pub(crate) written: u64,
}

/// The kernel.
pub struct Kernel<M> {
    pub(crate) m: M,
    /// The program's registers.
    pub user: Registers,
    pub(crate) space: Space,
    pub(crate) process: Process,
    /// Path of the program.
    pub(crate) program: Vec<u8>,
    pub(crate) seed: [u8; 32],
    pub(crate) modes: Vec<u8>,
    pub(crate) size: [u16; 2],
    pub(crate) queue: Vec<u8>,
    pub(crate) next_inode: u64,
    pub(crate) place: Place,
    pub(crate) call: u64,
    pub(crate) base_us: u64,
    pub(crate) interval: u64,
    want: Want,
    pub(crate) in_turn: u64,
    pub(crate) since: u64,
    pub(crate) sync: u64,
    pub(crate) sync_due: bool,
    pub(crate) memory_due: Option<u64>,
    pub(crate) effects: u64,
    pub(crate) entries: VecDeque<Vec<u8>>,
    pub(crate) decisions: BTreeMap<u64, Decision>,
    promised: Option<u64>,
    /// Calls below this number were told of.
    pub(crate) said: u64,
    stuck_us: u64,
    /// When it began to run without a call; 0: it has not yet.
    running_since: u64,
    unknown: BTreeSet<u64>,
}

/// Initial terminal modes (`docs/linux-abi.md`, "The terminal").
const MODES: [u32; 4] = [0x500, 0x5, 0xcbd, 0x8a3b];
const CONTROL: [u8; 19] =
    [3, 0x1c, 0x7f, 0x15, 4, 0, 1, 0, 0x11, 0x13, 0x1a, 0, 0x12, 0xf, 0x17, 0x16, 0, 0, 0];
const SIGSEGV: u8 = 11;

impl<M: Machine> Kernel<M> {
    /// Everything at sync point 0: `entry` is the log's first, `root` the root image. The error says why there is no kernel.
    pub fn new(m: M, entry: &[u8], root: &[u8], stuck_us: u64) -> Result<Self, &'static str> {
        let Ok(Entry::Boot(boot)) = postcard::from_bytes(entry) else {
            return Err("the log begins with no Boot");
        };
        if boot.version != VERSION {
            return Err("the log has another version");
        }
        let program: abi::log::Program<'_> =
            postcard::from_bytes(boot.program).map_err(|_| "Boot names no program")?;
        if program.tier > TIER {
            return Err("the program asks for more calls than this kernel offers (its tier)");
        }
        let found = image::find(root, program.path).ok_or("the root image is no archive")?;
        let file = found.data.ok_or("the program is not in the root image")?;
        let mut kernel = Self::empty(m, &boot, found.members, stuck_us);
        let program = Program {
            file,
            path: program.path.as_bytes(),
            argv: strings(program.argv).collect(),
            env: strings(program.env).collect(),
        };
        let layout = layout(&boot.seed, 0);
        kernel.user = load(&program, &layout, &mut kernel.space, &mut kernel.m)?;
        kernel.program = program.path.into();
        let comm = program.path.rsplit(|&b| b == b'/').next().unwrap_or_default();
        kernel.process.name.iter_mut().zip(comm.iter().take(15)).for_each(|(to, &b)| *to = b);
        kernel.m.clear_float();
        kernel.passed(0);
        Ok(kernel)
    }

    fn empty(m: M, boot: &Boot<'_>, members: u64, stuck_us: u64) -> Self {
        let modes = MODES.iter().flat_map(|w| w.to_le_bytes()).chain([0]).chain(CONTROL).collect();
        let process =
            Process { alternate_stack: [0, 2, 0], descriptors: [0, 1, 2].into(), ..Process::default() };
        Kernel {
            m,
            user: Registers::default(),
            space: Space::default(),
            process,
            program: Vec::new(),
            seed: boot.seed,
            modes,
            size: [boot.rows, boot.columns],
            queue: Vec::new(),
            next_inode: members + 2,
            place: Place::Round,
            call: 0,
            base_us: boot.time_us,
            interval: boot.digest_interval.into(),
            want: Want::Run,
            in_turn: 0,
            since: 0,
            sync: 1,
            sync_due: false,
            memory_due: None,
            effects: 0,
            entries: VecDeque::new(),
            decisions: BTreeMap::new(),
            promised: None,
            said: 0,
            stuck_us,
            running_since: 0,
            unknown: BTreeSet::new(),
        }
    }

    /// What the program was left for, at `now` (microseconds of any clock).
    pub fn trapped(&mut self, trap: Trap, now: u64) {
        match trap {
            Trap::Interrupt => self.tick(now),
            Trap::Fault(signal) => self.want = Want::Fault(signal),
            Trap::Page { address, wanted } => match self.space.touch(address, wanted, false, &mut self.m) {
                Ok(true) => {}
                // What is wrong with it, and a further chunk of charge, wait for the turn.
                _ => self.want = Want::Page(address, wanted),
            },
            Trap::Call => self.trapped_call(),
        }
    }

    fn trapped_call(&mut self) {
        let (number, a) = self.arguments();
        let result = match class(number, &a) {
            Class::Turn => None,
            Class::Private => Some(self.private(number, &a)),
            Class::Memory => self.memory(number, &a, false),
        };
        match result {
            Some(x0) => self.user.x[0] = x0,
            None => self.want = Want::Call,
        }
    }

    /// The call's number and arguments.
    pub(crate) fn arguments(&self) -> (u64, [u64; 6]) {
        let mut a = [0; 6];
        a.copy_from_slice(&self.user.x[..6]);
        (self.user.x[8], a)
    }

    fn ran(&self, now: u64) -> u64 {
        now.saturating_sub(self.running_since)
    }

    /// Time passes while the program runs.
    fn tick(&mut self, now: u64) {
        let ran = self.ran(now);
        if ran > self.stuck_us / 2 {
            self.say_last();
        }
        let open = self.promised != Some(self.call) && !self.decisions.contains_key(&self.call);
        if self.place == Place::Round && ran > self.stuck_us && open {
            self.promised = Some(self.call);
            self.said = self.call;
            self.m.post(&Vote::Stuck { call: self.call });
        }
    }

    /// The others must know of each call that was made.
    fn say_last(&mut self) {
        if self.said < self.call {
            self.said = self.call;
            self.m.post(&Vote::Took { call: self.call - 1 });
        }
    }

    /// What happens now. Called again and again: it does what can be done without the program.
    pub fn next(&mut self, now: u64) -> Next {
        if self.running_since == 0 {
            self.running_since = now;
        }
        loop {
            if self.place == Place::Gone {
                return Next::End;
            }
            if self.sync_due || self.place != Place::Round {
                if self.take_sync() {
                    self.running_since = now;
                    continue;
                }
                if self.place == Place::Round {
                    self.say_last();
                    return Next::Wait;
                }
            }
            match (self.place, self.want) {
                (Place::Round, want) => match self.decisions.get(&self.call) {
                    Some(Decision::Skip) if want != Want::Run || self.ran(now) > self.stuck_us => self.skip(),
                    None if want != Want::Run && self.promised == Some(self.call) => return Next::Wait,
                    _ if want == Want::Run => return Next::Run,
                    _ => self.make_call(now),
                },
                (_, Want::Run) => return Next::Run,
                (Place::Outside(call, false), _) => {
                    self.place = Place::Outside(call, true);
                    self.m.post(&Vote::Rejoin { thread: 1, call });
                }
                _ => return Next::Wait,
            }
        }
    }

    /// The head leaves the round; the number is used up.
    fn skip(&mut self) {
        self.place = Place::Outside(self.call, false);
        self.count();
        self.sync_due = true;
    }

    fn count(&mut self) {
        self.decisions = self.decisions.split_off(&(self.call + 1));
        self.call += 1;
        self.since += 1;
    }

    fn make_call(&mut self, now: u64) {
        if self.ran(now) > self.stuck_us / 2 && self.promised != Some(self.call) {
            self.said = self.call + 1;
            self.m.post(&Vote::Took { call: self.call });
        }
        if let Some(s) = self.memory_due.take() {
            let digest = self.memory_digest();
            self.m.post(&Vote::Memory { s, process: 1, pid: 1, digest });
        }
        let ended = match self.want {
            Want::Fault(signal) => self.fault(signal),
            Want::Page(address, wanted) => match self.space.touch(address, wanted, true, &mut self.m) {
                Ok(true) => Ended::Kept,
                _ => self.fault(SIGSEGV),
            },
            Want::Call | Want::Run => self.perform(),
        };
        self.count();
        match ended {
            Ended::Done(x0) => {
                self.user.x[0] = x0;
                self.want = Want::Run;
            }
            Ended::Kept => self.want = Want::Run,
            Ended::Again => {}
            Ended::Exit(status) => {
                self.effect_of(self.call - 1, EffectKind::Exit, &status.to_le_bytes());
                self.place = Place::Gone;
            }
        }
        self.running_since = now;
        self.in_turn += 1;
        if self.in_turn == CALLS_PER_TURN {
            self.in_turn = 0;
            self.sync_due = self.since >= CALLS_PER_SYNC;
        }
    }

    /// An external effect of the call that is being made.
    pub(crate) fn effect(&mut self, kind: EffectKind, payload: &[u8]) {
        self.effect_of(self.call, kind, payload);
    }

    fn effect_of(&mut self, call: u64, kind: EffectKind, payload: &[u8]) {
        let n = self.effects;
        let digest = effect_digest(n, call, kind, payload);
        self.effects += 1;
        self.said = self.said.max(call + 1);
        self.m.post(&Vote::Effect { n, call, kind, digest, payload });
    }

    /// The program's clock, microseconds since 1970.
    pub(crate) fn clock(&self) -> u64 {
        self.base_us + CLOCK_PER_CALL_US * self.since
    }

    /// A call that this kernel does not have: told of once.
    pub(crate) fn unknown(&mut self, number: u64) {
        if number != abi::linux::nr::rseq && self.unknown.insert(number) {
            let name = abi::linux::name(number).unwrap_or("no system call");
            self.m.say(format_args!("minimal: call {number} ({name}) is not offered"));
        }
    }
}
