//! Lets images find `image.ld` by name: they say `cargo:rustc-link-arg-bins=-Timage.ld` in their own build script.

fn main() {
    println!("cargo:rerun-if-changed=image.ld");
    let here = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    println!("cargo:rustc-link-search={here}");
}
