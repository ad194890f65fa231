//! The kernel on the host: the test plays program, log and machine.

use crate::{Float, Kernel, Machine, Next, Trap, rights};
use abi::linux::nr;
use abi::log::{Boot, Entry, Event, Program, Sync, VERSION};
use abi::turn::{CALLS_PER_SYNC, CHARGE_PAGES};
use abi::vote::Vote;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Arguments;

const CODE: u64 = 0x40_0000;
const DATA: u64 = 0x41_0000;
const STUCK: u64 = 50_000;

/// A value in postcard's encoding.
macro_rules! encoded {
    ($value:expr) => {
        postcard::to_slice($value, &mut [0; 4096]).unwrap().to_vec()
    };
}

#[derive(Default)]
struct Host {
    frames: Vec<Box<[u8; 4096]>>,
    mapped: BTreeMap<u64, u8>,
    votes: Vec<String>,
    said: Vec<String>,
}

impl Machine for Host {
    fn frame(&mut self) -> Option<u64> {
        self.frames.push(Box::new([0; 4096]));
        Some(self.frames.len() as u64 - 1)
    }
    fn free(&mut self, frame: u64) {
        self.frames[frame as usize].fill(0);
    }
    fn bytes(&mut self, frame: u64) -> &mut [u8; 4096] {
        &mut self.frames[frame as usize]
    }
    fn map(&mut self, address: u64, _: u64, rights: u8) -> bool {
        self.mapped.insert(address, rights);
        true
    }
    fn unmap(&mut self, address: u64) {
        self.mapped.remove(&address);
    }
    fn clear_float(&mut self) {}
    fn float(&mut self) -> Float {
        ([0; 32], 0, 0)
    }
    fn post(&mut self, vote: &Vote<'_>) {
        self.votes.push(match vote {
            Vote::Effect { n, call, kind, payload, .. } => {
                format!("effect {n} of call {call}: {kind:?} {:?}", String::from_utf8_lossy(payload))
            }
            Vote::Passed { s, call, runnable, .. } => format!("passed {s} at {call}, {runnable}"),
            Vote::Memory { s, .. } => format!("memory of {s}"),
            other => format!("{other:?}"),
        });
    }
    fn say(&mut self, text: Arguments<'_>) {
        self.said.push(format!("{text}"));
    }
}

/// A program of a text and a data segment, as a linker would write it.
fn elf() -> Vec<u8> {
    let mut out = vec![0; 0x2000];
    let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"\x7fELF\x02\x01\x01");
    put(16, &[2, 0, 183, 0, 1, 0, 0, 0]);
    put(24, &CODE.to_le_bytes());
    put(32, &64u64.to_le_bytes());
    put(52, &[64, 0, 56, 0, 2, 0]);
    for (i, (flags, offset, address, size)) in
        [(5u32, 0u64, CODE, 0x1000u64), (6, 0x1000, DATA, 0x800)].into_iter().enumerate()
    {
        let at = 64 + i * 56;
        put(at, &1u32.to_le_bytes());
        put(at + 4, &flags.to_le_bytes());
        for (j, word) in [offset, address, address, size, size * 2, 4096].into_iter().enumerate() {
            put(at + 8 + j * 8, &word.to_le_bytes());
        }
    }
    put(0x1000, b"hello, vote\n");
    out
}

fn archive(file: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (mode, name, data) in [(0o100755, "first", file), (0, "TRAILER!!!", &[])] {
        let fields = [1, mode, 0, 0, 1, 0, data.len(), 0, 0, 0, 0, name.len() + 1, 0];
        out.extend_from_slice(b"070701");
        fields.iter().for_each(|f| out.extend_from_slice(format!("{f:08x}").as_bytes()));
        out.extend_from_slice(name.as_bytes());
        out.push(0);
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend_from_slice(data);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out
}

fn start(file: &[u8], tier: u8) -> Result<Kernel<Host>, &'static str> {
    let program = Program { path: "/first", argv: b"first\0", env: b"A=b\0", tier };
    let program = encoded!(&program);
    let boot = Boot {
        version: VERSION,
        seed: [5; 32],
        time_us: 1_000_000,
        digest_interval: 1,
        rows: 24,
        columns: 80,
        program: &program,
    };
    let entry = encoded!(&Entry::Boot(boot));
    Kernel::new(Host::default(), &entry, &archive(file), STUCK)
}

/// The program makes a call; its result, once the kernel lets it run on.
fn call(k: &mut Kernel<Host>, number: u64, arguments: &[u64]) -> u64 {
    k.user.x[..arguments.len()].copy_from_slice(arguments);
    k.user.x[8] = number;
    k.trapped(Trap::Call, 1);
    assert_eq!(k.next(1), Next::Run);
    k.user.x[0]
}

fn sync(k: &mut Kernel<Host>, s: u64, events: &[Event<'_>]) {
    let events: Vec<u8> = events.iter().flat_map(|e| encoded!(e)).collect();
    let entry = Entry::Sync(Sync { s, time_us: 2_000_000, events: &events });
    k.entry(&encoded!(&entry)).unwrap();
}

#[test]
fn a_program_prints_and_ends() {
    let mut k = start(&elf(), 1).unwrap();
    assert_eq!(k.user.pc, CODE);
    assert_eq!(k.next(1), Next::Run);
    assert_eq!(call(&mut k, nr::write, &[1, DATA, 12]), 12);
    assert_eq!(call(&mut k, nr::write, &[7, DATA, 12]) as i64, -9);
    assert_eq!(call(&mut k, nr::write, &[1, 0x9999_0000, 12]) as i64, -14);
    k.user.x[..9].copy_from_slice(&[3, 0, 0, 0, 0, 0, 0, 0, nr::exit_group]);
    k.trapped(Trap::Call, 1);
    assert_eq!(k.next(1), Next::End);
    let expected = [
        "passed 0 at 0, true",
        "memory of 0",
        "effect 0 of call 0: TtyOutput \"hello, vote\\n\"",
        "effect 1 of call 3: Exit \"\\0\\u{3}\\0\\0\"",
    ];
    assert_eq!(k.m.votes, expected);
}

#[test]
fn sync_points_come_after_sixteen_calls_and_wait_for_the_log() {
    let mut k = start(&elf(), 1).unwrap();
    for _ in 1..CALLS_PER_SYNC {
        call(&mut k, nr::getppid, &[]);
    }
    k.trapped(Trap::Call, 1);
    assert_eq!(k.next(1), Next::Wait);
    assert_eq!(k.m.votes.last().unwrap(), "Took { call: 15 }");
    sync(&mut k, 1, &[]);
    assert_eq!(k.next(1), Next::Run);
    assert_eq!(k.m.votes.last().unwrap(), "passed 1 at 16, true");
}

#[test]
fn a_thread_without_calls_is_skipped_and_comes_back() {
    let mut k = start(&elf(), 1).unwrap();
    assert_eq!(k.next(1), Next::Run);
    k.trapped(Trap::Interrupt, STUCK + 2);
    assert_eq!(k.m.votes.last().unwrap(), "Stuck { call: 0 }");
    k.entry(&encoded!(&Entry::Skip { call: 0 })).unwrap();
    sync(&mut k, 1, &[]);
    assert_eq!(k.next(STUCK + 3), Next::Run);
    assert_eq!(k.m.votes.last().unwrap(), "passed 1 at 1, false");
    k.user.x[8] = nr::getppid;
    k.trapped(Trap::Call, STUCK + 4);
    assert_eq!(k.next(STUCK + 4), Next::Wait);
    assert_eq!(k.m.votes.last().unwrap(), "Rejoin { thread: 1, call: 0 }");
    sync(&mut k, 2, &[Event::Rejoin { thread: 1, call: 0 }]);
    assert_eq!(k.next(STUCK + 5), Next::Run);
    assert_eq!(k.user.x[0], 0);
}

#[test]
fn memory_is_charged_in_chunks_and_what_needs_one_takes_a_turn() {
    let mut k = start(&elf(), 1).unwrap();
    let calls = |k: &Kernel<Host>| k.call;
    let small = call(&mut k, nr::mmap, &[0, 8192, 3, 0x22, u64::MAX, 0]);
    assert_eq!(calls(&k), 0);
    let large = call(&mut k, nr::mmap, &[0, CHARGE_PAGES * 4096, 3, 0x22, u64::MAX, 0]);
    assert_eq!((calls(&k), large + CHARGE_PAGES * 4096), (1, small));
    k.trapped(Trap::Page { address: small, wanted: rights::W }, 1);
    assert_eq!(k.m.mapped.get(&small), Some(&6));
    assert_eq!(call(&mut k, nr::munmap, &[small, 8192]), 0);
    assert!(!k.m.mapped.contains_key(&small));
    k.trapped(Trap::Page { address: small, wanted: rights::W }, 1);
    assert_eq!(k.next(1), Next::End);
    assert!(k.m.votes.last().unwrap().contains("Exit"));
}

#[test]
fn what_it_cannot_run_is_refused_with_a_reason() {
    let refused = |file: &[u8], tier| start(file, tier).err().unwrap();
    assert!(refused(&elf(), 2).contains("tier"));
    assert_eq!(refused(b"#!/bin/sh\n", 1), "it is no ELF file");
    let mut other = elf();
    other[18] = 62;
    assert_eq!(refused(&other, 1), "it is no program for AArch64");
    for end in [0, 40, 100, 0x800, 0x1400] {
        start(&elf()[..end], 1).err().unwrap();
    }
    let mut wild = elf();
    wild[64 + 16..64 + 24].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_eq!(refused(&wild, 1), "a segment of it lies where none can");
    let mut unknown = start(&elf(), 1).unwrap();
    assert_eq!(call(&mut unknown, nr::openat, &[0, DATA, 0]) as i64, -38);
    assert_eq!(unknown.m.said, ["minimal: call 56 (openat) is not offered"]);
}
