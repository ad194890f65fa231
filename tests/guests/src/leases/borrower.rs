//! Who borrows: a service that uses memory on its own core and, by a worker that it makes there, on another.

use crate::terms::*;
use core::arch::global_asm;
use core::sync::atomic::Ordering;
use runtime::abi::capability::{FAULT_SKIP, INVOKE, kind, label, map};
use runtime::capability::{Registers, invoke};
use runtime::{Channel, calls};

/// Where this service has its part.
const PLACE: u64 = 0x5000_0000;
/// Where the worker has its own, and the bytes from one mark to the next.
const WORK: u64 = 0x1000_0000;
const STRIDE: u64 = 512;
/// What the worker finds as its stack pointer.
const STACK: u64 = 0x1234_5670;
const CANARY: u64 = 0xca4a_97ca_4a97_ca4a;
const USABLE: u64 = map::READ | map::WRITE | map::NO_EXECUTE;

/// Slots of this service: its frame, what it lends on.
const OWN: u64 = 8;
const REST: u64 = 9;
/// Slots of its agent on the lent core: what it lent on; what it makes there.
const BORROWED: u64 = 6;
const WORKSPACE: u64 = 7;
const UPPER: u64 = 8;
const LOWER: u64 = 9;
const WORKER: u64 = 10;
const WATCHER: u64 = 11;
const ENDPOINT: u64 = 12;
const ANSWER: u64 = 13;
const SIGNALS: u64 = 14;
const CNODES: u64 = 15;
const WHOLE: u64 = 17;
const FRAMES: u64 = 24;
/// Bits of the worker's and the watcher's CSpace.
const SMALL: u64 = 3;
/// What the worker and its watcher signal.
const CLEAN: u64 = 1;
const DIRTY: u64 = 2;
const FAULTED: u64 = 4;

// The worker begins with x1, x2: the memory and its end; x3: the mark; x5: its stack pointer, which it compares. By slot 1 it tells that all was
// clean, by slot 2 that it was not. The watcher waits in slot 1 with the reply in slot 2, and tells by slot 4 of a fault at an address of the memory.
global_asm!(
    ".pushsection .rodata",
    ".global worker_code, watcher_code, worker_end",
    "worker_code:",
    "mov x4, sp",
    "cmp x4, x5",
    // What was not given is zero.
    "ccmp x6, #0, #0, eq",
    "ccmp x30, #0, #0, eq",
    "b.ne 6f",
    "mov x6, x1",
    "mov x8, #{signal}",
    "mov x5, #1",
    "1: ldr x4, [x1]",
    "cbz x4, 2f",
    "mov x5, #2",
    "2: str x3, [x1]",
    "add x1, x1, #{stride}",
    "cmp x1, x2",
    "b.lo 1b",
    "mov x0, x5",
    "svc #0",
    "3: mov x1, x6",
    "4: str x3, [x1]",
    "add x1, x1, #{stride}",
    "cmp x1, x2",
    "b.lo 4b",
    "b 3b",
    "watcher_code:",
    "mov x0, #1",
    "mov x8, #{receive}",
    "mov x13, #2",
    "mov x15, #0",
    "mov x16, #0",
    "svc #0",
    "lsr x4, x4, #28",
    "cmp x4, #{window}",
    "b.ne 6f",
    "mov x0, #4",
    "mov x8, #{signal}",
    "svc #0",
    "6: wfi",
    "b 6b",
    "worker_end:",
    ".popsection",
    signal = const INVOKE + label::SIGNAL,
    receive = const INVOKE + label::RECV,
    stride = const STRIDE,
    window = const WORK >> 28,
);

/// The instructions of worker and watcher, which fit in a page, and where the watcher's begin.
pub fn code() -> (&'static [u8], u64) {
    unsafe extern "C" {
        static worker_code: [u8; 0];
        static watcher_code: [u8; 0];
        static worker_end: [u8; 0];
    }
    // SAFETY: all three stand around the instructions above, in this image.
    unsafe {
        let [start, watcher, end] =
            [worker_code.as_ptr(), watcher_code.as_ptr(), worker_end.as_ptr()].map(|p| p as usize);
        (core::slice::from_raw_parts(worker_code.as_ptr(), end - start), (watcher - start) as u64)
    }
}

/// Looks for what others left in this service's part, and leaves its own mark; whether it was clean.
fn use_own() -> bool {
    done(MEMORY, label::RETYPE, &[kind::FRAME, 1, PLAIN, 0, 0, OWN, 1]);
    done(OWN, label::MAP, &[SPACE, PLACE, USABLE]);
    // SAFETY: the block was just mapped there, for this service alone.
    let memory = unsafe { core::slice::from_raw_parts_mut(PLACE as *mut u64, (BLOCK / 8) as usize) };
    let words = || (0..memory.len()).step_by((STRIDE / 8) as usize);
    let clean = words().all(|i| memory[i] == 0);
    words().for_each(|i| memory[i] = CANARY);
    clean
}

/// Has the worker made on the lent core, with a watcher for its faults.
fn employ() {
    done(MEMORY, label::RETYPE, &[kind::UNTYPED, (BLOCKS - 1) * BLOCK / 4096, PLAIN, 0, 0, REST, 1]);
    done(REST, label::LEASE, &[LENT_CORE, BORROWED, 64]);
    let made = [
        (kind::SPACE, 0, WORKSPACE, 1),
        (kind::PAGE_TABLE, 2, UPPER, 1),
        (kind::PAGE_TABLE, 3, LOWER, 1),
        (kind::DOMAIN, 0, WORKER, 2),
        (kind::ENDPOINT, 0, ENDPOINT, 1),
        (kind::REPLY, 0, ANSWER, 1),
        (kind::NOTIFICATION, 0, SIGNALS, 1),
        (kind::CNODE, SMALL, CNODES, 2),
    ];
    for (kind, parameter, slot, count) in made {
        does(CORE, TOOLS, label::RETYPE, &[kind, parameter, PLAIN, 0, 0, slot, count]);
    }
    does(CORE, UPPER, label::MAP, &[WORKSPACE, 0, 0]);
    does(CORE, LOWER, label::MAP, &[WORKSPACE, 0, 0]);
    does(CORE, CODE, label::MAP, &[WORKSPACE, 0, map::READ]);
    for (cnode, slot, badge) in [(0, 1, CLEAN), (0, 2, DIRTY), (1, 4, FAULTED)] {
        does(CORE, CNODES + cnode, label::MINT, &[slot, SMALL, PLAIN, SIGNALS, 64, 15, badge]);
    }
    does(CORE, CNODES + 1, label::COPY, &[FAULTS, SMALL, PLAIN, ENDPOINT, 64, 15]);
    does(CORE, CNODES + 1, label::MOVE, &[REPLY, SMALL, PLAIN, ANSWER, 64]);
    for n in 0..2 {
        let guard = (64 - SMALL) << 58;
        does(CORE, PLAIN, label::MINT, &[WHOLE + n, 64, PLAIN, CNODES + n, 64, 15, guard]);
        does(CORE, TIME + n, label::BIND, &[WORKER + n]);
    }
    arrives(CORE, BORROWED, label::RETYPE, &[kind::FRAME, 1, PLAIN, 0, 0, FRAMES, BLOCKS - 1]);
    for n in 0..BLOCKS - 1 {
        does(CORE, FRAMES + n, label::MAP, &[WORKSPACE, WORK + n * BLOCK, USABLE]);
    }
    does(CORE, WATCHER, label::CONFIGURE, &[WHOLE + 1, WORKSPACE, 0]);
    does(CORE, WATCHER, label::WRITE_REGISTERS, &[code().1]);
    does(CORE, WATCHER, label::RESUME, &[]);
    does(CORE, WORKER, label::CONFIGURE, &[WHOLE, WORKSPACE, ENDPOINT]);
    let end = WORK + (BLOCKS - 1) * BLOCK;
    does(CORE, WORKER, label::WRITE_REGISTERS, &[0, STACK, 0, WORK, end, CANARY, 0, STACK]);
    does(CORE, WORKER, label::RESUME, &[]);
}

/// Waits until the worker or its watcher has signalled one of `bits`; which.
fn signalled(bits: u64) -> u64 {
    loop {
        match there(CORE, SIGNALS, label::POLL, &[]) {
            Ok(word) if word & bits != 0 => return word & bits,
            Ok(_) => pause(),
            Err(e) => panic!("poll: {e}"),
        }
    }
}

/// Borrows in every other round: at steps 2n + 1 it is lent, at 2n + 2 memory was taken back.
pub fn run(own: &Channel, lender: &Channel, parity: u64) -> ! {
    let found = &own.words()[FOUND];
    loop {
        let step = told(lender);
        if step == 0 || (step - 1) / 2 % 2 != parity || step <= told(own) {
            calls::wait(u64::MAX);
            continue;
        }
        if step % 2 == 1 {
            let clean = use_own();
            employ();
            if signalled(CLEAN | DIRTY) != CLEAN || !clean {
                found.fetch_add(1, Ordering::Relaxed);
            }
        } else {
            let word: u64;
            // SAFETY: none: nothing is mapped there any more. Stage 2 must say so, and the keeper has the load skipped.
            unsafe {
                core::arch::asm!("mov {w}, #0", "ldr {w}, [{at}]", w = out(reg) word, at = in(reg) PLACE, options(nostack))
            };
            if word != 0 {
                found.fetch_add(1, Ordering::Relaxed);
            }
            signalled(FAULTED);
        }
        tell(own, step);
    }
}

/// Counts the faults of the borrower beside it, and lets it go on behind them.
pub fn keep(own: &Channel) -> ! {
    loop {
        let mut message = Registers::new(FAULTS, &[]);
        message.y[4] = REPLY;
        invoke(label::RECV, &mut message);
        if message.status() != 0 {
            // The lender has not given it anything yet.
            pause();
            continue;
        }
        assert!(message.x[4] == PLACE, "a fault at {:#x}", message.x[4]);
        own.words()[STEP].fetch_add(1, Ordering::Release);
        invoke(label::SEND, &mut Registers::new(REPLY, &[0, FAULT_SKIP]));
    }
}
