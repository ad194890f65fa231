//! A board on the host: pages in a vector, a log in a list, and a program that is a function of its registers.
#![allow(dead_code, reason = "each test uses its part of the board")]

use abi::log::{Boot, Entry, Program, Sync};
use abi::snapshot::{Record, records};
use abi::vote::{Control, EffectKind, Vote};
use journal::kernel::Kernel;
use journal::machine::{Machine, Trap, User};
use journal::page::{Memory, PAGE_SIZE, Pool};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// In postcard's encoding.
macro_rules! encoded {
    ($value:expr) => {{
        let mut buffer = vec![0; 64 * 1024];
        postcard::to_slice($value, &mut buffer).unwrap().to_vec()
    }};
}

pub mod script;

/// Where the program's data lies.
pub const DATA: u64 = 0x41_0000;
const SVC: u64 = 0x15 << 26;
const STEP: u64 = 0x32 << 26;

/// Boot with the program `/prog`, and so many sync points without events, without digests.
pub fn quiet_log(syncs: u64) -> Vec<Vec<u8>> {
    const BEGINS_US: u64 = 1_700_000_000_000_000;
    let program = Program { path: "/prog", argv: b"prog\0", env: b"", tier: abi::tier::LEAST };
    let boot = Boot {
        version: abi::log::VERSION,
        seed: [9; 32],
        time_us: BEGINS_US,
        digest_interval: 0,
        rows: 24,
        columns: 80,
        program: &encoded!(&program),
    };
    let sync = |s| encoded!(&Entry::Sync(Sync { s, time_us: BEGINS_US + s, events: &[] }));
    [encoded!(&Entry::Boot(boot))].into_iter().chain((1..=syncs).map(sync)).collect()
}

/// Pages, and what it says of the heap.
struct Ram(RefCell<Vec<[u8; PAGE_SIZE]>>, u64);

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
    fn heap_left(&self) -> u64 {
        self.1
    }
}

/// The image's pages, then so many frames.
pub fn pool(image: &[u8], frames: usize) -> Rc<Pool> {
    pool_beside(image, frames, u64::MAX)
}

/// The same, with so many bytes of heap left, whatever is taken.
fn pool_beside(image: &[u8], frames: usize, heap: u64) -> Rc<Pool> {
    let first = image.len().div_ceil(PAGE_SIZE);
    let mut pages = vec![[0; PAGE_SIZE]; first + frames];
    for (page, bytes) in pages.iter_mut().zip(image.chunks(PAGE_SIZE)) {
        page[..bytes.len()].copy_from_slice(bytes);
    }
    let end = pages.len() as u32;
    Pool::new(Box::new(Ram(RefCell::new(pages), heap)), first as u32, end)
}

/// An ELF file of one segment with `data` at [`DATA`].
fn program(data: &[u8]) -> Vec<u8> {
    let mut elf = vec![0; 0x1000];
    elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    let mut put = |at: usize, bytes: &[u8]| elf[at..at + bytes.len()].copy_from_slice(bytes);
    put(16, &2u16.to_le_bytes());
    put(18, &183u16.to_le_bytes());
    put(24, &DATA.to_le_bytes());
    put(32, &64u64.to_le_bytes());
    put(54, &56u16.to_le_bytes());
    put(56, &1u16.to_le_bytes());
    put(64, &1u32.to_le_bytes());
    put(68, &7u32.to_le_bytes());
    for (at, v) in [(72, 0x1000), (80, DATA), (96, data.len() as u64), (104, 0x3000)] {
        put(at, &v.to_le_bytes());
    }
    elf.extend_from_slice(data);
    elf
}

/// A root image with the program in it.
pub fn image(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, mode, data) in [("prog", 0o100755, program(data)), ("TRAILER!!!", 0, Vec::new())] {
        out.extend_from_slice(b"070701");
        for field in [1, mode, 0, 0, 1, 7, data.len(), 0, 0, 0, 0, name.len() + 1, 0] {
            out.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        out.extend_from_slice(name.as_bytes());
        out.push(0);
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend_from_slice(&data);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out
}

#[derive(Default)]
struct Outside {
    log: VecDeque<Vec<u8>>,
    votes: Vec<Vec<u8>>,
    written: Vec<Vec<u8>>,
    told: Vec<String>,
    sleeps: u32,
    time: u64,
}

/// The board; a clone is the same one.
#[derive(Clone)]
pub struct Board {
    outside: Rc<RefCell<Outside>>,
    program: fn(&mut User) -> bool,
}

impl Board {
    /// With this log and program.
    pub fn new(log: Vec<Vec<u8>>, program: fn(&mut User) -> bool) -> Board {
        let outside = Outside { log: log.into(), ..Outside::default() };
        Board { outside: Rc::new(RefCell::new(outside)), program }
    }

    /// Whether the kernel sleeps and nothing will wake it.
    pub fn is_idle(&self) -> bool {
        let o = self.outside.borrow();
        o.sleeps > 2 && o.log.is_empty()
    }

    /// The log goes on.
    pub fn log_more(&self, entries: Vec<Vec<u8>>) {
        self.outside.borrow_mut().log.extend(entries);
    }

    /// What was posted.
    pub fn votes(&self) -> Vec<Vec<u8>> {
        self.outside.borrow().votes.clone()
    }

    /// What the program wrote to the terminal, call by call, and its status.
    pub fn put_out(&self) -> (Vec<Vec<u8>>, Option<Vec<u8>>) {
        let (mut said, mut exit) = (Vec::new(), None);
        for vote in self.votes() {
            if let Vote::Effect { kind, payload, .. } = postcard::from_bytes(&vote).unwrap() {
                match kind {
                    EffectKind::TtyOutput => said.push(payload.to_vec()),
                    EffectKind::Exit => exit = Some(payload.to_vec()),
                    _ => {}
                }
            }
        }
        (said, exit)
    }

    /// What the operator was told.
    pub fn told(&self) -> Vec<String> {
        self.outside.borrow().told.clone()
    }

    /// The whole snapshots that were written, as modules.
    pub fn snapshots(&self) -> Vec<Vec<u8>> {
        let (mut all, mut one) = (Vec::new(), Vec::new());
        for record in &self.outside.borrow().written {
            match postcard::from_bytes::<Record>(record).unwrap() {
                Record::Head(_) => one = Vec::new(),
                _ => assert!(records(&one).count() > 0),
            }
            one.extend((record.len() as u32).to_le_bytes());
            one.extend(record);
            if let Record::End(_) = postcard::from_bytes(record).unwrap() {
                all.push(core::mem::take(&mut one));
            }
        }
        all
    }
}

/// A kernel on the board.
pub fn kernel(board: &Board, image: &[u8]) -> Kernel<Board> {
    Kernel::new(board.clone(), pool(image, 4000), (0, image.len() as u64), 1_000_000_000, 5).unwrap()
}

/// The same, with so many bytes of heap left.
pub fn kernel_with_heap(board: &Board, image: &[u8], heap: u64) -> Kernel<Board> {
    let pool = pool_beside(image, 4000, heap);
    Kernel::new(board.clone(), pool, (0, image.len() as u64), 1_000_000_000, 5).unwrap()
}

impl Machine for Board {
    fn enter(&mut self, user: &mut User, _: u64, _: u64, step: bool) -> Trap {
        self.outside.borrow_mut().sleeps = 0;
        match (self.program)(user) {
            true => Trap::Exception(SVC, 0),
            false if step => Trap::Exception(STEP, 0),
            false => Trap::Interrupt,
        }
    }
    fn flush(&mut self, _: u16, _: Option<u64>) {}
    fn sync_code(&mut self, _: u32) {}
    fn post(&mut self, vote: &Vote<'_>) {
        let vote = encoded!(vote);
        self.outside.borrow_mut().votes.push(vote);
    }
    fn snapshot(&mut self, record: &[u8]) -> bool {
        self.outside.borrow_mut().written.push(record.to_vec());
        true
    }
    fn entry(&mut self, out: &mut [u8]) -> Option<usize> {
        let entry = self.outside.borrow_mut().log.pop_front()?;
        out[..entry.len()].copy_from_slice(&entry);
        Some(entry.len())
    }
    fn control(&mut self) -> Option<Control> {
        None
    }
    fn sleep(&mut self, _: u64) {
        self.outside.borrow_mut().sleeps += 1;
    }
    fn now_us(&self) -> u64 {
        self.outside.borrow_mut().time += 1;
        self.outside.borrow().time
    }
    fn say(&mut self, text: core::fmt::Arguments<'_>) {
        self.outside.borrow_mut().told.push(text.to_string());
    }
    fn monitor(&mut self) -> Option<abi::monitor::Monitor<'_>> {
        None
    }
    fn domain(&self) -> u32 {
        1
    }
}
