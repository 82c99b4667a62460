//! How a plugin can break its contract. The host discards its output, counts the fault and goes on with the queue's fallback.

use alloc::string::String;

/// Why a plugin call gave nothing usable. Always the plugin's fault; players never pay for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PluginFault {
    /// The component trapped (panic, unreachable, bad memory access). `detail` is the trap and the last log line.
    #[error("trapped: {detail}")]
    Trap {
        /// The trap's text, for people.
        detail: String,
    },
    /// The deterministic budget was used up.
    #[error("used up its fuel of {fuel_max}")]
    OutOfFuel {
        /// The budget of the call.
        fuel_max: u64,
    },
    /// The wall-clock backstop ended the call.
    #[error("ran past its deadline of {deadline_ms_max} ms")]
    Deadline {
        /// The deadline of the call in milliseconds.
        deadline_ms_max: u64,
    },
    /// The component asked for more memory than it may have.
    #[error("asked for more than {memory_bytes_max} bytes of memory")]
    Memory {
        /// The memory limit in bytes.
        memory_bytes_max: u64,
    },
    /// The component called itself too deeply.
    #[error("used up its stack of {stack_bytes_max} bytes")]
    Stack {
        /// The stack limit in bytes.
        stack_bytes_max: u64,
    },
    /// The component asked for more table entries than it may have.
    #[error("asked for more than {table_elements_max} table entries")]
    Table {
        /// The limit of entries, all tables together.
        table_elements_max: u64,
    },
    /// The component handed more to the host's functions (log, forecast, WASI), or took more from them, than one call may.
    #[error("moved more than {hostcall_bytes_max} bytes through host functions")]
    HostcallBytes {
        /// The limit of one call in bytes.
        hostcall_bytes_max: u64,
    },
    /// The answer has the wrong shape, is not finite, or names what it was not given.
    #[error("bad output in {place}: {problem}")]
    BadOutput {
        /// Which function or field.
        place: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The plugin itself answered that it cannot do this contest (`unsupported-shape`, `out-of-range`).
    #[error("declined: {detail}")]
    Declined {
        /// The WIT case, kebab-case.
        detail: &'static str,
    },
    /// Too many faults in a row: the plugin is not called until an operator acts.
    #[error("is in quarantine after {faults_in_a_row} faults in a row")]
    Quarantined {
        /// How many there were.
        faults_in_a_row: u32,
    },
}

impl PluginFault {
    /// Stable, kebab-case: metrics label and machine-readable reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Trap { .. } => "trap",
            Self::OutOfFuel { .. } => "out-of-fuel",
            Self::Deadline { .. } => "deadline",
            Self::Memory { .. } => "memory",
            Self::Stack { .. } => "stack",
            Self::Table { .. } => "table",
            Self::HostcallBytes { .. } => "hostcall-bytes",
            Self::BadOutput { .. } => "bad-output",
            Self::Declined { .. } => "declined",
            Self::Quarantined { .. } => "quarantined",
        }
    }
}
