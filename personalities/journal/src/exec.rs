//! execve: a new address space is built beside the old one, and takes its place when nothing can fail any more.

use crate::elf::{self, Image};
use crate::errno::*;
use crate::fs::node::Node;
use crate::fs::path::{HERE, Last};
use crate::fs::{REGULAR, TYPE};
use crate::machine::User;
use crate::page::PAGE;
use crate::process::Program;
use crate::regions::Place;
use crate::space::{Backing, Label, Shot, Space, WRITE};
use crate::state::State;
use abi::layout::{Layout, layout};
use abi::turn::{ARGUMENTS_MAX, CHARGE_PAGES, MEMORY_PAGES};
use alloc::rc::Rc;
use alloc::vec::Vec;

/// Most a `#!` line is read of, and how deep they go.
const LINE_MAX: usize = 255;
const LEVELS: u32 = 4;
/// The stack is charged by so many pages when a program begins.
const STACK_PAGES: u64 = 64;

/// What a program is started with.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    /// argv.
    pub argv: Vec<Vec<u8>>,
    /// Environment.
    pub env: Vec<Vec<u8>>,
}

/// A program that can be started.
struct Loaded {
    space: Space,
    entry: u64,
    auxiliary: Vec<(u64, u64)>,
    places: Layout,
}

impl State {
    /// The executable file at `path`.
    fn executable(&mut self, serial: u64, path: &[u8]) -> Result<Program> {
        let walked = self.walk(serial, HERE as u64, path, Last::Follow)?;
        let Node::File(inode) = walked.there()? else { return Err(EACCES) };
        let file = self.files.inode(inode).ok_or(ENOENT)?;
        if file.mode & TYPE != REGULAR || file.mode & 0o111 == 0 {
            return Err(EACCES);
        }
        Ok(Program { inode, name: self.name_of(&walked, Node::File(inode)) })
    }

    /// Starts the program at `path` in place of what `serial` runs. On success registers and space are the new ones.
    pub fn execute(&mut self, serial: u64, path: &[u8], mut a: Arguments) -> Result<()> {
        let mut exe = self.executable(serial, path)?;
        if a.argv.is_empty() {
            a.argv.push(Vec::new());
        }
        let strings = a.argv.iter().chain(&a.env);
        if strings.map(|s| s.len() + 1 + 8).sum::<usize>() > ARGUMENTS_MAX {
            return Err(E2BIG);
        }
        let mut name = path.to_vec();
        let mut level = 0;
        while let Some((interpreter, argument)) = self.script(exe.inode)? {
            level += 1;
            if level > LEVELS {
                return Err(ELOOP);
            }
            let mut argv = alloc::vec![interpreter.clone()];
            argv.extend(argument);
            argv.push(name.clone());
            argv.extend(a.argv.drain(..).skip(1));
            a.argv = argv;
            exe = self.executable(serial, &interpreter)?;
            name = interpreter;
        }
        let mut loaded = self.load(serial, &exe)?;
        let sp = self.fill_stack(serial, &mut loaded, path, &a)?;
        let old = self.process(serial).space;
        let stack = loaded.places.stack_top.saturating_sub(loaded.space.touched) / PAGE;
        let least = loaded.space.charged_pages() + STACK_PAGES.saturating_sub(stack);
        if (self.chunks() + least.div_ceil(CHARGE_PAGES)) * CHARGE_PAGES > MEMORY_PAGES {
            return Err(ENOMEM);
        }
        loaded.space.chunks = least.div_ceil(CHARGE_PAGES);
        self.commit(serial, loaded, sp, path, exe, &a);
        self.drop_space(old);
        Ok(())
    }

    /// `#!` and what follows.
    #[allow(clippy::type_complexity)] // a pair of options, used once
    fn script(&self, inode: u64) -> Result<Option<(Vec<u8>, Option<Vec<u8>>)>> {
        let mut line = [0; LINE_MAX];
        let n = self.files.read(inode, 0, &mut line);
        let Some(rest) = line[..n].strip_prefix(b"#!") else { return Ok(None) };
        let end = rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
        let blank = |b: &u8| *b == b' ' || *b == b'\t';
        let trimmed = |s: &[u8]| -> Vec<u8> {
            let from = s.iter().position(|b| !blank(b)).unwrap_or(s.len());
            let to = s.iter().rposition(|b| !blank(b)).map_or(from, |i| i + 1);
            s[from..to].to_vec()
        };
        let text = trimmed(&rest[..end]);
        let cut = text.iter().position(blank).unwrap_or(text.len());
        let (path, argument) = (text[..cut].to_vec(), trimmed(&text[cut..]));
        if path.is_empty() {
            return Err(ENOEXEC);
        }
        Ok(Some((path, (!argument.is_empty()).then_some(argument))))
    }

    fn parse(&self, inode: u64) -> Result<Image> {
        elf::parse(&|at, out| self.files.read(inode, at, out))
    }

    fn load(&mut self, serial: u64, exe: &Program) -> Result<Loaded> {
        let image = self.parse(exe.inode)?;
        let places = layout(&self.birth.seed, self.execs);
        let mut space = Space::new(self.pool.clone());
        (space.exec, space.mmap_top) = (self.execs, places.mmap_top);
        space.add_stack(places.stack_top);
        let bias = if image.dynamic { places.pie_base.wrapping_sub(image.span().0) } else { 0 };
        self.map_image(&mut space, &image, bias, exe)?;
        let start = image.span().1.wrapping_add(bias) + places.brk_gap;
        space.brk = (start, start);
        let (mut entry, mut base) = (image.entry.wrapping_add(bias), 0);
        if let Some(path) = &image.interpreter {
            let other = self.executable(serial, path)?;
            let linker = self.parse(other.inode)?;
            let (first, last) = linker.span();
            let at = if linker.dynamic { space.place(Place::Hint(0), last - first)? } else { first };
            base = at.wrapping_sub(first);
            self.map_image(&mut space, &linker, base, &other)?;
            entry = linker.entry.wrapping_add(base);
        }
        // include/uapi/linux/auxvec.h
        let auxiliary = alloc::vec![
            (16, 3),
            (6, PAGE),
            (17, 100),
            (3, image.headers.wrapping_add(bias)),
            (4, 56),
            (5, image.header_count),
            (7, base),
            (8, 0),
            (9, image.entry.wrapping_add(bias)),
        ];
        Ok(Loaded { space, entry, auxiliary, places })
    }

    fn map_image(&self, space: &mut Space, image: &Image, bias: u64, file: &Program) -> Result<()> {
        let shot = Rc::new(self.files.shot(file.inode)?);
        let label = Some(Label { inode: file.inode, name: file.name.clone() });
        for s in &image.segments {
            if s.offset.saturating_add(s.file_size) > shot.size {
                return Err(ENOEXEC);
            }
            map_segment(space, s, bias, &shot, &label)?;
        }
        Ok(())
    }

    /// Strings, vectors and auxiliary vector; the new stack pointer.
    fn fill_stack(&self, _serial: u64, l: &mut Loaded, path: &[u8], a: &Arguments) -> Result<u64> {
        let mut at = l.places.stack_top - 8;
        let mut put = |space: &mut Space, bytes: &[u8]| -> Result<u64> {
            at -= bytes.len() as u64;
            space.put(at, bytes)?;
            Ok(at)
        };
        let space = &mut l.space;
        let ended = |s: &[u8]| [s, b"\0"].concat();
        let name = put(space, &ended(path))?;
        let list = |space: &mut Space,
                    put: &mut dyn FnMut(&mut Space, &[u8]) -> Result<u64>,
                    strings: &[Vec<u8>]| {
            let mut at = Vec::new();
            for s in strings.iter().rev() {
                at.push(put(space, &ended(s))?);
            }
            at.reverse();
            Ok(at)
        };
        let env = list(space, &mut put, &a.env)?;
        let argv = list(space, &mut put, &a.argv)?;
        let random = put(space, &l.places.at_random)?;
        let platform = put(space, b"aarch64\0")?;
        let mut words = alloc::vec![argv.len() as u64];
        words.extend(argv);
        words.push(0);
        words.extend(env);
        words.push(0);
        for (key, value) in l.auxiliary.iter().copied().chain([
            (11, 0),
            (12, 0),
            (13, 0),
            (14, 0),
            (23, 0),
            (25, random),
            (26, 0),
            (31, name),
            (15, platform),
            (0, 0),
        ]) {
            words.extend([key, value]);
        }
        let sp = ((platform & !15) - words.len() as u64 * 8) & !15;
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        space.put(sp, &bytes)?;
        Ok(sp)
    }

    fn commit(&mut self, serial: u64, l: Loaded, sp: u64, path: &[u8], exe: Program, a: &Arguments) {
        let number = self.next_space;
        self.next_space += 1;
        self.spaces.insert_mut(number, l.space);
        self.execs += 1;
        self.release_vfork(serial);
        let closing: Vec<u32> =
            self.process(serial).fds.iter().filter(|(_, f)| f.cloexec).map(|(n, _)| *n).collect();
        for fd in closing {
            let _ = self.close_fd(serial, fd);
        }
        let p = self.process_mut(serial);
        p.space = number;
        *p.user = User::new();
        (p.user.sp, p.user.pc) = (sp, l.entry);
        for action in &mut p.signals.actions {
            let handler = if action.handler == crate::signals::IGNORE { crate::signals::IGNORE } else { 0 };
            *action = crate::signals::Action { handler, ..Default::default() };
        }
        p.signals.alternate = (0, 0, 0);
        let last = path.rsplit(|&b| b == b'/').next().unwrap_or(path);
        p.name = last[..last.len().min(15)].to_vec();
        p.exe = exe;
        p.arguments = a.argv.iter().flat_map(|s| s.iter().copied().chain([0])).collect::<Vec<u8>>().into();
        (p.execed, p.unagreed, p.clear_tid, p.robust) = (true, false, 0, 0);
    }
}

fn map_segment(
    space: &mut Space,
    s: &elf::Segment,
    bias: u64,
    shot: &Rc<Shot>,
    label: &Option<Label>,
) -> Result<()> {
    let address = s.address.wrapping_add(bias);
    let start = address & !(PAGE - 1);
    let file_end = address + s.file_size;
    let end = (address + s.memory_size).next_multiple_of(PAGE);
    let middle = if s.file_size == 0 { start } else { file_end.next_multiple_of(PAGE) };
    if middle > start {
        let backing = Backing::File(shot.clone(), s.offset / PAGE);
        space.add(start, middle - start, s.rights, backing, label.clone());
        if s.rights & WRITE != 0 && s.memory_size > s.file_size && file_end < middle {
            space.put_anyway(file_end, &alloc::vec![0; (middle - file_end) as usize])?;
        }
    }
    if end > middle {
        space.add(middle, end - middle, s.rights, Backing::Anonymous, None);
    }
    Ok(())
}
