//! The machine of the host tests: memory in a vector, no programs, no rings.

use lazy::hw::{Event, FpState, Frame, Hardware, PAGE, Registers, Trap};
use std::fmt::Arguments;

/// First frame of the pool, as on the board.
pub const FIRST: u32 = 0x40000;

/// See [`Hardware`].
pub struct Machine {
    pages: Vec<[u8; PAGE]>,
}

impl Machine {
    /// With so many frames.
    pub fn new(frames: usize) -> Machine {
        Machine { pages: vec![[0; PAGE]; frames] }
    }
}

impl Hardware for Machine {
    fn pool(&self) -> std::ops::Range<u32> {
        FIRST..FIRST + self.pages.len() as u32
    }

    fn page(&self, frame: Frame) -> &[u8; PAGE] {
        &self.pages[(frame.0 - FIRST) as usize]
    }

    fn page_mut(&mut self, frame: Frame) -> &mut [u8; PAGE] {
        &mut self.pages[(frame.0 - FIRST) as usize]
    }

    fn entry(&self, frame: Frame, index: usize) -> u64 {
        let at = index * 8;
        u64::from_le_bytes(self.page(frame)[at..at + 8].try_into().expect("eight bytes"))
    }

    fn set_entry(&mut self, frame: Frame, index: usize, value: u64) {
        let at = index * 8;
        self.page_mut(frame)[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }

    fn make_executable(&mut self, _: Frame) {}
    fn invalidate_page(&mut self, _: u16, _: u64) {}
    fn invalidate_space(&mut self, _: u16) {}

    fn image(&self) -> &'static [u8] {
        &[]
    }

    fn image_frame(&self) -> Frame {
        Frame(0x80000)
    }

    fn now_us(&self) -> u64 {
        0
    }

    fn run(&mut self, _: &mut Registers, _: Frame, _: u16, _: Option<u64>) -> Trap {
        Trap::Interrupt
    }

    fn step(&mut self, _: &mut Registers, _: Frame, _: u16) -> Trap {
        Trap::Step
    }

    fn end_stepping(&mut self) {}
    fn fp_save(&mut self, _: &mut FpState) {}
    fn fp_load(&mut self, _: &FpState) {}

    fn log(&mut self, _: &mut [u8]) -> Result<Option<usize>, &'static str> {
        Ok(None)
    }

    fn control(&mut self, _: &mut [u8]) -> Option<usize> {
        None
    }

    fn post(&mut self, _: &[u8]) {}
    fn takes_snapshots(&self) -> bool {
        false
    }

    fn snapshot(&self, _: &[u8]) {}

    fn beginning(&self) -> Option<&'static [u8]> {
        None
    }

    fn ring(&mut self) {}
    fn wait(&mut self, _: Option<u64>) {}
    fn monitor(&self) -> Option<abi::monitor::Monitor<'static>> {
        None
    }

    fn note(&mut self, _: Event<'_>) {}
    fn say(&mut self, _: Arguments<'_>) {}

    fn fail(&mut self, reason: &str) -> ! {
        panic!("{reason}")
    }

    fn heap_room(&self) -> usize {
        usize::MAX
    }
}
