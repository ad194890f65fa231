//! Own parts of a snapshot, given back: registers, address spaces, pages.

use super::begin::Refused;
use super::parse::{Held, Mapped, Own, Parsed};
use crate::fs::opened::Name;
use crate::fs::restore::{check, refuse};
use crate::page::{PAGE, PAGE_SIZE, Page};
use crate::process::{Program, Progress, Wanted};
use crate::space::{Backing, Label, MAP_END, Region, Shot, Space, WRITE};
use crate::state::State;
use abi::layout::{STACK_MAX, layout};
use abi::snapshot::{Kind, Mapping, State as Stand};
use abi::turn::{CHARGE_PAGES, MEMORY_PAGES};
use alloc::rc::Rc;
use alloc::vec::Vec;

const FLAGS: u32 = 0xf << 28;
/// x0 to x30, sp, pc.
const REGISTERS: usize = 33;

fn label(inode: u64, name: Name) -> Option<Label> {
    Some(Label { inode, name })
}

impl State {
    pub(super) fn restore_registers(&mut self, own: &Own<'_>) -> Result<(), Refused> {
        let r = &own.private;
        let (words, rest) = r.registers.as_chunks::<8>();
        let right =
            words.len() == REGISTERS && rest.is_empty() && r.vectors.len() <= 512 && r.flags & !FLAGS == 0;
        check(own.at, right && r.random_used < 1 << 62, "registers that cannot be")?;
        let p = self.process_mut(r.serial);
        let word = |i: usize| words.get(i).map_or(0, |w| u64::from_le_bytes(*w));
        for (i, x) in p.user.x.iter_mut().enumerate() {
            *x = word(i);
        }
        (p.user.sp, p.user.pc, p.user.pstate) = (word(31), word(32), r.flags.into());
        (p.user.tpidr, p.user.fpsr, p.user.fpcr) = (r.thread_pointer, r.fpsr.into(), r.fpcr.into());
        let mut vectors = [0; 512];
        vectors[..r.vectors.len()].copy_from_slice(r.vectors);
        for (v, bytes) in p.user.v.iter_mut().zip(vectors.as_chunks::<16>().0) {
            *v = u128::from_le_bytes(*bytes);
        }
        let [base, flags, size] = r.alternate_stack;
        p.signals.alternate = (base, flags as u32, size);
        (p.clear_tid, p.robust, p.random) = (r.clear_child_tid, r.robust_list, r.random_used);
        if r.at_call {
            let mut args = [0; 6];
            args.copy_from_slice(&p.user.x[..6]);
            p.wanted = Wanted::Call { number: p.user.x[8], args, progress: Progress::default() };
        }
        Ok(())
    }

    pub(super) fn restore_space(&mut self, own: &Own<'_>, held: &Held<'_>) -> Result<(), Refused> {
        let r = &own.private;
        let brk = r.break_start <= r.break_end && r.break_end <= MAP_END;
        check(own.at, brk && r.layout < self.execs, "a break or layout that cannot be")?;
        let places = layout(&self.birth.seed, r.layout);
        let mut space = Space::new(self.pool.clone());
        (space.brk, space.mmap_top, space.exec) = ((r.break_start, r.break_end), places.mmap_top, r.layout);
        space.deepest = places.stack_top - STACK_MAX;
        let mut shots: Vec<(u64, Rc<Shot>)> = Vec::new();
        let mut last = 0;
        for (at, m, pages) in &own.mappings {
            let aligned = m.start % PAGE == 0 && m.end % PAGE == 0 && m.offset % PAGE == 0;
            check(
                *at,
                aligned && last <= m.start && m.start < m.end && m.end <= MAP_END,
                "a mapping out of order",
            )?;
            let rights = m.rights <= 7 && (m.charged || m.rights & WRITE == 0) && m.offset <= i64::MAX as u64;
            check(*at, rights && m.path.len() <= 8192, "a mapping that cannot be")?;
            let mut start = m.start;
            let region = self.region_of(m, own, &mut shots);
            let Some(region) = region else { return refuse(*at, "there are too few frames") };
            // mremap may have made it longer, so that it ends above its place.
            if m.kind == Kind::Stack && space.touched == u64::MAX {
                (space.touched, space.deepest) = (m.start, space.deepest.min(m.start));
                start = space.deepest.max(last);
            }
            space.regions.insert_mut(start, region);
            self.restore_memory(&mut space, *at, m, pages)?;
            last = m.end;
        }
        self.process_mut(r.serial).exe = self.program_again(held.process.program, &own.mappings);
        let lent = held.process.charge == 0;
        let charge = if lent { space.chunks_needed() * CHARGE_PAGES } else { held.process.charge };
        let fits = charge.is_multiple_of(CHARGE_PAGES) && charge <= MEMORY_PAGES;
        check(held.at, fits, "a charge that cannot be")?;
        space.chunks = charge / CHARGE_PAGES;
        check(
            held.at,
            space.chunks >= space.chunks_needed(),
            "a process that is charged for less than it has",
        )?;
        let number = self.next_space;
        self.next_space += 1;
        self.spaces.insert_mut(number, space);
        self.process_mut(r.serial).space = number;
        check(held.at, self.chunks() * CHARGE_PAGES <= MEMORY_PAGES, "more is charged than there is")
    }

    /// The region of a mapping. Shots of one file are one, so that what is one mapping stays one.
    fn region_of(
        &mut self,
        m: &Mapping<'_>,
        own: &Own<'_>,
        shots: &mut Vec<(u64, Rc<Shot>)>,
    ) -> Option<Region> {
        let (backing, label) = match m.kind {
            Kind::Anonymous => (Backing::Anonymous, None),
            Kind::Heap => (Backing::Anonymous, label(0, Name::fixed(b"[heap]"))),
            Kind::Stack => (Backing::Stack, label(0, Name::fixed(b"[stack]"))),
            Kind::Beyond => {
                let shot = Shot { pages: crate::Map::new(), base: None, size: 0 };
                (
                    Backing::File(Rc::new(shot), m.offset / PAGE),
                    label(m.inode, self.files.name_again(Some(m.inode), m.path)),
                )
            }
            Kind::File => {
                let known = shots.iter().find(|(inode, _)| *inode == m.inode).map(|(_, shot)| shot.clone());
                let shot = match known {
                    Some(shot) => shot,
                    None => {
                        let of_it = own.mappings.iter().map(|(_, m, _)| m).filter(|o| o.inode == m.inode);
                        let files = of_it.filter(|o| o.kind == Kind::File);
                        let end = files.map(|o| (o.offset + (o.end - o.start)) / PAGE).max().unwrap_or(0);
                        let shot = Rc::new(self.files.shot_below(m.inode, end)?);
                        shots.push((m.inode, shot.clone()));
                        shot
                    }
                };
                (
                    Backing::File(shot, m.offset / PAGE),
                    label(m.inode, self.files.name_again(Some(m.inode), m.path)),
                )
            }
        };
        Some(Region { end: m.end, rights: m.rights, charged: m.charged, shared: m.shared, backing, label })
    }

    /// The program of which a snapshot tells the text. Its file is that of a mapping with the same text, if there is one: a removed one has no other
    /// sign. If there are several, and none, it is the one that the text leads to.
    pub(super) fn program_again(&mut self, text: &[u8], mappings: &[Mapped<'_>]) -> Program {
        let led = self.files.file_at(text);
        let its = |m: &&Mapped<'_>| m.1.inode != 0 && m.1.path == text && !self.files.is_directory(m.1.inode);
        let mapped = || mappings.iter().filter(its).map(|m| m.1.inode);
        let inode = mapped().find(|inode| Some(*inode) == led).or_else(|| mapped().next()).or(led);
        Program { inode: inode.unwrap_or(0), name: self.files.name_again(inode, text) }
    }

    fn restore_memory(
        &mut self,
        space: &mut Space,
        at: u64,
        m: &Mapping<'_>,
        pages: &[abi::snapshot::Page<'_>],
    ) -> Result<(), Refused> {
        let mut least = m.start;
        for p in pages {
            let inside = p.at % PAGE == 0 && (least..m.end).contains(&p.at) && m.kind != Kind::Beyond;
            check(at, inside && p.bytes.len() <= PAGE_SIZE, "a page that its mapping has not")?;
            let Some(frame) = self.pool.frame() else { return refuse(at, "there are too few frames") };
            frame.write(0, p.bytes);
            space.pages.insert_mut(p.at / PAGE, Page::Own(frame));
            least = p.at + PAGE;
        }
        // Of a made file a page that is not written is zeros, whatever the file has there now.
        if m.kind == Kind::File && self.files.origin(m.inode).is_none() {
            let first = m.offset / PAGE;
            let count = (m.end - m.start) / PAGE;
            let now: Vec<u64> = self.files.counted(m.inode).map(|(index, _)| index).collect();
            for index in now.into_iter().filter(|i| (first..first + count).contains(i)) {
                let number = m.start / PAGE + (index - first);
                if space.pages.get(&number).is_none() {
                    let Some(frame) = self.pool.frame() else {
                        return refuse(at, "there are too few frames");
                    };
                    space.pages.insert_mut(number, Page::Own(frame));
                }
            }
        }
        Ok(())
    }

    /// Who waits in vfork has the program that its child has, which has the mappings that tell its file.
    fn share_program(&mut self, waiting: u64, child: u64) {
        let exe = self.process(child).exe.clone();
        let mut texts = self.files.texts();
        if texts.of(&exe.name) == texts.of(&self.process(waiting).exe.name) {
            self.process_mut(waiting).exe = exe;
        }
    }

    /// Who waits in vfork uses its child's space, charged to it.
    pub(super) fn lend_spaces(&mut self, parsed: &Parsed<'_>) -> Result<(), Refused> {
        for held in parsed.processes.iter().rev() {
            let r = &held.process;
            let Some(child) = r.vfork.filter(|_| r.state == Stand::Waiting) else { continue };
            let lent = self
                .processes
                .get(&child)
                .filter(|c| child > r.serial && !c.is_zombie() && c.parent == r.serial);
            let Some((space, free)) = lent.map(|c| (c.space, !c.vfork)) else {
                return refuse(held.at, "a vfork without its child");
            };
            check(held.at, free && r.charge.is_multiple_of(CHARGE_PAGES), "a vfork that cannot be")?;
            self.process_mut(child).vfork = true;
            self.process_mut(r.serial).space = space;
            self.share_program(r.serial, child);
            let chunks = r.charge / CHARGE_PAGES;
            let Some(s) = self.spaces.get_mut(&space) else {
                return refuse(held.at, "a vfork without space");
            };
            check(
                held.at,
                chunks == 0 || chunks >= s.chunks_needed(),
                "a process that is charged for less than it has",
            )?;
            s.chunks = s.chunks.max(chunks);
            check(held.at, self.chunks() * CHARGE_PAGES <= MEMORY_PAGES, "more is charged than there is")?;
        }
        let free = |p: &crate::process::Process| p.is_zombie() || self.spaces.get(&p.space).is_some();
        check(0, self.processes.values().all(free), "a process without space")
    }
}
