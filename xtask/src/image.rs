//! Turns ELF files into what a machine loads: a flat kernel image, or segments for the bundle.

use crate::look::symbol;
use abi::bundle::{Kind, SEGMENTS_MAX, Segment};
use anyhow::{Context, Result, ensure};
use elf::{ElfBytes, abi as e, endian::LittleEndian};
use std::path::Path;

/// One entry of a bundle to be.
pub struct Item {
    /// Name, at most 16 bytes.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Where an image begins to run.
    pub entry: u64,
    /// Parts of an image; `offset` counts in `data`.
    pub segments: Vec<Segment>,
    /// Bytes.
    pub data: Vec<u8>,
}

impl Item {
    /// A module.
    pub fn module(name: &str, data: Vec<u8>) -> Item {
        Item { name: name.into(), kind: Kind::Module, entry: 0, segments: vec![], data }
    }

    /// An image from an ELF file.
    pub fn from_elf(name: &str, kind: Kind, path: &Path) -> Result<Item> {
        let bytes = std::fs::read(path).with_context(|| format!("image {name}: {}", path.display()))?;
        let elf = ElfBytes::<LittleEndian>::minimal_parse(&bytes)
            .with_context(|| format!("image {name}: no ELF"))?;
        let mut data = Vec::new();
        let mut segments = Vec::new();
        for p in elf
            .segments()
            .context("no program headers")?
            .iter()
            .filter(|p| p.p_type == e::PT_LOAD && p.p_memsz > 0)
        {
            let file = &bytes[p.p_offset as usize..(p.p_offset + p.p_filesz) as usize];
            segments.push(Segment {
                ipa: p.p_paddr,
                offset: data.len() as u64,
                file_size: p.p_filesz,
                memory_size: p.p_memsz,
                flags: u64::from(p.p_flags),
            });
            data.extend_from_slice(file);
            data.resize(data.len().next_multiple_of(4096), 0);
        }
        segments.sort_by_key(|s| s.ipa);
        ensure!(
            segments.len() <= SEGMENTS_MAX,
            "image {name}: {} segments, at most {SEGMENTS_MAX}",
            segments.len()
        );
        ensure!(
            segments.iter().all(|s| s.ipa % 4096 == 0),
            "image {name}: a segment is not page-aligned; check its linker script"
        );
        Ok(Item { name: name.into(), kind, entry: elf.ehdr.e_entry, segments, data })
    }
}

/// The flat image that firmware loads: the microkernel's, and behind it, where its zeroed data will be, the loader's.
pub fn flat(kernel: &Path, loader: &Path) -> Result<Vec<u8>> {
    let (start, zeroed, end) =
        (symbol(kernel, "__image_start")?, symbol(kernel, "__bss_start")?, symbol(kernel, "__bss_end")?);
    let mut out = loads(kernel)?;
    let loader_end = symbol(loader, "__loader_end")?;
    ensure!(
        loader_end <= end - zeroed,
        "the loader takes {loader_end:#x} bytes, the microkernel's zeroed data are {:#x}",
        end - zeroed
    );
    out.resize((zeroed - start) as usize, 0);
    out.extend(loads(loader)?);
    Ok(out)
}

/// The loadable parts of an ELF file at their distance from the lowest address.
fn loads(path: &Path) -> Result<Vec<u8>> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let elf = ElfBytes::<LittleEndian>::minimal_parse(&bytes)?;
    let loads: Vec<_> = elf
        .segments()
        .context("no program headers")?
        .iter()
        .filter(|p| p.p_type == e::PT_LOAD && p.p_filesz > 0)
        .collect();
    let base = loads.iter().map(|p| p.p_paddr).min().context("nothing to load")?;
    let mut out = Vec::new();
    for p in loads {
        let at = (p.p_paddr - base) as usize;
        out.resize(out.len().max(at + p.p_filesz as usize), 0);
        out[at..at + p.p_filesz as usize]
            .copy_from_slice(&bytes[p.p_offset as usize..][..p.p_filesz as usize]);
    }
    Ok(out)
}
