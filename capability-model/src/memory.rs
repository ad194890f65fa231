//! The one way to memory. The microkernel implements [`Memory`] over its direct map, host tests over vectors.
//!
//! Words rather than references: an object is an address and a layout, so that retyping is nothing but writing, no lifetime has to be
//! invented for memory that comes and goes, and the crate can forbid `unsafe`. Objects are linked by address; a slot is 64 bytes,
//! one cache line, so that a lookup touches one line per level.

/// Size of a page, the unit of ownership.
pub const PAGE: u64 = 4096;
/// Size of a 2 MiB frame.
pub const BLOCK: u64 = 2 << 20;
/// Size of a slot.
pub const SLOT: u64 = 64;

/// What a domain begins with: pc, stack pointer, x0 to x5.
pub type Registers = [u64; 8];

/// Memory and what else the hardware must be told.
pub trait Memory {
    /// The word at `address`, a multiple of 8 inside memory that the store was given.
    fn read(&self, address: u64) -> u64;
    /// Replaces the word at `address`.
    fn write(&mut self, address: u64, word: u64);
    /// Fills a page with zeros and cleans it to the point of coherency. The longest single piece of work there is.
    fn scrub(&mut self, page: u64);
    /// Takes translations out of all TLBs of this core: one address of a space, or the whole space.
    fn forget(&mut self, vmid: u16, ipa: Option<u64>);
    /// Descriptors were written: the next walk of the tables must find them.
    fn publish(&mut self) {}
    /// Lets an interrupt come again.
    fn unmask(&mut self, irq: u16);
    /// A domain has another space.
    fn respaced(&mut self) {}
    /// A domain waits no more: it can run.
    fn woken(&mut self, _domain: u64) {}
    /// A domain must not run any more, and its memory may be used for something else next.
    fn stopped(&mut self, _domain: u64) {}
    /// A domain that does not run begins with these registers, all others zero: pc, stack pointer, x0 to x5.
    fn set_registers(&mut self, _domain: u64, _registers: &Registers) {}
    /// Whether a domain can begin anew, with another image (1 and up) or as it is (0).
    fn can_restart(&self, _domain: u64, _image: u64) -> bool {
        true
    }
    /// It was stopped, and begins anew: memory and registers as at the boot.
    fn restart(&mut self, _domain: u64, _image: u64) {}
}

/// A slot, by the address of its 64 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u64);

impl Slot {
    /// The slot `n` places on.
    pub const fn plus(self, n: u64) -> Slot {
        // In memory, and within a CNode: far from the end of u64.
        Slot(self.0.wrapping_add(n.wrapping_mul(SLOT)))
    }
}
