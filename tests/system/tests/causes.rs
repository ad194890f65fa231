//! Why a kernel was lost: it is begun anew as it was and executes the same turns again (R53, R62).

use system_tests::{Options, Session, images, strict};

/// Something that all four do for a while, and the same each time.
const WORK: &str = "for i in 1 2 3 4 5 6; do seq 1 $((i * 9)) | sort -rn | head -n 1; done";
const TRANSIENT: &str = "transient fault, it did not happen again (executed again from";

/// Faults on demand happen once: executed again the turns are right, and the kernel votes as the design that it was.
#[test]
fn a_fault_on_demand_does_not_happen_again() {
    let mut s = Session::shell(&strict()).unwrap();
    let right = s.command(WORK).unwrap();
    for (fault, victim) in [("crash", "k1"), ("lie", "k2"), ("diverge", "k3"), ("hang", "k4")] {
        let from = s.operator.lines.len();
        s.operate(&format!("inject {fault} {victim}")).unwrap();
        s.operator_says_since(from, &[&format!("injected: {fault} in {victim}")]).unwrap();
        assert_eq!(s.command(WORK).unwrap(), right);
        let told = s.operator_says_since(from, &[&format!("cause: {victim} ")]).unwrap();
        println!("{fault}: {told}");
        assert!(told.contains(TRANSIENT), "{told}: {:#?}", s.operator.lines);
        let back = s.operator_says_since(from, &[&format!("return: {victim} votes as ")]).unwrap();
        println!("{back}");
    }
    let from = s.operator.lines.len();
    s.operate("status").unwrap();
    s.operator_says_since(from, &["losses by cause: transient 4, one kernel 0", "undetermined 0"]).unwrap();
    s.send("exit\r").unwrap();
    let f = s.finish().unwrap();
    assert_eq!(f.status, Some(0));
    let anew: Vec<_> = f.operator.iter().filter(|l| l.contains(" is begun anew as ")).collect();
    assert!(
        anew.len() == 4 && anew.iter().all(|l| l.ends_with("to execute its last turns again")),
        "{anew:#?}"
    );
}
