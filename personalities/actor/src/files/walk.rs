//! From paths to nodes and back, as path_resolution(7).

use super::node::{Body, DEV, NodeId, PROC, ROOT, Realm, realm};
use super::virtuals::Leads;
use super::{Dentry, Files, flags::AT_FDCWD};
use crate::error::{Res, e};
use crate::turns::Serial;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// Longest name.
pub const NAME_MAX: usize = 255;
/// Longest path.
pub const PATH_MAX: usize = 4095;
const LINKS_MAX: u32 = 40;

/// Whether a link at the end of a path is followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Follow {
    Yes,
    No,
}

/// The last component of a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Last {
    Name(Vec<u8>),
    /// `.`, or nothing but slashes.
    Here,
    Up,
}

/// A path up to its last component.
pub struct Parent {
    pub directory: NodeId,
    pub last: Last,
    /// The path ends in a slash.
    pub slash: bool,
    links: u32,
}

/// A path walked to its end.
pub struct Spot {
    pub directory: NodeId,
    pub last: Last,
    pub slash: bool,
    /// What is there, if anything.
    pub node: Option<NodeId>,
    /// The dentry of what a link of /proc led to.
    pub dentry: Option<Rc<Dentry>>,
}

fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|b| *b == b'/').filter(|c| !c.is_empty())
}

impl Files {
    /// Where a relative path of process `me` starts: descriptor `at`, or the working directory.
    pub fn start(&self, me: Serial, at: i32) -> Res<NodeId> {
        if at == AT_FDCWD {
            return self.cwd(me);
        }
        Ok(self.handle(me, at as u32)?.node)
    }

    /// As [`Files::start`], for path `path`: an absolute one does not look at `at`, a relative one wants a directory.
    pub fn base(&self, me: Serial, at: i32, path: &[u8]) -> Res<NodeId> {
        if path.first() == Some(&b'/') {
            return Ok(ROOT);
        }
        let node = self.start(me, at)?;
        if self.is_directory(node) || path.is_empty() { Ok(node) } else { Err(e::ENOTDIR) }
    }

    pub fn is_directory(&self, node: NodeId) -> bool {
        match realm(node) {
            Realm::Root => self.nodes.get(&node).is_some_and(|n| n.is_directory()),
            Realm::Pipe => false,
            _ => Files::virtual_is_directory(node),
        }
    }

    /// The directory above.
    pub fn up(&self, node: NodeId) -> NodeId {
        match realm(node) {
            Realm::Root => self.directory(node).map_or(ROOT, |d| d.parent),
            _ => Files::virtual_parent(node),
        }
    }

    /// What `name` is in `directory`. ENOENT: that was removed, so nothing is looked up there, however long its name is.
    pub fn find(&self, directory: NodeId, name: &[u8]) -> Res<Option<NodeId>> {
        if realm(directory) == Realm::Root && self.node(directory)?.links == 0 {
            return Err(e::ENOENT);
        }
        if name.len() > NAME_MAX {
            return Err(e::ENAMETOOLONG);
        }
        match (realm(directory), directory, name) {
            (_, ROOT, b"dev") => Ok(Some(DEV)),
            (_, ROOT, b"proc") => Ok(Some(PROC)),
            (Realm::Root, ..) => Ok(self.directory(directory)?.find(name)),
            (Realm::Pipe, ..) => Err(e::ENOTDIR),
            _ if !Files::virtual_is_directory(directory) => Err(e::ENOTDIR),
            _ => Ok(self.virtual_find(directory, name)),
        }
    }

    /// Where a link leads; `None`: `node` is none.
    pub(super) fn leads(&self, me: Serial, node: NodeId) -> Option<Res<Leads>> {
        match realm(node) {
            Realm::Root => match &self.nodes.get(&node)?.body {
                Body::Link(to) => Some(Ok(Leads::Text(to.clone()))),
                _ => None,
            },
            Realm::Pipe => None,
            _ => self.virtual_link(me, node),
        }
    }

    /// Where a link is followed to: a program's file may be gone while its link still tells a text.
    fn still_there(&self, to: Leads) -> Res<Leads> {
        match &to {
            Leads::Node(node, _) if realm(*node) == Realm::Root => self.node(*node).map(|_| to),
            _ => Ok(to),
        }
    }

    /// Walks all of a path but its last component.
    pub fn parent(&self, me: Serial, start: NodeId, path: &[u8]) -> Res<Parent> {
        self.parent_after(me, start, path, 0)
    }

    fn parent_after(&self, me: Serial, start: NodeId, path: &[u8], mut links: u32) -> Res<Parent> {
        if path.is_empty() {
            return Err(e::ENOENT);
        }
        // A program's own path fits; what a link of the image says need not.
        if path.len() > PATH_MAX {
            return Err(e::ENAMETOOLONG);
        }
        let mut at = if path[0] == b'/' { ROOT } else { start };
        let slash = path.last() == Some(&b'/');
        let mut todo: Vec<Vec<u8>> = components(path).rev().map(<[u8]>::to_vec).collect();
        while let Some(name) = todo.pop() {
            if !self.is_directory(at) {
                return Err(e::ENOTDIR);
            }
            if todo.is_empty() {
                let last = match &name[..] {
                    b"." => Last::Here,
                    b".." => Last::Up,
                    _ => Last::Name(name),
                };
                return Ok(Parent { directory: at, last, slash, links });
            }
            match &name[..] {
                b"." => {}
                b".." => at = self.up(at),
                _ => {
                    let next = self.find(at, &name)?.ok_or(e::ENOENT)?;
                    match self.leads(me, next) {
                        None => at = next,
                        Some(to) => {
                            links += 1;
                            if links > LINKS_MAX {
                                return Err(e::ELOOP);
                            }
                            match self.still_there(to?)? {
                                Leads::Node(node, _) => at = node,
                                Leads::Text(text) if text.len() > PATH_MAX => return Err(e::ENAMETOOLONG),
                                Leads::Text(text) => {
                                    if text.first() == Some(&b'/') {
                                        at = ROOT;
                                    }
                                    todo.extend(components(&text).rev().map(<[u8]>::to_vec));
                                }
                            }
                        }
                    }
                }
            }
        }
        Ok(Parent { directory: at, last: Last::Here, slash, links })
    }

    /// Walks a path to its end. What the last name leads to may be missing.
    pub fn walk(&self, me: Serial, start: NodeId, path: &[u8], follow: Follow) -> Res<Spot> {
        self.walk_to(me, start, path, follow, false)
    }

    /// As [`Files::walk`]; `creates`: to a file that is made if it is missing. EISDIR: a slash stands behind a name that is the last, of the path or of a link's
    /// text, whatever is there.
    pub(super) fn walk_to(
        &self,
        me: Serial,
        start: NodeId,
        path: &[u8],
        follow: Follow,
        creates: bool,
    ) -> Res<Spot> {
        let mut parent = self.parent(me, start, path)?;
        let mut slash = false;
        loop {
            if creates && parent.slash && matches!(parent.last, Last::Name(_)) {
                return Err(e::EISDIR);
            }
            // Behind a link it asks for a directory, too, wherever that leads.
            slash |= parent.slash;
            let Parent { directory, last, links, .. } = parent;
            let node = match &last {
                Last::Here => Some(directory),
                Last::Up => Some(self.up(directory)),
                Last::Name(name) => self.find(directory, name)?,
            };
            let spot = Spot { directory, last, slash, node, dentry: None };
            let Some(to) = node.and_then(|n| self.leads(me, n)) else { return Ok(spot) };
            if follow == Follow::No && !slash {
                return Ok(spot);
            }
            if links == LINKS_MAX {
                return Err(e::ELOOP);
            }
            match self.still_there(to?)? {
                Leads::Node(node, dentry) => return Ok(Spot { node: Some(node), dentry, ..spot }),
                Leads::Text(text) => parent = self.parent_after(me, directory, &text, links + 1)?,
            }
        }
    }

    /// The node at a path that must be there, and be a directory if a slash says so.
    pub fn resolve(&self, me: Serial, start: NodeId, path: &[u8], follow: Follow) -> Res<NodeId> {
        self.found(me, start, path, follow).map(|(_, node)| node)
    }

    fn found(&self, me: Serial, start: NodeId, path: &[u8], follow: Follow) -> Res<(Spot, NodeId)> {
        let spot = self.walk(me, start, path, follow)?;
        let node = spot.node.ok_or(e::ENOENT)?;
        if spot.slash && !self.is_directory(node) {
            return Err(e::ENOTDIR);
        }
        Ok((spot, node))
    }

    /// The node at a path to a program, with the dentry by which it is executed.
    pub fn program_at(
        &mut self,
        me: Serial,
        start: NodeId,
        path: &[u8],
    ) -> Res<(NodeId, Option<Rc<Dentry>>)> {
        let (spot, node) = self.found(me, start, path, Follow::Yes)?;
        Ok((node, self.opened_by(&spot, node)))
    }

    /// getcwd(2). ENOENT: it was removed; ENAMETOOLONG: it is longer than `PATH_MAX`.
    pub fn cwd_path(&self, me: Serial) -> Res<Vec<u8>> {
        let cwd = self.cwd(me)?;
        if realm(cwd) == Realm::Root && self.node(cwd)?.links == 0 {
            return Err(e::ENOENT);
        }
        self.path_of(cwd, None)
    }
}
