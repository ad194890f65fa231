//! The names of what is open: the directory entries by which files were opened, entered, executed or mapped (`docs/linux-abi.md`, "Names of what
//! is open"). Whoever shows one holds its number in a table. A rename or a removal changes one row of it, and a text is made when it is asked for.

use super::node::DELETED;
use super::{Files, ROOT};
use crate::Map;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// What a link or a mapping shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// A text that stays as it is: of what has no entry in the tree, and of the root.
    Text(Rc<[u8]>),
    /// An entry, by its number. The reference counts who holds it.
    Entry(Rc<u64>),
}

impl Name {
    /// A text that stays as it is.
    pub fn fixed(text: &[u8]) -> Name {
        Name::Text(Rc::from(text))
    }
}

/// How an entry is found again.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// A directory, also a removed one: it has one entry, whoever asks.
    Directory(u64),
    /// The entry of another file, which is there: directory and name.
    Named(u64, Rc<[u8]>),
    /// One that was removed before a snapshot: the inode, if that is known, and the text.
    Told(Option<u64>, Rc<[u8]>),
}

#[derive(Clone)]
struct Entry {
    held: Rc<u64>,
    /// The directory that it is in; none: the root.
    above: Option<Rc<u64>>,
    /// Its name. If it was removed before a snapshot, those of removed directories above it stand before it, with slashes.
    name: Rc<[u8]>,
    place: Option<Place>,
    gone: bool,
}

/// The table.
#[derive(Clone, Default)]
pub(super) struct Names {
    all: Map<u64, Entry>,
    places: Map<Place, u64>,
    next: u64,
    /// Rows that the last sweep left.
    left: usize,
}

impl Names {
    fn find(&self, place: &Place) -> Option<Rc<u64>> {
        Some(self.all.get(self.places.get(place)?)?.held.clone())
    }

    fn add(&mut self, above: Option<Rc<u64>>, name: Rc<[u8]>, place: Place, gone: bool) -> Rc<u64> {
        if self.all.size() > 2 * self.left + 64 {
            self.sweep();
        }
        let held = Rc::new(self.next);
        self.next += 1;
        self.places.insert_mut(place.clone(), *held);
        self.all.insert_mut(*held, Entry { held: held.clone(), above, name, place: Some(place), gone });
        held
    }

    fn is_free(&self, number: u64) -> bool {
        self.all.get(&number).is_some_and(|e| Rc::strong_count(&e.held) == 1)
    }

    /// Rows that nobody holds go, and those above that only they held.
    fn sweep(&mut self) {
        let mut free: Vec<u64> = self.all.keys().copied().filter(|n| self.is_free(*n)).collect();
        while let Some(number) = free.pop() {
            let Some(e) = self.all.get(&number) else { continue };
            let (above, place) = (e.above.as_deref().copied(), e.place.clone());
            self.all.remove_mut(&number);
            if let Some(place) = place {
                self.places.remove_mut(&place);
            }
            free.extend(above.filter(|n| self.is_free(*n)));
        }
        self.left = self.all.size();
    }

    /// The entry is removed.
    fn goes(&mut self, place: &Place) {
        let Some(e) = self.places.get(place).and_then(|n| self.all.get_mut(n)) else { return };
        e.gone = true;
        if !matches!(place, Place::Directory(_)) {
            e.place = None;
            self.places.remove_mut(place);
        }
    }

    /// The entry is renamed, to `name` in `above`.
    fn moves(&mut self, from: &Place, above: Option<Rc<u64>>, name: Rc<[u8]>, to: Place) {
        let Some(number) = self.places.get(from).copied() else { return };
        self.places.remove_mut(from);
        self.places.insert_mut(to.clone(), number);
        if let Some(e) = self.all.get_mut(&number) {
            (e.above, e.name, e.place) = (above, name, Some(to));
        }
    }
}

/// Makes texts of names. Those of directories are kept for the next, up to a bound.
pub struct Texts<'a> {
    names: &'a Names,
    known: BTreeMap<u64, Vec<u8>>,
    bytes: usize,
}

/// Bytes of directories' texts that are kept while many texts are made.
const KEPT: usize = 4 << 20;

impl Texts<'_> {
    /// The text of a name, as a link shows it.
    pub fn of(&mut self, name: &Name) -> Vec<u8> {
        let number = match name {
            Name::Text(text) => return text.to_vec(),
            Name::Entry(number) => number,
        };
        let Some(e) = self.names.all.get(number) else { return Vec::new() };
        let above = e.above.as_ref().map_or(&[][..], |above| self.directory(**above));
        let end: &[u8] = if e.gone { DELETED } else { b"" };
        [above, b"/", &e.name, end].concat()
    }

    fn directory(&mut self, number: u64) -> &[u8] {
        if self.bytes > KEPT {
            (self.bytes, self.known) = (0, BTreeMap::new());
        }
        let (names, bytes) = (self.names, &mut self.bytes);
        self.known.entry(number).or_insert_with(|| {
            let row = |n: &u64| names.all.get(n);
            let all = core::iter::successors(row(&number), |e| row(e.above.as_deref()?));
            let parts: Vec<&[u8]> = all.map(|e| &e.name[..]).collect();
            let text = parts.iter().rev().flat_map(|part| [b"/", *part]).collect::<Vec<_>>().concat();
            *bytes += text.len() + size_of::<Vec<u8>>();
            text
        })
    }
}

impl Files {
    /// To make texts of names.
    pub fn texts(&self) -> Texts<'_> {
        Texts { names: &self.names, known: BTreeMap::new(), bytes: 0 }
    }

    fn place_of(&self, dir: u64, name: &[u8], inode: u64) -> Place {
        if self.is_directory(inode) { Place::Directory(inode) } else { Place::Named(dir, name.into()) }
    }

    /// The entry `name` of directory `dir`, which leads to `inode`. Of a directory its own entry, whatever led there.
    pub fn name_of(&mut self, dir: u64, name: &[u8], inode: u64) -> Name {
        let place = self.place_of(dir, name, inode);
        if let Place::Directory(_) = place {
            return self.name_of_directory(inode);
        }
        Name::Entry(self.names.find(&place).unwrap_or_else(|| {
            let above = self.entry_of_directory(dir);
            self.names.add(above, name.into(), place, false)
        }))
    }

    /// The entry of a directory.
    pub fn name_of_directory(&mut self, dir: u64) -> Name {
        self.entry_of_directory(dir).map_or_else(|| Name::fixed(b"/"), Name::Entry)
    }

    /// None: the root has no entry.
    fn entry_of_directory(&mut self, dir: u64) -> Option<Rc<u64>> {
        let (mut at, mut missing, mut above) = (dir, Vec::new(), None);
        while at != ROOT {
            above = self.names.find(&Place::Directory(at));
            if above.is_some() {
                break;
            }
            let Some((parent, name)) = self.own_entry(at) else {
                // It was removed before a snapshot, which does not tell a working directory's name.
                above = Some(self.names.add(None, Rc::from(&[][..]), Place::Directory(at), true));
                break;
            };
            missing.push((at, name));
            at = parent;
        }
        for (inode, name) in missing.into_iter().rev() {
            above = Some(self.names.add(above, name, Place::Directory(inode), false));
        }
        above
    }

    /// The name that a snapshot tells of a file, of `inode`, if that is known: what its text leads to, or an entry that was removed, below the
    /// directories that the text's beginning leads to.
    pub fn name_again(&mut self, inode: Option<u64>, text: &[u8]) -> Name {
        if !text.starts_with(b"/") {
            return Name::fixed(text);
        }
        if let Some(dir) = inode.filter(|n| self.is_directory(*n) && self.lives(*n).is_ok()) {
            return self.name_of_directory(dir);
        }
        let (dir, name) = self.reached(text);
        let found = self.lookup(dir, name);
        if let Some(found) = found.filter(|n| inode.map_or(!self.is_directory(*n), |inode| inode == *n)) {
            return self.name_of(dir, name, found);
        }
        let place = match inode.filter(|n| self.is_directory(*n)) {
            Some(inode) => Place::Directory(inode),
            None => Place::Told(inode, text.into()),
        };
        if let Some(held) = self.names.find(&place) {
            return Name::Entry(held);
        }
        let (dir, name) = self.reached(text.strip_suffix(DELETED).unwrap_or(text));
        let (above, name) = (self.entry_of_directory(dir), name.into());
        Name::Entry(self.names.add(above, name, place, true))
    }

    /// The file, no directory, to which a text leads without links.
    pub fn file_at(&self, text: &[u8]) -> Option<u64> {
        let (dir, name) = self.reached(text);
        self.lookup(dir, name).filter(|inode| !self.is_directory(*inode))
    }

    /// The directory to which the beginning of a path leads without links, and the rest, which has at least the last name.
    fn reached<'a>(&self, path: &'a [u8]) -> (u64, &'a [u8]) {
        let (mut dir, mut rest) = (ROOT, path.strip_prefix(b"/").unwrap_or(path));
        while let Some(end) = rest.iter().position(|b| *b == b'/')
            && let Some((name, [_, below @ ..])) = rest.split_at_checked(end)
            && let Some(next) = self.lookup(dir, name).filter(|n| self.is_directory(*n))
        {
            (dir, rest) = (next, below);
        }
        (dir, rest)
    }

    /// What is open by the entry `name` of `dir`, which leads to `inode`, is told that it is removed.
    pub(super) fn name_goes(&mut self, dir: u64, name: &[u8], inode: u64) {
        let place = self.place_of(dir, name, inode);
        self.names.goes(&place);
    }

    /// The same of a rename.
    pub(super) fn name_moves(&mut self, from: (u64, &[u8]), to: (u64, &[u8]), inode: u64) {
        let place = self.place_of(from.0, from.1, inode);
        if self.names.find(&place).is_some() {
            let (above, new) = (self.entry_of_directory(to.0), self.place_of(to.0, to.1, inode));
            self.names.moves(&place, above, to.1.into(), new);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn rows_that_nobody_holds_go_with_those_above_them() {
        let mut names = Names::default();
        let mut last: Option<Rc<u64>> = None;
        for inode in 0..5000 {
            last = Some(names.add(last.take(), Rc::from(&b"d"[..]), Place::Directory(inode), false));
        }
        assert_eq!(names.all.size(), 5000, "each holds the one above it");
        let text =
            Texts { names: &names, known: BTreeMap::new(), bytes: 0 }.of(&Name::Entry(last.clone().unwrap()));
        assert_eq!(text, b"/d".repeat(5000));
        drop(last);
        for inode in 5000..20_000 {
            names.add(
                None,
                Rc::from(&b"e"[..]),
                Place::Named(ROOT, Rc::from(format!("{inode}").as_bytes())),
                false,
            );
        }
        assert!(names.all.size() < 200 && names.places.size() == names.all.size(), "{}", names.all.size());
    }
}
