//! More than there is of processes, memory, files, signals.

use crate::{DIRECTORY, End, fork, wait};
use apps::{Random, raw};
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A fork bomb in a session of its own; killed so many milliseconds after it was refused a process.
pub fn bomb(milliseconds: u64) {
    let mut time = 0;
    let mut ends = [0; 2];
    // SAFETY: (1) there is room for two descriptors.
    unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK) };
    let end = fork(|| {
        loop {
            // SAFETY: (1) this program has one thread; both sides go on; (2) the string has a byte.
            if unsafe { libc::fork() } < 0 {
                unsafe { libc::write(ends[1], c"".as_ptr().cast(), 1) };
                std::thread::yield_now();
            }
        }
    })
    .map(|pid| {
        wait(pid, || {
            let mut byte = 0u8;
            // SAFETY: (1) the byte outlives the call.
            time += u64::from(time > 0 || unsafe { libc::read(ends[0], (&raw mut byte).cast(), 1) } == 1);
            time < milliseconds
        });
        // Each round kills those that are there; a child made in between is there in the next. If this is process 1 the dead are its own.
        for _ in 0..200 {
            // SAFETY: (1) the group is ours; (2) so are all children, and a null status is allowed.
            unsafe {
                if libc::kill(-pid, libc::SIGKILL) != 0 {
                    return true;
                }
                while libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) > 0 {}
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        false
    });
    let again = fork(|| {}).map(|pid| wait(pid, || true));
    println!("fuzzcalls: bomb gone: {end:?}, a child afterwards: {again:?}");
    if end != Some(true) || again != Some(End::Exited(0)) {
        std::process::exit(1);
    }
}

/// Takes memory until there is none: mappings, the break, the stack; then files.
pub fn hog() {
    let mut ends = Vec::new();
    for kind in 0..3 {
        let pids: Vec<_> = (0..3).map(|_| fork(|| take(kind))).collect();
        ends.extend(pids.into_iter().flatten().map(|pid| wait(pid, || true)));
    }
    let mut files = 0;
    let block = vec![7u8; 1 << 20];
    let full = loop {
        match std::fs::File::create(format!("{DIRECTORY}/{files}")).and_then(|mut f| f.write_all(&block)) {
            Ok(()) if files < 4096 => files += 1,
            Ok(()) => break None,
            Err(e) => break e.raw_os_error(),
        }
    };
    crate::clean();
    let again = std::fs::write(format!("{DIRECTORY}/again"), &block).is_ok();
    println!(
        "fuzzcalls: hogs ended {ends:?}, files full after {files} MiB: {full:?}, a file afterwards: {again}"
    );
    if ends.len() != 9 || !again {
        std::process::exit(1);
    }
}

fn take(kind: u64) {
    match kind {
        // SAFETY: (1) a fresh mapping is written where it lies, if there is one.
        0 => {
            while unsafe {
                let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
                let at = raw(libc::SYS_mmap, [0, 1 << 20, 3, flags, u64::MAX, 0]);
                if at > 0 {
                    (0..256).for_each(|page| ((at + page * 4096) as *mut u8).write_volatile(1));
                }
                at > 0
            } {}
        }
        1 => {
            // SAFETY: (1) the break only grows, and what it grew by is this function's.
            unsafe {
                let mut at = raw(libc::SYS_brk, [0; 6]) as u64;
                while raw(libc::SYS_brk, [at + (1 << 20), 0, 0, 0, 0, 0]) as u64 == at + (1 << 20) {
                    (at.next_multiple_of(4096)..at + (1 << 20))
                        .step_by(4096)
                        .for_each(|page| (page as *mut u8).write_volatile(1));
                    at += 1 << 20;
                }
            }
        }
        _ => drop(deeper(0)),
    }
}

#[inline(never)]
#[allow(unconditional_recursion)] // until the stack ends
fn deeper(n: u64) -> u64 {
    let room = std::hint::black_box([n; 512]);
    deeper(n + 1) + room[(n % 512) as usize]
}

static HANDLED: AtomicU64 = AtomicU64::new(0);

extern "C" fn handler(_: i32) {
    HANDLED.fetch_add(1, Relaxed);
}

/// Processes that send each other signals while handlers, masks and timers change.
pub fn signals(count: u64) {
    let pids: Vec<i32> = (0..4).filter_map(|i| fork(|| storm(i, count))).collect();
    let ends: Vec<End> = pids.iter().map(|pid| wait(*pid, || true)).collect();
    let again = fork(|| {}).map(|pid| wait(pid, || true));
    println!("fuzzcalls: signal storms ended {ends:?}, a child afterwards: {again:?}");
    if ends.len() != 4 || again != Some(End::Exited(0)) {
        std::process::exit(1);
    }
}

fn storm(seed: u64, count: u64) {
    let random = Random::new(seed + 77);
    // SAFETY: (1) the handler only counts.
    unsafe {
        for signal in 1..32 {
            libc::signal(signal, handler as *const () as usize);
        }
    };
    let timer = [0u64, 500, 0, 500];
    // SAFETY: (1) the structure outlives the call.
    unsafe { raw(libc::SYS_setitimer, [0, timer.as_ptr() as u64, 0, 0, 0, 0]) };
    // SAFETY: (1) this program has one thread.
    let partner = unsafe { libc::fork() };
    for _ in 0..count {
        let signal = random.of(&[1, 2, 3, 10, 12, 13, 14, 15, 17, 18, 28, 30]);
        // Itself, its partner or its parent, or its group.
        let whom = match random.below(4) {
            0 => 0,
            1 if partner > 0 => partner as u64,
            _ => u64::from(std::process::id()),
        };
        let mask = [random.next() & random.next()];
        // SAFETY: (1) the structures outlive the calls.
        unsafe {
            raw(libc::SYS_kill, [whom, signal, 0, 0, 0, 0]);
            if random.below(8) == 0 {
                raw(libc::SYS_rt_sigprocmask, [2, mask.as_ptr() as u64, 0, 8, 0, 0]);
            }
        }
    }
    if partner > 0 {
        // SAFETY: (1) the child is ours; a null status is allowed.
        unsafe {
            libc::kill(partner, libc::SIGKILL);
            libc::waitpid(partner, std::ptr::null_mut(), 0);
        }
    }
}
