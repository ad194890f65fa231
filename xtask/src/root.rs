//! The root image: Debian arm64 packages as they are, the project's own test programs, and the files under `apps/root`.

use crate::build::{self, Tools};
use crate::cpio::{Node, Tree};
use anyhow::{Context, Result, bail};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Debian packages whose files are in the root image.
pub const PACKAGES: [&str; 1] = ["busybox-static"];

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

/// Seconds since 1970 at which all members were made: the image's bytes depend on its contents alone.
pub const TIME: u32 = 1_700_000_000;

/// A directory of this machine, and where its files stand in the root image.
pub type Addition = (PathBuf, String);

/// Builds the root image.
pub fn image(tools: &Tools, additions: &[Addition]) -> Result<Vec<u8>> {
    Ok(tree(tools, additions)?.to_newc(TIME, 4096))
}

/// What is in it.
pub fn tree(tools: &Tools, additions: &[Addition]) -> Result<Tree> {
    let mut tree = Tree::default();
    for name in PACKAGES {
        add_directory(
            &mut tree,
            &package(tools, name, "", "")?,
            "",
            &["usr/share/doc", "usr/share/man", "usr/share/lintian"],
        )?;
    }
    let busybox = std::fs::read(package(tools, "busybox-static", "", "")?.join("bin/busybox"))?;
    for applet in applets(&busybox)? {
        let path = format!("/bin/{applet}");
        if !tree.has(&path) {
            tree.add(&path, Node::Symlink("busybox".into()));
        }
    }
    for dir in ["proc", "dev", "tmp", "var/tmp", "run", "root", "usr/bin", "sbin"] {
        tree.add(dir, Node::Directory);
    }
    for (name, path) in build::apps(tools)? {
        tree.add(
            &format!("/usr/bin/{name}"),
            Node::File { data: build::stripped(tools, &path)?, mode: 0o755 },
        );
    }
    add_directory(&mut tree, &tools.root.join("apps/root"), "", &[])?;
    for (dir, at) in additions {
        add_directory(&mut tree, dir, at.trim_matches('/'), &[])?;
    }
    Ok(tree)
}

fn add_directory(tree: &mut Tree, dir: &Path, at: &str, leave_out: &[&str]) -> Result<()> {
    let mut entries: Vec<_> =
        std::fs::read_dir(dir).with_context(|| dir.display().to_string())?.collect::<Result<_, _>>()?;
    entries.sort_by_key(|e| e.file_name());
    for entry in entries {
        let name = entry.file_name().into_string().ok().context("file name is not UTF-8")?;
        let path = if at.is_empty() { name } else { format!("{at}/{name}") };
        let kind = entry.file_type()?;
        if leave_out.contains(&path.as_str()) || path.ends_with(".gitkeep") {
            continue;
        }
        if kind.is_dir() {
            tree.add(&path, Node::Directory);
            add_directory(tree, &entry.path(), &path, leave_out)?;
        } else if kind.is_symlink() {
            let to = std::fs::read_link(entry.path())?;
            tree.add(&path, Node::Symlink(to.to_str().context("link is not UTF-8")?.into()));
        } else {
            let executable = entry.metadata()?.permissions().mode() & 0o111 != 0;
            let mode = if executable { 0o755 } else { 0o644 };
            tree.add(&path, Node::File { data: std::fs::read(entry.path())?, mode });
        }
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
