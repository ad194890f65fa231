//! openat(2): what the file server found is opened at the server whose it is.

use super::Arguments;
use crate::error::{Res, e};
use crate::files::flags::*;
use crate::files::node::{NodeId, Stamp};
use crate::files::{Dentry, Device, Opened, Target, What};
use crate::kernel::{Flow, Kernel, OpenEnd, Out};
use crate::machine::Machine;
use crate::turns::{Serial, Thing};
use alloc::rc::Rc;

/// What an opening comes to.
enum Ready {
    Opened(Opened),
    Wait(Flow),
}

impl<M: Machine> Kernel<M> {
    pub(super) fn openat(&mut self, me: Serial, a: Arguments) -> Out {
        let given = a.uint(2);
        if given & (O_CREAT | O_DIRECTORY) == O_CREAT | O_DIRECTORY && given & O_PATH == 0 {
            return Err(e::EINVAL);
        }
        // A file without a name is asked for with a directory, to be written.
        if given & O_TMPFILE != 0 && given & O_PATH == 0 {
            let asks = given & O_DIRECTORY != 0 && given & O_ACCMODE != 0;
            return Err(if asks { e::EOPNOTSUPP } else { e::EINVAL });
        }
        let flags = match given & O_PATH {
            0 => given | O_LARGEFILE,
            _ => given & (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
        };
        let path = self.path_in(me, a.0[1])?;
        self.files.free_fd(me, 0)?;
        self.files.room_for_handles(1)?;
        let held = self.thread(me)?.again.open_end.take();
        let out = self.open_at(me, a.int(0), &path, flags, a.uint(3), held);
        if out.is_err()
            && let Some(end) = held
        {
            self.drop_open_end(end);
        }
        out
    }

    fn open_at(
        &mut self,
        me: Serial,
        at: i32,
        path: &[u8],
        flags: u32,
        mode: u32,
        held: Option<OpenEnd>,
    ) -> Out {
        let start = self.files.base(me, at, path)?;
        let found = self.files.open(me, start, path, flags, mode)?;
        let (node, name) = (found.node, found.name);
        let plain = |target| Ready::Opened(Opened { target, node, name: name.clone(), writers_before: None });
        // An end that is held for another FIFO than the one found now is of no use any more.
        let held = match held {
            Some(end) if end.node != node || !matches!(found.what, What::Fifo) => {
                self.drop_open_end(end);
                None
            }
            other => other,
        };
        let ready = match found.what {
            What::Place => plain(Target::Place),
            What::File => plain(Target::File),
            What::Directory => plain(Target::Directory),
            What::Text(text) => plain(Target::Text(Rc::new(self.proc_text(text)?))),
            What::Device(Device::Tty | Device::Console | Device::SerialLine) => {
                self.open_terminal(me, &found.what, flags)?;
                plain(Target::Terminal)
            }
            What::Device(device) => plain(Target::Device(device)),
            What::Pipe(pipe) => {
                let (reads, writes) = ends(flags);
                self.pipes.open(pipe, reads, writes, &mut self.post);
                plain(Target::Pipe { pipe, reads, writes })
            }
            What::Fifo => self.open_fifo(me, node, name.clone(), flags, held)?,
        };
        match ready {
            Ready::Wait(flow) => Ok(flow),
            Ready::Opened(opened) => self.files.install(me, opened, flags).map(|fd| Flow::Done(fd.into())),
        }
    }

    fn open_terminal(&mut self, me: Serial, what: &What, flags: u32) -> Res {
        let p = self.processes.get(me)?;
        let (leads, mine) = (p.pid == p.sid, self.terminal.session == Some(p.sid));
        match what {
            What::Device(Device::Tty) if !mine => Err(e::ENXIO),
            What::Device(Device::SerialLine)
                if leads && self.terminal.session.is_none() && flags & O_NOCTTY == 0 && ends(flags).0 =>
            {
                self.take_terminal(me)
            }
            _ => Ok(()),
        }
    }

    fn open_fifo(
        &mut self,
        me: Serial,
        node: NodeId,
        name: Option<Rc<Dentry>>,
        flags: u32,
        held: Option<OpenEnd>,
    ) -> Res<Ready> {
        let (reads, writes) = ends(flags);
        let now = Stamp::from_us(self.now_us());
        let known = self.files.fifo(node).and_then(|pipe| *pipe);
        let opened = |pipe, writers_before| {
            let target = Target::Pipe { pipe, reads, writes };
            Ready::Opened(Opened { target, node, name: name.clone(), writers_before })
        };
        if let Some(end) = held {
            let (seen, there) = self.pipes.others(end.pipe, end.reads);
            if there || seen != end.others_seen {
                return Ok(opened(end.pipe, None));
            }
            return Ok(self.wait_for_other_end(me, end));
        }
        let nonblocking = flags & O_NONBLOCK != 0;
        if nonblocking && writes && !reads && !known.is_some_and(|p| self.pipes.others(p, false).1) {
            return Err(e::ENXIO);
        }
        if !reads && !writes {
            return Err(e::EINVAL);
        }
        let pipe = match known {
            Some(pipe) => pipe,
            None => self.pipes.make(true, now)?,
        };
        if let Some(slot) = self.files.fifo(node) {
            *slot = Some(pipe);
        }
        self.pipes.open(pipe, reads, writes, &mut self.post);
        let (others_seen, there) = self.pipes.others(pipe, reads);
        if reads && writes || there {
            return Ok(opened(pipe, None));
        }
        if nonblocking {
            return Ok(opened(pipe, Some(others_seen)));
        }
        Ok(self.wait_for_other_end(me, OpenEnd { pipe, node, reads, others_seen }))
    }

    fn wait_for_other_end(&mut self, me: Serial, end: OpenEnd) -> Ready {
        if let Some(t) = self.threads.get_mut(&me) {
            t.again.open_end = Some(end);
        }
        Ready::Wait(super::input::block(Thing::Open(end.pipe)))
    }
}

/// Whether flags open for reading and for writing.
pub fn ends(flags: u32) -> (bool, bool) {
    match flags & O_ACCMODE {
        0 => (true, false),
        O_WRONLY => (false, true),
        O_RDWR => (true, true),
        _ => (false, false),
    }
}
