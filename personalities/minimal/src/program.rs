//! A static program is put into the address space: `docs/linux-abi.md`, section execve.

use crate::space::{Refused, Space};
use crate::{Machine, Registers, rights};
use abi::layout::{Layout, PAGE};
use alloc::vec::Vec;
use elf::ElfBytes;
use elf::abi::{EM_AARCH64, ET_DYN, ET_EXEC, PT_INTERP, PT_LOAD, PT_PHDR};
use elf::endian::LittleEndian;
use elf::segment::ProgramHeader;

/// What is executed.
pub struct Program<'a> {
    /// Its file.
    pub file: &'a [u8],
    /// Its path, as given.
    pub path: &'a [u8],
    /// Arguments.
    pub argv: Vec<&'a [u8]>,
    /// Environment.
    pub env: Vec<&'a [u8]>,
}

/// Where things lie once it is loaded.
struct Loaded {
    entry: u64,
    headers: u64,
    count: u64,
}

/// Pages from `start` to `end`, bytes: the first and how many.
fn pages(start: u64, end: u64) -> (u64, u64) {
    (start / PAGE, end.div_ceil(PAGE) - start / PAGE)
}

/// Loads `program` into an empty `space`; the registers it begins with. An error says what is wrong with it.
pub fn load(
    program: &Program<'_>,
    layout: &Layout,
    space: &mut Space,
    m: &mut impl Machine,
) -> Result<Registers, &'static str> {
    (space.mmap_top, space.stack_top) = (layout.mmap_top, layout.stack_top);
    let loaded = segments(program.file, layout, space, m)?;
    let sp = stack(program, layout, &loaded, space, m).ok_or("its arguments do not fit")?;
    let low = space.stack_bottom();
    space.charge_program(layout.stack_top / PAGE - low).map_err(|_| "it needs more memory than there is")?;
    Ok(Registers { pc: loaded.entry, sp, ..Registers::default() })
}

fn segments(
    file: &[u8],
    layout: &Layout,
    space: &mut Space,
    m: &mut impl Machine,
) -> Result<Loaded, &'static str> {
    let elf = ElfBytes::<LittleEndian>::minimal_parse(file).map_err(|_| "it is no ELF file")?;
    let header = elf.ehdr;
    if header.e_machine != EM_AARCH64 || !matches!(header.e_type, ET_EXEC | ET_DYN) {
        return Err("it is no program for AArch64");
    }
    let bias = if header.e_type == ET_DYN { layout.pie_base } else { 0 };
    let table = elf.segments().ok_or("it has no segments")?;
    if table.iter().any(|s| s.p_type == PT_INTERP) {
        return Err("it is linked dynamically, which this kernel cannot do");
    }
    let mut end = 0;
    for segment in table.iter().filter(|s| s.p_type == PT_LOAD && s.p_memsz > 0) {
        end = end.max(place(&segment, file, bias, space, m)?);
    }
    space.break_start = end.next_multiple_of(PAGE) + layout.brk_gap;
    space.break_end = space.break_start;
    let own = table.iter().find(|s| s.p_type == PT_PHDR).map(|s| s.p_vaddr);
    let first =
        table.iter().find(|s| s.p_type == PT_LOAD && s.p_offset == 0).map(|s| s.p_vaddr + header.e_phoff);
    let headers = bias + own.or(first).unwrap_or(0);
    Ok(Loaded { entry: bias.wrapping_add(header.e_entry), headers, count: table.len() as u64 })
}

/// Maps one segment and copies its bytes; its end.
fn place(
    segment: &ProgramHeader,
    file: &[u8],
    bias: u64,
    space: &mut Space,
    m: &mut impl Machine,
) -> Result<u64, &'static str> {
    const BAD: &str = "a segment of it lies where none can";
    let start = bias.checked_add(segment.p_vaddr).ok_or(BAD)?;
    let end = start.checked_add(segment.p_memsz).filter(|&e| e < abi::layout::TASK_SIZE).ok_or(BAD)?;
    let from = segment.p_offset as usize;
    let bytes = from
        .checked_add(segment.p_filesz as usize)
        .and_then(|to| file.get(from..to))
        .filter(|b| b.len() as u64 <= segment.p_memsz)
        .ok_or("it is cut short")?;
    let (first, count) = pages(start, end);
    if !space.is_free(first, count) {
        return Err(BAD);
    }
    let refused = |r| match r {
        Refused::Memory | Refused::Turn => "it needs more memory than there is",
    };
    space.add(first, count, segment.p_flags as u8 & 7, true).map_err(refused)?;
    // A page of a file is mapped whole: what stands before and behind the segment in its pages is the file's, and behind a data segment zero.
    let lead = (start % PAGE) as usize;
    let tail = if segment.p_memsz > segment.p_filesz {
        0
    } else {
        (bytes.len() + lead).next_multiple_of(4096) - bytes.len() - lead
    };
    let to = (from + bytes.len() + tail).min(file.len());
    let whole = file.get(from.saturating_sub(lead)..to).ok_or("it is cut short")?;
    space.put(first * PAGE, whole, m).ok_or("it needs more memory than there is")?;
    if segment.p_flags as u8 & rights::X != 0 {
        // What was copied is to be fetched: mapping it again makes it so.
        space.protect(first, count, segment.p_flags as u8 & 7, true, m).map_err(refused)?;
    }
    Ok(end)
}

/// Writes the stack at entry; its pointer.
fn stack(
    program: &Program<'_>,
    layout: &Layout,
    loaded: &Loaded,
    space: &mut Space,
    m: &mut impl Machine,
) -> Option<u64> {
    let mut low = layout.stack_top - 8;
    let strings = |text: &[u8], low: &mut u64| {
        *low -= text.len() as u64 + 1;
        *low
    };
    let path = strings(program.path, &mut low);
    let block = |list: &[&[u8]]| list.iter().map(|s| s.len() as u64 + 1).sum::<u64>();
    let env = low - block(&program.env);
    let argv = env - block(&program.argv);
    let random = argv - 16;
    let platform = random - 8;
    let sp_of_words = platform & !15;
    let auxv = [
        (16, 3),
        (6, PAGE),
        (17, 100),
        (3, loaded.headers),
        (4, 56),
        (5, loaded.count),
        (7, 0),
        (8, 0),
        (9, loaded.entry),
        (11, 0),
        (12, 0),
        (13, 0),
        (14, 0),
        (23, 0),
        (25, random),
        (26, 0),
        (31, path),
        (15, platform),
        (0, 0),
    ];
    let words = 1 + program.argv.len() + 1 + program.env.len() + 1 + auxv.len() * 2;
    let sp = (sp_of_words - words as u64 * 8) & !15;
    if layout.stack_top - sp > abi::turn::ARGUMENTS_MAX as u64 {
        return None;
    }
    let first = sp / PAGE;
    space.add(first, layout.stack_top / PAGE - first, rights::R | rights::W, true).ok()?;
    let mut out = Vec::new();
    let mut word = |w: u64| out.extend_from_slice(&w.to_le_bytes());
    word(program.argv.len() as u64);
    for (mut at, list) in [(argv, &program.argv), (env, &program.env)] {
        for text in list {
            word(at);
            at += text.len() as u64 + 1;
        }
        word(0);
    }
    auxv.iter().for_each(|&(tag, value)| [tag, value].into_iter().for_each(&mut word));
    space.put(sp, &out, m)?;
    space.put(platform, b"aarch64\0", m)?;
    space.put(random, &layout.at_random, m)?;
    for (mut at, list) in [(argv, &program.argv), (env, &program.env)] {
        for text in list {
            space.put(at, text, m)?;
            at += text.len() as u64 + 1;
        }
    }
    space.put(path, program.path, m)?;
    Some(sp)
}
