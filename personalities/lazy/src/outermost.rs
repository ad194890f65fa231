//! The outermost place of a loop: where the handler of a skipped thread begins ("Signals" in `docs/turn-rule.md`). The thread is stepped,
//! instruction by instruction, at once: to the program the handler begins at the moment the signal is generated.

use crate::errno::Result;
use crate::hw::{Access, Hardware, Registers, Trap};
use crate::kernel::Kernel;
use crate::memory::space::Resolved;
use crate::process::{Fault, Place, Stand};
use abi::linux::nr;
use abi::turn::OUTERMOST_STEPS;
use core::cmp::Reverse;

/// A place of a program: the higher the stack pointer, then the lower the program counter, the further out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outermost(u64, Reverse<u64>);

impl Outermost {
    /// Before the instruction at `pc`.
    pub fn new(sp: u64, pc: u64) -> Outermost {
        Outermost(sp, Reverse(pc))
    }
}

/// The search: first looks, then goes on to what it found.
pub struct Search {
    best: Outermost,
    to_look: u32,
    to_go: u32,
}

impl Search {
    /// From where the thread stands.
    pub fn new(start: Outermost) -> Search {
        Search { best: start, to_look: OUTERMOST_STEPS, to_go: OUTERMOST_STEPS }
    }

    /// The thread made a step, to `place`; whether it is to stop there.
    pub fn step(&mut self, place: Outermost) -> bool {
        if self.to_look > 0 {
            self.to_look -= 1;
            self.best = self.best.max(place);
            return self.to_look == 0 && place == self.best;
        }
        self.to_go = self.to_go.saturating_sub(1);
        place == self.best || self.to_go == 0
    }
}

/// A store-exclusive: a step's exception clears the monitor, so it would fail for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exclusive {
    /// Gets 0 for success; 31: nobody.
    pub status: u8,
    /// Holds the address; 31: sp.
    pub base: u8,
    /// What is stored; 31: zero.
    pub first: u8,
    /// Of a pair, its second half.
    pub second: Option<u8>,
    /// Bytes of each.
    pub size: u8,
}

/// Decodes STXR, STLXR (all sizes), STXP and STLXP (Arm ARM, C4.1.66, "Load/store exclusive").
pub fn exclusive(instruction: u32) -> Option<Exclusive> {
    let register = |at: u32| (instruction >> at & 31) as u8;
    let pair = instruction & 0xbfe0_0000 == 0x8820_0000;
    let single = instruction & 0x3fe0_0000 == 0x0800_0000;
    (pair || single).then(|| Exclusive {
        status: register(16),
        base: register(5),
        first: register(0),
        second: pair.then(|| register(10)),
        size: 1 << (instruction >> 30),
    })
}

impl Exclusive {
    /// Where it stores how many bytes, and which; `None`: it is misaligned, and the processor says so.
    pub fn store(&self, r: &Registers) -> Option<(u64, [u8; 16], usize)> {
        let value = |n: u8| r.x.get(usize::from(n)).copied().unwrap_or(0);
        let address = if self.base == 31 { r.sp } else { value(self.base) };
        let size = usize::from(self.size);
        let mut bytes = [0; 16];
        for (to, from) in bytes.chunks_mut(size).zip([Some(self.first), self.second].into_iter().flatten()) {
            to.iter_mut().zip(value(from).to_le_bytes()).for_each(|(to, from)| *to = from);
        }
        let all = if self.second.is_some() { 2 * size } else { size };
        address.is_multiple_of(all as u64).then_some((address, bytes, all))
    }
}

/// What a step came to.
enum Stepped {
    On,
    /// Something that the search does not go past.
    End,
}

impl<H: Hardware> Kernel<H> {
    /// An outside thread that stands in user code goes to its outermost place, or as far as it comes.
    pub fn go_outermost(&mut self, serial: u64) {
        let Some(t) = self.threads.get(&serial) else { return };
        if t.stand != Stand::User || !matches!(t.place, Place::Outside { .. }) {
            return;
        }
        let mut search = Search::new(Outermost::new(t.registers.sp, t.registers.pc));
        self.load_fp(serial);
        while let Stepped::On = self.step_thread(serial) {
            let Some(t) = self.threads.get(&serial) else { break };
            if search.step(Outermost::new(t.registers.sp, t.registers.pc)) {
                break;
            }
        }
        self.memory.physical.hw.end_stepping();
    }

    fn step_thread(&mut self, serial: u64) -> Stepped {
        let Some(space) = self.process_of(serial).and_then(|p| p.space) else { return Stepped::End };
        match self.store_exclusive(serial, space) {
            Ok(true) => return Stepped::On,
            Ok(false) => {}
            Err(_) => return Stepped::End,
        }
        let Some(tables) = self.memory.tables(space) else { return Stepped::End };
        let Some(t) = self.threads.get_mut(&serial) else { return Stepped::End };
        match self.memory.physical.hw.step(&mut t.registers, tables.root, tables.asid) {
            Trap::Step => Stepped::On,
            Trap::Call => self.stepped_call(serial),
            Trap::Access { address, access } => match self.memory.resolve(space, address, access, false) {
                Resolved::Frame(_) => Stepped::On,
                Resolved::NoMemory => Stepped::End,
                _ => self.end_at(serial, Stand::Fault(Fault::Access(address, access))),
            },
            Trap::Exception(e) => self.end_at(serial, Stand::Fault(Fault::Exception(e))),
            Trap::Interrupt => Stepped::End,
        }
    }

    fn end_at(&mut self, serial: u64, stand: Stand) -> Stepped {
        self.stand(serial, stand);
        Stepped::End
    }

    /// A private call is a step; any other, and `rt_sigreturn`, is the end.
    fn stepped_call(&mut self, serial: u64) -> Stepped {
        if self.threads.get(&serial).is_some_and(|t| t.registers.x[8] == nr::rt_sigreturn) {
            return self.end_at(serial, Stand::Call);
        }
        self.trapped_call(serial);
        match self.threads.get(&serial) {
            Some(t) if t.stand == Stand::User => Stepped::On,
            _ => Stepped::End,
        }
    }

    /// Carries out a store-exclusive, if the thread stands before one; an error: it would fault.
    fn store_exclusive(&mut self, serial: u64, space: u32) -> Result<bool> {
        let Some(t) = self.threads.get(&serial) else { return Ok(false) };
        let pc = t.registers.pc;
        let Ok(instruction) = self.memory.read_u32(space, pc) else { return Ok(false) };
        let Some(exclusive) = exclusive(instruction) else { return Ok(false) };
        let Some((address, bytes, length)) = exclusive.store(&t.registers) else { return Ok(false) };
        if !matches!(self.memory.resolve(space, pc, Access::Execute, false), Resolved::Frame(_)) {
            return Ok(false);
        }
        self.memory.write(space, address, bytes.get(..length).unwrap_or(&[]))?;
        if let Some(t) = self.threads.get_mut(&serial) {
            if let Some(status) = t.registers.x.get_mut(usize::from(exclusive.status)) {
                *status = 0;
            }
            t.registers.pc = pc.wrapping_add(4);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Where a thread that goes round `places` from `start` on stops, and after how many steps.
    fn search(places: &[Outermost], start: usize) -> (Outermost, u32) {
        let mut search = Search::new(places[start]);
        for n in 1.. {
            let place = places[(start + n as usize) % places.len()];
            if search.step(place) {
                return (place, n);
            }
        }
        unreachable!()
    }

    proptest! {
        #[test]
        fn the_place_does_not_depend_on_where_in_the_loop_a_thread_stands(
            places in prop::collection::vec((0u64..64, 0u64..64), 1..OUTERMOST_STEPS as usize),
            starts in prop::collection::vec(any::<prop::sample::Index>(), 4),
        ) {
            let places: Vec<_> = places.into_iter().map(|(sp, pc)| Outermost::new(sp * 16, pc * 4)).collect();
            let best = *places.iter().max().unwrap();
            for start in starts {
                prop_assert_eq!(search(&places, start.index(places.len())).0, best);
            }
        }
    }

    #[test]
    fn a_thread_that_does_not_come_back_stops_all_the_same() {
        let straight: Vec<_> = (0..100_000).map(|n| Outermost::new(0, n * 4)).collect();
        assert_eq!(search(&straight, 7), (straight[7 + 2 * OUTERMOST_STEPS as usize], 2 * OUTERMOST_STEPS));
    }

    #[test]
    fn highest_sp_then_lowest_pc() {
        assert!(Outermost::new(32, 100) > Outermost::new(16, 4));
        assert!(Outermost::new(32, 4) > Outermost::new(32, 8));
    }

    fn parts(instruction: u32) -> Option<(u8, u8, u8, Option<u8>, u8)> {
        exclusive(instruction).map(|e| (e.status, e.base, e.first, e.second, e.size))
    }

    #[test]
    fn store_exclusives_are_known() {
        assert_eq!(parts(0xc801_7c62), Some((1, 3, 2, None, 8)), "stxr w1, x2, [x3]");
        assert_eq!(parts(0x8801_fc62), Some((1, 3, 2, None, 4)), "stlxr w1, w2, [x3]");
        assert_eq!(parts(0x0801_7fe2), Some((1, 31, 2, None, 1)), "stxrb w1, w2, [sp]");
        assert_eq!(parts(0x4801_fc62), Some((1, 3, 2, None, 2)), "stlxrh w1, w2, [x3]");
        assert_eq!(parts(0xc821_1062), Some((1, 3, 2, Some(4), 8)), "stxp w1, x2, x4, [x3]");
        assert_eq!(parts(0x8821_9062), Some((1, 3, 2, Some(4), 4)), "stlxp w1, w2, w4, [x3]");
        for (other, what) in [
            (0xc85f_7c62, "ldxr x2, [x3]"),
            (0xc87f_1062, "ldxp x2, x4, [x3]"),
            (0xc89f_fc62, "stlr x2, [x3]"),
            (0xc8a1_7c62, "cas x1, x2, [x3]"),
            (0x4820_7c62, "casp x0, x1, x2, x3, [x3]"),
            (0xf900_0062, "str x2, [x3]"),
        ] {
            assert_eq!(parts(other), None, "{what}");
        }
    }

    #[test]
    fn what_they_store() {
        let mut r = Registers { sp: 0x1000, ..Registers::default() };
        (r.x[2], r.x[3], r.x[4]) = (0x1122_3344_5566_7788, 0x2008, 0x99);
        let store = |instruction| exclusive(instruction).unwrap().store(&r);
        let (address, bytes, length) = store(0xc801_7c62).unwrap();
        assert_eq!((address, length, bytes[0], bytes[7], bytes[8]), (0x2008, 8, 0x88, 0x11, 0));
        let (address, bytes, length) = store(0x8821_9062).unwrap();
        assert_eq!((address, length, &bytes[..8]), (0x2008, 8, &[0x88, 0x77, 0x66, 0x55, 0x99, 0, 0, 0][..]));
        assert_eq!(store(0xc821_1062), None, "sixteen bytes at a multiple of eight");
        assert_eq!(store(0x0801_7fe2).map(|(a, _, n)| (a, n)), Some((0x1000, 1)));
    }
}
