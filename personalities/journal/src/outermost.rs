//! Handlers of threads outside the round (`docs/turn-rule.md`, "Signals"): where one begins that finds its thread in user code, and the
//! store-exclusives on the way there.

use crate::process::Wanted;
use crate::signals::{Begun, Effect, Looked};
use crate::state::State;
use abi::turn::OUTERMOST_STEPS;
use alloc::vec::Vec;

/// The search for a thread's outermost place: of the places that it comes to in `OUTERMOST_STEPS` steps the one with the highest sp and, of
/// those, the lowest pc; then the way back to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    steps: u32,
    sp: u64,
    pc: u64,
    /// The handlers that have begun, and wait for the place.
    pub begun: Vec<Begun>,
}

impl Search {
    /// From where the thread stands.
    pub fn from(sp: u64, pc: u64) -> Search {
        Search { steps: 0, sp, pc, begun: Vec::new() }
    }

    /// After a step the thread stands there; whether the handler begins.
    pub fn step(&mut self, sp: u64, pc: u64) -> bool {
        self.steps += 1;
        if self.steps > OUTERMOST_STEPS {
            return (sp, pc) == (self.sp, self.pc) || self.steps >= 2 * OUTERMOST_STEPS;
        }
        if sp > self.sp || sp == self.sp && pc < self.pc {
            (self.sp, self.pc) = (sp, pc);
        }
        false
    }
}

/// A store-exclusive, as it is carried out where each instruction is stepped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreExclusive {
    /// Register that says whether it succeeded; 31: none.
    pub status: usize,
    /// Register with the address; 31: sp.
    pub base: usize,
    /// Register with the data, and the second of a pair; 31: zero.
    pub data: (usize, Option<usize>),
    /// Bytes of each.
    pub size: usize,
}

/// STXR, STLXR, STXP, STLXP of all sizes (Arm ARM C4.1.94.26, "Load/store exclusive register" and "pair"); else `None`.
pub fn store_exclusive(instruction: u32) -> Option<StoreExclusive> {
    let register = |shift: u32| (instruction >> shift & 31) as usize;
    let (status, base, first) = (register(16), register(5), register(0));
    let size = 1 << (instruction >> 30);
    match instruction & 0x3fe0_0000 {
        0x0800_0000 => Some(StoreExclusive { status, base, data: (first, None), size }),
        0x0820_0000 if size >= 4 => {
            Some(StoreExclusive { status, base, data: (first, Some(register(10))), size })
        }
        _ => None,
    }
}

impl State {
    /// A signal was generated for a thread outside the round, or was pending when it was skipped. What ends or stops it does so at once. A
    /// handler begins at once, but in user code its frame is pushed at the place that is looked for first.
    pub fn look_outside(&mut self, serial: u64) {
        while let Some(info) = self.process_mut(serial).signals.take() {
            if self.effect_on(serial, info.signal) != Effect::Handled {
                if self.meet(serial, info) == Looked::Left {
                    return;
                }
                continue;
            }
            let p = self.process_mut(serial);
            let begun = p.signals.begin(info);
            let (sp, pc) = (p.user.sp, p.user.pc);
            p.search.get_or_insert_with(|| Search::from(sp, pc)).begun.push(begun);
            p.unagreed = true;
        }
        if self.process(serial).wanted != Wanted::Nothing {
            self.enter_handlers(serial);
        }
    }

    /// Pushes the frames of handlers that have begun, outside a turn. One that cannot be pushed without a further chunk, or at all, is a
    /// fault that is a call: then the address is given, and the frame waits for the turn.
    pub fn enter_handlers(&mut self, serial: u64) -> Option<u64> {
        while let Some(begun) = self.process(serial).search.as_ref().and_then(|s| s.begun.first()).cloned() {
            if let Err(missing) = self.frame_fits(serial, &begun) {
                return Some(missing);
            }
            if let Some(search) = &mut self.process_mut(serial).search {
                search.begun.remove(0);
            }
            if self.enter_handler(serial, &begun) == Looked::Left {
                return None;
            }
        }
        self.process_mut(serial).search = None;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The places of a loop with calls in it: sp falls and rises, the outermost place is met once a round.
    const ROUND: &[(u64, u64)] =
        &[(1000, 40), (1000, 44), (900, 80), (800, 20), (800, 24), (900, 84), (1000, 48), (1000, 52)];

    #[test]
    fn a_loop_has_one_outermost_place_wherever_the_search_begins() {
        for start in 0..ROUND.len() {
            let mut places = ROUND.iter().cycle().skip(start);
            let (sp, pc) = *places.next().unwrap();
            let mut search = Search::from(sp, pc);
            let found = places.find(|(sp, pc)| search.step(*sp, *pc));
            assert_eq!(found, Some(&(1000, 40)), "from {start}");
        }
    }

    #[test]
    fn what_never_comes_back_ends_after_as_many_steps_more() {
        let mut search = Search::from(1 << 40, 0);
        let steps = (1..).find(|n| search.step(1 << 30, 4 * n)).unwrap();
        assert_eq!(steps, u64::from(2 * OUTERMOST_STEPS));
    }

    #[test]
    fn store_exclusives_are_told_from_what_is_like_them() {
        let pair = |size, first, second| StoreExclusive { status: 3, base: 1, data: (first, second), size };
        for (instruction, what) in [
            (0x8803_7c22, Some(pair(4, 2, None))),    // stxr w3, w2, [x1]
            (0xc803_fc22, Some(pair(8, 2, None))),    // stlxr w3, x2, [x1]
            (0x0803_7c22, Some(pair(1, 2, None))),    // stxrb w3, w2, [x1]
            (0x4803_fc22, Some(pair(2, 2, None))),    // stlxrh w3, w2, [x1]
            (0x8823_1022, Some(pair(4, 2, Some(4)))), // stxp w3, w2, w4, [x1]
            (0xc823_9022, Some(pair(8, 2, Some(4)))), // stlxp w3, x2, x4, [x1]
            (0x885f_7c22, None),                      // ldxr w2, [x1]
            (0xc87f_1022, None),                      // ldxp x2, x4, [x1]
            (0x889f_fc22, None),                      // stlr w2, [x1]
            (0x88a3_7c22, None),                      // cas w3, w2, [x1]
            (0x0823_7c22, None),                      // casp w3, w4, w2, w3, [x1]
            (0xb900_0022, None),                      // str w2, [x1]
        ] {
            assert_eq!(store_exclusive(instruction), what, "{instruction:#x}");
        }
    }
}
