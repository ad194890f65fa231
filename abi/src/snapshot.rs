//! A snapshot: the abstract program at a sync point, in one canonical encoding. What stands in it, in which order, and what a kernel does with it:
//! `docs/snapshot.md`.
//!
//! A snapshot is a sequence of [`Record`]s, each in postcard's encoding, each preceded by its length (`u32`, little-endian) where it stands in a file or
//! module; in a channel `snapshot-NAME` a record of the ring is one [`Record`]. Two kernels that take it of the same program at the same
//! sync point write the same bytes, so its digest ([`Root`]) can be voted.

mod beginning;
mod own;
mod stream;

pub use beginning::Beginning;
pub use own::{Kind, Mapping, Page, Private};
use serde::{Deserialize, Serialize};
pub use stream::{Damaged, LENGTH_SIZE, Root, records};

/// Version of the encoding; part of [`Head`].
pub const VERSION: u16 = 1;
/// Longest encoded record, bytes.
pub const RECORD_MAX: usize = 8 * 1024;
/// Bytes of data in one record at most; what is longer stands in several records.
pub const DATA_MAX: usize = 4096;

/// One piece of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record<'a> {
    /// The first.
    #[serde(borrow)]
    Head(Head<'a>),
    /// The terminal.
    Terminal(Terminal<'a>),
    /// The threads in the round, head first: their serials, `u64` little-endian, one after the other.
    Round(&'a [u8]),
    /// A process, zombies too.
    Process(Process<'a>),
    /// The next bytes of the last [`Record::Process`]' command line (`/proc/PID/cmdline`).
    CommandLine(&'a [u8]),
    /// What the last [`Record::Process`] does on a signal, where it is not the default with all fields zero.
    Action(Action),
    /// A pending signal of the last [`Record::Process`].
    Pending(Pending),
    /// A limit of the last [`Record::Process`] that is not as `linux-abi.md` has it at the start.
    Limit(Limit),
    /// A descriptor of the last [`Record::Process`].
    Descriptor(Descriptor),
    /// An open file description.
    OpenFile(OpenFile<'a>),
    /// The next bytes of the last [`Record::OpenFile`]'s text (kind 6).
    Text(&'a [u8]),
    /// A pipe, or a FIFO that is open.
    Pipe(Pipe),
    /// The next bytes in the last [`Record::Pipe`].
    PipeData(&'a [u8]),
    /// A file of the writable layer.
    Inode(Inode<'a>),
    /// An entry of the last [`Record::Inode`], a directory.
    Entry(DirectoryEntry<'a>),
    /// A page of the last [`Record::Inode`] that counts against FILE_PAGES.
    FilePage(Page<'a>),
    /// A process' own part: what changes without a call.
    Private(Private<'a>),
    /// A piece of the address space of the last [`Record::Private`].
    Mapping(Mapping<'a>),
    /// A page of the last [`Record::Mapping`] whose bytes are not what the mapping gives by itself.
    MemoryPage(Page<'a>),
    /// The last: how many records stand before it.
    End(u64),
}

/// Counters and the beginning of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head<'a> {
    /// [`VERSION`].
    pub version: u16,
    /// The sync point, whose entry was applied.
    pub s: u64,
    /// The call counter.
    pub calls: u64,
    /// Number of the next effect.
    pub effects: u64,
    /// Successful execs so far.
    pub execs: u64,
    /// The last serial given.
    pub last_serial: u64,
    /// The last pid given.
    pub last_pid: u32,
    /// The clock's base, microseconds since 1970.
    pub base_us: u64,
    /// The number that the next pipe gets.
    pub next_pipe: u64,
    /// The inode number that the next file made gets.
    pub next_inode: u64,
    /// The log's first entry, [`crate::log::Boot`], encoded.
    pub boot: &'a [u8],
}

/// The terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal<'a> {
    /// `struct termios`, 36 bytes.
    pub modes: &'a [u8],
    /// Rows.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
    /// Width in pixels.
    pub x_pixels: u16,
    /// Height in pixels.
    pub y_pixels: u16,
    /// Its session; 0: none.
    pub session: u32,
    /// Its foreground group; 0: none.
    pub foreground: u32,
    /// Bytes queued.
    pub queue: &'a [u8],
    /// Ends in the queue that no '\n' marks (VEOF, VEOL, end of file): the number of bytes before each, `u32` little-endian, ascending. One at 0, behind a '\n', or at
    /// the place of the one before is an end of file; another ends the bytes before it.
    pub ends: &'a [u8],
}

/// How a process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum State {
    /// Its thread is in the round.
    Round = 0,
    /// Its thread waits in a call.
    Waiting = 1,
    /// Stopped.
    Stopped = 2,
    /// It has ended and nobody has waited for it.
    Zombie = 3,
}

/// What its parent has not been told by `wait4` yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum News {
    /// Nothing.
    None = 0,
    /// It stopped.
    Stopped = 1,
    /// It was continued.
    Continued = 2,
}

/// The kernel-held part of a process, at the sync point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process<'a> {
    /// Serial.
    pub serial: u64,
    /// Pid.
    pub pid: u32,
    /// Parent's pid; 0 for process 1.
    pub parent: u32,
    /// Process group.
    pub group: u32,
    /// Session.
    pub session: u32,
    /// How it stands.
    pub state: State,
    /// Wait status: of its end, or of the stop that is news (signal << 8 | 0x7f); else 0.
    pub status: u32,
    /// What `wait4` has to tell.
    pub news: News,
    /// `comm`, at most 15 bytes.
    pub name: &'a [u8],
    /// Path of the program (`/proc/PID/exe`).
    pub program: &'a [u8],
    /// Inode of the working directory; a zombie: 0.
    pub directory: u64,
    /// File mode creation mask.
    pub umask: u32,
    /// Nice value.
    pub nice: i32,
    /// Whether it has called execve since it was made.
    pub has_execed: bool,
    /// Whether PR_SET_NO_NEW_PRIVS was called.
    pub no_new_privileges: bool,
    /// PR_SET_DUMPABLE's value.
    pub dumpable: u32,
    /// PR_SET_PDEATHSIG's value.
    pub death_signal: u32,
    /// Program's clock when it was made (`starttime`), microseconds since 1970.
    pub started_us: u64,
    /// Calls made by it.
    pub calls: u64,
    /// Calls made by the children that were waited for.
    pub children_calls: u64,
    /// Pages it is charged for.
    pub charge: u64,
    /// ITIMER_REAL: when it is due, microseconds since 1970; [`crate::vote::NO_DEADLINE`]: not armed.
    pub timer_us: u64,
    /// ITIMER_REAL's interval, microseconds.
    pub interval_us: u64,
    /// Signals blocked (bit n-1: signal n). While a call with a mask of its own is being made: that mask.
    pub mask: u64,
    /// The mask that comes back behind such a call (rt_sigsuspend, ppoll, pselect6, epoll_pwait).
    pub saved_mask: Option<u64>,
    /// The call that it is in the middle of: one that waits, or was begun and will be made again.
    pub call: Option<Call>,
    /// In the middle of a vfork: the child's serial. While it waits its address space is the child's, and stands there; once it was woken (in the round) it is its own again.
    pub vfork: Option<u64>,
}

/// How far a call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Number of the call at which it was last made.
    pub at: u64,
    /// Bytes done; vfork: the child's pid.
    pub done: u64,
    /// When it ends by itself, microseconds since 1970; [`crate::vote::NO_DEADLINE`]: never.
    pub deadline_us: u64,
    /// open of a FIFO: the other end has come; futex: FUTEX_WAKE has woken it.
    pub came: bool,
}

/// `struct sigaction` of one signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// Signal.
    pub signal: u8,
    /// Handler: 0 default, 1 ignore, else an address.
    pub handler: u64,
    /// SA_ flags as given.
    pub flags: u64,
    /// Restorer.
    pub restorer: u64,
    /// Mask.
    pub mask: u64,
}

/// A pending signal and its siginfo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Signal.
    pub signal: u8,
    /// si_code.
    pub code: i32,
    /// si_pid.
    pub pid: u32,
    /// si_status.
    pub status: i32,
    /// si_addr.
    pub address: u64,
}

/// A resource limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// RLIMIT_ number.
    pub resource: u8,
    /// Soft.
    pub soft: u64,
    /// Hard.
    pub hard: u64,
}

/// A descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Its number.
    pub number: u32,
    /// FD_CLOEXEC.
    pub flags: u32,
    /// Number of its open file description.
    pub file: u32,
}

/// An open file description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenFile<'a> {
    /// Its number, as in the state digest: by first appearance in the walk over processes and descriptors.
    pub number: u32,
    /// As in the state digest: 0 file and O_PATH, 1 directory, 2 pipe read, 3 pipe write or both, 4 terminal, 5 other device, 6 proc.
    pub kind: u8,
    /// Inode; pipes: the pipe's number, FIFOs: their inode.
    pub inode: u64,
    /// Status flags as F_GETFL gives them.
    pub flags: u32,
    /// Position; 0 for pipes and the terminal.
    pub offset: u64,
    /// A read end that was opened with O_NONBLOCK before there was any writer, and none has come since: no POLLHUP.
    pub before_writers: bool,
    /// What its link in `/proc/PID/fd` shows.
    pub path: &'a [u8],
}

/// A pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pipe {
    /// Its number, or the FIFO's inode.
    pub number: u64,
    /// Whether it is a FIFO.
    pub fifo: bool,
    /// When it was made, microseconds since 1970; a FIFO: 0.
    pub made_us: u64,
}

/// A file of the writable layer: made or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inode<'a> {
    /// Number.
    pub number: u64,
    /// st_mode.
    pub mode: u32,
    /// st_uid.
    pub uid: u32,
    /// st_gid.
    pub gid: u32,
    /// st_nlink.
    pub links: u32,
    /// st_size.
    pub size: u64,
    /// st_rdev.
    pub device: u64,
    /// st_atime, nanoseconds since 1970.
    pub accessed_ns: i64,
    /// st_mtime.
    pub modified_ns: i64,
    /// st_ctime.
    pub changed_ns: i64,
    /// A symlink's target.
    pub target: &'a [u8],
    /// Whether its bytes are still the image member's.
    pub from_image: bool,
    /// A directory: the sequence number that the next entry gets.
    pub next_sequence: u64,
    /// A directory: its parent's inode.
    pub parent: u64,
}

/// An entry of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryEntry<'a> {
    /// Sequence number.
    pub sequence: u64,
    /// Inode.
    pub inode: u64,
    /// Name.
    pub name: &'a [u8],
}
