//! Debian packages that a run asks for, with all that they depend on, in its root image. Their maintainers' scripts are not run; of what these
//! would do, links of alternatives (`awk` is `gawk`) are made. `ld.so` finds its libraries without `/etc/ld.so.cache`.

use crate::build::Tools;
use crate::cpio::{Node, Tree};
use crate::root::{add, place};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::{Command, Stdio};

/// Adds packages `names` and those that they depend on to `tree`. Cached under `target/debian`.
pub fn add_to(tree: &mut Tree, tools: &Tools, names: &[String]) -> Result<()> {
    let mut names = names.to_vec();
    names.sort();
    names.dedup();
    names.iter().try_for_each(|name| check(name))?;
    if names.is_empty() {
        return Ok(());
    }
    let unpacked = tools.target.join("debian/closure");
    let mut alternatives = Vec::new();
    for name in closure(tools, &unpacked, &names)? {
        add(tree, &unpacked.join(&name).join("files"), "").with_context(|| format!("package {name}"))?;
        if let Ok(script) = std::fs::read_to_string(unpacked.join(name).join("control/postinst")) {
            alternatives.extend(alternatives_of(&script));
        }
    }
    // The highest priority last, so that it stays.
    alternatives.sort_by_key(|a| a.priority);
    for a in alternatives {
        if tree.has(&place(&a.target)) {
            tree.add(&place(&a.link), Node::Symlink(a.target));
        }
    }
    Ok(())
}

/// Whether this may be a package's name (Debian Policy, 5.6.1), and so no option of apt.
fn check(name: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let good = name.starts_with(fits) && name.chars().all(|c| fits(c) || "+-.".contains(c));
    ensure!(
        good,
        "`{name}` cannot be the name of a Debian package; PACKAGES holds names with spaces between"
    );
    Ok(())
}

/// The packages asked for and those that they depend on, unpacked; the list is kept, so that apt is asked once.
fn closure(tools: &Tools, unpacked: &Path, names: &[String]) -> Result<Vec<String>> {
    let list = tools.target.join("debian").join(format!("with-{}", names.join("_")));
    if !list.exists() {
        eprintln!("xtask: fetching {} for arm64 with what they depend on (once)", names.join(", "));
        let mut fetch = Command::new(tools.root.join("scripts/fetch-deb"));
        fetch.arg("--with-dependencies").arg(unpacked).args(names).stderr(Stdio::inherit());
        let output = fetch.output().context("cannot run scripts/fetch-deb")?;
        let names = names.join(", ");
        ensure!(
            output.status.success(),
            "cannot fetch {names}: see above; does Debian have it, and are the machine's apt sources reachable?"
        );
        // As one step: another run may be reading.
        let new = list.with_extension(format!("new-{}", std::process::id()));
        std::fs::write(&new, output.stdout)?;
        std::fs::rename(&new, &list)?;
    }
    Ok(std::fs::read_to_string(list)?.lines().map(str::to_owned).collect())
}

/// One link that `update-alternatives` would make.
#[derive(Debug, PartialEq)]
struct Alternative {
    link: String,
    target: String,
    priority: i64,
}

/// What a maintainer's script gives to `update-alternatives --install LINK NAME TARGET PRIORITY [--slave LINK NAME TARGET]...`, in so many
/// words; what it computes is left out.
fn alternatives_of(script: &str) -> Vec<Alternative> {
    let script = script.replace("\\\n", " ");
    let mut found = Vec::new();
    for line in script.lines().filter(|l| l.contains("update-alternatives")) {
        let words: Vec<&str> = line.split_whitespace().map(|w| w.trim_matches(['"', '\''])).collect();
        let mut priority = None;
        for (i, word) in words.iter().enumerate() {
            let Some([link, _, target]) = words.get(i + 1..i + 4) else { break };
            if *word == "--install" {
                priority = words.get(i + 4).and_then(|p| p.parse().ok());
            }
            let absolute = link.starts_with('/') && target.starts_with('/');
            if let (true, true, Some(priority)) =
                (matches!(*word, "--install" | "--slave"), absolute && !line.contains('$'), priority)
            {
                found.push(Alternative { link: (*link).into(), target: (*target).into(), priority });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alternatives_are_read_as_scripts_write_them() {
        let gawk = "set -e\nupdate-alternatives --quiet --install /usr/bin/awk awk /usr/bin/gawk 10 \\\n  \
                    --slave /usr/share/man/man1/awk.1.gz awk.1.gz /usr/share/man/man1/gawk.1.gz \\\n  \
                    --slave /usr/bin/nawk nawk /usr/bin/gawk\nfor x in a; do rm -f $x; done\n";
        let a =
            |link: &str, target: &str| Alternative { link: link.into(), target: target.into(), priority: 10 };
        let all = alternatives_of(gawk);
        assert_eq!(all.len(), 3);
        assert_eq!(
            (&all[0], &all[2]),
            (&a("/usr/bin/awk", "/usr/bin/gawk"), &a("/usr/bin/nawk", "/usr/bin/gawk"))
        );
        assert!(alternatives_of("update-alternatives --install /usr/bin/$x x /usr/bin/y 1").is_empty());
        assert!(alternatives_of("update-alternatives --install /usr/bin/x x").is_empty());
        assert!(alternatives_of("update-alternatives --remove x /usr/bin/y").is_empty());
    }

    #[test]
    fn what_is_no_name_is_refused() {
        assert!(["lua5.4", "g++", "libc6", "0ad"].iter().all(|n| check(n).is_ok()));
        assert!(["", "-o", "Lua", "a b", "a/b", "../x", "a=1"].iter().all(|n| check(n).is_err()));
    }
}
