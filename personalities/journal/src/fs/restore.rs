//! Files as a snapshot has them.

use super::{DIRECTORY, Files, Inode, Key, REGULAR, ROOT, SIZE_MAX, SYMLINK, TYPE, Value};
use crate::Map;
use crate::page::{PAGE, PAGE_SIZE, Page};
use crate::snapshot::begin::{INODES_END, Refused};
use crate::snapshot::parse::Changed;
use crate::space::Shot;
use abi::turn::{FILE_PAGES, INODES_MAX};
use alloc::rc::Rc;
use alloc::vec::Vec;

/// Refuses at record `at` unless all is as it must be.
pub fn check(at: u64, right: bool, why: &'static str) -> Result<(), Refused> {
    if right { Ok(()) } else { refuse(at, why) }
}

/// Refuses at record `at`.
pub fn refuse<T>(at: u64, why: &'static str) -> Result<T, Refused> {
    Err(Refused { record: at, why })
}

fn is_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && name.len() <= 255 && !name.contains(&b'/') && !name.contains(&0)
}

impl Files {
    /// Page `index` of a member as the root image has it, zeros behind its end; of other files zeros.
    pub fn original(&self, number: u64, index: u64, out: &mut [u8; PAGE_SIZE]) {
        out.fill(0);
        let Some((at, size)) = self.origin(number) else { return };
        let left = size.saturating_sub(index.saturating_mul(PAGE)).min(PAGE) as usize;
        if left > 0 {
            self.read_image(at + index * PAGE, &mut out[..left]);
        }
    }

    /// Where the image has the bytes of its member `number`, and how many; `None`: it has no such member.
    pub fn origin(&self, number: u64) -> Option<(u64, u64)> {
        self.origins.get(number.checked_sub(2)? as usize).copied()
    }

    /// What lies below the pages of a mapping of file `number` that goes to page `end`: a member as the image has it, another file as it is.
    pub fn shot_below(&self, number: u64, end: u64) -> Option<Shot> {
        let mut shot = match self.origin(number) {
            Some((base, size)) => self.image_shot(base, size).ok()?,
            None => self.shot(number).unwrap_or(Shot { pages: Map::new(), base: None, size: 0 }),
        };
        shot.size = shot.size.max(end.saturating_mul(PAGE));
        Some(shot)
    }

    /// Takes the files of a snapshot over those of the image. `next`: the next inode's number.
    pub fn restore(&mut self, changed: &[Changed<'_>], next: u64) -> Result<(), Refused> {
        let members = self.next;
        check(0, (members..INODES_END).contains(&next), "a next inode number that cannot be")?;
        self.next = next;
        let mut last = 0;
        for c in changed {
            check(c.at, c.inode.number > last && c.inode.number < next, "a file out of order")?;
            last = c.inode.number;
            self.restore_one(c, members)?;
        }
        check(0, self.made <= INODES_MAX && self.pages <= FILE_PAGES, "more files than there can be")?;
        self.check_tree(changed)
    }

    fn restore_one(&mut self, c: &Changed<'_>, members: u64) -> Result<(), Refused> {
        let (i, number) = (&c.inode, c.inode.number);
        let kind = i.mode & TYPE;
        let known = [DIRECTORY, REGULAR, SYMLINK, super::FIFO, super::CHARACTER, 0o060000, 0o140000];
        check(c.at, known.contains(&kind) && i.mode >> 16 == 0, "a file of no type")?;
        let old = self.inode(number).cloned();
        check(c.at, (number < members) == old.is_some(), "a file that the image has not")?;
        check(
            c.at,
            old.as_ref().is_none_or(|o| o.mode & TYPE == kind),
            "a file of another type than the image's",
        )?;
        let origin = self.origin(number).filter(|_| i.from_image);
        let whole = kind == REGULAR && origin.is_some_and(|o| o.1 == i.size);
        check(c.at, i.from_image == whole, "a file that is not the image's")?;
        check(c.at, kind == DIRECTORY || c.entries.is_empty(), "entries of no directory")?;
        check(c.at, kind == REGULAR && !whole || c.pages.is_empty(), "pages of no file")?;
        let target = (kind == SYMLINK).then(|| Rc::from(i.target));
        let size = match kind {
            DIRECTORY => 4096,
            REGULAR => i.size,
            SYMLINK => i.target.len() as u64,
            _ => 0,
        };
        check(
            c.at,
            size == i.size && size <= SIZE_MAX && i.target.len() < 4096,
            "a file of a size that cannot be",
        )?;
        check(c.at, i.target.is_empty() || kind == SYMLINK, "a target of no link")?;
        let mut new = super::blank(i.mode, 0);
        (new.uid, new.gid, new.links, new.size, new.rdev) = (i.uid, i.gid, i.links, size, i.device);
        new.times = [i.accessed_ns, i.modified_ns, i.changed_ns];
        (new.target, new.base, new.pages) = (target, origin.map(|o| o.0), c.pages.len() as u64);
        (new.sequence, new.parent, new.made, new.dated) = (i.next_sequence, i.parent, old.is_none(), true);
        new.touched = old.is_none_or(|o| self.differs(&o, &new, c));
        self.made += u64::from(new.made);
        self.pages += new.pages;
        self.set(number, new);
        if kind == DIRECTORY {
            self.restore_entries(c)?;
        }
        self.restore_pages(c)
    }

    /// Whether more than its times differs from the image's member.
    fn differs(&self, old: &Inode, new: &Inode, c: &Changed<'_>) -> bool {
        let rdev = |i: &Inode| if matches!(i.mode & TYPE, super::CHARACTER | 0o060000) { i.rdev } else { 0 };
        let plain =
            |i: &Inode| (i.mode, i.uid, i.gid, i.links, i.size, rdev(i), i.base, i.sequence, i.parent);
        let entries = self.entries(c.inode.number, 0);
        let same = entries.len() == c.entries.len()
            && entries
                .iter()
                .zip(&c.entries)
                .all(|(a, b)| (a.0, &*a.1, a.2) == (b.sequence, b.name, b.inode));
        plain(old) != plain(new) || old.target != new.target || !same
    }

    fn restore_entries(&mut self, c: &Changed<'_>) -> Result<(), Refused> {
        let dir = c.inode.number;
        for (_, name, _) in self.entries(dir, 0) {
            self.leave(dir, &name);
        }
        let mut least = 0;
        for e in &c.entries {
            let fits = e.sequence >= least && e.sequence < c.inode.next_sequence && e.sequence < 1 << 40;
            check(c.at, fits && is_name(e.name), "an entry that cannot be")?;
            check(c.at, self.lookup(dir, e.name).is_none(), "a name twice in a directory")?;
            least = e.sequence + 1;
            let name: Rc<[u8]> = e.name.into();
            self.store.put(Key::Entry(dir, e.sequence), Value::Entry(name.clone(), e.inode));
            self.store.put(Key::Name(dir, name), Value::Slot(e.sequence));
        }
        check(c.at, c.inode.next_sequence < 1 << 40, "a sequence number that cannot be")
    }

    fn restore_pages(&mut self, c: &Changed<'_>) -> Result<(), Refused> {
        let mut least = 0;
        for p in &c.pages {
            let fits = p.at >= least && p.at < c.inode.size.div_ceil(PAGE) && p.bytes.len() <= PAGE_SIZE;
            check(c.at, fits, "a page that its file has not")?;
            least = p.at + 1;
            let Some(frame) = self.pool.frame() else {
                return refuse(c.at, "there are too few frames");
            };
            frame.write(0, p.bytes);
            self.store.put(Key::Page(c.inode.number, p.at), Value::Page(Page::Own(frame)));
        }
        Ok(())
    }

    /// Names lead to files, each directory has one, and the counts of names are right. What of the image has no name any more goes.
    fn check_tree(&mut self, changed: &[Changed<'_>]) -> Result<(), Refused> {
        let mut named: Map<u64, u32> = Map::new();
        named.insert_mut(ROOT, 2);
        let mut open = alloc::vec![ROOT];
        while let Some(dir) = open.pop() {
            for (_, _, number) in self.entries(dir, 0) {
                let Some(i) = self.inode(number) else { return refuse(0, "a name of no file") };
                let count = named.get(&number).copied().unwrap_or(0);
                if i.mode & TYPE == DIRECTORY {
                    check(0, count == 0 && i.parent == dir, "a directory with two places")?;
                    named.insert_mut(number, 2);
                    named.insert_mut(dir, named.get(&dir).copied().unwrap_or(0) + 1);
                    open.push(number);
                } else {
                    named.insert_mut(number, count + 1);
                }
            }
        }
        check(0, self.inode(ROOT).is_some_and(|i| i.parent == ROOT), "the root lies in another directory")?;
        let all: Vec<(u64, u32, bool)> =
            self.all().map(|(n, i)| (n, i.links, i.mode & TYPE == DIRECTORY)).collect();
        for (number, links, directory) in all {
            let names = named.get(&number).copied().unwrap_or(0);
            let listed = changed.binary_search_by_key(&number, |c| c.inode.number);
            match listed {
                Err(_) if names == 0 => {
                    for (_, name, _) in self.entries(number, 0) {
                        self.leave(number, &name);
                    }
                    self.store.remove(&Key::Inode(number));
                }
                _ => {
                    let at = listed.ok().and_then(|i| changed.get(i)).map_or(0, |c| c.at);
                    check(at, names == links, "a file with more or fewer names than it says")?;
                    let gone = directory && names == 0;
                    check(
                        at,
                        !gone || self.is_empty(number) && self.leads_home(number),
                        "a removed directory that cannot be",
                    )?;
                }
            }
        }
        Ok(())
    }

    /// Whether the way up from a removed directory ends.
    fn leads_home(&self, mut dir: u64) -> bool {
        for _ in 0..=INODES_MAX {
            match self.inode(dir) {
                Some(i) if i.links == 0 && i.parent != 0 && i.parent != dir => dir = i.parent,
                Some(i) => return i.mode & TYPE == DIRECTORY,
                None => return true,
            }
        }
        false
    }
}
