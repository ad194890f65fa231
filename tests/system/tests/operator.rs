//! What the operator orders while a program runs (R49, R63, R64).

use std::time::Duration;
use system_tests::{Options, Session};

const SUM: &str = "seq 1 500 | md5sum";

/// The sum that the program makes, whoever computes it.
fn sum(s: &mut Session) -> String {
    s.command(SUM).unwrap().lines().next().unwrap().to_owned()
}

#[test]
fn one_session_and_many_orders() {
    let kernels = xtask::kernels::KERNELS.map(str::to_owned).into();
    let mut s = Session::shell(&Options { kernels, ..Options::default() }).unwrap();
    let right = sum(&mut s);

    s.operate("status json").unwrap();
    s.operator_says(&[r#""name":"k3","core":3,"design":"actor","mib":256,"state":"running""#, "voting"])
        .unwrap();
    for k in ["k1", "k2", "k3", "k4"] {
        s.operate(&format!("counters {k} json")).unwrap();
        for name in ["faults repaired", "write"] {
            s.operator_says(&[&format!(r#""domain":"{k}","name":"{name}","count":"#)]).unwrap();
        }
    }

    // Inputs that are agreed, so that all kernels get them at the same place.
    s.operate("resize 50 132").unwrap();
    s.operator_says(&["to be agreed: the terminal has 50 rows of 132 columns"]).unwrap();
    let agreed = (0..20).any(|_| s.command("stty size").unwrap().starts_with("50 132"));
    assert!(agreed, "the terminal keeps its size");
    s.send("sleep 1000; echo after=$?\r").unwrap();
    s.run_for(Duration::from_secs(1));
    s.operate("signal TERM").unwrap();
    s.expect("after=143").unwrap();
    s.expect("# ").unwrap();

    // A policy that counts from now on: who is lost begins anew as it was.
    s.operate("policy iteration refresh").unwrap();
    s.operator_says(&["policy: iteration is refresh"]).unwrap();
    s.operate("inject corrupt k2").unwrap();
    s.operator_says(&["injected: corrupt in k2"]).unwrap();
    let lost = |s: &Session| {
        s.operator.lines.iter().any(|l| l.starts_with("verdict: k2 ") && system_tests::accuses(l))
    };
    for _ in 0..100 {
        assert_eq!(sum(&mut s), right);
        if lost(&s) {
            break;
        }
    }
    s.operator_says(&["return: k2 votes as lazy", "four vote again"]).unwrap();

    // A kernel that gets too little of its core is late and no more.
    s.operate("inject slow k3").unwrap();
    s.operator_says(&["injected: slow in k3"]).unwrap();
    assert_eq!(sum(&mut s), right);
    s.operate("resume k3").unwrap();
    s.operator_says(&["resumed: k3"]).unwrap();
    assert_eq!(sum(&mut s), right);

    s.operate("verdicts").unwrap();
    s.operator_says(&[".", " verdict: k2 "]).unwrap();
    s.operate("log").unwrap();
    s.operator_says(&[".", " return: k2 votes as lazy"]).unwrap();
    s.send("exit\r").unwrap();
    let f = s.finish().unwrap();
    assert_eq!(f.status, Some(0));
    let others: Vec<_> = f.accusations().into_iter().filter(|l| !l.contains("k2")).collect();
    assert!(others.is_empty(), "{others:?}");
}
