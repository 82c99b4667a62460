//! The one configured instance of a plugin, and how the exports reach it.
//!
//! A component instance serves one queue. The export macro declares a static [`Slot`] in the author's crate; `configure` fills
//! it once, every later call reads it. No state can be written afterwards, so calls cannot influence each other.

use std::sync::{Once, OnceLock};

use crate::bindings::base::exports::ranked::plugin::lifecycle as wit;
use crate::{ParameterError, Plugin, QueueShape, log, parameters};

/// Holder of the configured plugin; lives in a static that the export macro declares.
pub struct Slot<P>(OnceLock<P>);

impl<P: Plugin> Slot<P> {
    /// An empty slot.
    pub const fn new() -> Self {
        Slot(OnceLock::new())
    }

    /// Parses the parameters and configures the plugin; the host calls this first and once.
    pub(crate) fn configure(&self, shape: &QueueShape, json: &str) -> Result<(), Vec<ParameterError>> {
        report_panics();
        let plugin = P::configure(shape, parameters::parse(json)?)?;
        self.0.set(plugin).map_err(|_already| vec![ParameterError::new("", "this instance is configured already")])
    }

    /// The configured plugin.
    ///
    /// # Panics
    /// The host's fault: it called before `configure` succeeded.
    pub(crate) fn plugin(&self) -> &P {
        self.0.get().expect("the host configures a plugin before any other call")
    }
}

impl<P: Plugin> Default for Slot<P> {
    fn default() -> Self {
        Self::new()
    }
}

/// Sends the text of a panic to the plugin log; the trap that follows carries no text of its own.
fn report_panics() {
    static HOOK: Once = Once::new();
    if cfg!(target_arch = "wasm32") {
        HOOK.call_once(|| std::panic::set_hook(Box::new(|panic| log::error(&panic.to_string()))));
    }
}

/// Names the plugin behind an exported component; implemented by the export macros.
pub trait Export: 'static {
    /// The author's type.
    type Plugin: Plugin;
    /// Where its configured instance lives.
    fn slot() -> &'static Slot<Self::Plugin>;
}

impl<E: Export> wit::Guest for E {
    fn describe() -> wit::Description {
        report_panics();
        wit::Description {
            name: E::Plugin::NAME.to_owned(),
            version: E::Plugin::VERSION.to_owned(),
            parameters_schema: E::Plugin::PARAMETERS_SCHEMA.to_owned(),
        }
    }

    fn configure(shape: wit::QueueShape, parameters: String) -> Result<(), Vec<wit::ParameterError>> {
        let export = |ParameterError { path, problem }| wit::ParameterError { path, problem };
        let refused = |errors: Vec<ParameterError>| errors.into_iter().map(export).collect();
        E::slot().configure(&shape.into(), &parameters).map_err(refused)
    }
}

impl From<wit::QueueShape> for QueueShape {
    fn from(shape: wit::QueueShape) -> Self {
        QueueShape {
            team_sizes: team_sizes(shape.teams, shape.team_sizes),
            queue: shape.queue,
            stats: shape.stats,
            totals: shape.totals,
            regions: shape.regions,
            maps: shape.maps,
            modes: shape.modes,
            sides: shape.sides,
            roles: shape.roles,
        }
    }
}

/// One entry for all teams of a free-for-all becomes one entry a team.
fn team_sizes(teams: u16, listed: Vec<u16>) -> Vec<u16> {
    match listed.as_slice() {
        [size] if teams > 1 => vec![*size; usize::from(teams)],
        _ => listed,
    }
}

/// Declares the slot of a plugin and, in a component, its exports.
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($plugin:ty, $role:ident, $export:ident) => {
        const _: () = {
            struct Exported;
            impl $crate::Export for Exported {
                type Plugin = $plugin;
                fn slot() -> &'static $crate::Slot<$plugin> {
                    static SLOT: $crate::Slot<$plugin> = $crate::Slot::new();
                    &SLOT
                }
            }
            // Also in native builds, where nothing is exported: the type has to fill the role.
            const fn fills_the_role<E: $crate::bindings::$role::Role>() {}
            const _: () = fills_the_role::<Exported>();
            #[cfg(target_arch = "wasm32")]
    $crate::bindings::base::export_base!(Exported with_types_in $crate::bindings::base);
            #[cfg(target_arch = "wasm32")]
    $crate::bindings::$role::$export!(Exported with_types_in $crate::bindings::$role);
        };
    };
}

/// Exports a type as a component in the role of a rating engine, bulk interface included.
///
/// In native builds it exports nothing, so that several plugins can be linked into one test.
#[macro_export]
macro_rules! export_rating {
    ($engine:ty) => {
        $crate::__export!($engine, rating, export_rating);
    };
}

/// Exports a type as a component in the role of stat rules.
///
/// In native builds it exports nothing, so that several plugins can be linked into one test.
#[macro_export]
macro_rules! export_rules {
    ($rules:ty) => {
        $crate::__export!($rules, rules, export_rules);
    };
}

/// Exports a type as a component in the role of a matchmaking policy.
///
/// In native builds it exports nothing, so that several plugins can be linked into one test.
#[macro_export]
macro_rules! export_policy {
    ($policy:ty) => {
        $crate::__export!($policy, policy, export_policy);
    };
}
