//! Calls with arguments that nobody should pass. EL2 may answer what it likes, but must go on.

use runtime::abi::hypercall::Call;
use runtime::{calls, say};

const ODD: [u64; 12] =
    [0, 1, 31, 32, 63, 257, 0x1000_0000, 0x3fff_ffff, 0x4000_0000, 1 << 63, u64::MAX - 1, u64::MAX];

/// Twenty thousand calls from `seed`.
pub fn calls(seed: u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..20_000 {
        let mut pick = || if next() % 4 == 0 { next() } else { ODD[next() as usize % ODD.len()] };
        let (number, a, b) = (pick() % 12, pick(), pick());
        let text = number == Call::Text as u64 && b <= 256;
        if number == Call::Wait as u64 || number == Call::Crash as u64 || text {
            // They do what they say with any argument.
            continue;
        }
        calls::any(if a == 1 << 63 { a } else { number }, a, b);
    }
    say!("fuzz ok");
}
