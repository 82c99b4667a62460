//! What a void would do, before anybody decides: the queue rated in memory without those reports, beside what people see now.

use std::collections::BTreeMap;
use std::sync::Arc;

use ladder::id::{GenerationId, JournalSeq, PlayerId, QueueId};
use ladder::rating::RatingEngine;
use ladder::season::StandingRules;
use ladder::time::UnixSeconds;
use rusqlite::{Connection, Row};

use super::counted;
use crate::error::StoreError;
use crate::generations::find_active;
use crate::installation::{InstallRefusal, ReplayProgress};
use crate::ledger::replay_through;
use crate::rating::Standing;
use crate::standings::{STANDING, standing};
use crate::{Store, column, journal};

/// Ratings as they are, beside ratings as they would be. Nothing was changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preview {
    /// The generation that people see now; `None`: the queue has none.
    pub generation: Option<GenerationId>,
    /// Reports that were rated in memory.
    pub reports: u64,
    /// Players of the reports that would be left out.
    pub players: u64,
    /// Everybody whose rating or rank would be another, in the order of their numbers.
    pub moves: Vec<Move>,
}

/// One player before and after.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Move {
    /// Who.
    pub player: PlayerId,
    /// Now; `None`: not rated.
    pub before: Option<Placed>,
    /// Afterwards; `None`: not rated any more.
    pub after: Option<Placed>,
}

/// Where a player stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placed {
    /// What people see.
    pub visible: f64,
    /// From 1, as on the leaderboard; `None`: the player still plays placement contests.
    pub rank: Option<u64>,
    /// Contests rated.
    pub contests: u32,
}

/// How standings are shown.
#[derive(Clone, Copy, Debug)]
pub struct ShownBy {
    /// The queue's rules.
    pub rules: StandingRules,
    /// When.
    pub now: UnixSeconds,
}

impl Store {
    /// Rates a queue in memory without `left_out`, as its newest revision counts the others. Blocks: for a thread of its own. The host may go on
    /// meanwhile.
    ///
    /// # Errors
    /// The environment's fault; refusals are the inner result.
    pub fn preview_void(
        &self,
        queue: QueueId,
        left_out: Vec<JournalSeq>,
        engine: &Arc<dyn RatingEngine>,
        shown: ShownBy,
        mut progress: impl FnMut(ReplayProgress),
    ) -> Result<Result<Preview, InstallRefusal>, StoreError> {
        let start = move |connection: &Connection| {
            let head = journal::head(connection)?.map_or(JournalSeq(0), |(seq, _)| seq);
            Ok((find_active(connection, queue)?, counted::newest_revision(connection, queue)?, head))
        };
        let (Some(generation), revision, head) = self.read_public(start).wait()? else { return Ok(Ok(Preview::default())) };
        // What waits for the engine in force would wait for it afterwards as well.
        let until = generation.rated_through.unwrap_or(head);
        let (id, left_out) = (generation.id, Arc::new(left_out.into_iter().collect()));
        let at = |through| progress(ReplayProgress { through, head });
        let (mut replay, roster) = match replay_through(self, (queue, revision), &left_out, engine, until, at)? {
            Ok(replayed) => replayed,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Err(fault) = replay.settle() {
            return Ok(Err(InstallRefusal::Initial(fault)));
        }
        let players = replay.players().iter().enumerate();
        let seen = players.filter_map(|(number, &player)| Some(Seen::of(player, &replay.standing(number)?, shown)));
        let after = place(seen.collect());
        let before = self.read_public(move |connection| stored(connection, id, shown)).wait()?;
        let (reports, players) = (replay.reports(), roster.concerned() as u64);
        Ok(Ok(Preview { generation: Some(id), reports, players, moves: compare(before, after) }))
    }
}

/// What a rank goes by.
struct Seen {
    player: PlayerId,
    visible: f64,
    contests: u32,
    is_placed: bool,
}

impl Seen {
    fn of(player: PlayerId, standing: &Standing, shown: ShownBy) -> Self {
        let Standing { contests, wins, losses, draws, last_at, .. } = *standing;
        let visible = shown.rules.shown(standing.visible, last_at.unwrap_or_default(), shown.now);
        let is_placed = wins.saturating_add(losses).saturating_add(draws) >= shown.rules.contests_min();
        Self { player, visible, contests, is_placed }
    }
}

fn stored(connection: &Connection, generation: GenerationId, shown: ShownBy) -> Result<BTreeMap<PlayerId, Placed>, StoreError> {
    let mut load = connection.prepare_cached(STANDING)?;
    let seen = |row: &Row<'_>| Ok(Seen::of(PlayerId(column::number(row, 9)?), &standing(row)?, shown));
    let rows = load.query_map([column::sql(generation.0)], seen)?;
    Ok(place(rows.collect::<rusqlite::Result<_>>()?))
}

/// Ranks as the leaderboard gives them: by what is shown, then by number.
fn place(mut all: Vec<Seen>) -> BTreeMap<PlayerId, Placed> {
    all.sort_by(|one, other| other.visible.total_cmp(&one.visible).then(one.player.cmp(&other.player)));
    let mut placed = 0;
    let rank = |seen: Seen| {
        placed += u64::from(seen.is_placed);
        (seen.player, Placed { visible: seen.visible, rank: seen.is_placed.then_some(placed), contests: seen.contests })
    };
    all.into_iter().map(rank).collect()
}

fn compare(before: BTreeMap<PlayerId, Placed>, mut after: BTreeMap<PlayerId, Placed>) -> Vec<Move> {
    let mut moves = Vec::new();
    for (player, before) in before {
        let after = after.remove(&player);
        let same = after.is_some_and(|after| after.visible.to_bits() == before.visible.to_bits() && after.rank == before.rank);
        if !same {
            moves.push(Move { player, before: Some(before), after });
        }
    }
    moves.extend(after.into_iter().map(|(player, after)| Move { player, before: None, after: Some(after) }));
    moves.sort_by_key(|moved| moved.player);
    moves
}
