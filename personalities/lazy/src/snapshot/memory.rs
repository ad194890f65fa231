//! The own parts of a snapshot's processes: registers and address spaces.

use super::begin::Found;
use super::names::Texts;
use super::read::{LARGEST, Reader, Refused};
use crate::files::Body;
use crate::files::content::Content;
use crate::hw::{FpState, Hardware, PAGE, Registers};
use crate::kernel::Kernel;
use crate::memory::map::{Kind as MapKind, LIMIT, Mapping, Rights};
use crate::memory::object::Source;
use crate::process::{AltStack, Place, Stand};
use abi::layout::{MMAP_MIN, layout};
use abi::snapshot::{self as record, Kind, Private, Record};
use alloc::vec::Vec;

const PAGE_BYTES: u64 = PAGE as u64;

impl<H: Hardware> Kernel<H> {
    pub(super) fn read_own<'a>(
        &mut self,
        r: &mut Reader<'a>,
        found: &Found<'a>,
        texts: &mut Texts<'a>,
    ) -> Result<(), Refused> {
        let idle = |p: &&crate::process::Process| !p.zombie && !found.round.contains(&p.serial);
        let mut order: Vec<u64> = self.processes.values().filter(idle).map(|p| p.serial).collect();
        order.extend(&found.round);
        for serial in order {
            let p = r.need(
                |r| if let Record::Private(p) = r { Some(p) } else { None },
                "Private must stand here",
            )?;
            r.check(p.serial == serial, "another process' part should stand here")?;
            self.read_private(r, &p, found)?;
            let waits = self.threads.get(&serial).is_some_and(|t| t.place == Place::Waiting);
            if found.vforks.contains_key(&serial) && waits {
                r.check((p.layout, p.break_start, p.break_end) == (0, 0, 0), "its memory is its child's")?;
            } else {
                self.read_space(r, &p, found, texts)?;
            }
        }
        self.lend_spaces(r, found)
    }

    fn read_private(&mut self, r: &Reader<'_>, p: &Private<'_>, found: &Found<'_>) -> Result<(), Refused> {
        r.check(p.registers.len() == 33 * 8, "registers have 33 words")?;
        r.check(p.vectors.len() <= 512 && p.vectors.last() != Some(&0), "vectors have 512 bytes")?;
        r.check(p.flags & 0x0fff_ffff == 0, "flags that a program does not have")?;
        r.check(p.at_call || !found.calls.contains_key(&p.serial), "it is in a call, and stands at none")?;
        r.check(p.random_used < LARGEST, "more chance than anybody used")?;
        let [base, flags, size] = p.alternate_stack;
        let flags = u32::try_from(flags).map_err(|_| r.refuse("flags that no stack has"))?;
        let mut words = p.registers.chunks_exact(8).map(|b| b.try_into().map_or(0, u64::from_le_bytes));
        let mut registers =
            Registers { pstate: p.flags.into(), tls: p.thread_pointer, ..Registers::default() };
        for slot in registers.x.iter_mut().chain([&mut registers.sp, &mut registers.pc]) {
            *slot = words.next().unwrap_or(0);
        }
        let mut fp = FpState { fpsr: p.fpsr.into(), fpcr: p.fpcr.into(), ..FpState::default() };
        for (v, bytes) in fp.v.iter_mut().zip(p.vectors.chunks(16)) {
            let mut whole = [0; 16];
            whole.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            *v = u128::from_le_bytes(whole);
        }
        if let Some(t) = self.threads.get_mut(&p.serial) {
            t.registers = registers;
            *t.fp = fp;
            t.stand = if p.at_call { Stand::Call } else { Stand::User };
            t.alt = AltStack { base, flags, size };
            (t.clear_child_tid, t.robust_list) = (p.clear_child_tid, p.robust_list);
        }
        if let Some(process) = self.processes.get_mut(&p.serial) {
            process.random = p.random_used;
        }
        Ok(())
    }

    fn read_space<'a>(
        &mut self,
        r: &mut Reader<'a>,
        p: &Private<'a>,
        found: &Found<'a>,
        texts: &mut Texts<'a>,
    ) -> Result<(), Refused> {
        r.check(p.layout < self.execs, "an exec that was not")?;
        let right = p.break_start.is_multiple_of(PAGE_BYTES) && p.break_start <= p.break_end;
        r.check(right && p.break_end <= LIMIT, "a break that is none")?;
        let id = self.memory.new_space(p.layout, layout(&self.seed, p.layout), 0);
        if let Some(s) = self.memory.spaces.get_mut(id) {
            (s.break_start, s.break_at) = (p.break_start, p.break_end);
        }
        if let Some(process) = self.processes.get_mut(&p.serial) {
            process.space = Some(id);
        }
        let mut last: Option<record::Mapping<'_>> = None;
        while let Some(m) = r.take(|r| if let Record::Mapping(m) = r { Some(m) } else { None })? {
            let aligned = [m.start, m.end, m.offset].iter().all(|n| n.is_multiple_of(PAGE_BYTES));
            let least = last.map_or(MMAP_MIN, |m| m.end);
            r.check(
                aligned && m.start >= least && m.start < m.end && m.end <= LIMIT,
                "a place that is none",
            )?;
            let of_file = matches!(m.kind, Kind::File | Kind::Beyond);
            r.check(of_file || (m.inode, m.offset) == (0, 0) && m.path.is_empty(), "it is of no file")?;
            r.check(m.rights <= 7 && m.offset < LARGEST, "a mapping that is none")?;
            match last {
                Some(before) if m.kind == Kind::Beyond && goes_on(&before, &m) => {
                    self.extend(id, &before, &m)
                }
                _ => self.read_mapping(r, id, &m, texts)?,
            }
            if let Some(process) = self.processes.get_mut(&p.serial).filter(|p| of_file && p.exe.0 == 0)
                && found.programs.get(&p.serial) == Some(&m.path)
            {
                process.exe.0 = m.inode;
            }
            last = Some(m);
        }
        Ok(())
    }

    /// What lies beyond the end of a file that is mapped belongs to the same mapping.
    fn extend(&mut self, id: u32, before: &record::Mapping<'_>, beyond: &record::Mapping<'_>) {
        let Some(m) = self.memory.spaces.get_mut(id).and_then(|s| s.map.find_mut(before.start)) else {
            return;
        };
        m.end = beyond.end;
        if let Some(o) = self.memory.objects.get_mut(m.object)
            && let Source::File(c) = &mut o.source
        {
            c.size = c.size.min(beyond.offset);
        }
    }

    fn read_mapping<'a>(
        &mut self,
        r: &mut Reader<'a>,
        id: u32,
        m: &record::Mapping<'a>,
        texts: &mut Texts<'a>,
    ) -> Result<(), Refused> {
        let first = match m.kind {
            // So that it can grow downwards.
            Kind::Stack => m.start / PAGE_BYTES,
            _ => m.offset / PAGE_BYTES,
        };
        let object = match m.kind {
            Kind::Anonymous | Kind::Heap | Kind::Stack => self.memory.object(Source::Zero),
            Kind::File => self.object_of_file(r, m)?,
            Kind::Beyond => self.memory.object(Source::File(Content::default())),
        };
        let kind = match m.kind {
            Kind::Anonymous => MapKind::Anonymous,
            Kind::Heap => MapKind::Heap,
            Kind::Stack => MapKind::Stack,
            Kind::File | Kind::Beyond => MapKind::File(m.inode, self.entry_of(r, texts, m.path, m.inode)?),
        };
        let mapping = Mapping {
            start: m.start,
            end: m.end,
            rights: Rights::from_bits_truncate(m.rights),
            charged: m.charged,
            object,
            offset: first,
            needs_copy: false,
            kind,
            shared: m.shared,
        };
        self.memory.insert(id, mapping);
        let mut least = m.start;
        while let Some(page) = r.take(|r| if let Record::MemoryPage(p) = r { Some(p) } else { None })? {
            let inside = page.at >= least && page.at < m.end && page.at.is_multiple_of(PAGE_BYTES);
            r.check(inside && m.kind != Kind::Beyond, "a page that the mapping does not have")?;
            least = page.at + PAGE_BYTES;
            let frame = self.frame_of(r, &page)?;
            let index = first + (page.at - m.start) / PAGE_BYTES;
            let old = self.memory.objects.get_mut(object).and_then(|o| o.pages.set(index, frame));
            if let Some(old) = old {
                self.memory.physical.release(old);
            }
        }
        Ok(())
    }

    /// An object that gives by itself what the mapping does: the member's bytes, or zeros; and behind its end what the file has now.
    fn object_of_file(&mut self, r: &Reader<'_>, m: &record::Mapping<'_>) -> Result<u32, Refused> {
        let member = self.files.member(m.inode);
        let (mut content, of_image) = match (member, self.files.inode(m.inode).map(|i| &i.body)) {
            (Some(content), _) => (content, true),
            (None, Ok(Body::File(c))) => (c.snapshot(&mut self.memory.physical), false),
            _ => (Content::default(), false),
        };
        let (from, to) = (m.offset / PAGE_BYTES, (m.offset + (m.end - m.start)) / PAGE_BYTES);
        // Of a made file all pages that are no zeros stand in the snapshot. Of a member that was longer when it was mapped, what follows
        // its last page's bytes in the image must not show.
        let mut zeros = Vec::new();
        let grows = content.size < to * PAGE_BYTES;
        if !of_image {
            content.tree.visit(from, to, &mut |start, n, _| zeros.extend(start..start + n));
        } else if grows && !content.size.is_multiple_of(PAGE_BYTES) {
            zeros.push(content.size / PAGE_BYTES);
        }
        let mut pages = Vec::new();
        for index in zeros {
            let mut bytes = [0; PAGE];
            if of_image {
                content.read_page(&self.memory.physical, index, &mut bytes);
            }
            let frame = self.memory.physical.allocate().ok_or(r.refuse("no page is left for it"))?;
            self.memory.physical.write(frame, 0, &bytes);
            pages.push((index, frame));
        }
        if to > content.size.div_ceil(PAGE_BYTES) {
            content.size = to * PAGE_BYTES;
        }
        let object = self.memory.object(Source::File(content));
        for (index, frame) in pages {
            if let Some(o) = self.memory.objects.get_mut(object) {
                o.pages.set(index, frame);
            }
        }
        Ok(object)
    }

    /// Who waits in vfork runs in its child's space; the charge is its own.
    fn lend_spaces(&mut self, r: &Reader<'_>, found: &Found<'_>) -> Result<(), Refused> {
        // Children are younger: from the youngest on each child has its space already.
        for (parent, child) in found.vforks.iter().rev() {
            let lent = self.processes.get(child).filter(|c| c.borrowed).and_then(|c| c.space);
            let Some(p) = self.processes.get_mut(parent).filter(|p| p.space.is_none()) else { continue };
            p.space = Some(lent.ok_or(r.refuse("a vfork child without memory"))?);
            if let Some(s) = lent.and_then(|id| self.memory.spaces.get_mut(id)) {
                s.users += 1;
            }
        }
        for (serial, charge) in &found.charges {
            let Some(p) = self.processes.get(serial).filter(|p| !p.zombie) else { continue };
            r.check(!p.borrowed || *charge == 0, "a vfork child that is charged")?;
            if let Some(s) = p.space.filter(|_| !p.borrowed).and_then(|s| self.memory.spaces.get_mut(s)) {
                let enough = s.users > 1 || s.map.charged() <= *charge;
                s.charge = *charge;
                r.check(enough, "less charged than is mapped")?;
            }
        }
        Ok(())
    }
}

fn goes_on(before: &record::Mapping<'_>, m: &record::Mapping<'_>) -> bool {
    let of = |mapping: &record::Mapping<'_>| (mapping.rights, mapping.charged, mapping.shared, mapping.inode);
    let place = before.end == m.start && before.offset + (before.end - before.start) == m.offset;
    before.kind == Kind::File && place && of(before) == of(m) && before.path == m.path
}
