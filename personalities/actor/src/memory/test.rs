//! Regions against a naive model that keeps one record for each page, and files that are no programs.

use super::elf::{Arguments, Elf, image};
use super::*;
use crate::page::PAGE;
use abi::layout::layout;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::rc::Rc;

const BASE: u64 = 0x10_0000_0000;
const PAGES: u64 = 24;
const ANONYMOUS_FIXED: u64 = 0x32;
const MOVE_FIXED: u64 = 3;

fn space() -> (Memory, SpaceId) {
    let mut memory = Memory::default();
    let id = memory.admit(Space::new(layout(&[1; 32], 0), 0), 0).unwrap();
    (memory, id)
}

#[derive(Clone, Debug)]
enum Op {
    Map(u64, u64, u64),
    Unmap(u64, u64),
    Protect(u64, u64, u64),
    Write(u64, u8),
    Forget(u64, u64),
    Move(u64, u64, u64),
    Shrink(u64, u64, u64),
    Fork,
}

fn op() -> impl Strategy<Value = Op> {
    let range = || (0..PAGES, 1..6u64);
    prop_oneof![
        (range(), prop_oneof![Just(0u64), Just(1), Just(3), Just(5)])
            .prop_map(|((a, n), p)| Op::Map(a, n, p)),
        range().prop_map(|(a, n)| Op::Unmap(a, n)),
        (range(), prop_oneof![Just(0u64), Just(1), Just(3)]).prop_map(|((a, n), p)| Op::Protect(a, n, p)),
        (0..PAGES, any::<u8>()).prop_map(|(a, b)| Op::Write(a, b)),
        range().prop_map(|(a, n)| Op::Forget(a, n)),
        (range(), 0..PAGES).prop_map(|((a, n), to)| Op::Move(a, n, to)),
        (range(), 1..6u64).prop_map(|((a, n), new)| Op::Shrink(a, n.max(new), n.min(new))),
        Just(Op::Fork),
    ]
}

/// Rights, whether it was ever writable, and the first byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Cell(u64, bool, u8);

#[derive(Default, Clone)]
struct Model(BTreeMap<u64, Cell>);

impl Model {
    fn protect(&mut self, a: u64, n: u64, prot: u64) -> bool {
        for page in a..a + n {
            match self.0.get_mut(&page) {
                Some(c) => *c = Cell(prot, c.1 || prot & 2 != 0, c.2),
                None => return false,
            }
        }
        true
    }

    /// Regions are runs of equal cells, as far as mremap is concerned.
    fn run(&self, a: u64, n: u64) -> bool {
        let alike = |p: u64| self.0.get(&p).map(|c| (c.0, c.1));
        (a..a + n).all(|p| alike(p).is_some() && alike(p) == alike(a))
    }
}

fn at(page: u64) -> u64 {
    BASE + page * PAGE
}

fn apply(memory: &mut Memory, id: &mut SpaceId, model: &mut Model, op: &Op) {
    match *op {
        Op::Map(a, n, prot) => {
            let r = MapRequest { address: at(a), length: n * PAGE, prot, flags: ANONYMOUS_FIXED, offset: 0 };
            assert_eq!(memory.mmap(*id, &r, None, Growth::Turn), Ok(at(a)));
            (a..a + n).for_each(|p| _ = model.0.insert(p, Cell(prot, prot & 2 != 0, 0)));
        }
        Op::Unmap(a, n) => {
            assert_eq!(memory.munmap(*id, at(a), n * PAGE), Ok(()));
            (a..a + n).for_each(|p| _ = model.0.remove(&p));
        }
        Op::Protect(a, n, prot) => {
            let done = memory.mprotect(*id, at(a), n * PAGE, prot, Growth::Turn);
            assert_eq!(done.is_ok(), model.protect(a, n, prot));
        }
        Op::Write(a, byte) => {
            let cell = model.0.get_mut(&a).filter(|c| c.0 & 2 != 0);
            assert_eq!(memory.write(*id, at(a), &[byte]).is_ok(), cell.is_some());
            cell.into_iter().for_each(|c| c.2 = byte);
        }
        Op::Forget(a, n) => {
            let whole = (a..a + n).all(|p| model.0.contains_key(&p));
            assert_eq!(memory.madvise(*id, at(a), n * PAGE, 4).is_ok(), whole);
            model.0.range_mut(a..a + n).for_each(|(_, c)| c.2 = 0);
        }
        Op::Move(a, n, to) => {
            let overlap = a < to + n && to < a + n;
            let r = Remap { at: at(a), old: n * PAGE, new: n * PAGE, flags: MOVE_FIXED, to: at(to) };
            let done = memory.mremap(*id, &r, Growth::Turn);
            let mapped = model.0.contains_key(&a);
            if !overlap && mapped {
                (to..to + n).for_each(|p| _ = model.0.remove(&p));
            }
            let whole = !overlap && mapped && model.run(a, n);
            assert_eq!(done.is_ok(), whole, "{done:?}");
            if whole {
                let cells: Vec<_> = (a..a + n).map(|p| model.0.remove(&p).unwrap()).collect();
                model.0.extend((to..).zip(cells));
            }
        }
        Op::Shrink(a, n, new) => {
            let r = Remap { at: at(a), old: n * PAGE, new: new * PAGE, flags: 0, to: 0 };
            let done = memory.mremap(*id, &r, Growth::Turn);
            let mapped = model.0.contains_key(&a);
            assert_eq!(done.is_ok(), mapped, "{done:?}");
            if mapped {
                (a + new..a + n).for_each(|p| _ = model.0.remove(&p));
            }
        }
        Op::Fork => {
            let child = memory.fork(*id).unwrap();
            // The parent goes on for a while and must not be seen by the child.
            let writable: Vec<u64> = model.0.iter().filter(|(_, c)| c.0 & 2 != 0).map(|(p, _)| *p).collect();
            writable.iter().for_each(|p| memory.write(*id, at(*p), &[0xee]).unwrap());
            memory.release(*id);
            *id = child;
        }
    }
}

proptest! {
    #[test]
    fn regions_do_what_a_record_for_each_page_does(ops in prop::collection::vec(op(), 1..60)) {
        let (mut memory, mut id) = space();
        let mut model = Model::default();
        for op in &ops {
            apply(&mut memory, &mut id, &mut model, op);
            let charged = model.0.values().filter(|c| c.1).count() as u64;
            let space = memory.space(id).unwrap();
            prop_assert_eq!(space.charged(), charged);
            prop_assert!(space.charge >= charged && memory.charged() == space.charge);
            for page in 0..PAGES + 6 {
                let mut byte = [0];
                let read = memory.read(id, at(page), &mut byte).ok().map(|()| byte[0]);
                prop_assert_eq!(read, model.0.get(&page).filter(|c| c.0 != 0).map(|c| c.2), "page {}", page);
            }
            let mut last: Option<&Region> = None;
            for (start, r) in &memory.space(id).unwrap().regions {
                prop_assert!(*start < r.end && last.is_none_or(|l| l.end <= *start));
                let alike = |l: &Region| l.end == *start && (l.rights, l.charged) == (r.rights, r.charged);
                prop_assert!(!last.is_some_and(alike), "two regions meet at {:#x} that should be one", start);
                last = Some(r);
            }
        }
    }

    #[test]
    fn no_bytes_make_the_loader_panic(mut head in prop::collection::vec(any::<u8>(), 64..400), fix in any::<bool>()) {
        if fix {
            head[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
            head[16..20].copy_from_slice(&[3, 0, 183, 0]);
            head[32..40].copy_from_slice(&64u64.to_le_bytes());
            let count = head[56] % 6;
            head[54..58].copy_from_slice(&[56, 0, count, 0]);
        }
        let bytes: &'static [u8] = head.leak();
        let label = Rc::new(Label { name: crate::files::Dentry::root(), dev: 1, inode: 2 });
        if let Ok(elf) = Elf::parse(Source::Still(bytes), label) {
            let arguments = Arguments { path: b"x", argv: &[], env: &[] };
            let _ = image(&elf, None, Space::new(layout(&[1; 32], 0), 0), &arguments);
        }
    }
}

#[test]
fn madvise_answers_in_linux_order() {
    let (mut memory, id) = space();
    let map = MapRequest { address: at(0), length: PAGE, prot: 3, flags: ANONYMOUS_FIXED, offset: 0 };
    assert_eq!(memory.mmap(id, &map, None, Growth::Turn), Ok(at(0)));
    memory.write(id, at(0), &[7]).unwrap();
    let known = |advice: u32| matches!(advice, 0..=4 | 8..=25 | 100 | 101);
    for advice in (0..130).chain([u32::MAX, 1 << 31]) {
        let length = 2 * PAGE;
        let over_a_hole = if known(advice) { Err(e::ENOMEM) } else { Err(e::EINVAL) };
        let nothing = if known(advice) { Ok(()) } else { Err(e::EINVAL) };
        assert_eq!(memory.madvise(id, at(0), length, advice), over_a_hole, "{advice}");
        assert_eq!(memory.madvise(id, at(2), length, advice), over_a_hole, "{advice}");
        assert_eq!(memory.madvise(id, at(0), PAGE, advice), nothing, "{advice}");
        assert_eq!(memory.madvise(id, at(9), 0, advice), nothing, "{advice}");
        assert_eq!(memory.madvise(id, at(0) + 1, 0, advice), Err(e::EINVAL), "{advice}");
        for too_long in [u64::MAX, u64::MAX - PAGE + 1, 0u64.wrapping_sub(at(0))] {
            assert_eq!(memory.madvise(id, at(0), too_long, advice), Err(e::EINVAL), "{advice}");
        }
        // Only DONTNEED (4) takes what the page holds, also if a hole follows.
        let mut byte = [0];
        memory.read(id, at(0), &mut byte).unwrap();
        assert_eq!(byte, [if advice < 4 { 7 } else { 0 }], "{advice}");
    }
}

#[test]
fn an_mremap_to_the_same_length_leaves_one_mapping() {
    let (mut memory, id) = space();
    let map = MapRequest { address: at(0), length: 5 * PAGE, prot: 5, flags: ANONYMOUS_FIXED, offset: 0 };
    assert_eq!(memory.mmap(id, &map, None, Growth::Turn), Ok(at(0)));
    let same = Remap { at: at(0), old: 3 * PAGE, new: 3 * PAGE, flags: 0, to: 0 };
    assert_eq!(memory.mremap(id, &same, Growth::Turn), Ok(at(0)));
    assert_eq!(memory.space(id).unwrap().maps().unwrap().iter().filter(|b| **b == b'\n').count(), 1);
    // Over the place where the first one ended (sequence 400598).
    let grown = Remap { at: at(1), old: 3 * PAGE, new: 10 * PAGE, flags: 1, to: 0 };
    let to = memory.mremap(id, &grown, Growth::Turn).unwrap();
    let space = memory.space(id).unwrap();
    assert_eq!(space.at(to).map(|(start, r)| (start, r.end)), Some((to, to + 10 * PAGE)));
    assert!(space.is_free(at(1), at(4)) && space.at(at(0)).is_some() && space.at(at(4)).is_some());
}

/// An ELF file with one segment of everything that a fuzzer would have to guess.
fn small_elf(address: u64, file_size: u64, memory_size: u64) -> Vec<u8> {
    let mut f = vec![0u8; 0x1000];
    f[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    f[16..20].copy_from_slice(&[2, 0, 183, 0]);
    f[24..32].copy_from_slice(&(address + 0x100).to_le_bytes());
    f[32..40].copy_from_slice(&64u64.to_le_bytes());
    f[54..58].copy_from_slice(&[56, 0, 1, 0]);
    f[64..72].copy_from_slice(&[1, 0, 0, 0, 7, 0, 0, 0]);
    f[80..88].copy_from_slice(&address.to_le_bytes());
    f[96..104].copy_from_slice(&file_size.to_le_bytes());
    f[104..112].copy_from_slice(&memory_size.to_le_bytes());
    f[0x200..0x204].copy_from_slice(b"data");
    f
}

fn load(file: Vec<u8>) -> crate::error::Res<super::elf::Image> {
    let label = Rc::new(Label { name: crate::files::Dentry::root(), dev: 1, inode: 2 });
    let elf = Elf::parse(Source::Still(file.leak()), label)?;
    let (argv, env) = ([b"a".to_vec(), b"bc".to_vec()], [b"E=1".to_vec()]);
    image(
        &elf,
        None,
        Space::new(layout(&[1; 32], 0), 0),
        &Arguments { path: b"/bin/a", argv: &argv, env: &env },
    )
}

#[test]
fn a_program_gets_its_segment_its_zeros_and_its_stack() {
    let loaded = load(small_elf(0x40_0000, 0x204, 0x2800)).unwrap();
    let (entry, sp) = (loaded.entry, loaded.sp);
    let mut memory = Memory::default();
    let id = memory.admit(loaded.space, 0).unwrap();
    assert_eq!(memory.bytes(id, 0x40_0200, 8).unwrap(), *b"data\0\0\0\0");
    assert_eq!(memory.bytes(id, 0x40_2000, 8).unwrap(), [0; 8]);
    assert!(memory.half(id, 0x40_3000).is_err());
    let space = memory.space(id).unwrap();
    assert_eq!(space.brk, 0x40_3000 + space.layout.brk_gap);
    assert!(entry == 0x40_0100 && sp.is_multiple_of(16));
    let [argc, first, second, end] = [0, 8, 16, 24].map(|i| memory.word(id, sp + i).unwrap());
    assert_eq!((argc, end), (2, 0));
    assert_eq!(memory.string(id, first, 9), Ok(Some(b"a".to_vec())));
    assert_eq!(memory.string(id, second, 9), Ok(Some(b"bc".to_vec())));
    assert_eq!(second, first + 2);
}

#[test]
fn headers_beyond_the_end_are_refused() {
    let mut file = small_elf(0x40_0000, 0x204, 0x2800);
    file[32..40].copy_from_slice(&(1u64 << 60).to_le_bytes());
    assert!(load(file).is_err());
}

#[test]
fn reading_costs_nothing_that_nobody_is_charged_for() {
    let (mut memory, id) = space();
    let r = MapRequest { address: 0, length: 1000 * PAGE, prot: 1, flags: 0x22, offset: 0 };
    let at = memory.mmap(id, &r, None, Growth::Turn).unwrap();
    assert_eq!(memory.reach(id, at, 1000 * PAGE, Access::Read), 1000 * PAGE);
    let s = memory.space(id).unwrap();
    assert!(s.pages.is_empty() && s.charge == 0);
}

#[test]
fn segments_that_lead_outside_are_refused() {
    for (address, file_size, memory_size) in [
        (u64::MAX - 0xfff, 0x204, 0x2800),
        (0x40_0000, 0x204, u64::MAX),
        (0x40_0000, 0x204, 0x100),
        (0x40_0001, 0x204, 0x2800),
        (0, 0x204, 0x2800),
        (abi::layout::TASK_SIZE - PAGE, 0x100, 0x200),
    ] {
        assert!(load(small_elf(address, file_size, memory_size)).is_err(), "{address:#x}");
    }
}

#[test]
fn a_further_chunk_of_charge_takes_a_turn() {
    let (mut memory, id) = space();
    let map = |pages: u64| MapRequest { address: 0, length: pages * PAGE, prot: 3, flags: 0x22, offset: 0 };
    assert_eq!(memory.mmap(id, &map(1), None, Growth::Private), Err(Refusal::Turn));
    assert!(memory.mmap(id, &map(1), None, Growth::Turn).is_ok());
    assert!(memory.mmap(id, &map(255), None, Growth::Private).is_ok());
    assert_eq!(memory.mmap(id, &map(1), None, Growth::Private), Err(Refusal::Turn));
    let all = map(MEMORY_PAGES);
    assert_eq!(memory.mmap(id, &all, None, Growth::Turn), Err(Refusal::Errno(e::ENOMEM)));
    assert_eq!(memory.charged(), CHARGE_PAGES);
}

#[test]
fn room_for_the_stack_below_its_lowest_touched_page_is_a_hole() {
    let mut memory = Memory::default();
    let loaded = load(small_elf(0x40_0000, 0x204, 0x2800)).unwrap();
    let id = memory.admit(loaded.space, 0).unwrap();
    let stack = |memory: &Memory| memory.space(id).unwrap().stack().unwrap();
    let (limit, start) = stack(&memory);
    let known = (0..=4).chain(8..=25).chain([100, 101]);
    let hole = Err(e::ENOMEM);
    for (at, pages) in [(start - PAGE, 1), (start - PAGE, 2), (start - 9 * PAGE, 3), (limit, 1)] {
        for advice in known.clone() {
            assert_eq!(memory.madvise(id, at, pages * PAGE, advice), hole, "{at:#x} {pages} {advice}");
        }
        for prot in [0, 1, 3] {
            let done = memory.mprotect(id, at, pages * PAGE, prot, Growth::Turn);
            assert_eq!(done, Err(Refusal::Errno(e::ENOMEM)), "{at:#x} {pages} {prot}");
        }
    }
    // None of this touches it; what is touched is none, and what is between is mapped with it.
    assert_eq!(stack(&memory), (limit, start));
    memory.write(id, start - 4 * PAGE, &[7]).unwrap();
    assert_eq!(stack(&memory), (limit, start - 4 * PAGE));
    for advice in known {
        assert_eq!(memory.madvise(id, start - 4 * PAGE, 4 * PAGE, advice), Ok(()), "{advice}");
        assert_eq!(memory.madvise(id, start - 5 * PAGE, 5 * PAGE, advice), hole, "{advice}");
    }
    assert_eq!(memory.mprotect(id, start - 4 * PAGE, 5 * PAGE, 3, Growth::Turn), Ok(()));
}
