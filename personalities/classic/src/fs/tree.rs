//! The root file system: the image's members with a writable layer over them.
//!
//! Inode numbers count the image's members first, then what calls make; none is used twice. What is made and what is changed is
//! bounded by INODES_MAX and FILE_PAGES.

use super::content::Content;
use super::dir::Dir;
use super::entry::Entries;
use super::image;
use super::inode::{Body, Inode, Meta, Time};
use super::linux::*;
use super::{Entry, Ino};
use crate::errno::*;
use abi::turn::{FILE_PAGES, INODES_MAX};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// The root directory.
pub const ROOT: Ino = 1;

/// Bytes of heap that a page of a file takes: itself, and its place in its file's map.
const PAGE_COST: usize = 4096 + 256;
/// Bytes of heap that a name takes at most: a path of a symbolic link, and the name where it is kept.
const NAME_COST: usize = 8192;

/// The root file system.
pub struct Tree {
    inodes: BTreeMap<Ino, Inode>,
    /// Names that are held.
    pub entries: Entries,
    /// Next inode number.
    pub next: Ino,
    /// Inodes made that are still there.
    pub made: u64,
    /// Pages counted.
    pub pages: u64,
    /// Bytes of heap that names and pages may still take in this call: what the agreed limits promise may not be there, for mappings lie in
    /// the same heap.
    pub room: usize,
    /// The image's members by inode number, from the root on, as they were.
    originals: Vec<Original>,
}

/// What is kept of a member of the image, whatever became of it.
#[derive(Clone, Copy, Debug)]
pub struct Original {
    /// Its times.
    pub time: Time,
    /// A regular file's bytes.
    pub data: &'static [u8],
}

impl Tree {
    /// Reads the image.
    pub fn new(image: &'static [u8], boot: Time) -> Result<Tree, &'static str> {
        let root = Inode {
            meta: Meta::new(S_IFDIR | 0o755, boot),
            links: 1,
            holds: 0,
            body: Body::Directory(Dir::new(ROOT)),
            changed: false,
            made: false,
        };
        let mut tree = Tree {
            inodes: BTreeMap::from([(ROOT, root)]),
            entries: Entries::default(),
            next: ROOT + 1,
            made: 0,
            pages: 0,
            room: usize::MAX,
            originals: Vec::new(),
        };
        for member in image::members(image) {
            tree.add(image, member?)?;
        }
        let original = |inode: &Inode| Original {
            time: inode.meta.mtime,
            data: if let Body::Regular(Content::Image(data)) = inode.body { data } else { &[] },
        };
        tree.originals = tree.inodes.values().map(original).collect();
        Ok(tree)
    }

    fn add(&mut self, image: &'static [u8], member: image::Member) -> Result<(), &'static str> {
        let time = Time { sec: i64::from(member.mtime), nsec: 0 };
        let meta =
            Meta { uid: member.uid, gid: member.gid, ..Meta::new(member.mode & (S_IFMT | 0o7777), time) };
        let kind = member.mode & S_IFMT;
        if member.path.is_empty() {
            if kind != S_IFDIR {
                return Err("root image: the member for / is not a directory");
            }
            self.inodes.get_mut(&ROOT).ok_or("root image: no root")?.meta = meta;
            return Ok(());
        }
        let (parent, name) = self.place(member.path)?;
        let data = &image[member.start..member.start + member.size];
        let body = match kind {
            S_IFREG => Body::Regular(Content::Image(data)),
            S_IFDIR => Body::Directory(Dir::new(parent)),
            S_IFLNK if data.is_empty() || data.len() >= PATH_MAX => {
                return Err("root image: bad length of a symbolic link");
            }
            S_IFLNK => Body::Link(data.to_vec()),
            S_IFIFO => Body::Fifo,
            S_IFSOCK => Body::Socket,
            S_IFCHR | S_IFBLK => Body::Device(rdev(u64::from(member.rdev.0), u64::from(member.rdev.1))),
            _ => return Err("root image: a member of unknown kind"),
        };
        let ino = self.next;
        self.next += 1;
        self.inodes.insert(ino, Inode { meta, links: 1, holds: 0, body, changed: false, made: false });
        self.enter(parent, name, ino);
        Ok(())
    }

    /// The directory and the last name of a member's path.
    fn place<'a>(&self, path: &'a [u8]) -> Result<(Ino, &'a [u8]), &'static str> {
        let mut dir = ROOT;
        let mut parts = path.split(|&b| b == b'/').peekable();
        while let Some(name) = parts.next() {
            if name.is_empty() || name == b"." || name == b".." || name.len() > NAME_MAX {
                return Err("root image: a member's path has a bad component");
            }
            let found = self.lookup(dir, name);
            if parts.peek().is_none() {
                return if found.is_some() {
                    Err("root image: two members of one path")
                } else {
                    Ok((dir, name))
                };
            }
            dir = found
                .filter(|ino| self.get(*ino).is_some_and(Inode::is_dir))
                .ok_or("root image: a member before its directory")?;
        }
        Err("root image: a member without a name")
    }

    /// An inode.
    pub fn get(&self, ino: Ino) -> Option<&Inode> {
        self.inodes.get(&ino)
    }

    /// A member of the image as it was.
    pub fn original(&self, ino: Ino) -> Option<&Original> {
        self.originals.get(usize::try_from(ino.checked_sub(ROOT)?).ok()?)
    }

    /// Files that a snapshot holds, ascending: those that the state digest has, and members of which only times were changed.
    pub fn written(&self) -> impl Iterator<Item = (Ino, &Inode)> {
        let touched = |ino, i: &Inode| {
            let times = [i.meta.atime, i.meta.mtime, i.meta.ctime];
            self.original(ino).is_none_or(|o| times != [o.time; 3])
        };
        self.inodes.iter().map(|(ino, i)| (*ino, i)).filter(move |(ino, i)| i.changed || touched(*ino, i))
    }

    /// An inode.
    pub fn get_mut(&mut self, ino: Ino) -> Option<&mut Inode> {
        self.inodes.get_mut(&ino)
    }

    /// Takes an inode out, as it is.
    pub fn take(&mut self, ino: Ino) -> Option<Inode> {
        self.inodes.remove(&ino)
    }

    /// Puts an inode in, as it is.
    pub fn put(&mut self, ino: Ino, inode: Inode) {
        self.inodes.insert(ino, inode);
    }

    /// The numbers of all inodes.
    pub fn numbers(&self) -> Vec<Ino> {
        self.inodes.keys().copied().collect()
    }

    /// All inodes, ascending.
    pub fn inodes_mut(&mut self) -> impl Iterator<Item = (Ino, &mut Inode)> {
        self.inodes.iter_mut().map(|(ino, inode)| (*ino, inode))
    }

    /// The entry `name` of directory `dir`.
    pub fn lookup(&self, dir: Ino, name: &[u8]) -> Option<Ino> {
        self.get(dir)?.dir()?.get(name)
    }

    /// The entry of a directory.
    pub fn entry_of(&self, dir: Ino) -> Option<&Entry> {
        Some(&self.get(dir)?.dir()?.entry)
    }

    /// The entry `name` of directory `dir`, which is there and leads to no directory; it is kept as long as somebody has it.
    pub fn hold_entry(&mut self, dir: Ino, name: &[u8]) -> Option<Entry> {
        let above = self.entry_of(dir)?.clone();
        Some(self.entries.hold(dir, &above, name))
    }

    /// Puts an entry into a directory, which keeps count of its subdirectories.
    fn enter(&mut self, dir: Ino, name: &[u8], ino: Ino) {
        let is_dir = self.get(ino).is_some_and(Inode::is_dir);
        if let (Some(entry), Some(above)) = (self.entry_of(ino), self.entry_of(dir)) {
            entry.put(above, name);
        }
        if let Some(d) = self.get_mut(dir).and_then(Inode::dir_mut) {
            d.insert(name, ino);
            d.subdirectories += u32::from(is_dir);
        }
    }

    fn leave(&mut self, dir: Ino, name: &[u8]) -> Option<Ino> {
        let ino = self.get_mut(dir)?.dir_mut()?.remove(name)?;
        let is_dir = self.get(ino).is_some_and(Inode::is_dir);
        if let Some(d) = self.get_mut(dir).and_then(Inode::dir_mut) {
            d.subdirectories -= u32::from(is_dir);
        }
        Some(ino)
    }

    /// Records that a directory's entries changed.
    fn touch_dir(&mut self, dir: Ino, now: Time) {
        if let Some(inode) = self.get_mut(dir) {
            inode.meta.touch(now);
            inode.changed = true;
        }
    }

    /// Makes a file called `name` in `dir`, where there is none. ENOENT if `dir` was removed, ENOSPC if no inode is left.
    pub fn make(&mut self, dir: Ino, name: &[u8], mode: u32, body: Body, now: Time) -> Result<Ino, Errno> {
        let parent = self.get(dir).filter(|d| d.links > 0).ok_or(ENOENT)?;
        if self.made >= INODES_MAX || !self.has_room_for_name() {
            return Err(ENOSPC);
        }
        let mut meta = Meta::new(mode, now);
        if parent.meta.mode & S_ISGID != 0 {
            meta.gid = parent.meta.gid;
            if mode & S_IFMT == S_IFDIR {
                meta.mode |= S_ISGID;
            }
        }
        let ino = self.next;
        self.next += 1;
        self.made += 1;
        self.inodes.insert(ino, Inode { meta, links: 1, holds: 0, body, changed: true, made: true });
        self.enter(dir, name, ino);
        self.touch_dir(dir, now);
        Ok(ino)
    }

    /// Whether the heap holds one more name.
    pub fn has_room_for_name(&self) -> bool {
        self.room >= NAME_COST
    }

    /// Pages that files may still take.
    fn pages_left(&self) -> u64 {
        (FILE_PAGES - self.pages).min((self.room / PAGE_COST) as u64)
    }

    /// After a file had `before` pages and has `now`.
    fn count_pages(&mut self, before: u64, now: u64) {
        self.pages = self.pages - before + now;
        self.room = self.room.saturating_sub(now.saturating_sub(before) as usize * PAGE_COST);
    }

    /// A further name for `ino`. ENOENT if `dir` was removed, ENOSPC where the heap has no room for the name: no agreed limit bounds these.
    pub fn link(&mut self, ino: Ino, dir: Ino, name: &[u8], now: Time) -> Result<(), Errno> {
        self.get(dir).filter(|d| d.links > 0).ok_or(ENOENT)?;
        if !self.has_room_for_name() {
            return Err(ENOSPC);
        }
        let inode = self.get_mut(ino).filter(|i| i.links > 0).ok_or(ENOENT)?;
        inode.links += 1;
        inode.meta.ctime = now;
        inode.changed = true;
        self.enter(dir, name, ino);
        self.touch_dir(dir, now);
        Ok(())
    }

    /// Takes the name away; the inode goes when nothing holds it.
    pub fn unlink(&mut self, dir: Ino, name: &[u8], now: Time) {
        let Some(ino) = self.leave(dir, name) else { return };
        self.touch_dir(dir, now);
        self.entries.remove(dir, name);
        if let Some(inode) = self.get_mut(ino) {
            if let Some(d) = inode.dir() {
                d.entry.remove();
            }
            inode.links = inode.links.saturating_sub(1);
            inode.meta.ctime = now;
            inode.changed = true;
        }
        self.drop_unused(ino);
    }

    /// Moves an entry; what stands at the new place goes. The checks are done.
    pub fn rename(&mut self, from: (Ino, &[u8]), to: (Ino, &[u8]), now: Time) {
        self.unlink(to.0, to.1, now);
        let Some(ino) = self.leave(from.0, from.1) else { return };
        self.touch_dir(from.0, now);
        if let Some(inode) = self.get_mut(ino) {
            inode.meta.ctime = now;
            if let Some(d) = inode.dir_mut() {
                d.parent = to.0;
            }
        }
        self.enter(to.0, to.1, ino);
        if let Some(above) = self.entry_of(to.0).cloned() {
            self.entries.rename(from, to, &above);
        }
        self.touch_dir(to.0, now);
    }

    /// An open file description or a working directory holds `ino`.
    pub fn hold(&mut self, ino: Ino) {
        if let Some(inode) = self.get_mut(ino) {
            inode.holds += 1;
        }
    }

    /// The opposite of [`Tree::hold`].
    pub fn release(&mut self, ino: Ino) {
        if let Some(inode) = self.get_mut(ino) {
            inode.holds = inode.holds.saturating_sub(1);
            self.drop_unused(ino);
        }
    }

    fn drop_unused(&mut self, ino: Ino) {
        let Some(inode) = self.inodes.get(&ino).filter(|i| i.links == 0 && i.holds == 0) else { return };
        if let Body::Regular(content) = &inode.body {
            self.pages -= content.pages();
        }
        self.made -= u64::from(inode.made);
        self.inodes.remove(&ino);
    }

    /// Writes into a regular file, as many bytes as fit; sets its times.
    pub fn write(&mut self, ino: Ino, offset: u64, bytes: &[u8], now: Time) -> usize {
        let left = self.pages_left();
        let Some(inode) = self.inodes.get_mut(&ino) else { return 0 };
        let Body::Regular(content) = &mut inode.body else { return 0 };
        let before = content.pages();
        let done = content.write(offset, bytes, left);
        let after = content.pages();
        if done > 0 {
            inode.meta.touch(now);
            inode.changed = true;
        }
        self.count_pages(before, after);
        done
    }

    /// Sets a regular file's size and times.
    pub fn truncate(&mut self, ino: Ino, size: u64, now: Time) -> Result<(), Errno> {
        let left = self.pages_left();
        let inode = self.inodes.get_mut(&ino).ok_or(ENOENT)?;
        let Body::Regular(content) = &mut inode.body else { return Err(EINVAL) };
        let before = content.pages();
        if !content.truncate(size, left) {
            return Err(ENOSPC);
        }
        let after = content.pages();
        inode.meta.touch(now);
        inode.changed = true;
        self.count_pages(before, after);
        Ok(())
    }

    /// Whether `ancestor` is `dir` or lies above it.
    pub fn is_within(&self, dir: Ino, ancestor: Ino) -> bool {
        let mut at = dir;
        while at != ancestor {
            match self.get(at).and_then(Inode::dir) {
                Some(d) if at != ROOT => at = d.parent,
                _ => return false,
            }
        }
        true
    }
}
