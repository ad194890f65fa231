//! The bytes of a regular file: a radix tree over extents. A file of the root image begins as one extent of the image; a page that is written
//! becomes a frame of its own; what is in no extent is a hole.
//!
//! Counted against FILE_PAGES is, of a file that was changed, every page that is no hole: exactly what the tree holds.

use crate::hw::{Frame, Hardware, PAGE};
use crate::memory::frames::Physical;
use crate::radix::{Extent, Radix};
use abi::digest::{Digest, Encoder};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// What lies behind a page of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes of the root image from this offset on.
    Image(u64),
    /// A frame.
    Page(Frame),
}

impl Extent for Piece {
    fn part(&self, pages: u64) -> Piece {
        match self {
            Piece::Image(at) => Piece::Image(at + pages * PAGE as u64),
            Piece::Page(f) => Piece::Page(*f),
        }
    }
}

/// A regular file's bytes.
#[derive(Default)]
pub struct Content {
    /// Length, bytes.
    pub size: u64,
    /// What lies where.
    pub tree: Radix<Piece>,
    /// Pages in the tree.
    pub pages: u64,
    /// Digests of pages, as far as they were asked for since the pages last changed.
    digests: BTreeMap<u64, Digest>,
}

/// Why a write stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSpace;

fn pages(bytes: u64) -> u64 {
    bytes.div_ceil(PAGE as u64)
}

impl Content {
    /// A file of the root image.
    pub fn of_image(offset: u64, size: u64) -> Content {
        let mut tree = Radix::default();
        if size > 0 {
            tree.fill(0, pages(size), Piece::Image(offset));
        }
        Content { size, tree, pages: pages(size), digests: BTreeMap::new() }
    }

    /// The same bytes for a second holder.
    pub fn snapshot<H: Hardware>(&self, p: &mut Physical<H>) -> Content {
        self.tree.visit(0, u64::MAX, &mut |_, _, piece| {
            if let Piece::Page(f) = piece {
                p.share(*f);
            }
        });
        Content { size: self.size, tree: self.tree.clone(), pages: self.pages, digests: BTreeMap::new() }
    }

    /// Gives all frames back.
    pub fn discard<H: Hardware>(&mut self, p: &mut Physical<H>) {
        self.drop_pages(p, 0);
        self.size = 0;
    }

    fn drop_pages<H: Hardware>(&mut self, p: &mut Physical<H>, from: u64) {
        let mut count = 0;
        self.tree.clear(from, u64::MAX - from, &mut |_, n, piece| {
            count += n;
            if let Piece::Page(f) = piece {
                p.release(f);
            }
        });
        self.pages -= count;
        self.digests.split_off(&from);
    }

    /// Page `index` whole, zeros beyond the end.
    pub fn read_page<H: Hardware>(&self, p: &Physical<H>, index: u64, out: &mut [u8; PAGE]) {
        self.read(p, index * PAGE as u64, out);
    }

    /// Reads at `offset`; what lies beyond the end is zero.
    pub fn read<H: Hardware>(&self, p: &Physical<H>, offset: u64, out: &mut [u8]) {
        let mut done = 0;
        self.visit(p, offset, out.len(), &mut |n, bytes| {
            let to = out.get_mut(done..done + n).unwrap_or_default();
            match bytes {
                Some(bytes) => to.copy_from_slice(bytes),
                None => to.fill(0),
            }
            done += n;
        });
    }

    /// As `read`, of `count` bytes, behind what is in `out`.
    pub fn append<H: Hardware>(&self, p: &Physical<H>, offset: u64, count: usize, out: &mut Vec<u8>) {
        self.visit(p, offset, count, &mut |n, bytes| match bytes {
            Some(bytes) => out.extend_from_slice(bytes),
            None => out.resize(out.len() + n, 0),
        });
    }

    /// The `count` bytes from `offset` on, piece by piece: how many, and which (none: zeros).
    fn visit<H: Hardware>(
        &self,
        p: &Physical<H>,
        offset: u64,
        count: usize,
        see: &mut dyn FnMut(usize, Option<&[u8]>),
    ) {
        let length = self.size.saturating_sub(offset).min(count as u64) as usize;
        let mut done = 0;
        while done < length {
            let at = offset + done as u64;
            let inside = (at % PAGE as u64) as usize;
            let n = (PAGE - inside).min(length - done);
            let bytes = match self.tree.get(at / PAGE as u64) {
                None => None,
                Some(Piece::Page(f)) => p.hw.page(f).get(inside..inside + n),
                Some(Piece::Image(from)) => {
                    p.hw.image().get(from as usize + inside..).and_then(|b| b.get(..n))
                }
            };
            see(n, bytes);
            done += n;
        }
        if done < count {
            see(count - done, None);
        }
    }

    /// The frame of page `index`, this file's alone; `budget`: how many pages more may be counted.
    fn own<H: Hardware>(
        &mut self,
        p: &mut Physical<H>,
        index: u64,
        budget: &mut u64,
    ) -> Result<Frame, NoSpace> {
        self.digests.remove(&index);
        let frame = match self.tree.get(index) {
            Some(Piece::Page(f)) if !p.shared(f) => return Ok(f),
            Some(Piece::Page(f)) => {
                let copy = p.allocate_copy(f).ok_or(NoSpace)?;
                p.release(f);
                copy
            }
            Some(Piece::Image(_)) => {
                let frame = p.allocate().ok_or(NoSpace)?;
                let mut bytes = [0; PAGE];
                self.read_page(p, index, &mut bytes);
                *p.hw.page_mut(frame) = bytes;
                frame
            }
            None if *budget == 0 => return Err(NoSpace),
            None => {
                let frame = p.allocate().ok_or(NoSpace)?;
                *budget -= 1;
                self.pages += 1;
                frame
            }
        };
        self.tree.set(index, Piece::Page(frame));
        Ok(frame)
    }

    /// Writes at `offset`; how much was written before room ran out.
    pub fn write<H: Hardware>(
        &mut self,
        p: &mut Physical<H>,
        offset: u64,
        bytes: &[u8],
        budget: &mut u64,
    ) -> usize {
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let inside = (at % PAGE as u64) as usize;
            let n = (PAGE - inside).min(bytes.len() - done);
            let Ok(frame) = self.own(p, at / PAGE as u64, budget) else { break };
            p.write(frame, inside, bytes.get(done..done + n).unwrap_or(&[]));
            done += n;
            self.size = self.size.max(at + n as u64);
        }
        done
    }

    /// Sets the length; what is cut off and grows again is zero.
    pub fn truncate<H: Hardware>(&mut self, p: &mut Physical<H>, size: u64) -> Result<(), NoSpace> {
        if size < self.size {
            let inside = (size % PAGE as u64) as usize;
            if inside != 0 && self.tree.get(size / PAGE as u64).is_some() {
                let frame = self.own(p, size / PAGE as u64, &mut 0)?;
                if let Some(rest) = p.hw.page_mut(frame).get_mut(inside..) {
                    rest.fill(0);
                }
            }
            self.drop_pages(p, pages(size));
        } else if size > self.size && !self.size.is_multiple_of(PAGE as u64) {
            // The rest of an image's last page is whatever follows it there: make it this file's zeros before it shows.
            let last = self.size / PAGE as u64;
            if let Some(Piece::Image(_)) = self.tree.get(last) {
                self.own(p, last, &mut 0)?;
            }
        }
        self.size = size;
        Ok(())
    }

    /// The digest of the counted pages ("State digest" in `docs/linux-abi.md`).
    pub fn digest<H: Hardware>(&mut self, p: &Physical<H>) -> Digest {
        let mut e = Encoder::new("file");
        e.u64(self.pages);
        let mut digests = core::mem::take(&mut self.digests);
        self.tree.visit(0, u64::MAX, &mut |start, n, _| {
            for index in start..start + n {
                let digest = digests.entry(index).or_insert_with(|| {
                    let mut bytes = [0; PAGE];
                    self.read_page(p, index, &mut bytes);
                    let mut page = Encoder::new("page");
                    page.raw(&bytes);
                    page.finish()
                });
                e.u64(index).raw(digest);
            }
        });
        self.digests = digests;
        e.finish()
    }
}
