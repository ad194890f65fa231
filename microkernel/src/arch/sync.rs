//! The two things cores share besides atomics: what is written once at boot, and the line on the console.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// A value written once, before those who read it start.
pub struct Once<T> {
    /// 0 empty, 1 being written, 2 there.
    state: AtomicU8,
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: the value is written by the one who moved `state` from 0 to 1, and only shared references exist once it is 2.
unsafe impl<T: Send + Sync> Sync for Once<T> {}

impl<T> Once<T> {
    /// Empty.
    pub const fn new() -> Self {
        Once { state: AtomicU8::new(0), value: UnsafeCell::new(MaybeUninit::uninit()) }
    }

    /// Writes the value; `None` when there is one.
    pub fn set(&self, value: T) -> Option<&T> {
        self.state.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).ok()?;
        // SAFETY: this caller alone moved `state` from 0 to 1, and readers wait for 2.
        unsafe { (*self.value.get()).write(value) };
        self.state.store(2, Ordering::Release);
        self.get()
    }

    /// The value, if written.
    pub fn get(&self) -> Option<&T> {
        // SAFETY: state 2 was stored after the value was initialised, and nobody writes afterwards.
        (self.state.load(Ordering::Acquire) == 2).then(|| unsafe { (*self.value.get()).assume_init_ref() })
    }
}

/// A spin lock without a value: it makes a sequence of device writes whole.
pub struct Lock(AtomicBool);

impl Lock {
    /// Open.
    pub const fn new() -> Self {
        Lock(AtomicBool::new(false))
    }

    /// Runs `f` alone. After `spins` tries it runs regardless: a crashed holder must not silence the others.
    pub fn with<R>(&self, spins: u32, f: impl FnOnce() -> R) -> R {
        let mut left = spins;
        while self.0.swap(true, Ordering::Acquire) && left > 0 {
            core::hint::spin_loop();
            left -= 1;
        }
        let r = f();
        self.0.store(false, Ordering::Release);
        r
    }
}
