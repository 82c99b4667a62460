//! The counter by which a running host notices what a command in another process did.

use rusqlite::Connection;

use crate::error::StoreError;
use crate::{Pending, Store, column};

/// Rises with everything that the running host must notice: certificates, key epochs, ended logins, revoked login tickets, generations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ControlGeneration(pub u64);

/// Raises the counter, in the transaction of the change that it announces.
pub(crate) fn bump(connection: &Connection) -> Result<ControlGeneration, StoreError> {
    let mut statement = connection.prepare_cached("UPDATE control SET generation = generation + 1 RETURNING generation")?;
    Ok(statement.query_row([], |row| column::number(row, 0)).map(ControlGeneration)?)
}

impl Store {
    /// The counter now. One row: cheap enough to be read ten times a second.
    pub fn control_generation(&self) -> Pending<ControlGeneration> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT generation FROM control")?;
            Ok(statement.query_row([], |row| column::number(row, 0)).map(ControlGeneration)?)
        })
    }
}
