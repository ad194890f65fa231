//! The root file system: the image's members and what was made or changed since, as inodes and directories of entries. Contents are
//! `content.rs`, the image's format `image.rs`, /dev `device.rs`, /proc `procfs.rs`, paths `walk.rs`, names of what is open `names.rs`.

pub mod content;
pub mod device;
pub mod image;
pub mod names;
pub mod procfs;
pub mod stat;
pub mod walk;

use crate::errno::*;
use crate::hw::Hardware;
use crate::memory::frames::Physical;
use abi::turn::{FILE_PAGES, INODES_MAX};
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use content::Content;
use names::{Entry, Known};

#[allow(missing_docs)] // file types of st_mode
mod modes {
    pub const S_IFMT: u32 = 0o170000;
    pub const S_IFIFO: u32 = 0o010000;
    pub const S_IFCHR: u32 = 0o020000;
    pub const S_IFDIR: u32 = 0o040000;
    pub const S_IFBLK: u32 = 0o060000;
    pub const S_IFREG: u32 = 0o100000;
    pub const S_IFLNK: u32 = 0o120000;
    pub const S_IFSOCK: u32 = 0o140000;
}
pub use modes::*;

/// The root directory.
pub const ROOT: u64 = 1;
/// Longest name.
pub const NAME_MAX: usize = 255;
/// Largest file.
pub const SIZE_MAX: u64 = 1 << 40;

/// A moment: seconds since 1970 and nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time(pub i64, pub u32);

impl Time {
    /// Of the program's clock.
    pub fn of_us(us: u64) -> Time {
        Time((us / 1_000_000) as i64, (us % 1_000_000) as u32 * 1000)
    }
}

/// A directory.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    /// The directory above.
    pub parent: u64,
    /// Entries by sequence number: name and inode.
    pub entries: BTreeMap<u64, (Vec<u8>, u64)>,
    names: BTreeMap<Vec<u8>, u64>,
    /// Its own entry, for who holds it or what is below it.
    pub entry: Rc<Entry>,
    /// Sequence number of the next entry.
    pub next: u64,
}

impl Directory {
    /// An empty one below `parent`.
    pub fn below(parent: u64) -> Directory {
        Directory { parent, ..Directory::default() }
    }

    /// The inode of `name`.
    pub fn find(&self, name: &[u8]) -> Option<u64> {
        self.names.get(name).and_then(|s| self.entries.get(s)).map(|(_, ino)| *ino)
    }

    /// Adds an entry behind all others.
    pub fn add(&mut self, name: &[u8], ino: u64) {
        self.entries.insert(self.next, (name.to_vec(), ino));
        self.names.insert(name.to_vec(), self.next);
        self.next += 1;
    }

    fn take(&mut self, name: &[u8]) -> Option<u64> {
        let seq = self.names.remove(name)?;
        self.entries.remove(&seq).map(|(_, ino)| ino)
    }
}

/// What an inode is.
pub enum Body {
    /// A regular file.
    File(Content),
    /// A directory.
    Directory(Directory),
    /// A symbolic link.
    Link(Vec<u8>),
    /// A device: Linux' number.
    Device(u64),
    /// A FIFO, and its pipe while it is open.
    Fifo(Option<u32>),
}

/// An inode.
pub struct Inode {
    /// Type and permissions.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Names (of a directory: 2 and its subdirectories).
    pub nlink: u32,
    /// Access, modification, change.
    pub times: [Time; 3],
    /// Made, or changed.
    pub changed: bool,
    /// Its times were set by a call, which is no change.
    pub touched: bool,
    /// A file's content was changed: its pages count.
    pub written: bool,
    /// Open file descriptions and current directories that lead here.
    pub held: u32,
    /// It is none of the image's.
    pub made: bool,
    /// What it is.
    pub body: Body,
}

impl Inode {
    /// As the image has one: it has its first name, is unchanged, and nobody holds it.
    pub fn new(mode: u32, [uid, gid]: [u32; 2], times: [Time; 3], body: Body) -> Inode {
        let nlink = if matches!(body, Body::Directory(_)) { 2 } else { 1 };
        Inode {
            mode,
            uid,
            gid,
            nlink,
            times,
            changed: false,
            touched: false,
            written: false,
            held: 0,
            made: false,
            body,
        }
    }
}

/// The root file system.
#[derive(Default)]
pub struct Files {
    /// Inodes by number.
    pub inodes: BTreeMap<u64, Inode>,
    /// Next number.
    pub next: u64,
    /// Inodes made that exist.
    pub made: u64,
    /// Pages counted.
    pub pages: u64,
    /// First number that no member of the image has.
    pub first: u64,
    /// Entries that are open, executed or mapped.
    pub known: Known,
    /// Where the bytes of the image's regular files lie in it: offset and length by inode.
    pub members: BTreeMap<u64, (u64, u64)>,
}

impl Files {
    /// The inode `ino`.
    pub fn inode(&self, ino: u64) -> Result<&Inode> {
        self.inodes.get(&ino).ok_or(ENOENT)
    }

    /// What the image has of regular file `ino`, whatever became of it.
    pub fn member(&self, ino: u64) -> Option<Content> {
        self.members.get(&ino).map(|(offset, size)| Content::of_image(*offset, *size))
    }

    /// The directory `ino`.
    pub fn directory(&self, ino: u64) -> Result<&Directory> {
        match &self.inode(ino)?.body {
            Body::Directory(d) => Ok(d),
            _ => Err(ENOTDIR),
        }
    }

    fn directory_mut(&mut self, ino: u64, now: Time) -> Result<&mut Directory> {
        let i = self.inodes.get_mut(&ino).ok_or(ENOENT)?;
        i.times[1] = now;
        i.times[2] = now;
        i.changed = true;
        match &mut i.body {
            Body::Directory(d) => Ok(d),
            _ => Err(ENOTDIR),
        }
    }

    /// Makes an inode and its name in directory `parent`.
    pub fn make(&mut self, parent: u64, name: &[u8], mode: u32, body: Body, now: Time) -> Result<u64> {
        const S_ISGID: u32 = 0o2000;
        // A directory that was removed takes no entries.
        let above = self.inode(parent)?;
        if above.nlink == 0 {
            return Err(ENOENT);
        }
        if self.made >= INODES_MAX {
            return Err(ENOSPC);
        }
        let ino = self.next;
        let is_directory = matches!(body, Body::Directory(_));
        // What is made in a directory with this bit is of its group, and a directory takes the bit along.
        let (gid, bit) = if above.mode & S_ISGID != 0 { (above.gid, S_ISGID) } else { (0, 0) };
        let mode = if is_directory { mode | bit } else { mode };
        self.directory_mut(parent, now)?.add(name, ino);
        self.next += 1;
        self.made += 1;
        let inode = Inode::new(mode, [0, gid], [now; 3], body);
        let inode = Inode { changed: true, written: true, made: true, ..inode };
        self.inodes.insert(ino, inode);
        if is_directory {
            self.place_directory(parent, name, ino);
            self.add_links(parent, 1);
        }
        Ok(ino)
    }

    fn add_links(&mut self, ino: u64, n: i32) {
        if let Some(i) = self.inodes.get_mut(&ino) {
            i.nlink = i.nlink.saturating_add_signed(n);
        }
    }

    /// A further name.
    pub fn link(&mut self, ino: u64, parent: u64, name: &[u8], now: Time) -> Result<()> {
        self.directory_mut(parent, now)?.add(name, ino);
        let i = self.inodes.get_mut(&ino).ok_or(ENOENT)?;
        i.nlink += 1;
        i.times[2] = now;
        i.changed = true;
        Ok(())
    }

    /// Takes `name` out of `parent`, whatever it is; the caller has checked.
    pub fn unlink<H: Hardware>(
        &mut self,
        p: &mut Physical<H>,
        parent: u64,
        name: &[u8],
        now: Time,
    ) -> Result<u64> {
        let ino = self.directory_mut(parent, now)?.take(name).ok_or(ENOENT)?;
        self.entry_removed(parent, name, ino);
        let i = self.inodes.get_mut(&ino).ok_or(ENOENT)?;
        i.times[2] = now;
        i.changed = true;
        if matches!(i.body, Body::Directory(_)) {
            i.nlink = 0;
            self.add_links(parent, -1);
        } else {
            i.nlink -= 1;
        }
        self.drop_if_gone(p, ino);
        Ok(ino)
    }

    /// Moves an entry. What stood at the target is gone already.
    pub fn rename(&mut self, from: (u64, &[u8]), to: (u64, &[u8]), now: Time) -> Result<()> {
        let ino = self.directory_mut(from.0, now)?.take(from.1).ok_or(ENOENT)?;
        self.directory_mut(to.0, now)?.add(to.1, ino);
        self.entry_renamed(from, to, ino);
        let i = self.inodes.get_mut(&ino).ok_or(ENOENT)?;
        i.times[2] = now;
        i.changed = true;
        if let Body::Directory(d) = &mut i.body {
            d.parent = to.0;
            self.add_links(from.0, -1);
            self.add_links(to.0, 1);
        }
        Ok(())
    }

    /// One holder more.
    pub fn hold(&mut self, ino: u64) {
        if let Some(i) = self.inodes.get_mut(&ino) {
            i.held += 1;
        }
    }

    /// One holder less.
    pub fn release<H: Hardware>(&mut self, p: &mut Physical<H>, ino: u64) {
        if let Some(i) = self.inodes.get_mut(&ino) {
            i.held = i.held.saturating_sub(1);
            self.drop_if_gone(p, ino);
        }
    }

    fn drop_if_gone<H: Hardware>(&mut self, p: &mut Physical<H>, ino: u64) {
        if self.inodes.get(&ino).is_none_or(|i| i.nlink > 0 || i.held > 0) {
            return;
        }
        let Some(mut i) = self.inodes.remove(&ino) else { return };
        if i.made {
            self.made -= 1;
        }
        if let Body::File(c) = &mut i.body {
            if i.written {
                self.pages -= c.pages;
            }
            c.discard(p);
        }
    }

    /// Lets `change` change the content of file `ino`, with the pages that are left; keeps count. The first change of an image's file costs its
    /// pages: `kept` of them (all that a truncation leaves).
    pub fn change<H: Hardware, T>(
        &mut self,
        p: &mut Physical<H>,
        ino: u64,
        kept: u64,
        change: impl FnOnce(&mut Content, &mut Physical<H>, &mut u64) -> T,
    ) -> Result<T> {
        let left = FILE_PAGES.saturating_sub(self.pages);
        let i = self.inodes.get_mut(&ino).ok_or(ENOENT)?;
        let Body::File(c) = &mut i.body else { return Err(EINVAL) };
        let mut budget = left;
        if !i.written {
            if kept.min(c.pages) > left {
                return Err(ENOSPC);
            }
            budget = left - kept.min(c.pages);
        }
        let before = if i.written { c.pages } else { 0 };
        i.written = true;
        i.changed = true;
        let result = change(c, p, &mut budget);
        self.pages = self.pages + c.pages - before;
        Ok(result)
    }
}
