//! Which neighbouring mappings are one, to mremap and in the array.

use super::*;

/// A file: each page holds its number. How long it is stands in each mapping.
struct Numbered;

impl FileSource for Numbered {
    fn image_page(&self, _: u64, _: u64) -> Option<&'static [u8]> {
        None
    }
    fn read(&self, _: u64, offset: u64, out: &mut [u8]) -> usize {
        out.fill((offset / PAGE) as u8);
        out.len()
    }
}

const RX: Rights = Rights(5);
const BASE: u64 = 0x40_0000;

/// The number of the page of the file at `at`; `None` beyond its end, or where none is mapped.
fn shown(m: &Host, s: &Space, at: u64) -> Option<u64> {
    let page = s.find(at).map(|area| area.page(at));
    if let Some(Page::Frame(frame)) = page { Some(u64::from(m.frame(frame)[0])) } else { None }
}

/// Maps `pages` of file `ino` from page `first` on, fixed; the file has `size` pages.
fn map_file(
    m: &mut Host,
    s: &mut Space,
    at: u64,
    pages: u64,
    (ino, first, size): (u64, u64, u64),
    rights: Rights,
) {
    let mut b = Budget { in_turn: true, charged: s.charge, ..Budget::default() };
    let kind = Kind::File { ino, offset: first * PAGE, size: size * PAGE };
    s.mmap(m, &mut b, Place::Fixed(at), pages * PAGE, (rights, kind, false, None), &Numbered)
        .expect("mapped");
}

#[test]
fn mprotect_to_the_rights_that_a_file_mapping_has_splits_nothing_for_mremap() {
    let m = &mut Host::with(100);
    let (mut s, mut b) = space(m);
    map_file(m, &mut s, BASE, 11, (1, 0, 20), RX);
    s.mprotect(m, &mut b, BASE + 4 * PAGE, 4 * PAGE, RX).expect("mapped");
    let (old, to) = (BASE + 2 * PAGE, BASE + (1 << 20));
    let way = (MayMove::Yes, Some(to));
    assert_eq!(s.mremap(m, &mut b, (old, 5 * PAGE), 9 * PAGE, way, &Numbered), Ok(to));
    for page in 0..9 {
        assert_eq!(shown(m, &s, to + page * PAGE), Some(2 + page));
    }
    check(m, &s);
}

#[test]
fn a_file_mapped_in_parts_that_go_on_is_one_and_grows_by_what_its_last_part_knew() {
    let m = &mut Host::with(100);
    let (mut s, mut b) = space(m);
    let before = s.areas().len();
    // The file has grown from two pages to five in between.
    map_file(m, &mut s, BASE, 2, (1, 0, 2), R);
    map_file(m, &mut s, BASE + 2 * PAGE, 2, (1, 2, 5), R);
    assert_eq!(s.areas().len(), before + 1);
    let grown = s.mremap(m, &mut b, (BASE, 4 * PAGE), 6 * PAGE, (MayMove::No, None), &Numbered);
    assert_eq!(grown, Ok(BASE));
    let seen: Vec<_> = (0..6).map(|page| shown(m, &s, BASE + page * PAGE)).collect();
    assert_eq!(seen, [Some(0), Some(1), Some(2), Some(3), Some(4), None]);
    // What lies beyond one file's end stays there when a part follows that was mapped while it was longer.
    map_file(m, &mut s, BASE + 6 * PAGE, 1, (1, 6, 5), R);
    map_file(m, &mut s, BASE + 7 * PAGE, 1, (1, 7, 9), R);
    let seen: Vec<_> = (5..8).map(|page| shown(m, &s, BASE + page * PAGE)).collect();
    assert_eq!((s.areas().len(), seen), (before + 2, vec![None, None, Some(7)]));
    check(m, &s);
}

#[test]
fn parts_of_other_files_other_offsets_or_other_charge_stay_apart() {
    let m = &mut Host::with(100);
    let (mut s, mut b) = space(m);
    let before = s.areas().len();
    map_file(m, &mut s, BASE, 2, (1, 0, 20), R);
    map_file(m, &mut s, BASE + 2 * PAGE, 2, (1, 3, 20), R);
    map_file(m, &mut s, BASE + 4 * PAGE, 2, (2, 5, 20), R);
    map_file(m, &mut s, BASE + 6 * PAGE, 2, (2, 7, 20), RW);
    s.mprotect(m, &mut b, BASE + 6 * PAGE, 2 * PAGE, R).expect("mapped");
    assert_eq!(s.areas().len(), before + 4);
    for start in [1, 3, 5] {
        let over = (BASE + start * PAGE, 2 * PAGE);
        let moved = s.mremap(m, &mut b, over, 3 * PAGE, (MayMove::Yes, None), &Numbered);
        assert_eq!(moved, Err(EFAULT.into()), "from page {start}");
    }
}

/// What a page is, by a model that keeps pages and no mappings: rights, charged, its place in the file, whether it is there.
type Known = (Rights, bool, u64, bool);

/// Whether pages are one mapping: they agree, their places go on, and none that is there follows one beyond the file's end.
fn are_one(pages: &[Option<Known>]) -> bool {
    let follows = |pair: &[Option<Known>]| match (pair[0], pair[1]) {
        (Some(a), Some(b)) => (a.0, a.1, a.2 + 1) == (b.0, b.1, b.2) && (a.3 || !b.3),
        _ => false,
    };
    pages.iter().all(Option::is_some) && pages.windows(2).all(follows)
}

const PAGES: usize = 48;

/// One step on the space and on the model.
fn step(
    m: &mut Host,
    s: &mut Space,
    model: &mut [Option<Known>],
    (what, page, len, choice): (u8, usize, usize, u8),
) {
    let mut b = Budget { in_turn: true, charged: s.charge, ..Budget::default() };
    let (at, bytes) = (BASE + (page as u64) * PAGE, len as u64 * PAGE);
    let rights = [R, R, RX, RW][usize::from(choice & 3)];
    let range = page..page + len;
    match what {
        0 => {
            // Places go on from one mapping to the next, mostly; the file is long, or short.
            let (first, size) =
                (page as u64 + u64::from(choice == 7), if choice & 4 == 0 { 100 } else { 12 });
            map_file(m, s, at, len as u64, (1, first, size), rights);
            for (i, slot) in model[range].iter_mut().enumerate() {
                let place = first + i as u64;
                *slot = Some((rights, rights == RW, place, place < size));
            }
        }
        1 => {
            s.munmap(m, at, bytes).expect("there is room");
            model[range].fill(None);
        }
        2 => {
            let done = s.mprotect(m, &mut b, at, bytes, rights);
            assert_eq!(done.is_ok(), model[range.clone()].iter().all(Option::is_some));
            for slot in model[range].iter_mut().map_while(Option::as_mut) {
                *slot = (rights, slot.1 || rights == RW, slot.2, slot.3);
            }
        }
        _ => {
            let to = if page < 24 { page + 16 } else { page - 16 };
            let moved = model[range.clone()].to_vec();
            let target = BASE + (to as u64) * PAGE;
            let answer = s.mremap(m, &mut b, (at, bytes), bytes, (MayMove::Yes, Some(target)), &Numbered);
            assert_eq!(answer, if are_one(&moved) { Ok(target) } else { Err(EFAULT.into()) });
            if moved[0].is_some() {
                model[to..to + len].fill(None);
            }
            if answer.is_ok() {
                model[range].fill(None);
                model[to..to + len].copy_from_slice(&moved);
            }
        }
    }
}

proptest! {
    /// Whatever parts of a file are mapped, unmapped, protected and moved: each page stays what it was, and what is one mapping by the model
    /// is one in the array.
    #[test]
    fn pages_of_files_are_what_they_were_and_mappings_as_large_as_they_can_be(
        steps in proptest::collection::vec((0u8..4, 0usize..40, 1usize..9, 0u8..8), 1..60)
    ) {
        let m = &mut Host::with(4000);
        let (mut s, _) = space(m);
        let mut model = [None; PAGES];
        for taken in steps {
            step(m, &mut s, &mut model, taken);
            check(m, &s);
            for (i, known) in model.iter().enumerate() {
                let at = BASE + (i as u64) * PAGE;
                let expected = known.filter(|k| k.3).map(|k| k.2);
                prop_assert_eq!((s.find(at).is_some(), shown(m, &s, at)), (known.is_some(), expected));
            }
            for pair in s.areas().windows(2).filter(|pair| pair[0].end == pair[1].start) {
                let last = ((pair[1].start - BASE) / PAGE) as usize;
                prop_assert!(!are_one(&model[last - 1..=last]), "{:x} begins one that its neighbour could hold", pair[1].start);
            }
        }
    }
}
