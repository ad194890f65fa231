//! The manager is trusted for liveness only: without it the system goes on, voted, and what it began is brought to its end.

use system_tests::{Session, strict};

/// It is killed while a replica that it had restarted takes over the state of the others. That replica is back without it: when another one
/// is killed the rest still orders, which takes three of four.
#[test]
fn a_manager_killed_in_the_middle_of_a_replacement_is_not_missed() {
    let mut s = Session::shell(&strict()).unwrap();
    assert!(s.command("seq 1 500 | md5sum").unwrap().contains("  -\r\n"));
    s.operate("restart r1").unwrap();
    s.operator_says(&["restarted: r1"]).unwrap();
    s.ruin("manager").unwrap();
    // It looks at its stack when it is woken.
    s.operate("status").unwrap();
    s.operator_says(&["el2: manager crashed"]).unwrap();
    for n in 0..20 {
        let out = s.command(&format!("echo one $(({n} + 1000))")).unwrap();
        assert!(out.contains(&format!("one {}\r\n", n + 1000)), "{out:?}");
    }
    assert!(s.state().unwrap().contains("agree"));
    s.ruin("r2").unwrap();
    s.operator_says(&["el2: r2 crashed"]).unwrap();
    for n in 0..20 {
        let out = s.command(&format!("echo two $(({n} + 2000))")).unwrap();
        assert!(out.contains(&format!("two {}\r\n", n + 2000)), "{out:?}");
    }
    // One kernel of four is lost, too: the vote is still a vote.
    s.ruin("k3").unwrap();
    let out = s.command("echo three $((1 + 2))").unwrap();
    assert!(out.contains("three 3\r\n"), "{out:?}");
    let f = s.stop().unwrap();
    assert!(f.accusations().is_empty(), "nobody is left to tell: {:?}", f.accusations());
}
