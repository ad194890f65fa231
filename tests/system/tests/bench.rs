//! What the whole costs: four kernels that vote beside each of them alone, keys to echo, gaps at faults (`scripts/bench-system`).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use system_tests::{Options, Session, run};

/// One of each kernel, in the slots k1 to k4.
const KERNELS: [&str; 4] = xtask::kernels::KERNELS;
/// What is done between marks.
const WORK: [(&str, &str); 3] = [
    ("cpu_bound", "seq 1 20000 | gzip | wc -c"),
    ("syscall_bound", "find / > /dev/null; i=0; while [ $i -lt 1000 ]; do i=$((i+1)); : > /tmp/x; done"),
    ("output_bound", "seq 1 1000"),
];
/// EL2 and services in physical memory (docs/memory-map.md): what a mark's line tells apart.
const RANGES: &str = "range=40000000-48000000,range=50000000-60000000";
/// Instructions a second of each core in the runs that measure elapsed time: as many as two cores of a host carry for five.
const PACE: u64 = 20_000_000;

fn plugin() -> PathBuf {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("marks.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests/plugin/marks.c");
    let flags = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O2", "-shared", "-fPIC", "-o"];
    let built = Command::new("cc").args(flags).arg(&file).arg(source).status();
    assert!(built.is_ok_and(|s| s.success()), "cc cannot build tests/guests/plugin/marks.c");
    file
}

/// A mark: instructions of its core, those of them in EL2 and in services, and, where there is a pace, when it was and how late the core was, ns.
struct Mark {
    core: usize,
    all: u64,
    below: [u64; 2],
    at: u64,
    late: u64,
}

/// The marks of each voter's core, k1's first.
fn marks(name: &str, options: Options, pace: Option<u64>) -> Vec<Vec<Mark>> {
    let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.marks"));
    let paced = pace.map_or(String::new(), |p| format!(",pace={p}"));
    let plugin = format!("{},to={},{RANGES}{paced}", plugin().display(), to.display());
    let script: String = WORK.iter().map(|(_, does)| format!("mark; {does}; ")).collect();
    // The machine is off as soon as a quorum has ended; whoever is later has to come to the last mark before.
    let rest = if pace.is_some() { 60 } else { 10 };
    let voters = if options.kernel.is_some() { 1 } else { KERNELS.len() };
    let grace = vec![("grace-ms".into(), 10_000)];
    let options = Options { qemu: vec!["-plugin".into(), plugin], run: grace, ..options };
    let finished =
        run(&format!("{script} mark; sleep {rest}"), options).unwrap_or_else(|e| panic!("{name}: {e:#}"));
    assert_eq!(finished.status, Some(0), "{name}: {:?}", finished.operator);
    assert!(finished.accusations().is_empty(), "{name}: {:?}", finished.accusations());
    let text = std::fs::read_to_string(to).expect("the plugin's file");
    let mut cores: Vec<Vec<Mark>> = (0..voters).map(|_| vec![]).collect();
    for line in text.lines() {
        let n: Vec<u64> = line.split(' ').map(|n| n.parse().expect("a number")).collect();
        let (at, late) = (n.get(4).copied().unwrap_or(0), n.get(5).copied().unwrap_or(0));
        let mark = Mark { core: n[0] as usize, all: n[1], below: [n[2], n[3]], at, late };
        cores[mark.core - 1].push(mark);
    }
    for (core, marks) in cores.iter().enumerate() {
        assert_eq!(marks.len(), WORK.len() + 1, "{name}: marks of core {}", core + 1);
    }
    cores
}

/// When the quorum of three was there; alone: when the one was.
fn quorum_at(cores: &[&Vec<Mark>], mark: usize) -> u64 {
    let mut at: Vec<u64> = cores.iter().map(|marks| marks[mark].at).collect();
    at.sort_unstable();
    at[at.len().min(3) - 1]
}

fn alone(kernel: &str) -> Options {
    Options { kernel: Some(kernel.into()), ..Options::default() }
}

fn together() -> Options {
    Options { kernels: KERNELS.map(str::to_owned).into(), ..Options::default() }
}

/// Instructions of the voters' cores beside those of the same kernels' cores alone. Alone there is a log too, and a gate, but nobody to agree with.
#[test]
#[ignore = "measures"]
fn instructions_of_each_core() {
    let single: Vec<_> =
        KERNELS.iter().map(|k| marks(&format!("{k}-alone"), alone(k), None).remove(0)).collect();
    let voting = marks("voting", together(), None);
    for (w, (work, _)) in WORK.iter().enumerate() {
        let spent = |marks: &Vec<Mark>| marks[w + 1].all - marks[w].all;
        for (i, kernel) in KERNELS.iter().enumerate() {
            println!("replicated_ratio_{work}_{kernel} {:.3}", ratio(spent(&voting[i]), spent(&single[i])));
        }
        let sum = |cores: &[Vec<Mark>]| cores.iter().map(spent).sum();
        println!("replicated_ratio_{work} {:.3}", ratio(sum(&voting), sum(&single)));
        for (level, name) in ["el2", "services"].iter().enumerate() {
            let below = |marks: &Vec<Mark>| marks[w + 1].below[level] - marks[w].below[level];
            let share = |cores: &[Vec<Mark>]| cores.iter().map(below).sum::<u64>();
            println!("replicated_{name}_percent_{work} {:.2}", 100.0 * ratio(share(&voting), sum(&voting)));
            println!("alone_{name}_percent_{work} {:.2}", 100.0 * ratio(share(&single), sum(&single)));
        }
    }
}

fn ratio(a: u64, b: u64) -> f64 {
    a as f64 / b as f64
}

/// The time that a program takes on cores that all go at one pace: until a quorum has done it, beside the third fastest of the same kernels alone.
#[test]
#[ignore = "measures"]
fn elapsed_at_one_pace() {
    let single: Vec<_> =
        KERNELS.iter().map(|k| marks(&format!("{k}-alone-paced"), alone(k), Some(PACE)).remove(0)).collect();
    let voting = marks("voting-paced", together(), Some(PACE));
    let all: Vec<_> = voting.iter().collect();
    for (w, (work, _)) in WORK.iter().enumerate() {
        let took = quorum_at(&all, w + 1) - quorum_at(&all, w);
        let mut each: Vec<u64> = single.iter().map(|m| quorum_at(&[m], w + 1) - quorum_at(&[m], w)).collect();
        each.sort_unstable();
        println!("replicated_elapsed_ratio_{work} {:.3}", ratio(took, each[2]));
        println!("replicated_elapsed_ratio_to_fastest_{work} {:.3}", ratio(took, each[0]));
    }
    let late = single.iter().chain(&voting).flatten().map(|m| m.late).max().unwrap_or(0);
    println!("replicated_elapsed_late_ms {:.1}", late as f64 / 1e6);
}

fn percentile(sorted: &[Duration], share: f64) -> u128 {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize].as_micros()
}

/// From a key to its echo, on the host's clock: through the devices, the order, all kernels and the gate.
#[test]
#[ignore = "measures"]
fn a_key_to_its_echo() {
    let count = 1000;
    for (name, options) in [("echo", together()), ("echo_alone", alone("classic"))] {
        let mut s = Session::shell(&options).unwrap();
        let mut times = vec![];
        for i in 0..count {
            // A line is ended now and then: a terminal's line has a limit.
            if i % 64 == 63 {
                s.send("\r").unwrap();
                s.expect(system_tests::PROMPT).unwrap();
            }
            let begun = Instant::now();
            s.send(":").unwrap();
            s.expect(":").unwrap();
            times.push(begun.elapsed());
        }
        s.stop().unwrap();
        times.sort_unstable();
        for (which, share) in [("p50", 0.5), ("p99", 0.99), ("p999", 0.999)] {
            println!("{name}_{which}_us {}", percentile(&times, share));
        }
    }
}

/// The longest silence of a program that puts out without end, from a fault until its victim votes again.
#[test]
#[ignore = "measures"]
fn the_gap_at_a_fault() {
    for (fault, victim, verdict) in
        [("crash", "k2", "crashed"), ("lie", "k3", "wrong output"), ("hang", "k4", "silent")]
    {
        let endless = "while :; do echo $((i = i + 1)); done";
        let mut s = Session::boot(&Options { command: Some(endless.into()), ..together() }).unwrap();
        s.expect("\n500\r\n").unwrap();
        let quiet = s.longest_silence(Duration::from_secs(3), &["nothing that is said"]);
        s.operate(&format!("inject {fault} {victim}")).unwrap();
        let gap = s.longest_silence(system_tests::LIMIT, &[victim, verdict]);
        let back = s.longest_silence(system_tests::LIMIT, &["return: ", " votes as "]);
        s.stop().unwrap();
        for (name, time) in [("before", quiet), ("", gap), ("return", back)] {
            let name = format!("gap_{fault}_{name}").trim_end_matches('_').to_owned();
            println!("{name}_ms {:.1}", time.as_secs_f64() * 1e3);
        }
    }
}

/// From QEMU's start to the first byte on the console.
#[test]
#[ignore = "measures"]
fn boot_to_the_first_voted_byte() {
    let mut times = vec![];
    for _ in 0..5 {
        system_tests::images();
        let begun = Instant::now();
        let mut s = Session::boot(&together()).unwrap();
        s.expect("#").unwrap();
        times.push(begun.elapsed());
        s.stop().unwrap();
    }
    times.sort_unstable();
    println!("boot_to_first_voted_byte_ms {}", percentile(&times, 0.5) / 1000);
}

/// The number before `unit` in a line.
fn before(line: &str, unit: &str) -> Option<u64> {
    line.split_once(unit)?.0.rsplit(' ').next()?.parse().ok()
}

/// What a return takes: memory scrubbed and running, the voted snapshot, the log behind it; and the memory of each partition.
#[test]
#[ignore = "measures"]
fn a_return_and_the_memory_of_each_partition() {
    let mut s = Session::shell(&together()).unwrap();
    s.command("seq 1 20000 > /tmp/numbers; sort -r /tmp/numbers | md5sum").unwrap();
    let mut figures: [Vec<u64>; 4] = Default::default();
    for (n, victim) in ["k2", "k3", "k4", "k1"].into_iter().enumerate() {
        s.operate(&format!("inject crash {victim}")).unwrap();
        s.command("echo on we go").unwrap();
        let snapshot = s.operator_has_said(&["snapshot: sync point ", " KiB, by "], n + 1).unwrap();
        let runs = s.operator_says(&[&format!("return: {victim} runs on scrubbed memory ")]).unwrap();
        let votes = s.operator_says(&[&format!("return: {victim} votes as "), "four vote again"]).unwrap();
        let found = [
            before(&snapshot, " KiB"),
            before(&runs, " ms after"),
            before(&votes, " ms of them"),
            before(&votes, " ms after"),
        ];
        for (all, found) in figures.iter_mut().zip(found) {
            all.push(found.unwrap_or_else(|| panic!("{snapshot}\n{runs}\n{votes}")));
        }
    }
    for (name, mut all) in
        ["snapshot_kib", "return_scrubbed_ms", "return_follows_ms", "return_votes_ms"].iter().zip(figures)
    {
        all.sort_unstable();
        println!("{name} {}", all[all.len() / 2]);
    }
    s.operate("status json").unwrap();
    s.operator_says(&[r#""name":"r4""#]).unwrap();
    for line in s.operator.lines.iter().filter(|l| l.contains(r#""kind":"domain""#)) {
        let text = |key: &str| Some(line.split_once(key)?.1.split(['"', ',']).next()?.to_owned());
        if let (Some(name), Some(mib)) = (text(r#""name":""#), text(r#""mib":"#)) {
            println!("memory_{name}_mib {mib}");
        }
    }
    s.stop().unwrap();
}
