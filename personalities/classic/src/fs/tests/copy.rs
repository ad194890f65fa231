//! copy_file_range.

use crate::fs::linux::*;
use crate::fs::testing::*;
use abi::linux::nr;

#[test]
fn a_range_is_copied_and_both_offsets_move() {
    let mut w = World::new();
    let from = w.open("/etc/passwd", 0) as u64;
    let to = w.open("/tmp/copy", O_CREAT | O_RDWR) as u64;
    assert_eq!(w.call(nr::copy_file_range, &[from, 0, to, 0, 5, 0]), 5);
    assert_eq!(w.call(nr::copy_file_range, &[from, 0, to, 0, 1 << 40, 0]), 17);
    assert_eq!(w.call(nr::copy_file_range, &[from, 0, to, 0, 1 << 40, 0]), 0);
    assert_eq!(w.cat("/tmp/copy"), b"root:x:0:0::/:/bin/sh\n");
    // With positions of its own, which move in place of the offsets.
    w.memory.0[..8].copy_from_slice(&5u64.to_le_bytes());
    w.memory.0[8..16].copy_from_slice(&1u64.to_le_bytes());
    assert_eq!(w.call(nr::copy_file_range, &[from, Memory::BASE, to, Memory::BASE + 8, 3, 0]), 3);
    assert_eq!((w.memory.0[0], w.memory.0[8]), (8, 4));
    assert_eq!(w.cat("/tmp/copy"), b"rx:0:x:0:0::/:/bin/sh\n");
}

#[test]
fn what_cannot_be_copied_says_why() {
    let mut w = World::new();
    let file = w.open("/tmp/file", O_CREAT | O_RDWR) as u64;
    assert_eq!(w.write(file as i64, b"abcdef"), 6);
    let append = w.open("/tmp/file", O_WRONLY | O_APPEND) as u64;
    let directory = w.open("/etc", 0) as u64;
    let proc = w.open("/proc/uptime", 0) as u64;
    let null = w.open("/dev/null", O_RDWR) as u64;
    let at = |w: &mut World, place: usize, value: i64| {
        w.memory.0[place..place + 8].copy_from_slice(&value.to_le_bytes());
        Memory::BASE + place as u64
    };
    let (two, far, below) = (at(&mut w, 0, 2), at(&mut w, 8, 1 << 40), at(&mut w, 16, -1));
    for (args, errno) in [
        ([99, 0, file, 0, 1, 0], 9),
        ([file, 1, file, 0, 1, 0], 14),
        ([file, 0, file, 0, 1, 1], 22),
        ([directory, 0, file, 0, 1, 0], 21),
        ([null, 0, file, 0, 1, 0], 22),
        ([file, 0, append, 0, 1, 0], 9),
        ([append, 0, file, 0, 1, 0], 9),
        ([proc, 0, file, 0, 1, 0], 18),
        ([file, two, file, 0, u64::MAX, 0], 75),
        ([file, two, file, far, 1, 0], 27),
        ([file, below, file, 0, 0, 0], 22),
    ] {
        assert_eq!(w.call(nr::copy_file_range, &args), -errno, "{args:?}");
    }
    let (zero, one) = (at(&mut w, 24, 0), at(&mut w, 32, 1));
    assert_eq!(w.call(nr::copy_file_range, &[file, zero, file, one, 4, 0]), -22);
    assert_eq!(w.call(nr::copy_file_range, &[file, zero, file, two, 2, 0]), 2);
    assert_eq!(w.cat("/tmp/file"), b"ababef");
}
