//! Messages between the capability stores of two cores: a box for one message each way, and the knock that all cores use.
//!
//! What is to be sent is read off the sender's state, so a box that is full means later and nothing else: whoever empties a box knocks back.

use crate::core_local::Core;
use crate::ready::note;
use crate::shared;
use abi::handover::CORES_MAX;
use capability_model::lease::{About, Message};
use core::sync::atomic::{AtomicU64, Ordering};

/// Words of a message. The first says what it is about; 0: the box is empty.
const WORDS: usize = 12;
/// Steps of long work at one knock; what is left makes the core knock at itself.
const STEPS: usize = 16;

struct Box([AtomicU64; WORDS]);

/// From, to.
static BOXES: [[Box; CORES_MAX]; CORES_MAX] =
    [const { [const { Box([const { AtomicU64::new(0) }; WORDS]) }; CORES_MAX] }; CORES_MAX];

fn find(from: usize, to: usize) -> Option<&'static Box> {
    BOXES.get(from)?.get(to)
}

fn encode(message: &Message) -> [u64; WORDS] {
    let Message { about, index, generation, words: [a, b, c, d, e, f, g, h, i, j] } = *message;
    [about as u64 | u64::from(index) << 8, generation, a, b, c, d, e, f, g, h, i, j]
}

fn decode([what, generation, words @ ..]: [u64; WORDS]) -> Option<Message> {
    Some(Message { about: About::from_number(what as u8)?, index: (what >> 8) as u8, generation, words })
}

/// Sends what is due to other cores, as far as boxes are empty.
pub fn send(core: &mut Core) {
    if !core.store.has_messages() {
        return;
    }
    for &peer in core.plan.given.board.cores.iter() {
        let Some(to) = find(core.id, peer as usize) else { continue };
        if peer as usize == core.id || to.0[0].load(Ordering::Acquire) != 0 {
            continue;
        }
        let Some(message) = core.store.take_message(peer as u8) else { continue };
        let words = encode(&message);
        to.0.iter().zip(words).skip(1).for_each(|(cell, word)| cell.store(word, Ordering::Relaxed));
        to.0[0].store(words[0], Ordering::Release);
        shared::post_mail(peer as usize, core.id);
        core.gic.knock(peer as usize);
    }
}

/// Takes what others sent, and does a bounded part of what that asks for.
pub fn receive(core: &mut Core, senders: u64) {
    for peer in (0..CORES_MAX).filter(|peer| senders >> peer & 1 == 1) {
        let Some(from) = find(peer, core.id) else { continue };
        // Whoever emptied a box says so the same way, and then there is nothing in it.
        if from.0[0].load(Ordering::Acquire) != 0 {
            let words = from.0.each_ref().map(|cell| cell.load(Ordering::Relaxed));
            from.0[0].store(0, Ordering::Release);
            shared::post_mail(peer, core.id);
            core.gic.knock(peer);
            if let Some(message) = decode(words) {
                core.store.receive_message(peer as u8, message);
            }
        }
    }
    let done = (0..STEPS).any(|_| !core.store.work());
    core.store.memory.note(note::RESPACED);
    if !done {
        shared::post_mail(core.id, core.id);
        core.gic.knock(core.id);
    }
    send(core);
}
