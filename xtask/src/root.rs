//! The root image: Debian arm64 packages as they are, the project's own test programs, the files under `apps/root`, and what a run adds.
//!
//! Its layout is Debian's: `/bin`, `/lib` and `/sbin` are links into `/usr`, whichever of the two a package puts its files into.

use crate::build::{self, Tools};
use crate::cpio::{Node, Tree};
use anyhow::{Context, Result, bail};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Debian packages whose files are in every root image.
pub const PACKAGES: [&str; 1] = ["busybox-static"];

/// Directories at the top that are links to their namesakes in `/usr`.
const MERGED: [&str; 3] = ["bin", "lib", "sbin"];

/// What packages bring for readers, not for programs.
const LEFT_OUT: [&str; 5] =
    ["usr/share/doc", "usr/share/info", "usr/share/lintian", "usr/share/locale", "usr/share/man"];

/// Fetches an arm64 package from the machine's own Debian mirror, unpacks it and returns the directory. Cached under `target/debian`.
/// Of it only files that match `pattern`, if that is not empty; from `component` of the release, if it is not the usual one.
pub fn package(tools: &Tools, name: &str, pattern: &str, component: &str) -> Result<PathBuf> {
    // Two patterns of one package are two directories.
    let kept: String = format!("{name}{pattern}")
        .chars()
        .map(|c| if c.is_alphanumeric() || c == '.' { c } else { '-' })
        .collect();
    let dir = tools.target.join("debian").join(kept.trim_end_matches('-'));
    if dir.join("done").exists() {
        return Ok(dir.join("files"));
    }
    eprintln!("xtask: fetching Debian package {name} for arm64 (once)");
    let status = Command::new(tools.root.join("scripts/fetch-deb"))
        .arg(name)
        .arg(&dir)
        .args([pattern, component])
        .status()?;
    if !status.success() {
        bail!(
            "cannot fetch Debian package {name}: see above; the machine's apt sources must be reachable once"
        );
    }
    std::fs::write(dir.join("done"), "")?;
    Ok(dir.join("files"))
}

/// What is in every root image.
pub fn base(tools: &Tools) -> Result<Tree> {
    let mut tree = Tree::default();
    for dir in ["proc", "dev", "tmp", "var/tmp", "run", "root", "usr/bin", "usr/lib", "usr/sbin"] {
        tree.add(dir, Node::Directory);
    }
    for dir in MERGED {
        tree.add(dir, Node::Symlink(format!("usr/{dir}")));
    }
    for name in PACKAGES {
        add(&mut tree, &package(tools, name, "", "")?, "")?;
    }
    let busybox = std::fs::read(package(tools, "busybox-static", "", "")?.join("bin/busybox"))?;
    for applet in applets(&busybox)? {
        let path = format!("usr/bin/{applet}");
        if !tree.has(&path) {
            tree.add(&path, Node::Symlink("busybox".into()));
        }
    }
    for (name, path) in build::apps(tools)? {
        tree.add(
            &format!("usr/bin/{name}"),
            Node::File { data: build::stripped(tools, &path)?, mode: 0o755 },
        );
    }
    add(&mut tree, &tools.root.join("apps/root"), "")?;
    Ok(tree)
}

/// Seconds since 1970 at which all members were made.
pub const TIME: u32 = 1_700_000_000;

/// The image of `tree`, with a fixed time: its bytes depend on its contents alone.
pub fn image(tree: &Tree) -> Vec<u8> {
    tree.to_newc(TIME, 4096)
}

/// The place of `path` in the layout, without the leading slash.
pub fn place(path: &str) -> String {
    let path = path.trim_start_matches('/');
    let top = path.split('/').next().unwrap_or_default();
    if MERGED.contains(&top) { format!("usr/{path}") } else { path.to_owned() }
}

/// Adds what is in directory `dir`, or the file or link `dir`, as `at`.
pub fn add(tree: &mut Tree, dir: &Path, at: &str) -> Result<()> {
    let place = place(at);
    if LEFT_OUT.contains(&place.as_str()) || at.ends_with(".gitkeep") {
        return Ok(());
    }
    let metadata = dir.symlink_metadata().with_context(|| dir.display().to_string())?;
    if metadata.is_dir() {
        if !at.is_empty() && !MERGED.contains(&at) {
            tree.add(&place, Node::Directory);
        }
        let mut entries: Vec<_> = std::fs::read_dir(dir)?.collect::<Result<_, _>>()?;
        entries.sort_by_key(|e| e.file_name());
        for entry in entries {
            let name = entry.file_name().into_string().ok().context("file name is not UTF-8")?;
            add(tree, &entry.path(), format!("{at}/{name}").trim_start_matches('/'))?;
        }
    } else if metadata.is_symlink() {
        let to = std::fs::read_link(dir)?;
        tree.add(&place, Node::Symlink(to.to_str().context("link is not UTF-8")?.into()));
    } else if metadata.is_file() {
        let data = std::fs::read(dir).with_context(|| dir.display().to_string())?;
        let mode = if metadata.permissions().mode() & 0o111 != 0 { 0o755 } else { 0o644 };
        tree.add(&place, Node::File { data, mode });
    } else {
        bail!("{}: neither a file, a directory nor a link", dir.display());
    }
    Ok(())
}

/// The names of busybox' applets, from its own table: NUL-separated, sorted, beginning with "[" and "[[".
fn applets(busybox: &[u8]) -> Result<Vec<String>> {
    let start =
        busybox.windows(6).position(|w| w == b"\0[\0[[\0").context("busybox: no table of applets found")? + 1;
    let table = busybox[start..].split(|&b| b == 0).take_while(|name| !name.is_empty());
    Ok(table.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
}
