//! Where a handler interrupts a loop that makes no call: at the same place on every kernel (`docs/turn-rule.md`, "Signals").
//!
//! The kernels' copies of a skipped thread stand at different places of their loop, and where a handler comes in can matter: a longjmp out
//! of the C library between taking a lock and noting its owner leaves the lock taken, and the program waits for itself for ever. So
//! the thread is single-stepped through its loop to find a place that does not depend on where it stood: the outermost
//! one (highest stack pointer, then lowest pc).

use crate::kernel::Kernel;
use crate::machine::{Exit, Machine, Registers};
use crate::turns::Serial;
use crate::user::UserMemory;
use abi::linux::nr;
use abi::turn::OUTERMOST_STEPS;

/// A place in the code, with the depth of its stack: greater is further out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    sp: u64,
    pc: core::cmp::Reverse<u64>,
}

impl Place {
    fn of(registers: &Registers) -> Place {
        Place { sp: registers.sp, pc: core::cmp::Reverse(registers.pc) }
    }
}

/// The search: told of each place the thread comes to, says when it stands at the right one.
struct Search {
    best: Place,
    steps: u32,
}

impl Search {
    fn from(start: Place) -> Search {
        Search { best: start, steps: 0 }
    }

    /// Whether the thread, now at `place`, is to go no further: it is back at the outermost place, or did not come back.
    fn ends_at(&mut self, place: Place) -> bool {
        self.steps += 1;
        if self.steps <= OUTERMOST_STEPS {
            self.best = self.best.max(place);
            return false;
        }
        place == self.best || self.steps > 2 * OUTERMOST_STEPS
    }
}

/// A store-exclusive instruction (STXR, STLXR, STXP, STLXP and their narrow kin).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StoreExclusive {
    /// Bytes of each register stored.
    size: usize,
    status: usize,
    first: usize,
    second: Option<usize>,
    base: usize,
}

impl StoreExclusive {
    /// Arm ARM, "Load/store exclusive": size, 001000, o2 0, L 0, o1 (pair), Rs, o0, Rt2, Rn, Rt.
    fn decode(word: u32) -> Option<StoreExclusive> {
        let field = |at: u32| (word >> at & 31) as usize;
        let (size, pair) = (word >> 30, word >> 21 & 1 == 1);
        if word >> 22 & 0xff != 0b0010_0000 || pair && size < 2 {
            return None;
        }
        let second = pair.then(|| field(10));
        Some(StoreExclusive { size: 1 << size, status: field(16), first: field(0), second, base: field(5) })
    }
}

impl<M: Machine> Kernel<M> {
    /// Brings a thread that stands in user code to the outermost place of its loop. It stops short before a call or a fault.
    pub(crate) fn go_outermost(&mut self, serial: Serial) {
        let Some(start) = self.threads.get(&serial).filter(|t| t.want.is_none()) else { return };
        let mut search = Search::from(Place::of(&start.registers));
        while self.step_user(serial) {
            let Some(t) = self.threads.get(&serial) else { return };
            if search.ends_at(Place::of(&t.registers)) {
                return;
            }
        }
    }

    /// One instruction; false: it is a call or a fault, and has not been carried out.
    fn step_user(&mut self, serial: Serial) -> bool {
        if self.store_exclusive(serial) {
            return true;
        }
        self.take_fp(serial);
        let Some(space) = self.process(serial).map(|p| p.space) else { return false };
        let Some(t) = self.threads.get_mut(&serial) else { return false };
        let Some(shared) = self.spaces.get(&space) else { return false };
        match self.m.step(shared.space.tables, &mut t.registers) {
            Exit::Step | Exit::Interrupt => true,
            Exit::Fault(fault) => {
                self.faulted(serial, fault);
                self.stands_in_code(serial)
            }
            Exit::Call if t.registers.x[8] == nr::rt_sigreturn => {
                // A handler inside a handler ends here: the new one comes first.
                t.registers.pc = t.registers.pc.wrapping_sub(4);
                false
            }
            Exit::Call => {
                self.entered(serial);
                self.stands_in_code(serial)
            }
        }
    }

    fn stands_in_code(&self, serial: Serial) -> bool {
        self.threads.get(&serial).is_some_and(|t| t.want.is_none())
    }

    /// The exception of each step clears the exclusive monitor, so a store-exclusive would never succeed. Nobody else writes to this
    /// process' memory: it is carried out here, as the success that it would have been.
    fn store_exclusive(&mut self, serial: Serial) -> bool {
        let Some(mut registers) = self.threads.get(&serial).map(|t| t.registers) else { return false };
        let Some(mut view) = self.view(serial) else { return false };
        let mut word = [0; 4];
        if view.read(registers.pc, &mut word).is_err() {
            return false;
        }
        let Some(store) = StoreExclusive::decode(u32::from_le_bytes(word)) else { return false };
        // Number 31 is sp as a base and zero as a value.
        let value = |r: usize| registers.x.get(r).copied().unwrap_or(0).to_le_bytes();
        let base = registers.x.get(store.base).copied().unwrap_or(registers.sp);
        let mut bytes = [0; 16];
        let total = store.size * (1 + usize::from(store.second.is_some()));
        for (to, r) in
            bytes.chunks_mut(store.size).zip([Some(store.first), store.second].into_iter().flatten())
        {
            to.copy_from_slice(value(r).get(..store.size).unwrap_or_default());
        }
        if base % total as u64 != 0 || view.write(base, bytes.get(..total).unwrap_or_default()).is_err() {
            return false;
        }
        if let Some(status) = registers.x.get_mut(store.status) {
            *status = 0;
        }
        registers.pc = registers.pc.wrapping_add(4);
        if let Some(t) = self.threads.get_mut(&serial) {
            t.registers = registers;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(sp: u64, pc: u64) -> Place {
        Place { sp, pc: core::cmp::Reverse(pc) }
    }

    proptest! {
        /// Wherever in its loop a thread stands, the search ends at the same place, and that is in the outermost frame.
        #[test]
        fn the_place_does_not_depend_on_where_the_thread_stood(
            body in proptest::collection::vec((0u64..4, 0u64..64), 1..500),
            a in 0usize..500,
            b in 0usize..500,
        ) {
            let ends = |start: usize| {
                let mut at = start % body.len();
                let there = |i: usize| place(0x1000 - body[i].0 * 16, body[i].1 * 4);
                let mut search = Search::from(there(at));
                loop {
                    at = (at + 1) % body.len();
                    if search.ends_at(there(at)) {
                        return there(at);
                    }
                }
            };
            let outermost = body.iter().map(|&(depth, pc)| place(0x1000 - depth * 16, pc * 4)).max();
            prop_assert_eq!(Some(ends(a)), outermost);
            prop_assert_eq!(ends(a), ends(b));
        }
    }

    #[test]
    fn a_thread_that_does_not_come_back_is_interrupted_where_it_is() {
        let mut search = Search::from(place(0x1000, 0));
        let steps = (1..).find(|&pc| search.ends_at(place(0x1000, pc))).expect("it ends");
        assert_eq!(steps, u64::from(2 * OUTERMOST_STEPS + 1));
    }

    #[test]
    fn store_exclusives_are_known() {
        // As an assembler gives them.
        for (word, size, status, first, second, base) in [
            (0xc803_7c41, 8, 3, 1, None, 2),    // stxr w3, x1, [x2]
            (0x8803_fc41, 4, 3, 1, None, 2),    // stlxr w3, w1, [x2]
            (0x0803_7fe1, 1, 3, 1, None, 31),   // stxrb w3, w1, [sp]
            (0x4803_fc5f, 2, 3, 31, None, 2),   // stlxrh w3, wzr, [x2]
            (0xc825_0c41, 8, 5, 1, Some(3), 2), // stxp w5, x1, x3, [x2]
        ] {
            let want = StoreExclusive { size, status, first, second, base };
            assert_eq!(StoreExclusive::decode(word), Some(want), "{word:#x}");
        }
        for (word, what) in [
            (0xc85f_7c41, "ldxr x1, [x2]"),
            (0xc89f_fc41, "stlr x1, [x2]"),
            (0x4820_7c82, "casp x0, x1, x2, x3, [x4]"),
            (0xc8a0_7c41, "cas x0, x1, [x2]"),
            (0xf900_0041, "str x1, [x2]"),
        ] {
            assert_eq!(StoreExclusive::decode(word), None, "{what}");
        }
    }
}
