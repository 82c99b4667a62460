//! Gives the component a small stack. Every live call gets fresh memory, and the default of 1 MiB is most of it.
#![allow(clippy::print_stdout)] // How a build script talks to cargo.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() == Ok("wasm32") {
        println!("cargo::rustc-link-arg-cdylib=-zstack-size=65536");
    }
}
