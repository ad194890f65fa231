//! The kernel: all servers, the threads, and the loop that brings messages from one to the other.

#[cfg(test)]
mod altstack_test;
mod digest;
#[cfg(test)]
mod edges_test;
mod end;
#[cfg(test)]
mod grid_test;
#[cfg(test)]
mod linux_test;
#[cfg(test)]
mod names_test;
mod outside;
#[cfg(test)]
mod poll_test;
mod resume;
mod run;
#[cfg(test)]
mod signal_test;
#[cfg(test)]
mod slash_test;
mod snapshot;
#[cfg(test)]
mod snapshot_test;
mod speech;
mod step;
#[cfg(test)]
mod sticky_test;
mod sync;
#[cfg(test)]
mod test;
#[cfg(test)]
mod text_test;
mod watch;

use crate::error::{Res, e};
use crate::files::Files;
use crate::log::Log;
use crate::machine::{Fault, Machine, User};
use crate::memory::{Memory, SpaceId};
use crate::pipes::{PipeId, Pipes};
use crate::post::{Note, Post};
use crate::process::Processes;
pub use crate::snapshot::Wrong;
use crate::terminal::Terminal;
use crate::turns::{Serial, Thing, Turns};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use speech::Speech;

/// What a thread wants to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Want {
    /// Its own code.
    Run,
    /// The system call that its registers say.
    Call,
    /// To have its fault looked at in its turn.
    Fault(Fault),
}

/// What a handler makes of a call that a signal interrupts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Restart {
    /// Made again under SA_RESTART.
    #[default]
    ByAction,
    /// EINTR.
    Never,
    /// EINTR, and the time left is written there.
    Remaining(u64),
    /// EINTR, and that none of so many entries of the list there is ready.
    Unready(u64, usize),
}

/// An end of a FIFO that a blocked open holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OpenEnd {
    pub pipe: PipeId,
    pub node: u64,
    pub reads: bool,
    /// Other ends that had come when it blocked.
    pub others_seen: u64,
}

/// What a call that blocked knows when it is made again.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Again {
    pub blocked: bool,
    /// Number of the call at which it was last made.
    pub at: u64,
    pub restart: Restart,
    /// Bytes done.
    pub done: u64,
    pub deadline_us: Option<u64>,
    pub open_end: Option<OpenEnd>,
    /// The child that shares this thread's memory, and its pid.
    pub vfork: Option<(Serial, u32)>,
}

/// How a call ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Flow {
    /// With this value in x0.
    Done(u64),
    /// Not yet.
    Block { things: Vec<Thing>, deadline_us: Option<u64>, restart: Restart },
    /// It set the registers itself.
    Registers,
    /// Its thread is gone, or a signal has decided what becomes of it.
    Gone,
    /// It needs its turn (private calls only).
    NeedsTurn,
    /// A part is done; the rest is a call of its own.
    Slice,
}

/// What handlers of calls give.
pub(crate) type Out = Res<Flow>;

/// Done, with nothing to say.
pub(crate) const DONE: Out = Ok(Flow::Done(0));

/// A thread.
pub(crate) struct Thread {
    pub user: User,
    pub space: SpaceId,
    /// It lives in its parent's memory (vfork) and pays nothing.
    pub guest: bool,
    pub want: Want,
    pub again: Again,
    /// Messages that wait for it, as its priority between calls.
    pub priority: u32,
    /// Sync point at which a digest of its memory became due.
    pub digest_due: Option<u64>,
    stepping: Option<outside::Stepping>,
}

impl Thread {
    pub fn new(user: User, space: SpaceId, guest: bool, want: Want, again: Again) -> Thread {
        Thread { user, space, guest, want, again, priority: 0, digest_due: None, stepping: None }
    }
}

/// Everything.
pub struct Kernel<M: Machine> {
    pub(crate) machine: M,
    pub(crate) memory: Memory,
    pub(crate) files: Files,
    pub(crate) pipes: Pipes,
    pub(crate) terminal: Terminal,
    pub(crate) processes: Processes,
    pub(crate) turns: Turns,
    pub(crate) threads: BTreeMap<Serial, Thread>,
    pub(crate) post: Post,
    pub(crate) seed: [u8; 32],
    /// Successful execs of the system.
    pub(crate) execs: u64,
    log: Log,
    buffer: Box<[u8]>,
    speech: Speech,
    digest_interval: u64,
    stuck_us: u64,
    /// Whose floating-point registers the processor holds.
    fp_in: Option<Serial>,
    /// The head used up its slice; another goes first.
    yielded: bool,
    /// For which call, and for how long, the head has run.
    head_ran_us: (u64, u64),
    /// Process 1 has ended.
    over: bool,
    /// The log's first entry, as it stood there.
    boot: Vec<u8>,
    /// A snapshot that is being taken.
    taking: Option<crate::snapshot::Taking>,
    corrupt_next: bool,
    unknown: BTreeSet<u64>,
    /// The calls that this run offers (`abi::tier`).
    pub(crate) tier: u8,
    watch: watch::Watch,
}

/// How a kernel comes to be.
pub struct Setup<'a> {
    /// The log's first entry.
    pub entry: &'a [u8],
    /// The root image.
    pub image: &'static [u8],
    /// A thread without a call for so long is stuck.
    pub stuck_us: u64,
}

/// Why there is no kernel.
#[derive(Debug)]
pub enum Unfit {
    /// The log does not begin with Boot.
    Log,
    /// The program's description is none.
    Program,
    /// The program asks for a tier of calls above this kernel's.
    Tier(u8),
    /// Process 1 cannot be executed; the error's number.
    Exec(u16),
}

impl<M: Machine> Kernel<M> {
    /// Everything at sync point 0, process 1 ready to run. The servers get their first messages here.
    pub fn new(machine: M, setup: &Setup<'_>) -> Result<Kernel<M>, Unfit> {
        let mut kernel = Kernel::empty(machine, setup)?;
        let boot = crate::log::boot(setup.entry).map_err(|_| Unfit::Log)?;
        let program: abi::log::Program = postcard::from_bytes(boot.program).map_err(|_| Unfit::Program)?;
        let list = |bytes| abi::log::strings(bytes).map(<[u8]>::to_vec).collect::<Vec<_>>();
        let me = kernel.processes.first(boot.time_us);
        kernel.files.first(me, 1);
        kernel
            .first_program(me, program.path.as_bytes(), &list(program.argv), &list(program.env))
            .map_err(|errno| Unfit::Exec(errno.0))?;
        kernel.turns.enter(me);
        kernel.begin();
        Ok(kernel)
    }

    /// All servers, without a process.
    fn empty(machine: M, setup: &Setup<'_>) -> Result<Kernel<M>, Unfit> {
        let boot = crate::log::boot(setup.entry).map_err(|_| Unfit::Log)?;
        let program: abi::log::Program = postcard::from_bytes(boot.program).map_err(|_| Unfit::Program)?;
        if program.tier > crate::front::TIER {
            return Err(Unfit::Tier(program.tier));
        }
        Ok(Kernel {
            machine,
            memory: Memory::default(),
            files: Files::new(setup.image, boot.time_us),
            pipes: Pipes::default(),
            terminal: Terminal::new(boot.rows, boot.columns),
            processes: Processes::default(),
            turns: Turns::new(boot.time_us),
            threads: BTreeMap::new(),
            post: Post::default(),
            seed: boot.seed,
            execs: 0,
            log: Log::default(),
            buffer: alloc::vec![0; abi::log::ENTRY_MAX].into_boxed_slice(),
            speech: Speech::default(),
            digest_interval: boot.digest_interval.into(),
            stuck_us: setup.stuck_us,
            fp_in: None,
            yielded: false,
            head_ran_us: (0, 0),
            over: false,
            boot: setup.entry.to_vec(),
            taking: None,
            corrupt_next: false,
            unknown: BTreeSet::new(),
            tier: program.tier,
            watch: watch::Watch::default(),
        })
    }

    /// Delivers all notes, oldest first.
    pub(crate) fn deliver(&mut self) {
        while let Some(note) = self.post.take() {
            match note {
                Note::Wake(thing) => self.turns.wake(thing),
                Note::Rouse(serial) => self.turns.rouse(serial),
                Note::Enter(serial) => self.turns.enter(serial),
                Note::Outside(serial) => self.signal_outside(serial),
                Note::Group(group, info) => {
                    for member in self.processes.members(group) {
                        self.processes.generate(member, info, &mut self.post);
                    }
                }
            }
        }
        self.raise_priorities();
    }

    pub(crate) fn thread(&mut self, me: Serial) -> Res<&mut Thread> {
        self.threads.get_mut(&me).ok_or(e::ESRCH)
    }

    pub(crate) fn space_of(&self, me: Serial) -> Res<SpaceId> {
        self.threads.get(&me).map(|t| t.space).ok_or(e::ESRCH)
    }

    /// Copies in from `me`'s memory.
    pub(crate) fn bytes_in(&mut self, me: Serial, at: u64, length: usize) -> Res<Vec<u8>> {
        let space = self.space_of(me)?;
        self.memory.bytes(space, at, length)
    }

    /// Copies out to `me`'s memory.
    pub(crate) fn bytes_out(&mut self, me: Serial, at: u64, bytes: &[u8]) -> Res {
        let space = self.space_of(me)?;
        self.memory.write(space, at, bytes)
    }

    /// The floating-point registers of the thread that ran last, out of the processor.
    pub(crate) fn settle_fp(&mut self) {
        if let Some(thread) = self.fp_in.take().and_then(|s| self.threads.get_mut(&s)) {
            self.machine.save_fp(&mut thread.user.fp);
        }
    }

    /// The clock for the call that is made, µs since 1970.
    pub(crate) fn now_us(&self) -> u64 {
        self.turns.clock_us()
    }

    pub(crate) fn seed(&self) -> &[u8; 32] {
        &self.seed
    }
}
