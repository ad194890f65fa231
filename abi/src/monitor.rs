//! What a kernel tells of itself while it runs (R47), for debuggers and the operator: a table in the data area of channel `monitor-NAME`,
//! behind the ring's header page. It is no ring: each word is written in place, and a reader may see rows of different moments. Claims of
//! a kernel, never trusted.
//!
//! | words | what |
//! |---|---|
//! | 0 | [`MAGIC`] once the table is there |
//! | 1 | calls made (the call counter) |
//! | 2 | sync points passed |
//! | 3 | serial of the thread that holds the turn; 0: nobody |
//! | 8 to 15 | [`Counter`] by number |
//! | 32 to 287 | the last 64 calls: call number modulo 64, four words each ([`CallRow`]) |
//! | 288 to 927 | 128 threads, five words each ([`ThreadRow`]) |
//! | 928 to 1439 | so many calls were made in turns since the kernel began, by Linux' number; the last but one: higher numbers; the last: faults, and signals in place of a call |

use crate::linux;
use core::sync::atomic::{AtomicU64, Ordering};

/// "TETRMON1".
pub const MAGIC: u64 = u64::from_le_bytes(*b"TETRMON1");
/// Words of the table.
pub const WORDS: usize = KINDS_AT + KINDS;
/// Threads that have a row; who comes after them has none.
pub const THREADS_MAX: usize = 128;
const COUNTERS_AT: usize = 8;
const CALLS_AT: usize = 32;
const CALLS: usize = 64;
const CALL_WORDS: usize = 4;
const THREADS_AT: usize = CALLS_AT + CALLS * CALL_WORDS;
const THREAD_WORDS: usize = 5;
const KINDS_AT: usize = THREADS_AT + THREADS_MAX * THREAD_WORDS;
/// Kinds of calls that are counted: numbers; before the last all higher ones; last what is no call.
const KINDS: usize = 512;

/// What is counted since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Counter {
    /// Private system calls (those that take turns are in word 1).
    Private = 0,
    /// Faults of programs that a mapping repaired.
    Repaired = 1,
    /// Times another thread ran in user mode than before.
    Switches = 2,
    /// Interrupts taken from user mode.
    Interrupts = 3,
    /// Effects posted.
    Effects = 4,
    /// Page frames in use.
    Frames = 5,
}

/// The names of the counters, by number.
pub const COUNTERS: [&str; 6] =
    ["private calls", "faults repaired", "switches", "interrupts", "effects", "frames"];

/// The name of a kind of call, by the number that [`Monitor::kinds`] gives it.
pub fn kind_name(number: u16) -> &'static str {
    if number == u16::MAX { "fault or signal" } else { linux::name(number.into()).unwrap_or("unknown") }
}

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// In user code, in the round.
    Runs = 1,
    /// Before a call, in the round.
    Wants = 2,
    /// In a call that blocked.
    Waits = 3,
    /// Stopped by a signal.
    Stopped = 4,
    /// Ended, not waited for.
    Zombie = 5,
    /// Skipped, outside the round.
    Outside = 6,
}

impl State {
    /// In a word.
    pub fn name(code: u8) -> &'static str {
        ["", "runs", "wants its turn", "waits", "stopped", "zombie", "outside"]
            .get(usize::from(code))
            .copied()
            .unwrap_or("?")
    }
}

/// A thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadRow {
    /// Serial; 0: no thread.
    pub serial: u64,
    /// Process id.
    pub pid: u32,
    /// A [`State`].
    pub state: u8,
    /// The system call that it is in or wants to make; `u16::MAX`: none, or a fault.
    pub number: u16,
    /// Program counter.
    pub pc: u64,
    /// Stack pointer.
    pub sp: u64,
    /// The first eight bytes of its name.
    pub name: [u8; 8],
}

/// A call made in a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallRow {
    /// Which call; 0 with serial 0: none yet.
    pub call: u64,
    /// Who made it.
    pub serial: u64,
    /// Linux' number; `u16::MAX`: a fault, or a signal in place of a call.
    pub number: u16,
    /// x0 afterwards.
    pub result: u64,
}

/// The table in memory. Stores cost nothing but themselves.
#[derive(Clone, Copy)]
pub struct Monitor<'a>(&'a [AtomicU64]);

impl<'a> Monitor<'a> {
    /// A kernel's own, over the data area of the channel; `None`: it is too small. What the kernel before it left there goes.
    pub fn new(data: &'a [AtomicU64]) -> Option<Monitor<'a>> {
        let monitor = Monitor::read(data)?;
        (0..WORDS).for_each(|at| monitor.set(at, 0));
        Some(monitor)
    }

    /// The same for who looks at it.
    pub fn read(data: &'a [AtomicU64]) -> Option<Monitor<'a>> {
        data.get(..WORDS).map(Monitor)
    }

    fn set(&self, at: usize, word: u64) {
        if let Some(w) = self.0.get(at) {
            w.store(word, Ordering::Relaxed);
        }
    }

    fn get(&self, at: usize) -> u64 {
        self.0.get(at).map_or(0, |w| w.load(Ordering::Relaxed))
    }

    /// Says that there is a table.
    pub fn begin(&self) {
        self.set(0, MAGIC);
    }

    /// Whether there is one.
    pub fn is_there(&self) -> bool {
        self.get(0) == MAGIC
    }

    /// Calls made, sync points passed, whose turn it is.
    pub fn set_progress(&self, calls: u64, syncs: u64, head: u64) {
        [calls, syncs, head].into_iter().enumerate().for_each(|(i, w)| self.set(1 + i, w));
    }

    /// As set last.
    pub fn progress(&self) -> [u64; 3] {
        [self.get(1), self.get(2), self.get(3)]
    }

    /// Sets a counter.
    pub fn count(&self, counter: Counter, value: u64) {
        self.set(COUNTERS_AT + counter as usize, value);
    }

    /// Counter number `i` of [`COUNTERS`].
    pub fn counter(&self, i: usize) -> u64 {
        self.get(COUNTERS_AT + i.min(7))
    }

    /// Records a call.
    pub fn add_call(&self, row: CallRow) {
        let at = CALLS_AT + row.call as usize % CALLS * CALL_WORDS;
        let words = [row.call, row.serial, row.number.into(), row.result];
        words.into_iter().enumerate().for_each(|(i, w)| self.set(at + i, w));
        let last = KINDS - if row.number == u16::MAX { 1 } else { 2 };
        let kind = KINDS_AT + usize::from(row.number).min(last);
        self.set(kind, self.get(kind).wrapping_add(1));
    }

    /// How often each kind of call was made in a turn: its number ([`u16::MAX`]: faults and signals), and how often.
    pub fn kinds(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        let numbers = (0..KINDS as u16 - 1).chain([u16::MAX]);
        numbers.zip(KINDS_AT..).map(|(number, at)| (number, self.get(at))).filter(|(_, times)| *times > 0)
    }

    /// The last calls before call number `calls`, oldest first.
    pub fn calls(&self, calls: u64) -> impl Iterator<Item = CallRow> + '_ {
        (calls.saturating_sub(CALLS as u64)..calls).filter_map(|call| {
            let at = CALLS_AT + call as usize % CALLS * CALL_WORDS;
            let row = CallRow {
                call: self.get(at),
                serial: self.get(at + 1),
                number: self.get(at + 2) as u16,
                result: self.get(at + 3),
            };
            (row.call == call && row.serial != 0).then_some(row)
        })
    }

    /// Sets row `i`; a thread with serial 0 ends it.
    pub fn set_thread(&self, i: usize, row: ThreadRow) {
        let at = THREADS_AT + i.min(THREADS_MAX - 1) * THREAD_WORDS;
        let packed = u64::from(row.pid) | u64::from(row.state) << 32 | u64::from(row.number) << 40;
        let words = [row.serial, packed, row.pc, row.sp, u64::from_le_bytes(row.name)];
        words.into_iter().enumerate().for_each(|(i, w)| self.set(at + i, w));
    }

    /// The threads.
    pub fn threads(&self) -> impl Iterator<Item = ThreadRow> + '_ {
        (0..THREADS_MAX).map(|i| THREADS_AT + i * THREAD_WORDS).map_while(|at| {
            let (serial, packed) = (self.get(at), self.get(at + 1));
            let row = ThreadRow {
                serial,
                pid: packed as u32,
                state: (packed >> 32) as u8,
                number: (packed >> 40) as u16,
                pc: self.get(at + 2),
                sp: self.get(at + 3),
                name: self.get(at + 4).to_le_bytes(),
            };
            (serial != 0).then_some(row)
        })
    }
}

const _: () = assert!(WORDS <= 1536, "the table fits the data area of a channel of 0x4000 bytes");

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let words = [const { AtomicU64::new(0) }; WORDS];
        let m = Monitor::new(&words).expect("room");
        assert!(!m.is_there() && m.threads().next().is_none());
        m.begin();
        m.set_progress(70, 4, 9);
        m.count(Counter::Frames, 77);
        for call in 0..70 {
            m.add_call(CallRow { call, serial: call + 1, number: 64, result: 1 });
        }
        let row = ThreadRow {
            serial: 9,
            pid: 12,
            state: State::Waits as u8,
            number: 63,
            pc: 1,
            sp: 2,
            name: *b"ash\0\0\0\0\0",
        };
        m.set_thread(0, row);
        assert!(m.is_there());
        assert_eq!((m.progress(), m.counter(Counter::Frames as usize)), ([70, 4, 9], 77));
        assert_eq!(m.threads().collect::<Vec<_>>(), [row]);
        let calls: Vec<_> = m.calls(70).map(|c| c.call).collect();
        assert_eq!(calls, (6..70).collect::<Vec<_>>());
        assert!(Monitor::new(&words[1..]).is_none());
    }

    #[test]
    fn calls_are_counted_by_kind() {
        let words = [const { AtomicU64::new(7) }; WORDS];
        let m = Monitor::new(&words).expect("room");
        for (call, number) in (0..).zip([64, 64, 600, u16::MAX, 0]) {
            m.add_call(CallRow { call, serial: 1, number, result: 1 });
        }
        assert!(m.kinds().eq([(0, 1), (64, 2), (510, 1), (u16::MAX, 1)]));
        assert!(Monitor::read(&words).expect("room").kinds().eq(m.kinds()));
        let next = Monitor::new(&words).expect("room");
        assert_eq!(next.kinds().next(), None, "the next kernel in this place begins at 0");
    }
}
