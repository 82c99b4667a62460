//! @NAME@: caps what a game server may claim.
//!
//! Rules declare bounds, which the host enforces even where `review` fails, and say what they think of each claim.

use plugin_sdk::{Bound, Claim, ParameterError, Plugin, QueueShape, Stat, StatRules, Verdict};

/// Statistics that are capped, wherever the queue has them.
const CAPPED: [&str; 2] = ["kills", "deaths"];

/// What an operator may write into `[queue.NAME.rules.parameters]`.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(default)]
pub struct Parameters {
    /// The most that a player can do of anything capped.
    cap: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Parameters { cap: 60.0 }
    }
}

/// The rules of one queue.
pub struct Caps {
    cap: f64,
    /// The queue's statistics that are capped.
    capped: Vec<Stat>,
}

impl Plugin for Caps {
    const NAME: &'static str = env!("CARGO_PKG_NAME");
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const PARAMETERS_SCHEMA: &'static str = r#"{
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "cap": { "type": "number", "default": 60, "description": "The most that a player can do of anything capped." }
        }
    }"#;
    type Parameters = Parameters;

    fn configure(shape: &QueueShape, parameters: Parameters) -> Result<Self, Vec<ParameterError>> {
        if parameters.cap <= 0.0 {
            return Err(vec![ParameterError::new("cap", "must be above 0")]);
        }
        let capped = CAPPED.iter().filter_map(|name| shape.stat(name)).map(Stat::Player).collect();
        Ok(Caps { cap: parameters.cap, capped })
    }
}

impl StatRules for Caps {
    fn bounds(&self) -> Vec<Bound> {
        self.capped.iter().map(|&stat| Bound { stat, min: 0.0, max: self.cap }).collect()
    }

    fn review(&self, claim: &Claim) -> Verdict {
        let mut verdict = Verdict::new();
        let mut capped_lines = 0;
        for (index, line) in claim.lines.iter().enumerate().filter(|(_, line)| self.capped.contains(&line.stat)) {
            // A game server can send anything, also what is no number: that counts as nothing done.
            let inside = if line.value.is_nan() { 0.0 } else { line.value.clamp(0.0, self.cap) };
            if inside != line.value {
                verdict.clamp(index, inside);
                capped_lines += 1;
            }
        }
        if capped_lines > 0 {
            verdict.suspicious("stat-capped", format!("{capped_lines} numbers outside 0 to {}", self.cap));
        }
        if claim.duration_s == 0 && !claim.lines.is_empty() {
            verdict.hold("no-duration", "statistics from a contest that took no time");
        }
        verdict
    }
}

plugin_sdk::export_rules!(Caps);
