//! State digests, field by field as `docs/linux-abi.md` ("State digest") lists them.

use crate::kernel::Kernel;
use crate::machine::{Machine, NZCV, PAGE_BYTES, Rights};
use crate::process::{Effect, Life, Process};
use crate::signal::{SIG_IGN, SIGNALS_MAX, SigSet};
use crate::space::{Page, Space, UserView};
use crate::turns::Serial;
use abi::digest::{Digest, Encoder};
use abi::layout::PAGE;
use alloc::vec::Vec;

impl<M: Machine> Kernel<M> {
    /// Digest of the kernel-held state.
    pub(crate) fn state_digest(&mut self) -> Digest {
        let mut e = Encoder::new("state");
        e.u64(self.turns.call()).u64(self.execs).u64(self.last_serial);
        e.u64(u64::from(self.last_pid)).u64(self.turns.base_us());
        e.u64(self.turns.round().len() as u64);
        for serial in self.turns.round() {
            e.u64(serial);
        }
        for serial in self.turns.outside() {
            e.u64(serial);
        }
        let mut numbering = Vec::new();
        for p in self.procs.values() {
            self.digest_process(p, &mut e);
            self.fs.digest_fds(&p.fds, &mut numbering, &mut e);
            e.u64(if p.life == Life::Zombie { 0 } else { p.cwd });
            self.digest_threads(p, &mut e);
        }
        self.fs.digest_rest(&numbering, &mut e);
        e.finish()
    }

    fn digest_process(&self, p: &Process, e: &mut Encoder) {
        let first = self.threads_of(p.serial).first().copied();
        let state = first.map_or(3, |thread| self.state_of(p, thread));
        let (mut ignored, mut caught) = (SigSet::default(), SigSet::default());
        for signal in 1..=SIGNALS_MAX {
            if p.action(signal).handler == SIG_IGN {
                ignored.add(SigSet::of(signal));
            } else if p.effect_of(signal) == Effect::Handled {
                caught.add(SigSet::of(signal));
            }
        }
        let ids = [p.serial, p.pid.into(), self.pid_of(p.parent).into(), p.pgid.into(), p.sid.into()];
        let sets = if p.life == Life::Zombie { [0; 3] } else { [p.pending.set().0, ignored.0, caught.0] };
        for value in ids.into_iter().chain([state, p.status as u64]).chain(sets).chain([self.charge_of(p)]) {
            e.u64(value);
        }
    }

    /// 0 in the round, 1 waiting, 2 stopped, 4 outside, 5 held.
    fn state_of(&self, p: &Process, thread: Serial) -> u64 {
        match p.life {
            Life::Zombie => 3,
            Life::Stopped => 2,
            Life::Alive if self.turns.is_waiting(thread) => 1,
            Life::Alive if self.turns.skipped_at(thread).is_some() => 4,
            Life::Alive if self.turns.is_held_back(thread) => 5,
            Life::Alive => 0,
        }
    }

    /// The threads of a process that has more than one.
    fn digest_threads(&self, p: &Process, e: &mut Encoder) {
        if !self.has_several(p.serial) {
            return;
        }
        let threads = self.threads_of(p.serial);
        e.u64(threads.len() as u64);
        for t in threads.iter().filter_map(|t| self.threads.get(t)) {
            e.u64(t.serial).u64(t.tid.into()).u64(self.state_of(p, t.serial)).u64(t.pending.set().0);
        }
    }

    /// Digest of the registers of `threads` and of the memory of their process: of one thread before its call is made.
    pub(crate) fn memory_digest(&mut self, process: Serial, threads: &[Serial]) -> Digest {
        self.save_fp();
        let mut e = Encoder::new("memory");
        for t in threads.iter().filter_map(|t| self.threads.get(t)) {
            // A thread that is left alone names its process, as one that was always alone does.
            e.u64(if threads.len() == 1 { process } else { t.serial });
            let r = &t.registers;
            for value in r.x.into_iter().chain([r.sp, r.pc, r.pstate & NZCV, r.tpidr, t.mask.0]) {
                e.u64(value);
            }
        }
        let space = self.procs.get(&process).and_then(|p| self.spaces.get(&p.space));
        let Some(shared) = space else { return e.finish() };
        e.u64(shared.space.brk);
        let several = threads.len() > 1;
        if !several {
            self.digest_vectors(threads, &mut e);
        }
        self.digest_mappings(&shared.space, &mut e);
        if several {
            self.digest_vectors(threads, &mut e);
        }
        e.finish()
    }

    fn digest_vectors(&self, threads: &[Serial], e: &mut Encoder) {
        for t in threads.iter().filter_map(|t| self.threads.get(t)) {
            for v in t.fp.v {
                e.raw(&v.to_le_bytes());
            }
            e.u64(t.fp.fpsr).u64(t.fp.fpcr);
        }
    }

    fn digest_mappings(&self, space: &Space, e: &mut Encoder) {
        let areas = space.areas();
        let mut i = 0;
        while let Some(first) = areas.get(i) {
            // Adjacent mappings with equal rights count as one, whatever this kernel keeps them as.
            let joins = |a: &&crate::space::Area| a.rights == first.rights && a.charged == first.charged;
            let mut end = first.end;
            let mut n = 1;
            while let Some(next) = areas.get(i + n).filter(joins).filter(|a| a.start == end) {
                end = next.end;
                n += 1;
            }
            e.u64(first.start).u64(end).u64(u64::from(first.rights.0));
            for area in areas.iter().skip(i).take(n).filter(|a| a.charged) {
                let mut at = area.start;
                while at < area.end {
                    match area.page(at) {
                        Page::Frame(frame) => e.raw(self.m.frame(frame)),
                        Page::Image(bytes) => e.raw(bytes),
                        Page::Untouched | Page::Beyond => e.raw(&[0; PAGE_BYTES]),
                    };
                    at += PAGE;
                }
            }
            i += n;
        }
    }

    /// A fault on demand: the lowest byte of the lowest writable page is inverted.
    pub(crate) fn invert_a_byte(&mut self, serial: Serial) {
        let Some(UserView { machine, space, budget }) = self.view(serial) else { return };
        let Some(at) = space.areas().iter().find(|a| a.rights.has(Rights::WRITE)).map(|a| a.start) else {
            return;
        };
        let mut view = UserView { machine, space, budget };
        let mut byte = [0];
        if crate::user::UserMemory::read(&mut view, at, &mut byte).is_ok() {
            view.copy_in(at, &[!byte[0]]);
        }
    }
}
