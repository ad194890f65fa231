//! A machine for tests: frames in a vector, page tables in maps, and programs that are lists of operations, one at each address.

use crate::machine::*;
use crate::space::TRAMPOLINE;
use abi::linux::nr;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Where programs are linked: code, then data.
pub const TEXT: u64 = 0x40_0000;
pub const DATA: u64 = 0x60_0000;

/// An argument.
#[derive(Clone, Copy, Debug)]
pub enum Arg {
    /// A number.
    Lit(u64),
    /// What [`Op::Save`] kept.
    Saved(usize),
}

/// One operation.
#[derive(Clone, Debug)]
pub enum Op {
    Call(u64, Vec<Arg>),
    /// Keeps the last result.
    Save(usize),
    Put(u64, Vec<u8>),
    /// Jumps, unless the last result is 0.
    IfParent(usize),
    Jump(usize),
    /// Returns from a handler.
    Return,
    /// Changes FP registers and flags.
    Float(u128),
    /// From here on so many bytes of the kernel's heap are free.
    Heap(usize),
}

/// Code of all programs.
#[derive(Clone, Default)]
pub struct Code(pub Vec<Op>);

impl Code {
    pub fn call(&mut self, number: u64, args: &[u64]) -> &mut Code {
        self.with(number, &args.iter().map(|a| Arg::Lit(*a)).collect::<Vec<_>>())
    }
    pub fn with(&mut self, number: u64, args: &[Arg]) -> &mut Code {
        self.op(Op::Call(number, args.to_vec()))
    }
    pub fn op(&mut self, op: Op) -> &mut Code {
        self.0.push(op);
        self
    }
    pub fn save(&mut self, i: usize) -> &mut Code {
        self.op(Op::Save(i))
    }
    pub fn put(&mut self, at: u64, bytes: &[u8]) -> &mut Code {
        self.op(Op::Put(at, bytes.to_vec()))
    }
    /// Where the next operation stands.
    pub fn here(&self) -> u64 {
        TEXT + 4 * self.0.len() as u64
    }
    /// A child by clone with `flags` (pid saved as `i`) that does `child` and exits.
    pub fn child(&mut self, i: usize, flags: u64, child: impl FnOnce(&mut Code)) -> &mut Code {
        self.call(nr::clone, &[flags, 0, 0, 0, 0]);
        let at = self.0.len();
        self.op(Op::IfParent(0));
        child(self);
        self.call(nr::exit_group, &[7]);
        let behind = self.0.len();
        self.0[at] = Op::IfParent(behind);
        self.save(i)
    }
    pub fn fork(&mut self, i: usize, child: impl FnOnce(&mut Code)) -> &mut Code {
        self.child(i, 17, child)
    }
    /// Text on the terminal.
    pub fn say(&mut self, text: &[u8]) -> &mut Code {
        self.put(DATA + 0x1000, text).call(nr::write, &[1, DATA + 0x1000, text.len() as u64])
    }
    /// A path in memory.
    pub fn path(&mut self, at: u64, path: &str) -> &mut Code {
        self.put(at, &[path.as_bytes(), &[0]].concat())
    }
}

/// What a crash unwinds with.
pub struct Crash(pub String);

/// The machine.
pub struct Host {
    code: Rc<Vec<Op>>,
    frames: Vec<[u8; PAGE_BYTES]>,
    free: Vec<Frame>,
    tables: BTreeMap<u32, BTreeMap<u64, (Shown, Rights)>>,
    fp: FpRegisters,
    pub waits: u32,
    /// Bytes of heap that are free.
    pub heap: usize,
    /// Lines for the operator.
    pub texts: Vec<String>,
}

const FRAMES: usize = 12_000;

impl Host {
    pub fn new(code: Rc<Vec<Op>>) -> Host {
        Host {
            code,
            frames: Vec::new(),
            free: Vec::new(),
            tables: BTreeMap::new(),
            fp: FpRegisters::default(),
            waits: 0,
            heap: usize::MAX,
            texts: Vec::new(),
        }
    }

    /// Stores a program's bytes; a fault where it may not.
    fn store(&mut self, tables: TableId, address: u64, bytes: &[u8]) -> Result<(), Exit> {
        for (at, byte) in (address..).zip(bytes) {
            let page = at & !(PAGE_BYTES as u64 - 1);
            match self.tables[&tables.0].get(&page) {
                Some((Shown::Frame(f), rights)) if rights.has(Rights::WRITE) => {
                    self.frames[f.0 as usize][(at - page) as usize] = *byte;
                }
                _ => return Err(Exit::Fault(Fault::Access { address: at, needs: Rights::WRITE })),
            }
        }
        Ok(())
    }

    fn execute(&mut self, tables: TableId, r: &mut Registers) -> Option<Exit> {
        let index = (r.pc.wrapping_sub(TEXT) / 4) as usize;
        if r.pc == TRAMPOLINE {
            r.x[8] = nr::rt_sigreturn;
            r.pc += 8;
            return Some(Exit::Call);
        }
        let Some(op) = self.code.get(index).filter(|_| r.pc >= TEXT).cloned() else {
            return Some(Exit::Fault(Fault::Access { address: r.pc, needs: Rights::EXECUTE }));
        };
        let mut next = r.pc + 4;
        let mut exit = None;
        match op {
            Op::Call(number, args) => {
                r.x[8] = number;
                r.x[..6].fill(0);
                for (i, arg) in args.iter().enumerate() {
                    r.x[i] = match arg {
                        Arg::Lit(n) => *n,
                        Arg::Saved(i) => r.x[19 + i],
                    };
                }
                exit = Some(Exit::Call);
            }
            Op::Save(i) => r.x[19 + i] = r.x[0],
            Op::Put(at, bytes) => match self.store(tables, at, &bytes) {
                Ok(()) => {}
                Err(fault) => return Some(fault),
            },
            Op::IfParent(to) if r.x[0] != 0 => next = TEXT + 4 * to as u64,
            Op::IfParent(_) => {}
            Op::Jump(to) => {
                next = TEXT + 4 * to as u64;
                exit = Some(Exit::Interrupt);
            }
            Op::Return => next = r.x[30],
            Op::Heap(bytes) => self.heap = bytes,
            Op::Float(v) => {
                self.fp.v[3] = v;
                (self.fp.fpsr, self.fp.fpcr) = (1, 1 << 24);
                r.pstate = 0x6000_0000;
                r.tpidr = v as u64;
            }
        }
        r.pc = next;
        exit
    }
}

impl Machine for Host {
    fn trace(&mut self, _: Trace<'_>) {}
    fn alloc_frame(&mut self) -> Result<Frame, OutOfFrames> {
        if let Some(frame) = self.free.pop() {
            self.frames[frame.0 as usize].fill(0);
            return Ok(frame);
        }
        if self.frames.len() == FRAMES {
            return Err(OutOfFrames);
        }
        self.frames.push([0; PAGE_BYTES]);
        Ok(Frame(self.frames.len() as u32 - 1))
    }
    fn free_frame(&mut self, frame: Frame) {
        self.free.push(frame);
    }
    fn used_frames(&self) -> u64 {
        (self.frames.len() - self.free.len()) as u64
    }
    fn free_heap(&self) -> usize {
        self.heap
    }
    fn frame(&self, frame: Frame) -> &[u8; PAGE_BYTES] {
        &self.frames[frame.0 as usize]
    }
    fn frame_mut(&mut self, frame: Frame) -> &mut [u8; PAGE_BYTES] {
        &mut self.frames[frame.0 as usize]
    }
    fn copy_frame(&mut self, from: Frame, to: Frame) {
        self.frames[to.0 as usize] = self.frames[from.0 as usize];
    }
    fn new_tables(&mut self) -> Result<TableId, OutOfFrames> {
        let id = self.tables.last_key_value().map_or(0, |(id, _)| id + 1);
        self.tables.insert(id, BTreeMap::new());
        Ok(TableId(id))
    }
    fn drop_tables(&mut self, tables: TableId) {
        self.tables.remove(&tables.0);
    }
    fn map(&mut self, tables: TableId, at: u64, shown: Shown, rights: Rights) -> Result<(), OutOfFrames> {
        self.tables.get_mut(&tables.0).unwrap().insert(at, (shown, rights));
        Ok(())
    }
    fn unmap(&mut self, tables: TableId, address: u64) {
        self.tables.get_mut(&tables.0).unwrap().remove(&address);
    }
    fn unmap_range(&mut self, tables: TableId, start: u64, end: u64) {
        self.tables.get_mut(&tables.0).unwrap().retain(|&a, _| a < start || a >= end);
    }
    fn flush(&mut self, _: TableId, _: bool) {}
    fn run(&mut self, tables: TableId, registers: &mut Registers, _: u64) -> Exit {
        self.waits = 0;
        loop {
            if let Some(exit) = self.execute(tables, registers) {
                return exit;
            }
        }
    }
    fn step(&mut self, tables: TableId, registers: &mut Registers) -> Exit {
        self.execute(tables, registers).unwrap_or(Exit::Step)
    }
    fn load_fp(&mut self, from: &FpRegisters) {
        self.fp = *from;
    }
    fn store_fp(&mut self, to: &mut FpRegisters) {
        *to = self.fp;
    }
    fn ticks(&self) -> u64 {
        0
    }
    fn ticks_per_ms(&self) -> u64 {
        1
    }
    fn wait(&mut self) {
        self.waits += 1;
    }
    fn ring(&mut self, _: u32) {}
    fn text(&mut self, line: &str) {
        self.texts.push(line.to_owned());
    }
    fn crash(&mut self, why: &str) -> ! {
        std::panic::panic_any(Crash(why.to_owned()))
    }
}
