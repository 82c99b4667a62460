//! Builds the built-in components from `plugins/` and leaves them in `OUT_DIR`, where `src/builtin.rs` embeds them
//! (docs/decisions/0006-built-in-components.md).
//!
//! An inner cargo builds the packages for `wasm32-unknown-unknown` in the profile `component`, with nothing of the outer build's
//! flags, so that a debug host and a release host embed the same bytes. Its target folder lies below the outer one but is its own: the
//! lock of the outer build is never waited for, and a second build finds everything compiled.

// Cargo reads what a build script prints.
#![allow(clippy::print_stdout)]

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wit_component::ComponentEncoder;

const PACKAGES: &[&str] = &[
    "rating-gaussian",
    "rating-adaptive",
    "rating-elo",
    "rating-elo-mmr",
    "rating-glicko2",
    "rating-weng-lin",
    // Rules and policies.
    "rules-bounds",
    "policy-skill-window",
];
const TARGET: &str = "wasm32-unknown-unknown";
const PROFILE: &str = "component";

fn main() -> Result<(), Box<dyn Error>> {
    let workspace = PathBuf::from(required("CARGO_MANIFEST_DIR")?).join("../..").canonicalize()?;
    let packages = PACKAGES.iter().map(|package| format!("plugins/{package}"));
    let rest = ["plugins/sdk", "plugins/normal", "wit", "Cargo.lock", "Cargo.toml", "rust-toolchain.toml"];
    for watched in packages.chain(rest.map(str::to_owned)) {
        println!("cargo:rerun-if-changed={}", workspace.join(watched).display());
    }
    let out = PathBuf::from(required("OUT_DIR")?);
    let target_dir = outer_target_dir(&out)?.join("components");
    require_wasm_target()?;
    build(&workspace, &target_dir)?;
    for package in PACKAGES {
        let file = format!("{}.wasm", package.replace('-', "_"));
        let module = fs::read(target_dir.join(TARGET).join(PROFILE).join(file))?;
        let component = ComponentEncoder::default().validate(true).module(&module)?.encode()?;
        fs::write(out.join(format!("{package}.component.wasm")), component)?;
    }
    Ok(())
}

fn required(variable: &str) -> Result<OsString, String> {
    env::var_os(variable).ok_or_else(|| format!("cargo did not set {variable}"))
}

/// The target folder of the build that runs this script: `OUT_DIR` is `TARGET_DIR[/TRIPLE]/PROFILE/build/NAME-HASH/out`, and only the
/// target folder itself holds what cargo remembers of the compiler.
fn outer_target_dir(out: &Path) -> Result<PathBuf, String> {
    let marked = out.ancestors().find(|folder| folder.join(".rustc_info.json").is_file());
    let found = marked.or_else(|| out.ancestors().nth(4)).map(Path::to_path_buf);
    found.ok_or_else(|| format!("{} is not inside a target folder", out.display()))
}

/// Whatever the environment says about flags, profiles, wrappers and target folders belongs to the outer build. What says where
/// toolchains, registries and the job server are, stays.
fn leaks(variable: &str) -> bool {
    const KEPT: [&str; 12] = [
        "CARGO_HOME",
        "CARGO_MAKEFLAGS",
        "CARGO_NET_",
        "CARGO_HTTP_",
        "CARGO_REGISTRIES_",
        "CARGO_REGISTRY_",
        "CARGO_SOURCE_",
        "CARGO_TERM_",
        "RUSTC",
        "RUSTUP_HOME",
        "RUSTUP_TOOLCHAIN",
        "RUSTUP_DIST_",
    ];
    // `RUSTC` itself is the compiler; `RUSTC_WRAPPER` and its like are not.
    let kept = KEPT.iter().any(|name| variable == *name || (name.ends_with('_') && variable.starts_with(name)));
    let ours = ["CARGO", "RUST", "DEP_", "CLIPPY"].iter().any(|prefix| variable.starts_with(prefix));
    ours && !kept || ["OUT_DIR", "TARGET", "HOST", "OPT_LEVEL", "PROFILE", "DEBUG", "NUM_JOBS", "SYSROOT"].contains(&variable)
}

fn build(workspace: &Path, target_dir: &Path) -> Result<(), Box<dyn Error>> {
    let mut cargo = Command::new(required("CARGO")?);
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(leaks) {
            cargo.env_remove(name);
        }
    }
    cargo.current_dir(workspace).args(["build", "--quiet", "--profile", PROFILE, "--target", TARGET]);
    for package in PACKAGES {
        cargo.args(["--package", package]);
    }
    cargo.arg("--target-dir").arg(target_dir);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", remapped(workspace).join("\u{1f}"));
    let output = cargo.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("the built-in components did not build:\n{}", String::from_utf8_lossy(&output.stderr)).into())
}

/// No path of this machine may reach the components (panic messages hold source paths): their digests have to be the same everywhere.
fn remapped(workspace: &Path) -> Vec<String> {
    let home = |name: &str, folder: &str| {
        let set = env::var_os(name).map(PathBuf::from);
        set.or_else(|| env::home_dir().map(|home| home.join(folder)))
    };
    // Two numbers at a time: every WebAssembly engine of the last years has it, and its results are the same everywhere.
    let mut flags = vec!["-Ctarget-feature=+simd128".to_owned()];
    let mut remap = |from: &Path, to: &str| flags.push(format!("--remap-path-prefix={}={to}", from.display()));
    if let Some(registries) = home("CARGO_HOME", ".cargo").map(|cargo| cargo.join("registry/src")) {
        // Later flags win: each registry's own folder has a name made from its address.
        remap(&registries, "/crates");
        for registry in fs::read_dir(&registries).into_iter().flatten().flatten() {
            remap(&registry.path(), "/crates");
        }
    }
    if let Some(toolchains) = home("RUSTUP_HOME", ".rustup") {
        remap(&toolchains, "/rustup");
    }
    remap(workspace, "/ranked");
    flags
}

/// `rust-toolchain.toml` names the target, so rustup has it already, unless another toolchain was forced.
fn require_wasm_target() -> Result<(), Box<dyn Error>> {
    if has_wasm_target()? {
        return Ok(());
    }
    let added = Command::new("rustup").args(["target", "add", TARGET]).output();
    if added.is_ok_and(|output| output.status.success()) && has_wasm_target()? {
        return Ok(());
    }
    Err(format!(
        "the Rust standard library for {TARGET} is missing, and the built-in plugins are made for it; install it with `rustup target add \
         {TARGET}`, or without rustup from your distribution (Debian: libstd-rust-dev-wasm32)"
    )
    .into())
}

fn has_wasm_target() -> Result<bool, Box<dyn Error>> {
    let output = Command::new(required("RUSTC")?).args(["--print", "target-libdir", "--target", TARGET]).output()?;
    Ok(output.status.success() && Path::new(String::from_utf8(output.stdout)?.trim()).is_dir())
}
