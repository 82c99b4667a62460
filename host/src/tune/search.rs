//! The search: where to look next, given what came of the places before. Pure: the same seed and the same answers lead the same way.
//!
//! First the places to start from, then a quarter of the budget over the whole range (a Latin hypercube, so that every part of every
//! parameter is seen), then steps from the best place along one parameter at a time: longer where they lead to better, half as long where
//! they do not, until they are too small to matter. A round of steps that led to better is made once more as a whole, and after one that did
//! not a few steps go in all parameters at once: what two parameters do together is seen so.

use super::domain::{Domain, Values};
use crate::author::chance::Chance;

/// Share of the budget that looks everywhere.
const EVERYWHERE: f64 = 0.25;
/// First step, as a share of a parameter's range.
const STEP_FIRST: f64 = 0.12;
/// A step that led to better is so much longer the next time.
const STEP_GROWTH: f64 = 1.6;
/// A shorter step changes nothing that could be told from noise.
const STEP_MIN: f64 = 0.008;

/// What came of one place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Answer {
    /// How bad it is: less is better.
    Loss(f64),
    /// It was answered before, and so cost nothing.
    Known(f64),
    /// It cannot be used.
    Unusable,
    /// Nothing more is to be tried.
    Stop,
}

/// The best place, and how much was tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// One entry a domain; see [`Domain::at`].
    pub place: Vec<f64>,
    /// Its loss; infinite if no place could be used.
    pub loss: f64,
    /// Places that were tried and cost something.
    pub tried: usize,
}

/// Looks for the place with the least loss, in at most `budget` tries.
pub fn search(domains: &[Domain], starts: &[Vec<f64>], budget: usize, seed: u64, ask: &mut dyn FnMut(&[f64]) -> Answer) -> Found {
    let found = Found { place: starts.first().cloned().unwrap_or_default(), loss: f64::INFINITY, tried: 0 };
    let mut search = Search { domains, budget, chance: Chance::new(seed, "tune"), found, ask };
    // A stopped search has found what it has found.
    let _ended = search.run(starts);
    search.found
}

/// The search is over.
struct Over;

struct Search<'a> {
    domains: &'a [Domain],
    budget: usize,
    chance: Chance,
    found: Found,
    ask: &'a mut dyn FnMut(&[f64]) -> Answer,
}

impl Search<'_> {
    fn run(&mut self, starts: &[Vec<f64>]) -> Result<(), Over> {
        for start in starts {
            self.look(start)?;
        }
        for place in self.everywhere() {
            self.look(&place)?;
        }
        self.step_by_step()
    }

    /// Whether it is the best so far.
    fn look(&mut self, place: &[f64]) -> Result<bool, Over> {
        if self.found.tried >= self.budget {
            return Err(Over);
        }
        let loss = match (self.ask)(place) {
            Answer::Stop => return Err(Over),
            Answer::Known(loss) => loss,
            Answer::Loss(loss) => {
                self.found.tried += 1;
                loss
            }
            Answer::Unusable => {
                self.found.tried += 1;
                f64::INFINITY
            }
        };
        let better = loss < self.found.loss;
        if better {
            (self.found.loss, self.found.place) = (loss, place.to_vec());
        }
        Ok(better)
    }

    /// As many places as strips of every range, one in each.
    fn everywhere(&mut self) -> Vec<Vec<f64>> {
        let places = (self.budget as f64 * EVERYWHERE) as usize;
        let mut columns = Vec::with_capacity(self.domains.len());
        for domain in self.domains {
            let order = self.chance.order(places);
            let place = |strip: usize, within: f64| match &domain.values {
                Values::Choice(values) => (strip % values.len()) as f64,
                Values::Number { .. } => (strip as f64 + within) / places as f64,
            };
            columns.push(order.into_iter().map(|strip| place(strip, self.chance.share())).collect::<Vec<_>>());
        }
        (0..places).map(|row| columns.iter().map(|column| column[row]).collect()).collect()
    }

    fn step_by_step(&mut self) -> Result<(), Over> {
        let mut steps = vec![STEP_FIRST; self.domains.len()];
        loop {
            let (from, mut moved) = (self.found.place.clone(), false);
            for number in self.chance.order(self.domains.len()) {
                moved |= match &self.domains[number].values {
                    Values::Choice(values) => self.try_others(number, values.len())?,
                    Values::Number { .. } if steps[number] < STEP_MIN => false,
                    Values::Number { .. } => self.try_steps(number, &mut steps[number])?,
                };
            }
            let is_done = |(domain, step): (&Domain, &f64)| matches!(domain.values, Values::Choice(_)) || *step < STEP_MIN;
            if moved {
                self.look(&self.further(&from))?;
            } else if self.domains.iter().zip(&steps).all(is_done) {
                return Ok(());
            } else {
                self.try_together(&steps)?;
            }
        }
    }

    /// As far again from where the round began as it came.
    fn further(&self, from: &[f64]) -> Vec<f64> {
        let ahead = |((domain, from), to): ((&Domain, &f64), &f64)| match domain.values {
            Values::Number { .. } => (2.0 * to - from).clamp(0.0, 1.0),
            Values::Choice(_) => *to,
        };
        self.domains.iter().zip(from).zip(&self.found.place).map(ahead).collect()
    }

    fn try_together(&mut self, steps: &[f64]) -> Result<(), Over> {
        for _ in 0..self.domains.len() {
            let mut place = self.found.place.clone();
            for ((domain, place), step) in self.domains.iter().zip(&mut place).zip(steps) {
                if let Values::Number { .. } = domain.values {
                    // Twice: the steps were halved just now.
                    *place = (*place + self.chance.between(-2.0, 2.0) * step).clamp(0.0, 1.0);
                }
            }
            self.look(&place)?;
        }
        Ok(())
    }

    fn try_others(&mut self, number: usize, choices: usize) -> Result<bool, Over> {
        let from = self.found.place.clone();
        let mut moved = false;
        for choice in 0..choices {
            let mut place = from.clone();
            place[number] = choice as f64;
            moved |= place != from && self.look(&place)?;
        }
        Ok(moved)
    }

    fn try_steps(&mut self, number: usize, step: &mut f64) -> Result<bool, Over> {
        let from = self.found.place.clone();
        for direction in [1.0, -1.0] {
            let mut place = from.clone();
            place[number] = (from[number] + direction * *step).clamp(0.0, 1.0);
            if place != from && self.look(&place)? {
                *step *= STEP_GROWTH;
                return Ok(true);
            }
        }
        *step *= 0.5;
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn domains() -> Vec<Domain> {
        let number = |name: &str| Domain {
            name: name.into(),
            values: Values::Number { low: 0.0, high: 1.0, log: false, integer: false },
            default: None,
        };
        let choice = Domain { name: "kind".into(), values: Values::Choice(vec![json!("a"), json!("b"), json!("c")]), default: None };
        vec![number("x"), number("y"), choice]
    }

    /// A valley across both numbers, deepest at (0.7, 0.49) with the last choice.
    fn loss(place: &[f64]) -> f64 {
        let (x, y) = (place[0], place[1]);
        (x - 0.7).powi(2) + 4.0 * (y - x + 0.21).powi(2) + (2.0 - place[2]) * 0.1
    }

    #[test]
    fn the_deepest_place_is_found_and_the_way_there_repeats() {
        let run = |seed| search(&domains(), &[vec![0.1, 0.9, 0.0]], 150, seed, &mut |place| Answer::Loss(loss(place)));
        for seed in 0..8 {
            let found = run(seed);
            assert!(found.loss < 0.005 && found.tried <= 150, "{seed}: {found:?}");
            assert_eq!(found, run(seed));
        }
    }

    #[test]
    fn the_best_so_far_is_kept_when_the_search_is_stopped_and_never_worse_than_the_start() {
        let mut asked = 0;
        let mut stop_after = |limit: usize| {
            asked = 0;
            search(&domains(), &[vec![0.7, 0.49, 2.0]], 100, 1, &mut |place| {
                asked += 1;
                if asked > limit { Answer::Stop } else { Answer::Loss(loss(place)) }
            })
        };
        for limit in [1, 5, 30] {
            let found = stop_after(limit);
            assert_eq!((found.place.as_slice(), found.tried), ([0.7, 0.49, 2.0].as_slice(), limit), "nothing is deeper");
        }
        assert_eq!(stop_after(0).loss, f64::INFINITY);
    }

    #[test]
    fn unusable_places_cost_and_are_never_the_answer() {
        let found = search(&domains(), &[vec![0.2, 0.2, 1.0]], 40, 3, &mut |place| {
            if place[0] > 0.5 { Answer::Unusable } else { Answer::Loss(loss(place)) }
        });
        assert!(found.place[0] <= 0.5 && found.loss.is_finite() && found.tried == 40, "{found:?}");
    }

    #[test]
    fn a_search_where_nothing_is_better_ends_by_itself() {
        let found = search(&domains(), &[vec![0.5, 0.5, 0.0]], 10_000, 3, &mut |_| Answer::Loss(1.0));
        assert_eq!(found.place, [0.5, 0.5, 0.0]);
        assert!(found.tried < 3_000, "{found:?}");
    }
}
