//! Keyed BLAKE3 of exactly one block, with keys kept as words; where there is no NEON (`wide.rs`).
//!
//! It is the same function as `blake3::keyed_hash` of 64 bytes (the test holds one against the other), without what a hasher of any length does around it: on
//! a processor without unaligned loads that is a third of each tag, and tags are most of what agreement costs. Names as in the BLAKE3 paper, section 2.2.

use super::blake::{Key, SCHEDULE, words};
use crate::wire::HEADER;

/// A block as words.
type Block = [u32; 16];

const IV: [u32; 4] = [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a];
/// CHUNK_START, CHUNK_END, ROOT, KEYED_HASH.
const FLAGS: u32 = 1 | 2 | 8 | 16;
#[inline(always)]
fn g(v: &mut Block, [a, b, c, d]: [usize; 4], x: u32, y: u32) {
    v[a] = v[a].wrapping_add(v[b]).wrapping_add(x);
    v[d] = (v[d] ^ v[a]).rotate_right(16);
    v[c] = v[c].wrapping_add(v[d]);
    v[b] = (v[b] ^ v[c]).rotate_right(12);
    v[a] = v[a].wrapping_add(v[b]).wrapping_add(y);
    v[d] = (v[d] ^ v[a]).rotate_right(8);
    v[c] = v[c].wrapping_add(v[d]);
    v[b] = (v[b] ^ v[c]).rotate_right(7);
}

#[inline(always)]
fn round<const R: usize>(v: &mut Block, m: &Block) {
    let s = &SCHEDULE[R];
    g(v, [0, 4, 8, 12], m[s[0]], m[s[1]]);
    g(v, [1, 5, 9, 13], m[s[2]], m[s[3]]);
    g(v, [2, 6, 10, 14], m[s[4]], m[s[5]]);
    g(v, [3, 7, 11, 15], m[s[6]], m[s[7]]);
    g(v, [0, 5, 10, 15], m[s[8]], m[s[9]]);
    g(v, [1, 6, 11, 12], m[s[10]], m[s[11]]);
    g(v, [2, 7, 8, 13], m[s[12]], m[s[13]]);
    g(v, [3, 4, 9, 14], m[s[14]], m[s[15]]);
}

/// The first 16 bytes of the keyed hash of a header.
pub fn tag(key: &Key, header: &[u8; HEADER]) -> [u32; 4] {
    let block = &words(header);
    let [k0, k1, k2, k3, k4, k5, k6, k7] = *key;
    let [i0, i1, i2, i3] = IV;
    let mut v = [k0, k1, k2, k3, k4, k5, k6, k7, i0, i1, i2, i3, 0, 0, HEADER as u32, FLAGS];
    round::<0>(&mut v, block);
    round::<1>(&mut v, block);
    round::<2>(&mut v, block);
    round::<3>(&mut v, block);
    round::<4>(&mut v, block);
    round::<5>(&mut v, block);
    round::<6>(&mut v, block);
    [v[0] ^ v[8], v[1] ^ v[9], v[2] ^ v[10], v[3] ^ v[11]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_blake3(key in any::<[u8; 32]>(), block in any::<[u8; 32]>(), rest in any::<[u8; 32]>()) {
            let bytes = [block, rest].concat();
            let expected = blake3::keyed_hash(&key, &bytes);
            let tag = tag(&words(&key), bytes.first_chunk().unwrap());
            prop_assert_eq!(&tag.map(u32::to_le_bytes).concat()[..], &expected.as_bytes()[..16]);
        }
    }
}
