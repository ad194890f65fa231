//! Executables: what exec must know of an ELF file, and `#!` lines. Every number is checked before it is used.

use crate::errno::{ENOEXEC, Errno};
use crate::machine::Rights;
use abi::layout::PAGE;
use alloc::vec::Vec;
use elf::abi::{EM_AARCH64, ET_DYN, ET_EXEC, PT_INTERP, PT_LOAD};
use elf::endian::LittleEndian;
use elf::file::{Class, parse_ident};
use elf::parse::ParseAt;
use elf::segment::{ProgramHeader, SegmentTable};

/// Bytes of an ELF header.
pub const HEADER_BYTES: usize = 64;
/// Bytes of a program header.
const PHENT: u64 = 56;
/// Most bytes of program headers, as on Linux.
const TABLE_MAX: u64 = PAGE;
/// Longest interpreter path, its zero byte included.
const PATH_MAX: u64 = 4096;

/// A part of a file to be mapped. Addresses are those of the file; the load bias is added later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// First page.
    pub start: u64,
    /// Offset in the file of that page.
    pub offset: u64,
    /// First address after what comes from the file.
    pub file_end: u64,
    /// First address after it all; zeros in between.
    pub end: u64,
    /// Rights.
    pub rights: Rights,
}

/// What exec must know.
#[derive(Clone, Debug)]
pub struct Image {
    /// ET_DYN: may be loaded anywhere.
    pub relocatable: bool,
    /// Where it starts.
    pub entry: u64,
    /// Where its program headers will be.
    pub phdr: u64,
    /// How many there are.
    pub phnum: u64,
    /// Ascending, disjoint by page.
    pub segments: Vec<Segment>,
    /// Offset and length of the interpreter's path in the file.
    pub interpreter: Option<(u64, usize)>,
}

impl Image {
    /// Reads the headers; `read` copies bytes of the file and says how many there were.
    pub fn parse(read: &dyn Fn(u64, &mut [u8]) -> usize) -> Result<Image, Errno> {
        let mut head = [0; HEADER_BYTES];
        if read(0, &mut head) < HEADER_BYTES {
            return Err(ENOEXEC);
        }
        let ident = parse_ident::<LittleEndian>(&head[..16]).map_err(|_| ENOEXEC)?;
        let tail = elf::file::FileHeader::parse_tail(ident, &head[16..]).map_err(|_| ENOEXEC)?;
        let known = tail.class == Class::ELF64
            && tail.e_machine == EM_AARCH64
            && matches!(tail.e_type, ET_EXEC | ET_DYN);
        let table = u64::from(tail.e_phnum) * PHENT;
        if !known || u64::from(tail.e_phentsize) != PHENT || table == 0 || table > TABLE_MAX {
            return Err(ENOEXEC);
        }
        let mut bytes = alloc::vec![0; table as usize];
        if read(tail.e_phoff, &mut bytes) < bytes.len() {
            return Err(ENOEXEC);
        }
        debug_assert_eq!(ProgramHeader::size_for(Class::ELF64) as u64, PHENT);
        let headers = SegmentTable::new(LittleEndian, Class::ELF64, &bytes);
        let mut image = Image {
            relocatable: tail.e_type == ET_DYN,
            entry: tail.e_entry,
            phdr: 0,
            phnum: u64::from(tail.e_phnum),
            segments: Vec::new(),
            interpreter: None,
        };
        for h in headers.iter() {
            image.take(&h, tail.e_phoff)?;
        }
        if image.segments.is_empty() { Err(ENOEXEC) } else { Ok(image) }
    }

    fn take(&mut self, h: &ProgramHeader, e_phoff: u64) -> Result<(), Errno> {
        match h.p_type {
            PT_INTERP if self.interpreter.is_none() => {
                if h.p_filesz < 2 || h.p_filesz > PATH_MAX {
                    return Err(ENOEXEC);
                }
                self.interpreter = Some((h.p_offset, h.p_filesz as usize));
            }
            PT_LOAD if h.p_memsz > 0 => {
                let segment = segment(h).ok_or(ENOEXEC)?;
                if self.segments.last().is_some_and(|last| last.end.next_multiple_of(PAGE) > segment.start) {
                    return Err(ENOEXEC);
                }
                if (h.p_offset..h.p_offset + h.p_filesz).contains(&e_phoff) {
                    self.phdr = e_phoff - h.p_offset + h.p_vaddr;
                }
                self.segments.push(segment);
            }
            _ => {}
        }
        Ok(())
    }

    /// First address of the first page, and first address after the last page.
    pub fn extent(&self) -> (u64, u64) {
        let first = self.segments.first().map_or(0, |s| s.start);
        (first, self.segments.last().map_or(0, |s| s.end.next_multiple_of(PAGE)))
    }
}

/// A loadable header as a segment; `None`: it contradicts itself or lies outside what a program can map.
fn segment(h: &ProgramHeader) -> Option<Segment> {
    let limit = abi::layout::TASK_SIZE;
    let within = h.p_vaddr % PAGE;
    let sane = h.p_filesz <= h.p_memsz
        && h.p_offset % PAGE == within
        && h.p_offset.checked_add(h.p_filesz)? < 1 << 40;
    let end = h.p_vaddr.checked_add(h.p_memsz).filter(|&e| e <= limit)?;
    sane.then(|| Segment {
        start: h.p_vaddr - within,
        offset: h.p_offset - within,
        file_end: h.p_vaddr + h.p_filesz,
        end,
        rights: Rights((h.p_flags & 7) as u8),
    })
}

/// Interpreter and argument of a `#!` line; `line` is the beginning of the file (at most 256 bytes). `None`: there is none to be had.
pub fn script(line: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    fn blank(b: &u8) -> bool {
        matches!(b, b' ' | b'\t')
    }
    let rest = line.strip_prefix(b"#!")?;
    let end = rest.iter().position(|&b| b == b'\n' || b == 0).unwrap_or(rest.len().min(253));
    let rest = rest.get(..end)?.trim_ascii();
    let cut = rest.iter().position(blank).unwrap_or(rest.len());
    let (interpreter, argument) = rest.split_at(cut);
    let argument = argument.trim_ascii();
    (!interpreter.is_empty()).then_some((interpreter, (!argument.is_empty()).then_some(argument)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn script_lines() {
        assert_eq!(script(b"#!/bin/sh\necho"), Some((&b"/bin/sh"[..], None)));
        assert_eq!(script(b"#! /bin/awk  -f x \n"), Some((&b"/bin/awk"[..], Some(&b"-f x"[..]))));
        assert_eq!(script(b"#!\n"), None);
        assert_eq!(script(b"echo"), None);
    }

    fn file() -> Vec<u8> {
        let mut f = alloc::vec![0u8; 0x1100];
        f[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\0");
        f[16..20].copy_from_slice(&[2, 0, 183, 0]);
        f[20] = 1;
        f[24..32].copy_from_slice(&0x40_0078u64.to_le_bytes());
        f[32..40].copy_from_slice(&64u64.to_le_bytes());
        f[54..58].copy_from_slice(&[56, 0, 1, 0]);
        let words: [u64; 7] = [5 << 32 | 1, 0, 0x40_0000, 0x40_0000, 0x1080, 0x2000, 4096];
        for (i, w) in words.iter().enumerate() {
            f[64 + i * 8..72 + i * 8].copy_from_slice(&w.to_le_bytes());
        }
        f
    }

    fn parse(f: &[u8]) -> Result<Image, Errno> {
        Image::parse(&|at, out| {
            let from = f.get(at as usize..).unwrap_or(&[]);
            let n = from.len().min(out.len());
            out[..n].copy_from_slice(&from[..n]);
            n
        })
    }

    #[test]
    fn a_static_program() {
        let image = parse(&file()).expect("good");
        assert_eq!((image.entry, image.phdr, image.phnum), (0x40_0078, 0x40_0040, 1));
        let s = image.segments[0];
        assert_eq!(
            (s.start, s.offset, s.file_end, s.end, s.rights),
            (0x40_0000, 0, 0x40_1080, 0x40_2000, Rights(5))
        );
    }

    #[test]
    fn no_byte_of_the_header_brings_the_kernel_down() {
        for at in 0..120 {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut f = file();
                f[at] = value;
                let _ = parse(&f);
            }
        }
    }
}
