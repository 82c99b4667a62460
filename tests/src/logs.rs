//! Everything that the process logs, at every level, kept for a test that reads it.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;

/// The lines so far. Clones share them.
#[derive(Clone, Default)]
pub struct Logs(Arc<Mutex<Vec<u8>>>);

impl Logs {
    /// Keeps everything from the first call on.
    ///
    /// # Panics
    /// If another subscriber was installed in this process.
    pub fn capture() -> Self {
        static LOGS: OnceLock<Logs> = OnceLock::new();
        LOGS.get_or_init(|| {
            let logs = Self::default();
            let writer = logs.clone();
            let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || writer.clone());
            // The compiler of plugins is chatty, slow with it, and sees no secret.
            let compilers = ["cranelift_codegen", "cranelift_frontend", "regalloc2", "wasmtime", "wasmtime_internal_cranelift"];
            let levels = Targets::new().with_default(LevelFilter::TRACE).with_targets(compilers.map(|target| (target, LevelFilter::WARN)));
            let subscriber = tracing_subscriber::registry().with(levels).with(layer);
            tracing::subscriber::set_global_default(subscriber).expect("the first subscriber of this process");
            logs
        })
        .clone()
    }

    /// All bytes so far.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
