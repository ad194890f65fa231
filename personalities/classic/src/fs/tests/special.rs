//! /dev, /proc and the borders between file systems.

use crate::fs::linux::*;
use crate::fs::testing::*;
use crate::fs::*;
use abi::linux::nr;

#[test]
fn devices_do_what_they_are_for() {
    let mut w = World::new();
    let null = w.open("/dev/null", O_CREAT | O_TRUNC | O_WRONLY);
    assert_eq!((null, w.write(null, b"gone")), (3, 4));
    assert_eq!(w.cat("/dev/null"), b"");
    let zero = w.open("/dev/zero", 0);
    assert_eq!(w.read(zero, 5).unwrap(), [0; 5]);
    let full = w.open("/dev/full", O_RDWR);
    assert_eq!(w.write(full, b"x"), -28);
    let random = w.open("/dev/urandom", 0);
    let mut expected = [0; 20];
    abi::layout::random_bytes(&[9; 32], 1, 0, &mut expected);
    assert_eq!([w.read(random, 7).unwrap(), w.read(random, 13).unwrap()].concat(), expected);
    assert_eq!(w.readlink("/dev/stdin"), b"/proc/self/fd/0");
    assert_eq!(w.at(nr::mknodat, "/tmp/n", &[u64::from(S_IFCHR | 0o666), 0x103]), 0);
    assert_eq!(w.cat("/tmp/n"), b"");
}

#[test]
fn dev_and_proc_are_read_only() {
    let mut w = World::new();
    assert_eq!(w.open("/dev/new", O_CREAT | O_WRONLY), -30);
    assert_eq!(w.at(nr::unlinkat, "/dev/null", &[0]), -30);
    assert_eq!(w.at(nr::mkdirat, "/dev/null", &[0]), -17);
    assert_eq!(w.at(nr::fchmodat, "/dev/null", &[0]), -30);
    assert_eq!(w.open("/proc/uptime", O_RDWR), -30);
    assert_eq!(w.at(nr::unlinkat, "/proc", &[0x200]), -16);
    let (a, b) = (w.text(0, b"/etc/passwd"), w.text(1, b"/dev/x"));
    assert_eq!(w.call(nr::renameat, &[AT, a, AT, b]), -18);
    assert_eq!(w.at(nr::faccessat, "/dev", &[2]), -30);
    assert_eq!(w.at(nr::faccessat, "/dev/null", &[2]), 0);
}

#[test]
fn proc_lists_processes() {
    let mut w = World::new();
    let row = ProcessRow {
        pid: 12,
        ppid: 1,
        comm: b"sh".to_vec(),
        cmdline: b"sh\0-c\0".to_vec(),
        state: b'S',
        ..Default::default()
    };
    w.system.rows.push(row);
    assert_eq!(w.cat("/proc/12/cmdline"), b"sh\0-c\0");
    assert_eq!(w.cat("/proc/loadavg"), b"0.00 0.00 0.00 1/2 9\n");
    assert!(w.cat("/proc/12/status").starts_with(b"Name:\tsh\nState:\tS (sleeping)\nPid:\t12\n"));
    assert_eq!(w.open("/proc/13", 0), -2);
    assert_eq!(w.open("/proc/012", 0), -2);
    let fd = w.open("/proc", O_DIRECTORY);
    let n = w.call(nr::getdents64, &[fd as u64, OUT, 4096]);
    let b = w.out(n as usize);
    assert!(b.windows(3).any(|x| x == b"12\0") && b.windows(8).any(|x| x == b"loadavg\0"));
    assert_eq!(w.call(nr::getdents64, &[fd as u64, OUT, 4096]), 0);
}

#[test]
fn links_to_descriptors_lead_to_what_is_open() {
    let mut w = World::new();
    let a = w.open("/tmp/a", O_CREAT | O_RDWR);
    w.write(a, b"kept");
    w.at(nr::unlinkat, "/tmp/a", &[0]);
    assert_eq!(w.readlink(&format!("/proc/self/fd/{a}")), b"/tmp/a (deleted)");
    assert_eq!(w.cat(&format!("/dev/fd/{a}")), b"kept");
    let (r, wr) = w.pipe();
    assert_eq!(w.readlink(&format!("/proc/self/fd/{r}")), b"pipe:[1]");
    let again = w.open(&format!("/dev/fd/{wr}"), O_WRONLY);
    assert_eq!(w.write(again, b"x"), 1);
    w.call(nr::close, &[wr as u64]);
    assert_eq!(w.read(r, 2).unwrap(), b"x");
    assert!(matches!(w.outcome(nr::read, &[r as u64, OUT, 1]), Outcome::Block { .. }));
}

#[test]
fn an_image_without_dev_has_one() {
    let mut w = World::with(&[("a", 0o100755, b"x")]);
    assert_eq!(w.open("/dev/console", O_RDWR), 3);
    assert_eq!(w.cat("/proc/self/../version"), b"Linux version 6.1.0 (tetrarch) #1 SMP Tetrarch\n");
    assert_eq!(w.at(nr::mkdirat, "/dev", &[0]), -17);
}

#[test]
fn iovecs_are_one_transfer() {
    let mut w = World::new();
    let fd = w.open("/tmp/a", O_CREAT | O_RDWR);
    let mut iov = Vec::new();
    for (base, len) in [(OUT, 3u64), (OUT + 100, 0), (OUT + 200, 2)] {
        iov.extend_from_slice(&base.to_le_bytes());
        iov.extend_from_slice(&len.to_le_bytes());
    }
    w.memory.write(OUT, b"abc").unwrap();
    w.memory.write(OUT + 200, b"de").unwrap();
    w.memory.write(Memory::BASE + 0x6000, &iov).unwrap();
    assert_eq!(w.call(nr::writev, &[fd as u64, Memory::BASE + 0x6000, 3]), 5);
    assert_eq!(w.cat("/tmp/a"), b"abcde");
    assert_eq!(w.call(nr::writev, &[fd as u64, Memory::BASE + 0x6000, 1025]), -22);
    assert_eq!(w.call(nr::writev, &[fd as u64, 8, 1]), -14);
    let mut vector = |parts: &[(u64, u64)]| {
        let words = parts.iter().flat_map(|(base, len)| [*base, *len]);
        w.memory.write(Memory::BASE + 0x6000, &words.flat_map(u64::to_le_bytes).collect::<Vec<_>>()).unwrap();
        [nr::writev, nr::readv].map(|number| {
            w.call(nr::lseek, &[fd as u64, 0, 0]);
            w.call(number, &[fd as u64, Memory::BASE + 0x6000, parts.len() as u64])
        })
    };
    // A sum that is too large is cut, not refused; memory ends in the second part.
    let most = 0x7fff_f000;
    assert_eq!(vector(&[(OUT, 5), (Memory::BASE, most), (8, most), (8, 1 << 36)]), [0x4_0005; 2]);
    // A single length may not be negative, wherever it stands, and that comes before the first address.
    assert_eq!(vector(&[(u64::MAX, 9), (OUT, 1 << 63)]), [-22; 2]);
    assert_eq!(vector(&[(u64::MAX, 9), (OUT, 1)]), [-14; 2]);
    // Memory ends inside the buffer: what can be touched is written.
    assert_eq!(w.call(nr::pwrite64, &[fd as u64, Memory::BASE + 0x3fffe, 9, 0]), 2);
    assert_eq!(w.call(nr::write, &[fd as u64, 8, 9]), -14);
}
