//! What a kernel says on its broadcast channel, and what gate, replicas and manager tell each other about it.
//!
//! A record of an `effects-NAME` channel is one [`Vote`], of `verdicts` one [`Verdict`], of `progress-NAME` one [`Progress`], of `control`
//! one [`Control`], of `input` one [`Input`], of `output` one [`Output`]; all in postcard's encoding.

use crate::digest::Digest;
use serde::{Deserialize, Serialize};

/// No deadline.
pub const NO_DEADLINE: u64 = u64::MAX;
/// Longest payload of an effect, bytes; terminal output is cut into slices of [`crate::turn::TTY_SLICE`].
pub const PAYLOAD_MAX: usize = 8 * 1024;

/// In place of a pid in [`Verdict::WrongState`].
pub const SNAPSHOT: u32 = u32::MAX;

/// Kinds of external effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum EffectKind {
    /// Bytes for the terminal, before output processing (OPOST happens behind the gate). Never empty.
    TtyOutput = 0,
    /// New terminal modes: payload is Linux' `struct termios` (asm-generic, 36 bytes: iflag, oflag, cflag, lflag, line, cc[19]).
    TtyModes = 1,
    /// Discard typed input that no log entry holds yet (TCSETSF, TCFLSH). Payload empty.
    TtyFlush = 2,
    /// Process 1 has ended; payload is its wait status, `i32` little-endian. Nothing follows.
    Exit = 3,
}

/// One statement of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Vote<'a> {
    /// The entry of sync point `s` was taken and applied. Posted once for each s, in order.
    Passed {
        /// Sync point.
        s: u64,
        /// Calls made before it.
        call: u64,
        /// Effects posted before it (they are numbered from 0).
        effects: u64,
        /// Whether the round has a thread in it now. If not, the kernel waits for the entry of s+1.
        runnable: bool,
        /// If not runnable: the earliest deadline that a thread waits for, on the program's clock (µs); else [`NO_DEADLINE`].
        deadline_us: u64,
        /// Digest of the kernel-held state, where one is due (`docs/linux-abi.md`, "State digest").
        state: Option<Digest>,
    },
    /// Digest of a process' private state and memory, posted when a digest was due at `s` and the process makes its first call after.
    Memory {
        /// Sync point at which it became due.
        s: u64,
        /// Serial number of the process.
        process: u64,
        /// Pid of the process, for people.
        pid: u32,
        /// The digest.
        digest: Digest,
    },
    /// An external effect. Numbered from 0 without gaps.
    Effect {
        /// Its number.
        n: u64,
        /// The call that caused it.
        call: u64,
        /// Its kind.
        kind: EffectKind,
        /// [`crate::digest::effect_digest`] of n, call, kind and payload.
        digest: Digest,
        /// Its bytes.
        payload: &'a [u8],
    },
    /// The thread that holds the turn has made no call for `stuck-ms`. The kernel will not make call `call` until the log says.
    Stuck {
        /// Number of the next call.
        call: u64,
    },
    /// Call number `call` was made although its thread had run for over half of `stuck-ms` before it.
    Took {
        /// Number of the call.
        call: u64,
    },
    /// A skipped thread wants to make a call.
    Rejoin {
        /// Serial number of the thread.
        thread: u64,
        /// The call number at which it was skipped.
        call: u64,
    },
    /// The snapshot of sync point `s` is written. From a kernel that began with a snapshot this is the first vote: that is where it stands.
    Snapshot {
        /// Sync point.
        s: u64,
        /// Calls made before it.
        call: u64,
        /// Effects posted before it.
        effects: u64,
        /// [`crate::snapshot::Root::digest`] of all its records.
        root: Digest,
    },
}

/// What the gate says (channel `verdicts`). Domains are named by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// All effects below this number have left.
    Released {
        /// First effect that has not.
        effects: u64,
    },
    /// A voter's effect differs from the quorum's.
    WrongOutput {
        /// Who.
        voter: u32,
        /// Number of the effect.
        n: u64,
        /// Call, as the quorum says.
        call: u64,
        /// The voter's digest.
        own: Digest,
        /// The quorum's.
        quorum: Digest,
        /// Who agreed, a bit a domain.
        agreed: u64,
    },
    /// A voter's state digest differs at a sync point; `process` 0: kernel-held state, [`SNAPSHOT`]: the snapshot's root, else the memory of that pid.
    WrongState {
        /// Who.
        voter: u32,
        /// Sync point.
        s: u64,
        /// Pid, 0, or [`SNAPSHOT`].
        process: u32,
        /// The voter's digest.
        own: Digest,
        /// The quorum's.
        quorum: Digest,
    },
    /// A voter has said nothing of effect `n` for the grace, while a quorum has.
    Late {
        /// Who.
        voter: u32,
        /// Number of the effect.
        n: u64,
    },
    /// A voter that was late has caught up.
    CaughtUp {
        /// Who.
        voter: u32,
    },
    /// A voter's ring holds what no correct kernel writes (no vote, out of order, lapped).
    Malformed {
        /// Who.
        voter: u32,
        /// At which byte position of its ring.
        position: u64,
    },
    /// A voter's kernel has crashed.
    Crashed {
        /// Who.
        voter: u32,
    },
    /// A voter is late, and its ring has held nothing new for so long that it is taken for dead.
    Silent {
        /// Who.
        voter: u32,
        /// Number of the effect that is missing.
        n: u64,
    },
    /// f + 1 replicas say ([`Progress::Contradicts`]) that a voter's report of a sync point is not the believed one.
    Contradicts {
        /// Who.
        voter: u32,
        /// Sync point.
        s: u64,
    },
    /// EL2 has taken a voter's kernel away: from here on all verdicts on it are about its successor, which votes when a later epoch of the voters
    /// names it.
    Restarted {
        /// Who.
        voter: u32,
        /// Epoch of the voters, as far as the gate knows.
        epoch: u64,
    },
    /// No quorum is possible for effect `n`: output stops here.
    NoQuorum {
        /// Number of the effect.
        n: u64,
    },
    /// Process 1 ended and all its output has left.
    Exit {
        /// Its wait status, as wait4 gives it.
        status: i32,
    },
    /// Said just before an accusation: where the accused stands, as far as the gate has read what it said.
    Stood {
        /// Who.
        voter: u32,
        /// It has passed all sync points below this number.
        s: u64,
    },
    /// A kernel begun anew has come to the output or the state that its predecessor was accused of, and says what the quorum had said.
    Vanished {
        /// Who.
        voter: u32,
    },
}

/// What a replica says (channel `progress-NAME`). Its word alone counts for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Progress {
    /// The last entry issued, now and then.
    Issued {
        /// Its sync point.
        s: u64,
        /// Calls made, as far as known.
        call: u64,
        /// Whether the program runs.
        runnable: bool,
        /// Voters that nobody waits for, a bit a domain.
        lagging: u64,
    },
    /// A voter fell behind by more than the grace.
    Lagging {
        /// Who.
        voter: u32,
        /// The last sync point it passed.
        s: u64,
    },
    /// A lagging voter is back.
    CaughtUp {
        /// Who.
        voter: u32,
        /// The last sync point it passed.
        s: u64,
    },
    /// A voter's report of a sync point contradicts the others'.
    Contradicts {
        /// Who.
        voter: u32,
        /// Sync point.
        s: u64,
    },
    /// Nothing came from a voter for the manifest's `hang-ms`, while a quorum passed this sync point: it has left the voters, or was not one yet.
    Hangs {
        /// Who.
        voter: u32,
        /// The first sync point that it has not passed.
        s: u64,
    },
    /// A thread was skipped at this call.
    Skipped {
        /// Number of the call.
        call: u64,
    },
    /// Agreed: so many records of the input ring are ordered.
    Ordered {
        /// Number of the last one.
        input: u64,
    },
    /// The snapshot of sync point `s`: f + 1 voters say the same.
    Snapshot {
        /// Sync point.
        s: u64,
        /// Its root.
        root: Digest,
        /// Bytes of its records, as far as a ring holds it whole; 0: it is larger than the rings, or nobody's bytes have that root.
        bytes: u64,
        /// Who voted for the root, a bit a domain.
        by: u64,
    },
    /// No two voters say the same of the snapshot of sync point `s`.
    NoSnapshot {
        /// Sync point.
        s: u64,
    },
    /// What a voter wrote as the snapshot of sync point `s` is not what it voted for.
    FalseSnapshot {
        /// Who.
        voter: u32,
        /// Sync point.
        s: u64,
    },
    /// A voter has long passed sync point `s`, of whose snapshot others have told, and told of none.
    SnapshotMissing {
        /// Who.
        voter: u32,
        /// Sync point.
        s: u64,
    },
    /// A kernel begun anew has said its first word.
    Begun {
        /// Who.
        voter: u32,
        /// It stands behind the snapshot of this sync point; 0: at the log's beginning.
        s: u64,
    },
    /// Agreed: who votes, and how many equal votes decide.
    Voters {
        /// Counts the changes.
        epoch: u64,
        /// A bit a domain.
        set: u64,
        /// Equal votes that decide.
        quorum: u32,
    },
}

/// The operator's orders that need another's help (channel `control`). `domain` is its [`crate::bootinfo::incarnation`]: an order that stands in
/// the ring since before a restart means nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Control {
    /// From now on, falsify every effect: the first byte of its payload is inverted, the digest is computed over the lie.
    Lie {
        /// The domain meant; others ignore it.
        domain: u32,
    },
    /// Invert one byte of the memory of the process that next makes a call (the lowest byte of its lowest writable page).
    Diverge {
        /// The domain meant; others ignore it.
        domain: u32,
    },
    /// A replica: of each proposal and vote, two versions to different others.
    Equivocate {
        /// The domain meant; others ignore it.
        domain: u32,
    },
    /// For replicas: this domain is to begin anew. Each decides for itself whether it endorses that at the domain's gate.
    Restart {
        /// Who, as it was before.
        domain: u32,
        /// 0: as it was; else a kernel of the bundle, counted from 1; or [`crate::bootinfo::COLD_IMAGE`].
        image: u32,
        /// It is to begin before the place where it was lost, if it can, and execute the same turns again. Where that is the replicas know.
        again: bool,
    },
    /// No fault, but an input from outside that is to be agreed like typed bytes: the terminal has another size. For the domain that has the terminal.
    Resize {
        /// Rows.
        rows: u16,
        /// Columns.
        columns: u16,
    },
    /// Likewise: this signal goes to the terminal's foreground process group.
    Signal {
        /// Its number on arm64 Linux.
        signal: u8,
    },
    /// For replicas: a kernel that is held cold is to begin, and to vote in another's place. Each decides for itself.
    Replace {
        /// Whose place, as it is.
        domain: u32,
        /// The cold one, as it is.
        by: u32,
        /// As of `Restart`.
        image: u32,
    },
}

/// So many input records may be on their way to the log at a time; their writer holds more back.
pub const INPUTS_MAX: usize = 64;
/// And so many bytes of their events.
pub const INPUT_BYTES_MAX: usize = 16 * 1024;

/// Console input on its way to the log (channel `input`, which all replicas read).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input<'a> {
    /// 1, 2, 3, ...
    pub n: u64,
    /// One [`crate::log::Event`], encoded (only the `Tty` kinds and `WindowSize`).
    pub event: &'a [u8],
}

/// Released effects on their way to the console (channel `output`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output<'a> {
    /// Number of the effect.
    pub n: u64,
    /// Its kind.
    pub kind: EffectKind,
    /// Its bytes.
    pub payload: &'a [u8],
}
