//! What a component wants and offers, read from its type before any of it runs.

use semver::Version;
use wasmtime::Engine;
use wasmtime::component::types::{Component as ComponentType, ComponentItem};

use crate::error::{CONTRACT_VERSION, LoadError};
use crate::limits::{Role, WasiGrant};
use crate::wasi;

const LIFECYCLE: &str = "ranked:plugin/lifecycle";
const LIFECYCLE_FUNCTIONS: [&str; 2] = ["describe", "configure"];
const LOG: &str = "ranked:plugin/log";
const FORECAST: &str = "ranked:plugin/forecast";

/// What the operator lets a component import beside the contract.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Grants {
    pub(crate) wasi: WasiGrant,
    /// Every policy has it.
    pub(crate) forecast: bool,
}

impl Grants {
    pub(crate) fn of(role: Role, wasi: WasiGrant) -> Self {
        Self { wasi, forecast: role == Role::Policy }
    }
}

/// Names in a component's type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Surface {
    /// With versions, in the component's order.
    pub(crate) imports: Vec<String>,
    /// With versions, in the component's order; the functions of interfaces beside them.
    pub(crate) exports: Vec<Export>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Export {
    pub(crate) name: String,
    functions: Vec<String>,
}

impl Surface {
    pub(crate) fn of(component: &ComponentType, engine: &Engine) -> Self {
        let imports = component.imports(engine).map(|(name, _)| name.to_owned()).collect();
        let exports = component.exports(engine).map(|(name, item)| {
            let functions = match item.ty {
                ComponentItem::ComponentInstance(instance) => {
                    let is_function = |item: &ComponentItem| matches!(item, ComponentItem::ComponentFunc(_));
                    instance.exports(engine).filter(|(_, item)| is_function(&item.ty)).map(|(name, _)| name.to_owned()).collect()
                }
                _ => Vec::new(),
            };
            Export { name: name.to_owned(), functions }
        });
        Self { imports, exports: exports.collect() }
    }

    /// Roles whose interface is exported in a version that the host offers.
    pub(crate) fn roles(&self) -> Vec<Role> {
        Role::ALL.into_iter().filter(|role| self.require_interface(*role, role.interface(), role.functions()).is_ok()).collect()
    }

    /// Checks imports, then exports, against what `role` needs. Exports that nobody asked for are tolerated: generators add them.
    pub(crate) fn check(&self, role: Role, grants: Grants) -> Result<(), LoadError> {
        self.check_imports(grants)?;
        self.require_interface(role, LIFECYCLE, &LIFECYCLE_FUNCTIONS)?;
        self.require_interface(role, role.interface(), role.functions())
    }

    /// What has to be granted for this component to load.
    pub(crate) fn needs_wasi(&self) -> WasiGrant {
        match self.imports.iter().any(|import| is_inert_wasi(import)) {
            true => WasiGrant::Deterministic,
            false => WasiGrant::None,
        }
    }

    pub(crate) fn imports_forecast(&self) -> bool {
        self.imports.iter().any(|import| split(import).0 == FORECAST)
    }

    fn check_imports(&self, grants: Grants) -> Result<(), LoadError> {
        for import in &self.imports {
            let (interface, version) = split(import);
            if interface == LOG || (interface == FORECAST && grants.forecast) {
                check_version(interface, version)?;
            } else if !(grants.wasi == WasiGrant::Deterministic && is_inert_wasi(import)) {
                return Err(LoadError::ForeignImport { import: import.clone(), advice: advice(import) });
            }
        }
        Ok(())
    }

    fn require_interface(&self, role: Role, interface: &str, functions: &[&str]) -> Result<(), LoadError> {
        let missing = |export: String, fills| LoadError::MissingExport { role, export, fills };
        let candidates: Vec<_> = self.exports.iter().filter(|export| split(&export.name).0 == interface).collect();
        let Some(found) = candidates.iter().find(|export| check_version(interface, split(&export.name).1).is_ok()) else {
            return match candidates.first() {
                Some(other) => check_version(interface, split(&other.name).1),
                None => Err(missing(format!("{interface}@{CONTRACT_VERSION}"), self.other_roles(role))),
            };
        };
        match functions.iter().find(|function| !found.functions.iter().any(|known| known == *function)) {
            Some(function) => Err(missing(format!("{}#{function}", found.name), Vec::new())),
            None => Ok(()),
        }
    }

    fn other_roles(&self, wanted: Role) -> Vec<Role> {
        let exports = |role: &Role| self.exports.iter().any(|export| split(&export.name).0 == role.interface());
        Role::ALL.into_iter().filter(|role| *role != wanted && exports(role)).collect()
    }
}

/// Whether the deterministic WASI has the interface, in the one version that there is.
fn is_inert_wasi(import: &str) -> bool {
    wasi::PACKAGES.iter().any(|package| import.starts_with(package)) && split(import).1.starts_with("0.2.")
}

/// `package/interface@version` in two; the version is empty if there is none.
fn split(name: &str) -> (&str, &str) {
    name.split_once('@').unwrap_or((name, ""))
}

/// Versions with the same major number go together: an interface only ever gains optional neighbors.
fn check_version(interface: &str, version: &str) -> Result<(), LoadError> {
    let offered = Version::parse(CONTRACT_VERSION).expect("the contract's own version parses");
    match Version::parse(version) {
        Ok(built_for) if built_for.major == offered.major && built_for.pre.is_empty() => Ok(()),
        _ => Err(LoadError::ContractVersion { interface: interface.to_owned(), built_for: version.to_owned() }),
    }
}

fn advice(import: &str) -> &'static str {
    let (interface, _) = split(import);
    if is_inert_wasi(import) {
        "this queue grants no WASI. Rust: build for wasm32-unknown-unknown; JavaScript, Python: --stub-wasi; or grant \
         `wasi = \"deterministic\"` in plugins.toml"
    } else if interface.starts_with("wasi:") {
        "no grant offers this part of WASI: `wasi = \"deterministic\"` has wasi:cli, clocks, filesystem, io, random and sockets of version \
         0.2, all of them inert. Rust: build for wasm32-unknown-unknown; JavaScript, Python: --stub-wasi"
    } else if interface == FORECAST {
        "forecasts are for policies alone: a plugin of another role has to do without"
    } else {
        "a plugin may import ranked:plugin/log and nothing else"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surface(imports: &[&str], exports: &[(&str, &[&str])]) -> Surface {
        Surface {
            imports: imports.iter().map(|name| name.to_string()).collect(),
            exports: exports
                .iter()
                .map(|(name, functions)| Export {
                    name: name.to_string(),
                    functions: functions.iter().map(|name| name.to_string()).collect(),
                })
                .collect(),
        }
    }

    #[test]
    fn a_refusal_names_the_cause_and_the_fix() {
        let lifecycle: (&str, &[&str]) = ("ranked:plugin/lifecycle@1.0.0", &LIFECYCLE_FUNCTIONS);
        let rules: (&str, &[&str]) = ("ranked:plugin/stat-rules@1.0.0", &["bounds", "review"]);
        let table: [(&str, Surface, Option<&str>); 11] = [
            ("good", surface(&["ranked:plugin/log@1.0.0"], &[lifecycle, rules]), None),
            ("newer minor, extra export", surface(&["ranked:plugin/log@1.1.0"], &[lifecycle, rules, ("init", &[])]), None),
            (
                "wasi",
                surface(&["wasi:cli/stdout@0.2.6"], &[]),
                Some("imports wasi:cli/stdout@0.2.6; this queue grants no WASI. Rust: build"),
            ),
            ("wasi of another kind", surface(&["wasi:http/types@0.2.6"], &[]), Some("no grant offers this part of WASI")),
            ("wasi of the future", surface(&["wasi:cli/stdout@0.3.0"], &[]), Some("no grant offers this part of WASI")),
            ("forecast", surface(&["ranked:plugin/forecast@1.0.0"], &[]), Some("forecasts are for policies alone")),
            ("made up", surface(&["evil:host/shell"], &[]), Some("imports evil:host/shell; a plugin may import ranked:plugin/log and")),
            (
                "other contract",
                surface(&["ranked:plugin/log@2.0.0"], &[]),
                Some("was built for version 2.0.0 of ranked:plugin/log; this host"),
            ),
            ("no lifecycle", surface(&[], &[rules]), Some("does not export ranked:plugin/lifecycle@1.0.0, which the role `rules` needs")),
            (
                "other role",
                surface(&[], &[lifecycle, ("ranked:plugin/matchmaking-policy@1.0.0", &["propose"])]),
                Some("does not export ranked:plugin/stat-rules@1.0.0, which the role `rules` needs; it fills `policy`"),
            ),
            (
                "half a role",
                surface(&[], &[lifecycle, ("ranked:plugin/stat-rules@1.0.0", &["bounds"])]),
                Some("does not export ranked:plugin/stat-rules@1.0.0#review, which"),
            ),
        ];
        for (name, surface, expected) in table {
            match (surface.check(Role::Rules, Grants::default()), expected) {
                (Ok(()), None) => {}
                (Err(error), Some(text)) => assert!(error.to_string().contains(text), "{name}: {error}"),
                (result, _) => panic!("{name}: {result:?}"),
            }
        }
    }
}
