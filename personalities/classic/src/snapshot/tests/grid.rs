//! Calls asked with all combinations of some arguments, with what Linux 6.1 says to them: sleeps, polls, limits and groups.

use super::answers::{answer, of_call};
use super::machine::Code;
use super::{A, B};
use abi::linux::nr;

const ESRCH: i8 = -3;
const EFAULT: i8 = -14;
const EINVAL: i8 = -22;
const EOPNOTSUPP: i8 = -95;
/// No memory of a program's lies there.
const NOWHERE: u64 = 8;
/// Times: zero, a nanosecond, a second too many nanoseconds, and before all time.
const ZERO: u64 = A;
const NANO: u64 = A + 16;
const LARGE: u64 = A + 32;
const NEGATIVE: u64 = A + 48;
/// An empty set of signals, and pairs of where one is and of its size.
const MASK: u64 = B;
const PAIRS: u64 = B + 16;

fn times(c: &mut Code) {
    let words = [0, 0, 0, 1, 0, 1_000_000_000, u64::MAX, 0];
    c.put(ZERO, &words.map(u64::to_le_bytes).concat());
}

#[test]
fn clock_nanosleep_by_clocks_that_none_sleeps_by() {
    let valid = [(ZERO, 0), (NANO, 0), (LARGE, EINVAL), (NEGATIVE, EINVAL), (0, EFAULT), (NOWHERE, EFAULT)];
    let refused = valid.map(|(at, said)| (at, if said == 0 { EINVAL } else { said }));
    let never = |error: i8| valid.map(|(at, _)| (at, error));
    for flags in [0, 1, 2, 1 << 32] {
        let by_alarm = if flags == 2 { refused } else { valid };
        let clocks = [
            (0, valid),
            (1, valid),
            (3, never(EOPNOTSUPP)),
            (4, never(EOPNOTSUPP)),
            (5, never(EOPNOTSUPP)),
            (6, never(EOPNOTSUPP)),
            (7, valid),
            (8, by_alarm),
            (9, by_alarm),
            (10, never(EINVAL)),
            (11, valid),
            (12, never(EINVAL)),
            (u64::MAX, refused),
        ];
        for (clock, table) in clocks {
            for (at, said) in table {
                let args = [clock, flags, at, 0];
                let (got, _) = answer(|c| {
                    times(c);
                    c.call(nr::clock_nanosleep, &args);
                });
                assert_eq!(got, said, "{args:x?}");
            }
        }
    }
}

/// The answer of a poll to a mask at an address and of a size.
fn poll(number: u64, fault: bool, count: u64, time: u64, (mask, size): (u64, u64)) -> i8 {
    let list = if fault { NOWHERE } else { A + 128 };
    answer(|c| {
        times(c);
        c.put(A + 128, &[0; 64]).put(PAIRS, &[mask, size].map(u64::to_le_bytes).concat());
        if number == nr::ppoll {
            c.call(nr::ppoll, &[list, count, time, mask, size]);
        } else {
            c.call(nr::pselect6, &[count, list, 0, 0, time, PAIRS]);
        }
    })
    .0
}

#[test]
fn polls_look_at_the_time_then_the_mask_then_the_count_then_what_they_poll() {
    const TOO_MANY: u64 = u64::MAX;
    let masks = [
        ((0, 7), 0),
        ((MASK, 8), 0),
        ((MASK, 7), EINVAL),
        ((MASK, 16), EINVAL),
        ((NOWHERE, 8), EFAULT),
        ((NOWHERE, 0), EINVAL),
    ];
    let times = [(ZERO, 0), (LARGE, EINVAL), (NEGATIVE, EINVAL), (NOWHERE, EFAULT)];
    for number in [nr::ppoll, nr::pselect6] {
        for (mask, of_mask) in masks {
            for (time, of_time) in times {
                for (count, of_count) in [(0, 0), (1, 0), (TOO_MANY, EINVAL)] {
                    for fault in [false, true] {
                        let of_list = if fault && count == 1 { EFAULT } else { 0 };
                        let errors = [of_time, of_mask, of_count, of_list];
                        let first = errors.into_iter().find(|e| *e != 0);
                        let got = poll(number, fault, count, time, mask);
                        // Descriptor 0, the terminal, is asked for nothing.
                        assert_eq!(got, first.unwrap_or(0), "{number} {mask:x?} {time:x} {count} {fault}");
                    }
                }
            }
        }
    }
    // Where pselect6's mask is comes before the time.
    for time in [LARGE, NOWHERE] {
        assert_eq!(of_call(nr::pselect6, &[0, 0, 0, 0, time, NOWHERE]), EFAULT);
    }
}

#[test]
fn prlimit64_reads_the_new_limit_before_it_looks_for_process_and_resource() {
    for (pid, of_pid) in [(0, 0), (1, 0), (u64::MAX, ESRCH), (99_999, ESRCH)] {
        for (resource, of_resource) in [(0, 0), (15, 0), (16, EINVAL), (u64::MAX, EINVAL)] {
            let without = if of_pid != 0 { of_pid } else { of_resource };
            assert_eq!(of_call(nr::prlimit64, &[pid, resource, 0, 0]), without, "{pid} {resource}");
            assert_eq!(of_call(nr::prlimit64, &[pid, resource, NOWHERE, 0]), EFAULT, "{pid} {resource}");
        }
    }
}

#[test]
fn getgroups_of_a_negative_size() {
    for at in [A, NOWHERE, 0] {
        for (size, said) in [(0, 0), (1, 0), (1 << 32, 0), (u64::MAX, EINVAL), (1 << 31, EINVAL)] {
            assert_eq!(of_call(nr::getgroups, &[size, at]), said, "{size:x}");
        }
    }
}
