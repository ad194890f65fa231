//! Domains that behave badly: who and why is told, and the rest goes on.

mod harness;

use harness::*;

#[test]
fn images_that_start_badly_are_named_and_the_rest_goes_on() {
    let images = [
        ("guest-flooder", "guest-flooder", 2),
        ("broken-service", "guest-broken", 2),
        ("broken-kernel", "guest-broken", 1),
        ("guest-spinner", "guest-spinner", 2),
    ];
    let (tree, bundle) = (tree_of("misfits.dts"), bundle(&images));
    let machine = Machine { name: "misfits", machine: MACHINE, tree, bundle, qemu: &[], kernel: shipped() };
    let expected = [
        "el2: broken crashed: undefined instruction",
        "el2: broken-kernel crashed: ",
        "el2: flooder has printed 64 KiB; what else it prints is dropped",
        "[beside] spinning",
    ];
    let text = machine.boot(&expected);
    assert_says(&text, &expected);
}

/// One that faults in a loop, garbage, and one that never rests: the root task is told who and why, and who shares their cores answers in time.
#[test]
fn misbehaviour_is_told_to_the_root_task() {
    let images = [("guest-overseer", "guest-overseer", 2), ("guest-broken", "guest-broken", 2)];
    let (tree, bundle) = (tree_of("overseer.dts"), bundle(&images));
    let machine = Machine { name: "overseer", machine: MACHINE, tree, bundle, qemu: &[], kernel: shipped() };
    let expected = [
        "el2: garbage crashed: undefined instruction",
        "overseer: looper stopped after 1000 faults at 0x70000000",
        "overseer: prompt has answered 1000 times",
        "overseer: hog never answers",
        "overseer: garbage crashed, exception class 0x0, pc 0x40000000",
        "overseer: all are told",
    ];
    let text = machine.boot(&expected);
    assert_says(&text, &expected);
    assert!(!text.contains("WRONG") && !text.contains("CRASH"));
}
