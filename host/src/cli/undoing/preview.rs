//! The look before: how many matches and players, who moves most, who crosses a tier. Nothing is changed by looking.

use std::collections::HashMap;
use std::sync::Arc;

use ladder::id::{PlayerId, QueueId};
use ladder::rating::RatingEngine;
use ladder::season::Tier;
use plugin_runtime::Runtime;
use serde_json::{Value, json};
use store::{Move, Placed, Preview, ReplayProgress, ShownBy, Store, TaintedReports};

use crate::cli::failure::{Failure, chain};
use crate::cli::journal::progress_bar;
use crate::cli::terminal::table;
use crate::cli::{Context, text};
use crate::config::Config;
use crate::plugins;

/// Moves and crossings that are listed, each.
const LISTED_MAX: usize = 20;
/// Ranks that count as thresholds in a queue without tiers.
const RANKS: [u64; 2] = [10, 100];

/// One queue's part of a void, as it would be.
pub(in crate::cli) struct Shown {
    queue: String,
    reports: usize,
    preview: Preview,
    /// The largest moves first.
    largest: Vec<Move>,
    crossings: Vec<Crossing>,
    crossings_total: usize,
    names: HashMap<PlayerId, String>,
}

/// A player who crosses a threshold.
struct Crossing {
    moved: Move,
    before: String,
    after: String,
}

/// Rates every queue in memory without the reports, through the engine in force.
pub(in crate::cli) fn preview(
    context: &Context<'_>,
    config: &Config,
    store: &Store,
    tainted: &TaintedReports,
) -> Result<Vec<Shown>, Failure> {
    let runtime = Runtime::new().map_err(|error| Failure::environment(chain(&error)))?;
    let names = store.list_queues().wait()?;
    let mut shown = Vec::with_capacity(tainted.len());
    for (queue, reports) in tainted {
        let name = names.iter().find(|(id, _)| id == queue).map_or_else(|| queue.to_string(), |(_, name)| name.clone());
        let engine = load_engine(&runtime, config, store, *queue, &name)?;
        let bar = progress_bar(context, 0, "journal entries");
        let progress = |ReplayProgress { through, head }: ReplayProgress| {
            bar.set_length(head.0);
            bar.set_position(through.0);
        };
        let rules = config.queue(&name).map(|queue| queue.season.rules).unwrap_or_default();
        let by = ShownBy { rules, now: context.clock.now().seconds() };
        let preview = store.preview_void(*queue, reports.clone(), &engine, by, progress)?;
        bar.finish_and_clear();
        let preview = preview.map_err(|refusal| Failure::refused(format!("queue {name} cannot be rated: {}", chain(&refusal)), ""))?;
        let tiers = config.queue(&name).map_or(&[][..], |queue| &queue.tiers);
        shown.push(Shown::new(store, name, reports.len(), preview, tiers)?);
    }
    Ok(shown)
}

/// The engine in force, which must be the one that `plugins.toml` names: with another one everything would move.
fn load_engine(runtime: &Runtime, config: &Config, store: &Store, queue: QueueId, name: &str) -> Result<Arc<dyn RatingEngine>, Failure> {
    let configured = config.queue(name).ok_or_else(|| {
        Failure::refused(format!("queue {name} is not in plugins.toml any more"), "put it back: its rating engine is needed for the look")
    })?;
    let engine = plugins::load_rating(runtime, config, configured)?;
    let active = store.active_engine(queue).wait()?;
    match active {
        Some(active) if active.digest != engine.digest() || active.parameters != engine.parameters() => Err(Failure::refused(
            format!("queue {name} is rated by another engine than plugins.toml names"),
            "`ranked plugin reload`, or start the host: then look again",
        )),
        _ => Ok(Arc::new(engine)),
    }
}

impl Shown {
    fn new(store: &Store, queue: String, reports: usize, preview: Preview, tiers: &[Tier]) -> Result<Self, Failure> {
        let mut largest: Vec<Move> = preview.moves.iter().filter(|moved| change(moved) != Some(0.0)).copied().collect();
        // Who leaves or enters the ratings comes first.
        let size = |moved: &Move| change(moved).map_or(f64::INFINITY, f64::abs);
        largest.sort_by(|one, other| size(other).total_cmp(&size(one)).then(one.player.cmp(&other.player)));
        let mut crossings: Vec<Crossing> = preview.moves.iter().filter_map(|moved| Crossing::of(moved, tiers)).collect();
        crossings.sort_by(|one, other| size(&other.moved).total_cmp(&size(&one.moved)).then(one.moved.player.cmp(&other.moved.player)));
        let crossings_total = crossings.len();
        largest.truncate(LISTED_MAX);
        crossings.truncate(LISTED_MAX);
        let mut names = HashMap::new();
        for player in largest.iter().chain(crossings.iter().map(|crossing| &crossing.moved)).map(|moved| moved.player) {
            let name = store.find_player(player).wait()?.map_or_else(|| player.to_string(), |account| account.name);
            names.insert(player, name);
        }
        Ok(Self { queue, reports, preview, largest, crossings, crossings_total, names })
    }

    fn name(&self, player: PlayerId) -> &str {
        self.names.get(&player).map_or("?", String::as_str)
    }

    /// For people.
    pub(in crate::cli) fn render(&self) -> String {
        let Self { queue, reports, preview, .. } = self;
        let moved = preview.moves.iter().filter(|moved| change(moved) != Some(0.0)).count();
        let mut shown = format!(
            "queue     {}: {reports} reports of {} players; {} reports stay\nmoves     {moved} players' ratings, {} crossings\n",
            text::printable(queue),
            preview.players,
            preview.reports,
            self.crossings_total,
        );
        if !self.largest.is_empty() {
            let rows = self.largest.iter().map(|moved| {
                let [rating, later] =
                    [moved.before, moved.after].map(|placed| placed.map_or("-".to_owned(), |at| format!("{:.2}", at.visible)));
                let [rank, rank_later] = [moved.before, moved.after].map(rank);
                let by = change(moved).map_or("-".to_owned(), |by| format!("{by:+.2}"));
                [text::printable(self.name(moved.player)), rating, later, by, rank, rank_later]
            });
            shown.push_str(&table(["PLAYER", "RATING", "WITHOUT", "CHANGE", "RANK", "WITHOUT"], rows));
        }
        if !self.crossings.is_empty() {
            let rows = self.crossings.iter().map(|Crossing { moved, before, after }| {
                [text::printable(self.name(moved.player)), text::printable(before), text::printable(after)]
            });
            shown.push_str(&table(["CROSSES", "FROM", "TO"], rows));
        }
        shown
    }

    /// For machines.
    pub(in crate::cli) fn to_json(&self) -> Value {
        let placed = |placed: Option<Placed>| placed.map(|at| json!({ "rating": at.visible, "rank": at.rank, "contests": at.contests }));
        let named = |moved: &Move| {
            json!({
                "player_id": moved.player.0,
                "name": self.name(moved.player),
                "before": placed(moved.before),
                "after": placed(moved.after),
            })
        };
        let crossings = self
            .crossings
            .iter()
            .map(|crossing| json!({ "player": named(&crossing.moved), "from": crossing.before, "to": crossing.after }));
        json!({
            "queue": self.queue,
            "reports": self.reports,
            "players": self.preview.players,
            "reports_left": self.preview.reports,
            "moved": self.preview.moves.iter().filter(|moved| change(moved) != Some(0.0)).count(),
            "largest": self.largest.iter().map(named).collect::<Vec<_>>(),
            "crossings_total": self.crossings_total,
            "crossings": crossings.collect::<Vec<_>>(),
        })
    }
}

/// On the leaderboard, as people read it.
fn rank(placed: Option<Placed>) -> String {
    placed.and_then(|at| at.rank).map_or_else(|| "-".to_owned(), |rank| rank.to_string())
}

/// By how much the visible rating changes; `None`: the player enters or leaves the ratings.
fn change(moved: &Move) -> Option<f64> {
    Some(moved.after?.visible - moved.before?.visible)
}

impl Crossing {
    /// `None`: the player stays on the same side of every threshold.
    fn of(moved: &Move, tiers: &[Tier]) -> Option<Self> {
        let at = |placed: Option<Placed>| placed.map_or_else(|| "not rated".to_owned(), |placed| threshold(placed, tiers));
        let (before, after) = (at(moved.before), at(moved.after));
        (before != after).then_some(Self { moved: *moved, before, after })
    }
}

/// The tier of a rating; without tiers, the best of the ranks that people look at.
fn threshold(placed: Placed, tiers: &[Tier]) -> String {
    if tiers.is_empty() {
        let best = RANKS.into_iter().find(|&best| placed.rank.is_some_and(|rank| rank <= best));
        return best.map_or_else(|| "below".to_owned(), |rank| format!("top {rank}"));
    }
    Tier::of(tiers, placed.visible).map_or_else(|| "below every tier".to_owned(), |tier| tier.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(visible: f64, rank: u64) -> Option<Placed> {
        Some(Placed { visible, rank: Some(rank), contests: 3 })
    }

    #[test]
    fn a_crossing_is_a_tier_that_changes_or_a_rank_where_there_are_none() {
        let tiers = [("bronze", 0.0), ("silver", 10.0), ("gold", 20.0)].map(|(name, from)| Tier { name: name.to_owned(), from });
        let none: &[Tier] = &[];
        for (name, before, after, tiers, expected) in [
            ("down a tier", placed(20.0, 1), placed(19.9, 1), &tiers[..], Some(("gold", "silver"))),
            ("within a tier", placed(20.0, 1), placed(29.9, 90), &tiers, None),
            ("below all", placed(1.0, 5), placed(-1.0, 6), &tiers, Some(("bronze", "below every tier"))),
            ("out of the ratings", placed(12.0, 5), None, &tiers, Some(("silver", "not rated"))),
            ("into the top ten", placed(1.0, 11), placed(1.0, 10), none, Some(("top 100", "top 10"))),
            ("out of the top hundred", placed(1.0, 100), placed(1.0, 101), none, Some(("top 100", "below"))),
            ("within the top ten", placed(1.0, 10), placed(2.0, 1), none, None),
        ] {
            let crossing = Crossing::of(&Move { player: PlayerId(1), before, after }, tiers);
            let found = crossing.as_ref().map(|crossing| (crossing.before.as_str(), crossing.after.as_str()));
            assert_eq!(found, expected, "{name}");
        }
    }
}
