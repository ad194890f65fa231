//! No input reaches a panic, an error changes nothing, and every entry has its bound.

mod common;
#[path = "common/rich.rs"]
mod rich;

use capability_model::cap::Cap;
use capability_model::domain::State;
use capability_model::store::{ACCESSES_MAX, SCRUBS_PER_ENTRY};
use capability_model::{Label, Status};
use common::*;
use rich::*;

/// 10^7 in the release build that `make model` runs.
fn inputs() -> u64 {
    if cfg!(miri) {
        300
    } else if cfg!(debug_assertions) {
        300_000
    } else {
        10_000_000
    }
}

fn domains(w: &World) -> Vec<u64> {
    let view = w.view();
    let domain = |cap: &Cap| if let Cap::Domain { at } = cap { Some(*at) } else { None };
    let mut all: Vec<u64> = view.nodes.values().filter_map(|node| domain(&node.cap)).collect();
    all.dedup();
    all
}

#[test]
fn no_input_panics_errors_change_nothing_and_work_is_bounded() {
    let start = std::time::Instant::now();
    let (origin, mut random) = (rich(40), Random(1));
    let (mut most, mut errors, mut counts) = (0, 0u64, Counts::new());
    let mut w = origin.clone();
    let mut callers = domains(&w);
    for n in 0..inputs() {
        if n % 256 == 0 {
            if n % 4096 == 0 {
                w.check();
            }
            w = origin.clone();
            callers = domains(&w);
        }
        w.store.memory.accesses.take();
        w.store.memory.scrubs = 0;
        let caller = random.of(&callers);
        if random.below(16) == 0 {
            let from = 1 + random.below(3) as u8;
            let base = w.untyped_base();
            w.store.receive_message(from, message(&mut random, base));
        } else if random.below(16) == 0 {
            w.store.work();
            w.store.take_message(random.below(9) as u8);
        } else if w.store.domain_state(caller) == State::Running {
            let words = invocation(&mut random);
            let digest = w.store.memory.digest();
            match w.store.invoke(caller, words) {
                Ok(_) => {
                    let label = Label::from_number(words[1]).map(|label| format!("{label:?}"));
                    *counts.entry(label.unwrap_or_default()).or_default() += 1;
                }
                Err(_) => {
                    errors += 1;
                    assert_eq!(w.store.memory.digest(), digest, "an error changed something: {words:x?}");
                }
            }
        }
        most = most.max(w.store.memory.accesses.take());
        assert!(most <= ACCESSES_MAX && w.store.memory.scrubs <= SCRUBS_PER_ENTRY as u64);
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "| decoder, hostile words | {} inputs, {errors} errors, {} labels took effect | | | {seconds:.0} s | no panic, at most {most} accesses |",
        inputs(),
        counts.len()
    );
    assert!(cfg!(any(miri, debug_assertions)) || counts.len() == Label::ALL.len(), "{counts:?}");
}

#[test]
fn the_longest_entries_keep_the_bound() {
    let mut w = World::with_pages(600);
    // Of each kind; fewer in Miri, which is slow.
    let (each, badges) = if cfg!(miri) { (8, 40) } else { (64, 400) };
    let mut most = 0;
    let mut entry = |w: &mut World, address, label, args: &[u64]| {
        loop {
            w.store.memory.accesses.take();
            let answer = w.invoke(address, label, args).expect("well formed");
            most = most.max(w.store.memory.accesses.take());
            if answer.status != Status::Again {
                return;
            }
        }
    };
    entry(&mut w, UNTYPED, Label::Retype, &[K_CNODE, 10, ROOT, 0, 0, FREE, 1]);
    for (i, kind) in [K_ENDPOINT, K_DOMAIN, K_SPACE, K_GATE, K_REPLY, K_NOTIFICATION].into_iter().enumerate()
    {
        entry(&mut w, UNTYPED, Label::Retype, &[kind, 0, FREE, 0, 0, i as u64 * 64, each]);
    }
    for i in 0..badges {
        entry(&mut w, FREE, Label::Mint, &[600 + i, 10, FREE, 0, 10, 15, i]);
    }
    for i in 0..each {
        // Each domain has three capabilities to lose.
        done(w.invoke(ROOT, Label::Move, &[FREE + 1, 64, FREE, 64 + i, 10]));
        done(w.invoke(FREE + 1, Label::Configure, &[FREE, 0, 0]));
        done(w.invoke(FREE, Label::Move, &[64 + i, 10, ROOT, FREE + 1, 64]));
    }
    entry(&mut w, FREE, Label::Revoke, &[0, 10]);
    entry(&mut w, ROOT, Label::Delete, &[FREE, 64]);
    entry(&mut w, ROOT, Label::Revoke, &[UNTYPED, 64]);
    assert!(!w.store.has_children(w.slot(UNTYPED)));
    assert!(most <= ACCESSES_MAX, "{most} accesses");
    println!("| longest entries | | | | | at most {most} accesses, bound {ACCESSES_MAX} |");
}
