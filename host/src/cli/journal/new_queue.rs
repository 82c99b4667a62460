//! `journal import --create`: a queue in `plugins.toml` that fits a file of match history.

use std::fmt::Write as _;
use std::path::Path;

use ladder::queue::QueueShape;

use crate::cli::failure::Failure;
use crate::config::{Config, PLUGINS_FILE};
use crate::history::{FoundShape, Lines};
use crate::keys::secret_file;

/// Adds the queue to `plugins.toml`.
pub(super) fn add(config: &Config, queue: &str, file: &Path) -> Result<(), Failure> {
    let mut found = FoundShape::default();
    let mut lines = Lines::open(file).map_err(Failure::environment)?;
    while let Some((_, line)) = lines.next().map_err(Failure::environment)? {
        // Bad lines are named by the import itself.
        if let Ok(line) = line {
            found.take_in(&line);
        }
    }
    if found.team_sizes.len() < 2 {
        return Err(Failure::usage(format!("{} holds no contest of two or more teams", file.display()), "see the format in --help"));
    }
    let path = config.folder().join(PLUGINS_FILE);
    let mut text = std::fs::read_to_string(&path).map_err(Failure::environment)?;
    text.push_str(&section(&found.shape(queue), file));
    secret_file::replace_public(&path, &text)?;
    Ok(())
}

/// The queue's section: what the lines of the file have in common, with the built-in plugins.
fn section(shape: &QueueShape, file: &Path) -> String {
    let array = |names: &[String]| toml::Value::from(names.to_vec()).to_string();
    let mut text = format!("\n# Added by `ranked journal import {}`.\n[queue.{}]\n", file.display(), toml_key(&shape.queue));
    let first = shape.team_sizes.first().copied().unwrap_or(1);
    let mut key = |name: &str, value: String| {
        // Writing to a string cannot fail.
        writeln!(text, "{name} = {value}").expect("a string takes everything");
    };
    if shape.team_sizes.len() > 2 && shape.team_sizes.iter().all(|size| *size == first) {
        key("teams", shape.team_sizes.len().to_string());
        key("team_sizes", format!("[{first}]"));
    } else {
        key("team_sizes", format!("{:?}", shape.team_sizes));
    }
    key("regions", array(&shape.regions));
    key("stats", array(&shape.stats));
    key("maps", array(&shape.maps));
    key("modes", array(&shape.modes));
    key("sides", array(&shape.sides));
    key("rating.component", "\"builtin:adaptive\"".to_owned());
    key("rules.component", "\"builtin:bounds\"".to_owned());
    key("policy.component", "\"builtin:skill-window\"".to_owned());
    text
}

fn toml_key(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if bare { name.to_owned() } else { toml::Value::from(name).to_string() }
}
