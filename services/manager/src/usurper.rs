//! On demand: this manager turns hostile, and tries whatever its capabilities let it.

use abi::capability::{label, root};
use runtime::capability::{Registers, invoke};

/// Invocations at random, besides every label on every slot.
const RANDOM: u64 = 50_000;
/// The last label.
const LABELS: u64 = label::RESTART;

/// A word of a sequence that looks random (SplitMix64).
fn word(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ *state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// Labels that could wait for ever are not tried: nobody could tell.
fn waits(label: u64) -> bool {
    use label::*;
    matches!(label, SEND | CALL | RECV | REPLY_RECV | WAIT)
}

/// Tries; how often, and how often something took effect.
pub fn everything(seed: u64) -> [u64; 2] {
    let (mut state, mut tried, mut took_effect) = (seed, 0, 0);
    let mut one = |address: u64, label: u64, arguments: &[u64]| {
        let mut registers = Registers::new(address, arguments);
        invoke(label, &mut registers);
        tried += 1;
        took_effect += u64::from(registers.status() >= 0);
    };
    for slot in 0..1 << root::RADIX {
        for label in (1..=LABELS).filter(|l| !waits(*l)) {
            one(slot, label, &[root::CNODE, 64, root::CNODE, root::CORE, 64, 15]);
        }
    }
    for _ in 0..RANDOM {
        let label = 1 + word(&mut state) % LABELS;
        let mut arguments = [0; 8];
        arguments.iter_mut().for_each(|a| *a = word(&mut state) >> (word(&mut state) & 63));
        if !waits(label) {
            one(word(&mut state) >> (word(&mut state) & 63), label, &arguments);
        }
        // By mail, on a core of others.
        let there = root::OTHER_CORES + word(&mut state) % 8;
        one(
            there,
            label::REMOTE,
            &[word(&mut state) % 512, 1 + word(&mut state) % LABELS, arguments[0] % 512, 64],
        );
    }
    [tried, took_effect]
}
