//! A machine whose programs are scripts: what a thread does next follows from its registers alone (x19 names the script, the program counter
//! the step), so it can be forked, interrupted, stopped, and begun with again.

// Each test takes a part of this.
#![allow(dead_code)]

pub mod check;
pub mod run;

use abi::linux::nr;
use lazy::hw::{Access, Event, FpState, Frame, Hardware, PAGE, Registers, Trap};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Arguments;
use std::rc::Rc;

/// First frame of the pool, and of the image.
const FIRST: u32 = 0x40000;
const IMAGE: u32 = 0x80000;
/// Where programs begin.
pub const ENTRY: u64 = 0x10000;
/// A handler here returns at once.
pub const HANDLER: u64 = 0x20000;

/// VM, FS, FILES, SIGHAND, THREAD, SYSVSEM, PARENT_SETTID, CHILD_CLEARTID.
const THREAD: u64 = 0x34_0f00 | 0x1_0000;

/// What a script does.
#[derive(Clone, Debug)]
pub enum Step {
    /// From here on the kernel has so many bytes of heap.
    Room(usize),
    /// A system call.
    Call(u64, [u64; 6]),
    /// Stores bytes, all in one page.
    Store(u64, Vec<u8>),
    /// clone with these flags; the child goes on with that script.
    Fork(u64, usize),
    /// clone of a thread, which goes on with that script; its number is put at the address, and 0 when it ends.
    Thread(usize, u64),
}

/// What the machine and its test share.
#[derive(Default)]
pub struct Outside {
    /// Entries of the log to come.
    pub log: VecDeque<Vec<u8>>,
    /// Votes posted.
    pub votes: Vec<Vec<u8>>,
    /// Records of snapshots, with their lengths.
    pub snapshot: Vec<u8>,
    /// Bytes of heap that the kernel is told to have.
    pub heap_room: usize,
    /// How often the kernel had nothing to do.
    pub waits: usize,
    /// Results of calls, with the number of the script that made them.
    pub results: Vec<(usize, i64)>,
}

/// See [`Hardware`].
pub struct Scripted {
    pages: Vec<[u8; PAGE]>,
    image: &'static [u8],
    scripts: Rc<Vec<Vec<Step>>>,
    outside: Rc<RefCell<Outside>>,
}

impl Scripted {
    /// With this root image (whole pages) and these scripts; process 1 runs the first.
    pub fn new(image: &'static [u8], scripts: Rc<Vec<Vec<Step>>>, outside: Rc<RefCell<Outside>>) -> Scripted {
        Scripted { pages: vec![[0; PAGE]; 4096], image, scripts, outside }
    }

    /// Stores to where the page tables allow it.
    fn store(&mut self, root: Frame, address: u64, bytes: &[u8]) -> bool {
        let mut table = root;
        for shift in [30, 21, 12] {
            let entry = self.entry(table, (address >> shift & 511) as usize);
            if entry & 1 == 0 || shift == 12 && entry & 1 << 7 != 0 {
                return false;
            }
            table = Frame::at(entry & 0x0000_ffff_ffff_f000);
        }
        let at = (address % PAGE as u64) as usize;
        self.page_mut(table)[at..at + bytes.len()].copy_from_slice(bytes);
        true
    }
}

impl Hardware for Scripted {
    fn pool(&self) -> std::ops::Range<u32> {
        FIRST..FIRST + self.pages.len() as u32
    }

    fn page(&self, frame: Frame) -> &[u8; PAGE] {
        match frame.0.checked_sub(IMAGE) {
            Some(n) => self.image[n as usize * PAGE..][..PAGE].try_into().expect("a page"),
            None => &self.pages[(frame.0 - FIRST) as usize],
        }
    }

    fn page_mut(&mut self, frame: Frame) -> &mut [u8; PAGE] {
        &mut self.pages[(frame.0 - FIRST) as usize]
    }

    fn entry(&self, frame: Frame, index: usize) -> u64 {
        u64::from_le_bytes(self.page(frame)[index * 8..][..8].try_into().expect("eight bytes"))
    }

    fn set_entry(&mut self, frame: Frame, index: usize, value: u64) {
        self.page_mut(frame)[index * 8..][..8].copy_from_slice(&value.to_le_bytes());
    }

    fn make_executable(&mut self, _: Frame) {}
    fn invalidate_page(&mut self, _: u16, _: u64) {}
    fn invalidate_space(&mut self, _: u16) {}

    fn image(&self) -> &'static [u8] {
        self.image
    }

    fn image_frame(&self) -> Frame {
        Frame(IMAGE)
    }

    fn now_us(&self) -> u64 {
        0
    }

    fn run(&mut self, r: &mut Registers, root: Frame, _: u16, _: Option<u64>) -> Trap {
        // x22: it comes back from a call, and not as a child.
        if r.pc != HANDLER && std::mem::take(&mut r.x[22]) != 0 && (r.x[21] == 0 || r.x[0] != 0) {
            self.outside.borrow_mut().results.push((r.x[19] as usize, r.x[0] as i64));
        }
        loop {
            if r.pc == HANDLER {
                (r.x[8], r.pc) = (nr::rt_sigreturn, r.pc + 4);
                return Trap::Call;
            }
            if r.x[21] != 0 && r.x[0] == 0 {
                (r.x[19], r.pc) = (r.x[21] - 1, ENTRY);
            }
            r.x[21] = 0;
            let at = (r.pc.wrapping_sub(ENTRY) / 4) as usize;
            let scripts = self.scripts.clone();
            let step = scripts.get(r.x[19] as usize).and_then(|s| s.get(at)).cloned();
            let (number, a) = match step.unwrap_or(Step::Call(nr::exit_group, [0; 6])) {
                Step::Store(address, bytes) => {
                    if !self.store(root, address, &bytes) {
                        return Trap::Access { address, access: Access::Write };
                    }
                    r.pc += 4;
                    continue;
                }
                Step::Room(bytes) => {
                    self.outside.borrow_mut().heap_room = bytes;
                    r.pc += 4;
                    continue;
                }
                Step::Fork(flags, child) => {
                    r.x[21] = child as u64 + 1;
                    (nr::clone, [flags, 0, 0, 0, 0, 0])
                }
                Step::Thread(child, address) => {
                    r.x[21] = child as u64 + 1;
                    (nr::clone, [THREAD, 0, address, 0, address, 0])
                }
                Step::Call(number, a) => (number, a),
            };
            r.x[..6].copy_from_slice(&a);
            (r.x[8], r.x[22], r.pc) = (number, 1, r.pc.wrapping_add(4));
            return Trap::Call;
        }
    }

    fn step(&mut self, _: &mut Registers, _: Frame, _: u16) -> Trap {
        Trap::Step
    }

    fn end_stepping(&mut self) {}
    fn fp_save(&mut self, _: &mut FpState) {}
    fn fp_load(&mut self, _: &FpState) {}

    fn log(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, &'static str> {
        let next = self.outside.borrow_mut().log.pop_front();
        Ok(next.map(|entry| {
            buffer[..entry.len()].copy_from_slice(&entry);
            entry.len()
        }))
    }

    fn control(&mut self, _: &mut [u8]) -> Option<usize> {
        None
    }

    fn post(&mut self, record: &[u8]) {
        self.outside.borrow_mut().votes.push(record.to_vec());
    }

    fn takes_snapshots(&self) -> bool {
        true
    }

    fn snapshot(&self, record: &[u8]) {
        let snapshot = &mut self.outside.borrow_mut().snapshot;
        snapshot.extend_from_slice(&(record.len() as u32).to_le_bytes());
        snapshot.extend_from_slice(record);
    }

    fn beginning(&self) -> Option<&'static [u8]> {
        None
    }

    fn ring(&mut self) {}

    fn wait(&mut self, _: Option<u64>) {
        self.outside.borrow_mut().waits += 1;
    }

    fn monitor(&self) -> Option<abi::monitor::Monitor<'static>> {
        None
    }

    fn note(&mut self, _: Event<'_>) {}
    fn say(&mut self, _: Arguments<'_>) {}

    fn fail(&mut self, reason: &str) -> ! {
        panic!("{reason}")
    }

    fn heap_room(&self) -> usize {
        self.outside.borrow().heap_room
    }
}

/// A root image in whole pages: directories, files and links, with their modes.
pub fn image(members: &[(&str, u32, Vec<u8>)]) -> &'static [u8] {
    let mut out = Vec::new();
    let end = [("TRAILER!!!", 0, Vec::new())];
    for (name, mode, bytes) in members.iter().chain(&end) {
        let fields =
            [0, *mode, 0, 0, 1, 1_700_000_000, bytes.len() as u32, 0, 0, 0, 0, name.len() as u32 + 1, 0];
        out.extend_from_slice(b"070701");
        fields.iter().for_each(|f| out.extend_from_slice(format!("{f:08x}").as_bytes()));
        out.extend_from_slice(name.as_bytes());
        out.push(0);
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend_from_slice(bytes);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out.resize(out.len().next_multiple_of(PAGE), 0);
    out.leak()
}

/// A program of one segment, at [`ENTRY`].
pub fn elf() -> Vec<u8> {
    let mut out = vec![0; 120];
    out[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
    put(16, &[2, 0, 183, 0]);
    put(24, &ENTRY.to_le_bytes());
    put(32, &64u64.to_le_bytes());
    put(54, &[56, 0, 1, 0]);
    put(64, &[1, 0, 0, 0, 7, 0, 0, 0]);
    put(64 + 16, &ENTRY.to_le_bytes());
    put(64 + 32, &120u64.to_le_bytes());
    put(64 + 40, &0x3000u64.to_le_bytes());
    out
}
