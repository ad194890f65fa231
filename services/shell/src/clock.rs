//! Microseconds from the counter.

use abi::bootinfo::BootInfo;

const US_PER_S: u64 = 1_000_000;

/// Microseconds since some moment.
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

    /// Tick 0 is the counter's 0, so that clocks of all domains agree.
    pub fn since_power_on(boot: &BootInfo) -> Self {
        Clock { start: 0, hz: boot.counter_hz.max(1) }
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
