//! How well an engine would have predicted the past: every contest is predicted, scored, then rated, in the order of time.
//!
//! The definitions are those of `ladder::score`. An engine with the bulk interface rates thousands of contests a call; any other gets a
//! fresh instance for each, as a live host does it.

use std::ops::ControlFlow;

use ladder::bulk::{BulkRatingEngine, Cohort, Journal};
use ladder::fault::PluginFault;
use ladder::rating::RatingEngine;
use ladder::score::{Calibration, Score};
use ladder::time::UnixSeconds;

use super::past::Past;

/// What came of one engine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Backtest {
    /// Contests that were predicted and rated.
    pub rated: u64,
    /// Contests that the engine declined: they changed nothing and are not scored.
    pub declined: u64,
    /// How its predictions fared.
    pub score: Score,
    /// How often what they said came about.
    pub calibration: Calibration,
    /// What people would see of each player now, by the number of the player in the history.
    pub visible: Vec<f64>,
}

/// The engine broke its contract; the contests before were rated. The author's fault.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("contest {contest} of the history: the engine {fault}")]
pub struct BacktestFault {
    /// Which contest, from 1.
    pub contest: u64,
    /// How it failed.
    pub fault: PluginFault,
}

/// Whoever listens while an engine goes through a history.
pub trait Listener {
    /// The contest at `position` (from 0) ended with `places`; `predicted` holds one probability per pair of teams, `None`: the engine declined
    /// it.
    fn contest(&mut self, position: u64, places: &[u16], predicted: Option<&[f64]>);

    /// So many contests are through; whether to go on.
    fn through(&mut self, contests: u64) -> ControlFlow<()>;
}

/// Runs an engine through a history. Contests from position `scored_from` (from 0) on are scored; `progress` hears how many are through.
///
/// # Errors
/// The plugin's fault.
pub fn backtest(
    engine: &dyn RatingEngine,
    past: &Past,
    scored_from: u64,
    progress: &mut dyn FnMut(u64),
) -> Result<Backtest, BacktestFault> {
    let mut tally = Tally { backtest: Backtest::default(), scored_from, progress };
    let visible = follow(engine, past, &mut tally)?;
    Ok(Backtest { visible, ..tally.backtest })
}

struct Tally<'a> {
    backtest: Backtest,
    scored_from: u64,
    progress: &'a mut dyn FnMut(u64),
}

impl Listener for Tally<'_> {
    fn contest(&mut self, position: u64, places: &[u16], predicted: Option<&[f64]>) {
        let Some(predicted) = predicted else {
            self.backtest.declined += 1;
            return;
        };
        self.backtest.rated += 1;
        if position >= self.scored_from {
            self.backtest.score.add(places, predicted);
            self.backtest.calibration.add(places, predicted);
        }
    }

    fn through(&mut self, contests: u64) -> ControlFlow<()> {
        (self.progress)(contests);
        ControlFlow::Continue(())
    }
}

/// Runs an engine through a history, or as far as the listener wants. Answers what people would see of each player then, by number.
///
/// # Errors
/// The plugin's fault.
pub fn follow(engine: &dyn RatingEngine, past: &Past, listener: &mut dyn Listener) -> Result<Vec<f64>, BacktestFault> {
    let (stranger, shown) = engine.initial().map_err(|fault| BacktestFault { contest: 1, fault })?;
    let mut cohort = Cohort::default();
    for _ in 0..past.players {
        cohort.push(&stranger, 0, UnixSeconds::default());
    }
    let mut run = Run { listener, position: 0, visible: vec![shown; past.players], cohort, memory: Vec::new() };
    for stretch in &past.stretches {
        let went_on = match engine.bulk() {
            Some(bulk) => run.rate_many(bulk, stretch)?,
            None => run.rate_each(engine, stretch)?,
        };
        if went_on.is_break() || run.listener.through(run.position).is_break() {
            break;
        }
    }
    if let Some(bulk) = engine.bulk() {
        run.visible = bulk.visible_many(&run.cohort).map_err(|fault| BacktestFault { contest: run.position, fault })?;
    }
    Ok(run.visible)
}

/// An engine on its way through the history.
struct Run<'a> {
    listener: &'a mut dyn Listener,
    /// Contests through.
    position: u64,
    visible: Vec<f64>,
    cohort: Cohort,
    memory: Vec<u8>,
}

impl Run<'_> {
    fn rate_many(&mut self, engine: &dyn BulkRatingEngine, stretch: &Journal) -> Result<ControlFlow<()>, BacktestFault> {
        let contest = self.position + 1;
        let cohort = std::mem::take(&mut self.cohort);
        let outcome = engine.rate_many(&self.memory, cohort, stretch, false).map_err(|fault| BacktestFault { contest, fault })?;
        (self.cohort, self.memory) = (outcome.cohort, outcome.memory);
        let mut declined = outcome.declined.iter().map(|declined| declined.contest).peekable();
        let mut predicted = outcome.predicted.as_slice();
        for contest in 0..stretch.len() {
            // As many as `Outcome` promises: the runtime compared the lengths.
            let (pairs, rest) = predicted.split_at(stretch.pairs(contest));
            predicted = rest;
            let is_declined = declined.next_if_eq(&contest).is_some();
            self.count(stretch.places(contest), (!is_declined).then_some(pairs));
        }
        Ok(ControlFlow::Continue(()))
    }

    fn rate_each(&mut self, engine: &dyn RatingEngine, stretch: &Journal) -> Result<ControlFlow<()>, BacktestFault> {
        for number in 0..stretch.len() {
            let contest = stretch.contest(number, &self.cohort);
            // Predicted first: an engine that remembers must not know the result.
            let answer = engine.predict(&self.memory, &contest.line_up(), &contest.setting);
            let answer = answer.and_then(|predicted| Ok((predicted, engine.rate(&self.memory, &contest)?)));
            let (predicted, update) = match answer {
                Ok(answer) => answer,
                Err(PluginFault::Declined { .. }) => {
                    self.count(&contest.places, None);
                    continue;
                }
                Err(fault) => return Err(BacktestFault { contest: self.position + 1, fault }),
            };
            for ((&player, rating), &visible) in stretch.players(number).iter().zip(&update.ratings).zip(&update.visible) {
                self.visible[player as usize] = visible;
                let contests = self.cohort.played(player).0.saturating_add(1);
                self.cohort.set(player, (rating.mean, rating.uncertainty), contests, contest.setting.at_s, &rating.memory);
            }
            self.memory = update.memory;
            self.count(&contest.places, Some(&predicted));
            if self.position.is_multiple_of(64) && self.listener.through(self.position).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn count(&mut self, places: &[u16], predicted: Option<&[f64]>) {
        self.listener.contest(self.position, places, predicted);
        self.position += 1;
    }
}
