//! From power-on to a voted prompt (R1, R24, R28, R82).

use system_tests::{Options, Session, run};

#[test]
fn a_prompt_appears_and_answers() {
    let mut s = Session::shell(&Options::default()).unwrap();
    let answer = s.command("echo $((6 * 7))").unwrap();
    assert!(answer.starts_with("42\r\n"), "{answer:?}");
    let listing = s.command("ls -l /bin/busybox").unwrap();
    assert!(listing.contains("/bin/busybox"), "{listing}");
    s.operate("status").unwrap();
    for k in ["k1", "k2", "k3", "k4"] {
        s.operator_says(&[k, "voting"]).unwrap();
    }
    s.send("exit 3\r").unwrap();
    let f = s.finish().unwrap();
    assert_eq!(f.status, Some(3));
    assert!(f.accusations().is_empty(), "{:?}", f.accusations());
}

#[test]
fn a_command_line_hands_out_its_exit_status() {
    for (command, status, output) in [
        ("true", 0, ""),
        ("echo hello; exit 7", 7, "hello\r\n"),
        // A signal that the shell did not ask for does not kill process 1, as on Linux.
        ("kill -9 $$; echo alive", 0, "alive\r\n"),
        ("uname -snrm", 0, "Linux tetrarch 6.1.0 aarch64\r\n"),
        ("echo a b c | tr a-c x-z | sed 's/ /-/g'", 0, "x-y-z\r\n"),
    ] {
        let f = run(command, Options::default()).unwrap();
        assert_eq!((f.status, f.console.as_str()), (Some(status), output), "{command}: {:?}", f.operator);
    }
}

#[test]
fn one_kernel_runs_alone() {
    let alone = Options { kernel: Some("classic".into()), ..Options::default() };
    let f = run("echo alone; cat /proc/version", alone).unwrap();
    assert_eq!(
        (f.status, f.console.as_str()),
        (Some(0), "alone\r\nLinux version 6.1.0 (tetrarch) #1 SMP Tetrarch\r\n")
    );
}

#[test]
fn a_fixed_seed_repeats_the_run_s_chance_and_the_boot_says_so() {
    let random = |seed: Option<[u8; 32]>| {
        let f = run("head -c 16 /dev/urandom | md5sum", Options { seed, ..Options::default() }).unwrap();
        assert_eq!(f.status, Some(0));
        let told = f.operator.iter().any(|l| l.starts_with("el2: the seed is fixed"));
        assert_eq!(told, seed.is_some());
        f.console
    };
    let first = random(Some([7; 32]));
    assert_eq!(first, random(Some([7; 32])));
    assert_ne!(first, random(Some([8; 32])));
    assert_ne!(first, random(None));
}
