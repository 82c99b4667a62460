//! Why a component cannot fill a role. Always known before a queue starts; each text names the cause and the fix.

use ladder::fault::PluginFault;

use crate::limits::{LimitError, Role};

/// The largest component that is compiled at all: compilation is not bounded by fuel.
pub const COMPONENT_BYTES_MAX: usize = 32 << 20;
/// Version of the plugin contract that this host offers.
pub const CONTRACT_VERSION: &str = "1.0.0";

/// A parameter that the plugin refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterProblem {
    /// Where in the parameter table, as `key`, `table.key` or `list[0]`; empty for the table itself.
    pub path: String,
    /// What is wrong with it, for people.
    pub problem: String,
}

/// Why a component was not loaded. The host refuses to start the queue with it, or keeps the component it had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The operator wrote a limit that cannot be used.
    #[error(transparent)]
    Limits(#[from] LimitError),
    /// The file is larger than anything the host compiles. The author's fault.
    #[error("is {bytes} bytes long; the host compiles at most {bytes_max}")]
    TooLarge {
        /// Size of the file.
        bytes: usize,
        /// [`COMPONENT_BYTES_MAX`].
        bytes_max: usize,
    },
    /// There is more code than the host compiles, in one function or in all of them: compilation is not bounded by fuel. The author's fault.
    #[error("has {bytes} bytes of code in {place}; the host compiles at most {bytes_max}: build it for size, or in smaller functions")]
    TooMuchCode {
        /// `one function` or `its functions`.
        place: &'static str,
        /// How much there is.
        bytes: usize,
        /// [`FUNCTION_BYTES_MAX`](crate::FUNCTION_BYTES_MAX) or [`CODE_BYTES_MAX`](crate::CODE_BYTES_MAX).
        bytes_max: usize,
    },
    /// The file is a core module, one build step before a component. The author's fault.
    #[error(
        "is a core WebAssembly module, not a component; wrap it: `wasm-tools component new module.wasm -o component.wasm`, or build it with \
         the plugin SDK's instructions"
    )]
    CoreModule,
    /// The file is no component at all, a damaged one, or one that uses what the host has switched off. The author's fault.
    #[error("is not a component that this host can compile")]
    Compile {
        /// What the compiler says.
        #[source]
        source: wasmtime::Error,
    },
    /// The operator wrote one stack size too many: each takes an engine of its own.
    #[error(
        "wants a stack of {stack_bytes_max} bytes, and this host runs at most {} different stack sizes at once: write the same \
         `stack_bytes_max` for more plugins",
        crate::engines::ENGINES_MAX
    )]
    TooManyStackSizes {
        /// The size that was refused.
        stack_bytes_max: u64,
    },
    /// Wasmtime could not reserve what it needs for another engine. The environment's fault: too little address space.
    #[error("cannot be given a sandbox")]
    Sandbox {
        /// What wasmtime says.
        #[source]
        source: wasmtime::Error,
    },
    /// The component wants something that the host does not give to plugins. The author's fault.
    #[error("imports {import}; {advice}")]
    ForeignImport {
        /// The import, with its version.
        import: String,
        /// What the author can do.
        advice: &'static str,
    },
    /// The component was built for another version of the contract. Operator and author have to agree on one.
    #[error(
        "was built for version {built_for} of {interface}; this host offers {CONTRACT_VERSION}: use a build of the plugin for that version, \
         or a host that offers {built_for}"
    )]
    ContractVersion {
        /// The interface, without its version.
        interface: String,
        /// The version in the component.
        built_for: String,
    },
    /// Something that the role needs is not there. The author's fault, or the operator put the component into the wrong role.
    #[error("does not export {export}, which the role `{role}` needs{}", filled(fills))]
    MissingExport {
        /// The role that was asked for.
        role: Role,
        /// The interface or function.
        export: String,
        /// Roles that the component does fill.
        fills: Vec<Role>,
    },
    /// An import or export has the right name and the wrong type. The author's fault.
    #[error("does not fit version {CONTRACT_VERSION} of the plugin contract; generate its bindings from the contract again")]
    Mismatch {
        /// Which type differs.
        #[source]
        source: wasmtime::Error,
    },
    /// The parameters are not a JSON object. The caller's fault.
    #[error("the parameters are not a JSON object")]
    NotAnObject {
        /// Where it stops being JSON; `None` if it is JSON of another kind.
        #[source]
        source: Option<serde_json::Error>,
    },
    /// The plugin refused parameters. The operator's fault: shown with their place in `plugins.toml`.
    #[error("refuses its parameters: {}", listed(.0))]
    Parameters(
        /// All of them at once.
        Vec<ParameterProblem>,
    ),
    /// The plugin broke its contract already while it was loaded.
    #[error("failed in `{function}` while it was loaded")]
    Fault {
        /// What was called.
        function: &'static str,
        /// How it failed.
        #[source]
        source: PluginFault,
    },
}

fn filled(roles: &[Role]) -> String {
    match roles {
        [] => String::new(),
        roles => {
            let names: Vec<_> = roles.iter().map(|role| format!("`{role}`")).collect();
            format!("; it fills {}", names.join(", "))
        }
    }
}

/// An error with everything behind it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn listed(problems: &[ParameterProblem]) -> String {
    let lines = problems.iter().map(|ParameterProblem { path, problem }| match path.as_str() {
        "" => problem.clone(),
        path => format!("{path}: {problem}"),
    });
    lines.collect::<Vec<_>>().join("; ")
}

/// The host itself could not set up its sandbox: the environment's fault (address space, threads).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// The thread behind all deadlines did not start.
    #[error("the thread that watches deadlines did not start")]
    Thread(#[from] std::io::Error),
}
