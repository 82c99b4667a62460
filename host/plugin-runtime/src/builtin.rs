//! The components that are embedded in this binary, so that one file runs (decision 0006).
//!
//! `plugins.toml` names them as `builtin:NAME`.

use crate::limits::Role;

/// Name without `builtin:`, role, component.
const BUILTIN: &[(&str, Role, &[u8])] = &[
    ("gaussian", Role::Rating, include_bytes!(concat!(env!("OUT_DIR"), "/rating-gaussian.component.wasm"))),
    ("adaptive", Role::Rating, include_bytes!(concat!(env!("OUT_DIR"), "/rating-adaptive.component.wasm"))),
    ("elo", Role::Rating, include_bytes!(concat!(env!("OUT_DIR"), "/rating-elo.component.wasm"))),
    ("elo-mmr", Role::Rating, include_bytes!(concat!(env!("OUT_DIR"), "/rating-elo-mmr.component.wasm"))),
    ("glicko2", Role::Rating, include_bytes!(concat!(env!("OUT_DIR"), "/rating-glicko2.component.wasm"))),
    ("weng-lin", Role::Rating, include_bytes!(concat!(env!("OUT_DIR"), "/rating-weng-lin.component.wasm"))),
    ("bounds", Role::Rules, include_bytes!(concat!(env!("OUT_DIR"), "/rules-bounds.component.wasm"))),
    ("skill-window", Role::Policy, include_bytes!(concat!(env!("OUT_DIR"), "/policy-skill-window.component.wasm"))),
];

/// The component with this name, given without `builtin:`.
#[must_use]
pub fn builtin(name: &str) -> Option<&'static [u8]> {
    BUILTIN.iter().find(|(known, _, _)| *known == name).map(|&(_, _, bytes)| bytes)
}

/// The role that the built-in component with this name fills.
#[must_use]
pub fn builtin_role(name: &str) -> Option<Role> {
    BUILTIN.iter().find(|(known, _, _)| *known == name).map(|&(_, role, _)| role)
}

/// All names without `builtin:`; the first of each role is what a new queue gets.
#[must_use]
pub fn builtin_names() -> [&'static str; BUILTIN.len()] {
    std::array::from_fn(|index| BUILTIN[index].0)
}
