//! `fuzzcalls calls SEED N`: N raw system calls with random numbers and arguments, wild pointers among them, made by children that are forked
//! again when they die. `fuzzcalls elfs SEED N`: N mutations of a small program, executed. `fuzzcalls bomb MILLISECONDS`, `hog`, `signals N`: processes,
//! memory and files, signals without end. Each says in a line what came of it; what counts is that the kernel is there afterwards.

mod calls;
mod elfs;
mod storms;

use apps::raw;
use std::time::Duration;

/// Where everything happens; emptied again and again.
pub const DIRECTORY: &str = "/tmp/fz";

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Exited(i32),
    Killed(i32),
    /// It did not end by itself, and was killed.
    Hung,
}

/// Runs `does` in a child, a session of its own with nothing but /dev/null open.
pub fn fork(does: impl FnOnce()) -> Option<i32> {
    // SAFETY: (1) this program has one thread; (2) the string ends with a zero byte.
    unsafe {
        match libc::fork() {
            -1 => None,
            0 => {
                libc::setsid();
                let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
                for fd in 0..3 {
                    libc::dup2(null, fd);
                }
                does();
                libc::_exit(0)
            }
            pid => Some(pid),
        }
    }
}

/// Waits for a child, as long as `goes_on` says so every millisecond; whoever is left of its group is killed.
pub fn wait(pid: i32, mut goes_on: impl FnMut() -> bool) -> End {
    let mut status = 0;
    let mut hung = false;
    // SAFETY: (1) `status` outlives the calls; (2) the child and its group are ours.
    unsafe {
        while libc::waitpid(pid, &mut status, libc::WNOHANG) == 0 {
            if !goes_on() {
                hung = true;
                libc::kill(pid, libc::SIGKILL);
                libc::waitpid(pid, &mut status, 0);
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        libc::kill(-pid, libc::SIGKILL);
    }
    match status {
        _ if hung => End::Hung,
        s if libc::WIFEXITED(s) => End::Exited(libc::WEXITSTATUS(s)),
        s => End::Killed(libc::WTERMSIG(s)),
    }
}

/// Begins with an empty directory.
pub fn clean() {
    let _ = std::env::set_current_dir("/");
    let _ = std::fs::remove_dir_all(DIRECTORY);
    let _ = std::fs::create_dir_all(DIRECTORY);
    let _ = std::env::set_current_dir(DIRECTORY);
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let number = |n: usize, default: u64| args.get(n).and_then(|a| a.parse().ok()).unwrap_or(default);
    // SAFETY: (1) no handler is set: a broken pipe is told by the call.
    unsafe { raw(libc::SYS_umask, [0o22, 0, 0, 0, 0, 0]) };
    clean();
    match args.get(1).map(String::as_str) {
        Some("calls") => calls::run(number(2, 1), number(3, 10_000)),
        Some("elfs") => elfs::run(number(2, 1), number(3, 100), args.iter().any(|a| a == "-v")),
        Some("bomb") => storms::bomb(number(2, 100)),
        Some("hog") => storms::hog(),
        Some("signals") => storms::signals(number(2, 2000)),
        _ => {
            eprintln!("fuzzcalls: calls SEED N | elfs SEED N [-v] | bomb MILLISECONDS | hog | signals N");
            std::process::exit(2);
        }
    }
    let _ = std::env::set_current_dir("/");
    let _ = std::fs::remove_dir_all(DIRECTORY);
}
