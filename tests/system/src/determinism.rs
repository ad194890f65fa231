//! The cases of the determinism tests: what is typed, and what must come out.

use crate::{Options, PROMPT, Session};
use anyhow::{Context, Result, ensure};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// One case.
#[derive(Clone, Copy)]
pub struct Case {
    /// For people.
    pub name: &'static str,
    /// Types and checks at a prompt.
    pub drive: fn(&mut Session) -> Result<()>,
}

/// All cases. Each also demands that no kernel is accused.
pub const CASES: &[Case] = &[
    Case { name: "pipeline in background", drive: pipeline },
    Case { name: "gzip while typing", drive: gzip },
    Case { name: "1 ms poll loop", drive: poll_loop },
    Case { name: "fork storm", drive: fork_storm },
    Case { name: "two writers, one file", drive: two_writers },
    Case { name: "Ctrl-C, bare loop", drive: bare_loop },
    Case { name: "job control", drive: job_control },
    Case { name: "Ctrl-C, loop in a shell", drive: child_loop },
    Case { name: "Ctrl-C, handled by the shell", drive: shell_loop },
];

/// Boots a shell, drives the cases one after the other, ends the shell; an error names the case in which anything differs from what it
/// should be or a kernel is accused.
pub fn run_cases(cases: &[Case], options: &Options) -> Result<()> {
    let mut s = Session::shell(options)?;
    for case in cases {
        (case.drive)(&mut s).with_context(|| case.name)?;
        let accused = s.operator.lines.iter().find(|l| crate::accuses(l));
        ensure!(accused.is_none(), "{}: {accused:?}", case.name);
    }
    s.send("exit 0\r")?;
    let f = s.finish()?;
    ensure!(f.status == Some(0), "exit status {:?}: {:?}", f.status, f.console);
    let accused = f.accusations();
    ensure!(accused.is_empty(), "{accused:?}");
    Ok(())
}

fn pipeline(s: &mut Session) -> Result<()> {
    s.command("seq 1 2000 | sort -n | md5sum > /tmp/a & seq 1 500 | wc -l > /tmp/b &")?;
    let out = s.command("wait; cat /tmp/a /tmp/b")?;
    // md5 of the numbers 1 to 2000, a line each, taken on another system.
    ensure!(out.contains("ea4d0a24dabcaa11f9aa979b872d162b"), "{out:?}");
    ensure!(out.contains("500\r\n"), "{out:?}");
    Ok(())
}

fn gzip(s: &mut Session) -> Result<()> {
    // Not `seq > file`: in the interactive shell its output is line-buffered, 160,000 writes.
    s.command("dd if=/bin/busybox of=/tmp/big bs=50000 count=20")?;
    s.command("gzip -c /tmp/big > /tmp/big.gz &")?;
    for i in 0..5 {
        let out = s.command(&format!("echo typed $(({i} + 1))"))?;
        ensure!(out.contains(&format!("typed {}\r\n", i + 1)), "{out:?}");
    }
    let out = s.command("wait; gunzip -c /tmp/big.gz | cmp - /tmp/big && echo same")?;
    ensure!(out.contains("same\r\n"), "{out:?}");
    Ok(())
}

fn poll_loop(s: &mut Session) -> Result<()> {
    let out = s.command("pollloop 30 && echo done")?;
    ensure!(out.contains("poll 30: ") && out.contains("done\r\n"), "{out:?}");
    Ok(())
}

fn fork_storm(s: &mut Session) -> Result<()> {
    let out = s.command("forkstorm 2 | tail -n 3; echo over")?;
    ensure!(out.contains("child ") && out.contains("over\r\n"), "{out:?}");
    Ok(())
}

fn two_writers(s: &mut Session) -> Result<()> {
    let out = s.command("twowriters | md5sum; twowriters | wc -l")?;
    ensure!(out.contains("400\r\n"), "{out:?}");
    Ok(())
}

fn interrupted(s: &mut Session, start: &str) -> Result<()> {
    s.send(start)?;
    s.expect("\r\n")?;
    s.run_for(std::time::Duration::from_millis(700));
    s.send("\x03")?;
    s.expect(PROMPT)?;
    let out = s.command("echo status $?")?;
    ensure!(out.contains("status 130\r\n"), "{out:?}");
    Ok(())
}

fn child_loop(s: &mut Session) -> Result<()> {
    // By its path, so that it is executed and SIGINT has its default action.
    interrupted(s, "/bin/ash -c 'while :; do :; done'\r")
}

fn shell_loop(s: &mut Session) -> Result<()> {
    // In the interactive shell itself, which handles SIGINT.
    interrupted(s, "while :; do :; done\r")
}

fn bare_loop(s: &mut Session) -> Result<()> {
    interrupted(s, "spin\r")
}

fn job_control(s: &mut Session) -> Result<()> {
    s.send("cat\r")?;
    s.expect("\r\n")?;
    s.run_for(std::time::Duration::from_millis(300));
    s.send("to cat\r")?;
    s.expect("to cat\r\n")?;
    s.expect("to cat\r\n")?;
    s.send("\x1a")?;
    s.expect(PROMPT)?;
    let out = s.command("jobs")?;
    ensure!(out.contains("Stopped"), "{out:?}");
    s.command("sleep 100 &")?;
    s.command("kill %2")?;
    s.send("fg %1\r")?;
    s.expect("cat\r\n")?;
    s.run_for(std::time::Duration::from_millis(300));
    s.send("again\r")?;
    s.expect("again\r\n")?;
    s.expect("again\r\n")?;
    s.send("\x04")?;
    s.expect(PROMPT)?;
    Ok(())
}

/// Keeps the host's cores busy with work in bursts, so that emulated cores stall at odd moments.
pub struct Load(Arc<AtomicBool>, Vec<JoinHandle<()>>);

impl Load {
    /// As many threads as the host has cores.
    pub fn start() -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let threads = (0..cores as u64).map(|i| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                let mut x = i + 1;
                while !stop.load(Ordering::Relaxed) {
                    for _ in 0..20_000_000 {
                        x = std::hint::black_box(x.wrapping_mul(6364136223846793005).wrapping_add(1));
                    }
                    std::thread::sleep(std::time::Duration::from_millis(x % 17));
                }
            })
        });
        Load(stop.clone(), threads.collect())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        self.1.drain(..).for_each(|t| drop(t.join()));
    }
}
