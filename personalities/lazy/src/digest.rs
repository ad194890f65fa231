//! State and memory digests. "State digest" in `docs/linux-abi.md`, field by field.

use crate::files::Body;
use crate::hw::{FpState, Hardware};
use crate::kernel::Kernel;
use crate::memory::map::{Kind as MapKind, Mapping};
use crate::memory::object::Found;
use crate::open::Kind;
use crate::process::{Place, Process, Thread};
use crate::signal::bit;
use abi::digest::{Digest, Encoder};
use abi::layout::PAGE;
use abi::vote::Vote;
use alloc::vec::Vec;

impl<H: Hardware> Kernel<H> {
    /// Of the kernel-held state.
    pub fn state_digest(&mut self) -> Digest {
        let mut e = Encoder::new("state");
        e.u64(self.turn.call)
            .u64(self.execs)
            .u64(self.last_serial)
            .u64(self.last_pid.into())
            .u64(self.turn.base_us);
        e.u64(self.turn.round.len() as u64);
        for s in &self.turn.round {
            e.u64(*s);
        }
        let outside = self.threads.values().filter(|t| matches!(t.place, Place::Outside { .. }));
        let outside: Vec<u64> = outside.map(|t| t.serial).collect();
        for s in &outside {
            e.u64(*s);
        }
        let mut files: Vec<u32> = Vec::new();
        for p in self.processes.values() {
            self.encode_process(&mut e, p, &mut files);
        }
        let mut pipes: Vec<u32> = Vec::new();
        for f in &files {
            let Some(f) = self.open.get(*f) else { continue };
            let kind = u64::from(f.kind.number());
            let pipe = f.pipe().map(|p| p.0);
            let inode = if pipe.is_some() { 0 } else { f.inode };
            let offset = if pipe.is_some() || f.kind == Kind::Terminal { 0 } else { f.offset };
            e.u64(kind).u64(inode).u64(f.flags).u64(offset);
            if let Some(p) = pipe.filter(|p| !pipes.contains(p)) {
                pipes.push(p);
            }
        }
        for p in pipes {
            if let Some(p) = self.pipes.get_mut(p) {
                e.bytes(p.data.make_contiguous());
            }
        }
        let t = &self.terminal;
        e.bytes(&t.modes)
            .u64(t.size[0].into())
            .u64(t.size[1].into())
            .u64(t.foreground.into())
            .bytes(&t.bytes());
        self.encode_files(&mut e);
        e.finish()
    }

    fn encode_process(&self, e: &mut Encoder, p: &Process, files: &mut Vec<u32>) {
        let parent = self.processes.get(&p.parent).map_or(0, |q| q.pid);
        let state = match self.threads_of(p.serial).next() {
            _ if p.zombie => 3,
            Some(t) => place_number(t.place),
            None => 2,
        };
        e.u64(p.serial).u64(p.pid.into()).u64(parent.into()).u64(p.group.into()).u64(p.session.into());
        e.u64(state).u64(p.status as u32 as u64).u64(if p.zombie { 0 } else { p.pending });
        let set = |f: &dyn Fn(u64) -> bool| {
            let has = |s: &u32| !p.zombie && f(p.actions[*s as usize].handler);
            (1..=64).filter(has).fold(0, |set, s| set | bit(s))
        };
        e.u64(set(&|h| h == 1)).u64(set(&|h| h > 1));
        let charge =
            p.space.filter(|_| !p.borrowed).and_then(|s| self.memory.spaces.get(s)).map_or(0, |s| s.charge);
        e.u64(charge);
        for (fd, d) in p.descriptors.iter().enumerate().filter_map(|(i, d)| Some((i, (*d)?))) {
            let number = match files.iter().position(|f| *f == d.file) {
                Some(n) => n,
                None => {
                    files.push(d.file);
                    files.len() - 1
                }
            };
            e.u64(fd as u64).u64(d.cloexec.into()).u64(number as u64);
        }
        e.u64(if p.zombie { 0 } else { p.cwd });
        if self.has_threads(p.serial) {
            e.u64(self.threads_of(p.serial).count() as u64);
            for t in self.threads_of(p.serial) {
                e.u64(t.serial).u64(t.tid.into()).u64(place_number(t.place)).u64(t.pending);
            }
        }
    }

    fn encode_files(&mut self, e: &mut Encoder) {
        e.u64(self.files.next);
        let physical = &self.memory.physical;
        for (ino, i) in self.files.inodes.iter_mut().filter(|(_, i)| i.changed) {
            e.u64(*ino).u64(i.mode.into()).u64(i.nlink.into());
            match &mut i.body {
                Body::File(c) => {
                    e.u64(c.size);
                    let digest = if i.written { c.digest(physical) } else { no_pages() };
                    e.raw(&digest);
                }
                Body::Directory(d) => {
                    e.u64(4096).u64(d.entries.len() as u64);
                    for (seq, (name, ino)) in &d.entries {
                        e.u64(*seq).u64(*ino).bytes(name);
                    }
                }
                Body::Link(to) => {
                    e.u64(to.len() as u64).bytes(to);
                }
                Body::Device(n) => {
                    e.u64(0).u64(*n);
                }
                Body::Fifo(_) => {
                    e.u64(0);
                }
            }
        }
    }

    /// Posts the digest of a process' registers and memory, if one is due and it makes its first call since.
    pub fn post_memory_digest(&mut self, serial: u64) {
        let Some(p) = self.process_of_mut(serial) else { return };
        let Some(s) = p.digest_due.take() else { return };
        let pid = p.pid;
        if p.unagreed {
            return;
        }
        if self.fp_owner == Some(serial) {
            self.save_fp();
        }
        let process = self.owner(serial);
        if let Some(digest) = self.memory_digest(process, &[serial]) {
            self.post(&Vote::Memory { s, process, pid, digest });
        }
    }

    /// Posts those of processes with several threads, as they stand at sync point `s`.
    pub fn post_shared_digests(&mut self, s: u64) {
        let all: Vec<(u64, u32)> =
            self.processes.values().filter(|p| !p.unagreed).map(|p| (p.serial, p.pid)).collect();
        for (process, pid) in all {
            let outside = |t: &Thread| matches!(t.place, Place::Outside { .. });
            if !self.has_threads(process) || self.threads_of(process).any(outside) {
                continue;
            }
            self.save_fp();
            let members = self.members(process);
            if let Some(digest) = self.memory_digest(process, &members) {
                self.post(&Vote::Memory { s, process, pid, digest });
            }
        }
    }

    /// Of one thread, or of several of one process: then the FP registers come last.
    fn memory_digest(&mut self, process: u64, members: &[u64]) -> Option<Digest> {
        let mut e = Encoder::new("memory");
        let threads: Vec<&Thread> = members.iter().filter_map(|s| self.threads.get(s)).collect();
        let alone = threads.len() == 1;
        for t in &threads {
            let r = &t.registers;
            e.u64(if alone { process } else { t.serial });
            for x in r.x {
                e.u64(x);
            }
            e.u64(r.sp).u64(r.pc).u64(r.pstate & 0xf000_0000).u64(r.tls).u64(t.mask);
        }
        let space = self.processes.get(&process)?.space?;
        e.u64(self.memory.spaces.get(space)?.break_at);
        if alone {
            threads.iter().for_each(|t| encode_fp(&mut e, &t.fp));
            self.encode_mappings(&mut e, space);
        } else {
            let fp: Vec<_> = threads.iter().map(|t| t.fp.clone()).collect();
            self.encode_mappings(&mut e, space);
            fp.iter().for_each(|fp| encode_fp(&mut e, fp));
        }
        Some(e.finish())
    }

    fn encode_mappings(&mut self, e: &mut Encoder, space: u32) {
        let Some(s) = self.memory.spaces.get(space) else { return };
        let all: Vec<Mapping> = s.map.0.values().cloned().collect();
        let mut at = 0;
        while let Some(first) = all.get(at) {
            let joins = |a: &Mapping, b: &Mapping| {
                a.end == b.start
                    && a.rights == b.rights
                    && a.charged == b.charged
                    && (a.kind == MapKind::Stack) == (b.kind == MapKind::Stack)
            };
            let mut last = at;
            while let (Some(a), Some(b)) = (all.get(last), all.get(last + 1))
                && joins(a, b)
            {
                last += 1;
            }
            let end = all.get(last).map_or(first.end, |m| m.end);
            e.u64(first.start).u64(end).u64(first.rights.bits().into());
            if first.charged {
                for m in all.get(at..=last).unwrap_or(&[]) {
                    self.encode_pages(e, m);
                }
            }
            at = last + 1;
        }
    }

    fn encode_pages(&mut self, e: &mut Encoder, m: &Mapping) {
        for index in m.offset..m.offset + m.pages() {
            match self.memory.find_page(m.object, index) {
                Found::Own(f) | Found::Behind(f) => {
                    e.raw(self.memory.physical.hw.page(f));
                }
                _ => {
                    e.raw(&[0; PAGE as usize]);
                }
            }
        }
    }
}

/// A thread's state, by its number.
fn place_number(place: Place) -> u64 {
    match place {
        Place::Round => 0,
        Place::Waiting => 1,
        Place::Stopped => 2,
        Place::Ended => 3,
        Place::Outside { .. } => 4,
        Place::Held => 5,
    }
}

fn encode_fp(e: &mut Encoder, fp: &FpState) {
    for v in fp.v {
        e.u64(v as u64).u64((v >> 64) as u64);
    }
    e.u64(fp.fpsr).u64(fp.fpcr);
}

fn no_pages() -> Digest {
    let mut e = Encoder::new("file");
    e.u64(0);
    e.finish()
}
