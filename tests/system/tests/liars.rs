//! What one fault more than there may be does (f = 1). Two that disagree: the output is right or withheld, never wrong. Two that agree, and a bug in what all
//! kernels share: shown here because no vote helps against them (docs/limits.md, "What f = 1 does not survive").
//!
//! A lie inverts the first byte of each effect. A byte that is inverted in the memory of `lowpage` stands first in what it puts out, or behind its argument: so a liar
//! and a damaged memory agree or not, as one likes.

use std::time::Duration;
use system_tests::{Options, Session, accused, images};
use xtask::kernels::KERNELS;

const TEXT: &str = "what stands in memory\r\n";
const STOPS: &[&str] = &["verdict: no quorum is possible for effect"];
/// How long a wrong byte has to come, once it is told what was found.
const WHILE: Duration = Duration::from_secs(1);

/// `lowpage` waits for a line, on four designs of which nobody returns.
fn waiting(before: &str) -> Session {
    let options = Options {
        command: Some(format!("stty -echo; echo ready; exec lowpage '{before}'")),
        iteration: Some("none"),
        run: vec![("digest-interval".into(), 0)],
        ..Options::default()
    };
    let mut s = Session::boot(&options).unwrap();
    s.expect("ready\r\n").unwrap();
    s.send("\r").unwrap();
    assert_eq!(s.expect(TEXT).unwrap(), before);
    s
}

/// All orders at one moment, while the program waits; then a line. What is shown from then on, until a while after the operator was told of `found`.
fn after(s: &mut Session, orders: &[&str], found: &[&str]) -> Vec<u8> {
    let from = s.operator.lines.len();
    for order in orders {
        s.operate(order).unwrap();
        s.operator_says_since(from, &["injected: ", &order["inject ".len()..].replace(' ', " in ")]).unwrap();
    }
    s.run_for(Duration::from_secs(1));
    let seen = s.console.len();
    s.send("\r").unwrap();
    s.operator_says_since(from, found).unwrap();
    s.run_for(WHILE);
    s.console[seen..].to_vec()
}

/// What has the first byte of `text` inverted.
fn inverted(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes[0] = !bytes[0];
    bytes
}

#[test]
fn two_liars_who_disagree_are_never_believed() {
    for (before, orders) in
        [("= ", ["inject lie k1", "inject diverge k2"]), ("= ", ["inject diverge k3", "inject lie k4"])]
    {
        let mut s = waiting(before);
        let shown = after(&mut s, &orders, STOPS);
        assert_eq!(String::from_utf8_lossy(&shown), "", "{:#?}", s.operator.lines);
        s.stop().unwrap();
    }
    // Nor where three vote, and two equal votes decide.
    let mut s = waiting("= ");
    s.operate("inject crash k4").unwrap();
    s.operator_says(&["voters 2: k1 k2 k3 vote, 2 equal votes decide"]).unwrap();
    let shown = after(&mut s, &["inject lie k3", "inject diverge k2"], STOPS);
    assert_eq!(String::from_utf8_lossy(&shown), "", "{:#?}", s.operator.lines);
    s.stop().unwrap();
}

#[test]
fn one_after_the_other_they_are_found_out() {
    let mut s = waiting("= ");
    for (order, verdict) in [
        ("inject diverge k2", ["verdict: k2 wrong output", "by k1 k3 k4"]),
        ("inject lie k1", ["verdict: k1 wrong output", "by k3 k4"]),
    ] {
        let shown = after(&mut s, &[order], &verdict);
        assert_eq!(String::from_utf8_lossy(&shown), format!("= {TEXT}"), "{:#?}", s.operator.lines);
        s.operator_says(&["voters 2: k1 k3 k4 vote, 2 equal votes decide"]).unwrap();
    }
    s.stop().unwrap();
}

#[test]
fn two_who_agree_stop_four_and_overrule_three() {
    // Two of four: nobody has three equal votes.
    let mut s = waiting("");
    let shown = after(&mut s, &["inject lie k1", "inject diverge k2"], STOPS);
    assert_eq!(String::from_utf8_lossy(&shown), "", "{:#?}", s.operator.lines);
    s.stop().unwrap();

    // Two of three: they are the quorum. What they say is let out, and who said the truth is accused. This is more than f = 1 survives.
    let mut s = waiting("");
    s.operate("inject crash k4").unwrap();
    s.operator_says(&["voters 2: k1 k2 k3 vote, 2 equal votes decide"]).unwrap();
    let truth = &["verdict: k3 wrong output", "by k1 k2"];
    let shown = after(&mut s, &["inject lie k1", "inject diverge k2"], truth);
    assert_eq!(shown, inverted(TEXT), "{:#?}", s.operator.lines);
    s.stop().unwrap();
}

/// The random bytes of a run with seed 7, from `images`, and whom anybody accused until the operator was told of `found`.
fn chance(images: &xtask::machine::Images, found: &[&str]) -> (String, Vec<String>) {
    let command = Some("stty -echo; head -c 16 /dev/urandom | md5sum; read line".into());
    let options = Options { command, seed: Some([7; 32]), iteration: Some("none"), ..Options::default() };
    let mut s = Session::boot_images(images, &options).unwrap();
    let shown = s.expect("\r\n").unwrap();
    s.operator_says(found).unwrap();
    s.send("\r").unwrap();
    let f = s.finish().unwrap();
    let told = f.operator.iter().filter(|l| accused(l).is_some()).cloned().collect();
    (shown, told)
}

/// `abi::layout::random_bytes` is code that all kernels share. One byte of what it hashes, in each image: all make the same wrong bytes, and agree.
#[test]
fn a_bug_in_shared_code_is_agreed_upon() {
    const HASHED: &[u8] = b"tetrarch random";
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let tools = xtask::build::Tools::find().unwrap();
    let (right, told) = chance(images(), &[]);
    assert_eq!(told, Vec::<String>::new());
    let damaged = KERNELS.map(|kernel| {
        let mut bytes = std::fs::read(tools.elf(kernel)).unwrap();
        let at: Vec<_> = (0..bytes.len()).filter(|&at| bytes[at..].starts_with(HASHED)).collect();
        assert!(!at.is_empty(), "{kernel} does not hash {HASHED:?}");
        at.into_iter().for_each(|at| bytes[at] ^= 0x20);
        let file = dir.join(format!("damaged-{kernel}"));
        std::fs::write(&file, bytes).unwrap();
        (kernel, file)
    });
    // In one kernel it is found: with one seed the others make the bytes that came before.
    let wrong = ["verdict: k3 wrong output"];
    let (shown, told) = chance(&images().with(&damaged[2..3]), &wrong);
    assert_eq!((shown, told.len()), (right.clone(), 1), "{told:?}");
    // In all it is not.
    let (shown, told) = chance(&images().with(&damaged), &[]);
    assert!(shown.len() == right.len() && shown != right, "{shown}");
    assert_eq!(told, Vec::<String>::new());
}
