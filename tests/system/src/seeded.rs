//! Bugs that are put into kernels: they show whenever a program comes to them.

use crate::images;
use xtask::build::Tools;
use xtask::machine::Images;

/// What `/proc/cpuinfo` says, as it stands in each kernel's image.
const SAYS: &[u8] = b"fp asimd";

/// The images, those of `kernels` with one byte of [`SAYS`] changed.
pub fn images_with_bugs(kernels: &[&'static str]) -> Images {
    images();
    let tools = Tools::find().unwrap();
    let damaged = kernels.iter().map(|kernel| {
        let elf = tools.elf(kernel);
        let mut bytes = std::fs::read(&elf).unwrap();
        let at: Vec<_> = (0..bytes.len()).filter(|&at| bytes[at..].starts_with(SAYS)).collect();
        assert!(!at.is_empty(), "{kernel} does not say {SAYS:?}");
        at.into_iter().for_each(|at| bytes[at] ^= 1);
        let file = elf.with_extension("seeded");
        std::fs::write(&file, bytes).unwrap();
        (*kernel, file)
    });
    images().with(&damaged.collect::<Vec<_>>())
}
