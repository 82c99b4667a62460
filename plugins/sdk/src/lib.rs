//! Write RankedServer plugins in Rust: a trait per role and one export macro.
//!
//! A plugin is a WebAssembly component that fills one role of a queue. An author picks a role, implements
//! [`Plugin`] (who it is, which parameters it takes) and the trait of the role, and names the type in one macro:
//!
//! | role | trait | macro |
//! |---|---|---|
//! | rating engine | [`RatingEngine`] | [`export_rating!`] |
//! | stat rules | [`StatRules`] | [`export_rules!`] |
//! | matchmaking policy | [`MatchmakingPolicy`] | [`export_policy!`] |
//!
//! The contract itself is `wit/v1/ranked.wit`. This crate turns its records and columns into the types below, parses the
//! parameters, keeps the one configured instance, and sends the text of a panic to the plugin log before the trap. A
//! rating engine gets the bulk interface, which replays are made of, from the same trait.
//!
//! A plugin has no clock, no entropy and no I/O, and all methods take `&self`: its answer is a function of its input and its
//! parameters. The host depends on that, and checks it on samples.
//!
//! Plugin crates are ordinary crates as well: `crate-type = ["cdylib", "rlib"]` lets native tests and benchmarks call them.
//!
//! ```
//! use plugin_sdk::{Contest, Fault, LineUp, ParameterError, Plugin, QueueShape, Rating, RatingEngine, Update};
//!
//! /// Moves a fixed number of points from losers to winners.
//! struct Points {
//!     step: f64,
//! }
//!
//! #[derive(serde::Deserialize)]
//! #[serde(default)]
//! struct Parameters {
//!     step: f64,
//! }
//!
//! impl Default for Parameters {
//!     fn default() -> Self {
//!         Parameters { step: 16.0 }
//!     }
//! }
//!
//! impl Plugin for Points {
//!     const NAME: &'static str = "points";
//!     const VERSION: &'static str = "1.0.0";
//!     const PARAMETERS_SCHEMA: &'static str = r#"{"type":"object","properties":{"step":{"type":"number","default":16}}}"#;
//!     type Parameters = Parameters;
//!     fn configure(_: &QueueShape, parameters: Parameters) -> Result<Self, Vec<ParameterError>> {
//!         if parameters.step > 0.0 {
//!             Ok(Points { step: parameters.step })
//!         } else {
//!             Err(vec![ParameterError::new("step", "must be above 0")])
//!         }
//!     }
//! }
//!
//! impl RatingEngine for Points {
//!     fn initial(&self) -> Rating {
//!         Rating::new(1500.0, 100.0)
//!     }
//!     fn rate(&self, contest: &Contest, update: &mut Update) -> Result<(), Fault> {
//!         for (rating, entrant) in update.ratings.iter_mut().zip(&contest.line_up.entrants) {
//!             let won = contest.places[usize::from(entrant.team)] == 0;
//!             rating.mean += if won { self.step } else { -self.step };
//!         }
//!         Ok(())
//!     }
//!     fn predict(&self, line_up: &LineUp, _: &[u8], pairs: &mut Vec<f64>) -> Result<(), Fault> {
//!         pairs.resize(line_up.pair_count(), 0.5);
//!         Ok(())
//!     }
//!     fn soften(&self, rating: &Rating, keep: f64) -> Rating {
//!         Rating::new(1500.0 + keep * (rating.mean - 1500.0), rating.uncertainty)
//!     }
//!     fn visible(&self, rating: &Rating) -> f64 {
//!         rating.mean
//!     }
//! }
//!
//! plugin_sdk::export_rating!(Points);
//! ```

#[cfg(target_arch = "wasm32")]
mod arena;
#[doc(hidden)]
pub mod bindings;
mod bulk;
mod bulk_flat;
#[cfg(test)]
mod bulk_tests;
mod flat;
mod instance;
pub mod log;
mod parameters;
mod plugin;
mod policy;
mod proposals;
mod rating;
mod rating_glue;
mod rules;

#[doc(hidden)]
pub use bulk::rate_many;
pub use flat::{FlatContest, FlatEngine, FlatLineUp, FlatPast, FlatRange, predict_flattened, predict_then_rate, rate_flattened};
#[doc(hidden)]
pub use instance::{Export, Slot};
pub use parameters::ParameterError;
#[doc(hidden)]
pub use parameters::parse as parse_parameters;
pub use plugin::{Plugin, QueueShape};
pub use policy::{Apart, Backfill, MatchmakingPolicy, Member, Pool, PoolBuilder, Ticket};
pub use proposals::{Limit, MatchBuilder, Proposals, ProposalsBuilder};
pub use rating::{Contest, Entrant, Fault, LineUp, Rating, RatingEngine, Setting, StatValue, Update};
pub use rules::{Bound, Claim, Finding, Line, ServerHistory, Stat, StatRules, Verdict};
