//! A kernel whose report of a sync point is not what happened, and that is wrong in nothing else (`tests/guests/src/reporter.rs`): it is named and replaced.

use system_tests::{Options, Session, accused, images, strict};
use xtask::build::{Tools, guest};

const NAME: &str = "guest-reporter";

#[test]
fn a_false_report_is_named_and_its_kernel_replaced() {
    let images = images().clone();
    let images = images.with_kernel(NAME, guest(&Tools::find().unwrap(), NAME).unwrap());
    let options = Options { images: vec![("k2".into(), NAME.into())], iteration: Some("rotate"), ..strict() };
    let mut s = Session::shell_of(&images, &options).unwrap();
    s.operator_says(&["verdict: k2 contradicts the others at sync point 0"]).unwrap();
    s.operator_says(&["return: k2 votes as ", "four vote again"]).unwrap();
    let shown = s.command("echo $((6 * 7)) | tac").unwrap();
    assert!(shown.starts_with("42\r\n"), "{shown}");
    s.send("exit\r").unwrap();
    let f = s.finish().unwrap();
    assert_eq!(f.status, Some(0));
    let others: Vec<_> =
        f.operator.iter().filter(|l| accused(l).is_some_and(|(who, _)| who != "k2")).collect();
    assert!(others.is_empty(), "{others:?}");
}
