//! What links of /proc and paths in `maps` tell of what is open while names are renamed, removed and given again, as Linux 6.1 has it
//! (`tests/system/workloads/names.txt`), and that it goes on so from a snapshot. What is opened by the link of a descriptor.

#[macro_use]
mod board;

use abi::linux::nr;
use abi::log::{Entry, Event, Sync};
use board::script::place;
use board::{Board, DATA, image, kernel, quiet_log};
use journal::machine::User;

/// A call and what x0 is then.
type Call = (u64, [u64; 6], i64);

enum Step {
    Call(Call),
    /// Shows a link on the terminal: its text must be this.
    Link(&'static str, &'static str),
    /// Shows the path in the first line of `maps`, which is opened as this descriptor.
    Maps(u64, &'static str),
}
use Step::{Link, Maps};

const HERE: u64 = -100i64 as u64;
const OUT: u64 = DATA + 0x800;
const SLEEP: u64 = DATA + 0x700;
const POLLED: u64 = DATA + 0x710;
const NONBLOCK: u64 = 0o4000;
const ENOENT: i64 = -2;
const REMOVE_DIRECTORY: u64 = 0x200;
/// Below the program: the first of its mappings.
const MAPPED: u64 = 0x20_0000;
const HUP: u64 = 0x10;

/// At [`DATA`], each in 32 bytes.
const PATHS: &[&str] = &[
    "/t",
    "/t/d",
    "/t/d/a",
    "/t/g",
    "/t/g/a",
    "/t/g/b",
    "/t/g/c",
    "/t/h",
    "/t/h/c",
    "/t/h/e",
    "/u",
    "/u/h",
    "/u/h/e",
    "/u/i",
    "/v",
    "/w",
    "/p",
    "/q",
    "/q/r",
    "/q/r/s",
    "/prog",
    "/t/prog",
    "/t/p2",
    "/u/p2",
    "/u/prog",
    "/v/prog",
    "/v/p2 (deleted)",
    "/t/m",
    "/u/m",
    ".",
    "/u/x",
    "/u/x/y",
    "/u/z",
    "/u/z/y",
    "/u/z/k",
    "/proc/self/fd/0",
    "/proc/self/fd/3",
    "/proc/self/fd/4",
    "/proc/self/fd/5",
    "/proc/self/fd/6",
    "/proc/self/cwd",
    "/proc/self/exe",
    "/proc/self/maps",
];

/// Where a path stands.
const fn at(path: &str) -> u64 {
    place(PATHS, path)
}

const fn call(number: u64, args: [u64; 6], x0: i64) -> Step {
    Step::Call((number, args, x0))
}
const fn open(path: &str, flags: u64, fd: i64) -> Step {
    call(nr::openat, [HERE, at(path), flags, 0o644, 0, 0], fd)
}
const fn make(path: &str) -> Step {
    call(nr::mkdirat, [HERE, at(path), 0o755, 0, 0, 0], 0)
}
const fn rename(from: &str, to: &str) -> Step {
    call(nr::renameat, [HERE, at(from), HERE, at(to), 0, 0], 0)
}
const fn remove(path: &str, flags: u64) -> Step {
    call(nr::unlinkat, [HERE, at(path), flags, 0, 0, 0], 0)
}
const fn close(fd: u64) -> Step {
    call(nr::close, [fd, 0, 0, 0, 0, 0], 0)
}
const fn enter(path: &str) -> Step {
    call(nr::chdir, [at(path), 0, 0, 0, 0, 0], 0)
}
/// Until the next sync point, at which a snapshot is taken.
const SYNC: Step = call(nr::nanosleep, [SLEEP, 0, 0, 0, 0, 0], 0);

const FILE: &str = "/proc/self/fd/3";
const AGAIN: &str = "/proc/self/fd/4";
const DIRECTORY: &str = "/proc/self/fd/5";
const OTHER: &str = "/proc/self/fd/6";
const CWD: &str = "/proc/self/cwd";
const EXE: &str = "/proc/self/exe";

/// Of descriptors.
const RENAMES: &[Step] = &[
    make("/t"),
    make("/t/d"),
    open("/t/d/a", 0o102, 3),
    rename("/t/d", "/t/g"),
    Link(FILE, "/t/g/a"),
    SYNC,
    // By its own name it is followed too, and keeps it where it is opened by the link.
    rename("/t/g/a", "/t/g/b"),
    open(FILE, 0, 4),
    Link(AGAIN, "/t/g/b"),
    // A name that goes is gone, though the file has another; what has it then is another name.
    call(nr::linkat, [HERE, at("/t/g/b"), HERE, at("/t/g/c"), 0, 0], 0),
    remove("/t/g/b", 0),
    Link(FILE, "/t/g/b (deleted)"),
    SYNC,
    rename("/t/g/c", "/t/g/b"),
    rename("/t/g/b", "/t/g/c"),
    open("/t/g", 0, 5),
    rename("/t/g", "/t/h"),
    Link(FILE, "/t/h/b (deleted)"),
    Link(DIRECTORY, "/t/h"),
    // Directories above, and one that was removed.
    rename("/t/h/c", "/t/h/e"),
    SYNC,
    rename("/t", "/u"),
    Link(AGAIN, "/u/h/b (deleted)"),
    remove("/u/h/e", 0),
    remove("/u/h", REMOVE_DIRECTORY),
    Link(DIRECTORY, "/u/h (deleted)"),
    SYNC,
    rename("/u", "/v"),
    Link(AGAIN, "/v/h/b (deleted)"),
    Link(DIRECTORY, "/v/h (deleted)"),
    rename("/v", "/u"),
];

/// Another directory of the same name does not lead the old one's file along. A file renamed over an open one. Whole trees that are removed.
const NAMESAKE: &[Step] = &[
    make("/u/h"),
    rename("/u/h", "/u/i"),
    Link(FILE, "/u/h/b (deleted)"),
    Link(DIRECTORY, "/u/h (deleted)"),
    close(4),
    open("/t", 0o102, 4),
    open("/p", 0o102, 6),
    rename("/p", "/t"),
    Link(AGAIN, "/t (deleted)"),
    Link(OTHER, "/t"),
    rename("/t", "/p"),
    Link(AGAIN, "/t (deleted)"),
    Link(OTHER, "/p"),
    close(4),
    close(6),
    make("/q"),
    make("/q/r"),
    open("/q/r/s", 0o102, 4),
    open("/q/r", 0, 6),
    remove("/q/r/s", 0),
    remove("/q/r", REMOVE_DIRECTORY),
    SYNC,
    rename("/q", "/w"),
    Link(AGAIN, "/w/r/s (deleted)"),
    Link(OTHER, "/w/r (deleted)"),
    SYNC,
    remove("/w", REMOVE_DIRECTORY),
    make("/w"),
    Link(AGAIN, "/w/r/s (deleted)"),
    Link(OTHER, "/w/r (deleted)"),
    SYNC,
];

/// The working directory, the program and mappings; the directory is opened, since a snapshot does not tell a removed one's name.
const PLACES: &[Step] = &[
    make("/t"),
    open("/t/m", 0o102, 3),
    call(nr::write, [3, DATA, 4096, 0, 0, 0], 4096),
    Maps(4, "/prog"),
    rename("/prog", "/t/prog"),
    Link(EXE, "/t/prog"),
    Maps(4, "/t/prog"),
    SYNC,
    rename("/t/prog", "/t/p2"),
    rename("/t", "/u"),
    Link(EXE, "/u/p2"),
    Maps(4, "/u/p2"),
    open(EXE, 0, 4),
    Link(AGAIN, "/u/p2"),
    close(4),
    call(nr::linkat, [HERE, at("/u/p2"), HERE, at("/u/prog"), 0, 0], 0),
    remove("/u/p2", 0),
    Link(EXE, "/u/p2 (deleted)"),
    Maps(4, "/u/p2 (deleted)"),
    SYNC,
    // The mapping has the name of the descriptor that was mapped, whether or not that is still open.
    call(nr::mmap, [MAPPED, 4096, 1, 0x12, 3, 0], MAPPED as i64),
    Maps(4, "/u/m"),
    close(3),
    rename("/u/m", "/t"),
    Maps(3, "/t"),
    SYNC,
    remove("/t", 0),
    Maps(3, "/t (deleted)"),
    make("/u/x"),
    make("/u/x/y"),
    enter("/u/x/y"),
    open(".", 0, 3),
    Link(CWD, "/u/x/y"),
    rename("/u/x", "/u/z"),
    Link(CWD, "/u/z/y"),
    SYNC,
    rename("/u/z/y", "/u/z/k"),
    remove("/u/z/k", REMOVE_DIRECTORY),
    Link(CWD, "/u/z/k (deleted)"),
    SYNC,
    rename("/u", "/v"),
    Link(CWD, "/v/z/k (deleted)"),
    Link(FILE, "/v/z/k (deleted)"),
    Link(EXE, "/v/p2 (deleted)"),
    open(".", 0, 4),
    Link(AGAIN, "/v/z/k (deleted)"),
    SYNC,
    // The link leads to the program while that has a name or is open, whatever lies where its text leads.
    open("/v/p2 (deleted)", 0o102, 5),
    open(EXE, 0, 6),
    Link(OTHER, "/v/p2 (deleted)"),
    remove("/v/prog", 0),
    SYNC,
    open(EXE, 0, 7),
    call(nr::read, [7, OUT, 4, 0, 0, 0], 4),
    close(6),
    close(7),
    open(EXE, 0, ENOENT),
    SYNC,
    call(nr::newfstatat, [HERE, at(EXE), OUT, 0, 0, 0], ENOENT),
];

/// Both ends of a pipe, of which the first is opened again without a writer; a FIFO, too, for which that waits for one.
const PIPES: &[Step] = &[
    call(nr::pipe2, [OUT, 0, 0, 0, 0, 0], 0),
    call(nr::dup3, [3, 0, 0, 0, 0, 0], 0),
    close(3 + 1),
    open("/proc/self/fd/0", NONBLOCK, 4),
    call(nr::ppoll, [POLLED, 1, SLEEP, 0, 0, 0], 1),
    call(nr::write, [1, POLLED + 6, 2, 0, 0, 0], 2),
    close(4),
    call(nr::mknodat, [HERE, at("/p"), 0o010644, 0, 0, 0], 0),
    open("/p", NONBLOCK, 4),
    call(nr::ppoll, [POLLED, 1, SLEEP, 0, 0, 0], 0),
    call(nr::write, [1, POLLED + 6, 2, 0, 0, 0], 2),
];

/// Bytes of a line of `maps` before its path.
const PATH_AT: u64 = 73;

fn calls_of(step: &Step) -> Vec<Call> {
    let tell = |at, length| (nr::write, [1, at, length, 0, 0, 0], length as i64);
    match *step {
        Step::Call(call) => vec![call],
        Link(link, text) => {
            let length = text.len();
            vec![(nr::readlinkat, [HERE, at(link), OUT, 64, 0, 0], length as i64), tell(OUT, length as u64)]
        }
        Maps(fd, text) => {
            // With the end of the line.
            let length = text.len() as u64 + 1;
            let (read, all) = ([fd, OUT, PATH_AT + length, 0, 0, 0], (PATH_AT + length) as i64);
            vec![
                (nr::openat, [HERE, at("/proc/self/maps"), 0, 0, 0, 0], fd as i64),
                (nr::read, read, all),
                (nr::close, [fd, 0, 0, 0, 0, 0], 0),
                tell(OUT + PATH_AT, length),
            ]
        }
    }
}

fn run(u: &mut User, steps: &[&[Step]]) -> bool {
    let all: Vec<Call> = steps.iter().copied().flatten().flat_map(calls_of).collect();
    let number = ((u.pc - DATA) / 4) as usize;
    if let Some((number, args, expected)) = number.checked_sub(1).and_then(|last| all.get(last)) {
        assert_eq!(u.x[0] as i64, *expected, "call {number} of {args:x?}");
    }
    let (call, args) = all.get(number).map_or((nr::exit_group, [7, 0, 0, 0, 0, 0]), |c| (c.0, c.1));
    u.x[8] = call;
    u.x[..6].copy_from_slice(&args);
    u.pc += 4;
    true
}

/// What the steps must show.
fn expected(steps: &[&[Step]]) -> Vec<String> {
    let one = |step: &Step| match *step {
        Step::Call(_) => None,
        Link(_, text) => Some(text.to_string()),
        Maps(_, text) => Some(format!("{text}\n")),
    };
    steps.iter().copied().flatten().filter_map(one).collect()
}

fn data() -> Vec<u8> {
    let mut data = vec![0; 0x1000];
    for (i, path) in PATHS.iter().enumerate() {
        data[32 * i..][..path.len()].copy_from_slice(path.as_bytes());
    }
    data[0x708] = 1;
    data[0x710] = 4;
    data
}

/// What was shown on the terminal, as the calls were answered as they should.
fn shown(board: &Board) -> Vec<String> {
    let (said, exit) = board.put_out();
    assert_eq!(exit.as_deref(), Some(&(7i32 << 8).to_le_bytes()[..]), "{said:?}");
    said.iter().map(|s| String::from_utf8_lossy(s).into_owned()).collect()
}

/// Sync points a second apart, each with a snapshot.
fn snapshots(count: u64) -> Vec<Vec<u8>> {
    const BEGINS_US: u64 = 1_700_000_000_000_000;
    let events = encoded!(&Event::Snapshot);
    let sync = |s| encoded!(&Entry::Sync(Sync { s, time_us: BEGINS_US + s * 1_000_000, events: &events }));
    let boot = quiet_log(0).remove(0);
    [boot].into_iter().chain((1..=count).map(sync)).collect()
}

fn shows(program: fn(&mut User) -> bool) -> Board {
    let root = image(&data());
    let board = Board::new(snapshots(30), program);
    let mut kernel = kernel(&board, &root);
    (0..2000).for_each(|_| kernel.step());
    board
}

/// The steps show what they should, from the beginning and from each snapshot; each is written again as it was.
fn shows_and_goes_on(steps: &[&[Step]], program: fn(&mut User) -> bool) {
    let board = shows(program);
    let said = shown(&board);
    assert_eq!(said, expected(steps));
    let taken = board.snapshots();
    assert!(taken.len() > 3, "{}", taken.len());
    let root = image(&data());
    for (i, snapshot) in taken.iter().enumerate() {
        let board = Board::new(snapshots(30), program);
        let mut kernel = kernel(&board, &root);
        kernel.begin(snapshot).unwrap_or_else(|r| panic!("{i}: record {}: {}", r.record, r.why));
        assert!(board.snapshots()[0] == *snapshot, "{i}: written again it is another");
        (0..2000).for_each(|_| kernel.step());
        assert!(said.ends_with(&shown(&board)), "{i}: {:?}", shown(&board));
    }
}

#[test]
fn links_of_descriptors_follow_renames() {
    shows_and_goes_on(&[RENAMES, NAMESAKE], |u| run(u, &[RENAMES, NAMESAKE]));
}

#[test]
fn working_directory_program_and_mappings_follow_renames() {
    shows_and_goes_on(&[PLACES], |u| run(u, &[PLACES]));
}

#[test]
fn a_pipe_that_is_opened_again_waits_for_no_first_writer() {
    let board = shows(|u| run(u, &[PIPES]));
    shown(&board);
    assert_eq!(board.put_out().0, [(HUP as u16).to_le_bytes(), [0, 0]]);
}
