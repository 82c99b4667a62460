//! One contest rated: what it teaches about the queue and about each player, and how far a settled player may move.

use plugin_sdk::{Contest, Entrant, LineUp, Rating, Update};

use crate::Adaptive;
use crate::duel::{self, Duel};
use crate::field::{self, Field, Standing};
use crate::grid::{GRID, LANES, Lanes};
use crate::mixture::{self, SlopeEvidence};
use crate::player::Skill;
use crate::queue::{self, CONTESTS};
use crate::reading::{Lines, Scale, bounded};
use crate::team::{self, Evidence, Player, Team};
use crate::terms;

/// What scores and statistics may move a settled player beyond the bare result, in uncertainties of his.
const SWAY_MAX: f64 = 0.2;

/// Share of that leeway that one player's statistics have to either side: the worst line and the best are less than the whole of it apart.
const LINE_SHARE: f64 = 0.45;

/// Contests after which a player is settled. Before that he may move farther, in proportion.
const SETTLED_AFTER: f64 = 20.0;

/// A newcomer's uncertainty in units of a performance's deviation: the published scale.
const NEWCOMER: f64 = 1.2;

/// Who was present for less was not there: what is learned is divided by presence, and by next to nothing it would be anything.
const PRESENCE_MIN: f64 = 0.01;

/// Contests up to which the count is kept; beyond, one more means nothing.
const CONTESTS_MAX: f64 = 1e6;

/// Evidence about each team, and what statistics say within teams.
struct Findings {
    evidence: Vec<Evidence>,
    lines: Option<Lines>,
    /// Whether there were scores; else statistics stand in for them.
    has_scores: bool,
}

impl Adaptive {
    /// The entrants with the time that passed; `played` is the share of a contest's drift.
    pub(crate) fn players(&self, line_up: &LineUp, played: f64) -> Vec<Player> {
        let player = |entrant: &Entrant| {
            let mut skill = Skill::read(&entrant.rating.memory).unwrap_or_else(|| self.without_memory(&entrant.rating));
            skill.drift(entrant.idle_s, played);
            let weight = if entrant.presence >= PRESENCE_MIN { entrant.presence } else { 0.0 };
            Player { skill, weight, team: usize::from(entrant.team) }
        };
        line_up.entrants.iter().map(player).collect()
    }

    /// What mean and uncertainty alone say: a newcomer, or somebody whose rating was set by an operator.
    fn without_memory(&self, rating: &Rating) -> Skill {
        let unit = self.parameters.uncertainty;
        Skill::known_as((rating.mean - self.parameters.mean) / unit, rating.uncertainty / unit)
    }

    /// Rates a contest of some trust.
    pub(crate) fn learn(&self, contest: &Contest, update: &mut Update) {
        let memory = &mut update.memory;
        self.layout.adopt(&self.fresh, memory);
        let line_up = &contest.line_up;
        let mut players = self.players(line_up, contest.trust.min(1.0));
        let teams = team::gather(line_up.team_count(), &line_up.entrants, &players);
        // As believed before: this contest's statistics must not come back through what they taught.
        let experience = queue::read(memory, queue::EXPERIENCE).mean;
        let findings = if teams.len() == 2 { self.read_duel(memory, contest, &teams) } else { self.read_field(memory, contest, &teams) };
        let contests = queue::number(memory, CONTESTS) + contest.trust;
        queue::set(memory, CONTESTS, contests.min(CONTESTS_MAX));
        let weights = mixture::weights(memory);
        let before: Vec<Lanes> = players.iter().map(|player| player.skill.mean).collect();
        let results = apply(contest, &findings.evidence, &mut players);
        if let Some(lines) = &findings.lines {
            apply_lines(contest, lines, &mut players);
        }
        for (index, player) in players.iter_mut().enumerate() {
            let entrant = &line_up.entrants[index];
            // Without scores all that is beyond the result may rest on one player's statistics.
            let share = if findings.has_scores { 1.0 } else { LINE_SHARE };
            hold(&mut player.skill, &before[index], &results[index], share * leeway(entrant.contests));
            let by_result = mixture::mean(&weights, &results[index]);
            let reach = leeway(entrant.contests) * contest.trust.min(1.0);
            self.publish(entrant, &player.skill, (&weights, experience), (by_result, reach), &mut update.ratings[index]);
        }
    }

    fn read_duel(&self, memory: &mut [u8], contest: &Contest, teams: &[Team]) -> Findings {
        let Contest { line_up, places, trust, .. } = contest;
        let duel = Duel::of(&self.layout, memory, line_up, teams);
        if !duel.was_played() {
            return Findings { evidence: vec![Evidence::NONE; 2], lines: None, has_scores: false };
        }
        let share = share(places[0], places[1]);
        let weights = mixture::weights(memory);
        let probabilities = duel.probabilities();
        teach_mixture(memory, &probabilities, &weights, share, *trust);
        let spreads = duel.teach_spreads(memory, queue::number(memory, CONTESTS), *trust);
        duel::teach_draws(&self.layout, memory, line_up.setting.mode, share, *trust);
        let lines = Lines::read(&self.layout, memory, contest, &[2.0 * share - 1.0, 1.0 - 2.0 * share]);
        let row = self.layout.mode(line_up.setting.mode);
        let has_scores = contest.scores.len() == 2;
        let difference = match (contest.scores.as_slice(), &lines) {
            ([first, second], _) => Some(bounded(*first) - bounded(*second)),
            (_, Some(lines)) => Some(lines.teams[0] - lines.teams[1]),
            _ => None,
        };
        let scale = Scale(if has_scores { row.margin() } else { row.line_margin() });
        let margin = difference.and_then(|difference| duel::margin(memory, scale, difference, share, duel.spread(&weights), *trust));
        let evidence = duel.evidence(share, margin, &spreads, &weights);
        duel.teach_terms(memory, &evidence, &weights, *trust);
        Findings { evidence: vec![evidence, evidence.mirrored()], lines, has_scores }
    }

    fn read_field(&self, memory: &mut [u8], contest: &Contest, teams: &[Team]) -> Findings {
        let Contest { line_up, places, trust, .. } = contest;
        let field = Field::of(&self.layout, memory, line_up, teams);
        let (weights, slope) = (mixture::weights(memory), mixture::slope(memory));
        let mut taught = SlopeEvidence::default();
        field.pairs(&weights, |first, second, probability| taught.add(probability, share(places[first], places[second]), slope));
        taught.teach(memory, trust * field::contest_worth(teams.len()) / line_up.pair_count() as f64);
        mixture::reweigh(memory, &field.likelihood(places), *trust);
        let mut standing = Standing::of(places, (contest.scores.len() == teams.len()).then_some(&contest.scores));
        let lines = Lines::read(&self.layout, memory, contest, &standing.places);
        let has_scores = standing.scores.is_some();
        if let (false, Some(lines)) = (has_scores, &lines) {
            standing = Standing::of(places, Some(&lines.teams));
        }
        let evidence = field.evidence(&standing);
        field.teach_terms(memory, &evidence, &weights, *trust);
        Findings { evidence, lines, has_scores }
    }

    /// Writes what people and policies see: the mixture's moments, and what experience adds. The mean follows in steps no larger than
    /// what the result did, or `reach` uncertainties.
    fn publish(&self, entrant: &Entrant, skill: &Skill, mixture: (&Lanes, f64), bounds: (f64, f64), rating: &mut Rating) {
        let ((weights, experience), (by_result, reach)) = (mixture, bounds);
        let mean = mixture::mean(weights, &skill.mean);
        let variance = mixture::mean(
            weights,
            &core::array::from_fn(|lane| {
                let apart = skill.mean[lane] - mean;
                skill.variance[lane] + apart * apart
            }),
        );
        let unit = self.parameters.uncertainty / NEWCOMER;
        let uncertainty = lesser(unit * variance.sqrt(), self.parameters.uncertainty);
        let target = self.parameters.mean + unit * (mean + experience * terms::experience(entrant.contests.saturating_add(1)));
        let reach = reach * lesser(uncertainty, rating.uncertainty);
        let justified = unit * by_result.abs();
        let step = match entrant.presence >= PRESENCE_MIN {
            true if justified > reach => justified,
            true => reach,
            false => 0.0,
        };
        rating.mean += (target - rating.mean).clamp(-step, step);
        rating.uncertainty = uncertainty;
        skill.write(&mut rating.memory);
    }
}

/// Share of a win for the first of two places.
fn share(first: u16, second: u16) -> f64 {
    match first.cmp(&second) {
        core::cmp::Ordering::Less => 1.0,
        core::cmp::Ordering::Equal => 0.5,
        core::cmp::Ordering::Greater => 0.0,
    }
}

/// `f64::min` with a comparison instead of the rules for NaN, for which a component would call a function.
fn lesser(first: f64, second: f64) -> f64 {
    if first < second { first } else { second }
}

/// How far a player of so many contests may be moved by more than the result, in uncertainties.
fn leeway(contests: u32) -> f64 {
    let contests = f64::from(contests.max(1));
    if contests < SETTLED_AFTER { SWAY_MAX * SETTLED_AFTER / contests } else { SWAY_MAX }
}

/// Lets the result of a duel speak for the configurations and the calibration.
fn teach_mixture(memory: &mut [u8], probabilities: &Lanes, weights: &Lanes, share: f64, trust: f64) {
    let slope = mixture::slope(memory);
    let mut taught = SlopeEvidence::default();
    taught.add(mixture::mean(weights, probabilities), share, slope);
    taught.teach(memory, trust);
    let likelihood = probabilities.map(|probability| {
        if share == 0.5 { (probability * (1.0 - probability)).sqrt() } else { 1.0 - share + (2.0 * share - 1.0) * probability }
    });
    mixture::reweigh(memory, &likelihood, trust);
}

/// Moves every player by the evidence about his team; gives how far the bare result would have moved him.
fn apply(contest: &Contest, evidence: &[Evidence], players: &mut [Player]) -> Vec<Lanes> {
    let moved = players.iter_mut().map(|player| {
        let said = &evidence[player.team];
        let Skill { mean, variance } = &mut player.skill;
        let (weight, trust) = (player.weight, contest.trust);
        let reach: Lanes = variance.map(|variance| weight * variance);
        for lane in 0..LANES {
            mean[lane] += trust * reach[lane] * said.pull[lane];
            // Above 0: the difference is at least as unsure as each player's weighted share of it.
            variance[lane] -= trust * reach[lane] * reach[lane] * said.sharpening[lane];
        }
        core::array::from_fn(|lane| trust * reach[lane] * said.result_pull[lane])
    });
    moved.collect()
}

/// Moves the members of each team apart by what their statistics say.
fn apply_lines(contest: &Contest, lines: &Lines, players: &mut [Player]) {
    let count = contest.line_up.team_count();
    let mut means = vec![([0.0; LANES], 0.0); count];
    for player in players.iter() {
        let (sum, weight) = &mut means[player.team];
        for (sum, mean) in sum.iter_mut().zip(&player.skill.mean) {
            *sum += player.weight * mean;
        }
        *weight += player.weight;
    }
    for (index, (player, line)) in players.iter_mut().zip(&lines.within).enumerate() {
        let contests = contest.line_up.entrants[index].contests;
        let (Some(line), (sum, total)) = (line, &means[player.team]) else { continue };
        if player.weight == 0.0 {
            continue;
        }
        let others = 1.0 - player.weight / total;
        for (lane, configuration) in GRID.iter().enumerate() {
            let told = contest.trust * player.weight * configuration.stats;
            if told == 0.0 {
                continue;
            }
            let noise = 1.0 / configuration.stats;
            let variance = player.skill.variance[lane];
            let expected = player.skill.mean[lane] - sum[lane] / total;
            let seen = line * (configuration.prior * configuration.prior + noise).sqrt();
            let share = others * variance / (variance + 1.0 / told);
            let reach = LINE_SHARE * leeway(contests) * variance.sqrt();
            player.skill.mean[lane] += (share * (seen - expected)).clamp(-reach, reach);
            player.skill.variance[lane] = variance * (1.0 - share);
        }
    }
}

/// Keeps a player within the leeway of what the bare result did to him.
fn hold(skill: &mut Skill, before: &Lanes, results: &Lanes, leeway: f64) {
    let square: Lanes = core::array::from_fn(|lane| leeway * leeway * skill.variance[lane]);
    let moved: Lanes = core::array::from_fn(|lane| skill.mean[lane] - before[lane]);
    let beyond: Lanes = core::array::from_fn(|lane| moved[lane] - results[lane]);
    for lane in 0..LANES {
        if beyond[lane] * beyond[lane] > square[lane] || moved[lane] * moved[lane] > square[lane] {
            let (reach, result) = (square[lane].sqrt(), results[lane]);
            let most = if result.abs() > reach { result.abs() } else { reach };
            skill.mean[lane] = before[lane] + moved[lane].clamp(result - reach, result + reach).clamp(-most, most);
        }
    }
}
