//! C: bindings are made from the contract, clang or zig compiles them with the author's files to a core module.

use std::path::PathBuf;
use std::process::Command;

use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;

use super::tool::{self, ToolError};
use super::{BuildError, write};
use crate::author::project::Project;

/// Where bindings and module go, relative to the folder.
const BUILD_FOLDER: &str = "build";
/// Bytes of stack, as for Rust.
const STACK_BYTES: u32 = 65_536;

/// Compiles all `.c` files of the folder; returns where the module lies.
pub(super) fn module(project: &Project, progress: &dyn Fn(&str)) -> Result<PathBuf, BuildError> {
    progress("bindings");
    let bindings = write_bindings(project)?;
    let (name, mut compiler) = compiler(project)?;
    progress(name);
    let module = project.folder.join(BUILD_FOLDER).join("module.wasm");
    compiler
        .current_dir(&project.folder)
        .args(["-target", "wasm32-wasi", "-mexec-model=reactor", "-Oz", "-s", "-Wall", "-I", BUILD_FOLDER])
        .arg(format!("-Wl,-z,stack-size={STACK_BYTES}"))
        .args(sources(project)?)
        .args(bindings)
        .arg("-o")
        .arg(&module);
    tool::run(name, &mut compiler)?;
    Ok(module)
}

/// The bindings that have to be compiled and linked: one `.c` file and one object with the type of the component.
fn write_bindings(project: &Project) -> Result<Vec<PathBuf>, BuildError> {
    let path = project.contract();
    let generate = || {
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_path(&path)?;
        let world = resolve.select_world(&[package], Some(project.world))?;
        let mut files = Files::default();
        wit_bindgen_c::Opts::default().build().generate(&mut resolve, world, &mut files)?;
        anyhow::Ok(files)
    };
    let files = generate().map_err(|source| BuildError::Contract { path: path.clone(), source })?;
    let mut compiled = Vec::new();
    for (name, content) in files.iter() {
        let path = project.folder.join(BUILD_FOLDER).join(name);
        write(&path, content)?;
        if !name.ends_with(".h") {
            compiled.push(path);
        }
    }
    Ok(compiled)
}

/// The author's files, sorted, so that the same folder gives the same bytes.
fn sources(project: &Project) -> Result<Vec<PathBuf>, BuildError> {
    let unreadable = |source| BuildError::File { path: project.folder.clone(), source };
    let mut sources = Vec::new();
    for entry in std::fs::read_dir(&project.folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "c") {
            sources.push(path);
        }
    }
    sources.sort();
    Ok(sources)
}

/// A compiler that brings a C library for WebAssembly: the WASI SDK, zig itself, or zig as a Python package.
fn compiler(project: &Project) -> Result<(&'static str, Command), ToolError> {
    if let Some(sdk) = std::env::var_os("WASI_SDK_PATH") {
        return Ok(("clang", Command::new(PathBuf::from(sdk).join("bin").join("clang"))));
    }
    let folders = tool::python_folders(&project.folder);
    if let Some(zig) = tool::find("zig", []) {
        let mut command = Command::new(zig);
        command.arg("cc");
        return Ok(("zig", command));
    }
    if let Some(zig) = tool::find("python-zig", folders) {
        let mut command = Command::new(zig);
        command.arg("cc");
        return Ok(("zig", command));
    }
    Err(ToolError::Missing {
        tool: "a C compiler for WebAssembly",
        install: format!(
            "in {}: `{}` (brings zig), or set WASI_SDK_PATH to an unpacked WASI SDK",
            project.folder.display(),
            project.language.preparation()
        ),
    })
}
