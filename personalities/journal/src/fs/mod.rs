//! The file server: inodes, names and pages are records of one log ([`Store`]); what stands in the index is what is. The image's members are its
//! first records; their bytes stay where they lie until a change copies them up.

pub mod device;
pub mod names;
pub mod node;
pub mod opened;
pub mod path;
pub mod restore;
pub mod snapshot;
pub mod texts;

use crate::cpio::{self, Broken};
use crate::errno::*;
use crate::page::{PAGE, PAGE_SIZE, Page, Pool};
use crate::store::Store;
use abi::turn::{FILE_PAGES, INODES_MAX};
use alloc::rc::Rc;
use alloc::vec::Vec;

/// Type bits of a mode.
pub const TYPE: u32 = 0o170000;
/// Directory.
pub const DIRECTORY: u32 = 0o040000;
/// Regular file.
pub const REGULAR: u32 = 0o100000;
/// Symbolic link.
pub const SYMLINK: u32 = 0o120000;
/// FIFO.
pub const FIFO: u32 = 0o010000;
/// Character device.
pub const CHARACTER: u32 = 0o020000;
/// The root directory.
pub const ROOT: u64 = 1;
/// Greatest size of a file, bytes.
pub const SIZE_MAX: u64 = 1 << 40;

/// Metadata of a file.
#[derive(Clone, Debug)]
pub struct Inode {
    /// Type and permissions.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Names; of a directory 2 and its subdirectories.
    pub links: u32,
    /// Bytes.
    pub size: u64,
    /// Of a device.
    pub rdev: u64,
    /// Access, modification, change; nanoseconds since 1970.
    pub times: [i64; 3],
    /// Of a symbolic link.
    pub target: Option<Rc<[u8]>>,
    /// Where the image has its bytes, while it was not changed.
    pub base: Option<u64>,
    /// Was made or changed.
    pub touched: bool,
    /// Its times were set.
    pub dated: bool,
    /// Was made.
    pub made: bool,
    /// Of a directory: the next entry's sequence number.
    pub sequence: u64,
    /// Of a directory: the one above.
    pub parent: u64,
    /// Open file descriptions and working directories.
    pub held: u32,
    /// Pages that are counted for it.
    pub pages: u64,
}

/// What a record is about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Metadata of an inode.
    Inode(u64),
    /// Entry number `.1` of directory `.0`.
    Entry(u64, u64),
    /// Which entry of a directory has this name.
    Name(u64, Rc<[u8]>),
    /// Page `.1` of file `.0`.
    Page(u64, u64),
}

/// Its newest version.
#[derive(Clone)]
pub enum Value {
    /// Metadata.
    Inode(Inode),
    /// Name and inode.
    Entry(Rc<[u8]>, u64),
    /// Sequence number of the entry.
    Slot(u64),
    /// Bytes.
    Page(Page),
}

/// The file system.
#[derive(Clone)]
pub struct Files {
    store: Store<Key, Value>,
    /// The next inode's number.
    pub next: u64,
    made: u64,
    pages: u64,
    image: u32,
    /// Of the image's members from inode 2 on: where their bytes are, and how many.
    origins: Rc<[(u64, u64)]>,
    names: opened::Names,
    pool: Rc<Pool>,
}

impl Files {
    /// Of the archive in the pages from `image` on, `size` bytes long; what the image does not say happened at `boot_ns`.
    pub fn new(pool: Rc<Pool>, image: u32, size: u64, boot_ns: i64) -> core::result::Result<Files, Broken> {
        let (store, origins, names) = (Store::default(), Rc::from([]), opened::Names::default());
        let mut files = Files { store, next: 2, made: 0, pages: 0, image, origins, names, pool };
        let members = cpio::members(size, &|at, out| files.read_image(at, out))?;
        let named = members.iter().filter(|m| !m.path.is_empty());
        files.origins = named.map(|m| (m.at, m.size)).collect();
        let mut root = blank(DIRECTORY | 0o755, boot_ns);
        (root.links, root.parent, root.size) = (2, ROOT, 4096);
        files.set(ROOT, root);
        for m in members {
            let mut inode = blank(m.mode, m.mtime as i64 * 1_000_000_000);
            (inode.uid, inode.gid, inode.rdev, inode.size) = (m.uid, m.gid, m.rdev, m.size);
            if m.path.is_empty() {
                (inode.links, inode.parent, inode.size) =
                    (files.inode(ROOT).map_or(2, |r| r.links), ROOT, 4096);
                inode.sequence = files.inode(ROOT).map_or(0, |r| r.sequence);
                files.set(ROOT, inode);
                continue;
            }
            match m.mode & TYPE {
                REGULAR => inode.base = Some(m.at),
                SYMLINK => {
                    let mut target = alloc::vec![0; m.size.min(4096) as usize];
                    files.read_image(m.at, &mut target);
                    inode.target = Some(target.into());
                }
                _ => {}
            }
            let number = files.next;
            files.next += 1;
            let (above, name) = match m.path.iter().rposition(|&b| b == b'/') {
                Some(i) => (&m.path[..i], &m.path[i + 1..]),
                None => (&[][..], &m.path[..]),
            };
            let Some(parent) = files.plain_walk(above) else { return Err(Broken(m.at)) };
            if m.mode & TYPE == DIRECTORY {
                (inode.links, inode.parent, inode.size) = (2, parent, 4096);
                files.change(parent, |p| p.links += 1);
            }
            files.set(number, inode);
            files.enter(parent, name, number);
        }
        Ok(files)
    }

    fn plain_walk(&self, path: &[u8]) -> Option<u64> {
        path.split(|&b| b == b'/')
            .filter(|p| !p.is_empty())
            .try_fold(ROOT, |dir, name| self.lookup(dir, name))
    }

    pub(super) fn read_image(&self, at: u64, out: &mut [u8]) {
        let (mut at, mut rest) = (at, out);
        while !rest.is_empty() {
            let inside = (at % PAGE) as usize;
            let n = rest.len().min(PAGE_SIZE - inside);
            let (now, later) = rest.split_at_mut(n);
            self.pool.read(&Page::Image(self.image + (at / PAGE) as u32), inside, now);
            at += n as u64;
            rest = later;
        }
    }

    /// Metadata of `inode`.
    pub fn inode(&self, inode: u64) -> Option<&Inode> {
        match self.store.get(&Key::Inode(inode)) {
            Some(Value::Inode(i)) => Some(i),
            _ => None,
        }
    }

    /// A new version of the metadata.
    pub fn set(&mut self, number: u64, inode: Inode) {
        self.store.put(Key::Inode(number), Value::Inode(inode));
    }

    /// The same, from the old one; in its place, if nobody else holds that.
    pub fn change(&mut self, number: u64, change: impl FnOnce(&mut Inode)) {
        if let Some(Value::Inode(inode)) = self.store.sole(&Key::Inode(number)) {
            change(inode);
        } else if let Some(mut inode) = self.inode(number).cloned() {
            change(&mut inode);
            self.set(number, inode);
        }
    }

    /// Pages that are left.
    pub fn pages_left(&self) -> u64 {
        FILE_PAGES - self.pages
    }

    /// Inodes that are left.
    pub fn inodes_left(&self) -> u64 {
        INODES_MAX - self.made
    }

    /// Makes an inode without a name.
    pub fn make(&mut self, mode: u32, now: i64) -> Result<u64> {
        if self.made >= INODES_MAX {
            return Err(ENOSPC);
        }
        let number = self.next;
        self.next += 1;
        self.made += 1;
        let mut inode = blank(mode, now);
        (inode.touched, inode.made) = (true, true);
        if mode & TYPE == DIRECTORY {
            inode.size = 4096;
        }
        self.set(number, inode);
        Ok(number)
    }

    /// Somebody holds the file open, or no more.
    pub fn hold(&mut self, number: u64) {
        self.change(number, |i| i.held += 1);
    }

    /// The opposite; a file without name goes with its last holder.
    pub fn release(&mut self, number: u64) {
        self.change(number, |i| i.held = i.held.saturating_sub(1));
        self.reap(number);
    }

    /// Removes what has neither name nor holder.
    pub fn reap(&mut self, number: u64) {
        let Some(i) = self.inode(number) else { return };
        if i.links > 0 || i.held > 0 {
            return;
        }
        let made = i.made;
        self.cut(number, 0);
        self.made -= u64::from(made);
        self.store.remove(&Key::Inode(number));
    }

    fn cut(&mut self, number: u64, from: u64) {
        let gone: Vec<Key> = self
            .store
            .range(&Key::Page(number, from), &Key::Page(number, u64::MAX))
            .map(|(k, _)| k.clone())
            .collect();
        for key in &gone {
            self.store.remove(key);
        }
        self.pages -= gone.len() as u64;
        self.change(number, |i| i.pages -= gone.len() as u64);
    }

    fn page(&self, number: u64, index: u64) -> Option<&Page> {
        match self.store.get(&Key::Page(number, index)) {
            Some(Value::Page(p)) => Some(p),
            _ => None,
        }
    }

    /// Pages counted for a file: their numbers and bytes' pages, in order.
    pub fn counted(&self, number: u64) -> impl Iterator<Item = (u64, &Page)> + '_ {
        self.store.range(&Key::Page(number, 0), &Key::Page(number, u64::MAX)).filter_map(|(k, v)| {
            match (k, v) {
                (Key::Page(_, index), Value::Page(p)) => Some((*index, p)),
                _ => None,
            }
        })
    }

    /// Copies out; how many bytes there were.
    pub fn read(&self, number: u64, offset: u64, out: &mut [u8]) -> usize {
        let Some(inode) = self.inode(number) else { return 0 };
        let n = inode.size.saturating_sub(offset).min(out.len() as u64) as usize;
        if n == 0 {
            return 0;
        }
        if let Some(base) = inode.base {
            self.read_image(base + offset, &mut out[..n]);
            return n;
        }
        let (mut at, mut rest) = (offset, &mut out[..n]);
        while !rest.is_empty() {
            let inside = (at % PAGE) as usize;
            let step = rest.len().min(PAGE_SIZE - inside);
            let (now, later) = rest.split_at_mut(step);
            match self.page(number, at / PAGE) {
                Some(p) => self.pool.read(p, inside, now),
                None => now.fill(0),
            }
            at += step as u64;
            rest = later;
        }
        n
    }

    /// Writes what fits.
    pub fn write(&mut self, number: u64, offset: u64, data: &[u8], now: i64) -> Result<usize> {
        if data.is_empty() {
            return Ok(0);
        }
        if offset >= SIZE_MAX {
            return Err(EFBIG);
        }
        let data = &data[..data.len().min((SIZE_MAX - offset) as usize)];
        self.copy_up(number, u64::MAX)?;
        let (mut at, mut rest, mut fresh) = (offset, data, 0);
        while !rest.is_empty() {
            let inside = (at % PAGE) as usize;
            let (part, later) = rest.split_at(rest.len().min(PAGE_SIZE - inside));
            if self.write_in_place(number, at, part) {
                (at, rest) = (at + part.len() as u64, later);
                continue;
            }
            let old = self.page(number, at / PAGE).cloned();
            if old.is_none() && (self.pages_left() == 0 || self.pool.is_tight()) {
                break;
            }
            let frame = match &old {
                Some(p) => self.pool.copy(p),
                None => self.pool.frame(),
            };
            let Some(frame) = frame else { break };
            frame.write(inside, part);
            if old.is_none() {
                self.pages += 1;
                fresh += 1;
            }
            self.store.put(Key::Page(number, at / PAGE), Value::Page(Page::Own(frame)));
            at += part.len() as u64;
            rest = later;
        }
        if at == offset {
            return Err(ENOSPC);
        }
        self.change(number, |i| {
            i.pages += fresh;
            i.size = i.size.max(at);
            (i.times[1], i.times[2], i.touched) = (now, now, true);
        });
        Ok((at - offset) as usize)
    }

    /// Sets the size.
    pub fn truncate(&mut self, number: u64, size: u64, now: i64) -> Result<()> {
        if size > SIZE_MAX {
            return Err(EFBIG);
        }
        self.copy_up(number, size)?;
        self.cut(number, size.div_ceil(PAGE));
        if !size.is_multiple_of(PAGE)
            && let Some(page) = self.page(number, size / PAGE).cloned()
            && let Some(frame) = self.pool.copy(&page)
        {
            let inside = (size % PAGE) as usize;
            frame.write(inside, &[0; PAGE_SIZE][inside..]);
            self.store.put(Key::Page(number, size / PAGE), Value::Page(Page::Own(frame)));
        }
        self.change(number, |i| {
            i.size = size;
            (i.times[1], i.times[2], i.touched) = (now, now, true);
        });
        Ok(())
    }
}

fn blank(mode: u32, ns: i64) -> Inode {
    Inode {
        mode,
        uid: 0,
        gid: 0,
        links: 1,
        size: 0,
        rdev: 0,
        times: [ns; 3],
        target: None,
        base: None,
        touched: false,
        dated: false,
        made: false,
        sequence: 0,
        parent: 0,
        held: 0,
        pages: 0,
    }
}
