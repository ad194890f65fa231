//! The manager is trusted for liveness only: it holds nothing by which it could reach a kernel, without it the system goes on, voted, and what it
//! began is brought to its end; and the replicas begin it anew.

use system_tests::{Session, strict};

const ANEW: &str = "tetrarch: the manager began anew, by the replicas' word";

/// A few lines, each voted.
fn goes_on(s: &mut Session, what: &str) {
    for n in 0..20 {
        let out = s.command(&format!("echo {what} $(({n} + 1000))")).unwrap();
        assert!(out.contains(&format!("{what} {}\r\n", n + 1000)), "{out:?}");
    }
}

/// Tables and capabilities agree, and of all that the manifest has on cores 0 and 1.
fn all_there(state: &str) -> bool {
    ["core 0: manager gate devices\n", "core 1: k1 r1\n", "agree"].iter().all(|line| state.contains(line))
}

/// It is killed while a replica that it had restarted takes over the state of the others. That replica is back without it: when another one
/// is killed the rest still orders, which takes three of four. The next manager hears accusations, restarts replicas and brings kernels back.
#[test]
fn a_manager_killed_in_the_middle_of_a_replacement_is_begun_anew() {
    let mut s = Session::shell(&strict()).unwrap();
    assert!(s.command("seq 1 500 | md5sum").unwrap().contains("  -\r\n"));
    s.operate("restart r1").unwrap();
    s.operator_says(&["restarted: r1"]).unwrap();
    s.ruin("manager").unwrap();
    // It looks at its stack when it is woken.
    s.operate("status").unwrap();
    s.operator_says(&["el2: manager crashed"]).unwrap();
    s.operator_says(&[ANEW]).unwrap();
    goes_on(&mut s, "one");
    assert!(s.state().unwrap().contains("agree"));
    s.ruin("r2").unwrap();
    s.operator_says(&["tetrarch: r2 crashed"]).unwrap();
    goes_on(&mut s, "two");
    s.operate("restart r2").unwrap();
    s.operator_says(&["restarted: r2"]).unwrap();
    // One kernel of four is lost, too: the vote is still a vote, and it comes back.
    s.ruin("k3").unwrap();
    let out = s.command("echo three $((1 + 2))").unwrap();
    assert!(out.contains("three 3\r\n"), "{out:?}");
    s.operator_says(&["verdict: k3 crashed"]).unwrap();
    s.operator_says(&["return: k3 votes as", "four vote again"]).unwrap();
    goes_on(&mut s, "four");
    let f = s.stop().unwrap();
    assert!(f.accusations().iter().all(|l| l.contains("k3 crashed")), "{:?}", f.accusations());
}

/// It is killed while a kernel that it had begun anew follows the log, twice; its successor tells of the return.
#[test]
fn a_manager_killed_while_a_kernel_returns_is_not_missed() {
    let mut s = Session::shell(&strict()).unwrap();
    s.command("echo before | tac").unwrap();
    for (n, victim) in ["k2", "k4"].iter().enumerate() {
        s.operate(&format!("inject lie {victim}")).unwrap();
        // The two consoles are not ordered: a command could be done before.
        s.operator_says(&[&format!("injected: lie in {victim}")]).unwrap();
        s.command("echo a line to lie about").unwrap();
        s.operator_says(&[&format!("return: {victim} ("), "is begun anew as"]).unwrap();
        s.ruin("manager").unwrap();
        s.operate("status").unwrap();
        s.operator_has_said(&[ANEW], n + 1).unwrap();
        s.operator_has_said(&[&format!("return: {victim} votes"), "four vote again"], 1).unwrap();
    }
    goes_on(&mut s, "after");
    let f = s.stop().unwrap();
    assert!(f.accusations().iter().all(|l| l.contains(" wrong output")), "{:?}", f.accusations());
}

/// How often each was begun is what EL2's table says.
fn starts(s: &mut Session, expected: &[(&str, u32)]) {
    s.operate("status json").unwrap();
    for (name, count) in expected {
        s.operator_says(&[&format!("\"name\":\"{name}\""), &format!("\"starts\":{count},")]).unwrap();
    }
}

/// Who voted, one after the other.
fn voters(s: &Session) -> Vec<Vec<&str>> {
    let told = s.operator.lines.iter().filter_map(|l| l.strip_prefix("voters ")?.split_once(": "));
    told.filter_map(|(_, set)| set.split_once(" vote,")).map(|(set, _)| set.split(' ').collect()).collect()
}

/// Nothing that it can invoke takes effect, here or by mail; of its orders to begin everybody anew the replicas endorse what three voters allow. The
/// terminal goes on, and shows what it should.
#[test]
fn a_hostile_manager_reaches_nobody() {
    let mut s = Session::shell(&strict()).unwrap();
    s.command("echo before | tac").unwrap();
    let before = s.state().unwrap();
    s.operate("inject usurp manager").unwrap();
    s.operator_says(&["injected: usurp: ", " 0 took effect"]).unwrap();
    goes_on(&mut s, "after");
    assert_eq!((all_there(&before), all_there(&s.state().unwrap())), (true, true), "{before}");
    // One kernel was given up, one replica too, and the spare was begun; who has no seat in the end is the spare again.
    s.operator_says(&["is the spare"]).unwrap();
    s.operator_says(&["restarted: r1"]).unwrap();
    goes_on(&mut s, "later");
    s.run_for(std::time::Duration::from_secs(1));
    starts(&mut s, &[("k2", 1), ("k3", 1)]);
    starts(&mut s, &[("r1", 2), ("r2", 1), ("r3", 1), ("r4", 1), ("gate", 1), ("devices", 1)]);
    for nobody in ["restarted: r2", "restarted: r3", "restarted: r4", "crashed"] {
        assert!(!s.operator.lines.iter().any(|l| l.contains(nobody)), "{nobody}: {:#?}", s.operator.lines);
    }
    let sets = voters(&s);
    assert!(
        sets.iter().all(|set| [3, 4].contains(&set.len()) && set.contains(&"k2") && set.contains(&"k3")),
        "{sets:?}"
    );
    assert_eq!(sets.last().map(Vec::len), Some(4), "{sets:?}");
    let f = s.stop().unwrap();
    assert!(f.accusations().is_empty(), "{:?}", f.accusations());
}

/// Two vote, and both are needed: of its orders those for the two that are lost are endorsed, who is healthy is begun anew for nobody.
#[test]
fn a_hostile_manager_gets_none_of_the_last_two() {
    let mut s = Session::shell(&strict()).unwrap();
    s.operate("policy iteration none").unwrap();
    for (victim, left) in [("k2", "voters 2: k1 k3 k4 vote"), ("k3", "voters 3: k1 k4 vote")] {
        s.operate(&format!("inject crash {victim}")).unwrap();
        s.operator_says(&[left]).unwrap();
    }
    s.operate("inject usurp manager").unwrap();
    s.operator_says(&["injected: usurp: ", " 0 took effect"]).unwrap();
    goes_on(&mut s, "two");
    // Of the two that are lost and the spare two have a seat in the end, and the third is the spare.
    s.operator_says(&["is the spare"]).unwrap();
    // When four vote, the manager's orders can still swap one for the spare: three are left meanwhile, and then four again.
    s.run_for(std::time::Duration::from_secs(1));
    s.until("four vote", |s| (voters(s).last().map(Vec::len) == Some(4)).then_some(())).unwrap();
    starts(&mut s, &[("k1", 1)]);
    let sets = voters(&s);
    assert!(sets.iter().all(|set| (2..=4).contains(&set.len()) && set.contains(&"k1")), "{sets:?}");
    // Until four voted the last of the voters was not given up, and then three were never too few.
    let (few, later) = sets.split_at(sets.iter().position(|set| set.len() == 4).unwrap_or(sets.len()));
    assert!(few.len() > 2 && few.iter().all(|set| set.contains(&"k4")), "{sets:?}");
    assert!(later.iter().all(|set| set.len() > 2) && later.last().map(Vec::len) == Some(4), "{sets:?}");
    let f = s.stop().unwrap();
    assert!(f.accusations().iter().all(|l| l.contains(" crashed")), "{:?}", f.accusations());
}
