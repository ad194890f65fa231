//! Calls on signals; handlers that tell what they were given.

use crate::places::{ARGUMENTS, SINK, STACK, STACK_SIZE, structure};
use crate::storm::Storm;
use apps::raw;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// What handlers saw since the last look, as a sum.
static SEEN: AtomicU64 = AtomicU64::new(0);
/// The first of the same words as they were, and how many there were: for the trace.
static WORDS: [AtomicU64; 32] = [const { AtomicU64::new(0) }; 32];
static COUNT: AtomicUsize = AtomicUsize::new(0);
/// Signal, code and address of the last fault; SIGCHLD's code and status.
pub static FAULT: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];
pub static CHILD: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

/// Those that sequences handle, ignore and send. Not SIGCHLD, SIGSEGV, SIGBUS, which they use; not SIGALRM and real-time ones.
const SIGNALS: [u64; 11] = [1, 2, 3, 10, 12, 13, 15, 23, 28, 30, 18];

/// Its bit in masks. It is neither blocked nor sent: Linux keeps that of a thread's own write apart from those sent to its process, and takes it before them.
const SIGPIPE: u64 = 1 << 12;

core::arch::global_asm!(
    ".global sequences_restorer",
    "sequences_restorer:",
    "mov x8, #139",
    "svc #0",
    // A load and a store of one byte, of known length, for the handler of faults to step over.
    ".global sequences_load",
    "sequences_load:",
    "ldrb w0, [x0]",
    "ret",
    ".global sequences_store",
    "sequences_store:",
    "strb w1, [x0]",
    "mov x0, #0",
    "ret",
);

unsafe extern "C" {
    fn sequences_restorer();
    fn sequences_load(at: u64) -> u64;
    fn sequences_store(at: u64, value: u64) -> u64;
}

/// # Safety
/// As a signal's handler with SA_SIGINFO: `info` and `context` are the kernel's.
unsafe extern "C" fn handler(signal: u64, info: *const i32, context: *const u64) {
    // SAFETY: (1) the kernel gives both; (2) the mask stands behind flags, link and stack (24 bytes) of the context.
    let (code, pid, mask) = unsafe { (*info.add(2), *info.add(4), *context.add(5)) };
    let own = u64::from(pid == std::process::id() as i32);
    seen(&[signal, code as u64, own, mask], &raw const signal as u64);
}

/// A handler without SA_SIGINFO: Linux on arm64 gives it the signal's number alone.
extern "C" fn plain_handler(signal: u64) {
    seen(&[signal], &raw const signal as u64);
}

fn seen(words: &[u64], on_stack: u64) {
    let alternate = u64::from((STACK..STACK + STACK_SIZE).contains(&on_stack));
    for word in words.iter().chain([&alternate]) {
        SEEN.store((SEEN.load(Relaxed) ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(7), Relaxed);
        if let Some(place) = WORDS.get(COUNT.fetch_add(1, Relaxed)) {
            place.store(*word, Relaxed);
        }
    }
}

/// # Safety
/// As [`handler`].
unsafe extern "C" fn fault(signal: u64, info: *const i32, context: *mut u64) {
    // SAFETY: (1) the kernel gives both; (2) `si_addr` stands at 16; (3) the program counter stands behind the mask's 128 bytes, fault address, 31 registers and sp.
    unsafe {
        FAULT[1].store(*info.add(2) as u64, Relaxed);
        FAULT[2].store(*info.cast::<u64>().add(2), Relaxed);
        *context.add(PC) += 4;
    }
    FAULT[0].store(signal, Relaxed);
}
/// uc_flags, uc_link, uc_stack (3), uc_sigmask with its padding (16), alignment to 16 (1), fault_address, regs[31], sp: then pc.
const PC: usize = 2 + 3 + 16 + 1 + 1 + 31 + 1;

/// # Safety
/// As [`handler`].
pub unsafe extern "C" fn child_ended(_: u64, info: *const i32, _: *const u64) {
    // SAFETY: (1) the kernel gives it; (2) a child's status stands behind pid and uid.
    unsafe {
        CHILD[1].store(*info.add(6) as u64, Relaxed);
        CHILD[0].store(*info.add(2) as u64, Relaxed);
    }
}

/// Sets a handler by the kernel's own structure; 0: the default.
pub fn handle(signal: u64, handler: u64) {
    let action = [handler, 0x0400_0004, sequences_restorer as *const () as u64, 0];
    // SAFETY: (1) the structure outlives the call; (2) handlers here are async-signal-safe.
    unsafe { raw(libc::SYS_rt_sigaction, [signal, action.as_ptr() as u64, 0, 8, 0, 0]) };
}

/// Loads or stores a byte: the value, then signal, code and address if it was a fault.
pub fn probe(at: u64, store: bool) -> [u64; 4] {
    FAULT.iter().for_each(|f| f.store(0, Relaxed));
    [11, 7].into_iter().for_each(|s| handle(s, fault as *const () as u64));
    // SAFETY: (1) a fault is stepped over by the handler; (2) a store goes to FREE, or nowhere: nothing of the program lies there.
    let value = unsafe { if store { sequences_store(at, at & 0xff) } else { sequences_load(at) } };
    [11, 7].into_iter().for_each(|s| handle(s, 0));
    let [signal, code, address] = [0, 1, 2].map(|i| FAULT[i].load(Relaxed));
    [if signal == 0 { value } else { 0 }, signal, code, if signal == 0 { at } else { address }]
}

impl Storm {
    pub fn signal_step(&mut self) {
        let (sink, signal) = (self.sink(), self.random.of(&SIGNALS));
        match self.random.below(16) {
            0..5 => self.action(),
            5..8 => {
                let mask = structure(&[(0..self.random.below(4))
                    .fold(0, |m, _| m | 1 << (self.random.of(&SIGNALS) - 1))
                    & !SIGPIPE]);
                let (how, set) = (
                    self.random.of(&[0, 1, 2, 3]),
                    if self.random.below(6) == 0 { self.sink() } else { mask },
                );
                let set = if (SINK..ARGUMENTS).contains(&set) { mask } else { set };
                self.call_for(
                    "rt_sigprocmask",
                    libc::SYS_rt_sigprocmask,
                    [how, set, sink, self.random.of(&[8, 8, 8, 4]), 0, 0],
                    sink,
                    |_| 8,
                );
            }
            8..12 => self.send_to_self(signal),
            12 => self.call_for("rt_sigpending", libc::SYS_rt_sigpending, [sink, 8, 0, 0, 0, 0], sink, |_| 8),
            13 | 14 => {
                let stack = structure(&[
                    STACK,
                    self.random.of(&[0, 0, 2, 1]),
                    self.random.of(&[STACK_SIZE, STACK_SIZE, 100]),
                ]);
                let new = if self.random.below(4) == 0 { 0 } else { stack };
                self.call_for("sigaltstack", libc::SYS_sigaltstack, [new, sink, 0, 0, 0, 0], sink, |_| 24);
            }
            _ => self.call(
                "kill",
                libc::SYS_kill,
                [self.random.of(&[1 << 20, -5_000_000i64 as u64]), self.random.of(&[0, 15, 65]), 0, 0, 0, 0],
            ),
        }
        let (seen, count) = (SEEN.swap(0, Relaxed), COUNT.swap(0, Relaxed));
        if seen != 0 {
            let words: Vec<u64> = WORDS.iter().take(count).map(|w| w.load(Relaxed)).collect();
            self.answered("handled", &words, seen as i64, &[]);
        }
    }

    fn action(&mut self) {
        let (signal, sink) =
            (self.random.of(&[1, 2, 3, 10, 12, 13, 15, 18, 20, 23, 28, 30, 9, 19, 0, 65]), self.sink());
        let how = self.random.of(&[0, 1, 2, 2, 2]);
        let flags = self.random.bits(&[0x4, 0x1000_0000, 0x4000_0000, 0x8000_0000, 0x0800_0000, 0x1])
            | self.random.of(&[0, 0x0400_0000, 0x0400_0000]);
        let mask = self.random.of(&[0, 0x200, 0x800, 0x4200]);
        let restorer = if flags & 0x0400_0000 != 0 { sequences_restorer as *const () as u64 } else { 0 };
        let how = match how {
            2 if flags & 4 != 0 => handler as *const () as u64,
            2 => plain_handler as *const () as u64,
            other => other,
        };
        let action = structure(&[how, flags, restorer, mask]);
        let new = if self.random.below(4) == 0 { 0 } else { action };
        let size = self.random.of(&[8, 8, 8, 8, 7]);
        self.call_for("rt_sigaction", libc::SYS_rt_sigaction, [signal, new, sink, size, 0, 0], sink, |_| 32);
    }

    /// Mostly a signal that does not end the process.
    fn send_to_self(&mut self, signal: u64) {
        let mut action = [0u64; 4];
        self.quietly(libc::SYS_rt_sigaction, [signal, 0, action.as_mut_ptr() as u64, 8, 0, 0]);
        let deadly = action[0] == 0 && !matches!(signal, 18 | 23 | 28);
        if signal == 13 || deadly && self.random.below(30) > 0 {
            return;
        }
        let pid = self.random.of(&[u64::from(std::process::id()), 0]);
        let r = self.quietly(libc::SYS_kill, [pid, signal, 0, 0, 0, 0]);
        self.answered("kill", &[u64::from(pid != 0), signal], r, &[]);
    }
}
