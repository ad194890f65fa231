//! Odd calls that are answered as Linux answers them, and what they leave behind.

use super::test::{DATA, Fake, call, kernel};
use super::*;
use crate::memory::Growth;
use abi::linux::nr;

const NOWHERE: u64 = 8;
const NOBODY: i64 = 1 << 20;

const EBADF: i64 = -9;
const ECHILD: i64 = -10;
const EFAULT: i64 = -14;
const EINVAL: i64 = -22;
const ESRCH: i64 = -3;

/// What process 1 is answered.
fn answer(k: &mut Kernel<Fake>, number: u64, arguments: &[i64]) -> i64 {
    let arguments: Vec<u64> = arguments.iter().map(|a| *a as u64).collect();
    let call = call(number, &arguments);
    let user = &mut k.threads.get_mut(&1).unwrap().user;
    user.x[8] = call[0];
    user.x[..6].copy_from_slice(&call[1..]);
    match k.perform(1, Growth::Turn) {
        Ok(Flow::Done(value)) => value as i64,
        Ok(_) => panic!("{number} waits"),
        Err(errno) => errno.result() as i64,
    }
}

fn open(k: &mut Kernel<Fake>, path: &[u8], flags: i64) -> i64 {
    k.put(DATA, path);
    answer(k, nr::openat, &[-100, DATA as i64, flags, 0o600])
}

#[test]
fn setpgid_looks_at_the_group_before_the_process() {
    let mut k = kernel();
    assert_eq!(answer(&mut k, nr::setpgid, &[-1, 0]), EINVAL);
    assert_eq!(answer(&mut k, nr::setpgid, &[NOBODY, -1]), EINVAL);
    assert_eq!(answer(&mut k, nr::setpgid, &[-1, 1]), ESRCH);
    assert_eq!(answer(&mut k, nr::setpgid, &[NOBODY, 0]), ESRCH);
}

#[test]
fn wait4_takes_linux_flags_and_a_child_whose_status_cannot_be_written() {
    let (hang, no_thread, all, clone) = (1, 1 << 29, 1 << 30, 1 << 31);
    let mut k = kernel();
    let child = |k: &mut Kernel<Fake>| {
        let pid = answer(k, nr::clone, &[17, 0, 0, 0, 0]);
        let serial = k.processes.by_pid(pid as u32).unwrap().serial;
        (pid, serial)
    };
    let (first, serial) = child(&mut k);
    k.end(serial, 3 << 8);
    assert_eq!(answer(&mut k, nr::wait4, &[-1, 0, 4, 0]), EINVAL);
    assert_eq!(answer(&mut k, nr::wait4, &[-1, 0, hang | clone, 0]), ECHILD);
    assert_eq!(answer(&mut k, nr::wait4, &[-1, 0, hang | clone | all | no_thread, 0]), first);
    let (_, serial) = child(&mut k);
    k.end(serial, 0);
    assert_eq!(answer(&mut k, nr::wait4, &[-1, NOWHERE as i64, hang, 0]), EFAULT);
    assert_eq!(answer(&mut k, nr::wait4, &[-1, 0, hang, 0]), ECHILD);
}

#[test]
fn what_is_set_stays_set_though_the_old_value_cannot_be_handed_back() {
    let mut k = kernel();
    let (data, nowhere) = (DATA as i64, NOWHERE as i64);
    k.put(DATA, &[0x1234u64, 0, 0, 0].map(u64::to_le_bytes).concat());
    assert_eq!(answer(&mut k, nr::rt_sigaction, &[10, data, nowhere, 8]), EFAULT);
    assert_eq!(answer(&mut k, nr::rt_sigprocmask, &[2, data, nowhere, 8]), EFAULT);
    k.put(DATA, &[DATA, 0, 0x3000, 7].map(u64::to_le_bytes).concat());
    assert_eq!(answer(&mut k, nr::sigaltstack, &[data, nowhere]), EFAULT);
    k.put(DATA, &[0u64, 9, 5, 0].map(u64::to_le_bytes).concat());
    assert_eq!(answer(&mut k, nr::setitimer, &[0, data, nowhere]), EFAULT);
    assert_eq!(answer(&mut k, nr::prlimit64, &[0, 4, data, nowhere]), EFAULT);
    let now = k.now_us();
    let p = k.processes.get(1).unwrap();
    assert_eq!((p.signals.action(10).handler, p.signals.mask), (0x1234, 0x1234));
    assert_eq!((p.signals.stack.sp, p.signals.stack.size), (DATA, 0x3000));
    assert_eq!((p.timer_us, p.limits[4]), ((now + 5_000_000, 9), (0, 9)));
}

#[test]
fn sendfile_of_no_bytes_asks_for_a_position_alone() {
    let mut k = kernel();
    let (file, device) = (open(&mut k, b"/f\0", 0o102), open(&mut k, b"/dev/null\0", 0));
    let directory = open(&mut k, b"/\0", 0);
    assert!(file > 2 && device > 2 && directory > 2);
    for from in [device, directory] {
        assert_eq!(answer(&mut k, nr::sendfile, &[file, from, 0, 0]), 0);
        assert_eq!(answer(&mut k, nr::sendfile, &[file, from, 0, 1]), EINVAL);
        assert_eq!(answer(&mut k, nr::sendfile, &[device, from, 0, 0]), EBADF);
    }
    k.put(DATA, &[0; 8]);
    assert_eq!(answer(&mut k, nr::sendfile, &[file, directory, DATA as i64, 0]), 0);
    // Standard input is the terminal, which has none.
    assert_eq!(answer(&mut k, nr::sendfile, &[file, 0, 0, 0]), EINVAL);
}

#[test]
fn a_record_lock_s_range_comes_before_its_type_and_the_type_before_how_the_file_is_open() {
    let mut k = kernel();
    let (get, set) = (5, 6);
    let file = open(&mut k, b"/f\0", 0o100);
    let mut lock = |command: i64, kind: u16, whence: u16, start: i64, length: i64| {
        let mut raw = [0; 32];
        raw[..2].copy_from_slice(&kind.to_le_bytes());
        raw[2..4].copy_from_slice(&whence.to_le_bytes());
        raw[8..16].copy_from_slice(&start.to_le_bytes());
        raw[16..24].copy_from_slice(&length.to_le_bytes());
        k.put(DATA, &raw);
        answer(&mut k, nr::fcntl, &[file, command, DATA as i64])
    };
    let eoverflow = -75;
    assert_eq!(lock(get, 2, 0, 0, 0), EINVAL);
    assert_eq!(lock(get, 0, 0, 0, 0), 0);
    assert_eq!(lock(set, 9, 0, i64::MAX, 2), eoverflow);
    assert_eq!(lock(set, 9, 0, 0, 0), EINVAL);
    assert_eq!(lock(set, 1, 0, 0, -1), EINVAL);
    assert_eq!(lock(set, 1, 3, 0, 0), EINVAL);
    assert_eq!(lock(set, 1, 0, 0, 0), EBADF);
    assert_eq!(lock(set, 0, 2, 0, 0), 0);
}

#[test]
fn mprotect_looks_at_an_empty_range_before_the_rights() {
    let mut k = kernel();
    let (page, unknown) = (DATA as i64, 0x100);
    let enomem = -12;
    assert_eq!(answer(&mut k, nr::mprotect, &[page, 0, unknown]), 0);
    assert_eq!(answer(&mut k, nr::mprotect, &[page, -1, unknown]), enomem);
    assert_eq!(answer(&mut k, nr::mprotect, &[page, 4096, unknown]), EINVAL);
    assert_eq!(answer(&mut k, nr::mprotect, &[page + 1, 0, unknown]), EINVAL);
}
