//! Tier 3 on `lazy`: threads (`docs/linux-abi.md`, "Threads"), alone and in a vote of four.

use system_tests::{Options, run, strict};

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
