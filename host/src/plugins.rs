//! From a queue of `plugins.toml` to its three plugins, loaded and ready. What goes wrong is shown at its place in the file.

use std::path::Path;
use std::sync::Arc;

use hkdf::Hkdf;
use ladder::id::Digest;
use plugin_runtime::{
    Limits, LoadError, ParameterProblem, PluginSource, PluginSpec, PolicyPlugin, RatingPlugin, Role, RulesPlugin, Runtime, RuntimeError,
    builtin_names,
};
use sha2::Sha256;

use crate::config::{ComponentSource, Config, ConfigError, PluginConfig, PolicyFallback, QueueConfig, ShadowConfig};

/// The built-in policy that takes over from one in quarantine.
const FALLBACK_POLICY: &str = "skill-window";

/// The sandbox of a host that serves. Compiled components are kept beside the database, authenticated with a key of this community; commands
/// without its keys use `Runtime::new`.
///
/// # Errors
/// The environment's fault: no thread.
pub fn runtime(config: &Config, key_encryption_key: &[u8; 32]) -> Result<Runtime, RuntimeError> {
    let mut key = [0; 32];
    Hkdf::<Sha256>::new(None, key_encryption_key)
        .expand(b"RankedServer/2 compile cache key", &mut key)
        .expect("32 bytes are a valid length for HKDF-SHA256");
    Runtime::with_cache(config.compiled_folder(), key)
}

/// The plugins of one queue.
#[derive(Clone)]
pub struct QueuePlugins {
    /// Turns results into beliefs about skill.
    pub rating: Arc<RatingPlugin>,
    /// Looks at claims of game servers.
    pub rules: Arc<RulesPlugin>,
    /// Proposes matches.
    pub policy: Arc<PolicyPlugin>,
}

/// Loads the plugins of one queue.
///
/// # Errors
/// The operator's fault: a component that cannot be read or is another than pinned, or parameters that it refuses.
pub fn load(runtime: &Runtime, config: &Config, queue: &QueueConfig) -> Result<QueuePlugins, ConfigError> {
    let plugins = QueuePlugins {
        rating: Arc::new(load_rating(runtime, config, queue)?),
        rules: Arc::new(load_rules(runtime, config, queue)?),
        policy: Arc::new(load_policy(runtime, config, queue)?),
    };
    plugins.connect();
    Ok(plugins)
}

impl QueuePlugins {
    /// The policy's forecasts come from this queue's rating engine. To be called whenever one of the two is another.
    pub fn connect(&self) {
        // A twin, so that what a policy asks for can neither quarantine the engine of live ratings nor make up for its faults.
        self.policy.forecast_with(Arc::new(self.rating.twin("forecast")));
    }
}

/// Loads the rating engine of one queue.
///
/// # Errors
/// As [`load`].
pub fn load_rating(runtime: &Runtime, config: &Config, queue: &QueueConfig) -> Result<RatingPlugin, ConfigError> {
    let spec = spec(config, queue, Role::Rating)?;
    runtime.load_rating(spec, &queue.shape).map_err(|error| explain(config, queue, Role::Rating, &error))
}

/// Loads the stat rules of one queue.
///
/// # Errors
/// As [`load`].
pub fn load_rules(runtime: &Runtime, config: &Config, queue: &QueueConfig) -> Result<RulesPlugin, ConfigError> {
    let spec = spec(config, queue, Role::Rules)?;
    runtime.load_rules(spec, &queue.shape).map_err(|error| explain(config, queue, Role::Rules, &error))
}

/// Loads the matchmaking policy of one queue.
///
/// # Errors
/// As [`load`].
pub fn load_policy(runtime: &Runtime, config: &Config, queue: &QueueConfig) -> Result<PolicyPlugin, ConfigError> {
    let spec = spec(config, queue, Role::Policy)?;
    runtime.load_policy(spec, &queue.shape).map_err(|error| explain(config, queue, Role::Policy, &error))
}

/// Loads what matches players while the policy of a queue is in quarantine; `None`: nothing does, because the operator wants it so, because
/// the policy itself is the built-in one, or because it does not load.
#[must_use]
pub fn load_fallback_policy(runtime: &Runtime, queue: &QueueConfig) -> Option<Arc<PolicyPlugin>> {
    let is_itself = matches!(&queue.policy.component, ComponentSource::Builtin { name, .. } if name == FALLBACK_POLICY);
    if queue.policy_fallback == PolicyFallback::Wait || is_itself {
        return None;
    }
    let source = PluginSource::builtin(FALLBACK_POLICY)?;
    let spec = PluginSpec::new(format!("{}.fallback", queue.name()), Role::Policy, source);
    match runtime.load_policy(spec, &queue.shape) {
        Ok(policy) => Some(Arc::new(policy)),
        Err(error) => {
            tracing::warn!(queue = queue.name(), %error, "there is no fallback for the policy: players would wait");
            None
        }
    }
}

/// What a plugin is loaded with: the component, whose digest was compared, and the budget.
///
/// # Errors
/// The operator's fault: the component cannot be read, or is another one than `digest` says.
pub fn spec(config: &Config, queue: &QueueConfig, role: Role) -> Result<PluginSpec, ConfigError> {
    let found = find(config, &queue.plugin(role).component);
    let source = found.map_err(|Unfound { key, title, help }| config.plugin_problem(queue.name(), role, &[key], title, help))?;
    Ok(spec_of(queue, role, source))
}

/// A component that is not there, or is another one than was named.
struct Unfound {
    key: &'static str,
    title: String,
    help: String,
}

/// Finds a component and compares its digest.
fn find(config: &Config, component: &ComponentSource) -> Result<PluginSource, Unfound> {
    let (source, digest) = match component {
        ComponentSource::Builtin { name, digest } => {
            let unknown = || Unfound { key: "component", title: format!("no built-in component `{name}`"), help: known_builtins() };
            (PluginSource::builtin(name).ok_or_else(unknown)?, *digest)
        }
        ComponentSource::File { path, digest } => {
            let path = config.folder().join(path);
            let source = read(&path).map_err(|source| Unfound {
                key: "component",
                title: format!("{} cannot be read: {source}", path.display()),
                help: "relative paths count from the folder of plugins.toml".to_owned(),
            })?;
            (source, Some(*digest))
        }
    };
    if let Some(pinned) = digest.filter(|pinned| *pinned != source.digest()) {
        let title = format!("the component is another one than sha256:{pinned}");
        let help = format!("if you trust it, write `digest = \"sha256:{}\"`", source.digest());
        return Err(Unfound { key: "digest", title, help });
    }
    Ok(source)
}

/// What a shadow is loaded with, or why it cannot be.
///
/// # Errors
/// The operator's fault, in words: the component cannot be read, or is another one than `digest` says.
pub fn shadow_spec(config: &Config, queue: &QueueConfig, name: &str) -> Result<PluginSpec, String> {
    let ShadowConfig { role: _, plugin } = queue.shadows.get(name).ok_or("plugins.toml has no such shadow")?;
    let source = find(config, &plugin.component).map_err(|Unfound { title, help, .. }| format!("{title}; {help}"))?;
    let PluginConfig { component: _, limits, faults_max, wasi, parameters } = plugin.clone();
    Ok(PluginSpec { name: format!("{}.shadow.{name}", queue.name()), source, limits, parameters, faults_max, wasi })
}

/// What a component is loaded with as the plugin of a role, whatever component the queue names: its budget and its parameters.
#[must_use]
pub fn spec_of(queue: &QueueConfig, role: Role, source: PluginSource) -> PluginSpec {
    let PluginConfig { component: _, limits, faults_max, wasi, parameters } = queue.plugin(role);
    let (name, limits): (_, Limits) = (format!("{}.{role}", queue.name()), *limits);
    PluginSpec { name, source, limits, parameters: parameters.clone(), faults_max: *faults_max, wasi: *wasi }
}

/// The digest of the component that a configuration names, whether or not it can be read.
#[must_use]
pub fn named_digest(plugin: &PluginConfig) -> Digest {
    match &plugin.component {
        ComponentSource::File { digest, .. } | ComponentSource::Builtin { digest: Some(digest), .. } => *digest,
        ComponentSource::Builtin { name, digest: None } => PluginSource::builtin(name).map_or(Digest([0; 32]), |source| source.digest()),
    }
}

/// Reads a component file.
///
/// # Errors
/// The file system refuses, or the file is larger than any component that is loaded.
pub fn read(path: &Path) -> std::io::Result<PluginSource> {
    let len = std::fs::metadata(path)?.len();
    if usize::try_from(len).map_or(true, |len| len > plugin_runtime::COMPONENT_BYTES_MAX) {
        let problem = format!("{len} bytes, at most {} are loaded", plugin_runtime::COMPONENT_BYTES_MAX);
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, problem));
    }
    Ok(PluginSource::new(std::fs::read(path)?))
}

fn known_builtins() -> String {
    let names: Vec<_> = builtin_names().iter().map(|name| format!("`builtin:{name}`")).collect();
    format!("known here: {}", names.join(", "))
}

/// Parameters are shown at their own place, everything else at the component.
fn explain(config: &Config, queue: &QueueConfig, role: Role, error: &LoadError) -> ConfigError {
    let LoadError::Parameters(found) = error else {
        let title = format!("the component {}", chain(error));
        return config.plugin_problem(queue.name(), role, &["component"], title, String::new());
    };
    let mut problems = Vec::new();
    for ParameterProblem { path, problem } in found {
        // `list[0].key` leads through the file as list, 0, key.
        let names = path.split(['.', '[']).map(|name| name.trim_end_matches(']')).filter(|name| !name.is_empty());
        let full: Vec<&str> = std::iter::once("parameters").chain(names).collect();
        let title = if path.is_empty() { problem.clone() } else { format!("`{path}`: {problem}") };
        let help = match queue.plugin(role).component {
            ComponentSource::Builtin { ref name, .. } => format!("`ranked plugin inspect builtin:{name}` prints the parameters it knows"),
            ComponentSource::File { ref path, .. } => format!("`ranked plugin inspect {}` prints the parameters it knows", path.display()),
        };
        if let ConfigError::Invalid { problems: one } = config.plugin_problem(queue.name(), role, &full, title, help) {
            problems.extend(one);
        }
    }
    ConfigError::Invalid { problems }
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
