//! The names of what is open against a model that has a row for each entry there ever was, and far down, through thousands of renames.

mod board;

use abi::linux::nr;
use board::{Board, DATA, image, kernel, pool, quiet_log};
use journal::fs::opened::Name;
use journal::fs::{DIRECTORY, Files, REGULAR, ROOT};
use journal::machine::User;
use proptest::prelude::*;
use std::collections::BTreeMap;

struct Row {
    above: Option<usize>,
    name: &'static str,
    gone: bool,
}

/// Entries, as they are and were: rows, the row of a directory, and those that are there by directory and name, with their inodes.
#[derive(Default)]
struct Model {
    rows: Vec<Row>,
    directories: BTreeMap<u64, usize>,
    there: BTreeMap<(u64, &'static str), (usize, u64)>,
}

impl Model {
    fn enter(&mut self, dir: u64, name: &'static str, inode: u64) -> usize {
        let above = self.directories.get(&dir).copied();
        self.rows.push(Row { above, name, gone: false });
        self.there.insert((dir, name), (self.rows.len() - 1, inode));
        self.rows.len() - 1
    }

    fn remove(&mut self, dir: u64, name: &'static str) {
        let (row, _) = self.there.remove(&(dir, name)).unwrap();
        self.rows[row].gone = true;
    }

    fn rename(&mut self, from: (u64, &'static str), to: (u64, &'static str)) {
        if self.there.contains_key(&to) {
            self.remove(to.0, to.1);
        }
        let (row, inode) = self.there.remove(&from).unwrap();
        (self.rows[row].above, self.rows[row].name) = (self.directories.get(&to.0).copied(), to.1);
        self.there.insert(to, (row, inode));
    }

    fn text(&self, row: usize) -> String {
        let (mut text, mut at) = (String::new(), Some(row));
        while let Some(row) = at {
            text = format!("/{}{text}", self.rows[row].name);
            at = self.rows[row].above;
        }
        text + if self.rows[row].gone { " (deleted)" } else { "" }
    }
}

const NAMES: [&str; 3] = ["a", "b", "c"];

/// Whether `from` can be renamed to `to`, as renameat would find.
fn can_rename(files: &Files, inode: u64, to: (u64, &str)) -> bool {
    let directory = files.is_directory(inode);
    let fits = |target: u64| {
        target != inode && files.is_directory(target) == directory && (!directory || files.is_empty(target))
    };
    !(directory && files.is_above(inode, to.0)) && files.lookup(to.0, to.1.as_bytes()).is_none_or(fits)
}

proptest! {
    #[test]
    fn names_of_what_is_open_are_those_of_their_entries(
        steps in proptest::collection::vec(
            (0u8..10, any::<prop::sample::Index>(), 0usize..3, any::<prop::sample::Index>(), 0usize..3), 1..160),
    ) {
        let root = image(&[]);
        let mut files = Files::new(pool(&root, 9), 0, root.len() as u64, 0).unwrap();
        let (mut model, mut held) = (Model::default(), Vec::<(Name, usize, u64)>::new());
        let mut directories = vec![ROOT];
        for (what, dir, name, other, new) in steps {
            directories.retain(|d| files.lives(*d).is_ok());
            let (dir, name) = (*dir.get(&directories), NAMES[name]);
            let to = (*other.get(&directories), NAMES[new]);
            let entry = model.there.get(&(dir, name)).copied();
            match (what, entry) {
                (0..=2, None) => {
                    let mode = if what < 2 { DIRECTORY } else { REGULAR } | 0o755;
                    let inode = files.make(mode, 0).unwrap();
                    files.name_new(dir, name.as_bytes(), inode, 0);
                    let row = model.enter(dir, name, inode);
                    if what < 2 {
                        directories.push(inode);
                        model.directories.insert(inode, row);
                    }
                }
                (3, Some((_, inode))) if !files.is_directory(inode) && files.lookup(to.0, to.1.as_bytes()).is_none() => {
                    files.link(to.0, to.1.as_bytes(), inode, 0);
                    model.enter(to.0, to.1, inode);
                }
                (4, Some((_, inode))) if !files.is_directory(inode) || files.is_empty(inode) => {
                    files.unlink(dir, name.as_bytes(), 0);
                    model.remove(dir, name);
                }
                (5 | 6, Some((_, inode))) if can_rename(&files, inode, to) => {
                    files.rename((dir, name.as_bytes()), (to.0, to.1.as_bytes()), 0);
                    model.rename((dir, name), to);
                }
                (7, Some((row, inode))) => {
                    held.push((files.name_of(dir, name.as_bytes(), inode), row, inode));
                    files.hold(inode);
                }
                (8, _) if !held.is_empty() => {
                    let (_, _, inode) = held.swap_remove(other.index(held.len()));
                    files.release(inode);
                }
                // Of a directory that is held, though it be removed, the name is found again.
                (9, _) if !held.is_empty() => {
                    let (name, _, inode) = other.get(&held);
                    if files.is_directory(*inode) {
                        prop_assert_eq!(&files.name_of_directory(*inode), name);
                    }
                }
                _ => {}
            }
            let mut texts = files.texts();
            for (name, row, _) in &held {
                prop_assert_eq!(String::from_utf8(texts.of(name)).unwrap(), model.text(*row));
            }
        }
    }
}

const HERE: u64 = -100i64 as u64;
const OUT: u64 = DATA + 0x800;
const DEPTH: u64 = 1500;
/// Renames of the topmost directory, there and back.
const TIMES: u64 = 2000;
/// At [`DATA`], each in 32 bytes.
const PATHS: [&str; 8] = ["d", "f", "..", "/d", "/e", "/proc/self/fd/3", "/proc/self/maps", "/proc/self/cwd"];

/// Goes down so many directories, opens and maps a file there, renames what is topmost again and again, removes all on the way up, and does it
/// once more below what was removed. x19 counts calls.
fn far_down(u: &mut User) -> bool {
    let at = |path: &str| DATA + 32 * PATHS.iter().position(|p| *p == path).unwrap() as u64;
    let text = 2 * DEPTH as i64;
    let (step, x0) = (u.x[19], u.x[0] as i64);
    u.x[19] += 1;
    let below = |at: u64| step.checked_sub(at);
    let (renamed, up) = (2 * DEPTH + 4, 2 * DEPTH + 4 + 2 * TIMES);
    let end = up + 1 + 2 * DEPTH;
    let (call, args, expected) = match step {
        n if n < 2 * DEPTH && n % 2 == 0 => (nr::mkdirat, [HERE, at("d"), 0o755, 0, 0, 0], 0),
        n if n < 2 * DEPTH => (nr::chdir, [at("d"), 0, 0, 0, 0, 0], 0),
        n if n == 2 * DEPTH => (nr::openat, [HERE, at("f"), 0o102, 0o644, 0, 0], 3),
        n if n == 2 * DEPTH + 1 => (nr::write, [3, DATA, 16, 0, 0, 0], 16),
        n if n == 2 * DEPTH + 2 => (nr::mmap, [0x20_0000, 4096, 1, 0x12, 3, 0], 0x20_0000),
        n if n == 2 * DEPTH + 3 => (nr::readlinkat, [HERE, at("/proc/self/fd/3"), OUT, 8000, 0, 0], text + 2),
        n if n < up && below(renamed).unwrap() % 2 == 0 => {
            (nr::renameat, [HERE, at("/d"), HERE, at("/e"), 0, 0], 0)
        }
        n if n < up => (nr::renameat, [HERE, at("/e"), HERE, at("/d"), 0, 0], 0),
        n if n == up => (nr::unlinkat, [HERE, at("f"), 0, 0, 0, 0], 0),
        n if n < end && (n - up) % 2 == 1 => (nr::chdir, [at(".."), 0, 0, 0, 0, 0], 0),
        n if n < end => (nr::unlinkat, [HERE, at("d"), 0x200, 0, 0, 0], 0),
        n if n == end => (nr::readlinkat, [HERE, at("/proc/self/fd/3"), OUT, 8000, 0, 0], text + 12),
        n if n == end + 1 => (nr::openat, [HERE, at("/proc/self/maps"), 0, 0, 0, 0], 4),
        n if n == end + 2 => (nr::read, [4, OUT, 6000, 0, 0, 0], 6000.min(73 + text + 12)),
        _ => (nr::exit_group, [7, 0, 0, 0, 0, 0], 0),
    };
    // What the call before answered.
    assert!(
        step == 0 || x0 == u.x[20] as i64 || u.x[8] == nr::read && x0 > 73 + text,
        "call {step} of {}: {x0}",
        u.x[8]
    );
    u.x[20] = expected as u64;
    u.x[8] = call;
    u.x[..6].copy_from_slice(&args);
    true
}

#[test]
fn names_far_down_are_followed_through_thousands_of_renames() {
    let mut data = vec![0; 0x400];
    for (i, path) in PATHS.iter().enumerate() {
        data[32 * i..][..path.len()].copy_from_slice(path.as_bytes());
    }
    let root = image(&data);
    let board = Board::new(quiet_log(4000), far_down);
    let mut kernel = kernel(&board, &root);
    (0..60_000).for_each(|_| kernel.step());
    let (_, exit) = board.put_out();
    assert_eq!(exit.as_deref(), Some(&(7i32 << 8).to_le_bytes()[..]));
}
