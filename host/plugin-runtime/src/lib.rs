//! Runs rating engines, stat rules and matchmaking policies as sandboxed WebAssembly components.
//!
//! [`Runtime`] turns a [`PluginSpec`] into a plugin in service: [`RatingPlugin`], [`RulesPlugin`] or [`PolicyPlugin`], each the matching
//! trait of `ladder`. What the host promises itself of any of them:
//!
//! * **No authority.** The only import is the plugin log, for policies also forecasts, and by grant an inert WASI. No clock, no chance,
//!   no files: an answer is a function of digest, parameters and arguments.
//! * **No influence from call to call.** Rating and rules calls run in a fresh instance each. A policy keeps a warm one, because its whole
//!   world crosses in each call, and loses it after a fault; so does the bulk interface of a rating engine, which is compared on samples
//!   with `rate` in a fresh instance, bit for bit.
//! * **Bounded.** Fuel (deterministic), a deadline behind it, memory, tables, stack, size of the answer, what goes through the host's
//!   functions, log lines: [`Limits`].
//! * **Checked.** Everything that comes back is looked at before the ladder sees it; what breaks the contract is a
//!   `ladder::fault::PluginFault`, counted, and after enough in a row the plugin is in quarantine.
//!
//! Deliberately absent: any way to load native code that this host did not compile itself.
//!
//! ```
//! use ladder::queue::QueueShape;
//! use ladder::rating::RatingEngine;
//! use plugin_runtime::{PluginSource, PluginSpec, Role, Runtime};
//!
//! let runtime = Runtime::new()?;
//! let duel = QueueShape { queue: "duel".into(), teams: 2, team_sizes: vec![1], ..QueueShape::default() };
//! let source = PluginSource::builtin("gaussian").expect("embedded");
//! let engine = runtime.load_rating(PluginSpec::new("duel.rating", Role::Rating, source), &duel)?;
//! let (stranger, visible) = engine.initial()?;
//! assert!(visible < stranger.mean);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod audit;
mod bindings;
mod builtin;
mod bulk;
mod cache;
mod code;
mod counters;
mod engines;
mod error;
mod forecast;
mod guest;
mod inspect;
mod limits;
mod parameters;
mod policy;
mod rating;
mod rules;
mod runtime;
mod service;
mod source;
mod wasi;

pub use builtin::{builtin, builtin_names, builtin_role};
pub use cache::CacheCounters;
pub use code::{CODE_BYTES_MAX, FUNCTION_BYTES_MAX};
pub use counters::{FAULT_CODES, FUEL_SHARE_BUCKET_ENDS, PluginCounters, WALL_BUCKET_ENDS_US};
pub use error::{COMPONENT_BYTES_MAX, CONTRACT_VERSION, LoadError, ParameterProblem, RuntimeError};
pub use forecast::FORECAST_LINE_UPS_MAX;
pub use guest::{LOG_LINE_BYTES_MAX, LOG_LINES_MAX};
pub use inspect::{Described, Inspection};
pub use limits::{
    DEADLINE_MS_CEILING, LimitError, Limits, MEMORY_BYTES_CEILING, OUTPUT_BYTES_CEILING, Role, STACK_BYTES_CEILING, STACK_BYTES_FLOOR,
    TABLE_ELEMENTS_CEILING, WasiGrant,
};
pub use parameters::canonical_parameters;
pub use policy::PolicyPlugin;
pub use rating::{RatingPlugin, WarmRating};
pub use rules::{FINDING_CODE_BYTES_MAX, FINDINGS_MAX, RulesPlugin};
pub use runtime::{Description, FAULTS_MAX_DEFAULT, PluginSpec, Runtime};
pub use source::PluginSource;
