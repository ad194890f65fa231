//! A position-independent image with a script of its own: it relocates itself at its start (`src/arch/boot.rs`).

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=lazy.ld");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none") {
        let here = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
        for argument in [
            format!("-T{here}/lazy.ld"),
            "-pie".into(),
            "--no-dynamic-linker".into(),
            // Pointers in constants need relocations too; at entry nothing is write-protected yet.
            "-znotext".into(),
            // The image is also right where it is loaded, before it moves itself.
            "--apply-dynamic-relocs".into(),
            // Logs: where defmt's texts go, and what tells one image from another.
            "-Tdefmt.x".into(),
            "--build-id=sha1".into(),
        ] {
            println!("cargo:rustc-link-arg-bins={argument}");
        }
    }
}
