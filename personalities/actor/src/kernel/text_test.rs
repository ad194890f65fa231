//! Texts of names that are longer than a path, in snapshots: what is written can be begun with, and what fits no record is refused when it is taken.

use super::linux_test::answer;
use super::names_test::{mkdir, open, path, remove, rename};
use super::test::{Fake, kernel, root};
use super::*;
use crate::machine::Event;
use abi::linux::nr;

const MADE: i64 = 0o102;
const DIRECTORY: i64 = 0o40000;

/// Who has the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Of {
    Program,
    Mapping,
    File,
    RemovedFile,
    Directory,
    RemovedDirectory,
    WorkingDirectory,
}

const ALL: [Of; 7] = [
    Of::Program,
    Of::Mapping,
    Of::File,
    Of::RemovedFile,
    Of::Directory,
    Of::RemovedDirectory,
    Of::WorkingDirectory,
];

/// Process 1 in a directory whose text has `depth` bytes.
fn deep(depth: usize) -> Kernel<Fake> {
    let mut k = kernel();
    let mut left = depth;
    while left > 0 {
        let name = "d".repeat(255.min(left - 1));
        mkdir(&mut k, &name);
        let at = path(&mut k, 0, &name);
        assert_eq!(answer(&mut k, nr::chdir, &[at]), 0);
        left -= name.len() + 1;
    }
    k
}

/// A text that ends with a name of `length` bytes is told of by a snapshot.
fn told(depth: usize, length: usize, of: Of) -> Kernel<Fake> {
    let mut k = deep(depth);
    let name = "n".repeat(length);
    match of {
        Of::Program => {
            // Its mappings would tell the same text.
            let space = k.space_of(1).unwrap();
            k.memory.munmap(space, 0x40_0000, 0x1000).unwrap();
            rename(&mut k, "/init", &name);
        }
        Of::Mapping => {
            let fd = open(&mut k, &name, MADE);
            assert!(answer(&mut k, nr::mmap, &[0, 0x1000, 1, 2, fd, 0]) > 0);
            answer(&mut k, nr::close, &[fd]);
        }
        Of::File | Of::RemovedFile => assert!(open(&mut k, &name, MADE) > 2),
        Of::Directory | Of::RemovedDirectory | Of::WorkingDirectory => {
            mkdir(&mut k, &name);
            if of == Of::WorkingDirectory {
                let at = path(&mut k, 0, &name);
                assert_eq!(answer(&mut k, nr::chdir, &[at]), 0);
            } else {
                assert!(open(&mut k, &name, DIRECTORY) > 2);
            }
        }
    }
    match of {
        Of::RemovedFile => remove(&mut k, &name, 0),
        Of::RemovedDirectory => remove(&mut k, &name, 0x200),
        _ => {}
    }
    k
}

/// Takes a snapshot; whether it is one, which then is begun with, or what is told of it.
fn taken(k: &mut Kernel<Fake>) -> Result<(), Vec<Event>> {
    let (votes, lines) = (k.machine.said.len(), k.machine.told.len());
    k.take_snapshot(7);
    k.makes(1, nr::getpid, &[]);
    let voted = k.machine.said[votes..].iter().any(|v| v.starts_with("Snapshot"));
    if !voted {
        return Err(k.machine.told[lines..].to_vec());
    }
    let again = Kernel::resume(Fake::default(), &k.machine.snapshot, root(), 50_000).unwrap();
    assert!(again.machine.snapshot == k.machine.snapshot, "another snapshot");
    assert_eq!(again.machine.told, []);
    Ok(())
}

#[test]
fn what_tells_a_text_as_long_as_a_path_or_longer_is_begun_with() {
    for of in ALL {
        for length in (4086..=4100).chain([4351, 5000, 6000, 7000, 8000]) {
            let depth = length - 120;
            assert_eq!(taken(&mut told(depth, 119, of)), Ok(()), "{of:?} {length}");
        }
    }
}

#[test]
fn a_text_that_fits_no_record_refuses_the_snapshot_and_that_is_told() {
    for (of, what) in [
        (Of::Program, "a process"),
        (Of::Mapping, "a mapping"),
        (Of::File, "an open file"),
        (Of::RemovedFile, "an open file"),
        (Of::Directory, "an open file"),
        (Of::RemovedDirectory, "an open file"),
    ] {
        let depth = 8192 - 200;
        let results: Vec<_> = (1..=250).map(|name| taken(&mut told(depth, name, of))).collect();
        let border = results.iter().position(Result::is_err).unwrap();
        assert!(border > 0, "{of:?}");
        for result in &results[border..] {
            assert_eq!(result, &Err(vec![Event::NoSnapshot { s: 7, what }]), "{of:?}");
        }
    }
}
