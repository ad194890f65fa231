//! The root image: a cpio archive in the `newc` format, read once at start.
//!
//! The builder pads names so that the data of members begins at a multiple of the page size within the image; nothing here depends on it.

const MAGIC: &[u8] = b"070701";
const HEADER: usize = 110;
const TRAILER: &[u8] = b"TRAILER!!!";

/// One member of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Path without leading "/" or "./"; empty for the root directory.
    pub path: &'static [u8],
    /// Kind and permissions.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds since 1970.
    pub mtime: u32,
    /// Device's major and minor number.
    pub rdev: (u32, u32),
    /// Where its data begins in the image.
    pub start: usize,
    /// Bytes of its data.
    pub size: usize,
}

/// The image's members in order; ends after an error or at the trailer.
pub struct Members {
    image: &'static [u8],
    at: usize,
    ended: bool,
}

/// Reads `image`.
pub fn members(image: &'static [u8]) -> Members {
    Members { image, at: 0, ended: false }
}

impl Iterator for Members {
    type Item = Result<Member, &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let member = self.read();
        let trailer = matches!(member, Ok(m) if m.path == TRAILER);
        self.ended = trailer || member.is_err();
        if trailer { None } else { Some(member) }
    }
}

impl Members {
    fn read(&mut self) -> Result<Member, &'static str> {
        let rest = self.image.get(self.at..).unwrap_or_default();
        if rest.is_empty() {
            return Err("root image: ends without a cpio trailer");
        }
        let header = rest.get(..HEADER).ok_or("root image: ends inside a member's header")?;
        if &header[..6] != MAGIC {
            return Err("root image: not a cpio archive in newc format (magic 070701)");
        }
        let mut fields = [0u32; 13];
        for (field, text) in fields.iter_mut().zip(header[6..].chunks_exact(8)) {
            *field = hex(text).ok_or("root image: a header field is not hexadecimal")?;
        }
        let [_, mode, uid, gid, _, mtime, size, _, _, major, minor, name_size, _] = fields;
        let name =
            rest.get(HEADER..HEADER + name_size as usize).ok_or("root image: ends inside a member's name")?;
        let end = name
            .iter()
            .position(|&b| b == 0)
            .ok_or("root image: a member's name is not ended by a zero byte")?;
        let start = self.at + align(HEADER + name_size as usize);
        let size = size as usize;
        if self.image.len() < start || self.image.len() - start < size {
            return Err("root image: ends inside a member's data");
        }
        // The archive's last member may lack its padding.
        self.at = align(start + size);
        Ok(Member { path: strip(&name[..end]), mode, uid, gid, mtime, rdev: (major, minor), start, size })
    }
}

fn align(n: usize) -> usize {
    n.next_multiple_of(4)
}

fn hex(text: &[u8]) -> Option<u32> {
    text.iter().try_fold(0u32, |n, &c| Some(n << 4 | char::from(c).to_digit(16)?))
}

fn strip(path: &[u8]) -> &[u8] {
    let path =
        path.strip_prefix(b".").filter(|rest| matches!(rest.first(), None | Some(b'/'))).unwrap_or(path);
    let start = path.iter().position(|&b| b != b'/').unwrap_or(path.len());
    &path[start..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::testing::image_of;

    fn leak(bytes: Vec<u8>) -> &'static [u8] {
        bytes.leak()
    }

    #[test]
    fn members_come_in_order_with_their_data() {
        let image = leak(image_of(&[("bin", 0o40755, b""), ("./bin/a", 0o100755, b"hello")]));
        let all: Vec<Member> = members(image).map(Result::unwrap).collect();
        assert_eq!(all.len(), 2);
        assert_eq!((all[1].path, all[1].mode), (&b"bin/a"[..], 0o100755));
        assert_eq!(&image[all[1].start..][..all[1].size], b"hello");
    }

    #[test]
    fn every_truncation_is_an_error() {
        let image = leak(image_of(&[("a", 0o100644, b"some bytes")]));
        let trailer = image.windows(6).rposition(|w| w == MAGIC).unwrap();
        for end in 0..trailer + HEADER {
            assert!(
                members(&image[..end]).last().unwrap_or(Ok(members(image).next().unwrap().unwrap())).is_err(),
                "{end}"
            );
        }
    }

    #[test]
    fn garbage_is_an_error() {
        for garbage in [&b"x"[..], &[0; 200], &[0xff; 4096]] {
            assert!(members(leak(garbage.to_vec())).next().unwrap().is_err());
        }
        let mut image = image_of(&[("a", 0o100644, b"")]);
        image[20] = b'g';
        assert!(members(leak(image)).next().unwrap().is_err());
    }
}
