//! execve: find the file, build the new image beside the old one, then switch. Until the switch nothing has changed.

use crate::elf::{Image, script};
use crate::errno::{E2BIG, EIO, ELOOP, ENOENT, ENOEXEC, ENOMEM, Errno};
use crate::fs::{ExecFile, Fs, Ino};
use crate::kernel::{Kernel, Shared};
use crate::machine::{Machine, PAGE_BYTES, Rights, Trace};
use crate::process::{Process, SpaceId};
use crate::signal::{Action, AltStack, SIG_IGN};
use crate::space::{Area, Budget, FileSource, Kind, MAP_END, MemoryError, Space, UserView};
use crate::stack::{Arguments, build};
use crate::thread::Thread;
use crate::turns::{Key, Serial};
use abi::layout::{Layout, MMAP_MIN, PAGE, layout};
use abi::turn::ARGUMENTS_MAX;
use alloc::vec::Vec;

/// Levels of `#!` that are followed.
const SCRIPTS_MAX: usize = 4;
/// Pages that a new image's stack counts for at least.
const STACK_PAGES_MIN: u64 = 64;
/// AT_FDCWD.
const HERE: i32 = -100;

/// Files as mappings see them.
pub struct Files<'a>(pub &'a Fs);

impl FileSource for Files<'_> {
    fn image_page(&self, ino: Ino, page: u64) -> Option<&'static [u8]> {
        self.0.image_page(ino, page)
    }
    fn read(&self, ino: Ino, offset: u64, out: &mut [u8]) -> usize {
        self.0.read_inode(ino, offset, out)
    }
}

/// What is to be executed.
struct Program {
    file: ExecFile,
    image: Image,
    interpreter: Option<(ExecFile, Image)>,
    argv: Vec<Vec<u8>>,
}

/// A new image, ready to run.
struct Built {
    space: Space,
    entry: u64,
    sp: u64,
}

impl<M: Machine> Kernel<M> {
    /// Process 1, as Boot says.
    pub(crate) fn make_first(&mut self) {
        let fds = self.fs.first_fds();
        self.fs.set_session(1, 1);
        let (path, argv, env) = (self.start.path.clone(), self.start.argv.clone(), self.start.env.clone());
        let Ok(space) = Space::new(&mut self.m, 0, PAGE, MAP_END) else {
            self.m.crash("no memory for process 1")
        };
        let space = self.add_space(space);
        self.procs.insert(1, Process::first(fds, space, self.start.time_us));
        self.threads.insert(1, Thread::first(1, 1));
        self.budget.in_turn = true;
        if let Err(Errno(e)) = self.exec(1, &path, argv, &env) {
            let path = alloc::string::String::from_utf8_lossy(&path).into_owned();
            self.m.crash(&alloc::format!("process 1: exec of {path} fails with errno {e}"));
        }
        self.budget.in_turn = false;
    }

    /// Enters a space into the table.
    pub(crate) fn add_space(&mut self, space: Space) -> SpaceId {
        self.last_space = self.last_space.wrapping_add(1);
        self.spaces.insert(self.last_space, Shared { space, users: 1 });
        self.last_space
    }

    /// Executes `path`. On success the registers are the new program's.
    pub(crate) fn exec(
        &mut self,
        serial: Serial,
        path: &[u8],
        argv: Vec<Vec<u8>>,
        env: &[Vec<u8>],
    ) -> Result<(), Errno> {
        let bytes: usize = argv.iter().chain(env).map(|s| s.len() + 1 + 8).sum();
        if bytes > ARGUMENTS_MAX {
            return Err(E2BIG);
        }
        let mut argv = argv;
        if argv.is_empty() {
            argv.push(Vec::new());
        }
        let program = self.find_program(serial, path, argv)?;
        let places = (self.execs, layout(&self.start.seed, self.execs));
        let arguments = Arguments { path, argv: &program.argv, env };
        let built =
            build_image(&mut self.m, &mut self.budget, &Files(&self.fs), &program, &places, &arguments)?;
        self.execs += 1;
        self.switch_image(serial, path, &program, built);
        Ok(())
    }

    fn find_program(
        &mut self,
        serial: Serial,
        path: &[u8],
        mut argv: Vec<Vec<u8>>,
    ) -> Result<Program, Errno> {
        let mut path = path.to_vec();
        for _ in 0..=SCRIPTS_MAX {
            let file = self.open_exec(serial, &path)?;
            let mut head = [0; 256];
            let n = self.fs.read_inode(file.ino, 0, &mut head);
            let line = head.get(..n).unwrap_or_default();
            if !line.starts_with(b"#!") {
                let image = self.parse(&file)?;
                let interpreter = self.find_interpreter(serial, &file, &image)?;
                return Ok(Program { file, image, interpreter, argv });
            }
            let (interpreter, argument) = script(line).ok_or(ENOEXEC)?;
            let mut new: Vec<Vec<u8>> = alloc::vec![interpreter.to_vec()];
            new.extend(argument.map(<[u8]>::to_vec));
            new.push(path);
            new.extend(argv.drain(..).skip(1));
            argv = new;
            path = interpreter.to_vec();
        }
        Err(ELOOP)
    }

    fn open_exec(&mut self, serial: Serial, path: &[u8]) -> Result<ExecFile, Errno> {
        self.with_files(serial, |fs, caller, _| fs.open_exec(caller, HERE, path)).unwrap_or(Err(ENOENT))
    }

    fn parse(&self, file: &ExecFile) -> Result<Image, Errno> {
        Image::parse(&|offset, out| self.fs.read_inode(file.ino, offset, out))
    }

    fn find_interpreter(
        &mut self,
        serial: Serial,
        file: &ExecFile,
        image: &Image,
    ) -> Result<Option<(ExecFile, Image)>, Errno> {
        let Some((offset, len)) = image.interpreter else { return Ok(None) };
        let mut path = alloc::vec![0; len];
        if self.fs.read_inode(file.ino, offset, &mut path) < len {
            return Err(EIO);
        }
        if path.pop() != Some(0) {
            return Err(ENOEXEC);
        }
        let file = self.open_exec(serial, &path)?;
        let image = self.parse(&file)?;
        if image.relocatable { Ok(Some((file, image))) } else { Err(ENOEXEC) }
    }

    /// The point of no return: the old image goes, the new one is in place.
    fn switch_image(&mut self, serial: Serial, path: &[u8], program: &Program, built: Built) {
        let serial = self.become_only(serial);
        let id = self.add_space(built.space);
        let Some(process) = self.threads.get(&serial).map(|t| t.process) else { return };
        let pid = self.procs.get(&process).map_or(0, |p| p.pid);
        self.m.trace(Trace::Exec { pid, name: path });
        if self.fp_owner == Some(serial) {
            self.fp_owner = None;
        }
        let Some(t) = self.threads.get_mut(&serial) else { return };
        t.registers = crate::machine::Registers { pc: built.entry, sp: built.sp, ..Default::default() };
        *t.fp = Default::default();
        t.altstack = AltStack::default();
        (t.clear_child_tid, t.robust_list) = (0, 0);
        t.name = name_of(path);
        let Some(p) = self.procs.get_mut(&process) else { return };
        let old = core::mem::replace(&mut p.space, id);
        p.exe = program.file.entry.clone().map(|entry| (program.file.ino, entry));
        p.name = name_of(path);
        p.cmdline = program.argv.iter().flat_map(|s| s.iter().copied().chain([0])).collect();
        p.did_exec = true;
        p.vfork_parent = None;
        p.unagreed = false;
        for action in p.actions.iter_mut() {
            let handler = if action.handler == SIG_IGN { SIG_IGN } else { 0 };
            *action = Action { handler, ..Action::default() };
        }
        let mut fds = core::mem::take(&mut p.fds);
        self.turns.wake(Key::Vfork(process));
        self.release_space(old);
        self.fs.exec_fds(&mut fds);
        if let Some(p) = self.procs.get_mut(&process) {
            p.fds = fds;
        }
        self.note_sharers();
    }
}

/// comm: the last component, at most 15 bytes.
fn name_of(path: &[u8]) -> Vec<u8> {
    let last = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
    last.iter().copied().take(15).collect()
}

/// Builds the whole new image in a space of its own; on failure nothing is left of it.
fn build_image<M: Machine>(
    m: &mut M,
    budget: &mut Budget,
    files: &Files<'_>,
    program: &Program,
    (exec, places): &(u64, Layout),
    arguments: &Arguments<'_>,
) -> Result<Built, Errno> {
    let (low, high) = program.image.extent();
    let bias = if program.image.relocatable { places.pie_base } else { 0 };
    if low + bias < MMAP_MIN || high.checked_add(bias).is_none_or(|h| h > places.mmap_top) {
        return Err(ENOEXEC);
    }
    let stack = build(places.stack_top, arguments, &places.at_random, |_| 0).ok_or(E2BIG)?;
    let stack_pages = (places.stack_top - (stack.sp & !(PAGE - 1))) / PAGE;
    let images = [Some(&program.image), program.interpreter.as_ref().map(|(_, image)| image)];
    let data: u64 = images.into_iter().flatten().map(data_pages).sum();
    let mut space = Space::new(m, *exec, places.mmap_top, places.stack_top).map_err(|_| ENOMEM)?;
    let made = budget.raise(0, data + stack_pages.max(STACK_PAGES_MIN)).and_then(|charge| {
        space.charge = charge;
        load(m, &mut space, files, program, places, bias, arguments)
    });
    match made {
        Ok((entry, sp)) => Ok(Built { space, entry, sp }),
        Err(e) => {
            budget.charged -= space.charge;
            space.free(m);
            Err(if let MemoryError::Errno(e) = e { e } else { ENOMEM })
        }
    }
}

/// Pages of an image that count.
fn data_pages(image: &Image) -> u64 {
    let writable = image.segments.iter().filter(|s| s.rights.has(Rights::WRITE));
    writable.map(|s| (s.end.next_multiple_of(PAGE) - s.start) / PAGE).sum()
}

fn load<M: Machine>(
    m: &mut M,
    space: &mut Space,
    files: &Files<'_>,
    program: &Program,
    places: &Layout,
    bias: u64,
    arguments: &Arguments<'_>,
) -> Result<(u64, u64), MemoryError> {
    map_segments(m, space, files, &program.file, &program.image, bias)?;
    let end = program.image.extent().1 + bias;
    space.brk_start = end + places.brk_gap;
    space.brk = space.brk_start;
    let program_entry = program.image.entry.wrapping_add(bias);
    let (mut base, mut entry) = (0, program_entry);
    if let Some((file, image)) = &program.interpreter {
        let (low, high) = image.extent();
        let at = space.place(high - low).ok_or(ENOMEM)?;
        base = at - low;
        entry = image.entry.wrapping_add(base);
        map_segments(m, space, files, file, image, base)?;
    }
    let vector = |kind| match kind {
        AT_PHDR => program.image.phdr.wrapping_add(bias),
        AT_PHNUM => program.image.phnum,
        AT_BASE => base,
        AT_ENTRY => program_entry,
        _ => 0,
    };
    let stack = build(places.stack_top, arguments, &places.at_random, vector).ok_or(E2BIG)?;
    let rights = Rights(Rights::READ.0 | Rights::WRITE.0);
    space.insert(m, Area::new(stack.sp & !(PAGE - 1), places.stack_top, rights, Kind::Stack))?;
    let mut budget = Budget::default();
    UserView { machine: m, space, budget: &mut budget }.copy_in(stack.sp, &stack.bytes);
    Ok((entry, stack.sp))
}

const AT_PHDR: u64 = crate::stack::AT_PHDR;
const AT_PHNUM: u64 = crate::stack::AT_PHNUM;
const AT_BASE: u64 = crate::stack::AT_BASE;
const AT_ENTRY: u64 = crate::stack::AT_ENTRY;

/// Maps the segments of one ELF file.
fn map_segments<M: Machine>(
    m: &mut M,
    space: &mut Space,
    files: &Files<'_>,
    file: &ExecFile,
    image: &Image,
    bias: u64,
) -> Result<(), MemoryError> {
    for s in &image.segments {
        let start = s.start + bias;
        let (file_end, end) = (s.file_end + bias, (s.end + bias).next_multiple_of(PAGE));
        let mut zero_from = start;
        if s.file_end > s.start {
            zero_from = file_end.next_multiple_of(PAGE);
            let kind = Kind::File { ino: file.ino, offset: s.offset, size: file.size };
            let entry = file.entry.clone();
            let mut area = Area { entry, ..Area::new(start, zero_from, s.rights, kind) };
            if let Err(e) = area.load(m, files) {
                area.free(m);
                return Err(e.into());
            }
            space.insert(m, area)?;
            if s.rights.has(Rights::WRITE) && s.end > s.file_end {
                let zeros = [0; PAGE_BYTES];
                let tail = (zero_from - file_end).min(PAGE) as usize;
                let mut budget = Budget::default();
                UserView { machine: m, space, budget: &mut budget }.copy_in(file_end, &zeros[..tail]);
            }
        }
        if end > zero_from {
            space.insert(m, Area::new(zero_from, end, s.rights, Kind::Anonymous))?;
        }
    }
    Ok(())
}
