//! Parameters: from the JSON of the queue's table in `plugins.toml` to the author's own type.
//!
//! A key that the type does not know is an error, whether or not its author wrote `deny_unknown_fields`: a parameter that is
//! silently ignored is worse than none.

use serde::de::DeserializeOwned;

/// A parameter that cannot be used. The host refuses to start with it and shows `path` in `plugins.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterError {
    /// Dotted path inside the parameter table, `stats.kills`; empty for the table as a whole.
    pub path: String,
    /// What is wrong and what to write instead, for people.
    pub problem: String,
}

impl ParameterError {
    /// States that the parameter at `path` has a `problem`.
    pub fn new(path: impl Into<String>, problem: impl Into<String>) -> Self {
        ParameterError { path: path.into(), problem: problem.into() }
    }
}

/// Parses the JSON of a parameter table.
///
/// # Errors
/// The operator's fault: the text is no JSON, a value has the wrong type (the path names it), or keys are unknown (one
/// error each).
pub fn parse<P: DeserializeOwned>(json: &str) -> Result<P, Vec<ParameterError>> {
    // A queue without a parameter table means the defaults.
    let json = if json.trim().is_empty() { "{}" } else { json };
    let mut unknown = Vec::new();
    let mut note_unknown = |path: serde_ignored::Path<'_>| {
        unknown.push(ParameterError::new(path.to_string(), "is not a parameter of this plugin"));
    };
    let mut text = serde_json::Deserializer::from_str(json);
    let watched = serde_ignored::Deserializer::new(&mut text, &mut note_unknown);
    let parsed = serde_path_to_error::deserialize(watched).map_err(|error| {
        let path = match error.path().to_string() {
            // The table as a whole, or text that ends before anything can be named.
            whole if whole == "." || whole.ends_with('?') => String::new(),
            path => path,
        };
        vec![ParameterError::new(path, error.inner().to_string())]
    })?;
    text.end().map_err(|error| vec![ParameterError::new("", error.to_string())])?;
    if unknown.is_empty() { Ok(parsed) } else { Err(unknown) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Debug, PartialEq, Default, serde::Deserialize)]
    #[serde(default)]
    struct Window {
        base: f64,
        limits: BTreeMap<String, (f64, f64)>,
    }

    #[test]
    fn nothing_written_means_the_defaults() {
        for json in ["", "  ", "{}"] {
            assert_eq!(parse::<Window>(json).unwrap(), Window::default(), "{json:?}");
        }
    }

    #[test]
    fn a_wrong_value_is_named_by_its_path() {
        let errors = parse::<Window>(r#"{"limits":{"kills":[0,"many"]}}"#).unwrap_err();
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].path, "limits.kills[1]");
        assert!(errors[0].problem.contains("many"), "{}", errors[0].problem);
    }

    #[test]
    fn every_unknown_key_is_an_error() {
        let errors = parse::<Window>(r#"{"bse":1,"grow":2}"#).unwrap_err();
        assert_eq!(errors.iter().map(|error| error.path.as_str()).collect::<Vec<_>>(), ["bse", "grow"]);
    }

    #[test]
    fn text_that_is_no_json_is_refused() {
        assert_eq!(parse::<Window>("{").unwrap_err()[0].path, "");
        assert!(parse::<Window>("{} {}").is_err());
    }
}
