//! The short way for engines that look at nothing but beliefs, places, scores, presence, trust and, if they say so, how often and how
//! recently a player was rated: flat columns instead of entrants.
//!
//! Such an engine implements [`FlatEngine`], returns itself from [`RatingEngine::flat`](crate::RatingEngine::flat) and makes `rate` and
//! `predict` of [`rate_flattened`] and [`predict_flattened`]: then there is one update, and the live call and the bulk call cannot
//! disagree. A replay takes a fraction of the time, because nothing is copied into entrants and back.

use crate::{Contest, Fault, LineUp, Update};

/// A contest in flat columns. Entrants stand team after team; what belongs to team t lies between the ends of t - 1 and t.
#[derive(Clone, Copy, Debug)]
pub struct FlatContest<'a> {
    /// Per team: where its entrants end. Two or more teams, none empty.
    pub team_end: &'a [u32],
    /// Per team: 0 is best, equal places are a draw.
    pub places: &'a [u16],
    /// Per team, or empty.
    pub scores: &'a [f64],
    /// What is known of the entrants' past.
    pub past: FlatPast<'a>,
    /// Per entrant: share of the contest that the player was present for, 0 to 1.
    pub presence: &'a [f64],
    /// How far the host trusts this result, 0 to 1.
    pub trust: f64,
}

/// A line-up in flat columns, before the contest.
#[derive(Clone, Copy, Debug)]
pub struct FlatLineUp<'a> {
    /// Per team: where its entrants end. Two or more teams, none empty.
    pub team_end: &'a [u32],
    /// Per entrant: expected skill. Finite.
    pub mean: &'a [f64],
    /// Per entrant: standard deviation. Finite, above 0.
    pub uncertainty: &'a [f64],
    /// What is known of the entrants' past.
    pub past: FlatPast<'a>,
}

/// How often and how recently the entrants were rated; two empty columns unless [`FlatEngine::wants_past`].
#[derive(Clone, Copy, Debug, Default)]
pub struct FlatPast<'a> {
    /// Per entrant: contests rated before this one.
    pub contests: &'a [u32],
    /// Per entrant: seconds since the previous rated contest; 0 for the first.
    pub idle_s: &'a [u64],
}

/// Beliefs that a flat engine can express. The SDK refuses others for it, while it gathers them.
#[derive(Clone, Copy, Debug)]
pub struct FlatRange {
    /// Largest mean, on either side of zero. Finite.
    pub mean_max: f64,
    /// Smallest standard deviation, above 0.
    pub uncertainty_min: f64,
    /// Largest standard deviation. Finite.
    pub uncertainty_max: f64,
}

impl FlatRange {
    /// Whether a belief is inside; without branches, because it is asked of every entrant of a replay.
    pub(crate) fn holds(&self, mean: f64, uncertainty: f64) -> bool {
        (mean.abs() <= self.mean_max) & (uncertainty >= self.uncertainty_min) & (uncertainty <= self.uncertainty_max)
    }
}

/// A rating engine on flat columns. It has no memory, neither of players nor of the queue.
pub trait FlatEngine {
    /// The beliefs that the other functions take; others are `Fault::OutOfRange`.
    fn range(&self) -> FlatRange {
        FlatRange { mean_max: f64::MAX, uncertainty_min: f64::MIN_POSITIVE, uncertainty_max: f64::MAX }
    }

    /// Whether the engine looks at [`FlatPast`]; gathering it takes time.
    fn wants_past(&self) -> bool {
        false
    }

    /// Overwrites mean and uncertainty of each entrant, as known before the contest, with what is known after it.
    ///
    /// # Errors
    /// The contest is outside what the engine can express; what was written is thrown away.
    fn rate_flat(&self, contest: &FlatContest<'_>, mean: &mut [f64], uncertainty: &mut [f64]) -> Result<(), Fault>;

    /// Appends what [`RatingEngine::predict`](crate::RatingEngine::predict) says of the line-up.
    ///
    /// # Errors
    /// The line-up is outside what the engine can express; what was appended is thrown away.
    fn predict_flat(&self, line_up: &FlatLineUp<'_>, pairs: &mut Vec<f64>) -> Result<(), Fault>;

    /// What a replay does with each contest: appends what [`Self::predict_flat`] says before it (0.5 for each pair where that declines), then
    /// does what [`Self::rate_flat`] does. The same bits as these two; an engine writes it where they have work in common.
    ///
    /// # Errors
    /// As [`Self::rate_flat`] says; the predictions stay.
    fn predict_and_rate_flat(
        &self,
        contest: &FlatContest<'_>,
        mean: &mut [f64],
        uncertainty: &mut [f64],
        pairs: &mut Vec<f64>,
    ) -> Result<(), Fault> {
        predict_then_rate(self, contest, mean, uncertainty, pairs)
    }
}

/// [`FlatEngine::predict_and_rate_flat`] of an engine whose prediction and update have no work in common.
///
/// # Errors
/// As [`FlatEngine::rate_flat`] says.
pub fn predict_then_rate(
    engine: &(impl FlatEngine + ?Sized),
    contest: &FlatContest<'_>,
    mean: &mut [f64],
    uncertainty: &mut [f64],
    pairs: &mut Vec<f64>,
) -> Result<(), Fault> {
    let line_up = FlatLineUp { team_end: contest.team_end, mean, uncertainty, past: contest.past };
    predict_or_shrug(engine, &line_up, pairs);
    engine.rate_flat(contest, mean, uncertainty)
}

/// Appends k(k-1)/2 predictions for k teams, also for a line-up that cannot be predicted: no opinion is 0.5.
pub(crate) fn predict_or_shrug(engine: &(impl FlatEngine + ?Sized), line_up: &FlatLineUp<'_>, pairs: &mut Vec<f64>) {
    let (before, teams) = (pairs.len(), line_up.team_end.len());
    if engine.predict_flat(line_up, pairs).is_err() {
        pairs.truncate(before);
        pairs.resize(before + teams * teams.saturating_sub(1) / 2, 0.5);
    }
}

/// The columns of one line-up, and where each of its entrants came from.
struct Flattened {
    from: Vec<usize>,
    team_end: Vec<u32>,
    mean: Vec<f64>,
    uncertainty: Vec<f64>,
    contests: Vec<u32>,
    idle_s: Vec<u64>,
}

impl Flattened {
    fn past(&self) -> FlatPast<'_> {
        FlatPast { contests: &self.contests, idle_s: &self.idle_s }
    }

    fn check(&self, range: FlatRange) -> Result<(), Fault> {
        let inside = self.mean.iter().zip(&self.uncertainty).all(|(&mean, &uncertainty)| range.holds(mean, uncertainty));
        if inside { Ok(()) } else { Err(Fault::OutOfRange) }
    }

    /// Puts entrants in the order of their teams; those of one team stay in theirs.
    fn new(line_up: &LineUp, wants_past: bool) -> Self {
        let entrants = &line_up.entrants;
        let mut from: Vec<usize> = (0..entrants.len()).collect();
        from.sort_by_key(|&entrant| entrants[entrant].team);
        let mut end = 0;
        let ends = (0..line_up.team_count()).map(|team| {
            end += line_up.team_size(team);
            end
        });
        let past = if wants_past { &from[..] } else { &[] };
        Flattened {
            team_end: ends.collect(),
            mean: from.iter().map(|&entrant| entrants[entrant].rating.mean).collect(),
            uncertainty: from.iter().map(|&entrant| entrants[entrant].rating.uncertainty).collect(),
            contests: past.iter().map(|&entrant| entrants[entrant].contests).collect(),
            idle_s: past.iter().map(|&entrant| entrants[entrant].idle_s).collect(),
            from,
        }
    }
}

/// [`RatingEngine::rate`](crate::RatingEngine::rate) of a flat engine.
///
/// # Errors
/// As the engine says.
pub fn rate_flattened(engine: &impl FlatEngine, contest: &Contest, update: &mut Update) -> Result<(), Fault> {
    let entrants = &contest.line_up.entrants;
    let flattened = Flattened::new(&contest.line_up, engine.wants_past());
    flattened.check(engine.range())?;
    let (mut mean, mut uncertainty) = (flattened.mean.clone(), flattened.uncertainty.clone());
    let presence: Vec<f64> = flattened.from.iter().map(|&entrant| entrants[entrant].presence).collect();
    let flat = FlatContest {
        team_end: &flattened.team_end,
        places: &contest.places,
        scores: &contest.scores,
        past: flattened.past(),
        presence: &presence,
        trust: contest.trust,
    };
    engine.rate_flat(&flat, &mut mean, &mut uncertainty)?;
    for (position, &entrant) in flattened.from.iter().enumerate() {
        update.ratings[entrant].mean = mean[position];
        update.ratings[entrant].uncertainty = uncertainty[position];
    }
    Ok(())
}

/// [`RatingEngine::predict`](crate::RatingEngine::predict) of a flat engine.
///
/// # Errors
/// As the engine says.
pub fn predict_flattened(engine: &impl FlatEngine, line_up: &LineUp, pairs: &mut Vec<f64>) -> Result<(), Fault> {
    let flattened = Flattened::new(line_up, engine.wants_past());
    flattened.check(engine.range())?;
    let Flattened { team_end, mean, uncertainty, .. } = &flattened;
    engine.predict_flat(&FlatLineUp { team_end, mean, uncertainty, past: flattened.past() }, pairs)
}
