//! Beginning with a snapshot: the tables filled from its records, in their order, then what follows from them. Everything is checked: a snapshot may
//! come from a kernel that lies.

use super::processes::{self, Row};
use super::{NUMBER_MAX, Reader, Wrong, waits};
use crate::kernel::{Kernel, Shared};
use crate::log::Start;
use crate::machine::Machine;
use crate::space::{Bounds, Space};
use crate::turns::{Serial, Turns};
use abi::layout::layout;
use abi::snapshot::{Head, Record, State, VERSION};
use abi::turn::{MEMORY_PAGES, PID_MAX};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

impl Reader<'_> {
    /// Boot's part, out of the first record, which stays.
    pub fn start(&mut self) -> Result<Start, Wrong> {
        let Record::Head(head) = self.peek()? else { return Err("it does not begin with Head") };
        if head.version != VERSION {
            return Err("a version that this kernel does not know");
        }
        crate::log::start(head.boot)
    }
}

impl<M: Machine> Kernel<M> {
    /// Fills the kernel from a snapshot, and says that it stands there.
    pub(crate) fn begin(&mut self, mut reader: Reader<'_>) {
        let s = match self.read_snapshot(&mut reader) {
            Ok(s) => s,
            Err(why) => self.m.crash(&reader.complaint(why)),
        };
        self.m.text(&format!("begins with the snapshot of sync point {s}: {} records", reader.taken()));
        self.log.begin_behind(s);
        self.take_at_once(s);
        self.all_is_said();
    }

    fn read_snapshot(&mut self, reader: &mut Reader<'_>) -> Result<u64, Wrong> {
        let head = reader.next(|r| if let Record::Head(h) = r { Some(h) } else { None })?;
        let head = head.ok_or("it does not begin with Head")?;
        self.read_head(&head)?;
        let terminal = reader.next(|r| if let Record::Terminal(t) = r { Some(t) } else { None })?;
        self.fs.begin_terminal(&terminal.ok_or("no terminal")?)?;
        let round =
            reader.next(|r| if let Record::Round(r) = r { Some(r) } else { None })?.ok_or("no round")?;
        let (round, []) = round.as_chunks::<8>() else {
            return Err("a round of serials that are not of 8 bytes");
        };
        let round: Vec<Serial> = round.iter().map(|serial| u64::from_le_bytes(*serial)).collect();
        let mut rows = processes::read(reader, head.last_serial)?;
        check_states(&rows, &round)?;
        self.read_files(reader, &mut rows)?;
        self.read_own_parts(reader, &mut rows, &round)?;
        let taken = reader.taken();
        if reader.next(|r| if let Record::End(n) = r { Some(n) } else { None })? != Some(taken)
            || !reader.is_over()
        {
            return Err("the end is not there, or not the end");
        }
        self.turns = Turns::resume(round, head.calls, (head.base_us, self.start.time_us), head.s);
        self.enter(rows)?;
        self.fs.check_begun()?;
        Ok(head.s)
    }

    fn read_head(&mut self, head: &Head<'_>) -> Result<(), Wrong> {
        let numbers = [
            head.s,
            head.calls,
            head.effects,
            head.execs,
            head.last_serial,
            head.base_us,
            self.start.time_us,
        ];
        if numbers.iter().any(|n| *n >= NUMBER_MAX) || head.execs == 0 || head.last_pid >= PID_MAX {
            return Err("a counter cannot be that far");
        }
        if head.base_us < self.start.time_us {
            return Err("a clock before the one at Boot");
        }
        (self.execs, self.last_serial, self.last_pid) = (head.execs, head.last_serial, head.last_pid);
        self.votes.resume(head.effects);
        self.fs.begin_numbers(head.next_pipe, head.next_inode)
    }

    /// Open file descriptions, pipes and inodes; the first refer to the others.
    fn read_files(&mut self, reader: &mut Reader<'_>, rows: &mut [Row]) -> Result<(), Wrong> {
        let mut opens = Vec::new();
        while let Some(open) = reader.next(|r| if let Record::OpenFile(o) = r { Some(o) } else { None })? {
            let mut text = Vec::new();
            while let Some(part) = reader.next(|r| if let Record::Text(t) = r { Some(t) } else { None })? {
                self.check_room()?;
                text.extend_from_slice(part);
            }
            if open.number as usize != opens.len() || opens.len() >= abi::turn::OPEN_FILES_MAX {
                return Err("open file descriptions out of order, or too many");
            }
            opens.push((open, text));
        }
        while let Some(pipe) = reader.next(|r| if let Record::Pipe(p) = r { Some(p) } else { None })? {
            self.fs.begin_pipe(&pipe)?;
            while let Some(data) =
                reader.next(|r| if let Record::PipeData(d) = r { Some(d) } else { None })?
            {
                self.fs.begin_pipe_data(data)?;
            }
        }
        let mut inodes = Default::default();
        while let Some(inode) = reader.next(|r| if let Record::Inode(i) = r { Some(i) } else { None })? {
            self.check_room()?;
            self.fs.begin_inode(&mut inodes, &inode)?;
            while let Some(e) = reader.next(|r| if let Record::Entry(e) = r { Some(e) } else { None })? {
                self.check_room()?;
                self.fs.begin_entry(&inodes, &e)?;
            }
            while let Some(p) = reader.next(|r| if let Record::FilePage(p) = r { Some(p) } else { None })? {
                self.fs.begin_file_page(&inodes, &p)?;
            }
        }
        self.fs.end_inodes(inodes)?;
        for (open, text) in opens {
            self.check_room()?;
            self.fs.begin_open(&open, text)?;
        }
        rows.iter_mut().try_for_each(|row| {
            self.check_room()?;
            processes::open_descriptors(&mut self.fs, row)
        })
    }

    /// Small records can ask for much memory: the kernel's own must not end.
    fn check_room(&self) -> Result<(), Wrong> {
        crate::space::check_heap(&self.m).map_err(|_| "there is no memory for its files")
    }

    fn read_own_parts(
        &mut self,
        reader: &mut Reader<'_>,
        rows: &mut [Row],
        round: &[Serial],
    ) -> Result<(), Wrong> {
        let charged: u64 = rows.iter().map(|row| row.charge).sum();
        if charged > MEMORY_PAGES {
            return Err("the processes are charged for more than there is");
        }
        self.budget.charged = charged;
        let still = |row: &&Row| matches!(row.state, State::Waiting | State::Stopped);
        let still: Vec<Serial> = rows.iter().filter(still).map(|row| row.process.serial).collect();
        for serial in still.into_iter().chain(round.iter().copied()) {
            let own = reader.next(|r| if let Record::Private(p) = r { Some(p) } else { None })?;
            let own = own.filter(|p| p.serial == serial).ok_or("the own parts are not in their order")?;
            let charge = charge_of(rows, serial);
            let row =
                rows.iter_mut().find(|row| row.process.serial == serial).ok_or("an own part of nobody")?;
            processes::set_own(row, &own)?;
            if row.lends().is_some() {
                continue;
            }
            if own.layout >= self.execs {
                return Err("an address space of an exec that never was");
            }
            let places = layout(&self.start.seed, own.layout);
            let brk = (own.break_start, own.break_end);
            let (exec, mmap_top, stack_top) = (own.layout, places.mmap_top, places.stack_top);
            let bounds = Bounds { exec, mmap_top, stack_top, brk, charge, program: &row.program };
            let (space, program) = Space::begin(&mut self.m, &mut self.fs, &bounds, reader)?;
            if let (Some((ino @ 0, _)), Some(program)) = (&mut row.process.exe, program) {
                *ino = program;
            }
            row.process.space = self.add_space(space);
        }
        Ok(())
    }

    /// Into the process table; then who waits, in the order in which they began to.
    fn enter(&mut self, rows: Vec<Row>) -> Result<(), Wrong> {
        let mut calls = Vec::new();
        let mut lends: BTreeMap<Serial, Serial> = BTreeMap::new();
        for row in rows {
            let serial = row.process.serial;
            lends.extend(row.lends().map(|child| (serial, child)));
            calls.extend(row.call.map(|call| (call.at, serial, row.state, call)));
            if row.process.is_alive() {
                self.threads.insert(serial, row.thread);
            }
            self.procs.insert(serial, row.process);
        }
        // Children first: a child that lends its borrowed space on has it from its own child by then.
        for (lender, child) in lends.into_iter().rev() {
            let space = self.procs.get(&child).map_or(0, |p| p.space);
            let shared: &mut Shared =
                self.spaces.get_mut(&space).ok_or("a vfork child without an address space")?;
            shared.users += 1;
            if let Some(p) = self.procs.get_mut(&lender) {
                p.space = space;
            }
        }
        calls.sort_unstable_by_key(|(at, serial, ..)| (*at, *serial));
        for (at, serial, state, call) in calls {
            if at >= self.turns.call() {
                return Err("a call that was made before its number came");
            }
            waits::resume(self, serial, state, call.came)?;
        }
        Ok(())
    }
}

/// What the address space that a process has is charged for: its own charge, or that of whoever lends it.
fn charge_of(rows: &[Row], serial: Serial) -> u64 {
    let mut row = rows.iter().find(|r| r.process.serial == serial);
    while let Some(lender) = row.and_then(|r| r.process.vfork_parent) {
        row = rows.iter().find(|r| r.process.serial == lender);
    }
    row.map_or(0, |r| r.charge)
}

/// Who is in the round says so, and who waits is in a call.
fn check_states(rows: &[Row], round: &[Serial]) -> Result<(), Wrong> {
    let in_round = rows.iter().filter(|row| row.state == State::Round);
    let mut sorted = round.to_vec();
    sorted.sort_unstable();
    if !in_round.map(|row| row.process.serial).eq(sorted) {
        return Err("the round is not of those who are in it");
    }
    if rows.iter().any(|row| row.state == State::Waiting && row.call.is_none()) {
        return Err("a thread waits, and in no call");
    }
    Ok(())
}
