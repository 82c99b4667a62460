//! An author's own tests: `cases/*.toml`, what goes in and what should come out. `ranked plugin test` runs them.
//!
//! A file holds any number of cases of the plugin's role, as `[[rating]]`, `[[rules]]` or `[[policy]]`; each needs a `name`. The three
//! modules below document their keys, each with an example. Numbers are compared within `tolerance` (absolute; 1e-6 unless the case says
//! otherwise). A key that is not known is an error, so that a misspelled expectation cannot pass.

mod compare;
mod policy;
mod rating;
mod rules;
mod vectors;

use ladder::fault::PluginFault;
use ladder::pool::MatchmakingPolicy;
use ladder::queue::QueueShape;
use ladder::rating::RatingEngine;
use ladder::rules::StatRules;
use plugin_runtime::Role;

pub use compare::Mismatch;
pub use policy::{PolicyCase, QueueTicketCase, TicketPlayer};
pub use rating::{Expected, Played, PlayedCase, RatingCase, Start};
pub use rules::{ClampCase, RulesCase};
pub use vectors::{BadVectors, Dialect, PassedOver, Vector, VectorFile, Vectors};

/// How far numbers may differ unless a case says otherwise.
pub const TOLERANCE_DEFAULT: f64 = 1e-6;

/// The cases of one file.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CaseFile {
    /// Cases of rating engines.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rating: Vec<RatingCase>,
    /// Cases of stat rules.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RulesCase>,
    /// Cases of matchmaking policies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policy: Vec<PolicyCase>,
}

/// A case that cannot be run: it says something that the queue's shape does not have, or that cannot be read. Its author's fault.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CaseProblem {
    /// What is written there cannot be used.
    #[error("{place}: {problem}")]
    Unusable {
        /// The key.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The plugin broke its contract, or declined what the case did not expect it to.
    #[error("the plugin {0}")]
    Fault(#[from] PluginFault),
}

impl CaseProblem {
    pub(crate) fn unusable(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Unusable { place: place.into(), problem: problem.into() }
    }
}

/// How one case ended.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseEnd {
    /// The case's name.
    pub name: String,
    /// Every field that differs; empty: the case passed. Or why it could not be run.
    pub result: Result<Vec<Mismatch>, CaseProblem>,
}

impl CaseEnd {
    /// Whether everything came out as expected.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.result.as_ref().is_ok_and(Vec::is_empty)
    }
}

/// The plugin that cases are run against.
pub enum Tested<'a> {
    /// A rating engine.
    Rating(&'a dyn RatingEngine),
    /// Stat rules.
    Rules(&'a dyn StatRules),
    /// A matchmaking policy.
    Policy(&'a dyn MatchmakingPolicy),
}

impl CaseFile {
    /// How many cases of a role the file holds.
    #[must_use]
    pub fn count(&self, role: Role) -> usize {
        match role {
            Role::Rating => self.rating.len(),
            Role::Rules => self.rules.len(),
            Role::Policy => self.policy.len(),
        }
    }

    /// Runs the cases of the plugin's role, in the order of the file.
    #[must_use]
    pub fn run(&self, shape: &QueueShape, plugin: &Tested<'_>) -> Vec<CaseEnd> {
        match plugin {
            Tested::Rating(engine) => ends(&self.rating, |case| (&case.name, case.run(shape, *engine))),
            Tested::Rules(rules) => ends(&self.rules, |case| (&case.name, case.run(shape, *rules))),
            Tested::Policy(policy) => ends(&self.policy, |case| (&case.name, case.run(shape, *policy))),
        }
    }
}

fn ends<'a, C>(cases: &'a [C], run: impl Fn(&'a C) -> (&'a String, Result<Vec<Mismatch>, CaseProblem>)) -> Vec<CaseEnd> {
    let end = |case| {
        let (name, result) = run(case);
        CaseEnd { name: name.clone(), result }
    };
    cases.iter().map(end).collect()
}

/// Where `name` stands in a list of the queue's shape.
fn index_of(names: &[String], name: &str, place: &str) -> Result<u16, CaseProblem> {
    let index = names.iter().position(|known| known == name).and_then(|index| u16::try_from(index).ok());
    index.ok_or_else(|| {
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        CaseProblem::unusable(place, format!("the queue does not have `{name}`; it has: {known}"))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Whoever copies an example has a file that can be read.
    #[test]
    fn the_examples_of_the_documentation_are_cases() {
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/plugins-tools.md")).unwrap();
        let blocks: Vec<&str> = page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
        assert_eq!(blocks.len(), 3);
        for block in blocks {
            let file: CaseFile = toml::from_str(block).unwrap_or_else(|error| panic!("{error}"));
            assert!(Role::ALL.iter().any(|role| file.count(*role) > 0), "{block}");
        }
    }
}
