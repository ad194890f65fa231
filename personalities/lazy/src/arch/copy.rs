//! memcpy: 64 bytes a round, wherever they begin.
//!
//! The target forbids the compiler unaligned accesses, so what it brings moves 8 bytes a round, and 8 in 22 instructions where source and target
//! are not alike aligned. This kernel's memory is Normal and SCTLR_EL1.A is 0 from the moment the MMU is on (`boot.rs`), so that its loads and
//! stores take any address; before, nothing is copied. On the host the same moves are Rust's own, for the tests.

/// What moves some bytes, all loaded before the first is stored.
macro_rules! moves {
    ($name:ident, $bytes:literal, [$($register:ident),*], $($code:literal),*) => {
        /// # Safety
        /// So many bytes are readable at `from` and writable at `to`, and what is not Normal memory is aligned to 8 bytes.
        #[inline(always)]
        unsafe fn $name(to: *mut u8, from: *const u8) {
            // SAFETY: (1) the caller's; (2) nothing but these registers and those bytes change.
            #[cfg(target_os = "none")]
            unsafe {
                core::arch::asm!($($code,)* to = in(reg) to, from = in(reg) from, $($register = out(reg) _,)*
                    options(nostack, preserves_flags))
            }
            // SAFETY: (1) the caller's; (2) the accesses are unaligned ones.
            #[cfg(not(target_os = "none"))]
            unsafe {
                to.cast::<[u8; $bytes]>().write_unaligned(from.cast::<[u8; $bytes]>().read_unaligned())
            }
        }
    };
}

moves!(move_2, 2, [a], "ldrh {a:w}, [{from}]", "strh {a:w}, [{to}]");
moves!(move_4, 4, [a], "ldr {a:w}, [{from}]", "str {a:w}, [{to}]");
moves!(move_8, 8, [a], "ldr {a}, [{from}]", "str {a}, [{to}]");
moves!(move_16, 16, [a, b], "ldp {a}, {b}, [{from}]", "stp {a}, {b}, [{to}]");
moves!(
    move_64,
    64,
    [a, b, c, d, e, f, g, h],
    "ldp {a}, {b}, [{from}]",
    "ldp {c}, {d}, [{from}, #16]",
    "ldp {e}, {f}, [{from}, #32]",
    "ldp {g}, {h}, [{from}, #48]",
    "stp {a}, {b}, [{to}]",
    "stp {c}, {d}, [{to}, #16]",
    "stp {e}, {f}, [{to}, #32]",
    "stp {g}, {h}, [{to}, #48]"
);

/// Copies `count` bytes. What is left of the rounds goes by a last move that ends where the bytes end, and takes some of them once more.
///
/// # Safety
/// (1) `count` bytes are readable at `from` and writable at `to`; (2) they do not overlap; (3) the MMU is on.
#[inline(always)]
unsafe fn copy(mut to: *mut u8, mut from: *const u8, count: usize) {
    // SAFETY: (1) to (3) are the caller's; each move lies within the `count` bytes: it begins at the first that is left and `left` is at least
    // its length, or it ends with the last of them and `count` is at least its length.
    unsafe {
        let (to_end, from_end) = (to.add(count), from.add(count));
        let mut left = count;
        while left >= 64 {
            move_64(to, from);
            (to, from, left) = (to.add(64), from.add(64), left.wrapping_sub(64));
        }
        while left >= 16 {
            move_16(to, from);
            (to, from, left) = (to.add(16), from.add(16), left.wrapping_sub(16));
        }
        match (left, count) {
            (0, _) => {}
            (_, 16..) => move_16(to_end.sub(16), from_end.sub(16)),
            (_, 8..) => {
                move_8(to, from);
                move_8(to_end.sub(8), from_end.sub(8));
            }
            (_, 4..) => {
                move_4(to, from);
                move_4(to_end.sub(4), from_end.sub(4));
            }
            (_, 2..) => {
                move_2(to, from);
                move_2(to_end.sub(2), from_end.sub(2));
            }
            _ => *to = *from,
        }
    }
}

/// What the compiler calls to copy.
///
/// # Safety
/// As C's: see [`copy`].
#[cfg(target_os = "none")]
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // SAFETY: (1) the compiler's, which knows C's memcpy; (2) before the MMU is on nothing is copied.
    unsafe { copy(to, from, count) };
    to
}

#[cfg(test)]
mod tests {
    use super::copy;

    #[test]
    fn all_bytes_and_no_others_are_copied_wherever_they_begin() {
        const AROUND: usize = 32;
        let source: Vec<u8> = (0..400u32).map(|n| (n * 37 % 255) as u8).collect();
        for count in (0..200).chain([256, 300]) {
            for (from, to) in (0..16).flat_map(|from| (0..16).map(move |to| (from, to))) {
                let mut target = vec![0xff; AROUND + to + count + AROUND];
                // SAFETY: (1) both have so many bytes from there on; (2) they are two vectors; (3) on the host it is.
                unsafe { copy(target[AROUND + to..].as_mut_ptr(), source[from..].as_ptr(), count) };
                let (before, rest) = target.split_at(AROUND + to);
                let (copied, behind) = rest.split_at(count);
                assert!(copied == &source[from..from + count], "{count} bytes from {from} to {to}");
                let others = before.iter().chain(behind);
                assert!(others.clone().all(|b| *b == 0xff), "{count} bytes from {from} to {to}");
            }
        }
    }
}
