//! JavaScript and Python: their own tools embed sources and interpreter into a component.

use std::path::Path;
use std::process::Command;

use super::BuildError;
use super::tool::{self, ToolError};
use crate::author::project::Project;

/// Makes a component on QuickJS. `--sync`: the host calls plugins without the component model's async.
pub(super) fn javascript(project: &Project, progress: &dyn Fn(&str)) -> Result<(), BuildError> {
    let packages = project.folder.ancestors().map(|folder| folder.join("node_modules").join(".bin"));
    let program = tool::find("componentize-qjs", packages).ok_or_else(|| missing("componentize-qjs", project))?;
    if tool::find("node", []).is_none() {
        let install = "install Node.js 18 or later, from your distribution or https://nodejs.org".to_owned();
        return Err(ToolError::Missing { tool: "node", install }.into());
    }
    progress("componentize-qjs");
    let mut command = Command::new(program);
    command.current_dir(&project.folder).args(["--wit", "wit", "--world", project.world, "--js", "plugin.js", "--sync"]);
    if !project.wants_wasi {
        command.arg("--stub-wasi");
    }
    run("componentize-qjs", command.arg("--output").arg(&project.component), &project.component)
}

/// Makes a component on CPython.
pub(super) fn python(project: &Project, progress: &dyn Fn(&str)) -> Result<(), BuildError> {
    let found = tool::find("componentize-py", tool::python_folders(&project.folder));
    let program = found.ok_or_else(|| missing("componentize-py", project))?;
    progress("componentize-py");
    let mut command = Command::new(program);
    command.current_dir(&project.folder).args(["--quiet", "--wit-path", "wit", "--world", project.world, "componentize"]);
    if !project.wants_wasi {
        command.arg("--stub-wasi");
    }
    command.args(["--python-path", ".", "plugin", "--output"]).arg(&project.component);
    run("componentize-py", &mut command, &project.component)
}

fn missing(tool: &'static str, project: &Project) -> ToolError {
    ToolError::Missing { tool, install: format!("in {}: `{}`", project.folder.display(), project.language.preparation()) }
}

fn run(name: &'static str, command: &mut Command, component: &Path) -> Result<(), BuildError> {
    tool::run(name, command)?;
    if component.is_file() { Ok(()) } else { Err(BuildError::NothingBuilt { tool: name, path: component.to_owned() }) }
}
