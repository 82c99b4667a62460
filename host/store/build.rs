//! Compiles the store again when a migration is added: the embedding macro only notices changes of files that it already knows.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations/sqlite");
}
