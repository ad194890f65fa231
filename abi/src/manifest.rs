//! The manifest; see `docs/manifest.md`.
