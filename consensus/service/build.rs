//! Images below EL2 are linked by the runtime's script. The state of a service lives on its stack: it is large and of fixed size.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none") {
        println!("cargo:rustc-link-arg-bins=-Timage.ld");
        println!("cargo:rustc-link-arg-bins=--defsym=__stack_size=0x800000");
        // An address of its own among the services, and none of EL2's, for the debugger's sake.
        println!("cargo:rustc-link-arg-bins=--defsym=__link_base=0x40900000");
        // Logs: where defmt's texts go, and what tells one image from another.
        println!("cargo:rustc-link-arg-bins=-Tdefmt.x");
        println!("cargo:rustc-link-arg-bins=--build-id=sha1");
    }
}
