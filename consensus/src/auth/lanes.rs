//! Four words at a time. NEON where the target has it; arrays in the host's tests, so that they hold the same algorithm against the crate.

#[cfg(target_feature = "neon")]
#[allow(unsafe_code)] // Intrinsics are unsafe to call for the one reason that `neon!` names.
mod neon {
    use core::arch::aarch64::*;

    /// An expression of intrinsics on values.
    macro_rules! neon {
        ($what:expr) => {
            // SAFETY: (1) this module exists only where the whole target has NEON; (2) no intrinsic here takes a pointer.
            unsafe { $what }
        };
    }

    /// Four words, the first in the lowest lane.
    #[derive(Clone, Copy)]
    pub struct Lanes(uint32x4_t);

    /// Puts each word's bytes one place down: a rotation by eight.
    const BYTE: [u8; 16] = [1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12];

    impl Lanes {
        #[inline(always)]
        pub fn new(words: [u32; 4]) -> Self {
            Lanes(zerocopy::transmute!(words))
        }

        #[inline(always)]
        pub fn words(self) -> [u32; 4] {
            zerocopy::transmute!(self.0)
        }

        #[inline(always)]
        pub fn of_block(block: &[u8; 64]) -> [Lanes; 4] {
            let rows: [uint32x4_t; 4] = zerocopy::transmute!(*block);
            rows.map(Lanes)
        }

        #[inline(always)]
        pub fn add(self, other: Lanes) -> Lanes {
            Lanes(neon!(vaddq_u32(self.0, other.0)))
        }

        #[inline(always)]
        pub fn xor(self, other: Lanes) -> Lanes {
            Lanes(neon!(veorq_u32(self.0, other.0)))
        }

        #[inline(always)]
        pub fn right_16(self) -> Lanes {
            Lanes(neon!(vreinterpretq_u32_u16(vrev32q_u16(vreinterpretq_u16_u32(self.0)))))
        }

        #[inline(always)]
        pub fn right_12(self) -> Lanes {
            Lanes(neon!(vsliq_n_u32::<20>(vshrq_n_u32::<12>(self.0), self.0)))
        }

        #[inline(always)]
        pub fn right_8(self) -> Lanes {
            let places = zerocopy::transmute!(BYTE);
            Lanes(neon!(vreinterpretq_u32_u8(vqtbl1q_u8(vreinterpretq_u8_u32(self.0), places))))
        }

        #[inline(always)]
        pub fn right_7(self) -> Lanes {
            Lanes(neon!(vsliq_n_u32::<25>(vshrq_n_u32::<7>(self.0), self.0)))
        }

        /// The lanes from the `N`-th on, then those before it.
        #[inline(always)]
        pub fn turn<const N: i32>(self) -> Lanes {
            Lanes(neon!(vextq_u32::<N>(self.0, self.0)))
        }

        /// The bytes of `rows` at the places in `which`.
        #[inline(always)]
        pub fn pick(rows: &[Lanes; 4], which: &[u8; 16]) -> Lanes {
            let [a, b, c, d] = rows.map(|row| neon!(vreinterpretq_u8_u32(row.0)));
            let places = zerocopy::transmute!(*which);
            Lanes(neon!(vreinterpretq_u32_u8(vqtbl4q_u8(uint8x16x4_t(a, b, c, d), places))))
        }

        /// Word i of each row becomes row i.
        #[inline(always)]
        pub fn transpose([a, b, c, d]: [Lanes; 4]) -> [Lanes; 4] {
            let pairs = |a: Lanes, b: Lanes| {
                neon!((
                    vreinterpretq_u64_u32(vtrn1q_u32(a.0, b.0)),
                    vreinterpretq_u64_u32(vtrn2q_u32(a.0, b.0))
                ))
            };
            let low = |a, b| Lanes(neon!(vreinterpretq_u32_u64(vtrn1q_u64(a, b))));
            let high = |a, b| Lanes(neon!(vreinterpretq_u32_u64(vtrn2q_u64(a, b))));
            let ((even, odd), (even_, odd_)) = (pairs(a, b), pairs(c, d));
            [low(even, even_), low(odd, odd_), high(even, even_), high(odd, odd_)]
        }
    }
}

#[cfg(not(target_feature = "neon"))]
mod arrays {
    use core::array::from_fn;

    /// Four words.
    #[derive(Clone, Copy)]
    pub struct Lanes([u32; 4]);

    impl Lanes {
        pub fn new(words: [u32; 4]) -> Self {
            Lanes(words)
        }

        pub fn words(self) -> [u32; 4] {
            self.0
        }

        pub fn of_block(block: &[u8; 64]) -> [Lanes; 4] {
            let word = |i: usize| u32::from_le_bytes([0, 1, 2, 3].map(|k| block[4 * i + k]));
            from_fn(|row| Lanes(from_fn(|i| word(4 * row + i))))
        }

        pub fn add(self, other: Lanes) -> Lanes {
            Lanes(from_fn(|i| self.0[i].wrapping_add(other.0[i])))
        }

        pub fn xor(self, other: Lanes) -> Lanes {
            Lanes(from_fn(|i| self.0[i] ^ other.0[i]))
        }

        pub fn right_16(self) -> Lanes {
            Lanes(self.0.map(|w| w.rotate_right(16)))
        }

        pub fn right_12(self) -> Lanes {
            Lanes(self.0.map(|w| w.rotate_right(12)))
        }

        pub fn right_8(self) -> Lanes {
            Lanes(self.0.map(|w| w.rotate_right(8)))
        }

        pub fn right_7(self) -> Lanes {
            Lanes(self.0.map(|w| w.rotate_right(7)))
        }

        pub fn turn<const N: i32>(self) -> Lanes {
            Lanes(from_fn(|i| self.0[(i + N as usize) % 4]))
        }

        pub fn pick(rows: &[Lanes; 4], which: &[u8; 16]) -> Lanes {
            let byte = |at: u8| {
                rows[usize::from(at / 16)].0[usize::from(at / 4 % 4)].to_le_bytes()[usize::from(at % 4)]
            };
            Lanes(from_fn(|i| u32::from_le_bytes([0, 1, 2, 3].map(|k| byte(which[4 * i + k])))))
        }

        pub fn transpose(rows: [Lanes; 4]) -> [Lanes; 4] {
            from_fn(|i| Lanes(rows.map(|row| row.0[i])))
        }
    }
}

#[cfg(not(target_feature = "neon"))]
pub use arrays::Lanes;
#[cfg(target_feature = "neon")]
pub use neon::Lanes;
