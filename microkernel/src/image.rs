//! Images of the bundle: whether one fits its partition, and how it gets there.

use crate::memory;
use crate::plan::PlanError;
use abi::bootinfo::{MEMORY_IPA, name_str};
use abi::bundle::{Bundle, Entry, Kind};
use abi::manifest::{Domain, DomainKind};
use capability_model::memory::PAGE;

/// The image of `domain`, every claim of which holds.
pub fn check<'a, 'b>(domain: &'a Domain, bundle: &Bundle<'b>) -> Result<Entry<'b>, PlanError<'a>> {
    let image_name = name_str(&domain.image);
    let image = bundle.find(image_name).ok_or(PlanError::NoImage(domain.name(), image_name))?;
    fits(domain, image)
}

/// `image` as one of `domain`, every claim of which holds.
pub fn fits<'a, 'b>(domain: &'a Domain, image: Entry<'b>) -> Result<Entry<'b>, PlanError<'a>> {
    let kind = match domain.kind {
        DomainKind::Service => Kind::Service,
        DomainKind::Personality => Kind::Kernel,
    };
    if image.kind != kind {
        return Err(PlanError::WrongKind(domain.name()));
    }
    let memory_end = MEMORY_IPA + domain.memory.size;
    let segments = image.segments.get(..image.segment_count).unwrap_or(&[]);
    let fits = segments.iter().all(|s| s.ipa >= MEMORY_IPA && s.ipa + s.memory_size <= memory_end);
    let pure = kind == Kind::Kernel || segments.iter().all(|s| s.flags & 3 != 3);
    let starts = segments
        .iter()
        .any(|s| s.flags & 1 != 0 && image.entry >= s.ipa && image.entry < s.ipa + s.memory_size);
    if fits && pure && starts { Ok(image) } else { Err(PlanError::BadImage(domain.name())) }
}

/// Where the image ends.
pub fn end(image: &Entry<'_>) -> u64 {
    let last = image.segments.iter().take(image.segment_count).next_back();
    last.map_or(MEMORY_IPA, |s| (s.ipa + s.memory_size).next_multiple_of(PAGE))
}

/// Copies the segments, into memory that is zero. What the root task built lies as it does here, in order from the start of the partition's
/// memory.
pub fn copy(domain: &Domain, image: &Entry<'_>) {
    for s in image.segments.iter().take(image.segment_count) {
        let bytes = image.data.get(s.offset as usize..(s.offset + s.file_size) as usize).unwrap_or(&[]);
        memory::write(domain.memory.base + (s.ipa - MEMORY_IPA), bytes);
    }
}
