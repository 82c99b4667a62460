//! `[queue.NAME.season]` of `plugins.toml`: the season that is to start, placement contests, decay and tiers.

use ladder::season::{Decay, SeasonReset, StandingRules, Tier};
use ladder::time::UnixMillis;

use super::document::Document;

/// Tiers of one queue at most.
pub const TIERS_MAX: usize = 64;
/// Placement contests of one season at most.
const PLACEMENTS_MAX: u32 = 1_000;
/// Bytes of a season's or a tier's name at most.
pub const SEASON_NAME_LEN_MAX: usize = 64;
/// Ten years.
const AFTER_DAYS_MAX: u32 = 3_650;

/// What a queue's operator decided about seasons.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeasonConfig {
    /// The season that is to start, or that has started; `None`: none starts by itself.
    pub starting: Option<StartingSeason>,
    /// How standings become a leaderboard.
    pub rules: StandingRules,
}

/// A season of `plugins.toml`. The name is its identity: one that has started never starts again.
#[derive(Clone, Debug, PartialEq)]
pub struct StartingSeason {
    /// As shown.
    pub name: String,
    /// When. A host that was down starts it late.
    pub starts_at: UnixMillis,
    /// What it does to the standings.
    pub reset: SeasonReset,
}

#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct WrittenSeason {
    name: Option<String>,
    starts: Option<toml::value::Datetime>,
    reset: Option<WrittenReset>,
    keep: Option<f64>,
    placements: u32,
    decay: Option<WrittenDecay>,
    tiers: Vec<WrittenTier>,
}

#[derive(Clone, Copy, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum WrittenReset {
    Hard,
    Soft,
    Uncertainty,
}

#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenDecay {
    after_days: Option<u32>,
    per_day: Option<f64>,
    floor: Option<f64>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenTier {
    name: String,
    from: Option<f64>,
}

/// Checks the season of a queue; what is wrong is noted.
pub(super) fn check_season(document: &mut Document<'_>, queue: &str, written: WrittenSeason) -> (SeasonConfig, Vec<Tier>) {
    let starting = check_starting(document, queue, &written);
    if written.placements > PLACEMENTS_MAX {
        let title = format!("{} is out of range: it must be 0 to {PLACEMENTS_MAX}", written.placements);
        document.refuse(&["queue", queue, "season", "placements"], title, String::new());
    }
    let decay = written.decay.as_ref().and_then(|decay| check_decay(document, queue, decay));
    let tiers = check_tiers(document, queue, written.tiers);
    (SeasonConfig { starting, rules: StandingRules { placements: written.placements, decay } }, tiers)
}

/// `None`: no season is named, or something was noted.
fn check_starting(document: &mut Document<'_>, queue: &str, written: &WrittenSeason) -> Option<StartingSeason> {
    let path = ["queue", queue, "season"];
    let at = |key| ["queue", queue, "season", key];
    let Some(name) = &written.name else {
        // Rules of standings without a season that starts are fine.
        for key in ["starts", "reset", "keep"] {
            if document.has(&at(key)) {
                let help = "write `name = \"2027-1\"`: a season starts once, and is known by its name".to_owned();
                document.refuse(&at(key), "a season without a name".to_owned(), help);
                return None;
            }
        }
        return None;
    };
    if let Err(title) = check_season_name(name) {
        document.refuse(&at("name"), title, String::new());
    }
    let starts_at = check_start(document, queue, written.starts.as_ref());
    let reset = match (written.reset, written.keep) {
        (None, _) => {
            let help = "write `reset = \"hard\"`, `\"soft\"` or `\"uncertainty\"`".to_owned();
            document.refuse(&path, format!("season `{}` does not say what it resets", name.escape_debug()), help);
            return None;
        }
        (Some(WrittenReset::Hard), None) => SeasonReset::Hard,
        (Some(WrittenReset::Hard), Some(_)) => {
            let help = "leave `keep` out, or write `reset = \"soft\"`".to_owned();
            document.refuse(&at("keep"), "a hard reset keeps nothing".to_owned(), help);
            return None;
        }
        (Some(_), None) => {
            let help = "write `keep = 0.6`: 1 keeps everything, 0 is where players start".to_owned();
            document.refuse(&at("reset"), "it does not say how much of what is known is kept".to_owned(), help);
            return None;
        }
        (Some(_), Some(keep)) if !(0.0..=1.0).contains(&keep) => {
            document.refuse(&at("keep"), format!("{keep} is out of range: it must be 0 to 1"), String::new());
            return None;
        }
        (Some(WrittenReset::Soft), Some(keep)) => SeasonReset::Soft { keep },
        (Some(WrittenReset::Uncertainty), Some(keep)) => SeasonReset::Uncertainty { keep },
    };
    Some(StartingSeason { name: name.clone(), starts_at: starts_at?, reset })
}

fn check_start(document: &mut Document<'_>, queue: &str, starts: Option<&toml::value::Datetime>) -> Option<UnixMillis> {
    let Some(starts) = starts else {
        // One that cannot be read was noted already.
        if !document.has(&["queue", queue, "season", "starts"]) {
            let help = "write `starts = 2027-01-01T00:00:00Z`".to_owned();
            document.refuse(&["queue", queue, "season"], "the season never starts".to_owned(), help);
        }
        return None;
    };
    let millis = starts.to_string().parse::<jiff::Timestamp>().ok().and_then(|at| u64::try_from(at.as_millisecond()).ok());
    if millis.is_none() {
        let help = "write date, time and offset, as in `starts = 2027-01-01T00:00:00Z`".to_owned();
        document.refuse(&["queue", queue, "season", "starts"], format!("`{starts}` is no moment"), help);
    }
    millis.map(UnixMillis)
}

/// What is wrong with the name of a season; for files and for commands.
///
/// # Errors
/// In words.
pub fn check_season_name(name: &str) -> Result<(), String> {
    if (1..=SEASON_NAME_LEN_MAX).contains(&name.len()) && !name.chars().any(char::is_control) {
        return Ok(());
    }
    Err(format!("`{}` is no name: names have 1 to {SEASON_NAME_LEN_MAX} bytes and nothing that cannot be seen", name.escape_debug()))
}

fn check_decay(document: &mut Document<'_>, queue: &str, written: &WrittenDecay) -> Option<Decay> {
    let path = ["queue", queue, "season", "decay"];
    let (Some(after_days), Some(per_day), Some(floor)) = (written.after_days, written.per_day, written.floor) else {
        // A value that cannot be read was noted already.
        if let Some(missing) = ["after_days", "per_day", "floor"].into_iter().find(|key| !document.has(&[&path[..], &[*key]].concat())) {
            let help = "write `decay = { after_days = 14, per_day = 1.0, floor = 0.0 }`".to_owned();
            document.refuse(&path, format!("decay without `{missing}`"), help);
        }
        return None;
    };
    if after_days > AFTER_DAYS_MAX {
        let title = format!("{after_days} is out of range: it must be 0 to {AFTER_DAYS_MAX}");
        document.refuse(&["queue", queue, "season", "decay", "after_days"], title, String::new());
    }
    if !(per_day.is_finite() && per_day > 0.0) {
        let title = format!("{per_day} is out of range: it must be above 0");
        document.refuse(&["queue", queue, "season", "decay", "per_day"], title, "without decay leave the table out".to_owned());
    }
    if !floor.is_finite() {
        document.refuse(&["queue", queue, "season", "decay", "floor"], format!("{floor} is no floor"), String::new());
    }
    Some(Decay { after_days, per_day, floor })
}

fn check_tiers(document: &mut Document<'_>, queue: &str, written: Vec<WrittenTier>) -> Vec<Tier> {
    let path = ["queue", queue, "season", "tiers"];
    if written.len() > TIERS_MAX {
        document.refuse(&path, format!("{} tiers, at most {TIERS_MAX}", written.len()), String::new());
    }
    let mut tiers: Vec<Tier> = Vec::with_capacity(written.len());
    for (position, WrittenTier { name, from }) in written.into_iter().enumerate() {
        let element = position.to_string();
        let path = ["queue", queue, "season", "tiers", &element];
        let problem = check_season_name(&name).err().or_else(|| {
            let from = from?;
            let before = tiers.last();
            if tiers.iter().any(|tier| tier.name == name) {
                Some(format!("tier `{name}` stands twice"))
            } else if !from.is_finite() {
                Some(format!("a tier cannot begin at {from}"))
            } else {
                before.filter(|before| from <= before.from).map(|before| format!("tier `{name}` does not begin above `{}`", before.name))
            }
        });
        match (problem, from) {
            (Some(problem), _) => {
                document.refuse(&path, problem, "write them in ascending order, as in `{ name = \"bronze\", from = 0 }`".to_owned())
            }
            (None, None) => document.refuse(&path, format!("tier `{name}` begins nowhere"), "write `from = 0`".to_owned()),
            (None, Some(from)) => tiers.push(Tier { name, from }),
        }
    }
    tiers
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{ConfigError, parse_queues};
    use super::*;

    const QUEUE: &str = "[queue.duel]\nteam_sizes = [1, 1]\nregions = [\"eu\"]\nrating.component = \"builtin:gaussian\"\n\
                         rules.component = \"builtin:bounds\"\npolicy.component = \"builtin:skill-window\"\n[queue.duel.season]\n";

    fn parse(more: &str) -> Result<(SeasonConfig, Vec<Tier>), ConfigError> {
        let mut queues = parse_queues("plugins.toml", &format!("{QUEUE}{more}"), &["gaussian", "bounds", "skill-window"])?;
        let queue = queues.remove(0);
        Ok((queue.season, queue.tiers))
    }

    #[test]
    fn a_season_is_read_as_it_is_written() {
        let (season, tiers) = parse(
            "name = \"2027-1\"\nstarts = 2027-01-01T00:00:00+01:00\nreset = \"soft\"\nkeep = 0.6\nplacements = 10\n\
             decay = { after_days = 14, per_day = 1, floor = 0.5 }\ntiers = [{ name = \"bronze\", from = 0 }, { name = \"silver\", from = 12.5 }]",
        )
        .unwrap();
        let starting = season.starting.unwrap();
        assert_eq!(
            (starting.name.as_str(), starting.starts_at, starting.reset),
            ("2027-1", UnixMillis(1_798_758_000_000), SeasonReset::Soft { keep: 0.6 })
        );
        assert_eq!(season.rules, StandingRules { placements: 10, decay: Some(Decay { after_days: 14, per_day: 1.0, floor: 0.5 }) });
        assert_eq!(tiers.iter().map(|tier| (tier.name.as_str(), tier.from)).collect::<Vec<_>>(), [("bronze", 0.0), ("silver", 12.5)]);
    }

    #[test]
    fn rules_of_standings_need_no_season() {
        let (season, tiers) = parse("placements = 5").unwrap();
        assert_eq!((season.starting, season.rules.placements, tiers.len()), (None, 5, 0));
    }

    #[test]
    fn mistakes_name_their_place_and_the_remedy() {
        let named = "name = \"a\"\nstarts = 2027-01-01T00:00:00Z\n";
        let table = [
            ("a key", "placement = 10".to_owned(), "8:1", "did you mean `placements`?"),
            ("no name", "reset = \"hard\"".to_owned(), "8:9", "write `name = "),
            ("never", "name = \"a\"\nreset = \"hard\"".to_owned(), "7:13", "write `starts = 2027-01-01T00:00:00Z`"),
            ("no offset", "name = \"a\"\nreset = \"hard\"\nstarts = 2027-01-01T00:00:00".to_owned(), "10:10", "date, time and offset"),
            ("a text", "name = \"a\"\nreset = \"hard\"\nstarts = \"soon\"".to_owned(), "10:10", "expected a TOML datetime"),
            ("no reset", named.to_owned(), "7:13", "write `reset = "),
            ("a reset", format!("{named}reset = \"sof\""), "10:9", "did you mean `soft`?"),
            ("keeps nothing", format!("{named}reset = \"hard\"\nkeep = 0.5"), "11:8", "leave `keep` out"),
            ("keeps what", format!("{named}reset = \"uncertainty\""), "10:9", "write `keep = 0.6`"),
            ("keeps too much", format!("{named}reset = \"soft\"\nkeep = 1.5"), "11:8", "0 to 1"),
            ("an empty name", "name = \"\"\nstarts = 2027-01-01T00:00:00Z\nreset = \"hard\"".to_owned(), "8:8", "1 to 64"),
            ("half a decay", "decay = { after_days = 3 }".to_owned(), "8:1", "write `decay = { after_days"),
            ("a decay that grows", "decay = { after_days = 3, per_day = -1, floor = 0 }".to_owned(), "8:37", "above 0"),
            ("tiers that fall", "tiers = [{ name = \"b\", from = 1 }, { name = \"c\", from = 1 }]".to_owned(), "8:36", "ascending"),
            ("a tier twice", "tiers = [{ name = \"b\", from = 1 }, { name = \"b\", from = 2 }]".to_owned(), "8:36", "stands twice"),
            ("a tier nowhere", "tiers = [{ name = \"b\" }]".to_owned(), "8:10", "write `from = 0`"),
            ("endless placements", "placements = 1001".to_owned(), "8:14", "0 to 1000"),
        ];
        for (name, text, place, remedy) in table {
            let shown = parse(&text).unwrap_err().render();
            assert!(shown.contains(&format!("plugins.toml:{place}\n")), "{name}: {shown}");
            assert!(shown.contains(remedy), "{name}: {shown}");
        }
    }
}
