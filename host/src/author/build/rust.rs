//! Rust: cargo makes a core module for `wasm32-unknown-unknown`, which has no imports but the contract's.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::BuildError;
use super::tool::{self, ToolError};
use crate::author::project::Project;

const TARGET: &str = "wasm32-unknown-unknown";
/// Bytes of stack. Every live call starts with fresh memory, and the linker's default of 1 MiB would be most of it.
const STACK_BYTES: u32 = 65_536;

/// Compiles the crate; returns where its module lies.
pub(super) fn module(project: &Project, progress: &dyn Fn(&str)) -> Result<PathBuf, BuildError> {
    let cargo = tool::find("cargo", []).ok_or_else(|| ToolError::Missing {
        tool: "cargo",
        install: format!("install Rust from https://rustup.rs, then `rustup target add {TARGET}`"),
    })?;
    require_target(&project.folder)?;
    progress("cargo");
    let mut command = Command::new(cargo);
    command
        .current_dir(&project.folder)
        .args(["rustc", "--release", "--lib", "--crate-type", "cdylib", "--target", TARGET])
        .args(["--message-format", "json-render-diagnostics", "--", "-C"])
        .arg(format!("link-arg=-zstack-size={STACK_BYTES}"))
        .env_remove("RUSTFLAGS")
        .env("CARGO_ENCODED_RUSTFLAGS", compiler_flags(&project.folder).join("\u{1f}"));
    let messages = tool::run("cargo", &mut command)?;
    let found =
        messages.split(|byte| *byte == b'\n').rev().filter_map(|line| serde_json::from_slice(line).ok()).find_map(|line| module_of(&line));
    found.ok_or_else(|| BuildError::NothingBuilt { tool: "cargo", path: project.folder.join("target").join(TARGET) })
}

/// The module that a message of cargo tells of.
fn module_of(message: &Value) -> Option<PathBuf> {
    let files = message.get("filenames")?.as_array()?;
    files.iter().filter_map(Value::as_str).find(|file| file.ends_with(".wasm")).map(PathBuf::from)
}

/// The compiler is asked, not rustup: some have Rust from their distribution.
fn require_target(folder: &Path) -> Result<(), ToolError> {
    let missing = || ToolError::Missing {
        tool: "Rust's standard library for wasm32-unknown-unknown",
        install: format!(
            "`rustup target add {TARGET}`; without rustup from your distribution (Debian: `apt install libstd-rust-dev-wasm32`)"
        ),
    };
    let rustc = tool::find("rustc", []).ok_or_else(missing)?;
    let asked = tool::run("rustc", Command::new(rustc).current_dir(folder).args(["--print", "target-libdir", "--target", TARGET]))?;
    let folder = String::from_utf8_lossy(&asked);
    if Path::new(folder.trim()).is_dir() { Ok(()) } else { Err(missing()) }
}

/// Vector instructions, as the built-in components have them. Besides, texts of panics hold paths of sources: nobody's home folder belongs
/// into a component, whose digest should be the same everywhere.
fn compiler_flags(folder: &Path) -> Vec<String> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let crates = home.map(|home| home.join("registry").join("src")).unwrap_or_default();
    let mut flags = vec!["-Ctarget-feature=+simd128".to_owned(), format!("--remap-path-prefix={}=/plugin", folder.display())];
    // Later flags win: below the folder there is one per registry, named after its address.
    let registries = std::fs::read_dir(&crates).into_iter().flatten().flatten().map(|entry| entry.path());
    flags.extend(registries.map(|registry| format!("--remap-path-prefix={}=/crates", registry.display())));
    flags
}
