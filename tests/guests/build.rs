//! Images below EL2 are linked by the runtime's script.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none") {
        println!("cargo:rustc-link-arg-bins=-Timage.ld");
        // Four replicas stand on its stack, and are moved there.
        println!("cargo:rustc-link-arg-bin=guest-consensus=--defsym=__stack_size=0xc00000");
    }
}
