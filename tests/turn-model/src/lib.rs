//! The turn rule of `docs/turn-rule.md` as an executable model: small enough to read beside the page, exact enough to be held against kernels.
//!
//! A [`Kernel`] runs a program of scripted threads. Everything the rule leaves open is a choice of the caller: which thread's user code goes on, when
//! a thread is thought stuck, when log entries arrive ([`Step`]). What the rule fixes happens inside [`Kernel::perform`]. The property, checked
//! in `tests/`: whatever the choices, kernels that get the same log have the same [`Kernel::history`].
#![forbid(unsafe_code)]

pub mod kernel;
pub mod sequencer;

pub use kernel::{Effect, Fault, Kernel, Step};
pub use sequencer::Sequencer;

/// One thing a thread does. All but `Compute`, `Private` and `Spin` are calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// User code, one step of the scheduler.
    Compute,
    /// A private call.
    Private,
    /// User code that never ends.
    Spin,
    /// Output.
    Emit(u8),
    /// Puts so many bytes into a pipe; takes what fits, blocks for the rest.
    Write(usize, u32),
    /// Takes up to so many bytes from a pipe; blocks while it is empty.
    Read(usize, u32),
    /// Takes all terminal input; blocks while there is none.
    ReadTty,
    /// Sleeps for so many microseconds.
    Sleep(u64),
    /// Makes a child that runs this script.
    Fork(usize),
    /// Waits for the end of the child with the lowest serial that has ended; goes on at once without children.
    Wait,
    /// Kills the child with the highest serial, if any.
    KillYoungest,
    /// Ends.
    Exit,
}

/// Scripts by number; thread 1 runs script 0. A script that is at its end makes the call [`Op::Exit`].
pub type Program = Vec<Vec<Op>>;

/// What a pipe holds, in the model.
pub const PIPE_CAPACITY: u32 = 4;
/// Pipes there are.
pub const PIPES: usize = 2;
/// Threads at most; a fork beyond fails.
pub const THREADS_MAX: usize = 8;

/// A log entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Of the next sync point.
    Sync {
        /// Wall clock, µs.
        time_us: u64,
        /// Events in order.
        events: Vec<Event>,
    },
    /// The thread that holds the turn at this call is skipped.
    Skip(u64),
    /// Promises for this call are void.
    Go(u64),
}

/// What reaches the program at a sync point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Terminal input.
    Input(u8),
    /// Ctrl-C: kills every thread but number 1.
    Interrupt,
    /// A skipped thread (serial, call number of the skip) enters the round.
    Rejoin(u64, u64),
}

/// What a kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vote {
    /// It took the entry of sync point `s`.
    Passed {
        /// Sync point.
        s: u64,
        /// Calls made before it.
        call: u64,
        /// The round is not empty.
        runnable: bool,
        /// Earliest deadline, if not runnable.
        deadline_us: Option<u64>,
    },
    /// A promise not to make this call before the log says.
    Stuck(u64),
    /// A skipped thread (serial, call number of the skip) wants to make a call.
    Rejoin(u64, u64),
}
