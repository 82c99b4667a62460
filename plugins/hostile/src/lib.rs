//! Components that break the plugin contract on purpose: what an attacker, or an unlucky author, can hand to an operator.
//!
//! [`components`] is the catalog. Each entry says what it tries and how it must end: refused before it runs, a named fault, a proposal that
//! the ladder drops, or no effect at all. The components are written in WebAssembly text ([`guest`]) and assembled when they are asked for, so
//! that the catalog needs no toolchain; the large ones are generated, the damaged ones cut. `docs/threat-model.md` has a row for each.
//!
//! Tests of the sandbox, of the host and of the tools for authors use the same catalog. Nothing here is part of a release.
//!
//! Deliberately absent: plugins that lie within the contract (rate badly, match badly). No sandbox can tell those from bad taste.

pub mod guest;

mod artifact;
mod policy;
mod rating;
mod rules;

use guest::{Policy, Rater, Rules};

/// How the host must end what a hostile component tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is not loaded: the file, its types, what it imports or its parameters are refused, mostly before anything of it runs.
    Refused {
        /// A part of what the operator is told.
        says: &'static str,
    },
    /// It breaks the contract while it is loaded; the queue does not start with it.
    FaultAtLoad {
        /// What the host had asked of it.
        function: &'static str,
        /// Code of the fault.
        code: &'static str,
    },
    /// It loads, and every call ends in this fault.
    Fault {
        /// What is called.
        function: &'static str,
        /// Code of the fault.
        code: &'static str,
    },
    /// It loads and behaves for a while: some calls end in this fault, the others are good.
    FaultSometimes {
        /// What is called.
        function: &'static str,
        /// Code of the fault.
        code: &'static str,
    },
    /// Every proposal of a policy's answer breaks a rule of the pool: none is used, and the call counts as bad output.
    AgainstTheRules {
        /// A part of the reason.
        says: &'static str,
    },
    /// A policy's answer has the right shape, and the ladder drops the proposal in it; the policy is not to blame.
    Dropped {
        /// A part of the reason.
        says: &'static str,
    },
    /// It gets nowhere: the answers are those of a sound component.
    Contained,
}

impl Ending {
    /// One word for tables: the fault's code, or `refused`, `dropped`, `contained`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::FaultAtLoad { code, .. } | Self::Fault { code, .. } | Self::FaultSometimes { code, .. } => code,
            Self::AgainstTheRules { .. } => "bad-output",
            Self::Dropped { .. } => "dropped",
            Self::Contained => "contained",
        }
    }
}

/// One entry of the catalog.
#[derive(Clone, Copy, Debug)]
pub struct HostileComponent {
    /// Kebab-case, unique.
    pub name: &'static str,
    /// What it is tried as: `rating`, `rules` or `policy`, as in `plugins.toml`.
    pub role: &'static str,
    /// What it does, in one sentence.
    pub tries: &'static str,
    /// How that must end.
    pub ending: Ending,
    recipe: Recipe,
}

#[derive(Clone, Copy, Debug)]
enum Recipe {
    Rater(Rater),
    Rules(Rules),
    Policy(Policy),
    Artifact(fn() -> Vec<u8>),
}

impl HostileComponent {
    /// Assembles the component: the same bytes each time. Takes milliseconds, and up to a second for the large ones.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        match &self.recipe {
            Recipe::Rater(rater) => rater.component(),
            Recipe::Rules(rules) => rules.component(),
            Recipe::Policy(policy) => policy.component(),
            Recipe::Artifact(make) => make(),
        }
    }
}

/// All of them: what they try as a file first, then by role.
pub fn components() -> impl Iterator<Item = &'static HostileComponent> {
    [artifact::ALL, rating::ALL, rules::ALL, policy::ALL].into_iter().flatten()
}

/// The component with this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static HostileComponent> {
    components().find(|component| component.name == name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_kebab_case() {
        let mut seen = BTreeSet::new();
        for HostileComponent { name, role, tries, .. } in components() {
            assert!(seen.insert(name), "{name} twice");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'), "{name}");
            assert!(["rating", "rules", "policy"].contains(role), "{name}: {role}");
            assert!(!tries.is_empty() && !tries.ends_with('.'), "{name}: {tries}");
        }
        assert!(seen.len() >= 20, "{}", seen.len());
    }

    /// A row per component in the threat model, with the role and the ending of the catalog.
    #[test]
    fn the_threat_model_lists_every_hostile_component() {
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/threat-model.md")).unwrap();
        let mut rows = BTreeSet::new();
        for line in page.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<_> = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
            rows.insert((cells[1], cells[2], cells.get(5).copied().unwrap_or_default()));
        }
        for component in components() {
            let HostileComponent { name, role, ending, .. } = component;
            assert!(rows.contains(&(*name, *role, ending.code())), "docs/threat-model.md has no row for {name}, {role}, {}", ending.code());
        }
        let unknown: Vec<_> = rows.iter().filter(|(name, _, _)| find(name).is_none()).collect();
        assert!(unknown.is_empty(), "rows of docs/threat-model.md without a component: {unknown:?}");
    }

    #[test]
    fn the_same_component_has_the_same_bytes_each_time() {
        for component in [find("infinite-loop").unwrap(), find("ticket-twice").unwrap(), find("cut-short").unwrap()] {
            assert_eq!(component.bytes(), component.bytes(), "{}", component.name);
        }
    }
}
