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
pub(super) fn answer(k: &mut Kernel<Fake>, number: u64, arguments: &[i64]) -> i64 {
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
fn sendfile_goes_on_in_a_file_that_grows_by_it() {
    let mut k = kernel();
    let (out, create, asked) = (open(&mut k, b"/f\0", 0o102), 0o102, 43_685);
    let source = open(&mut k, b"/f\0", create);
    k.put(DATA, b"abcde");
    assert_eq!(answer(&mut k, nr::write, &[out, DATA as i64, 5]), 5);
    // Between two descriptors of a file, the source's position at its beginning.
    assert_eq!(answer(&mut k, nr::sendfile, &[out, source, 0, asked]), asked);
    let node = k.files.active(1, source as u32).unwrap().node;
    let mut bytes = vec![0; 50_000];
    assert_eq!(k.files.read_at(node, 0, &mut bytes), 43_690);
    assert_eq!(bytes[..43_690], b"abcde".repeat(8738));
    // From an open file to itself, the source's position in memory: what was written over is read as it is then.
    assert_eq!(answer(&mut k, nr::lseek, &[out, -2, 2]), 43_688);
    k.put(DATA, &43_686u64.to_le_bytes());
    assert_eq!(answer(&mut k, nr::sendfile, &[out, out, DATA as i64, 70_000]), 70_000);
    assert_eq!(k.memory.word(k.space_of(1).unwrap(), DATA).unwrap(), 113_686);
    let mut bytes = vec![0; 70_005];
    assert_eq!(k.files.read_at(node, 43_685, &mut bytes), 70_003);
    assert_eq!(bytes[..8], *b"abcbcded");
    // What lies before the source's position ends at the file's end; so does an empty step.
    k.put(DATA, &113_000u64.to_le_bytes());
    assert_eq!(answer(&mut k, nr::lseek, &[out, 10, 0]), 10);
    assert_eq!(answer(&mut k, nr::sendfile, &[out, out, DATA as i64, 70_000]), 688);
}

#[test]
fn sendfile_into_a_pipe_that_appends_is_no_matter() {
    let mut k = kernel();
    let (source, appends) = (open(&mut k, b"/f\0", 0o102), 0o2000);
    k.put(DATA, b"abcde");
    assert_eq!(answer(&mut k, nr::write, &[source, DATA as i64, 5]), 5);
    assert_eq!(answer(&mut k, nr::lseek, &[source, 0, 0]), 0);
    assert_eq!(answer(&mut k, nr::pipe2, &[DATA as i64, 0o4000]), 0);
    let pipe = (k.memory.word(k.space_of(1).unwrap(), DATA).unwrap() >> 32) as i64;
    for out in [pipe, source] {
        assert_eq!(answer(&mut k, nr::fcntl, &[out, 4, appends]), 0);
    }
    assert_eq!(answer(&mut k, nr::sendfile, &[pipe, source, 0, 3]), 3);
    assert_eq!(answer(&mut k, nr::sendfile, &[source, source, 0, 3]), -22);
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

#[test]
fn kill_looks_for_the_receiver_before_the_number() {
    let mut k = kernel();
    let bad = 65;
    for pid in [NOBODY, -NOBODY, -1, i64::from(i32::MIN)] {
        assert_eq!(answer(&mut k, nr::kill, &[pid, bad]), ESRCH, "{pid}");
    }
    assert_eq!(answer(&mut k, nr::kill, &[0, bad]), EINVAL);
    assert_eq!(answer(&mut k, nr::kill, &[-1, -1]), ESRCH);
    assert_eq!(answer(&mut k, nr::kill, &[1, -1]), EINVAL);
    assert_eq!(answer(&mut k, nr::tkill, &[NOBODY, bad]), ESRCH);
    assert_eq!(answer(&mut k, nr::tkill, &[1, bad]), EINVAL);
    assert_eq!(answer(&mut k, nr::tkill, &[0, bad]), EINVAL);
    assert_eq!(answer(&mut k, nr::tgkill, &[1, NOBODY, bad]), ESRCH);
    assert_eq!(answer(&mut k, nr::tgkill, &[NOBODY, 1, bad]), ESRCH);
    assert_eq!(answer(&mut k, nr::tgkill, &[NOBODY, 0, 10]), EINVAL);
}

#[test]
fn utimensat_looks_at_the_path_before_the_nanoseconds() {
    let mut k = kernel();
    let (path, times) = (DATA as i64 + 64, DATA as i64);
    let (enoent, enotdir) = (-2, -20);
    let omit = (1u64 << 30) - 2;
    let mut utimensat = |at: i64, name: &[u8], nanoseconds: [u64; 2], flags: i64| {
        k.put(DATA, &[5, nanoseconds[0], 5, nanoseconds[1]].map(u64::to_le_bytes).concat());
        k.put(DATA + 64, name);
        answer(&mut k, nr::utimensat, &[at, if name.is_empty() { 0 } else { path }, times, flags])
    };
    let bad = [1_000_000_000, 0];
    assert_eq!(utimensat(-100, b"/none\0", bad, 0), enoent);
    assert_eq!(utimensat(-100, b"/init/none\0", bad, 0), enotdir);
    assert_eq!(utimensat(77, b"", bad, 0), EBADF);
    assert_eq!(utimensat(-100, b"", bad, 0), EFAULT);
    assert_eq!(utimensat(0, b"", bad, 0), EINVAL);
    assert_eq!(utimensat(-100, b"/init\0", bad, 0), EINVAL);
    // A mount that is read-only is asked last.
    assert_eq!(utimensat(-100, b"/dev/null\0", bad, 0), EINVAL);
    assert_eq!(utimensat(-100, b"/none\0", bad, 2), EINVAL);
    assert_eq!(utimensat(-100, b"/none\0", [omit; 2], 2), 0);
    assert_eq!(utimensat(-100, b"/none\0", [omit, u64::MAX], 0), enoent);
}

#[test]
fn a_pipe_s_mode_owner_and_times_are_changed_by_its_descriptor() {
    let mut k = kernel();
    assert_eq!(answer(&mut k, nr::pipe2, &[DATA as i64, 0]), 0);
    let stat = |k: &mut Kernel<Fake>| {
        assert_eq!(answer(k, nr::fstat, &[3, DATA as i64 + 256]), 0);
        let raw = k.bytes_in(1, DATA + 256, 128).unwrap();
        let word = |i: usize| u32::from_le_bytes(raw[4 * i..4 * i + 4].try_into().unwrap());
        [word(4), word(6), word(7), word(18), word(22)]
    };
    assert_eq!(stat(&mut k)[..3], [0o010600, 0, 0]);
    assert_eq!(answer(&mut k, nr::fchmod, &[4, 0o6751]), 0);
    assert_eq!(stat(&mut k)[..3], [0o016751, 0, 0]);
    assert_eq!(answer(&mut k, nr::fchown, &[3, 5, -1]), 0);
    k.put(DATA, &[77u64, 0, 78, 0].map(u64::to_le_bytes).concat());
    assert_eq!(answer(&mut k, nr::utimensat, &[4, 0, DATA as i64, 0]), 0);
    assert_eq!(stat(&mut k), [0o010751, 5, 0, 77, 78]);
    // A snapshot says when it was made, whatever its times say.
    k.put(DATA, &[u64::MAX >> 1, 0, 1 << 63, 0].map(u64::to_le_bytes).concat());
    assert_eq!(answer(&mut k, nr::utimensat, &[4, 0, DATA as i64, 0]), 0);
    k.take_snapshot(1);
    assert!(!k.machine.snapshot.is_empty());
}

#[test]
fn a_vector_s_lengths_come_before_its_addresses() {
    let mut k = kernel();
    let file = open(&mut k, b"/f\0", 0o102);
    let beyond = u64::MAX - 100;
    k.put(DATA, &[beyond, 5, DATA, u64::MAX].map(u64::to_le_bytes).concat());
    assert_eq!(answer(&mut k, nr::readv, &[file, DATA as i64, 2]), EINVAL);
    assert_eq!(answer(&mut k, nr::readv, &[file, DATA as i64, 1]), EFAULT);
}

#[test]
fn a_vector_s_sum_is_cut_as_if_the_rest_had_not_been_asked_for() {
    let mut k = kernel();
    let most = 0x7fff_f000;
    let (null, data) = (open(&mut k, b"/dev/null\0", 2), DATA as i64);
    let file = open(&mut k, b"/f\0", 0o102);
    k.put(DATA + 64, b"abcde");
    let vector = |k: &mut Kernel<Fake>, parts: &[[u64; 2]]| {
        k.put(DATA, &parts.iter().flatten().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>());
    };
    vector(&mut k, &[[DATA, most as u64], [DATA, 1]]);
    assert_eq!(answer(&mut k, nr::writev, &[null, data, 2]), most);
    vector(&mut k, &[[DATA, 1 << 38], [DATA, 1 << 38], [DATA, 1 << 38]]);
    assert_eq!(answer(&mut k, nr::writev, &[null, data, 3]), most);
    assert_eq!(answer(&mut k, nr::readv, &[null, data, 3]), 0);
    // Of a file as much as can be touched; what lies behind the cut is looked at only as an address.
    vector(&mut k, &[[DATA + 64, 5], [NOWHERE, most as u64], [DATA + 64, 5]]);
    assert_eq!(answer(&mut k, nr::writev, &[file, data, 3]), 5);
    assert_eq!(answer(&mut k, nr::lseek, &[file, 0, 0]), 0);
    assert_eq!(answer(&mut k, nr::readv, &[file, data, 3]), 5);
    vector(&mut k, &[[DATA + 64, most as u64], [u64::MAX - 100, 5]]);
    assert_eq!(answer(&mut k, nr::writev, &[null, data, 2]), EFAULT);
    vector(&mut k, &[[DATA + 64, most as u64], [DATA + 64, 1 << 63]]);
    assert_eq!(answer(&mut k, nr::writev, &[null, data, 2]), EINVAL);
}

#[test]
fn nothing_is_looked_up_in_a_directory_that_was_removed() {
    let mut k = kernel();
    let (cwd, at) = (-100, DATA as i64);
    let (enoent, eperm, enotdir, unlink_directory) = (-2, -1, -20, 0x200);
    open(&mut k, b"/f\0", 0o102);
    k.put(DATA, b"/d\0x/\0./\0/f\0");
    assert_eq!(answer(&mut k, nr::mkdirat, &[cwd, at, 0o755]), 0);
    assert_eq!(answer(&mut k, nr::chdir, &[at]), 0);
    assert_eq!(answer(&mut k, nr::renameat, &[cwd, at + 9, cwd, at + 3]), enotdir);
    assert_eq!(answer(&mut k, nr::unlinkat, &[cwd, at, unlink_directory]), 0);
    // The new name has a slash, and the old is no directory: that would be said later.
    assert_eq!(answer(&mut k, nr::renameat, &[cwd, at + 9, cwd, at + 3]), enoent);
    // A directory has no further name, not even one that is gone.
    k.put(DATA + 32, b"/g\0");
    assert_eq!(answer(&mut k, nr::linkat, &[cwd, at + 6, cwd, at + 32, 0]), eperm);
}

#[test]
fn a_read_crosses_pages_and_holes() {
    let mut k = kernel();
    let (data, to) = (DATA as i64, DATA as i64 + 100);
    let file = open(&mut k, b"/f\0", 0o102);
    let mut model = vec![0u8; 12_296];
    for (at, text) in [(4090usize, &b"0123456789"[..]), (12_293, b"xyz")] {
        k.put(DATA, text);
        let written = answer(&mut k, nr::pwrite64, &[file, data, text.len() as i64, at as i64]);
        assert_eq!(written, text.len() as i64);
        model[at..at + text.len()].copy_from_slice(text);
    }
    // The test's memory is smaller than the file.
    for (at, count) in [(0, 8000), (4000, 8000), (4095, 8000), (8190, 8000), (12_290, 50), (12_296, 1)] {
        k.put(DATA, &[0xaa; 8192]);
        let read = answer(&mut k, nr::pread64, &[file, to, count, at]);
        let there = &model[at as usize..model.len().min((at + count) as usize)];
        assert_eq!(read, there.len() as i64, "{at}");
        assert!(k.bytes_in(1, DATA + 100, there.len()).unwrap() == there, "{at}");
        assert_eq!(k.bytes_in(1, DATA + 100 + read as u64, 1).unwrap(), [0xaa]);
    }
    let program = open(&mut k, b"/init\0", 0);
    assert_eq!(answer(&mut k, nr::pread64, &[program, to, 4090, 1]), 4090);
    assert_eq!(k.bytes_in(1, DATA + 100, 4).unwrap(), b"ELF\x02");
}

#[test]
fn what_would_fill_the_heap_is_refused_and_what_frees_is_not() {
    let mut k = kernel();
    let enomem = -12;
    let file = open(&mut k, b"/f\0", 0o102);
    k.put(DATA + 32, b"/g\0");
    let (old, new) = (DATA as i64, DATA as i64 + 32);
    let link = [-100, old, -100, new, 0];
    k.machine.heap_is_full = true;
    assert_eq!(answer(&mut k, nr::linkat, &link), enomem);
    assert_eq!(answer(&mut k, nr::mmap, &[0, 4096, 3, 0x22, -1, 0]), enomem);
    assert_eq!(open(&mut k, b"/proc/self/maps\0", 0), enomem);
    assert_eq!(answer(&mut k, nr::close, &[file]), 0);
    k.put(DATA, b"/f\0");
    assert_eq!(answer(&mut k, nr::unlinkat, &[-100, old, 0]), 0);
    k.machine.heap_is_full = false;
    assert!(open(&mut k, b"/proc/self/maps\0", 0) >= 0);
}

#[test]
fn maps_of_many_long_paths_is_refused() {
    let mut k = kernel();
    let name = [b'n'; 250];
    let mut path = b"/".to_vec();
    for _ in 0..12 {
        path.extend_from_slice(&name);
        path.push(0);
        k.put(DATA, &path);
        assert_eq!(answer(&mut k, nr::mkdirat, &[-100, DATA as i64, 0o755]), 0);
        *path.last_mut().unwrap() = b'/';
    }
    path.extend_from_slice(b"f\0");
    let file = open(&mut k, &path, 0o102);
    k.put(DATA, &[1; 4096]);
    assert_eq!(answer(&mut k, nr::write, &[file, DATA as i64, 4096]), 4096);
    // Rights alternate, so each page is a region.
    for i in 0..400 {
        let at = 0x5000_0000 + i * 4096;
        assert_eq!(answer(&mut k, nr::mmap, &[at, 4096, 1 + i % 2 * 4, 0x12, file, 0]), at);
    }
    assert_eq!(open(&mut k, b"/proc/self/maps\0", 0), -12);
    assert_eq!(answer(&mut k, nr::munmap, &[0x5000_0000, 200 * 4096]), 0);
    assert!(open(&mut k, b"/proc/self/maps\0", 0) >= 0);
}

#[test]
fn in_proc_nothing_but_directories_has_blocks() {
    let mut k = kernel();
    let (cwd, path, out, no_follow) = (-100, DATA as i64, DATA + 128, 0x100);
    let number = |k: &mut Kernel<Fake>, at: u64| {
        u64::from_le_bytes(k.bytes_in(1, out + at, 8).unwrap().try_into().unwrap())
    };
    let target = [b'x'; 64];
    k.put(DATA, &[&b"/l\0"[..], &target, b"\0"].concat());
    assert_eq!(answer(&mut k, nr::symlinkat, &[path + 3, cwd, path]), 0);
    // Size and blocks: a descriptor's link has the size of one that a page holds, elsewhere.
    for (name, expected) in [
        (&b"/dev/fd/0\0"[..], [64, 0]),
        (b"/proc/self/fd/0\0", [64, 0]),
        (b"/proc/self/exe\0", [0, 0]),
        (b"/proc/self/stat\0", [0, 0]),
        (b"/proc/self/fd\0", [4096, 8]),
        (b"/l\0", [64, 8]),
    ] {
        k.put(DATA, name);
        assert_eq!(answer(&mut k, nr::newfstatat, &[cwd, path, out as i64, no_follow]), 0);
        assert_eq!([48, 64].map(|at| number(&mut k, at)), expected, "stat {}", name.escape_ascii());
        assert_eq!(answer(&mut k, nr::statx, &[cwd, path, no_follow, 0x7ff, out as i64]), 0);
        assert_eq!([40, 48].map(|at| number(&mut k, at)), expected, "statx {}", name.escape_ascii());
    }
}
