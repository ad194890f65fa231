//! One state per core, found through TPIDR_EL2. The alternative, a table indexed by MPIDR at every trap, costs more and
//! lets code reach another core's state; here there is no way to.

use crate::core_local::Core;
use aarch64_cpu::registers::{Readable, TPIDR_EL2, Writeable};
use board::CORES_MAX;
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, Ordering};

struct Slot {
    taken: AtomicBool,
    core: UnsafeCell<MaybeUninit<Core>>,
}

// SAFETY: `core` is handed out once (`taken`), to the core whose number it has; afterwards only that core reaches it.
unsafe impl Sync for Slot {}

static SLOTS: [Slot; CORES_MAX] =
    [const { Slot { taken: AtomicBool::new(false), core: UnsafeCell::new(MaybeUninit::uninit()) } };
        CORES_MAX];

/// Makes `core` this core's state.
pub fn install(core: Core) -> &'static mut Core {
    let slot = &SLOTS[core.id];
    assert!(!slot.taken.swap(true, Ordering::AcqRel), "core installed twice");
    // SAFETY: `taken` was false, so nobody has had a reference to the slot, and nobody gets one by this function again.
    let core = unsafe { (*slot.core.get()).write(core) };
    TPIDR_EL2.set(core as *mut Core as u64);
    core
}

/// This core's state.
///
/// # Safety
/// 1. [`install`] ran on this core. 2. No other reference to the state is live.
pub unsafe fn current() -> &'static mut Core {
    let core = TPIDR_EL2.get() as *mut Core;
    // SAFETY: (1) TPIDR_EL2 holds the address of an initialised `Core` of this core; (2) the caller vouches for uniqueness.
    unsafe { &mut *core }
}
