//! Makes an address space of an ELF file: segments, break, and the stack with its arguments. Nothing of the file is believed: a number that leads
//! outside is ENOEXEC.

use super::{Backing, Label, Region, Rights, Source, Space, page_up};
use crate::bytes::{Out, u16_at, u32_at, u64_at};
use crate::error::{Res, e};
use crate::page::{Grant, PAGE};
use abi::layout::{MMAP_MIN, TASK_SIZE};
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use linux_raw_sys::auxvec as aux;

const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;
const TYPE_EXEC: u16 = 2;
const TYPE_DYN: u16 = 3;
const MACHINE_AARCH64: u16 = 183;
const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;
const LIMIT: u64 = TASK_SIZE - 16 * PAGE;

struct Segment {
    rights: Rights,
    offset: u64,
    address: u64,
    file_size: u64,
    memory_size: u64,
}

/// An ELF file as far as it was looked at.
pub struct Elf {
    source: Source,
    label: Rc<Label>,
    dynamic: bool,
    entry: u64,
    headers_at: u64,
    headers: u64,
    segments: Vec<Segment>,
    /// Path of the interpreter it asks for.
    pub interpreter: Option<Vec<u8>>,
}

/// Where a file came to lie.
#[derive(Clone, Copy, Default)]
struct Loaded {
    bias: u64,
    end: u64,
}

impl Elf {
    /// Reads headers.
    pub fn parse(source: Source, label: Rc<Label>) -> Res<Elf> {
        let mut h = [0; HEADER];
        if source.read(0, &mut h) < HEADER || h[..7] != *b"\x7fELF\x02\x01\x01" {
            return Err(e::ENOEXEC);
        }
        let kind = u16_at(&h, 16);
        let (headers_at, size, headers) = (u64_at(&h, 32), u16_at(&h, 54), u64::from(u16_at(&h, 56)));
        let fits = headers > 0 && headers * PROGRAM_HEADER as u64 <= PAGE;
        let dynamic = kind == TYPE_DYN;
        if !dynamic && kind != TYPE_EXEC
            || u16_at(&h, 18) != MACHINE_AARCH64
            || size != PROGRAM_HEADER as u16
            || !fits
        {
            return Err(e::ENOEXEC);
        }
        let mut table = vec![0; headers as usize * PROGRAM_HEADER];
        if source.read(headers_at, &mut table) < table.len() {
            return Err(e::ENOEXEC);
        }
        let mut elf = Elf {
            source,
            label,
            dynamic,
            entry: u64_at(&h, 24),
            headers_at,
            headers,
            segments: Vec::new(),
            interpreter: None,
        };
        for p in table.chunks(PROGRAM_HEADER) {
            match u32_at(p, 0) {
                PT_LOAD => elf.add_segment(p)?,
                PT_INTERP if elf.interpreter.is_none() => elf.interpreter = Some(elf.interpreter_path(p)?),
                _ => {}
            }
        }
        if elf.segments.is_empty() { Err(e::ENOEXEC) } else { Ok(elf) }
    }

    fn add_segment(&mut self, p: &[u8]) -> Res {
        let flags = u32_at(p, 4) as u8;
        let s = Segment {
            rights: Rights::from_bits_truncate(flags),
            offset: u64_at(p, 8),
            address: u64_at(p, 16),
            file_size: u64_at(p, 32),
            memory_size: u64_at(p, 40),
        };
        let end = s.address.checked_add(s.memory_size).filter(|end| *end <= LIMIT);
        let in_file = s.offset.checked_add(s.file_size).filter(|end| *end <= 1 << 62);
        let aligned = s.offset % PAGE == s.address % PAGE;
        if end.is_none() || in_file.is_none() || s.file_size > s.memory_size || !aligned {
            return Err(e::ENOEXEC);
        }
        if s.memory_size > 0 {
            self.segments.push(s);
        }
        Ok(())
    }

    fn interpreter_path(&self, p: &[u8]) -> Res<Vec<u8>> {
        let size = u64_at(p, 32);
        if !(2..=PAGE).contains(&size) {
            return Err(e::ENOEXEC);
        }
        let mut path = vec![0; size as usize];
        if self.source.read(u64_at(p, 8), &mut path) < path.len() || path.pop() != Some(0) {
            return Err(e::ENOEXEC);
        }
        let end = path.iter().position(|b| *b == 0).unwrap_or(path.len());
        path.truncate(end);
        Ok(path)
    }

    /// First and last page border of all segments.
    fn extent(&self) -> Res<(u64, u64)> {
        let low = self.segments.iter().map(|s| s.address / PAGE * PAGE).min().ok_or(e::ENOEXEC)?;
        let high = self.segments.iter().map(|s| s.address + s.memory_size).max().and_then(page_up);
        Ok((low, high.ok_or(e::ENOEXEC)?))
    }

    /// Maps all segments, the lowest at `base` if the file may lie anywhere.
    fn load(&self, space: &mut Space, base: u64) -> Res<Loaded> {
        let (low, high) = self.extent()?;
        let bias = if self.dynamic { base.checked_sub(low).ok_or(e::ENOEXEC)? } else { 0 };
        if low + bias < MMAP_MIN || high.checked_add(bias).is_none_or(|end| end > LIMIT) {
            return Err(e::ENOEXEC);
        }
        for s in &self.segments {
            self.map(space, s, bias)?;
        }
        Ok(Loaded { bias, end: high + bias })
    }

    fn map(&self, space: &mut Space, s: &Segment, bias: u64) -> Res {
        let at = s.address + bias;
        let start = at / PAGE * PAGE;
        let file_end = if s.file_size == 0 { start } else { page_up(at + s.file_size).ok_or(e::ENOEXEC)? };
        let end = page_up(at + s.memory_size).ok_or(e::ENOEXEC)?;
        if file_end > start {
            let mut region = Region::plain(file_end, s.rights);
            let (source, label) = (self.source.clone(), self.label.clone());
            region.backing = Some(Backing { source, offset: s.offset / PAGE * PAGE, label });
            space.carve(start, file_end);
            space.insert(start, region);
            let tail = (at + s.file_size) % PAGE;
            if s.memory_size > s.file_size && s.rights.contains(Rights::WRITE) && tail > 0 {
                let offset = s.offset / PAGE * PAGE + (file_end - PAGE - start);
                let mut page =
                    if offset < self.source.size() { self.source.page(offset / PAGE) } else { None };
                let bytes = page.as_mut().ok_or(e::ENOEXEC)?.write().ok_or(e::ENOMEM)?;
                bytes[tail as usize..].fill(0);
                space.pages.extend(page.map(|grant| (file_end / PAGE - 1, grant)));
            }
        }
        if end > file_end {
            space.carve(file_end, end);
            space.insert(file_end, Region::plain(end, s.rights | Rights::READ | Rights::WRITE));
        }
        Ok(())
    }

    /// Address of the program headers once loaded.
    fn headers_address(&self, bias: u64) -> u64 {
        let holds = |s: &&Segment| s.offset <= self.headers_at && self.headers_at < s.offset + s.file_size;
        self.segments.iter().find(holds).map_or(0, |s| self.headers_at - s.offset + s.address + bias)
    }
}

/// What a program starts with.
pub struct Arguments<'a> {
    pub path: &'a [u8],
    pub argv: &'a [Vec<u8>],
    pub env: &'a [Vec<u8>],
}

/// A finished image.
pub struct Image {
    pub space: Space,
    pub entry: u64,
    pub sp: u64,
}

/// Makes the image of `program`, with its interpreter if it asked for one.
pub fn image(
    program: &Elf,
    interpreter: Option<&Elf>,
    mut space: Space,
    arguments: &Arguments,
) -> Res<Image> {
    let layout = space.layout;
    let main = program.load(&mut space, layout.pie_base)?;
    space.brk_start = main.end + layout.brk_gap;
    space.brk = space.brk_start;
    let mut entry = program.entry.wrapping_add(main.bias);
    let mut base = 0;
    if let Some(i) = interpreter.filter(|i| i.dynamic) {
        let (low, high) = i.extent()?;
        let at = space.gap(high - low).ok_or(e::ENOMEM)?;
        base = i.load(&mut space, at)?.bias;
        entry = i.entry.wrapping_add(base);
    } else if interpreter.is_some() {
        return Err(e::ENOEXEC);
    }
    let vector = [
        (aux::AT_HWCAP, 3),
        (aux::AT_PAGESZ, PAGE),
        (aux::AT_CLKTCK, 100),
        (aux::AT_PHDR, program.headers_address(main.bias)),
        (aux::AT_PHENT, PROGRAM_HEADER as u64),
        (aux::AT_PHNUM, program.headers),
        (aux::AT_BASE, base),
        (aux::AT_FLAGS, 0),
        (aux::AT_ENTRY, program.entry.wrapping_add(main.bias)),
        (aux::AT_UID, 0),
        (aux::AT_EUID, 0),
        (aux::AT_GID, 0),
        (aux::AT_EGID, 0),
        (aux::AT_SECURE, 0),
    ];
    let sp = stack(&mut space, arguments, &vector)?;
    Ok(Image { space, entry, sp })
}

/// Writes the stack; its pointer.
fn stack(space: &mut Space, arguments: &Arguments, vector: &[(u32, u64)]) -> Res<u64> {
    let top = space.layout.stack_top;
    let mut strings = Vec::new();
    strings.extend_from_slice(b"aarch64\0");
    strings.extend_from_slice(&space.layout.at_random);
    let mut add = |bytes: &[u8]| {
        let at = strings.len() as u64;
        strings.extend_from_slice(bytes);
        strings.push(0);
        at
    };
    let argv: Vec<u64> = arguments.argv.iter().map(|a| add(a)).collect();
    let env: Vec<u64> = arguments.env.iter().map(|a| add(a)).collect();
    let path = add(arguments.path);
    strings.extend_from_slice(&[0; 8]);
    let strings_at = top - strings.len() as u64;
    let mut out = Out::default();
    out.u64(argv.len() as u64);
    argv.iter().for_each(|a| _ = out.u64(strings_at + a));
    out.u64(0);
    env.iter().for_each(|a| _ = out.u64(strings_at + a));
    out.u64(0);
    vector.iter().for_each(|(key, value)| _ = out.u64((*key).into()).u64(*value));
    out.u64(aux::AT_RANDOM.into()).u64(strings_at + 8);
    out.u64(aux::AT_HWCAP2.into()).u64(0);
    out.u64(aux::AT_EXECFN.into()).u64(strings_at + path);
    out.u64(aux::AT_PLATFORM.into()).u64(strings_at);
    out.u64(aux::AT_NULL.into()).u64(0);
    let sp = (strings_at / 16 * 16 - out.0.len() as u64) / 16 * 16;
    out.to((strings_at - sp) as usize);
    out.0.extend_from_slice(&strings);
    let start = (sp / PAGE * PAGE).min(top - PAGE);
    let mut region = Region::plain(top, Rights::READ | Rights::WRITE);
    region.stack = true;
    if !space.is_free(start, top) {
        return Err(e::ENOEXEC);
    }
    space.insert(start, region);
    space.stack_start = sp;
    let mut bytes = vec![0; (sp - start) as usize];
    bytes.extend_from_slice(&out.0);
    for (i, page) in bytes.chunks(PAGE as usize).enumerate() {
        space.pages.insert(start / PAGE + i as u64, Grant::new(page).ok_or(e::ENOMEM)?);
    }
    Ok(sp)
}
