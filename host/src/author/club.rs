//! A club: a few named players, what a rating engine believes of each, and what they play. Lives in memory, for cases and the prompt.

use std::collections::BTreeMap;

use ladder::fault::PluginFault;
use ladder::rating::{Contest, Entrant, Rating, RatingEngine, Setting, Stat};
use ladder::time::UnixSeconds;

use super::contest_line::ContestLine;

/// One member of the club.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// What the engine believes.
    pub rating: Rating,
    /// What people see; `None` until the engine was asked: it is only asked after a contest.
    pub visible: Option<f64>,
    /// Contests rated.
    pub contests: u32,
    /// When the last of them ended; `None` before the first.
    pub last_at: Option<UnixSeconds>,
    /// Seconds without a contest that a case says, instead of counting them from `last_at`.
    pub idle_s: Option<u64>,
}

/// The members, and what the engine remembers of all of them together.
#[derive(Clone, Debug, PartialEq)]
pub struct Club {
    stranger: Member,
    members: BTreeMap<String, Member>,
    memory: Vec<u8>,
}

/// What is known of a contest beside who won.
#[derive(Clone, Debug, PartialEq)]
pub struct Circumstances {
    /// Time, map, mode, sides.
    pub setting: Setting,
    /// How far the host trusts the result, 0 to 1.
    pub trust: f64,
    /// Contest-wide statistics.
    pub totals: Vec<Stat>,
    /// Share of the contest that a player was present for; 1 where nothing is said.
    pub presence: BTreeMap<String, f64>,
    /// Statistics per player.
    pub stats: BTreeMap<String, Vec<Stat>>,
}

impl Default for Circumstances {
    fn default() -> Self {
        let (presence, stats) = (BTreeMap::new(), BTreeMap::new());
        Self { setting: Setting::default(), trust: 1.0, totals: Vec::new(), presence, stats }
    }
}

/// What one contest did to one member.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Who.
    pub name: String,
    /// Place of the team, 0 is best.
    pub place: u16,
    /// Before the contest.
    pub before: Member,
    /// After it.
    pub after: Member,
}

impl Club {
    /// An empty club of this engine.
    ///
    /// # Errors
    /// The plugin's fault.
    pub fn new(engine: &dyn RatingEngine) -> Result<Self, PluginFault> {
        let (rating, visible) = engine.initial()?;
        let stranger = Member { rating, visible: Some(visible), contests: 0, last_at: None, idle_s: None };
        Ok(Self { stranger, members: BTreeMap::new(), memory: Vec::new() })
    }

    /// Where everybody starts.
    #[must_use]
    pub fn stranger(&self) -> &Member {
        &self.stranger
    }

    /// The members, by name.
    pub fn members(&self) -> impl Iterator<Item = (&str, &Member)> {
        self.members.iter().map(|(name, member)| (name.as_str(), member))
    }

    /// The member of this name, or a stranger.
    #[must_use]
    pub fn member(&self, name: &str) -> &Member {
        self.members.get(name).unwrap_or(&self.stranger)
    }

    /// Puts a member in, as a case describes it.
    pub fn admit(&mut self, name: &str, member: Member) {
        self.members.insert(name.to_owned(), member);
    }

    /// Sets what the engine remembers of all.
    pub fn set_memory(&mut self, memory: Vec<u8>) {
        self.memory = memory;
    }

    /// For each pair of teams i < j, the probability that i places before j plus half that of a draw.
    ///
    /// # Errors
    /// The plugin's fault.
    pub fn predict(&self, engine: &dyn RatingEngine, teams: &[Vec<String>], known: &Circumstances) -> Result<Vec<f64>, PluginFault> {
        engine.predict(&self.memory, &self.entrants(teams, known, false), &known.setting)
    }

    /// Plays a contest and keeps what it left behind; a fault changes nothing.
    ///
    /// # Errors
    /// The plugin's fault.
    pub fn play(&mut self, engine: &dyn RatingEngine, line: &ContestLine, known: &Circumstances) -> Result<Vec<Change>, PluginFault> {
        let contest = Contest {
            places: line.places.clone(),
            scores: line.scores.clone(),
            setting: known.setting.clone(),
            totals: known.totals.clone(),
            trust: known.trust,
            entrants: self.entrants(&line.teams, known, true),
        };
        let update = engine.rate(&self.memory, &contest)?;
        self.memory = update.memory;
        let names = line.teams.iter().zip(&line.places).flat_map(|(team, place)| team.iter().map(move |name| (name, *place)));
        let mut changes = Vec::with_capacity(update.ratings.len());
        for ((name, place), (rating, visible)) in names.zip(update.ratings.into_iter().zip(update.visible)) {
            let before = self.member(name).clone();
            let contests = before.contests.saturating_add(1);
            let after = Member { rating, visible: Some(visible), contests, last_at: Some(known.setting.at_s), idle_s: None };
            self.members.insert(name.clone(), after.clone());
            changes.push(Change { name: name.clone(), place, before, after });
        }
        Ok(changes)
    }

    /// `played`: with what the contest brought; otherwise what is known before it.
    fn entrants(&self, teams: &[Vec<String>], known: &Circumstances, played: bool) -> Vec<Entrant> {
        let entrant = |(team, name): (u16, &String)| {
            let member = self.member(name);
            let counted = member.last_at.map_or(0, |last| u64::try_from(known.setting.at_s.0.saturating_sub(last.0)).unwrap_or(0));
            Entrant {
                rating: member.rating.clone(),
                team,
                contests: member.contests,
                idle_s: member.idle_s.unwrap_or(counted),
                presence: if played { known.presence.get(name).copied().unwrap_or(1.0) } else { 1.0 },
                stats: if played { known.stats.get(name).cloned().unwrap_or_default() } else { Vec::new() },
            }
        };
        (0..=u16::MAX).zip(teams).flat_map(|(team, names)| names.iter().map(move |name| (team, name))).map(entrant).collect()
    }
}
