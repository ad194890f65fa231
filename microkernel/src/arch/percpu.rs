//! One state per core, whose address lies on that core's stack. The alternative, a table indexed by MPIDR at every trap, costs more and lets
//! code reach another core's state; here there is no way to.

use crate::core_local::Core;
use abi::handover::CORES_MAX;
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
    let slot = SLOTS.get(core.id).unwrap_or_else(|| crate::crash::stop());
    assert!(!slot.taken.swap(true, Ordering::AcqRel), "core installed twice");
    // SAFETY: `taken` was false, so nobody has had a reference to the slot, and nobody gets one by this function again.
    unsafe { (*slot.core.get()).write(core) }
}
