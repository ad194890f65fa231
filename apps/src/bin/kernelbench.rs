//! `kernelbench`: system calls in loops, between marks that a QEMU plugin counts at (`tests/guests/plugin/marks.c`). Prints a line for each:
//! its name and how many times it was done, in the order of the marks.

use apps::{mark, raw};
use std::arch::asm;
use std::ffi::CString;

const CWD: u64 = -100i64 as u64;
const PAGE: u64 = 4096;

fn measure(name: &str, times: u64, does: impl FnMut()) {
    measure_many(name, times, 1, does);
}

/// Does it a few times before, so that what is made on first use is there. It counts as `each` things.
fn measure_many(name: &str, times: u64, each: u64, mut does: impl FnMut()) {
    for _ in 0..4 {
        does();
    }
    mark();
    for _ in 0..times {
        does();
    }
    mark();
    println!("{name} {}", times * each);
}

fn call(number: i64, a: [u64; 6]) -> u64 {
    // SAFETY: (1) the calls here write to buffers of their callers, which outlive them.
    let r = unsafe { raw(number, a) };
    assert!(r >= 0, "call {number}: {r}");
    r as u64
}

fn read(fd: i32, buffer: &mut [u8]) {
    call(libc::SYS_read, [fd as u64, buffer.as_mut_ptr() as u64, buffer.len() as u64, 0, 0, 0]);
}

fn write(fd: i32, buffer: &[u8]) {
    call(libc::SYS_write, [fd as u64, buffer.as_ptr() as u64, buffer.len() as u64, 0, 0, 0]);
}

fn pipe() -> [i32; 2] {
    let mut ends = [0i32; 2];
    call(libc::SYS_pipe2, [ends.as_mut_ptr() as u64, 0, 0, 0, 0, 0]);
    ends
}

/// Runs `does` in a child, which ends.
fn child(does: impl FnOnce()) -> u64 {
    let pid = call(libc::SYS_clone, [libc::SIGCHLD as u64, 0, 0, 0, 0, 0]);
    if pid == 0 {
        does();
        call(libc::SYS_exit_group, [0; 6]);
    }
    pid
}

fn wait(pid: u64) {
    call(libc::SYS_wait4, [pid, 0, 0, 0, 0, 0]);
}

fn files(buffer: &mut [u8]) {
    let path = c"/tmp/kernelbench".as_ptr() as u64;
    let fd = call(libc::SYS_openat, [CWD, path, 0o1102, 0o600, 0, 0]);
    write(fd as i32, buffer);
    let at = buffer.as_mut_ptr() as u64;
    for (suffix, length) in [("1", 1), ("4k", PAGE)] {
        measure(&format!("file_read_{suffix}"), 200, || {
            call(libc::SYS_pread64, [fd, at, length, 0, 0, 0]);
        });
        measure(&format!("file_write_{suffix}"), 200, || {
            call(libc::SYS_pwrite64, [fd, at, length, 0, 0, 0]);
        });
    }
    call(libc::SYS_close, [fd, 0, 0, 0, 0, 0]);
    call(libc::SYS_unlinkat, [CWD, path, 0, 0, 0, 0]);
}

/// A byte to another process and back: two switches, two reads that block, two writes.
fn switches() {
    let (there, back) = (pipe(), pipe());
    let pid = child(|| {
        call(libc::SYS_close, [there[1] as u64, 0, 0, 0, 0, 0]);
        let mut byte = [0];
        // SAFETY: (1) the buffer outlives the call.
        while unsafe { raw(libc::SYS_read, [there[0] as u64, byte.as_mut_ptr() as u64, 1, 0, 0, 0]) } == 1 {
            write(back[1], &byte);
        }
    });
    let mut byte = [1];
    measure("switch_round_trip", 200, || {
        write(there[1], &byte);
        read(back[0], &mut byte);
    });
    call(libc::SYS_close, [there[1] as u64, 0, 0, 0, 0, 0]);
    wait(pid);
}

/// Programs that make the next, each counting down: the first and the last mark. What libc does at a start is in it.
fn execute(left: u64) {
    if left == EXECUTED || left == 0 {
        mark();
    }
    if left == 0 {
        return;
    }
    let (path, next) = (c"/usr/bin/kernelbench", CString::new((left - 1).to_string()).unwrap());
    let list = [path.as_ptr() as u64, next.as_ptr() as u64, 0];
    let at = list.as_ptr() as u64;
    call(libc::SYS_execve, [list[0], at, at + 16, 0, 0, 0]);
}

const EXECUTED: u64 = 40;

fn main() {
    if let Some(left) = std::env::args().nth(1).and_then(|a| a.parse().ok()) {
        return execute(left);
    }
    // What a kernel does once after its start is over.
    std::thread::sleep(std::time::Duration::from_millis(500));
    let mut buffer = vec![7u8; PAGE as usize];
    measure("getpid", 10_000, || {
        call(libc::SYS_getpid, [0; 6]);
    });
    let ends = pipe();
    for (suffix, length) in [("1", 1), ("4k", PAGE as usize)] {
        measure(&format!("pipe_write_read_{suffix}"), 200, || {
            write(ends[1], &buffer[..length]);
            read(ends[0], &mut buffer[..length]);
        });
    }
    files(&mut buffer);
    measure("fork_exit_wait", 40, || wait(child(|| {})));
    wait(child(|| execute(EXECUTED)));
    println!("execve_start {EXECUTED}");
    // A kernel may fill pages when they are mapped or when they are touched: both count. 64 pages each time.
    let mapped = || {
        let at = call(libc::SYS_mmap, [0, 64 * PAGE, 3, 0x22, u64::MAX, 0]);
        // SAFETY: (1) the pages are this mapping's.
        (0..64).for_each(|page| unsafe { ((at + page * PAGE) as *mut u8).write_volatile(1) });
        call(libc::SYS_munmap, [at, 64 * PAGE, 0, 0, 0, 0]);
    };
    measure_many("page_mapped_and_touched", 40, 64, mapped);
    switches();
    // The counter is counted: so many instructions, and those of the loop. Ticks fall into it.
    // SAFETY: (1) they do nothing.
    measure("calibration", 10_000, || unsafe { asm!(".rept 1000", "nop", ".endr") });
}
