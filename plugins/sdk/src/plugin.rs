//! What every plugin shares, whatever its role: who it is, its parameters, and the queue it serves.

use serde::de::DeserializeOwned;

use crate::ParameterError;

/// A configured plugin of one queue.
///
/// The value is made once per instance and never changes: all calls take `&self`.
pub trait Plugin: Sized + Send + Sync + 'static {
    /// Name for lists, logs and the record beside every match; kebab-case.
    const NAME: &'static str;
    /// Version of the plugin, as a rule `env!("CARGO_PKG_VERSION")`.
    const VERSION: &'static str;
    /// JSON Schema of [`Self::Parameters`], for operators and their editors.
    const PARAMETERS_SCHEMA: &'static str;
    /// The parameter table of the queue. Give every field a default: an empty table is `{}`.
    type Parameters: DeserializeOwned;

    /// Makes the plugin for one queue.
    ///
    /// # Errors
    /// The operator's fault: parameters that parse but make no sense, all of them at once.
    fn configure(shape: &QueueShape, parameters: Self::Parameters) -> Result<Self, Vec<ParameterError>>;
}

/// The part of a queue that never changes while it runs.
///
/// Statistics, totals, regions, maps, modes, sides and roles are numbered in the order of their names here; look an index up
/// once, in [`Plugin::configure`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueShape {
    /// Name of the queue.
    pub queue: String,
    /// Players per team, one entry a team.
    pub team_sizes: Vec<u16>,
    /// Names of the statistics of a player.
    pub stats: Vec<String>,
    /// Names of the contest-wide statistics, such as rounds.
    pub totals: Vec<String>,
    /// Names of the regions.
    pub regions: Vec<String>,
    /// Names of the maps; may be empty.
    pub maps: Vec<String>,
    /// Names of the modes; may be empty.
    pub modes: Vec<String>,
    /// Names of the sides; may be empty.
    pub sides: Vec<String>,
    /// Names of the roles; may be empty.
    pub roles: Vec<String>,
}

impl QueueShape {
    /// Players of a full match.
    pub fn player_count(&self) -> usize {
        self.team_sizes.iter().map(|&size| usize::from(size)).sum()
    }

    /// Index of a statistic of players.
    pub fn stat(&self, name: &str) -> Option<u16> {
        index_of(&self.stats, name)
    }

    /// Index of a contest-wide statistic.
    pub fn total(&self, name: &str) -> Option<u16> {
        index_of(&self.totals, name)
    }

    /// Index of a map.
    pub fn map(&self, name: &str) -> Option<u16> {
        index_of(&self.maps, name)
    }

    /// Index of a mode.
    pub fn mode(&self, name: &str) -> Option<u16> {
        index_of(&self.modes, name)
    }

    /// Index of a side.
    pub fn side(&self, name: &str) -> Option<u16> {
        index_of(&self.sides, name)
    }
}

fn index_of(names: &[String], name: &str) -> Option<u16> {
    names.iter().position(|known| known == name).and_then(|index| u16::try_from(index).ok())
}
