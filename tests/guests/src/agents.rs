//! What root tasks of tests have in common: steps told by channels, invocations here and on other cores.
#![allow(dead_code)] // Each guest uses a part.

use core::sync::atomic::Ordering;
use runtime::abi::capability::{IN_PROGRESS, kind, label, root};
use runtime::capability::{Registers, ask, invoke};
use runtime::{Channel, calls};

/// Word of a channel: how far its writer is.
pub const STEP: usize = 600;

pub fn told(channel: &Channel) -> u64 {
    channel.words()[STEP].load(Ordering::Acquire)
}

pub fn tell(own: &Channel, step: u64) {
    own.words()[STEP].store(step, Ordering::Release);
    own.ring();
}

pub fn pause() {
    calls::wait(calls::now() + 1000);
}

/// An invocation, made again while another core works on it.
#[track_caller]
pub fn done(address: u64, label: u64, arguments: &[u64]) {
    loop {
        let mut registers = Registers::new(address, arguments);
        invoke(label, &mut registers);
        match registers.status() {
            0 => return,
            IN_PROGRESS => pause(),
            e => panic!("capability {address}, label {label}: {e}"),
        }
    }
}

/// An invocation on the core whose capability is at `core`: the word of the answer.
pub fn there(core: u64, address: u64, label: u64, arguments: &[u64]) -> Result<u64, i64> {
    let mut words = [0; 10];
    words[..2].copy_from_slice(&[address, label]);
    words[2..2 + arguments.len()].copy_from_slice(arguments);
    ask(core, label::REMOTE, &words)?;
    loop {
        let mut answer = Registers::new(core, &[]);
        invoke(label::INSPECT, &mut answer);
        match answer.status() {
            0 => return Ok(answer.word()),
            IN_PROGRESS => pause(),
            e => return Err(e),
        }
    }
}

/// The same while what it is about is still on its way: a thousand times at most.
#[track_caller]
pub fn arrives(core: u64, address: u64, label: u64, arguments: &[u64]) {
    let tried = (0..1000).any(|_| there(core, address, label, arguments).is_ok());
    assert!(tried, "core {core}: capability {address}, label {label} refused");
}

/// The same of what must take effect.
#[track_caller]
pub fn does(core: u64, address: u64, label: u64, arguments: &[u64]) {
    if let Err(e) = there(core, address, label, arguments) {
        panic!("core {core}: capability {address}, label {label}: {e}");
    }
}

/// A CNode of `radix` bits in `slot` of the agent behind `core`, and in the next one the same as a CSpace, which takes whole addresses.
pub fn cspace(core: u64, from: u64, slot: u64, radix: u64) {
    arrives(core, from, label::RETYPE, &[kind::CNODE, radix, root::CNODE, 0, 0, slot, 1]);
    let whole = [slot + 1, 64, root::CNODE, slot, 64, 15, (64 - radix) << 58];
    does(core, root::CNODE, label::MINT, &whole);
}
