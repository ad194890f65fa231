//! The calls that a snapshot's threads are in the middle of: what they go on from, and what they wait for. It follows from the call and its
//! arguments, as when it was made.

use super::begin::Found;
use super::open::FIRST;
use super::read::{Reader, Refused};
use crate::calls::arguments;
use crate::files::Body;
use crate::files::walk::Node;
use crate::hw::Hardware;
use crate::kernel::Kernel;
use crate::open::{O_ACCMODE, O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY};
use crate::process::{Continuation, Place};
use crate::turn::Key;
use abi::linux::nr;
use abi::snapshot::Call;
use abi::vote::NO_DEADLINE;
use alloc::vec::Vec;

impl<H: Hardware> Kernel<H> {
    /// In the order in which the calls were made: that is the order of the FIFOs.
    pub(super) fn join_waits(&mut self, r: &Reader<'_>, found: &Found<'_>) -> Result<(), Refused> {
        let mut calls: Vec<(u64, Call)> = found.calls.iter().map(|(serial, call)| (*serial, *call)).collect();
        calls.sort_by_key(|(_, call)| call.at);
        for (serial, call) in calls {
            let next = self.continuation(r, found, serial, &call)?;
            let waits = self.threads.get(&serial).is_some_and(|t| t.place == Place::Waiting);
            let keys = if waits { self.keys_of(r, found, serial, next)? } else { Vec::new() };
            for key in &keys {
                self.turn.queues.entry(*key).or_default().push_back(serial);
            }
            if let Some(t) = self.threads.get_mut(&serial) {
                t.continuation = Some(next);
                t.keys = keys;
                t.deadline = (waits && call.deadline_us != NO_DEADLINE).then_some(call.deadline_us);
            }
        }
        let held = self.pipes.iter().all(|(_, p)| p.is_open() || p.paths > 0);
        r.check(held, "a FIFO that nobody holds")
    }

    fn continuation(
        &mut self,
        r: &Reader<'_>,
        found: &Found<'_>,
        serial: u64,
        call: &Call,
    ) -> Result<Continuation, Refused> {
        let number = self.threads.get(&serial).map_or(u64::MAX, |t| t.registers.x[8]);
        let until = (call.deadline_us != NO_DEADLINE).then_some(call.deadline_us);
        let vfork = number == nr::clone;
        r.check(
            vfork == found.vforks.contains_key(&serial),
            "a vfork that is no clone, or the other way round",
        )?;
        match number {
            nr::write | nr::writev | nr::sendfile => Ok(Continuation::Written(call.done)),
            nr::ppoll | nr::pselect6 => Ok(Continuation::Poll(until)),
            nr::rt_sigsuspend => Ok(Continuation::Suspended),
            nr::futex if call.came => Ok(Continuation::Woken),
            nr::futex => Ok(until.map_or(Continuation::Futex, Continuation::Until)),
            nr::nanosleep | nr::clock_nanosleep => {
                until.map(Continuation::Until).ok_or(r.refuse("a sleep without an end"))
            }
            nr::read | nr::readv => Ok(until.map_or(Continuation::Again, Continuation::Until)),
            nr::clone => {
                let pid = u32::try_from(call.done).map_err(|_| r.refuse("a pid that is none"))?;
                let child = found.vforks.get(&serial).copied().unwrap_or(0);
                Ok(Continuation::Vfork(child, pid))
            }
            nr::openat => self.opening(r, found, serial, call.came),
            nr::wait4 | nr::ioctl => Ok(Continuation::Again),
            _ => Err(r.refuse("a call that never waits")),
        }
    }

    /// A blocked opener is an end of its FIFO already.
    fn opening(
        &mut self,
        r: &Reader<'_>,
        found: &Found<'_>,
        serial: u64,
        came: bool,
    ) -> Result<Continuation, Refused> {
        let Some(inode) = self.fifo_of(serial) else { return Ok(Continuation::Again) };
        let pipe =
            *found.pipes.get(&(true, inode)).ok_or(r.refuse("the FIFO of a blocked open is not there"))?;
        let flags = self.threads.get(&serial).map_or(0, |t| t.registers.x[2]);
        let write = flags & O_ACCMODE == O_WRONLY;
        if let Some(p) = self.pipes.get_mut(pipe) {
            *(if write { &mut p.writers } else { &mut p.readers }) += 1;
        }
        Ok(Continuation::Opening { pipe, seen: FIRST - u64::from(came), write })
    }

    /// The FIFO that the openat of `serial` leads to now.
    fn fifo_of(&mut self, serial: u64) -> Option<u64> {
        let a = arguments(&self.threads.get(&serial)?.registers);
        let path = self.path(serial, a[1]).ok()?;
        let follow = a[2] & O_NOFOLLOW == 0 && a[2] & (O_CREAT | O_EXCL) != O_CREAT | O_EXCL;
        let inode = match self.walk(serial, a[0], &path, follow).ok()?.node? {
            Node::Inode(inode) => inode,
            Node::Open(f) => self.open.get(f)?.inode,
        };
        matches!(self.files.inode(inode).ok()?.body, Body::Fifo(_)).then_some(inode)
    }

    fn keys_of(
        &mut self,
        r: &Reader<'_>,
        found: &Found<'_>,
        serial: u64,
        next: Continuation,
    ) -> Result<Vec<Key>, Refused> {
        let Some(t) = self.threads.get(&serial) else { return Ok(Vec::new()) };
        let (number, a) = (t.registers.x[8], arguments(&t.registers));
        let of_file = |k: &Self, fd, keys: &mut Vec<Key>| {
            if let Some(f) = k.file(serial, fd).ok().and_then(|f| k.open.get(f)) {
                k.keys(f, keys);
            }
        };
        let mut keys = Vec::new();
        match number {
            nr::read | nr::readv => {
                of_file(self, a[0], &mut keys);
                keys.retain(|k| !matches!(k, Key::Writers(_)));
                r.check(!keys.is_empty(), "it waits to read what never lets wait")?;
            }
            nr::write | nr::writev | nr::sendfile => {
                of_file(self, a[0], &mut keys);
                keys.retain(|k| matches!(k, Key::Writers(_)));
                r.check(!keys.is_empty(), "it waits to write what never lets wait")?;
            }
            nr::wait4 => keys.push(Key::Children(serial)),
            nr::futex => {
                let space = self.processes.get(&serial).and_then(|p| p.space);
                keys.extend(space.map(|s| Key::Futex(s, a[0])));
            }
            nr::clone => keys.extend(found.vforks.get(&serial).map(|child| Key::Vfork(*child))),
            nr::openat => {
                if let Continuation::Opening { pipe, .. } = next {
                    keys.push(Key::Openers(pipe));
                }
            }
            nr::ppoll | nr::pselect6 => {
                let fds =
                    self.polled(serial, number, &a).map_err(|_| r.refuse("a list that cannot be read"))?;
                fds.into_iter().for_each(|fd| of_file(self, fd, &mut keys));
            }
            _ => {}
        }
        Ok(keys)
    }
}
