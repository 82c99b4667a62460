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

/// What a plugin may import beside the contract, by the operator's word in `plugins.toml`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WasiGrant {
    /// Nothing: the default.
    #[default]
    None,
    /// `wasi = "deterministic"`: an inert WASI 0.2. Clocks stand still, random numbers are the same in every call, standard output goes to
    /// the plugin log, standard input is empty; no arguments, environment, files or sockets.
    Deterministic,
}

impl WasiGrant {
    /// The word in `plugins.toml`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Deterministic => "deterministic",
        }
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
    /// Entries of all tables together; they count as memory too. At most [`TABLE_ELEMENTS_CEILING`].
    pub table_elements_max: u64,
    /// Depth of the guest's calls, in bytes of the host's stack. From [`STACK_BYTES_FLOOR`] to [`STACK_BYTES_CEILING`].
    pub stack_bytes_max: u64,
    /// What crosses between the guest and the host's functions (log, forecast, WASI) in one call, in bytes, both ways together; the answer
    /// is not part of it. At most [`OUTPUT_BYTES_CEILING`].
    pub hostcall_bytes_max: u64,
}

/// The most linear memory that any plugin can be given: what the host reserves per instance.
pub const MEMORY_BYTES_CEILING: u64 = 1 << 30;
/// The longest deadline that any plugin can be given.
pub const DEADLINE_MS_CEILING: u64 = 60_000;
/// The largest answer that any plugin can be allowed.
pub const OUTPUT_BYTES_CEILING: u64 = 128 << 20;

/// The most table entries that any plugin can be given.
pub const TABLE_ELEMENTS_CEILING: u64 = 1 << 18;
/// The smallest stack that any plugin can be given: less does not even get through `configure`.
pub const STACK_BYTES_FLOOR: u64 = 64 << 10;
/// The largest stack that any plugin can be given: half of what Rust gives to a thread.
pub const STACK_BYTES_CEILING: u64 = 1 << 20;

impl Limits {
    /// What a role gets unless `plugins.toml` says otherwise.
    #[must_use]
    pub fn of(role: Role) -> Self {
        match role {
            Role::Rating | Role::Rules => Self {
                fuel_max: 50_000_000,
                memory_bytes_max: 16 << 20,
                deadline_ms_max: 1_000,
                output_bytes_max: 1 << 20,
                table_elements_max: 1 << 16,
                stack_bytes_max: 512 << 10,
                hostcall_bytes_max: 1 << 20,
            },
            Role::Policy => Self {
                fuel_max: 20_000_000_000,
                memory_bytes_max: 512 << 20,
                deadline_ms_max: 400,
                output_bytes_max: 8 << 20,
                table_elements_max: 1 << 16,
                stack_bytes_max: 512 << 10,
                hostcall_bytes_max: 32 << 20,
            },
        }
    }

    /// Checks what an operator wrote.
    ///
    /// # Errors
    /// The operator's fault: a limit is below its floor or above its ceiling.
    pub fn check(&self) -> Result<(), LimitError> {
        let table = [
            ("fuel_max", self.fuel_max, 1, u64::MAX),
            ("memory_bytes_max", self.memory_bytes_max, 1, MEMORY_BYTES_CEILING),
            ("deadline_ms_max", self.deadline_ms_max, 1, DEADLINE_MS_CEILING),
            ("output_bytes_max", self.output_bytes_max, 1, OUTPUT_BYTES_CEILING),
            ("table_elements_max", self.table_elements_max, 1, TABLE_ELEMENTS_CEILING),
            ("stack_bytes_max", self.stack_bytes_max, STACK_BYTES_FLOOR, STACK_BYTES_CEILING),
            ("hostcall_bytes_max", self.hostcall_bytes_max, 1, OUTPUT_BYTES_CEILING),
        ];
        match table.into_iter().find(|&(_, value, floor, ceiling)| !(floor..=ceiling).contains(&value)) {
            Some((key, value, floor, ceiling)) => Err(LimitError { key, value, floor, ceiling }),
            None => Ok(()),
        }
    }
}

/// A limit in `plugins.toml` that cannot be used. The operator's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {value} is not from {floor} to {ceiling}")]
pub struct LimitError {
    /// The key in `plugins.toml`.
    pub key: &'static str,
    /// As written.
    pub value: u64,
    /// The least it can be.
    pub floor: u64,
    /// The most it can be.
    pub ceiling: u64,
}
