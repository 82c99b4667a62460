//! Tools for authors of plugins: `ranked plugin check`, `test`, `bench`, `backtest` and `repl`. They need a component and nothing else: no
//! host, no database, no configuration.

pub mod cases;
mod chance;
pub mod check;
pub mod club;
pub mod contest_line;
pub mod subject;
