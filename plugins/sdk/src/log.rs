//! The plugin log: lines that the host shows to operators beside the plugin's name.
//!
//! The host bounds lines and bytes per call and escapes control characters. In native builds (tests, benchmarks) there is
//! no host to listen, and lines are dropped.

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For the author.
    Debug,
    /// For the curious operator.
    Info,
    /// Something an operator should look at.
    Warn,
    /// Something went wrong.
    Error,
}

/// Writes one line to the plugin log.
pub fn write(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    {
        use crate::bindings::base::ranked::plugin::log;
        let level = match level {
            Level::Debug => log::Level::Debug,
            Level::Info => log::Level::Info,
            Level::Warn => log::Level::Warn,
            Level::Error => log::Level::Error,
        };
        log::log(level, message);
    }
    #[cfg(not(target_arch = "wasm32"))]
    {
        // Nobody listens natively; the arguments are still type-checked.
        let (_, _) = (level, message);
    }
}

/// Writes a line for the author.
pub fn debug(message: &str) {
    write(Level::Debug, message);
}

/// Writes a line for the curious operator.
pub fn info(message: &str) {
    write(Level::Info, message);
}

/// Writes a line that an operator should look at.
pub fn warn(message: &str) {
    write(Level::Warn, message);
}

/// Writes a line about something that went wrong.
pub fn error(message: &str) {
    write(Level::Error, message);
}
