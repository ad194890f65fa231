//! A clock for machines on a busy host: it stands still while a thread of QEMU waits for a processor (`clock/fair_clock.c`).
//!
//! Then nobody in the machine is late for what the host does beside, and a verdict of lateness tells of the machine. It takes longer by the host's clock.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use xtask::build::Tools;

/// The library for [`crate::Options::preload`], built once.
pub fn fair(tools: &Tools) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("clock/fair_clock.c");
        let file = tools.target.join("fair_clock.so");
        let flags =
            ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O2", "-shared", "-fPIC", "-pthread", "-o"];
        let built = Command::new("cc").args(flags).arg(&file).arg(&source).arg("-ldl").status();
        assert!(built.is_ok_and(|s| s.success()), "cc cannot build {}", source.display());
        file
    };
    BUILT.get_or_init(build).clone()
}
