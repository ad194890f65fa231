//! What a waiting thread waits for, from its call and its arguments alone.

use crate::fs::node::Node;
use crate::fs::path::Last;
use crate::process::{Opening, Thing};
use crate::state::{Leads, State};
use abi::linux::nr;
use abi::turn::FDS_MAX;
use alloc::vec::Vec;

const ACCESS: u32 = 3;

impl State {
    fn waits_on(&self, serial: u64, fd: u64) -> Vec<Thing> {
        match self.open_of(serial, fd & 0xffff_ffff).map(|(_, o)| &o.leads) {
            Ok(Leads::Pipe(n, read, write)) => {
                let one = |is: bool, thing| is.then_some(thing);
                let both = [one(*read, Thing::PipeReaders(*n)), one(*write, Thing::PipeWriters(*n))];
                both.into_iter().flatten().collect()
            }
            Ok(Leads::Terminal) => alloc::vec![Thing::Terminal],
            _ => Vec::new(),
        }
    }

    fn polled(&mut self, serial: u64, list: u64, count: u64) -> Option<Vec<u64>> {
        let mut bytes = alloc::vec![0; (count & 0xffff_ffff).min(FDS_MAX as u64) as usize * 8];
        self.space(serial).get(list, &mut bytes).ok()?;
        let fd = |row: &[u8; 8]| i32::from_le_bytes([row[0], row[1], row[2], row[3]]);
        Some(bytes.as_chunks::<8>().0.iter().map(fd).filter(|fd| *fd >= 0).map(|fd| fd as u64).collect())
    }

    fn selected(&mut self, serial: u64, args: &[u64; 6]) -> Option<Vec<u64>> {
        let count = (args[0] as usize & 0x7fff_ffff).min(FDS_MAX);
        let mut any = alloc::vec![0u8; count.div_ceil(64) * 8];
        for at in args[1..4].iter().filter(|at| **at != 0) {
            let mut set = alloc::vec![0u8; any.len()];
            self.space(serial).get(*at, &mut set).ok()?;
            any.iter_mut().zip(set).for_each(|(a, b)| *a |= b);
        }
        let is_in = |fd: &usize| any.get(fd / 8).is_some_and(|byte| byte >> (fd % 8) & 1 != 0);
        Some((0..count).filter(is_in).map(|fd| fd as u64).collect())
    }

    /// The FIFO that a blocked open waits for.
    fn fifo_of(&mut self, serial: u64, args: &[u64; 6]) -> Option<u64> {
        let path = self.path_argument(serial, args[1]).ok()?;
        let keep = args[2] as u32 & 0o100000 != 0;
        let walked = self.walk(serial, args[0], &path, if keep { Last::Keep } else { Last::Follow }).ok()?;
        match walked.node {
            Some(Node::File(inode)) => Some(inode),
            _ => None,
        }
    }

    /// What a thread that waits in this call waits for, in order; `None`: it waits in none such.
    pub fn waited_for(&mut self, serial: u64, number: u64, args: &[u64; 6]) -> Option<Vec<Thing>> {
        let only = |things: Vec<Thing>, wanted: fn(&Thing) -> bool| {
            let chosen: Vec<Thing> = things.into_iter().filter(wanted).collect();
            (!chosen.is_empty()).then_some(chosen)
        };
        let reads = |t: &Thing| matches!(t, Thing::PipeReaders(_) | Thing::Terminal);
        match number {
            nr::read | nr::readv => only(self.waits_on(serial, args[0]), reads),
            nr::write | nr::writev | nr::sendfile => {
                only(self.waits_on(serial, args[0]), |t| matches!(t, Thing::PipeWriters(_)))
            }
            nr::openat => self.fifo_of(serial, args).map(|inode| alloc::vec![Thing::Opening(inode)]),
            nr::wait4 => Some(alloc::vec![Thing::Children(serial)]),
            nr::clone => Some(alloc::vec![Thing::Vfork(serial)]),
            nr::futex => Some(alloc::vec![Thing::Futex(args[0])]),
            nr::nanosleep | nr::clock_nanosleep | nr::rt_sigsuspend => Some(Vec::new()),
            nr::ppoll | nr::pselect6 => {
                let fds = if number == nr::ppoll {
                    self.polled(serial, args[0], args[1])?
                } else {
                    self.selected(serial, args)?
                };
                let mut things = Vec::new();
                for thing in fds.into_iter().flat_map(|fd| self.waits_on(serial, fd)) {
                    if !things.contains(&thing) {
                        things.push(thing);
                    }
                }
                Some(things)
            }
            _ => None,
        }
    }

    /// A thread in the middle of opening a FIFO holds an end of it; `came`: the other end has come. `None`: it opens no FIFO that is there.
    pub fn hold_fifo(&mut self, serial: u64, args: &[u64; 6], came: bool) -> Option<Opening> {
        let inode = self.fifo_of(serial, args)?;
        let number = self.pipe_of_fifo(inode)?;
        let read = args[2] as u32 & ACCESS == 0;
        let pipe = self.pipes.get_mut(&number)?;
        let seen = if read { pipe.writers_seen } else { pipe.readers_seen };
        (pipe.readers, pipe.writers) = (pipe.readers + u32::from(read), pipe.writers + u32::from(!read));
        Some(Opening { pipe: number, read, seen: seen.wrapping_sub(u64::from(came)) })
    }
}
