//! A matchmaking policy in service: one warm instance, dropped after any fault.
//!
//! The shape of the answer is checked here: sizes, ranges, finiteness, and that not every proposal breaks a rule. Which ones are dropped is
//! decided by `ladder::pool::check`, proposal by proposal.

use std::sync::{Arc, Mutex, PoisonError};

use ladder::fault::PluginFault;
use ladder::id::Digest;
use ladder::pool::{Checked, Limit, MatchmakingPolicy, PolicyFault, Pool, Proposals, check};
use ladder::rating::RatingEngine;
use wasmtime::Store;

use crate::bindings::policy::exports::ranked::plugin::matchmaking_policy as wit;
use crate::bindings::policy::{Policy as Exports, PolicyIndices};
use crate::counters::PluginCounters;
use crate::error::LoadError;
use crate::forecast::Forecaster;
use crate::guest::Guest;
use crate::runtime::{Description, Loaded, Prepared};
use crate::service::{Service, Stop, bad_output};

/// A matchmaking policy for one queue. Made by `Runtime::load_policy`; one tick at a time, further ones wait.
pub struct PolicyPlugin {
    service: Service,
    prepared: Prepared,
    exports: PolicyIndices,
    description: Description,
    imports_forecast: bool,
    /// Who answers its forecasts.
    forecasts_of: Mutex<Option<Arc<dyn RatingEngine>>>,
    warm: Mutex<Option<Warm>>,
}

/// A configured instance. It holds nothing that a call may depend on: the whole pool crosses each time.
struct Warm {
    store: Store<Guest>,
    exports: Exports,
}

impl PolicyPlugin {
    pub(crate) fn new(loaded: Loaded) -> Result<Self, LoadError> {
        let Loaded { mut service, prepared, description, imports_forecast } = loaded;
        let exports = PolicyIndices::new(&prepared.pre).map_err(|source| LoadError::Mismatch { source })?;
        prepared.compare_types(&service, |store, instance| exports.load(store, instance))?;
        service.begin();
        let (forecasts_of, warm) = (Mutex::default(), Mutex::default());
        Ok(Self { service, prepared, exports, description, imports_forecast, forecasts_of, warm })
    }

    /// From its next call on, `engine` answers the forecasts that the policy asks for; for a policy that imports none this changes nothing.
    /// Until an engine is given, asking for a forecast is a trap.
    pub fn forecast_with(&self, engine: Arc<dyn RatingEngine>) {
        *self.forecasts_of.lock().unwrap_or_else(PoisonError::into_inner) = Some(engine);
    }

    /// What the forecasts of one call are made from.
    fn forecaster(&self, pool: &Pool) -> Option<Box<Forecaster>> {
        if !self.imports_forecast {
            return None;
        }
        let engine = self.forecasts_of.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        Some(Box::new(Forecaster::new(engine, pool, self.service.shape.players(), self.service.deadline_ms_max())))
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

    /// Refuses an answer of which the ladder would drop every proposal: it would match nobody, tick after tick, and nobody would notice. As a
    /// fault it is counted, and leads to quarantine and the fallback. Free slots come and go by themselves, so that a policy that does not
    /// look at them is no worse than one that waits.
    fn usable(&self, pool: &Pool, proposals: Proposals) -> Result<Proposals, Stop> {
        if proposals.ticket.is_empty() && proposals.match_end.is_empty() {
            return Ok(proposals);
        }
        let Checked { proposals: good, faults } = check(&self.service.shape, pool, &proposals);
        match faults.iter().find(|fault| !matches!(fault, PolicyFault::Slots { .. })) {
            Some(fault) if good.is_empty() => {
                Err(bad_output("propose", format!("every proposal breaks a rule of the pool, the first of them: {fault}")))
            }
            _ => Ok(proposals),
        }
    }

    fn start(&self, store: &mut Store<Guest>) -> Result<Exports, Stop> {
        let instance = self.prepared.start(&self.service, store)?;
        Ok(self.exports.load(store, &instance)?)
    }
}

impl MatchmakingPolicy for PolicyPlugin {
    fn digest(&self) -> Digest {
        self.service.digest
    }

    fn propose(&self, pool: &Pool) -> Result<Proposals, PluginFault> {
        let mut place = self.warm.lock().unwrap_or_else(PoisonError::into_inner);
        self.service.admit()?;
        let answer = |store: &mut Store<Guest>, exports: &Exports| {
            store.data_mut().forecaster = self.forecaster(pool);
            let proposals = exports.ranked_plugin_matchmaking_policy().call_propose(&mut *store, borrowed(pool))?;
            store.data_mut().forecaster = None;
            self.usable(pool, checked(pool, proposals)?)
        };
        // Taken out for the call: an instance that faulted answers nothing any more and is dropped.
        let (warm, proposals) = match place.take() {
            Some(mut warm) => {
                let proposals = self.service.call("propose", &mut warm.store, |store| answer(store, &warm.exports))?;
                (warm, proposals)
            }
            None => {
                let mut store = self.service.store();
                let (exports, proposals) = self.service.call("propose", &mut store, |store| {
                    let exports = self.start(store)?;
                    let proposals = answer(store, &exports)?;
                    Ok((exports, proposals))
                })?;
                (Warm { store, exports }, proposals)
            }
        };
        *place = Some(warm);
        Ok(proposals)
    }
}

fn borrowed(pool: &Pool) -> wit::Pool<'_> {
    wit::Pool {
        now_ms: pool.now_ms,
        seed: pool.seed,
        waited_ms: &pool.waited_ms,
        member_end: &pool.member_end,
        regions: &pool.regions,
        mean: &pool.mean,
        uncertainty: &pool.uncertainty,
        contests: &pool.contests,
        roles: &pool.roles,
        latency_ms: &pool.latency_ms,
        apart: &pool.apart,
        apart_weight: &pool.apart_weight,
        reach: &pool.reach,
        latency_max_ms: &pool.latency_max_ms,
        slots: &pool.slots,
        backfill_missing: &pool.backfill_missing,
        backfill_region: &pool.backfill_region,
        backfill_mean: &pool.backfill_mean,
    }
}

fn checked(pool: &Pool, proposals: wit::Proposals) -> Result<Proposals, Stop> {
    let wit::Proposals { ticket, team_end, match_end, region, role, quality, backfill, limit } = proposals;
    let bad = |problem| Err(bad_output("propose", problem));
    let (tickets, players) = (pool.tickets(), pool.mean.len());
    // Each queue ticket stands in one match at most, and a team or match has one at least.
    let columns = [("ticket", ticket.len()), ("team-end", team_end.len()), ("match-end", match_end.len())];
    if let Some((name, len)) = columns.into_iter().find(|&(_, len)| len > tickets) {
        return bad(format!("{len} entries of {name} for {tickets} queue tickets"));
    }
    if role.len() > players {
        return bad(format!("{} roles for {players} players", role.len()));
    }
    if limit.len() != tickets {
        return bad(format!("{} limits for {tickets} queue tickets", limit.len()));
    }
    if let Some(unknown) = limit.iter().find(|&&number| Limit::from_number(number).is_none()) {
        return bad(format!("limit {unknown} is unknown"));
    }
    if let Some(quality) = quality.iter().find(|quality| !(0.0..=1.0).contains(*quality)) {
        return bad(format!("quality {quality} is not from 0 to 1"));
    }
    Ok(Proposals { ticket, team_end, match_end, region, role, quality, backfill, limit })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ladder::pool::NEW_MATCH;

    fn duel() -> wit::Proposals {
        wit::Proposals {
            ticket: vec![0, 1],
            team_end: vec![1, 2],
            match_end: vec![2],
            region: vec![0],
            role: Vec::new(),
            quality: vec![1.0],
            backfill: vec![NEW_MATCH],
            limit: vec![0, 0],
        }
    }

    #[test]
    fn an_answer_of_the_wrong_shape_is_the_policys_fault() {
        let pool = Pool { member_end: vec![1, 2], mean: vec![0.0; 2], ..Pool::default() };
        let table = [
            ("good", duel(), false),
            ("more tickets than wait", wit::Proposals { ticket: vec![0, 1, 0], ..duel() }, true),
            ("empty teams without end", wit::Proposals { team_end: vec![0; 3], ..duel() }, true),
            ("empty matches without end", wit::Proposals { match_end: vec![0; 3], ..duel() }, true),
            ("roles for nobody", wit::Proposals { role: vec![0; 3], ..duel() }, true),
            ("a limit missing", wit::Proposals { limit: vec![0], ..duel() }, true),
            ("an unknown limit", wit::Proposals { limit: vec![0, 9], ..duel() }, true),
            ("quality above 1", wit::Proposals { quality: vec![1.5], ..duel() }, true),
            ("quality not a number", wit::Proposals { quality: vec![f64::NAN], ..duel() }, true),
        ];
        for (name, proposals, refused) in table {
            assert_eq!(checked(&pool, proposals).is_err(), refused, "{name}");
        }
    }
}
