//! Capability invocations: the calls of [`crate::hypercall`] with numbers from [`INVOKE`] on.
//!
//! | Register | In | Out |
//! |---|---|---|
//! | x8 | [`INVOKE`] + label | kept |
//! | x0 | address of the invoked capability in the caller's CSpace | [`DONE`], [`IN_PROGRESS`], or an error: [`ERROR_BASE`] - kind, [`ABORTED`] |
//! | x1 to x7, x9 to x12 | arguments, in order; of messages: the message | of messages: the message, else kept |
//! | x13 | of messages: capability to pass (Send, NBSend, Call) or reply (Recv, NBRecv, ReplyRecv); 0 for none | word of the answer: badge, signalled bits; of an error the argument to blame (0: the capability) |
//! | x14 | of ReplyRecv: capability to pass with the answer, 0 for none | [`MESSAGE`], [`MESSAGE_WITH_CAPABILITY`], [`SIGNAL`] |
//! | x15, x16 | of receiving: index and depth of the slot for a capability, depth 0 for none | kept |
//!
//! All other registers are kept. **A message** is x1, which describes it, and four words, x2 to x5; with bit [`WIDE`] in x1 ten words, x2 to
//! x7 and x9 to x12. The receiver sees all of them, whatever the sender left there. The low seven bits of x1 count words (at most
//! [`BUFFER_WORDS`]) that are copied besides, from the sender's message buffer to the receiver's; both named theirs with
//! [`Call::Buffer`](crate::hypercall::Call::Buffer); if one has none, none are copied, and the receiver's x1 says so. The other bits of x1 mean what the two agree on.
//!
//! A fault is a Call by the domain that faulted on its fault endpoint: x1 0, x2 the syndrome (ESR_EL2), x3 the pc, x4 the address, x5 zero.
//! The answer's x2 says how it goes on: [`FAULT_RETRY`] or [`FAULT_SKIP`].

/// Call number of label 0.
pub const INVOKE: u64 = 0x100;

/// It took effect.
pub const DONE: i64 = 0;
/// Another core has work to do: a notification or a later try tells.
pub const IN_PROGRESS: i64 = 1;
/// Less the kind of error: its place in the list of docs/capabilities.md, InvalidArgument 0.
pub const ERROR_BASE: i64 = -16;
/// What was waited at is gone, or the wait was cancelled.
pub const ABORTED: i64 = -32;

/// x14: a message came.
pub const MESSAGE: u64 = 0;
/// x14: a message and a capability came.
pub const MESSAGE_WITH_CAPABILITY: u64 = 1;
/// x14: no message; bits of a notification, or none.
pub const SIGNAL: u64 = 2;

/// Bit of x1: a message of ten words.
pub const WIDE: u64 = 1 << 7;
/// Words of a message buffer; it does not cross a page and its address is a multiple of 8.
pub const BUFFER_WORDS: u64 = 64;

/// Answer to a fault: the instruction is tried again.
pub const FAULT_RETRY: u64 = 0;
/// Answer to a fault: it goes on behind the instruction.
pub const FAULT_SKIP: u64 = 1;

/// What is asked for: labels of docs/capabilities.md.
#[allow(missing_docs)] // The table there has the arguments of each.
pub mod label {
    pub const COPY: u64 = 1;
    pub const MINT: u64 = 2;
    pub const MOVE: u64 = 3;
    pub const MUTATE: u64 = 4;
    pub const ROTATE: u64 = 5;
    pub const DELETE: u64 = 6;
    pub const REVOKE: u64 = 7;
    pub const CANCEL_BADGED_SENDS: u64 = 8;
    pub const RETYPE: u64 = 9;
    pub const MAP: u64 = 10;
    pub const UNMAP: u64 = 11;
    pub const SEND: u64 = 12;
    pub const NB_SEND: u64 = 13;
    pub const CALL: u64 = 14;
    pub const RECV: u64 = 15;
    pub const NB_RECV: u64 = 16;
    pub const REPLY_RECV: u64 = 17;
    pub const SIGNAL: u64 = 18;
    pub const WAIT: u64 = 19;
    pub const POLL: u64 = 20;
    pub const BIND: u64 = 21;
    pub const UNBIND: u64 = 22;
    pub const CONFIGURE: u64 = 23;
    pub const RESUME: u64 = 24;
    pub const SUSPEND: u64 = 25;
    pub const ACKNOWLEDGE: u64 = 26;
    pub const CARVE: u64 = 27;
    pub const LEASE: u64 = 28;
    pub const SEAT: u64 = 29;
    pub const SEAL: u64 = 30;
    pub const ENDORSE: u64 = 31;
    pub const INSPECT: u64 = 32;
    pub const REMOTE: u64 = 33;
    pub const SERVE: u64 = 34;
    pub const WRITE_REGISTERS: u64 = 35;
    pub const RESTART: u64 = 36;
}

/// Kinds for Retype.
#[allow(missing_docs)] // As above.
pub mod kind {
    pub const UNTYPED: u64 = 0;
    pub const CNODE: u64 = 1;
    pub const ENDPOINT: u64 = 2;
    pub const NOTIFICATION: u64 = 3;
    pub const REPLY: u64 = 4;
    pub const FRAME: u64 = 5;
    pub const PAGE_TABLE: u64 = 6;
    pub const SPACE: u64 = 7;
    pub const DOMAIN: u64 = 8;
    pub const GATE: u64 = 9;
}

/// Rights that Map gives.
#[allow(missing_docs)] // As above.
pub mod map {
    pub const READ: u64 = 1;
    pub const WRITE: u64 = 2;
    pub const NO_EXECUTE: u64 = 16;
}

/// What seats endorse: the first word of an act. The others have no user yet.
#[allow(missing_docs)] // docs/capabilities.md.
pub mod act {
    pub const RESTART: u64 = 7;
}

/// The CSpace of a replica of the log: its seats.
pub mod seats {
    /// Bits of an index.
    pub const RADIX: u64 = 5;

    /// The slot of the seat in the gate that holds `domain`: alone, or as number 0.
    pub const fn slot(domain: u32) -> u64 {
        1 + domain as u64
    }
}

/// Slots of the CSpace that the root task (the domain with `manages`) starts with; addresses, as it is one CNode with a guard that takes all
/// other bits. Each other core has such a CSpace, too: its agent's, in whose name the root task's requests are carried out there.
pub mod root {
    /// Bits of an index.
    pub const RADIX: u64 = 9;
    /// The CNode itself.
    pub const CNODE: u64 = 1;
    /// The Core capability of this core.
    pub const CORE: u64 = 4;
    /// On other cores than the root task's: the agent itself, a Domain.
    pub const AGENT: u64 = 5;
    /// Plus a core's number: the Core capability of that other core.
    pub const OTHER_CORES: u64 = 8;
    /// Plus a place in the manifest: Domain, Space and SchedContext of the domains of this core that EL2 built.
    pub const DOMAINS: u64 = 16;
    /// See [`DOMAINS`].
    pub const SPACES: u64 = 32;
    /// See [`DOMAINS`].
    pub const CONTEXTS: u64 = 48;
    /// Plus a number: RAM that is nobody's, as Untyped; see [`crate::bootinfo::BootInfo::untyped`].
    pub const UNTYPED: u64 = 64;
    /// Plus a place in the manifest: memory of a partition of this core that the root task builds, as Untyped.
    pub const MEMORY: u64 = 80;
    /// The first slot that is empty.
    pub const FREE: u64 = 96;
    /// Plus an INTID: Irq capabilities of devices that no domain has.
    pub const IRQS: u64 = 256;
}
