//! `journal import --create`: a queue in `plugins.toml` that fits a file of match history.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use super::history::{Line, Lines, SIDES};
use crate::cli::failure::Failure;
use crate::config::{Config, NAMES_MAX, PLUGINS_FILE};
use crate::keys::secret_file;

/// What the lines of a file have in common.
#[derive(Default)]
struct Found {
    team_sizes: Vec<usize>,
    stats: Option<BTreeSet<String>>,
    maps: BTreeSet<String>,
    modes: BTreeSet<String>,
    sides: bool,
}

/// Adds the queue to `plugins.toml`.
pub(super) fn add(config: &Config, queue: &str, file: &Path) -> Result<(), Failure> {
    let mut found = Found::default();
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
    text.push_str(&found.section(queue, file));
    secret_file::replace_public(&path, &text)?;
    Ok(())
}

impl Found {
    fn take_in(&mut self, line: &Line) {
        for (team, players) in line.teams.iter().enumerate() {
            match self.team_sizes.get_mut(team) {
                Some(size) => *size = players.len().max(*size),
                None => self.team_sizes.push(players.len()),
            }
        }
        let stats: BTreeSet<_> = line.stats.keys().cloned().collect();
        // Only what every line has: a report holds all statistics of its queue or none.
        self.stats = Some(match self.stats.take() {
            Some(before) => before.intersection(&stats).cloned().collect(),
            None => stats,
        });
        for (names, name) in [(&mut self.maps, &line.meta.map), (&mut self.modes, &line.meta.mode)] {
            if !name.is_empty() && names.len() < NAMES_MAX {
                names.insert(name.clone());
            }
        }
        self.sides |= line.meta.neutral == Some(false);
    }

    fn section(&self, queue: &str, file: &Path) -> String {
        let array = |names: &BTreeSet<String>| toml::Value::from(names.iter().cloned().collect::<Vec<_>>()).to_string();
        let sides = if self.sides { SIDES.to_vec() } else { Vec::new() };
        let mut text = format!("\n# Added by `ranked journal import {}`.\n[queue.{}]\n", file.display(), toml_key(queue));
        let first = self.team_sizes.first().copied().unwrap_or(1);
        let shape = if self.team_sizes.len() > 2 && self.team_sizes.iter().all(|size| *size == first) {
            format!("teams = {}\nteam_sizes = [{first}]\n", self.team_sizes.len())
        } else {
            format!("team_sizes = {:?}\n", self.team_sizes)
        };
        let mut key = |name: &str, value: String| {
            // Writing to a string cannot fail.
            writeln!(text, "{name} = {value}").expect("a string takes everything");
        };
        key("regions", "[\"any\"]".to_owned());
        key("stats", self.stats.as_ref().map_or_else(|| "[]".to_owned(), array));
        key("maps", array(&self.maps));
        key("modes", array(&self.modes));
        key("sides", toml::Value::from(sides).to_string());
        key("rating.component", "\"builtin:gaussian\"".to_owned());
        key("rules.component", "\"builtin:bounds\"".to_owned());
        key("policy.component", "\"builtin:skill-window\"".to_owned());
        text.insert_str(text.find("regions").unwrap_or(text.len()), &shape);
        text
    }
}

fn toml_key(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if bare { name.to_owned() } else { toml::Value::from(name).to_string() }
}
