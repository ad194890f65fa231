//! `sequences FIRST COUNT CALLS [TOGETHER] [-v]`: COUNT pseudo-random sequences of well- and ill-formed system calls over files, memory, processes,
//! pipes and signals, numbered from FIRST. TOGETHER of them (1 unless said) share a process and a directory, both fresh for the first: each goes on
//! with what those before it left, and in a fresh process and directory if the last ended with its own. A line for each: its number, a sum of
//! what its calls answered (0: its process ended in it; of the last, also what all left behind), how it ended. What the contract does not take
//! from Linux is avoided or left out of the sum (docs/differential.md says what), so a real Linux prints the same. `-v`: every call with its
//! answer, on standard error.
//! `sequences inherit FD`: what an executed program finds, as a sum written to FD; the sequences execute it.

mod attributes;
mod calls;
mod files;
mod memory;
mod places;
mod processes;
mod signals;
mod storm;

use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use storm::Storm;

/// Where the child tells its sums, and where it traces; below them all that sequences touch.
pub const REPORT: i32 = 250;
pub const TRACE: i32 = 251;
const TOP: &str = "/tmp/q";
/// The file behind [`REPORT`]: not a pipe, for its reader would be woken by each sum.
const SUMS: &str = "/tmp/q.sums";

/// What stands in the directory before a sequence begins.
fn prepare(seed: u64) -> std::io::Result<()> {
    std::fs::create_dir_all("/tmp/q/w/d")?;
    std::env::set_current_dir("/tmp/q/w")?;
    std::os::unix::fs::symlink("loop", "loop")?;
    std::os::unix::fs::symlink("d", "l")?;
    std::fs::write("a", b"some bytes to begin with")?;
    if seed.is_multiple_of(2) {
        std::fs::write("d/b", [b'x'; 5000])?;
    }
    Ok(())
}

fn child(report: &File, seeds: Range<u64>, mut storm: Storm, calls: u64) -> ! {
    // SAFETY: (1) the descriptors are this process' own; (2) no other thread is there; (3) the strings end with a zero byte.
    unsafe {
        libc::setsid();
        libc::dup2(2, TRACE);
        libc::dup3(report.as_raw_fd(), REPORT, libc::O_CLOEXEC);
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        for fd in 0..3 {
            libc::dup2(null, fd);
        }
        for fd in [report.as_raw_fd(), null].into_iter().filter(|fd| *fd > 2) {
            libc::close(fd);
        }
        libc::fcntl(TRACE, libc::F_SETFD, libc::FD_CLOEXEC);
    }
    for seed in seeds.clone() {
        storm.trace(&format!("sequence {seed}"));
        storm.draw_from(seed);
        if seed == seeds.start {
            storm.begin()
        } else {
            storm.go_on()
        }
        (0..calls).for_each(|_| storm.step());
        if seed + 1 == seeds.end {
            storm.look_back();
        }
        storm.tell(REPORT);
    }
    // SAFETY: (1) ends this process.
    unsafe { libc::_exit(0) }
}

/// Runs sequences in one process until all have run or it ends; their sums (of the last that began 0, if it ended its process) and the status.
fn together(report: &File, seeds: Range<u64>, storm: Storm, calls: u64) -> std::io::Result<(Vec<u64>, i32)> {
    let _ = std::fs::remove_dir_all(TOP);
    prepare(seeds.start)?;
    report.set_len(0)?;
    // SAFETY: (1) this program has one thread.
    let pid = unsafe {
        libc::lseek(report.as_raw_fd(), 0, libc::SEEK_SET);
        libc::fork()
    };
    if pid == 0 {
        child(report, seeds, storm, calls);
    }
    if pid < 0 {
        return Err(std::io::Error::last_os_error());
    }
    let mut status = 0;
    // SAFETY: (1) `status` outlives the call.
    unsafe { libc::waitpid(pid, &mut status, 0) };
    // What a killed child of the child left behind is ended, lest it disturbs the next.
    // SAFETY: (1) the session's group is that child's.
    unsafe { libc::kill(-pid, libc::SIGKILL) };
    let mut told = vec![0; 8 * (seeds.end - seeds.start) as usize];
    let length = report.read_at(&mut told, 0)?;
    let mut sums: Vec<u64> =
        told[..length].as_chunks().0.iter().map(|sum| u64::from_le_bytes(*sum)).collect();
    if sums.len() < (seeds.end - seeds.start) as usize {
        sums.push(0);
    }
    Ok((sums, status))
}

fn main() -> std::io::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    if args.get(1).is_some_and(|a| a == "inherit") {
        return processes::inherit(args.get(2).and_then(|a| a.parse().ok()).unwrap_or(1));
    }
    let number = |n: usize, default: u64| args.get(n).and_then(|a| a.parse().ok()).unwrap_or(default);
    let (first, count, calls, size) = (number(1, 1), number(2, 10), number(3, 30), number(4, 1).max(1));
    let verbose = args.iter().any(|a| a == "-v");
    places::fill();
    let report = File::options().read(true).write(true).create(true).truncate(true).open(SUMS)?;
    let mut seed = first;
    while seed < first + count {
        let mut lines = String::new();
        // Each write is a vote of its own: few of them, but not all at the end.
        let until = (seed + 64).min(first + count);
        while seed < until {
            let end = (first + ((seed - first) / size + 1) * size).min(first + count);
            let (sums, status) = together(&report, seed..end, Storm::new(size > 1, verbose), calls)?;
            for (at, sum) in (seed..).zip(&sums) {
                let ended = if at + 1 == seed + sums.len() as u64 { status } else { 0 };
                lines.push_str(&format!("{at} {sum:016x} {ended:x}\n"));
            }
            seed += sums.len() as u64;
        }
        std::io::stdout().write_all(lines.as_bytes())?;
    }
    std::env::set_current_dir("/")?;
    std::fs::remove_file(SUMS)?;
    std::fs::remove_dir_all(TOP)
}
