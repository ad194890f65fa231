//! Builds every image with cargo and the device tree with dtc.

use abi::manifest::Manifest;
use anyhow::{Context, Result, bail, ensure};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Target of what runs on the bare machine without touching FP/SIMD registers: EL2, kernels, most services.
pub const BARE: &str = "aarch64-unknown-none-softfloat";
/// Target of services that compute with FP/SIMD registers (docs/decisions/0005-replicas-with-neon.md).
pub const FLOAT: &str = "aarch64-unknown-none";
/// Target of test programs.
const LINUX: &str = "aarch64-unknown-linux-musl";

/// Packages for the bare machine by target and profile. Services and kernels are built by calls of their own: `runtime` has a feature for
/// each, and cargo would unite them.
const IMAGES: [(&str, &str, &[&str]); 4] = [
    (BARE, "el2", &["microkernel"]),
    (BARE, "release", &["loader", "manager", "gate", "devices"]),
    (FLOAT, "release", &["replica"]),
    (BARE, "release", &["classic", "lazy", "actor", "journal", "minimal"]),
];

/// What has holes, and the feature that lets one of them be chosen.
const HOLED: [(&str, &str); 2] = [("microkernel", "microkernel/holes"), ("gate", "gate/holes")];

/// Where things are.
#[derive(Clone, Debug)]
pub struct Tools {
    /// The project.
    pub root: PathBuf,
    /// Cargo's target directory; `xtask` keeps its own things there too.
    pub target: PathBuf,
    /// The check that the images leave out, for campaigns that must find that (`microkernel/src/hole.rs`, `services/gate/src/hole.rs`).
    pub hole: Option<String>,
}

impl Tools {
    /// From the environment that cargo gives.
    pub fn find() -> Result<Tools> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask has no parent directory")?
            .to_path_buf();
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        std::fs::create_dir_all(&target)?;
        Ok(Tools { target: target.canonicalize()?, root, hole: None })
    }

    /// The ELF file of a package of [`IMAGES`].
    pub fn elf(&self, package: &str) -> PathBuf {
        let own = IMAGES.iter().find(|(.., packages)| packages.contains(&package));
        let (target, profile) = own.map_or((BARE, "release"), |(target, profile, _)| (*target, *profile));
        self.target.join(target).join(profile).join(package)
    }
}

fn cargo(tools: &Tools, args: &[&str]) -> Result<()> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(&tools.root).args(args).env("CARGO_TARGET_DIR", &tools.target);
    // Flags meant for the host's tests (coverage, sanitizers) have no place in the images.
    command.env_remove("RUSTFLAGS").env("DEFMT_LOG", "debug");
    command.envs(tools.hole.iter().map(|hole| ("TETRARCH_HOLE", hole)));
    let status = command.status().context("cannot run cargo")?;
    ensure!(status.success(), "cargo {} failed", args.join(" "));
    Ok(())
}

/// Builds all images for the bare machine.
pub fn images(tools: &Tools) -> Result<()> {
    for (target, profile, packages) in IMAGES {
        let mut args = vec!["build", "--quiet", "--profile", profile, "--target", target];
        packages.iter().for_each(|p| args.extend(["-p", *p]));
        let holed = HOLED.iter().filter(|(p, _)| tools.hole.is_some() && packages.contains(p));
        holed.for_each(|(_, feature)| args.extend(["--features", *feature]));
        cargo(tools, &args)?;
    }
    Ok(())
}

/// Builds the guest `name` of tests/guests, a kernel that no bundle has unless a test puts it there; its ELF file.
pub fn guest(tools: &Tools, name: &str) -> Result<PathBuf> {
    cargo(tools, &["build", "--quiet", "--release", "--target", BARE, "-p", "guests", "--bin", name])?;
    Ok(tools.elf(name))
}

/// The manifest in a compiled tree.
pub fn manifest(tree: &[u8]) -> Result<Manifest> {
    let tree = fdt::Fdt::new(tree).map_err(|e| anyhow::anyhow!("device tree: {e}"))?;
    Manifest::parse(&tree, &[]).map_err(|e| anyhow::anyhow!("{e}"))
}

/// The file of test program `name`, with symbols.
pub fn app(tools: &Tools, name: &str) -> PathBuf {
    tools.target.join("apps").join(LINUX).join("release").join(name)
}

/// The same without them, as it goes into the root image.
pub fn stripped(tools: &Tools, file: &Path) -> Result<Vec<u8>> {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).current_dir(&tools.root).output()?;
    let lib = PathBuf::from(String::from_utf8(sysroot.stdout)?.trim()).join("lib/rustlib");
    let objcopy = std::fs::read_dir(&lib)?
        .filter_map(|e| Some(e.ok()?.path().join("bin/llvm-objcopy")))
        .find(|p| p.exists());
    let out = file.with_extension("stripped");
    let mut command = Command::new(objcopy.context("rustup component llvm-tools is missing")?);
    ensure!(
        command.arg("--strip-all").arg(file).arg(&out).status()?.success(),
        "cannot strip {}",
        file.display()
    );
    Ok(std::fs::read(out)?)
}

/// Builds the test programs; their names and files.
pub fn apps(tools: &Tools) -> Result<Vec<(String, PathBuf)>> {
    let manifest = tools.root.join("apps/Cargo.toml");
    let target = tools.target.join("apps");
    let (manifest_text, target_text) = (manifest.to_string_lossy(), target.to_string_lossy());
    cargo(
        tools,
        &[
            "build",
            "--quiet",
            "--release",
            "--target",
            LINUX,
            "--manifest-path",
            &manifest_text,
            "--target-dir",
            &target_text,
        ],
    )?;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(tools.root.join("apps/src/bin"))? {
        let name = entry?
            .path()
            .file_stem()
            .and_then(|s| s.to_str())
            .context("odd file in apps/src/bin")?
            .to_owned();
        found.push((name.clone(), app(tools, &name)));
    }
    found.sort();
    Ok(found)
}

/// Compiles `qemu-virt.dts` with `overlay` (text in the same language that extends it).
pub fn device_tree(tools: &Tools, overlay: &str, dir: &Path) -> Result<Vec<u8>> {
    let board = tools.root.join("qemu-virt.dts");
    compile_tree(&format!("/include/ \"{}\"\n{overlay}", board.display()), dir)
}

/// The compiled tree `board` with the source `addition` behind it.
pub fn extend_tree(board: &Path, addition: &str, dir: &Path) -> Result<Vec<u8>> {
    compile_tree(&(tree_source(board)? + addition), dir)
}

/// The compiled tree `board` as source.
pub fn tree_source(board: &Path) -> Result<String> {
    let mut dtc = Command::new("dtc");
    Ok(String::from_utf8(run_dtc(dtc.args(["-q", "-I", "dtb", "-O", "dts"]).arg(board))?)?)
}

fn compile_tree(source: &str, dir: &Path) -> Result<Vec<u8>> {
    let file = dir.join("run.dts");
    std::fs::write(&file, source)?;
    let tree = run_dtc(Command::new("dtc").args(["-q", "-I", "dts", "-O", "dtb"]).arg(&file))?;
    std::fs::write(dir.join(crate::machine::TREE), &tree)?;
    Ok(tree)
}

fn run_dtc(dtc: &mut Command) -> Result<Vec<u8>> {
    let output =
        dtc.output().context("cannot run dtc (package device-tree-compiler); `make setup` installs it")?;
    if !output.status.success() {
        bail!("dtc: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}

/// Fresh chance, for a tree's seed.
pub fn fresh_seed() -> Result<[u8; 32]> {
    let mut seed = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
    Ok(seed)
}

/// Bytes as a property's value in a tree's source.
pub fn tree_bytes(bytes: &[u8]) -> String {
    let hex: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
    format!("[{}]", hex.join(" "))
}

/// The file `name` in or below `dir`.
pub fn find_file(dir: &Path, name: &str) -> Option<PathBuf> {
    let mut entries: Vec<_> = std::fs::read_dir(dir).ok()?.filter_map(|e| Some(e.ok()?.path())).collect();
    entries.sort();
    let here = entries.iter().find(|p| p.is_file() && p.file_name().is_some_and(|n| n == name)).cloned();
    here.or_else(|| entries.iter().filter(|p| p.is_dir()).find_map(|p| find_file(p, name)))
}
