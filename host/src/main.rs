//! The program `ranked`.

use std::process::ExitCode;

fn main() -> ExitCode {
    host::cli::main()
}
