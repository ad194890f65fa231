//! The words by which cores reach each other. Each is atomic, and its meaning complete in one word: no lock, no order between two.

use abi::bootinfo::{DOMAINS_MAX, DomainState};
use abi::handover::CORES_MAX;
use abi::hypercall::Inject;
use core::sync::atomic::{AtomicU64, Ordering};

/// Notification words by domain.
static WORDS: [AtomicU64; DOMAINS_MAX] = [const { AtomicU64::new(0) }; DOMAINS_MAX];

/// Requests to a core: a word for each kind, a bit for each domain.
static MAIL: [[AtomicU64; Inject::ALL.len()]; CORES_MAX] =
    [const { [const { AtomicU64::new(0) }; _] }; CORES_MAX];

/// The table that domains read at `bootinfo::STATUS_IPA`: rows of four words, as `bootinfo::DomainStatus` lays them out.
#[repr(C, align(4096))]
struct Status([[AtomicU64; 4]; 128]);

/// A known symbol, for debuggers.
#[unsafe(no_mangle)]
#[allow(unsafe_code)] // A fixed symbol name is the point; no other symbol of the image has it.
static EL2_STATUS: Status = Status([const { [const { AtomicU64::new(0) }; 4] }; 128]);

/// Sets `bits` of domain `domain`'s word; true when it was zero, so that its core must be told.
pub fn ring(domain: usize, bits: u64) -> bool {
    WORDS.get(domain).is_some_and(|w| w.fetch_or(bits, Ordering::AcqRel) == 0)
}

/// Takes and clears the word.
pub fn take_word(domain: usize) -> u64 {
    WORDS.get(domain).map_or(0, |w| w.swap(0, Ordering::AcqRel))
}

/// Whether the word holds something.
pub fn has_word(domain: usize) -> bool {
    WORDS.get(domain).is_some_and(|w| w.load(Ordering::Acquire) != 0)
}

/// Puts a request into core `core`'s mailbox.
pub fn post(core: usize, domain: usize, kind: Inject) {
    if let Some(m) = MAIL.get(core).and_then(|m| m.get(kind as usize - 1)) {
        m.fetch_or(1 << domain, Ordering::AcqRel);
    }
    if let Some(p) = POST.get(core) {
        p.fetch_or(ON_DEMAND, Ordering::AcqRel);
    }
}

/// Takes what was asked of `core` of one kind, a bit a domain.
pub fn take_mail(core: usize, kind: Inject) -> u64 {
    MAIL.get(core).and_then(|m| m.get(kind as usize - 1)).map_or(0, |m| m.swap(0, Ordering::AcqRel))
}

/// By core: where its capability store lies. A known symbol: `make state` reads it.
#[unsafe(no_mangle)]
#[allow(unsafe_code)] // As `EL2_STATUS`.
static EL2_STORES: [AtomicU64; CORES_MAX] = [const { AtomicU64::new(0) }; CORES_MAX];

/// Says where core `core`'s store lies.
pub fn set_store(core: usize, address: u64) {
    if let Some(s) = EL2_STORES.get(core) {
        s.store(address, Ordering::Release);
    }
}

/// Bit of [`POST`]: there are requests in the mailbox.
pub const ON_DEMAND: u64 = 1 << 63;

/// By core: whose box of messages it should look into, and whether into its mailbox.
static POST: [AtomicU64; CORES_MAX] = [const { AtomicU64::new(0) }; CORES_MAX];

/// Core `from` has put something into its box for core `to`, or emptied the other's.
pub fn post_mail(to: usize, from: usize) {
    if let Some(p) = POST.get(to) {
        p.fetch_or(1 << from, Ordering::AcqRel);
    }
}

/// Whose boxes core `core` has to look into.
pub fn take_post(core: usize) -> u64 {
    POST.get(core).map_or(0, |p| if p.load(Ordering::Relaxed) == 0 { 0 } else { p.swap(0, Ordering::AcqRel) })
}

/// The status table's address.
pub fn status_address() -> u64 {
    &raw const EL2_STATUS as u64
}

fn row(domain: usize) -> &'static [AtomicU64; 4] {
    // As many rows as a page has; no domain is beyond.
    &EL2_STATUS.0[domain % 128]
}

/// Says that `domain` runs, or is cold, and is its so manieth successor.
pub fn set_begun(domain: usize, restarts: u64, cold: bool) {
    let state = if cold { DomainState::Cold } else { DomainState::Running };
    let word = (restarts & 0xffff) << 16 | state as u64;
    row(domain)[0].store(word, Ordering::Release);
}

/// Says that `domain` is about to begin anew. Whether it was cold.
pub fn set_restarting(domain: usize) -> bool {
    let word = row(domain)[0].load(Ordering::Relaxed);
    row(domain)[0].store(restarts(domain) | DomainState::Restarting as u64, Ordering::Release);
    word & 0xffff == DomainState::Cold as u64
}

/// What the table says of its restarts, where it stands in the first word.
fn restarts(domain: usize) -> u64 {
    row(domain)[0].load(Ordering::Relaxed) & 0xffff_0000
}

/// Says that `domain` crashed: why and where. The state is written last.
pub fn set_crashed(domain: usize, cause: u32, pc: u64, address: u64) {
    let row = row(domain);
    row[1].store(pc, Ordering::Relaxed);
    row[2].store(address, Ordering::Relaxed);
    let word = u64::from(cause) << 32 | restarts(domain) | DomainState::Crashed as u64;
    row[0].store(word, Ordering::Release);
}

/// Says how often the domain with place `index - 1` in the manifest has entered EL2.
pub fn set_exits(index: u64, exits: u64) {
    if index != 0 {
        row(index as usize - 1)[3].store(exits, Ordering::Relaxed);
    }
}
