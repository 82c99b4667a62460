//! The plugin that a tool for authors looks at: its component, its role, and the queues it is tried in. Needs no host and no database.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ladder::queue::QueueShape;
use plugin_runtime::{
    LoadError, PluginSource, PluginSpec, PolicyPlugin, RatingPlugin, Role, RulesPlugin, Runtime, builtin_names, canonical_parameters,
};
use toml::{Table, Value};

use crate::config::{ConfigError, QueueConfig, parse_queues};
use crate::plugins;

/// The file beside an author's sources that says what the plugin is.
pub const MANIFEST_FILE: &str = "plugin.toml";
/// Folders above a component that are searched for its manifest: build tools write some levels down.
const MANIFEST_LEVELS_MAX: usize = 8;
/// Keys of `[plugin]` that are no keys of a role in `plugins.toml`.
const MANIFEST_KEYS: [&str; 8] = ["name", "role", "language", "component", "build", "version", "description", "world"];

/// What a tool was asked to look at.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// A component file, `builtin:NAME`, or a folder with a manifest; the folder at hand if nothing is said.
    pub component: Option<String>,
    /// The role, if the component fills several.
    pub role: Option<Role>,
    /// Keys of a queue in `plugins.toml`, over those of the manifest or the queue.
    pub shape: Table,
    /// Parameters as JSON, over all others.
    pub parameters: Option<String>,
    /// A queue of `plugins.toml` to take shape, parameters and budget from.
    pub queue: Option<QueueConfig>,
}

/// A plugin and the queues it is tried in.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The component as its author named it.
    pub shown: String,
    /// Its bytes.
    pub source: PluginSource,
    /// What it is tried as.
    pub role: Role,
    /// Shapes, budgets and parameters; at least one.
    pub queues: Vec<QueueConfig>,
    /// Whether the author said what the queue looks like; otherwise the plugin need not fill every one of `queues`.
    pub is_queue_chosen: bool,
    /// The folder of the manifest, if there is one.
    pub folder: Option<PathBuf>,
}

/// Why there is nothing to look at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubjectError {
    /// Neither a component nor a manifest at hand: the caller's fault.
    #[error("no component is named, and {} is not there", path.display())]
    NoManifest {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The component is not there, or too large. The caller's fault.
    #[error("{} cannot be read{hint}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What to do, after a semicolon; may be empty.
        hint: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No component of this name is embedded. The caller's fault.
    #[error("there is no built-in component `{name}` (known: {})", builtin_names().join(", "))]
    UnknownBuiltin {
        /// Without `builtin:`.
        name: String,
    },
    /// The manifest cannot be used. The author's fault.
    #[error("{}: {problem}", path.display())]
    Manifest {
        /// Which file.
        path: PathBuf,
        /// What is wrong, with its place.
        problem: String,
    },
    /// The queue's shape, the budget or the parameters cannot be used. The author's fault.
    #[error(transparent)]
    Queue(#[from] ConfigError),
    /// The parameters are no JSON object. The caller's fault.
    #[error("the parameters cannot be used: they are no JSON object")]
    Parameters(#[source] LoadError),
    /// The component fills several roles. The caller has to choose.
    #[error("the component fills several roles ({})", roles.iter().map(|role| role.name()).collect::<Vec<_>>().join(", "))]
    Ambiguous {
        /// Those it fills.
        roles: Vec<Role>,
    },
    /// The component is none that fills a role. The author's fault.
    #[error("the component {}", plugins::chain(.0))]
    Unfit(LoadError),
}

/// `plugin.toml`.
struct Manifest {
    path: PathBuf,
    plugin: Table,
    queue: Table,
    parameters: Table,
}

impl Subject {
    /// Finds the component, its role and the queues to try it in.
    ///
    /// # Errors
    /// [`SubjectError`]: nothing of the component ran but `describe`.
    pub fn find(runtime: &Runtime, wish: Wish) -> Result<Self, SubjectError> {
        let Found { shown, source, manifest } = Found::of(wish.component.as_deref())?;
        let written = manifest.as_ref().map(Manifest::role).transpose()?.flatten();
        let role = match wish.role.or(written) {
            Some(role) => role,
            None => role_of(runtime, &source)?,
        };
        let folder = manifest.as_ref().and_then(|manifest| manifest.path.parent()).map(Path::to_owned);
        let is_queue_chosen =
            !wish.shape.is_empty() || wish.queue.is_some() || manifest.as_ref().is_some_and(|found| !found.queue.is_empty());
        let mut queues = match wish.queue {
            Some(queue) => vec![queue],
            None => queues_of(role, manifest.as_ref(), &wish.shape)?,
        };
        if let Some(parameters) = wish.parameters {
            let parameters = canonical_parameters(&parameters).map_err(SubjectError::Parameters)?;
            queues.iter_mut().for_each(|queue| plugin_mut(queue, role).parameters.clone_from(&parameters));
        }
        Ok(Self { shown, source, role, queues, is_queue_chosen, folder })
    }

    /// Another component in the same queues, without parameters of its own: to compare with.
    #[must_use]
    pub fn with_component(&self, shown: &str, source: PluginSource) -> Self {
        let mut other = Self { shown: shown.to_owned(), source, ..self.clone() };
        for queue in &mut other.queues {
            "{}".clone_into(&mut plugin_mut(queue, self.role).parameters);
        }
        other
    }

    /// A queue with other parameters for this plugin, given as JSON.
    #[must_use]
    pub fn with_parameters(&self, queue: &QueueConfig, json: String) -> QueueConfig {
        let mut queue = queue.clone();
        plugin_mut(&mut queue, self.role).parameters = json;
        queue
    }

    /// What the component is loaded with in a queue. It is never put into quarantine: a tool wants to see every fault.
    #[must_use]
    pub fn spec(&self, queue: &QueueConfig) -> PluginSpec {
        let spec = plugins::spec_of(queue, self.role, self.source.clone());
        PluginSpec { faults_max: u32::MAX, ..spec }
    }

    /// Loads a rating engine.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load_rating(&self, runtime: &Runtime, queue: &QueueConfig) -> Result<RatingPlugin, LoadError> {
        runtime.load_rating(self.spec(queue), &queue.shape)
    }

    /// Loads stat rules.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load_rules(&self, runtime: &Runtime, queue: &QueueConfig) -> Result<RulesPlugin, LoadError> {
        runtime.load_rules(self.spec(queue), &queue.shape)
    }

    /// Loads a matchmaking policy. Forecasts that it asks for are made by the built-in rating engine.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load_policy(&self, runtime: &Runtime, queue: &QueueConfig) -> Result<PolicyPlugin, LoadError> {
        let policy = runtime.load_policy(self.spec(queue), &queue.shape)?;
        if let Some(source) = builtin_of(Role::Rating).and_then(PluginSource::builtin) {
            let engine = runtime.load_rating(PluginSpec::new("forecast", Role::Rating, source), &queue.shape)?;
            policy.forecast_with(Arc::new(engine));
        }
        Ok(policy)
    }
}

/// The bytes of a component: a file, or `builtin:NAME`.
///
/// # Errors
/// It is not there. The caller's fault.
pub fn read_component(shown: &str) -> Result<PluginSource, SubjectError> {
    match shown.strip_prefix("builtin:") {
        Some(name) => PluginSource::builtin(name).ok_or_else(|| SubjectError::UnknownBuiltin { name: name.to_owned() }),
        None => read(Path::new(shown), ""),
    }
}

/// The first built-in component of a role, without `builtin:`.
#[must_use]
pub fn builtin_of(role: Role) -> Option<&'static str> {
    builtin_names().into_iter().find(|name| plugin_runtime::builtin_role(name) == Some(role))
}

/// The shape as people say it: `1v1`, `5v5`, `8 alone`.
#[must_use]
pub fn shape_name(shape: &QueueShape) -> String {
    let sizes: Vec<u16> = (0..usize::from(shape.teams)).map(|team| shape.team_size(team)).collect();
    match sizes.as_slice() {
        [_, _, ..] if sizes.len() > 2 && sizes.iter().all(|size| *size == 1) => format!("{} alone", sizes.len()),
        sizes => sizes.iter().map(ToString::to_string).collect::<Vec<_>>().join("v"),
    }
}

/// A component, and the manifest it belongs to.
struct Found {
    shown: String,
    source: PluginSource,
    manifest: Option<Manifest>,
}

impl Found {
    fn of(component: Option<&str>) -> Result<Self, SubjectError> {
        if let Some(builtin) = component.filter(|component| component.starts_with("builtin:")) {
            return Ok(Self { shown: builtin.to_owned(), source: read_component(builtin)?, manifest: None });
        }
        let path = Path::new(component.unwrap_or("."));
        if path.is_dir() || path.file_name().is_some_and(|name| name == MANIFEST_FILE) {
            let file = if path.is_dir() { path.join(MANIFEST_FILE) } else { path.to_owned() };
            if !file.is_file() {
                return Err(SubjectError::NoManifest { path: file });
            }
            let manifest = Manifest::read(file)?;
            let path = manifest.component()?;
            let source = read(&path, "; `ranked plugin build` makes it")?;
            return Ok(Self { shown: path.display().to_string(), source, manifest: Some(manifest) });
        }
        let source = read(path, "")?;
        Ok(Self { shown: path.display().to_string(), source, manifest: Manifest::above(path)? })
    }
}

fn read(path: &Path, hint: &'static str) -> Result<PluginSource, SubjectError> {
    plugins::read(path).map_err(|source| SubjectError::Unreadable { path: path.to_owned(), hint, source })
}

impl Manifest {
    fn read(path: PathBuf) -> Result<Self, SubjectError> {
        let unreadable = |source| SubjectError::Unreadable { path: path.clone(), hint: "", source };
        let text = std::fs::read_to_string(&path).map_err(unreadable)?;
        let mut table: Table =
            text.parse().map_err(|error: toml::de::Error| SubjectError::Manifest { path: path.clone(), problem: error.to_string() })?;
        let mut take = |key: &str| match table.remove(key) {
            Some(Value::Table(table)) => Ok(table),
            None => Ok(Table::new()),
            Some(_) => Err(SubjectError::Manifest { path: path.clone(), problem: format!("`{key}` is no table: write `[{key}]`") }),
        };
        let (plugin, queue, parameters) = (take("plugin")?, take("queue")?, take("parameters")?);
        Ok(Self { path, plugin, queue, parameters })
    }

    /// The manifest that names this very file as its component.
    fn above(component: &Path) -> Result<Option<Self>, SubjectError> {
        let Ok(component) = component.canonicalize() else { return Ok(None) };
        for folder in component.ancestors().skip(1).take(MANIFEST_LEVELS_MAX) {
            let path = folder.join(MANIFEST_FILE);
            if path.is_file() {
                let manifest = Self::read(path)?;
                let is_same = manifest.component()?.canonicalize().is_ok_and(|named| named == component);
                return Ok(is_same.then_some(manifest));
            }
        }
        Ok(None)
    }

    fn problem(&self, problem: impl Into<String>) -> SubjectError {
        SubjectError::Manifest { path: self.path.clone(), problem: problem.into() }
    }

    fn component(&self) -> Result<PathBuf, SubjectError> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        match self.plugin.get("component") {
            Some(Value::String(path)) => Ok(folder.join(path)),
            _ => Err(self.problem("[plugin] has no `component`: write the path of the built file, relative to this one")),
        }
    }

    fn role(&self) -> Result<Option<Role>, SubjectError> {
        let Some(written) = self.plugin.get("role") else { return Ok(None) };
        let role = Role::ALL.into_iter().find(|role| written.as_str() == Some(role.name()));
        role.map(Some).ok_or_else(|| self.problem(format!("`role = {written}`: write \"rating\", \"rules\" or \"policy\"")))
    }
}

fn role_of(runtime: &Runtime, source: &PluginSource) -> Result<Role, SubjectError> {
    let inspection = runtime.inspect(source).map_err(SubjectError::Unfit)?;
    match (inspection.roles.as_slice(), inspection.described) {
        ([role], _) => Ok(*role),
        ([], Err(error)) => Err(SubjectError::Unfit(error)),
        // Described means that the interface of the first role was there; several are the caller's choice.
        (_, _) => Err(SubjectError::Ambiguous { roles: inspection.roles }),
    }
}

/// The queue of the manifest and the options, or typical ones.
fn queues_of(role: Role, manifest: Option<&Manifest>, wished: &Table) -> Result<Vec<QueueConfig>, SubjectError> {
    let mut plugin = manifest.map(|manifest| manifest.plugin.clone()).unwrap_or_default();
    MANIFEST_KEYS.iter().for_each(|key| drop(plugin.remove(*key)));
    if let Some(manifest) = manifest {
        plugin.insert("parameters".to_owned(), Value::Table(manifest.parameters.clone()));
    }
    let mut shape = manifest.map(|manifest| manifest.queue.clone()).unwrap_or_default();
    shape.extend(wished.clone());
    let has_teams = ["teams", "team_sizes"].iter().any(|key| shape.contains_key(*key));
    let sizes: Vec<Vec<i64>> = if has_teams { vec![Vec::new()] } else { vec![vec![1, 1], vec![5, 5], vec![1; 8]] };
    let mut queues = Table::new();
    for (number, sizes) in sizes.into_iter().enumerate() {
        let mut queue = typical(&sizes);
        queue.extend(shape.clone());
        for other in Role::ALL {
            let mut table = if other == role { plugin.clone() } else { Table::new() };
            // Stands for the component at hand, which need not lie in a file that a configuration could name.
            table.insert("component".to_owned(), format!("builtin:{}", builtin_of(other).unwrap_or_default()).into());
            queue.insert(other.name().to_owned(), table.into());
        }
        queues.insert(format!("tried-{number}"), queue.into());
    }
    let text = Table::from_iter([("queue".to_owned(), Value::Table(queues))]).to_string();
    let file = manifest.map_or_else(|| "the queue to try it in".to_owned(), |manifest| manifest.path.display().to_string());
    Ok(parse_queues(&file, &text, &builtin_names())?)
}

/// A queue with a little of everything that a queue can have, except roles: policies may refuse those.
fn typical(team_sizes: &[i64]) -> Table {
    let names = |names: &[&str]| Value::from(names.to_vec());
    let mut queue = Table::from_iter(
        [
            ("regions", names(&["eu", "us"])),
            ("stats", names(&["kills", "deaths", "assists"])),
            ("totals", names(&["rounds"])),
            ("maps", names(&["harbor", "ruins"])),
            ("modes", names(&["ranked"])),
            ("sides", names(&["attack", "defend"])),
        ]
        .map(|(key, value)| (key.to_owned(), value)),
    );
    if !team_sizes.is_empty() {
        queue.insert("team_sizes".to_owned(), Value::from(team_sizes.to_vec()));
    }
    queue
}

fn plugin_mut(queue: &mut QueueConfig, role: Role) -> &mut crate::config::PluginConfig {
    match role {
        Role::Rating => &mut queue.rating,
        Role::Rules => &mut queue.rules,
        Role::Policy => &mut queue.policy,
    }
}
