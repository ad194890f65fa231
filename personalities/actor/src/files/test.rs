//! The file server against a naive model of names and bytes, and images that are none.

use super::flags::*;
use super::*;
use abi::turn::FILE_PAGES;
use proptest::prelude::*;
use std::collections::BTreeMap;

const ME: Serial = 1;
const START: u64 = 1_000_000;

fn member(out: &mut Vec<u8>, path: &str, mode: u32, data: &[u8]) {
    let fields = [0, mode, 0, 0, 1, 7, data.len() as u32, 0, 0, 0, 0, path.len() as u32 + 1, 0];
    out.extend_from_slice(b"070701");
    fields.iter().for_each(|f| out.extend_from_slice(format!("{f:08x}").as_bytes()));
    out.extend_from_slice(path.as_bytes());
    out.push(0);
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend_from_slice(data);
    out.resize(out.len().next_multiple_of(4), 0);
}

fn archive() -> Vec<u8> {
    let mut out = Vec::new();
    member(&mut out, "bin", S_IFDIR | 0o755, b"");
    member(&mut out, "bin/tool", S_IFREG | 0o755, &[5; 10_000]);
    member(&mut out, "bin/link", S_IFLNK | 0o777, b"tool");
    member(&mut out, "bin/loop", S_IFLNK | 0o777, b"loop");
    member(&mut out, "TRAILER!!!", 0, b"");
    out
}

fn files() -> Files {
    let mut f = Files::new(archive().leak(), START);
    f.first(ME, 1);
    f
}

fn rename(f: &mut Files, a: &[u8], b: &[u8]) -> Res {
    let (old, new) = (f.parent(ME, ROOT, a)?, f.parent(ME, ROOT, b)?);
    f.rename(old, new, 0)
}

fn names(f: &mut Files, path: &[u8]) -> Vec<String> {
    let found = f.open(ME, ROOT, path, O_DIRECTORY, 0).unwrap();
    let opened = Opened { target: Target::Directory, node: found.node, name: None, writers_before: None };
    let fd = f.install(ME, opened, 0).unwrap();
    let mut all = Vec::new();
    loop {
        let (bytes, position) = f.list(ME, fd, 64).unwrap();
        if bytes.is_empty() {
            break;
        }
        f.handle_mut(ME, fd).unwrap().offset = position;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let length = usize::from(crate::bytes::u16_at(rest, 16));
            let name = rest[19..length].split(|b| *b == 0).next().unwrap();
            all.push(String::from_utf8(name.to_vec()).unwrap());
            rest = &rest[length..];
        }
    }
    f.close(ME, fd).unwrap();
    all
}

#[test]
fn image_members_have_numbers_in_order_and_links_lead_on() {
    let f = files();
    let at = |path: &[u8], follow| f.resolve(ME, ROOT, path, follow);
    assert_eq!(at(b"/bin/tool", Follow::Yes), Ok(3));
    assert_eq!(at(b"bin/link", Follow::Yes), Ok(3));
    assert_eq!(at(b"bin/link", Follow::No), Ok(4));
    assert_eq!(at(b"bin/loop", Follow::Yes), Err(e::ELOOP));
    assert_eq!(at(b"bin/tool/", Follow::Yes), Err(e::ENOTDIR));
    assert_eq!(at(b"bin/tool/x", Follow::Yes), Err(e::ENOTDIR));
    assert_eq!(at(b"bin/../bin/./link/..", Follow::Yes), Err(e::ENOTDIR));
    assert_eq!(at(b"/proc/self/cwd/bin", Follow::Yes), Ok(2));
    assert_eq!(at(b"/dev/../dev/null", Follow::Yes), Ok(node::DEV + 1));
    assert_eq!(at(b"/proc/self/fd/768", Follow::No), Err(e::ENOENT));
    assert_eq!(at(b"/proc/2", Follow::No), Err(e::ENOENT));
    assert_eq!(at(&[b'x'; 256], Follow::Yes), Err(e::ENAMETOOLONG));
    let root = f.attributes(ROOT).unwrap();
    assert_eq!((root.mode, root.links, root.times[0].seconds), (S_IFDIR | 0o755, 3, 1));
}

#[test]
fn a_listing_goes_on_where_it_was_and_new_names_stand_at_the_end() {
    let mut f = files();
    f.make_directory(ME, ROOT, b"new", 0o777).unwrap();
    f.make_link(ME, ROOT, b"bin/zz", b"x").unwrap();
    assert_eq!(names(&mut f, b"/"), [".", "..", "bin", "new"]);
    assert_eq!(names(&mut f, b"/bin"), [".", "..", "tool", "link", "loop", "zz"]);
    rename(&mut f, b"bin/tool", b"bin/aa").unwrap();
    assert_eq!(names(&mut f, b"/bin"), [".", "..", "link", "loop", "zz", "aa"]);
    assert_eq!(names(&mut f, b"/dev")[2..5], ["null", "zero", "full"]);
    assert_eq!(names(&mut f, b"/proc/self/fd"), [".", "..", "0"]);
}

#[test]
fn a_change_of_an_image_member_counts_all_its_pages_once() {
    let mut f = files();
    assert_eq!(f.write_at(3, 0, b"x"), Ok(1));
    assert_eq!(f.pages_left(), FILE_PAGES - 3);
    let mut bytes = [0; 3];
    assert_eq!((f.read_at(3, 9_999, &mut bytes), bytes[0]), (1, 5));
    assert_eq!(f.truncate(3, 5), Ok(()));
    assert_eq!(f.truncate(3, 5000), Ok(()));
    assert_eq!((f.read_at(3, 4, &mut bytes), bytes), (3, [5, 0, 0]));
    assert_eq!(f.pages_left(), FILE_PAGES - 1);
    f.unlink(ME, ROOT, b"bin/tool").unwrap();
    assert_eq!(f.pages_left(), FILE_PAGES);
    assert!(f.attributes(3).is_err());
}

#[test]
fn errors_come_in_the_order_of_linux() {
    let mut f = files();
    let long = [b'n'; 256];
    assert_eq!(rename(&mut f, &long, b"nowhere/x"), Err(e::ENOENT));
    assert_eq!(rename(&mut f, &long, b"x"), Err(e::ENAMETOOLONG));
    assert_eq!(rename(&mut f, b"bin", b"bin/x"), Err(e::EINVAL));
    assert_eq!(rename(&mut f, b"bin/tool", b"bin"), Err(e::ENOTEMPTY));
    assert_eq!(rename(&mut f, b"bin/.", b"x"), Err(e::EBUSY));
    assert_eq!(rename(&mut f, b"dev", b"x"), Err(e::EBUSY));
    assert_eq!(f.unlink(ME, ROOT, b"bin"), Err(e::EISDIR));
    assert_eq!(f.remove_directory(ME, ROOT, b"bin"), Err(e::ENOTEMPTY));
    assert_eq!(f.remove_directory(ME, ROOT, b"proc"), Err(e::EBUSY));
    assert_eq!(f.make_directory(ME, ROOT, b"dev/x", 0), Err(e::EROFS));
    assert_eq!(f.make_directory(ME, ROOT, b"dev/null", 0), Err(e::EEXIST));
    assert_eq!(f.open(ME, ROOT, b"new/", O_CREAT | O_WRONLY, 0).err(), Some(e::EISDIR));
    assert_eq!(f.open(ME, ROOT, b"bin", O_WRONLY, 0).err(), Some(e::EISDIR));
    assert_eq!(f.open(ME, ROOT, b"bin/link", O_NOFOLLOW, 0).err(), Some(e::ELOOP));
    assert_eq!(f.open(ME, ROOT, b"bin/loop", O_CREAT | O_EXCL, 0).err(), Some(e::EEXIST));
}

#[test]
fn an_open_file_outlives_its_name() {
    let mut f = files();
    let found = f.open(ME, ROOT, b"/t", O_CREAT | O_RDWR, 0o600).unwrap();
    let name = found.name.clone();
    let opened = Opened { target: Target::File, node: found.node, name, writers_before: None };
    let fd = f.install(ME, opened, O_RDWR).unwrap();
    f.write_at(found.node, 0, b"abc").unwrap();
    f.unlink(ME, ROOT, b"t").unwrap();
    assert_eq!(f.read_link(ME, node::PROC + 1024 + 256 + u64::from(fd)), Ok(b"/t (deleted)".to_vec()));
    assert_eq!((f.size(found.node), f.attributes(found.node).unwrap().links), (3, 0));
    f.close(ME, fd).unwrap();
    assert!(
        f.attributes(found.node).is_err() && f.nodes_left() == INODES_MAX && f.pages_left() == FILE_PAGES
    );
}

#[test]
fn the_last_holder_of_a_long_chain_lets_go_of_one_dentry_after_the_other() {
    let chain = (0..200_000).fold(Dentry::root(), |above, _| Dentry::new(above, b"x"));
    assert_eq!(chain.text(usize::MAX).map(|t| t.len()), Ok(400_000));
    assert_eq!(chain.text(399_998), Err(e::ENAMETOOLONG));
    // A frame on the stack for each would be too many.
    drop(chain);
}

#[derive(Clone, Debug)]
enum Op {
    Write(usize, u64, Vec<u8>),
    Truncate(usize, u64),
    Make(usize),
    Remove(usize),
    Rename(usize, usize),
    Keep(usize),
}

const NAMES: [&str; 4] = ["/a", "/b", "/bin/c", "/bin/tool"];

fn op() -> impl Strategy<Value = Op> {
    let bytes = prop::collection::vec(any::<u8>(), 1..9000);
    prop_oneof![
        (0..4usize, 0..20_000u64, bytes).prop_map(|(n, at, b)| Op::Write(n, at, b)),
        (0..4usize, 0..20_000u64).prop_map(|(n, size)| Op::Truncate(n, size)),
        (0..4usize).prop_map(Op::Make),
        (0..4usize).prop_map(Op::Remove),
        (0..4usize, 0..4usize).prop_map(|(a, b)| Op::Rename(a, b)),
        (0..4usize).prop_map(Op::Keep),
    ]
}

proptest! {
    #[test]
    fn names_and_bytes_are_those_of_a_map(ops in prop::collection::vec(op(), 1..40)) {
        let mut f = files();
        let mut model: BTreeMap<usize, Vec<u8>> = BTreeMap::from([(3, vec![5; 10_000])]);
        let mut kept: Vec<(crate::memory::Source, Vec<u8>)> = vec![];
        for op in ops {
            let node = |f: &Files, n: usize| f.resolve(ME, ROOT, NAMES[n].as_bytes(), Follow::Yes);
            match op {
                Op::Write(n, at, bytes) => if let Ok(id) = node(&f, n) {
                    prop_assert_eq!(f.write_at(id, at, &bytes), Ok(bytes.len()));
                    let m = model.get_mut(&n).unwrap();
                    m.resize(m.len().max(at as usize + bytes.len()), 0);
                    m[at as usize..at as usize + bytes.len()].copy_from_slice(&bytes);
                },
                Op::Truncate(n, size) => if let Ok(id) = node(&f, n) {
                    prop_assert_eq!(f.truncate(id, size), Ok(()));
                    model.get_mut(&n).unwrap().resize(size as usize, 0);
                },
                Op::Make(n) => {
                    let made = f.open(ME, ROOT, NAMES[n].as_bytes(), O_CREAT | O_EXCL, 0o644);
                    prop_assert_eq!(made.is_ok(), !model.contains_key(&n));
                    model.entry(n).or_default();
                }
                Op::Remove(n) => {
                    let gone = f.unlink(ME, ROOT, NAMES[n].as_bytes());
                    prop_assert_eq!(gone.is_ok(), model.remove(&n).is_some());
                }
                Op::Rename(a, b) => {
                    let done = rename(&mut f, NAMES[a].as_bytes(), NAMES[b].as_bytes());
                    prop_assert_eq!(done.is_ok(), model.contains_key(&a));
                    if let Some(bytes) = model.remove(&a) {
                        model.insert(b, bytes);
                    }
                }
                Op::Keep(n) => if let Ok(id) = node(&f, n) {
                    kept.push((f.source(id).unwrap(), model[&n].clone()));
                },
            }
            for n in 0..NAMES.len() {
                let id = node(&f, n).ok();
                prop_assert_eq!(id.is_some(), model.contains_key(&n));
                if let Some(id) = id {
                    let mut bytes = vec![1; f.size(id) as usize];
                    f.read_at(id, 0, &mut bytes);
                    prop_assert!(bytes == model[&n]);
                }
            }
            let counted: u64 = f.nodes.values().map(|n| if let Body::File(d) = &n.body { d.counted() } else { 0 }).sum();
            prop_assert_eq!(f.pages_left(), FILE_PAGES - counted);
        }
        // What was kept did not change with the files.
        for (source, bytes) in kept {
            let mut now = vec![0; source.size() as usize];
            source.read(0, &mut now);
            prop_assert!(now == bytes);
        }
    }

    #[test]
    fn no_image_makes_the_reader_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..400), at in 0..300usize, with in any::<u8>(), whole in any::<bool>()) {
        if whole {
            bytes = archive();
            let at = at * 7 % bytes.len();
            bytes[at] = with;
        }
        let f = Files::new(bytes.leak(), START);
        for id in f.nodes.keys() {
            prop_assert!(f.attributes(*id).is_ok());
        }
    }
}
