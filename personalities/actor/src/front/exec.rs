//! execve(2): scripts, images, and what each server forgets then.

use super::Arguments;
use crate::bytes::u64_at;
use crate::error::{Res, e};
use crate::files::flags::AT_FDCWD;
use crate::files::table::Program;
use crate::kernel::{Again, Flow, Kernel, Out, Thread, Want};
use crate::machine::{Event, Machine, User};
use crate::memory::elf::{self, Elf};
use crate::memory::{Label, Source, Space};
use crate::page::PAGE;
use crate::post::Note;
use crate::turns::{Serial, Thing};
use abi::turn::ARGUMENTS_MAX;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// Nested scripts.
const SCRIPTS_MAX: usize = 4;
/// Bytes of a script that are looked at.
const LINE: usize = 256;
/// Pages that the stack is charged for at least.
const STACK_PAGES: u64 = 64;

/// The interpreter of a script and its argument.
type Interpreter = (Vec<u8>, Option<Vec<u8>>);

/// Reads the first line of a script, as Linux' binfmt_script.
fn script(head: &[u8]) -> Res<Option<Interpreter>> {
    if !head.starts_with(b"#!") {
        return Ok(None);
    }
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let line = match head.iter().position(|b| *b == b'\n') {
        Some(end) => &head[2..end],
        None => {
            let rest = &head[2..head.len().min(LINE - 1)];
            let name = rest.iter().position(|b| !blank(b)).ok_or(e::ENOEXEC)?;
            // A name that nothing ends may be cut off.
            if head.len() >= LINE && !rest[name..].iter().any(|b| blank(b) || *b == 0) {
                return Err(e::ENOEXEC);
            }
            rest
        }
    };
    let start = line.iter().position(|b| !blank(b)).ok_or(e::ENOEXEC)?;
    let end = line.iter().rposition(|b| !blank(b)).map_or(start, |at| at + 1);
    let line = &line[start..end];
    let name_end = line.iter().position(|b| blank(b) || *b == 0).unwrap_or(line.len());
    if name_end == 0 {
        return Err(e::ENOEXEC);
    }
    let argument = match line.get(name_end) {
        Some(b) if blank(b) => {
            let rest = &line[name_end..];
            let from = rest.iter().position(|b| !blank(b)).unwrap_or(rest.len());
            let text = rest[from..].split(|b| *b == 0).next().unwrap_or(&[]);
            (!text.is_empty()).then(|| text.to_vec())
        }
        _ => None,
    };
    Ok(Some((line[..name_end].to_vec(), argument)))
}

/// A program to execute.
struct Plan {
    path: Vec<u8>,
    argv: Vec<Vec<u8>>,
    env: Vec<Vec<u8>>,
}

fn label(file: &Program) -> Rc<Label> {
    Rc::new(Label { name: file.dentry.clone(), dev: 1, inode: file.node })
}

impl Plan {
    fn fits(&self) -> bool {
        let size: usize = self.argv.iter().chain(&self.env).map(|s| s.len() + 1 + 8).sum();
        size <= ARGUMENTS_MAX
    }
}

impl<M: Machine> Kernel<M> {
    /// The strings of a list of pointers.
    fn strings_in(&mut self, me: Serial, at: u64) -> Res<Vec<Vec<u8>>> {
        let mut out: Vec<Vec<u8>> = Vec::new();
        let mut left = ARGUMENTS_MAX;
        if at == 0 {
            return Ok(out);
        }
        let space = self.space_of(me)?;
        loop {
            let slot = at.checked_add(out.len() as u64 * 8).ok_or(e::EFAULT)?;
            let pointer = u64_at(&self.bytes_in(me, slot, 8)?, 0);
            if pointer == 0 {
                return Ok(out);
            }
            let string = self.memory.string(space, pointer, ARGUMENTS_MAX)?.ok_or(e::E2BIG)?;
            left = left.checked_sub(string.len() + 9).ok_or(e::E2BIG)?;
            out.push(string);
        }
    }

    pub(super) fn execve(&mut self, me: Serial, a: Arguments) -> Out {
        let path = self.path_in(me, a.0[0])?;
        let mut argv = self.strings_in(me, a.0[1])?;
        let env = self.strings_in(me, a.0[2])?;
        if argv.is_empty() {
            argv.push(Vec::new());
        }
        let plan = Plan { path, argv, env };
        if !plan.fits() {
            return Err(e::E2BIG);
        }
        let user = self.execute(me, plan)?;
        // The old program's floating-point registers leave the processor with it.
        self.settle_fp();
        self.thread(me)?.user = user;
        Ok(Flow::Registers)
    }

    /// Process 1's program.
    pub(crate) fn first_program(
        &mut self,
        me: Serial,
        path: &[u8],
        argv: &[Vec<u8>],
        env: &[Vec<u8>],
    ) -> Res {
        let start = self.files.base(me, AT_FDCWD, b"/dev/console")?;
        let flags = crate::files::flags::O_RDWR;
        let console = self.files.open(me, start, b"/dev/console", flags, 0)?;
        let target = crate::files::Target::Terminal;
        let opened =
            crate::files::Opened { target, node: console.node, name: console.name, writers_before: None };
        let fd = self.files.install(me, opened, flags)?;
        for to in 1..=2 {
            self.files.duplicate(me, fd, to, false)?;
        }
        let user = self.execute(me, Plan { path: path.to_vec(), argv: argv.to_vec(), env: env.to_vec() })?;
        self.thread(me)?.user = user;
        Ok(())
    }

    /// An executable file and its contents.
    pub(crate) fn executable(&mut self, me: Serial, path: &[u8]) -> Res<(Program, Source)> {
        let start = self.files.base(me, AT_FDCWD, path)?;
        let (node, dentry) = self.files.program_at(me, start, path)?;
        let source = self.files.source(node).ok_or(e::EACCES)?;
        let program = Program { node, dentry: dentry.ok_or(e::EACCES)? };
        if self.files.executable(node) { Ok((program, source)) } else { Err(e::EACCES) }
    }

    /// Replaces a process' program; the registers to start with.
    fn execute(&mut self, me: Serial, mut plan: Plan) -> Res<User> {
        let given = plan.path.clone();
        let mut scripts = 0;
        let (file, source) = loop {
            let (file, source) = self.executable(me, &plan.path)?;
            let mut head = [0; LINE];
            let n = source.read(0, &mut head);
            let Some((interpreter, argument)) = script(&head[..n])? else { break (file, source) };
            scripts += 1;
            if scripts > SCRIPTS_MAX {
                return Err(e::ELOOP);
            }
            let rest = plan.argv.split_off(1.min(plan.argv.len()));
            plan.argv = alloc::vec![interpreter.clone()];
            plan.argv.extend(argument);
            plan.argv.push(core::mem::replace(&mut plan.path, interpreter));
            plan.argv.extend(rest);
            if !plan.fits() {
                return Err(e::E2BIG);
            }
        };
        let program = Elf::parse(source, label(&file))?;
        let interpreter = match &program.interpreter {
            None => None,
            Some(path) => {
                let (file, source) = self.executable(me, path)?;
                Some(Elf::parse(source, label(&file))?)
            }
        };
        let layout = abi::layout::layout(self.seed(), self.execs);
        let arguments = elf::Arguments { path: &given, argv: &plan.argv, env: &plan.env };
        let empty = Space::new(layout, self.execs);
        let image = elf::image(&program, interpreter.as_ref(), empty, &arguments)?;
        let stack = image.space.stack().map_or(0, |(_, start)| (layout.stack_top - start) / PAGE);
        let least = image.space.charged() - stack + stack.max(STACK_PAGES);
        let space = self.memory.admit(image.space, least)?;
        let user = User::new(image.entry, image.sp);
        self.commit(me, space, &user);
        let name = given.rsplit(|b| *b == b'/').next().unwrap_or(&given).to_vec();
        let cmdline = plan.argv.iter().flat_map(|a| [&a[..], b"\0"].concat()).collect();
        self.processes.exec(me, &name, cmdline)?;
        self.files.table_mut(me)?.exe = Some(file);
        for closed in self.files.close_on_exec(me) {
            self.closed(closed);
        }
        self.execs += 1;
        let pid = self.processes.get(me)?.pid;
        self.machine.tell(Event::Executed { pid });
        Ok(user)
    }

    /// The thread moves into its new space.
    fn commit(&mut self, me: Serial, space: u64, user: &User) {
        match self.threads.get_mut(&me) {
            None => {
                let thread = Thread::new(user.clone(), space, false, Want::Run, Again::default());
                self.threads.insert(me, thread);
            }
            Some(t) => {
                let (old, guest) = (core::mem::replace(&mut t.space, space), t.guest);
                t.guest = false;
                if guest {
                    self.post.send(Note::Wake(Thing::Vfork(me)));
                } else {
                    self.memory.release(old);
                }
            }
        }
    }
}
