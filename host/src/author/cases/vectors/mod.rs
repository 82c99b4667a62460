//! Reference vectors: published numbers of well-known rating engines, in one JSON file for all languages.
//!
//! ```text
//! file --algo--> entry --form--> players, contests, expected numbers --dialect--> parameters, beliefs --> engine
//!                          \-> passed over, with the reason
//! ```
//! [`form`] reads the ways in which entries say what was played, [`dialect`] knows how our engines take what the file says of each
//! `algo`. `exact` is compared within 1e-9 (or within the entry's `tol`, if that is tighter still), `expect` within `tol`; a null was never
//! published.

mod dialect;
mod form;

use ladder::fault::PluginFault;
use ladder::rating::{Contest, Entrant, Rating, RatingEngine, Setting};
use serde_json::Value;

use super::compare::{Comparison, Mismatch};
pub use dialect::Dialect;
use form::{Form, Measure, Played};

/// The entries of one engine.
#[derive(Clone, Debug, Default)]
pub struct Vectors {
    /// Those that can be run.
    pub vectors: Vec<Vector>,
    /// Those that ask for something that no contest and no prediction can say.
    pub passed_over: Vec<PassedOver>,
}

/// An entry that was not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// Its id in the file.
    pub id: String,
    /// Why it was not.
    pub reason: String,
}

/// One entry.
#[derive(Clone, Debug)]
pub struct Vector {
    /// Its id in the file.
    pub id: String,
    /// The engine that the entry speaks of, as the file names it.
    pub algo: String,
    /// Whose numbers these are, as the file names it; may be empty.
    pub source: String,
    /// The engine's parameters as the file has them: a JSON object.
    pub parameters: Value,
    form: Form,
}

/// Why a file of vectors cannot be used. The fault of whoever wrote it.
#[derive(Debug, thiserror::Error)]
pub enum BadVectors {
    /// It is no JSON.
    #[error("it is no JSON")]
    Json(#[from] serde_json::Error),
    /// It has no list `vectors`.
    #[error("it has no list `vectors`")]
    NoList,
    /// No entry is of this engine.
    #[error("it has no vector of `{algo}`; it has: {}", known.join(", "))]
    UnknownEngine {
        /// As asked for.
        algo: String,
        /// What the file has.
        known: Vec<String>,
    },
}

/// A file of vectors, as JSON.
#[derive(Clone, Debug)]
pub struct VectorFile(Vec<Value>);

impl VectorFile {
    /// Reads a file.
    ///
    /// # Errors
    /// It is no JSON, or has no list of vectors.
    pub fn parse(json: &[u8]) -> Result<Self, BadVectors> {
        let mut file: Value = serde_json::from_slice(json)?;
        match file["vectors"].take() {
            Value::Array(vectors) => Ok(Self(vectors)),
            _ => Err(BadVectors::NoList),
        }
    }

    /// What the entries speak of, in alphabetical order.
    #[must_use]
    pub fn algos(&self) -> Vec<String> {
        let mut known: Vec<_> = self.0.iter().filter_map(|vector| vector["algo"].as_str()).map(str::to_owned).collect();
        known.sort_unstable();
        known.dedup();
        known
    }

    /// The entries of one engine.
    ///
    /// # Errors
    /// There is none.
    pub fn of(&self, algo: &str) -> Result<Vectors, BadVectors> {
        let of = |vector: &&Value| vector["algo"] == algo;
        if !self.0.iter().any(|vector| of(&vector)) {
            return Err(BadVectors::UnknownEngine { algo: algo.to_owned(), known: self.algos() });
        }
        let mut vectors = Vectors::default();
        for (number, vector) in self.0.iter().enumerate().filter(|(_, vector)| of(vector)) {
            let id = vector["id"].as_str().map_or_else(|| format!("entry {number}"), str::to_owned);
            match Form::read(vector) {
                Ok(form) => {
                    let (source, parameters) = (vector["source"].as_str().unwrap_or_default().to_owned(), vector["params"].clone());
                    vectors.vectors.push(Vector { id, algo: algo.to_owned(), source, parameters, form });
                }
                Err(reason) => vectors.passed_over.push(PassedOver { id, reason }),
            }
        }
        Ok(vectors)
    }
}

impl Vector {
    /// Whether the entry says who was there for how long.
    #[must_use]
    pub fn is_weighted(&self) -> bool {
        self.form.is_weighted
    }

    /// Players per team of its first contest: the shape of the queue that it would be played in.
    #[must_use]
    pub fn team_sizes(&self) -> Vec<u16> {
        let mut sizes = vec![0; self.form.teams];
        for seat in self.form.contests.first().into_iter().flat_map(|played| &played.seats) {
            sizes[usize::from(seat.team)] += 1;
        }
        sizes
    }

    /// Asks an engine that was loaded with the parameters of the entry, and compares.
    ///
    /// # Errors
    /// The plugin's fault.
    pub fn run(&self, engine: &dyn RatingEngine, dialect: &Dialect) -> Result<Vec<Mismatch>, PluginFault> {
        let initial = engine.initial()?.0;
        let mut ratings: Vec<Rating> = self.form.players.iter().map(|player| dialect.rating(player, &initial)).collect();
        let pairs = match &self.form.contests[..] {
            [line_up] if self.form.is_prediction => {
                let contest = contest(line_up, &ratings, dialect);
                engine.predict(&[], &contest.entrants, &contest.setting)?
            }
            contests => {
                let mut memory = Vec::new();
                for played in contests {
                    let contest = contest(played, &ratings, dialect);
                    let update = engine.rate(&memory, &contest)?;
                    memory = update.memory;
                    for (seat, rating) in played.seats.iter().zip(update.ratings) {
                        ratings[seat.player] = rating;
                    }
                }
                Vec::new()
            }
        };
        let mut comparison = Comparison::default();
        for expected in &self.form.expected {
            let got = match expected.measure {
                Measure::Mean(player) => Some(ratings[player].mean),
                Measure::Uncertainty(player) => Some(ratings[player].uncertainty),
                Measure::Volatility(player) => dialect.volatility(&ratings[player]),
                Measure::Pair(pair) => pairs.get(pair).copied(),
                Measure::Share(team) => Some(share(&pairs, self.form.teams, team)),
            };
            match got {
                Some(got) => comparison.number(&expected.field, expected.value, got, expected.tolerance),
                None if matches!(expected.measure, Measure::Volatility(_)) => {}
                None => comparison.differs(&expected.field, expected.value.to_string(), "nothing"),
            }
        }
        Ok(comparison.mismatches)
    }
}

/// One contest as the engine is told of it: of players whom it never saw, whatever is believed of them.
fn contest(played: &Played, ratings: &[Rating], dialect: &Dialect) -> Contest {
    let entrants = played.seats.iter().zip(dialect.presence(played)).map(|(seat, presence)| Entrant {
        rating: ratings[seat.player].clone(),
        team: seat.team,
        contests: 0,
        idle_s: 0,
        presence,
        stats: Vec::new(),
    });
    Contest {
        places: played.places.clone(),
        scores: played.scores.clone(),
        setting: Setting::default(),
        totals: Vec::new(),
        trust: 1.0,
        entrants: entrants.collect(),
    }
}

/// The share of all pairs that a team is expected to win: what the peers publish for more than two teams.
fn share(pairs: &[f64], teams: usize, team: usize) -> f64 {
    let outcomes = (0..teams).flat_map(|first| (first + 1..teams).map(move |second| (first, second)));
    let won = pairs.iter().zip(outcomes).filter_map(|(&p, (first, second))| match team {
        _ if team == first => Some(p),
        _ if team == second => Some(1.0 - p),
        _ => None,
    });
    won.sum::<f64>() / pairs.len() as f64
}
