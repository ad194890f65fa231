//! The logs of all images, merged by time: `defmt` frames out of a ring each, put together again with the texts in the ELF files. What a ring
//! says is never trusted: a record that is none of its image's is told as such.

use crate::build::{self, Tools};
use crate::kernels::built;
use crate::session::Memory;
use abi::bootinfo::name_str;
use abi::manifest::{Manifest, Range};
use anyhow::{Context, Result, ensure};
use defmt_decoder::Table;
use elf::{ElfBytes, endian::LittleEndian};
use ipc::{BroadcastReader, ReadError};
use std::collections::BTreeMap;
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// EL2's rings: a page of header and 32 KiB for each of eight cores (`microkernel/src/arch/log.rs`).
const EL2: (&str, usize, u64) = ("EL2_LOG", 8, 4096 + 32768);
/// Longest record.
const RECORD_MAX: usize = 256;
/// A record begins with a tag and the counter.
const HEAD: usize = 12;

/// Where a session's records are kept while and after it runs.
pub fn file(tools: &Tools) -> PathBuf {
    tools.target.join("session.logs")
}

/// A ring and whose it is.
struct Source<'a> {
    name: String,
    reader: BroadcastReader<'a>,
}

/// Copies records out of a machine's rings as they come. The file: for each record the length of its source's
/// name (u8), its own (u16), both.
pub struct Collector<'a> {
    sources: Vec<Source<'a>>,
    out: std::io::BufWriter<std::fs::File>,
}

impl<'a> Collector<'a> {
    /// Over all rings of a machine, into `to`.
    pub fn new(memory: &'a Memory, manifest: &Manifest, el2: &Path, to: &Path) -> Result<Collector<'a>> {
        let mut sources = vec![];
        let mut add = |name: String, frames: Range| -> Result<()> {
            let words = memory.words(frames).with_context(|| format!("log of {name} lies outside RAM"))?;
            sources.extend(BroadcastReader::new(words).map(|reader| Source { name, reader }));
            Ok(())
        };
        let base = crate::look::symbol(el2, EL2.0)?;
        for core in 0..EL2.1 {
            add(format!("el2/{core}"), Range { base: base + core as u64 * EL2.2, size: EL2.2 })?;
        }
        for c in &manifest.channels {
            if let Some(name) = name_str(&c.name).strip_prefix("log-") {
                add(name.into(), c.frames)?;
            }
        }
        Ok(Collector { sources, out: std::io::BufWriter::new(std::fs::File::create(to)?) })
    }

    /// Takes what there is.
    pub fn drain(&mut self) -> Result<()> {
        let mut buffer = [0; RECORD_MAX];
        for s in &mut self.sources {
            loop {
                match s.reader.read(&mut buffer) {
                    Ok(Some(n)) => {
                        self.out.write_all(&[s.name.len() as u8])?;
                        self.out.write_all(&(n as u16).to_le_bytes())?;
                        self.out.write_all(s.name.as_bytes())?;
                        self.out.write_all(&buffer[..n])?;
                    }
                    Ok(None) => break,
                    Err(ReadError::NewEpoch) => {}
                    // Lapped, or nonsense: go on with what is newest.
                    Err(_) => {
                        s.reader.skip_to_head();
                        break;
                    }
                }
            }
        }
        Ok(self.out.flush()?)
    }
}

/// A text's number is the low 16 bits of its address: an image in the upper half has others above them, which the decoder does not expect.
fn number_texts(elf: &mut [u8]) -> Result<()> {
    let file = ElfBytes::<LittleEndian>::minimal_parse(elf)?;
    let (headers, names) = file.section_headers_with_strtab()?;
    let (headers, names) = (headers.context("no sections")?, names.context("no section names")?);
    let texts = headers.iter().position(|h| names.get(h.sh_name as usize).is_ok_and(|n| n == ".defmt"));
    let Some(symbols) = headers.iter().find(|h| h.sh_type == elf::abi::SHT_SYMTAB) else { return Ok(()) };
    let (start, size) = (symbols.sh_offset as usize, symbols.sh_size as usize);
    // Elf64_Sym: name, info, other, section (u16 at 6), value (u64 at 8), size.
    for symbol in
        elf.get_mut(start..start + size).context("a symbol table outside the file")?.chunks_exact_mut(24)
    {
        if texts == Some(usize::from(u16::from_le_bytes([symbol[6], symbol[7]]))) {
            symbol[10..16].fill(0);
        }
    }
    Ok(())
}

/// One image's texts.
struct Texts {
    table: Table,
    tag: [u8; 4],
}

impl Texts {
    fn load(elf: &Path) -> Result<Texts> {
        let mut bytes = std::fs::read(elf).with_context(|| elf.display().to_string())?;
        number_texts(&mut bytes)?;
        let table = Table::parse(&bytes)?.with_context(|| format!("{}: no log texts", elf.display()))?;
        let file = ElfBytes::<LittleEndian>::minimal_parse(&bytes)?;
        let note = file.section_header_by_name(".note.gnu.build-id")?.context("no build id")?;
        let id = file.section_data(&note)?.0.get(16..20).context("a short build id")?;
        Ok(Texts { table, tag: id.try_into()? })
    }

    /// A frame in words: level and text.
    fn say(&self, frame: &[u8]) -> Option<(String, String)> {
        let (frame, _) = self.table.decode(frame).ok()?;
        let level = frame.level().map_or("", |l| l.as_str()).to_uppercase();
        Some((level, frame.display_message().to_string()))
    }
}

/// The texts of images, as far as they were asked for.
struct Library<'a> {
    tools: &'a Tools,
    texts: BTreeMap<String, Result<Texts>>,
}

impl Library<'_> {
    /// A record of a domain that began with `image`: level and text. In a kernel's place another may have begun meanwhile; which, its tag says.
    fn say(&mut self, image: &str, record: &[u8]) -> (String, String) {
        let wrong = |what: &str| ("?".to_owned(), what.to_owned());
        let (Some(tag), Some(frame)) = (record.get(..4), record.get(HEAD..)) else {
            return wrong("a record that is too short");
        };
        let mut names = vec![image];
        if built().any(|kernel| kernel == image) {
            names.extend(built().map(|kernel| -> &str { kernel }));
        }
        let mut why = "a record of another build: build again, or keep the ELF file of that run".to_owned();
        for name in names {
            let load = || Texts::load(&self.tools.elf(name));
            match self.texts.entry(name.to_owned()).or_insert_with(load) {
                Ok(texts) if texts.tag == tag => {
                    return texts
                        .say(frame)
                        .unwrap_or_else(|| wrong("a record that its image does not know"));
                }
                Err(e) if name == image => why = format!("{e:#}"),
                _ => {}
            }
        }
        wrong(&why)
    }
}

/// Shows a session's logs by time; with `follow` goes on while records come.
pub fn show(tools: &Tools, follow: bool, out: &mut impl Write) -> Result<()> {
    show_file(tools, &file(tools), follow, out)
}

/// The same for records in a file of their own.
pub fn show_file(tools: &Tools, path: &Path, follow: bool, out: &mut impl Write) -> Result<()> {
    let mut file = std::fs::File::open(path)
        .context("no session was recorded here yet; `make run-qemu-aarch64` makes one")?;
    let images = images(tools)?;
    let mut library = Library { tools, texts: BTreeMap::new() };
    let colour = std::io::stdout().is_terminal();
    let mut bytes = vec![];
    loop {
        file.read_to_end(&mut bytes)?;
        let (records, used) = parse(&bytes);
        let mut lines: Vec<(u64, String)> = vec![];
        for (name, record) in &records {
            let image =
                if name.starts_with("el2/") { "microkernel" } else { images.get(*name).map_or("", |s| s) };
            let (level, message) = library.say(image, record);
            let ticks =
                record.get(4..HEAD).map_or(0, |t| u64::from_le_bytes(t.try_into().unwrap_or_default()));
            lines.push((ticks, line(ticks, name, &level, &message, colour)));
        }
        lines.sort_by_key(|l| l.0);
        lines.iter().try_for_each(|(_, l)| writeln!(out, "{l}"))?;
        out.flush()?;
        bytes.drain(..used);
        if !follow {
            ensure!(bytes.is_empty(), "{} ends within a record", path.display());
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// QEMU's counter.
const HZ: f64 = 62_500_000.0;

fn line(ticks: u64, name: &str, level: &str, message: &str, colour: bool) -> String {
    let (on, off) = match (colour, level) {
        (false, _) => ("", ""),
        (_, "ERROR" | "?") => ("\x1b[31m", "\x1b[0m"),
        (_, "WARN") => ("\x1b[33m", "\x1b[0m"),
        (_, "INFO") => ("\x1b[32m", "\x1b[0m"),
        _ => ("\x1b[2m", "\x1b[0m"),
    };
    format!("{:>12.6} {name:<10} {on}{level:<5}{off} {message}", ticks as f64 / HZ)
}

/// The whole records in `bytes`, and how many bytes they are.
fn parse(bytes: &[u8]) -> (Vec<(&str, &[u8])>, usize) {
    let (mut records, mut at) = (vec![], 0);
    while let Some(&[name, a, b]) = bytes.get(at..at + 3) {
        let (name, length) = (usize::from(name), usize::from(u16::from_le_bytes([a, b])));
        let (Some(n), Some(r)) =
            (bytes.get(at + 3..at + 3 + name), bytes.get(at + 3 + name..at + 3 + name + length))
        else {
            break;
        };
        records.push((std::str::from_utf8(n).unwrap_or("?"), r));
        at += 3 + name + length;
    }
    (records, at)
}

/// Which image a domain runs: as the tree of the last run says.
fn images(tools: &Tools) -> Result<BTreeMap<String, String>> {
    let tree = std::fs::read(tree_file(tools)).context("no session was recorded here yet")?;
    let manifest = build::manifest(&tree)?;
    Ok(manifest.domains.iter().map(|d| (d.name().to_owned(), name_str(&d.image).to_owned())).collect())
}

/// The tree of the last run.
pub fn tree_file(tools: &Tools) -> PathBuf {
    tools.target.join("session.dtb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_cut_where_they_end() {
        let mut bytes = vec![2, 3, 0];
        bytes.extend(b"k1abc");
        let whole = bytes.len();
        bytes.extend([2, 9, 0, b'k']);
        let (records, used) = parse(&bytes);
        assert_eq!((records, used), (vec![("k1", &b"abc"[..])], whole));
    }
}
