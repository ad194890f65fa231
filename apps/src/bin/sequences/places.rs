//! Where the sequences' memory lies: the same addresses on every kernel, whatever its own layout.

use apps::Random;

/// Bytes to write from; random, never changed.
pub const SOURCE: u64 = 0x10_0000_0000;
pub const SOURCE_SIZE: u64 = 18 * 4096;
/// Where answers go.
pub const SINK: u64 = 0x10_1000_0000;
pub const SINK_SIZE: u64 = 18 * 4096;
/// Structures that calls are given.
pub const ARGUMENTS: u64 = 0x10_2000_0000;
/// The alternate signal stack.
pub const STACK: u64 = 0x10_3000_0000;
pub const STACK_SIZE: u64 = 8 * 4096;
/// Mapped, unmapped and protected at random.
pub const FREE: u64 = 0x20_0000_0000;
pub const FREE_PAGES: u64 = 64;
/// Where mremap moves to; beyond it nothing of a sequence lies.
pub const MOVED: u64 = FREE + (1 << 30);
pub const BEYOND: u64 = FREE + (2 << 30);

/// Maps all but FREE, and fills SOURCE.
pub fn fill() {
    for (at, size) in [(SOURCE, SOURCE_SIZE), (SINK, SINK_SIZE), (ARGUMENTS, 4096), (STACK, STACK_SIZE)] {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        // SAFETY: (1) nothing of a static program lies there.
        let got = unsafe {
            libc::mmap(at as *mut _, size as usize, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
        };
        assert_eq!(got as u64, at);
    }
    let random = Random::new(0x5eed);
    // SAFETY: (1) mapped above, writable, and used by nobody else yet.
    let words = unsafe { std::slice::from_raw_parts_mut(SOURCE as *mut u64, SOURCE_SIZE as usize / 8) };
    words.iter_mut().for_each(|w| *w = random.next() | 0x0101_0101_0101_0101);
    // SAFETY: (1) the region is ours, and from here on only read.
    unsafe { libc::mprotect(SOURCE as *mut _, SOURCE_SIZE as usize, libc::PROT_READ) };
}

/// Puts words where structures stand; their address.
pub fn structure(words: &[u64]) -> u64 {
    for (i, w) in words.iter().enumerate() {
        // SAFETY: (1) ARGUMENTS has a page; no list here is longer.
        unsafe { (ARGUMENTS as *mut u64).add(i).write(*w) };
    }
    ARGUMENTS
}

/// The bytes that a call left at `at`, if they all lie where answers go (or in a structure).
pub fn left(at: u64, length: u64) -> Option<&'static [u8]> {
    let inside = |base: u64, size: u64| at >= base && at < base + size && length <= base + size - at;
    if !inside(SINK, SINK_SIZE) && !inside(ARGUMENTS, 4096) {
        return None;
    }
    // SAFETY: (1) the range lies in a region that stays mapped and readable.
    Some(unsafe { std::slice::from_raw_parts(at as *const u8, length as usize) })
}

/// The `n`-th 32-bit word of such an answer.
pub fn word(bytes: &[u8], n: usize) -> u64 {
    bytes.get(n * 4..n * 4 + 4).map_or(0, |b| u64::from(u32::from_le_bytes([b[0], b[1], b[2], b[3]])))
}
