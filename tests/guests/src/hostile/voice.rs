//! What can be said: this kernel's rings are its own, and hold what it likes. Another lie in every other life.

use crate::attempts::Attempts;
use core::sync::atomic::{AtomicU64, Ordering};
use ipc::{BroadcastWriter, Send};
use runtime::Channel;
use runtime::abi::bootinfo::{BootInfo, ROLE_WRITER, name_str};
use runtime::abi::digest::effect_digest;
use runtime::abi::ring::{OFFSET_CAPACITY, OFFSET_DATA, OFFSET_HEAD, OFFSET_RESERVE, OFFSET_VERSION_EPOCH};
use runtime::abi::vote::{EffectKind, NO_DEADLINE, Vote};
use runtime::say;

/// Words stored at random.
const STORES: u64 = 20_000;
/// What the console must never show.
const FORGED: &[u8] = b"FORGED\r\n";

struct Voice {
    channel: Channel,
    ring: BroadcastWriter<'static>,
}

impl Voice {
    fn say(&mut self, vote: &Vote<'_>) {
        // It fits, or nobody hears it: both will do.
        let _ = self.ring.send(vote, &mut [0; 512]);
        self.channel.ring();
    }

    fn effect(&mut self, n: u64, kind: EffectKind, payload: &[u8]) {
        let digest = effect_digest(n, n, kind, payload);
        self.say(&Vote::Effect { n, call: n, kind, digest, payload });
    }

    fn words(&self) -> &'static [AtomicU64] {
        self.channel.words()
    }

    fn store(&self, offset: usize, word: u64) {
        if let Some(at) = self.words().get(offset / 8) {
            at.store(word, Ordering::Release);
        }
    }
}

/// A lie's name, and the lie.
type Lie = (&'static str, fn(&mut Voice, &mut Attempts));

const LIES: [Lie; 9] = [
    ("outputs of its own", |v, _| (0..64).for_each(|n| v.effect(n, EffectKind::TtyOutput, FORGED))),
    ("the program's end", |v, _| v.effect(0, EffectKind::Exit, &0i32.to_le_bytes())),
    ("sync points to come", |v, _| {
        for s in [0, 1, 5, 1 << 20, u64::MAX] {
            let (call, effects) = (s.wrapping_mul(64), s);
            v.say(&Vote::Passed { s, call, effects, runnable: true, deadline_us: NO_DEADLINE, state: None });
        }
        v.say(&Vote::Took { call: u64::MAX });
    }),
    ("calls that it will not make", |v, _| (0..1000).for_each(|call| v.say(&Vote::Stuck { call: call * 7 }))),
    ("no votes", |v, random| {
        for _ in 0..200 {
            let bytes: [u8; 64] = core::array::from_fn(|_| random.word() as u8);
            let _ = v.ring.write(&bytes);
        }
        v.channel.ring();
    }),
    ("a snapshot that is none", |v, _| {
        for s in 0..64 {
            v.say(&Vote::Snapshot { s, call: s, effects: 0, root: [s as u8; 32] });
        }
    }),
    ("lengths that are none", |v, _| {
        let head = v.ring.position();
        let capacity = v.words()[OFFSET_CAPACITY / 8].load(Ordering::Relaxed).max(1);
        for (i, length) in [u64::from(u32::MAX), 0, 65_537, 1 << 31, 1 << 16].into_iter().enumerate() {
            let at = head.wrapping_add(i as u64 * 16);
            v.store(OFFSET_DATA + (at % capacity) as usize, length | at << 32);
            v.store(OFFSET_RESERVE, at.wrapping_add(16));
            v.store(OFFSET_HEAD, at.wrapping_add(16));
            v.channel.ring();
        }
    }),
    ("a head that runs away", |v, _| {
        for n in 0..5_000u64 {
            v.store(OFFSET_HEAD, n << 20 | n & 7);
            v.channel.ring();
        }
    }),
    ("another ring than it was", |v, random| {
        for n in 0..5_000 {
            for offset in [OFFSET_CAPACITY, OFFSET_VERSION_EPOCH, OFFSET_RESERVE, 0] {
                v.store(offset, random.word());
            }
            if n % 16 == 0 {
                v.channel.ring();
            }
        }
    }),
];

/// This life's lie, and then anything at all, in each channel that is its own.
pub fn shout(boot: &'static BootInfo, life: u64, attempts: &mut Attempts) {
    let own = || boot.channels.iter().filter(|c| c.role == ROLE_WRITER).map(|c| name_str(&c.name));
    let effects = own().find(|name| name.starts_with("effects-")).and_then(|n| Channel::find(boot, n));
    let Some(channel) = effects else { panic!("this kernel has no channel for its effects") };
    let Some(ring) = BroadcastWriter::new(channel.words()) else { panic!("its ring is too small") };
    let mut voice = Voice { channel, ring };
    let (name, lie) = LIES[life as usize / 2 % LIES.len()];
    say!("hostile: life {life} tells of {name}");
    lie(&mut voice, attempts);
    // A lie that is believed shows before the noise.
    let heard = runtime::calls::now() + boot.counter_hz;
    while runtime::calls::now() < heard {
        runtime::wait(heard);
    }
    for channel in own().filter_map(|name| Channel::find(boot, name)) {
        let words = channel.words();
        for n in 0..STORES {
            // The header's words as often as all others.
            let bound = if n % 2 == 0 { 32 } else { words.len() };
            let (at, word) = (attempts.word() as usize % bound, attempts.word());
            words[at].store(word, Ordering::Release);
            attempts.count(false, "store", at as u64);
            if n % 64 == 0 {
                channel.ring();
            }
        }
    }
}
