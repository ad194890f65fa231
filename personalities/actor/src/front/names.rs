//! Calls that make, remove and follow names.

use super::Arguments;
use crate::error::{Res, e};
use crate::files::Follow;
use crate::files::flags::{AT_EMPTY_PATH, AT_FDCWD, AT_REMOVEDIR, AT_SYMLINK_FOLLOW};
use crate::files::node::{
    Body, NodeId, Realm, S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFMT, S_IFREG, S_IFSOCK, realm,
};
use crate::kernel::{DONE, Flow, Kernel, Out};
use crate::machine::Machine;
use crate::turns::Serial;
use abi::linux::nr;
use alloc::vec::Vec;

const RENAME_NOREPLACE: u32 = 1;

impl<M: Machine> Kernel<M> {
    pub(super) fn name_call(&mut self, me: Serial, number: u64, a: Arguments) -> Option<Out> {
        Some(match number {
            nr::mkdirat => self.mkdirat(me, a),
            nr::mknodat => self.mknodat(me, a),
            nr::unlinkat => self.unlinkat(me, a),
            nr::symlinkat => self.symlinkat(me, a),
            nr::linkat => self.linkat(me, a),
            nr::renameat => self.renameat(me, a, 0),
            nr::renameat2 => self.renameat(me, a, a.uint(4)),
            nr::readlinkat => self.readlinkat(me, a),
            nr::chdir => self.chdir(me, a),
            nr::fchdir => self.fchdir(me, a.fd(0)),
            nr::getcwd => self.getcwd(me, a),
            nr::truncate => self.truncate(me, a),
            nr::umask => self.umask(me, a.uint(0)),
            _ => return None,
        })
    }

    /// A path at `at` and where it starts by descriptor `fd`.
    fn place(&mut self, me: Serial, fd: i32, at: u64) -> Res<(NodeId, Vec<u8>)> {
        let path = self.path_in(me, at)?;
        Ok((self.files.base(me, fd, &path)?, path))
    }

    /// The node at a path.
    pub(super) fn node_at(&mut self, me: Serial, fd: i32, at: u64, follow: Follow) -> Res<NodeId> {
        let (start, path) = self.place(me, fd, at)?;
        self.files.resolve(me, start, &path, follow)
    }

    fn mkdirat(&mut self, me: Serial, a: Arguments) -> Out {
        let (start, path) = self.place(me, a.int(0), a.0[1])?;
        self.files.make_directory(me, start, &path, a.uint(2))?;
        DONE
    }

    fn mknodat(&mut self, me: Serial, a: Arguments) -> Out {
        let (mode, number) = (a.uint(2), u64::from(a.uint(3)));
        let (kind, body) = match mode & S_IFMT {
            0 | S_IFREG => (S_IFREG, Body::File(Default::default())),
            S_IFCHR => (S_IFCHR, Body::Device(number)),
            S_IFBLK => (S_IFBLK, Body::Device(number)),
            S_IFIFO => (S_IFIFO, Body::Fifo(None)),
            S_IFSOCK => (S_IFSOCK, Body::Socket),
            S_IFDIR => return Err(e::EPERM),
            _ => return Err(e::EINVAL),
        };
        let (start, path) = self.place(me, a.int(0), a.0[1])?;
        self.files.make_node(me, start, &path, kind | mode & 0o7777, body)?;
        DONE
    }

    fn unlinkat(&mut self, me: Serial, a: Arguments) -> Out {
        let flags = a.uint(2);
        if flags & !AT_REMOVEDIR != 0 {
            return Err(e::EINVAL);
        }
        let (start, path) = self.place(me, a.int(0), a.0[1])?;
        match flags {
            0 => self.files.unlink(me, start, &path)?,
            _ => self.files.remove_directory(me, start, &path)?,
        }
        DONE
    }

    fn symlinkat(&mut self, me: Serial, a: Arguments) -> Out {
        let to = self.path_in(me, a.0[0])?;
        let (start, path) = self.place(me, a.int(1), a.0[2])?;
        self.files.make_link(me, start, &path, &to)?;
        DONE
    }

    fn linkat(&mut self, me: Serial, a: Arguments) -> Out {
        let flags = a.uint(4);
        if flags & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0 {
            return Err(e::EINVAL);
        }
        let old = self.path_or_empty(me, a.0[1])?;
        if old.is_empty() && flags & AT_EMPTY_PATH == 0 {
            return Err(e::ENOENT);
        }
        let from = self.files.base(me, a.int(0), &old)?;
        let node = self.files.link_source(me, from, &old, flags)?;
        let (to, new) = self.place(me, a.int(2), a.0[3])?;
        self.files.link(me, node, (to, &new))?;
        DONE
    }

    fn renameat(&mut self, me: Serial, a: Arguments, flags: u32) -> Out {
        if flags & !RENAME_NOREPLACE != 0 {
            return Err(e::EINVAL);
        }
        let (from, old) = self.place(me, a.int(0), a.0[1])?;
        let old = self.files.parent(me, from, &old)?;
        let (to, new) = self.place(me, a.int(2), a.0[3])?;
        let new = self.files.parent(me, to, &new)?;
        self.files.rename(old, new, flags)?;
        DONE
    }

    fn readlinkat(&mut self, me: Serial, a: Arguments) -> Out {
        if a.int(3) <= 0 {
            return Err(e::EINVAL);
        }
        let path = self.path_or_empty(me, a.0[1])?;
        let start = self.files.base(me, a.int(0), &path)?;
        let node = match path.is_empty() {
            true => start,
            false => self.files.resolve(me, start, &path, Follow::No)?,
        };
        let text = match self.files.read_link(me, node) {
            Err(e::EINVAL) if path.is_empty() => return Err(e::ENOENT),
            other => other?,
        };
        let n = text.len().min(a.int(3) as usize);
        self.bytes_out(me, a.0[2], &text[..n])?;
        Ok(Flow::Done(n as u64))
    }

    fn chdir(&mut self, me: Serial, a: Arguments) -> Out {
        let node = self.node_at(me, AT_FDCWD, a.0[0], Follow::Yes)?;
        self.files.set_cwd(me, node)?;
        DONE
    }

    fn fchdir(&mut self, me: Serial, fd: u32) -> Out {
        let node = self.files.handle(me, fd)?.node;
        self.files.set_cwd(me, node)?;
        DONE
    }

    fn getcwd(&mut self, me: Serial, a: Arguments) -> Out {
        let mut path = self.files.cwd_path(me)?;
        path.push(0);
        if (path.len() as u64) > a.0[1] {
            return Err(e::ERANGE);
        }
        self.bytes_out(me, a.0[0], &path)?;
        Ok(Flow::Done(path.len() as u64))
    }

    fn truncate(&mut self, me: Serial, a: Arguments) -> Out {
        if (a.0[1] as i64) < 0 {
            return Err(e::EINVAL);
        }
        let node = self.node_at(me, AT_FDCWD, a.0[0], Follow::Yes)?;
        if self.files.is_directory(node) {
            return Err(e::EISDIR);
        }
        if realm(node) == Realm::Root && self.files.attributes(node)?.mode & S_IFMT != S_IFREG {
            return Err(e::EINVAL);
        }
        if realm(node) == Realm::Dev {
            return Err(e::EINVAL);
        }
        self.files.truncate(node, a.0[1])?;
        DONE
    }

    fn umask(&mut self, me: Serial, mask: u32) -> Out {
        let table = self.files.table_mut(me)?;
        Ok(Flow::Done(core::mem::replace(&mut table.umask, mask & 0o777).into()))
    }
}
