//! `memcpy` and `memset` for this kernel: the compiler's for a target of aligned accesses move most bytes one by one. A load or store of a pair
//! here needs no alignment: `start` turns the MMU on before the first Rust function runs, with SCTLR_EL1.A clear, and all that Rust
//! refers to is normal memory afterwards.
//!
//! What is shorter than a block is two accesses of one width, the second ending at the last byte; they overlap where it has to be. What is
//! longer is blocks of 64 bytes, and a last one that ends at the last byte.

use access::{get1, get4, get8, get16, put1, put4, put8, put16};

const BLOCK: usize = 64;

/// The accesses: one instruction each on the machine.
#[cfg(target_arch = "aarch64")]
mod access {
    use core::arch::asm;

    /// Defines a load and a store at a constant distance from a pointer.
    ///
    /// SAFETY of each: (1) the caller has that many bytes there, to read or to write; (2) only those are touched; (3) no alignment is
    /// asked for (see above); (4) nothing but the named registers changes.
    macro_rules! access {
        ($get:ident, $put:ident, $load:literal, $store:literal, $register:literal, $type:ty) => {
            #[inline(always)]
            pub unsafe fn $get<const O: usize>(from: *const u8) -> $type {
                let value;
                // SAFETY: as above.
                unsafe {
                    asm!(concat!($load, " {v", $register, "}, [{p}, #{o}]"), v = out(reg) value, p = in(reg) from, o = const O,
                        options(nostack, preserves_flags, readonly, pure));
                }
                value
            }
            #[inline(always)]
            pub unsafe fn $put<const O: usize>(to: *mut u8, value: $type) {
                // SAFETY: as above.
                unsafe {
                    asm!(concat!($store, " {v", $register, "}, [{p}, #{o}]"), v = in(reg) value, p = in(reg) to, o = const O,
                        options(nostack, preserves_flags));
                }
            }
        };
    }
    access!(get1, put1, "ldrb", "strb", ":w", u8);
    access!(get4, put4, "ldr", "str", ":w", u32);
    access!(get8, put8, "ldr", "str", ":x", u64);

    #[inline(always)]
    pub unsafe fn get16<const O: usize>(from: *const u8) -> (u64, u64) {
        let (a, b);
        // SAFETY: as above.
        unsafe {
            asm!("ldp {a}, {b}, [{p}, #{o}]", a = out(reg) a, b = out(reg) b, p = in(reg) from, o = const O,
                options(nostack, preserves_flags, readonly, pure));
        }
        (a, b)
    }
    #[inline(always)]
    pub unsafe fn put16<const O: usize>(to: *mut u8, (a, b): (u64, u64)) {
        // SAFETY: as above.
        unsafe {
            asm!("stp {a}, {b}, [{p}, #{o}]", a = in(reg) a, b = in(reg) b, p = in(reg) to, o = const O,
                options(nostack, preserves_flags));
        }
    }
}

/// The same on a host, for the tests of what is above the accesses.
#[cfg(not(target_arch = "aarch64"))]
mod access {
    macro_rules! access {
        ($get:ident, $put:ident, $type:ty) => {
            pub unsafe fn $get<const O: usize>(from: *const u8) -> $type {
                // SAFETY: the caller has these bytes.
                unsafe { from.add(O).cast::<$type>().read_unaligned() }
            }
            pub unsafe fn $put<const O: usize>(to: *mut u8, value: $type) {
                // SAFETY: the caller has these bytes.
                unsafe { to.add(O).cast::<$type>().write_unaligned(value) }
            }
        };
    }
    access!(get1, put1, u8);
    access!(get4, put4, u32);
    access!(get8, put8, u64);
    access!(get16, put16, (u64, u64));
}

/// Copies `n` bytes.
///
/// # Safety
/// `n` bytes can be read at `from` and written at `to`, and the two do not overlap.
#[cfg_attr(target_os = "none", unsafe(no_mangle))]
pub unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    // SAFETY: (1) each access lies within the `n` bytes: of a width of at most `n` it begins at 0 or ends at `n`, and a block begins `at`, with
    // `at + BLOCK` below `n`; (2) what is written twice is the same both times, for the source is not written.
    unsafe {
        if n > BLOCK {
            let mut at = 0;
            while at < n - BLOCK {
                block(to.wrapping_add(at), from.wrapping_add(at));
                at = at.wrapping_add(BLOCK);
            }
            block(to.wrapping_add(n - BLOCK), from.wrapping_add(n - BLOCK));
            return to;
        }
        let (last_to, last_from) = (to.wrapping_add(n), from.wrapping_add(n));
        if n >= 16 {
            if n > 32 {
                put16::<16>(to, get16::<16>(from));
                let last = (last_to.wrapping_sub(32), last_from.wrapping_sub(32));
                put16::<0>(last.0, get16::<0>(last.1));
            }
            put16::<0>(to, get16::<0>(from));
            put16::<0>(last_to.wrapping_sub(16), get16::<0>(last_from.wrapping_sub(16)));
        } else if n >= 8 {
            put8::<0>(to, get8::<0>(from));
            put8::<0>(last_to.wrapping_sub(8), get8::<0>(last_from.wrapping_sub(8)));
        } else if n >= 4 {
            put4::<0>(to, get4::<0>(from));
            put4::<0>(last_to.wrapping_sub(4), get4::<0>(last_from.wrapping_sub(4)));
        } else if n > 0 {
            put1::<0>(to, get1::<0>(from));
            put1::<0>(to.wrapping_add(n / 2), get1::<0>(from.wrapping_add(n / 2)));
            put1::<0>(last_to.wrapping_sub(1), get1::<0>(last_from.wrapping_sub(1)));
        }
    }
    to
}

/// One block: its loads before its stores.
///
/// # Safety
/// As for [`memcpy`] of [`BLOCK`] bytes.
#[inline(always)]
unsafe fn block(to: *mut u8, from: *const u8) {
    // SAFETY: 64 bytes are the caller's.
    unsafe {
        let (a, b, c, d) = (get16::<0>(from), get16::<16>(from), get16::<32>(from), get16::<48>(from));
        put16::<0>(to, a);
        put16::<16>(to, b);
        put16::<32>(to, c);
        put16::<48>(to, d);
    }
}

/// Writes the low byte of `byte` to `n` bytes.
///
/// # Safety
/// `n` bytes can be written at `to`.
#[cfg_attr(target_os = "none", unsafe(no_mangle))]
pub unsafe extern "C" fn memset(to: *mut u8, byte: i32, n: usize) -> *mut u8 {
    let word = u64::from(byte as u8).wrapping_mul(0x0101_0101_0101_0101);
    let pair = (word, word);
    // SAFETY: each store lies within the `n` bytes, as in `memcpy`.
    unsafe {
        if n > BLOCK {
            let mut at = 0;
            while at < n - BLOCK {
                fill(to.wrapping_add(at), pair);
                at = at.wrapping_add(BLOCK);
            }
            fill(to.wrapping_add(n - BLOCK), pair);
            return to;
        }
        let last = to.wrapping_add(n);
        if n >= 16 {
            if n > 32 {
                put16::<16>(to, pair);
                put16::<0>(last.wrapping_sub(32), pair);
            }
            put16::<0>(to, pair);
            put16::<0>(last.wrapping_sub(16), pair);
        } else if n >= 8 {
            put8::<0>(to, word);
            put8::<0>(last.wrapping_sub(8), word);
        } else if n >= 4 {
            put4::<0>(to, word as u32);
            put4::<0>(last.wrapping_sub(4), word as u32);
        } else if n > 0 {
            put1::<0>(to, word as u8);
            put1::<0>(to.wrapping_add(n / 2), word as u8);
            put1::<0>(last.wrapping_sub(1), word as u8);
        }
    }
    to
}

/// As [`block`], of one pair.
///
/// # Safety
/// As for [`memset`] of [`BLOCK`] bytes.
#[inline(always)]
unsafe fn fill(to: *mut u8, pair: (u64, u64)) {
    // SAFETY: 64 bytes are the caller's.
    unsafe {
        put16::<0>(to, pair);
        put16::<16>(to, pair);
        put16::<32>(to, pair);
        put16::<48>(to, pair);
    }
}
