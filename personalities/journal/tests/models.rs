//! The pure parts against naive models, and against hostile input.

use abi::layout::PAGE;
use journal::fs::{Files, REGULAR, ROOT};
use journal::page::{Memory, PAGE_SIZE, Page, Pool};
use journal::regions::Place;
use journal::space::{Backing, READ, Space, WRITE};
use journal::store::Store;
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Pages in a vector; the first hold the image.
struct Ram(RefCell<Vec<[u8; PAGE_SIZE]>>);

impl Memory for Ram {
    fn read(&self, page: u32, at: usize, out: &mut [u8]) {
        out.copy_from_slice(&self.0.borrow()[page as usize][at..at + out.len()]);
    }
    fn write(&self, page: u32, at: usize, data: &[u8]) {
        self.0.borrow_mut()[page as usize][at..at + data.len()].copy_from_slice(data);
    }
    fn word(&self, page: u32, index: usize) -> u64 {
        u64::from_le_bytes(self.0.borrow()[page as usize][index * 8..index * 8 + 8].try_into().unwrap())
    }
    fn set_word(&self, page: u32, index: usize, word: u64) {
        self.write(page, index * 8, &word.to_le_bytes());
    }
}

fn pool(image: &[u8], frames: usize) -> Rc<Pool> {
    let first = image.len().div_ceil(PAGE_SIZE);
    let mut pages = vec![[0xaa; PAGE_SIZE]; first + frames];
    for (page, bytes) in pages.iter_mut().zip(image.chunks(PAGE_SIZE)) {
        page[..bytes.len()].copy_from_slice(bytes);
    }
    let end = pages.len() as u32;
    Pool::new(Box::new(Ram(RefCell::new(pages))), first as u32, end)
}

/// An archive with one file, `f`.
fn archive(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, data) in [("f", data), ("TRAILER!!!", &[][..])] {
        out.extend_from_slice(b"070701");
        for field in [1, 0o100644, 0, 0, 1, 7, data.len(), 0, 0, 0, 0, name.len() + 1, 0] {
            out.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        out.extend_from_slice(name.as_bytes());
        out.push(0);
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend_from_slice(data);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out
}

proptest! {
    /// A file of the image that is written, truncated and read is a vector of bytes; its snapshot stays what it was.
    #[test]
    fn a_file_is_its_bytes(
        start in proptest::collection::vec(any::<u8>(), 0..9000),
        steps in proptest::collection::vec((0u8..3, 0u64..20_000, 1usize..6000, any::<u8>()), 1..24),
    ) {
        let image = archive(&start);
        let pool = pool(&image, 200);
        let mut files = Files::new(pool.clone(), 0, image.len() as u64, 0).unwrap();
        let f = files.lookup(ROOT, b"f").unwrap();
        prop_assert_eq!(files.inode(f).unwrap().mode, REGULAR | 0o644);
        let mut model = start.clone();
        let (mut shot, mut then) = (files.shot(f).unwrap(), model.clone());
        let (mut copy, mut copied) = (files.clone(), model.clone());
        for (what, at, length, byte) in steps {
            match what {
                0 => {
                    prop_assert_eq!(files.write(f, at, &vec![byte; length], 1).unwrap(), length);
                    let end = at as usize + length;
                    model.resize(model.len().max(end), 0);
                    model[at as usize..end].fill(byte);
                }
                1 => {
                    files.truncate(f, at, 1).unwrap();
                    model.resize(at as usize, 0);
                }
                2 if byte % 2 == 0 => (copy, copied) = (files.clone(), model.clone()),
                _ => (shot, then) = (files.shot(f).unwrap(), model.clone()),
            }
            let mut out = vec![1; model.len() + 10];
            prop_assert_eq!(files.read(f, 0, &mut out), model.len());
            prop_assert_eq!(&out[..model.len()], &model[..]);
        }
        let mut out = vec![1; copied.len() + 10];
        prop_assert_eq!(copy.read(f, 0, &mut out), copied.len());
        prop_assert_eq!(&out[..copied.len()], &copied[..]);
        prop_assert_eq!(shot.size, then.len() as u64);
        for (index, bytes) in then.chunks(PAGE_SIZE).enumerate() {
            let mut page = [0; PAGE_SIZE];
            if let Some(p) = shot.page(index as u64) {
                pool.read(&p, 0, &mut page);
            }
            prop_assert_eq!(&page[..bytes.len()], bytes);
            prop_assert!(page[bytes.len()..].iter().all(|b| *b == 0));
        }
    }

    /// The map of regions is an array of rights by page; a fork keeps its bytes.
    #[test]
    fn regions_are_rights_by_page(steps in proptest::collection::vec((0u8..5, 0u64..40, 1u64..10, 0u8..8), 1..40)) {
        const BASE: u64 = 1 << 20;
        let pool = pool(&[], 400);
        let mut space = Space::new(pool.clone());
        space.mmap_top = BASE + 64 * PAGE;
        // By page: its rights, and whether it was ever writable.
        let mut model = [None; 64];
        let mut bytes = BTreeMap::new();
        for (what, first, count, rights) in steps {
            let (start, end) = (BASE + first * PAGE, BASE + (first + count) * PAGE);
            let span = first as usize..(first + count) as usize;
            match what {
                0 => {
                    prop_assert_eq!(space.place(Place::Fixed(start), end - start), Ok(start));
                    space.add(start, end - start, rights, Backing::Anonymous, None);
                    model[span.clone()].fill(Some((rights, rights & WRITE != 0)));
                    bytes.retain(|p, _| !span.contains(p));
                }
                1 => {
                    space.remove(start, end);
                    model[span.clone()].fill(None);
                    bytes.retain(|p, _| !span.contains(p));
                }
                2 => {
                    let hole = span.clone().find(|p| model[*p].is_none());
                    prop_assert_eq!(space.protect(start, end, rights).is_err(), hole.is_some());
                    for page in model[first as usize..hole.unwrap_or(span.end)].iter_mut().flatten() {
                        *page = (rights, page.1 || rights & WRITE != 0);
                    }
                }
                3 => {
                    let written = space.put(start, &[rights; 3]).is_ok();
                    let may = model[first as usize].is_some_and(|(r, _)| r & WRITE != 0);
                    prop_assert_eq!(written, may);
                    if may {
                        bytes.insert(first as usize, rights);
                    }
                }
                _ => {
                    // A child that writes everywhere changes nothing here.
                    let mut child = space.clone();
                    for p in 0..64 {
                        let _ = child.put_anyway(BASE + p * PAGE, &[0xee; 8]);
                    }
                }
            }
            // What is alike and adjacent is one region, whatever made it.
            let first_of_its_kind = |p: &usize| model[*p].is_some() && (*p == 0 || model[*p - 1] != model[*p]);
            prop_assert_eq!(space.regions.size(), (0..64).filter(first_of_its_kind).count());
            for (p, expected) in model.iter().enumerate() {
                let expected = expected.map(|(rights, _)| rights);
                let at = BASE + p as u64 * PAGE;
                prop_assert_eq!(space.region(at).map(|(_, r)| r.rights), expected);
                let mut got = [9; 4];
                if expected.is_some_and(|r| r != 0) {
                    space.get(at, &mut got).unwrap();
                    let b = bytes.get(&p).copied().unwrap_or(0);
                    prop_assert_eq!(got, [b, b, b, 0]);
                }
                prop_assert_eq!(space.allowed(at, READ).is_ok(), expected.is_some_and(|r| r != 0));
            }
        }
    }

    /// The store is a map; a snapshot is that map as it was.
    #[test]
    fn the_log_is_a_map(steps in proptest::collection::vec((0u8..4, 0u16..40, any::<u32>()), 1..600)) {
        let (mut store, mut model) = (Store::default(), BTreeMap::new());
        let (mut kept, mut then) = (store.clone(), model.clone());
        for (what, key, value) in steps {
            match what {
                0 => prop_assert_eq!(store.remove(&key), model.remove(&key).is_some()),
                1 if value % 16 == 0 => (kept, then) = (store.clone(), model.clone()),
                2 => {
                    // In its place, if the copy does not hold it.
                    let held = then.contains_key(&key);
                    match (store.sole(&key), model.get_mut(&key)) {
                        (Some(newest), Some(same)) => (*newest, *same) = (value, value),
                        (newest, same) => prop_assert!(newest.is_none() && (same.is_none() || held)),
                    }
                }
                _ => {
                    store.put(key, value);
                    model.insert(key, value);
                }
            }
            prop_assert_eq!(store.get(&key), model.get(&key));
        }
        for (store, model) in [(&store, &model), (&kept, &then)] {
            let all: Vec<_> = store.range(&0, &u16::MAX).map(|(k, v)| (*k, *v)).collect();
            prop_assert_eq!(all, model.iter().map(|(k, v)| (*k, *v)).collect::<Vec<_>>());
        }
    }

    /// No file makes the loader panic, and what it accepts lies where it may.
    #[test]
    fn a_hostile_elf_is_refused_or_in_its_place(mut file in proptest::collection::vec(any::<u8>(), 64..400), count in 0u8..4) {
        file[..20].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xb7\0");
        file[32..40].copy_from_slice(&64u64.to_le_bytes());
        file[54..58].copy_from_slice(&[56, 0, count, 0]);
        for i in 0..usize::from(count) {
            if let Some(kind) = file.get_mut(64 + i * 56..68 + i * 56) {
                kind.copy_from_slice(&[1, 0, 0, 0]);
            }
        }
        let read = |at: u64, out: &mut [u8]| {
            let from = file.get(usize::try_from(at).unwrap_or(usize::MAX)..).unwrap_or(&[]);
            let n = from.len().min(out.len());
            out[..n].copy_from_slice(&from[..n]);
            n
        };
        if let Ok(image) = journal::elf::parse(&read) {
            prop_assert!(image.segments.iter().all(|s| s.address + s.memory_size <= abi::layout::TASK_SIZE / 2));
        }
    }

    /// No archive makes the reader panic or read outside it.
    #[test]
    fn a_hostile_archive_is_refused(at in 0usize..140, damage in any::<[u8; 8]>(), cut in 0usize..300) {
        let mut image = archive(b"some bytes");
        for (i, b) in damage.iter().enumerate() {
            if let Some(to) = image.get_mut(at + i) {
                *to = *b;
            }
        }
        image.truncate(image.len().saturating_sub(cut));
        let size = image.len();
        let read = |at: u64, out: &mut [u8]| out.copy_from_slice(&image[at as usize..at as usize + out.len()]);
        if let Ok(members) = journal::cpio::members(size as u64, &read) {
            prop_assert!(members.iter().all(|m| m.at + m.size <= size as u64));
        }
    }
}

/// A page that two hold is not sole, and goes back to the pool when both are gone.
#[test]
fn frames_come_back() {
    let pool = pool(&[], 2);
    let (a, b) = (pool.frame().unwrap(), pool.frame().unwrap());
    assert!(pool.frame().is_none());
    let page = Page::Own(a);
    let other = page.clone();
    assert!(page.sole().is_none());
    drop(other);
    assert!(page.sole().is_some());
    drop((page, b));
    assert_eq!((pool.used(), pool.left()), (0, 2));
}

/// A write that follows another changes the page where it lies, but not one that somebody else holds.
#[test]
fn a_page_that_nobody_else_holds_is_written_in_place() {
    let image = archive(b"");
    let pool = pool(&image, 20);
    let mut files = Files::new(pool.clone(), 0, image.len() as u64, 0).unwrap();
    let f = files.lookup(ROOT, b"f").unwrap();
    let lies = |files: &Files| files.counted(f).map(|(_, p)| p.number()).next();
    assert_eq!(files.write(f, 0, b"one", 1), Ok(3));
    let first = lies(&files);
    assert_eq!(files.write(f, 3, b"two", 2), Ok(3));
    assert_eq!(lies(&files), first);
    let shot = files.shot(f).unwrap();
    assert_eq!(files.write(f, 6, b"three", 3), Ok(5));
    assert_ne!(lies(&files), first);
    drop(shot);
    let (second, copy) = (lies(&files), files.clone());
    assert_eq!(files.write(f, 0, b"ONE", 4), Ok(3));
    assert_ne!(lies(&files), second);
    let read = |files: &Files| {
        let mut out = [0; 11];
        (files.read(f, 0, &mut out), out)
    };
    assert_eq!((read(&files), read(&copy)), ((11, *b"ONEtwothree"), (11, *b"onetwothree")));
    assert_eq!((files.inode(f).unwrap().times[1], copy.inode(f).unwrap().times[1]), (4, 3));
}

/// Headers of a program whose first segment lies at the end of all addresses: where they lie in memory is no number.
#[test]
fn headers_in_a_segment_beyond_all_addresses_are_refused() {
    let mut file = [0u8; 64 + 56];
    file[..20].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xb7\0");
    let mut put = |at: usize, v: u64| file[at..at + 8].copy_from_slice(&v.to_le_bytes());
    put(32, 64);
    put(64, 1 | 5 << 32);
    for (at, v) in [(80, u64::MAX), (96, 120), (104, 120)] {
        put(at, v);
    }
    file[54..58].copy_from_slice(&[56, 0, 1, 0]);
    let read = |at: u64, out: &mut [u8]| {
        let from = file.get(at as usize..).unwrap_or(&[]);
        let n = from.len().min(out.len());
        out[..n].copy_from_slice(&from[..n]);
        n
    };
    assert!(journal::elf::parse(&read).is_err());
}

/// The regions of a space: start and end in pages from `base` on, rights, whether they are shared.
fn regions(space: &Space, base: u64) -> Vec<(u64, u64, u8, bool)> {
    let one = |(start, r): (&u64, &journal::space::Region)| {
        ((*start - base) / PAGE, (r.end - base) / PAGE, r.rights, r.shared)
    };
    space.regions.iter().map(one).collect()
}

/// A line of maps, and one mapping to mremap.
#[test]
fn a_heap_that_grew_twice_is_one_mapping() {
    const HEAP: u64 = 1 << 20;
    let mut space = Space::new(pool(&[], 4));
    (space.brk, space.mmap_top) = ((HEAP, HEAP), HEAP + 64 * PAGE);
    for (want, pages) in [(PAGE, 1), (34 * PAGE, 34), (33 * PAGE + 1, 34), (32 * PAGE, 32), (36 * PAGE, 36)] {
        assert_eq!(space.set_break(HEAP + want), HEAP + want);
        assert_eq!(regions(&space, HEAP), [(0, pages, READ | WRITE, false)]);
    }
    // What has no name goes on behind it as another.
    space.add(HEAP + 36 * PAGE, PAGE, READ | WRITE, Backing::Anonymous, None);
    assert_eq!(regions(&space, HEAP).len(), 2);
    space.remove(HEAP + 36 * PAGE, HEAP + 37 * PAGE);
    assert_eq!(space.remap(HEAP, 36 * PAGE, 37 * PAGE, false, None), Ok(HEAP));
    assert_eq!(regions(&space, HEAP), [(0, 37, READ | WRITE, false)]);
}

/// Below, above, between and moved there; what differs stays apart.
#[test]
fn neighbours_that_are_alike_are_one_mapping() {
    const BASE: u64 = 1 << 20;
    const BOTH: u8 = READ | WRITE;
    let at = |page: u64| BASE + page * PAGE;
    let mut space = Space::new(pool(&[], 4));
    space.mmap_top = at(64);
    space.add(at(4), PAGE, BOTH, Backing::Anonymous, None);
    space.add(at(6), PAGE, BOTH, Backing::Anonymous, None);
    space.add(at(5), PAGE, BOTH, Backing::Anonymous, None);
    assert_eq!(regions(&space, BASE), [(4, 7, BOTH, false)]);
    // Never writable, shared, and of which the first was writable once.
    space.add(at(7), PAGE, READ, Backing::Anonymous, None);
    space.add_shared(at(8), PAGE, READ, Backing::Anonymous, None);
    space.add_shared(at(9), PAGE, READ, Backing::Anonymous, None);
    space.protect(at(6), at(7), READ).unwrap();
    let apart = [(4, 6, BOTH, false), (6, 7, READ, false), (7, 8, READ, false), (8, 10, READ, true)];
    assert_eq!(regions(&space, BASE), apart);
    space.protect(at(6), at(8), BOTH).unwrap();
    assert_eq!(regions(&space, BASE), [(4, 8, BOTH, false), (8, 10, READ, true)]);
    space.remove(at(8), at(10));
    // Moved beside it, from above and grown there up to a neighbour.
    space.add(at(10), PAGE, BOTH, Backing::Anonymous, None);
    space.add(at(20), PAGE, BOTH, Backing::Anonymous, None);
    assert_eq!(space.remap(at(20), PAGE, 2 * PAGE, true, Some(at(8))), Ok(at(8)));
    assert_eq!(regions(&space, BASE), [(4, 11, BOTH, false)]);
    assert_eq!(space.remap(at(4), 7 * PAGE, 7 * PAGE, true, Some(at(30))), Ok(at(30)));
    assert_eq!(regions(&space, BASE), [(30, 37, BOTH, false)]);
}

/// The stack, cut by mprotect and made whole again, and one that fails in its room or behind a hole.
#[test]
fn a_stack_that_was_protected_and_is_as_before_is_whole() {
    const TOP: u64 = 1 << 30;
    let mut space = Space::new(pool(&[], 4));
    space.add_stack(TOP);
    space.touch(TOP - 3 * PAGE);
    let whole = regions(&space, 0);
    // With the lowest page goes the room below it.
    for (start, end, pieces) in [(2, 1, 3), (3, 1, 2), (3, 2, 2)] {
        let (start, end) = (TOP - start * PAGE, TOP - end * PAGE);
        space.protect(start, end, READ).unwrap();
        assert_eq!(regions(&space, 0).len(), pieces);
        assert_eq!(space.charged_pages(), 3);
        space.protect(start, end, READ | WRITE).unwrap();
        assert_eq!((regions(&space, 0), space.charged_pages()), (whole.clone(), 3));
    }
    for (start, end) in [(9, 2), (9, 8)] {
        assert!(space.protect(TOP - start * PAGE, TOP - end * PAGE, READ).is_err());
        assert_eq!(regions(&space, 0), whole);
    }
    let below = TOP - abi::layout::STACK_MAX - PAGE;
    assert!(space.protect(below, below + 2 * PAGE, READ).is_err());
    assert_eq!(regions(&space, 0), whole);
}
