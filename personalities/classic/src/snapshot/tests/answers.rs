//! What calls on processes, signals and memory answer where Linux' order of checks, or what it leaves behind, is easily got wrong. All was found by
//! `sequences` (docs/differential.md).

use super::machine::{Arg::Lit, Arg::Saved, Code, Op};
use super::rig::Case;
use super::{A, B, BIG, idle, seen, sleep};
use abi::linux::nr;

/// No memory of a program's lies there.
const NOWHERE: u64 = 8;
const ANYBODY: u64 = u64::MAX;
const EFAULT: i8 = -14;
const ECHILD: i8 = -10;
const EINVAL: i8 = -22;

/// What the last call of a program answers (its low byte), and what the program printed.
pub fn answer(build: impl FnOnce(&mut Code)) -> (i8, String) {
    answer_with_heap(usize::MAX, build)
}

/// The same on a kernel that has so many bytes of heap left.
fn answer_with_heap(heap: usize, build: impl FnOnce(&mut Code)) -> (i8, String) {
    let mut c = Code::default();
    build(&mut c);
    c.save(6).with(nr::exit_group, &[Saved(6)]);
    let mut case = Case::new(c, 0);
    case.heap = heap;
    last_of(&case)
}

/// The last exit status, and what was printed.
pub fn last_of(case: &Case) -> (i8, String) {
    let (said, _) = case.run(None, None, 20_000);
    let last = said.effects.last_key_value().expect("effects").1;
    let status =
        last.split_once("Exit").and_then(|(_, rest)| rest.split_once("payload: [0, ")).expect(last).1;
    (status.split(',').next().unwrap().parse::<u8>().unwrap() as i8, said.output)
}

pub fn of_call(number: u64, args: &[u64]) -> i8 {
    answer(|c| _ = c.call(number, args)).0
}

#[test]
fn setpgid_looks_at_the_group_before_the_process() {
    assert_eq!(of_call(nr::setpgid, &[u64::MAX, 0]), EINVAL);
    assert_eq!(of_call(nr::setpgid, &[u64::MAX, 5]), -3);
    assert_eq!(of_call(nr::setpgid, &[5000, 0]), -3);
}

#[test]
fn a_child_is_waited_for_though_its_status_cannot_be_written() {
    for args in [[ANYBODY, NOWHERE, 0, 0], [ANYBODY, A, 0, NOWHERE]] {
        let (first, _) = answer(|c| {
            c.fork(0, |_| {}).call(nr::wait4, &args);
        });
        let (second, _) = answer(|c| {
            c.fork(0, |_| {}).call(nr::wait4, &args).call(nr::wait4, &[ANYBODY, A, 1, 0]);
        });
        assert_eq!((first, second), (EFAULT, ECHILD));
    }
}

#[test]
fn all_children_are_of_the_kind_that_sigchld_tells_of() {
    let wait = |options: u64| {
        let (pid, _) = answer(|c| {
            c.fork(0, |c| sleep(c, 30)).call(nr::wait4, &[ANYBODY, A, options, 0]);
        });
        pid
    };
    let (wclone, wall, wnothread) = (0x8000_0000, 0x4000_0000, 0x2000_0000);
    assert_eq!(wait(wclone), ECHILD);
    assert_eq!([wait(wall), wait(wall | wclone), wait(wnothread)], [2; 3]);
    assert_eq!(wait(16), EINVAL);
}

/// A call that sets something and hands the old value back where it cannot be written fails, and has set it.
fn sets(call: (u64, &[u64]), put: &[u64], look: (u64, &[u64]), len: u64) {
    let bytes: Vec<u8> = put.iter().flat_map(|w| w.to_le_bytes()).collect();
    assert_eq!(answer(|c| _ = c.put(A, &bytes).call(call.0, call.1)).0, EFAULT);
    let (_, output) = answer(|c| {
        c.put(A, &bytes).call(call.0, call.1).call(look.0, look.1).call(nr::write, &[1, B, len]);
    });
    assert_eq!(output, String::from_utf8(bytes[..len as usize].to_vec()).unwrap());
}

#[test]
fn what_is_set_stays_though_the_old_value_cannot_be_handed_back() {
    sets((nr::rt_sigprocmask, &[0, A, NOWHERE, 8]), &[0x41], (nr::rt_sigprocmask, &[0, 0, B, 8]), 8);
    sets((nr::sigaltstack, &[A, NOWHERE]), &[0x1000, 0, 0x3000], (nr::sigaltstack, &[0, B]), 24);
    sets(
        (nr::rt_sigaction, &[10, A, NOWHERE, 8]),
        &[0x1234, 4, 0, 0x70],
        (nr::rt_sigaction, &[10, 0, B, 8]),
        32,
    );
    sets((nr::prlimit64, &[0, 4, A, NOWHERE]), &[0x4141, 0x4242], (nr::prlimit64, &[0, 4, 0, B]), 16);
    // Of a timer the interval; what is left of it runs.
    sets((nr::setitimer, &[0, A, NOWHERE]), &[9, 0, 8, 0], (nr::getitimer, &[0, B]), 8);
}

#[test]
fn mprotect_looks_at_the_range_before_the_rights() {
    let mprotect = |start: u64, len: u64, rights: u64| of_call(nr::mprotect, &[start, len, rights]);
    assert_eq!(mprotect(BIG, 0, 64), 0);
    assert_eq!(mprotect(BIG + 1, 0, 64), EINVAL);
    assert_eq!(mprotect(BIG, u64::MAX - BIG + 1, 64), -12);
    assert_eq!(mprotect(BIG, u64::MAX, 64), -12);
    assert_eq!(mprotect(BIG, 4096, 64), EINVAL);
    assert_eq!(mprotect(BIG, 4096, 3), 0);
}

#[test]
fn the_receiver_is_looked_for_before_the_signals_number() {
    const ESRCH: i8 = -3;
    let me = 1;
    for bad in [65, ANYBODY] {
        for nobody in [5000, -5000_i64 as u64, ANYBODY, i32::MIN as u64] {
            assert_eq!(of_call(nr::kill, &[nobody, bad]), ESRCH, "{nobody:x}");
        }
        for somebody in [0, me] {
            assert_eq!(of_call(nr::kill, &[somebody, bad]), EINVAL, "{somebody:x}");
        }
        assert_eq!(of_call(nr::tkill, &[5000, bad]), ESRCH);
        assert_eq!(of_call(nr::tkill, &[me, bad]), EINVAL);
        assert_eq!(of_call(nr::tkill, &[0, bad]), EINVAL);
        assert_eq!(of_call(nr::tgkill, &[5000, me, bad]), ESRCH);
        assert_eq!(of_call(nr::tgkill, &[me, me, bad]), EINVAL);
    }
    assert_eq!(of_call(nr::kill, &[me, 0]), 0);
}

#[test]
fn texts_of_proc_leave_the_kernel_its_heap() {
    let open = |heap: usize, path: &[u8]| {
        answer_with_heap(heap, |c| _ = c.put(A, path).call(nr::openat, &[-100_i64 as u64, A, 0, 0])).0
    };
    let little = crate::space::HEAP_RESERVE + 100;
    for path in [&b"/proc/self/maps\0"[..], b"/proc/1/stat\0"] {
        assert_eq!((open(usize::MAX, path), open(little + (1 << 20), path)), (3, 3));
        assert_eq!(open(little, path), -12);
    }
    assert_eq!(open(little, b"/etc/motd\0"), 3);
}

/// Whatever way a path leads into /proc, by links that a program made too, what stands there is whole.
#[test]
fn links_of_any_name_lead_into_proc() {
    const HERE: u64 = -100_i64 as u64;
    let text_of = |path: &str| {
        let (length, output) = answer(|c| {
            c.path(A, "/proc/self").path(B, "/tmp/me").call(nr::symlinkat, &[A, HERE, B]);
            c.path(A, "/proc/meminfo").path(B, "/tmp/memory").call(nr::symlinkat, &[A, HERE, B]);
            c.path(A, path).call(nr::openat, &[HERE, A, 0, 0]).call(nr::read, &[3, BIG, 4096]).save(2);
            c.with(nr::write, &[Lit(1), Lit(BIG), Saved(2)]);
        });
        assert!(length != 0, "{path}");
        output
    };
    assert!(text_of("/tmp/me/maps").contains("[stack]"));
    assert_eq!(text_of("/tmp/me/maps"), text_of("/proc/1/maps"));
    assert_eq!(text_of("/tmp/me/statm"), text_of("/proc/self/statm"));
    assert_eq!(text_of("/tmp/memory"), text_of("/proc/meminfo"));
    assert!(!text_of("/tmp/memory").contains(&format!("MemFree:  {} kB", abi::turn::MEMORY_PAGES * 4)));
}

/// One call may need the rows of two processes, and make none for a pid that nobody has.
#[test]
fn a_path_leads_through_two_processes() {
    const HERE: u64 = -100_i64 as u64;
    let readlink = |path: &str, body: fn(&mut Code)| {
        answer(|c| {
            c.fork(0, |c| {
                body(c);
                sleep(c, 500);
            });
            sleep(c, 100);
            c.path(A, path).call(nr::readlinkat, &[HERE, A, BIG, 100]);
        })
        .0
    };
    let in_proc = |c: &mut Code| _ = c.path(A, "/proc/1").call(nr::chdir, &[A]);
    assert_eq!(readlink("/proc/2/cwd/cwd", in_proc), 1);
    assert_eq!(readlink("/proc/2/cwd", in_proc), 7);
    assert_eq!(readlink("/proc/3/cwd", in_proc), -2);
}

#[test]
fn another_process_descriptors_are_listed_from_the_first_on() {
    let listed = |path: &str| {
        answer(|c| {
            c.fork(0, |c| sleep(c, 500));
            sleep(c, 100);
            c.path(A, path).call(nr::openat, &[-100_i64 as u64, A, 0, 0]).call(nr::close, &[0]);
            c.call(nr::getdents64, &[3, BIG, 4096]);
        })
        .0
    };
    // ".", ".." and 0, 1, 2; of the caller 1, 2, 3.
    assert_eq!([listed("/proc/2/fd"), listed("/proc/1/fd")], [5 * 24; 2]);
}

#[test]
fn files_names_and_pipes_leave_the_kernel_its_heap() {
    const HERE: u64 = -100_i64 as u64;
    let both = |build: fn(&mut Code)| {
        [1 << 20, 0].map(|more| {
            let with_heap = |c: &mut Code| build(c.op(Op::Heap(crate::rows::FILES_RESERVE + 100 + more)));
            answer(with_heap).0
        })
    };
    let mkdir = |c: &mut Code| _ = c.path(A, "/tmp/d").call(nr::mkdirat, &[HERE, A, 0o755]);
    assert_eq!(both(mkdir), [0, -28]);
    let link =
        |c: &mut Code| _ = c.path(A, "/etc/motd").path(B, "/l").call(nr::linkat, &[HERE, A, HERE, B, 0]);
    assert_eq!(both(link), [0, -28]);
    let write = |c: &mut Code| {
        c.path(A, "/etc/other").call(nr::openat, &[HERE, A, 1, 0]).call(nr::write, &[3, A, 5]);
    };
    assert_eq!(both(write), [5, -28]);
    let pipe = |c: &mut Code| _ = c.call(nr::pipe2, &[A, 0]).call(nr::write, &[4, A, 5]);
    assert_eq!(both(pipe), [5, -12]);
}

/// In a snapshot, and so in a handler's frame, a SIGPIPE comes from the process that wrote: of the second here, so that no number of the first's passes.
#[test]
fn sigpipe_comes_from_the_writer() {
    let vector = [A, 1].map(u64::to_le_bytes).concat();
    let writes: [fn(&mut Code); 3] = [
        |c| _ = c.call(nr::write, &[4, A, 1]),
        |c| _ = c.call(nr::writev, &[4, B, 1]),
        |c| {
            c.path(A, "/etc/motd").call(nr::openat, &[-100_i64 as u64, A, 0, 0]).save(1);
            c.with(nr::sendfile, &[Lit(4), Saved(1), Lit(0), Lit(1)]);
        },
    ];
    for write in writes {
        let mut c = Code::default();
        c.fork(0, |c| {
            c.put(A, &(1u64 << 12).to_le_bytes()).call(nr::rt_sigprocmask, &[0, A, 0, 8]);
            c.call(nr::pipe2, &[A, 0]).call(nr::close, &[3]).put(B, &vector);
            write(c);
            idle(c, 20);
        });
        c.call(nr::wait4, &[ANYBODY, A, 0, 0]).say(b"end\n").call(nr::exit_group, &[0]);
        let all = Case::new(c, 0).everywhere();
        assert!(seen(&all, "Pending { signal: 13, code: 0, pid: 2, status: 0, address: 0 }"));
    }
}

/// A group that is left without a parent while a job of it is stopped hears of it from the kernel.
#[test]
fn an_orphaned_job_is_hung_up_by_the_kernel() {
    const ME: usize = 5;
    let mut c = Code::default();
    c.fork(0, |c| {
        c.call(nr::setsid, &[]).fork(1, |c| {
            c.call(nr::setpgid, &[0, 0]).fork(2, |c| {
                let hup_and_cont: u64 = 1 | 1 << 17;
                c.put(A, &hup_and_cont.to_le_bytes()).call(nr::rt_sigprocmask, &[0, A, 0, 8]);
                c.call(nr::getpid, &[]).save(ME).with(nr::kill, &[Saved(ME), Lit(19)]).say(b"woken\n");
                idle(c, 20);
            });
            c.call(nr::wait4, &[ANYBODY, A, 2, 0]);
        });
        c.call(nr::wait4, &[ANYBODY, A, 0, 0]);
    });
    c.call(nr::wait4, &[ANYBODY, A, 0, 0]).call(nr::wait4, &[ANYBODY, A, 0, 0]).call(nr::exit_group, &[0]);
    let all = Case::new(c, 0).everywhere();
    for signal in [1, 18] {
        let wanted = format!("Pending {{ signal: {signal}, code: 128, pid: 0, status: 0, address: 0 }}");
        assert!(seen(&all, &wanted), "{wanted}");
    }
}
