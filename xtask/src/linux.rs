//! A real Linux as a further voice: Debian's own arm64 kernel on QEMU, with the same root image, running the same command.
//!
//! Its process 1 is a script that makes the program's surroundings as `docs/linux-abi.md` has them (mounts, devices, limits), runs the
//! command and turns the machine off. The console is the first serial port; the exit status comes by the second.

use crate::build::Tools;
use crate::cpio::Node;
use crate::machine::{Options, QEMU};
use crate::{own, packages, root};
use anyhow::{Context, Result, bail};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What Debian's kernel is told.
const COMMAND_LINE: &str = "console=ttyAMA0 quiet loglevel=0 panic=-1 rootfstype=ramfs rdinit=/init";
/// The same for tests, which ask what it answers and not what that costs: with mitigations, and with the page tables apart that KASLR brings,
/// QEMU flushes its TLB at each call.
const QUICK: &str = "mitigations=off kpti=off nokaslr";

/// What stands for it where a kernel is named.
pub const NAME: &str = "linux";

/// Everything that it is booted from.
pub struct Linux {
    tools: Tools,
    kernel: PathBuf,
}

/// How a command ended.
pub struct Ended {
    /// Exit status as a shell gives it; none: the machine stopped before.
    pub status: Option<i32>,
    /// What the console showed.
    pub console: Vec<u8>,
}

impl Linux {
    /// Of the options only `command`, `packages`, `files` and `qemu` count for it. Fetches Debian's kernel, once.
    pub fn find(tools: &Tools) -> Result<Linux> {
        let package = root::package(tools, "linux-image-arm64", "*/vmlinuz-*", "")?;
        let boot =
            std::fs::read_dir(package.join("boot")).context("Debian's linux-image-arm64 has no /boot")?;
        let mut files: Vec<PathBuf> = boot.map(|e| Ok(e?.path())).collect::<Result<_>>()?;
        files.sort();
        let kernel = files.pop().context("Debian's linux-image-arm64 has no /boot/vmlinuz")?;
        Ok(Linux { tools: tools.clone(), kernel })
    }

    /// The kernel's file.
    pub fn kernel(&self) -> &Path {
        &self.kernel
    }

    /// QEMU with this kernel, told so much `more`, about to run a command (none: an interactive shell), its exit status going into a file; and that file.
    fn machine(&self, options: &Options, more: &str) -> Result<(Command, PathBuf)> {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let dir = self.tools.target.join("machine").join(format!("linux-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        let mut tree = root::base(&self.tools)?;
        packages::add_to(&mut tree, &self.tools, &options.packages)?;
        let command = own::add_to(&mut tree, &options.files, options.command.as_deref())?;
        tree.add("/init", Node::File { data: init(command.as_deref()).into_bytes(), mode: 0o755 });
        let (initrd, status) = (dir.join("initrd"), dir.join("status"));
        // The kernel skips members whose names, with their padding, are longer than a path: nothing is aligned.
        std::fs::write(&initrd, tree.to_newc(root::TIME, 4))?;
        let mut q = Command::new(QEMU);
        q.args(["-M", "virt,gic-version=2", "-cpu", "cortex-a72", "-m", "512M", "-smp", "1"]);
        q.args(["-nodefaults", "-nographic", "-no-reboot", "-monitor", "none", "-serial", "stdio"]);
        q.arg("-serial").arg(format!("file:{}", status.display()));
        q.arg("-kernel").arg(&self.kernel).arg("-initrd").arg(&initrd);
        q.arg("-append").arg(format!("{COMMAND_LINE} {more}"));
        q.args(&options.qemu);
        Ok((q, status))
    }

    /// Runs a command (none: an interactive shell) with this process' own standard streams; its exit status.
    pub fn attach(&self, options: &Options) -> Result<i32> {
        let (mut q, status) = self.machine(options, "")?;
        if options.command.is_some() {
            q.stdin(Stdio::null());
        }
        q.status().with_context(|| format!("cannot run {QEMU}; `make setup` installs it"))?;
        told(&status).context("the machine stopped before the program ended")
    }

    /// Runs a command to its end, or for as long as `timeout` allows.
    pub fn run(&self, options: &Options, timeout: Duration) -> Result<Ended> {
        let (mut q, status) = self.machine(options, QUICK)?;
        q.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = q.spawn().with_context(|| format!("cannot run {QEMU}; `make setup` installs it"))?;
        let mut output = child.stdout.take().context("QEMU's output")?;
        let reader = std::thread::spawn(move || {
            let mut console = Vec::new();
            output.read_to_end(&mut console).map(|_| console)
        });
        let end = Instant::now() + timeout;
        while child.try_wait()?.is_none() {
            if Instant::now() > end {
                child.kill()?;
                child.wait()?;
                let so_far = reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))??;
                bail!("Debian's Linux: time is up\n{}", String::from_utf8_lossy(&so_far));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let console = reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))??;
        Ok(Ended { status: told(&status), console })
    }
}

/// The exit status in `file`, which goes with its directory.
fn told(file: &Path) -> Option<i32> {
    let text = std::fs::read_to_string(file).ok();
    if let Some(dir) = file.parent() {
        let _ = std::fs::remove_dir_all(dir);
    }
    text?.trim().parse().ok()
}

/// Process 1. It is a script: the kernel has no mounts, devices and limits of the program's view by itself.
fn init(command: Option<&str>) -> String {
    let program = match command {
        Some(c) => format!("ash -c '{}'", c.replace('\'', "'\\''")),
        None => "ash -i".to_owned(),
    };
    format!(
        r"#!/bin/busybox ash
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root TERM=vt100 PS1='\w \$ '
rm /init
mount -t tmpfs -o mode=755 dev /dev
cd /dev
for node in null:3 zero:5 full:7 random:8 urandom:9; do mknod -m 666 ${{node%:*}} c 1 ${{node#*:}}; done
mknod -m 666 tty c 5 0
mknod -m 600 console c 5 1
mknod -m 600 ttyAMA0 c 204 64
mknod -m 600 ttyAMA1 c 204 65
ln -s /proc/self/fd fd
for n in 0:stdin 1:stdout 2:stderr; do ln -s /proc/self/fd/${{n%:*}} ${{n#*:}}; done
mount -t proc proc /proc
for n in symlinks hardlinks fifos regular; do echo 0 > /proc/sys/fs/protected_$n; done
mount -o remount,ro /proc
mount -o remount,ro /dev
mount -o remount,noatime /
cd /
hostname tetrarch
umask 022
ulimit -n 256
setsid -c {program} </dev/ttyAMA0 >/dev/ttyAMA0 2>&1
echo $? >/dev/ttyAMA1
poweroff -f
"
    )
}
