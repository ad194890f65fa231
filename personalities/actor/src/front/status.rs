//! Calls about attributes.

use super::Arguments;
use crate::bytes::u64_at;
use crate::error::{Res, e};
use crate::files::flags::*;
use crate::files::node::{NodeId, PIPES, Realm, Stamp, realm};
use crate::files::{Attributes, Files, Follow, SetTime};
use crate::kernel::{DONE, Kernel, Out};
use crate::machine::Machine;
use crate::turns::Serial;
use abi::linux::nr;

const UTIME_NOW: u64 = 0x3fff_ffff;
const UTIME_OMIT: u64 = 0x3fff_fffe;
const STATX_RESERVED: u32 = 0x8000_0000;
const AT_STATX_SYNC_TYPE: u32 = 0x6000;
const AT_EACCESS: u32 = 0x200;

fn follow(flags: u32) -> Follow {
    if flags & AT_SYMLINK_NOFOLLOW != 0 { Follow::No } else { Follow::Yes }
}

/// What utimensat makes of a timespec; `None`: its nanoseconds are none.
fn time_to_set(seconds: i64, nanoseconds: u64) -> Option<SetTime> {
    match nanoseconds {
        UTIME_NOW => Some(SetTime::Now),
        UTIME_OMIT => Some(SetTime::Omit),
        0..1_000_000_000 => Some(SetTime::To(Stamp { seconds, nanoseconds: nanoseconds as u32 })),
        _ => None,
    }
}

impl<M: Machine> Kernel<M> {
    pub(super) fn status_call(&mut self, me: Serial, number: u64, a: Arguments) -> Option<Out> {
        Some(match number {
            nr::newfstatat => self.newfstatat(me, a),
            nr::fstat => self.fstat(me, a),
            nr::statx => self.statx(me, a),
            nr::statfs => self.statfs(me, a),
            nr::fstatfs => self.fstatfs(me, a),
            nr::faccessat => self.faccessat(me, a, 0),
            nr::faccessat2 => self.faccessat(me, a, a.uint(3)),
            nr::fchmod => self.fchmod(me, a),
            nr::fchmodat => self.fchmodat(me, a),
            nr::fchown => self.fchown(me, a),
            nr::fchownat => self.fchownat(me, a),
            nr::utimensat => self.utimensat(me, a),
            nr::setxattr..=nr::fremovexattr => Err(e::EOPNOTSUPP),
            _ => return None,
        })
    }

    fn attributes(&self, node: NodeId) -> Res<Attributes> {
        match realm(node) {
            Realm::Pipe => Ok(Attributes::of_pipe(Files::inode(node), self.pipes.inode(node - PIPES)?)),
            _ => self.files.attributes(node),
        }
    }

    /// The node that a path means, or the descriptor itself for an empty path under AT_EMPTY_PATH.
    fn target(&mut self, me: Serial, fd: i32, at: u64, flags: u32) -> Res<NodeId> {
        if flags & AT_EMPTY_PATH != 0 {
            let path = self.path_or_empty(me, at)?;
            if path.is_empty() {
                return self.files.start(me, fd);
            }
        }
        self.node_at(me, fd, at, follow(flags))
    }

    fn newfstatat(&mut self, me: Serial, a: Arguments) -> Out {
        let flags = a.uint(3);
        let known = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE;
        if flags & !known != 0 {
            return Err(e::EINVAL);
        }
        let node = self.target(me, a.int(0), a.0[1], flags)?;
        let stat = self.attributes(node)?.stat();
        self.give(me, a.0[2], &stat)
    }

    fn fstat(&mut self, me: Serial, a: Arguments) -> Out {
        let node = self.files.handle(me, a.fd(0))?.node;
        let stat = self.attributes(node)?.stat();
        self.give(me, a.0[1], &stat)
    }

    fn statx(&mut self, me: Serial, a: Arguments) -> Out {
        let (flags, mask) = (a.uint(2), a.uint(3));
        if mask & STATX_RESERVED != 0 || flags & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE {
            return Err(e::EINVAL);
        }
        let known = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE;
        if flags & !known != 0 {
            return Err(e::EINVAL);
        }
        let node = self.target(me, a.int(0), a.0[1], flags)?;
        let statx = self.attributes(node)?.statx();
        self.give(me, a.0[4], &statx)
    }

    fn statfs(&mut self, me: Serial, a: Arguments) -> Out {
        let node = self.node_at(me, AT_FDCWD, a.0[0], Follow::Yes)?;
        let out = self.files.statfs(node);
        self.give(me, a.0[1], &out)
    }

    fn fstatfs(&mut self, me: Serial, a: Arguments) -> Out {
        let node = self.files.handle(me, a.fd(0))?.node;
        let out = self.files.statfs(node);
        self.give(me, a.0[1], &out)
    }

    fn faccessat(&mut self, me: Serial, a: Arguments, flags: u32) -> Out {
        let mode = a.uint(2);
        if mode & !7 != 0 || flags & !(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
            return Err(e::EINVAL);
        }
        let node = self.target(me, a.int(0), a.0[1], flags)?;
        let attributes = self.attributes(node)?;
        if mode & 1 != 0 && !attributes.executable() {
            return Err(e::EACCES);
        }
        let special = attributes.rdev != 0;
        if mode & 2 != 0 && matches!(realm(node), Realm::Dev | Realm::Proc) && !special {
            return Err(e::EROFS);
        }
        DONE
    }

    fn chmod(&mut self, node: NodeId, mode: u32) -> Out {
        let now = Stamp::from_us(self.now_us());
        match realm(node) {
            Realm::Pipe => self.pipes.inode_mut(node - PIPES)?.chmod(mode, now),
            _ => self.files.chmod(node, mode)?,
        }
        DONE
    }

    fn chown(&mut self, node: NodeId, uid: u32, gid: u32) -> Out {
        let now = Stamp::from_us(self.now_us());
        match realm(node) {
            Realm::Pipe => self.pipes.inode_mut(node - PIPES)?.chown(uid, gid, now),
            _ => self.files.chown(node, uid, gid)?,
        }
        DONE
    }

    fn fchmod(&mut self, me: Serial, a: Arguments) -> Out {
        let node = self.files.active(me, a.fd(0))?.node;
        self.chmod(node, a.uint(1))
    }

    fn fchmodat(&mut self, me: Serial, a: Arguments) -> Out {
        let node = self.node_at(me, a.int(0), a.0[1], Follow::Yes)?;
        self.chmod(node, a.uint(2))
    }

    fn fchown(&mut self, me: Serial, a: Arguments) -> Out {
        let node = self.files.active(me, a.fd(0))?.node;
        self.chown(node, a.uint(1), a.uint(2))
    }

    fn fchownat(&mut self, me: Serial, a: Arguments) -> Out {
        let flags = a.uint(4);
        if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
            return Err(e::EINVAL);
        }
        let node = self.target(me, a.int(0), a.0[1], flags)?;
        self.chown(node, a.uint(2), a.uint(3))
    }

    /// As Linux 6.1: what is at the path comes first, what the times say last; with nothing to set the path is not looked at.
    fn utimensat(&mut self, me: Serial, a: Arguments) -> Out {
        let (fd, at, times_at, flags) = (a.int(0), a.0[1], a.0[2], a.uint(3));
        let mut times = [Some(SetTime::Now); 2];
        if times_at != 0 {
            let raw = self.bytes_in(me, times_at, 32)?;
            times = [0, 16].map(|i| time_to_set(u64_at(&raw, i) as i64, u64_at(&raw, i + 8)));
            if times == [Some(SetTime::Omit); 2] {
                return DONE;
            }
        }
        let node = if at == 0 && fd != AT_FDCWD {
            if flags != 0 {
                return Err(e::EINVAL);
            }
            self.files.active(me, fd as u32)?.node
        } else {
            if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
                return Err(e::EINVAL);
            }
            self.target(me, fd, at, flags)?
        };
        let [Some(accessed), Some(changed)] = times else { return Err(e::EINVAL) };
        let (times, now) = ([accessed, changed], Stamp::from_us(self.now_us()));
        match realm(node) {
            Realm::Pipe => self.pipes.inode_mut(node - PIPES)?.set_times(times, now),
            _ => self.files.set_times(node, times)?,
        }
        DONE
    }
}
