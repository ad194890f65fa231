//! Copies from and to programs. A user address is never dereferenced: the page behind it is looked up (and made, if it is not there yet) and
//! its frame is read or written through the kernel's own map, so nothing that a program passes can fault inside the kernel.

use super::Memory;
use super::space::Resolved;
use crate::errno::{EFAULT, Result};
use crate::hw::{Access, Frame, Hardware, PAGE};
use abi::layout::TASK_SIZE;
use alloc::vec::Vec;

impl<H: Hardware> Memory<H> {
    /// The frame behind `address`.
    pub fn user_page(&mut self, id: u32, address: u64, write: bool) -> Result<Frame> {
        if address >= TASK_SIZE {
            return Err(EFAULT);
        }
        if let Some(t) = self.spaces.get(id).and_then(|s| s.tables)
            && let Some(f) = t.lookup(&self.physical, address, write)
        {
            return Ok(f);
        }
        let access = if write { Access::Write } else { Access::Read };
        match self.resolve(id, address, access, self.in_call) {
            Resolved::Frame(f) => Ok(f),
            Resolved::NeedsTurn => {
                self.wants_turn = true;
                Err(EFAULT)
            }
            _ => Err(EFAULT),
        }
    }

    /// Reads `out.len()` bytes at `address`.
    pub fn read(&mut self, id: u32, address: u64, out: &mut [u8]) -> Result<()> {
        let mut done = 0;
        while done < out.len() {
            let at = address.checked_add(done as u64).ok_or(EFAULT)?;
            let offset = (at % PAGE as u64) as usize;
            let n = (PAGE - offset).min(out.len() - done);
            let frame = self.user_page(id, at, false)?;
            self.physical.read(frame, offset, out.get_mut(done..done + n).ok_or(EFAULT)?);
            done += n;
        }
        Ok(())
    }

    /// Puts `count` bytes from `address` on behind what is in `out`, a page's worth at a time.
    pub fn append<E>(&mut self, id: u32, address: u64, count: u64, out: &mut E) -> Result<()>
    where
        E: for<'a> Extend<&'a u8>,
    {
        let mut done = 0;
        while done < count {
            let at = address.checked_add(done).ok_or(EFAULT)?;
            let offset = (at % PAGE as u64) as usize;
            let n = (PAGE - offset).min((count - done).try_into().unwrap_or(PAGE));
            let frame = self.user_page(id, at, false)?;
            out.extend(self.physical.hw.page(frame).get(offset..offset + n).ok_or(EFAULT)?);
            done += n as u64;
        }
        Ok(())
    }

    /// Writes `bytes` at `address`; all pages are looked at before the first byte is written.
    pub fn write(&mut self, id: u32, address: u64, bytes: &[u8]) -> Result<()> {
        if self.accessible(id, address, bytes.len() as u64, true) < bytes.len() as u64 {
            return Err(EFAULT);
        }
        let mut done = 0;
        while done < bytes.len() {
            let at = address.checked_add(done as u64).ok_or(EFAULT)?;
            let offset = (at % PAGE as u64) as usize;
            let n = (PAGE - offset).min(bytes.len() - done);
            let frame = self.user_page(id, at, true)?;
            self.physical.write(frame, offset, bytes.get(done..done + n).ok_or(EFAULT)?);
            done += n;
        }
        Ok(())
    }

    /// How many of `length` bytes from `address` on can be touched.
    pub fn accessible(&mut self, id: u32, address: u64, length: u64, write: bool) -> u64 {
        let mut done = 0;
        while done < length {
            let Some(at) = address.checked_add(done) else { break };
            if self.user_page(id, at, write).is_err() {
                break;
            }
            done += PAGE as u64 - at % PAGE as u64;
        }
        done.min(length)
    }

    /// A u64.
    pub fn read_u64(&mut self, id: u32, address: u64) -> Result<u64> {
        let mut b = [0; 8];
        self.read(id, address, &mut b)?;
        Ok(u64::from_le_bytes(b))
    }

    /// A u32.
    pub fn read_u32(&mut self, id: u32, address: u64) -> Result<u32> {
        let mut b = [0; 4];
        self.read(id, address, &mut b)?;
        Ok(u32::from_le_bytes(b))
    }

    /// A string that ends within `max` bytes (its zero byte included), without it; `None` if it does not.
    pub fn read_string(&mut self, id: u32, address: u64, max: usize) -> Result<Option<Vec<u8>>> {
        let mut out = Vec::new();
        while out.len() < max {
            let at = address.checked_add(out.len() as u64).ok_or(EFAULT)?;
            let offset = (at % PAGE as u64) as usize;
            let frame = self.user_page(id, at, false)?;
            let page = self.physical.hw.page(frame);
            let rest = page.get(offset..).unwrap_or(&[]);
            let rest = rest.get(..max - out.len()).unwrap_or(rest);
            match rest.iter().position(|b| *b == 0) {
                Some(n) => {
                    out.extend_from_slice(rest.get(..n).unwrap_or(&[]));
                    return Ok(Some(out));
                }
                None => out.extend_from_slice(rest),
            }
        }
        Ok(None)
    }
}
