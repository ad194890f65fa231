//! The file server as a snapshot has it (`docs/snapshot.md`). Nothing of it is believed: what contradicts itself or the image is refused.

use super::data::Data;
use super::flags::{O_ACCMODE, O_PATH};
use super::node::*;
use super::table::{Descriptor, Handle, Table};
use super::walk::NAME_MAX;
use super::{Dentry, Device, Files, Target, Told, What};
use crate::memory::Source;
use crate::page::{Grant, PAGE, SIZE};
use crate::pipes::{PipeId, Pipes};
use crate::post::Post;
use crate::snapshot::read::{InodePart, OpenPart, PipePart, ProcessPart};
use crate::snapshot::{NUMBERS, Read, Wrong, check};
use abi::snapshot::State;
use abi::turn::{FDS_MAX, FILE_PAGES, INODES_MAX, OPEN_FILES_MAX, PIPE_CAPACITY, PIPES_MAX};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::rc::Rc;
use alloc::vec::Vec;

impl Files {
    /// The writable layer, over the image's nodes; the next file made is number `next`.
    pub fn restore_layer(&mut self, next: NodeId, parts: &[InodePart<'_>]) -> Read {
        check((self.first_made..DEV).contains(&next), 0, "a number for the next file that is taken")?;
        self.next_node = next;
        let mut last = 0;
        for part in parts {
            let number = part.inode.number;
            let there = number >= self.first_made || self.nodes.contains_key(&number);
            check(number > last && number < next && there, part.record, "a file's number that cannot be")?;
            last = number;
            let mut node = self.read_node(part)?;
            node.changed = self.nodes.get(&number).is_none_or(|old| !is_same_but_times(old, &node));
            if let Body::File(data) = &node.body {
                self.pages += data.counted();
            }
            self.made += u64::from(number >= self.first_made);
            self.nodes.insert(number, node);
        }
        check(self.pages <= FILE_PAGES && self.made <= INODES_MAX, 0, "more files than can be")?;
        let layer: BTreeMap<NodeId, u64> = parts.iter().map(|p| (p.inode.number, p.record)).collect();
        self.relink(&layer)
    }

    fn read_node(&self, part: &InodePart<'_>) -> Read<Node> {
        let i = &part.inode;
        let good = |good, what| check(good, part.record, what);
        let kind = i.mode & S_IFMT;
        good(part.entries.is_empty() || kind == S_IFDIR, "entries of what is no directory")?;
        good(part.pages.is_empty() || kind == S_IFREG && !i.from_image, "pages of what has none")?;
        let body = match kind {
            S_IFREG if i.from_image => {
                let bytes = self.image_bytes(i.number).filter(|b| b.len() as u64 == i.size);
                let what = "a file of the image that is none";
                Body::File(Data::of_image(bytes.ok_or(Wrong { record: part.record, what })?))
            }
            S_IFREG => Body::File(read_data(part)?),
            S_IFDIR => Body::Directory(read_directory(part)?),
            S_IFLNK => Body::Link(i.target.to_vec()),
            S_IFIFO => Body::Fifo(None),
            S_IFCHR | S_IFBLK => Body::Device(i.device),
            S_IFSOCK => Body::Socket,
            _ => return Err(Wrong { record: part.record, what: "a file of no kind" }),
        };
        let times = [i.accessed_ns, i.modified_ns, i.changed_ns].map(Stamp::from_ns);
        // What the image always has is held for ever.
        let holds = u32::from(i.number == ROOT);
        good(i.number != ROOT || kind == S_IFDIR, "a root that is no directory")?;
        let (mode, uid, gid, links) = (i.mode, i.uid, i.gid, i.links);
        Ok(Node { mode, uid, gid, links, times, body, changed: true, holds })
    }

    /// Counts each node's names, makes the directories' dentries, and finds which of the image's have gone. `layer`: the records of those that were made or changed.
    fn relink(&mut self, layer: &BTreeMap<NodeId, u64>) -> Read {
        let record = |id: &NodeId| layer.get(id).copied().unwrap_or(0);
        let mut names: BTreeMap<NodeId, u32> = BTreeMap::new();
        let mut todo = alloc::vec![ROOT];
        self.set_dentry(ROOT, Dentry::root());
        let mut inside: BTreeMap<NodeId, u32> = BTreeMap::new();
        while let Some(id) = todo.pop() {
            let Ok(directory) = self.directory(id) else { continue };
            inside.insert(id, 0);
            let mut below = Vec::new();
            for (name, node) in directory.entries.values() {
                let known = self.nodes.get(node);
                let what = "an entry of a file that is not there";
                let known = known.ok_or(Wrong { record: record(&id), what })?;
                let count = names.entry(*node).or_default();
                *count += 1;
                if let Body::Directory(d) = &known.body {
                    let once = *count == 1 && d.parent == id && *node != ROOT;
                    check(once, record(&id), "a directory that is in two places")?;
                    inside.entry(id).and_modify(|n| *n += 1);
                    below.push((name.clone(), *node));
                }
            }
            let above = directory.dentry.clone();
            for (name, node) in below {
                let dentry = Dentry::new(above.clone(), &name);
                self.directory_mut(id).into_iter().for_each(|d| d.set_dentry(&name, &dentry));
                self.set_dentry(node, dentry);
                todo.push(node);
            }
        }
        self.nodes.retain(|id, _| *id == ROOT || names.contains_key(id) || layer.contains_key(id));
        for (id, node) in &mut self.nodes {
            let found = names.remove(id).unwrap_or(0);
            let links = match (&node.body, inside.get(id)) {
                (Body::Directory(d), None) if !d.entries.is_empty() => u32::MAX,
                (Body::Directory(_), None) => 0,
                (Body::Directory(_), Some(n)) => 2 + n,
                _ => found,
            };
            check(links == node.links, record(id), "a number of links that is not right")?;
        }
        layer.iter().try_for_each(|(id, at)| check(self.leads_up(*id), *at, "a directory above itself"))
    }

    fn set_dentry(&mut self, directory: NodeId, dentry: Rc<Dentry>) {
        if let Ok(d) = self.directory_mut(directory) {
            d.dentry = dentry;
        }
    }

    /// Whether the way up from a directory ends.
    fn leads_up(&self, mut id: NodeId) -> bool {
        let mut seen = BTreeSet::new();
        while let Ok(d) = self.directory(id) {
            if id == ROOT {
                return true;
            }
            if !seen.insert(id) {
                return false;
            }
            id = d.parent;
        }
        true
    }

    /// The pipes, without ends yet, by whether they are FIFOs' and number.
    pub fn restore_pipes(
        &mut self,
        parts: &[PipePart],
        pipes: &mut Pipes,
    ) -> Read<BTreeMap<(bool, u64), PipeId>> {
        let mut all = BTreeMap::new();
        for part in parts {
            let key = (part.pipe.fifo, part.pipe.number);
            let ascends = all.last_key_value().is_none_or(|(k, _)| *k < key);
            check(ascends && all.len() < PIPES_MAX, part.record, "a pipe out of order")?;
            check(part.data.len() <= PIPE_CAPACITY, part.record, "more in a pipe than goes in")?;
            check(part.pipe.made_us < NUMBERS, part.record, "a pipe that was made at no time")?;
            let made = Stamp::from_us(part.pipe.made_us);
            let number = (!part.pipe.fifo).then_some(part.pipe.number);
            check(number != Some(0), part.record, "a pipe without a number")?;
            let id = pipes.restore(number, made, &part.data);
            if let Some(slot) = self.fifo(key.1).filter(|_| part.pipe.fifo) {
                *slot = Some(id);
            }
            all.insert(key, id);
        }
        Ok(all)
    }

    /// The open file descriptions; the pipes get their ends.
    pub fn restore_handles(
        &mut self,
        parts: &[OpenPart<'_>],
        known: &BTreeMap<(bool, u64), PipeId>,
        pipes: &mut Pipes,
        told: &mut Told,
    ) -> Read {
        check(parts.len() <= OPEN_FILES_MAX, 0, "more open files than can be")?;
        for (i, part) in parts.iter().enumerate() {
            let o = &part.open;
            let good = |good, what| check(good, part.record, what);
            good(o.number as usize == i, "an open file out of order")?;
            good(super::open::status(o.flags) == o.flags, "flags that none are")?;
            good(o.offset <= i64::MAX as u64, "a position that none is")?;
            let what = "an open file that leads to nothing";
            let (target, node) = self.read_target(part, known).ok_or(Wrong { record: part.record, what })?;
            if let Target::Pipe { pipe, reads, writes } = target {
                pipes.open(pipe, reads, writes, &mut Post::default());
            }
            self.hold(node);
            let name = self.told_dentry(node, o.path, told);
            let (flags, offset) = (o.flags, o.offset);
            let writers_before = o.before_writers.then_some(0);
            let handle = Handle { target, node, name, flags, offset, writers_before, refs: 0 };
            self.handles.insert(self.next_handle, handle);
            self.next_handle += 1;
        }
        Ok(())
    }

    /// Ends that came later than an open without waiting are none of a snapshot's: all that are there now came before.
    pub fn settle_before_writers(&mut self, pipes: &Pipes) {
        for h in self.handles.values_mut().filter(|h| h.writers_before.is_some()) {
            if let Target::Pipe { pipe, .. } = h.target {
                h.writers_before = pipes.get(pipe).map(|p| p.writers_seen);
            }
        }
    }

    /// What an open file description leads to, and its node.
    fn read_target(
        &self,
        part: &OpenPart<'_>,
        known: &BTreeMap<(bool, u64), PipeId>,
    ) -> Option<(Target, NodeId)> {
        let o = &part.open;
        let is_place = o.flags & O_PATH != 0;
        if matches!(o.kind, 2 | 3) {
            // Numbers of pipes and of files are not told apart otherwise.
            let fifo = !o.path.starts_with(b"pipe:[");
            let pipe = *known.get(&(fifo, o.inode))?;
            let (reads, writes) = (o.flags & O_ACCMODE != 1, o.flags & O_ACCMODE != 0);
            let good = (!fifo || self.is_fifo(o.inode))
                && writes == (o.kind == 3)
                && o.flags & O_ACCMODE != O_ACCMODE
                && !is_place;
            let node = if fifo { o.inode } else { PIPES + o.inode };
            return good.then_some((Target::Pipe { pipe, reads, writes }, node));
        }
        let in_root = realm(o.inode) == Realm::Root;
        let is_there = o.inode < PIPES && (!in_root || self.nodes.contains_key(&o.inode));
        let target = match (o.kind, is_there.then(|| self.what(o.inode, false))?) {
            (0, _) if is_place => Target::Place,
            _ if is_place => return None,
            (0, Ok(What::File)) => Target::File,
            (1, Ok(What::Directory)) => Target::Directory,
            (4, Ok(What::Device(Device::Tty | Device::Console | Device::SerialLine))) => Target::Terminal,
            (5, Ok(What::Device(Device::Tty | Device::Console | Device::SerialLine))) => return None,
            (5, Ok(What::Device(device))) => Target::Device(device),
            (6, Ok(What::Text(_))) => Target::Text(Rc::new(part.text.clone())),
            _ => return None,
        };
        Some((target, o.inode))
    }

    /// A process' descriptors, its directory and program, which is `mapped` by what it says itself; a zombie has only its pid.
    pub fn restore_table(
        &mut self,
        part: &ProcessPart<'_>,
        limit: u64,
        mapped: Option<NodeId>,
        told: &mut Told,
    ) -> Read {
        let p = &part.process;
        self.people.insert(p.pid, p.serial);
        if p.state == State::Zombie {
            return check(part.descriptors.is_empty(), part.record, "a zombie with descriptors");
        }
        let mut fds = BTreeMap::new();
        for (at, d) in &part.descriptors {
            let handle = u64::from(d.file) + 1;
            let h = self.handles.get_mut(&handle).filter(|_| (d.number as usize) < FDS_MAX && d.flags <= 1);
            h.ok_or(Wrong { record: *at, what: "a descriptor of nothing" })?.refs += 1;
            let old = fds.insert(d.number, Descriptor { handle, cloexec: d.flags == 1 });
            check(old.is_none(), *at, "a descriptor for the second time")?;
        }
        let cwd = p.directory;
        check(self.is_directory(cwd), part.record, "a working directory that is none")?;
        self.hold(cwd);
        let exe = self.told_program(p.program, mapped, told);
        self.tables.insert(p.serial, Table { cwd, umask: p.umask, exe, fds, limit });
        Ok(())
    }

    /// Whether somebody has all that is there: open files, and files without a name.
    pub fn is_held(&self) -> bool {
        self.handles.values().all(|h| h.refs > 0)
            && self.nodes.iter().all(|(id, n)| n.links > 0 || n.holds > 0 || *id == ROOT)
    }
}

/// Whether a node is the image's, times apart.
fn is_same_but_times(old: &Node, new: &Node) -> bool {
    let facts = |n: &Node| (n.mode, n.uid, n.gid, n.links);
    let body = match (&old.body, &new.body) {
        (Body::File(a), Body::File(b)) => match (a.source(), b.source()) {
            (Source::Still(a), Source::Still(b)) => core::ptr::eq(a, b),
            _ => false,
        },
        (Body::Directory(a), Body::Directory(b)) => {
            a.parent == b.parent && a.next() == b.next() && a.entries == b.entries
        }
        (Body::Link(a), Body::Link(b)) => a == b,
        (Body::Device(a), Body::Device(b)) => a == b,
        (Body::Fifo(_), Body::Fifo(_)) | (Body::Socket, Body::Socket) => true,
        _ => false,
    };
    facts(old) == facts(new) && body
}

fn read_data(part: &InodePart<'_>) -> Read<Data> {
    let size = part.inode.size;
    check(size <= super::data::SIZE_MAX, part.record, "a file that is too large")?;
    let mut pages = BTreeMap::new();
    for (at, page) in &part.pages {
        let what = "a page behind the end of its file";
        let rest = page.at.checked_mul(PAGE).and_then(|at| size.checked_sub(at)).unwrap_or(0);
        check(rest > 0 && page.bytes.len() <= SIZE.min(rest as usize), *at, what)?;
        let grant = Grant::new(page.bytes).ok_or(Wrong { record: *at, what: "no page is left" })?;
        check(pages.insert(page.at, grant).is_none(), *at, "a page for the second time")?;
    }
    Ok(Data::of_pages(size, pages))
}

fn read_directory(part: &InodePart<'_>) -> Read<Directory> {
    let mut directory = Directory::new(part.inode.parent);
    check(part.inode.next_sequence < NUMBERS, part.record, "a sequence number that none is")?;
    for (at, e) in &part.entries {
        let is_name = (1..=NAME_MAX).contains(&e.name.len()) && !matches!(e.name, b"." | b"..");
        let good = is_name && !e.name.contains(&b'/') && !e.name.contains(&0);
        check(good && e.sequence < part.inode.next_sequence, *at, "an entry that cannot be")?;
        check(directory.restore(e.sequence, e.name, e.inode), *at, "an entry for the second time")?;
    }
    directory.count_from(part.inode.next_sequence);
    Ok(directory)
}
