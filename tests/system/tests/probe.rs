//! A program cannot tell that it is replicated (R29): what `probe` finds out where four kernels vote is what it finds out on each of them alone.

use system_tests::{Options, run, strict};

/// Words that would tell. (The machine's own name is what a host is called.)
const SIGNS: [&str; 10] = [
    "replica",
    "quorum",
    "vote",
    "voting",
    "personality",
    "classic",
    "lazy",
    "actor",
    "journal",
    "sync point",
];

fn found(kernel: Option<&str>) -> String {
    let options = Options { kernel: kernel.map(str::to_owned), seed: Some([7; 32]), ..strict() };
    let finished = run("probe", options).unwrap();
    assert_eq!(finished.status, Some(0), "{kernel:?}: {}\n{:#?}", finished.console, finished.operator);
    assert!(finished.accusations().is_empty(), "{:?}", finished.accusations());
    without_addresses(&finished.console)
}

/// Addresses are chance's, anew in each run: long hexadecimal numbers become `#`.
fn without_addresses(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_inclusive(|c: char| !c.is_ascii_hexdigit()) {
        let digits = word.trim_end_matches(|c: char| !c.is_ascii_hexdigit());
        let long = digits.len() >= 6;
        out.push_str(if long { "#" } else { digits });
        out.push_str(&word[digits.len()..]);
    }
    out
}

#[test]
fn a_program_finds_no_sign_of_the_others() {
    let voting = found(None);
    for sign in SIGNS {
        let told = voting.lines().find(|line| line.to_lowercase().contains(sign));
        assert_eq!(told, None, "a program is told of {sign:?}");
    }
    // What it looks at is there, and what must not be there is refused: a probe that sees nothing would find nothing.
    for line in
        ["race: ", "cntvct_el0: status 0x4\r", "hvc: status 0x4\r", "goes back: false\r", "uname: 0\r"]
    {
        assert!(voting.contains(line.trim_end_matches('\r')), "{line:?} is missing in:\n{voting}");
    }
    for kernel in xtask::kernels::KERNELS {
        let alone = found(Some(kernel));
        let differs = voting.lines().zip(alone.lines()).find(|(a, b)| a != b);
        assert_eq!(differs, None, "{kernel} alone shows something else");
        assert_eq!(voting.lines().count(), alone.lines().count(), "{kernel} alone shows more or less");
    }
}
