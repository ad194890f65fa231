//! Files in a snapshot (`docs/snapshot.md`): terminal, descriptors, open file descriptions, pipes and the writable layer, written and begun with.

mod begin;
mod inodes;
mod names;
mod take;
mod waits;

use super::Fs;
use super::file::{FIFO, PIPE};
use super::inode::Time;

const SECOND_NS: i64 = 1_000_000_000;

/// Nanoseconds since 1970; what no such number tells is the last that does.
fn to_ns(time: Time) -> i64 {
    time.sec.saturating_mul(SECOND_NS).saturating_add(i64::from(time.nsec))
}

fn from_ns(ns: i64) -> Time {
    Time { sec: ns.div_euclid(SECOND_NS), nsec: ns.rem_euclid(SECOND_NS) as u32 }
}

/// The key in the table of pipes of a pipe by its number, or of a FIFO by its inode.
fn pipe_key(fifo: bool, number: u64) -> u64 {
    number + if fifo { FIFO } else { PIPE }
}

impl Fs {
    /// The numbers that the next pipe and the next inode get.
    pub(crate) fn next_numbers(&self) -> (u64, u64) {
        (self.next_pipe, self.tree.next)
    }

    /// The size of a file of the root file system; 0 if it is gone.
    pub(crate) fn size_of(&self, ino: super::Ino) -> u64 {
        self.size(ino)
    }

    /// The page at `offset` of a member of the root image, as far as the member goes; nothing of other files.
    pub(crate) fn original_page(&self, ino: super::Ino, offset: u64) -> &'static [u8] {
        let data = self.tree.original(ino).map_or(&[][..], |o| o.data);
        let rest = usize::try_from(offset).ok().and_then(|at| data.get(at..)).unwrap_or_default();
        rest.get(..4096).unwrap_or(rest)
    }

    /// That page as page tables can show it: whole, with zeros behind the member's end.
    pub(crate) fn shown_page(&self, ino: super::Ino, offset: u64) -> Option<&'static [u8]> {
        let data = self.tree.original(ino)?.data;
        super::content::Content::Image(data).image_page(self.image, offset / 4096)
    }
}
