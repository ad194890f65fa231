//! Gives the linker this kernel's script; on the host there is only a stub, which needs none.

fn main() {
    println!("cargo:rerun-if-changed=link.ld");
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none") {
        let here = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
        println!("cargo:rustc-link-arg-bins=-T{here}/link.ld");
        // What tells one image's logs from another's.
        println!("cargo:rustc-link-arg-bins=--build-id=sha1");
    }
}
