//! Threads: made by clone, ended by exit, woken by futex (`docs/linux-abi.md`, "Threads").

use super::process::{CLONE_CHILD_CLEARTID, CLONE_CHILD_SETTID, CLONE_PARENT_SETTID, CLONE_VM};
use super::{Call, Ended};
use crate::errno::{EAGAIN, EFAULT, EINVAL, ENOSYS, ESRCH, Errno};
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::turns::{Key, Serial};
use abi::turn::PROCESSES_MAX;

const CLONE_FS: u64 = 0x200;
const CLONE_FILES: u64 = 0x400;
const CLONE_SIGHAND: u64 = 0x800;
pub(super) const CLONE_THREAD: u64 = 0x1_0000;
const CLONE_SYSVSEM: u64 = 0x4_0000;
const CLONE_SETTLS: u64 = 0x8_0000;
const CLONE_DETACHED: u64 = 0x40_0000;
const NEEDED: u64 = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
const EXIT_SIGNAL: u64 = 0xff;
const KNOWN: u64 = NEEDED
    | CLONE_SYSVSEM
    | CLONE_SETTLS
    | CLONE_DETACHED
    | CLONE_PARENT_SETTID
    | CLONE_CHILD_SETTID
    | CLONE_CHILD_CLEARTID
    | EXIT_SIGNAL;

/// clone with CLONE_THREAD.
pub(super) fn clone<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<Ended, Errno> {
    let [flags, stack, parent_tid, tls, child_tid, _] = c.args;
    if k.start.tier < 3 || flags & NEEDED != NEEDED || flags & !KNOWN != 0 {
        return Err(EINVAL);
    }
    if k.tasks() >= PROCESSES_MAX {
        return Err(EAGAIN);
    }
    let tid = k.next_pid().ok_or(EAGAIN)?;
    k.save_fp();
    let serial = k.last_serial + 1;
    (k.last_serial, k.last_pid) = (serial, tid);
    let caller = k.threads.get(&c.serial).ok_or(ESRCH)?;
    let mut thread = caller.clone_as(serial, caller.process, tid);
    thread.altstack = Default::default();
    if stack != 0 {
        thread.registers.sp = stack;
    }
    if flags & CLONE_SETTLS != 0 {
        thread.registers.tpidr = tls;
    }
    if flags & CLONE_CHILD_CLEARTID != 0 {
        thread.clear_child_tid = child_tid;
    }
    k.threads.insert(serial, thread);
    k.note_sharers();
    k.turns.enter(serial);
    // As on Linux, an address that cannot be written is no error here.
    for (flag, at) in [(CLONE_PARENT_SETTID, parent_tid), (CLONE_CHILD_SETTID, child_tid)] {
        if flags & flag != 0 {
            let _ = k.write_user(c.serial, at, &tid.to_le_bytes());
        }
    }
    Ok(Ended::Result(i64::from(tid)))
}

/// exit: the calling thread's end; the last one's is the process'.
pub(super) fn exit<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<Ended, Errno> {
    if !k.has_several(c.process) {
        return super::process::exit_group(k, c);
    }
    let t = k.threads.get(&c.serial).ok_or(ESRCH)?;
    let (robust_list, clear, tid) = (t.robust_list, t.clear_child_tid, t.tid);
    k.walk_robust_list(c, robust_list, tid);
    if clear != 0 {
        let _ = k.write_user(c.serial, clear, &[0; 4]);
        k.wake_futex(c.serial, clear, 1, u32::MAX);
    }
    k.drop_thread(c.serial);
    k.join_pending(c.process);
    k.note_sharers();
    Ok(Ended::NoResult)
}

/// Entries of a robust list that are looked at, as on Linux.
const ROBUST_MAX: usize = 2048;
const FUTEX_WAITERS: u32 = 0x8000_0000;
const FUTEX_OWNER_DIED: u32 = 0x4000_0000;
const FUTEX_TID_MASK: u32 = 0x3fff_ffff;
/// Bytes of `struct robust_list_head`.
const HEAD_BYTES: u64 = 24;

impl<M: Machine> Kernel<M> {
    /// Linux' `exit_robust_list`: locks that the thread holds tell the next who takes them that their owner died.
    fn walk_robust_list(&mut self, c: &Call, head: u64, tid: u32) {
        if head == 0 {
            return;
        }
        let Ok([first, offset, pending]) = self.read_words::<3>(c.serial, head) else { return };
        // Bit 0 says that a lock inherits priority: such locks cannot be taken here.
        let (mut entry, pending) = (first & !1, pending & !1);
        for _ in 0..ROBUST_MAX {
            if entry == head {
                break;
            }
            let next = self.read_words::<1>(c.serial, entry);
            if entry != pending && !self.owner_died(c.serial, entry.wrapping_add(offset), tid, false) {
                return;
            }
            let Ok([next]) = next else { return };
            entry = next & !1;
        }
        if pending != 0 {
            self.owner_died(c.serial, pending.wrapping_add(offset), tid, true);
        }
    }

    /// Linux' `handle_futex_death`; false: there is no such word.
    fn owner_died(&mut self, serial: Serial, at: u64, tid: u32, pending: bool) -> bool {
        if !at.is_multiple_of(4) {
            return false;
        }
        let Ok(word) = self.read_user(serial, at).map(u32::from_le_bytes) else { return false };
        if pending && word & FUTEX_TID_MASK == 0 {
            self.wake_futex(serial, at, 1, u32::MAX);
            return true;
        }
        if word & FUTEX_TID_MASK != tid {
            return true;
        }
        let dead = word & FUTEX_WAITERS | FUTEX_OWNER_DIED;
        if self.write_user(serial, at, &dead.to_le_bytes()).is_err() {
            return false;
        }
        if word & FUTEX_WAITERS != 0 {
            self.wake_futex(serial, at, 1, u32::MAX);
        }
        true
    }

    /// Wakes up to `count` threads that wait for the word at `address` in the memory of `serial`; says how many.
    fn wake_futex(&mut self, serial: Serial, address: u64, count: usize, bitset: u32) -> usize {
        let Some(space) = self.process(serial).map(|p| p.space) else { return 0 };
        let mut woken = 0;
        for waiter in self.turns.waiters(Key::Futex(space, address)) {
            let Some(t) = self.threads.get_mut(&waiter) else { continue };
            if woken == count {
                break;
            }
            if t.futex_bits() & bitset != 0 {
                t.came = true;
                self.turns.wake_thread(waiter);
                woken += 1;
            }
        }
        woken
    }

    /// The word's address is one: EINVAL, EFAULT.
    fn check_futex(&mut self, serial: Serial, address: u64) -> Result<u32, Errno> {
        if !address.is_multiple_of(4) {
            return Err(EINVAL);
        }
        self.read_user(serial, address).map(u32::from_le_bytes)
    }
}

/// ETIMEDOUT, which no file call knows.
const ETIMEDOUT: Errno = Errno(110);
const FUTEX_WAIT: u64 = 0;
const FUTEX_WAKE: u64 = 1;
const FUTEX_REQUEUE: u64 = 3;
const FUTEX_CMP_REQUEUE: u64 = 4;
const FUTEX_WAIT_BITSET: u64 = 9;
const FUTEX_WAKE_BITSET: u64 = 10;
const FUTEX_PRIVATE: u64 = 128;
const FUTEX_CLOCK_REALTIME: u64 = 256;

pub(super) fn futex<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<Ended, Errno> {
    let [address, op, value, timeout, second, compare] = c.args;
    let op = u64::from(op as u32);
    let command = op & !(FUTEX_PRIVATE | FUTEX_CLOCK_REALTIME);
    let realtime = op & FUTEX_CLOCK_REALTIME != 0;
    let waits = matches!(command, FUTEX_WAIT | FUTEX_WAIT_BITSET);
    let t = k.threads.get(&c.serial).ok_or(ESRCH)?;
    let repeated = t.repeated;
    let mut deadline_us = t.progress.deadline_us;
    if waits && timeout != 0 && !repeated {
        let absolute = command == FUTEX_WAIT_BITSET;
        deadline_us = Some(k.read_deadline(c.serial, timeout, absolute, realtime)?);
    }
    if realtime && command != FUTEX_WAIT_BITSET {
        return Err(ENOSYS);
    }
    let bitset =
        if matches!(command, FUTEX_WAIT_BITSET | FUTEX_WAKE_BITSET) { compare as u32 } else { u32::MAX };
    if bitset == 0 {
        return Err(EINVAL);
    }
    let count = value as i32;
    match command {
        FUTEX_WAIT | FUTEX_WAIT_BITSET => {
            let late = deadline_us.is_some_and(|d| d <= k.turns.clock_us());
            // Made again past its deadline, it does not look at the value.
            if !(repeated && late) && k.check_futex(c.serial, address)? != value as u32 {
                return Err(EAGAIN);
            }
            if late {
                return Err(ETIMEDOUT);
            }
            if let Some(t) = k.threads.get_mut(&c.serial) {
                t.progress.deadline_us = deadline_us;
            }
            let key = k.futex_key(c.serial, address).ok_or(EFAULT)?;
            Ok(Ended::Block { keys: alloc::vec![key], deadline_us })
        }
        FUTEX_WAKE | FUTEX_WAKE_BITSET => {
            k.check_futex(c.serial, address)?;
            // As on Linux, at least one.
            let woken = k.wake_futex(c.serial, address, count.max(1) as usize, bitset);
            Ok(Ended::Result(woken as i64))
        }
        FUTEX_REQUEUE | FUTEX_CMP_REQUEUE => {
            let more = timeout as i32;
            if count < 0 || more < 0 {
                return Err(EINVAL);
            }
            let word = k.check_futex(c.serial, address)?;
            k.check_futex(c.serial, second)?;
            if command == FUTEX_CMP_REQUEUE && word != compare as u32 {
                return Err(EAGAIN);
            }
            let all = count as usize + more as usize;
            Ok(Ended::Result(k.wake_futex(c.serial, address, all, u32::MAX) as i64))
        }
        _ => Err(ENOSYS),
    }
}

impl<M: Machine> Kernel<M> {
    /// What a thread that waits for the word at `address` waits for.
    pub(crate) fn futex_key(&self, serial: Serial, address: u64) -> Option<Key> {
        Some(Key::Futex(self.process(serial)?.space, address))
    }
}

pub(super) fn set_robust_list<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    if c.args[1] != HEAD_BYTES {
        return Err(EINVAL);
    }
    k.threads.get_mut(&c.serial).ok_or(ESRCH)?.robust_list = c.args[0];
    Ok(0)
}

pub(super) fn get_robust_list<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    let tid = c.int(0);
    let serial = if tid == 0 { c.serial } else { k.thread_of_id(tid).ok_or(ESRCH)? };
    let head = k.threads.get(&serial).ok_or(ESRCH)?.robust_list;
    k.write_user(c.serial, c.args[2], &HEAD_BYTES.to_le_bytes())?;
    k.write_user(c.serial, c.args[1], &head.to_le_bytes())?;
    Ok(0)
}
