//! Each kind of fault in each kernel and each replica, at many moments of several programs, several in one boot: the output is what it is without faults, the
//! culprit is named and nobody else, and four vote again (R24, R26, R27, R54, R75). What was injected and what was told is printed as a matrix.

use system_tests::campaign::{ASH, BASH, Campaign, Chance, SQLITE, Told, Workloads, print};

/// Boots by number, eight cases in each, on one of the sets of workloads.
fn boots(boots: impl Iterator<Item = (u64, &'static Workloads)>, seed: u64) -> Told {
    let mut all = Told::default();
    for (boot, workloads) in boots {
        let (mut c, mut chance) = (Campaign::boot(workloads), Chance(seed + boot));
        (boot * 8..boot * 8 + 8).for_each(|n| c.case(n, &mut chance));
        all.add(c.end());
    }
    print(&all);
    let [causes, right, open] = all.judged();
    assert!(causes > 0 && open * 5 <= causes, "of {causes} causes {open} are undetermined");
    assert_eq!(right + open, causes, "a wrong cause is told");
    all
}

#[test]
fn twenty_four_seeded_faults() {
    let all = boots((0..3).map(|n| (n, &ASH)), 0);
    assert_eq!(all.kinds.values().sum::<u32>(), 24);
}

/// Each fault in each kernel, and each in each replica, with each of the three sets of workloads: four boots with each, eight faults in each. FIRST=8: from that boot on.
#[test]
#[ignore = "long; make campaign"]
fn each_fault_in_each_kernel_and_replica() {
    let first =
        std::env::var("FIRST").map_or(0, |n| n.parse().unwrap_or_else(|_| panic!("FIRST={n}: no number")));
    let all = boots((first..12).map(|n| (n, [&ASH, &BASH, &SQLITE][n as usize / 4])), 1000);
    assert_eq!(u64::from(all.kinds.values().sum::<u32>()), 96 - 8 * first);
}
