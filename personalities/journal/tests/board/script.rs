//! Programs that are lists of calls with what each must answer, from the beginning and from each snapshot on the way.

use super::{Board, DATA, image, kernel, quiet_log};
use abi::linux::nr;
use abi::log::{Entry, Event, Sync};
use journal::machine::User;

/// A call and what x0 is then; [`ANY`]: it is not looked at.
pub type Call = (u64, [u64; 6], i64);

pub const HERE: u64 = -100i64 as u64;
pub const ANY: i64 = i64::MAX;
/// In place of an argument or a result: an address from the heap's start on, which the first brk answered.
pub const HEAP: u64 = 1 << 60;
/// In place of an argument: what the call before answered.
pub const LAST: u64 = 1 << 61;
/// Nothing is mapped there.
pub const BAD: u64 = 0x1000;
/// Room for what calls write.
pub const OUT: u64 = DATA + 0x1000;
/// Bytes of the program's data; the last 16 of them are a time of 1 ns.
pub const DATA_SIZE: usize = 0xf00;
/// Until the next sync point, at which a snapshot is taken.
pub const SYNC: Call = (nr::nanosleep, [DATA + DATA_SIZE as u64 - 16, 0, 0, 0, 0, 0], 0);
const HEAP_START: usize = 21;

/// Where a path stands: at [`DATA`], each in 32 bytes.
pub const fn place(paths: &[&str], path: &str) -> u64 {
    let mut i = 0;
    while !same(paths[i], path) {
        i += 1;
    }
    DATA + 32 * i as u64
}

/// The set of these signals.
pub fn bits(signals: &[u64]) -> u64 {
    signals.iter().fold(0, |set, n| set | 1 << (n - 1))
}

const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}

/// The paths.
pub fn data(paths: &[&str]) -> Vec<u8> {
    let mut data = vec![0; DATA_SIZE];
    for (i, path) in paths.iter().enumerate() {
        data[32 * i..][..path.len()].copy_from_slice(path.as_bytes());
    }
    data[DATA_SIZE - 8] = 1;
    data
}

/// The call that comes next; children end at once.
pub fn run(u: &mut User, calls: &[Call]) -> bool {
    let at = ((u.pc - DATA) / 4) as usize;
    let last = at.checked_sub(1).map(|last| calls[last]);
    let (mut number, mut args, _) = calls.get(at).copied().unwrap_or((nr::exit_group, [7, 0, 0, 0, 0, 0], 0));
    if last.is_some_and(|l| l.0 == nr::brk) && u.x[HEAP_START] == 0 {
        u.x[HEAP_START] = u.x[0];
    }
    let child = last.is_some_and(|l| l.0 == nr::clone) && u.x[0] == 0;
    if child {
        (number, args) = (nr::exit_group, [0; 6]);
    }
    let real = |v: u64| match v {
        HEAP..LAST => v - HEAP + u.x[HEAP_START],
        LAST => u.x[0],
        _ => v,
    };
    if let Some((last, given, expected)) = last
        && expected != ANY
        && !child
    {
        let right = if expected < 0 { expected } else { real(expected as u64) as i64 };
        assert_eq!(u.x[0] as i64, right, "call {last} of {given:x?}, before {at}");
    }
    let args = args.map(real);
    u.x[8] = number;
    u.x[..6].copy_from_slice(&args);
    u.pc += 4;
    true
}

/// Sync points a second apart, each with a snapshot.
fn snapshots(count: u64) -> Vec<Vec<u8>> {
    const BEGINS_US: u64 = 1_700_000_000_000_000;
    let events = encoded!(&Event::Snapshot);
    let sync = |s| encoded!(&Entry::Sync(Sync { s, time_us: BEGINS_US + s * 1_000_000, events: &events }));
    let boot = quiet_log(0).remove(0);
    [boot].into_iter().chain((1..=count).map(sync)).collect()
}

/// What was shown on the terminal by a program that came to its end.
fn shown(board: &Board) -> Vec<Vec<u8>> {
    let (said, exit) = board.put_out();
    assert_eq!(exit.as_deref(), Some(&(7i32 << 8).to_le_bytes()[..]), "{said:?}");
    said
}

/// What the program shows, as texts.
pub fn shows(data: &[u8], snapshots_above: usize, program: fn(&mut User) -> bool) -> Vec<String> {
    let said = shows_bytes(data, snapshots_above, program);
    said.iter().map(|s| String::from_utf8_lossy(s).into_owned()).collect()
}

/// What the program shows, from the beginning and the rest of it from each snapshot, which is written again as it was; there
/// must be more than so many.
pub fn shows_bytes(data: &[u8], snapshots_above: usize, program: fn(&mut User) -> bool) -> Vec<Vec<u8>> {
    let root = image(data);
    let board = Board::new(snapshots(30), program);
    let mut first = kernel(&board, &root);
    (0..2000).for_each(|_| first.step());
    let said = shown(&board);
    let taken = board.snapshots();
    assert!(taken.len() > snapshots_above, "{}", taken.len());
    for (i, snapshot) in taken.iter().enumerate() {
        let board = Board::new(snapshots(30), program);
        let mut kernel = kernel(&board, &root);
        kernel.begin(snapshot).unwrap_or_else(|r| panic!("{i}: record {}: {}", r.record, r.why));
        assert!(board.snapshots()[0] == *snapshot, "{i}: written again it is another");
        (0..2000).for_each(|_| kernel.step());
        assert!(said.ends_with(&shown(&board)), "{i}: {:?}", shown(&board));
    }
    said
}

/// What is posted with memory digests at each sync point, from the beginning and from each snapshot.
pub fn votes(data: &[u8], program: fn(&mut User) -> bool) -> Vec<Vec<Vec<u8>>> {
    let root = image(data);
    let log = || {
        let mut log = snapshots(30);
        let Ok(Entry::Boot(boot)) = postcard::from_bytes(&log[0]) else { panic!("it begins with Boot") };
        log[0] = encoded!(&Entry::Boot(abi::log::Boot { digest_interval: 1, ..boot }));
        log
    };
    let board = Board::new(log(), program);
    let mut first = kernel(&board, &root);
    (0..2000).for_each(|_| first.step());
    let mut all = vec![board.votes()];
    for snapshot in board.snapshots() {
        let board = Board::new(log(), program);
        let mut kernel = kernel(&board, &root);
        kernel.begin(&snapshot).unwrap_or_else(|r| panic!("record {}: {}", r.record, r.why));
        (0..2000).for_each(|_| kernel.step());
        all.push(board.votes());
    }
    all
}

/// The snapshots that are taken of it, and what the operator is told.
pub fn taken(data: &[u8], program: fn(&mut User) -> bool) -> (Vec<Vec<u8>>, Vec<String>) {
    let board = Board::new(snapshots(30), program);
    let mut kernel = kernel(&board, &image(data));
    (0..2000).for_each(|_| kernel.step());
    shown(&board);
    (board.snapshots(), board.told())
}
