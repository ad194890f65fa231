//! From a path to an inode: one walk for all calls, over the root file system, /dev and /proc.

use super::dev::{self, DEV};
use super::inode::{Body, Inode};
use super::linux::*;
use super::proc::{self, PROC};
use super::tree::ROOT;
use super::{Caller, Entry, Fs, Ino};
use crate::errno::*;
use crate::user::UserMemory;
use alloc::vec::Vec;

/// What the walk does with the last component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// Symbolic links are followed.
    Follow,
    /// A symbolic link is what is meant (unless a slash stands behind it).
    Keep,
    /// The name is to be made, removed or replaced: links are kept, a slash behind it is only noted.
    Name,
    /// As open with O_CREAT: links are followed or kept, a slash behind it is EISDIR.
    Create {
        /// Whether links are followed (not with O_EXCL or O_NOFOLLOW).
        follow: bool,
    },
}

/// What the last component was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A name.
    Name(Vec<u8>),
    /// ".".
    Dot,
    /// "..".
    DotDot,
    /// There was none: "/".
    Root,
}

/// Where a path led.
#[derive(Clone, Debug)]
pub struct Found {
    /// The directory of the last component.
    pub dir: Ino,
    /// The last component.
    pub ending: Ending,
    /// Whether a slash stands behind it.
    pub slash: bool,
    /// The file, if there is one.
    pub node: Option<Ino>,
    /// Where a link of /proc led straight to the file: the entry that it has.
    pub entry: Option<Entry>,
    /// Whether the directory was removed: it has no names, and none can be made.
    pub removed: bool,
}

impl Found {
    /// A directory that has no name in the path.
    fn directory(dir: Ino, ending: Ending, slash: bool) -> Found {
        Found { dir, ending, slash, node: Some(dir), entry: None, removed: false }
    }
    /// The file, if there is one; ENOENT of a removed directory, ENAMETOOLONG. With [`Last::Name`] the name was not looked at before, as in Linux,
    /// where errors of a second path come first.
    pub fn checked(&self) -> Result<Option<Ino>, Errno> {
        match &self.ending {
            Ending::Name(_) if self.removed => Err(ENOENT),
            Ending::Name(name) if name.len() > NAME_MAX => Err(ENAMETOOLONG),
            _ => Ok(self.node),
        }
    }
    /// The file; ENOENT if there is none.
    pub fn node(&self) -> Result<Ino, Errno> {
        self.checked()?.ok_or(ENOENT)
    }
}

/// Reads a path argument: EFAULT, ENAMETOOLONG. May be empty.
pub fn read_path(user: &mut dyn UserMemory, address: u64) -> Result<Vec<u8>, Errno> {
    let mut path = Vec::new();
    while path.len() < PATH_MAX {
        let mut chunk = [0; 256];
        let at = address.checked_add(path.len() as u64).ok_or(EFAULT)?;
        let len = user.readable(at, chunk.len()).min(chunk.len());
        if len == 0 {
            return Err(EFAULT);
        }
        user.read(at, &mut chunk[..len])?;
        match chunk[..len].iter().position(|&b| b == 0) {
            Some(end) => {
                path.extend_from_slice(&chunk[..end]);
                break;
            }
            None => path.extend_from_slice(&chunk[..len]),
        }
    }
    if path.len() >= PATH_MAX { Err(ENAMETOOLONG) } else { Ok(path) }
}

/// Reads a path argument that must not be empty.
pub fn read_nonempty(user: &mut dyn UserMemory, address: u64) -> Result<Vec<u8>, Errno> {
    read_path(user, address).and_then(|path| if path.is_empty() { Err(ENOENT) } else { Ok(path) })
}

/// The first component of a path.
struct Part<'a> {
    name: &'a [u8],
    /// Whether a slash stands behind it.
    slash: bool,
    /// What comes behind it and its slashes.
    rest: &'a [u8],
}

impl<'a> Part<'a> {
    /// None if there are only slashes.
    fn first(text: &'a [u8]) -> Option<Part<'a>> {
        let text = trim(text);
        if text.is_empty() {
            return None;
        }
        let end = text.iter().position(|b| *b == b'/').unwrap_or(text.len());
        Some(Part { name: &text[..end], slash: end < text.len(), rest: trim(&text[end..]) })
    }

    fn is_last(&self) -> bool {
        self.rest.is_empty()
    }

    /// In Linux' order: EISDIR for a name with a slash that O_CREAT would make, ENOENT in a removed directory, ENAMETOOLONG.
    fn check(&self, last: Last, removed: bool) -> Result<(), Errno> {
        match last {
            Last::Create { .. } if self.is_last() && self.slash => Err(EISDIR),
            Last::Name if self.is_last() => Ok(()),
            _ if removed => Err(ENOENT),
            _ if self.name.len() > NAME_MAX => Err(ENAMETOOLONG),
            _ => Ok(()),
        }
    }

    /// Whether a symbolic link here is followed.
    fn follows(&self, last: Last) -> bool {
        match last {
            _ if !self.is_last() => true,
            Last::Follow | Last::Create { follow: true } => true,
            Last::Keep => self.slash,
            Last::Name | Last::Create { follow: false } => false,
        }
    }

    /// The rest of the path behind a link's target.
    fn behind(&self, mut target: Vec<u8>) -> Vec<u8> {
        if self.slash {
            target.push(b'/');
            target.extend_from_slice(self.rest);
        }
        target
    }
}

/// Without the slashes at the beginning.
fn trim(text: &[u8]) -> &[u8] {
    &text[text.iter().take_while(|b| **b == b'/').count()..]
}

impl Fs {
    /// Where a walk of `path` begins. EBADF, ENOTDIR for `dirfd`.
    fn start(&self, caller: &Caller<'_>, dirfd: i32, path: &[u8]) -> Result<Ino, Errno> {
        if path.first() == Some(&b'/') {
            return Ok(ROOT);
        }
        if dirfd == AT_FDCWD {
            return Ok(*caller.cwd);
        }
        let node = self.file(caller.fds, dirfd)?.node;
        if self.is_dir(node) { Ok(node) } else { Err(ENOTDIR) }
    }

    /// Walks `path` from `dirfd`. An empty path is ENOENT.
    pub(super) fn walk(
        &self,
        caller: &Caller<'_>,
        dirfd: i32,
        path: &[u8],
        last: Last,
    ) -> Result<Found, Errno> {
        if path.is_empty() {
            return Err(ENOENT);
        }
        let mut dir = self.start(caller, dirfd, path)?;
        let mut text = path.to_vec();
        let mut links = 0;
        loop {
            let Some(part) = Part::first(&text) else {
                return Ok(Found::directory(dir, Ending::Root, true));
            };
            if !self.is_dir(dir) {
                return Err(ENOTDIR);
            }
            if part.name == b"." || part.name == b".." {
                let ending = if part.name == b"." { Ending::Dot } else { Ending::DotDot };
                dir = if part.name == b"." { dir } else { self.parent(dir)? };
                if part.is_last() {
                    return Ok(Found::directory(dir, ending, part.slash));
                }
                text = part.rest.to_vec();
                continue;
            }
            let removed = self.tree.get(dir).is_some_and(|dir| dir.links == 0);
            part.check(last, removed)?;
            let node = self.lookup(caller, dir, part.name);
            let ending = Ending::Name(part.name.to_vec());
            let found = Found { dir, ending, slash: part.slash, node, entry: None, removed };
            let Some(node) = node else {
                return if part.is_last() { Ok(found) } else { Err(ENOENT) };
            };
            let is_link = self.mode(node) & S_IFMT == S_IFLNK;
            if !is_link || !part.follows(last) {
                if part.is_last() {
                    return self.end(found, last);
                }
                dir = node;
                text = part.rest.to_vec();
                continue;
            }
            links += 1;
            if links > LINKS_MAX {
                return Err(ELOOP);
            }
            match self.jump(caller, node) {
                Some((target, entry)) if part.is_last() => {
                    return self.end(Found { node: Some(target), entry, ..found }, last);
                }
                Some((target, _)) => {
                    dir = target;
                    text = part.rest.to_vec();
                }
                None => {
                    text = part.behind(self.link_text(caller, node).ok_or(ENOENT)?);
                    if text.first() == Some(&b'/') {
                        dir = ROOT;
                    }
                }
            }
        }
    }

    /// The entry by which a walk came to `node`; files of /proc and /dev and pipes have none.
    pub(super) fn entry_at(&mut self, found: &Found, node: Ino) -> Option<Entry> {
        if found.entry.is_some() {
            return found.entry.clone();
        }
        match (&self.tree.get(node)?.body, &found.ending) {
            (Body::Directory(dir), _) => Some(dir.entry.clone()),
            (_, Ending::Name(name)) => self.tree.hold_entry(found.dir, name),
            _ => None,
        }
    }

    /// A slash behind the last component means a directory.
    fn end(&self, found: Found, last: Last) -> Result<Found, Errno> {
        match found.node {
            Some(node) if found.slash && last != Last::Name && !self.is_dir(node) => Err(ENOTDIR),
            _ => Ok(found),
        }
    }

    /// The file that a path names. With AT_EMPTY_PATH an empty path names `dirfd` itself.
    pub(super) fn resolve(
        &self,
        caller: &Caller<'_>,
        dirfd: i32,
        path: &[u8],
        flags: u32,
    ) -> Result<Ino, Errno> {
        if path.is_empty() && flags & AT_EMPTY_PATH != 0 {
            return if dirfd == AT_FDCWD { Ok(*caller.cwd) } else { Ok(self.file(caller.fds, dirfd)?.node) };
        }
        let last = if flags & AT_SYMLINK_NOFOLLOW != 0 { Last::Keep } else { Last::Follow };
        self.walk(caller, dirfd, path, last)?.node()
    }

    /// The directory above.
    pub(super) fn parent(&self, dir: Ino) -> Result<Ino, Errno> {
        match proc::place(dir) {
            Some(place) => Ok(self.proc_parent(place)),
            None if dir == DEV => Ok(ROOT),
            None => self.tree.get(dir).and_then(Inode::dir).map(|d| d.parent).ok_or(ENOENT),
        }
    }

    /// The entry `name` of `dir`. The mounted directories hide what the image has at their places.
    pub(super) fn lookup(&self, caller: &Caller<'_>, dir: Ino, name: &[u8]) -> Option<Ino> {
        match (dir, name) {
            (ROOT, b"dev") => Some(DEV),
            (ROOT, b"proc") => Some(PROC),
            (DEV, _) => dev::lookup(name),
            _ => match proc::place(dir) {
                Some(place) => self.proc_lookup(caller, place, name),
                None => self.tree.lookup(dir, name),
            },
        }
    }

    /// The text of symbolic link `node`.
    pub(super) fn link_text(&self, caller: &Caller<'_>, node: Ino) -> Option<Vec<u8>> {
        if let Some(place) = proc::place(node) {
            return self.proc_link(caller, place);
        }
        if let Some((_, dev::Entry::Link(target))) = dev::entry(node) {
            return Some(target.to_vec());
        }
        match &self.tree.get(node)?.body {
            Body::Link(target) => Some(target.clone()),
            _ => None,
        }
    }

    fn jump(&self, caller: &Caller<'_>, node: Ino) -> Option<(Ino, Option<Entry>)> {
        self.proc_jump(caller, proc::place(node)?)
    }
}
