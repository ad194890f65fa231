//! A kernel begins with a snapshot (`docs/snapshot.md`): each server takes its part, then the threads stand where theirs were taken.

use super::{Again, Kernel, Setup, Thread, Want};
use crate::bytes::u64_at;
use crate::files::Told;
use crate::files::node::NodeId;
use crate::log::Log;
use crate::machine::{Machine, User};
use crate::memory::{Ground, SpaceId};
use crate::pipes::PipeId;
use crate::process::{Processes, RLIMIT_NOFILE};
use crate::snapshot::read::{Document, PrivatePart, ProcessPart, document};
use crate::snapshot::{NUMBERS, Read, Wrong, check};
use crate::terminal::Terminal;
use crate::turns::{Serial, Turns};
use abi::snapshot::{Call, Kind, Mapping, Private, State};
use abi::vote::NO_DEADLINE;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

const NZCV: u32 = 0xf000_0000;
/// x0 to x30, sp, pc.
const REGISTERS: usize = 33 * 8;
const VECTORS: usize = 32 * 16;

fn user(p: &Private<'_>) -> User {
    let mut user = User::new(u64_at(p.registers, 32 * 8), u64_at(p.registers, 31 * 8));
    user.x.iter_mut().enumerate().for_each(|(i, x)| *x = u64_at(p.registers, 8 * i));
    (user.pstate, user.tls) = (p.flags.into(), p.thread_pointer);
    let mut vectors = [0; VECTORS];
    vectors[..p.vectors.len()].copy_from_slice(p.vectors);
    for (i, v) in user.fp.v.iter_mut().enumerate() {
        *v = u128::from(u64_at(&vectors, 16 * i)) | u128::from(u64_at(&vectors, 16 * i + 8)) << 64;
    }
    (user.fp.fpsr, user.fp.fpcr) = (p.fpsr.into(), p.fpcr.into());
    user
}

fn again(call: Option<Call>, child: Option<Serial>) -> Again {
    let Some(c) = call else { return Again::default() };
    Again {
        blocked: true,
        at: c.at,
        done: if child.is_some() { 0 } else { c.done },
        deadline_us: (c.deadline_us != NO_DEADLINE).then_some(c.deadline_us),
        vfork: child.map(|serial| (serial, c.done as u32)),
        ..Again::default()
    }
}

/// The processes' own parts, by serial.
type Privates<'d> = BTreeMap<Serial, &'d PrivatePart<'d>>;

/// The own parts stand as the order says: of those that wait or are stopped, then of the round. By serial.
fn privates<'d>(d: &'d Document<'_>) -> Read<Privates<'d>> {
    let stands = |p: &&ProcessPart<'_>| matches!(p.process.state, State::Waiting | State::Stopped);
    let standing = d.processes.iter().filter(stands).map(|p| p.process.serial);
    let wanted: Vec<Serial> = standing.chain(d.round.iter().copied()).collect();
    let given = d.privates.iter().map(|p| p.private.serial);
    let at = d.privates.first().map_or(0, |p| p.record);
    check(given.eq(wanted.iter().copied()), at, "the processes' own parts are not those of the order")?;
    for part in &d.privates {
        let p = &part.private;
        let good = p.registers.len() == REGISTERS && p.vectors.len() <= VECTORS && p.flags & !NZCV == 0;
        check(good, part.record, "registers that none are")?;
        check(!p.at_call || u64_at(p.registers, 32 * 8) >= 4, part.record, "a call from nowhere")?;
        check(p.random_used < NUMBERS, part.record, "more random bytes than can be")?;
    }
    Ok(d.privates.iter().map(|p| (p.private.serial, p)).collect())
}

/// The inode that a process has mapped by its program's text. Who waits in vfork has its child's mappings.
fn mapped_program(d: &Document<'_>, parts: &Privates<'_>, part: &ProcessPart<'_>) -> Option<NodeId> {
    let mut at = part;
    while let (State::Waiting, Some(child)) = (at.process.state, at.process.vfork) {
        // A child is younger than its parent, so this ends.
        at = d.processes.iter().find(|q| q.process.serial == child)?;
    }
    let mut mappings = parts.get(&at.process.serial)?.mappings.iter().map(|m| &m.mapping);
    let is_of_file = |m: &Mapping<'_>| matches!(m.kind, Kind::File | Kind::Beyond);
    mappings.find(|m| is_of_file(m) && m.path == part.process.program).map(|m| m.inode)
}

/// The round has exactly those whose state says so, and what waits is in the middle of a call.
fn check_states(d: &Document<'_>) -> Read {
    let mut round = d.round.clone();
    round.sort_unstable();
    let in_round = d.processes.iter().filter(|p| p.process.state == State::Round);
    check(round.into_iter().eq(in_round.map(|p| p.process.serial)), 2, "a round of others than say so")?;
    for part in &d.processes {
        let p = &part.process;
        let call = p.call.is_some();
        let good = match p.state {
            State::Waiting => call,
            State::Zombie => !call && p.charge == 0,
            State::Round | State::Stopped => call || p.vfork.is_none(),
        };
        check(good && (call || p.vfork.is_none()), part.record, "a process that waits for nothing")?;
        let below = |n: u64| n < NUMBERS;
        let numbers = p.call.is_none_or(|c| below(c.at) && below(c.done));
        check(numbers, part.record, "a call that cannot be")?;
        check(p.vfork.is_none_or(|c| c > p.serial), part.record, "a child that is older than its parent")?;
    }
    Ok(())
}

impl<M: Machine> Kernel<M> {
    /// Everything as `module` has it, whose first vote says so. The setup's entry is not looked at: the snapshot has its own.
    pub fn resume(machine: M, module: &[u8], image: &'static [u8], stuck_us: u64) -> Read<Kernel<M>> {
        let d = document(module)?;
        let head = d.head;
        let boot =
            crate::log::boot(head.boot).map_err(|_| Wrong { record: 0, what: "no Boot in the head" })?;
        let setup = Setup { entry: head.boot, image, stuck_us };
        let unfit = |_| Wrong { record: 0, what: "no Boot in the head" };
        let mut k = Kernel::empty(machine, &setup).map_err(unfit)?;
        let counters = [head.s, head.calls, head.effects, head.execs, head.base_us];
        let small = counters.iter().all(|n| *n < NUMBERS);
        check(small && boot.time_us <= head.base_us, 0, "counters that none are")?;
        check_states(&d)?;
        k.execs = head.execs;
        k.terminal = Terminal::restore(&d.terminal).map_err(|what| Wrong { record: 1, what })?;
        let times = (boot.time_us, head.base_us);
        k.processes = Processes::restore(&d.processes, (head.last_serial, head.last_pid), times)?;
        k.turns = Turns::restore(boot.time_us, head.base_us, head.s, head.calls, &d.round);
        k.files.set_time(head.base_us);
        k.files.restore_layer(head.next_inode, &d.inodes)?;
        let mut known = k.files.restore_pipes(&d.pipes, &mut k.pipes)?;
        check(k.pipes.count_from(head.next_pipe), 0, "a number for the next pipe that is taken")?;
        let mut told = Told::new();
        let parts = privates(&d)?;
        k.files.restore_handles(&d.open, &known, &mut k.pipes, &mut told)?;
        for part in &d.processes {
            let limit = k.processes.get(part.process.serial).map_or(0, |p| p.limits[RLIMIT_NOFILE].0);
            let mapped = mapped_program(&d, &parts, part);
            k.files.restore_table(part, limit, mapped, &mut told)?;
        }
        check(k.files.is_held(), 0, "something that nobody has")?;
        k.restore_threads(&d, &parts, &mut told)?;
        k.restore_open_ends(&d, &mut known);
        check(k.pipes.are_held(), 0, "a pipe that nobody has")?;
        k.restore_places(&d)?;
        k.speech.begin_at(head.calls, head.effects);
        k.log = Log::behind(head.s, head.calls);
        k.write_again(head.s);
        Ok(k)
    }

    /// Threads with their memory: the youngest first, since who waits in vfork has its child's.
    fn restore_threads(&mut self, d: &Document<'_>, parts: &Privates<'_>, told: &mut Told) -> Read {
        let mut lent: BTreeMap<Serial, SpaceId> = BTreeMap::new();
        let payer = |part: &ProcessPart<'_>| -> u64 {
            let mut at = &part.process;
            // A parent that waits in vfork pays for what its child uses.
            while let Some(parent) = d
                .processes
                .iter()
                .find(|q| q.process.state == State::Waiting && q.process.vfork == Some(at.serial))
            {
                at = &parent.process;
            }
            at.charge
        };
        for part in d.processes.iter().rev().filter(|p| p.process.state != State::Zombie) {
            let p = &part.process;
            let Some(own) = parts.get(&p.serial) else { continue };
            let child = p.vfork.filter(|_| p.state == State::Waiting);
            let what = "a child in vfork that is none";
            let space = match child {
                Some(child) => {
                    check(own.mappings.is_empty(), own.record, "mappings that are a child's")?;
                    lent.remove(&child).ok_or(Wrong { record: part.record, what })?
                }
                None => {
                    let (files, seed, execs) = (&mut self.files, self.seed, self.execs);
                    self.memory.restore(own, payer(part), &mut Ground { files, told, seed, execs })?
                }
            };
            lent.insert(p.serial, space);
            let guest = d
                .processes
                .iter()
                .any(|q| q.process.state == State::Waiting && q.process.vfork == Some(p.serial));
            check(!guest || p.charge == 0, part.record, "a charge of who lives with its parent")?;
            check(
                own.private.at_call || p.call.is_none(),
                own.record,
                "in the middle of a call, and not at one",
            )?;
            let want = if own.private.at_call { Want::Call } else { Want::Run };
            let thread = Thread::new(user(&own.private), space, guest, want, again(p.call, p.vfork));
            self.threads.insert(p.serial, thread);
            if let Ok(process) = self.processes.get_mut(p.serial) {
                process.set_private(&own.private);
            }
        }
        Ok(())
    }

    /// Ends of FIFOs that threads hold in the middle of an open: of the one that their path leads to or, where it leads to none any more, of the
    /// first that nobody else has.
    fn restore_open_ends(&mut self, d: &Document<'_>, known: &mut BTreeMap<(bool, u64), PipeId>) {
        let mut openers: Vec<(Serial, bool, Option<NodeId>, bool)> = Vec::new();
        for part in &d.processes {
            let (me, Some(call)) = (part.process.serial, part.process.call) else { continue };
            openers.extend(self.opened_fifo(me).map(|(reads, node)| (me, reads, node, call.came)));
        }
        openers.sort_by_key(|(_, _, node, _)| node.is_none());
        let mut nameless = None;
        for (me, reads, node, came) in openers {
            if node.is_none() && nameless.is_none() {
                let free = known.iter().find(|((fifo, _), pipe)| *fifo && !self.pipes.is_held(**pipe));
                nameless = free.map(|((_, node), _)| *node);
            }
            let Some(node) = node.or(nameless) else { continue };
            let pipe = *known.entry((true, node)).or_insert_with(|| {
                let pipe = self.pipes.restore(None, Default::default(), &[]);
                self.files.fifo(node).into_iter().for_each(|slot| *slot = Some(pipe));
                pipe
            });
            self.hold_open_end(me, (node, pipe, reads), came);
        }
        self.settle_open_ends();
        self.files.settle_before_writers(&self.pipes);
    }

    /// Who waits stands in the FIFOs in the order in which the calls were made.
    fn restore_places(&mut self, d: &Document<'_>) -> Read {
        let mut calls: Vec<(u64, &ProcessPart<'_>)> =
            d.processes.iter().filter_map(|p| Some((p.process.call?.at, p))).collect();
        calls.sort_by_key(|(at, _)| *at);
        for (_, part) in calls {
            let me = part.process.serial;
            let what = "a call that does not wait";
            let (things, restart) = self.waited(me).ok_or(Wrong { record: part.record, what })?;
            let Some(t) = self.threads.get_mut(&me) else { continue };
            t.again.restart = restart;
            let deadline_us = t.again.deadline_us;
            if part.process.state == State::Waiting {
                self.turns.wait(me, things, deadline_us);
            }
        }
        let stopped = d.processes.iter().filter(|p| p.process.state == State::Stopped);
        stopped.for_each(|p| self.turns.stop(p.process.serial));
        Ok(())
    }
}
