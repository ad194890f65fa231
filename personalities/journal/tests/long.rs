//! Snapshots with texts of more than 4096 bytes: what fits a record is gone on with, what does not is said when the snapshot is taken.

#[macro_use]
mod board;

use abi::linux::nr;
use abi::snapshot::{Record, records};
use board::DATA;
use board::script::{Call, HERE, SYNC, data, place, run, shows, taken};
use journal::machine::User;

const PATHS: &[&str] = &["/prog"];
const CREAT: u64 = 0o102;
/// A name of 255 bytes, the longest; `../` stands before it.
const NAME: u64 = DATA + 0x803;

const fn at(path: &str) -> u64 {
    place(PATHS, path)
}
/// A name of so many bytes.
const fn name(bytes: u64) -> u64 {
    NAME + 255 - bytes
}
const fn open(path: u64, fd: i64) -> Call {
    (nr::openat, [HERE, path, CREAT, 0o644, 0, 0], fd)
}
const fn rename(from: u64, to: u64) -> Call {
    (nr::renameat, [HERE, from, HERE, to, 0, 0], 0)
}
/// Made 31 times: directories whose paths have 256 to 7936 bytes.
const DOWN: [Call; 2] =
    [(nr::mkdirat, [HERE, name(255), 0o755, 0, 0, 0], 0), (nr::chdir, [name(255), 0, 0, 0, 0, 0], 0)];

fn contents() -> Vec<u8> {
    let mut data = data(PATHS);
    data[(NAME - 3 - DATA) as usize..][..3].copy_from_slice(b"../");
    data[(NAME - DATA) as usize..][..255].fill(b'n');
    data
}

fn down(levels: usize, calls: &[Call]) -> Vec<Call> {
    [&DOWN.repeat(levels), calls, &[SYNC]].concat()
}

/// A program, a mapping and a descriptor so far down: a text of 4096 to 8100 bytes each.
fn texts(levels: usize, bytes: u64) -> Vec<Call> {
    down(
        levels,
        &[
            rename(at("/prog"), name(bytes)),
            (nr::openat, [HERE, name(bytes), 0, 0, 0, 0], 3),
            open(name(bytes - 1), 4),
            SYNC,
            // Of what was removed.
            (nr::unlinkat, [HERE, name(bytes - 1), 0, 0, 0, 0], 0),
            SYNC,
            (nr::unlinkat, [HERE, name(bytes), 0, 0, 0, 0], 0),
        ],
    )
}

/// The longest text of programs, mappings and descriptors in a snapshot.
fn longest(snapshot: &[u8]) -> [usize; 3] {
    let mut longest = [0; 3];
    for record in records(snapshot) {
        let (which, text) = match postcard::from_bytes(record.unwrap()).unwrap() {
            Record::Process(p) => (0, p.program),
            Record::Mapping(m) => (1, m.path),
            Record::OpenFile(o) => (2, o.path),
            _ => continue,
        };
        longest[which] = longest[which].max(text.len());
    }
    longest
}

#[test]
fn texts_that_fit_a_record_are_gone_on_with() {
    let programs: [fn(&mut User) -> bool; 4] = [
        |u| run(u, &texts(15, 254)),
        |u| run(u, &texts(15, 255)),
        |u| run(u, &texts(16, 255)),
        |u| run(u, &texts(31, 150)),
    ];
    for (program, length) in programs.into_iter().zip([4095, 4096, 4352, 8087]) {
        shows(&contents(), 2, program);
        let (snapshots, said) = taken(&contents(), program);
        assert_eq!(longest(&snapshots[snapshots.len() - 2]), [length, length, length + 9]);
        assert_eq!(longest(&snapshots[snapshots.len() - 1]), [length + 10; 3]);
        assert_eq!(said, [""; 0]);
    }
}

#[test]
fn a_text_that_fits_no_record_is_said_when_the_snapshot_is_taken() {
    let programs: [fn(&mut User) -> bool; 3] = [
        |u| run(u, &down(31, &[open(name(255), 3), SYNC, (nr::close, [3, 0, 0, 0, 0, 0], 0)])),
        |u| run(u, &down(31, &[rename(at("/prog"), name(255)), SYNC, rename(name(255), at("/prog"))])),
        |u| run(u, &down(33, &[open(name(255), 3), SYNC, (nr::close, [3, 0, 0, 0, 0, 0], 0)])),
    ];
    let kinds = ["an open file,", "a process,", "an open file,"];
    // It goes on, and with the next.
    for (program, kind) in programs.into_iter().zip(kinds) {
        let (snapshots, said) = taken(&contents(), program);
        assert!(!snapshots.is_empty());
        let [said] = &said[..] else { panic!("{said:?}") };
        assert!(said.starts_with("no snapshot of sync point ") && said.contains(kind), "{said}");
    }
}
