//! RankedServer's host process, `ranked`: sockets, plugins, HTTP, operator commands.

pub mod admission;
pub mod author;
mod changes;
pub mod cli;
pub mod clock;
pub mod compare;
pub mod components;
pub mod config;
pub mod copied_histogram;
mod current;
pub mod demo;
pub mod directory;
mod history;
pub mod http;
pub mod keys;
pub mod metrics;
pub mod net;
pub mod passwords;
pub mod play;
mod plugin_gauges;
pub mod plugins;
pub mod rate;
pub mod registry;
pub mod reload;
pub mod serve;
mod shadows;
mod why;
