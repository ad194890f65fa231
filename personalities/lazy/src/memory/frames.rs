//! Physical pages: given out zeroed, counted, given back. What was never used is still zero from boot and is not zeroed again.

use crate::hw::{Frame, Hardware, PAGE};
use alloc::vec;
use alloc::vec::Vec;

/// The machine and its pages.
pub struct Physical<H> {
    /// The machine.
    pub hw: H,
    refs: Vec<u16>,
    first: u32,
    /// From here on nothing was ever given out.
    fresh: u32,
    end: u32,
    free: Vec<u32>,
}

impl<H: Hardware> Physical<H> {
    /// All frames of the pool are free.
    pub fn new(hw: H) -> Self {
        let pool = hw.pool();
        let count = pool.len();
        let free = Vec::with_capacity(count);
        Physical { hw, refs: vec![0; count], first: pool.start, fresh: pool.start, end: pool.end, free }
    }

    /// Frames that are free.
    pub fn available(&self) -> usize {
        self.free.len() + (self.end - self.fresh) as usize
    }

    /// A page of zeros.
    pub fn allocate(&mut self) -> Option<Frame> {
        let (frame, zeroed) = self.take()?;
        if !zeroed {
            self.hw.page_mut(frame).fill(0);
        }
        Some(frame)
    }

    /// A copy of `from`.
    pub fn allocate_copy(&mut self, from: Frame) -> Option<Frame> {
        let (frame, _) = self.take()?;
        let bytes = *self.hw.page(from);
        *self.hw.page_mut(frame) = bytes;
        Some(frame)
    }

    fn take(&mut self) -> Option<(Frame, bool)> {
        let (number, zeroed) = match self.free.pop() {
            Some(n) => (n, false),
            None if self.fresh < self.end => {
                self.fresh += 1;
                (self.fresh - 1, true)
            }
            None => return None,
        };
        if let Some(r) = self.refs.get_mut((number - self.first) as usize) {
            *r = 1;
        }
        Some((Frame(number), zeroed))
    }

    fn count(&mut self, frame: Frame) -> Option<&mut u16> {
        // Frames of the root image are nobody's and are not counted.
        self.refs.get_mut(frame.0.checked_sub(self.first)? as usize)
    }

    /// One more holder. (At most one a mapping, and those are bounded below 2^16 a frame by PROCESSES_MAX and the heap.)
    pub fn share(&mut self, frame: Frame) {
        if let Some(r) = self.count(frame) {
            *r = r.saturating_add(1);
        }
    }

    /// One holder less; the last one frees it.
    pub fn release(&mut self, frame: Frame) {
        let Some(r) = self.count(frame) else { return };
        // A count that ever saturated is never trusted again: the frame stays.
        if *r == 0 || *r == u16::MAX {
            return;
        }
        *r -= 1;
        if *r == 0 {
            self.free.push(frame.0);
        }
    }

    /// Whether someone else holds `frame` too, or it is part of the root image.
    pub fn shared(&mut self, frame: Frame) -> bool {
        self.count(frame).is_none_or(|r| *r != 1)
    }

    /// Copies out of a frame.
    pub fn read(&self, frame: Frame, offset: usize, out: &mut [u8]) {
        if let Some(from) = self.hw.page(frame).get(offset..offset + out.len()) {
            out.copy_from_slice(from);
        }
    }

    /// Copies into a frame of the pool.
    pub fn write(&mut self, frame: Frame, offset: usize, bytes: &[u8]) {
        debug_assert!(offset + bytes.len() <= PAGE);
        if let Some(to) = self.hw.page_mut(frame).get_mut(offset..offset + bytes.len()) {
            to.copy_from_slice(bytes);
        }
    }
}
