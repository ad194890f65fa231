//! Chance that all kernels share: where a program's parts lie in EL0's address space, and the bytes of `getrandom`.
//!
//! EL0 addresses are 39 bits wide ([`TASK_SIZE`]), pages 4 KiB. From the top: 16 pages that stay unmapped, the stack (grows down to
//! at most 8 MiB), a gap, then mappings from `mmap_top` downwards (highest gap that fits); a PIE lies at `pie_base`, the break begins
//! `brk_gap` above the program's last page.

use crate::digest::Encoder;

/// First address beyond EL0's.
pub const TASK_SIZE: u64 = 1 << 39;
/// Bytes of a page.
pub const PAGE: u64 = 4096;
/// The stack's greatest size, bytes (RLIMIT_STACK).
pub const STACK_MAX: u64 = 8 << 20;
/// Lowest address that mmap gives out or accepts.
pub const MMAP_MIN: u64 = 0x1_0000;

/// The places of one program after one exec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// First address above the stack, page-aligned.
    pub stack_top: u64,
    /// Mappings lie below this address, page-aligned.
    pub mmap_top: u64,
    /// Load bias of a position-independent program.
    pub pie_base: u64,
    /// Distance from the end of the program's last page to the break, page-aligned.
    pub brk_gap: u64,
    /// The 16 bytes of AT_RANDOM.
    pub at_random: [u8; 16],
}

/// The layout that the `exec`-th exec of the whole system draws (process 1's is number 0). `seed` is the log's.
pub fn layout(seed: &[u8; 32], exec: u64) -> Layout {
    let mut e = Encoder::new("tetrarch layout");
    e.raw(seed).u64(exec);
    let d = e.finish();
    let word = |i: usize| u64::from_le_bytes([d[i], d[i + 1], d[i + 2], d[i + 3], 0, 0, 0, 0]);
    let stack_top = TASK_SIZE - 16 * PAGE - (word(0) & 0x3fff) * PAGE;
    let mmap_top = TASK_SIZE - (256 << 20) - (word(4) & 0xffff) * PAGE;
    let pie_base = 0x55_5555_5000 + (word(8) & 0xf_ffff) * PAGE;
    let brk_gap = (word(12) & 0x1fff) * PAGE;
    let mut at_random = [0; 16];
    at_random.copy_from_slice(&d[16..]);
    Layout { stack_top, mmap_top, pie_base, brk_gap, at_random }
}

/// Fills `out` with the bytes `offset..` of the random stream of process number `process` (its serial, not its pid).
/// `getrandom` and `/dev/urandom` both read this stream; the process remembers how far.
pub fn random_bytes(seed: &[u8; 32], process: u64, offset: u64, out: &mut [u8]) {
    let mut hasher = blake3::Hasher::new_keyed(seed);
    hasher.update(b"tetrarch random").update(&process.to_le_bytes());
    let mut xof = hasher.finalize_xof();
    xof.set_position(offset);
    xof.fill(out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_never_overlap() {
        for exec in 0..10_000 {
            let l = layout(&[7; 32], exec);
            assert!(l.stack_top - STACK_MAX > l.mmap_top);
            assert!(l.pie_base + (1 << 34) < l.mmap_top);
            for a in [l.stack_top, l.mmap_top, l.pie_base, l.brk_gap] {
                assert_eq!(a % PAGE, 0);
            }
        }
    }

    #[test]
    fn random_stream_does_not_depend_on_how_it_is_cut() {
        let (mut whole, mut parts) = ([0; 100], [0; 100]);
        random_bytes(&[3; 32], 9, 0, &mut whole);
        for (i, chunk) in parts.chunks_mut(7).enumerate() {
            random_bytes(&[3; 32], 9, i as u64 * 7, chunk);
        }
        assert_eq!(whole, parts);
    }
}
