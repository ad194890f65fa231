//! VM objects: what lies behind mappings. An object holds the pages that were touched; what it does not hold comes from its source:
//! zeros, a file as it was at the time of the mapping, or another object that it shadows.
//!
//! Fork copies nothing: both sides mark their mappings "needs copy" and go on with the same object. The first write of either side puts
//! a shadow before it, which holds what was written since. A shadow whose object nobody else uses any more takes it over (`collapse`),
//! so that chains stay short.

use super::Memory;
use crate::files::content::{Content, Piece};
use crate::hw::{Frame, Hardware, PAGE};
use crate::radix::{Extent, Radix};

impl Extent for Frame {
    /// Frames lie in single pages, never in extents.
    fn part(&self, _: u64) -> Frame {
        *self
    }
}

/// Where pages come from that an object does not hold.
pub enum Source {
    /// Zeros.
    Zero,
    /// A file's bytes, as they were.
    File(Content),
    /// Another object.
    Shadow(u32),
}

/// A VM object.
pub struct Object {
    /// Mappings and shadows that use it.
    pub refs: u32,
    /// Its own pages.
    pub pages: Radix<Frame>,
    /// Where others come from.
    pub source: Source,
}

/// What a look-up finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A page that the object itself holds.
    Own(Frame),
    /// A page of something behind it: to be read only.
    Behind(Frame),
    /// Never written: zeros.
    Zero,
    /// Beyond the end of the file.
    Beyond,
    /// No frame is left.
    NoMemory,
}

/// So long may a chain of shadows be; longer ones exist only if this kernel is wrong.
const DEPTH_MAX: usize = 4096;

impl<H: Hardware> Memory<H> {
    /// A new object with one user.
    pub fn object(&mut self, source: Source) -> u32 {
        self.objects.insert(Object { refs: 1, pages: Radix::default(), source })
    }

    /// One more user.
    pub fn share_object(&mut self, id: u32) {
        if let Some(o) = self.objects.get_mut(id) {
            o.refs += 1;
        }
    }

    /// One user less.
    pub fn release_object(&mut self, id: u32) {
        let mut next = Some(id);
        while let Some(id) = next.take() {
            let Some(o) = self.objects.get_mut(id) else { return };
            o.refs = o.refs.saturating_sub(1);
            if o.refs > 0 {
                return;
            }
            let Some(mut o) = self.objects.remove(id) else { return };
            o.pages.clear(0, u64::MAX, &mut |_, _, f| self.physical.release(f));
            match o.source {
                Source::Zero => {}
                Source::File(mut c) => c.discard(&mut self.physical),
                Source::Shadow(of) => next = Some(of),
            }
        }
    }

    /// Page `index` of object `id`.
    pub fn find_page(&mut self, id: u32, index: u64) -> Found {
        let mut at = id;
        for _ in 0..DEPTH_MAX {
            let Some(o) = self.objects.get(at) else { return Found::Zero };
            if let Some(f) = o.pages.get(index) {
                return if at == id { Found::Own(f) } else { Found::Behind(f) };
            }
            match &o.source {
                Source::Zero => return Found::Zero,
                Source::Shadow(of) => at = *of,
                Source::File(_) => return self.file_page(at, index),
            }
        }
        Found::Zero
    }

    /// Bytes of heap that a copy of the file behind object `id` takes; there may be none.
    pub fn file_weight(&self, id: u32) -> usize {
        let mut at = id;
        for _ in 0..DEPTH_MAX {
            match self.objects.get(at).map(|o| &o.source) {
                Some(Source::Shadow(of)) => at = *of,
                Some(Source::File(c)) => return c.tree.weight(),
                _ => break,
            }
        }
        0
    }

    /// The bytes of page `index` of object `id`, whatever holds them; nothing is made.
    pub fn page_bytes(&self, id: u32, index: u64, out: &mut [u8; PAGE]) {
        let mut at = id;
        out.fill(0);
        while let Some(o) = self.objects.get(at) {
            if let Some(f) = o.pages.get(index) {
                return self.physical.read(f, 0, out);
            }
            match &o.source {
                Source::Zero => return,
                Source::Shadow(of) => at = *of,
                Source::File(content) => return content.read_page(&self.physical, index, out),
            }
        }
    }

    /// A page of the file behind object `id`: the image's or the file's own frame where there is a whole one, else a copy that the object keeps.
    fn file_page(&mut self, id: u32, index: u64) -> Found {
        let Some(Object { source: Source::File(content), .. }) = self.objects.get(id) else {
            return Found::Zero;
        };
        let left = content.size.saturating_sub(index.saturating_mul(PAGE as u64));
        if left == 0 {
            return Found::Beyond;
        }
        match content.tree.get(index) {
            None => return Found::Zero,
            Some(Piece::Page(frame)) => return Found::Behind(frame),
            Some(Piece::Image(at)) if left >= PAGE as u64 && at.is_multiple_of(PAGE as u64) => {
                let base = self.physical.hw.image_frame();
                return Found::Behind(Frame(base.0 + (at / PAGE as u64) as u32));
            }
            Some(Piece::Image(_)) => {}
        }
        let mut bytes = [0; PAGE];
        content.read_page(&self.physical, index, &mut bytes);
        // The page is kept by a node of the object.
        if self.physical.hw.heap_room() == 0 {
            return Found::NoMemory;
        }
        let Some(frame) = self.physical.allocate() else { return Found::NoMemory };
        *self.physical.hw.page_mut(frame) = bytes;
        if let Some(o) = self.objects.get_mut(id) {
            o.pages.set(index, frame);
        }
        Found::Behind(frame)
    }

    /// A page of object `id` that may be written; the object must have no other user. The flag: it is another frame than a look-up found before.
    pub fn own_page(&mut self, id: u32, index: u64) -> Found {
        let made = match self.find_page(id, index) {
            Found::Own(f) if !self.physical.shared(f) => return Found::Own(f),
            Found::Own(f) | Found::Behind(f) => self.physical.allocate_copy(f),
            Found::Zero => self.physical.allocate(),
            other => return other,
        };
        let Some(frame) = made else { return Found::NoMemory };
        if let Some(o) = self.objects.get_mut(id)
            && let Some(old) = o.pages.set(index, frame)
        {
            self.physical.release(old);
        }
        Found::Own(frame)
    }

    /// Lets `id` take over what it shadows as long as nobody else uses that.
    pub fn collapse(&mut self, id: u32) {
        for _ in 0..DEPTH_MAX {
            let Some(Object { source: Source::Shadow(of), .. }) = self.objects.get(id) else { return };
            let of = *of;
            if self.objects.get(of).is_none_or(|o| o.refs != 1) {
                return;
            }
            let Some(mut below) = self.objects.remove(of) else { return };
            let Some(o) = self.objects.get_mut(id) else { return };
            let physical = &mut self.physical;
            o.pages.visit(0, u64::MAX, &mut |i, _, f| {
                if let Some(old) = below.pages.set(i, *f) {
                    physical.release(old);
                }
            });
            o.pages = below.pages;
            o.source = below.source;
        }
    }
}
