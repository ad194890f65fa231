//! A snapshot taken on any kernel is the same bytes, and any other kernel goes on from it and gives the rest of the output.

use std::time::Duration;
use system_tests::{Finished, Options, images, run};
use xtask::kernels::KERNELS;
use xtask::session::{Record, replay};
use xtask::snapshot::{asking, difference, last};

/// What runs; in the middle of it snapshots are taken.
const SCRIPTS: [&str; 3] = [
    // Pipelines whose members wait in read, write, sleep and wait4.
    "seq 1 300 | (sleep 0.2; while read x; do s=$((s+x)); case $x in *00) echo $x $s; sleep 0.05;; esac; done) | cat; echo end",
    // Open, unlinked, linked and changed files; background jobs, a trap.
    "cd /tmp; exec 5>f; echo hello >&5; rm f; echo kept >g; ln g h; ln -s g l; echo more >>/etc/passwd; (sleep 0.3; echo late >&5; cat h l) & sleep 0.1; \
     trap 'echo got' USR1; (sleep 0.1; kill -USR1 $$) & sleep 0.3; wait; ls -li; stat g; tail -1 /etc/passwd; head -1 /proc/self/fd/5",
    // FIFOs, a full pipe, stopped and continued jobs, chance.
    "mkfifo /p; (cat /p; echo read) & sleep 0.1; echo through >/p; wait; yes | head -c 200000 | (sleep 0.1; md5sum); timeout 0.2 sleep 5; echo $?; \
     head -c 8 /dev/urandom | hexdump -C; sleep 0.3 & kill -STOP $!; sleep 0.1; kill -CONT $!; wait; echo end",
];

fn on(kernel: &str) -> Options {
    // What all four offer.
    Options { kernel: Some(kernel.into()), tier: Some(2), ..Options::default() }
}

fn again(options: Options, recorded: &Finished) -> Record {
    replay(images(), &options, recorded.record.output.len(), Duration::from_secs(120)).unwrap()
}

/// The snapshot that `kernel` takes at sync point `s` of what was recorded.
fn taken(kernel: &str, s: u64, recorded: &Finished) -> Vec<u8> {
    let log = asking(&recorded.record.log, s).unwrap();
    let record = again(Options { replay: Some(log), ..on(kernel) }, recorded);
    last(&record.snapshot).unwrap_or_else(|e| panic!("{kernel} at sync point {s}: {e}"))
}

/// `kernel` begins with `snapshot`, shows that it stands there, and gives the rest.
fn goes_on(kernel: &str, snapshot: &[u8], recorded: &Finished) {
    let (log, from) = (recorded.record.log.clone(), Some(snapshot.to_vec()));
    let record = again(Options { replay: Some(log), snapshot: from, ..on(kernel) }, recorded);
    let shown = last(&record.snapshot).unwrap_or_else(|e| panic!("{kernel}: {e}"));
    assert!(shown == snapshot, "{kernel} stands elsewhere:\n{}", difference(snapshot, &shown));
    let (whole, rest) = (&recorded.record.output, &record.output);
    assert!(!rest.is_empty() && whole.ends_with(rest), "{kernel}: {}", String::from_utf8_lossy(rest));
}

/// At `parts` of the sync points of `script`, all kernels take the same snapshot, and all go on from it: so each goes on from each other's.
fn all_pairs(script: &str, parts: &[u64]) {
    let recorded = run(script, on("classic")).unwrap();
    let syncs = recorded.record.entries - 1;
    for s in parts.iter().map(|part| syncs * part / 100) {
        let first = taken(KERNELS[0], s, &recorded);
        for kernel in &KERNELS[1..] {
            let other = taken(kernel, s, &recorded);
            assert!(
                other == first,
                "{kernel} at sync point {s} of {script}:\n{}",
                difference(&first, &other)
            );
        }
        for kernel in KERNELS {
            goes_on(kernel, &first, &recorded);
        }
    }
}

#[test]
fn a_pipeline_goes_on_on_any_other_kernel() {
    all_pairs(SCRIPTS[0], &[50]);
}

#[test]
fn files_and_jobs_go_on_on_any_other_kernel() {
    all_pairs(SCRIPTS[1], &[60]);
}

#[test]
#[ignore = "part of the campaign"]
fn many_places() {
    for script in SCRIPTS {
        all_pairs(script, &[20, 40, 60, 80]);
    }
}
