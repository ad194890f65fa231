//! ELF64 executables (gABI, chapters 4 and 5): what of one is to be mapped where. Every number in it is the file's claim.

use crate::errno::{ENOEXEC, Errno, Result};
use crate::space::{EXECUTE, READ, WRITE};
use abi::layout::{PAGE, TASK_SIZE};
use alloc::vec::Vec;

/// PT_LOAD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Offset in the file.
    pub offset: u64,
    /// Address, without the load bias.
    pub address: u64,
    /// Bytes from the file.
    pub file_size: u64,
    /// Bytes in memory.
    pub memory_size: u64,
    /// PF_ flags.
    pub rights: u8,
}

/// An executable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// ET_DYN.
    pub dynamic: bool,
    /// Entry point, without the load bias.
    pub entry: u64,
    /// Segments by address.
    pub segments: Vec<Segment>,
    /// Address of the program headers, without the load bias.
    pub headers: u64,
    /// How many.
    pub header_count: u64,
    /// PT_INTERP.
    pub interpreter: Option<Vec<u8>>,
}

const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;
const LOAD: u32 = 1;
const INTERPRETER: u32 = 3;
const HEADERS: u32 = 6;

fn half(b: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(b.get(at..at + 2)?.try_into().ok()?))
}
fn word(b: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(b.get(at..at + 4)?.try_into().ok()?))
}
fn long(b: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(b.get(at..at + 8)?.try_into().ok()?))
}

/// Reads the headers; `read(offset, out)` copies out of the file and says how many bytes there were.
pub fn parse(read: &dyn Fn(u64, &mut [u8]) -> usize) -> Result<Image> {
    let exact = |at: u64, length: usize| -> Result<Vec<u8>> {
        let mut out = alloc::vec![0; length];
        if read(at, &mut out) == length { Ok(out) } else { Err(ENOEXEC) }
    };
    let h = exact(0, HEADER)?;
    parse_with(&h, &exact).and_then(|i| i.ok_or(ENOEXEC))
}

fn parse_with(h: &[u8], exact: &dyn Fn(u64, usize) -> Result<Vec<u8>>) -> Result<Option<Image>> {
    let plain = h.starts_with(b"\x7fELF\x02\x01\x01");
    let (Some(kind), Some(machine), Some(entry)) = (half(h, 16), half(h, 18), long(h, 24)) else {
        return Ok(None);
    };
    let (Some(at), Some(size), Some(count)) = (long(h, 32), half(h, 54), half(h, 56)) else {
        return Ok(None);
    };
    if !plain
        || !(kind == 2 || kind == 3)
        || machine != 183
        || usize::from(size) != PROGRAM_HEADER
        || count == 0
    {
        return Ok(None);
    }
    if usize::from(count) * PROGRAM_HEADER > 65536 {
        return Ok(None);
    }
    let table = exact(at, usize::from(count) * PROGRAM_HEADER)?;
    let mut image = Image {
        dynamic: kind == 3,
        entry,
        segments: Vec::new(),
        headers: 0,
        header_count: u64::from(count),
        interpreter: None,
    };
    for row in table.chunks_exact(PROGRAM_HEADER) {
        let (Some(kind), Some(flags)) = (word(row, 0), word(row, 4)) else { return Ok(None) };
        let (Some(offset), Some(address)) = (long(row, 8), long(row, 16)) else { return Ok(None) };
        let (Some(file_size), Some(memory_size)) = (long(row, 32), long(row, 40)) else { return Ok(None) };
        match kind {
            LOAD if memory_size > 0 => {
                let rights = (flags as u8) & (READ | WRITE | EXECUTE);
                image.segments.push(Segment { offset, address, file_size, memory_size, rights });
            }
            HEADERS => image.headers = address,
            INTERPRETER => {
                if !(2..=4096).contains(&file_size) {
                    return Ok(None);
                }
                let mut path = exact(offset, file_size as usize)?;
                if path.pop() != Some(0) {
                    return Ok(None);
                }
                image.interpreter = Some(path);
            }
            _ => {}
        }
    }
    // Sums of what the file claims are made once it is known that they can be.
    check(&image)?;
    if image.headers == 0
        && let Some(s) =
            image.segments.iter().find(|s| s.offset <= at && at < s.offset.saturating_add(s.file_size))
    {
        image.headers = at - s.offset + s.address;
    }
    Ok(Some(image))
}

fn check(image: &Image) -> Result<()> {
    let wrong: Result<()> = Err(ENOEXEC as Errno);
    let mut last = 0;
    if image.segments.is_empty() {
        return wrong;
    }
    for s in &image.segments {
        let end = s.address.checked_add(s.memory_size);
        let file_end = s.offset.checked_add(s.file_size);
        let congruent = s.address % PAGE == s.offset % PAGE;
        if end.is_none_or(|e| e > TASK_SIZE / 2)
            || file_end.is_none_or(|e| e > 1 << 40)
            || s.file_size > s.memory_size
        {
            return wrong;
        }
        if !congruent || s.address < last {
            return wrong;
        }
        last = s.address + s.memory_size;
    }
    Ok(())
}

impl Image {
    /// First page and first page beyond the last, without the load bias.
    pub fn span(&self) -> (u64, u64) {
        let first = self.segments.first().map_or(0, |s| s.address & !(PAGE - 1));
        let last = self.segments.last().map_or(0, |s| (s.address + s.memory_size).next_multiple_of(PAGE));
        (first, last)
    }
}
