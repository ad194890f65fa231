//! The image is linked by the runtime's script.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none") {
        println!("cargo:rustc-link-arg-bins=-Timage.ld");
        // One stack for all servers: their handlers run to completion.
        println!("cargo:rustc-link-arg-bins=--defsym=__stack_size=0x80000");
        // The heap lies below the image, the page frames above it (`arch::memory`).
        println!("cargo:rustc-link-arg-bins=--defsym=__link_base=0x44000000");
        // Logs: where defmt's texts go, and what tells one image from another.
        println!("cargo:rustc-link-arg-bins=-Tdefmt.x");
        println!("cargo:rustc-link-arg-bins=--build-id=sha1");
    }
}
