//! Gives the linker this image's script; on the host there is only a stub, which needs none.

fn main() {
    println!("cargo:rerun-if-changed=link.ld");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=TETRARCH_HOLE");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none") {
        let here = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
        println!("cargo:rustc-link-arg-bins=-T{here}/link.ld");
        // A table of what depends on the load address, for the entry code; also in what is read-only only later, when the MMU is on. Then
        // the logs: where defmt's texts go, and what tells one build from another.
        for option in ["-pie", "--no-dynamic-linker", "-znotext", "-Tdefmt.x", "--build-id=sha1"] {
            println!("cargo:rustc-link-arg-bins={option}");
        }
    }
}
