//! The texts of a snapshot that tell by which entries its files are open, executed and mapped ("Names of what is open" in `docs/linux-abi.md`).

use super::begin::Found;
use super::read::{Reader, Refused};
use crate::files::names::{DELETED, Entry};
use crate::files::walk::{AT_FDCWD, Last, Walked};
use crate::files::{Body, ROOT, device};
use crate::hw::Hardware;
use crate::kernel::Kernel;
use crate::open::Name;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;

/// What the texts told so far. Who says the same has the same entry: a deep directory that was removed is there once, and not for each mapping.
#[derive(Default)]
pub(super) struct Texts<'a> {
    /// Entries by text and inode.
    entries: BTreeMap<(&'a [u8], u64), Rc<Entry>>,
    /// Directories by path: inode, if it is there, and entry.
    folders: BTreeMap<&'a [u8], Folder>,
}

type Folder = (Option<u64>, Rc<Entry>);

/// The directory and the last name of a path.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let slash = path.iter().rposition(|b| *b == b'/')?;
    Some((path.get(..slash)?, path.get(slash + 1..)?))
}

impl<H: Hardware> Kernel<H> {
    /// The entry that `text` tells of inode `ino`.
    pub(super) fn entry_of<'a>(
        &mut self,
        r: &Reader<'_>,
        texts: &mut Texts<'a>,
        text: &'a [u8],
        ino: u64,
    ) -> Result<Rc<Entry>, Refused> {
        if let Some(e) = texts.entries.get(&(text, ino)) {
            return Ok(e.clone());
        }
        let entry = match split(text) {
            Some((dir, name)) => {
                let (inode, _) = self.folder(r, texts, dir)?;
                let leads = inode.and_then(|dir| self.files.directory(dir).ok()?.find(name)) == Some(ino);
                let there = inode.filter(|_| leads).and_then(|dir| self.files.entry(dir, name));
                match (there, text.strip_suffix(DELETED).and_then(split)) {
                    (Some(e), _) => Some(e),
                    (None, Some((dir, name))) => {
                        let removed = Entry::below(&self.folder(r, texts, dir)?.1, name);
                        removed.remove();
                        Some(removed)
                    }
                    (None, None) => None,
                }
            }
            None => None,
        };
        // A text that no entry has stays as it is.
        let right = |e: &Rc<Entry>| e.text().is_ok_and(|t| t == text);
        let entry = entry.filter(right).unwrap_or_else(|| Entry::alone(text));
        texts.entries.insert((text, ino), entry.clone());
        Ok(entry)
    }

    /// The directory `path` as far as it is there, and below that the names that are not. The root's path is empty here.
    fn folder<'a>(
        &mut self,
        r: &Reader<'_>,
        texts: &mut Texts<'a>,
        path: &'a [u8],
    ) -> Result<Folder, Refused> {
        // The longest beginning that is known.
        let (mut known, mut at) = (path, None);
        while !known.is_empty() && at.is_none() {
            at = texts.folders.get(known).cloned();
            if at.is_none() {
                known = split(known).map_or(&[], |(above, _)| above);
            }
        }
        let root = || self.files.directory(ROOT).map(|d| (Some(ROOT), d.entry.clone()));
        let mut at = match at {
            Some(at) => at,
            None => root().map_err(|_| r.refuse("there is no root"))?,
        };
        let mut end = known.len();
        while let Some(rest) = path.get(end + 1..).filter(|rest| !rest.is_empty()) {
            let length = rest.iter().position(|b| *b == b'/').unwrap_or(rest.len());
            let name = rest.get(..length).unwrap_or(rest);
            end += 1 + length;
            r.check(self.memory.physical.hw.heap_room() > 0, "no room for the names of what was removed")?;
            let inode = at.0.and_then(|dir| self.files.directory(dir).ok()?.find(name));
            let there = inode.and_then(|i| Some((i, self.files.directory(i).ok()?.entry.clone())));
            at = match there {
                Some((inode, entry)) => (Some(inode), entry),
                None => {
                    let removed = Entry::below(&at.1, name);
                    removed.remove();
                    (None, removed)
                }
            };
            texts.folders.insert(path.get(..end).unwrap_or(path), at.clone());
        }
        Ok(at)
    }

    /// By what entry open file `id` was opened, if its link shows `path` by that; else the path as it is.
    pub(super) fn name_open<'a>(
        &mut self,
        r: &Reader<'_>,
        texts: &mut Texts<'a>,
        id: u32,
        path: &'a [u8],
    ) -> Result<(), Refused> {
        let Some((inode, nameless)) = self.open.get(id).map(|f| (f.inode, f.nameless_pipe().is_some()))
        else {
            return Ok(());
        };
        let name = if nameless || path.is_empty() {
            Name::Own
        } else if inode >= device::DEV {
            let there = path.strip_suffix(DELETED).unwrap_or(path);
            match self.walk(1, AT_FDCWD as u64, there, false) {
                Ok(Walked { dir, last: Last::Name(name), .. }) => Name::Mounted(dir, name),
                _ => Name::Own,
            }
        } else {
            let entry = self.entry_of(r, texts, path, inode)?;
            match self.files.inodes.get_mut(&inode).map(|i| (i.nlink, &mut i.body)) {
                Some((links, Body::Directory(d))) => {
                    // Where one was that was removed, only this tells.
                    if links == 0 && !d.entry.is_known() {
                        d.entry = entry;
                    }
                    Name::Own
                }
                _ => Name::Entry(entry),
            }
        };
        if let Some(f) = self.open.get_mut(id) {
            f.name = name;
        }
        let shown = self.open.get(id).and_then(|f| self.shown(f).ok()?).unwrap_or_default();
        if shown != path
            && let Some(f) = self.open.get_mut(id)
        {
            f.name = Name::Entry(Entry::alone(path));
        }
        Ok(())
    }

    /// The program of process `serial`. Which inode a removed one is, a mapping of it may tell.
    pub(super) fn name_program<'a>(
        &mut self,
        r: &Reader<'_>,
        texts: &mut Texts<'a>,
        found: &Found<'a>,
        serial: u64,
    ) -> Result<(), Refused> {
        let text = found.programs.get(&serial).copied().unwrap_or_default();
        let there = match split(text) {
            Some((dir, name)) => {
                let dir = self.folder(r, texts, dir)?.0;
                dir.and_then(|dir| self.files.directory(dir).ok()?.find(name))
            }
            None => None,
        };
        let file = |i: &u64| matches!(self.files.inode(*i).map(|i| &i.body), Ok(Body::File(_)));
        let inode = there.filter(file).unwrap_or(0);
        let entry = self.entry_of(r, texts, text, inode)?;
        if let Some(p) = self.processes.get_mut(&serial) {
            p.exe = (inode, entry);
        }
        Ok(())
    }
}
