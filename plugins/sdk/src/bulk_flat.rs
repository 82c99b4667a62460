//! The bulk interface of an engine that has a flat form: columns in, columns out, and nothing allocated per contest.

use crate::bindings::rating::exports::ranked::plugin::rating_engine_bulk as wit;
use crate::bulk::{Ranges, code, new_trace};
use crate::flat::{FlatContest, FlatEngine, FlatLineUp, FlatPast, FlatRange, predict_or_shrug};
use crate::{Fault, Rating, RatingEngine};

/// Rates the contests of `journal` in order, predicting each one before it is rated. Players have no memories.
pub(crate) fn rate_many(
    engine: &impl RatingEngine,
    flat: &dyn FlatEngine,
    memory: Vec<u8>,
    mut cohort: wit::Cohort,
    journal: &wit::Journal,
    traced: bool,
) -> wit::Outcome {
    let mut scratch = Scratch::new(flat);
    let mut trace = new_trace(if traced { journal.entrant.len() } else { 0 });
    let mut fault = Vec::with_capacity(journal.at_s.len());
    let mut predicted = Vec::with_capacity(journal.team_end.len());
    // Once for the whole column, so that contests whose players all stayed to the end need not be looked at again.
    let present = journal.presence.iter().fold(true, |present, &share| present & (share == 1.0));
    for (contest, ranges) in Ranges::of(journal).enumerate() {
        let players = &journal.entrant[ranges.entrants.clone()];
        let shape = scratch.gather(journal, &ranges, players, &cohort);
        scratch.gather_past(journal.at_s[contest], players, &cohort);
        let result = FlatContest {
            team_end: &scratch.team_end,
            places: &journal.place[ranges.teams.clone()],
            scores: if journal.has_score[contest] == 1 { &journal.score[ranges.teams.clone()] } else { &[] },
            past: FlatPast { contests: &scratch.contests, idle_s: &scratch.idle_s },
            presence: &journal.presence[ranges.entrants.clone()],
            trust: journal.trust[contest],
        };
        let rated = match (shape, is_sound(&result, present)) {
            (Ok(()), true) => flat.predict_and_rate_flat(&result, &mut scratch.mean, &mut scratch.uncertainty, &mut predicted),
            (Ok(()), false) => {
                predict_or_shrug(flat, &scratch.line_up(), &mut predicted);
                Err(Fault::OutOfRange)
            }
            (Err(refused), _) => {
                shrug(ranges.teams.len(), &mut predicted);
                Err(refused)
            }
        };
        match rated {
            Ok(()) => {
                scratch.scatter(players, journal.at_s[contest], &mut cohort);
                fault.push(0);
            }
            Err(refused) => fault.push(code(refused)),
        }
        if traced {
            append_trace(engine, players, &cohort, &mut trace);
        }
    }
    wit::Outcome { cohort, memory, fault, predicted, trace }
}

/// Predicts every line-up from the same cohort.
pub(crate) fn predict_many(flat: &dyn FlatEngine, cohort: &wit::Cohort, line_ups: &wit::Journal) -> Vec<f64> {
    let mut scratch = Scratch::new(flat);
    let mut predicted = Vec::with_capacity(line_ups.team_end.len());
    for (contest, ranges) in Ranges::of(line_ups).enumerate() {
        let players = &line_ups.entrant[ranges.entrants.clone()];
        let shape = scratch.gather(line_ups, &ranges, players, cohort);
        scratch.gather_past(line_ups.at_s[contest], players, cohort);
        match shape {
            Ok(()) => predict_or_shrug(flat, &scratch.line_up(), &mut predicted),
            Err(_) => shrug(ranges.teams.len(), &mut predicted),
        }
    }
    predicted
}

/// Players that are copied in one turn of a loop. A component looks at its deadline and counts its fuel at every turn.
const TURN: usize = 5;

/// One contest's entrants, reused from contest to contest.
struct Scratch {
    range: FlatRange,
    team_end: Vec<u32>,
    mean: Vec<f64>,
    uncertainty: Vec<f64>,
    wants_past: bool,
    contests: Vec<u32>,
    idle_s: Vec<u64>,
}

impl Scratch {
    fn new(flat: &dyn FlatEngine) -> Self {
        Scratch {
            range: flat.range(),
            team_end: Vec::new(),
            mean: Vec::new(),
            uncertainty: Vec::new(),
            wants_past: flat.wants_past(),
            contests: Vec::new(),
            idle_s: Vec::new(),
        }
    }

    /// Copies what is known of the players; checks what [`LineUp::check`](crate::LineUp::check) checks, presence apart, and the engine's
    /// range.
    fn gather(&mut self, journal: &wit::Journal, ranges: &Ranges, players: &[u32], cohort: &wit::Cohort) -> Result<(), Fault> {
        self.team_end.clear();
        let (mut start, mut full) = (ranges.entrants.start as u32, ranges.teams.len() >= 2);
        self.team_end.extend(journal.entrant_end[ranges.teams.clone()].iter().map(|&end| {
            full &= end > start;
            start = end;
            end - ranges.entrants.start as u32
        }));
        if self.mean.len() != players.len() {
            self.mean.resize(players.len(), 0.0);
            self.uncertainty.resize(players.len(), 0.0);
        }
        let (means, uncertainties) = (cohort.mean.as_slice(), &cohort.uncertainty[..cohort.mean.len()]);
        let mut inside = true;
        let mut take = |mean: &mut f64, uncertainty: &mut f64, player: u32| {
            *mean = means[player as usize];
            *uncertainty = uncertainties[player as usize];
            inside &= self.range.holds(*mean, *uncertainty);
        };
        let (mean_turns, mean_rest) = self.mean.as_chunks_mut::<TURN>();
        let (uncertainty_turns, uncertainty_rest) = self.uncertainty.as_chunks_mut::<TURN>();
        let (player_turns, player_rest) = players.as_chunks::<TURN>();
        for ((mean, uncertainty), players) in mean_turns.iter_mut().zip(uncertainty_turns).zip(player_turns) {
            for ((mean, uncertainty), &player) in mean.iter_mut().zip(uncertainty).zip(players) {
                take(mean, uncertainty, player);
            }
        }
        for ((mean, uncertainty), &player) in mean_rest.iter_mut().zip(uncertainty_rest).zip(player_rest) {
            take(mean, uncertainty, player);
        }
        match (full, inside) {
            (false, _) => Err(Fault::UnsupportedShape),
            (true, false) => Err(Fault::OutOfRange),
            (true, true) => Ok(()),
        }
    }

    /// Copies how often and how recently the players were rated, for engines that look at it.
    fn gather_past(&mut self, at_s: i64, players: &[u32], cohort: &wit::Cohort) {
        if !self.wants_past {
            return;
        }
        self.contests.clear();
        self.contests.extend(players.iter().map(|&player| cohort.contests[player as usize]));
        self.idle_s.clear();
        self.idle_s.extend(players.iter().map(|&player| match cohort.contests[player as usize] {
            0 => 0,
            _ => u64::try_from(at_s.saturating_sub(cohort.last_at_s[player as usize])).unwrap_or(0),
        }));
    }

    fn line_up(&self) -> FlatLineUp<'_> {
        let past = FlatPast { contests: &self.contests, idle_s: &self.idle_s };
        FlatLineUp { team_end: &self.team_end, mean: &self.mean, uncertainty: &self.uncertainty, past }
    }

    /// Makes a rated contest part of what is known.
    fn scatter(&self, players: &[u32], at_s: i64, cohort: &mut wit::Cohort) {
        let len = cohort.mean.len();
        // Slices of one length: one comparison stands for all four.
        let (means, uncertainties) = (cohort.mean.as_mut_slice(), &mut cohort.uncertainty[..len]);
        let (contests, last) = (&mut cohort.contests[..len], &mut cohort.last_at_s[..len]);
        let mut put = |mean: f64, uncertainty: f64, player: u32| {
            let player = player as usize;
            means[player] = mean;
            uncertainties[player] = uncertainty;
            contests[player] = contests[player].saturating_add(1);
            last[player] = at_s;
        };
        let (mean_turns, mean_rest) = self.mean.as_chunks::<TURN>();
        let (uncertainty_turns, uncertainty_rest) = self.uncertainty.as_chunks::<TURN>();
        let (player_turns, player_rest) = players.as_chunks::<TURN>();
        for ((mean, uncertainty), players) in mean_turns.iter().zip(uncertainty_turns).zip(player_turns) {
            for ((&mean, &uncertainty), &player) in mean.iter().zip(uncertainty).zip(players) {
                put(mean, uncertainty, player);
            }
        }
        for ((&mean, &uncertainty), &player) in mean_rest.iter().zip(uncertainty_rest).zip(player_rest) {
            put(mean, uncertainty, player);
        }
    }
}

/// No opinion of any pair of teams.
fn shrug(teams: usize, predicted: &mut Vec<f64>) {
    predicted.resize(predicted.len() + teams * teams.saturating_sub(1) / 2, 0.5);
}

/// Whether trust and presence are shares. `present`: nobody of the whole call left early.
fn is_sound(contest: &FlatContest<'_>, present: bool) -> bool {
    let is_share = |share: &f64| (0.0..=1.0).contains(share);
    is_share(&contest.trust) && (present || contest.presence.iter().all(is_share))
}

fn append_trace(engine: &impl RatingEngine, players: &[u32], cohort: &wit::Cohort, trace: &mut wit::Trace) {
    for &player in players {
        let rating = Rating::new(cohort.mean[player as usize], cohort.uncertainty[player as usize]);
        trace.mean.push(rating.mean);
        trace.uncertainty.push(rating.uncertainty);
        trace.visible.push(engine.visible(&rating));
    }
}
