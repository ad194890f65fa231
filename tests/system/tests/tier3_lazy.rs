//! Tier 3 on `lazy`: threads (`docs/linux-abi.md`, "Threads"), alone and in a vote of four.

use std::path::PathBuf;
use system_tests::{Options, run, strict};

/// In the tests' own directory.
fn own(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn lines(console: &str) -> Vec<&str> {
    console.lines().map(str::trim_end).collect()
}

#[test]
fn threads_do_what_programs_use_them_for() {
    let alone = Options { kernel: Some("lazy".into()), tier: Some(3), ..Options::default() };
    let f = run("threads; echo status $?", alone).unwrap();
    // 4 times 200; the sum of the squares of 1 to 50; one leader a round.
    let expected = ["counter 800 queue 42925 barrier 5 timeout true", "from a child", "status 9"];
    assert_eq!(lines(&f.console), expected, "{:?}", f.operator);
}

#[test]
fn below_tier_3_there_are_none() {
    let alone = Options { kernel: Some("lazy".into()), tier: Some(2), ..Options::default() };
    let f = run("threads order 2>/dev/null; echo status $?", alone).unwrap();
    let [.., last] = lines(&f.console)[..] else { panic!("{:?}", f.console) };
    assert_ne!(last, "status 0");
}

#[test]
fn four_kernels_agree_on_who_came_when() {
    let kernels = vec!["lazy".to_owned(); 4];
    let f = run("threads order; threads", Options { kernels, tier: Some(3), ..strict() }).unwrap();
    assert!(f.accusations().is_empty(), "{:?}", f.accusations());
    let all = lines(&f.console);
    let numbers = |who: &str| {
        let of = all.iter().filter_map(|l| l.strip_prefix(who)?.split(' ').next()?.parse::<u32>().ok());
        of.collect::<Vec<_>>()
    };
    for who in ["0 ", "1 ", "2 ", "3 "] {
        assert_eq!(numbers(who), (0..20).collect::<Vec<_>>(), "thread {who}");
    }
    assert_eq!(f.status, Some(9));
}

const SCRIPT: &str = r#"
sqlite3 :memory: 'create table t(a,b); insert into t values(1,"x"),(2,"y"); select sum(a),group_concat(b) from t;'
sqlite3 /tmp/db 'create table t(a integer primary key,b text); insert into t(b) values("z"); pragma integrity_check;'
sqlite3 /tmp/db 'select * from t'
sqlite3 /tmp/wal 'pragma locking_mode=exclusive; pragma journal_mode=wal; create table t(a); insert into t values(5); select a from t'
echo 'scale=20; 4*a(1); 2^100' | bc -l
printf 'all: a b\n\t@echo all $^\na b:\n\t@echo make $@\n' > Makefile; make -s -j2 | sort
python3 threads.py
"#;

const PYTHON: &str = r#"
import collections, re, subprocess, threading
lock, n, passed = threading.Lock(), 0, []
def add():
    global n
    for _ in range(500):
        with lock: n += 1
def together(run, count):
    all = [threading.Thread(target=run) for _ in range(count)]
    for t in all: t.start()
    for t in all: t.join()
together(add, 4)
barrier = threading.Barrier(3)
together(lambda: passed.append(barrier.wait()), 3)
set = threading.Event()
threading.Timer(0.05, set.set).start()
print(n, sorted(passed), set.wait(5), threading.Event().wait(0.01))
print(subprocess.run(["/bin/echo", "hi"], capture_output=True, text=True).stdout.strip())
print(re.sub(r"(\w+)@(\w+)", r"\2 at \1", "me@home"), collections.Counter("mississippi").most_common(2))
"#;

#[test]
fn debians_programs_run_as_they_are() {
    let packages = ["bc", "make", "python3-minimal", "sqlite3"].map(str::to_owned).into();
    let files = vec![own("programs.sh", SCRIPT), own("threads.py", PYTHON)];
    let alone = Options { kernel: Some("lazy".into()), tier: Some(3), packages, files, ..Options::default() };
    let f = run("ash programs.sh", alone).unwrap();
    // All but Python's lines: the same as under Debian's 6.1 kernel; those by what the script says.
    let expected = "3|x,y\nok\n1|z\nexclusive\nwal\n5\n3.14159265358979323844\n1267650600228229401496703205376\nall a b\nmake a\nmake b\n\
                    2000 [0, 1, 2] True False\nhi\nhome at me [('i', 4), ('s', 4)]";
    assert_eq!(lines(&f.console).join("\n"), expected, "{:?}", f.operator);
}
