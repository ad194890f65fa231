//! What others may know of a space: its lines in /proc/PID/maps, and its part of the memory digest.

use super::{Memory, Region, Rights, Space, SpaceId};
use crate::error::{Res, e};
use crate::page::{PAGE, SIZE};
use abi::digest::Encoder;
use alloc::format;
use alloc::vec::Vec;

/// Longest text of maps, bytes: paths may be long, and regions many.
const MAPS_MAX: usize = 1 << 20;
/// Column of a name in maps, as Linux pads it.
const NAME_COLUMN: usize = 73;

impl Space {
    /// What maps calls an anonymous region.
    fn name(&self, start: u64, region: &Region) -> &'static [u8] {
        if region.heap {
            b"[heap]"
        } else if start <= self.stack_start && region.end >= self.stack_start {
            b"[stack]"
        } else {
            b""
        }
    }

    /// The text of /proc/PID/maps; ENOMEM: it is longer than this kernel makes one.
    pub fn maps(&self) -> Res<Vec<u8>> {
        let mut out = Vec::new();
        for (start, r) in &self.regions {
            let flag = |has: Rights, c: char| if r.rights.contains(has) { c } else { '-' };
            let (offset, dev, inode, name) = match &r.backing {
                Some(b) => (b.offset, b.label.dev, b.label.inode, b.label.name.text(MAPS_MAX)),
                None => (0, 0, 0, Ok(self.name(*start, r).to_vec())),
            };
            let name = match name {
                Err(e::ENAMETOOLONG) => return Err(e::ENOMEM),
                name => name.unwrap_or_default(),
            };
            let mut line = format!(
                "{start:08x}-{:08x} {}{}{}{} {offset:08x} {:02x}:{:02x} {inode} ",
                r.end,
                flag(Rights::READ, 'r'),
                flag(Rights::WRITE, 'w'),
                flag(Rights::EXECUTE, 'x'),
                if r.shared { 's' } else { 'p' },
                dev >> 8,
                dev & 0xff,
            )
            .into_bytes();
            if !name.is_empty() {
                line.resize(line.len().max(NAME_COLUMN), b' ');
                line.extend_from_slice(&name);
            }
            line.push(b'\n');
            out.extend_from_slice(&line);
            if out.len() > MAPS_MAX {
                return Err(e::ENOMEM);
            }
        }
        Ok(out)
    }

    /// Mappings, as the memory digest takes them.
    pub fn digest(&self, encoder: &mut Encoder) {
        let mut regions = self.regions.iter().peekable();
        while let Some((start, first)) = regions.next() {
            let mut parts = alloc::vec![(*start, first)];
            let mut end = first.end;
            while let Some((s, r)) =
                regions.next_if(|(s, r)| **s == end && r.rights == first.rights && r.charged == first.charged)
            {
                parts.push((*s, r));
                end = r.end;
            }
            encoder.u64(*start).u64(end).u64(first.rights.bits().into());
            if !first.charged {
                continue;
            }
            for (start, region) in parts {
                for page in start / PAGE..region.end / PAGE {
                    if let Some(grant) = self.pages.get(&page) {
                        encoder.raw(grant.bytes());
                        continue;
                    }
                    let from_file = region.backing.as_ref().and_then(|b| {
                        let at = b.offset + (page * PAGE - start);
                        if at < b.source.size() { b.source.page(at / PAGE) } else { None }
                    });
                    match from_file {
                        Some(grant) => encoder.raw(grant.bytes()),
                        None => encoder.raw(&[0; SIZE]),
                    };
                }
            }
        }
    }
}

impl Memory {
    /// Fault on demand: inverts the lowest byte of the lowest writable page.
    pub fn corrupt(&mut self, id: SpaceId) {
        let lowest =
            self.space(id).and_then(|s| s.regions.iter().find(|(_, r)| r.rights.contains(Rights::WRITE)));
        if let Some(at) = lowest.map(|(s, _)| *s) {
            let mut byte = [0];
            if self.read(id, at, &mut byte).is_ok() {
                let _ = self.write(id, at, &[!byte[0]]);
            }
        }
    }
}
