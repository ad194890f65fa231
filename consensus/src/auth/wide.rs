//! BLAKE3 with four words in each register: of one block by the rows of its state, of long input four chunks side by side.
//!
//! The same function as the crate's, which is what the tests hold it against; the crate's own NEON is C, knows four chunks only (what is left
//! over, parents and tags stay scalar) and could not be had for services without giving it to EL2. Names as in the BLAKE3 paper, section 2.

use super::blake::{Key, SCHEDULE};
use super::lanes::Lanes;
use crate::Digest;
use crate::wire::HEADER;

/// Bytes of a chunk, and of a block.
const CHUNK: usize = 1024;
const BLOCK: usize = 64;
/// Chunks of the longest input; beyond it is the crate's.
const CHUNKS_MAX: usize = 16;

const CHUNK_START: u32 = 1;
const CHUNK_END: u32 = 2;
const PARENT: u32 = 4;
const ROOT: u32 = 8;
const KEYED_HASH: u32 = 16;
const IV: Key =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// For each round the bytes of its message words, as the four steps of the rows take them: x and y of the columns, x and y of the diagonals.
static PICKS: [[[u8; 16]; 4]; 7] = picks();

const fn picks() -> [[[u8; 16]; 4]; 7] {
    let mut picks = [[[0; 16]; 4]; 7];
    let mut i = 0;
    while i < 7 * 4 * 16 {
        let (round, step, byte) = (i / 64, i / 16 % 4, i % 16);
        let word = SCHEDULE[round][step / 2 * 8 + byte / 4 * 2 + step % 2];
        picks[round][step][byte] = (word * 4 + byte % 4) as u8;
        i += 1;
    }
    picks
}

/// G on four states at once, or on the four columns of one.
#[inline(always)]
fn g([a, b, c, d]: [Lanes; 4], x: Lanes, y: Lanes) -> [Lanes; 4] {
    let a = a.add(b).add(x);
    let d = d.xor(a).right_16();
    let c = c.add(d);
    let b = b.xor(c).right_12();
    let a = a.add(b).add(y);
    let d = d.xor(a).right_8();
    let c = c.add(d);
    [a, b.xor(c).right_7(), c, d]
}

/// The compression function, its first eight words.
#[inline(always)]
fn compress(cv: &[Lanes; 2], block: &[Lanes; 4], counter: u64, length: usize, flags: u32) -> [Lanes; 2] {
    let last = Lanes::new([counter as u32, (counter >> 32) as u32, length as u32, flags]);
    let mut v = [cv[0], cv[1], Lanes::new([IV[0], IV[1], IV[2], IV[3]]), last];
    // Kept in memory: folded into the code each row would be two instructions.
    for [x, y, x_, y_] in core::hint::black_box(&PICKS) {
        let [a, b, c, d] = g(v, Lanes::pick(block, x), Lanes::pick(block, y));
        let turned = [a, b.turn::<1>(), c.turn::<2>(), d.turn::<3>()];
        let [a, b, c, d] = g(turned, Lanes::pick(block, x_), Lanes::pick(block, y_));
        v = [a, b.turn::<3>(), c.turn::<2>(), d.turn::<1>()];
    }
    [v[0].xor(v[2]), v[1].xor(v[3])]
}

fn rows(cv: &Key) -> [Lanes; 2] {
    let [a, b, c, d, e, f, g, h] = *cv;
    [Lanes::new([a, b, c, d]), Lanes::new([e, f, g, h])]
}

fn flat([low, high]: [Lanes; 2]) -> Key {
    let ([a, b, c, d], [e, f, g, h]) = (low.words(), high.words());
    [a, b, c, d, e, f, g, h]
}

/// The first 16 bytes of the keyed hash of a header.
#[inline]
pub fn tag(key: &Key, header: &[u8; HEADER]) -> [u32; 4] {
    let flags = CHUNK_START | CHUNK_END | ROOT | KEYED_HASH;
    compress(&rows(key), &Lanes::of_block(header), 0, HEADER, flags)[0].words()
}

/// Chaining value of a chunk of at most 1024 bytes; `last`: [`ROOT`] if it is the only one.
fn chunk(bytes: &[u8], counter: u64, last: u32) -> Key {
    let mut cv = rows(&IV);
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    let whole = blocks.len() - usize::from(rest.is_empty() && !blocks.is_empty());
    let mut flags = CHUNK_START;
    for block in &blocks[..whole] {
        cv = compress(&cv, &Lanes::of_block(block), counter, BLOCK, flags);
        flags = 0;
    }
    let mut end = [0; BLOCK];
    let tail = bytes.get(whole * BLOCK..).unwrap_or(&[]);
    end[..tail.len()].copy_from_slice(tail);
    flat(compress(&cv, &Lanes::of_block(&end), counter, tail.len(), flags | CHUNK_END | last))
}

fn parent(left: &Key, right: &Key, root: u32) -> Key {
    let ([a, b], [c, d]) = (rows(left), rows(right));
    flat(compress(&rows(&IV), &[a, b, c, d], 0, BLOCK, PARENT | root))
}

/// One round over four states.
#[inline(always)]
fn round<const R: usize>(v: &mut [Lanes; 16], m: &[Lanes; 16]) {
    let s = &SCHEDULE[R];
    let mut mix = |[a, b, c, d]: [usize; 4], x: usize, y: usize| {
        [v[a], v[b], v[c], v[d]] = g([v[a], v[b], v[c], v[d]], m[x], m[y]);
    };
    mix([0, 4, 8, 12], s[0], s[1]);
    mix([1, 5, 9, 13], s[2], s[3]);
    mix([2, 6, 10, 14], s[4], s[5]);
    mix([3, 7, 11, 15], s[6], s[7]);
    mix([0, 5, 10, 15], s[8], s[9]);
    mix([1, 6, 11, 12], s[10], s[11]);
    mix([2, 7, 8, 13], s[12], s[13]);
    mix([3, 4, 9, 14], s[14], s[15]);
}

/// Chaining values of four whole chunks, of which `counter` is the number of the first.
fn four_chunks(bytes: &[u8; 4 * CHUNK], counter: u64) -> [Key; 4] {
    let (chunks, _) = bytes.as_chunks::<CHUNK>();
    let all = |word: u32| Lanes::new([word; 4]);
    let mut cv = IV.map(all);
    let low = Lanes::new([0, 1, 2, 3].map(|i| (counter + i) as u32));
    let high = Lanes::new([0, 1, 2, 3].map(|i| ((counter + i) >> 32) as u32));
    for n in 0..CHUNK / BLOCK {
        let flags = match n {
            0 => CHUNK_START,
            15 => CHUNK_END,
            _ => 0,
        };
        let block = |i: usize| Lanes::of_block(&chunks[i].as_chunks::<BLOCK>().0[n]);
        let rows = [block(0), block(1), block(2), block(3)];
        let quarter = |q: usize| Lanes::transpose([rows[0][q], rows[1][q], rows[2][q], rows[3][q]]);
        let [[m0, m1, m2, m3], [m4, m5, m6, m7], [m8, m9, m10, m11], [m12, m13, m14, m15]] =
            [quarter(0), quarter(1), quarter(2), quarter(3)];
        let m = [m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15];
        let [c0, c1, c2, c3, c4, c5, c6, c7] = cv;
        let [i0, i1, i2, i3] = [IV[0], IV[1], IV[2], IV[3]].map(all);
        let mut v =
            [c0, c1, c2, c3, c4, c5, c6, c7, i0, i1, i2, i3, low, high, all(BLOCK as u32), all(flags)];
        round::<0>(&mut v, &m);
        round::<1>(&mut v, &m);
        round::<2>(&mut v, &m);
        round::<3>(&mut v, &m);
        round::<4>(&mut v, &m);
        round::<5>(&mut v, &m);
        round::<6>(&mut v, &m);
        cv = core::array::from_fn(|i| v[i].xor(v[i + 8]));
    }
    let [c0, c1, c2, c3, c4, c5, c6, c7] = cv;
    let (low, high) = (Lanes::transpose([c0, c1, c2, c3]), Lanes::transpose([c4, c5, c6, c7]));
    core::array::from_fn(|i| flat([low[i], high[i]]))
}

/// The hash of `bytes`.
pub fn hash(bytes: &[u8]) -> Digest {
    let mut cvs = heapless::Vec::<Key, CHUNKS_MAX>::new();
    if bytes.len() > CHUNKS_MAX * CHUNK {
        return *blake3::hash(bytes).as_bytes();
    }
    if bytes.len() <= CHUNK {
        return digest(&chunk(bytes, 0, ROOT));
    }
    let (fours, rest) = bytes.as_chunks::<{ 4 * CHUNK }>();
    for four in fours {
        let _room = cvs.extend_from_slice(&four_chunks(four, cvs.len() as u64));
    }
    for bytes in rest.chunks(CHUNK) {
        let _room = cvs.push(chunk(bytes, cvs.len() as u64, 0));
    }
    // Pair by pair, the odd one going up as it is: the left half is always the greatest power of two below.
    while cvs.len() > 2 {
        let next = cvs.chunks(2).map(|pair| match pair {
            [left, right] => parent(left, right, 0),
            odd => odd.first().copied().unwrap_or(IV),
        });
        cvs = next.collect();
    }
    match cvs[..] {
        [left, right] => digest(&parent(&left, &right, ROOT)),
        _ => *blake3::hash(bytes).as_bytes(),
    }
}

fn digest(cv: &Key) -> Digest {
    let mut digest = [0; 32];
    for (to, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(cv) {
        *to = word.to_le_bytes();
    }
    digest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::blake::words;
    use proptest::prelude::*;

    fn text(length: usize) -> Vec<u8> {
        (0..length).map(|i| (i * i % 251) as u8).collect()
    }

    #[test]
    fn each_length_hashes_as_the_crate_does() {
        for length in (0..=17 * CHUNK + 1).filter(|l| l % 61 == 0 || (l + 1) % BLOCK < 3) {
            let text = text(length);
            assert_eq!(hash(&text), *blake3::hash(&text).as_bytes(), "{length} bytes");
        }
    }

    proptest! {
        #[test]
        fn a_tag_is_the_crates(key in any::<[u8; 32]>(), header in prop::collection::vec(any::<u8>(), HEADER)) {
            let expected = blake3::keyed_hash(&key, &header);
            let tag = tag(&words(&key), header.first_chunk().unwrap());
            prop_assert_eq!(&tag.map(u32::to_le_bytes).concat()[..], &expected.as_bytes()[..16]);
        }
    }
}
