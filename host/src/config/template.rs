//! The files that `ranked init` writes: every key with its comment and its default, from the same source as the defaults.

use std::fmt::Write as _;

use super::host::{Database, Keys, Limits, Listen, Login, Logs, Matchmaking, Passwords, Plugins, Public, Session};
use super::section::Section;

/// The whole of `ranked.toml`, commented. Parsing it gives `HostConfig::default()`.
#[must_use]
pub fn ranked_toml() -> String {
    let mut text = String::from(
        "# ranked.toml: how this host runs. Every key may be left out; the values here are the defaults.\n\
         # Queues and plugins are in plugins.toml beside this file. `ranked doctor` checks both.\n",
    );
    write_section::<Listen>(&mut text, "listen");
    write_section::<Public>(&mut text, "public");
    write_section::<Database>(&mut text, "database");
    write_section::<Keys>(&mut text, "keys");
    write_section::<Session>(&mut text, "session");
    write_section::<Login>(&mut text, "login");
    write_section::<Passwords>(&mut text, "passwords");
    write_section::<Limits>(&mut text, "limits");
    write_section::<Matchmaking>(&mut text, "matchmaking");
    write_section::<Plugins>(&mut text, "plugins");
    write_section::<Logs>(&mut text, "logs");
    text
}

fn write_section<S: Section>(text: &mut String, name: &str) {
    let defaults = toml::Table::try_from(S::default()).expect("every section is a table of plain values");
    text.push('\n');
    comment(text, S::ABOUT);
    line(text, format_args!("[{name}]"));
    for key in S::KEYS {
        comment(text, key.about);
        line(text, format_args!("{} = {}", key.name, defaults[key.name]));
    }
}

fn comment(text: &mut String, lines: &[&str]) {
    for about in lines {
        line(text, format_args!("#{about}"));
    }
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    writeln!(text, "{content}").expect("a string takes everything");
}

/// The `plugins.toml` of a new community: one queue to start from, and every key explained.
#[must_use]
pub fn plugins_toml() -> String {
    include_str!("plugins.template.toml").to_owned()
}
