//! A world with one of everything, and inputs that mean something often enough.

#![allow(dead_code)] // Each test program uses a part.

use crate::common::*;
use capability_model::cap::{Cap, Leased};
use capability_model::invoke::WORDS;
use capability_model::lease::{About, Message};
use capability_model::mailbox::REQUEST_WORDS;
use capability_model::memory::PAGE;
use capability_model::{Label, Rights};

/// A gate that is still open, with one seat.
pub const OPEN: u64 = 21;

pub fn rich(pages: u64) -> World {
    let mut w = World::with_pages(pages);
    let kinds = [
        (K_ENDPOINT, 0),
        (K_NOTIFICATION, 0),
        (K_REPLY, 0),
        (K_FRAME, 0),
        (K_TABLE, 2),
        (K_TABLE, 3),
        (K_SPACE, 0),
        (K_GATE, 0),
        (K_CNODE, 3),
        (K_UNTYPED, 3),
        (K_UNTYPED, 1),
        (K_UNTYPED, 1),
        (K_FRAME, 0),
    ];
    for (slot, (kind, parameter)) in (FREE..).zip(kinds) {
        w.make(kind, parameter, slot);
    }
    let [endpoint, notification, _, frame, level2, level3, space, gate] =
        [0, 1, 2, 3, 4, 5, 6, 7].map(|i| FREE + i);
    w.make(K_GATE, 0, OPEN);
    done(w.invoke(OPEN, Label::Seat, &[0, ROOT, 23, 64]));
    w.domain_in(24);
    w.domain_in(25);
    done(w.mint(26, endpoint, Rights::ALL, 5));
    done(w.mint(27, notification, Rights::ALL, 6));
    for seat in 0..3 {
        done(w.invoke(gate, Label::Seat, &[seat, ROOT, 28 + seat, 64]));
    }
    done(w.invoke(gate, Label::Seal, &[2, 3, ROOT, 0, 0, FREE + 10, 1]));
    done(w.invoke(CORE, Label::Carve, &[1, 4, ROOT, 31, 64]));
    done(w.invoke(31, Label::Bind, &[24]));
    done(w.invoke(level2, Label::Map, &[space, 0]));
    done(w.invoke(level3, Label::Map, &[space, 0]));
    done(w.invoke(frame, Label::Map, &[space, 0x3000, 3]));
    done(w.invoke(FREE + 11, Label::Lease, &[1, 8, 64]));
    done(w.invoke(FREE + 12, Label::Lease, &[2, 8, 64, ROOT, 32, 64]));
    done(w.invoke(29, Label::Lease, &[3, 8, 64, ROOT, 33, 64]));
    done(w.invoke(32, Label::Bind, &[27]));
    done(w.invoke(IRQ, Label::Bind, &[27]));
    done(w.invoke(25, Label::Bind, &[notification]));
    w.store.install(w.slot(OTHER_CORE), Cap::Core { number: 1 });
    w.store.serve(2, w.domain);
    w.check();
    w
}

/// A word as a hostile caller would choose it.
pub fn word(random: &mut Random) -> u64 {
    match random.below(10) {
        0..=4 => random.below(44),
        5 => 64,
        6 => 1 << random.below(64),
        7 => u64::MAX >> random.below(64),
        8 => random.below(6),
        _ => random.next(),
    }
}

/// An invocation; four in five have a known label and a small address.
pub fn invocation(random: &mut Random) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    words.fill_with(|| word(random));
    if random.below(5) != 0 {
        words[0] = random.below(44);
        words[1] = 1 + random.below(Label::ALL.len() as u64);
    }
    if random.below(3) != 0 && words[1] <= 5 {
        // Slot operations with a root and depths that exist.
        (words[3], words[4], words[6]) = (64, ROOT, 64);
        (words[8], words[10]) = (ROOT, 64);
        if random.below(2) == 0 {
            (words[0], words[7], words[11]) = (ROOT, 15 * random.below(2), 0);
        }
    }
    if random.below(2) == 0 && words[1] == Label::Seat as u64 {
        words[..6].copy_from_slice(&[OPEN, Label::Seat as u64, random.below(9), ROOT, word(random), 64]);
    }
    if random.below(2) == 0 && words[1] == Label::Remote as u64 {
        (words[0], words[3]) = (OTHER_CORE, 1 + random.below(Label::ALL.len() as u64));
    }
    if random.below(2) == 0 && words[1] == Label::Seal as u64 {
        (words[0], words[2], words[3]) = (OPEN, random.below(3), random.below(3));
        (words[4], words[5], words[6]) = (ROOT, 0, 0);
    }
    if random.below(2) == 0 && words[1] == Label::Carve as u64 {
        words[..7].copy_from_slice(&[
            CORE,
            Label::Carve as u64,
            1,
            4 + random.below(8),
            ROOT,
            word(random),
            64,
        ]);
    }
    if random.below(2) == 0 && words[1] == Label::Retype as u64 {
        (words[2], words[3]) = random.of(&RETYPES);
        (words[4], words[5], words[6]) = (ROOT, 0, 0);
        (words[7], words[8]) = (34 + random.below(30), random.below(4));
    }
    words
}

pub fn message(random: &mut Random, untyped: u64) -> Message {
    let (index, generation) = (random.below(20) as u8, random.below(4));
    let act = [1 + random.below(7), 0, word(random), word(random), word(random)];
    match random.below(6) {
        // What other instances offer is theirs to give: elsewhere.
        0 => {
            let what = random.of(&[Leased::Device, Leased::Seat]) as u64 | 64 << 16;
            let base = untyped + (1 << 32) + (index as u64 + 16 * random.below(1000)) * PAGE;
            tell(About::Offer, index % 16, generation, &[what, base, PAGE, word(random)])
        }
        1 => tell(About::Revoke, index, generation, &[]),
        2 => tell(About::Returned, index, generation, &[]),
        3 => tell(About::Request, 0, random.below(100), &invocation(random)[..REQUEST_WORDS]),
        4 => tell(About::Answer, 0, generation, &[random.below(5), word(random)]),
        _ => {
            let words = [&[random.below(2), random.below(3)], &act[..]].concat();
            tell(About::Endorse, index, generation, &words)
        }
    }
}
