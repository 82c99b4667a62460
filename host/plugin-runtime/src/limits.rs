//! What one call of a plugin may use, and the roles that plugins fill.

use std::fmt;

/// What a plugin is for. The contract has one interface per role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Turns contests into beliefs about skill.
    Rating,
    /// Looks at what game servers claim.
    Rules,
    /// Proposes who plays whom.
    Policy,
}

impl Role {
    /// All of them, in the order of `plugins.toml`.
    pub const ALL: [Self; 3] = [Self::Rating, Self::Rules, Self::Policy];

    /// The word in `plugins.toml`, logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rating => "rating",
            Self::Rules => "rules",
            Self::Policy => "policy",
        }
    }

    /// The interface that a component exports to fill the role, without its version.
    #[must_use]
    pub fn interface(self) -> &'static str {
        match self {
            Self::Rating => "ranked:plugin/rating-engine",
            Self::Rules => "ranked:plugin/stat-rules",
            Self::Policy => "ranked:plugin/matchmaking-policy",
        }
    }

    /// The functions of that interface.
    pub(crate) fn functions(self) -> &'static [&'static str] {
        match self {
            Self::Rating => &["initial", "rate", "predict", "soften", "visible"],
            Self::Rules => &["bounds", "review"],
            Self::Policy => &["propose"],
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The budget of one call. A live call of a rating engine or of rules includes instantiation and `configure`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Deterministic budget: about one unit per WebAssembly instruction. At least 1.
    pub fuel_max: u64,
    /// Linear memory and tables together, in bytes. At most [`MEMORY_BYTES_CEILING`].
    pub memory_bytes_max: u64,
    /// Wall-clock backstop behind the fuel, in milliseconds; rounded up to the next tick of 10 ms. At most [`DEADLINE_MS_CEILING`].
    pub deadline_ms_max: u64,
    /// What the answer may make the host allocate, in bytes. At most [`OUTPUT_BYTES_CEILING`].
    pub output_bytes_max: u64,
}

/// The most linear memory that any plugin can be given: what the host reserves per instance.
pub const MEMORY_BYTES_CEILING: u64 = 1 << 30;
/// The longest deadline that any plugin can be given.
pub const DEADLINE_MS_CEILING: u64 = 60_000;
/// The largest answer that any plugin can be allowed.
pub const OUTPUT_BYTES_CEILING: u64 = 128 << 20;

impl Limits {
    /// What a role gets unless `plugins.toml` says otherwise.
    #[must_use]
    pub fn of(role: Role) -> Self {
        match role {
            Role::Rating | Role::Rules => {
                Self { fuel_max: 50_000_000, memory_bytes_max: 16 << 20, deadline_ms_max: 1_000, output_bytes_max: 1 << 20 }
            }
            Role::Policy => Self { fuel_max: 20_000_000_000, memory_bytes_max: 512 << 20, deadline_ms_max: 400, output_bytes_max: 8 << 20 },
        }
    }

    /// Checks what an operator wrote.
    ///
    /// # Errors
    /// The operator's fault: a limit is 0 or above its ceiling.
    pub fn check(&self) -> Result<(), LimitError> {
        let table = [
            ("fuel_max", self.fuel_max, u64::MAX),
            ("memory_bytes_max", self.memory_bytes_max, MEMORY_BYTES_CEILING),
            ("deadline_ms_max", self.deadline_ms_max, DEADLINE_MS_CEILING),
            ("output_bytes_max", self.output_bytes_max, OUTPUT_BYTES_CEILING),
        ];
        match table.into_iter().find(|&(_, value, ceiling)| value == 0 || value > ceiling) {
            Some((key, value, ceiling)) => Err(LimitError { key, value, ceiling }),
            None => Ok(()),
        }
    }
}

/// A limit in `plugins.toml` that cannot be used. The operator's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {value} is not from 1 to {ceiling}")]
pub struct LimitError {
    /// The key in `plugins.toml`.
    pub key: &'static str,
    /// As written.
    pub value: u64,
    /// The most it can be.
    pub ceiling: u64,
}
