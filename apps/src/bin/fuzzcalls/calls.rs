//! Raw calls, without any sense.

use crate::{End, clean, fork, wait};
use apps::{Random, raw};

/// A child makes so many at most.
const EACH: u64 = 2000;
/// It writes a byte after each so many: the count that is told is never too high.
const STEP: u64 = 20;
/// Where it writes them; random descriptors lie below.
const PROGRESS: u64 = 255;
const ARENA: u64 = 0x10_0000_0000;
const ARENA_SIZE: u64 = 64 * 4096;
/// A child that makes no progress for so many milliseconds of the program's clock hangs in a call.
const PATIENCE: u32 = 30;

const STRINGS: [&str; 6] = ["/tmp/fz/a\0", "/tmp/fz/b\0", ".\0", "/dev/zero\0", "c/d\0", "/proc/self/maps\0"];

pub fn run(seed: u64, count: u64) {
    let (mut made, mut children, mut hung, mut killed) = (0, 0u64, 0u64, 0u64);
    while made < count {
        clean();
        let mut ends = [0; 2];
        // SAFETY: (1) there is room for two descriptors.
        unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK) };
        children += 1;
        let random = Random::new(seed << 32 | children);
        let pid = fork(|| child(&random, ends));
        // SAFETY: (1) the descriptor is this process' own.
        unsafe { libc::close(ends[1]) };
        let Some(pid) = pid else {
            println!("fuzzcalls: no child any more: {}", std::io::Error::last_os_error());
            std::process::exit(1);
        };
        let mut quiet = 0;
        let end = wait(pid, || {
            let n = drain(ends[0]);
            made += n * STEP;
            quiet = if n > 0 { 0 } else { quiet + 1 };
            quiet < PATIENCE
        });
        made += drain(ends[0]) * STEP;
        // SAFETY: (1) as above.
        unsafe { libc::close(ends[0]) };
        hung += u64::from(end == End::Hung);
        killed += u64::from(matches!(end, End::Killed(_)));
    }
    println!(
        "fuzzcalls: {made} calls by {children} children, {killed} killed by their calls, {hung} that waited for nothing"
    );
}

fn drain(fd: i32) -> u64 {
    let mut buffer = [0u8; 512];
    // SAFETY: (1) the buffer outlives the call.
    let n = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) };
    n.max(0) as u64
}

fn child(random: &Random, ends: [i32; 2]) {
    let own = std::process::id();
    // SAFETY: (1) nothing of a static program lies at ARENA; (2) the descriptors are this process' own; (3) the strings fit into the arena.
    unsafe {
        libc::dup2(ends[1], PROGRESS as i32);
        libc::close(ends[0]);
        libc::close(ends[1]);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        libc::mmap(ARENA as *mut _, ARENA_SIZE as usize, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        for (i, s) in STRINGS.iter().enumerate() {
            std::ptr::copy_nonoverlapping(s.as_ptr(), (ARENA as *mut u8).add(i * 32), s.len());
        }
        for i in 64..1024 {
            (ARENA as *mut u64).add(i).write(argument(random));
        }
    }
    for i in 1..=EACH {
        let number = number(random);
        let mut a = [(); 6].map(|()| argument(random));
        match number {
            // Signals to others than itself would end the parent, or the shell.
            129..=131 | 138 | 240 | 424 => a[0] = [u64::from(own), 1 << 22][random.below(2) as usize],
            // It ends soon enough by itself.
            93 | 94 if random.below(50) > 0 => continue,
            _ => {}
        }
        // SAFETY: (1) whatever happens to this process is the point of the program.
        unsafe { raw(number as i64, a) };
        if std::process::id() != own {
            // A child by a fuzzed clone.
            return;
        }
        // SAFETY: (1) the arena's first byte, unless it was unmapped; a failed write ends the child.
        if i % STEP == 0
            && unsafe { raw(libc::SYS_write, [PROGRESS, STRINGS[0].as_ptr() as u64, 1, 0, 0, 0]) } != 1
        {
            return;
        }
    }
}

fn number(random: &Random) -> u64 {
    match random.below(40) {
        0 => random.of(&[u64::MAX, 1 << 32, 1 << 31, 470, 1000, (1 << 32) + 64]),
        _ => random.below(470),
    }
}

fn argument(random: &Random) -> u64 {
    match random.below(20) {
        0..4 => random.below(24),
        4..10 => ARENA + random.below(32) * 32,
        10 | 11 => ARENA + random.below(ARENA_SIZE),
        12 => ARENA + ARENA_SIZE - random.below(16),
        13 => random.of(&[
            0,
            u64::MAX,
            1 << 63,
            1 << 47,
            1 << 39,
            (1 << 39) - 4096,
            0xffff_ff80_0000_0000,
            0x4000_0000,
        ]),
        14 => random.next() << random.below(40),
        15 => 1 << random.below(64),
        16 => random.below(1 << 20) * 4096,
        // Its own code and stack.
        17 => (argument as *const () as u64) & !4095 | random.below(4096),
        18 => &raw const random as u64 + random.below(4096),
        _ => (random.below(64) as i64 - 32) as u64,
    }
}
