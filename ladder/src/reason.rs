//! Machine-readable reasons: every refusal, clamp, unrated result and failed match carries one (invariant 12 of the architecture).

use alloc::string::String;

/// A stable code for machines and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Kebab-case and stable. Codes of the host are constants in [`code`]; codes of the rules plugin are its own.
    pub code: String,
    /// For people; never holds a secret.
    pub detail: String,
}

impl Reason {
    /// Pairs a code with its sentence.
    pub fn new(code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { code: code.into(), detail: detail.into() }
    }
}

/// The host's own codes, the same on the wire, in SQL, in HTTP answers and in metrics.
pub mod code {
    /// A claimed statistic was outside its bounds and forced inside.
    pub const CLAMPED: &str = "clamped";
    /// A claimed statistic was not a finite number and was dropped.
    pub const NOT_FINITE: &str = "not-finite";
    /// The rules plugin faulted: declared bounds alone were enforced.
    pub const RULES_FAULT: &str = "rules-fault";
    /// The rating engine faulted: the report is kept and rated later.
    pub const RATING_FAULT: &str = "rating-fault";
    /// The game server did not acknowledge the allowlist in time.
    pub const ALLOWLIST_TIMEOUT: &str = "allowlist-timeout";
    /// The game server refused the match.
    pub const ALLOWLIST_REFUSED: &str = "allowlist-refused";
    /// The game server's session ended and did not come back in time.
    pub const SERVER_LOST: &str = "server-lost";
    /// The game server's certificate was revoked, expired, or its key epoch was retired.
    pub const CERTIFICATE_DEAD: &str = "certificate-dead";
    /// The match did not start or end within its time.
    pub const MATCH_EXPIRED: &str = "match-expired";
    /// An operator ended it.
    pub const OPERATOR: &str = "operator";
}
