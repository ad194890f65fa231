//! The names by which a snapshot's files are open, executed and mapped: from their texts (docs/linux-abi.md, "Names of what is open").

use super::super::inode::Inode;
use super::super::stat::{Mount, mount};
use super::super::tree::{ROOT, Tree};
use super::super::{Entry, Fs, Ino};
use alloc::vec::Vec;

impl Fs {
    /// The entry by which a file was opened or mapped that shows `path`.
    pub(crate) fn begin_name(&mut self, ino: Ino, path: &[u8]) -> Option<Entry> {
        if mount(ino) != Mount::Root {
            return None;
        }
        match self.tree.get(ino).map(|inode| (inode.links, inode.dir())) {
            Some((0, Some(dir))) => {
                if let Some((above, name)) = self.tree.removed_place(path) {
                    dir.entry.put(&above, name);
                }
                Some(dir.entry.clone())
            }
            Some((_, Some(dir))) => Some(dir.entry.clone()),
            _ => Some(self.tree.begin_entry_of_file(path, ino)),
        }
    }

    /// A program and the entry by which it was executed. Of one whose name was removed the snapshot does not say which file it is: 0.
    pub(crate) fn begin_program(&mut self, path: &[u8]) -> Option<(Ino, Entry)> {
        if path.is_empty() {
            return None;
        }
        let (dir, names) = self.tree.plain_walk(path);
        let found = if let [name] = names[..] { self.tree.lookup(dir, name) } else { None };
        let file = found.filter(|ino| !self.tree.is_dir(*ino)).unwrap_or(0);
        Some((file, self.tree.begin_entry_of_file(path, file)))
    }
}

impl Tree {
    /// The entry at `path`, if it leads to file `ino`, else one that was removed there.
    fn begin_entry_of_file(&mut self, path: &[u8], ino: Ino) -> Entry {
        let (dir, names) = self.plain_walk(path);
        if let [name] = names[..]
            && self.lookup(dir, name) == Some(ino)
            && let Some(entry) = self.hold_entry(dir, name)
        {
            return entry;
        }
        let key = (ino, path.to_vec());
        if let Some(entry) = self.entries.begun.get(&key) {
            return entry.clone();
        }
        let entry = match self.removed_place(path) {
            Some((above, name)) => Entry::new(&above, name),
            None => Entry::default(),
        };
        entry.remove();
        self.entries.begun.insert(key, entry.clone());
        entry
    }

    /// Where an entry with this text was removed: below the directories that the text's beginning leads to, and the names that are not there.
    fn removed_place<'a>(&self, path: &'a [u8]) -> Option<(Entry, &'a [u8])> {
        let (dir, names) = self.plain_walk(path.strip_suffix(b" (deleted)").unwrap_or(path));
        let (name, between) = names.split_last()?;
        let mut above = self.entry_of(dir)?.clone();
        for name in between {
            above = Entry::new(&above, name);
        }
        Some((above, name))
    }

    /// The last directory that the names of a path but the last one lead to, without links, and the names behind it.
    fn plain_walk<'a>(&self, path: &'a [u8]) -> (Ino, Vec<&'a [u8]>) {
        let names: Vec<&[u8]> = path.split(|&b| b == b'/').filter(|name| !name.is_empty()).collect();
        let (mut dir, mut at) = (ROOT, 0);
        while let Some(name) = names.get(at).filter(|_| at + 1 < names.len())
            && let Some(next) = self.lookup(dir, name).filter(|next| self.is_dir(*next))
        {
            (dir, at) = (next, at + 1);
        }
        (dir, names.get(at..).unwrap_or_default().to_vec())
    }

    fn is_dir(&self, ino: Ino) -> bool {
        self.get(ino).is_some_and(Inode::is_dir)
    }
}
