//! `sequences FIRST COUNT CALLS [-v]`: COUNT pseudo-random sequences of well- and ill-formed system calls over files, memory, processes, pipes
//! and signals, each in a fresh process and a fresh directory, numbered from FIRST. A line for each: its number, a sum of what its calls
//! answered and left behind, how it ended. What the contract does not take from Linux is avoided or left out of the sum (docs/differential.md says
//! what), so a real Linux prints the same. `-v`: every call with its answer, on standard error.
//! `sequences inherit FD`: what an executed program finds, as a sum written to FD; the sequences execute it.

mod calls;
mod files;
mod memory;
mod places;
mod processes;
mod signals;
mod storm;

use std::io::{Read, Write};
use std::os::fd::FromRawFd;
use storm::Storm;

/// Where the child tells its sum, and where it traces; below them all that sequences touch.
pub const REPORT: i32 = 250;
pub const TRACE: i32 = 251;
const TOP: &str = "/tmp/q";

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

fn child(report: [i32; 2], seed: u64, calls: u64, verbose: bool) -> ! {
    // SAFETY: (1) the descriptors are this process' own; (2) no other thread is there; (3) the strings end with a zero byte.
    unsafe {
        libc::setsid();
        libc::dup2(2, TRACE);
        libc::dup3(report[1], REPORT, libc::O_CLOEXEC);
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        for fd in 0..3 {
            libc::dup2(null, fd);
        }
        for fd in [report[0], report[1], null].into_iter().filter(|fd| *fd > 2) {
            libc::close(fd);
        }
        libc::fcntl(TRACE, libc::F_SETFD, libc::FD_CLOEXEC);
    }
    let mut storm = Storm::new(seed, verbose);
    storm.begin();
    for _ in 0..calls {
        storm.step();
    }
    storm.look_back();
    storm.tell(REPORT);
    // SAFETY: (1) ends this process.
    unsafe { libc::_exit(0) }
}

/// Runs one sequence; its sum (0: it did not come so far) and status.
fn sequence(seed: u64, calls: u64, verbose: bool) -> std::io::Result<(u64, i32)> {
    let _ = std::fs::remove_dir_all(TOP);
    prepare(seed)?;
    let mut report = [0; 2];
    // SAFETY: (1) there is room for two descriptors; (2) this program has one thread.
    let pid = unsafe {
        libc::pipe2(report.as_mut_ptr(), libc::O_CLOEXEC);
        libc::fork()
    };
    if pid == 0 {
        child(report, seed, calls, verbose);
    }
    if pid < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: (1) both descriptors are this process' own, and used nowhere else.
    let mut reader = unsafe {
        libc::close(report[1]);
        std::fs::File::from_raw_fd(report[0])
    };
    let mut told = Vec::new();
    reader.read_to_end(&mut told)?;
    let mut status = 0;
    // SAFETY: (1) `status` outlives the call.
    unsafe { libc::waitpid(pid, &mut status, 0) };
    // What a killed child of the child left behind is ended, lest it disturbs the next.
    // SAFETY: (1) the session's group is that child's.
    unsafe { libc::kill(-pid, libc::SIGKILL) };
    Ok((told.last_chunk::<8>().map_or(0, |b| u64::from_le_bytes(*b)), status))
}

fn main() -> std::io::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    if args.get(1).is_some_and(|a| a == "inherit") {
        return processes::inherit(args.get(2).and_then(|a| a.parse().ok()).unwrap_or(1));
    }
    let number = |n: usize, default: u64| args.get(n).and_then(|a| a.parse().ok()).unwrap_or(default);
    let (first, count, calls) = (number(1, 1), number(2, 10), number(3, 30));
    let verbose = args.iter().any(|a| a == "-v");
    places::fill();
    let mut lines = String::new();
    for seed in first..first + count {
        let (sum, status) = sequence(seed, calls, verbose)?;
        lines.push_str(&format!("{seed} {sum:016x} {status:x}\n"));
        // Each write is a vote of its own: few of them, but not all at the end.
        if seed % 64 == 63 || seed + 1 == first + count {
            std::io::stdout().write_all(lines.as_bytes())?;
            lines.clear();
        }
    }
    std::env::set_current_dir("/")?;
    std::fs::remove_dir_all(TOP)
}
