//! The parameter table of a queue as JSON, in the one form that names a generation.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::LoadError;

/// The same object with sorted keys and without spaces: equal tables give equal bytes, whatever order the operator wrote.
///
/// # Errors
/// The caller's fault: `json` is not an object. The empty text stands for the empty object.
pub fn canonical_parameters(json: &str) -> Result<String, LoadError> {
    if json.trim().is_empty() {
        return Ok("{}".to_owned());
    }
    match serde_json::from_str(json) {
        Ok(object @ Value::Object(_)) => Ok(canonical(&object)),
        Ok(_) => Err(LoadError::NotAnObject { source: None }),
        Err(source) => Err(LoadError::NotAnObject { source: Some(source) }),
    }
}

/// Sorts by itself: whether `serde_json` keeps order is decided by whoever else is in the build. Depth is bounded by the parser.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(object) => {
            let sorted: BTreeMap<_, _> = object.iter().collect();
            let entries = sorted.into_iter().map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), canonical(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        plain => plain.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_tables_give_equal_text() {
        let table = [
            ("", Some("{}")),
            (" { } ", Some("{}")),
            (
                r#"{"tau":1.0, "beta":{"b":[2, {"z":1,"y":"\n"}],"a":null}}"#,
                Some(r#"{"beta":{"a":null,"b":[2,{"y":"\n","z":1}]},"tau":1.0}"#),
            ),
            ("[]", None),
            ("{", None),
        ];
        for (json, expected) in table {
            assert_eq!(canonical_parameters(json).ok().as_deref(), expected, "{json}");
        }
    }
}
