//! What all kernels and Linux 6.1 were asked: advice on memory, shared mappings in maps, and where `exe` leads.

use super::answers::{answer, last_of, of_call};
use super::machine::{Arg::Lit, Arg::Saved, Code, DATA, Op};
use super::rig::{Case, SEED};
use super::{A, B, BIG, HERE, idle, seen, sleep};
use abi::layout::{STACK_MAX, layout};
use abi::linux::nr;

const ENOENT: i8 = -2;
const ENOMEM: i8 = -12;
const EINVAL: i8 = -22;

const DONTNEED: u64 = 4;
/// Nothing is mapped there: below the first place of mappings, and behind the last that a program can have.
const HOLES: [u64; 2] = [0x1000, 0xffff_ffff_ffff_d000];

fn madvise(start: u64, len: u64, advice: u64) -> i8 {
    of_call(nr::madvise, &[start, len, advice])
}

#[test]
fn madvise_looks_at_advice_then_start_then_length() {
    // Of the advice the low 32 bits count.
    for unknown in [5, 6, 7, 26, 99, 102, 1 << 31, u64::from(u32::MAX), u64::MAX, (1 << 32) + 5] {
        for (start, len) in [(A, 4096), (A, 0), (A + 1, 0), (HOLES[0], 4096)] {
            assert_eq!(madvise(start, len, unknown), EINVAL, "{start:x} {len} {unknown}");
        }
    }
    for known in [0, 3, DONTNEED, 8, 25, 100, 101, 1 << 32, (7 << 32) + DONTNEED] {
        assert_eq!([madvise(A, 4096, known), madvise(A, 1, known)], [0; 2], "{known}");
        assert_eq!([madvise(A + 1, 4096, known), madvise(A + 1, 0, known)], [EINVAL; 2], "{known}");
        // The first three end at 2^64 or beyond it, the last once it is rounded up.
        for (start, len) in [(A, u64::MAX), (A, A.wrapping_neg()), (HOLES[1], 0x3000), (HOLES[1], 0x2001)] {
            assert_eq!(madvise(start, len, known), EINVAL, "{start:x} {len:x} {known}");
        }
        for hole in HOLES {
            assert_eq!(
                [madvise(hole, 0, known), madvise(hole, 0x2000, known)],
                [0, ENOMEM],
                "{hole:x} {known}"
            );
        }
    }
}

/// A hole before, between and behind what is mapped.
#[test]
fn madvise_finds_holes_with_all_advice() {
    let at = BIG << 4;
    let over = |start: u64, len: u64, advice: u64| {
        answer(|c| {
            c.call(nr::mmap, &[at, 0x5000, 3, 0x32, u64::MAX, 0]).call(nr::munmap, &[at + 0x1000, 0x1000]);
            c.call(nr::mprotect, &[at + 0x3000, 0x1000, 0]).call(nr::madvise, &[start, len, advice]);
        })
        .0
    };
    for advice in [0, 1, 2, 3, DONTNEED, 8, 9, 14, 20, 25] {
        let holes =
            [(at - 0x1000, 0x2000), (at, 0x2000), (at + 0x1000, 1), (at, 0x5000), (at + 0x2000, 0x4000)];
        assert_eq!(holes.map(|(start, len)| over(start, len, advice)), [ENOMEM; 5], "{advice}");
        assert_eq!(
            [(at, 0x1000), (at + 0x2000, 0x3000)].map(|(start, len)| over(start, len, advice)),
            [0; 2],
            "{advice}"
        );
    }
}

/// Room for the stack below its lowest page touched is a hole, until it is touched.
#[test]
fn room_for_the_stack_is_a_hole() {
    let top = layout(&SEED, 0).stack_top;
    let (lowest, room) = (top - STACK_MAX, STACK_MAX - 0x10_0000);
    let answers = |touched: Option<u64>, call: (u64, [u64; 3])| {
        answer(|c| {
            if let Some(at) = touched {
                c.put(at, b"x");
            }
            c.call(call.0, &call.1);
        })
        .0
    };
    let advice = [0, 1, 2, 3, DONTNEED, 8, 9, 14, 20, 25].map(|advice| (nr::madvise, advice));
    for (call, last) in advice.into_iter().chain([0, 1, 3].map(|rights| (nr::mprotect, rights))) {
        // All that has none of its pages, then its whole room.
        for (start, len) in [(lowest, 1), (lowest, room), (lowest + room / 2, 0x3000), (lowest, STACK_MAX)] {
            assert_eq!(answers(None, (call, [start, len, last])), ENOMEM, "{start:x} {len:x} {call} {last}");
        }
        let at = lowest + room;
        assert_eq!(answers(Some(at), (call, [at, 0x1000, last])), 0, "{call} {last}");
        assert_eq!(answers(Some(at), (call, [at - 0x1000, 0x2000, last])), ENOMEM, "{call} {last}");
    }
}

#[test]
fn madvise_over_a_hole_gives_up_what_is_mapped_all_the_same() {
    let (_, output) = answer(|c| {
        c.call(nr::mmap, &[BIG << 4, 0x3000, 3, 0x32, u64::MAX, 0])
            .call(nr::munmap, &[(BIG << 4) + 0x1000, 0x1000]);
        c.put(BIG << 4, b"one").put((BIG << 4) + 0x2000, b"two").say(b"<");
        c.call(nr::madvise, &[BIG << 4, 0u64.wrapping_sub(BIG << 5) & !0xfff, 9]);
        c.call(nr::write, &[1, BIG << 4, 3]).call(nr::write, &[1, (BIG << 4) + 0x2000, 3]);
        // From there to far behind all that a program can map.
        c.call(nr::madvise, &[BIG << 4, 1 << 60, DONTNEED]);
        c.call(nr::write, &[1, BIG << 4, 3]).call(nr::write, &[1, (BIG << 4) + 0x2000, 3]).say(b">");
    });
    assert_eq!(output, "<onetwo\0\0\0\0\0\0>");
}

/// Behind a snapshot, too.
#[test]
fn maps_tells_which_mappings_are_shared() {
    let (anonymous, file, validated) = (BIG << 4, (BIG << 4) + 0x10_0000, (BIG << 4) + 0x20_0000);
    let mut c = Code::default();
    c.path(A, "/etc/motd").call(nr::openat, &[HERE, A, 0, 0]);
    for (at, flags, fd) in [(anonymous, 0x30, u64::MAX), (file, 0x10, 3)] {
        // Shared beside private.
        c.call(nr::mmap, &[at, 4096, 1, flags | 1, fd, 0])
            .call(nr::mmap, &[at + 4096, 4096, 1, flags | 2, fd, 4096]);
    }
    c.call(nr::mmap, &[validated, 4096, 1, 0x13, 3, 0]);
    idle(&mut c, 48);
    c.path(A, "/proc/self/maps").call(nr::openat, &[HERE, A, 0, 0]).call(nr::read, &[4, BIG, 4000]).save(2);
    c.with(nr::write, &[Lit(1), Lit(BIG), Saved(2)]).call(nr::exit_group, &[0]);
    let case = Case::new(c, 0);
    let output = case.run(None, None, 20_000).0.output;
    for (at, rights) in [
        (anonymous, "r--s"),
        (anonymous + 4096, "r--p"),
        (file, "r--s"),
        (file + 4096, "r--p"),
        (validated, "r--s"),
    ] {
        assert!(
            output.contains(&format!("{at:08x}-{:08x} {rights} ", at + 4096)),
            "{at:x} {rights}\n{output}"
        );
    }
    assert_eq!(output.matches("--s ").count(), 3, "{output}");
    assert!(seen(&case.everywhere(), "shared: true"));
}

/// A program whose name is removed while its file has another, or is open, or neither, executes and opens `exe`. What is told: the exit status, and
/// the output ("again" if it was executed, then the text of the link, and bytes read by it).
fn exe(linked: bool, open: bool) -> (i8, String) {
    let mut c = Code::default();
    c.path(A, "/bin/second").call(nr::execve, &[A, 0, 0]);
    let second = c.here();
    c.path(A, "/tmp/once").call(nr::mkdirat, &[HERE, A, 0o755]);
    let at = c.0.len();
    c.op(Op::IfParent(0)).path(A, "/bin/second").path(B, "/tmp/kept");
    if linked {
        c.call(nr::linkat, &[HERE, A, HERE, B, 0]);
    }
    if open {
        c.call(nr::openat, &[HERE, A, 0, 0]);
    }
    c.call(nr::unlinkat, &[HERE, A, 0]).path(A, "/proc/self/exe").call(nr::execve, &[A, 0, 0]).save(6);
    c.with(nr::exit_group, &[Saved(6)]);
    c.0[at] = Op::IfParent(c.0.len());
    c.say(b"again ").path(A, "/proc/self/exe").call(nr::readlinkat, &[HERE, A, BIG, 200]).save(2);
    c.with(nr::write, &[Lit(1), Lit(BIG), Saved(2)]).call(nr::openat, &[HERE, A, 0, 0]).save(3);
    c.with(nr::read, &[Saved(3), Lit(BIG), Lit(4)]).call(nr::write, &[1, BIG + 1, 3]);
    // The file's last descriptors go, then it is asked for once more.
    c.with(nr::close, &[Saved(3)]).call(nr::close, &[3]).path(A, "/proc/self/exe");
    c.call(nr::openat, &[HERE, A, 0, 0]).save(6).with(nr::exit_group, &[Saved(6)]);
    last_of(&Case::new(c, second))
}

#[test]
fn exe_leads_to_the_file_while_it_has_a_name_or_is_open() {
    let told = "again /bin/second (deleted)ELF".to_string();
    assert_eq!(exe(true, false), (3, told.clone()));
    assert_eq!(exe(true, true), (3, told.clone()));
    assert_eq!(exe(false, true), (ENOENT, told));
    assert_eq!(exe(false, false), (ENOENT, String::new()));
}

/// What of the heap is moved away is an anonymous mapping as any other; what stays, or grows in place, is the heap. Behind a snapshot, too.
#[test]
fn a_moved_part_of_the_heap_has_no_name() {
    const MAY_MOVE: u64 = 1;
    const FIXED: u64 = 3;
    let heap = DATA + 0x2_0000 + abi::layout::layout(&[3; 32], 0).brk_gap;
    let (moved, beside) = (BIG << 4, (BIG << 4) + 0x1000);
    let mut c = Code::default();
    c.call(nr::mmap, &[beside, 0x1000, 3, 0x32, u64::MAX, 0]).call(nr::brk, &[heap + 0x4000]);
    c.call(nr::mremap, &[heap, 0x1000, 0x1000, FIXED, moved]);
    // Grows in place; then its last page is moved, for something else is there.
    c.call(nr::mmap, &[heap + 0x6000, 0x1000, 1, 0x32, u64::MAX, 0]);
    c.call(nr::mremap, &[heap + 0x1000, 0x3000, 0x4000, MAY_MOVE]);
    c.call(nr::mremap, &[heap + 0x4000, 0x1000, 0x9000, MAY_MOVE]).save(0);
    // What was moved is one mapping with its neighbour, also to mremap.
    c.call(nr::mremap, &[moved, 0x2000, 0x3000, 0]);
    idle(&mut c, 40);
    c.path(A, "/proc/self/maps").call(nr::openat, &[HERE, A, 0, 0]).call(nr::read, &[3, BIG, 4000]).save(2);
    c.with(nr::write, &[Lit(1), Lit(BIG), Saved(2)]).call(nr::exit_group, &[0]);
    let case = Case::new(c, 0);
    let output = case.run(None, None, 20_000).0.output.replace('\r', "");
    let mappings: Vec<(u64, u64, &str)> = output.lines().map(mapping).collect();
    assert!(mappings.contains(&(heap + 0x1000, heap + 0x4000, "[heap]")), "{output}");
    assert!(mappings.contains(&(moved, moved + 0x3000, "")), "{output}");
    assert!(mappings.iter().any(|(start, end, name)| end - start == 0x9000 && name.is_empty()), "{output}");
    assert_eq!(output.matches("[heap]").count(), 1, "{output}");
    let kept = format!(
        "start: {moved}, end: {}, rights: 6, charged: true, shared: false, kind: Anonymous",
        moved + 0x3000
    );
    assert!(seen(&case.everywhere(), &kept));
}

/// Start, end and name of a line of maps.
fn mapping(line: &str) -> (u64, u64, &str) {
    let mut words = line.split_whitespace();
    let (start, end) = words.next().and_then(|range| range.split_once('-')).expect(line);
    let [start, end] = [start, end].map(|address| u64::from_str_radix(address, 16).expect(line));
    (start, end, words.nth(4).unwrap_or_default())
}

/// Behind a snapshot, too: what calls answered is in the registers.
#[test]
fn the_links_of_a_zombie_are_there_and_lead_nowhere() {
    const KEEP: u64 = 0x100;
    let asked = |link: &str| {
        let path = format!("/proc/2/{link}");
        move |c: &mut Code, which: usize| {
            c.path(A, &path);
            match which {
                0 => c.call(nr::newfstatat, &[HERE, A, BIG, KEEP]),
                1 => c.call(nr::readlinkat, &[HERE, A, BIG, 4096]),
                2 => c.call(nr::newfstatat, &[HERE, A, BIG, 0]),
                3 => c.call(nr::openat, &[HERE, A, 0, 0]),
                4 => c.call(nr::execve, &[A, 0, 0]),
                _ => c.call(nr::chdir, &[A]),
            };
        }
    };
    for link in ["exe", "cwd"] {
        let ask = asked(link);
        let answers = [0, 1, 2, 3, 4, 5].map(|which| {
            answer(|c| {
                c.fork(0, |_| {});
                sleep(c, 100);
                ask(c, which);
            })
            .0
        });
        assert_eq!(answers, [0, ENOENT, ENOENT, ENOENT, ENOENT, ENOENT], "{link}");
    }
    let mut c = Code::default();
    c.fork(0, |_| {});
    for which in 0..6 {
        idle(&mut c, 20);
        for (link, i) in [("exe", 1), ("cwd", 2)] {
            asked(link)(&mut c, which);
            c.save(i);
        }
    }
    c.call(nr::wait4, &[u64::MAX, A, 0, 0]).say(b"end\n").call(nr::exit_group, &[0]);
    assert!(seen(&Case::new(c, 0).everywhere(), "state: Zombie"));
}
