//! Memory for tests.

use capability_model::layout::DOMAIN_RESERVED;
use capability_model::memory::{Memory, PAGE, Registers};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const CHUNK: usize = 64;
/// Images with which a domain can begin anew.
pub const IMAGES: u64 = 4;

/// Memory in shared chunks: cloning a world costs a pointer per chunk, and its hash is kept as it changes.
#[derive(Clone, Debug)]
pub struct Ram {
    base: u64,
    size: u64,
    /// Chunks that are not all zero, in order.
    chunks: Vec<(u32, Arc<[u64; CHUNK]>)>,
    digest: u64,
    /// Reads and writes since it was last set to 0.
    pub accesses: Count,
    pub scrubs: u64,
    /// What TLBs were told.
    pub forgotten: Vec<(u16, Option<u64>)>,
    pub unmasked: Vec<u16>,
}

/// A count that readers may raise.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    fn one_more(&self) {
        self.0.store(self.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
    /// The count, which begins again.
    pub fn take(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

impl Clone for Count {
    fn clone(&self) -> Count {
        Count(AtomicU64::new(self.0.load(Ordering::Relaxed)))
    }
}

fn mix(address: u64, word: u64) -> u64 {
    if word == 0 {
        return 0;
    }
    let mut x = address.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ word.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 31).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 29
}

impl Ram {
    pub fn new(base: u64, size: u64) -> Ram {
        Ram {
            base,
            size,
            chunks: Vec::new(),
            digest: 0,
            accesses: Count::default(),
            scrubs: 0,
            forgotten: Vec::new(),
            unmasked: Vec::new(),
        }
    }

    fn place(&self, address: u64) -> (u32, usize) {
        assert!(address.is_multiple_of(8) && address >= self.base, "no word at {address:x}");
        assert!(address - self.base < self.size, "no memory at {address:x}");
        let index = (address - self.base) / 8;
        ((index / CHUNK as u64) as u32, index as usize % CHUNK)
    }

    fn find(&self, chunk: u32) -> Result<usize, usize> {
        self.chunks.binary_search_by_key(&chunk, |(number, _)| *number)
    }

    /// A word, not counted.
    pub fn peek(&self, address: u64) -> u64 {
        let (chunk, i) = self.place(address);
        self.find(chunk).map_or(0, |at| self.chunks[at].1[i])
    }

    pub fn poke(&mut self, address: u64, word: u64) {
        let (chunk, i) = self.place(address);
        let at = match self.find(chunk) {
            Ok(at) => at,
            Err(_) if word == 0 => return,
            Err(at) => {
                self.chunks.insert(at, (chunk, Arc::new([0; CHUNK])));
                at
            }
        };
        let old = self.chunks[at].1[i];
        if old != word {
            self.digest ^= mix(address, old) ^ mix(address, word);
            let words = Arc::make_mut(&mut self.chunks[at].1);
            words[i] = word;
            if word == 0 && words.iter().all(|word| *word == 0) {
                self.chunks.remove(at);
            }
        }
    }

    pub fn is_zero(&self, base: u64, size: u64) -> bool {
        (base..base + size).step_by(8).all(|at| self.peek(at) == 0)
    }

    pub fn digest(&self) -> u64 {
        self.digest
    }
}

impl Memory for Ram {
    fn read(&self, address: u64) -> u64 {
        self.accesses.one_more();
        self.peek(address)
    }
    fn write(&mut self, address: u64, word: u64) {
        self.accesses.one_more();
        self.poke(address, word);
    }
    fn scrub(&mut self, page: u64) {
        assert!(page.is_multiple_of(PAGE));
        self.scrubs += 1;
        let ((first, _), (last, _)) = (self.place(page), self.place(page + PAGE - 8));
        let old = self.chunks.extract_if(.., |(number, _)| (first..=last).contains(number));
        for (number, words) in old {
            let base = self.base + number as u64 * CHUNK as u64 * 8;
            for (address, word) in (base..).step_by(8).zip(*words) {
                self.digest ^= mix(address, word);
            }
        }
    }
    fn forget(&mut self, vmid: u16, ipa: Option<u64>) {
        self.forgotten.push((vmid, ipa));
        if self.forgotten.len() > 64 {
            self.forgotten.drain(..32);
        }
    }
    fn unmask(&mut self, irq: u16) {
        self.unmasked.push(irq);
    }
    fn can_restart(&self, _: u64, image: u64) -> bool {
        image < IMAGES
    }
    fn restart(&mut self, domain: u64, image: u64) {
        self.poke(domain + DOMAIN_RESERVED + 64, image + 1);
    }
    fn set_registers(&mut self, domain: u64, registers: &Registers) {
        for (at, word) in (domain + DOMAIN_RESERVED..).step_by(8).zip(*registers) {
            self.poke(at, word);
        }
    }
}

impl PartialEq for Ram {
    fn eq(&self, other: &Ram) -> bool {
        self.digest == other.digest
    }
}
impl Eq for Ram {}
impl Hash for Ram {
    fn hash<H: Hasher>(&self, to: &mut H) {
        self.digest.hash(to);
    }
}
