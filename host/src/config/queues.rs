//! `plugins.toml`: the queues, and which plugin fills which role in each.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ladder::id::Digest;
use ladder::queue::{QueueShape, REGIONS_MAX};
use ladder::season::Tier;
use ladder::stats::Bound;
use plugin_runtime::{
    DEADLINE_MS_CEILING, FAULTS_MAX_DEFAULT, Limits, MEMORY_BYTES_CEILING, OUTPUT_BYTES_CEILING, Role, STACK_BYTES_CEILING,
    STACK_BYTES_FLOOR, TABLE_ELEMENTS_CEILING, WasiGrant,
};

use super::document::{Document, suggest};
use super::problem::ConfigError;
use super::seasons::{SeasonConfig, WrittenSeason, check_season};

/// Queues of one host at most.
pub const QUEUES_MAX: usize = 256;
/// Teams of one contest at most.
pub const TEAMS_MAX: u16 = 256;
/// Players in one contest, at most: the allowlist of so many fits one frame with the longest names.
pub const PLAYERS_MAX: usize = 256;
/// Names in one list of a queue (statistics, maps, ..) at most.
pub const NAMES_MAX: usize = 256;
/// Bytes of one name at most.
pub const NAME_LEN_MAX: usize = 64;
/// Shadows of one queue at most.
const SHADOWS_MAX: usize = 16;
/// Roles fit a 32-bit mask.
pub const ROLES_MAX: usize = 32;

/// One queue: its shape and the plugins behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueConfig {
    /// Names and sizes that plugins and reports number by; `shape.queue` is the queue's name.
    pub shape: QueueShape,
    /// The rating engine.
    pub rating: PluginConfig,
    /// What happens to a report that the rating engine cannot rate.
    pub rating_fallback: RatingFallback,
    /// The stat rules.
    pub rules: PluginConfig,
    /// What the operator allows each statistic or total to be, whatever the rules declare.
    pub outer_bounds: BTreeMap<String, Bound>,
    /// The matchmaking policy.
    pub policy: PluginConfig,
    /// What matches players while the policy is in quarantine.
    pub policy_fallback: PolicyFallback,
    /// Plugins that are only compared with those in force, by name.
    pub shadows: BTreeMap<String, ShadowConfig>,
    /// Seasons, and how standings are shown.
    pub season: SeasonConfig,
    /// What visible ratings are called, in ascending order; may be empty.
    pub tiers: Vec<Tier>,
}

impl QueueConfig {
    /// The queue's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shape.queue
    }

    /// The plugin of a role.
    #[must_use]
    pub fn plugin(&self, role: Role) -> &PluginConfig {
        match role {
            Role::Rating => &self.rating,
            Role::Rules => &self.rules,
            Role::Policy => &self.policy,
        }
    }
}

/// One plugin of one queue.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginConfig {
    /// Where its component comes from.
    pub component: ComponentSource,
    /// The budget of one call: what is written, or the role's default.
    pub limits: Limits,
    /// Faults in a row that put it into quarantine.
    pub faults_max: u32,
    /// What it may import beside the contract.
    pub wasi: WasiGrant,
    /// The parameters table as canonical JSON (keys sorted).
    pub parameters: String,
}

/// A plugin that is only compared with the one in force.
#[derive(Clone, Debug, PartialEq)]
pub struct ShadowConfig {
    /// What it would be: a rating engine or a policy.
    pub role: Role,
    /// The plugin.
    pub plugin: PluginConfig,
}

/// Where a component comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ComponentSource {
    /// Embedded in the binary, by name; pinned if a digest is given.
    Builtin {
        /// Without `builtin:`.
        name: String,
        /// What the bytes must hash to.
        digest: Option<Digest>,
    },
    /// A file, always pinned.
    File {
        /// Relative paths count from the folder of `plugins.toml`.
        path: PathBuf,
        /// What the bytes must hash to.
        digest: Digest,
    },
}

/// What happens to a report that the rating engine cannot rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RatingFallback {
    /// The report is kept and rated when the engine works again.
    #[default]
    Hold,
}

/// What matches players while the policy is in quarantine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyFallback {
    /// The built-in skill window with its default parameters.
    #[default]
    SkillWindow,
    /// Nothing: players wait.
    Wait,
}

#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenFile {
    queue: BTreeMap<String, WrittenQueue>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenQueue {
    teams: Option<u16>,
    team_sizes: Vec<u16>,
    regions: Vec<String>,
    stats: Vec<String>,
    totals: Vec<String>,
    maps: Vec<String>,
    modes: Vec<String>,
    sides: Vec<String>,
    roles: Vec<String>,
    rating: WrittenRating,
    rules: WrittenRules,
    policy: WrittenPolicy,
    shadow: BTreeMap<String, WrittenShadow>,
    season: WrittenSeason,
}

/// [`WasiGrant`] as it is written.
#[derive(Clone, Copy, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum WrittenWasi {
    #[default]
    None,
    Deterministic,
}

/// Rules look at claims, which are not recorded: there is nothing to try others on.
#[derive(Clone, Copy, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum WrittenShadowRole {
    #[default]
    Rating,
    Policy,
}

macro_rules! written_plugin {
    ($name:ident { $($field:ident: $kind:ty),* $(,)? }) => {
        #[derive(Default, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        struct $name {
            component: Option<String>,
            digest: Option<String>,
            fuel_max: Option<u64>,
            memory_bytes_max: Option<u64>,
            deadline_ms_max: Option<u64>,
            output_bytes_max: Option<u64>,
            table_elements_max: Option<u64>,
            stack_bytes_max: Option<u64>,
            hostcall_bytes_max: Option<u64>,
            faults_max: Option<u32>,
            wasi: WrittenWasi,
            parameters: toml::Table,
            $($field: $kind,)*
        }

        impl $name {
            fn plugin(&self) -> WrittenPlugin<'_> {
                WrittenPlugin {
                    component: self.component.as_deref(),
                    digest: self.digest.as_deref(),
                    fuel_max: self.fuel_max,
                    memory_bytes_max: self.memory_bytes_max,
                    deadline_ms_max: self.deadline_ms_max,
                    output_bytes_max: self.output_bytes_max,
                    table_elements_max: self.table_elements_max,
                    stack_bytes_max: self.stack_bytes_max,
                    hostcall_bytes_max: self.hostcall_bytes_max,
                    faults_max: self.faults_max,
                    wasi: self.wasi,
                    parameters: &self.parameters,
                }
            }
        }
    };
}

written_plugin!(WrittenRating { fallback: RatingFallback });
written_plugin!(WrittenRules { outer_bounds: BTreeMap<String, Vec<f64>>, });
written_plugin!(WrittenPolicy { fallback: PolicyFallback });
written_plugin!(WrittenShadow { role: WrittenShadowRole });

/// What the three plugin tables share.
struct WrittenPlugin<'a> {
    component: Option<&'a str>,
    digest: Option<&'a str>,
    fuel_max: Option<u64>,
    memory_bytes_max: Option<u64>,
    deadline_ms_max: Option<u64>,
    output_bytes_max: Option<u64>,
    table_elements_max: Option<u64>,
    stack_bytes_max: Option<u64>,
    hostcall_bytes_max: Option<u64>,
    faults_max: Option<u32>,
    wasi: WrittenWasi,
    parameters: &'a toml::Table,
}

/// Reads `plugins.toml`; `file` is its name in messages, `builtins` are the names of the embedded components. Queues come sorted by name.
///
/// # Errors
/// The operator's fault: everything that is wrong, each with its line and column.
pub fn parse_queues(file: &str, text: &str, builtins: &[&str]) -> Result<Vec<QueueConfig>, ConfigError> {
    let mut document = Document::parse(file, text)?;
    let written: WrittenFile = document.read();
    if written.queue.len() > QUEUES_MAX {
        document.refuse(&["queue"], format!("{} queues, at most {QUEUES_MAX}", written.queue.len()), String::new());
    }
    let queues = written.queue.into_iter().filter_map(|(name, queue)| check_queue(&mut document, &name, queue, builtins)).collect();
    document.finish(queues)
}

/// `None` if something was noted that leaves no usable value.
fn check_queue(document: &mut Document<'_>, name: &str, written: WrittenQueue, builtins: &[&str]) -> Option<QueueConfig> {
    if !is_name(name) {
        document.refuse(&["queue", name], format!("`{}` cannot name a queue", name.escape_debug()), name_rule());
    }
    check_names(document, name, &written);
    let teams = check_teams(document, name, &written);
    let plugins = Role::ALL.map(|role| {
        let plugin = match role {
            Role::Rating => written.rating.plugin(),
            Role::Rules => written.rules.plugin(),
            Role::Policy => written.policy.plugin(),
        };
        check_plugin(document, Seat { queue: name, role, shadow: None }, &plugin, builtins)
    });
    let shadows = check_shadows(document, name, &written, builtins);
    let outer_bounds = check_bounds(document, name, &written);
    let (season, tiers) = check_season(document, name, written.season);
    let [rating, rules, policy] = plugins;
    Some(QueueConfig {
        rating: rating?,
        rating_fallback: written.rating.fallback,
        rules: rules?,
        outer_bounds,
        policy: policy?,
        policy_fallback: written.policy.fallback,
        shadows,
        season,
        tiers,
        shape: QueueShape {
            queue: name.to_owned(),
            teams,
            team_sizes: written.team_sizes,
            stats: written.stats,
            totals: written.totals,
            regions: written.regions,
            maps: written.maps,
            modes: written.modes,
            sides: written.sides,
            roles: written.roles,
        },
    })
}

fn check_names(document: &mut Document<'_>, queue: &str, written: &WrittenQueue) {
    let lists: [(&str, &[String], usize); 7] = [
        ("regions", &written.regions, REGIONS_MAX),
        ("stats", &written.stats, NAMES_MAX),
        ("totals", &written.totals, NAMES_MAX),
        ("maps", &written.maps, NAMES_MAX),
        ("modes", &written.modes, NAMES_MAX),
        ("sides", &written.sides, NAMES_MAX),
        ("roles", &written.roles, ROLES_MAX),
    ];
    for (list, names, names_max) in lists {
        if names.len() > names_max {
            document.refuse(&["queue", queue, list], format!("{} names, at most {names_max}", names.len()), String::new());
            continue;
        }
        for (position, name) in names.iter().enumerate() {
            let path = ["queue", queue, list, &position.to_string()];
            let free_text = matches!(list, "maps" | "modes" | "sides");
            if !(is_name(name) || free_text && is_text(name)) {
                document.refuse(&path, format!("`{}` is no name", name.escape_debug()), name_rule());
            } else if names[..position].contains(name) {
                document.refuse(&path, format!("`{name}` stands twice in `{list}`"), String::new());
            }
        }
    }
    if written.regions.is_empty() {
        document.refuse(
            &["queue", queue, "regions"],
            format!("queue `{queue}` has no regions"),
            "write `regions = [\"eu\"]`: game servers name one of them in their heartbeats".to_owned(),
        );
    }
    if let Some(both) = written.totals.iter().find(|total| written.stats.contains(total)) {
        document.refuse(&["queue", queue, "totals"], format!("`{both}` is a statistic and a total"), "rename one of them".to_owned());
    }
}

/// The number of teams.
fn check_teams(document: &mut Document<'_>, queue: &str, written: &WrittenQueue) -> u16 {
    let sizes = &written.team_sizes;
    let listed = u16::try_from(sizes.len()).unwrap_or(u16::MAX);
    let teams = written.teams.unwrap_or(listed);
    let place = if document.has(&["queue", queue, "team_sizes"]) { "team_sizes" } else { "teams" };
    let path = ["queue", queue, place];
    if sizes.is_empty() {
        document.refuse(
            &path,
            format!("queue `{queue}` has no team sizes"),
            "write `team_sizes = [5, 5]`, or for eight players each for themselves `teams = 8` and `team_sizes = [1]`".to_owned(),
        );
    } else if let Some(position) = sizes.iter().position(|size| *size == 0) {
        let element = position.to_string();
        document.refuse(&["queue", queue, "team_sizes", &element], "a team of nobody".to_owned(), "write 1 or more".to_owned());
    } else if written.teams.is_none() && sizes.len() == 1 {
        document.refuse(
            &path,
            "one team has nobody to play against".to_owned(),
            format!("write one size per team, as in `team_sizes = [{0}, {0}]`, or say how many teams there are: `teams = 2`", sizes[0]),
        );
    } else if listed != 1 && listed != teams {
        document.refuse(
            &["queue", queue, "teams"],
            format!("{teams} teams, and {listed} team sizes"),
            "write one size per team, or one size for all teams".to_owned(),
        );
    } else if !(2..=TEAMS_MAX).contains(&teams) {
        document.refuse(&["queue", queue, "teams"], format!("{teams} teams: it must be 2 to {TEAMS_MAX}"), String::new());
    } else {
        let players: usize =
            if sizes.len() == 1 { usize::from(teams) * usize::from(sizes[0]) } else { sizes.iter().map(|size| usize::from(*size)).sum() };
        if players > PLAYERS_MAX {
            document.refuse(&path, format!("{players} players in one contest, at most {PLAYERS_MAX}"), String::new());
        }
    }
    teams
}

fn check_bounds(document: &mut Document<'_>, queue: &str, written: &WrittenQueue) -> BTreeMap<String, Bound> {
    let known = || written.stats.iter().chain(&written.totals).map(String::as_str);
    let mut bounds = BTreeMap::new();
    for (name, limits) in &written.rules.outer_bounds {
        let path = ["queue", queue, "rules", "outer_bounds", name];
        if !known().any(|stat| stat == name) {
            let help =
                if known().next().is_none() { "the queue has no `stats` and no `totals`".to_owned() } else { suggest(name, known()) };
            document.refuse(&path, format!("bounds for `{}`, which queue `{queue}` does not have", name.escape_debug()), help);
            continue;
        }
        let [min, max] = limits[..] else {
            let title = format!("bounds are two numbers, got {}", limits.len());
            document.refuse(&path, title, format!("write `{name} = [0, 100]`"));
            continue;
        };
        match Bound::new(min, max) {
            Ok(bound) => {
                bounds.insert(name.clone(), bound);
            }
            Err(bad) => document.refuse(&path, bad.to_string(), format!("write the smaller number first, as in `{name} = [0, 100]`")),
        }
    }
    bounds
}

/// Plugins beside those in force.
fn check_shadows(document: &mut Document<'_>, queue: &str, written: &WrittenQueue, builtins: &[&str]) -> BTreeMap<String, ShadowConfig> {
    if written.shadow.len() > SHADOWS_MAX {
        document.refuse(&["queue", queue, "shadow"], format!("{} shadows, at most {SHADOWS_MAX}", written.shadow.len()), String::new());
    }
    let mut shadows = BTreeMap::new();
    for (name, shadow) in &written.shadow {
        if !is_name(name) {
            document.refuse(&["queue", queue, "shadow", name], format!("`{}` cannot name a shadow", name.escape_debug()), name_rule());
            continue;
        }
        let role = match shadow.role {
            WrittenShadowRole::Rating => Role::Rating,
            WrittenShadowRole::Policy => Role::Policy,
        };
        let plugin = check_plugin(document, Seat { queue, role, shadow: Some(name) }, &shadow.plugin(), builtins);
        shadows.extend(plugin.map(|plugin| (name.clone(), ShadowConfig { role, plugin })));
    }
    shadows
}

/// Where a plugin stands in the file.
#[derive(Clone, Copy)]
struct Seat<'a> {
    queue: &'a str,
    role: Role,
    /// The name of a shadow of the role.
    shadow: Option<&'a str>,
}

impl<'a> Seat<'a> {
    fn path(&self, below: &[&'a str]) -> Vec<&'a str> {
        let mut path = vec!["queue", self.queue];
        match self.shadow {
            Some(shadow) => path.extend(["shadow", shadow]),
            None => path.push(self.role.name()),
        }
        path.extend_from_slice(below);
        path
    }
}

fn check_plugin(document: &mut Document<'_>, seat: Seat<'_>, written: &WrittenPlugin<'_>, builtins: &[&str]) -> Option<PluginConfig> {
    let component = check_component(document, seat, written, builtins);
    let role = seat.role;
    let defaults = Limits::of(role);
    let limits = Limits {
        fuel_max: written.fuel_max.unwrap_or(defaults.fuel_max),
        memory_bytes_max: written.memory_bytes_max.unwrap_or(defaults.memory_bytes_max),
        deadline_ms_max: written.deadline_ms_max.unwrap_or(defaults.deadline_ms_max),
        output_bytes_max: written.output_bytes_max.unwrap_or(defaults.output_bytes_max),
        table_elements_max: written.table_elements_max.unwrap_or(defaults.table_elements_max),
        stack_bytes_max: written.stack_bytes_max.unwrap_or(defaults.stack_bytes_max),
        hostcall_bytes_max: written.hostcall_bytes_max.unwrap_or(defaults.hostcall_bytes_max),
    };
    let budgets: [(&str, u64, u64, u64); 7] = [
        ("fuel_max", limits.fuel_max, 1_000, 1 << 50),
        ("memory_bytes_max", limits.memory_bytes_max, 1 << 16, MEMORY_BYTES_CEILING),
        ("deadline_ms_max", limits.deadline_ms_max, 1, DEADLINE_MS_CEILING),
        ("output_bytes_max", limits.output_bytes_max, 1 << 10, OUTPUT_BYTES_CEILING),
        ("table_elements_max", limits.table_elements_max, 1, TABLE_ELEMENTS_CEILING),
        ("stack_bytes_max", limits.stack_bytes_max, STACK_BYTES_FLOOR, STACK_BYTES_CEILING),
        ("hostcall_bytes_max", limits.hostcall_bytes_max, 1 << 10, OUTPUT_BYTES_CEILING),
    ];
    for (key, value, least, most) in budgets {
        if !(least..=most).contains(&value) {
            let path = seat.path(&[key]);
            document.refuse(&path, format!("{value} is out of range: it must be {least} to {most}"), String::new());
        }
    }
    let faults_max = written.faults_max.unwrap_or(FAULTS_MAX_DEFAULT);
    if faults_max == 0 {
        let path = seat.path(&["faults_max"]);
        document.refuse(&path, "a plugin without a single permitted fault never runs".to_owned(), "write 1 or more".to_owned());
    }
    let parameters = serde_json::Value::Object(
        written.parameters.iter().map(|(key, value)| (key.clone(), check_parameter(document, seat, key, value))).collect(),
    );
    let wasi = match written.wasi {
        WrittenWasi::None => WasiGrant::None,
        WrittenWasi::Deterministic => WasiGrant::Deterministic,
    };
    Some(PluginConfig { component: component?, limits, faults_max, wasi, parameters: parameters.to_string() })
}

fn check_component(document: &mut Document<'_>, seat: Seat<'_>, written: &WrittenPlugin<'_>, builtins: &[&str]) -> Option<ComponentSource> {
    let place = |key| seat.path(&[key]);
    let Some(component) = written.component else {
        let example = match seat.role {
            Role::Rating => "builtin:gaussian",
            Role::Rules => "builtin:bounds",
            Role::Policy => "builtin:skill-window",
        };
        document.refuse(
            &seat.path(&[]),
            match seat.shadow {
                None => format!("queue `{}` has no component for the role `{}`", seat.queue, seat.role.name()),
                Some(shadow) => format!("shadow `{shadow}` of queue `{}` has no component", seat.queue),
            },
            format!("write `[{}]` and below it `component = \"{example}\"`", seat.path(&[]).join(".")),
        );
        return None;
    };
    let digest = match written.digest.map(|text| text.strip_prefix("sha256:").and_then(Digest::from_hex)) {
        Some(None) => {
            document.refuse(
                &place("digest"),
                "a digest is `sha256:` and 64 hexadecimal digits".to_owned(),
                "`ranked plugin inspect FILE` prints it".to_owned(),
            );
            return None;
        }
        Some(digest) => digest,
        None => None,
    };
    if let Some(name) = component.strip_prefix("builtin:") {
        if !builtins.contains(&name) {
            let known = builtins.iter().copied();
            document.refuse(&place("component"), format!("no built-in component `{}`", name.escape_debug()), suggest(name, known));
            return None;
        }
        return Some(ComponentSource::Builtin { name: name.to_owned(), digest });
    }
    let Some(digest) = digest else {
        document.refuse(
            &place("component"),
            "a component file needs its digest".to_owned(),
            format!("`ranked plugin inspect {}` prints the line to add", component.escape_debug()),
        );
        return None;
    };
    Some(ComponentSource::File { path: PathBuf::from(component), digest })
}

/// TOML's values as JSON's. Dates and numbers that are not finite have no place there.
fn check_parameter(document: &mut Document<'_>, seat: Seat<'_>, key: &str, value: &toml::Value) -> serde_json::Value {
    to_json(value).unwrap_or_else(|problem| {
        document.refuse(&seat.path(&["parameters", key]), problem, String::new());
        serde_json::Value::Null
    })
}

fn to_json(value: &toml::Value) -> Result<serde_json::Value, String> {
    Ok(match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => {
            serde_json::Number::from_f64(*number).ok_or_else(|| format!("a parameter cannot be {number}"))?.into()
        }
        toml::Value::Boolean(flag) => (*flag).into(),
        toml::Value::Datetime(_) => return Err("a parameter cannot be a date: write it as a string".to_owned()),
        toml::Value::Array(values) => values.iter().map(to_json).collect::<Result<Vec<_>, _>>()?.into(),
        toml::Value::Table(table) => {
            let fields: Result<_, String> = table.iter().map(|(key, value)| Ok((key.clone(), to_json(value)?))).collect();
            serde_json::Value::Object(fields?)
        }
    })
}

/// Names of queues, regions and statistics appear in URLs, metrics and file names.
fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    (1..=NAME_LEN_MAX).contains(&name.len()) && name.bytes().all(allowed)
}

/// Maps, modes and sides are compared with what game servers write, so they may be any printable text.
fn is_text(name: &str) -> bool {
    (1..=NAME_LEN_MAX).contains(&name.len()) && !name.chars().any(char::is_control)
}

fn name_rule() -> String {
    format!("names have 1 to {NAME_LEN_MAX} of a to z, 0 to 9, `-` and `_`")
}
