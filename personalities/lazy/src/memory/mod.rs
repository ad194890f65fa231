//! Memory of programs: frames, objects, mappings, page tables.

pub mod frames;
pub mod map;
pub mod object;
pub mod space;
pub mod tables;
pub mod user;

use crate::hw::{Frame, Hardware};
use crate::slab::Slab;
use frames::Physical;
use object::Object;
use space::Space;

/// Everything about memory.
pub struct Memory<H> {
    /// The machine and its frames.
    pub physical: Physical<H>,
    /// VM objects.
    pub objects: Slab<Object>,
    /// Address spaces.
    pub spaces: Slab<Space>,
    /// Pages that all spaces are charged for.
    pub charged: u64,
    /// A page of zeros that everybody may read.
    pub zero: Option<Frame>,
    /// The page of the signal trampoline, the same in every space; no mapping.
    pub trampoline: Option<Frame>,
    /// A call is being made: the stack may take a further chunk of charge.
    pub in_call: bool,
    /// It needed one although none was.
    pub wants_turn: bool,
}

impl<H: Hardware> Memory<H> {
    /// Nothing is mapped.
    pub fn new(hw: H) -> Self {
        let mut physical = Physical::new(hw);
        let zero = physical.allocate();
        Memory {
            physical,
            objects: Slab::default(),
            spaces: Slab::default(),
            charged: 0,
            zero,
            trampoline: None,
            in_call: false,
            wants_turn: false,
        }
    }
}
