//! getdents64(2), and reading links.

use super::node::{NodeId, Realm, S_IFMT, realm};
use super::virtuals::Leads;
use super::{Files, Target};
use crate::bytes::Out;
use crate::error::{Res, e};
use crate::turns::Serial;
use alloc::vec::Vec;

const RECORD_HEADER: usize = 19;
/// d_off of the entry with sequence number 0.
const FIRST: u64 = 3;

impl Files {
    /// Entries behind position `after`: d_off, name, node.
    fn entries_after(&self, directory: NodeId, after: u64) -> Res<Vec<(u64, Vec<u8>, NodeId)>> {
        let dots = [(1, b".".to_vec(), directory), (2, b"..".to_vec(), self.up(directory))];
        let mut all: Vec<_> = dots.into_iter().filter(|(at, ..)| *at > after).collect();
        let from = (after + 1).saturating_sub(FIRST);
        if realm(directory) == Realm::Root {
            let d = self.directory(directory)?;
            all.extend(d.entries.range(from..).map(|(s, (name, node))| (s + FIRST, name.clone(), *node)));
        } else {
            let entries = self.virtual_entries(directory).into_iter();
            all.extend(entries.filter(|(s, ..)| *s >= from).map(|(s, name, node)| (s + FIRST, name, node)));
        }
        Ok(all)
    }

    /// As many whole entries as fit into `room` bytes, and the position behind them.
    pub fn list(&mut self, me: Serial, fd: u32, room: usize) -> Res<(Vec<u8>, u64)> {
        let handle = self.active(me, fd)?;
        if !matches!(handle.target, Target::Directory) {
            return Err(e::ENOTDIR);
        }
        let (node, mut position) = (handle.node, handle.offset);
        if realm(node) == Realm::Root && self.node(node)?.links == 0 {
            return Err(e::ENOENT);
        }
        let mut out = Out::default();
        for (at, name, entry) in self.entries_after(node, position)? {
            let length = (RECORD_HEADER + name.len() + 1).next_multiple_of(8);
            if out.0.len() + length > room {
                if out.0.is_empty() {
                    return Err(e::EINVAL);
                }
                break;
            }
            let kind = self.attributes(entry).map_or(0, |a| (a.mode & S_IFMT) >> 12);
            let end = out.0.len() + length;
            out.u64(entry).u64(at).u16(length as u16);
            out.0.push(kind as u8);
            out.0.extend_from_slice(&name);
            out.to(end);
            position = at;
        }
        Ok((out.0, position))
    }

    /// readlinkat(2) of a node.
    pub fn read_link(&self, me: Serial, node: NodeId) -> Res<Vec<u8>> {
        match self.leads(me, node).ok_or(e::EINVAL)?? {
            Leads::Text(text) => Ok(text),
            Leads::Node(..) => self.virtual_link_text(node),
        }
    }
}
