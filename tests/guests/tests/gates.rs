//! What was sealed into a gate is beyond whoever sealed it; and enough seats decide about it, no fewer.

mod harness;

use harness::assert_says;
use harness::look::boot_and_look;

/// A manager that has sealed a personality turns hostile; two seats in one hand, endorsements of an old epoch and of an old sequence number.
#[test]
fn a_hostile_manager_reaches_nothing_that_it_sealed() {
    let images = [("guest-sealed", "guest-sealed", 2)];
    let text = boot_and_look("sealed", 240, &images, &["sealed to the end"], |_, look| {
        println!("{}", look().expect("stores and tables agree after all"));
    });
    let expected = [
        "step 7: the victim goes on",
        "attempts by mail on core 1, ",
        "attempts by mail on core 4, ",
        "attempts on core 0, ",
        "step 8: the victim has no time any more",
        "sealed to the end",
    ];
    assert_says(&text, &expected);
    for wrong in ["WRONG", "CRASH", "crashed"] {
        assert!(!text.contains(wrong), "found: {wrong}");
    }
}
