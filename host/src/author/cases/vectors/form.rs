//! The ways in which an entry says what was played and what came of it.
//!
//! | kind | input | expected |
//! |---|---|---|
//! | `rate` | `teams` with `ranks`, `scores` or neither (then in the order of places), perhaps `weights` | `teams`, or the list itself |
//! | `rate` | `a`, `b`, `score` (of a: 1, 0.5 or 0) | `a`, `b` |
//! | `rate`, `rating_period` | `player`, `games` as `[rating, deviation, score]`, perhaps `opponent` | `player`, `opponent`, or `rating`, `rd`, `vol` of the player |
//! | `sequential` | the same, one contest a game | the same |
//! | `expected_score` | `a`, `b`, or `teams` | a number, or one per team |
//!
//! A belief is a number, `[mean, uncertainty]` or `[mean, uncertainty, volatility]`; a team is a list of beliefs, and one belief alone is a
//! team of one. A period of several games is one contest of the player against all of them, each placed by the score: an engine that takes
//! a free-for-all as one period of games has the same sums.

use serde_json::Value;

/// How far from `exact` an answer may be, at most.
const EXACT: f64 = 1e-9;

/// What is known of a player at first, as the file has it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Known {
    pub(super) mean: f64,
    pub(super) uncertainty: Option<f64>,
    pub(super) volatility: Option<f64>,
}

/// One player in one contest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Seat {
    /// Index into the players of the entry.
    pub(super) player: usize,
    pub(super) team: u16,
    pub(super) presence: f64,
}

/// One contest, or a line-up.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Played {
    pub(super) seats: Vec<Seat>,
    pub(super) places: Vec<u16>,
    pub(super) scores: Vec<f64>,
}

/// What a number is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    Mean(usize),
    Uncertainty(usize),
    Volatility(usize),
    /// Of the prediction: which pair of teams.
    Pair(usize),
    /// Of the prediction: what share of its pairs this team is expected to win.
    Share(usize),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expected {
    /// For people.
    pub(super) field: String,
    pub(super) measure: Measure,
    pub(super) value: f64,
    pub(super) tolerance: f64,
}

/// An entry, read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Form {
    pub(super) players: Vec<Known>,
    /// One after another; a single line-up for a prediction.
    pub(super) contests: Vec<Played>,
    pub(super) is_prediction: bool,
    pub(super) is_weighted: bool,
    pub(super) teams: usize,
    pub(super) expected: Vec<Expected>,
}

impl Form {
    /// Reads an entry, or says why it can only be passed over.
    pub(super) fn read(vector: &Value) -> Result<Self, String> {
        let input = &vector["input"];
        let kind = vector["kind"].as_str().unwrap_or("?");
        let mut form = match kind {
            "rate" if !input["teams"].is_null() => Self::of_teams(input)?,
            "rate" if !input["a"].is_null() => Self::of_two(input)?,
            "rate" | "rating_period" | "sequential" if !input["player"].is_null() => Self::of_games(input, kind == "sequential")?,
            "expected_score" => Self::of_prediction(input)?,
            "quality" => return Err("the quality of a line-up is no function of the contract".to_owned()),
            "decay" => return Err("what idleness alone does is no function of the contract".to_owned()),
            other => return Err(format!("kind `{other}` asks for no contest and no prediction")),
        };
        let tolerance = vector["tol"].as_f64().unwrap_or(EXACT);
        form.expect("exact", &vector["exact"], tolerance.min(EXACT));
        form.expect("published", &vector["expect"], tolerance);
        match form.expected.is_empty() {
            true => Err("nothing that could be compared was published".to_owned()),
            false => Ok(form),
        }
    }

    fn of_teams(input: &Value) -> Result<Self, String> {
        let teams = teams(&input["teams"])?;
        let (places, scores) = match (numbers(&input["ranks"]), numbers(&input["scores"])) {
            (Some(ranks), scores) => (places(&ranks), scores.unwrap_or_default()),
            (None, Some(scores)) => (places(&scores.iter().map(|score| -score).collect::<Vec<_>>()), scores),
            (None, None) => ((0..).take(teams.len()).collect(), Vec::new()),
        };
        if places.len() != teams.len() {
            return Err(format!("{} places for {} teams", places.len(), teams.len()));
        }
        let presence = match &input["weights"] {
            Value::Null => None,
            weights => Some(shares(weights).ok_or("weights that are no lists of numbers")?),
        };
        let mut form = Self { is_weighted: presence.is_some(), teams: teams.len(), ..Self::default() };
        let mut played = Played { places, scores, ..Played::default() };
        for (team, members) in teams.into_iter().enumerate() {
            for (position, known) in members.into_iter().enumerate() {
                let of = |shares: &Vec<Vec<f64>>| shares.get(team)?.get(position).copied();
                let presence = presence.as_ref().map_or(Some(1.0), of).ok_or("fewer weights than players")?;
                played.seats.push(Seat { player: form.players.len(), team: number(team)?, presence });
                form.players.push(known);
            }
        }
        form.contests.push(played);
        Ok(form)
    }

    fn of_two(input: &Value) -> Result<Self, String> {
        let score = input["score"].as_f64().ok_or("no score of `a`")?;
        let mut form = Self::of_teams(&serde_json::json!({ "teams": [input["a"], input["b"]] }))?;
        form.contests[0].places = places(&[0.5, score]);
        Ok(form)
    }

    /// The player is number 0, the opponent of the n-th game number n. An `opponent` given beside a single game is that game's.
    fn of_games(input: &Value, one_by_one: bool) -> Result<Self, String> {
        let games = input["games"].as_array().ok_or("no list of games")?;
        if games.is_empty() {
            return Err("a rating period without games is no contest".to_owned());
        }
        let mut form = Self { players: vec![belief(&input["player"]).ok_or("a player without a rating")?], ..Self::default() };
        let mut scores = Vec::with_capacity(games.len());
        for game in games {
            let numbers = numbers(game).unwrap_or_default();
            let [mean, uncertainty @ .., score] = numbers.as_slice() else {
                return Err("a game that is no [rating, deviation, score]".to_owned());
            };
            let known = Known { mean: *mean, uncertainty: uncertainty.first().copied(), volatility: uncertainty.get(1).copied() };
            form.players.push(belief(&input["opponent"]).filter(|_| games.len() == 1).unwrap_or(known));
            scores.push(*score);
        }
        // Placed by the points that are left: whoever won all of them before the player, whoever shared them beside him.
        if one_by_one {
            for (number, score) in scores.iter().enumerate() {
                form.contests.push(Played {
                    seats: vec![seat(0, 0), seat(number + 1, 1)],
                    places: places(&[0.5, *score]),
                    scores: Vec::new(),
                });
            }
        } else {
            let mut period = Played { seats: vec![seat(0, 0)], ..Played::default() };
            for number in 1..=scores.len() {
                period.seats.push(seat(number, self::number(number)?));
            }
            period.places = places(&[&[0.5], scores.as_slice()].concat());
            form.contests.push(period);
        }
        form.teams = form.contests[0].places.len();
        Ok(form)
    }

    fn of_prediction(input: &Value) -> Result<Self, String> {
        let mut form = match &input["teams"] {
            Value::Null => Self::of_teams(&serde_json::json!({ "teams": [input["a"], input["b"]], "weights": input["weights"] }))?,
            _ => Self::of_teams(input)?,
        };
        form.is_prediction = true;
        Ok(form)
    }

    /// Adds the numbers of `exact` or `expect`.
    fn expect(&mut self, what: &str, value: &Value, tolerance: f64) {
        let add = |form: &mut Self, field: String, measure, value: &Value| {
            if let Some(value) = value.as_f64() {
                form.expected.push(Expected { field: format!("{what}, {field}"), measure, value, tolerance });
            }
        };
        if self.is_prediction {
            match value {
                Value::Array(values) if values.len() == self.teams => {
                    for (team, value) in values.iter().enumerate() {
                        add(self, format!("team {}", team + 1), Measure::Share(team), value);
                    }
                }
                Value::Array(values) => {
                    for (pair, value) in values.iter().enumerate() {
                        add(self, format!("pair {}", pair + 1), Measure::Pair(pair), value);
                    }
                }
                value => add(self, "first before second".to_owned(), Measure::Pair(0), value),
            }
            return;
        }
        let mut player_expected = |player: usize, value: &Value| {
            let one = std::slice::from_ref(value);
            let values = value.as_array().map_or(one, Vec::as_slice);
            let measures = [Measure::Mean(player), Measure::Uncertainty(player), Measure::Volatility(player)];
            for ((value, measure), name) in values.iter().zip(measures).zip(["mean", "uncertainty", "volatility"]) {
                add(self, format!("player {}, {name}", player + 1), measure, value);
            }
        };
        match value {
            Value::Array(_) => everybody(value).into_iter().enumerate().for_each(|(player, value)| player_expected(player, value)),
            Value::Object(named) => {
                if let Some(teams) = named.get("teams") {
                    everybody(teams).into_iter().enumerate().for_each(|(player, value)| player_expected(player, value));
                }
                for (keys, player) in [(["a", "player"], 0), (["b", "opponent"], 1)] {
                    keys.iter().filter_map(|key| named.get(*key)).for_each(|value| player_expected(player, value));
                }
                for (key, measure) in [("rating", Measure::Mean(0)), ("rd", Measure::Uncertainty(0)), ("vol", Measure::Volatility(0))] {
                    named.get(key).into_iter().for_each(|value| add(self, key.to_owned(), measure, value));
                }
            }
            _ => {}
        }
    }
}

/// A place per number, the smallest is best; equal numbers share one.
fn places(ranks: &[f64]) -> Vec<u16> {
    let mut order = ranks.to_vec();
    order.sort_unstable_by(f64::total_cmp);
    order.dedup();
    // Cannot truncate: the contract counts teams with 16 bits, and `number` refuses more.
    ranks.iter().map(|rank| order.partition_point(|other| other < rank) as u16).collect()
}

fn number(team: usize) -> Result<u16, String> {
    u16::try_from(team).map_err(|error| format!("{team} teams: {error}"))
}

fn seat(player: usize, team: u16) -> Seat {
    Seat { player, team, presence: 1.0 }
}

fn teams(value: &Value) -> Result<Vec<Vec<Known>>, String> {
    let teams = value.as_array().filter(|teams| teams.len() >= 2).ok_or("fewer than two teams")?;
    let team = |team: &Value| members(team).iter().map(|known| belief(known)).collect::<Option<Vec<_>>>();
    teams.iter().map(team).collect::<Option<Vec<_>>>().ok_or_else(|| "teams of something else than beliefs".to_owned())
}

/// The players of a team; a belief alone is a team of one.
fn members(team: &Value) -> Vec<&Value> {
    match team.as_array() {
        Some(members) if members.first().is_some_and(Value::is_array) => members.iter().collect(),
        _ => vec![team],
    }
}

/// The players of all teams, in order.
fn everybody(teams: &Value) -> Vec<&Value> {
    teams.as_array().into_iter().flatten().flat_map(members).collect()
}

fn belief(value: &Value) -> Option<Known> {
    let numbers = numbers(value).or_else(|| Some(vec![value.as_f64()?]))?;
    Some(Known { mean: *numbers.first()?, uncertainty: numbers.get(1).copied(), volatility: numbers.get(2).copied() })
}

fn numbers(value: &Value) -> Option<Vec<f64>> {
    value.as_array()?.iter().map(Value::as_f64).collect()
}

fn shares(weights: &Value) -> Option<Vec<Vec<f64>>> {
    weights.as_array()?.iter().map(|team| numbers(team).or_else(|| Some(vec![team.as_f64()?]))).collect()
}
