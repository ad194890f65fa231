//! Entry from firmware and from below. The assembly saves and restores; everything else is Rust behind it.

use super::sync::Once;
use crate::core_local::Core;
use abi::bootinfo::DOMAINS_MAX;
use abi::handover::{Area, CORES_MAX, Handover};
use abi::manifest::Range;
use core::arch::global_asm;
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Bytes of EL2 stack per core.
pub const STACK_SIZE: usize = 64 * 1024;

/// Bytes of the stack on which a core reports its own end: its usual one may be the reason.
const LAST_STACK_SIZE: usize = 8 * 1024;

/// One stack per core. Only the assembly touches it.
#[repr(C, align(4096))]
struct Stacks<const SIZE: usize>([UnsafeCell<[u8; SIZE]>; CORES_MAX]);

// SAFETY: (1) no Rust code names the contents but `words_above`, which copies; (2) the assembly gives stack i to core i only.
unsafe impl<const SIZE: usize> Sync for Stacks<SIZE> {}

/// The lowest page of each is not mapped: who goes beyond his stack faults, instead of writing into his neighbour's.
static STACKS: Stacks<STACK_SIZE> = Stacks([const { UnsafeCell::new([0; STACK_SIZE]) }; CORES_MAX]);
static LAST_STACKS: Stacks<LAST_STACK_SIZE> =
    Stacks([const { UnsafeCell::new([0; LAST_STACK_SIZE]) }; CORES_MAX]);

/// Whether the page at `address` guards a stack.
pub fn is_guard(address: u64) -> bool {
    let offset = address.wrapping_sub(&raw const STACKS as u64);
    offset < size_of_val(&STACKS) as u64 && offset.is_multiple_of(STACK_SIZE as u64)
}

/// What stands on core `core`'s stack from `sp` up, word by word; nothing if `sp` is not on it.
pub fn words_above(core: usize, sp: u64) -> impl Iterator<Item = u64> {
    let bottom = STACKS.0.get(core).map_or(0, |s| s as *const _ as u64);
    let top = bottom + STACK_SIZE as u64;
    // An overflowed stack is read from its guard page up.
    let start = if (bottom.saturating_sub(4096)..top).contains(&sp) {
        sp.next_multiple_of(8).max(bottom + 4096)
    } else {
        top
    };
    // SAFETY: (1) the word lies on this core's stack above its guard page; (2) the core has stopped using it, or is deeper; any
    // bytes are a valid u64.
    (start..top).step_by(8).map(|at| unsafe { core::ptr::read_volatile(at as *const u64) })
}

/// What the loader leaves, outside of what is zeroed at entry.
struct Left(UnsafeCell<MaybeUninit<Area>>);

// SAFETY: (1) of the handover there are shared references only (`given`); (2) the pages behind it are named by address alone.
unsafe impl Sync for Left {}

#[unsafe(link_section = ".handover")]
static AREA: Left = Left(UnsafeCell::new(MaybeUninit::uninit()));

/// What the loader says. Whether it speaks this build's language is the first question to it.
pub fn given() -> &'static Handover {
    // SAFETY: (1) the loader filled all of it before EL2's first instruction here, and it is made of numbers, so any bytes are valid;
    // (2) nobody writes it afterwards.
    unsafe { &(*AREA.0.get().cast::<Area>()).handover }
}

/// The boot pages, and the pages of positions: what domains see of this image, besides the table of their states.
pub fn pages_below() -> [Range; 2] {
    let area = AREA.0.get().cast::<Area>();
    // SAFETY: only addresses are taken, of places in a static.
    let pages = unsafe { [&raw const (*area).boot as u64, &raw const (*area).positions as u64] };
    pages.map(|base| Range { base, size: DOMAINS_MAX as u64 * 4096 })
}

/// Root of stage 1, for the cores that start later with their MMU off; and a known symbol, for tests.
#[unsafe(no_mangle)]
static EL2_STAGE1_ROOT: AtomicU64 = AtomicU64::new(0);

global_asm!(
    include_str!("entry.s"),
    stacks = sym STACKS,
    stack_size = const STACK_SIZE,
    last_stacks = sym LAST_STACKS,
    last_stack_size = const LAST_STACK_SIZE,
    area = sym AREA,
    early = sym early,
    primary_main = sym primary_main,
    secondary_main = sym secondary_main,
    stage1_root = sym EL2_STAGE1_ROOT,
    trap_lower = sym trap_lower,
    trap_synchronous = sym trap_synchronous,
    trap_own = sym trap_own,
);

unsafe extern "C" {
    safe static secondary_entry: u8;
    safe static __image_start: u8;
    safe static __start_end: u8;
    safe static __text_end: u8;
    safe static __rodata_end: u8;
    safe static __image_end: u8;
    fn enter_lower(stack_top: u64, core: u64) -> !;
}

/// Boundaries of this image: start, end of text, end of read-only data, end.
pub fn image() -> [u64; 4] {
    [&raw const __image_start, &raw const __text_end, &raw const __rodata_end, &raw const __image_end]
        .map(|p| p as u64)
}

/// What only the start needs: addresses of pages that are mapped until all cores run.
pub fn start_pages() -> impl Iterator<Item = u64> {
    (&raw const __image_start as u64..&raw const __start_end as u64).step_by(4096)
}

/// Where PSCI starts the other cores.
pub fn secondary_address() -> u64 {
    &raw const secondary_entry as u64
}

#[unsafe(link_section = ".start")]
extern "C" fn early() -> u64 {
    let root = crate::boot::early();
    EL2_STAGE1_ROOT.store(root, Ordering::Relaxed);
    root
}

#[unsafe(link_section = ".start")]
extern "C" fn primary_main() -> ! {
    static ENTERED: Once<()> = Once::new();
    assert!(ENTERED.set(()).is_some(), "the boot core entered twice");
    crate::boot::primary()
}

#[unsafe(link_section = ".start")]
extern "C" fn secondary_main(core: u64) -> ! {
    crate::boot::secondary(core as usize)
}

extern "C" fn trap_lower(core: *mut Core, vector: u64) {
    // SAFETY: (1) the assembly passes what `enter` put on the stack: this core's state, initialised, for ever; (2) EL2 runs with
    // interrupts masked and its own exceptions never return, so no other reference to it is live.
    crate::traps::from_lower(unsafe { &mut *core }, vector);
}

extern "C" fn trap_synchronous(core: *mut Core) {
    // SAFETY: as in `trap_lower`.
    crate::fast::call(unsafe { &mut *core });
}

extern "C" fn trap_own(vector: u64, syndrome: u64, pc: u64, address: u64, sp: u64) -> ! {
    crate::crash::unexpected(vector, syndrome, pc, address, sp)
}

/// Leaves EL2 for the first domain of `core`; until there is one that wants to run it sleeps here. With the last core the start is over, and
/// its code goes.
#[inline(never)]
pub fn enter(core: &'static mut Core) -> ! {
    static BEGUN: AtomicUsize = AtomicUsize::new(1);
    if BEGUN.fetch_add(1, Ordering::AcqRel) == core.plan.given.board.cores.len() {
        crate::stage1::forget_start(EL2_STAGE1_ROOT.load(Ordering::Relaxed));
    }
    core.dispatch();
    // Its own, as for its first instruction.
    let top = &raw const STACKS as u64 + (core.id as u64 + 1) * STACK_SIZE as u64;
    // SAFETY: (1) `core` is this core's state, and TPIDR_EL2 points to a domain's registers (`Core::dispatch`); (2) nothing on the
    // present stack is used again, since this does not return and `core` was moved in.
    unsafe { enter_lower(top, core as *mut Core as u64) }
}
