//! Writes a bundle (format: `abi::bundle`).

use crate::image::Item;
use abi::bundle::{ALIGN, ENTRIES_MAX, ENTRY_SIZE, HEADER_SIZE, Kind, MAGIC, VERSION};
use anyhow::{Result, ensure};

/// The bundle of `items`.
pub fn write(items: &[Item]) -> Result<Vec<u8>> {
    ensure!(items.len() <= ENTRIES_MAX, "{} bundle entries, at most {ENTRIES_MAX}", items.len());
    let mut out = vec![0; (HEADER_SIZE + items.len() * ENTRY_SIZE).next_multiple_of(ALIGN)];
    for (i, item) in items.iter().enumerate() {
        let offset = out.len() as u64;
        out.extend_from_slice(&item.data);
        out.resize(out.len().next_multiple_of(ALIGN), 0);
        let row = &mut out[HEADER_SIZE + i * ENTRY_SIZE..][..ENTRY_SIZE];
        ensure!(item.name.len() <= 16, "bundle entry {}: a name has at most 16 bytes", item.name);
        row[..item.name.len()].copy_from_slice(item.name.as_bytes());
        let kind: u32 = match item.kind {
            Kind::Module => 0,
            Kind::Kernel => 1,
            Kind::Service => 2,
        };
        row[16..20].copy_from_slice(&kind.to_le_bytes());
        row[20..24].copy_from_slice(&(item.segments.len() as u32).to_le_bytes());
        row[24..32].copy_from_slice(&offset.to_le_bytes());
        row[32..40].copy_from_slice(&(item.data.len() as u64).to_le_bytes());
        row[40..48].copy_from_slice(&item.entry.to_le_bytes());
        for (s, at) in item.segments.iter().zip((80..).step_by(40)) {
            for (v, k) in [s.ipa, s.offset, s.file_size, s.memory_size, s.flags].iter().zip((at..).step_by(8))
            {
                row[k..k + 8].copy_from_slice(&v.to_le_bytes());
            }
        }
    }
    out[..8].copy_from_slice(&MAGIC);
    out[8..12].copy_from_slice(&VERSION.to_le_bytes());
    out[12..16].copy_from_slice(&(items.len() as u32).to_le_bytes());
    let total = out.len() as u64;
    out[16..24].copy_from_slice(&total.to_le_bytes());
    let digest = blake3::hash(&out[HEADER_SIZE..]);
    out[32..64].copy_from_slice(digest.as_bytes());
    Ok(out)
}

/// QEMU puts the bundle 128 MiB above RAM's base, and the tree behind it at a multiple of 2 MiB; partitions begin above both.
pub fn check_room(bundle: &[u8], tree: &[u8]) -> Result<()> {
    const ALIGN: u64 = 2 << 20;
    let manifest = crate::build::manifest(tree)?;
    let start = crate::session::ram_base(tree)? + (128 << 20);
    let end =
        (start + bundle.len() as u64).next_multiple_of(ALIGN) + (tree.len() as u64).next_multiple_of(ALIGN);
    let partitions = manifest.domains.iter().map(|d| d.memory.base).chain([manifest.channel_memory.base]);
    let limit = partitions.filter(|&base| base >= start).min().unwrap_or(u64::MAX);
    ensure!(
        end <= limit,
        "the images with the root image take {} MiB, and there is room for {}; ask for fewer PACKAGES or FILES",
        (end - start) >> 20,
        (limit - start) >> 20
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::bundle::{Bundle, BundleError, Segment};

    fn sample() -> Vec<u8> {
        let segments =
            vec![Segment { ipa: 0x4000_0000, offset: 0, file_size: 100, memory_size: 9000, flags: 5 }];
        let image = Item {
            name: "gate".into(),
            kind: Kind::Service,
            entry: 0x4000_0000,
            segments,
            data: vec![1; 100],
        };
        write(&[image, Item::module("root", vec![2; 5000])]).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = sample();
        let bundle = Bundle::parse(&bytes).unwrap();
        let gate = bundle.find("gate").unwrap();
        assert_eq!(
            (gate.kind, gate.segments[0].memory_size, gate.data),
            (Kind::Service, 9000, &[1; 100][..])
        );
        assert_eq!(bundle.find("root").unwrap().data, &[2; 5000][..]);
        assert!(bundle.find("none").is_none());
    }

    #[test]
    fn damage_is_named() {
        let good = sample();
        assert!(matches!(Bundle::parse(&good[..good.len() - 1]), Err(BundleError::Truncated { .. })));
        assert!(matches!(Bundle::parse(&[0; 64]), Err(BundleError::NotABundle)));
        for at in [64, 70, 200, 4096, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            assert_eq!(Bundle::parse(&bad).err(), Some(BundleError::Corrupt), "byte {at}");
        }
    }
}
