//! FP registers stay in the processor until another thread runs.

use crate::hw::{FpState, Hardware};
use crate::kernel::Kernel;

impl<H: Hardware> Kernel<H> {
    /// The processor's FP registers become those of `serial`.
    pub fn load_fp(&mut self, serial: u64) {
        if self.fp_owner == Some(serial) {
            return;
        }
        self.save_fp();
        if let Some(t) = self.threads.get(&serial) {
            self.memory.physical.hw.fp_load(&t.fp);
        }
        self.fp_owner = Some(serial);
    }

    /// The owner's FP registers are in its thread now, and nobody's in the processor.
    pub fn save_fp(&mut self) {
        if let Some(t) = self.fp_owner.take().and_then(|o| self.threads.get_mut(&o)) {
            self.memory.physical.hw.fp_save(&mut t.fp);
        }
    }

    /// A thread's FP registers change: what the processor holds of it is void.
    pub fn set_fp(&mut self, serial: u64, state: FpState) {
        if self.fp_owner == Some(serial) {
            self.fp_owner = None;
        }
        if let Some(t) = self.threads.get_mut(&serial) {
            *t.fp = state;
        }
    }
}
