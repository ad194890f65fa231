//! Directories of the root file system: entries by sequence number (the order of getdents64) and by name.

use super::{Entry, Ino};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// A directory's entries.
#[derive(Clone, Debug, Default)]
pub struct Dir {
    /// The directory it lies in.
    pub parent: Ino,
    /// Its own entry, in there.
    pub entry: Entry,
    /// How many of its entries are directories.
    pub subdirectories: u32,
    entries: BTreeMap<u64, (Vec<u8>, Ino)>,
    names: BTreeMap<Vec<u8>, u64>,
    next: u64,
}

impl Dir {
    /// An empty directory.
    pub fn new(parent: Ino) -> Dir {
        Dir { parent, ..Dir::default() }
    }

    /// The file called `name`.
    pub fn get(&self, name: &[u8]) -> Option<Ino> {
        let seq = self.names.get(name)?;
        self.entries.get(seq).map(|(_, ino)| *ino)
    }

    /// Adds an entry at the end; `name` is not there yet.
    pub fn insert(&mut self, name: &[u8], ino: Ino) {
        self.entries.insert(self.next, (name.to_vec(), ino));
        self.names.insert(name.to_vec(), self.next);
        self.next += 1;
    }

    /// The sequence number that the next entry gets.
    pub fn next_sequence(&self) -> u64 {
        self.next
    }

    /// A directory as a snapshot has it, without entries yet.
    pub fn begin(parent: Ino, next: u64) -> Dir {
        Dir { parent, next, ..Dir::default() }
    }

    /// The next of its entries; false: its number is not behind the last one's and below the next, or the name is there.
    pub fn begin_entry(&mut self, sequence: u64, name: &[u8], ino: Ino) -> bool {
        let last = self.entries.last_key_value().map(|(seq, _)| *seq);
        if sequence >= self.next || last.is_some_and(|last| last >= sequence) {
            return false;
        }
        self.entries.insert(sequence, (name.to_vec(), ino));
        self.names.insert(name.to_vec(), sequence).is_none()
    }

    /// Takes an entry away.
    pub fn remove(&mut self, name: &[u8]) -> Option<Ino> {
        let seq = self.names.remove(name)?;
        self.entries.remove(&seq).map(|(_, ino)| ino)
    }

    /// How many entries it has ("." and ".." are none).
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Entries from sequence number `from` on: number, name, inode.
    pub fn entries(&self, from: u64) -> impl Iterator<Item = (u64, &[u8], Ino)> {
        self.entries.range(from..).map(|(seq, (name, ino))| (*seq, &name[..], *ino))
    }
}
