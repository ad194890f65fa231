//! The files of a snapshot's writable layer, over the root image.

use super::read::{LARGEST, Reader, Refused};
use crate::files::content::{Content, Piece};
use crate::files::names::Entry;
use crate::files::{
    Body, Directory, Inode, NAME_MAX, ROOT, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, SIZE_MAX, Time,
};
use crate::hw::{Frame, Hardware, PAGE};
use crate::kernel::Kernel;
use abi::snapshot::{self as record, Page, Record};
use abi::turn::{FILE_PAGES, INODES_MAX};
use alloc::collections::{BTreeMap, BTreeSet};

impl<H: Hardware> Kernel<H> {
    pub(super) fn read_layer(&mut self, r: &mut Reader<'_>) -> Result<(), Refused> {
        let (mut last, mut listed) = (0, BTreeSet::new());
        while let Some(i) = r.take(|r| if let Record::Inode(i) = r { Some(i) } else { None })? {
            r.check(i.number > last && i.number < self.files.next, "inodes that do not ascend")?;
            last = i.number;
            let body = self.read_body(r, &i)?;
            self.put_inode(r, &i, body)?;
            listed.insert(i.number);
        }
        self.drop_unnamed(r, &listed)?;
        self.check_links(r)
    }

    fn read_body(&mut self, r: &mut Reader<'_>, i: &record::Inode<'_>) -> Result<Body, Refused> {
        let kind = i.mode & S_IFMT;
        r.check(i.from_image <= (kind == S_IFREG), "only regular files have the image's bytes")?;
        let directory = kind == S_IFDIR;
        r.check(directory || i.next_sequence == 0 && i.parent == 0, "only directories have entries")?;
        r.check(kind == S_IFLNK || i.target.is_empty(), "only links have targets")?;
        match kind {
            S_IFREG if i.from_image => {
                let member = self.files.member(i.number).filter(|m| m.size == i.size);
                member.map(Body::File).ok_or(r.refuse("a file that the image does not have"))
            }
            S_IFREG => Ok(Body::File(self.read_content(r, i.size)?)),
            S_IFDIR => {
                r.check(i.size == 4096 && i.next_sequence < LARGEST, "a directory that is none")?;
                self.read_directory(r, i).map(Body::Directory)
            }
            S_IFLNK => {
                let length = i.target.len();
                r.check((1..PAGE).contains(&length) && i.size == length as u64, "a link that is none")?;
                Ok(Body::Link(i.target.to_vec()))
            }
            S_IFIFO => Ok(Body::Fifo(None)),
            _ => Ok(Body::Device(i.device)),
        }
    }

    fn read_content(&mut self, r: &mut Reader<'_>, size: u64) -> Result<Content, Refused> {
        r.check(size <= SIZE_MAX, "a file that is too large")?;
        let mut content = Content::default();
        content.size = size;
        let mut least = 0;
        while let Some(page) = r.take(|r| if let Record::FilePage(p) = r { Some(p) } else { None })? {
            r.check(page.at >= least && page.at < size.div_ceil(PAGE as u64), "pages that do not ascend")?;
            least = page.at + 1;
            r.check(
                page.bytes.len() as u64 <= size - page.at * PAGE as u64,
                "bytes beyond the end of the file",
            )?;
            self.files.pages += 1;
            r.check(self.files.pages <= FILE_PAGES, "more pages than files may have")?;
            let frame = self.frame_of(r, &page)?;
            content.tree.set(page.at, Piece::Page(frame));
            content.pages += 1;
        }
        Ok(content)
    }

    /// A page of this kernel's with these bytes.
    pub(super) fn frame_of(&mut self, r: &Reader<'_>, page: &Page<'_>) -> Result<Frame, Refused> {
        r.check(page.bytes.len() <= PAGE && page.bytes.last() != Some(&0), "a page that is none")?;
        let frame = self.memory.physical.allocate().ok_or(r.refuse("no page is left for it"))?;
        self.memory.physical.write(frame, 0, page.bytes);
        Ok(frame)
    }

    fn read_directory(&mut self, r: &mut Reader<'_>, i: &record::Inode<'_>) -> Result<Directory, Refused> {
        let mut d = Directory::below(i.parent);
        if i.number == ROOT {
            d.entry = Entry::alone(b"/");
        }
        while let Some(e) = r.take(|r| if let Record::Entry(e) = r { Some(e) } else { None })? {
            r.check(e.sequence >= d.next && e.sequence < i.next_sequence, "entries that do not ascend")?;
            let right = !e.name.is_empty() && e.name.len() <= NAME_MAX && !matches!(e.name, b"." | b"..");
            let new = right && !e.name.iter().any(|b| matches!(b, 0 | b'/')) && d.find(e.name).is_none();
            r.check(new, "a name that is none, or is there already")?;
            r.check((2..self.files.next).contains(&e.inode), "an inode that was never made")?;
            d.next = e.sequence;
            d.add(e.name, e.inode);
        }
        d.next = i.next_sequence;
        Ok(d)
    }

    fn put_inode(&mut self, r: &Reader<'_>, i: &record::Inode<'_>, body: Body) -> Result<(), Refused> {
        let made = i.number >= self.files.first;
        let before = self.files.inodes.get(&i.number);
        r.check(made == before.is_none(), "an inode that the image should have")?;
        r.check(before.is_none_or(|b| b.mode & S_IFMT == i.mode & S_IFMT), "not what the image has there")?;
        let written = made || matches!(body, Body::File(_)) && !i.from_image;
        // What differs in nothing but times does not count as changed.
        let changed = written || before.is_none_or(|b| !alike(b, i, &body));
        self.files.made += u64::from(made);
        r.check(self.files.made <= INODES_MAX, "more files than there can be")?;
        let times = [i.accessed_ns, i.modified_ns, i.changed_ns].map(time);
        let inode = Inode::new(i.mode, [i.uid, i.gid], times, body);
        let inode = Inode { nlink: i.links, changed, touched: !changed, written, made, ..inode };
        self.files.inodes.insert(i.number, inode);
        Ok(())
    }

    /// Members of the image that have lost their names are gone; what the snapshot lists is held by something.
    fn drop_unnamed(&mut self, r: &Reader<'_>, listed: &BTreeSet<u64>) -> Result<(), Refused> {
        let (mut named, mut todo) = (BTreeSet::from([ROOT]), alloc::vec![ROOT]);
        while let Some(at) = todo.pop() {
            let Ok(d) = self.files.directory(at) else { continue };
            for (name, inode) in d.entries.values() {
                r.check(self.files.inodes.contains_key(inode), "an entry that leads nowhere")?;
                let new = named.insert(*inode);
                let directory = self.files.directory(*inode).is_ok_and(|d| d.parent == at);
                r.check(
                    new && directory || self.files.directory(*inode).is_err(),
                    "a directory of two names",
                )?;
                if directory {
                    self.files.place_directory(at, name, *inode);
                    todo.push(*inode);
                }
            }
        }
        self.files.inodes.retain(|number, _| named.contains(number) || listed.contains(number));
        Ok(())
    }

    fn check_links(&self, r: &Reader<'_>) -> Result<(), Refused> {
        let mut links: BTreeMap<u64, u32> = BTreeMap::new();
        for (at, i) in &self.files.inodes {
            let Body::Directory(d) = &i.body else { continue };
            r.check(i.nlink > 0 || d.entries.is_empty(), "a removed directory that is not empty")?;
            for (_, inode) in d.entries.values() {
                let directory = self.files.directory(*inode).is_ok();
                *links.entry(if directory { *at } else { *inode }).or_default() += 1;
            }
        }
        for (number, i) in &self.files.inodes {
            let counted = links.get(number).copied().unwrap_or(0);
            let right = match i.body {
                Body::Directory(_) => i.nlink == 0 || i.nlink == 2 + counted,
                _ => i.nlink == counted,
            };
            r.check(right, "a count of links that is wrong")?;
        }
        Ok(())
    }
}

/// Whether a member of the image is as it was but for its times.
fn alike(was: &Inode, is: &record::Inode<'_>, body: &Body) -> bool {
    let same_body = match (&was.body, body) {
        (Body::Directory(a), Body::Directory(b)) => {
            (a.parent, a.next, &a.entries) == (b.parent, b.next, &b.entries)
        }
        (Body::Link(a), Body::Link(b)) => a == b,
        (Body::Device(a), Body::Device(b)) => a == b,
        _ => true,
    };
    (was.mode, was.uid, was.gid, was.nlink) == (is.mode, is.uid, is.gid, is.links) && same_body
}

fn time(ns: i64) -> Time {
    const SECOND: i64 = 1_000_000_000;
    Time(ns.div_euclid(SECOND), ns.rem_euclid(SECOND) as u32)
}
