//! execve: from a file to a new address space. Everything is checked and built before the old space goes.

use crate::elf::{self, Header, Program};
use crate::errno::*;
use crate::files::content::Content;
use crate::files::names::Entry;
use crate::files::walk::{AT_FDCWD, Node};
use crate::files::{Body, S_IFMT, S_IFREG};
use crate::hw::{FpState, Hardware, Registers};
use crate::kernel::Kernel;
use crate::memory::map::{Kind as MapKind, LIMIT, Mapping, Rights};
use crate::memory::{object::Source, space::chunks};
use crate::open::Name;
use crate::process::{Action, AltStack, Stand};
use abi::layout::{Layout, MMAP_MIN, PAGE, layout};
use abi::turn::{ARGUMENTS_MAX, MEMORY_PAGES};
use alloc::rc::Rc;
use alloc::vec::Vec;

/// Levels of `#!`.
const SCRIPTS_MAX: usize = 4;
/// The stack counts at least so many pages when it is decided whether a program fits.
const STACK_PAGES_LEAST: u64 = 64;

/// A file that can be executed.
struct Executable {
    inode: u64,
    entry: Rc<Entry>,
    content: Content,
}

/// A script's interpreter and its argument.
type Script = (Vec<u8>, Option<Vec<u8>>);

/// A program read from its headers.
struct Loaded {
    header: Header,
    program: Program,
    bias: u64,
}

/// What execve was asked for.
pub struct Request {
    /// As given.
    pub path: Vec<u8>,
    /// Arguments.
    pub argv: Vec<Vec<u8>>,
    /// Environment.
    pub env: Vec<Vec<u8>>,
}

impl Request {
    /// E2BIG or not.
    pub fn fits(&self) -> bool {
        let all = self.argv.iter().chain(&self.env);
        all.map(|s| s.len() + 1 + 8).sum::<usize>() <= ARGUMENTS_MAX
    }
}

impl<H: Hardware> Kernel<H> {
    /// Whether `path` names what can be executed, before arguments are looked at.
    pub fn check_executable(&self, serial: u64, path: &[u8]) -> Result<u64> {
        let node = self.walk(serial, AT_FDCWD as u64, path, true)?.found()?;
        let inode = match node {
            Node::Inode(i) => i,
            Node::Open(f) => self.open.get(f).ok_or(ENOENT)?.inode,
        };
        let mode = self.stat_node(node)?.mode;
        if mode & S_IFMT != S_IFREG || mode & 0o111 == 0 || self.files.inode(inode).is_err() {
            return Err(EACCES);
        }
        Ok(inode)
    }

    fn executable(&mut self, serial: u64, path: &[u8]) -> Result<Executable> {
        let inode = self.check_executable(serial, path)?;
        let walked = self.walk(serial, AT_FDCWD as u64, path, true)?;
        let entry = match self.name_of(&walked, walked.found()?) {
            Name::Entry(e) => e,
            _ => Rc::default(),
        };
        self.room_for_copies(inode, 2)?;
        let Body::File(c) = &self.files.inode(inode)?.body else { return Err(EACCES) };
        Ok(Executable { inode, entry, content: c.snapshot(&mut self.memory.physical) })
    }

    fn read_headers(&mut self, content: &Content, limit: u64) -> Result<(Header, Program)> {
        let physical = &self.memory.physical;
        let mut first = [0; elf::HEADER];
        if content.size < elf::HEADER as u64 {
            return Err(ENOEXEC);
        }
        content.read(physical, 0, &mut first);
        let header = elf::header(&first).ok_or(ENOEXEC)?;
        let length = header.count * elf::PROGRAM_HEADER;
        if header.table.checked_add(length as u64).is_none_or(|e| e > content.size) {
            return Err(ENOEXEC);
        }
        let mut table = alloc::vec![0; length];
        content.read(physical, header.table, &mut table);
        let program = elf::program(&table, header.count, limit).ok_or(ENOEXEC)?;
        Ok((header, program))
    }

    /// `#!`: the interpreter and the arguments to put before the script's path.
    fn script(&mut self, content: &Content) -> Result<Option<Script>> {
        let mut line = [0; 256];
        content.read(&self.memory.physical, 0, &mut line);
        let length = content.size.min(256) as usize;
        let line = line.get(..length).unwrap_or(&[]);
        let Some(rest) = line.strip_prefix(b"#!") else { return Ok(None) };
        let text = match rest.iter().position(|b| *b == b'\n') {
            Some(n) => rest.get(..n).unwrap_or(&[]),
            None if length < 256 => rest,
            None => return Err(ENOEXEC),
        };
        let blank = |b: &u8| *b == b' ' || *b == b'\t';
        let text = text.trim_ascii_start();
        let name_end = text.iter().position(|b| blank(b) || *b == 0).unwrap_or(text.len());
        let (name, rest) = text.split_at(name_end);
        if name.is_empty() {
            return Err(ENOEXEC);
        }
        let argument = rest.split(|b| *b == 0).next().unwrap_or(&[]).trim_ascii();
        Ok(Some((name.to_vec(), (!argument.is_empty()).then(|| argument.to_vec()))))
    }

    /// Executes; an error leaves everything as it was.
    pub fn exec(&mut self, serial: u64, mut request: Request) -> Result<()> {
        let given = request.path.clone();
        if request.argv.is_empty() {
            request.argv.push(Vec::new());
        }
        let mut file = self.executable(serial, &request.path)?;
        let mut level = 0;
        let result = loop {
            match self.script(&file.content) {
                Ok(None) => break self.load(serial, &file, &given, &request),
                Ok(Some(_)) if level == SCRIPTS_MAX => break Err(ELOOP),
                Err(e) => break Err(e),
                Ok(Some((interpreter, argument))) => {
                    level += 1;
                    let path = core::mem::replace(&mut request.path, interpreter.clone());
                    let mut argv = alloc::vec![interpreter];
                    argv.extend(argument);
                    argv.push(path);
                    argv.extend(request.argv.drain(..).skip(1));
                    request.argv = argv;
                    if !request.fits() {
                        break Err(E2BIG);
                    }
                    let next = self.executable(serial, &request.path);
                    match next {
                        Ok(next) => {
                            core::mem::replace(&mut file, next).content.discard(&mut self.memory.physical)
                        }
                        Err(e) => break Err(e),
                    }
                }
            }
        };
        file.content.discard(&mut self.memory.physical);
        result
    }

    fn load(&mut self, serial: u64, file: &Executable, given: &[u8], request: &Request) -> Result<()> {
        let layout = layout(&self.seed, self.execs);
        let (header, program) = self.read_headers(&file.content, LIMIT)?;
        let bias = if header.dynamic { layout.pie_base } else { 0 };
        if !header.dynamic && program.extent().0 < MMAP_MIN {
            return Err(ENOMEM);
        }
        let interpreter = match program.interpreter {
            Some((offset, length)) => Some(self.interpreter(serial, file, offset, length)?),
            None => None,
        };
        let main = Loaded { header, program, bias };
        let space = self.memory.new_space(self.execs, layout, 0);
        let in_call = core::mem::replace(&mut self.memory.in_call, true);
        let built = self.build(space, file, &main, interpreter.as_ref(), given, request, &layout);
        self.memory.in_call = in_call;
        if let Some((mut f, ..)) = interpreter {
            f.content.discard(&mut self.memory.physical);
        }
        match built {
            Ok(registers) => {
                self.enter(serial, space, registers, file, given, request);
                Ok(())
            }
            Err(e) => {
                self.memory.release_space(space);
                Err(e)
            }
        }
    }

    fn interpreter(
        &mut self,
        serial: u64,
        file: &Executable,
        offset: u64,
        length: u64,
    ) -> Result<(Executable, Header, Program)> {
        if !(2..=4096).contains(&length) {
            return Err(ENOEXEC);
        }
        let mut path = alloc::vec![0; length as usize];
        file.content.read(&self.memory.physical, offset, &mut path);
        if path.pop() != Some(0) {
            return Err(ENOEXEC);
        }
        let mut found = self.executable(serial, &path)?;
        match self.read_headers(&found.content, LIMIT) {
            Ok((h, p)) if h.dynamic => Ok((found, h, p)),
            _ => {
                found.content.discard(&mut self.memory.physical);
                Err(ENOEXEC)
            }
        }
    }

    /// Maps everything, charges it, and writes the stack.
    #[allow(clippy::too_many_arguments)] // the parts of one program
    fn build(
        &mut self,
        space: u32,
        file: &Executable,
        main: &Loaded,
        interpreter: Option<&(Executable, Header, Program)>,
        given: &[u8],
        request: &Request,
        layout: &Layout,
    ) -> Result<Registers> {
        let (_, end) = main.program.extent();
        if end.checked_add(main.bias).is_none_or(|e| e > LIMIT) {
            return Err(ENOMEM);
        }
        let mut tails = self.map_segments(space, file, main)?;
        let mut entry = main.header.entry.wrapping_add(main.bias);
        let mut base = 0;
        if let Some((file, header, program)) = interpreter {
            let (start, end) = program.extent();
            let map = &self.memory.spaces.get(space).ok_or(ENOMEM)?.map;
            base = map.gap(end - start, layout.mmap_top).ok_or(ENOMEM)?.wrapping_sub(start);
            let loaded = Loaded { header: *header, program: program.clone(), bias: base };
            tails.extend(self.map_segments(space, file, &loaded)?);
            entry = header.entry.wrapping_add(base);
        }
        let image = crate::stack::image(main_auxv(main, base), given, request, layout);
        let bottom = image.sp & !(PAGE - 1);
        let stack_pages = (layout.stack_top - bottom) / PAGE;
        let s = self.memory.spaces.get_mut(space).ok_or(ENOMEM)?;
        s.break_start = (end + main.bias).next_multiple_of(PAGE) + layout.brk_gap;
        s.break_at = s.break_start;
        let wanted = chunks(s.map.charged() + stack_pages.max(STACK_PAGES_LEAST));
        if self.memory.charged + wanted > MEMORY_PAGES {
            return Err(ENOMEM);
        }
        self.memory.charged += wanted;
        if let Some(s) = self.memory.spaces.get_mut(space) {
            s.charge = wanted;
        }
        let object = self.memory.object(Source::Zero);
        self.memory.insert(
            space,
            Mapping {
                start: bottom,
                end: layout.stack_top,
                rights: Rights::READ | Rights::WRITE,
                charged: true,
                object,
                offset: bottom / PAGE,
                needs_copy: false,
                kind: MapKind::Stack,
                shared: false,
            },
        );
        self.memory.write(space, image.sp, &image.bytes).map_err(|_| ENOMEM)?;
        for (start, end) in tails {
            self.memory.write(space, start, &alloc::vec![0; (end - start) as usize]).map_err(|_| ENOMEM)?;
        }
        Ok(Registers { sp: image.sp, pc: entry, ..Registers::default() })
    }

    /// Maps the PT_LOADs; the ranges that must be zeroed (between a segment's end in the file and the end of its page).
    fn map_segments(&mut self, space: u32, file: &Executable, loaded: &Loaded) -> Result<Vec<(u64, u64)>> {
        let mut tails = Vec::new();
        let snapshot = file.content.snapshot(&mut self.memory.physical);
        let object = self.memory.object(Source::File(snapshot));
        for s in &loaded.program.segments {
            let address = s.address.wrapping_add(loaded.bias);
            let rights = Rights::from_bits_truncate(s.flags as u8);
            let start = address & !(PAGE - 1);
            let file_end = address + s.file_size;
            let (file_pages, end) =
                (file_end.next_multiple_of(PAGE), (address + s.memory_size).next_multiple_of(PAGE));
            self.memory.unmap(space, start, end);
            let writable = rights.contains(Rights::WRITE);
            let zeros = if s.file_size == 0 { start } else { file_pages };
            if s.file_size > 0 {
                self.memory.share_object(object);
                self.memory.insert(
                    space,
                    Mapping {
                        start,
                        end: file_pages,
                        rights,
                        charged: writable,
                        object,
                        offset: s.offset / PAGE,
                        needs_copy: true,
                        kind: MapKind::File(file.inode, file.entry.clone()),
                        shared: false,
                    },
                );
                if writable && s.memory_size > s.file_size && file_end < file_pages {
                    tails.push((file_end, file_pages));
                }
            }
            if end > zeros {
                let object = self.memory.object(Source::Zero);
                self.memory.insert(
                    space,
                    Mapping {
                        start: zeros,
                        end,
                        rights,
                        charged: writable,
                        object,
                        offset: 0,
                        needs_copy: false,
                        kind: MapKind::Anonymous,
                        shared: false,
                    },
                );
            }
        }
        self.memory.release_object(object);
        Ok(tails)
    }

    /// The point of no return: the process is the new program.
    fn enter(
        &mut self,
        serial: u64,
        space: u32,
        registers: Registers,
        file: &Executable,
        given: &[u8],
        request: &Request,
    ) {
        let serial = self.become_only(serial);
        self.executes(serial, given);
        self.release_vfork(serial);
        let Some(p) = self.process_of_mut(serial) else { return };
        let old = p.space.replace(space);
        p.borrowed = false;
        p.execed = true;
        p.unagreed = false;
        p.exe = (file.inode, file.entry.clone());
        p.cmdline = request.argv.iter().flat_map(|a| a.iter().copied().chain([0])).collect();
        for a in p.actions.iter_mut() {
            *a = Action { handler: if a.handler == 1 { 1 } else { 0 }, ..Action::default() };
        }
        let open = p.descriptors.iter().enumerate();
        let closing: Vec<usize> =
            open.filter(|(_, d)| d.is_some_and(|d| d.cloexec)).map(|(i, _)| i).collect();
        if let Some(old) = old {
            self.memory.release_space(old);
        }
        closing.into_iter().for_each(|fd| self.close_descriptor(serial, fd));
        self.set_fp(serial, FpState::default());
        if let Some(t) = self.threads.get_mut(&serial) {
            let name = given.rsplit(|b| *b == b'/').next().unwrap_or(b"");
            t.comm = name.get(..name.len().min(15)).unwrap_or(b"").to_vec();
            t.registers = registers;
            (t.alt, t.clear_child_tid, t.robust_list) = (AltStack::default(), 0, 0);
            t.stand = Stand::User;
            if let Some(mask) = t.saved_mask.take() {
                t.mask = mask;
            }
        }
    }
}

/// The auxiliary vector's entries that depend on the program: AT_PHDR, AT_PHNUM, AT_BASE, AT_ENTRY.
fn main_auxv(main: &Loaded, base: u64) -> [u64; 4] {
    let table = main.program.table_address(main.header.table);
    let table = if table == 0 { 0 } else { table.wrapping_add(main.bias) };
    [table, main.header.count as u64, base, main.header.entry.wrapping_add(main.bias)]
}
