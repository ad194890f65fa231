//! Images of the bundle: whether one fits its partition, and how it gets there.

use crate::memory;
use crate::plan::PlanError;
use abi::bootinfo::{MEMORY_IPA, name_str};
use abi::bundle::{Bundle, Entry, Kind, Segment};
use abi::handover;
use abi::manifest::{Domain, DomainKind};

/// The image of `domain`, every claim of which holds.
pub fn check<'a, 'b>(domain: &'a Domain, bundle: &Bundle<'b>) -> Result<Entry<'b>, PlanError<'a>> {
    let image_name = name_str(&domain.image);
    let image = bundle.find(image_name).ok_or(PlanError::NoImage(domain.name(), image_name))?;
    let kind = match domain.kind {
        DomainKind::Service => Kind::Service,
        DomainKind::Personality => Kind::Kernel,
    };
    if image.kind != kind {
        return Err(PlanError::WrongKind(domain.name()));
    }
    let memory_end = MEMORY_IPA + domain.memory.size;
    let segments = segments(&image);
    let fits = segments.iter().all(|s| s.ipa >= MEMORY_IPA && s.ipa + s.memory_size <= memory_end);
    let pure = kind == Kind::Kernel || segments.iter().all(|s| s.flags & 3 != 3);
    let starts = segments
        .iter()
        .any(|s| s.flags & 1 != 0 && image.entry >= s.ipa && image.entry < s.ipa + s.memory_size);
    if fits && pure && starts { Ok(image) } else { Err(PlanError::BadImage(domain.name())) }
}

/// The segments that count.
pub fn segments<'e>(image: &'e Entry<'_>) -> &'e [Segment] {
    image.segments.get(..image.segment_count).unwrap_or(&[])
}

/// Where the image ends.
pub fn end(image: &Entry<'_>) -> u64 {
    segments(image).last().map_or(MEMORY_IPA, |s| (s.ipa + s.memory_size).next_multiple_of(4096))
}

/// The segments by physical addresses, in memory that begins at `to`.
pub fn physical(to: u64, image: &Entry<'_>) -> impl Iterator<Item = handover::Segment> {
    let from = image.data.as_ptr() as u64;
    segments(image).iter().map(move |s| handover::Segment {
        from: from + s.offset,
        to: to + (s.ipa - MEMORY_IPA),
        size: s.file_size,
    })
}

/// Copies the segments to their places.
pub fn copy(domain: &Domain, image: &Entry<'_>) {
    for s in physical(domain.memory.base, image) {
        memory::write(s.to, memory::fixed(abi::manifest::Range { base: s.from, size: s.size }));
    }
}
