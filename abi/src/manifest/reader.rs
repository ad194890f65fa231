//! A node with its path: values are read, and mistakes reported, through it.

use super::Range;
use super::error::{ManifestError, Path, Problem};
use crate::bootinfo::{Name, name_from};
use fdt::node::FdtNode;
use heapless::String;

/// The parts as one text, cut where it is full.
pub(super) fn path<const N: usize>(parts: &[&str]) -> String<N> {
    let mut p = String::new();
    for c in parts.iter().flat_map(|s| s.chars()) {
        if p.push(c).is_err() {
            break;
        }
    }
    p
}

/// A node with its path: every check speaks through it.
pub(super) struct Here<'b, 'a> {
    pub node: FdtNode<'b, 'a>,
    pub path: Path,
}

impl<'b, 'a: 'b> Here<'b, 'a> {
    pub fn fail<T>(&self, problem: Problem) -> Result<T, ManifestError> {
        Err(ManifestError { node: self.path.clone(), problem })
    }

    pub fn child(&self, node: FdtNode<'b, 'a>) -> Here<'b, 'a> {
        Here { node, path: path(&[&self.path, "/", node.name]) }
    }

    pub fn need_child(&self, name: &str) -> Result<Here<'b, 'a>, ManifestError> {
        match self.node.children().find(|n| n.name == name) {
            Some(n) => Ok(self.child(n)),
            None => {
                Err(ManifestError { node: path(&[&self.path, "/", name]), problem: Problem::MissingNode })
            }
        }
    }

    pub fn only(&self, properties: &[&str]) -> Result<(), ManifestError> {
        // dtc gives a `phandle` to any node that something refers to.
        match self.node.properties().find(|p| p.name != "phandle" && !properties.contains(&p.name)) {
            Some(p) => self.fail(Problem::UnknownProperty(path(&[p.name]))),
            None => Ok(()),
        }
    }

    pub fn only_nodes(&self, names: &[&str]) -> Result<(), ManifestError> {
        match self.node.children().find(|n| !names.contains(&n.name)) {
            Some(n) => self.fail(Problem::UnknownNode(path(&[n.name]))),
            None => Ok(()),
        }
    }

    pub fn bytes(&self, name: &'static str) -> Result<&'a [u8], ManifestError> {
        match self.node.property(name) {
            Some(p) => Ok(p.value),
            None => self.fail(Problem::MissingProperty(name)),
        }
    }

    pub fn u32(&self, name: &'static str) -> Result<u32, ManifestError> {
        match self.bytes(name)?.try_into() {
            Ok(b) => Ok(u32::from_be_bytes(b)),
            Err(_) => self.fail(Problem::BadValue(name, "one cell: <number>")),
        }
    }

    pub fn range(&self, name: &'static str) -> Result<Range, ManifestError> {
        let b = self.bytes(name)?;
        match (be64(b, 0), be64(b, 8), b.len()) {
            (Some(base), Some(size), 16) => Ok(Range { base, size }),
            _ => self.fail(Problem::BadValue(
                name,
                "address and size, two cells each: <0x0 0x50000000 0x0 0x01000000>",
            )),
        }
    }

    pub fn strings(
        &self,
        name: &'static str,
    ) -> Result<impl Iterator<Item = &'a str> + use<'a>, ManifestError> {
        let text = self.bytes(name)?.strip_suffix(&[0]).and_then(|b| core::str::from_utf8(b).ok());
        match text {
            Some(t) => Ok(t.split('\0')),
            None => self.fail(Problem::BadValue(name, "strings: \"a\", \"b\"")),
        }
    }

    pub fn string(&self, name: &'static str) -> Result<&'a str, ManifestError> {
        let mut all = self.strings(name)?;
        match (all.next(), all.next()) {
            (Some(s), None) => Ok(s),
            _ => self.fail(Problem::BadValue(name, "one string")),
        }
    }

    pub fn name(&self, s: &str) -> Result<Name, ManifestError> {
        match name_from(s) {
            Some(n) if !s.is_empty() => Ok(n),
            _ => self.fail(Problem::BadName(path(&[s]))),
        }
    }

    pub fn flag(&self, name: &'static str) -> Result<bool, ManifestError> {
        match self.node.property(name) {
            None => Ok(false),
            Some(p) if p.value.is_empty() => Ok(true),
            Some(_) => self.fail(Problem::BadValue(name, "nothing: a flag has no value")),
        }
    }
}

/// The big-endian u64 at `at`.
pub(super) fn be64(b: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(b.get(at..at + 8)?.try_into().ok()?))
}

/// The big-endian u32 at `at`.
pub(super) fn be32(b: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(b.get(at..at + 4)?.try_into().ok()?))
}
