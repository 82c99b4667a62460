//! `ranked:plugin/forecast`: a policy asks the queue's own rating engine about line-ups over the pool of its call.
//!
//! What the policy gets is what the pool tells of the players: mean, uncertainty, contests. What the engine remembers beside them, of players
//! and of the queue, plays no part, nor do map and mode, which nobody knows before the match. A line-up that the engine declines, or faults
//! on, is worth 0.5: the policy is not to blame for the engine, whose own counters show it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ladder::bulk::{BulkRatingEngine, Cohort, Journal};
use ladder::fault::PluginFault;
use ladder::pool::Pool;
use ladder::rating::{Entrant, Rating, RatingEngine, Setting};
use ladder::time::UnixSeconds;
use wasmtime::component::Linker;
use wasmtime::{StoreContextMut, Trap};

use crate::guest::Guest;
use crate::limits::STACK_BYTES_CEILING;
use crate::wasi::HostTrap;

/// Line-ups of one call of `propose`, all its forecasts together.
pub const FORECAST_LINE_UPS_MAX: u32 = 20_000;
/// Teams of one line-up.
const TEAMS_MAX: usize = 256;
/// What one player of a line-up costs a policy: about what the engine's work for it is worth.
const PLAYER_FUEL: u64 = 5_000;
/// Line-ups that an engine with the bulk interface is asked about at once.
const PIECE_LINE_UPS: usize = 64;
/// The engine runs on a stack of its own: below it stands the policy's, and a thread has room for one.
const STACK_BYTES: usize = STACK_BYTES_CEILING as usize + (1 << 20);

/// What forecasts of one call of a policy are made from.
pub(crate) struct Forecaster {
    engine: Arc<dyn RatingEngine>,
    at: UnixSeconds,
    mean: Vec<f64>,
    uncertainty: Vec<f64>,
    contests: Vec<u32>,
    line_ups_left: u32,
    /// Players of one contest of the queue.
    players_max: usize,
    /// No line-up is begun after this.
    until: Instant,
}

impl Forecaster {
    pub(crate) fn new(engine: Arc<dyn RatingEngine>, pool: &Pool, players_max: usize, deadline_ms_max: u64) -> Self {
        Self {
            engine,
            at: UnixSeconds(i64::try_from(pool.now_ms / 1000).unwrap_or(i64::MAX)),
            mean: pool.mean.clone(),
            uncertainty: pool.uncertainty.clone(),
            contests: pool.contests.clone(),
            line_ups_left: FORECAST_LINE_UPS_MAX,
            players_max,
            until: Instant::now() + Duration::from_millis(deadline_ms_max),
        }
    }
}

/// Line-ups of one forecast: every index checked.
struct LineUps {
    /// Players per team, teams per line-up.
    teams: Vec<Vec<Vec<u32>>>,
}

impl LineUps {
    /// Checks what a policy asks for. The problem is the policy's fault.
    fn parse(players: usize, players_max: usize, player: &[u32], team_end: &[u32], line_up_end: &[u32]) -> Result<Self, String> {
        if let Some(unknown) = player.iter().find(|&&index| index as usize >= players) {
            return Err(format!("player {unknown} of {players}"));
        }
        let teams = cut(player, team_end).ok_or("the ends of the teams do not fit the players")?;
        if teams.iter().any(|team| team.is_empty()) {
            return Err("a team of nobody".to_owned());
        }
        let line_ups = cut(&teams, line_up_end).ok_or("the ends of the line-ups do not fit the teams")?;
        if let Some(line_up) = line_ups.iter().find(|line_up| !(2..=TEAMS_MAX).contains(&line_up.len())) {
            return Err(format!("a line-up of {} teams", line_up.len()));
        }
        // No larger than a contest of the queue: the engine's budget is meant for that, and so is what the host keeps meanwhile.
        let mut seen: Vec<u32> = Vec::with_capacity(players_max);
        for line_up in &line_ups {
            seen.clear();
            seen.extend(line_up.iter().copied().flatten().take(players_max + 1));
            if seen.len() > players_max {
                return Err(format!("a line-up of more than the {players_max} players of a contest"));
            }
            seen.sort_unstable();
            if let Some(twice) = seen.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(format!("player {} twice in one line-up", twice[0]));
            }
        }
        let owned = line_ups.into_iter().map(|line_up| line_up.iter().map(|team| team.to_vec()).collect());
        Ok(Self { teams: owned.collect() })
    }

    /// Values of the answer.
    fn pairs(&self) -> usize {
        self.teams.iter().map(|line_up| pairs(line_up)).sum()
    }
}

/// Pieces of `all` that end at `ends`, which must ascend and end at its end.
fn cut<'a, T>(all: &'a [T], ends: &[u32]) -> Option<Vec<&'a [T]>> {
    let mut from = 0;
    let piece = |&end: &u32| {
        let piece = all.get(from..end as usize)?;
        from = end as usize;
        Some(piece)
    };
    let pieces = ends.iter().map(piece).collect::<Option<Vec<_>>>()?;
    (from == all.len()).then_some(pieces)
}

fn pairs(line_up: &[Vec<u32>]) -> usize {
    line_up.len() * (line_up.len() - 1) / 2
}

impl Forecaster {
    /// One value per pair of teams, line-up after line-up.
    fn predict(&self, line_ups: &LineUps) -> Result<Vec<f64>, Trap> {
        let on_its_stack = || std::thread::Builder::new().stack_size(STACK_BYTES);
        std::thread::scope(|scope| {
            let run = on_its_stack().name("plugin-forecast".to_owned()).spawn_scoped(scope, || match self.engine.bulk() {
                Some(bulk) => self.predict_many(bulk, line_ups),
                None => self.predict_each(line_ups),
            });
            match run {
                Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                Err(error) => {
                    tracing::error!(%error, "no thread for a forecast");
                    Ok(vec![0.5; line_ups.pairs()])
                }
            }
        })
    }

    /// In pieces, between which the clock is looked at: nothing else ends a call that the host makes for the policy.
    fn predict_many(&self, bulk: &dyn BulkRatingEngine, line_ups: &LineUps) -> Result<Vec<f64>, Trap> {
        let mut values = Vec::with_capacity(line_ups.pairs());
        for piece in line_ups.teams.chunks(PIECE_LINE_UPS) {
            if Instant::now() > self.until {
                return Err(Trap::Interrupt);
            }
            values.extend(self.predict_piece(bulk, piece));
        }
        Ok(values)
    }

    fn predict_piece(&self, bulk: &dyn BulkRatingEngine, line_ups: &[Vec<Vec<u32>>]) -> Vec<f64> {
        let (mut cohort, mut journal, mut numbers) = (Cohort::default(), Journal::default(), BTreeMap::new());
        for line_up in line_ups {
            let number = |&player: &u32| {
                *numbers.entry(player).or_insert_with(|| cohort.push(&self.rating(player), self.contests[player as usize], self.at))
            };
            let players: Vec<u32> = line_up.iter().flatten().map(number).collect();
            journal.push_line_up(&self.entrants(line_up), &self.setting(), line_up.len(), &players);
        }
        bulk.predict_many(&[], &cohort, &journal).unwrap_or_else(|_| vec![0.5; line_ups.iter().map(|line_up| pairs(line_up)).sum()])
    }

    fn predict_each(&self, line_ups: &LineUps) -> Result<Vec<f64>, Trap> {
        let mut values = Vec::with_capacity(line_ups.pairs());
        for line_up in &line_ups.teams {
            if Instant::now() > self.until {
                return Err(Trap::Interrupt);
            }
            let predicted = self.engine.predict(&[], &self.entrants(line_up), &self.setting());
            values.extend(predicted.unwrap_or_else(|_| vec![0.5; pairs(line_up)]));
        }
        Ok(values)
    }

    fn setting(&self) -> Setting {
        Setting { at_s: self.at, ..Setting::default() }
    }

    fn rating(&self, player: u32) -> Rating {
        Rating { mean: self.mean[player as usize], uncertainty: self.uncertainty[player as usize], memory: Vec::new() }
    }

    fn entrants(&self, line_up: &[Vec<u32>]) -> Vec<Entrant> {
        let entrant = |team, player: &u32| Entrant {
            rating: self.rating(*player),
            team,
            contests: self.contests[*player as usize],
            idle_s: 0,
            presence: 1.0,
            stats: Vec::new(),
        };
        (0..).zip(line_up).flat_map(|(team, players)| players.iter().map(move |player| entrant(team, player))).collect()
    }
}

/// Offers `ranked:plugin/forecast` to a policy.
pub(crate) fn offer_forecast(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut forecast = linker.instance("ranked:plugin/forecast@1.0.0")?;
    forecast.func_wrap(
        "forecast",
        |mut store: StoreContextMut<'_, Guest>, (player, team_end, line_up_end): (Vec<u32>, Vec<u32>, Vec<u32>)| {
            let fuel = store.get_fuel()?.checked_sub(PLAYER_FUEL.saturating_mul(player.len() as u64));
            let Some(fuel) = fuel else {
                store.set_fuel(0)?;
                return Err(Trap::OutOfFuel.into());
            };
            store.set_fuel(fuel)?;
            store.data_mut().forecast(&player, &team_end, &line_up_end).map(|values| (values,))
        },
    )
}

impl Guest {
    fn forecast(&mut self, player: &[u32], team_end: &[u32], line_up_end: &[u32]) -> wasmtime::Result<Vec<f64>> {
        self.charge((player.len() + team_end.len() + line_up_end.len()) as u64 * size_of::<u32>() as u64)?;
        let Some(forecaster) = &mut self.forecaster else { return Err(HostTrap::NoForecast.into()) };
        let line_ups = LineUps::parse(forecaster.mean.len(), forecaster.players_max, player, team_end, line_up_end);
        let left = u32::try_from(line_up_end.len()).ok().and_then(|asked| forecaster.line_ups_left.checked_sub(asked));
        let (line_ups, left) = match (line_ups, left) {
            (Ok(line_ups), Some(left)) => (line_ups, left),
            (Err(problem), _) => return Err(self.refuse(PluginFault::BadOutput { place: "forecast", problem })),
            (_, None) => {
                let problem = format!("asks about more than {FORECAST_LINE_UPS_MAX} line-ups in one call");
                return Err(self.refuse(PluginFault::BadOutput { place: "forecast", problem }));
            }
        };
        forecaster.line_ups_left = left;
        self.charge(line_ups.pairs() as u64 * size_of::<f64>() as u64)?;
        let Some(forecaster) = &self.forecaster else { return Err(HostTrap::NoForecast.into()) };
        Ok(forecaster.predict(&line_ups)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ups_name_players_of_the_pool_and_have_teams() {
        type Columns<'a> = (&'a [u32], &'a [u32], &'a [u32]);
        let table: [(&str, Columns<'_>, bool); 11] = [
            ("more than a contest has", (&[0, 1, 2], &[1, 3], &[2]), false),
            ("a player against himself", (&[1, 1], &[1, 2], &[2]), false),
            ("a duel", (&[0, 1], &[1, 2], &[2]), true),
            ("none", (&[], &[], &[]), true),
            ("two line-ups of the same players", (&[0, 1, 1, 0], &[1, 2, 3, 4], &[2, 4]), true),
            ("a stranger", (&[0, 3], &[1, 2], &[2]), false),
            ("a team of nobody", (&[0, 1], &[1, 1, 2], &[3]), false),
            ("one team", (&[0, 1], &[2], &[1]), false),
            ("players without a team", (&[0, 1, 2], &[1, 2], &[2]), false),
            ("descending ends", (&[0, 1], &[2, 1], &[2]), false),
            ("an end behind everything", (&[0, 1], &[1, 9], &[2]), false),
        ];
        for (name, (player, team_end, line_up_end), good) in table {
            assert_eq!(LineUps::parse(3, 2, player, team_end, line_up_end).is_ok(), good, "{name}");
        }
    }
}
