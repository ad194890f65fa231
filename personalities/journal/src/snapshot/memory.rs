//! A process' own part: registers, address space, pages.

use super::Sink;
use super::take::trimmed;
use crate::fs::Files;
use crate::fs::opened::Texts;
use crate::page::{PAGE, PAGE_SIZE};
use crate::process::{Place, Wanted};
use crate::signals::Signals;
use crate::space::{Backing, Space};
use crate::state::State;
use abi::snapshot::{Kind, Mapping, Page, Private, Record};
use alloc::vec::Vec;

const FLAGS: u64 = 0xf << 28;

/// A region as one mapping of one kind, or the part of it that is; its path stands beside it.
type Piece = (Mapping<'static>, Vec<u8>);

/// Gives the mappings of a space to `out`, as large as they can be.
fn each_mapping(space: &Space, texts: &mut Texts<'_>, out: &mut dyn FnMut(&Mapping<'_>)) {
    let mut last: Option<Piece> = None;
    let mut add = |piece: Mapping<'static>, path: &[u8]| {
        if piece.start >= piece.end {
            return;
        }
        let is_file = matches!(piece.kind, Kind::File | Kind::Beyond);
        if let Some((last, its_path)) = &mut last {
            let goes_on = if is_file { last.offset + (last.end - last.start) } else { 0 };
            let as_last = Mapping { start: last.start, end: last.end, offset: last.offset, ..piece };
            if last.end == piece.start && goes_on == piece.offset && as_last == *last && path == *its_path {
                last.end = piece.end;
                return;
            }
            out(&Mapping { path: its_path, ..*last });
        }
        last = Some((piece, path.to_vec()));
    };
    for (start, r) in space.regions.iter() {
        let mut piece = Mapping {
            start: *start,
            end: r.end,
            rights: r.rights,
            charged: r.charged,
            shared: r.shared,
            kind: Kind::Anonymous,
            inode: 0,
            offset: 0,
            path: &[],
        };
        match &r.backing {
            Backing::Anonymous => {
                if r.label.is_some() {
                    piece.kind = Kind::Heap;
                }
                add(piece, &[]);
            }
            Backing::Stack => {
                (piece.kind, piece.start) = (Kind::Stack, space.begins(*start, r));
                add(piece, &[]);
            }
            Backing::File(shot, first) => {
                let path = r.label.as_ref().map(|l| texts.of(&l.name)).unwrap_or_default();
                piece.inode = r.label.as_ref().map_or(0, |l| l.inode);
                let there = shot.size.div_ceil(PAGE).saturating_sub(*first);
                let middle = start.saturating_add(there.saturating_mul(PAGE)).min(r.end);
                let offset = first * PAGE;
                add(Mapping { end: middle, kind: Kind::File, offset, ..piece }, &path);
                let offset = offset + (middle - start);
                add(Mapping { start: middle, kind: Kind::Beyond, offset, ..piece }, &path);
            }
        }
    }
    if let Some((last, path)) = &last {
        out(&Mapping { path, ..*last });
    }
}

/// Writes the pages of `m` whose bytes are not what it gives by itself.
fn write_pages(space: &Space, files: &Files, m: &Mapping<'_>, out: &mut Sink<'_>) {
    let mut one = |va: u64, given: &[u8; PAGE_SIZE]| {
        let mut bytes = [0; PAGE_SIZE];
        if let Ok(Some(page)) = space.page(va) {
            space.pool().read(&page, 0, &mut bytes);
        }
        if bytes != *given {
            out(&Record::MemoryPage(Page { at: va, bytes: trimmed(&bytes) }));
        }
    };
    match m.kind {
        Kind::Beyond => {}
        Kind::File => {
            for va in (m.start..m.end).step_by(PAGE_SIZE) {
                let mut given = [0; PAGE_SIZE];
                files.original(m.inode, (m.offset + (va - m.start)) / PAGE, &mut given);
                one(va, &given);
            }
        }
        _ => {
            for (number, _) in space.pages.range(m.start / PAGE..m.end / PAGE) {
                one(number * PAGE, &[0; PAGE_SIZE]);
            }
        }
    }
}

impl State {
    /// Writes the own part of a process, where it stands.
    pub fn write_own(&self, serial: u64, out: &mut Sink<'_>) {
        let Some(p) = self.processes.get(&serial) else { return };
        let Some(space) = self.spaces.get(&p.space) else { return };
        let user = &p.user;
        let registers: Vec<u8> =
            user.x.iter().chain([&user.sp, &user.pc]).flat_map(|w| w.to_le_bytes()).collect();
        let vectors: Vec<u8> = user.v.iter().flat_map(|v| v.to_le_bytes()).collect();
        let Signals { alternate: (base, flags, size), .. } = p.signals;
        let lent = matches!(p.place, Place::Waiting(_)) && self.vfork_child(p).is_some();
        let (layout, brk) = if lent { (0, (0, 0)) } else { (space.exec, space.brk) };
        out(&Record::Private(Private {
            serial,
            registers: &registers,
            flags: (user.pstate & FLAGS) as u32,
            at_call: matches!(p.wanted, Wanted::Call { .. }),
            thread_pointer: user.tpidr,
            vectors: trimmed(&vectors),
            fpsr: user.fpsr as u32,
            fpcr: user.fpcr as u32,
            alternate_stack: [base, flags.into(), size],
            clear_child_tid: p.clear_tid,
            robust_list: p.robust,
            random_used: p.random,
            layout,
            break_start: brk.0,
            break_end: brk.1,
        }));
        if lent {
            return;
        }
        each_mapping(space, &mut self.files.texts(), &mut |m| {
            out(&Record::Mapping(*m));
            write_pages(space, &self.files, m, out);
        });
    }

    /// Those whose own parts come at once: they wait or are stopped.
    pub fn standing_still(&self) -> Vec<u64> {
        let still = |p: &&crate::process::Process| matches!(p.place, Place::Waiting(_) | Place::Stopped(_));
        self.processes.values().filter(still).map(|p| p.serial).collect()
    }
}
