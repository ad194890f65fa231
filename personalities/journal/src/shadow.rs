//! Stage-1 tables as persistent trees. A leaf table (2 MiB of addresses) may be shared by several spaces: then no entry in it lets EL0 write,
//! and nobody changes it; who must change one makes a copy first. So fork costs the upper tables only, and two processes with the same text
//! walk the same leaves. The tables are a cache: dropping one is always right.
//!
//! 39-bit addresses, 4 KiB pages, three levels (Arm ARM D8.3).

use crate::Map;
use crate::page::{Frame, PAGE, Pool};
use alloc::rc::Rc;
use alloc::vec::Vec;

const TABLE: u64 = 0b11;
const VALID: u64 = 1;
const USER: u64 = 1 << 6;
const READ_ONLY: u64 = 1 << 7;
const INNER: u64 = 0b11 << 8;
const ACCESSED: u64 = 1 << 10;
const NOT_GLOBAL: u64 = 1 << 11;
const NO_EXECUTE_EL1: u64 = 1 << 53;
const NO_EXECUTE_EL0: u64 = 1 << 54;
const ENTRIES: usize = 512;
const LEAF_SHIFT: u32 = 21;
const MIDDLE_SHIFT: u32 = 30;

/// What EL0 may do with a page beside reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Write.
    pub write: bool,
    /// Execute.
    pub execute: bool,
}

/// The tables of one space.
pub struct Shadow {
    root: Rc<Frame>,
    middles: Map<u64, Rc<Frame>>,
    leaves: Map<u64, Rc<Frame>>,
    /// Its number in the TLB.
    pub asid: u16,
    pool: Rc<Pool>,
}

fn table(frame: &Frame) -> u64 {
    u64::from(frame.number()) << 12 | TABLE
}

fn entry(page: u32, rights: Rights) -> u64 {
    let mut e = u64::from(page) << 12 | TABLE | USER | INNER | ACCESSED | NOT_GLOBAL | NO_EXECUTE_EL1;
    if !rights.write {
        e |= READ_ONLY;
    }
    if !rights.execute {
        e |= NO_EXECUTE_EL0;
    }
    e
}

impl Shadow {
    /// Empty tables; `None`: no frame.
    pub fn new(pool: &Rc<Pool>, asid: u16) -> Option<Shadow> {
        Some(Shadow {
            root: pool.frame()?,
            middles: Map::new(),
            leaves: Map::new(),
            asid,
            pool: pool.clone(),
        })
    }

    /// Value for TTBR0_EL1.
    pub fn base(&self) -> u64 {
        u64::from(self.root.number()) << 12 | u64::from(self.asid) << 48
    }

    fn hang(&mut self, key: u64, leaf: Rc<Frame>) -> Option<()> {
        let top = key >> (MIDDLE_SHIFT - LEAF_SHIFT);
        if self.middles.get(&top).is_none() {
            let middle = self.pool.frame()?;
            self.root.set_word(top as usize % ENTRIES, table(&middle));
            self.middles.insert_mut(top, middle);
        }
        self.middles.get(&top)?.set_word(key as usize % ENTRIES, table(&leaf));
        self.leaves.insert_mut(key, leaf);
        Some(())
    }

    /// The leaf `key`, ours alone: made, or copied if it was shared.
    fn leaf(&mut self, key: u64) -> Option<&Rc<Frame>> {
        let fresh = match self.leaves.get(&key) {
            Some(leaf) if Rc::strong_count(leaf) == 1 => None,
            Some(shared) => {
                let copy = self.pool.frame()?;
                (0..ENTRIES).for_each(|i| copy.set_word(i, shared.word(i)));
                Some(copy)
            }
            None => Some(self.pool.frame()?),
        };
        if let Some(leaf) = fresh {
            self.hang(key, leaf)?;
        }
        self.leaves.get(&key)
    }

    /// Maps a page; `None`: no frame for a table. Whoever maps flushes the page afterwards if it was mapped before.
    pub fn map(&mut self, va: u64, page: u32, rights: Rights) -> Option<()> {
        let index = (va / PAGE) as usize % ENTRIES;
        let leaf = self.leaf(va >> LEAF_SHIFT)?;
        leaf.set_word(index, entry(page, rights));
        Some(())
    }

    /// Forgets the translations of a range.
    pub fn forget(&mut self, start: u64, end: u64) {
        let keys: Vec<u64> =
            self.leaves.range(start >> LEAF_SHIFT..=(end - 1) >> LEAF_SHIFT).map(|(k, _)| *k).collect();
        for key in keys {
            let base = key << LEAF_SHIFT;
            let (from, to) = (start.max(base), end.min(base + (1 << LEAF_SHIFT)));
            let whole = to - from == 1 << LEAF_SHIFT;
            if whole || self.leaf(key).is_none() {
                self.drop_leaf(key);
                continue;
            }
            if let Some(leaf) = self.leaves.get(&key) {
                for va in (from..to).step_by(PAGE as usize) {
                    leaf.set_word((va / PAGE) as usize % ENTRIES, 0);
                }
            }
        }
    }

    fn drop_leaf(&mut self, key: u64) {
        if let Some(middle) = self.middles.get(&(key >> (MIDDLE_SHIFT - LEAF_SHIFT))) {
            middle.set_word(key as usize % ENTRIES, 0);
        }
        self.leaves.remove_mut(&key);
    }

    /// Tables for a space that was forked: the same leaves, which nobody may write through from now on. The caller flushes this space.
    pub fn fork(&mut self, asid: u16) -> Option<Shadow> {
        let mut child = Shadow::new(&self.pool, asid)?;
        let leaves: Vec<_> = self.leaves.iter().map(|(k, l)| (*k, l.clone())).collect();
        for (key, leaf) in leaves {
            // Two references are ours; a third means that it is shared, hence protected, already.
            if Rc::strong_count(&leaf) == 2 {
                for i in 0..ENTRIES {
                    let word = leaf.word(i);
                    if word & VALID != 0 && word & READ_ONLY == 0 {
                        leaf.set_word(i, word | READ_ONLY);
                    }
                }
            }
            child.hang(key, leaf)?;
        }
        Some(child)
    }

    /// Entry of `va`, for tests.
    pub fn lookup(&self, va: u64) -> Option<u64> {
        let word = self.leaves.get(&(va >> LEAF_SHIFT))?.word((va / PAGE) as usize % ENTRIES);
        (word & VALID != 0).then_some(word)
    }

    /// Leaves that are shared with other spaces.
    pub fn shared_leaves(&self) -> usize {
        self.leaves.values().filter(|l| Rc::strong_count(l) > 1).count()
    }
}
