//! A rating engine in service: a fresh instance per call, every answer checked.
//!
//! A live contest is predicted in the instance that rated it, afterwards: a second instance would double what the report costs. The rating
//! stays pure by construction, because it is the first call of a fresh instance. That the prediction is what a fresh instance says is compared
//! on samples; an engine that remembers pays with an instance for each prediction from then on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use ladder::bulk::BulkRatingEngine;
use ladder::fault::PluginFault;
use ladder::id::Digest;
use ladder::rating::{Contest, Entrant, QUEUE_MEMORY_BYTES_MAX, Rating, RatingEngine, Setting, Stat, Update};
use wasmtime::Store;

use crate::bindings::rating::exports::ranked::plugin::rating_engine as wit;
use crate::bindings::rating::{Rating as Exports, RatingIndices};
use crate::bulk::BulkPart;
use crate::counters::PluginCounters;
use crate::error::LoadError;
use crate::guest::Guest;
use crate::runtime::{Description, Loaded, Prepared};
use crate::service::{Service, Stop, WarmPermit, bad_output};

/// Every so many live predictions one is compared with that of a fresh instance; the first always is.
const SAMPLE_PREDICTIONS: u64 = 256;

/// A rating engine for one queue. Made by `Runtime::load_rating`; shared between threads as it is.
pub struct RatingPlugin {
    service: Service,
    prepared: Prepared,
    exports: RatingIndices,
    description: Description,
    initial: (Rating, f64),
    bulk: Option<BulkPart>,
    live_predictions: LivePredictions,
}

/// What is known of predictions that were made in an instance which had rated before.
#[derive(Default)]
struct LivePredictions {
    made: AtomicU64,
    /// Whether one came out otherwise than from a fresh instance.
    distrusted: AtomicBool,
}

impl RatingPlugin {
    pub(crate) fn new(loaded: Loaded) -> Result<Self, LoadError> {
        let Loaded { mut service, prepared, description, .. } = loaded;
        let exports = RatingIndices::new(&prepared.pre).map_err(|source| LoadError::Mismatch { source })?;
        prepared.compare_types(&service, |store, instance| exports.load(store, instance))?;
        let initial = call(&service, &prepared, &exports, "initial", |store, engine| {
            let rating = checked("initial", engine.ranked_plugin_rating_engine().call_initial(&mut *store)?)?;
            let visible = visible(store, engine, &rating)?;
            Ok((rating, visible))
        });
        let initial = initial.map_err(|source| LoadError::Fault { function: "initial", source })?;
        let bulk = BulkPart::find(&prepared, &service)?;
        service.begin();
        Ok(Self { service, prepared, exports, description, initial, bulk, live_predictions: LivePredictions::default() })
    }

    pub(crate) fn service(&self) -> &Service {
        &self.service
    }

    pub(crate) fn prepared(&self) -> &Prepared {
        &self.prepared
    }

    pub(crate) fn bulk_part(&self) -> Option<&BulkPart> {
        self.bulk.as_ref()
    }

    /// What the plugin says about itself.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Counters since the plugin was loaded.
    #[must_use]
    pub fn counters(&self) -> PluginCounters {
        self.service.counters()
    }

    /// Takes the plugin back into service: an operator said so.
    pub fn reset_quarantine(&self) {
        self.service.reset_quarantine();
    }

    /// The same engine with counters and a quarantine of its own: what others make it fault with does not count against it.
    #[must_use]
    pub fn twin(&self, suffix: &str) -> Self {
        Self {
            service: self.service.twin(suffix),
            prepared: self.prepared.clone(),
            exports: self.exports.clone(),
            description: self.description.clone(),
            initial: self.initial.clone(),
            bulk: self.bulk.as_ref().map(BulkPart::twin),
            live_predictions: LivePredictions::default(),
        }
    }

    /// The same engine in one instance that is kept: faster, and not pure by construction.
    #[must_use]
    pub fn warm(&self) -> WarmRating<'_> {
        WarmRating { plugin: self, instance: Mutex::default() }
    }

    /// Asks one fresh instance about each of `ratings`, with the budget of so many calls.
    fn call_each<R>(
        &self,
        function: &'static str,
        ratings: &[Rating],
        body: impl Fn(&mut Store<Guest>, &Exports, &Rating) -> Result<R, Stop>,
    ) -> Result<Vec<R>, PluginFault> {
        self.service.admit()?;
        let _slot = self.service.take_slot();
        let limits = self.bulk_limits(ratings.len(), 0);
        self.service.call_within(&limits, function, &mut self.service.store_within(&limits), |store| {
            let instance = self.prepared.start(&self.service, store)?;
            let engine = self.exports.load(&mut *store, &instance)?;
            ratings.iter().map(|rating| body(store, &engine, rating)).collect()
        })
    }

    fn call<R>(&self, function: &'static str, body: impl FnOnce(&mut Store<Guest>, &Exports) -> Result<R, Stop>) -> Result<R, PluginFault> {
        call(&self.service, &self.prepared, &self.exports, function, body)
    }

    /// What the instance in `store`, which has just rated the contest, predicts of it. A failure is told and is no fault that counts: the
    /// rating stands.
    fn predict_after(&self, mut store: Store<Guest>, engine: &Exports, memory: &[u8], contest: &Contest) -> Option<Vec<f64>> {
        let (line_up, setting) = (contest.line_up(), &contest.setting);
        let alone = || {
            self.service.call_aside("predict", &mut self.service.store(), |store| {
                let instance = self.prepared.start(&self.service, store)?;
                let engine = self.exports.load(&mut *store, &instance)?;
                predict(store, &engine, memory, &line_up, setting)
            })
        };
        let LivePredictions { made, distrusted } = &self.live_predictions;
        if distrusted.load(Ordering::Relaxed) {
            return alone();
        }
        let predicted = self.service.call_aside("predict", &mut store, |store| predict(store, engine, memory, &line_up, setting));
        // Its slot is free for the store of the sample.
        drop(store);
        if !made.fetch_add(1, Ordering::Relaxed).is_multiple_of(SAMPLE_PREDICTIONS) {
            return predicted;
        }
        let bits = |predicted: &Option<Vec<f64>>| predicted.as_ref().map(|values| values.iter().map(|p| p.to_bits()).collect::<Vec<_>>());
        let expected = alone();
        if bits(&expected) != bits(&predicted) {
            distrusted.store(true, Ordering::Relaxed);
            self.service.blame("predict", "comes out otherwise in an instance that has rated before".to_owned());
        }
        expected
    }
}

impl RatingEngine for RatingPlugin {
    fn digest(&self) -> Digest {
        self.service.digest
    }

    fn parameters(&self) -> &str {
        &self.service.parameters
    }

    /// Asked once, when the plugin was loaded: the contract gives it no argument, so the answer cannot change.
    fn initial(&self) -> Result<(Rating, f64), PluginFault> {
        Ok(self.initial.clone())
    }

    fn rate(&self, memory: &[u8], contest: &Contest) -> Result<Update, PluginFault> {
        self.call("rate", |store, engine| rate(store, engine, memory, contest))
    }

    fn soften(&self, rating: &Rating, keep: f64) -> Result<(Rating, f64), PluginFault> {
        self.call("soften", |store, engine| soften(store, engine, rating, keep))
    }

    fn soften_many(&self, ratings: &[Rating], keep: f64) -> Result<Vec<(Rating, f64)>, PluginFault> {
        self.call_each("soften", ratings, |store, engine, rating| soften(store, engine, rating, keep))
    }

    fn show_many(&self, ratings: &[Rating]) -> Result<Vec<f64>, PluginFault> {
        self.call_each("visible", ratings, visible)
    }

    fn predict(&self, memory: &[u8], line_up: &[Entrant], at: &Setting) -> Result<Vec<f64>, PluginFault> {
        self.call("predict", |store, engine| predict(store, engine, memory, line_up, at))
    }

    fn rate_and_predict(&self, memory: &[u8], contest: &Contest) -> Result<(Update, Option<Vec<f64>>), PluginFault> {
        self.service.admit()?;
        let _slot = self.service.take_slot();
        let mut store = self.service.store();
        let (engine, update) = self.service.call("rate", &mut store, |store| {
            let instance = self.prepared.start(&self.service, store)?;
            let engine = self.exports.load(&mut *store, &instance)?;
            let update = rate(store, &engine, memory, contest)?;
            Ok((engine, update))
        })?;
        let predicted = self.predict_after(store, &engine, memory, contest);
        Ok((update, predicted))
    }

    fn described(&self) -> Option<(&str, &str)> {
        Some((&self.description.name, &self.description.version))
    }

    fn bulk(&self) -> Option<&dyn BulkRatingEngine> {
        self.bulk.as_ref().filter(|part| !part.is_distrusted()).map(|_| self as &dyn BulkRatingEngine)
    }
}

/// A rating engine in one instance that answers again and again: for looking at an engine, never for live ratings.
///
/// Much cheaper than a fresh instance per call where a language runtime has to start first. An engine that remembers from call to call
/// would show it here, and only here; `ranked plugin check` finds such an engine.
pub struct WarmRating<'a> {
    plugin: &'a RatingPlugin,
    /// Taken out for a call: an instance that faulted answers nothing any more and is dropped.
    instance: Mutex<Option<Kept>>,
}

struct Kept {
    store: Store<Guest>,
    engine: Exports,
    _permit: WarmPermit,
}

impl WarmRating<'_> {
    fn call<R>(&self, function: &'static str, body: impl Fn(&mut Store<Guest>, &Exports) -> Result<R, Stop>) -> Result<R, PluginFault> {
        let RatingPlugin { service, prepared, exports, .. } = self.plugin;
        service.admit()?;
        let mut place = self.instance.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut kept) = place.take() {
            let answer = service.call(function, &mut kept.store, |store| body(store, &kept.engine));
            if matches!(answer, Ok(_) | Err(PluginFault::Declined { .. })) {
                *place = Some(kept);
                return answer;
            }
            // Guests may leak, because they live for one call elsewhere: the end of a kept instance says nothing about this call.
        }
        let _slot = service.take_slot();
        let mut store = service.store();
        let (engine, answer) = service.call(function, &mut store, |store| {
            let instance = prepared.start(service, store)?;
            let engine = exports.load(&mut *store, &instance)?;
            let answer = body(store, &engine)?;
            Ok((engine, answer))
        })?;
        // Where too many are kept already, the next call starts anew.
        *place = service.keep_warm().map(|permit| Kept { store, engine, _permit: permit });
        Ok(answer)
    }
}

impl RatingEngine for WarmRating<'_> {
    fn digest(&self) -> Digest {
        self.plugin.digest()
    }

    fn parameters(&self) -> &str {
        self.plugin.parameters()
    }

    fn initial(&self) -> Result<(Rating, f64), PluginFault> {
        self.plugin.initial()
    }

    fn rate(&self, memory: &[u8], contest: &Contest) -> Result<Update, PluginFault> {
        self.call("rate", |store, engine| rate(store, engine, memory, contest))
    }

    fn soften(&self, rating: &Rating, keep: f64) -> Result<(Rating, f64), PluginFault> {
        self.call("soften", |store, engine| soften(store, engine, rating, keep))
    }

    fn show_many(&self, ratings: &[Rating]) -> Result<Vec<f64>, PluginFault> {
        ratings.iter().map(|rating| self.call("visible", |store, engine| visible(store, engine, rating))).collect()
    }

    fn predict(&self, memory: &[u8], line_up: &[Entrant], at: &Setting) -> Result<Vec<f64>, PluginFault> {
        self.call("predict", |store, engine| predict(store, engine, memory, line_up, at))
    }

    fn bulk(&self) -> Option<&dyn BulkRatingEngine> {
        self.plugin.bulk()
    }
}

/// Runs `body` in a fresh, configured instance.
fn call<R>(
    service: &Service,
    prepared: &Prepared,
    exports: &RatingIndices,
    function: &'static str,
    body: impl FnOnce(&mut Store<Guest>, &Exports) -> Result<R, Stop>,
) -> Result<R, PluginFault> {
    service.call_fresh(function, |store| {
        let instance = prepared.start(service, store)?;
        let engine = exports.load(&mut *store, &instance)?;
        body(store, &engine)
    })
}

fn rate(store: &mut Store<Guest>, engine: &Exports, memory: &[u8], contest: &Contest) -> Result<Update, Stop> {
    let columns = Stats::of(&contest.entrants);
    let entrants = columns.entrants(&contest.entrants);
    let totals: Vec<_> = contest.totals.iter().map(stat).collect();
    let argument = wit::Contest {
        places: &contest.places,
        scores: &contest.scores,
        setting: setting(&contest.setting),
        totals: &totals,
        trust: contest.trust,
        entrants: &entrants,
    };
    let answer = engine.ranked_plugin_rating_engine().call_rate(&mut *store, memory, argument)?;
    let wit::Update { ratings, memory } = answer.map_err(declined)?;
    if ratings.len() != contest.entrants.len() {
        return Err(bad_output("rate", format!("{} ratings for {} entrants", ratings.len(), contest.entrants.len())));
    }
    if memory.len() > QUEUE_MEMORY_BYTES_MAX {
        return Err(bad_output("rate", format!("remembers {} bytes of the queue, at most {QUEUE_MEMORY_BYTES_MAX}", memory.len())));
    }
    let ratings = ratings.into_iter().map(|rating| checked("rate", rating)).collect::<Result<Vec<_>, _>>()?;
    let shown = ratings.iter().map(|rating| visible(store, engine, rating)).collect::<Result<_, _>>()?;
    Ok(Update { ratings, visible: shown, memory })
}

fn soften(store: &mut Store<Guest>, engine: &Exports, rating: &Rating, keep: f64) -> Result<(Rating, f64), Stop> {
    let softened = engine.ranked_plugin_rating_engine().call_soften(&mut *store, borrowed(rating), keep.clamp(0.0, 1.0))?;
    let softened = checked("soften", softened)?;
    let visible = visible(store, engine, &softened)?;
    Ok((softened, visible))
}

fn predict(store: &mut Store<Guest>, engine: &Exports, memory: &[u8], line_up: &[Entrant], at: &Setting) -> Result<Vec<f64>, Stop> {
    let columns = Stats::of(line_up);
    let entrants = columns.entrants(line_up);
    let teams = line_up.iter().map(|entrant| usize::from(entrant.team) + 1).max().unwrap_or(0);
    let pairs = teams * teams.saturating_sub(1) / 2;
    let answer = engine.ranked_plugin_rating_engine().call_predict(store, memory, &entrants, setting(at))?;
    let predicted = answer.map_err(declined)?;
    if predicted.len() != pairs {
        return Err(bad_output("predict", format!("{} values for {pairs} pairs of teams", predicted.len())));
    }
    match predicted.iter().find(|value| !(0.0..=1.0).contains(*value)) {
        Some(value) => Err(bad_output("predict", format!("{value} is not a probability"))),
        None => Ok(predicted),
    }
}

fn visible(store: &mut Store<Guest>, engine: &Exports, rating: &Rating) -> Result<f64, Stop> {
    let visible = engine.ranked_plugin_rating_engine().call_visible(store, borrowed(rating))?;
    match visible.is_finite() {
        // Adding zero turns -0.0 into 0.0: nobody's leaderboard shows a negative zero.
        true => Ok(visible + 0.0),
        false => Err(bad_output("visible", format!("{visible} is not finite"))),
    }
}

fn checked(place: &'static str, rating: wit::RatingResult) -> Result<Rating, Stop> {
    let wit::RatingResult { mean, uncertainty, memory } = rating;
    let rating = Rating { mean, uncertainty, memory };
    match rating.is_sound() {
        true => Ok(rating),
        false => {
            let bytes = rating.memory.len();
            Err(bad_output(place, format!("no rating: mean {mean}, uncertainty {uncertainty}, {bytes} bytes of memory")))
        }
    }
}

fn declined(fault: wit::Fault) -> Stop {
    let detail = match fault {
        wit::Fault::UnsupportedShape => "unsupported-shape",
        wit::Fault::OutOfRange => "out-of-range",
    };
    Stop::Fault(PluginFault::Declined { detail })
}

fn borrowed(rating: &Rating) -> wit::RatingParam<'_> {
    wit::RatingParam { mean: rating.mean, uncertainty: rating.uncertainty, memory: &rating.memory }
}

fn stat(stat: &Stat) -> wit::Stat {
    wit::Stat { index: stat.index, value: stat.value }
}

fn setting(setting: &Setting) -> wit::Setting<'_> {
    wit::Setting { at_s: setting.at_s.0, map_index: setting.map, mode_index: setting.mode, sides: &setting.sides }
}

/// Statistics of all entrants one after another: one allocation for a contest instead of one per player.
struct Stats(Vec<wit::Stat>);

impl Stats {
    fn of(entrants: &[Entrant]) -> Self {
        Self(entrants.iter().flat_map(|entrant| &entrant.stats).map(stat).collect())
    }

    fn entrants<'a>(&'a self, entrants: &'a [Entrant]) -> Vec<wit::Entrant<'a>> {
        let mut rest = self.0.as_slice();
        let lower = |entrant: &'a Entrant| {
            let (stats, others) = rest.split_at(entrant.stats.len());
            rest = others;
            wit::Entrant {
                rating: borrowed(&entrant.rating),
                team: entrant.team,
                contests: entrant.contests,
                idle_s: entrant.idle_s,
                presence: entrant.presence,
                stats,
            }
        };
        entrants.iter().map(lower).collect()
    }
}
