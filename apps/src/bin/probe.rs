//! `probe`: prints all that a program can find out about where it runs. On several kernels that vote it must print what it prints on one that runs alone
//! (requirement R29); what chance and clocks say is left out, but not how clocks go.

use std::arch::asm;
use std::fs;

/// Runs `does` in a child and says how that ended: what EL0 may not do ends in a signal.
fn child(name: &str, does: fn() -> u64) {
    // SAFETY: (1) this process has one thread.
    match unsafe { libc::fork() } {
        0 => {
            println!("{name}: {:#x}", does());
            // SAFETY: (1) nothing is to be cleaned up behind a fork.
            unsafe { libc::_exit(0) }
        }
        pid => {
            let mut status = 0;
            // SAFETY: (1) `status` lives.
            unsafe { libc::waitpid(pid, &mut status, 0) };
            println!("{name}: status {status:#x}");
        }
    }
}

macro_rules! register {
    ($name:literal) => {
        child($name, || {
            let value: u64;
            // SAFETY: (1) reading a register changes nothing; if it may not be read the child ends by a signal.
            unsafe { asm!(concat!("mrs {}, ", $name), out(reg) value) };
            value
        })
    };
}

fn registers() {
    register!("ctr_el0");
    register!("dczid_el0");
    register!("cntfrq_el0");
    register!("cntvct_el0");
    register!("cntpct_el0");
    register!("pmccntr_el0");
    register!("midr_el1");
    register!("mpidr_el1");
    register!("id_aa64pfr0_el1");
    register!("id_aa64isar0_el1");
    child("hvc", || {
        // SAFETY: (1) undefined at EL0: the child ends by a signal.
        unsafe { asm!("hvc #0") };
        0
    });
}

fn file(path: &str) {
    match fs::read(path) {
        Ok(bytes) => println!("{path}: {:?}", String::from_utf8_lossy(&bytes)),
        Err(e) => println!("{path}: {:?}", e.raw_os_error()),
    }
}

fn directory(path: &str) {
    match fs::read_dir(path) {
        Ok(entries) => {
            let mut names: Vec<_> = entries.flatten().map(|e| e.file_name()).collect();
            names.sort();
            println!("{path}: {names:?}");
        }
        Err(e) => println!("{path}: {:?}", e.raw_os_error()),
    }
}

fn auxv() {
    for entry in fs::read("/proc/self/auxv").unwrap_or_default().chunks_exact(16) {
        let word = |at: usize| u64::from_ne_bytes(entry[at..at + 8].try_into().expect("eight bytes"));
        println!("auxv {}: {:#x}", word(0), word(8));
    }
}

fn system() {
    // SAFETY: (1) all are plain data that the calls fill, of the sizes they are told.
    unsafe {
        let mut name: libc::utsname = std::mem::zeroed();
        println!("uname: {}", libc::uname(&mut name));
        for field in [&name.sysname, &name.nodename, &name.release, &name.version, &name.machine] {
            println!("  {:?}", std::ffi::CStr::from_ptr(field.as_ptr()));
        }
        let mut info: libc::sysinfo = std::mem::zeroed();
        let done = libc::sysinfo(&mut info);
        println!("sysinfo: {done} {} {} {} {}", info.totalram, info.totalswap, info.procs, info.mem_unit);
        let mut cores = [0u8; 128];
        let length = libc::syscall(libc::SYS_sched_getaffinity, 0, cores.len(), cores.as_mut_ptr());
        println!("affinity: {length} {:x?}", &cores[..16]);
        let (mut core, mut node) = (77u32, 77u32);
        println!("getcpu: {} {core} {node}", libc::syscall(libc::SYS_getcpu, &mut core, &mut node, 0));
        let mut random = [0u8; 16];
        println!("getrandom: {}", libc::syscall(libc::SYS_getrandom, random.as_mut_ptr(), 16, 0));
        println!("ids: {} {} {} {}", libc::getpid(), libc::getppid(), libc::getpgrp(), libc::getsid(0));
        for which in 0..16 {
            let mut limit: libc::rlimit = std::mem::zeroed();
            let done = libc::syscall(libc::SYS_prlimit64, 0, which, 0, &mut limit);
            println!("limit {which}: {done} {:#x} {:#x}", limit.rlim_cur, limit.rlim_max);
        }
        let here = 0u8;
        println!("stack: {:#x}, break: {:#x}", &raw const here as usize, libc::syscall(libc::SYS_brk, 0));
        let page = libc::mmap(std::ptr::null_mut(), 4096, 1, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0);
        println!("mmap: {page:p}");
    }
}

fn clock(id: i32) -> u64 {
    // SAFETY: (1) plain data that the call fills.
    unsafe {
        let mut t: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(id, &mut t);
        t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
    }
}

fn clocks() {
    for id in [libc::CLOCK_REALTIME, libc::CLOCK_MONOTONIC] {
        // SAFETY: (1) plain data that the call fills.
        let resolution = unsafe {
            let mut t: libc::timespec = std::mem::zeroed();
            libc::clock_getres(id, &mut t);
            t.tv_nsec
        };
        let readings: Vec<u64> = (0..1000).map(|_| clock(id)).collect();
        println!(
            "clock {id}: resolution {resolution}, goes back: {}",
            readings.windows(2).any(|w| w[1] < w[0])
        );
        let before = clock(id);
        std::thread::sleep(std::time::Duration::from_millis(30));
        println!("clock {id}: sleeps as long as asked: {}", clock(id) - before >= 30_000_000);
    }
}

/// Two processes write what they like when they like: the reader finds an order, which is the same everywhere.
fn race() {
    let mut ends = [0; 2];
    // SAFETY: (1) the buffers live as long as the calls; (2) this process has one thread.
    unsafe {
        libc::pipe(ends.as_mut_ptr());
        for who in [b"a", b"b", b"c"] {
            if libc::fork() == 0 {
                for round in 0..20u64 {
                    for spin in 0..(round * 7919 + u64::from(who[0]) * 104_729) % 50_000 {
                        std::hint::black_box(spin);
                    }
                    libc::write(ends[1], who.as_ptr().cast(), 1);
                }
                libc::_exit(0);
            }
        }
        libc::close(ends[1]);
        let (mut order, mut byte) = (String::new(), 0u8);
        while libc::read(ends[0], (&raw mut byte).cast(), 1) == 1 {
            order.push(byte as char);
        }
        println!("race: {order}");
    }
}

fn main() {
    system();
    auxv();
    registers();
    for path in [
        "/proc/cpuinfo",
        "/proc/version",
        "/proc/mounts",
        "/proc/filesystems",
        "/proc/cmdline",
        "/proc/interrupts",
        "/proc/self/maps",
        "/proc/self/cmdline",
        "/proc/self/environ",
        "/proc/self/limits",
        "/proc/self/cgroup",
        "/proc/1/cmdline",
        "/proc/1/comm",
        "/proc/sys/kernel/hostname",
        "/proc/sys/kernel/random/boot_id",
        "/proc/device-tree/model",
        "/etc/hostname",
        "/sys/devices/system/cpu/online",
    ] {
        file(path);
    }
    for path in ["/", "/dev", "/proc", "/proc/self", "/proc/self/fd", "/sys", "/tmp", "/run", "/var", "/etc"]
    {
        directory(path);
    }
    clocks();
    race();
}
