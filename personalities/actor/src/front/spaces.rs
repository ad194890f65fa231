//! Calls about memory.

use super::Arguments;
use crate::error::{Res, e};
use crate::files::{Dentry, Target};
use crate::kernel::{DONE, Flow, Kernel, Out};
use crate::machine::Machine;
use crate::memory::{Growth, Label, MapFile, MapRequest, Refusal, Remap};
use crate::page::PAGE;
use crate::turns::Serial;
use abi::linux::nr;
use alloc::rc::Rc;

const MAP_ANONYMOUS: u64 = 0x20;

fn flow(result: Result<u64, Refusal>) -> Out {
    match result {
        Ok(value) => Ok(Flow::Done(value)),
        Err(Refusal::Errno(errno)) => Err(errno),
        Err(Refusal::Turn) => Ok(Flow::NeedsTurn),
    }
}

impl<M: Machine> Kernel<M> {
    pub(super) fn memory_call(
        &mut self,
        me: Serial,
        number: u64,
        a: Arguments,
        growth: Growth,
    ) -> Option<Out> {
        let space = self.space_of(me).ok()?;
        let m = &mut self.memory;
        Some(match number {
            nr::brk => flow(m.brk(space, a.0[0], growth)),
            nr::mmap => self.mmap(me, space, a, growth),
            nr::munmap => m.munmap(space, a.0[0], a.0[1]).map(|()| Flow::Done(0)),
            nr::mprotect => flow(m.mprotect(space, a.0[0], a.0[1], a.0[2], growth).map(|()| 0)),
            nr::mremap => {
                let [at, old, new, flags, to, _] = a.0;
                flow(m.mremap(space, &Remap { at, old, new, flags, to }, growth))
            }
            nr::madvise => m.madvise(space, a.0[0], a.0[1], a.uint(2)).map(|()| Flow::Done(0)),
            nr::msync | nr::mlock | nr::munlock | nr::mlockall | nr::munlockall => DONE,
            _ => return None,
        })
    }

    fn mmap(&mut self, me: Serial, space: u64, a: Arguments, growth: Growth) -> Out {
        let [address, length, prot, flags, _, offset] = a.0;
        if !offset.is_multiple_of(PAGE) {
            return Err(e::EINVAL);
        }
        let file = if flags & MAP_ANONYMOUS != 0 { None } else { Some(self.map_file(me, a.fd(4))?) };
        let request = MapRequest { address, length, prot, flags, offset };
        flow(self.memory.mmap(space, &request, file, growth))
    }

    fn map_file(&self, me: Serial, fd: u32) -> Res<MapFile> {
        let handle = self.files.active(me, fd)?;
        let node = handle.node;
        let source = match handle.target {
            Target::File => self.files.source(node),
            _ => None,
        };
        // What is not in the root file system cannot be mapped.
        let name = self.files.dentry_of(node, handle.name.as_ref()).cloned().unwrap_or_else(Dentry::unknown);
        let label = Rc::new(Label { name, dev: 1, inode: node });
        Ok(MapFile { source, readable: handle.reads(), writable: handle.writes(), label })
    }
}
