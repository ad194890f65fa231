//! Known faults, one at a time, for the tests that must find them. Without the feature `seeded-bugs` each question is a constant `false`.

/// A fault that a ring could have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Bug {
    /// The reader looks at `head` again after it checked it.
    HeadReadTwice = 1,
    /// The reader believes a record's length.
    LengthNotClamped,
    /// The reader believes a record that reaches beyond `head`.
    EndNotChecked,
    /// The reader does not look at `reserve` again after the copy.
    NoCheckAfterCopy,
    /// The writer does not raise `reserve` before it overwrites.
    NoReserve,
    /// The writer shows `head` before the data.
    HeadBeforeData,
    /// A record that reaches the end of the data area goes on one word too late.
    WrapOffByOne,
    /// The writer believes its reader's position.
    PositionNotChecked,
    /// The reader looks for the next good record by itself, as far as it takes.
    SearchWithoutBound,
    /// `head` is stored without release (found by `make model-ipc`).
    HeadRelaxed,
    /// No fence between the copy and the second look at `reserve` (found by `make model-ipc`).
    NoFenceAfterCopy,
}

#[cfg(feature = "seeded-bugs")]
static CHOSEN: core::sync::atomic::AtomicU8 = core::sync::atomic::AtomicU8::new(0);

/// From now on the rings of this process have this fault, or none.
#[cfg(feature = "seeded-bugs")]
pub fn choose(bug: Option<Bug>) {
    CHOSEN.store(bug.map_or(0, |b| b as u8), core::sync::atomic::Ordering::SeqCst);
}

#[cfg(feature = "seeded-bugs")]
pub(crate) fn has(bug: Bug) -> bool {
    CHOSEN.load(core::sync::atomic::Ordering::SeqCst) == bug as u8
}

#[cfg(not(feature = "seeded-bugs"))]
#[inline(always)]
pub(crate) const fn has(_: Bug) -> bool {
    false
}
