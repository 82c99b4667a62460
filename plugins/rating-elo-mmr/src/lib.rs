//! `elo-mmr`: Elo-MMR of Ebtekar and Liu (WWW 2021, arXiv 2101.00400), for contests of many entrants.
//!
//! A contest is rated in two steps. [`performance`] finds how well each place was played, given what was expected of all. [`history`]
//! then weighs that performance against a player's earlier ones: close to a Gaussian update when it fits, bounded when it does not, so that one
//! disaster or one borrowed account does not undo a year. `system = "elo-mmx"` has Gaussian performances and needs no history.
//!
//! | symbol | here | the paper |
//! |---|---|---|
//! | w | `weight_limit`, times trust, presence and `noob_delay` | weight of a contest |
//! | beta^2 = (1 + 1/w) sig_limit^2 | noise of a performance | section 3.3 |
//! | gamma^2 = w sig_limit^2 | drift per contest: keeps a settled player's deviation at `sig_limit` | section 3.3 |
//! | `drift_per_day` | further drift as a variance per day without a contest | reference implementation |
//! | rho | `transfer_speed`: how fast drift makes old performances Gaussian | section 4 |
//!
//! `predict` is the probability that one performance exceeds the other, both noises and both beliefs included; the difference of two
//! logistic performances is taken for logistic. As the model takes the opponents of a field for independent, which they are not, and
//! ties everybody with himself, its own noise does not predict what comes about; `forecast_noise` and `forecast_noise_duel` correct it.
//!
//! **Teams.** The paper knows single entrants. Here a team of n performs at `sum of (skill - rating) / sqrt(n)`, with the noise of one entrant,
//! and what its performance says of one member is what it says of the sum, with the uncertainty about the others as further noise. A
//! team of one is the paper's entrant exactly. The host's limit of 256 teams bounds a contest there; the engine itself takes 65,535.
//!
//! **Provisional players** are those whose deviation is above `provisional_deviation`; their visible rating is `rating - visible_deviations *
//! (deviation - provisional_deviation)`, everybody else's is the rating itself.
//!
//! A player's memory is described at [`history`]. Deliberately absent: statistics, scores, maps and sides; places and time count.

pub mod history;
pub mod performance;

use core::f64::consts::PI;

use history::{FACTORS_MAX, History};
use performance::{Field, System, Term};
use plugin_sdk::{Contest, Entrant, Fault, LineUp, ParameterError, Plugin, QueueShape, Rating, RatingEngine, Update};

/// Largest rating, deviation and scale parameter that the engine works with.
const MAGNITUDE_MAX: f64 = 1e9;

/// Smallest deviation that the engine works with.
const DEVIATION_MIN: f64 = 1e-6;

/// Smallest weight of a contest that counts at all.
const WEIGHT_MIN: f64 = 1e-6;

const DAY_S: f64 = 86_400.0;

/// Parameters of the engine.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// Logistic or Gaussian performances.
    pub system: System,
    /// Rating of a player never seen.
    pub rating: f64,
    /// Deviation of a player never seen, in points.
    pub deviation: f64,
    /// Weight of a contest against all earlier ones together, for a settled player.
    pub weight_limit: f64,
    /// What the weight of a player's first contests is multiplied by, one entry a contest; at most eight.
    pub noob_delay: Vec<f64>,
    /// The deviation of a player who played often, in points.
    pub sig_limit: f64,
    /// Drift of a skill while its owner does not play, as a variance in squared points per day.
    pub drift_per_day: f64,
    /// Deviation that inactivity leads to at most, in points.
    pub deviation_max: f64,
    /// How much wider than the update assumes performances scatter in a large field, as `predict` sees it.
    pub forecast_noise: f64,
    /// The same in a contest of two.
    pub forecast_noise_duel: f64,
    /// Whether ties count as half a win and half a loss, instead of as performances that were equal.
    pub split_ties: bool,
    /// How fast drift turns old performances Gaussian.
    pub transfer_speed: f64,
    /// Performances remembered of each player, 1 to 42.
    pub history: u16,
    /// Whether a player who was present for part of a contest counts for that part only.
    pub participation: bool,
    /// Deviation above which a player is provisional, in points.
    pub provisional_deviation: f64,
    /// How many points a provisional player's visible rating is lower for each point of deviation above the limit.
    pub visible_deviations: f64,
}

impl Default for Parameters {
    /// The reference implementation has a deviation of 350, a weight of 0.2, a limit of 80 and no drift over time. These
    /// predict a real history of races much better (`tests/prequential.rs`); what they lose is in duels, for which other engines exist.
    fn default() -> Self {
        Parameters {
            system: System::EloMmr,
            rating: 1500.0,
            deviation: 220.0,
            weight_limit: 0.1,
            noob_delay: Vec::new(),
            sig_limit: 60.0,
            drift_per_day: 8.0,
            deviation_max: 350.0,
            forecast_noise: 1.6,
            forecast_noise_duel: 0.7,
            split_ties: false,
            transfer_speed: 1.0,
            history: 16,
            participation: false,
            provisional_deviation: 110.0,
            visible_deviations: 2.0,
        }
    }
}

/// The engine of one queue.
#[derive(Clone, Debug)]
pub struct EloMmr {
    parameters: Parameters,
}

impl Plugin for EloMmr {
    const NAME: &'static str = "elo-mmr";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const PARAMETERS_SCHEMA: &'static str = include_str!("../parameters.schema.json");
    type Parameters = Parameters;

    fn configure(_: &QueueShape, parameters: Parameters) -> Result<Self, Vec<ParameterError>> {
        let of = &parameters;
        let deviation = DEVIATION_MIN..=MAGNITUDE_MAX;
        let delays = of.noob_delay.len() <= 8 && of.noob_delay.iter().all(|delay| (0.01..=1.0).contains(delay));
        let rules = [
            ("rating", of.rating.abs() <= MAGNITUDE_MAX, "must be within -1e9 and 1e9"),
            ("deviation", deviation.contains(&of.deviation), "must be within 1e-6 and 1e9"),
            ("weight_limit", (1e-3..=10.0).contains(&of.weight_limit), "must be within 0.001 and 10"),
            ("noob_delay", delays, "must have at most 8 entries, each within 0.01 and 1"),
            ("sig_limit", deviation.contains(&of.sig_limit), "must be within 1e-6 and 1e9"),
            ("drift_per_day", (0.0..=MAGNITUDE_MAX).contains(&of.drift_per_day), "must be 0 or above, at most 1e9"),
            ("deviation_max", deviation.contains(&of.deviation_max), "must be within 1e-6 and 1e9"),
            ("forecast_noise", (0.1..=10.0).contains(&of.forecast_noise), "must be within 0.1 and 10"),
            ("forecast_noise_duel", (0.1..=10.0).contains(&of.forecast_noise_duel), "must be within 0.1 and 10"),
            ("transfer_speed", (0.0..=100.0).contains(&of.transfer_speed), "must be within 0 and 100"),
            ("history", (1..=FACTORS_MAX).contains(&usize::from(of.history)), "must be within 1 and 42"),
            ("provisional_deviation", (0.0..=MAGNITUDE_MAX).contains(&of.provisional_deviation), "must be within 0 and 1e9"),
            ("visible_deviations", (0.0..=10.0).contains(&of.visible_deviations), "must be within 0 and 10"),
        ];
        let broken = rules.iter().filter(|(_, holds, _)| !holds);
        let errors: Vec<_> = broken.map(|&(path, _, problem)| ParameterError::new(path, problem)).collect();
        if errors.is_empty() { Ok(EloMmr { parameters }) } else { Err(errors) }
    }
}

impl RatingEngine for EloMmr {
    fn initial(&self) -> Rating {
        Rating::new(self.parameters.rating, self.parameters.deviation)
    }

    fn rate(&self, contest: &Contest, update: &mut Update) -> Result<(), Fault> {
        let mut seats = self.seats(contest)?;
        if contest.trust > 0.0 {
            self.apply(contest, &mut seats);
            for (seat, rating) in seats.iter().zip(&mut update.ratings).filter(|(seat, _)| seat.weight > 0.0) {
                self.write(&seat.history, rating);
            }
        }
        Ok(())
    }

    fn predict(&self, line_up: &LineUp, _: &[u8], pairs: &mut Vec<f64>) -> Result<(), Fault> {
        let mut teams = vec![Team::default(); line_up.team_count()];
        for entrant in &line_up.entrants {
            let Rating { mean, uncertainty, .. } = self.checked(&entrant.rating)?;
            teams[usize::from(entrant.team)].add(mean - self.parameters.rating, self.idle(*uncertainty, entrant), 1.0);
        }
        let noise = self.forecast_noise(teams.len());
        for (index, first) in teams.iter().enumerate() {
            for second in &teams[index + 1..] {
                let deviation = (first.variance() + second.variance() + 2.0 * noise).sqrt();
                pairs.push(self.share((first.mean() - second.mean()) / deviation));
            }
        }
        Ok(())
    }

    /// Evidence is precision: keeping a share of what is known keeps that share of the precision beyond the initial one, and the
    /// mean moves toward the initial mean by as much as the evidence for the difference went. Single performances are forgotten.
    fn soften(&self, rating: &Rating, keep: f64) -> Rating {
        if keep >= 1.0 {
            return rating.clone();
        }
        if keep <= 0.0 {
            return self.initial();
        }
        let precision = |deviation: f64| 1.0 / (deviation * deviation);
        let (fresh, known) = (precision(self.parameters.deviation), precision(rating.uncertainty));
        let left = fresh + keep * (known - fresh);
        let lead = keep * known * (rating.mean - self.parameters.rating) / left;
        Rating::new(self.parameters.rating + lead, (1.0 / left).sqrt())
    }

    fn visible(&self, rating: &Rating) -> f64 {
        let above = rating.uncertainty - self.parameters.provisional_deviation;
        if above > 0.0 { rating.mean - self.parameters.visible_deviations * above } else { rating.mean }
    }
}

/// A team as sums over its members; means count from the initial rating.
#[derive(Clone, Copy, Debug, Default)]
struct Team {
    players: f64,
    mean: f64,
    variance: f64,
    weight: f64,
}

impl Team {
    fn add(&mut self, mean: f64, variance: f64, weight: f64) {
        self.players += 1.0;
        self.mean += mean;
        self.variance += variance;
        self.weight += weight;
    }

    /// Square root of the number of players; exactly one for one.
    fn root(&self) -> f64 {
        if self.players == 1.0 { 1.0 } else { self.players.sqrt() }
    }

    /// Expected skill on the scale of one entrant.
    fn mean(&self) -> f64 {
        self.mean / self.root()
    }

    /// Its variance.
    fn variance(&self) -> f64 {
        self.variance / self.players
    }

    /// Weight of the contest for the team: the mean of what it is for the members.
    fn weight(&self) -> f64 {
        self.weight / self.players
    }
}

/// An entrant in a contest that is being rated.
struct Seat {
    team: usize,
    history: History,
    /// Weight of the contest for this player; 0 if never present.
    weight: f64,
}

impl EloMmr {
    /// Whether too little is known of a player for a settled rating.
    pub fn is_provisional(&self, rating: &Rating) -> bool {
        rating.uncertainty > self.parameters.provisional_deviation
    }

    fn checked<'a>(&self, rating: &'a Rating) -> Result<&'a Rating, Fault> {
        let inside = rating.mean.abs() <= MAGNITUDE_MAX && (DEVIATION_MIN..=MAGNITUDE_MAX).contains(&rating.uncertainty);
        if inside { Ok(rating) } else { Err(Fault::OutOfRange) }
    }

    /// Variance of a performance around the skill, in a contest of `weight`.
    fn noise(&self, weight: f64) -> f64 {
        let limit = self.parameters.sig_limit * self.parameters.sig_limit;
        limit + limit / weight
    }

    /// Variance of a performance as predictions see it, in a contest of so many teams.
    ///
    /// The tie with itself is 2/n of what is seen of a team in a field of n; it holds performances back, most of all in duels. The
    /// opponents' summands, taken for independent, exaggerate them in large fields. The noise of a prediction goes from one to the other.
    fn forecast_noise(&self, teams: usize) -> f64 {
        let Parameters { forecast_noise, forecast_noise_duel, weight_limit, .. } = self.parameters;
        let times = forecast_noise + (forecast_noise_duel - forecast_noise) * (2.0 / teams as f64);
        times * times * self.noise(weight_limit)
    }

    /// Variance of the skill of an entrant of `deviation`, grown by the time since the last contest.
    fn idle(&self, deviation: f64, entrant: &Entrant) -> f64 {
        let most = self.parameters.deviation_max.max(deviation);
        let grown = deviation * deviation + self.parameters.drift_per_day * (entrant.idle_s as f64 / DAY_S);
        grown.min(most * most)
    }

    /// Weight of a contest for an entrant, 0 if it says nothing about him.
    fn weight(&self, trust: f64, entrant: &Entrant) -> f64 {
        let delay = self.parameters.noob_delay.get(entrant.contests as usize).copied().unwrap_or(1.0);
        let presence = if self.parameters.participation { entrant.presence } else { 1.0 };
        let weight = self.parameters.weight_limit * delay * trust * presence;
        if weight > 0.0 { weight.max(WEIGHT_MIN) } else { 0.0 }
    }

    /// Everybody at the time of the contest, with the drift since the last one and that of this one.
    fn seats(&self, contest: &Contest) -> Result<Vec<Seat>, Fault> {
        let seat = |entrant: &Entrant| {
            let Rating { mean, uncertainty, memory } = self.checked(&entrant.rating)?;
            let weight = self.weight(contest.trust, entrant);
            let gaussian = self.parameters.system == System::EloMmx;
            let mut history = History::read(*mean, *uncertainty, if gaussian { &[] } else { memory })?;
            let limit = self.parameters.sig_limit * self.parameters.sig_limit;
            let drift = self.idle(*uncertainty, entrant) - uncertainty * uncertainty + weight * limit;
            history.drift(drift, self.parameters.transfer_speed);
            if gaussian {
                history.collapse();
            }
            Ok(Seat { team: usize::from(entrant.team), history, weight })
        };
        contest.line_up.entrants.iter().map(seat).collect()
    }

    /// Adds to every history how well its owner played.
    fn apply(&self, contest: &Contest, seats: &mut [Seat]) {
        let mut teams = vec![Team::default(); contest.places.len()];
        for seat in seats.iter() {
            let History { mean, deviation, .. } = seat.history;
            teams[seat.team].add(mean - self.parameters.rating, deviation * deviation, seat.weight);
        }
        // Teams of which nobody was there say nothing.
        let there: Vec<usize> = (0..teams.len()).filter(|&team| teams[team].weight > 0.0).collect();
        let term = |&team: &usize| {
            let variance = teams[team].variance() + self.noise(teams[team].weight());
            Term { mean: teams[team].mean(), deviation: variance.sqrt() }
        };
        let terms: Vec<Term> = there.iter().map(term).collect();
        let places: Vec<u16> = there.iter().map(|&team| contest.places[team]).collect();
        let field = Field { system: self.parameters.system, split_ties: self.parameters.split_ties, terms: &terms, places: &places };
        let mut surprise = vec![0.0; teams.len()];
        for ((&team, performance), term) in there.iter().zip(field.performances()).zip(&terms) {
            surprise[team] = performance - term.mean;
        }
        for seat in seats.iter_mut().filter(|seat| seat.weight > 0.0) {
            self.apply_to_member(&teams[seat.team], surprise[seat.team], seat);
        }
    }

    /// What a team's performance, `surprise` above what was expected, says of one member.
    fn apply_to_member(&self, team: &Team, surprise: f64, Seat { history, weight, .. }: &mut Seat) {
        let others = if team.players == 1.0 { 0.0 } else { (team.variance - history.deviation * history.deviation).max(0.0) };
        let noise = (team.players * self.noise(team.weight()) + others) * (team.weight() / *weight);
        let performance = history.mean + team.root() * surprise;
        match self.parameters.system {
            System::EloMmr => history.add_logistic(performance, noise.sqrt(), usize::from(self.parameters.history)),
            System::EloMmx => history.add_gaussian(performance, noise.sqrt()),
        }
    }

    /// Probability of a performance difference above zero whose mean is `gap` deviations.
    fn share(&self, gap: f64) -> f64 {
        match self.parameters.system {
            System::EloMmr => 1.0 / (1.0 + libm::exp(-gap * PI / 3_f64.sqrt())),
            System::EloMmx => normal::probability_below(gap),
        }
    }

    fn write(&self, history: &History, rating: &mut Rating) {
        rating.mean = history.mean.clamp(-MAGNITUDE_MAX, MAGNITUDE_MAX);
        rating.uncertainty = history.deviation.clamp(DEVIATION_MIN, MAGNITUDE_MAX);
        match self.parameters.system {
            System::EloMmr => history.write(&mut rating.memory),
            System::EloMmx => rating.memory.clear(),
        }
    }
}

plugin_sdk::export_rating!(EloMmr);
