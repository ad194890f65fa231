//! Microseconds from the counter, and the wall clock at start.

use crate::registers;
use abi::bootinfo::BootInfo;
use tock_registers::interfaces::Readable;
use tock_registers::registers::ReadOnly;

const US_PER_S: u64 = 1_000_000;

/// Microseconds since the service started.
#[derive(Clone, Copy)]
pub struct Clock {
    start: u64,
    hz: u64,
}

impl Clock {
    /// Tick 0 is now.
    pub fn new(boot: &BootInfo) -> Self {
        Clock { start: runtime::calls::now(), hz: boot.counter_hz.max(1) }
    }

    /// Now.
    pub fn now_us(&self) -> u64 {
        let count = runtime::calls::now().saturating_sub(self.start);
        let (seconds, rest) = (count / self.hz, count % self.hz);
        seconds.saturating_mul(US_PER_S).saturating_add(rest.saturating_mul(US_PER_S) / self.hz)
    }

    /// The counter's value at `us`, for a wait; `None`: no limit. Rounded up, so that a wait until then is not too short.
    pub fn deadline(&self, us: Option<u64>) -> u64 {
        let Some(us) = us else { return u64::MAX };
        let (seconds, rest) = (us / US_PER_S, us % US_PER_S);
        let count = seconds.saturating_mul(self.hz).saturating_add((rest * self.hz).div_ceil(US_PER_S));
        self.start.saturating_add(count)
    }
}

/// PL031 (Arm DDI 0224): its data register holds seconds since 1970.
#[repr(C)]
struct RealTimeClock {
    data: ReadOnly<u32>,
}

/// The wall clock, microseconds since 1970: the manifest's, else the real-time clock's.
pub fn wall_clock_us(boot: &'static BootInfo) -> u64 {
    if boot.run.start_time_us != 0 {
        return boot.run.start_time_us;
    }
    // SAFETY: a PL031's first register is its data register, a readable u32.
    let device = unsafe { registers::of::<RealTimeClock>(boot, "pl031") };
    match device {
        Some((rtc, _)) => u64::from(rtc.data.get()).saturating_mul(US_PER_S),
        None => panic!("no start-time-us in the manifest's `run`, and no device `pl031` to ask"),
    }
}
