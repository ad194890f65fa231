//! The whole kernel on a machine that plays programs from scripts: calls in, votes out.

use super::*;
use crate::machine::{Access, Event, Fp, Pace, Rights, Trap};
use abi::linux::nr;
use abi::log::Entry;
use abi::monitor::Monitor;
use abi::vote::{Control, EffectKind, Vote};
use std::collections::{HashMap, VecDeque};

/// What a scripted program does: number and arguments of its next call, when it knows what its last answered. `None`: it computes.
pub type Script = Box<dyn FnMut(&mut User) -> Option<[u64; 7]>>;

/// Votes as text that can be compared.
type Said = Vec<String>;

/// The machine.
#[derive(Default)]
pub struct Fake {
    clock_us: std::cell::Cell<u64>,
    /// By the value of x28, which the test gives to each thread.
    pub scripts: HashMap<u64, Script>,
    pub log: VecDeque<Vec<u8>>,
    pub said: Said,
    pub output: Vec<u8>,
    pub snapshot: Vec<u8>,
    pub heap_is_full: bool,
    pub told: Vec<Event>,
}

impl Machine for Fake {
    fn now_us(&self) -> u64 {
        self.clock_us.set(self.clock_us.get() + 1);
        self.clock_us.get()
    }

    fn run(&mut self, user: &mut User, _: SpaceId, pace: Pace) -> Trap {
        let next = self.scripts.get_mut(&user.x[28]).and_then(|s| s(user));
        let (Some(call), Pace::Free(slice)) = (next, pace) else {
            self.clock_us.set(self.clock_us.get() + 2000);
            return Trap::Interrupt;
        };
        assert!(slice > 0);
        user.x[8] = call[0];
        user.x[..6].copy_from_slice(&call[1..]);
        user.pc += 4;
        Trap::Call
    }

    fn save_fp(&mut self, _: &mut Fp) {}
    fn load_fp(&mut self, _: &Fp) {}

    fn map(&mut self, _: SpaceId, _: u64, page: u64, rights: Rights) {
        assert!(page.is_multiple_of(4096) && !rights.is_empty());
    }

    fn forget(&mut self, _: SpaceId, start: u64, end: u64) {
        assert!(start < end);
    }

    fn forget_space(&mut self, _: SpaceId) {}

    fn post(&mut self, vote: &Vote<'_>) {
        match vote {
            Vote::Effect { kind: EffectKind::TtyOutput, payload, .. } => {
                self.output.extend_from_slice(payload)
            }
            Vote::Passed { s, call, runnable, deadline_us, .. } => {
                self.said.push(format!("passed {s} call {call} {runnable} {deadline_us}"));
            }
            other => self.said.push(format!("{other:?}")),
        }
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let record = self.log.pop_front()?;
        buffer[..record.len()].copy_from_slice(&record);
        Some(record.len())
    }

    fn control(&mut self) -> Option<Control> {
        None
    }

    fn sleep(&mut self, _: Option<u64>) {
        self.clock_us.set(self.clock_us.get() + 1000);
    }

    fn domain(&self) -> u32 {
        1
    }

    fn monitor(&self) -> Option<Monitor<'static>> {
        None
    }

    fn keeps_snapshots(&self) -> bool {
        true
    }

    fn write_snapshot(&mut self, record: &[u8]) {
        self.snapshot.extend_from_slice(&(record.len() as u32).to_le_bytes());
        self.snapshot.extend_from_slice(record);
    }

    fn ring_snapshot(&mut self) {}

    fn heap_left(&self) -> usize {
        if self.heap_is_full { 0 } else { usize::MAX }
    }

    fn tell(&mut self, event: Event) {
        self.told.push(event);
    }
}

pub const START: u64 = 5_000_000;
/// Writable memory of the test's program.
pub const DATA: u64 = 0x41_0000;

/// A root image with one program of two segments.
pub fn root() -> &'static [u8] {
    let mut elf = vec![0u8; 0x1000];
    elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    elf[16..20].copy_from_slice(&[2, 0, 183, 0]);
    elf[24..32].copy_from_slice(&0x40_0000u64.to_le_bytes());
    elf[32..40].copy_from_slice(&64u64.to_le_bytes());
    elf[54..58].copy_from_slice(&[56, 0, 2, 0]);
    for (i, (flags, address, size)) in [(5u32, 0x40_0000u64, 0x1000u64), (6, DATA, 0)].into_iter().enumerate()
    {
        let at = 64 + 56 * i;
        elf[at..at + 4].copy_from_slice(&1u32.to_le_bytes());
        elf[at + 4..at + 8].copy_from_slice(&flags.to_le_bytes());
        elf[at + 16..at + 24].copy_from_slice(&address.to_le_bytes());
        elf[at + 32..at + 40].copy_from_slice(&size.to_le_bytes());
        elf[at + 40..at + 48].copy_from_slice(&0x2000u64.to_le_bytes());
    }
    let mut out = Vec::new();
    for (path, mode, data) in [("init", 0o100755u32, &elf[..]), ("TRAILER!!!", 0, &[])] {
        let fields = [0, mode, 0, 0, 1, 0, data.len() as u32, 0, 0, 0, 0, path.len() as u32 + 1, 0];
        out.extend_from_slice(b"070701");
        fields.iter().for_each(|f| out.extend_from_slice(format!("{f:08x}").as_bytes()));
        out.extend_from_slice(path.as_bytes());
        out.push(0);
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend_from_slice(data);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out.leak()
}

pub fn kernel() -> Kernel<Fake> {
    let mut program = [0; 64];
    let program = postcard::to_slice(
        &abi::log::Program { path: "/init", argv: b"init\0", env: b"", tier: 2 },
        &mut program,
    );
    let boot = abi::log::Boot {
        version: abi::log::VERSION,
        seed: [3; 32],
        time_us: START,
        digest_interval: 0,
        rows: 24,
        columns: 80,
        program: program.unwrap(),
    };
    let mut buffer = [0; 256];
    let entry: &[u8] = postcard::to_slice(&Entry::Boot(boot), &mut buffer).unwrap();
    Kernel::new(Fake::default(), &Setup { entry, image: root(), stuck_us: 50_000 }).unwrap()
}

impl Kernel<Fake> {
    fn script(&mut self, name: u64, calls: Vec<[u64; 7]>) {
        let mut calls = VecDeque::from(calls);
        self.machine.scripts.insert(name, Box::new(move |_| calls.pop_front()));
    }

    pub(super) fn entry(&mut self, entry: &Entry<'_>) {
        let mut buffer = [0; 512];
        self.machine.log.push_back(postcard::to_slice(entry, &mut buffer).unwrap().to_vec());
    }

    pub(super) fn sync(&mut self, s: u64, time_us: u64, events: &[abi::log::Event<'_>]) {
        let mut buffer = [0; 256];
        let mut length = 0;
        for event in events {
            length += postcard::to_slice(event, &mut buffer[length..]).unwrap().len();
        }
        self.entry(&Entry::Sync(abi::log::Sync { s, time_us, events: &buffer[..length] }));
    }

    pub(super) fn turn(&mut self, rounds: usize) {
        (0..rounds).for_each(|_| self.go().unwrap());
    }

    pub(super) fn put(&mut self, at: u64, bytes: &[u8]) {
        self.bytes_out(1, at, bytes).unwrap();
    }
}

pub fn call(number: u64, arguments: &[u64]) -> [u64; 7] {
    let mut out = [0; 7];
    out[0] = number;
    out[1..=arguments.len()].copy_from_slice(arguments);
    out
}

#[test]
fn a_program_writes_and_ends() {
    let mut k = kernel();
    k.put(DATA, b"hello\n");
    k.script(0, vec![call(nr::write, &[1, DATA, 6]), call(nr::getpid, &[]), call(nr::exit_group, &[7])]);
    k.turn(6);
    assert!(k.is_over());
    assert_eq!(k.machine.output, b"hello\n");
    let exit = k.machine.said.iter().find(|s| s.contains("kind: Exit")).unwrap();
    assert!(exit.contains("call: 1") && exit.contains("payload: [0, 7, 0, 0]"), "{exit}");
    assert_eq!(k.machine.said[0], format!("passed 0 call 0 true {}", u64::MAX));
}

#[test]
fn a_sleep_ends_at_the_sync_point_that_passes_its_deadline() {
    let mut k = kernel();
    k.put(DATA, &[0u64.to_le_bytes(), 2_000_000u64.to_le_bytes()].concat());
    k.script(0, vec![call(nr::nanosleep, &[DATA, 0]), call(nr::exit_group, &[0])]);
    k.turn(3);
    k.sync(1, START + 1000, &[]);
    k.turn(2);
    assert_eq!(k.machine.said.last().unwrap(), &format!("passed 1 call 1 false {}", START + 2000));
    k.sync(2, START + 2500, &[]);
    k.turn(3);
    assert!(k.is_over());
    assert_eq!(k.turns.calls(), 3);
}

#[test]
fn a_pipe_between_parent_and_child() {
    let mut k = kernel();
    k.put(DATA, &[0; 8]);
    k.put(DATA + 64, b"ping");
    // The parent reads before the child writes, so it blocks; the child is a copy, told apart by x28.
    let parent = vec![
        call(nr::pipe2, &[DATA, 0]),
        call(nr::clone, &[17, 0, 0, 0, 0]),
        call(nr::read, &[3, DATA + 128, 9]),
        call(nr::write, &[1, DATA + 128, 4]),
        call(nr::wait4, &[u64::MAX, DATA + 16, 0, 0]),
        call(nr::exit_group, &[0]),
    ];
    k.script(0, parent);
    k.script(5, vec![call(nr::write, &[4, DATA + 64, 4]), call(nr::exit_group, &[3])]);
    while k.threads.len() < 2 {
        k.turn(1);
    }
    k.threads.get_mut(&2).unwrap().user.x[28] = 5;
    k.sync(1, START, &[]);
    k.turn(12);
    assert_eq!(k.machine.output, b"ping");
    assert!(k.is_over() && k.processes.count() == 1);
}

#[test]
fn a_thread_that_makes_no_call_is_promised_and_skipped_and_comes_back() {
    let mut k = kernel();
    k.script(0, vec![]);
    k.turn(40);
    let stuck = |k: &Kernel<Fake>| k.machine.said.iter().filter(|s| *s == "Stuck { call: 0 }").count();
    assert_eq!(stuck(&k), 1);
    // It comes to its call all the same, and waits.
    k.script(0, vec![call(nr::exit_group, &[0])]);
    k.turn(3);
    assert!(!k.is_over());
    k.entry(&Entry::Skip { call: 0 });
    k.turn(3);
    assert!(k.machine.said.contains(&"Rejoin { thread: 1, call: 0 }".to_string()), "{:?}", k.machine.said);
    k.sync(1, START, &[abi::log::Event::Rejoin { thread: 1, call: 0 }]);
    k.turn(3);
    assert!(k.is_over());
    assert_eq!((stuck(&k), k.turns.calls()), (1, 2));
}

#[test]
fn who_replays_what_the_others_have_passed_neither_promises_nor_waits_for_an_answer() {
    let mut k = kernel();
    k.script(0, vec![]);
    k.turn(40);
    // Promised before the log was here; what stands in it now is no answer, but says that the others are beyond.
    assert_eq!(k.machine.said.last().unwrap(), "Stuck { call: 0 }");
    k.script(0, vec![call(nr::setpgid, &[0, 0]), call(nr::setpgid, &[0, 0])]);
    k.sync(1, START, &[]);
    k.sync(2, START, &[]);
    k.turn(4);
    assert_eq!(k.turns.calls(), 0);
    k.sync(3, START, &[]);
    k.turn(4);
    assert_eq!(k.turns.calls(), 2);
    // Slow again, at a call of the same kind: no promise.
    k.script(0, vec![]);
    k.turn(40);
    k.script(0, vec![call(nr::setpgid, &[0, 0])]);
    k.turn(3);
    let promises = k.machine.said.iter().filter(|s| s.starts_with("Stuck")).count();
    assert_eq!((promises, k.turns.calls()), (1, 3));
    // Of a skip that stands in the log it hears all the same.
    k.script(0, vec![]);
    k.entry(&Entry::Skip { call: 3 });
    k.turn(40);
    assert!(k.machine.said.iter().any(|s| s.starts_with("Rejoin")) || k.turns.round_length() == 0);
}

#[test]
fn a_signal_interrupts_a_read_and_its_handler_s_frame_leads_back() {
    let mut k = kernel();
    let action = [0x1234u64, 0, 0, 0].map(u64::to_le_bytes).concat();
    k.put(DATA, &action);
    k.script(0, vec![call(nr::rt_sigaction, &[2, DATA, 0, 8]), call(nr::read, &[0, DATA, 9])]);
    k.turn(4);
    k.sync(1, START, &[abi::log::Event::TtySignal(2)]);
    k.script(0, vec![call(nr::rt_sigreturn, &[])]);
    k.turn(2);
    let user = &k.threads[&1].user;
    assert_eq!((user.x[0], user.x[8]), (-4i64 as u64, nr::read));
    assert_eq!(user.pc, 0x40_0008);
    assert!(k.processes.get(1).unwrap().signals.mask == 0);
}

#[test]
fn faults_outside_every_mapping_kill_once_it_is_their_turn() {
    let mut k = kernel();
    let fault = Fault::Page { address: 0x66_0000, access: Access::Read };
    k.threads.get_mut(&1).unwrap().want = Want::Fault(fault);
    k.turn(2);
    assert!(k.is_over());
    assert!(k.machine.said.last().unwrap().contains("payload: [11, 0, 0, 0]"));
}

#[test]
fn a_handler_without_a_stack_kills_its_process_and_nobody_else() {
    let mut k = kernel();
    let action = [0x1234u64, 0, 0, 0].map(u64::to_le_bytes).concat();
    k.put(DATA, &action);
    k.script(0, vec![call(nr::rt_sigaction, &[10, DATA, 0, 8]), call(nr::kill, &[1, 10])]);
    k.turn(2);
    k.threads.get_mut(&1).unwrap().user.sp = 8;
    k.turn(4);
    assert!(k.is_over());
    assert!(k.machine.said.last().unwrap().contains("payload: [11, 0, 0, 0]"));
}

#[test]
fn who_opens_a_fifo_first_does_not_wake_itself() {
    let mut k = kernel();
    k.put(DATA, b"/p\0");
    let at = -100i64 as u64;
    k.script(0, vec![call(nr::mknodat, &[at, DATA, 0o010600, 0]), call(nr::openat, &[at, DATA, 0, 0])]);
    k.turn(6);
    assert_eq!((k.turns.calls(), k.turns.round_length()), (2, 0));
}

#[test]
fn random_calls_do_no_harm() {
    let mut k = kernel();
    let mut state = 0x1234_5678_9abc_def1u64;
    k.machine.scripts.insert(
        0,
        Box::new(move |_| {
            let mut next = || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state
            };
            let number = loop {
                let n = next() % 300;
                // The end, and what only waits for others, would end the test.
                let ends = [nr::exit, nr::exit_group, nr::execve, nr::clone, nr::kill, nr::tkill, nr::tgkill];
                let waits = [nr::rt_sigsuspend, nr::futex, nr::ppoll, nr::pselect6, nr::read, nr::readv];
                let breaks =
                    [nr::munmap, nr::mremap, nr::mmap, nr::mprotect, nr::rt_sigreturn, nr::nanosleep];
                let more = [nr::clock_nanosleep, nr::setitimer, nr::wait4];
                if [&ends[..], &waits, &breaks, &more].iter().all(|l| !l.contains(&n)) {
                    break n;
                }
            };
            let mut argument = || match next() % 6 {
                0 => next() % 8,
                1 => DATA + next() % 0x1f00,
                2 => u64::MAX - next() % 200,
                3 => 1 << (next() % 64),
                4 => next(),
                _ => 0,
            };
            Some([number, argument(), argument(), argument(), argument(), argument(), argument()])
        }),
    );
    (1..4000).for_each(|s| k.sync(s, START, &[]));
    k.turn(30_000);
    assert!(k.turns.calls() > 10_000 && !k.is_over());
    k.state_digest();
}
