//! Snapshots on the host: a program whose processes wait in all kinds of calls goes on from a snapshot as it went on without one, and damaged
//! snapshots are refused, never believed.

#[macro_use]
mod board;

use abi::linux::nr;
use abi::log::{Boot, Entry, Event, Program, Sync};
use abi::snapshot::{Record, records};
use abi::vote::Vote;
use board::{Board, DATA, image, kernel, pool};
use journal::kernel::Kernel;
use journal::machine::User;
use journal::snapshot::begin::state_of;
use proptest::prelude::*;
use std::sync::OnceLock;

const HERE: u64 = -100i64 as u64;
const SIGCHLD: u64 = 17;
const SIGURG: u64 = 23;
const VFORK: u64 = 0x4111;
const TIME: u64 = 1_700_000_000_000_000;

/// What the processes call: x19 is whose part, x20 how far it is. Strings and structs lie at DATA.
fn program(u: &mut User) -> bool {
    if u.x[8] == nr::clone && u.x[20] > 0 && u.x[0] == 0 {
        (u.x[19], u.x[20]) = (u.x[21], 0);
    }
    let (role, step) = (u.x[19], u.x[20]);
    u.x[20] += 1;
    let (number, args) = match (role, step) {
        (0, 0) => (nr::openat, [HERE, DATA, 0o102, 0o644]),
        (0, 1) => (nr::write, [3, DATA, 300, 0]),
        (0, 2) => (nr::mknodat, [HERE, DATA + 16, 0o010644, 0]),
        (0, 3) => (nr::pipe2, [DATA + 256, 0, 0, 0]),
        (0, 4) => (nr::unlinkat, [HERE, DATA, 0, 0]),
        (0, 5) => (nr::mmap, [0, 8192, 3, 0x22]),
        (0, 6) => (nr::rt_sigaction, [10, DATA + 64, 0, 8]),
        (0, 7) => (nr::setitimer, [0, DATA + 96, 0, 0]),
        (0, 8) => (nr::write, [5, DATA, 3, 0]),
        (0, 9..=14) => {
            u.x[21] = step - 8;
            (nr::clone, [if step == 14 { VFORK } else { SIGCHLD }, 0, 0, 0])
        }
        (0, 15) => (nr::write, [5, DATA, 9, 0]),
        (0, 16) => (nr::openat, [HERE, DATA + 16, 1, 0]),
        (0, 17..=22) => (nr::wait4, [u64::MAX, DATA + 512, 0, 0]),
        (0, 23) => (nr::write, [1, DATA, 16, 0]),
        (1, 0) => (nr::read, [4, DATA + 768, 3, 0]),
        (1, 1) => (nr::read, [4, DATA + 768, 3, 0]),
        (2, 0) => (nr::openat, [HERE, DATA + 16, 0, 0]),
        // What it has blocked and ignores by default stays pending.
        (3, 0) => (nr::rt_sigprocmask, [0, DATA + 176, 0, 8]),
        (3, 1) => (nr::kill, [4, SIGURG, 0, 0]),
        (3, 2) => (nr::nanosleep, [DATA + 128, DATA + 144, 0, 0]),
        (3, 3) => (nr::write, [1, DATA, 4, 0]),
        (4, 0) => (nr::ppoll, [DATA + 160, 2, 0, 0]),
        (5, 0) => (nr::read, [0, DATA + 768, 64, 0]),
        (6, 0) => (nr::nanosleep, [DATA + 128, 0, 0, 0]),
        (_, 1) => (nr::write, [1, DATA, 4, 0]),
        _ => (nr::exit_group, [role, 0, 0, 0]),
    };
    u.x[8] = number;
    u.x[..4].copy_from_slice(&args);
    (u.x[4], u.x[5]) = (u64::MAX, 0);
    true
}

fn data() -> Vec<u8> {
    let mut d = vec![0; 1024];
    d[..2].copy_from_slice(b"/f");
    d[16..18].copy_from_slice(b"/p");
    let mut word = |at: usize, v: u64| d[at..at + 8].copy_from_slice(&v.to_le_bytes());
    word(64, 0x40_0000); // a handler
    word(112, 4000); // ITIMER_REAL in 4000 s
    word(128, 1000); // sleeps of 1000 s
    word(160, 1 << 32 | 4); // poll: the pipe, the terminal
    word(168, 1 << 32);
    word(176, 1 << (SIGURG - 1));
    d
}

fn entry(entry: &Entry<'_>) -> Vec<u8> {
    encoded!(entry)
}

fn log() -> Vec<Vec<u8>> {
    let program = encoded!(&Program { path: "/prog", argv: b"prog\0", env: b"A=B\0", tier: 2 });
    let boot = Boot {
        version: abi::log::VERSION,
        seed: [9; 32],
        time_us: TIME,
        digest_interval: 1,
        rows: 24,
        columns: 80,
        program: &program,
    };
    let mut all = vec![entry(&Entry::Boot(boot))];
    for s in 1..14u64 {
        let event = match s {
            8 => Event::TtyLine(b"typed\n"),
            _ => Event::Snapshot,
        };
        let events = encoded!(&event);
        let time_us = TIME + s * 1000 + if s > 9 { 2_000_000_000 } else { 0 };
        all.push(entry(&Entry::Sync(Sync { s, time_us, events: &events })));
    }
    all
}

/// Runs until nothing more happens; all votes, encoded.
fn run(mut kernel: Kernel<Board>, board: &Board) -> Vec<Vec<u8>> {
    while !board.is_idle() {
        kernel.step();
    }
    board.votes()
}

fn root() -> Vec<u8> {
    image(&data())
}

/// Votes and snapshots.
type Session = (Vec<Vec<u8>>, Vec<Vec<u8>>);

/// A whole session: its votes, and each snapshot as it would stand in a module.
fn session() -> &'static Session {
    static ONCE: OnceLock<Session> = OnceLock::new();
    ONCE.get_or_init(|| {
        let root = root();
        let board = Board::new(log(), program);
        let votes = run(kernel(&board, &root), &board);
        (votes, board.snapshots())
    })
}

fn sync_of(vote: &[u8]) -> Option<u64> {
    match postcard::from_bytes::<Vote>(vote).unwrap() {
        Vote::Snapshot { s, .. } => Some(s),
        _ => None,
    }
}

fn holds_urgent(snapshot: &[u8]) -> bool {
    let is_it = |r: Record<'_>| matches!(r, Record::Pending(p) if u64::from(p.signal) == SIGURG);
    records(snapshot).any(|r| is_it(postcard::from_bytes(r.unwrap()).unwrap()))
}

#[test]
fn a_program_goes_on_from_a_snapshot_as_without_one() {
    let (votes, snapshots) = session();
    let taken: Vec<u64> = votes.iter().filter_map(|v| sync_of(v)).collect();
    assert!(taken.len() > 6 && taken.len() == snapshots.len(), "{taken:?}");
    assert!(
        snapshots.iter().filter(|s| holds_urgent(s)).count() > 4,
        "a signal that is blocked and ignored is pending"
    );
    let root = root();
    for (s, snapshot) in taken.iter().zip(snapshots) {
        let board = Board::new(log(), program);
        let mut kernel = kernel(&board, &root);
        kernel.begin(snapshot).unwrap_or_else(|r| panic!("{s}: record {}: {}", r.record, r.why));
        assert!(board.snapshots()[0] == *snapshot, "{s}: written again it is another");
        let again = run(kernel, &board);
        // What was posted behind Passed of s, but for memory digests that were due then and the snapshot itself.
        let passed =
            |v: &Vec<u8>| matches!(postcard::from_bytes(v), Ok(Vote::Passed { s: at, .. }) if at == *s);
        let at = votes.iter().position(passed).unwrap();
        let news = |v: &&Vec<u8>| match postcard::from_bytes(v).unwrap() {
            Vote::Memory { s: at, .. } | Vote::Snapshot { s: at, .. } => at > *s,
            Vote::Took { .. } => false,
            _ => true,
        };
        let rest: Vec<_> = votes[at + 1..].iter().filter(news).collect();
        let again: Vec<_> = again.iter().filter(news).collect();
        let differs = rest.iter().zip(&again).position(|(a, b)| a != b);
        let vote = |v: &[&Vec<u8>], i: usize| format!("{:?}", postcard::from_bytes::<Vote>(v[i]).unwrap());
        if let Some(i) = differs {
            panic!("{s}: {} instead of {}", vote(&again, i), vote(&rest, i));
        }
        assert_eq!(rest.len(), again.len(), "{s}");
    }
}

/// The records of a module, each with its length.
fn split(module: &[u8]) -> Vec<Vec<u8>> {
    let with = |r: &[u8]| [&(r.len() as u32).to_le_bytes()[..], r].concat();
    records(module).map(|r| with(r.unwrap())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is done to a snapshot, it is refused, or is one that can be gone on with.
    #[test]
    fn damaged_snapshots_are_refused_or_can_be_lived_with(
        which in any::<prop::sample::Index>(),
        changes in proptest::collection::vec(
            (0u8..14, any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let (_, snapshots) = session();
        let mut all = split(&snapshots[which.index(snapshots.len())]);
        let mut other = split(&snapshots[snapshots.len() - 1]);
        for (what, at, to, byte) in changes {
            let (i, j) = (at.index(all.len()), to.index(all.len()));
            match what {
                0 => all.swap(i, j),
                1 => drop(all.remove(i)),
                2 => all.insert(i, other.swap_remove(to.index(other.len()))),
                // A byte of a record: of its head sooner than of its data, and mostly so that numbers stay as long as they are.
                _ => {
                    let n = all[i].len() - 4;
                    let within = 4 + to.index(if what < 10 { n.clamp(1, 40) } else { n.max(1) });
                    if let Some(b) = all[i].get_mut(within) {
                        *b = if what == 3 { byte } else { *b ^ byte & 0x7f };
                    }
                }
            }
            prop_assume!(all.len() > 1 && other.len() > 1);
        }
        // End says how many there are, so that it is not what refuses.
        let end = encoded!(&Record::End(all.len() as u64 - 1));
        *all.last_mut().unwrap() = [&(end.len() as u32).to_le_bytes()[..], &end].concat();
        let module = all.concat();
        let root = root();
        if state_of(&module, pool(&root, 4000), (0, root.len() as u64)).is_err() {
            return Ok(());
        }
        let board = Board::new(log(), program);
        let mut kernel = kernel(&board, &root);
        prop_assert!(kernel.begin(&module).is_ok());
        for _ in 0..200 {
            if board.is_idle() {
                break;
            }
            kernel.step();
        }
    }
}

#[test]
fn no_bytes_are_no_snapshot() {
    let root = root();
    for bytes in [&[][..], &[0], &[255; 40]] {
        assert!(state_of(bytes, pool(&root, 100), (0, root.len() as u64)).is_err());
    }
}
