//! The turn rule: a call of the head, a sync point's entry, a skip. Each is one step of the state; what it wakes enters the round at its end.

use crate::calls::Outcome;
use crate::errno::*;
use crate::process::{Place, Thing, Wait, Wanted};
use crate::records::Record;
use crate::signals::{Info, Looked, number::*};
use crate::state::{State, Wake};
use abi::log::Event;
use abi::turn::{CALLS_PER_SYNC, CALLS_PER_TURN, CHARGE_PAGES, MEMORY_PAGES};
use abi::vote::NO_DEADLINE;
use alloc::vec::Vec;

/// si_code of what a terminal or the kernel sends.
pub const SI_KERNEL: i32 = 0x80;

impl State {
    /// The head, if it stands before a call.
    pub fn ready_head(&self) -> Option<u64> {
        let head = *self.round.front()?;
        (self.process(head).wanted != Wanted::Nothing).then_some(head)
    }

    /// The head's call, as one step.
    pub fn turn(&mut self) {
        let Some(head) = self.ready_head() else { return };
        let number = match &self.process(head).wanted {
            Wanted::Call { number, .. } => *number as u16,
            _ => u16::MAX,
        };
        let looked = if self.in_vfork(head) { Looked::Nothing } else { self.look_in_call(head) };
        if looked == Looked::Nothing {
            self.make(head);
        }
        if let Some(p) = self.processes.get_mut(&head) {
            p.calls += 1;
            let result = p.user.x[0];
            self.records.push(Record::Called { call: self.call, serial: head, number, result });
        }
        self.call += 1;
        self.since += 1;
        self.in_turn += 1;
        self.carry_out_wakes();
        self.close_turn(head);
    }

    /// Does what the head stands before.
    fn make(&mut self, head: u64) {
        let outcome = match self.process(head).wanted.clone() {
            Wanted::Call { number, args, .. } => self.perform(head, number, &args),
            Wanted::Fault(fault) => self.raise(head, fault),
            Wanted::Growth(va) => self.grow(head, va),
            Wanted::Nothing => return,
        };
        match outcome {
            Ok(Outcome::Done(value)) => self.done(head, value),
            Err(e) => self.done(head, -i64::from(e.0) as u64),
            Ok(Outcome::Jump) => {
                self.abandon(head);
                self.look(head);
            }
            Ok(Outcome::Gone) => {}
            Ok(Outcome::Again) => self.mark_begun(head),
            Ok(Outcome::Interrupted) => {
                self.mark_begun(head);
                self.look_in_call(head);
            }
            Ok(Outcome::Wait(wait)) => {
                self.mark_begun(head);
                if self.is_interrupted(head) {
                    self.look_in_call(head);
                } else {
                    self.drop_ignored(head);
                    self.block(head, wait);
                }
            }
        }
    }

    pub(crate) fn done(&mut self, head: u64, value: u64) {
        let p = self.process_mut(head);
        p.user.x[0] = value;
        p.wanted = Wanted::Nothing;
        if let Some(mask) = p.signals.saved.take() {
            p.signals.mask = mask;
        }
        self.look(head);
    }

    fn mark_begun(&mut self, head: u64) {
        let at = self.call;
        if let Wanted::Call { progress, .. } = &mut self.process_mut(head).wanted {
            (progress.begun, progress.at) = (true, at);
        }
    }

    fn block(&mut self, head: u64, wait: Wait) {
        self.stand_in_line(head, wait);
        self.round.retain(|s| *s != head);
    }

    /// A thread waits: it stands in the FIFOs of all that it waits for.
    pub fn stand_in_line(&mut self, head: u64, wait: Wait) {
        for thing in &wait.things {
            let mut queue = self.queues.get(thing).cloned().unwrap_or_default();
            queue.push(head);
            self.queues.insert_mut(*thing, queue);
        }
        self.process_mut(head).place = Place::Waiting(wait);
    }

    /// "Wake-ups it causes are carried out at its end, in the order in which it caused them."
    pub fn carry_out_wakes(&mut self) {
        for wake in core::mem::take(&mut self.wakes) {
            match wake {
                Wake::All(thing) => {
                    for serial in self.queues.get(&thing).cloned().unwrap_or_default() {
                        self.rouse(serial);
                    }
                }
                Wake::Thread(serial) => self.rouse(serial),
                Wake::Enter(serial) => self.enter_round(serial),
            }
        }
    }

    /// A waiting thread leaves all its FIFOs and enters the round.
    fn rouse(&mut self, serial: u64) {
        let Some(Place::Waiting(wait)) = self.processes.get(&serial).map(|p| p.place.clone()) else { return };
        self.forget_waits(serial, &wait.things);
        self.enter_round(serial);
    }

    /// Takes a thread out of FIFOs.
    pub fn forget_waits(&mut self, serial: u64, things: &[Thing]) {
        for thing in things {
            let Some(queue) = self.queues.get_mut(thing) else { continue };
            queue.retain(|s| *s != serial);
            if queue.is_empty() {
                self.queues.remove_mut(thing);
            }
        }
    }

    fn enter_round(&mut self, serial: u64) {
        let Some(p) = self.processes.get_mut(&serial) else { return };
        if !p.is_zombie() && !self.round.contains(&serial) {
            p.place = Place::Round;
            self.round.push_back(serial);
        }
    }

    /// "Turns", 3.
    fn close_turn(&mut self, head: u64) {
        if self.round.front() == Some(&head) {
            if self.in_turn < CALLS_PER_TURN {
                return;
            }
            self.round.rotate_left(1);
        }
        self.end_turn();
    }

    fn end_turn(&mut self) {
        self.in_turn = 0;
        self.sync_due = self.since >= CALLS_PER_SYNC || self.round.is_empty();
    }

    /// The log skips the head at this call.
    pub fn skip(&mut self) {
        let Some(head) = self.round.pop_front() else { return };
        let call = self.call;
        self.call += 1;
        self.since += 1;
        self.process_mut(head).place = Place::Outside(call, false);
        self.look_outside(head);
        self.carry_out_wakes();
        self.end_turn();
    }

    /// Takes the entry of sync point `sync`.
    pub fn take_entry(&mut self, time_us: u64, events: &[Event<'_>]) {
        self.base = self.clock().max(time_us);
        self.since = 0;
        for event in events {
            self.event(event);
            self.carry_out_wakes();
        }
        self.timers();
        self.carry_out_wakes();
        let mut due: Vec<(u64, u64)> = self.deadlines().filter(|(d, _)| *d <= self.base).collect();
        due.sort_unstable();
        for (_, serial) in due {
            self.rouse(serial);
        }
        self.sync += 1;
        self.sync_due = self.round.is_empty();
    }

    fn deadlines(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.processes.values().filter_map(|p| match &p.place {
            Place::Waiting(w) if w.deadline != NO_DEADLINE => Some((w.deadline, p.serial)),
            _ => None,
        })
    }

    /// The earliest moment at which something happens by itself.
    pub fn deadline(&self) -> u64 {
        let timers =
            self.processes.values().filter(|p| !p.is_zombie()).map(|p| p.timer.0).filter(|t| *t != 0);
        self.deadlines().map(|(d, _)| d).chain(timers).min().unwrap_or(NO_DEADLINE)
    }

    fn timers(&mut self) {
        let now = self.base;
        let mut due: Vec<(u64, u64)> = self
            .processes
            .values()
            .filter(|p| p.timer.0 != 0 && p.timer.0 <= now && !p.is_zombie())
            .map(|p| (p.timer.0, p.serial))
            .collect();
        due.sort_unstable();
        for (time, serial) in due {
            let timer = &mut self.process_mut(serial).timer;
            timer.0 = match timer.1 {
                0 => 0,
                interval => time.saturating_add(((now - time) / interval + 1).saturating_mul(interval)),
            };
            self.signal(serial, Info { signal: SIGALRM, code: SI_KERNEL, ..Info::default() });
        }
    }

    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::TtyData(bytes) => self.tty_input(bytes, false),
            Event::TtyLine(bytes) => self.tty_input(bytes, true),
            Event::TtySignal(signal) => self.tty_signal(*signal),
            Event::WindowSize { rows, columns } => {
                (self.tty.rows, self.tty.columns) = (*rows, *columns);
                let group = self.tty.foreground;
                self.signal_group(group, Info { signal: SIGWINCH, code: SI_KERNEL, ..Info::default() });
            }
            Event::Rejoin { thread, call } => {
                let is_it =
                    |p: &crate::process::Process| matches!(p.place, Place::Outside(c, _) if c == *call);
                if self.processes.get(thread).is_some_and(is_it) {
                    self.enter_round(*thread);
                }
            }
            Event::Snapshot => self.snapshot_due = true,
        }
    }

    /// Charges a process' space with `chunks` in all; ENOMEM beyond the limit.
    pub fn charge(&mut self, serial: u64, chunks: u64) -> Result<()> {
        let now = self.space(serial).chunks;
        if (self.chunks() - now + chunks) * CHARGE_PAGES > MEMORY_PAGES {
            return Err(ENOMEM);
        }
        self.space(serial).chunks = now.max(chunks);
        Ok(())
    }

    /// The stack grows beyond the charge, or the process gets SIGSEGV.
    fn grow(&mut self, head: u64, va: u64) -> Result<Outcome> {
        let needed = self.space(head).growth(va);
        if let Some(chunks) = needed
            && self.charge(head, chunks).is_err()
        {
            let fault = crate::faults::Fault { signal: SIGSEGV, code: 1, address: va, far: va };
            return self.raise(head, fault);
        }
        self.space(head).touch(va);
        Ok(Outcome::Jump)
    }

    /// A fault raises its signal; blocked or ignored, it kills.
    fn raise(&mut self, head: u64, fault: crate::faults::Fault) -> Result<Outcome> {
        let p = self.process_mut(head);
        let action = p.signals.action(fault.signal).handler;
        let blocked = p.signals.mask & crate::signals::bit(fault.signal) != 0;
        if blocked || action <= crate::signals::IGNORE {
            self.end(head, i32::from(fault.signal));
            return Ok(Outcome::Gone);
        }
        let info =
            Info { signal: fault.signal, code: fault.code, fields: [fault.address, 0], far: fault.far };
        p.signals.forget(crate::signals::bit(fault.signal));
        p.signals.pending |= crate::signals::bit(fault.signal);
        p.signals.infos.push(info);
        Ok(Outcome::Jump)
    }

    /// The end of a process ("Places").
    pub fn end(&mut self, serial: u64, status: i32) {
        self.abandon(serial);
        self.round.retain(|s| *s != serial);
        if let Place::Waiting(wait) = self.process(serial).place.clone() {
            self.forget_waits(serial, &wait.things);
        }
        self.release_vfork(serial);
        let fds: Vec<u32> = self.process(serial).fds.keys().copied().collect();
        for fd in fds {
            let _ = self.close_fd(serial, fd);
        }
        let (pid, session, group) = {
            let p = self.process(serial);
            (p.pid, p.session, p.group)
        };
        self.leave_directory(serial);
        if session == pid && self.tty.session == session {
            self.tty.session = 0;
            self.tty.foreground = 0;
        }
        let space = self.process(serial).space;
        let p = self.process_mut(serial);
        (p.place, p.status, p.space, p.timer, p.search) = (Place::Zombie, status, 0, (0, 0), None);
        self.drop_space(space);
        self.records.push(Record::Ended { serial, pid, status });
        if pid == 1 {
            self.halted = true;
            self.effect(abi::vote::EffectKind::Exit, status.to_le_bytes().to_vec());
            self.records.push(Record::Halted);
            return;
        }
        self.orphan_children(serial);
        self.orphan_group(group, session, self.process(serial).parent);
        self.announce(serial, status);
    }

    fn announce(&mut self, serial: u64, status: i32) {
        let (code, value) = if status & 0x7f == 0 { (1, status >> 8) } else { (2, status & 0x7f) };
        let parent = self.process(serial).parent;
        let unwanted = self.processes.get(&parent).is_some_and(|p| {
            let a = p.signals.action(SIGCHLD);
            a.handler == crate::signals::IGNORE || a.flags & crate::signals::NOCLDWAIT != 0
        });
        self.tell_parent(serial, code, value);
        if unwanted {
            self.processes.remove_mut(&serial);
        }
    }

    /// A vfork parent goes on.
    pub fn release_vfork(&mut self, serial: u64) {
        let p = self.process_mut(serial);
        if core::mem::take(&mut p.vfork) {
            let parent = p.parent;
            self.wake(Thing::Vfork(parent));
        }
    }

    /// A space that nobody uses goes.
    pub fn drop_space(&mut self, space: u64) {
        if space != 0 && !self.processes.values().any(|p| p.space == space) {
            self.spaces.remove_mut(&space);
            self.records.push(Record::Dropped(space));
        }
    }

    /// Children pass to process 1.
    fn orphan_children(&mut self, serial: u64) {
        let children: Vec<u64> =
            self.processes.values().filter(|p| p.parent == serial).map(|p| p.serial).collect();
        for child in children {
            let group = self.process(child).group;
            let session = self.process(child).session;
            self.process_mut(child).parent = 1;
            let death = self.process(child).controls[0] as u8;
            if self.process(child).is_zombie() {
                let status = self.process(child).status;
                self.announce(child, status);
            } else if death != 0 && death <= 64 {
                self.signal(child, Info { signal: death, code: SI_KERNEL, ..Info::default() });
            }
            self.orphan_group(group, session, serial);
        }
    }

    /// A group with stopped members that has become orphaned, since `parent` is no parent of a member any more, gets SIGHUP, then SIGCONT.
    fn orphan_group(&mut self, group: u32, session: u32, parent: u64) {
        let held = self.processes.get(&parent).is_some_and(|p| p.group != group && p.session == session);
        let stopped = self
            .processes
            .values()
            .any(|p| p.group == group && p.session == session && matches!(p.place, Place::Stopped(_)));
        if held && stopped && self.is_orphaned(group) {
            for signal in [SIGHUP, SIGCONT] {
                self.signal_group(group, Info { signal, code: SI_KERNEL, ..Info::default() });
            }
        }
    }

    fn leave_directory(&mut self, serial: u64) {
        if let crate::fs::node::Node::File(inode) = self.process(serial).cwd {
            self.files.release(inode);
        }
    }
}
