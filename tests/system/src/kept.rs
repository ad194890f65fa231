//! What boots of long comparisons showed, kept in the build's directory: a run of hours can be ended and goes on where it stood.

use crate::images;
use crate::voices::{Manner, linux};
use anyhow::{Context, Result};
use std::ops::Range;
use std::path::PathBuf;
use xtask::kernels::KERNELS;
use xtask::{linux, root};

/// What one voice showed. It counts for the same images only: EL2, services, this voice's kernel and the root image with its programs.
pub struct Kept {
    dir: PathBuf,
}

impl Kept {
    /// Looks for what is kept of `voice`.
    pub fn of(voice: &str, manner: Manner) -> Result<Kept> {
        let images = images();
        let mut hasher = blake3::Hasher::new();
        let mut files = vec![];
        if voice == linux::NAME {
            files.push(linux()?.kernel().to_owned());
        } else {
            let others = |name: &str| name != voice && KERNELS.contains(&name);
            files.push(images.kernel().to_owned());
            files.extend(
                images.elves().filter(|e| e.file_name().and_then(|n| n.to_str()).is_some_and(|n| !others(n))),
            );
        }
        for file in files {
            hasher.update(
                blake3::hash(&std::fs::read(&file).with_context(|| file.display().to_string())?).as_bytes(),
            );
        }
        hasher.update(&root::image(&root::base(images.tools())?));
        let key = hasher.finalize().to_hex();
        let name = format!("{voice}-{}-{}-{}", manner.calls, manner.together, &key[..16]);
        let dir = images.tools().target.join("voices").join(name);
        std::fs::create_dir_all(&dir)?;
        Ok(Kept { dir })
    }

    fn file(&self, seeds: &Range<u64>) -> PathBuf {
        self.dir.join(format!("{}-{}", seeds.start, seeds.end))
    }

    /// What the boot of these sequences showed, if one has run.
    pub fn get(&self, seeds: &Range<u64>) -> Option<String> {
        std::fs::read_to_string(self.file(seeds)).ok()
    }

    /// Keeps what it showed.
    pub fn put(&self, seeds: &Range<u64>, text: &str) -> Result<()> {
        let (file, new) = (self.file(seeds), self.file(seeds).with_extension("new"));
        std::fs::write(&new, text)?;
        Ok(std::fs::rename(new, file)?)
    }
}
