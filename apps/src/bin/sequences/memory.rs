//! Calls on memory, and looks at it.

use crate::places::{BEYOND, FREE, MOVED};
use crate::signals::probe;
use crate::storm::{IMAGE, Storm};

impl Storm {
    pub fn memory_step(&mut self) {
        match self.random.below(16) {
            0..5 => self.map(),
            5 | 6 => self.call("munmap", libc::SYS_munmap, [self.page(), self.pages(), 0, 0, 0, 0]),
            7 | 8 => {
                let a = [self.page(), self.pages(), self.random.of(&[0, 1, 3, 5, 7, 64]), 0, 0, 0];
                self.call("mprotect", libc::SYS_mprotect, a);
            }
            9 | 10 => self.remap(),
            11 => {
                let a = [self.page(), self.pages(), 4, 0, 0, 0];
                self.call("madvise", libc::SYS_madvise, a);
            }
            12 => self.grow(),
            _ => self.touch(),
        }
    }

    /// A place that the kernel chose counts as one place, and is given back.
    fn placed(&mut self, name: &str, a: [u64; 6], r: i64, length: u64) {
        let chosen = r as u64 >= BEYOND && r > 0;
        self.answered(name, &a, if chosen { 1 } else { r }, &[]);
        if chosen {
            self.quietly(libc::SYS_munmap, [r as u64, length, 0, 0, 0, 0]);
        }
    }

    fn map(&mut self) {
        let protection = self.random.of(&[0, 1, 3, 3, 3, 5, 7]);
        let flags = self.random.of(&[0x22, 0x22, 0x32, 0x32, 0x10_0022, 0x12, 0x02, 0x20]);
        let (mut fd, offset, length) = (self.fd(), self.random.of(&[0, 0, 4096, 8192, 100]), self.pages());
        let kind = self.mode(fd) & libc::S_IFMT;
        // A mapping of a file that changes later is a snapshot by the contract; so only the image's files are mapped.
        if flags & 0x20 == 0 && matches!(kind, libc::S_IFREG | libc::S_IFCHR) {
            fd = IMAGE;
        }
        let page = self.page();
        // For so much Linux finds no memory once it has taken away what was there.
        let length = if length == 1 << 36 && flags & 0x10 != 0 { 4096 } else { length };
        let place = if flags & 0x10_0010 == 0 { page & !4095 } else { page };
        let a = [place, length, protection, flags, fd, offset];
        let r = self.quietly(libc::SYS_mmap, a);
        self.placed("mmap", a, r, length);
    }

    fn remap(&mut self) {
        let flags = self.random.of(&[0, 1, 1, 3, 2, 8]);
        let (old, new) = (self.pages(), self.pages());
        let target = MOVED + (self.random.below(64) << 12);
        let a = [self.page(), old, new, flags, target, 0];
        let r = self.quietly(libc::SYS_mremap, a);
        self.placed("mremap", a, r, new);
    }

    /// The break, which is put back.
    fn grow(&mut self) {
        let by = self.random.of(&[0, 100, 4096, 3 * 4096, 1 << 36, 1 << 50]);
        let start = self.quietly(libc::SYS_brk, [0; 6]) as u64;
        let r = self.quietly(libc::SYS_brk, [start.saturating_add(by), 0, 0, 0, 0, 0]) as u64;
        self.quietly(libc::SYS_brk, [start, 0, 0, 0, 0, 0]);
        self.answered("brk", &[by], r.wrapping_sub(start) as i64, &[]);
    }

    /// A load or a store: its value, or the signal that it brought.
    fn touch(&mut self) {
        let at = match self.random.below(12) {
            0 => self.random.of(&[0, 8, 1 << 36, MOVED, MOVED + 4096]),
            _ => FREE + self.random.below(70) * 4096 + self.random.below(4096),
        };
        let store = self.random.below(2) == 0;
        let [value, signal, code, address] = probe(at, store);
        self.answered(
            if store { "store" } else { "load" },
            &[at],
            value as i64,
            &[signal, code, address.wrapping_sub(at)],
        );
    }
}
