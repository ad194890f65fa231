//! Calls into EL2: `HVC #0` from an EL1 kernel, `SVC #0` from a flat EL0 service. Same numbers, same registers.
//!
//! Call number in x8, arguments in x0..x5; result in x0 (0 or a positive value on success, a negative
//! [`Error`] otherwise), a second result in x1. All other registers are preserved. Addresses are the caller's
//! intermediate physical addresses (for a flat service these are its pointers).
//!
//! Numbers from [`crate::capability::INVOKE`] on are capability invocations.
//!
//! **Provisional.** The set in this file serves channels, interrupts and faults on demand, which are fixed by the manifest; capability
//! invocations replace it (a channel number becomes a Notification capability, and so on).

/// Call numbers. An unknown number answers [`Error::UnknownCall`] and is counted, never ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Call {
    /// Does nothing and returns 0: the floor of every measurement.
    Null = 0,
    /// `x0` address, `x1` length (at most [`TEXT_MAX`]): one line of text to the operator's console, printed whole
    /// and prefixed with the caller's name (the manager's lines carry no prefix). Control bytes are replaced by
    /// '?'. Each domain but the manager has a budget of [`TEXT_BUDGET`] bytes; beyond it: `Error::Exhausted`.
    Text = 1,
    /// `x0` channel index. The writer's call rings every reader, a reader's call rings the writer. The partner finds
    /// bit `channel` in its notification word. Never blocks. Ringing a dead domain succeeds.
    Signal = 2,
    /// Takes and clears the notification word: returns it in x1, x0 = 0. Blocks (services: another domain runs;
    /// kernels: the core sleeps, but a pending virtual interrupt ends the wait with x1 = 0) until the word is
    /// not zero or the virtual counter (CNTVCT_EL0) reaches `x0` (`u64::MAX`: no limit).
    Wait = 3,
    /// As [`Call::Wait`], never blocks.
    Poll = 4,
    /// `x0` INTID of a device interrupt that the manifest gave to the caller: it may fire again. A device interrupt is
    /// masked when it fires and shows as bit [`NOTIFY_IRQ`] in its owner's word.
    IrqAck = 5,
    /// `x0` address, `x1` length of a message (at most [`TEXT_MAX`]): the caller declares that it cannot go on. It never runs
    /// again; EL2 prints the message, marks the domain [`crate::bootinfo::DomainState::Crashed`].
    Crash = 6,
    /// Manager only. `x0` domain index, `x1` an [`Inject`]: a fault on demand, or a pause.
    Inject = 7,
    /// Manager only. Turns the machine off (PSCI SYSTEM_OFF).
    PowerOff = 8,
    /// Gives the rest of the time slice away (services).
    Yield = 9,
    /// `x0` address of the caller's message buffer (a multiple of 8, 512 bytes that do not cross a page), 0 for none. See
    /// [`crate::capability`].
    Buffer = 10,
}

impl Call {
    /// The call with number `n`.
    pub fn from_number(n: u64) -> Option<Call> {
        use Call::*;
        const ALL: [Call; 11] =
            [Null, Text, Signal, Wait, Poll, IrqAck, Crash, Inject, PowerOff, Yield, Buffer];
        ALL.get(usize::try_from(n).ok()?).copied().filter(|c| *c as u64 == n)
    }
}

/// Longest text of one [`Call::Text`] or [`Call::Crash`], bytes.
pub const TEXT_MAX: u64 = 256;
/// Bytes of text a domain may print in its life.
pub const TEXT_BUDGET: u64 = 64 * 1024;
/// Notification bit: one of the caller's device interrupts fired.
pub const NOTIFY_IRQ: u32 = 62;
/// Notification bit: the state of some domain changed (see [`crate::bootinfo::DomainStatus`]). All services get it.
pub const NOTIFY_DOMAIN: u32 = 63;

/// Virtual interrupt by which EL2 tells an EL1 kernel that its notification word is not zero (a PPI of its virtual GIC,
/// edge: asserted once when the word changes from zero).
pub const DOORBELL_INTID: u32 = 24;
/// Virtual interrupt of the EL1 virtual timer (CNTV).
pub const TIMER_INTID: u32 = 27;

/// Faults that EL2 can cause in a domain without its help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Inject {
    /// The domain continues at an address where nothing is: a wild jump in the kernel.
    Crash = 1,
    /// The domain's core never runs it again, and nobody is told.
    Hang = 2,
    /// The domain stands still until it is resumed: to look at it while the others go on.
    Pause = 3,
    /// It goes on.
    Resume = 4,
    /// One bit flips in each of the first [`CORRUPT_PAGES`] pages of its memory, where its image lies: what a failing memory does, or a bit too many.
    Corrupt = 5,
}

/// So many pages [`Inject::Corrupt`] damages.
pub const CORRUPT_PAGES: u64 = 1024;

impl Inject {
    /// All of them.
    pub const ALL: [Inject; 5] =
        [Inject::Crash, Inject::Hang, Inject::Pause, Inject::Resume, Inject::Corrupt];
}

/// Why a call failed. Returned in x0 as a negative number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i64)]
pub enum Error {
    /// No call has this number.
    UnknownCall = -1,
    /// An argument is out of range: no such channel, domain, interrupt or kind.
    BadArgument = -2,
    /// The address range is not wholly the caller's memory.
    BadAddress = -3,
    /// The caller may not do this.
    Denied = -4,
    /// A budget is used up.
    Exhausted = -5,
}
