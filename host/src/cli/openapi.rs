//! `ranked openapi`: the document that describes the HTTP interface.

use super::failure::Failure;
use super::{Context, Exit};

pub(super) fn run(context: &Context<'_>) -> Result<Exit, Failure> {
    let document = serde_json::to_value(crate::http::openapi_document()).map_err(Failure::environment)?;
    context.terminal.document(&document)?;
    Ok(Exit::Done)
}
