//! One contest as the papers see it: who met whom, as games of a rating period.
//!
//! **Teams.** The papers know single opponents. Here a team performs at the sum of its members' skills, and two teams compare like two
//! players whose lead is `(sum of one - sum of the other) / sqrt(n)`, n being the mean of the two team sizes: the sum model of Herbrich,
//! Minka and Graepel ("TrueSkill", NIPS 2006) with the noise of n independent performances scaled back to that of a duel. For each
//! member, the rest of both teams is a composite opponent (Williams, "Abstracting Glicko-2 for team games", University of Cincinnati
//! 2013) with the variance of all of them together. Skills count from `rating`, so that a missing member counts as an average one.
//! Two teams of one are the papers' game exactly.
//!
//! **Free-for-all.** Each team meets each other one, in one period: a win against those placed behind, a loss against those before, a draw
//! with equals. The games of one contest are not independent as those of a period are, and `dilution` lets each count for less.

use crate::Glicko2;
use crate::glicko::{Evidence, expected_score, flattening};
use crate::{DEVIATION_MIN, MAGNITUDE_MAX};
use plugin_sdk::{Contest, Fault, LineUp, Rating, Update};

/// An entrant on the logistic scale, at the time of the contest.
#[derive(Clone, Copy, Debug)]
struct Seat {
    team: usize,
    /// Lead over the initial rating.
    mean: f64,
    /// Phi squared, grown by the time since the last contest.
    variance: f64,
    volatility: f64,
    /// Share of the contest that counts.
    weight: f64,
}

/// A team, as sums over its members.
#[derive(Clone, Copy, Debug, Default)]
struct Team {
    players: f64,
    mean: f64,
    variance: f64,
}

/// Everybody who takes part in a contest.
#[derive(Debug)]
pub(crate) struct Field {
    seats: Vec<Seat>,
    teams: Vec<Team>,
}

/// Two teams that meet, as a member sees it.
struct Meeting {
    /// How far one unit of a member's skill moves the lead, squared.
    reach_squared: f64,
    reach: f64,
    /// Lead of the member's team.
    lead: f64,
    /// Variance of the lead.
    variance: f64,
}

impl Meeting {
    fn of(own: Team, other: Team) -> Self {
        let reach_squared = 2.0 / (own.players + other.players);
        let reach = if reach_squared == 1.0 { 1.0 } else { reach_squared.sqrt() };
        let variance = reach_squared * (own.variance + other.variance);
        Meeting { reach_squared, reach, lead: reach * (own.mean - other.mean), variance }
    }
}

impl Field {
    /// Gathers the entrants; with `participation`, those who were there for a part only weigh as much.
    pub(crate) fn of(engine: &Glicko2, line_up: &LineUp, participation: bool) -> Result<Self, Fault> {
        let scale = engine.drift.scale();
        let mut teams = vec![Team::default(); line_up.team_count()];
        let mut seats = Vec::with_capacity(line_up.entrants.len());
        for entrant in &line_up.entrants {
            let Rating { mean, uncertainty, .. } = entrant.rating;
            let inside = mean.abs() <= MAGNITUDE_MAX && (DEVIATION_MIN..=MAGNITUDE_MAX).contains(&uncertainty);
            if !inside {
                return Err(Fault::OutOfRange);
            }
            let volatility = engine.volatility(&entrant.rating)?;
            let phi = uncertainty / scale;
            let weight = if participation { entrant.presence } else { 1.0 };
            let seat = Seat {
                team: usize::from(entrant.team),
                mean: (mean - engine.parameters.rating) / scale,
                variance: engine.drift.idle(phi * phi, volatility, engine.idle_periods(entrant)),
                volatility,
                weight,
            };
            let team = &mut teams[seat.team];
            team.players += 1.0;
            team.mean += weight * seat.mean;
            team.variance += weight * weight * seat.variance;
            seats.push(seat);
        }
        Ok(Field { seats, teams })
    }

    /// Appends the expected score of each pair of teams.
    pub(crate) fn predict(&self, pairs: &mut Vec<f64>) {
        for (index, &first) in self.teams.iter().enumerate() {
            for &second in &self.teams[index + 1..] {
                let Meeting { lead, variance, .. } = Meeting::of(first, second);
                pairs.push(expected_score(lead, variance));
            }
        }
    }

    /// Moves every entrant by what the contest says.
    pub(crate) fn rate(&self, engine: &Glicko2, contest: &Contest, update: &mut Update) {
        let rivals = (self.teams.len() - 1) as f64;
        let share = if rivals > 1.0 { contest.trust / libm::pow(rivals, engine.parameters.dilution) } else { contest.trust };
        let scale = engine.drift.scale();
        for ((seat, entrant), rating) in self.seats.iter().zip(&contest.line_up.entrants).zip(&mut update.ratings) {
            let evidence = self.evidence(seat, &contest.places, share);
            let (mut mean, mut variance) = (0.0, seat.variance);
            let periods = contest.trust * engine.contest_periods(entrant);
            let volatility = engine.drift.apply(&mut mean, &mut variance, seat.volatility, evidence, periods);
            // As a difference: a game between equals then gives what it gives in the papers, to the last bit.
            rating.mean += mean * scale;
            rating.uncertainty = (variance.sqrt() * scale).max(DEVIATION_MIN);
            engine.remember(rating, volatility);
        }
    }

    /// What the places say about one entrant; each comparison counts for `share` of a game.
    fn evidence(&self, seat: &Seat, places: &[u16], share: f64) -> Evidence {
        let mut evidence = Evidence::default();
        if seat.weight == 0.0 {
            return evidence;
        }
        let own = self.teams[seat.team];
        for (other, &rival) in self.teams.iter().enumerate().filter(|&(other, _)| other != seat.team) {
            let score = match places[seat.team].cmp(&places[other]) {
                core::cmp::Ordering::Less => 1.0,
                core::cmp::Ordering::Equal => 0.5,
                core::cmp::Ordering::Greater => 0.0,
            };
            let Meeting { reach_squared, reach, lead, variance } = Meeting::of(own, rival);
            let others = variance - reach_squared * seat.weight * seat.weight * seat.variance;
            let g = flattening(others.max(0.0));
            evidence.add(reach * seat.weight, g, lead, score, share);
        }
        evidence
    }
}
