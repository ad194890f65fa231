//! Names as long as a record can hold, and a stack longer than any: what is written is begun with. What is longer is no snapshot, and the operator is told why.

use super::machine::{Arg::Lit, Arg::Saved, Code};
use super::rig::{Case, SEED, lines};
use super::{A, B, HERE, O_CREAT_RDWR, idle, seen};
use abi::layout::{STACK_MAX, layout};
use abi::linux::nr;
use abi::log::Event;
use abi::snapshot::RECORD_MAX;

/// In a directory below /tmp whose path has so many bytes: a program that is executed there, and a file that it has open and mapped. Then both lose their
/// names, if `removed`.
fn deep(len: usize, removed: bool) -> Case {
    let mut c = Code::default();
    c.path(A, "/tmp").call(nr::chdir, &[A]);
    let mut left = len - "/tmp".len();
    while left > 0 {
        // The last has a name, too.
        let part = if left > 256 { (left - 2).min(256) } else { left };
        c.path(A, &"n".repeat(part - 1)).call(nr::mkdirat, &[HERE, A, 0o755]).call(nr::chdir, &[A]);
        left -= part;
    }
    c.path(A, "/bin/second").path(B, "p").call(nr::renameat, &[HERE, A, HERE, B]);
    c.path(A, "f").call(nr::openat, &[HERE, A, O_CREAT_RDWR, 0o644]).call(nr::write, &[3, A, 4096]);
    c.call(nr::execve, &[B, 0, 0]).call(nr::exit_group, &[9]);
    let second = c.here();
    c.call(nr::mmap, &[0, 4096, 3, 2, 3, 0]).save(0).with(nr::write, &[Lit(1), Saved(0), Lit(1)]);
    if removed {
        for name in ["f", "p"] {
            c.path(A, name).call(nr::unlinkat, &[HERE, A, 0]);
        }
    }
    idle(&mut c, 40);
    c.with(nr::write, &[Lit(1), Saved(0), Lit(1)]).call(nr::exit_group, &[0]);
    Case::new(c, second)
}

/// A snapshot of the last sync point is asked for: what the operator is told, and how many are voted.
fn refused(case: &Case) -> (Vec<String>, usize) {
    let last = *case.run(None, None, 20_000).0.passed.last_key_value().unwrap().0;
    let (said, taken) = case.run(Some(last), None, 20_000);
    assert!(!lines(&taken).iter().any(|line| line.starts_with("End")));
    (said.texts, said.roots.len())
}

#[test]
fn names_that_a_record_holds_are_written_and_begun_with() {
    // Around 4096 bytes, with and without what is said of removed ones; then nearly as many as a record holds.
    for (len, removed) in
        [(4083, true), (4084, true), (4093, false), (4094, false), (4095, true), (8080, true)]
    {
        let all = deep(len, removed).everywhere();
        let wanted = if removed { "p (deleted)" } else { "p" };
        let name = |text: &str| format!("{:?}", text.as_bytes()).trim_matches(['[', ']']).to_owned();
        for what in ["Process(", "OpenFile(", "Mapping("] {
            let file = if what == "Process(" { wanted.to_owned() } else { wanted.replace('p', "f") };
            let long = |line: &String| {
                line.starts_with(what)
                    && line.contains(&name(&("n/".to_owned() + &file)))
                    && line.len() > 3 * len
            };
            assert!(all.iter().any(|bytes| lines(bytes).iter().any(long)), "{len} {removed} {what}");
        }
        assert!(seen(&all, "MemoryPage"));
    }
}

#[test]
fn names_that_no_record_holds_are_no_snapshot_and_the_operator_is_told() {
    for removed in [false, true] {
        let (texts, roots) = refused(&deep(RECORD_MAX, removed));
        assert_eq!((texts.len(), roots), (1, 0), "{texts:?}");
        assert!(texts[0].ends_with(": a program's path fits no record"), "{texts:?}");
    }
}

/// Each byte ends a line: the ends fill more than a record.
#[test]
fn ends_typed_ahead_that_no_record_holds_are_no_snapshot() {
    let mut c = Code::default();
    idle(&mut c, 60);
    c.call(nr::exit_group, &[0]);
    let case = (0..3000).fold(Case::new(c, 0), |case, i| case.event(1 + i % 2, Event::TtyLine(b"")));
    let (texts, roots) = refused(&case);
    assert_eq!((texts.len(), roots), (1, 0), "{texts:?}");
    assert!(texts[0].ends_with(": the terminal's queue fits no record"), "{texts:?}");
}

/// mremap makes more of a stack than it can grow to.
#[test]
fn a_stack_that_mremap_moved_and_made_longer_is_begun_with() {
    let top = layout(&SEED, 0).stack_top;
    let mut c = Code::default();
    c.call(nr::mremap, &[top - 0x1000, 0x1000, STACK_MAX + 0x1000, 1]).save(0);
    c.with(nr::write, &[Lit(1), Saved(0), Lit(3)]);
    idle(&mut c, 40);
    c.with(nr::write, &[Lit(1), Saved(0), Lit(3)]).call(nr::exit_group, &[0]);
    let all = Case::new(c, 0).everywhere();
    assert!(all.iter().any(|bytes| lines(bytes).iter().any(|line| line.contains("kind: Stack"))));
}
