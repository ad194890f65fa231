//! Names of what is open, executed and mapped in snapshots, and behind them.

use super::program::Step;
use super::program::run::{HERE, Run, call, text, words};
use super::{AREA, FORK, SYNCS, boot_entry, check_each, log, recorded, root_image, sleep, whole};
use abi::linux::nr;
use abi::snapshot::{Kind, Record, records};

/// Puts paths where calls have them, then makes a call.
type Calls<'a> = dyn FnMut(&[&str], u64, &[u64]) + 'a;

/// Puts out what four links and the beginning of `maps` show, between steps after which snapshots are taken.
fn names() -> Vec<Vec<Step>> {
    let (at, to, shown) = (AREA + 0x1000, AREA + 0x1100, AREA + 0x2000);
    let mut steps =
        vec![call(nr::mmap, &[AREA, 0x20000, 3, 0x32, u64::MAX, 0]), words(AREA, &[0, 20_000_000])];
    let mut on = |paths: &[&str], number: u64, a: &[u64]| {
        steps.extend(paths.iter().zip([at, to]).map(|(path, at)| text(at, path)));
        steps.push(call(number, a));
    };
    let look = |on: &mut Calls<'_>| {
        for link in ["fd/3", "fd/4", "fd/5", "exe"] {
            on(&[&format!("/proc/self/{link}")], nr::readlinkat, &[HERE, at, shown, 40]);
            on(&[], nr::write, &[1, shown, 40]);
        }
        on(&["/proc/self/maps"], nr::openat, &[HERE, at, 0, 0]);
        on(&[], nr::read, &[6, shown, 900]);
        on(&[], nr::close, &[6]);
        on(&[], nr::write, &[1, shown, 900]);
    };
    on(&["/bin/d"], nr::mkdirat, &[HERE, at, 0o755]);
    on(&["/bin/d/e"], nr::mkdirat, &[HERE, at, 0o755]);
    on(&["/bin/d/e/f"], nr::openat, &[HERE, at, 0o102, 0o600]);
    on(&["/bin/d/e"], nr::openat, &[HERE, at, 0o40000, 0]);
    on(&["/bin/init"], nr::openat, &[HERE, at, 0, 0]);
    on(&[], nr::ftruncate, &[3, 0x1800]);
    // Behind its end, too: two records of one mapping.
    on(&[], nr::mmap, &[0x1000_0000, 0x4000, 1, 0x12, 3, 0]);
    let rename = [HERE, at, HERE, to];
    let changes: [(&[&str], u64, &[u64]); 8] = [
        (&["/bin", "/b"], nr::renameat, &rename),
        (&["/b/d/e/f"], nr::unlinkat, &[HERE, at, 0]),
        (&["/b/d/e"], nr::unlinkat, &[HERE, at, 0x200]),
        (&["/b/d", "/b/g"], nr::renameat, &rename),
        (&["/b/init", "/b/i"], nr::renameat, &rename),
        (&["/b/i"], nr::unlinkat, &[HERE, at, 0]),
        (&["/b/g"], nr::unlinkat, &[HERE, at, 0x200]),
        (&["/b", "/c"], nr::renameat, &rename),
    ];
    for (paths, number, a) in changes {
        on(paths, number, a);
        look(&mut on);
        on(&[], nr::nanosleep, &[AREA, 0]);
    }
    vec![steps]
}

#[test]
fn what_links_and_maps_show_goes_on_behind_each_snapshot() {
    let image = root_image();
    let first = recorded(image, names());
    let all = first.outside.borrow().votes.concat();
    let shown = |text: &str| all.windows(text.len()).any(|w| w == text.as_bytes());
    for text in [
        "/b/d/e/f (deleted)",
        "/b/g/e (deleted)",
        "/c/g/e/f (deleted)
",
        "/c/i (deleted)
",
        "/c/g/e (deleted)",
        "/b/i
",
    ] {
        assert!(shown(text), "{text}");
    }
    check_each(image, &first, names, 8);
}

/// The records of `bytes`, each as `change` makes it.
fn changed<'a>(bytes: &'a [u8], mut change: impl FnMut(&mut Record<'a>)) -> Vec<u8> {
    let mut out = Vec::new();
    for bytes in records(bytes) {
        let mut record = postcard::from_bytes(bytes.unwrap()).unwrap();
        change(&mut record);
        let mut buffer = vec![0; abi::snapshot::RECORD_MAX];
        let bytes = postcard::to_slice(&record, &mut buffer).unwrap();
        out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        out.extend_from_slice(bytes);
    }
    out
}

/// What other kernels could say of what has no name, and what nobody should say.
#[test]
fn any_text_is_written_again_as_it_was() {
    let (image, scripts) = (root_image(), names());
    let first = recorded(image, scripts.clone());
    let snapshots = whole(&first.outside.borrow().snapshot);
    let (_, bytes) = snapshots.values().last().unwrap();
    // Longer than a path may be, too.
    let [deep, deepest] = [1000, 3000].map(|n| format!("{}/x (deleted)", "/a".repeat(n)));
    for path in [
        "/ (deleted)",
        "//c (deleted)",
        "/c/ (deleted)",
        "/nothing",
        "x (deleted)",
        "/c/none/../y (deleted)",
        "/c/none/x (deleted)",
        &deep,
        &deepest,
    ] {
        let mut count = 0;
        let bytes = changed(bytes, |record| match record {
            Record::Process(p) => (p.program, count) = (path.as_bytes(), count + 1),
            // The others' links are the terminal's and a directory's.
            Record::OpenFile(f) if f.kind == 0 => (f.path, count) = (path.as_bytes(), count + 1),
            Record::Mapping(m) if matches!(m.kind, Kind::File | Kind::Beyond) => {
                (m.path, count) = (path.as_bytes(), count + 1)
            }
            _ => {}
        });
        assert!(count >= 5, "{count} texts");
        let mut again = Run::new(image, scripts.clone());
        again.kernel.begin_with(&bytes).unwrap_or_else(|e| panic!("{path}: {e:?}"));
        assert!(again.outside.borrow().snapshot == bytes, "{path}");
    }
}

/// A removed program leads to its inode, if a mapping tells which that is.
#[test]
fn a_removed_program_is_known_by_its_mapping() {
    let (image, scripts) = (root_image(), names());
    let first = recorded(image, scripts.clone());
    let snapshots = whole(&first.outside.borrow().snapshot);
    let (_, bytes) = snapshots.values().last().unwrap();
    let mut again = Run::new(image, scripts);
    again.kernel.begin_with(bytes).unwrap();
    let exe = |run: &Run| (run.kernel.processes[&1].exe.0, run.kernel.processes[&1].exe.1.text());
    assert_eq!(exe(&first), exe(&again));
    assert_eq!(exe(&first).1.unwrap(), b"/c/i (deleted)");
}

/// Its links are there and lead nowhere, here and behind each snapshot.
#[test]
fn a_zombie_has_no_program_and_no_directory() {
    const ENOENT: i64 = -2;
    let (exe, cwd, given) = (AREA + 0x1000, AREA + 0x1040, AREA + 0x2000);
    let mut steps = vec![
        call(nr::mmap, &[AREA, 0x20000, 3, 0x32, u64::MAX, 0]),
        text(exe, "/proc/2/exe"),
        text(cwd, "/proc/2/cwd"),
        Step::Fork(FORK, 1),
    ];
    steps.extend(sleep(40));
    for link in [exe, cwd] {
        for (number, a) in [
            (nr::readlinkat, [HERE, link, given, 40]),
            (nr::newfstatat, [HERE, link, given, 0]),
            (nr::newfstatat, [HERE, link, given, 0x100]),
            (nr::openat, [HERE, link, 0, 0]),
            (nr::chdir, [link, 0, 0, 0]),
            (nr::execve, [link, 0, 0, 0]),
        ] {
            steps.push(call(number, &a));
        }
        steps.extend(sleep(40));
    }
    steps.push(call(nr::ppoll, &[0, 0, 0, 0, 8]));
    let (image, scripts) = (root_image(), || vec![steps.clone(), vec![]]);
    let first = recorded(image, scripts());
    let results = |run: &Run| run.outside.borrow().results.iter().map(|r| r.1).collect::<Vec<_>>();
    let (all, one) = (results(&first), [ENOENT, ENOENT, 0, ENOENT, ENOENT, ENOENT, 0]);
    assert_eq!(all, [&[AREA as i64, 2, 0][..], &one, &one].concat());
    let (mut most, snapshots) = (0, whole(&first.outside.borrow().snapshot));
    for (s, (_, bytes)) in &snapshots {
        let mut again = Run::new(image, scripts());
        again.kernel.begin_with(bytes).unwrap_or_else(|e| panic!("at {s}: {e:?}"));
        again.outside.borrow_mut().log.push_back(boot_entry());
        again.outside.borrow_mut().log.extend(log(SYNCS));
        again.cycles();
        let later = results(&again);
        assert!(all.ends_with(&later), "at {s}: {later:?}");
        most = most.max(later.len());
    }
    assert!(most > one.len(), "{most} calls behind a snapshot");
}
