//! Digests of what all kernels must agree on, field by field as `docs/linux-abi.md` lists them.

use crate::fs::{CHARACTER, DIRECTORY, REGULAR, SYMLINK, TYPE};
use crate::page::{PAGE, PAGE_SIZE};
use crate::process::{Place, Process};
use crate::signals::{Action, IGNORE};
use crate::space::Backing;
use crate::state::{Leads, State};
use abi::digest::{Digest, Encoder};
use alloc::vec::Vec;

fn set_of(p: &Process, test: impl Fn(&Action) -> bool) -> u64 {
    p.signals.actions.iter().enumerate().fold(0, |set, (i, a)| set | u64::from(test(a)) << i)
}

impl State {
    /// `Passed.state`.
    pub fn state_digest(&self) -> Digest {
        let mut e = Encoder::new("state");
        e.u64(self.call).u64(self.execs).u64(self.last_serial).u64(self.last_pid.into()).u64(self.base);
        e.u64(self.round.len() as u64);
        for s in &self.round {
            e.u64(*s);
        }
        for p in self.processes.values().filter(|p| matches!(p.place, Place::Outside(..))) {
            e.u64(p.serial);
        }
        let (mut opens, mut pipes) = (Vec::new(), Vec::new());
        for p in self.processes.values() {
            self.digest_process(&mut e, p, &mut opens);
        }
        for open in &opens {
            self.digest_open(&mut e, *open, &mut pipes);
        }
        for pipe in &pipes {
            let bytes: Vec<u8> =
                self.pipes.get(pipe).map(|p| p.bytes.iter().copied().collect()).unwrap_or_default();
            e.bytes(&bytes);
        }
        let t = &self.tty;
        let queued: Vec<u8> = t.bytes.iter().copied().collect();
        e.bytes(&t.modes).u64(t.rows.into()).u64(t.columns.into()).u64(t.foreground.into()).bytes(&queued);
        e.u64(self.files.next);
        for (number, inode) in self.files.touched() {
            self.digest_file(&mut e, number, inode);
        }
        e.finish()
    }

    fn digest_process(&self, e: &mut Encoder, p: &Process, opens: &mut Vec<u64>) {
        let place = match p.place {
            Place::Round => 0,
            Place::Waiting(_) => 1,
            Place::Stopped(_) => 2,
            Place::Zombie => 3,
            Place::Outside(..) => 4,
        };
        let parent = self.processes.get(&p.parent).map_or(0, |q| q.pid);
        e.u64(p.serial).u64(p.pid.into()).u64(parent.into()).u64(p.group.into()).u64(p.session.into());
        e.u64(place).u64(p.status as u32 as u64);
        let live = |set| if p.is_zombie() { 0 } else { set };
        e.u64(live(p.signals.pending)).u64(live(set_of(p, |a| a.handler == IGNORE)));
        e.u64(live(set_of(p, |a| a.handler > IGNORE))).u64(self.charge_of(p));
        for (fd, f) in p.fds.iter() {
            let at = opens.iter().position(|o| *o == f.open).unwrap_or_else(|| {
                opens.push(f.open);
                opens.len() - 1
            });
            e.u64((*fd).into()).u64(f.cloexec.into()).u64(at as u64);
        }
        let cwd = if p.is_zombie() { 0 } else { self.stat(p.cwd).map_or(0, |s| s.inode) };
        e.u64(cwd);
    }

    fn digest_open(&self, e: &mut Encoder, open: u64, pipes: &mut Vec<u64>) {
        let Some(o) = self.opens.get(&open) else { return };
        let kind = o.kind();
        let pipe = if let Leads::Pipe(n, ..) = o.leads { Some(n) } else { None };
        if let Some(n) = pipe
            && !pipes.contains(&n)
        {
            pipes.push(n);
        }
        let inode = if pipe.is_some() { 0 } else { self.stat(o.node).map_or(0, |s| s.inode) };
        let offset = if pipe.is_some() || kind == 4 { 0 } else { o.offset };
        e.u64(kind.into()).u64(inode).u64(o.flags.into()).u64(offset);
    }

    fn digest_file(&self, e: &mut Encoder, number: u64, i: &crate::fs::Inode) {
        e.u64(number).u64(i.mode.into()).u64(i.links.into()).u64(i.size);
        match i.mode & TYPE {
            REGULAR => {
                let mut file = Encoder::new("file");
                let counted: Vec<_> = self.files.counted(number).collect();
                file.u64(counted.len() as u64);
                for (index, page) in counted {
                    let mut bytes = [0; PAGE_SIZE];
                    self.pool.read(page, 0, &mut bytes);
                    let digest = Encoder::new("page").raw(&bytes).finish();
                    file.u64(index).raw(&digest);
                }
                e.raw(&file.finish());
            }
            SYMLINK => {
                e.bytes(i.target.as_deref().unwrap_or_default());
            }
            DIRECTORY => {
                let entries = self.files.entries(number, 0);
                e.u64(entries.len() as u64);
                for (slot, name, inode) in entries {
                    e.u64(slot).u64(inode).bytes(&name);
                }
            }
            CHARACTER | 0o060000 => {
                e.u64(i.rdev);
            }
            _ => {}
        }
    }

    /// `Memory`.
    pub fn memory_digest(&self, p: &Process) -> Option<Digest> {
        let space = self.spaces.get(&p.space)?;
        let mut e = Encoder::new("memory");
        e.u64(p.serial);
        for x in &p.user.x {
            e.u64(*x);
        }
        e.u64(p.user.sp).u64(p.user.pc).u64(p.user.pstate & 0xf << 28).u64(p.user.tpidr);
        e.u64(p.signals.mask).u64(space.brk.1);
        for v in &p.user.v {
            e.u64(*v as u64).u64((*v >> 64) as u64);
        }
        e.u64(p.user.fpsr).u64(p.user.fpcr);
        let mut runs: Vec<(u64, u64, u8, bool, bool)> = Vec::new();
        for (start, r) in space.regions.iter() {
            let (stack, start) = (matches!(r.backing, Backing::Stack), space.begins(*start, r));
            match runs.last_mut() {
                Some(last)
                    if last.1 == start && last.2 == r.rights && last.3 == r.charged && !stack && !last.4 =>
                {
                    last.1 = r.end;
                }
                _ => runs.push((start, r.end, r.rights, r.charged, stack)),
            }
        }
        for (start, end, rights, charged, _) in runs {
            e.u64(start).u64(end).u64(rights.into());
            if !charged {
                continue;
            }
            for va in (start..end).step_by(PAGE as usize) {
                let mut bytes = [0; PAGE_SIZE];
                if let Ok(Some(page)) = space.page(va) {
                    self.pool.read(&page, 0, &mut bytes);
                }
                e.raw(&bytes);
            }
        }
        Some(e.finish())
    }
}
