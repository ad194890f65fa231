//! Writes the root image: a cpio archive in `newc` format, members sorted by path, parents before children, the data of regular files
//! at multiples of a page so that a kernel can map it. The padding that aligns data is a run of zero bytes behind the member's name,
//! counted in its name size: every `newc` reader stops at the first zero byte.

use std::collections::BTreeMap;

/// What a member is.
#[derive(Clone, Debug)]
pub enum Node {
    /// A directory.
    Directory,
    /// A regular file with its bytes; executable or not.
    File {
        /// Contents.
        data: Vec<u8>,
        /// Permission bits.
        mode: u32,
    },
    /// A symbolic link and where it points.
    Symlink(String),
}

/// A tree of files by absolute path without the leading slash.
#[derive(Clone, Debug, Default)]
pub struct Tree(BTreeMap<Vec<String>, Node>);

impl Tree {
    /// Adds a member and the directories above it.
    pub fn add(&mut self, path: &str, node: Node) {
        let parts: Vec<String> = path.split('/').filter(|p| !p.is_empty()).map(str::to_owned).collect();
        for depth in 1..parts.len() {
            self.0.entry(parts[..depth].to_vec()).or_insert(Node::Directory);
        }
        match (self.0.get(&parts), &node) {
            (Some(Node::Directory), Node::Directory) => {}
            _ => {
                self.0.insert(parts, node);
            }
        }
    }

    /// Whether there is a member at `path`.
    pub fn has(&self, path: &str) -> bool {
        self.0.contains_key(&path.split('/').filter(|p| !p.is_empty()).map(str::to_owned).collect::<Vec<_>>())
    }

    /// The archive. `mtime` (seconds since 1970) is the time of all members, so that equal trees give equal bytes. Data of files stands at
    /// multiples of `align` (a multiple of 4).
    pub fn to_newc(&self, mtime: u32, align: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for (i, (parts, node)) in self.0.iter().enumerate() {
            let (mode, data): (u32, &[u8]) = match node {
                Node::Directory => (0o040755, &[]),
                Node::File { data, mode } => (0o100000 | mode, data),
                Node::Symlink(to) => (0o120777, to.as_bytes()),
            };
            let align = if matches!(node, Node::File { .. }) && !data.is_empty() { align } else { 4 };
            member(&mut out, i as u32 + 1, mode, mtime, &parts.join("/"), data, align);
        }
        member(&mut out, 0, 0, 0, "TRAILER!!!", &[], 4);
        out.resize(out.len().next_multiple_of(4096), 0);
        out
    }
}

const HEADER: usize = 110;

fn member(out: &mut Vec<u8>, ino: u32, mode: u32, mtime: u32, name: &str, data: &[u8], align: usize) {
    let data_at = (out.len() + HEADER + name.len() + 1).next_multiple_of(align);
    let name_size = (data_at - out.len() - HEADER) as u32;
    let links = if mode & 0o170000 == 0o040000 { 2 } else { 1 };
    let fields = [ino, mode, 0, 0, links, mtime, data.len() as u32, 0, 0, 0, 0, name_size, 0];
    out.extend_from_slice(b"070701");
    for f in fields {
        out.extend_from_slice(format!("{f:08x}").as_bytes());
    }
    out.extend_from_slice(name.as_bytes());
    out.resize(data_at, 0);
    out.extend_from_slice(data);
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_page_aligned_and_found_by_a_plain_reader() {
        let mut t = Tree::default();
        t.add("/bin/x", Node::File { data: vec![7; 5000], mode: 0o755 });
        t.add("/a", Node::Symlink("bin/x".into()));
        let image = t.to_newc(1, 4096);
        let mut at = 0;
        let mut names = Vec::new();
        loop {
            let field = |i: usize| {
                u32::from_str_radix(std::str::from_utf8(&image[at + 6 + i * 8..at + 14 + i * 8]).unwrap(), 16)
                    .unwrap()
            };
            let (size, name_size) = (field(6) as usize, field(11) as usize);
            let name = &image[at + HEADER..at + HEADER + name_size];
            let name =
                std::str::from_utf8(&name[..name.iter().position(|&b| b == 0).unwrap()]).unwrap().to_owned();
            let data_at = (at + HEADER + name_size).next_multiple_of(4);
            if name == "bin/x" {
                assert_eq!(data_at % 4096, 0);
                assert_eq!(&image[data_at..data_at + size], &[7; 5000][..]);
            }
            if name == "TRAILER!!!" {
                break;
            }
            names.push(name);
            at = (data_at + size).next_multiple_of(4);
        }
        assert_eq!(names, ["a", "bin", "bin/x"]);
    }
}
