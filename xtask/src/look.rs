//! Looks at a running machine from outside, through its memory: its domains, and what each kernel tells of itself (`abi::monitor`).

use crate::build::{self, Tools};
use crate::machine::TREE;
use crate::session::{Memory, channel, ram_base};
use crate::state;
use abi::bootinfo::{DomainState, name_str};
use abi::linux;
use abi::manifest::{DomainKind, Manifest, Range};
use abi::monitor::{COUNTERS, Monitor, State, kind_name};
use anyhow::{Context, Result, bail, ensure};
use elf::{ElfBytes, endian::LittleEndian};
use std::cmp::Reverse;
use std::fmt::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

const USAGE: &str =
    "usage: xtask look domains | capabilities | threads KERNEL | turns KERNEL | counters KERNEL";
/// The table of EL2 with a row for each domain (`bootinfo::DomainStatus`).
const STATUS: &str = "EL2_STATUS";

/// Where the machine that was started last says so: QEMU's process id, then its tree.
fn announcement(tools: &Tools) -> PathBuf {
    tools.target.join("machine").join("current")
}

/// A machine runs: QEMU's process, and the directory with its tree.
pub fn announce(tools: &Tools, pid: u32, dir: &Path) -> Result<()> {
    Ok(std::fs::write(announcement(tools), format!("{pid}\n{}", dir.join(TREE).display()))?)
}

/// Answers a question about the machine that runs now.
pub fn look(tools: &Tools, words: &[String]) -> Result<String> {
    let (memory, manifest) = open(tools)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["domains"] => domains(tools, &memory, &manifest),
        ["capabilities"] => state::state(&memory, &tools.elf("microkernel"), &manifest),
        ["threads", kernel] => Ok(threads(&monitor(&memory, &manifest, kernel)?)),
        ["turns", kernel] => Ok(turns(&monitor(&memory, &manifest, kernel)?)),
        ["counters", kernel] => Ok(counters(&monitor(&memory, &manifest, kernel)?)),
        _ => bail!(USAGE),
    }
}

/// The file with the machine's memory, and its tree.
fn machine(tools: &Tools) -> Result<(PathBuf, Vec<u8>)> {
    let said = std::fs::read_to_string(announcement(tools)).context("no machine runs here")?;
    let (pid, tree) = said.split_once('\n').context("no machine runs here")?;
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).context("the machine has ended")?;
    let is_ram = |p: &PathBuf| std::fs::read_link(p).is_ok_and(|l| l.to_string_lossy().contains(".ram"));
    let ram =
        files.filter_map(|f| Some(f.ok()?.path())).find(is_ram).context("the machine's memory is no file")?;
    Ok((ram, std::fs::read(tree.trim()).context("the machine's tree")?))
}

fn open(tools: &Tools) -> Result<(Memory, Manifest)> {
    let (ram, tree) = machine(tools)?;
    Ok((Memory::map(&ram, &tree)?, build::manifest(&tree)?))
}

/// Fills the memory of domain `name` with ones, from outside and behind everybody's back: it ends when it next looks at its stack. For tests.
pub fn ruin(tools: &Tools, name: &str) -> Result<()> {
    let (ram, tree) = machine(tools)?;
    let manifest = build::manifest(&tree)?;
    let domain = manifest.domains.iter().find(|d| d.name() == name).context("no such domain")?;
    let base = ram_base(&tree)?;
    let file = std::fs::OpenOptions::new().write(true).open(&ram)?;
    Ok(file.write_all_at(&vec![0xff; domain.memory.size as usize], domain.memory.base - base)?)
}

/// The address of a symbol.
pub fn symbol(elf: &Path, name: &str) -> Result<u64> {
    let bytes = std::fs::read(elf).with_context(|| elf.display().to_string())?;
    let file = ElfBytes::<LittleEndian>::minimal_parse(&bytes).context("no ELF")?;
    let (symbols, names) = file.symbol_table()?.context("no symbols")?;
    let found = symbols.iter().find(|s| names.get(s.st_name as usize).is_ok_and(|n| n == name));
    Ok(found.with_context(|| format!("no symbol {name}"))?.st_value)
}

fn domains(tools: &Tools, memory: &Memory, manifest: &Manifest) -> Result<String> {
    let at = symbol(&tools.elf("microkernel"), STATUS)?;
    let words = memory.words(Range { base: at, size: 4096 }).context("EL2 lies outside RAM")?;
    let mut out = String::new();
    for (row, d) in words.chunks(4).zip(&manifest.domains) {
        let word = |i: usize| row.get(i).map_or(0, |w: &AtomicU64| w.load(Ordering::Relaxed));
        let state = match word(0) as u16 {
            s if s == DomainState::Running as u16 => "running".to_owned(),
            s if s == DomainState::Cold as u16 => "cold".to_owned(),
            s if s == DomainState::Restarting as u16 => "restarting".to_owned(),
            s if s == DomainState::Crashed as u16 => format!("crashed at pc {:#x}", word(1)),
            _ => "absent".to_owned(),
        };
        let kind = if d.kind == DomainKind::Personality { "EL1" } else { "EL0" };
        let image = name_str(&d.image);
        writeln!(out, "{:<10} core {} {kind} {image:<10} {:>9} exits  {state}", d.name(), d.core, word(3))?;
    }
    Ok(out)
}

fn monitor<'a>(memory: &'a Memory, manifest: &Manifest, kernel: &str) -> Result<Monitor<'a>> {
    let name = format!("monitor-{kernel}");
    let place = channel(manifest, &name).with_context(|| format!("no kernel {kernel}"))?;
    let words = memory.words(place).and_then(|w| w.get(512..)).context("the channel lies outside RAM")?;
    let monitor = Monitor::read(words).context("the channel is too small")?;
    ensure!(monitor.is_there(), "{kernel} tells nothing of itself (yet)");
    Ok(monitor)
}

fn call_name(number: u16) -> &'static str {
    if number == u16::MAX { "-" } else { linux::name(number.into()).unwrap_or("unknown") }
}

fn threads(m: &Monitor<'_>) -> String {
    let [calls, syncs, head] = m.progress();
    let mut out = format!("{calls} calls, {syncs} sync points\n");
    for t in m.threads() {
        let name = String::from_utf8_lossy(&t.name).trim_end_matches('\0').to_owned();
        let turn = if t.serial == head { ">" } else { " " };
        let (state, call) = (State::name(t.state), call_name(t.number));
        let _ = writeln!(
            out,
            "{turn} thread {:<4} pid {:<5} {name:<8} {state:<14} {call:<16} pc {:#x} sp {:#x}",
            t.serial, t.pid, t.pc, t.sp
        );
    }
    out
}

fn turns(m: &Monitor<'_>) -> String {
    let mut out = String::new();
    for c in m.calls(m.progress()[0] + 1) {
        let _ = writeln!(
            out,
            "call {:<6} thread {:<4} {:<16} = {:#x}",
            c.call,
            c.serial,
            call_name(c.number),
            c.result
        );
    }
    out
}

fn counters(m: &Monitor<'_>) -> String {
    let [calls, syncs, _] = m.progress();
    let mut out = format!("{calls:>10} calls in turns\n{syncs:>10} sync points\n");
    for (i, name) in COUNTERS.iter().enumerate() {
        let _ = writeln!(out, "{:>10} {name}", m.counter(i));
    }
    let mut kinds: Vec<(u16, u64)> = m.kinds().collect();
    kinds.sort_by_key(|(number, times)| (Reverse(*times), *number));
    for (number, times) in kinds {
        let _ = writeln!(out, "{times:>10} {}", kind_name(number));
    }
    out
}
