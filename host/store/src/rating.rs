//! From an accepted report to new ratings: one pure step, the same for a live report, a backlog, a new generation and a replay in memory.
//! That it is one and the same is why ratings equal a replay bit for bit.

use std::collections::BTreeMap;

use ladder::fault::PluginFault;
use ladder::id::PlayerId;
use ladder::rating::{Contest, Entrant, QUEUE_MEMORY_BYTES_MAX, Rating, RatingEngine, Setting, Update};
use ladder::report::{AcceptedPlayer, ReportFacts};
use ladder::time::UnixSeconds;

use crate::predictions::Prediction;

/// What one report did to one player.
#[derive(Clone, Debug, PartialEq)]
pub struct RatingChange {
    /// Who.
    pub player: PlayerId,
    /// Place of the player's team, 0 is best.
    pub place: u16,
    /// Expected skill before.
    pub mean_before: f64,
    /// Standard deviation before.
    pub uncertainty_before: f64,
    /// What people saw before.
    pub visible_before: f64,
    /// Expected skill after.
    pub mean: f64,
    /// Standard deviation after.
    pub uncertainty: f64,
    /// What people see after.
    pub visible: f64,
    /// What the engine expected of the player's team before: the mean probability to place before another team, draws counting half; for
    /// two teams the probability to win. `None`: it made no prediction.
    pub expected: Option<f64>,
}

/// Why a report could not be rated now. It is kept and rated later.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unrated {
    /// The rating engine broke its contract on this report.
    #[error("the rating engine faulted")]
    Fault(#[from] PluginFault),
    /// An earlier report of the queue waits: order is kept.
    #[error("an earlier report of the queue waits to be rated")]
    BehindOthers,
    /// It was voided, counts again, and the ratings that it counts in are being built.
    #[error("the report counts again, and the ratings with it are being built")]
    Restored,
    /// No rating engine was installed for the queue yet.
    #[error("the queue has no rating engine yet")]
    NoEngine,
    /// Another process made another engine's generation the active one: install the engine of the current configuration.
    #[error("the active generation is of another rating engine")]
    OtherEngine,
}

/// One player in one generation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Standing {
    pub(crate) rating: Rating,
    pub(crate) visible: f64,
    pub(crate) contests: u32,
    pub(crate) wins: u32,
    pub(crate) losses: u32,
    pub(crate) draws: u32,
    /// Time of the last rated contest; `None` before the first.
    pub(crate) last_at: Option<UnixSeconds>,
}

impl Standing {
    /// Where a player starts.
    pub(crate) fn initial(rating: Rating, visible: f64) -> Self {
        Self { rating, visible, contests: 0, wins: 0, losses: 0, draws: 0, last_at: None }
    }
}

/// How one contest ended for one team.
pub(crate) enum Ending {
    Won,
    Lost,
    Drawn,
}

/// What a step computed; nothing of it is stored yet.
#[derive(Debug)]
pub(crate) struct Step {
    /// In the order of the report's players.
    pub(crate) standings: Vec<Standing>,
    /// In the same order.
    pub(crate) changes: Vec<RatingChange>,
    /// What the engine remembers of the queue now.
    pub(crate) memory: Vec<u8>,
    /// The engine's prediction made before, if it was asked for and could be made.
    pub(crate) prediction: Option<Prediction>,
}

/// Rates one report. `before` holds the standing of each of the report's players, in their order.
pub(crate) fn step(
    engine: &dyn RatingEngine,
    memory: &[u8],
    facts: &ReportFacts,
    before: Vec<Standing>,
    predict: bool,
) -> Result<Step, PluginFault> {
    let contest = contest(facts, &before);
    let (update, predicted) = if predict { engine.rate_and_predict(memory, &contest)? } else { (engine.rate(memory, &contest)?, None) };
    let prediction = predicted.and_then(|pairs| Prediction::of(&facts.places, pairs));
    let Update { ratings, visible, memory } = update;
    if ratings.len() != before.len() || visible.len() != before.len() {
        return Err(PluginFault::BadOutput { place: "rate", problem: "another number of ratings than entrants".into() });
    }
    // The runtime looked at this already; the database must not depend on it.
    if !ratings.iter().all(Rating::is_sound) || !visible.iter().all(|shown| shown.is_finite()) || memory.len() > QUEUE_MEMORY_BYTES_MAX {
        return Err(PluginFault::BadOutput { place: "rate", problem: "a rating or memory that cannot be stored".into() });
    }
    let mut standings = Vec::with_capacity(before.len());
    let mut changes = Vec::with_capacity(before.len());
    for (((player, before), rating), visible) in facts.players.iter().zip(before).zip(ratings).zip(visible) {
        let place = facts.places.get(usize::from(player.team)).copied().unwrap_or(u16::MAX);
        changes.push(RatingChange {
            player: player.player,
            place,
            mean_before: before.rating.mean,
            uncertainty_before: before.rating.uncertainty,
            visible_before: before.visible,
            mean: rating.mean,
            uncertainty: rating.uncertainty,
            visible,
            expected: prediction.as_ref().and_then(|prediction| prediction.expected(player.team)),
        });
        standings.push(after(before, rating, visible, &ending(&facts.places, place), facts.provenance.at));
    }
    Ok(Step { standings, changes, memory, prediction })
}

fn contest(facts: &ReportFacts, before: &[Standing]) -> Contest {
    let at_s = facts.provenance.at;
    Contest {
        places: facts.places.clone(),
        scores: facts.scores.clone(),
        setting: Setting { at_s, map: facts.map, mode: facts.mode, sides: facts.sides.clone() },
        totals: facts.totals.clone(),
        trust: facts.provenance.trust,
        entrants: facts.players.iter().zip(before).map(|(player, standing)| entrant(player, standing, at_s)).collect(),
    }
}

fn entrant(player: &AcceptedPlayer, standing: &Standing, at: UnixSeconds) -> Entrant {
    let idle = standing.last_at.map_or(0, |last| at.0.saturating_sub(last.0));
    Entrant {
        rating: standing.rating.clone(),
        team: player.team,
        contests: standing.contests,
        // Reports may arrive out of time order: nobody was idle for less than nothing.
        idle_s: u64::try_from(idle).unwrap_or(0),
        presence: player.presence,
        stats: player.stats.clone(),
    }
}

fn after(before: Standing, rating: Rating, visible: f64, ending: &Ending, at: UnixSeconds) -> Standing {
    let mut after = Standing { rating, visible, contests: before.contests.saturating_add(1), last_at: Some(at), ..before };
    let count = match ending {
        Ending::Won => &mut after.wins,
        Ending::Lost => &mut after.losses,
        Ending::Drawn => &mut after.draws,
    };
    *count = count.saturating_add(1);
    after
}

/// First alone: won. First together with others: drawn. Anything else: lost.
pub(crate) fn ending(places: &[u16], place: u16) -> Ending {
    match (place, places.iter().filter(|&&other| other == 0).count()) {
        (0, 1) => Ending::Won,
        (0, _) => Ending::Drawn,
        _ => Ending::Lost,
    }
}

/// A generation in memory: for replays that are compared with what is stored.
#[derive(Debug)]
pub(crate) struct InMemory {
    initial: Standing,
    pub(crate) standings: BTreeMap<PlayerId, Standing>,
    pub(crate) memory: Vec<u8>,
}

impl InMemory {
    pub(crate) fn new(engine: &dyn RatingEngine) -> Result<Self, PluginFault> {
        let (rating, visible) = engine.initial()?;
        Ok(Self { initial: Standing::initial(rating, visible), standings: BTreeMap::new(), memory: Vec::new() })
    }

    pub(crate) fn rate(&mut self, engine: &dyn RatingEngine, facts: &ReportFacts) -> Result<(), PluginFault> {
        let standing = |player: &AcceptedPlayer| self.standings.get(&player.player).unwrap_or(&self.initial).clone();
        let before = facts.players.iter().map(standing).collect();
        let step = step(engine, &self.memory, facts, before, false)?;
        self.standings.extend(facts.players.iter().map(|player| player.player).zip(step.standings));
        self.memory = step.memory;
        Ok(())
    }
}
