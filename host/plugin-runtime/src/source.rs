//! The bytes of a component and what they are called by: their digest.

use std::borrow::Cow;

use ladder::id::Digest;
use sha2::{Digest as _, Sha256};

use crate::builtin::builtin;

/// The bytes of one component, with their SHA-256.
#[derive(Clone, PartialEq, Eq)]
pub struct PluginSource {
    bytes: Cow<'static, [u8]>,
    digest: Digest,
}

impl PluginSource {
    /// Takes the bytes of a file as they are; nothing about them is checked yet.
    #[must_use]
    pub fn new(bytes: impl Into<Cow<'static, [u8]>>) -> Self {
        let bytes = bytes.into();
        let digest = Digest(Sha256::digest(&bytes).into());
        Self { bytes, digest }
    }

    /// A component that is embedded in this binary, by its name: `gaussian`, `bounds`, `skill-window`.
    #[must_use]
    pub fn builtin(name: &str) -> Option<Self> {
        builtin(name).map(Self::new)
    }

    /// The component.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 of the bytes: what `digest = "sha256:..."` in `plugins.toml` pins.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

impl std::fmt::Debug for PluginSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PluginSource({} bytes, sha256:{})", self.bytes.len(), self.digest)
    }
}
