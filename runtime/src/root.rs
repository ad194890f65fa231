//! What the root task does first: builds the memory of the partitions on its core, and gives all partitions on all cores their time, by
//! capability invocations (`abi::capability::root` says with what it begins).
//!
//! A partition's Untyped becomes frames, page by page where the image has bytes and by 2 MiB elsewhere; an image's page is mapped into the root task
//! for as long as it takes to copy it. What else a partition sees (boot page, channels, devices) EL2 has mapped already, and the memory of
//! partitions on other cores, too: docs/limits.md.

use crate::capability::{Registers, ask, invoke};
use abi::bootinfo::{BootInfo, MEMORY_IPA, MODULE_IPA, PartitionInfo, name_str};
use abi::bundle::{Bundle, Entry};
use abi::capability::{IN_PROGRESS, kind, label, map, root};
use core::fmt;

const PAGE: u64 = 4096;
const BLOCK: u64 = 2 << 20;
/// Microseconds in which each partition gets its share of its core.
const PERIOD_US: u64 = 10_000;
/// Objects of one Retype.
const BATCH: u64 = 64;
/// Slots: the CNodes with what each partition's memory became, a table on its way, frames on their way.
const KEPT: u64 = root::FREE;
const TABLE: u64 = root::FREE + 16;
const BATCHED: u64 = root::FREE + 32;
/// Bits of the CNode of a partition: as many pages, blocks and tables can be kept; an image of 15 MiB, and more memory behind it.
const KEPT_RADIX: u64 = 12;
/// Where a page is while its image is copied: the end of what a partition's memory can be.
const WINDOW: u64 = MODULE_IPA - BLOCK;

/// Why a partition was not built.
#[derive(Clone, Copy, Debug)]
pub enum BuildError {
    /// The bundle is damaged, or has not this partition's image.
    NoImage,
    /// No piece of free RAM is large enough for tables.
    NoMemory,
    /// Its image has more pages than can be kept.
    TooLarge,
    /// An invocation failed: capability, label, error.
    Refused(u64, u64, i64),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoImage => f.write_str("the bundle has not its image"),
            Self::NoMemory => f.write_str("no free RAM for tables"),
            Self::TooLarge => f.write_str("its image is larger than 15 MiB"),
            Self::Refused(address, label, error) => {
                write!(f, "EL2 refuses label {label} of capability {address}: {error}")
            }
        }
    }
}

pub(crate) fn done(address: u64, label: u64, arguments: &[u64]) -> Result<u64, BuildError> {
    ask(address, label, arguments).map_err(|error| BuildError::Refused(address, label, error))
}

/// One partition that is being built.
struct Building<'a> {
    /// Slots of its Space, of its Untyped, of the CNode for what became of it, of free RAM.
    space: u64,
    memory: u64,
    kept: u64,
    free: u64,
    /// How many are kept.
    count: u64,
    image: Entry<'a>,
}

impl Building<'_> {
    /// Puts what is in `slot` away; it stays what it is.
    fn keep(&mut self, slot: u64) -> Result<(), BuildError> {
        if self.count >> KEPT_RADIX != 0 {
            return Err(BuildError::TooLarge);
        }
        done(self.kept, label::MOVE, &[self.count, KEPT_RADIX, root::CNODE, slot, 64])?;
        self.count += 1;
        Ok(())
    }

    /// A table of level `level` for `ipa`.
    fn table(&mut self, ipa: u64, level: u64) -> Result<(), BuildError> {
        retype(self.free, kind::PAGE_TABLE, level, TABLE, 1)?;
        done(TABLE, label::MAP, &[self.space, ipa, 0])?;
        self.keep(TABLE)
    }

    /// The segment with the page at `ipa`.
    fn segment(&self, ipa: u64) -> Option<(&abi::bundle::Segment, u64)> {
        let segments = self.image.segments.iter().take(self.image.segment_count);
        segments.map(|s| (s, ipa.wrapping_sub(s.ipa))).find(|(s, offset)| *offset < s.memory_size)
    }

    /// First address behind the image.
    fn image_end(&self) -> u64 {
        let last = self.image.segments.iter().take(self.image.segment_count).next_back();
        last.map_or(MEMORY_IPA, |s| (s.ipa + s.memory_size).next_multiple_of(PAGE))
    }

    /// Copies the image's bytes into the page in `slot` that will be at `ipa`.
    fn fill(&self, slot: u64, ipa: u64) -> Result<(), BuildError> {
        let Some((segment, offset)) = self.segment(ipa) else { return Ok(()) };
        let end = segment.file_size.min(offset + PAGE);
        let bytes = self.image.data.get((segment.offset + offset) as usize..(segment.offset + end) as usize);
        let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty() && offset < segment.file_size) else {
            return Ok(());
        };
        done(slot, label::MAP, &[root::SPACES + own(), WINDOW, map::READ | map::WRITE | map::NO_EXECUTE])?;
        copy(bytes);
        done(slot, label::UNMAP, &[])?;
        Ok(())
    }

    /// What a page at `ipa` may be used for: as its segment says; behind the image data; a gap between segments is nobody's.
    fn rights(&self, ipa: u64) -> Option<u64> {
        const EXECUTE: u64 = 1;
        const WRITE: u64 = 2;
        let flags = match self.segment(ipa) {
            Some((segment, _)) => segment.flags,
            None if ipa >= self.image_end() => WRITE,
            None => return None,
        };
        let write = if flags & WRITE != 0 { map::WRITE } else { 0 };
        let fetch = if flags & (EXECUTE | WRITE) == EXECUTE { 0 } else { map::NO_EXECUTE };
        Some(map::READ | write | fetch)
    }

    /// Whether the 2 MiB at `ipa` are used in one way, and hold nothing of the file.
    fn is_uniform(&self, ipa: u64) -> bool {
        match self.segment(ipa) {
            Some((segment, offset)) => offset >= segment.file_size && offset + BLOCK <= segment.memory_size,
            None => ipa >= self.image_end(),
        }
    }

    /// Frames for `count` times `each` bytes from `ipa` on.
    fn frames(&mut self, ipa: u64, each: u64, count: u64) -> Result<(), BuildError> {
        retype(self.memory, kind::FRAME, u64::from(each == BLOCK), BATCHED, count)?;
        for i in 0..count {
            let (slot, ipa) = (BATCHED + i, ipa + i * each);
            if each == PAGE {
                self.fill(slot, ipa)?;
            }
            if let Some(rights) = self.rights(ipa) {
                done(slot, label::MAP, &[self.space, ipa, rights])?;
            }
            self.keep(slot)?;
        }
        Ok(())
    }

    fn build(&mut self, size: u64) -> Result<(), BuildError> {
        retype(self.free, kind::CNODE, KEPT_RADIX, self.kept, 1)?;
        self.table(MEMORY_IPA, 2)?;
        // The manifest's memory is whole blocks.
        for ipa in (MEMORY_IPA..MEMORY_IPA + size).step_by(BLOCK as usize) {
            if self.is_uniform(ipa) {
                self.frames(ipa, BLOCK, 1)?;
                continue;
            }
            self.table(ipa, 3)?;
            for page in (ipa..ipa + BLOCK).step_by((BATCH * PAGE) as usize) {
                self.frames(page, PAGE, BATCH)?;
            }
        }
        Ok(())
    }
}

fn retype(from: u64, kind: u64, parameter: u64, slot: u64, count: u64) -> Result<(), BuildError> {
    done(from, label::RETYPE, &[kind, parameter, root::CNODE, 0, 0, slot, count]).map(|_| ())
}

/// Puts `bytes` where the page is that is mapped at the window, and lets instruction fetches see them.
#[cfg(target_os = "none")]
fn copy(bytes: &[u8]) {
    // SAFETY: (1) the caller has mapped a fresh page there, writable, and gives it away afterwards; (2) at most a page is copied; (3) cache
    // maintenance by address is allowed to services. A line has 64 bytes or more.
    unsafe {
        core::ptr::copy_nonoverlapping(bytes.as_ptr(), WINDOW as *mut u8, bytes.len().min(PAGE as usize));
        for line in (WINDOW..WINDOW + PAGE).step_by(64) {
            core::arch::asm!("dc cvau, {}", in(reg) line, options(nostack));
        }
        core::arch::asm!("dsb ish", options(nostack));
        for line in (WINDOW..WINDOW + PAGE).step_by(64) {
            core::arch::asm!("ic ivau, {}", in(reg) line, options(nostack));
        }
        core::arch::asm!("dsb ish", "isb", options(nostack));
    }
}

#[cfg(not(target_os = "none"))]
fn copy(_: &[u8]) {}

/// This domain's place in the manifest; the boot page is at its own address in a service.
fn own() -> u64 {
    use core::sync::atomic::Ordering;
    OWN.load(Ordering::Relaxed)
}

static OWN: core::sync::atomic::AtomicU64 = core::sync::atomic::AtomicU64::new(0);

/// An invocation on another core, by its agent.
pub(crate) fn there(
    boot: &BootInfo,
    core: u64,
    address: u64,
    label: u64,
    arguments: &[u64],
) -> Result<(), BuildError> {
    let mut words = [0; 10];
    words[..2].copy_from_slice(&[address, label]);
    words.iter_mut().skip(2).zip(arguments).for_each(|(word, argument)| *word = *argument);
    done(root::OTHER_CORES + core, label::REMOTE, &words)?;
    loop {
        let mut answer = Registers::new(root::OTHER_CORES + core, &[]);
        invoke(label::INSPECT, &mut answer);
        match answer.status() {
            IN_PROGRESS => crate::wait(crate::calls::now() + boot.counter_hz / 20_000),
            0.. => return Ok(()),
            error => return Err(BuildError::Refused(address, label, error)),
        };
    }
}

/// Gives partition `index` an equal share of its core, and lets it run, unless it is cold.
fn start(boot: &BootInfo, index: u64, here: u64) -> Result<(), BuildError> {
    let core = core_of(boot, index);
    let others = (0..u64::from(boot.domains)).filter(|&d| core_of(boot, d) == core).count() as u64;
    let (domain, context) = (root::DOMAINS + index, root::CONTEXTS + index);
    let budget = PERIOD_US / (others + 1);
    let steps: [(u64, u64, &[u64]); 4] = [
        (domain, label::CONFIGURE, &[0, root::SPACES + index, 0]),
        (root::CORE, label::CARVE, &[budget, PERIOD_US, root::CNODE, context, 64]),
        (context, label::BIND, &[domain]),
        (domain, label::RESUME, &[]),
    ];
    let cold = boot.run.cold >> index & 1 == 1;
    for (address, label, arguments) in steps.into_iter().take(if cold { 3 } else { 4 }) {
        if core == here {
            done(address, label, arguments)?;
        } else {
            there(boot, core, address, label, arguments)?;
        }
    }
    Ok(())
}

pub(crate) fn core_of(boot: &BootInfo, index: u64) -> u64 {
    boot.partitions.get(index as usize).map_or(0, |p| p.core.into())
}

/// Builds and starts all partitions, if the manifest says that this domain `builds`: only then it has the bundle. On an error the
/// partition that it is about.
pub fn build(boot: &'static BootInfo) -> Result<(), (u64, BuildError)> {
    OWN.store(boot.domain.into(), core::sync::atomic::Ordering::Relaxed);
    let here = core_of(boot, boot.domain.into());
    let own = u64::from(boot.domain);
    let free = (root::UNTYPED..).zip(&boot.untyped).max_by_key(|(_, m)| m.size).map(|(slot, _)| slot);
    let Some(bytes) = crate::channel::module(boot, "bundle") else { return Ok(()) };
    let bundle = Bundle::trusted(bytes).ok();
    let prepare = || -> Result<(u64, Bundle<'_>), BuildError> {
        let (free, bundle) = (free.ok_or(BuildError::NoMemory)?, bundle.ok_or(BuildError::NoImage)?);
        retype(free, kind::PAGE_TABLE, 3, TABLE, 1)?;
        done(TABLE, label::MAP, &[root::SPACES + own, WINDOW, 0])?;
        done(root::CNODE, label::MOVE, &[TABLE + 1, 64, root::CNODE, TABLE, 64])?;
        Ok((free, bundle))
    };
    let (free, bundle) = prepare().map_err(|e| (own, e))?;
    for (index, part) in (0u64..).zip(&boot.partitions).take(boot.domains as usize) {
        let built = || -> Result<(), BuildError> {
            if part.memory.size > 0 {
                memory(index, part, free, &bundle)?;
            }
            if index != own { start(boot, index, here) } else { Ok(()) }
        };
        built().map_err(|e| (index, e))?;
    }
    Ok(())
}

fn memory(index: u64, part: &PartitionInfo, free: u64, bundle: &Bundle<'_>) -> Result<(), BuildError> {
    let image = bundle.find(name_str(&part.image)).ok_or(BuildError::NoImage)?;
    let (space, memory, kept) = (root::SPACES + index, root::MEMORY + index, KEPT + index);
    Building { space, memory, kept, free, count: 0, image }.build(part.memory.size)
}
