//! The kernel-held part of a snapshot, at the sync point; and when the rest of it comes.

use super::{GivenUp, Taking, buffer, trimmed};
use crate::files::{Body, Inode, Time};
use crate::hw::{Hardware, PAGE};
use crate::kernel::Kernel;
use crate::open::{Kind, O_CLOEXEC, OpenFile};
use crate::process::{Continuation, Place, Process, Thread};
use abi::snapshot::{self as record, Head, News, Record, State};
use abi::vote::{NO_DEADLINE, Vote};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// `report` of a process that was continued.
const CONTINUED: i32 = 0xffff;

impl<H: Hardware> Kernel<H> {
    /// Begins to take the snapshot of sync point `s`, unless somebody is outside or unagreed.
    pub fn take_snapshot(&mut self, s: u64) {
        self.taking = None;
        let outside = self.threads.values().any(|t| matches!(t.place, Place::Outside { .. }));
        // A process that has, or had, several threads.
        let threads = self.threads.len() != self.processes.len();
        if outside
            || threads
            || self.processes.values().any(|p| p.unagreed)
            || !self.memory.physical.hw.takes_snapshots()
        {
            return;
        }
        self.save_fp();
        let mut taking = Box::new(Taking {
            s,
            call: self.turn.call,
            effects: self.effects,
            left: self.turn.round.clone(),
            root: Default::default(),
            buffer: buffer(),
        });
        if self.write_held(&mut taking).is_ok() && self.write_waiting(&mut taking).is_ok() {
            self.taking = Some(taking);
            self.end_snapshot();
        }
    }

    /// The head is about to make its first call since the sync point: its own part is due.
    pub fn take_own(&mut self, head: u64) {
        if self.taking.as_ref().is_none_or(|t| t.left.front() != Some(&head)) {
            return;
        }
        if self.fp_owner == Some(head) {
            self.save_fp();
        }
        let Some(mut taking) = self.taking.take() else { return };
        taking.left.pop_front();
        if self.write_own(&mut taking, head).is_ok() {
            self.taking = Some(taking);
            self.end_snapshot();
        }
    }

    /// All own parts at once: nobody has run since the kernel-held part was written.
    pub fn take_all_own(&mut self) {
        while let Some(head) = self.taking.as_ref().and_then(|t| t.left.front().copied()) {
            self.take_own(head);
        }
    }

    /// A thread of the round was skipped before its first call: there will be no snapshot.
    pub fn give_snapshot_up(&mut self, serial: u64) {
        if self.taking.as_ref().is_some_and(|t| t.left.contains(&serial)) {
            self.taking = None;
        }
    }

    fn end_snapshot(&mut self) {
        let Some(mut taking) = self.taking.take_if(|t| t.left.is_empty()) else { return };
        let end = Record::End(taking.root.records());
        if taking.put(&self.memory.physical.hw, &end).is_ok() {
            let Taking { s, call, effects, root, .. } = *taking;
            self.post(&Vote::Snapshot { s, call, effects, root: root.digest() });
        }
    }

    fn write_waiting(&self, w: &mut Taking) -> Result<(), GivenUp> {
        let waiting = |t: &&Thread| matches!(t.place, Place::Waiting | Place::Stopped);
        let alive = |t: &&Thread| self.processes.get(&t.serial).is_some_and(|p| !p.zombie);
        let all = self.threads.values().filter(waiting).filter(alive);
        all.map(|t| t.serial).try_for_each(|serial| self.write_own(w, serial))
    }

    fn write_held(&self, w: &mut Taking) -> Result<(), GivenUp> {
        let hw = &self.memory.physical.hw;
        let head = Head {
            version: record::VERSION,
            s: w.s,
            calls: self.turn.call,
            effects: self.effects,
            execs: self.execs,
            last_serial: self.last_serial,
            last_pid: self.last_pid,
            base_us: self.turn.base_us,
            next_pipe: self.pipe_numbers,
            next_inode: self.files.next,
            boot: &self.boot,
        };
        w.put(hw, &Record::Head(head))?;
        let t = &self.terminal;
        let ends: Vec<u8> = t.ends().flat_map(|at| (at as u32).to_le_bytes()).collect();
        let terminal = record::Terminal {
            modes: &t.modes,
            rows: t.size[0],
            columns: t.size[1],
            x_pixels: t.size[2],
            y_pixels: t.size[3],
            session: t.session,
            foreground: t.foreground,
            queue: &t.bytes(),
            ends: &ends,
        };
        w.put(hw, &Record::Terminal(terminal))?;
        let round: Vec<u8> = self.turn.round.iter().flat_map(|s| s.to_le_bytes()).collect();
        w.put(hw, &Record::Round(&round))?;
        let mut files = Vec::new();
        for p in self.processes.values() {
            self.write_process(w, p, &mut files)?;
        }
        self.write_open(w, &files)?;
        self.write_pipes(w)?;
        let layer = self.files.inodes.iter().filter(|(_, i)| i.changed || i.touched);
        layer.into_iter().try_for_each(|(number, inode)| self.write_inode(w, *number, inode))
    }

    fn write_process(&self, w: &mut Taking, p: &Process, files: &mut Vec<u32>) -> Result<(), GivenUp> {
        let hw = &self.memory.physical.hw;
        let program = p.exe.1.text().map_err(|_| GivenUp)?;
        let process = self.process_record(p, &program);
        w.put(hw, &Record::Process(process))?;
        if p.zombie {
            return Ok(());
        }
        w.pieces(hw, &p.cmdline, |b| Record::CommandLine(b))?;
        for (signal, a) in p.actions.iter().enumerate().filter(|(_, a)| **a != Default::default()) {
            let crate::process::Action { handler, flags, restorer, mask } = *a;
            let action = record::Action { signal: signal as u8, handler, flags, restorer, mask };
            w.put(hw, &Record::Action(action))?;
        }
        for (signal, info) in &p.infos {
            let [pid, _, status] = info.fields;
            let pending = record::Pending {
                signal: *signal as u8,
                code: info.code,
                pid,
                status: status as i32,
                address: info.address.unwrap_or(0),
            };
            w.put(hw, &Record::Pending(pending))?;
        }
        for (resource, &(soft, hard)) in &p.limits {
            if (soft, hard) != crate::process::limit_at_start(*resource) {
                let limit = record::Limit { resource: *resource as u8, soft, hard };
                w.put(hw, &Record::Limit(limit))?;
            }
        }
        for (fd, d) in p.descriptors.iter().enumerate().filter_map(|(fd, d)| Some((fd, (*d)?))) {
            let number = files.iter().position(|f| *f == d.file).unwrap_or_else(|| {
                files.push(d.file);
                files.len() - 1
            });
            let flags = u32::from(d.cloexec);
            let descriptor = record::Descriptor { number: fd as u32, flags, file: number as u32 };
            w.put(hw, &Record::Descriptor(descriptor))?;
        }
        Ok(())
    }

    fn process_record<'a>(&'a self, p: &'a Process, program: &'a [u8]) -> record::Process<'a> {
        let t = self.threads.get(&p.serial).filter(|_| !p.zombie);
        let state = match t.map(|t| t.place) {
            None | Some(Place::Ended) => State::Zombie,
            Some(Place::Round | Place::Outside { .. } | Place::Held) => State::Round,
            Some(Place::Waiting) => State::Waiting,
            Some(Place::Stopped) => State::Stopped,
        };
        let (news, status) = match p.report {
            _ if p.zombie => (News::None, p.status),
            None => (News::None, 0),
            Some(CONTINUED) => (News::Continued, 0),
            Some(status) => (News::Stopped, status),
        };
        let alive = !p.zombie;
        let (timer_us, interval_us) = p.timer.unwrap_or((NO_DEADLINE, 0));
        let [death_signal, dumpable, no_new_privileges] = p.prctl;
        record::Process {
            serial: p.serial,
            pid: p.pid,
            parent: self.processes.get(&p.parent).map_or(0, |q| q.pid),
            group: p.group,
            session: p.session,
            state,
            status: status as u32,
            news,
            name: self.threads.get(&p.serial).map_or(&[], |t| &t.comm),
            program: if alive { program } else { &[] },
            directory: if alive { p.cwd } else { 0 },
            umask: if alive { p.umask } else { 0 },
            nice: p.nice,
            has_execed: p.execed,
            no_new_privileges: alive && no_new_privileges != 0,
            dumpable: if alive { dumpable as u32 } else { 0 },
            death_signal: if alive { death_signal as u32 } else { 0 },
            started_us: p.started,
            calls: self.calls_of(p.serial),
            children_calls: p.child_calls,
            charge: self.charged_pages(p),
            timer_us,
            interval_us,
            mask: t.map_or(0, |t| t.mask),
            saved_mask: t.and_then(|t| t.saved_mask),
            call: t.and_then(|t| self.call_record(t)),
            vfork: t.and_then(|t| match t.continuation {
                Some(Continuation::Vfork(child, _)) => Some(child),
                _ => None,
            }),
        }
    }

    fn call_record(&self, t: &Thread) -> Option<record::Call> {
        let mut call = record::Call { at: t.made, done: 0, deadline_us: NO_DEADLINE, came: false };
        match t.continuation? {
            Continuation::Written(n) => call.done = n,
            Continuation::Until(until) | Continuation::Poll(Some(until)) => call.deadline_us = until,
            Continuation::Vfork(_, pid) => call.done = pid.into(),
            Continuation::Opening { pipe, seen, write } => {
                let now = self.pipes.get(pipe).map(|p| if write { p.readers_seen } else { p.writers_seen });
                call.came = now.is_some_and(|now| now > seen);
            }
            Continuation::Again
            | Continuation::Poll(None)
            | Continuation::Suspended
            | Continuation::Futex => {}
            Continuation::Woken => call.came = true,
        }
        Some(call)
    }

    fn write_open(&self, w: &mut Taking, files: &[u32]) -> Result<(), GivenUp> {
        let hw = &self.memory.physical.hw;
        for (number, f) in files.iter().enumerate().filter_map(|(n, f)| Some((n, self.open.get(*f)?))) {
            let pipe = f.pipe().map(|(p, ..)| p).or(f.nameless_pipe()).and_then(|p| self.pipes.get(p));
            let quiet = pipe.is_some_and(|p| f.quiet_hangup == Some(p.writers_seen));
            let open = record::OpenFile {
                number: number as u32,
                kind: f.kind.number(),
                inode: pipe.filter(|p| p.fifo.is_none()).map_or(f.inode, |p| p.number),
                flags: (f.flags & !O_CLOEXEC) as u32,
                offset: if pipe.is_some() || f.kind == Kind::Terminal { 0 } else { f.offset },
                before_writers: quiet,
                path: &self.shown(f).map_err(|_| GivenUp)?.unwrap_or_default(),
            };
            w.put(hw, &Record::OpenFile(open))?;
            if let OpenFile { kind: Kind::Text(text), .. } = f {
                w.pieces(hw, text, |b| Record::Text(b))?;
            }
        }
        Ok(())
    }

    /// A pipe is there as long as a descriptor (of O_PATH, too) or a blocked opener holds it.
    fn write_pipes(&self, w: &mut Taking) -> Result<(), GivenUp> {
        let hw = &self.memory.physical.hw;
        let mut pipes: Vec<_> = self.pipes.iter().map(|(_, p)| p).collect();
        pipes.sort_by_key(|p| (p.fifo.is_some(), p.fifo.unwrap_or(p.number)));
        for p in pipes {
            let fifo = p.fifo.is_some();
            let made_us = if fifo { 0 } else { p.made };
            let pipe = record::Pipe { number: p.fifo.unwrap_or(p.number), fifo, made_us };
            w.put(hw, &Record::Pipe(pipe))?;
            let (front, back) = p.data.as_slices();
            let data = [front, back].concat();
            w.pieces(hw, &data, |b| Record::PipeData(b))?;
        }
        Ok(())
    }

    fn write_inode(&self, w: &mut Taking, number: u64, i: &Inode) -> Result<(), GivenUp> {
        let hw = &self.memory.physical.hw;
        let [accessed_ns, modified_ns, changed_ns] = i.times.map(nanoseconds);
        let (mut size, mut device, mut target, mut next_sequence, mut parent) = (0, 0, &[][..], 0, 0);
        match &i.body {
            Body::File(c) => size = c.size,
            Body::Directory(d) => (size, next_sequence, parent) = (4096, d.next, d.parent),
            Body::Link(to) => (size, target) = (to.len() as u64, to),
            Body::Device(n) => device = *n,
            Body::Fifo(_) => {}
        }
        let inode = record::Inode {
            number,
            mode: i.mode,
            uid: i.uid,
            gid: i.gid,
            links: i.nlink,
            size,
            device,
            accessed_ns,
            modified_ns,
            changed_ns,
            target,
            from_image: matches!(i.body, Body::File(_)) && !i.written,
            next_sequence,
            parent,
        };
        w.put(hw, &Record::Inode(inode))?;
        match &i.body {
            Body::Directory(d) => {
                for (&sequence, (name, inode)) in &d.entries {
                    let entry = record::DirectoryEntry { sequence, inode: *inode, name };
                    w.put(hw, &Record::Entry(entry))?;
                }
            }
            Body::File(c) if i.written => {
                let mut result = Ok(());
                c.tree.visit(0, u64::MAX, &mut |start, n, _| {
                    for at in start..start + n {
                        let mut bytes = [0; PAGE];
                        c.read_page(&self.memory.physical, at, &mut bytes);
                        let page = record::Page { at, bytes: trimmed(&bytes) };
                        result = result.and_then(|()| w.put(hw, &Record::FilePage(page)));
                    }
                });
                result?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Nanoseconds since 1970; what no `i64` holds is as far away as can be.
fn nanoseconds(time: Time) -> i64 {
    time.0.saturating_mul(1_000_000_000).saturating_add(time.1.into())
}
