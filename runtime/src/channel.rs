//! A domain's channels and modules as memory: shared words, because the other side may change them at any time. What the words
//! mean is the `ipc` crate's business.

use abi::bootinfo::*;
use core::sync::atomic::AtomicU64;

/// One channel of this domain.
#[derive(Clone, Copy)]
pub struct Channel {
    /// Its number: the bit in the notification word, and what `signal` takes.
    pub index: usize,
    /// What the boot page says about it.
    pub info: ChannelInfo,
    words: &'static [AtomicU64],
    /// Virtual minus intermediate physical address of this channel's pages.
    offset: u64,
}

impl Channel {
    /// The channel `name` of this domain, mapped one to one; `None` if it has none of that name.
    pub fn find(boot: &'static BootInfo, name: &str) -> Option<Channel> {
        // SAFETY: EL2 mapped the region at its own address (flat services, and kernels whose map is one to one).
        unsafe { Channel::at(boot, name, boot.channels[index_of(boot, name)?].ipa) }
    }

    /// The channel `name`, whose region the caller has mapped at `base`.
    ///
    /// # Safety
    /// 1. The whole region is mapped at `base`, normal memory, write-back, for ever.
    /// 2. Position pages, if they are used, are mapped at the same distance from their own addresses.
    pub unsafe fn at(boot: &'static BootInfo, name: &str, base: u64) -> Option<Channel> {
        let index = index_of(boot, name)?;
        let info = boot.channels[index];
        // SAFETY: (1) the caller mapped the region, which is aligned to pages; (2) all access is by atomics, so that the other side may
        // write at any time; readers never store.
        let words = unsafe { core::slice::from_raw_parts(base as *const AtomicU64, info.size as usize / 8) };
        Some(Channel { index, info, words, offset: base.wrapping_sub(info.ipa) })
    }

    /// The region. A reader that stores into it is killed by stage 2.
    pub fn words(&self) -> &'static [AtomicU64] {
        self.words
    }

    /// Whether this domain writes.
    pub fn writes(&self) -> bool {
        self.info.role == ROLE_WRITER
    }

    /// Of a *stream* channel: the reader's position. The reader stores it, the writer reads it (and is killed if it stores).
    pub fn position(&self) -> Option<&'static AtomicU64> {
        let address = match (self.info.stream, self.info.role) {
            (1, ROLE_READER) => POSITION_IPA,
            (1, ROLE_WRITER) => PEER_POSITION_IPA + self.index as u64 * 4096,
            _ => return None,
        };
        let word = address.wrapping_add(self.offset) + self.index as u64 * 8;
        // SAFETY: (1) EL2 mapped the page (`bootinfo`), and the caller of `at` at the same offset; (2) access is atomic.
        Some(unsafe { &*(word as *const AtomicU64) })
    }

    /// Rings the other side.
    pub fn ring(&self) {
        // The channel exists and is ours: EL2 cannot refuse.
        let _ = crate::calls::signal(self.index);
    }

    /// This channel's bit in the notification word.
    pub fn bit(&self) -> u64 {
        1 << self.index
    }
}

fn index_of(boot: &BootInfo, name: &str) -> Option<usize> {
    boot.channels.iter().position(|c| c.role != ROLE_NONE && name_str(&c.name) == name)
}

/// The bytes of module `name`; `None` if the bundle had none. Flat services and kernels mapped one to one.
pub fn module(boot: &'static BootInfo, name: &str) -> Option<&'static [u8]> {
    // SAFETY: EL2 mapped the modules at their own addresses.
    unsafe { module_at(boot, name, 0) }
}

/// As [`module`], for a kernel that maps the modules at `virtual = ipa + offset`.
///
/// # Safety
/// All modules are mapped so, readable, normal memory, for ever.
pub unsafe fn module_at(boot: &'static BootInfo, name: &str, offset: u64) -> Option<&'static [u8]> {
    let m = boot.modules.iter().find(|m| m.size > 0 && name_str(&m.name) == name)?;
    let start = m.ipa.wrapping_add(offset) as *const u8;
    // SAFETY: (1) EL2 mapped the module read-only, the caller at this address; (2) nobody writes it.
    Some(unsafe { core::slice::from_raw_parts(start, m.size as usize) })
}

/// State of domain `domain` as EL2 last wrote it: state and restarts (16 bits each) and cause (32) in the first word, pc, address, exits.
/// Flat services and kernels mapped one to one.
pub fn status(domain: usize) -> Option<DomainStatus> {
    use core::sync::atomic::Ordering;
    if domain >= DOMAINS_MAX {
        return None;
    }
    // SAFETY: (1) EL2 mapped the table (one page, DOMAINS_MAX rows of four words); (2) access is atomic.
    let row = unsafe { &*((STATUS_IPA + domain as u64 * 32) as *const [AtomicU64; 4]) };
    let first = row[0].load(Ordering::Acquire);
    let [_, pc, address, exits] = row.each_ref().map(|w| w.load(Ordering::Relaxed));
    let (state, restarts, cause) = (first as u16, (first >> 16) as u16, (first >> 32) as u32);
    Some(DomainStatus { state, restarts, cause, pc, address, exits })
}
