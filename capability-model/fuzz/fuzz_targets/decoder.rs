//! Any bytes as invocations of any domain, messages of other instances and idle work: no panic, an error changes nothing, each entry
//! keeps its bound, and every invariant holds at the end.
#![no_main]

#[path = "../../tests/common/mod.rs"]
mod common;
#[path = "../../tests/common/rich.rs"]
mod rich;

use capability_model::cap::Cap;
use capability_model::domain::State;
use capability_model::invoke::WORDS;
use capability_model::lease::{About, Message};
use capability_model::mailbox::REQUEST_WORDS;
use capability_model::store::{ACCESSES_MAX, SCRUBS_PER_ENTRY};
use common::World;
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

/// Words of one step: what it is and up to twelve arguments, each a byte's small number or, after 0xff, eight bytes.
struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn next(&mut self) -> Option<u64> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        if *first != 0xff {
            return Some(u64::from(*first));
        }
        let (word, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*word))
    }

    fn take<const N: usize>(&mut self) -> Option<[u64; N]> {
        let mut words = [0; N];
        for word in &mut words {
            *word = self.next()?;
        }
        Some(words)
    }
}

fn message(words: &mut Words<'_>) -> Option<Message> {
    let kind = words.next()?;
    let [index, generation] = words.take()?;
    let (about, said) = match kind % 5 {
        0 => (About::Revoke, 0),
        1 => (About::Returned, 0),
        2 => (About::Endorse, 7),
        3 => (About::Request, REQUEST_WORDS),
        _ => (About::Answer, 2),
    };
    let mut message = common::tell(about, index as u8, generation, &[]);
    for word in &mut message.words[..said] {
        *word = words.next()?;
    }
    Some(message)
}

fn step(w: &mut World, words: &mut Words<'_>) -> Option<()> {
    match words.next()? % 8 {
        0 => {
            let peer = words.next()? as u8;
            let message = message(words)?;
            w.store.receive_message(peer, message);
        }
        1 => {
            w.store.work();
            w.store.take_message(words.next()? as u8);
        }
        who => {
            let other = if who % 2 == 0 { w.cap(24) } else { Cap::Null };
            let caller = if let Cap::Domain { at } = other { at } else { w.domain };
            let invocation = words.take::<WORDS>()?;
            if w.store.domain_state(caller) == State::Running {
                let digest = w.store.memory.digest();
                if w.store.invoke(caller, invocation).is_err() {
                    assert_eq!(w.store.memory.digest(), digest, "an error changed something");
                }
            }
        }
    }
    Some(())
}

fuzz_target!(|bytes: &[u8]| {
    static ORIGIN: OnceLock<World> = OnceLock::new();
    let mut w = ORIGIN.get_or_init(|| rich::rich(40)).clone();
    let mut words = Words(bytes);
    loop {
        w.store.memory.accesses.take();
        w.store.memory.scrubs = 0;
        if step(&mut w, &mut words).is_none() {
            break;
        }
        assert!(w.store.memory.accesses.take() <= ACCESSES_MAX, "unbounded");
        assert!(w.store.memory.scrubs <= u64::from(SCRUBS_PER_ENTRY), "unbounded");
    }
    w.check();
});
