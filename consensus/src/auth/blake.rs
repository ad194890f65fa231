//! What both ways to compute BLAKE3 know.

/// A key, or a chaining value, as words.
pub type Key = [u32; 8];

/// The message word that each round takes at each place: the permutation of table 2, applied again for each round.
pub const SCHEDULE: [[usize; 16]; 7] = schedule();

const fn schedule() -> [[usize; 16]; 7] {
    const PERMUTATION: [usize; 16] = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
    let mut rounds = [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]; 7];
    let mut round = 1;
    while round < 7 {
        let mut i = 0;
        while i < 16 {
            rounds[round][i] = rounds[round - 1][PERMUTATION[i]];
            i += 1;
        }
        round += 1;
    }
    rounds
}

/// The words of `bytes`.
#[inline(always)]
pub fn words<const WORDS: usize>(bytes: &[u8]) -> [u32; WORDS] {
    let (chunks, _) = bytes.as_chunks::<4>();
    core::array::from_fn(|i| chunks.get(i).map_or(0, |b| u32::from_le_bytes(*b)))
}
