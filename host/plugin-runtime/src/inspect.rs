//! What an operator can learn of a component without putting it into service: `ranked plugin inspect`.

use std::time::{Duration, Instant};

use ladder::id::Digest;

use crate::audit::{Grants, Surface};
use crate::engines::EngineKind;
use crate::error::LoadError;
use crate::limits::{Limits, Role, WasiGrant};
use crate::runtime::{Description, Prepared, Runtime};
use crate::source::PluginSource;

/// What a component is, wants and offers.
#[derive(Debug)]
#[non_exhaustive]
pub struct Inspection {
    /// SHA-256, as `plugins.toml` pins it.
    pub digest: Digest,
    /// Size in bytes.
    pub bytes: usize,
    /// Roles whose interface it exports in a version that this host offers; empty for a component that is no plugin.
    pub roles: Vec<Role>,
    /// Imports with their versions.
    pub imports: Vec<String>,
    /// Exports with their versions.
    pub exports: Vec<String>,
    /// What `plugins.toml` has to grant: without it the component does not load.
    pub needs_wasi: WasiGrant,
    /// How long compilation took.
    pub compile_time: Duration,
    /// What it says about itself, or why it was not asked or did not answer.
    pub described: Result<Described, LoadError>,
}

/// The answer of `describe` and what it cost.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Described {
    /// What the plugin says about itself.
    pub description: Description,
    /// Fuel for one instance and `describe`.
    pub fuel_used: u64,
    /// Wall-clock time of the same.
    pub wall_time: Duration,
}

impl Runtime {
    /// Looks at a component. It runs, `describe` alone, only if its imports pass the same audit as on loading.
    ///
    /// # Errors
    /// The file is too large, no component, or cannot be compiled.
    pub fn inspect(&self, source: &PluginSource) -> Result<Inspection, LoadError> {
        let started = Instant::now();
        let component = self.compile(EngineKind::of(Role::Rating, Limits::of(Role::Rating).stack_bytes_max), source)?;
        let compile_time = started.elapsed();
        let surface = Surface::of(&component.component_type(), component.engine());
        let roles = surface.roles();
        let role = roles.first().copied().unwrap_or(Role::Rating);
        let needs_wasi = surface.needs_wasi();
        // Inert: looking at a component gives it nothing that a grant would.
        let grants = Grants::of(role, needs_wasi);
        let described = surface.check(role, grants).and_then(|()| {
            let service = self.service_for_inspection(role, source, &component);
            let prepared = Prepared::new(&component, grants)?;
            let started = Instant::now();
            let description = prepared.describe(&service)?;
            Ok(Described { description, fuel_used: service.counters().fuel_used_last, wall_time: started.elapsed() })
        });
        Ok(Inspection {
            digest: source.digest(),
            bytes: source.bytes().len(),
            roles,
            needs_wasi,
            imports: surface.imports,
            exports: surface.exports.into_iter().map(|export| export.name).collect(),
            compile_time,
            described,
        })
    }
}
