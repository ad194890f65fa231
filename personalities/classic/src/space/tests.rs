//! Address spaces over a machine that is two vectors.

use super::*;
use crate::errno::{EEXIST, EFAULT, EINVAL};
use crate::machine::{Exit, FpRegisters, Frame, PAGE_BYTES, Registers};
use crate::user::UserMemory;
use abi::layout::STACK_MAX;
use alloc::collections::BTreeMap;
use core::cell::Cell;
use proptest::prelude::*;

mod neighbours;

/// Frames in a vector, page tables in a map.
#[derive(Default)]
struct Host {
    frames: Vec<Box<[u8; PAGE_BYTES]>>,
    free: Vec<Frame>,
    used: usize,
    limit: usize,
    shown: BTreeMap<u64, (Shown, Rights)>,
    /// Bytes of heap that are free, and how many fewer each time they are asked for.
    heap: (Cell<usize>, usize),
}

impl Host {
    fn with(limit: usize) -> Host {
        Host { limit, heap: (Cell::new(usize::MAX), 0), ..Host::default() }
    }
}

impl Machine for Host {
    fn alloc_frame(&mut self) -> Result<Frame, OutOfFrames> {
        if self.used == self.limit {
            return Err(OutOfFrames);
        }
        self.used += 1;
        let frame = self.free.pop().unwrap_or_else(|| {
            self.frames.push(Box::new([0; PAGE_BYTES]));
            Frame(self.frames.len() as u32 - 1)
        });
        self.frames[frame.0 as usize].fill(0);
        Ok(frame)
    }
    fn free_frame(&mut self, frame: Frame) {
        assert!(!self.free.contains(&frame), "freed twice");
        self.used -= 1;
        self.free.push(frame);
    }
    fn trace(&mut self, _: crate::machine::Trace<'_>) {}
    fn used_frames(&self) -> u64 {
        self.used as u64
    }
    fn free_heap(&self) -> usize {
        let (left, fewer) = &self.heap;
        left.replace(left.get().saturating_sub(*fewer))
    }
    fn frame(&self, frame: Frame) -> &[u8; PAGE_BYTES] {
        &self.frames[frame.0 as usize]
    }
    fn frame_mut(&mut self, frame: Frame) -> &mut [u8; PAGE_BYTES] {
        &mut self.frames[frame.0 as usize]
    }
    fn copy_frame(&mut self, from: Frame, to: Frame) {
        *self.frames[to.0 as usize] = *self.frames[from.0 as usize];
    }
    fn new_tables(&mut self) -> Result<TableId, OutOfFrames> {
        Ok(TableId(0))
    }
    fn drop_tables(&mut self, _: TableId) {}
    fn map(&mut self, _: TableId, address: u64, shown: Shown, rights: Rights) -> Result<(), OutOfFrames> {
        self.shown.insert(address, (shown, rights));
        Ok(())
    }
    fn unmap(&mut self, _: TableId, address: u64) {
        self.shown.remove(&address);
    }
    fn unmap_range(&mut self, _: TableId, start: u64, end: u64) {
        self.shown.retain(|&a, _| a < start || a >= end);
    }
    fn flush(&mut self, _: TableId, _: bool) {}
    fn run(&mut self, _: TableId, _: &mut Registers, _: u64) -> Exit {
        Exit::Interrupt
    }
    fn step(&mut self, _: TableId, _: &mut Registers) -> Exit {
        Exit::Interrupt
    }
    fn load_fp(&mut self, _: &FpRegisters) {}
    fn store_fp(&mut self, _: &mut FpRegisters) {}
    fn ticks(&self) -> u64 {
        0
    }
    fn ticks_per_ms(&self) -> u64 {
        1
    }
    fn wait(&mut self) {}
    fn ring(&mut self, _: u32) {}
    fn text(&mut self, _: &str) {}
    fn crash(&mut self, why: &str) -> ! {
        panic!("{why}")
    }
}

/// One file of 5000 bytes, byte i is i as u8.
struct OneFile;

impl FileSource for OneFile {
    fn image_page(&self, _: u64, _: u64) -> Option<&'static [u8]> {
        None
    }
    fn read(&self, _: u64, offset: u64, out: &mut [u8]) -> usize {
        let n = 5000u64.saturating_sub(offset).min(out.len() as u64) as usize;
        for (i, b) in out[..n].iter_mut().enumerate() {
            *b = (offset as usize + i) as u8;
        }
        n
    }
}

const RW: Rights = Rights(6);
const R: Rights = Rights(4);
const TOP: u64 = 0x7f_0000_0000;

fn space(m: &mut Host) -> (Space, Budget) {
    let mut s = Space::new(m, 0, TOP, TOP + (16 << 20)).expect("tables");
    s.insert(m, Area::new(s.stack_top - PAGE, s.stack_top, RW, Kind::Stack)).expect("a frame");
    (s, Budget { in_turn: true, ..Budget::default() })
}

fn anonymous(
    m: &mut Host,
    s: &mut Space,
    b: &mut Budget,
    place: Place,
    len: u64,
    rights: Rights,
) -> Result<u64, MemoryError> {
    s.mmap(m, b, place, len, (rights, Kind::Anonymous, false, None), &OneFile)
}

#[test]
fn mappings_go_to_the_highest_gap_and_a_free_hint_is_taken() {
    let m = &mut Host::with(1000);
    let (mut s, mut b) = space(m);
    let mut at = |place, len| anonymous(m, &mut s, &mut b, place, len, RW);
    assert_eq!(at(Place::Hint(0), 5000), Ok(TOP - 0x2000));
    assert_eq!(at(Place::Hint(0), 1), Ok(TOP - 0x3000));
    assert_eq!(at(Place::Hint(0x50_0000), 1), Ok(0x50_0000));
    assert_eq!(at(Place::Hint(0x50_0000), 1), Ok(TOP - 0x4000));
    assert_eq!(at(Place::FixedNoReplace(0x50_0000), 1), Err(EEXIST.into()));
    assert_eq!(at(Place::Hint(0), 0), Err(EINVAL.into()));
    assert_eq!(at(Place::Fixed(0x123), 1), Err(EINVAL.into()));
    assert_eq!(at(Place::Fixed(MAP_END), 1), Err(ENOMEM.into()));
    assert_eq!(at(Place::Fixed(MAP_END + 1), 1), Err(ENOMEM.into()));
    assert_eq!(at(Place::Fixed(0x50_0000), TASK_SIZE), Err(ENOMEM.into()));
    assert_eq!(at(Place::Hint(0), u64::MAX), Err(ENOMEM.into()));
}

#[test]
fn a_step_that_needs_a_chunk_waits_for_its_turn_and_a_reservation_costs_nothing() {
    let m = &mut Host::with(1000);
    let (mut s, mut b) = space(m);
    s.charge = b.raise(0, 1).expect("the stack");
    b.in_turn = false;
    assert_eq!(anonymous(m, &mut s, &mut b, Place::Hint(0), 1 << 36, Rights(0)), Ok(TOP - (1 << 36)));
    let chunk = CHARGE_PAGES * PAGE;
    assert_eq!(anonymous(m, &mut s, &mut b, Place::Hint(0), chunk, RW), Err(MemoryError::NeedsTurn));
    b.in_turn = true;
    let at = anonymous(m, &mut s, &mut b, Place::Hint(0), chunk, RW).expect("charged");
    assert_eq!((s.charge, b.charged), (2 * CHARGE_PAGES, 2 * CHARGE_PAGES));
    b.in_turn = false;
    s.munmap(m, at, chunk).expect("unmapped");
    assert_eq!(s.charge, 2 * CHARGE_PAGES, "a charge does not shrink");
    assert!(anonymous(m, &mut s, &mut b, Place::Hint(0), 200 * PAGE, RW).is_ok(), "within the chunk");
}

#[test]
fn the_stack_grows_to_where_it_is_touched_and_no_further() {
    let m = &mut Host::with(3000);
    let (mut s, mut b) = space(m);
    let top = s.stack_top;
    assert_eq!(s.touch(m, &mut b, top - 10 * PAGE - 1, Rights::WRITE), Touch::Fine);
    assert_eq!(s.charged_pages(), 11);
    assert_eq!(s.touch(m, &mut b, top - STACK_MAX - 1, Rights::WRITE), Touch::Nothing);
    b.in_turn = false;
    assert_eq!(s.touch(m, &mut b, top - STACK_MAX, Rights::READ), Touch::NeedsTurn);
}

#[test]
fn a_file_mapping_ends_with_its_file() {
    let m = &mut Host::with(100);
    let (mut s, mut b) = space(m);
    let kind = Kind::File { ino: 1, offset: 0, size: 5000 };
    let at = s.mmap(m, &mut b, Place::Hint(0), 3 * PAGE, (R, kind, false, None), &OneFile).expect("mapped");
    let mut v = UserView { machine: m, space: &mut s, budget: &mut b };
    let mut two = [0; 2];
    v.read(at + 4999, &mut two).expect("there");
    assert_eq!(two, [4999u64 as u8, 0]);
    assert_eq!(v.readable(at, 1 << 20), 2 * PAGE as usize);
    assert_eq!(v.write(at, &[1]), Err(EFAULT));
    assert_eq!(s.touch(m, &mut b, at + 2 * PAGE, Rights::READ), Touch::Beyond);
    s.mprotect(m, &mut b, at, PAGE, RW).expect("private");
    UserView { machine: m, space: &mut s, budget: &mut b }.write(at, &[9]).expect("writable");
}

#[test]
fn the_break_moves_both_ways_and_stops_at_a_mapping() {
    let m = &mut Host::with(1000);
    let (mut s, mut b) = space(m);
    (s.brk_start, s.brk) = (0x60_0000, 0x60_0000);
    anonymous(m, &mut s, &mut b, Place::Fixed(0x61_0000), PAGE, RW).expect("mapped");
    assert_eq!(s.set_brk(m, &mut b, 0), Ok(0x60_0000));
    assert_eq!(s.set_brk(m, &mut b, 0x60_1234), Ok(0x60_1234));
    assert_eq!(s.set_brk(m, &mut b, 0x61_0001), Ok(0x60_1234));
    assert_eq!(s.set_brk(m, &mut b, 0x60_0001), Ok(0x60_0001));
    assert_eq!(s.charged_pages(), 3);
}

#[test]
fn a_fork_is_a_copy_and_failure_leaves_nothing() {
    let m = &mut Host::with(40);
    let (mut s, mut b) = space(m);
    let at = anonymous(m, &mut s, &mut b, Place::Hint(0), 8 * PAGE, RW).expect("mapped");
    UserView { machine: m, space: &mut s, budget: &mut b }.write(at, b"parent").expect("written");
    let mut child = s.fork(m).expect("room");
    UserView { machine: m, space: &mut child, budget: &mut b }.write(at, b"child!").expect("written");
    let mut seen = [0; 6];
    UserView { machine: m, space: &mut s, budget: &mut b }.read(at, &mut seen).expect("there");
    assert_eq!(&seen, b"parent");
    let used = m.used;
    m.limit = used + 5;
    assert!(s.fork(m).is_err());
    assert_eq!(m.used, used);
    child.free(m);
    s.free(m);
    assert_eq!(m.used, 0);
}

#[test]
fn mremap_grows_in_place_or_moves() {
    let m = &mut Host::with(100);
    let (mut s, mut b) = space(m);
    let at = anonymous(m, &mut s, &mut b, Place::Fixed(0x50_0000), PAGE, RW).expect("mapped");
    UserView { machine: m, space: &mut s, budget: &mut b }.write(at, b"here").expect("written");
    let mut re = |len: u64, new: u64, may| s.mremap(m, &mut b, (at, len), new, (may, None), &OneFile);
    assert_eq!(re(PAGE, 2 * PAGE, MayMove::No), Ok(at));
    assert_eq!(re(PAGE, 3 * PAGE, MayMove::No), Err(ENOMEM.into()), "not at the mapping's end");
    assert_eq!(re(2 * PAGE, PAGE, MayMove::No), Ok(at));
    anonymous(m, &mut s, &mut b, Place::Fixed(at + PAGE), PAGE, R).expect("mapped");
    let moved = s.mremap(m, &mut b, (at, PAGE), 2 * PAGE, (MayMove::Yes, None), &OneFile).expect("moved");
    assert_eq!(moved, TOP - 2 * PAGE);
    let mut seen = [0; 4];
    UserView { machine: m, space: &mut s, budget: &mut b }.read(moved, &mut seen).expect("there");
    assert_eq!(&seen, b"here");
}

proptest! {
    /// Whatever is mapped, unmapped and protected, in whatever order: the array stays sorted and disjoint, every frame has one owner, and
    /// the page tables show exactly what the array allows.
    #[test]
    fn the_array_and_the_tables_agree(steps in proptest::collection::vec((0u8..5, 0u64..32, 1u64..9, 0u8..8), 1..60)) {
        let m = &mut Host::with(4000);
        let (mut s, mut b) = space(m);
        for (what, page, len, rights) in steps {
            let (at, len, rights) = (0x40_0000 + page * PAGE, len * PAGE, Rights(rights & 6));
            let file = Kind::File { ino: 1, offset: 0, size: 5000 };
            let _ = match what {
                0 => s.mmap(m, &mut b, Place::Fixed(at), len, (rights, Kind::Anonymous, false, None), &OneFile).map(drop),
                1 => s.mmap(m, &mut b, Place::Fixed(at), len, (rights, file, false, None), &OneFile).map(drop),
                2 => s.munmap(m, at, len),
                3 => s.mprotect(m, &mut b, at, len, rights),
                _ => s.mremap(m, &mut b, (at, PAGE), len, (MayMove::Yes, None), &OneFile).map(drop),
            };
            check(m, &s);
        }
        s.free(m);
        prop_assert_eq!(m.used, 0);
    }
}

fn check(m: &Host, s: &Space) {
    let mut end = 0;
    let mut frames = 0;
    for a in s.areas() {
        assert!(a.start >= end && a.start < a.end, "sorted and disjoint");
        end = a.end;
        for at in (a.start..a.end).step_by(PAGE_BYTES) {
            let shown = m.shown.get(&at);
            frames += usize::from(matches!(a.page(at), Page::Frame(_)));
            match a.page(at).shown(a.rights.effective()) {
                Some(Shown::Frame(f)) => {
                    assert!(
                        matches!(shown, Some((Shown::Frame(g), r)) if *g == f && *r == a.rights.effective())
                    );
                }
                _ => assert!(shown.is_none_or(|(s, _)| matches!(s, Shown::Zero)), "nothing shown at {at:x}"),
            }
        }
    }
    assert_eq!(frames, m.used, "every frame has one owner");
    let inside = |at: &&u64| s.find(**at).is_some() || **at == TRAMPOLINE;
    assert!(m.shown.keys().all(|at| inside(&at)), "nothing is shown where nothing is mapped");
}

#[test]
fn mremap_looks_at_the_old_address_first_and_shrinks_over_holes() {
    let m = &mut Host::with(1000);
    let (mut s, mut b) = space(m);
    let at = 0x50_0000;
    assert_eq!(anonymous(m, &mut s, &mut b, Place::Fixed(at), 2 * PAGE, RW), Ok(at));
    let mut remap = |old, old_len, new_len, to: Option<u64>| {
        let way = if to.is_some() { MayMove::Yes } else { MayMove::No };
        let moved = s.mremap(m, &mut b, (old, old_len), new_len, (way, to), &OneFile);
        (moved, s.charged_pages())
    };
    let free = at + 0x10_0000;
    assert_eq!(remap(free, PAGE, PAGE, Some(free)), (Err(EFAULT.into()), 3));
    assert_eq!(remap(free, 0, PAGE, None), (Err(EFAULT.into()), 3));
    assert_eq!(remap(free + 1, PAGE, PAGE, None), (Err(EINVAL.into()), 3));
    assert_eq!(remap(at, PAGE, u64::MAX, None), (Err(EINVAL.into()), 3));
    assert_eq!(remap(at, 0, PAGE, None), (Err(EINVAL.into()), 3));
    assert_eq!(remap(at, 3 * PAGE, 4 * PAGE, None), (Err(EFAULT.into()), 3));
    assert_eq!(remap(at, TASK_SIZE, PAGE, None), (Err(EINVAL.into()), 3));
    assert_eq!(remap(at, 8 * PAGE, 2 * PAGE, Some(at + PAGE)), (Err(EINVAL.into()), 3));
    // What cannot be moved is cut off, and its target free, all the same.
    assert_eq!(remap(at, 8 * PAGE, 3 * PAGE, Some(free)), (Err(EFAULT.into()), 3));
    assert_eq!(remap(at, 8 * PAGE, PAGE, None), (Ok(at), 2));
    assert_eq!(remap(at, 8 * PAGE, PAGE, Some(free)), (Ok(free), 2));
}

#[test]
fn an_mremap_that_has_nowhere_to_go_charges_nothing() {
    let m = &mut Host::with(1000);
    let (mut s, mut b) = space(m);
    let at = 0x50_0000;
    for place in [at, at + PAGE] {
        let rights = if place == at { RW } else { R };
        assert_eq!(anonymous(m, &mut s, &mut b, Place::Fixed(place), PAGE, rights), Ok(place));
    }
    let charge = s.charge;
    let grown = s.mremap(m, &mut b, (at, PAGE), 200 * PAGE, (MayMove::No, None), &OneFile);
    assert_eq!((grown, s.charge), (Err(ENOMEM.into()), charge));
}

#[test]
fn a_program_has_no_more_mappings_than_on_linux() {
    let m = &mut Host::with(10);
    let (mut s, mut b) = space(m);
    let stack = s.areas.pop().expect("the stack");
    let (base, step) = (1 << 30, 4 * PAGE);
    for i in 0..MAPPINGS_MAX as u64 - 2 {
        s.areas.push(Area::new(base + i * step, base + i * step + 3 * PAGE, R, Kind::Anonymous));
    }
    s.areas.push(stack);
    assert!(anonymous(m, &mut s, &mut b, Place::Fixed(0x50_0000), PAGE, R).is_ok());
    assert_eq!(s.areas.len(), MAPPINGS_MAX);
    assert_eq!(anonymous(m, &mut s, &mut b, Place::Fixed(0x70_0000), PAGE, R), Err(ENOMEM.into()));
    assert_eq!(s.munmap(m, base + PAGE, PAGE), Err(ENOMEM.into()), "two of one");
    assert_eq!(s.mprotect(m, &mut b, base, PAGE, Rights(0)), Err(ENOMEM.into()));
    assert_eq!((s.areas.len(), s.set_brk(m, &mut b, 1)), (MAPPINGS_MAX, Ok(0)));
    assert_eq!(s.munmap(m, base, 1 << 29), Ok(()));
    assert_eq!(s.munmap(m, base + (1 << 29) + PAGE, PAGE), Ok(()));
}

#[test]
fn what_the_heap_cannot_hold_twice_is_not_forked() {
    let m = &mut Host::with(100);
    let (mut s, mut b) = space(m);
    for i in 0..10 {
        anonymous(m, &mut s, &mut b, Place::Fixed(0x50_0000 + i * 2 * PAGE), PAGE, RW).expect("mapped");
    }
    let used = m.used;
    // Each mapping that is copied takes a part.
    m.heap = (Cell::new(HEAP_RESERVE + (4 << 20)), 1 << 20);
    assert!(s.fork(m).is_err());
    assert_eq!(m.used, used, "nothing is left behind");
    // As many mappings as the heap can hold, but not while their array is laid anew.
    m.heap = (Cell::new(HEAP_RESERVE + 100), 0);
    s.areas.shrink_to_fit();
    assert_eq!(anonymous(m, &mut s, &mut b, Place::Fixed(0x40_0000), PAGE, R), Err(ENOMEM.into()));
    assert_eq!(s.munmap(m, 0x50_0000, PAGE), Ok(()), "that gives something back");
}

#[test]
fn a_cut_whose_start_goes_round_is_a_cut_there() {
    let m = &mut Host::with(100);
    let (mut s, mut b) = space(m);
    let at = 0x50_0000;
    anonymous(m, &mut s, &mut b, Place::Fixed(at - 3 * PAGE), 4 * PAGE, RW).expect("mapped");
    let mut cut = |s: &mut Space, old: u64, new: u64| {
        s.mremap(m, &mut b, (at, old), new, (MayMove::No, None), &OneFile)
    };
    assert_eq!(cut(&mut s, u64::MAX - PAGE + 1, u64::MAX - 2 * PAGE + 1), Ok(at));
    assert_eq!(
        (s.is_free(at - 2 * PAGE, at - PAGE), s.charged_pages()),
        (true, 4),
        "the stack's page, and three"
    );
    assert_eq!(cut(&mut s, u64::MAX - PAGE + 1, PAGE), Err(EINVAL.into()));
}
