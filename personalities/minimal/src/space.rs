//! The address space, a page at a time: what is mapped, what it may, whether it is charged, and the frame if it was touched.

use crate::{Machine, rights};
use abi::layout::{MMAP_MIN, PAGE, STACK_MAX, TASK_SIZE};
use abi::turn::{CHARGE_PAGES, MEMORY_PAGES};
use alloc::collections::BTreeMap;

/// Mapped pages at most: a program that reserves more than 4 GiB is told that there is no memory.
const PAGES_MAX: usize = 1 << 20;

/// One mapped page.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// [`rights`].
    pub rights: u8,
    /// Counts for the charge: it is or was writable.
    pub charged: bool,
    /// Its frame, once it was touched.
    pub frame: Option<u64>,
}

/// Why something cannot be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No memory.
    Memory,
    /// It needs a further chunk of charge: that is a call, and waits for the turn.
    Turn,
}

/// The address space of the one process.
#[derive(Debug, Default)]
pub struct Space {
    /// By page number.
    pub pages: BTreeMap<u64, Page>,
    /// Charged pages among them.
    count: u64,
    /// What the process is charged for, pages: whole chunks, never less than before.
    pub charge: u64,
    /// Where the break begins, and where it is.
    pub break_start: u64,
    /// The break.
    pub break_end: u64,
    /// Mappings lie below.
    pub mmap_top: u64,
    /// The stack's end.
    pub stack_top: u64,
}

/// Addresses that this kernel keeps for itself: it runs where it lies, in the same map as the program.
const KERNEL: core::ops::Range<u64> = 0x0800_0000..0x1_0000_0000;

impl Space {
    /// Whether `more` charged pages are within what is charged, or may be charged now.
    fn charge(&mut self, more: u64, in_turn: bool) -> Result<(), Refused> {
        let charge = (self.count + more).next_multiple_of(CHARGE_PAGES);
        if charge > self.charge {
            if !in_turn {
                return Err(Refused::Turn);
            }
            if charge > MEMORY_PAGES {
                return Err(Refused::Memory);
            }
            self.charge = charge;
        }
        self.count += more;
        Ok(())
    }

    /// Charges a new program for its pages and for a stack of 64.
    pub fn charge_program(&mut self, stack: u64) -> Result<(), Refused> {
        let missing = 64u64.saturating_sub(stack);
        self.charge(missing, true)?;
        self.count -= missing;
        Ok(())
    }

    /// Whether nothing is mapped in `count` pages from page `first` on, and something may be.
    pub fn is_free(&self, first: u64, count: u64) -> bool {
        let (start, end) = (first * PAGE, (first + count) * PAGE);
        let own = start < KERNEL.end && end > KERNEL.start;
        let inside = start >= MMAP_MIN && end <= TASK_SIZE - 16 * PAGE;
        !own && inside && self.pages.range(first..first + count).next().is_none()
    }

    /// The highest gap of `count` pages below `mmap_top`: its first page.
    pub fn gap(&self, count: u64) -> Option<u64> {
        let mut end = self.mmap_top / PAGE;
        for (&page, _) in self.pages.range(..end).rev() {
            if end - page > count {
                break;
            }
            end = page;
        }
        let first = end.checked_sub(count)?;
        self.is_free(first, count).then_some(first)
    }

    /// Maps `count` untouched pages from page `first` on, where nothing is.
    pub fn add(&mut self, first: u64, count: u64, rights: u8, in_turn: bool) -> Result<(), Refused> {
        if self.pages.len() + count as usize > PAGES_MAX {
            return Err(Refused::Memory);
        }
        let charged = rights & rights::W != 0;
        if charged {
            self.charge(count, in_turn)?;
        }
        self.pages.extend((first..first + count).map(|p| (p, Page { rights, charged, frame: None })));
        Ok(())
    }

    /// Unmaps what is in `count` pages from page `first` on.
    pub fn remove(&mut self, first: u64, count: u64, m: &mut impl Machine) {
        while let Some((&number, &page)) = self.pages.range(first..first + count).next() {
            self.pages.remove(&number);
            self.count -= u64::from(page.charged);
            if let Some(frame) = page.frame {
                m.unmap(number * PAGE);
                m.free(frame);
            }
        }
    }

    /// Makes what was touched in `count` pages zero again.
    pub fn forget(&mut self, first: u64, count: u64, m: &mut impl Machine) {
        for (&number, page) in self.pages.range_mut(first..first + count) {
            if let Some(frame) = page.frame.take() {
                m.unmap(number * PAGE);
                m.free(frame);
            }
        }
    }

    /// Changes rights. Pages that are not mapped end it, after those before were changed.
    pub fn protect(
        &mut self,
        first: u64,
        count: u64,
        new: u8,
        in_turn: bool,
        m: &mut impl Machine,
    ) -> Result<(), Refused> {
        let mapped = (first..first + count).take_while(|p| self.pages.contains_key(p)).count() as u64;
        if new & rights::W != 0 {
            let fresh = self.pages.range(first..first + mapped).filter(|(_, p)| !p.charged).count();
            self.charge(fresh as u64, in_turn)?;
        }
        for (&number, page) in self.pages.range_mut(first..first + mapped) {
            page.rights = new;
            page.charged |= new & rights::W != 0;
            if let Some(frame) = page.frame {
                m.unmap(number * PAGE);
                m.map(number * PAGE, frame, new);
            }
        }
        if mapped == count { Ok(()) } else { Err(Refused::Memory) }
    }

    /// Makes the page of `address` ready for an access that wants `wanted`. `Ok(false)`: it is forbidden, or nothing is there.
    pub fn touch(
        &mut self,
        address: u64,
        wanted: u8,
        in_turn: bool,
        m: &mut impl Machine,
    ) -> Result<bool, Refused> {
        let number = address / PAGE;
        self.grow_stack(number, in_turn)?;
        let Some(page) = self.pages.get_mut(&number) else { return Ok(false) };
        if page.rights & wanted != wanted {
            return Ok(false);
        }
        if page.frame.is_none() {
            let frame = m.frame().ok_or(Refused::Memory)?;
            page.frame = Some(frame);
            if !m.map(number * PAGE, frame, page.rights) {
                return Err(Refused::Memory);
            }
        }
        Ok(true)
    }

    /// The stack reaches down to the lowest page touched.
    fn grow_stack(&mut self, number: u64, in_turn: bool) -> Result<(), Refused> {
        let top = self.stack_top / PAGE;
        let lowest = self.pages.range(top - STACK_MAX / PAGE..top).next().map(|(&p, _)| p);
        match lowest {
            Some(lowest) if number < lowest && number >= top - STACK_MAX / PAGE => {
                self.add(number, lowest - number, rights::R | rights::W, in_turn)
            }
            _ => Ok(()),
        }
    }

    /// Lowest page of the stack.
    pub fn stack_bottom(&self) -> u64 {
        let top = self.stack_top / PAGE;
        self.pages.range(top - STACK_MAX / PAGE..top).next().map_or(top, |(&p, _)| p)
    }

    /// How many of `length` bytes at `address` a copy may touch.
    fn reach(&mut self, address: u64, length: u64, wanted: u8, m: &mut impl Machine) -> u64 {
        let mut done = 0;
        while done < length {
            let at = address + done;
            if at >= TASK_SIZE || !matches!(self.touch(at, wanted, true, m), Ok(true)) {
                break;
            }
            done = length.min(done + PAGE - at % PAGE);
        }
        done
    }

    /// Copies from the program as much of `out` as can be read.
    pub fn read(&mut self, address: u64, out: &mut [u8], m: &mut impl Machine) -> usize {
        let length = self.reach(address, out.len() as u64, rights::R, m) as usize;
        let mut done = 0;
        while done < length {
            let at = address + done as u64;
            let offset = (at % PAGE) as usize;
            let part = (4096 - offset).min(length - done);
            let Some(frame) = self.pages.get(&(at / PAGE)).and_then(|p| p.frame) else { break };
            out[done..done + part].copy_from_slice(&m.bytes(frame)[offset..offset + part]);
            done += part;
        }
        done
    }

    /// Copies to the program; `None`: not all of it can be written, and nothing was.
    pub fn write(&mut self, address: u64, bytes: &[u8], m: &mut impl Machine) -> Option<()> {
        if self.reach(address, bytes.len() as u64, rights::W, m) < bytes.len() as u64 {
            return None;
        }
        self.put(address, bytes, m)
    }

    /// Copies to pages that are there, whatever their rights.
    pub fn put(&mut self, address: u64, bytes: &[u8], m: &mut impl Machine) -> Option<()> {
        let mut done = 0;
        while done < bytes.len() {
            let at = address + done as u64;
            let offset = (at % PAGE) as usize;
            let part = (4096 - offset).min(bytes.len() - done);
            let page = self.pages.get_mut(&(at / PAGE))?;
            if page.frame.is_none() {
                let frame = m.frame()?;
                page.frame = Some(frame);
                m.map(at / PAGE * PAGE, frame, page.rights).then_some(())?;
            }
            m.bytes(page.frame?)[offset..offset + part].copy_from_slice(&bytes[done..done + part]);
            done += part;
        }
        Some(())
    }
}
