//! A state made of a snapshot. The bytes may be anybody's: whatever the kernel rests on is looked at first.

use super::parse::{Held, Own, Parsed, parse};
use super::take::{CONTINUED, has_address};
use crate::Map;
use crate::fs::Files;
use crate::fs::node::Node;
use crate::fs::opened::Name;
use crate::fs::restore::{check, refuse};
use crate::page::Pool;
use crate::pipe::Pipe;
use crate::process::{Place, Process, Progress, Wait, Wanted};
use crate::signals::{Action, Info, UNBLOCKABLE, bit};
use crate::state::{Birth, Leads, Open, State};
use crate::tty::{TERMIOS, Tty};
use abi::log::{Boot, Entry};
use abi::snapshot::{News, OpenFile, State as Stand, VERSION};
use abi::turn::*;
use abi::vote::NO_DEADLINE;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// Inode numbers of files lie below (those of /dev begin there).
pub const INODES_END: u64 = crate::fs::device::INODE;
/// Counters and times are below.
const MOST: u64 = 1 << 52;

/// What is wrong with a snapshot, and at which record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its number, from 0; what concerns all is said of 0.
    pub record: u64,
    /// Why.
    pub why: &'static str,
}

/// What a kernel begins with.
pub struct Begun {
    /// The state.
    pub state: State,
    /// The sync point.
    pub s: u64,
    /// Number of the next effect.
    pub effects: u64,
    /// The log's first entry, encoded.
    pub boot: Vec<u8>,
}

/// The state that `module` holds. `image`: first page of the root image and its bytes.
pub fn state_of(module: &[u8], pool: Rc<Pool>, image: (u32, u64)) -> Result<Begun, Refused> {
    let parsed = parse(module)?;
    let head = &parsed.head;
    let Ok(Entry::Boot(boot)) = postcard::from_bytes(head.boot) else {
        return refuse(0, "it holds no Boot");
    };
    check(0, head.version == VERSION && boot.version == abi::log::VERSION, "another version")?;
    let small =
        [head.s, head.calls, head.effects, head.execs, head.last_serial, head.next_pipe, head.base_us];
    check(0, small.iter().all(|n| (1..MOST).contains(n) || *n == 0), "a counter that cannot be")?;
    let time = 1_000_000 <= boot.time_us && boot.time_us <= head.base_us;
    check(0, time && head.last_pid < PID_MAX && head.next_pipe > 0, "a clock or number that cannot be")?;
    let mut state = empty(&parsed, &boot, &pool, image)?;
    state.files.restore(&parsed.files, head.next_inode)?;
    state.restore_terminal(&parsed)?;
    state.restore_pipes(&parsed)?;
    state.restore_opens(&parsed)?;
    for held in &parsed.processes {
        state.restore_process(held)?;
    }
    state.check_processes(&parsed)?;
    let unreferenced = state.opens.values().any(|o| o.references == 0);
    check(0, !unreferenced, "an open file description that no descriptor names")?;
    for own in &parsed.own {
        state.restore_own(own, &parsed)?;
    }
    state.lend_spaces(&parsed)?;
    state.restore_calls(&parsed)?;
    let lost: Vec<u64> = state.files.all().filter(|(_, i)| i.links == 0).map(|(n, _)| n).collect();
    lost.into_iter().for_each(|n| state.files.reap(n));
    Ok(Begun { s: head.s, effects: head.effects, boot: head.boot.to_vec(), state })
}

fn empty(parsed: &Parsed<'_>, boot: &Boot<'_>, pool: &Rc<Pool>, image: (u32, u64)) -> Result<State, Refused> {
    let head = &parsed.head;
    let files = Files::new(pool.clone(), image.0, image.1, boot.time_us as i64 * 1000);
    let Ok(files) = files else {
        return refuse(0, "the root image is no archive");
    };
    let tier = match postcard::from_bytes::<abi::log::Program<'_>>(boot.program) {
        Ok(program) if program.tier <= crate::calls::TIER => program.tier,
        Ok(_) => return refuse(0, "its program asks for more calls than this kernel offers (its tier)"),
        Err(_) => return refuse(0, "its Boot names no program"),
    };
    let (seed, time_us, digest_interval) = (boot.seed, boot.time_us, boot.digest_interval.into());
    Ok(State {
        birth: Birth { seed, time_us, digest_interval, tier },
        processes: Map::new(),
        spaces: Map::new(),
        next_space: 1,
        opens: Map::new(),
        next_open: 1,
        files,
        pipes: Map::new(),
        next_pipe: 1,
        pipe_inodes: head.next_pipe - 1,
        tty: Tty::new(0, 0),
        round: parsed.round.iter().copied().collect(),
        queues: Map::new(),
        call: head.calls,
        since: 0,
        in_turn: 0,
        base: head.base_us,
        sync: head.s + 1,
        sync_due: parsed.round.is_empty(),
        execs: head.execs,
        last_serial: head.last_serial,
        last_pid: head.last_pid,
        wakes: Vec::new(),
        records: Vec::new(),
        snapshot_due: false,
        halted: false,
        pool: pool.clone(),
    })
}

impl State {
    fn restore_terminal(&mut self, parsed: &Parsed<'_>) -> Result<(), Refused> {
        let (t, tty) = (&parsed.terminal, &mut self.tty);
        let modes: Result<[u8; TERMIOS], _> = t.modes.try_into();
        check(1, modes.is_ok() && t.queue.len() <= TTY_INPUT_MAX, "a terminal that cannot be")?;
        tty.modes = modes.unwrap_or(tty.modes);
        (tty.rows, tty.columns, tty.pixels) = (t.rows, t.columns, (t.x_pixels, t.y_pixels));
        (tty.session, tty.foreground) = (t.session, t.foreground);
        tty.bytes = t.queue.iter().copied().collect();
        let (ends, rest) = t.ends.as_chunks::<4>();
        let ends: Vec<usize> = ends.iter().map(|e| u32::from_le_bytes(*e) as usize).collect();
        let right =
            ends.is_sorted() && ends.iter().all(|e| *e <= t.queue.len()) && ends.len() <= 2 * TTY_INPUT_MAX;
        check(1, rest.is_empty() && right, "ends in the terminal's queue that cannot be")?;
        let mut all: Vec<usize> = tty.lines().chain(ends).collect();
        all.sort_unstable();
        tty.ends = VecDeque::from(all);
        Ok(())
    }

    fn restore_pipes(&mut self, parsed: &Parsed<'_>) -> Result<(), Refused> {
        check(0, parsed.pipes.len() <= PIPES_MAX, "more pipes than there can be")?;
        let mut last = (false, 0);
        for (at, p, bytes) in &parsed.pipes {
            let fifo =
                || self.files.inode(p.number).is_some_and(|i| i.mode & crate::fs::TYPE == crate::fs::FIFO);
            let known = if p.fifo { fifo() } else { p.number <= self.pipe_inodes };
            check(*at, (p.fifo, p.number) > last && known, "a pipe that cannot be")?;
            check(*at, bytes.len() <= PIPE_CAPACITY && p.made_us < MOST, "a pipe of more than it holds")?;
            last = (p.fifo, p.number);
            let pipe = Pipe {
                bytes: VecDeque::from(bytes.clone()),
                readers: 0,
                writers: 0,
                readers_seen: 1,
                writers_seen: 1,
                inode: p.number,
                fifo: p.fifo,
                made: p.made_us as i64 * 1000,
                times: [p.made_us as i64 * 1000; 3],
                mode: Pipe::MODE,
                owner: [0; 2],
            };
            self.pipes.insert_mut(self.next_pipe, pipe);
            self.next_pipe += 1;
        }
        Ok(())
    }

    fn restore_opens(&mut self, parsed: &Parsed<'_>) -> Result<(), Refused> {
        check(0, parsed.opens.len() <= OPEN_FILES_MAX, "more open files than there can be")?;
        for (i, (at, o, text)) in parsed.opens.iter().enumerate() {
            let right = o.number as usize == i && o.offset <= i64::MAX as u64 && o.path.len() <= 8192;
            check(*at, right && (o.kind == 6 || text.is_empty()), "an open file that cannot be")?;
            let Some((leads, node)) = self.lead_to(o, text) else {
                return refuse(*at, "an open file that leads nowhere");
            };
            let mut hangup_after = 0;
            if let Leads::Pipe(n, read, write) = leads
                && let Some(p) = self.pipes.get_mut(&n)
            {
                (p.readers, p.writers) = (p.readers + u32::from(read), p.writers + u32::from(write));
                hangup_after = if o.before_writers { p.writers_seen + 1 } else { 0 };
            }
            let name = match node {
                Node::File(inode) => self.files.name_again(Some(inode), o.path),
                _ => Name::fixed(o.path),
            };
            let open =
                Open { leads, node, flags: o.flags, offset: o.offset, references: 0, name, hangup_after };
            check(*at, self.add_open(open).is_ok(), "more open files than there can be")?;
        }
        Ok(())
    }

    fn lead_to(&self, o: &OpenFile<'_>, text: &[u8]) -> Option<(Leads, Node)> {
        if o.kind == 2 || o.kind == 3 {
            let fifo = !o.path.starts_with(b"pipe:[");
            let number = self.pipes.iter().find(|(_, p)| (p.fifo, p.inode) == (fifo, o.inode))?.0;
            let access = o.flags & 3;
            let (read, write) = (access != 1, access != 0);
            (access < 3 && (o.kind == 2) == (access == 0)).then_some(())?;
            return Some((Leads::Pipe(*number, read, write), self.pipe_node(*number)));
        }
        let node = Node::of_inode(o.inode)?;
        let there = |n: u64| self.files.inode(n);
        let kind = match node {
            Node::File(n) => there(n)?.mode & crate::fs::TYPE,
            _ => 0,
        };
        let leads = match (o.kind, node) {
            (0, _) if o.flags & 0o10000000 != 0 => Leads::Path,
            (0, Node::File(n)) if kind == crate::fs::REGULAR => Leads::File(n),
            (1, Node::File(_)) if kind == crate::fs::DIRECTORY => Leads::Directory(node),
            (1, Node::Device(None) | Node::Proc(_)) => Leads::Directory(node),
            (4, Node::Device(Some(_))) => Leads::Terminal,
            (4, Node::File(_)) if kind == crate::fs::CHARACTER => Leads::Terminal,
            (5, Node::Device(Some(i))) => Leads::Device(i),
            (5, Node::File(n)) if kind == crate::fs::CHARACTER => {
                Leads::Device(crate::fs::device::find(there(n)?.rdev)?)
            }
            (6, Node::Proc(_)) => Leads::Text(Rc::from(text)),
            _ => return None,
        };
        Some((leads, node))
    }

    fn restore_process(&mut self, held: &Held<'_>) -> Result<(), Refused> {
        let (at, r) = (held.at, &held.process);
        let greatest = self.processes.last().map_or(0, |(s, _)| *s);
        check(at, r.serial > greatest && r.serial <= self.last_serial, "a serial out of order")?;
        let pid = r.pid > 0 && r.pid < PID_MAX && self.by_pid(r.pid).is_none();
        check(at, pid && self.processes.size() < PROCESSES_MAX, "a pid that cannot be")?;
        let times = (self.birth.time_us..=self.base).contains(&r.started_us);
        let small =
            r.calls < MOST && r.children_calls < MOST && r.name.len() <= 15 && r.program.len() <= 8192;
        let few = r.umask <= 0o777 && (-20..20).contains(&r.nice) && r.death_signal <= 64 && r.dumpable <= 1;
        check(at, times && small && few, "a process that cannot be")?;
        check(at, r.timer_us > self.base, "a timer that was due before")?;
        let mut p = crate::kernel::first_process(r.started_us);
        (p.serial, p.pid, p.group, p.session) = (r.serial, r.pid, r.group, r.session);
        (p.name, p.arguments) = (r.name.to_vec(), Rc::from(&held.arguments[..]));
        p.exe = self.program_again(r.program, &[]);
        (p.umask, p.nice, p.execed) = (r.umask, r.nice, r.has_execed);
        p.controls = [r.death_signal.into(), r.dumpable.into(), r.no_new_privileges.into()];
        (p.calls, p.child_calls) = (r.calls, r.children_calls);
        p.timer = if r.timer_us == NO_DEADLINE { (0, 0) } else { (r.timer_us, r.interval_us) };
        p.place = match r.state {
            Stand::Round => Place::Round,
            Stand::Waiting => Place::Waiting(Wait { things: Vec::new(), deadline: NO_DEADLINE }),
            Stand::Stopped => Place::Stopped((r.status >> 8) as u8),
            Stand::Zombie => Place::Zombie,
        };
        p.news = match r.news {
            News::None => None,
            News::Stopped => Some(r.status as i32),
            News::Continued => Some(CONTINUED),
        };
        p.status = if p.is_zombie() { r.status as i32 } else { 0 };
        self.restore_signals(held, &mut p)?;
        for l in &held.limits {
            check(at, l.resource < 16 && l.soft <= l.hard, "a limit that cannot be")?;
            p.limits.insert_mut(l.resource.into(), (l.soft, l.hard));
        }
        let serial = p.serial;
        let zombie = p.is_zombie();
        check(at, !zombie || held.descriptors.is_empty(), "a zombie with descriptors")?;
        if !zombie {
            let dir =
                Node::of_inode(r.directory).filter(|n| matches!(n, Node::Proc(_)) || self.is_directory(*n));
            let Some(dir) = dir else { return refuse(at, "a working directory that is none") };
            if let Node::File(inode) = dir {
                self.files.hold(inode);
            }
            (p.cwd, p.cwd_name) = (dir, self.name_of_node(dir));
        }
        self.processes.insert_mut(serial, p);
        for d in &held.descriptors {
            let free = self.process(serial).fds.get(&d.number).is_none() && (d.number as usize) < FDS_MAX;
            let open = u64::from(d.file) + 1;
            check(
                at,
                free && d.flags <= 1 && self.opens.get(&open).is_some(),
                "a descriptor that cannot be",
            )?;
            self.set_fd(serial, d.number, open, d.flags != 0);
        }
        Ok(())
    }

    fn restore_signals(&self, held: &Held<'_>, p: &mut Process) -> Result<(), Refused> {
        for a in &held.actions {
            let slot = p.signals.actions.get_mut(usize::from(a.signal).wrapping_sub(1));
            let Some(slot) = slot else { return refuse(held.at, "an action on no signal") };
            check(held.at, bit(a.signal) & UNBLOCKABLE == 0, "an action on SIGKILL or SIGSTOP")?;
            *slot = Action {
                handler: a.handler,
                flags: a.flags,
                restorer: a.restorer,
                mask: a.mask & !UNBLOCKABLE,
            };
        }
        for i in &held.pending {
            let right = (1..=64).contains(&i.signal) && p.signals.pending & bit(i.signal) == 0;
            check(held.at, right, "a pending signal that cannot be")?;
            p.signals.pending |= bit(i.signal);
            let (fields, far) = match has_address(i.signal, i.code) {
                true => ([i.address, 0], if matches!(i.signal, 7 | 11) { i.address } else { 0 }),
                false => ([i.pid.into(), i.status as u32 as u64], 0),
            };
            p.signals.infos.push(Info { signal: i.signal, code: i.code, fields, far });
        }
        p.signals.mask = held.process.mask & !UNBLOCKABLE;
        p.signals.saved = held.process.saved_mask.map(|m| m & !UNBLOCKABLE);
        Ok(())
    }

    /// The tree of processes, the round, and that each has its own part, in order.
    fn check_processes(&mut self, parsed: &Parsed<'_>) -> Result<(), Refused> {
        let first = self.by_pid(1).is_some_and(|p| p.serial == 1 && !p.is_zombie());
        check(2, first, "there is no process 1")?;
        for held in &parsed.processes {
            let r = &held.process;
            let parent =
                self.by_pid(r.parent).filter(|p| !p.is_zombie() && p.serial != r.serial).map(|p| p.serial);
            check(held.at, parent.is_some() != (r.pid == 1), "a parent that is none")?;
            self.process_mut(r.serial).parent = parent.unwrap_or(0);
        }
        let mut order = self.standing_still();
        order.extend(&self.round);
        let in_round = |s: &u64| self.processes.get(s).is_some_and(|p| p.place == Place::Round);
        let mut round: Vec<u64> = self.round.iter().copied().collect();
        round.sort_unstable();
        round.dedup();
        let all = self.processes.values().filter(|p| p.place == Place::Round).count();
        let whole = round.len() == self.round.len() && round.iter().all(in_round) && all == round.len();
        check(2, whole, "a round of others than those that are in it")?;
        let own: Vec<u64> = parsed.own.iter().map(|o| o.private.serial).collect();
        check(0, own == order, "own parts of others than those that there are, or out of order")
    }

    /// The thread in the middle of its call: what it waits for, and in which order.
    fn restore_calls(&mut self, parsed: &Parsed<'_>) -> Result<(), Refused> {
        let mut waiting = Vec::new();
        for held in &parsed.processes {
            let (at, r) = (held.at, &held.process);
            let Some(call) = r.call else {
                check(at, r.state != Stand::Waiting && r.vfork.is_none(), "a thread that waits in no call")?;
                continue;
            };
            let Wanted::Call { number, args, .. } = self.process(r.serial).wanted.clone() else {
                return refuse(at, "a call of a thread that stands before none");
            };
            check(at, call.at < self.call && r.state != Stand::Zombie, "a call that was never made")?;
            let mut progress = Progress { begun: true, at: call.at, ..Progress::default() };
            progress.deadline = (call.deadline_us != NO_DEADLINE).then_some(call.deadline_us);
            let vfork = number == abi::linux::nr::clone;
            check(at, vfork == r.vfork.is_some(), "a vfork that is none")?;
            match r.vfork {
                Some(child) => progress.child = Some((child, call.done as u32)),
                None => progress.done = call.done,
            }
            if number == abi::linux::nr::openat {
                progress.opening = self.hold_fifo(r.serial, &args, call.came);
                check(at, progress.opening.is_some(), "an open that waits for no FIFO")?;
            }
            self.process_mut(r.serial).wanted = Wanted::Call { number, args, progress };
            if r.state == Stand::Waiting {
                let Some(things) = self.waited_for(r.serial, number, &args) else {
                    return refuse(at, "a thread waits in a call that does not wait");
                };
                waiting.push((call.at, r.serial, Wait { things, deadline: call.deadline_us }));
            }
        }
        waiting.sort_by_key(|w| (w.0, w.1));
        for (_, serial, wait) in waiting {
            self.stand_in_line(serial, wait);
        }
        Ok(())
    }

    fn restore_own(&mut self, own: &Own<'_>, parsed: &Parsed<'_>) -> Result<(), Refused> {
        let held = parsed.processes.iter().find(|h| h.process.serial == own.private.serial);
        let Some(held) = held else { return refuse(own.at, "an own part of nobody") };
        self.restore_registers(own)?;
        let lent = held.process.state == Stand::Waiting && held.process.vfork.is_some();
        check(own.at, !lent || own.mappings.is_empty(), "mappings of a thread that waits in vfork")?;
        if lent { Ok(()) } else { self.restore_space(own, held) }
    }
}
