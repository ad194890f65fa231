//! Unmodified dynamic programs of Debian on `classic`: libraries, files, threads. What they print is reckoned, or is in their manuals.

use system_tests::{Options, run};

fn classic(packages: &str) -> Options {
    Options {
        kernel: Some("classic".into()),
        packages: packages.split_whitespace().map(str::to_owned).collect(),
        ..Options::default()
    }
}

/// Runs each command; its output is the line beside it.
fn check(packages: &str, cases: &[(&str, &str)]) {
    let script: Vec<&str> = cases.iter().map(|(command, _)| *command).collect();
    let f = run(&script.join("\n"), classic(packages)).unwrap();
    let wanted: Vec<&str> = cases.iter().map(|(_, output)| *output).collect();
    assert_eq!(f.console.replace('\r', "").lines().collect::<Vec<_>>(), wanted, "{:?}", f.operator);
    let unknown =
        |l: &&String| l.contains("ENOSYS") && !TRIED.iter().any(|call| l.contains(&format!("({call})")));
    assert_eq!(f.operator.iter().find(unknown), None);
}

/// No kernel has these. bash asks whether its input is a socket (of one that is none Linux says ENOTSOCK, and bash takes either for no); Python's `selectors` tries
/// epoll when it is imported, and takes poll then.
const TRIED: [&str; 2] = ["getpeername", "epoll_create1"];

#[test]
fn shells_text_tools_lua_sqlite_bc_and_make() {
    check(
        "bash coreutils grep sed gawk bc make lua5.4 sqlite3",
        &[
            (
                "cd /tmp; bash -c 'a=(3 1 2); echo ${#a[@]} ${a[1]} $((2**40)); cat <(echo sub)' | paste -sd,",
                "3 1 1099511627776,sub",
            ),
            ("seq 1 20 > n; /usr/bin/sort -rn n | head -2 | paste -sd,; cp n m && cmp n m", "20,19"),
            ("stat -c '%s %a %F' m; truncate -s 3 m", "51 644 regular file"),
            ("printf 1234567890 | /usr/bin/sha256sum | cut -c1-8", "c775e7b7"),
            ("/bin/grep -c 1 n", "11"),
            ("/bin/sed -n '2{s/2/two/;p}' n", "two"),
            ("gawk '{s+=$1} END{print s, toupper(\"x\")}' n", "210 X"),
            ("echo '2^100' | bc", "1267650600228229401496703205376"),
            (
                "lua5.4 -e 'print(7//2, 1<<40, (\"x\"):rep(3), select(\"#\", 1, 2))'",
                "3\t1099511627776\txxx\t2",
            ),
            (
                "sqlite3 :memory: 'create table t(a); insert into t values(1),(2),(39); select sum(a) from t'",
                "42",
            ),
            (
                "sqlite3 f 'create table t(a); insert into t values(7)'; sqlite3 f 'select a from t; pragma integrity_check' | paste -sd,",
                "7,ok",
            ),
            ("printf 'all: x\\n\\t@echo made $<\\nx:\\n\\t@touch x\\n' > Makefile; make -j3", "made x"),
        ],
    );
}

#[test]
fn python_with_threads_and_perl() {
    let queue = "import threading,queue\nq=queue.Queue(); out=[]\ndef w():\n while (x:=q.get()) is not None: out.append(x*x)\n\
        ts=[threading.Thread(target=w) for _ in range(4)]\nfor t in ts: t.start()\nfor i in range(50): q.put(i)\nfor t in ts: q.put(None)\n\
        for t in ts: t.join()\nprint(len(out), sum(out), threading.active_count())";
    let event = "import threading; e=threading.Event(); threading.Timer(0.05, e.set).start(); print(e.wait(60), e.wait(0))";
    let batteries = "import json,re,collections,subprocess\nprint(json.dumps({'a':[1,None]}), re.sub('b+','x','abbc'), collections.Counter('aab')['a'],\
        subprocess.run(['echo','hi'],capture_output=True,text=True).stdout.strip())";
    check(
        "python3.11 perl-base",
        &[
            (&format!("python3.11 -c \"{}\"", batteries.replace('"', "\\\"")), "{\"a\": [1, null]} axc 2 hi"),
            // The sum of the squares below 50: 49 * 50 * 99 / 6.
            (&format!("python3.11 -c \"{queue}\""), "50 40425 1"),
            (&format!("python3.11 -c \"{event}\""), "True True"),
            (
                "perl -e '$p=fork; exit 3 unless $p; waitpid $p,0; print $?>>8, \" \", join(\",\",sort {$a<=>$b} 3,1,2), \"\\n\"'",
                "3 1,2,3",
            ),
        ],
    );
}
