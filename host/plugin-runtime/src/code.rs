//! How much code a component holds, read before any of it is compiled.
//!
//! Compilation knows no fuel, and its time grows faster than the size of a function: one of 3 MiB, made for the purpose, keeps Cranelift busy
//! for more than ten minutes. So a function has a limit that the largest honest ones stay below (CPython has one of 417 KiB), and all
//! functions together have one.

use wasmparser::{Parser, Payload};

use crate::error::LoadError;

/// Bytes of one function.
pub const FUNCTION_BYTES_MAX: usize = 512 << 10;
/// Bytes of all functions of a component; CPython has 6.3 MiB.
pub const CODE_BYTES_MAX: usize = 16 << 20;

/// Looks at every function of every module in the component.
///
/// # Errors
/// The author's fault: there is more code than the host compiles.
pub(crate) fn check_code(component: &[u8]) -> Result<(), LoadError> {
    let mut total = 0_usize;
    for payload in Parser::new(0).parse_all(component) {
        // What cannot be read is refused by the compiler, which reads all of the file before it compiles any.
        let Ok(payload) = payload else { return Ok(()) };
        let Payload::CodeSectionEntry(function) = payload else { continue };
        let bytes = function.range().len();
        if bytes > FUNCTION_BYTES_MAX {
            return Err(LoadError::TooMuchCode { place: "one function", bytes, bytes_max: FUNCTION_BYTES_MAX });
        }
        total = total.saturating_add(bytes);
    }
    match total > CODE_BYTES_MAX {
        true => Err(LoadError::TooMuchCode { place: "its functions", bytes: total, bytes_max: CODE_BYTES_MAX }),
        false => Ok(()),
    }
}
