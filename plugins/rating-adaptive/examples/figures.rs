//! How well the engine predicts histories: `cargo run --release -p rating-adaptive --example figures -- FILE...`.
#![allow(clippy::print_stdout)]

#[path = "../tests/history/mod.rs"]
mod history;

use std::path::PathBuf;

use rating_adaptive::{Adaptive, Parameters};

fn main() {
    for path in std::env::args_os().skip(1).map(PathBuf::from) {
        let lines = history::read(&path);
        let (score, _) = history::score::<Adaptive>(&lines, Parameters::default());
        let history::Score { log_loss, from_the_start, accuracy } = score;
        println!("{log_loss:.5} {from_the_start:.5} {accuracy:.4} {}", path.display());
    }
}
