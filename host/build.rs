//! The templates of `ranked plugin new` are embedded by a macro, which cannot tell cargo about files that come or go.
#![allow(clippy::print_stdout)] // How a build script talks to cargo.

fn main() {
    for watched in ["templates", "../wit/v1", "../plugins/sdk", "../Cargo.toml"] {
        println!("cargo::rerun-if-changed={watched}");
    }
}
