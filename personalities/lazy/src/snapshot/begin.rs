//! Beginning with a snapshot: everything is read and checked in its order, built by this kernel's own structures, and written again.

use super::names::Texts;
use super::read::{LARGEST, Reader, Refused};
use crate::files::procfs;
use crate::files::{S_IFDIR, S_IFMT, device};
use crate::hw::Hardware;
use crate::kernel::Kernel;
use abi::log::{Entry, Program};
use abi::snapshot::{Call, Head, Record, Terminal, VERSION};
use abi::turn::{PID_MAX, TTY_INPUT_MAX};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// What is known of the snapshot before everything that it refers to is.
#[derive(Default)]
pub(super) struct Found<'a> {
    /// The round.
    pub round: Vec<u64>,
    /// Pids of parents by serial.
    pub parents: BTreeMap<u64, u32>,
    /// Charges by serial.
    pub charges: BTreeMap<u64, u64>,
    /// Calls in the middle of which threads are.
    pub calls: BTreeMap<u64, Call>,
    /// Vfork children by the serial of the parent that still is in the call.
    pub vforks: BTreeMap<u64, u64>,
    /// How many descriptors lead to each open file description.
    pub refs: Vec<u32>,
    /// Open file descriptions by number: this kernel's own number.
    pub open: Vec<u32>,
    /// Their paths.
    pub paths: Vec<&'a [u8]>,
    /// Programs' paths by the serial of who executes them.
    pub programs: BTreeMap<u64, &'a [u8]>,
    /// Pipes by (whether a FIFO, number): this kernel's own number.
    pub pipes: BTreeMap<(bool, u64), u32>,
}

impl<H: Hardware> Kernel<H> {
    /// Begins with the snapshot in `bytes`; on an error this kernel is good for nothing any more.
    pub fn begin_with(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        let mut reader = Reader::new(bytes)?;
        let r = &mut reader;
        let (mut found, mut texts) = (Found::default(), Texts::default());
        let s = self.read_head(r)?;
        self.read_terminal(r)?;
        let round =
            r.need(|r| if let Record::Round(b) = r { Some(b) } else { None }, "Round must stand here")?;
        r.check(round.len().is_multiple_of(8), "serials have eight bytes")?;
        found.round =
            round.chunks_exact(8).filter_map(|b| Some(u64::from_le_bytes(b.try_into().ok()?))).collect();
        self.read_processes(r, &mut found)?;
        self.read_open(r, &mut found)?;
        self.read_pipes(r, &mut found)?;
        self.read_layer(r)?;
        self.join_processes(r, &found, &mut texts)?;
        self.join_open(r, &found, &mut texts)?;
        self.read_own(r, &found, &mut texts)?;
        self.join_waits(r, &found)?;
        let before = r.taken();
        let end = r.need(|r| if let Record::End(n) = r { Some(n) } else { None }, "End must stand here")?;
        r.check(end == before, "it counts other records")?;
        r.check(r.at_end(), "something stands behind the end")?;
        self.turn.round = found.round.iter().copied().collect();
        self.turn.sync = s + 1;
        self.turn.sync_due = self.turn.round.is_empty();
        self.take_snapshot(s);
        self.take_all_own();
        Ok(())
    }

    fn read_head(&mut self, r: &mut Reader<'_>) -> Result<u64, Refused> {
        let head: Head<'_> =
            r.need(|r| if let Record::Head(h) = r { Some(h) } else { None }, "Head must stand here")?;
        r.check(head.version == VERSION, "another version")?;
        let boot = match postcard::from_bytes(head.boot) {
            Ok(Entry::Boot(boot)) if boot.version == abi::log::VERSION => boot,
            _ => return Err(r.refuse("its Boot is none")),
        };
        let counts = [
            head.s,
            head.calls,
            head.effects,
            head.execs,
            head.last_serial,
            head.base_us,
            head.next_pipe,
            head.next_inode,
            boot.time_us,
        ];
        r.check(counts.iter().all(|n| *n < LARGEST), "a counter that no program reaches")?;
        r.check((1..PID_MAX).contains(&head.last_pid), "a last pid that is none")?;
        self.boot = head.boot.to_vec();
        self.take_boot(&boot);
        let program = postcard::from_bytes::<Program<'_>>(boot.program);
        self.tier = program.map_err(|_| r.refuse("its Boot names no program"))?.tier;
        r.check(self.tier <= abi::tier::MOST, "it asks for more calls than this kernel has")?;
        r.check(head.next_inode >= self.files.next, "inodes that the root image has")?;
        self.files.next = head.next_inode;
        self.turn.call = head.calls;
        self.turn.said = head.calls;
        self.turn.base_us = head.base_us;
        self.effects = head.effects;
        self.execs = head.execs;
        self.last_serial = head.last_serial;
        self.last_pid = head.last_pid;
        self.pipe_numbers = head.next_pipe;
        Ok(head.s)
    }

    fn read_terminal(&mut self, r: &mut Reader<'_>) -> Result<(), Refused> {
        let t: Terminal<'_> =
            r.need(|r| if let Record::Terminal(t) = r { Some(t) } else { None }, "Terminal must stand here")?;
        let modes = t.modes.try_into().map_err(|_| r.refuse("modes have 36 bytes"))?;
        r.check(t.ends.len().is_multiple_of(4), "ends have four bytes")?;
        let ends: Vec<usize> = t
            .ends
            .chunks_exact(4)
            .filter_map(|b| Some(u32::from_le_bytes(b.try_into().ok()?) as usize))
            .collect();
        r.check(t.queue.len() + ends.len() <= TTY_INPUT_MAX, "more input than the terminal holds")?;
        r.check(ends.is_sorted() && ends.iter().all(|at| *at <= t.queue.len()), "ends that are no places")?;
        self.terminal.modes = modes;
        self.terminal.size = [t.rows, t.columns, t.x_pixels, t.y_pixels];
        self.terminal.session = t.session;
        self.terminal.foreground = t.foreground;
        self.terminal.fill(t.queue, &ends);
        Ok(())
    }

    /// What processes refer to: each other, the round, their directories and programs.
    fn join_processes<'a>(
        &mut self,
        r: &Reader<'_>,
        found: &Found<'a>,
        texts: &mut Texts<'a>,
    ) -> Result<(), Refused> {
        for (serial, pid) in &found.parents {
            let parent = match (serial, pid) {
                (1, 0) => 0,
                _ => self.by_pid(*pid).map(|p| p.serial).ok_or(r.refuse("a parent that is not there"))?,
            };
            r.check(*serial == 1 || parent < *serial || parent == 1, "a parent that is younger")?;
            if let Some(p) = self.processes.get_mut(serial) {
                p.parent = parent;
            }
        }
        for (parent, child) in &found.vforks {
            let waits = self.threads.get(parent).is_some_and(|t| t.place == crate::process::Place::Waiting);
            let Some(p) = self.processes.get_mut(child).filter(|p| !p.zombie && p.parent == *parent) else {
                r.check(!waits, "it waits for a vfork child that is not there")?;
                continue;
            };
            if waits {
                p.vfork_parent = Some(*parent);
                p.borrowed = true;
            }
        }
        let serials: Vec<u64> = self.processes.values().filter(|p| !p.zombie).map(|p| p.serial).collect();
        for serial in serials {
            let Some(cwd) = self.processes.get(&serial).map(|p| p.cwd) else { continue };
            r.check(self.leads_to_directory(cwd), "a working directory that is none")?;
            self.files.hold(cwd);
            self.name_program(r, texts, found, serial)?;
        }
        Ok(())
    }

    /// Whether `inode` is a directory of the root, of /dev or of /proc; those of ended processes are none any more, but may be held.
    pub(super) fn leads_to_directory(&self, inode: u64) -> bool {
        match procfs::node(inode) {
            Some(node) => node.is_directory(),
            None if device::is_dev(inode) => inode == device::DEV,
            None => self.mode_of(inode).is_ok_and(|m| m & S_IFMT == S_IFDIR),
        }
    }
}
