//! Those domains of a core that wait for their word, an interrupt or a time.

use crate::arch::registers;
use crate::core_local::Core;
use crate::domain::{Saved, hold};
use crate::ready::note;
use crate::shared;
use abi::bootinfo::DOMAINS_MAX;

impl Core {
    /// Whether an interrupt waits for the kernel at `at`: its timer's, or with `any` also the doorbell's.
    fn interrupted(&self, at: u64, any: bool) -> bool {
        if self.store.memory.loaded == at {
            return if any { self.gic.guest_pending() } else { self.gic.guest_timer_pending() };
        }
        let Saved { interrupts, el1, .. } = self.saved(at);
        let timer = interrupts.timer_pending() || el1.timer() <= registers::now();
        timer || any && interrupts.doorbell_pending()
    }

    /// Answers a domain of the manifest that waits, if there is a reason to.
    fn try_wake(&mut self, at: u64) {
        let saved = self.saved(at);
        let (kernel, index, deadline) = (saved.is_kernel(), saved.index as usize, saved.deadline);
        match saved.hold {
            hold::ASLEEP if self.interrupted(at, true) => self.release(at, hold::ASLEEP),
            hold::WAITS => {
                let word = shared::take_word(index.wrapping_sub(1));
                let interrupted = kernel && self.interrupted(at, false);
                if word == 0 && !interrupted && registers::now() < deadline {
                    return;
                }
                let frame = &mut self.saved_mut(at).frame;
                (frame.x[0], frame.x[1]) = (0, word);
                self.release(at, hold::WAITS);
            }
            _ => {}
        }
    }

    /// The current domain waits for its word until `deadline`, unless there is a reason to go on at once.
    pub fn wait(&mut self, deadline: u64) {
        let current = self.current();
        let saved = self.saved_mut(current);
        saved.deadline = deadline;
        saved.hold |= hold::WAITS;
        self.try_wake(current);
        self.deadline = self.deadline.min(deadline);
        self.store.memory.note(note::STOPPED);
    }

    /// Looks after all who wait.
    #[inline(never)]
    pub fn wake_all(&mut self) {
        self.deadline = self.restart_due;
        for i in 0..DOMAINS_MAX {
            let Some(&at) = self.domains.get(i) else { break };
            if self.saved(at).hold & (hold::WAITS | hold::ASLEEP) == 0 {
                continue;
            }
            self.try_wake(at);
            let saved = self.saved(at);
            let waits = if saved.hold == hold::WAITS { saved.deadline } else { u64::MAX };
            // The timer of a kernel that has not got EL1 is EL2's to watch.
            let timer = if self.store.memory.loaded == at { u64::MAX } else { saved.el1.timer() };
            self.deadline = self.deadline.min(waits).min(timer);
        }
        self.store.memory.take_note(note::NEWS);
    }
}
