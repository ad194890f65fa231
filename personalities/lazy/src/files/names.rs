//! Names of what is open, as Linux' dentries: an entry knows its own name and the entry of the directory that it is in, so whoever holds it is
//! told where it is now ("Names of what is open" in `docs/linux-abi.md`). A directory has one from its begin; another file's is made when
//! something asks for it first.
//!
//! The alternative, a path kept where it is shown, would have to be looked for in everything that is open or mapped whenever something is renamed.

use super::Files;
use crate::errno::{ENAMETOOLONG, Result};
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::ops::Bound::{Excluded, Unbounded};

/// What stands behind the path of an entry that was removed.
pub const DELETED: &[u8] = b" (deleted)";
/// Names that a text is made of at most; directories that are there are never so deep (INODES_MAX), those that were removed can be.
const DEPTH_MAX: usize = 5120;

/// Where an entry is.
#[derive(Default)]
struct Place {
    /// The directory; none: of the root, and of a text that no entries were found for.
    above: Option<Rc<Entry>>,
    /// The root's is a slash; empty: it is not known.
    name: Vec<u8>,
}

/// An entry of a directory.
#[derive(Default)]
pub struct Entry {
    place: RefCell<Place>,
    removed: Cell<bool>,
}

impl Entry {
    /// `name` in the directory `above`.
    pub fn below(above: &Rc<Entry>, name: &[u8]) -> Rc<Entry> {
        let e = Rc::<Entry>::default();
        e.put(above, name);
        e
    }

    /// One that always shows `text`; the root's is a slash.
    pub fn alone(text: &[u8]) -> Rc<Entry> {
        Rc::new(Entry {
            place: RefCell::new(Place { above: None, name: text.to_vec() }),
            removed: Cell::new(false),
        })
    }

    /// It is `name` in the directory `above` from now on; who calls has seen that this is not below itself.
    pub fn put(&self, above: &Rc<Entry>, name: &[u8]) {
        let old = self.place.replace(Place { above: Some(above.clone()), name: name.to_vec() });
        drop(old);
    }

    /// It was removed, or another one was renamed onto it.
    pub fn remove(&self) {
        self.removed.set(true);
    }

    /// Whether somebody has told where it is.
    pub fn is_known(&self) -> bool {
        !self.place.borrow().name.is_empty()
    }

    fn above(&self) -> Option<Rc<Entry>> {
        self.place.borrow().above.clone()
    }

    /// Bytes of its text at most; of one that has too many names those of the lowest.
    pub fn length(&self) -> usize {
        let mut bytes = DELETED.len() + self.place.borrow().name.len();
        let mut at = self.above();
        for _ in 0..DEPTH_MAX {
            let Some(e) = at else { break };
            bytes = bytes.saturating_add(e.place.borrow().name.len() + 1);
            at = e.above();
        }
        bytes
    }

    /// Its path, as it is now; empty if it is not known. ENAMETOOLONG: it has too many names.
    pub fn path(&self) -> Result<Vec<u8>> {
        let (mut chain, mut at) = (Vec::new(), self.above());
        while let Some(e) = at {
            if chain.len() == DEPTH_MAX {
                return Err(ENAMETOOLONG);
            }
            at = e.above();
            chain.push(e);
        }
        let mut path = Vec::with_capacity(self.length());
        for e in chain.iter().rev().map(|e| &**e).chain([self]) {
            if !path.is_empty() && path.last() != Some(&b'/') {
                path.push(b'/');
            }
            let place = e.place.borrow();
            if place.above.is_none() && place.name.is_empty() {
                return Ok(Vec::new());
            }
            path.extend_from_slice(&place.name);
        }
        Ok(path)
    }

    /// What a link shows: its path, and whether it was removed. Errors as [`Entry::path`].
    pub fn text(&self) -> Result<Vec<u8>> {
        let mut path = self.path()?;
        if self.removed.get() && !path.is_empty() {
            path.extend_from_slice(DELETED);
        }
        Ok(path)
    }
}

/// Two that show the same text.
impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        if core::ptr::eq(self, other) {
            return true;
        }
        let end = |e: &Entry| if e.removed.get() { DELETED } else { &[][..] };
        {
            let (a, b) = (self.place.borrow(), other.place.borrow());
            if !a.name.iter().chain(end(self)).eq(b.name.iter().chain(end(other))) {
                return false;
            }
        }
        let (mut a, mut b) = (self.above(), other.above());
        for _ in 0..DEPTH_MAX {
            match (&a, &b) {
                (None, None) => return true,
                (Some(x), Some(y)) if Rc::ptr_eq(x, y) => return true,
                (Some(x), Some(y)) if x.place.borrow().name == y.place.borrow().name => {
                    (a, b) = (x.above(), y.above());
                }
                _ => return false,
            }
        }
        false
    }
}

impl Eq for Entry {}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text().map(|t| alloc::string::String::from_utf8_lossy(&t).into_owned()))
    }
}

/// One directory after the other: as a call in a call, directories below directories would be as many stack frames.
impl Drop for Entry {
    fn drop(&mut self) {
        let mut above = self.place.get_mut().above.take();
        while let Some(mut e) = above.and_then(Rc::into_inner) {
            above = e.place.get_mut().above.take();
        }
    }
}

/// The entries of files that are no directories, by directory and name, as long as somebody else holds them, and a little longer.
#[derive(Default)]
pub struct Known {
    entries: BTreeMap<(u64, Vec<u8>), Rc<Entry>>,
    /// The last one that was looked at.
    hand: (u64, Vec<u8>),
}

impl Known {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Looks at two further ones and forgets those that nobody holds. A new one follows each time, so at most about half of all are held by nobody.
    fn sweep(&mut self) {
        for _ in 0..2 {
            let hand = core::mem::take(&mut self.hand);
            let next = self.entries.range((Excluded(hand), Unbounded)).next();
            let Some((key, unused)) = next.map(|(k, e)| (k.clone(), Rc::strong_count(e) == 1)) else {
                return;
            };
            if unused {
                self.entries.remove(&key);
            }
            self.hand = key;
        }
    }
}

impl Files {
    /// The entry `name` of directory `dir` of the root file system.
    pub fn entry(&mut self, dir: u64, name: &[u8]) -> Option<Rc<Entry>> {
        let d = self.directory(dir).ok()?;
        if let Ok(below) = self.directory(d.find(name)?) {
            return Some(below.entry.clone());
        }
        let key = (dir, name.to_vec());
        if let Some(e) = self.known.entries.get(&key) {
            return Some(e.clone());
        }
        let e = Entry::below(&d.entry, name);
        self.known.sweep();
        self.known.entries.insert(key, e.clone());
        Some(e)
    }

    /// `name` of directory `dir` was removed; it was inode `ino`.
    pub(super) fn entry_removed(&mut self, dir: u64, name: &[u8], ino: u64) {
        match self.directory(ino) {
            Ok(d) => d.entry.remove(),
            Err(_) => {
                if let Some(e) = self.known.entries.remove(&(dir, name.to_vec())) {
                    e.remove();
                }
            }
        }
    }

    /// What was `from` is `to` now: inode `ino`.
    pub(super) fn entry_renamed(&mut self, from: (u64, &[u8]), to: (u64, &[u8]), ino: u64) {
        let Ok(above) = self.directory(to.0).map(|d| d.entry.clone()) else { return };
        if let Ok(d) = self.directory(ino) {
            d.entry.put(&above, to.1);
        } else if let Some(e) = self.known.entries.remove(&(from.0, from.1.to_vec())) {
            e.put(&above, to.1);
            self.known.entries.insert((to.0, to.1.to_vec()), e);
        }
    }

    /// Tells directory `ino`, which is `name` in directory `dir`, its place.
    pub fn place_directory(&self, dir: u64, name: &[u8], ino: u64) {
        if let (Ok(above), Ok(below)) = (self.directory(dir), self.directory(ino)) {
            below.entry.put(&above.entry, name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(e: &Entry) -> String {
        String::from_utf8(e.text().unwrap()).unwrap()
    }

    #[test]
    fn an_entry_follows_its_directories_and_says_that_it_was_removed_once() {
        let root = Entry::alone(b"/");
        let (a, b) = (Entry::below(&root, b"a"), Entry::below(&root, b"b"));
        let d = Entry::below(&a, b"d");
        let f = Entry::below(&d, b"f");
        assert_eq!((text(&root), text(&f)), ("/".into(), "/a/d/f".into()));
        d.put(&b, b"e");
        assert_eq!(text(&f), "/b/e/f");
        f.remove();
        d.remove();
        assert_eq!((text(&f), text(&d)), ("/b/e/f (deleted)".into(), "/b/e (deleted)".into()));
        b.put(&a, b"c");
        assert_eq!(text(&f), "/a/c/e/f (deleted)");
        assert_eq!(f.length(), text(&f).len() + 1);
        assert_eq!(text(&Entry::below(&Rc::default(), b"x")), "");
    }

    #[test]
    fn entries_are_equal_that_show_the_same() {
        let root = Entry::alone(b"/");
        let [d, e] = [0, 1].map(|_| Entry::below(&root, b"d"));
        let [f, g] = [&d, &e].map(|d| Entry::below(d, b"f"));
        assert_eq!(f, g);
        f.remove();
        assert_ne!(f, g);
        assert_eq!(f, Entry::below(&e, b"f (deleted)"));
        assert_ne!(f, Entry::below(&root, b"f (deleted)"));
        assert_ne!(Entry::alone(b"x"), Entry::alone(b"y"));
        g.remove();
        e.put(&root, b"o");
        assert_ne!(f, g);
    }

    /// As a call in a call it would need 100 MiB of stack.
    #[test]
    fn a_chain_of_any_length_goes_and_is_too_long_to_show() {
        let mut e = Entry::alone(b"/");
        for _ in 0..DEPTH_MAX {
            e = Entry::below(&e, b"d");
        }
        assert_eq!(text(&e).len(), 2 * DEPTH_MAX);
        for _ in 0..1_000_000 {
            e = Entry::below(&e, b"d");
        }
        assert_eq!(e.text(), Err(ENAMETOOLONG));
        assert!(e.length() < 3 * DEPTH_MAX);
        drop(e);
    }
}
