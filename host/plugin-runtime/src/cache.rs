//! Compiled components on disk, so that a host starts without compiling again: a language runtime takes ten seconds.
//!
//! ```text
//! file name: DIGEST-ENGINE.cwasm      content: magic | HMAC-SHA256 over engine, digest and code | code
//! ```
//! Compiled code is native code: whoever can write it into the folder and has it loaded owns the host. So nothing is loaded that was not
//! authenticated with a key that only this host has, for this component and this very engine (wasmtime's version and settings). What does
//! not authenticate is ignored and replaced; a folder that does not work costs a compilation and nothing else.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{Hash as _, Hasher};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use hmac::{Hmac, KeyInit as _, Mac as _};
use ladder::id::Digest;
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::error::LoadError;

const MAGIC: &[u8; 8] = b"rankedc1";
const MAC_LEN: usize = 32;
/// Files that stay in the folder; the longest unused go first.
const FILES_MAX: usize = 64;
/// Bytes of all files that stay in the folder.
const BYTES_MAX: u64 = 1 << 30;
/// The largest file that is read or written.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// What the cache of compiled code was good for since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounters {
    /// Components that were loaded from it.
    pub found: u64,
    /// Components that had to be compiled.
    pub compiled: u64,
    /// Files that were there and not accepted: damaged, of another key, or put there by somebody else.
    pub refused: u64,
}

/// A folder of compiled components.
pub(crate) struct CompileCache {
    folder: PathBuf,
    key: [u8; 32],
    found: AtomicU64,
    compiled: AtomicU64,
    refused: AtomicU64,
    /// Tells temporary files of one process apart.
    written: AtomicU64,
}

/// What one file stands for.
struct Entry {
    digest: Digest,
    engine: [u8; 32],
}

/// Why a file was not accepted.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("it cannot be read")]
    Io(#[from] io::Error),
    #[error("it is not what this host wrote for this component and this engine")]
    NotOurs,
    #[error("wasmtime does not load it")]
    Load(#[source] wasmtime::Error),
}

impl CompileCache {
    pub(crate) fn new(folder: &Path, key: [u8; 32]) -> Self {
        let zero = AtomicU64::default;
        Self { folder: folder.to_owned(), key, found: zero(), compiled: zero(), refused: zero(), written: zero() }
    }

    pub(crate) fn counters(&self) -> CacheCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CacheCounters { found: read(&self.found), compiled: read(&self.compiled), refused: read(&self.refused) }
    }

    /// The component from its file, or from `compile`, and then it is written.
    pub(crate) fn find_or_compile(
        &self,
        engine: &Engine,
        digest: Digest,
        compile: impl FnOnce() -> Result<Component, LoadError>,
    ) -> Result<Component, LoadError> {
        let entry = Entry { digest, engine: fingerprint(engine) };
        let path = self.folder.join(entry.file_name());
        match self.find(engine, &entry, &path) {
            Ok(Some(component)) => {
                self.found.fetch_add(1, Ordering::Relaxed);
                return Ok(component);
            }
            Ok(None) => {}
            Err(refused) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                let why = crate::error::chain(&refused);
                tracing::warn!(file = %path.display(), "a compiled component is not used and compiled again: {why}");
            }
        }
        let component = compile()?;
        self.compiled.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = self.write(&entry, &path, &component) {
            tracing::warn!(file = %path.display(), %error, "a compiled component was not kept: the next start compiles it again");
        }
        Ok(component)
    }

    fn find(&self, engine: &Engine, entry: &Entry, path: &Path) -> Result<Option<Component>, Refused> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut bytes = Vec::new();
        (&mut file).take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        let code = self.authenticate(entry, &bytes).ok_or(Refused::NotOurs)?;
        let component = deserialize(engine, code).map_err(Refused::Load)?;
        // The longest unused go first. A folder that is read only keeps everything anyway.
        if let Err(error) = file.set_modified(SystemTime::now()) {
            tracing::debug!(file = %path.display(), %error, "the time of use was not noted");
        }
        Ok(Some(component))
    }

    /// The code in a file, if this host wrote it for this entry.
    fn authenticate<'a>(&self, entry: &Entry, bytes: &'a [u8]) -> Option<Authentic<'a>> {
        let (tag, code) = bytes.strip_prefix(MAGIC)?.split_at_checked(MAC_LEN)?;
        self.mac(entry, code).verify_slice(tag).ok()?;
        Some(Authentic(code))
    }

    fn mac(&self, entry: &Entry, code: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes a key of any length");
        mac.update(&entry.engine);
        mac.update(&entry.digest.0);
        mac.update(code);
        mac
    }

    /// Whole or not at all: a temporary file first, its name last.
    fn write(&self, entry: &Entry, path: &Path, component: &Component) -> io::Result<()> {
        let code = component.serialize().map_err(io::Error::other)?;
        if code.len() as u64 + (MAGIC.len() + MAC_LEN) as u64 > FILE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("{} bytes of code", code.len())));
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let temporary = self.folder.join(format!("{}.{}-{number}.tmp", entry.file_name(), std::process::id()));
        let tag = self.mac(entry, &code).finalize().into_bytes();
        let written = write_private(&temporary, &[MAGIC, tag.as_slice(), &code]).and_then(|()| fs::rename(&temporary, path));
        if written.is_err() && fs::remove_file(&temporary).is_err() {
            tracing::debug!(file = %temporary.display(), "a temporary file was not there or stays behind");
        }
        written?;
        self.prune(path)
    }

    /// Keeps the folder within its bounds; `newest` stays whatever it takes.
    fn prune(&self, newest: &Path) -> io::Result<()> {
        let mut files = Vec::new();
        for file in fs::read_dir(&self.folder)? {
            let path = file?.path();
            // A file that another process removed meanwhile is gone anyway.
            let Ok(facts) = fs::metadata(&path) else { continue };
            let ours = path.extension().is_some_and(|extension| extension == "cwasm" || extension == "tmp");
            if facts.is_file() && ours && path != newest {
                files.push((facts.modified()?, facts.len(), path));
            }
        }
        files.sort_by(|a, b| b.cmp(a));
        let mut bytes = fs::metadata(newest)?.len();
        for (place, (_, len, path)) in files.iter().enumerate() {
            bytes = bytes.saturating_add(*len);
            if place + 1 >= FILES_MAX || bytes > BYTES_MAX {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

impl Drop for CompileCache {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.key);
    }
}

impl Entry {
    fn file_name(&self) -> String {
        // Half of the engine's fingerprint tells engines apart; the whole is authenticated.
        let engine: String = self.engine[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{engine}.cwasm", self.digest)
    }
}

/// Bytes that [`CompileCache::authenticate`] found to be of this host; nothing else makes one.
struct Authentic<'a>(&'a [u8]);

fn deserialize(engine: &Engine, code: Authentic<'_>) -> wasmtime::Result<Component> {
    // SAFETY: the bytes must be what wasmtime's `serialize` wrote, unchanged. `Authentic` is made only after an HMAC over them, keyed with
    // a secret of this host, was verified: this host wrote them, after compiling, for this component and an engine with the same
    // fingerprint. Wasmtime compares version and settings once more by itself.
    #[allow(unsafe_code)]
    unsafe {
        Component::deserialize(engine, code.0)
    }
}

/// What compiled code depends on beside the component: wasmtime's version, its settings, the processor's features.
fn fingerprint(engine: &Engine) -> [u8; 32] {
    struct Sponge(Sha256);
    impl Hasher for Sponge {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }

        fn finish(&self) -> u64 {
            0 // never asked for: the whole digest is taken
        }
    }
    let mut sponge = Sponge(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut sponge);
    sponge.0.finalize().into()
}

/// A new file that only its owner reads.
fn write_private(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.sync_all()
}
