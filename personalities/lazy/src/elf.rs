//! ELF headers of programs, as execve needs them. Every number is a claim of whoever wrote the file.

use abi::layout::PAGE;
use alloc::vec::Vec;

/// Bytes of the file header.
pub const HEADER: usize = 64;
/// Bytes of a program header.
pub const PROGRAM_HEADER: usize = 56;
/// Most program headers, as Linux: 64 KiB of them.
const HEADERS_MAX: usize = 65536 / PROGRAM_HEADER;

/// What the file header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// ET_DYN.
    pub dynamic: bool,
    /// First instruction.
    pub entry: u64,
    /// Offset of the program headers.
    pub table: u64,
    /// How many.
    pub count: usize,
}

/// A part of the image: PT_LOAD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// PF_ flags.
    pub flags: u32,
    /// Where in the file.
    pub offset: u64,
    /// Where in memory.
    pub address: u64,
    /// Bytes in the file.
    pub file_size: u64,
    /// Bytes in memory.
    pub memory_size: u64,
}

/// What the program headers say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// PT_LOADs in order.
    pub segments: Vec<Segment>,
    /// PT_INTERP: offset and length of the interpreter's path.
    pub interpreter: Option<(u64, u64)>,
}

fn u16_at(b: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(b.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(b: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(b.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(b: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(b.get(at..at + 8)?.try_into().ok()?))
}

/// Reads a file header; `None`: not a program for this machine.
pub fn header(b: &[u8]) -> Option<Header> {
    let ident = b.get(..16)?;
    let kind = u16_at(b, 16)?;
    let right = ident.starts_with(b"\x7fELF\x02\x01") && (kind == 2 || kind == 3) && u16_at(b, 18)? == 183;
    let count = usize::from(u16_at(b, 56)?);
    if !right || usize::from(u16_at(b, 54)?) != PROGRAM_HEADER || count == 0 || count > HEADERS_MAX {
        return None;
    }
    Some(Header { dynamic: kind == 3, entry: u64_at(b, 24)?, table: u64_at(b, 32)?, count })
}

/// Reads the program headers; `None`: they contradict themselves, or reach beyond `limit`.
pub fn program(table: &[u8], count: usize, limit: u64) -> Option<Program> {
    let mut out = Program::default();
    for i in 0..count {
        let p = table.get(i * PROGRAM_HEADER..(i + 1) * PROGRAM_HEADER)?;
        match u32_at(p, 0)? {
            1 => {
                let s = Segment {
                    flags: u32_at(p, 4)?,
                    offset: u64_at(p, 8)?,
                    address: u64_at(p, 16)?,
                    file_size: u64_at(p, 32)?,
                    memory_size: u64_at(p, 40)?,
                };
                let end = s.address.checked_add(s.memory_size)?;
                let sound = s.file_size <= s.memory_size
                    && end <= limit
                    && s.offset % PAGE == s.address % PAGE
                    && s.offset.checked_add(s.file_size).is_some_and(|e| e < 1 << 41);
                if !sound {
                    return None;
                }
                if s.memory_size > 0 {
                    out.segments.push(s);
                }
            }
            3 => out.interpreter = Some((u64_at(p, 8)?, u64_at(p, 32)?)),
            _ => {}
        }
    }
    if out.segments.is_empty() { None } else { Some(out) }
}

impl Program {
    /// First and last page's addresses: [start, end).
    pub fn extent(&self) -> (u64, u64) {
        let start = self.segments.iter().map(|s| s.address & !(PAGE - 1)).min().unwrap_or(0);
        let end = self.segments.iter().map(|s| (s.address + s.memory_size).next_multiple_of(PAGE)).max();
        (start, end.unwrap_or(0))
    }

    /// Where the program headers (at `table` in the file) lie in memory.
    pub fn table_address(&self, table: u64) -> u64 {
        let holds = |s: &&Segment| s.offset <= table && table < s.offset + s.file_size;
        self.segments.iter().find(holds).map_or(0, |s| table - s.offset + s.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn hostile_headers_do_not_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..400), fix in any::<bool>()) {
            if fix && bytes.len() >= 64 {
                bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
                bytes[16..20].copy_from_slice(&[3, 0, 183, 0]);
                bytes[54..58].copy_from_slice(&[56, 0, 2, 0]);
            }
            if let Some(h) = header(&bytes)
                && let Some(p) = program(bytes.get(64..).unwrap_or(&[]), h.count, 1 << 39)
            {
                let (start, end) = p.extent();
                prop_assert!(start <= end && end <= (1 << 39) + PAGE);
                p.table_address(h.table);
            }
        }
    }
}
