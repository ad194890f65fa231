//! Others' test suites on each kernel alone, as on Debian's Linux: a sample of what `make suites` runs.

use std::path::Path;
use std::process::Command;

fn suites(which: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new("scripts/suites").args(which).current_dir(root).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_sample_of_busybox_and_bash_tests_passes_as_on_linux() {
    suites(&["ash-quoting", "bash-quote", "bash-trap"]);
}

/// Writes the table into docs/results.md.
#[test]
#[ignore = "long; make campaign"]
fn all_pass_as_on_linux() {
    suites(&[]);
}
