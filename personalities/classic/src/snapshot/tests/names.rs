//! What is told of names goes on behind a snapshot.

use super::machine::{Arg::Lit, Arg::Saved, Code};
use super::rig::Case;
use super::{A, B, BIG, HERE, O_CREAT_RDWR, idle, seen};
use abi::linux::nr;

/// Tells where a link leads.
fn tell(c: &mut Code, link: &str) {
    c.path(A, link).call(nr::readlinkat, &[HERE, A, BIG, 200]).save(2);
    c.with(nr::write, &[Lit(1), Lit(BIG), Saved(2)]).say(b"\n");
}

fn tell_all(c: &mut Code) {
    for link in ["fd/3", "fd/4", "fd/5", "fd/6", "cwd", "exe"] {
        tell(c, &format!("/proc/self/{link}"));
    }
    c.path(A, "/proc/self/maps").call(nr::openat, &[HERE, A, 0, 0]).call(nr::read, &[7, BIG, 4000]).save(2);
    c.with(nr::write, &[Lit(1), Lit(BIG), Saved(2)]).call(nr::close, &[7]);
    // What is opened by a link has the link's name.
    c.path(A, "/proc/self/exe").call(nr::openat, &[HERE, A, 0, 0]);
    tell(c, "/proc/self/fd/7");
    c.call(nr::close, &[7]);
}

fn rename(c: &mut Code, old: &str, new: &str) {
    c.path(A, old).path(B, new).call(nr::renameat, &[HERE, A, HERE, B]);
}

fn remove(c: &mut Code, path: &str, flags: u64) {
    c.path(A, path).call(nr::unlinkat, &[HERE, A, flags]);
}

/// A program, what it has open, and what it has mapped, by names that others have been given since.
pub fn names() -> Case {
    const DIR: u64 = 0x200;
    let mut c = Code::default();
    for dir in ["/tmp/d", "/tmp/d/l", "/tmp/d/w"] {
        c.path(A, dir).call(nr::mkdirat, &[HERE, A, 0o755]);
    }
    rename(&mut c, "/bin/second", "/tmp/d/prog");
    // Two names more: an image's member that has as many again as at first would not count as changed behind a snapshot.
    for other in ["/bin/other", "/bin/third"] {
        c.path(A, "/tmp/d/prog").path(B, other).call(nr::linkat, &[HERE, A, HERE, B, 0]);
    }
    c.path(A, "/tmp/d/prog").call(nr::execve, &[A, 0, 0]);
    let second = c.here();
    c.path(A, "/tmp/d/l/a").call(nr::openat, &[HERE, A, O_CREAT_RDWR, 0o644]);
    c.path(B, "/tmp/d/b").call(nr::linkat, &[HERE, A, HERE, B, 0]).call(nr::openat, &[HERE, B, 0, 0]);
    c.call(nr::write, &[3, A, 4096]).call(nr::write, &[3, A, 4096]);
    // A neighbour by the other name is another mapping.
    c.call(nr::mmap, &[BIG << 4, 4096, 1, 0x12, 3, 0]);
    c.call(nr::mmap, &[(BIG << 4) + 4096, 4096, 1, 0x12, 4, 4096]);
    c.path(A, "/tmp/d/w").call(nr::chdir, &[A]).path(A, ".").call(nr::openat, &[HERE, A, 0, 0]);
    c.path(A, "/proc/self/fd/3").call(nr::openat, &[HERE, A, 0, 0]);
    idle(&mut c, 16);
    tell_all(&mut c);
    rename(&mut c, "/tmp/d", "/tmp/e");
    idle(&mut c, 16);
    remove(&mut c, "/tmp/e/l/a", 0);
    remove(&mut c, "/tmp/e/l", DIR);
    remove(&mut c, "/tmp/e/w", DIR);
    remove(&mut c, "/tmp/e/prog", 0);
    idle(&mut c, 16);
    tell_all(&mut c);
    rename(&mut c, "/tmp/e/b", "/tmp/e/c");
    rename(&mut c, "/tmp/e", "/tmp/g");
    c.fork(0, tell_all).call(nr::wait4, &[u64::MAX, A, 0, 0]);
    idle(&mut c, 16);
    remove(&mut c, "/tmp/g/c", 0);
    remove(&mut c, "/tmp/g", DIR);
    tell_all(&mut c);
    c.call(nr::exit_group, &[0]);
    Case::new(c, second)
}

/// The links, and the paths of the mappings, of each look.
fn told(output: &str) -> Vec<Vec<&str>> {
    let paths: Vec<&str> = output.lines().filter_map(|line| Some(&line[line.find('/')?..])).collect();
    paths.chunks(11).map(<[&str]>::to_vec).collect()
}

#[test]
fn links_and_maps_follow_behind_a_snapshot_as_before() {
    let case = names();
    let output = case.run(None, None, 20_000).0.output.replace('\r', "");
    let looks = told(&output);
    let look = |prog, a, b, w| vec![a, b, w, a, w, prog, prog, prog, a, b, prog];
    let wanted = [
        look("/tmp/d/prog", "/tmp/d/l/a", "/tmp/d/b", "/tmp/d/w"),
        look("/tmp/e/prog (deleted)", "/tmp/e/l/a (deleted)", "/tmp/e/b", "/tmp/e/w (deleted)"),
        look("/tmp/g/prog (deleted)", "/tmp/g/l/a (deleted)", "/tmp/g/c", "/tmp/g/w (deleted)"),
        look("/tmp/g/prog (deleted)", "/tmp/g/l/a (deleted)", "/tmp/g/c (deleted)", "/tmp/g/w (deleted)"),
    ];
    assert_eq!(looks, wanted, "{output}");
    let all = case.everywhere();
    for text in ["/tmp/e/prog (deleted)", "/tmp/e/w (deleted)", "/tmp/g/l/a (deleted)"] {
        let bytes = format!("{:?}", text.as_bytes());
        assert!(seen(&all, bytes.trim_matches(['[', ']'])), "{text}");
    }
}
