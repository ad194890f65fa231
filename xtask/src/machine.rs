//! A machine on QEMU: its two serial ports as sockets, its memory as a file.

use crate::build::{self, Tools};
use crate::cpio::Tree;
use crate::image::{self, Item};
use crate::kernels::{built, choose, tier_of};
use crate::session::{Memory, Record, Recorder, channel, channels};
use crate::{bundle, logs, look, overlay, own, packages, raspberry_pi, root};
use abi::bundle::Kind;
use abi::log::Program;
use anyhow::{Context, Result, bail, ensure};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The oldest QEMU with all that is needed here.
pub(crate) const QEMU: &str = "qemu-system-aarch64";

/// What a machine is loaded from, in its directory.
pub(crate) const KERNEL: &str = "kernel8.img";
pub(crate) const TREE: &str = "run.dtb";
pub(crate) const BUNDLE: &str = "bundle.bin";

/// What to boot.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// A command line for `ash -c`; none: an interactive shell.
    pub command: Option<String>,
    /// Only this kernel, alone; none: all four and a vote.
    pub kernel: Option<String>,
    /// The kernels in the slots k1 to k4, in this order; none: as the manifest says.
    pub kernels: Vec<String>,
    /// The tier of calls that the program asks for (`abi::tier`); none: as many as the kernels of the run offer.
    pub tier: Option<u8>,
    /// A seed instead of a fresh one: then the run's chance repeats.
    pub seed: Option<[u8; 32]>,
    /// A recorded log to run again.
    pub replay: Option<Vec<u8>>,
    /// A snapshot with which the one kernel begins (`abi::snapshot`).
    pub snapshot: Option<Vec<u8>>,
    /// Properties of the manifest's `run` node to set, e.g. `("digest-interval", 1)`.
    pub run: Vec<(String, u32)>,
    /// Bytes of channels that are not as large as the manifest says, by name.
    pub channels: Vec<(String, u32)>,
    /// Images that are not the manifest's, by partition: for tests of what is wrong from the start.
    pub images: Vec<(String, String)>,
    /// Partitions that run on another core than the manifest says.
    pub cores: Vec<(String, u32)>,
    /// Debian packages in the root image, besides those that are always there; what they depend on comes with them.
    pub packages: Vec<String>,
    /// Files and directories of the host in `/root`, where the command then runs.
    pub files: Vec<PathBuf>,
    /// What becomes of lost kernels (`iteration` in docs/manifest.md); none: as the manifest says.
    pub iteration: Option<&'static str>,
    /// More arguments for QEMU.
    pub qemu: Vec<String>,
    /// A library that QEMU's process loads before all others.
    pub preload: Option<PathBuf>,
    /// A Raspberry Pi 4 that starts from the files of this SD card's image; then nothing else but `qemu` and `debug` counts.
    pub card: Option<PathBuf>,
    /// Stand still at the start, for a debugger on `gdb.sock` in the machine's directory.
    pub debug: bool,
}

/// Everything built that machines boot; made once, used for many.
#[derive(Clone)]
pub struct Images {
    tools: Tools,
    kernel: PathBuf,
    items: Vec<(String, Kind, PathBuf)>,
    root: Tree,
}

impl Images {
    /// Builds all.
    pub fn build(tools: &Tools) -> Result<Images> {
        build::images(tools)?;
        let dir = tools.target.join("machine");
        std::fs::create_dir_all(&dir)?;
        let kernel = dir.join("kernel8.img");
        std::fs::write(&kernel, image::flat(&tools.elf("microkernel"), &tools.elf("loader"))?)?;
        let service = |n: &str| (n.to_owned(), Kind::Service, tools.elf(n));
        let mut items: Vec<_> = ["manager", "replica", "gate", "devices"].map(service).into();
        items.extend(built().map(|k| (k.to_owned(), Kind::Kernel, tools.elf(k))));
        Ok(Images { tools: tools.clone(), kernel, items, root: root::base(tools)? })
    }

    /// With the kernel in `elf`, called `name`, for those who name it in [`Options::images`].
    pub fn with_kernel(mut self, name: &str, elf: PathBuf) -> Images {
        self.items.push((name.to_owned(), Kind::Kernel, elf));
        self
    }

    /// Where they and their machines are.
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// EL2's flat image.
    pub fn kernel(&self) -> &Path {
        &self.kernel
    }

    /// The same with other files in place of these images: for tests of what is wrong in them.
    pub fn with(&self, files: &[(&str, PathBuf)]) -> Images {
        let mut images = self.clone();
        for (name, _, elf) in &mut images.items {
            if let Some((_, file)) = files.iter().find(|(n, _)| n == name) {
                elf.clone_from(file);
            }
        }
        images
    }

    /// The images below EL2, with symbols.
    pub fn elves(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.items.iter().map(|(_, _, elf)| elf.clone())
    }

    /// The bundle that `options` ask for.
    pub fn bundle(&self, options: &Options) -> Result<Vec<u8>> {
        let (_, tier) = choose(options)?;
        // A kernel that offers less than this run's program is given cannot take another's place.
        let able = |name: &str, kind| {
            kind != Kind::Kernel
                || tier_of(name).is_ok_and(|t| t >= tier)
                || options.images.iter().any(|(_, i)| i == name)
        };
        let mut items = self
            .items
            .iter()
            .filter(|(name, kind, _)| able(name, *kind))
            .map(|(name, kind, elf)| Item::from_elf(name, *kind, elf))
            .collect::<Result<Vec<_>>>()?;
        let mut root = self.root.clone();
        packages::add_to(&mut root, &self.tools, &options.packages)?;
        let command = own::add_to(&mut root, &options.files, options.command.as_deref())?;
        items.push(Item::module("root", root::image(&root)));
        items.push(Item::module("program", program(command.as_deref(), tier)?));
        if let Some(log) = &options.replay {
            items.push(Item::module("replay", log.clone()));
        }
        if let Some(snapshot) = &options.snapshot {
            items.push(Item::module("snapshot", snapshot.clone()));
        }
        bundle::write(&items)
    }
}

fn program(command: Option<&str>, tier: u8) -> Result<Vec<u8>> {
    let argv = match command {
        None => b"ash\0-i\0".to_vec(),
        Some(c) => {
            ensure!(!c.contains('\0'), "RUN holds a zero byte");
            [b"ash\0-c\0", c.as_bytes(), b"\0"].concat()
        }
    };
    let env = b"PATH=/bin:/sbin:/usr/bin:/usr/sbin\0HOME=/root\0TERM=vt100\0PS1=\\w \\$ \0";
    Ok(postcard::to_stdvec(&Program { path: "/bin/busybox", argv: &argv, env, tier })?)
}

/// What the recorder's thread and the machine tell each other.
#[derive(Default)]
struct Shared {
    ended: AtomicBool,
    released: AtomicUsize,
}

/// A machine that runs.
pub struct Machine {
    child: Child,
    /// The program's console.
    pub console: UnixStream,
    /// The operator's console.
    pub operator: UnixStream,
    recorder: Option<JoinHandle<Result<Record>>>,
    shared: Arc<Shared>,
    dir: PathBuf,
    kernel: PathBuf,
}

impl Machine {
    /// EL2's image, with symbols.
    pub fn kernel(&self) -> &Path {
        &self.kernel
    }

    /// Boots `images` as `options` say.
    pub fn boot(images: &Images, options: &Options) -> Result<Machine> {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = images.tools.target.join("machine").join(format!("run-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        let tree = match &options.card {
            Some(card) => raspberry_pi::unpack(card, &dir)?,
            None => {
                std::fs::copy(&images.kernel, dir.join(KERNEL))?;
                let (bundle, tree) = (
                    images.bundle(options)?,
                    build::device_tree(&images.tools, &overlay::of(options)?, &dir)?,
                );
                bundle::check_room(&bundle, &tree)?;
                std::fs::write(dir.join(BUNDLE), bundle)?;
                tree
            }
        };
        let ram = ram_file(&dir);
        let mut child = start(options, &dir, &ram)?;
        let sockets = connect(&dir.join("console.sock"), &mut child)
            .and_then(|c| Ok((c, connect(&dir.join("operator.sock"), &mut child)?)));
        let (console, operator) = match sockets {
            Ok(s) => s,
            Err(e) => {
                let _ = child.kill();
                let _ = std::fs::remove_file(&ram);
                let _ = std::fs::remove_dir_all(&dir);
                return Err(e);
            }
        };
        let memory = map_when_there(&ram, &tree)?;
        // Mapped by QEMU and by us: the name is not needed any more, and nothing is left behind when one of us is killed.
        std::fs::remove_file(&ram)?;
        let shared = Arc::new(Shared::default());
        std::fs::write(logs::tree_file(&images.tools), &tree)?;
        look::announce(&images.tools, child.id(), &dir)?;
        let recorder = record(memory, &tree, shared.clone(), &images.tools)?;
        Ok(Machine {
            child,
            console,
            operator,
            recorder: Some(recorder),
            shared,
            dir,
            kernel: images.tools.elf("microkernel"),
        })
    }

    /// Where its files are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether QEMU has ended.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// QEMU's process id, for a debugger or to stop it.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Bytes of terminal output released so far.
    pub fn released(&self) -> usize {
        self.shared.released.load(Ordering::Relaxed)
    }

    /// Ends the machine if it still runs, and gives what was recorded.
    pub fn finish(mut self) -> Result<Record> {
        self.stop();
        let recorder = self.recorder.take().context("finished twice")?;
        recorder.join().map_err(|_| anyhow::anyhow!("the recorder panicked"))?
    }

    fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.shared.ended.store(true, Ordering::Release);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// QEMU opens its sockets before it makes its memory.
fn map_when_there(ram: &Path, tree: &[u8]) -> Result<Memory> {
    let until = Instant::now() + Duration::from_secs(20);
    while Instant::now() < until && !std::fs::metadata(ram).is_ok_and(|m| m.len() > 0) {
        std::thread::sleep(Duration::from_millis(10));
    }
    Memory::map(ram, tree)
}

/// The guest's RAM as a file in memory, where there is room for one; else beside the other files.
fn ram_file(dir: &Path) -> PathBuf {
    let name = format!("tetrarch-{}.ram", dir.file_name().and_then(|n| n.to_str()).unwrap_or("machine"));
    let shared = Path::new("/dev/shm");
    if shared.is_dir() { shared.join(name) } else { dir.join(name) }
}

fn start(options: &Options, dir: &Path, ram: &Path) -> Result<Child> {
    let mut q = Command::new(QEMU);
    let (machine, cores) = match options.card {
        Some(_) => ("raspi4b,memory-backend=ram", "4"),
        None => ("virt,virtualization=on,gic-version=2,memory-backend=ram", "6"),
    };
    q.args(["-M", machine, "-cpu", "cortex-a72", "-m", "2G", "-smp", cores]);
    q.args(["-nodefaults", "-nographic", "-no-reboot", "-monitor", "none"]);
    q.arg("-object").arg(format!("memory-backend-file,id=ram,size=2G,share=on,mem-path={}", ram.display()));
    for name in ["console", "operator"] {
        q.arg("-chardev")
            .arg(format!("socket,id={name},server=on,wait=on,path={}/{name}.sock", dir.display()));
        q.arg("-serial").arg(format!("chardev:{name}"));
    }
    if dir.join(raspberry_pi::STUB).exists() {
        q.args(raspberry_pi::as_firmware_loads(dir));
    } else {
        q.arg("-kernel").arg(dir.join(KERNEL)).arg("-dtb").arg(dir.join(TREE));
        q.arg("-initrd").arg(dir.join(BUNDLE));
    }
    if options.debug {
        q.arg("-S").arg("-gdb").arg(format!("unix:{}/gdb.sock,server=on,wait=off", dir.display()));
    }
    q.args(&options.qemu);
    if let Some(library) = &options.preload {
        q.env("LD_PRELOAD", library);
    }
    let log = std::fs::File::create(dir.join("qemu.log"))?;
    q.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    // A machine must not outlive whoever drives it, however that ends.
    // SAFETY: (1) between fork and exec only the prctl system call is made, which is async-signal-safe.
    unsafe {
        q.pre_exec(|| nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).map_err(Into::into));
    }
    q.spawn().with_context(|| format!("cannot run {QEMU}; `make setup` installs it"))
}

fn connect(path: &Path, child: &mut Child) -> Result<UnixStream> {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        match UnixStream::connect(path) {
            Ok(s) => return Ok(s),
            Err(_) if Instant::now() < until => {}
            Err(e) => return Err(e).context("QEMU opens no console within 20 s"),
        }
        if let Some(status) = child.try_wait()? {
            let log = path.with_file_name("qemu.log");
            bail!(
                "QEMU ended at once ({status}): {}",
                std::fs::read_to_string(log).unwrap_or_default().trim()
            );
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn record(
    memory: Memory,
    tree: &[u8],
    shared: Arc<Shared>,
    tools: &Tools,
) -> Result<JoinHandle<Result<Record>>> {
    let manifest = build::manifest(tree)?;
    let output = channel(&manifest, "output")?;
    let agreed = channels(&manifest, "agreed-");
    let snapshots = channels(&manifest, "snapshot-").first().copied();
    let (el2, to) = (tools.elf("microkernel"), logs::file(tools));
    Ok(std::thread::spawn(move || {
        let mut recorder = Recorder::new(&memory, &agreed, output, snapshots)?;
        let mut logs = logs::Collector::new(&memory, &manifest, &el2, &to)?;
        loop {
            let last = shared.ended.load(Ordering::Acquire);
            recorder.drain()?;
            logs.drain()?;
            shared.released.store(recorder.record.output.len(), Ordering::Relaxed);
            if last {
                return Ok(recorder.record);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }))
}
