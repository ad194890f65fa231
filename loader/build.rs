//! Gives the linker this image's script; on the host there is only a stub, which needs none.

fn main() {
    println!("cargo:rerun-if-changed=link.ld");
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none") {
        let here = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
        // As the microkernel's: a table of what depends on the load address, for the entry code.
        for option in ["-pie", "--no-dynamic-linker", "-znotext", &format!("-T{here}/link.ld")] {
            println!("cargo:rustc-link-arg-bins={option}");
        }
    }
}
