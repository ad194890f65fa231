//! Copies from and to a program, through its mapping array.

use super::{Budget, Page, Space, Touch};
use crate::errno::{EFAULT, Errno};
use crate::machine::{Machine, PAGE_BYTES, Rights};
use crate::user::UserMemory;
use abi::layout::{PAGE, TASK_SIZE};

/// One program's memory for the time of one call.
pub struct UserView<'a, M: Machine> {
    /// The machine.
    pub machine: &'a mut M,
    /// The space.
    pub space: &'a mut Space,
    /// For the stack's growth.
    pub budget: &'a mut Budget,
}

impl<M: Machine> UserView<'_, M> {
    /// How many of `len` bytes at `address` can be accessed before the first that cannot.
    fn extent(&mut self, address: u64, len: usize, needs: Rights) -> usize {
        let end = address.saturating_add(len as u64).min(TASK_SIZE);
        let mut at = address;
        while at < end {
            let fine = match self.space.find(at) {
                Some(area) if area.rights.effective().has(needs) => !matches!(area.page(at), Page::Beyond),
                Some(_) => false,
                None => self.space.touch(self.machine, self.budget, at, needs) == Touch::Fine,
            };
            if !fine {
                break;
            }
            at = (at & !(PAGE - 1)).saturating_add(PAGE);
        }
        at.min(end).saturating_sub(address) as usize
    }

    /// Reads without a check of rights (the caller made it); pages that hold nothing read as zero.
    fn copy_out(&self, address: u64, out: &mut [u8]) {
        let mut done = 0;
        while done < out.len() {
            let at = address + done as u64;
            let offset = (at % PAGE) as usize;
            let n = (PAGE_BYTES - offset).min(out.len() - done);
            let Some(to) = out.get_mut(done..done + n) else { return };
            let page = self.space.find(at).map_or(Page::Untouched, |a| a.page(at));
            let from = match page {
                Page::Frame(frame) => self.machine.frame(frame).get(offset..offset + n),
                Page::Image(bytes) => bytes.get(offset..offset + n),
                Page::Untouched | Page::Beyond => None,
            };
            match from {
                Some(from) => to.copy_from_slice(from),
                None => to.fill(0),
            }
            done += n;
        }
    }

    /// Writes without a check of rights: also the kernel's own way to fill a read-only page.
    pub fn copy_in(&mut self, address: u64, bytes: &[u8]) {
        let mut done = 0;
        while done < bytes.len() {
            let at = address + done as u64;
            let offset = (at % PAGE) as usize;
            let n = (PAGE_BYTES - offset).min(bytes.len() - done);
            if let Some(Page::Frame(frame)) = self.space.find(at).map(|a| a.page(at))
                && let Some(to) = self.machine.frame_mut(frame).get_mut(offset..offset + n)
                && let Some(from) = bytes.get(done..done + n)
            {
                to.copy_from_slice(from);
            }
            done += n;
        }
    }
}

impl<M: Machine> UserMemory for UserView<'_, M> {
    fn read(&mut self, address: u64, out: &mut [u8]) -> Result<(), Errno> {
        if self.extent(address, out.len(), Rights::READ) < out.len() {
            return Err(EFAULT);
        }
        self.copy_out(address, out);
        Ok(())
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        if self.extent(address, bytes.len(), Rights::WRITE) < bytes.len() {
            return Err(EFAULT);
        }
        self.copy_in(address, bytes);
        Ok(())
    }

    fn readable(&mut self, address: u64, len: usize) -> usize {
        self.extent(address, len, Rights::READ)
    }

    fn writable(&mut self, address: u64, len: usize) -> usize {
        self.extent(address, len, Rights::WRITE)
    }
}
