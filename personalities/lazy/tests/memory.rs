//! Spaces, objects and page tables against the simplest thing that could be meant: each space its own map of bytes, copied whole by a fork.

mod machine;

use abi::layout::{PAGE, layout};
use lazy::files::content::Content;
use lazy::memory::Memory;
use lazy::memory::map::{Kind, Mapping, Rights};
use lazy::memory::object::Source;
use machine::Machine;
use proptest::prelude::*;
use std::collections::BTreeMap;

const BASE: u64 = 0x1000_0000;
const PAGES: u64 = 24;

/// A page of the model: whether it may be written, and its first byte.
type Model = BTreeMap<u64, (bool, u8)>;

fn address(page: u64) -> u64 {
    BASE + page * PAGE
}

fn map(m: &mut Memory<Machine>, space: u32, page: u64, count: u64) {
    m.unmap(space, address(page), address(page + count));
    let object = m.object(Source::Zero);
    let rights = Rights::READ | Rights::WRITE;
    let (start, end) = (address(page), address(page + count));
    m.insert(
        space,
        Mapping {
            start,
            end,
            rights,
            charged: true,
            object,
            offset: 0,
            needs_copy: false,
            kind: Kind::Anonymous,
            shared: false,
        },
    );
}

fn protect(m: &mut Memory<Machine>, space: u32, model: &mut Model, page: u64, count: u64, write: bool) {
    let rights = if write { Rights::READ | Rights::WRITE } else { Rights::READ };
    let whole = m.protect(space, address(page), address(page + count), rights);
    for p in page..page + count {
        match model.get_mut(&p) {
            Some(state) => state.0 = write,
            None => {
                assert!(!whole);
                return;
            }
        }
    }
    assert!(whole);
}

proptest! {
    #[test]
    fn spaces_are_maps_of_bytes(ops in prop::collection::vec((0u8..9, 0usize..4, 0u64..PAGES, 1u64..6, any::<u8>()), 1..120)) {
        let mut m = Memory::new(Machine::new(4096));
        m.in_call = true;
        let free = m.physical.available();
        let first = m.new_space(0, layout(&[0; 32], 0), 0);
        let mut spaces: Vec<(u32, Model)> = vec![(first, Model::new())];
        for (op, which, page, count, value) in ops {
            let at = which % spaces.len();
            let count = count.min(PAGES - page);
            let space = spaces[at].0;
            match op {
                0 => {
                    map(&mut m, space, page, count);
                    (page..page + count).for_each(|p| { spaces[at].1.insert(p, (true, 0)); });
                }
                1 => {
                    m.unmap(space, address(page), address(page + count));
                    spaces[at].1.retain(|p, _| *p < page || *p >= page + count);
                }
                2 if spaces.len() < 4 => {
                    let child = m.fork_space(space).expect("there is room");
                    let model = spaces[at].1.clone();
                    spaces.push((child, model));
                }
                3 if spaces.len() > 1 => {
                    m.release_space(space);
                    spaces.remove(at);
                    continue;
                }
                4 => protect(&mut m, space, &mut spaces[at].1, page, count, value % 2 == 0),
                _ => {
                    let done = m.write(space, address(page) + u64::from(value), &[value]).is_ok();
                    let state = spaces[at].1.get_mut(&page).filter(|s| s.0);
                    prop_assert_eq!(done, state.is_some());
                    let _ = m.write(space, address(page), &[value]);
                    if let Some(state) = state {
                        state.1 = value;
                    }
                }
            }
            for (space, model) in &spaces {
                for p in 0..PAGES {
                    let mut byte = [0];
                    let read = m.read(*space, address(p), &mut byte).is_ok();
                    prop_assert_eq!(read.then_some(byte[0]), model.get(&p).map(|s| s.1), "page {}", p);
                }
            }
        }
        for (space, _) in spaces {
            m.release_space(space);
        }
        // Everything comes back: frames, objects, charge.
        prop_assert_eq!((m.physical.available(), m.objects.len(), m.charged), (free, 0, 0));
    }

    #[test]
    fn a_file_is_a_string_of_bytes(ops in prop::collection::vec((0u8..4, 0u64..40_000, 1usize..9000, any::<u8>()), 1..40)) {
        let mut m = Memory::new(Machine::new(512));
        let free = m.physical.available();
        let (mut content, mut model, mut kept): (_, Vec<u8>, Option<(Content, Vec<u8>)>) = (Content::default(), Vec::new(), None);
        for (op, at, length, value) in ops {
            match op {
                0 => {
                    content.truncate(&mut m.physical, at).expect("there is room");
                    model.resize(at as usize, 0);
                }
                1 => {
                    if let Some((mut old, _)) = kept.replace((content.snapshot(&mut m.physical), model.clone())) {
                        old.discard(&mut m.physical);
                    }
                }
                _ => {
                    let n = content.write(&mut m.physical, at, &vec![value; length], &mut 1000);
                    prop_assert_eq!(n, length);
                    model.resize(model.len().max(at as usize + length), 0);
                    model[at as usize..at as usize + length].fill(value);
                }
            }
            for (content, model) in kept.iter().map(|k| (&k.0, &k.1)).chain([(&content, &model)]) {
                let mut read = vec![1; model.len() + 10];
                content.read(&m.physical, 0, &mut read);
                prop_assert_eq!(content.size as usize, model.len());
                prop_assert_eq!(&read[..model.len()], &model[..]);
            }
        }
        content.discard(&mut m.physical);
        if let Some((mut old, _)) = kept {
            old.discard(&mut m.physical);
        }
        prop_assert_eq!(m.physical.available(), free);
    }
}
