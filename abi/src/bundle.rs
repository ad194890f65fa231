//! The bundle: all images and modules in one file, given to EL2 as the initial ramdisk.
//!
//! ```text
//! byte 0   8   magic "TETRBNDL"
//! byte 8   u32 version 1
//! byte 12  u32 number of entries (at most ENTRIES_MAX)
//! byte 16  u64 total length of the bundle, bytes
//! byte 24  8   reserved, zero
//! byte 32  32  BLAKE3 of everything from byte 64 to the end
//! byte 64  entries, 256 bytes each
//! then     data; each entry's data starts at a multiple of 4096 from the bundle's start
//! ```
//! An entry: `name [16]`, `kind u32` (0 module, 1 EL1 image, 2 EL0 image), `segments u32`, `offset u64`, `size u64`, `entry u64` (IPA), `32`
//! bytes reserved, then up to 4 segments of 40 bytes: `ipa u64, offset u64` (from the entry's data), `file_size u64, memory_size u64,
//! flags u64` (ELF's PF_X 1, PF_W 2, PF_R 4). Segments are page-aligned, disjoint and sorted by ipa. All numbers little-endian.

/// First bytes.
pub const MAGIC: [u8; 8] = *b"TETRBNDL";
/// Version of this format.
pub const VERSION: u32 = 1;
/// Bytes of the header.
pub const HEADER_SIZE: usize = 64;
/// Bytes of an entry.
pub const ENTRY_SIZE: usize = 256;
/// Most entries.
pub const ENTRIES_MAX: usize = 32;
/// Most segments of an image.
pub const SEGMENTS_MAX: usize = 4;
/// Alignment of data, bytes.
pub const ALIGN: usize = 4096;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Data for a domain.
    Module,
    /// A kernel, to be started at EL1.
    Kernel,
    /// A flat service, to be started at EL0.
    Service,
}

/// A part of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Where it belongs, page-aligned.
    pub ipa: u64,
    /// Where it starts within the entry's data.
    pub offset: u64,
    /// Bytes in the file.
    pub file_size: u64,
    /// Bytes in memory; the rest is zero.
    pub memory_size: u64,
    /// ELF's PF_ flags.
    pub flags: u64,
}

/// One image or module.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it is.
    pub kind: Kind,
    /// Where an image begins to run.
    pub entry: u64,
    /// Its bytes.
    pub data: &'a [u8],
    /// Where `data` starts in the bundle.
    pub offset: usize,
    /// How many of `segments` count.
    pub segment_count: usize,
    /// The parts of an image.
    pub segments: [Segment; SEGMENTS_MAX],
}

/// What is wrong with a bundle, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BundleError {
    /// Shorter than its header says, or than a header.
    Truncated {
        /// Bytes there are.
        have: usize,
        /// Bytes there should be.
        need: usize,
    },
    /// The first eight bytes are not [`MAGIC`].
    NotABundle,
    /// Made for another version.
    Version(u32),
    /// The digest does not match.
    Corrupt,
    /// An entry contradicts itself; its index.
    BadEntry(usize),
}

impl core::fmt::Display for BundleError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Truncated { have, need } => write!(f, "bundle is truncated: {have} of {need} bytes"),
            Self::NotABundle => write!(f, "no bundle: the first bytes are not TETRBNDL"),
            Self::Version(v) => write!(f, "bundle has version {v}, this kernel reads {VERSION}"),
            Self::Corrupt => write!(f, "bundle is corrupt: its BLAKE3 does not match"),
            Self::BadEntry(i) => write!(f, "bundle entry {i} contradicts itself"),
        }
    }
}

/// A bundle whose digest and table were checked.
#[derive(Clone, Copy, Debug)]
pub struct Bundle<'a> {
    bytes: &'a [u8],
    count: usize,
}

fn u32_at(b: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(b.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn u64_at(b: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(b.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

impl<'a> Bundle<'a> {
    /// A bundle that somebody below has checked: everything again but the digest.
    pub fn trusted(bytes: &'a [u8]) -> Result<Self, BundleError> {
        Self::check(bytes, |_, _| true)
    }

    /// Checks header, digest and every entry of `bytes`; trailing bytes beyond the bundle's length are ignored.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BundleError> {
        Self::check(bytes, |content, digest| blake3::hash(content).as_bytes() == digest)
    }

    fn check(bytes: &'a [u8], genuine: impl FnOnce(&[u8], &[u8]) -> bool) -> Result<Self, BundleError> {
        let short = BundleError::Truncated { have: bytes.len(), need: HEADER_SIZE };
        if bytes.len() < HEADER_SIZE {
            return Err(short);
        }
        if bytes[..8] != MAGIC {
            return Err(BundleError::NotABundle);
        }
        let version = u32_at(bytes, 8).ok_or(short)?;
        if version != VERSION {
            return Err(BundleError::Version(version));
        }
        let count = u32_at(bytes, 12).ok_or(short)? as usize;
        let total = usize::try_from(u64_at(bytes, 16).ok_or(short)?).unwrap_or(usize::MAX);
        let table_end = HEADER_SIZE + count.min(ENTRIES_MAX) * ENTRY_SIZE;
        let need = total.max(table_end);
        let bytes = bytes.get(..need).ok_or(BundleError::Truncated { have: bytes.len(), need })?;
        if !genuine(&bytes[HEADER_SIZE..], &bytes[32..64]) {
            return Err(BundleError::Corrupt);
        }
        if count > ENTRIES_MAX {
            return Err(BundleError::BadEntry(ENTRIES_MAX));
        }
        let bundle = Bundle { bytes, count };
        for i in 0..count {
            bundle.entry(i).ok_or(BundleError::BadEntry(i))?;
        }
        Ok(bundle)
    }

    /// The entries.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'a>> + '_ {
        (0..self.count).filter_map(|i| self.entry(i))
    }

    /// The entry named `name`.
    pub fn find(&self, name: &str) -> Option<Entry<'a>> {
        self.entries().find(|e| e.name == name)
    }

    fn entry(&self, index: usize) -> Option<Entry<'a>> {
        let at = HEADER_SIZE + index * ENTRY_SIZE;
        let row = self.bytes.get(at..at + ENTRY_SIZE)?;
        let name = core::str::from_utf8(&row[..16]).ok()?.trim_end_matches('\0');
        let kind = match u32_at(row, 16)? {
            0 => Kind::Module,
            1 => Kind::Kernel,
            2 => Kind::Service,
            _ => return None,
        };
        let segment_count = u32_at(row, 20)? as usize;
        let offset = usize::try_from(u64_at(row, 24)?).ok()?;
        let size = usize::try_from(u64_at(row, 32)?).ok()?;
        let data = self.bytes.get(offset..offset.checked_add(size)?)?;
        let image = kind != Kind::Module;
        if name.is_empty()
            || !offset.is_multiple_of(ALIGN)
            || image != (segment_count > 0)
            || segment_count > SEGMENTS_MAX
        {
            return None;
        }
        let mut segments = [Segment::default(); SEGMENTS_MAX];
        let mut free_from = 0;
        for (i, s) in segments.iter_mut().enumerate().take(segment_count) {
            let at = 80 + i * 40;
            *s = Segment {
                ipa: u64_at(row, at)?,
                offset: u64_at(row, at + 8)?,
                file_size: u64_at(row, at + 16)?,
                memory_size: u64_at(row, at + 24)?,
                flags: u64_at(row, at + 32)?,
            };
            let end = s.ipa.checked_add(s.memory_size)?;
            let aligned = s.ipa.is_multiple_of(ALIGN as u64);
            let inside = s.offset.checked_add(s.file_size)? <= size as u64 && s.file_size <= s.memory_size;
            if !aligned || !inside || s.ipa < free_from || s.memory_size == 0 {
                return None;
            }
            free_from = end.checked_next_multiple_of(ALIGN as u64)?;
        }
        Some(Entry { name, kind, entry: u64_at(row, 40)?, data, offset, segment_count, segments })
    }
}
