//! Who lends: the root task.

use crate::borrower::code;
use crate::terms::*;
use core::sync::atomic::Ordering;
use runtime::abi::bootinfo::BootInfo;
use runtime::abi::capability::{kind, label, map, root};
use runtime::{Channel, calls, say};

/// Rounds, unless a host wants others.
const ROUNDS: u64 = 20;
const PAGE: u64 = 4096;
/// Slots of the lender: what is lent; one lender's slot for each core that gets memory to be set up with.
const LENT: u64 = root::FREE;
const LENT_TOOLS: u64 = root::FREE + 1;
const LEASE: u64 = root::FREE + 2;
const SCRATCH: u64 = root::FREE + 3;
const INSTRUCTIONS: u64 = root::FREE + 4;
const TABLE: u64 = root::FREE + 5;
const SETUP: u64 = root::FREE + 8;
/// Slots of the agents of the borrowers' cores, and of the lent core's.
const ARRIVED: u64 = root::FREE;
const BORROWER: u64 = root::FREE + 1;
const THERE: u64 = root::FREE + 8;
/// Where the lender writes the worker's instructions.
const WINDOW: u64 = 0x6000_0000;
/// Words of the lender's channel that a host writes or reads: rounds wanted; whether it looks; looks that it is asked for; looks it has done.
const WANTED: usize = 700;
const LOOKS: usize = 701;
const ASKED: usize = 702;
const LOOKED: usize = 703;
/// Places in the manifest: the borrowers come first, then their keepers.
const FIRST: u64 = 1;
const KEEPERS: u64 = 3;

/// A borrower and its keeper on core `n` get a CSpace each; the borrower's faults come to the keeper.
fn set_up(n: u64) {
    let (core, index) = (root::OTHER_CORES + n, FIRST + n - 1);
    let [memory, plain, whole, small, keepers, endpoint, reply] =
        core::array::from_fn(|i| BORROWER + i as u64);
    done(SETUP + n, label::LEASE, &[n, memory, 64]);
    arrives(core, memory, label::RETYPE, &[kind::ENDPOINT, 0, root::CNODE, 0, 0, endpoint, 1]);
    does(core, memory, label::RETYPE, &[kind::REPLY, 0, root::CNODE, 0, 0, reply, 1]);
    cspace(core, memory, plain, RADIX);
    cspace(core, memory, small, 2);
    does(core, plain, label::COPY, &[PLAIN, RADIX, root::CNODE, whole, 64, 15]);
    does(core, plain, label::COPY, &[SPACE, RADIX, root::CNODE, root::SPACES + index, 64, 15]);
    does(core, small, label::COPY, &[FAULTS, 2, root::CNODE, endpoint, 64, 15]);
    does(core, small, label::MOVE, &[REPLY, 2, root::CNODE, reply, 64]);
    does(core, root::DOMAINS + index, label::CONFIGURE, &[whole, 0, endpoint]);
    does(core, root::DOMAINS + KEEPERS + n - 1, label::CONFIGURE, &[keepers, 0, 0]);
}

/// Makes what is lent, and the page of instructions.
fn prepare(boot: &BootInfo) {
    let (n, largest) = (0..).zip(&boot.untyped).max_by_key(|(_, m)| m.size).expect("free RAM");
    let from = root::UNTYPED + n;
    let untyped =
        |pages, slot| done(from, label::RETYPE, &[kind::UNTYPED, pages, root::CNODE, 0, 0, slot, 1]);
    // So that what comes then begins with a block.
    let gap = largest.base.next_multiple_of(BLOCK) - largest.base;
    if gap > 0 {
        untyped(gap / PAGE, SCRATCH);
    }
    untyped(BLOCKS * BLOCK / PAGE, LENT);
    untyped(BLOCK / PAGE, LENT_TOOLS);
    for n in 1..=2 {
        untyped(16, SETUP + n);
    }
    done(from, label::RETYPE, &[kind::FRAME, 0, root::CNODE, 0, 0, INSTRUCTIONS, 1]);
    done(from, label::RETYPE, &[kind::PAGE_TABLE, 3, root::CNODE, 0, 0, TABLE, 1]);
    done(TABLE, label::MAP, &[root::SPACES, WINDOW, 0]);
    done(INSTRUCTIONS, label::MAP, &[root::SPACES, WINDOW, map::READ | map::WRITE | map::NO_EXECUTE]);
    let (code, _) = code();
    // SAFETY: (1) the page was just mapped there; (2) it is large enough; (3) cache maintenance by address is a service's own; the lent core
    // has fetched nothing from it yet.
    unsafe {
        core::ptr::copy_nonoverlapping(code.as_ptr(), WINDOW as *mut u8, code.len().min(PAGE as usize));
        for line in (WINDOW..WINDOW + PAGE).step_by(64) {
            core::arch::asm!("dc cvau, {}", in(reg) line, options(nostack));
        }
        core::arch::asm!("dsb ish", options(nostack));
    }
    done(INSTRUCTIONS, label::LEASE, &[LENT_CORE, THERE + 8, 64, root::CNODE, SCRATCH + 20, 64]);
}

/// On the lent core: what the borrower on core `n` may reach there: an agent with a CSpace, instructions, time and memory.
fn admit(n: u64) {
    const CORE5: u64 = root::OTHER_CORES + LENT_CORE;
    let [tools, plain, whole, agent, rest] = core::array::from_fn(|i| THERE + i as u64);
    done(LENT_TOOLS, label::LEASE, &[LENT_CORE, tools, 64]);
    arrives(CORE5, tools, label::RETYPE, &[kind::DOMAIN, 0, root::CNODE, 0, 0, agent, 1]);
    cspace(CORE5, tools, plain, RADIX);
    does(CORE5, plain, label::COPY, &[PLAIN, RADIX, root::CNODE, whole, 64, 15]);
    arrives(CORE5, plain, label::COPY, &[CODE, RADIX, root::CNODE, THERE + 8, 64, 15]);
    for slot in [TIME, TIME + 1] {
        does(CORE5, root::CORE, label::CARVE, &[4_000, 10_000, plain, slot, RADIX]);
    }
    does(CORE5, tools, label::RETYPE, &[kind::UNTYPED, 64, root::CNODE, 0, 0, rest, 1]);
    does(CORE5, plain, label::MOVE, &[TOOLS, RADIX, root::CNODE, rest, 64]);
    does(CORE5, agent, label::CONFIGURE, &[whole, 0, 0]);
    does(CORE5, root::CORE, label::SERVE, &[n, agent]);
}

/// A host that looks does so now.
fn look(own: &Channel) {
    let word = |i: usize| &own.words()[i];
    if word(LOOKS).load(Ordering::Acquire) != 0 {
        let asked = word(ASKED).fetch_add(1, Ordering::AcqRel) + 1;
        while word(LOOKED).load(Ordering::Acquire) < asked {
            pause();
        }
    }
}

fn wait_for(borrower: &Channel, step: u64) {
    while told(borrower) < step {
        calls::wait(u64::MAX);
    }
}

/// Lends a core and memory to the borrower on core `n`, has them used, and takes both back.
fn round(own: &Channel, borrower: &Channel, n: u64, step: u64) {
    let core = root::OTHER_CORES + n;
    let plain = BORROWER + 1;
    admit(n);
    let other = root::OTHER_CORES + LENT_CORE;
    done(other, label::LEASE, &[n, ARRIVED, 64, root::CNODE, LEASE, 64]);
    arrives(core, plain, label::MOVE, &[CORE, RADIX, root::CNODE, ARRIVED, 64]);
    done(LENT, label::LEASE, &[n, ARRIVED, 64]);
    arrives(core, plain, label::MOVE, &[MEMORY, RADIX, root::CNODE, ARRIVED, 64]);
    tell(own, step);
    wait_for(borrower, step);
    look(own);
    done(root::CNODE, label::REVOKE, &[LENT, 64]);
    tell(own, step + 1);
    wait_for(borrower, step + 1);
    // The core: first the right to act there, then the time.
    done(root::CNODE, label::REVOKE, &[LEASE, 64]);
    does(other, root::CNODE, label::REVOKE, &[root::CORE, 64]);
    done(root::CNODE, label::REVOKE, &[LENT_TOOLS, 64]);
    look(own);
}

pub fn run(boot: &'static BootInfo, find: &dyn Fn(&'static str) -> Channel) -> ! {
    let (own, borrowers) = (find("lender"), [find("first"), find("second")]);
    let keepers = [find("first-keeper"), find("second-keeper")];
    prepare(boot);
    set_up(1);
    set_up(2);
    say!("leases: set up");
    let mut n = 0;
    while n < ROUNDS.max(own.words()[WANTED].load(Ordering::Acquire)) {
        let which = n % 2;
        let borrower = &borrowers[which as usize];
        round(&own, borrower, which + 1, 2 * n + 1);
        n += 1;
        let found = borrower.words()[FOUND].load(Ordering::Acquire);
        assert!(found == 0, "a canary was found");
        let faults: u64 = keepers.iter().map(told).sum();
        assert!(faults == n, "{faults} faults in {n} rounds");
    }
    say!("leases: {n} rounds, no canary, a fault on each core in each");
    own.words()[FOUND].store(n, Ordering::Release);
    loop {
        calls::wait(u64::MAX);
    }
}
