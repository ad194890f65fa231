//! Comparing digests, which is done a dozen times for each message.

use crate::Digest;

/// Whether two digests are equal. Behind aligned places that is four loads each. (`==` on arrays becomes `memcmp`, which goes byte by byte where unaligned
/// access is forbidden.)
#[inline(always)]
pub fn same(a: &Digest, b: &Digest) -> bool {
    let words = a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0);
    words.fold(0, |d, (a, b)| d | (u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b))) == 0
}

/// A digest at an aligned place.
#[derive(Clone, Copy, Debug, Eq)]
#[repr(align(8))]
pub struct Aligned(pub Digest);

impl PartialEq for Aligned {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        same(&self.0, &other.0)
    }
}

impl core::hash::Hash for Aligned {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bit_counts() {
        let digest: Digest = core::array::from_fn(|i| i as u8);
        assert!(same(&digest, &digest));
        for bit in 0..256 {
            let mut other = digest;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!same(&digest, &other) && Aligned(digest) != Aligned(other));
        }
    }
}
