//! The bulk interface: thousands of contests in one call, in columns, made from the same trait as the live call.
//!
//! One contest value is refilled from the columns again and again, so that nothing is allocated per contest once its vectors
//! have grown. What the engine answers is written straight back to the columns of the cohort.

use crate::bindings::rating::exports::ranked::plugin::rating_engine_bulk as wit;
use crate::bulk_flat;
use crate::rating_glue::{known, predict_checked, rate_checked};
use crate::{Contest, Entrant, Export, Fault, RatingEngine, StatValue, Update};

impl<E: Export<Plugin: RatingEngine>> wit::Guest for E {
    fn rate_many(memory: Vec<u8>, cohort: wit::Cohort, journal: wit::Journal, traced: bool) -> wit::Outcome {
        rate_many(E::slot().plugin(), memory, cohort, &journal, traced)
    }

    fn predict_many(memory: Vec<u8>, cohort: wit::Cohort, line_ups: wit::Journal) -> Vec<f64> {
        predict_many(E::slot().plugin(), &memory, cohort, &line_ups)
    }

    fn visible_many(cohort: wit::Cohort) -> Vec<f64> {
        visible_many(E::slot().plugin(), cohort)
    }
}

/// Rates the contests of `journal` in order, predicting each one before it is rated.
#[doc(hidden)]
pub fn rate_many(engine: &impl RatingEngine, memory: Vec<u8>, cohort: wit::Cohort, journal: &wit::Journal, traced: bool) -> wit::Outcome {
    if let Some(flat) = engine.flat().filter(|_| cohort.memory.is_empty()) {
        return bulk_flat::rate_many(engine, flat, memory, cohort, journal, traced);
    }
    let mut cohort = Columns::new(cohort);
    let mut contest = Contest::default();
    let mut update = Update { ratings: Vec::new(), memory };
    let mut kept_memory = update.memory.clone();
    let mut fault = Vec::with_capacity(journal.at_s.len());
    let mut predicted = Vec::with_capacity(journal.team_end.len());
    let mut trace = new_trace(if traced { journal.entrant.len() } else { 0 });
    let mut pairs = Vec::new();
    for entry in entries(journal) {
        entry.fill_line_up(&cohort, &mut contest);
        append_prediction(engine, &contest, &kept_memory, &mut pairs, &mut predicted);
        entry.fill_result(&mut contest);
        cohort.fill_update(entry.entrants(), &contest, &mut update);
        match rate_checked(engine, &contest, &mut update) {
            Ok(()) => {
                cohort.accept(entry.entrants(), contest.line_up.setting.at_s, &mut update);
                if update.memory != kept_memory {
                    kept_memory.clone_from(&update.memory);
                }
                fault.push(0);
            }
            Err(refused) => {
                update.memory.clone_from(&kept_memory);
                fault.push(code(refused));
            }
        }
        if traced {
            cohort.append_trace(engine, entry.entrants(), &mut contest.line_up.entrants, &mut trace);
        }
    }
    wit::Outcome { cohort: cohort.into_wit(), memory: kept_memory, fault, predicted, trace }
}

pub(crate) fn new_trace(entrants: usize) -> wit::Trace {
    let column = || Vec::with_capacity(entrants);
    wit::Trace { mean: column(), uncertainty: column(), visible: column() }
}

/// Predicts every line-up from the same cohort.
pub(crate) fn predict_many(engine: &impl RatingEngine, memory: &[u8], cohort: wit::Cohort, line_ups: &wit::Journal) -> Vec<f64> {
    if let Some(flat) = engine.flat().filter(|_| cohort.memory.is_empty()) {
        return bulk_flat::predict_many(flat, &cohort, line_ups);
    }
    let cohort = Columns::new(cohort);
    let mut contest = Contest::default();
    let mut predicted = Vec::with_capacity(line_ups.team_end.len());
    let mut pairs = Vec::new();
    for entry in entries(line_ups) {
        entry.fill_line_up(&cohort, &mut contest);
        append_prediction(engine, &contest, memory, &mut pairs, &mut predicted);
    }
    predicted
}

/// The number that people see, for every player of the cohort.
pub(crate) fn visible_many(engine: &impl RatingEngine, cohort: wit::Cohort) -> Vec<f64> {
    let cohort = Columns::new(cohort);
    let mut entrant = Entrant::default();
    let players = 0..cohort.mean.len();
    players
        .map(|player| {
            cohort.fill_rating(player, &mut entrant);
            engine.visible(&entrant.rating)
        })
        .collect()
}

/// Every contest takes k(k-1)/2 places in the column, also one that cannot be predicted: no opinion is 0.5.
fn append_prediction(engine: &impl RatingEngine, contest: &Contest, memory: &[u8], pairs: &mut Vec<f64>, predicted: &mut Vec<f64>) {
    pairs.clear();
    if predict_checked(engine, &contest.line_up, memory, pairs).is_err() {
        pairs.clear();
        pairs.resize(contest.line_up.pair_count(), 0.5);
    }
    predicted.extend_from_slice(pairs);
}

pub(crate) fn code(fault: Fault) -> u8 {
    match fault {
        Fault::UnsupportedShape => 1,
        Fault::OutOfRange => 2,
    }
}

/// The cohort while it changes. Memories of players are kept apart from the flat column as soon as any exists.
struct Columns {
    mean: Vec<f64>,
    uncertainty: Vec<f64>,
    contests: Vec<u32>,
    last_at_s: Vec<i64>,
    /// Empty until a player has a memory; then one entry a player.
    memories: Vec<Vec<u8>>,
}

impl Columns {
    fn new(cohort: wit::Cohort) -> Self {
        let mut memories = Vec::new();
        if !cohort.memory.is_empty() {
            let mut start = 0;
            for &end in &cohort.memory_end {
                memories.push(cohort.memory[start..end as usize].to_vec());
                start = end as usize;
            }
        }
        Columns { mean: cohort.mean, uncertainty: cohort.uncertainty, contests: cohort.contests, last_at_s: cohort.last_at_s, memories }
    }

    /// Copies the belief about a player into an entrant.
    fn fill_rating(&self, player: usize, entrant: &mut Entrant) {
        let rating = &mut entrant.rating;
        rating.mean = self.mean[player];
        rating.uncertainty = self.uncertainty[player];
        rating.memory.clear();
        if let Some(memory) = self.memories.get(player) {
            rating.memory.extend_from_slice(memory);
        }
    }

    /// Puts the ratings before the contest into the update that the engine will overwrite.
    fn fill_update(&self, entrants: &[u32], contest: &Contest, update: &mut Update) {
        update.ratings.resize_with(entrants.len(), Default::default);
        for (rating, entrant) in update.ratings.iter_mut().zip(&contest.line_up.entrants) {
            rating.clone_from(&entrant.rating);
        }
    }

    /// Makes a rated contest part of what is known.
    fn accept(&mut self, entrants: &[u32], at_s: i64, update: &mut Update) {
        for (&player, rating) in entrants.iter().zip(&mut update.ratings) {
            let player = player as usize;
            self.mean[player] = rating.mean;
            self.uncertainty[player] = rating.uncertainty;
            self.contests[player] = self.contests[player].saturating_add(1);
            self.last_at_s[player] = at_s;
            if !rating.memory.is_empty() || !self.memories.is_empty() {
                self.memories.resize_with(self.mean.len(), Vec::new);
                // The update is filled anew before the next contest: what it is left with does not matter.
                core::mem::swap(&mut self.memories[player], &mut rating.memory);
            }
        }
    }

    /// Writes down what is known of the entrants now; `entrants` of the contest serve as scratch space.
    fn append_trace(&self, engine: &impl RatingEngine, players: &[u32], entrants: &mut [Entrant], trace: &mut wit::Trace) {
        for (&player, entrant) in players.iter().zip(entrants) {
            self.fill_rating(player as usize, entrant);
            trace.mean.push(entrant.rating.mean);
            trace.uncertainty.push(entrant.rating.uncertainty);
            trace.visible.push(engine.visible(&entrant.rating));
        }
    }

    fn into_wit(self) -> wit::Cohort {
        let mut memory_end = Vec::with_capacity(self.mean.len());
        let mut memory = Vec::new();
        for player in 0..self.mean.len() {
            memory.extend_from_slice(self.memories.get(player).map_or(&[], Vec::as_slice));
            // Cannot overflow: the contract caps a memory at 1 KiB and the host caps a call's memory far below 4 GiB.
            memory_end.push(memory.len() as u32);
        }
        wit::Cohort {
            mean: self.mean,
            uncertainty: self.uncertainty,
            contests: self.contests,
            last_at_s: self.last_at_s,
            memory,
            memory_end,
        }
    }
}

/// Walks the nested ends of a journal, contest after contest.
pub(crate) struct Walk<'j> {
    journal: &'j wit::Journal,
    contest: usize,
    /// Where the next contest's teams and entrants start.
    team: usize,
    entrant: usize,
}

/// Where one contest's teams and entrants lie in the columns.
#[derive(Clone)]
pub(crate) struct Ranges {
    pub(crate) teams: std::ops::Range<usize>,
    pub(crate) entrants: std::ops::Range<usize>,
}

impl Ranges {
    /// Those of every contest, in order.
    pub(crate) fn of(journal: &wit::Journal) -> Walk<'_> {
        Walk { journal, contest: 0, team: 0, entrant: 0 }
    }
}

impl Iterator for Walk<'_> {
    type Item = Ranges;

    fn next(&mut self) -> Option<Ranges> {
        let team_end = *self.journal.team_end.get(self.contest)? as usize;
        let entrant_end = match team_end.checked_sub(1) {
            Some(last) if team_end > self.team => self.journal.entrant_end[last] as usize,
            _ => self.entrant,
        };
        let ranges = Ranges { teams: self.team..team_end, entrants: self.entrant..entrant_end };
        self.contest += 1;
        self.team = team_end;
        self.entrant = entrant_end;
        Some(ranges)
    }
}

/// One contest of a journal, as ranges of its columns.
struct Entry<'j> {
    journal: &'j wit::Journal,
    contest: usize,
    teams: std::ops::Range<usize>,
    entrants: std::ops::Range<usize>,
}

/// The contests of a journal, in order.
fn entries(journal: &wit::Journal) -> impl Iterator<Item = Entry<'_>> {
    let entry = move |(contest, Ranges { teams, entrants })| Entry { journal, contest, teams, entrants };
    Ranges::of(journal).enumerate().map(entry)
}

impl<'j> Entry<'j> {
    /// Players of the contest, as indices into the cohort.
    fn entrants(&self) -> &'j [u32] {
        &self.journal.entrant[self.entrants.clone()]
    }

    /// Overwrites the line-up with what was known before this contest: nobody's presence, no statistic, no place. An
    /// engine that predicts must not see them.
    fn fill_line_up(&self, cohort: &Columns, contest: &mut Contest) {
        let journal = self.journal;
        let at_s = journal.at_s[self.contest];
        let setting = &mut contest.line_up.setting;
        setting.at_s = at_s;
        // A line-up may leave out what its queue does not have.
        setting.map = journal.map_index.get(self.contest).copied().and_then(known);
        setting.mode = journal.mode_index.get(self.contest).copied().and_then(known);
        setting.sides.clear();
        let sides = journal.side.get(self.teams.clone()).unwrap_or(&[]);
        // Where no side is known, a live call has no sides at all.
        if sides.iter().any(|&side| known(side).is_some()) {
            setting.sides.extend(sides.iter().map(|&side| known(side)));
        }
        let entrants = &mut contest.line_up.entrants;
        entrants.resize_with(self.entrants.len(), Default::default);
        let mut team = self.teams.start;
        for (position, entrant) in self.entrants.clone().zip(entrants) {
            while journal.entrant_end[team] as usize <= position {
                team += 1;
            }
            let player = journal.entrant[position] as usize;
            cohort.fill_rating(player, entrant);
            // Cannot truncate: the contract numbers teams with 16 bits.
            entrant.team = (team - self.teams.start) as u16;
            entrant.contests = cohort.contests[player];
            entrant.idle_s = match entrant.contests {
                0 => 0,
                _ => u64::try_from(at_s.saturating_sub(cohort.last_at_s[player])).unwrap_or(0),
            };
            entrant.presence = 1.0;
            entrant.stats.clear();
        }
        contest.line_up.count_teams(self.teams.len());
    }

    /// Adds what the contest brought.
    fn fill_result(&self, contest: &mut Contest) {
        let journal = self.journal;
        contest.trust = journal.trust[self.contest];
        contest.places.clear();
        contest.places.extend_from_slice(&journal.place[self.teams.clone()]);
        contest.scores.clear();
        if journal.has_score[self.contest] == 1 {
            contest.scores.extend_from_slice(&journal.score[self.teams.clone()]);
        }
        let totals = span(&journal.total_end, self.contest);
        fill_stats(totals, &journal.total_index, &journal.total_value, &mut contest.totals);
        for (position, entrant) in self.entrants.clone().zip(&mut contest.line_up.entrants) {
            entrant.presence = journal.presence[position];
            let stats = span(&journal.stat_end, position);
            fill_stats(stats, &journal.stat_index, &journal.stat_value, &mut entrant.stats);
        }
    }
}

/// Range that the `index`-th end closes.
fn span(ends: &[u32], index: usize) -> std::ops::Range<usize> {
    let start = if index == 0 { 0 } else { ends[index - 1] as usize };
    start..ends[index] as usize
}

fn fill_stats(range: std::ops::Range<usize>, index: &[u16], value: &[f64], stats: &mut Vec<StatValue>) {
    stats.clear();
    let pairs = index[range.clone()].iter().zip(&value[range]);
    stats.extend(pairs.map(|(&index, &value)| StatValue { index, value }));
}
