//! Tools for authors of plugins: `ranked plugin new`, `build`, `check`, `test`, `bench`, `backtest` and `repl`. They need a component or its
//! sources and nothing else: no host, no database, no configuration.

pub mod backtest;
pub mod bench;
pub mod build;
pub mod cases;
pub(crate) mod chance;
pub mod check;
pub mod club;
pub mod contest_line;
pub mod past;
pub mod project;
pub mod repl;
pub mod subject;
pub mod template;
