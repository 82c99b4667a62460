//! Between the generated records of `rating-engine` and the types authors see: one contest a call.

use crate::bindings::rating::exports::ranked::plugin::rating_engine as wit;
use crate::{Contest, Entrant, Export, Fault, LineUp, Rating, RatingEngine, Setting, StatValue, Update};

impl<E: Export<Plugin: RatingEngine>> wit::Guest for E {
    fn initial() -> wit::Rating {
        E::slot().plugin().initial().into()
    }

    fn rate(memory: Vec<u8>, contest: wit::Contest) -> Result<wit::Update, wit::Fault> {
        let contest = Contest::from(contest);
        let mut update = Update::before(&contest, memory);
        rate_checked(E::slot().plugin(), &contest, &mut update)?;
        Ok(wit::Update { ratings: update.ratings.into_iter().map(wit::Rating::from).collect(), memory: update.memory })
    }

    fn predict(memory: Vec<u8>, entrants: Vec<wit::Entrant>, setting: wit::Setting) -> Result<Vec<f64>, wit::Fault> {
        let line_up = LineUp::new(entrants.into_iter().map(Entrant::from).collect(), setting.into());
        let mut pairs = Vec::with_capacity(line_up.pair_count());
        predict_checked(E::slot().plugin(), &line_up, &memory, &mut pairs)?;
        Ok(pairs)
    }

    fn soften(rating: wit::Rating, keep: f64) -> wit::Rating {
        // The ends are promised to the last bit, which no formula keeps.
        match keep {
            1.0.. => rating,
            ..=0.0 => E::slot().plugin().initial().into(),
            _ => E::slot().plugin().soften(&rating.into(), keep).into(),
        }
    }

    fn visible(rating: wit::Rating) -> f64 {
        E::slot().plugin().visible(&rating.into())
    }
}

/// Checks the shape, then asks the engine; the one path of live and bulk ratings.
pub(crate) fn rate_checked(engine: &impl RatingEngine, contest: &Contest, update: &mut Update) -> Result<(), Fault> {
    contest.line_up.check()?;
    if !(0.0..=1.0).contains(&contest.trust) {
        return Err(Fault::OutOfRange);
    }
    engine.rate(contest, update)
}

/// Checks the shape, then asks the engine; the one path of live and bulk predictions.
pub(crate) fn predict_checked(engine: &impl RatingEngine, line_up: &LineUp, memory: &[u8], pairs: &mut Vec<f64>) -> Result<(), Fault> {
    line_up.check()?;
    engine.predict(line_up, memory, pairs)
}

impl From<Fault> for wit::Fault {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::UnsupportedShape => wit::Fault::UnsupportedShape,
            Fault::OutOfRange => wit::Fault::OutOfRange,
        }
    }
}

impl From<Rating> for wit::Rating {
    fn from(Rating { mean, uncertainty, memory }: Rating) -> Self {
        wit::Rating { mean, uncertainty, memory }
    }
}

impl From<wit::Rating> for Rating {
    fn from(wit::Rating { mean, uncertainty, memory }: wit::Rating) -> Self {
        Rating { mean, uncertainty, memory }
    }
}

impl From<wit::Stat> for StatValue {
    fn from(wit::Stat { index, value }: wit::Stat) -> Self {
        StatValue { index, value }
    }
}

impl From<wit::Entrant> for Entrant {
    fn from(entrant: wit::Entrant) -> Self {
        Entrant {
            rating: entrant.rating.into(),
            team: entrant.team,
            contests: entrant.contests,
            idle_s: entrant.idle_s,
            presence: entrant.presence,
            stats: entrant.stats.into_iter().map(StatValue::from).collect(),
        }
    }
}

impl From<wit::Setting> for Setting {
    fn from(setting: wit::Setting) -> Self {
        Setting {
            at_s: setting.at_s,
            map: setting.map_index,
            mode: setting.mode_index,
            sides: setting.sides.into_iter().map(known).collect(),
        }
    }
}

impl From<wit::Contest> for Contest {
    fn from(contest: wit::Contest) -> Self {
        let mut line_up = LineUp::new(contest.entrants.into_iter().map(Entrant::from).collect(), contest.setting.into());
        // A team without players is visible only here: the places name it, no entrant does.
        line_up.count_teams(contest.places.len());
        Contest {
            line_up,
            places: contest.places,
            scores: contest.scores,
            totals: contest.totals.into_iter().map(StatValue::from).collect(),
            trust: contest.trust,
        }
    }
}

/// In columns, and for sides everywhere, the largest index means that nothing is known.
pub(crate) fn known(index: u16) -> Option<u16> {
    (index != u16::MAX).then_some(index)
}
