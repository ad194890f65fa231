//! One debugger over EL2, a kernel and a program, with source lines; and a kernel that stands still while the others vote (R72).

use std::process::Command;
use std::time::Duration;
use system_tests::{Session, strict};

/// Stops at each level in turn, and asks what a person would ask there: of the kernel that came to the program first, core n being thread n + 1.
const SCRIPT: &str = "
hbreak microkernel/src/calls.rs:24
continue
frame
tetrarch domains
delete
hbreak made_call
continue
frame
delete
hbreak src/bin/spin.rs:3
continue
frame
python whose = \"k%d\" % (gdb.selected_thread().num - 1)
python for what in (\"threads\", \"turns\", \"counters\"): gdb.execute(\"tetrarch %s %s\" % (what, whose))
kill
";

#[test]
fn gdb_stops_at_every_level_with_source_lines() {
    let script = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("levels.gdb");
    std::fs::write(&script, SCRIPT).unwrap();
    let mut debug = Command::new("timeout");
    // Whichever comes first, the same places.
    debug.args(["300", env!("CARGO"), "xtask", "debug", "--kernels", "classic,classic,classic,classic"]);
    debug.args(["--run", "spin"]).arg(&script);
    let out = debug.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    for wanted in [
        // EL2, a kernel, the program: where, and the line itself.
        "handle () at microkernel/src/calls.rs:",
        "at personalities/classic/src/turns.rs:",
        "main () at src/bin/spin.rs:3",
        "println!(\"spinning\")",
        // What the system says of itself.
        "k4         core 4 EL1 classic",
        "thread 1    pid 1     spin",
        "thread 1    execve           = 0x0",
        "calls in turns",
    ] {
        assert!(
            text.contains(wanted),
            "missing {wanted:?} in\n{text}\n{}",
            String::from_utf8_lossy(&out.stderr)
        );
    }
}

/// On the line that ships: at rest, while programs run, when a replica began anew, and when a kernel is gone.
#[test]
fn tables_capabilities_and_manifest_agree_while_the_system_works() {
    let mut s = Session::shell(&strict()).unwrap();
    let agree = |s: &Session| {
        let text = s.state().unwrap();
        assert!(text.contains("agree"), "{text}");
        text
    };
    let text = agree(&s);
    for core in 0..6 {
        assert!(text.contains(&format!("core {core}: ")), "{text}");
    }
    s.send("seq 1 3000 | md5sum\r").unwrap();
    for _ in 0..5 {
        s.run_for(Duration::from_millis(200));
        agree(&s);
    }
    s.expect("  -\r\n").unwrap();
    s.operate("restart r1").unwrap();
    s.operator_says(&["restarted: r1"]).unwrap();
    agree(&s);
    s.operate("inject crash k2").unwrap();
    s.operator_says(&["verdict: k2 crashed"]).unwrap();
    println!("{}", agree(&s));
    s.send("exit\r").unwrap();
    assert_eq!(s.finish().unwrap().status, Some(0));
}

#[test]
fn a_kernel_that_stands_still_is_lagging_not_lost() {
    let mut s = Session::shell(&strict()).unwrap();
    s.operate("pause k2").unwrap();
    s.operator_says(&["paused: k2"]).unwrap();
    // Less than its grace: nobody notices, and the vote goes on without it.
    assert!(s.command("echo three $((1 + 1))").unwrap().contains("three 2\r\n"));
    s.operate("resume k2").unwrap();
    s.operator_says(&["resumed: k2"]).unwrap();
    assert!(s.command("echo four").unwrap().contains("four\r\n"));
    // More than that: it is told to be late, and is not accused.
    s.operate("pause k3").unwrap();
    assert!(s.command("seq 1 200 | md5sum").unwrap().contains("  -\r\n"));
    s.run_for(Duration::from_millis(1500));
    let out = s.command("echo late").unwrap();
    assert!(out.contains("late\r\n"), "{out:?}");
    s.operate("resume k3").unwrap();
    s.operator_says(&["k3", "has caught up"]).unwrap();
    // It votes again: with another one lying, its vote is needed for a quorum.
    s.operate("inject lie k4").unwrap();
    let out = s.command("echo needed").unwrap();
    assert!(out.contains("needed\r\n"), "{out:?}");
    s.operator_says(&["verdict: k4 wrong output"]).unwrap();
    let accused = s.operator.lines.iter().filter(|l| system_tests::accuses(l)).find(|l| !l.contains(" k4 "));
    assert_eq!(accused, None);
    s.send("exit\r").unwrap();
    assert_eq!(s.finish().unwrap().status, Some(0));
}
