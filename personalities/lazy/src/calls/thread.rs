//! clone of threads, and what is theirs alone.

use super::misc::ROBUST_LIST_SIZE;
use super::*;
use crate::process::Thread;
use abi::turn::PROCESSES_MAX;

const VM_FS_FILES_SIGHAND_THREAD: u64 = 0x10f00;
const SYSVSEM: u64 = 0x4_0000;
const SETTLS: u64 = 0x8_0000;
const PARENT_SETTID: u64 = 0x10_0000;
const CHILD_CLEARTID: u64 = 0x20_0000;
const DETACHED: u64 = 0x40_0000;
const CHILD_SETTID: u64 = 0x100_0000;
const SIGNAL: u64 = 0xff;

impl<H: Hardware> Kernel<H> {
    pub(super) fn clone_thread(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        const ALLOWED: u64 = VM_FS_FILES_SIGHAND_THREAD
            | SYSVSEM
            | SETTLS
            | PARENT_SETTID
            | CHILD_CLEARTID
            | DETACHED
            | CHILD_SETTID
            | SIGNAL;
        let [flags, stack, parent_tid, tls, child_tid, _] = *a;
        let whole = flags & VM_FS_FILES_SIGHAND_THREAD == VM_FS_FILES_SIGHAND_THREAD;
        if self.tier < 3 || !whole || flags & !ALLOWED != 0 {
            return Err(EINVAL);
        }
        if self.threads.len() >= PROCESSES_MAX {
            return Err(EAGAIN);
        }
        let tid = self.new_pid().ok_or(EAGAIN)?;
        if self.fp_owner == Some(serial) {
            self.save_fp();
        }
        let t = self.threads.get(&serial).ok_or(ESRCH)?;
        let child = self.last_serial + 1;
        let mut new = Thread {
            registers: t.registers.clone(),
            fp: t.fp.clone(),
            mask: t.mask,
            comm: t.comm.clone(),
            entity: t.entity,
            ..Thread::new(child, t.process, tid)
        };
        new.registers.x[0] = 0;
        if stack != 0 {
            new.registers.sp = stack;
        }
        if flags & SETTLS != 0 {
            new.registers.tls = tls;
        }
        if flags & CHILD_CLEARTID != 0 {
            new.clear_child_tid = child_tid;
        }
        (self.last_serial, self.last_pid) = (child, tid);
        self.threads.insert(child, new);
        self.turn.round.push_back(child);
        for (flag, address) in [(PARENT_SETTID, parent_tid), (CHILD_SETTID, child_tid)] {
            if flags & flag != 0 {
                // As Linux: what cannot be written is not.
                let _ = self.put(serial, address, &tid.to_le_bytes());
            }
        }
        done(tid.into())
    }

    pub(super) fn sys_get_robust_list(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let t = match a[0] as i32 {
            0 => self.threads.get(&serial),
            n => self.by_tid(n as u32),
        };
        let head = t.ok_or(ESRCH)?.robust_list;
        self.put(serial, a[2], &ROBUST_LIST_SIZE.to_le_bytes())?;
        self.put(serial, a[1], &head.to_le_bytes())?;
        done(0)
    }
}
