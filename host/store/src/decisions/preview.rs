//! What a void would do, before anybody decides: the queue rated in memory without those reports, beside what people see now.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use ladder::id::{GenerationId, JournalSeq, PlayerId, QueueId};
use ladder::rating::RatingEngine;
use ladder::report::Disposition;
use ladder::season::StandingRules;
use ladder::time::UnixSeconds;
use rusqlite::{Connection, Row};

use super::counted;
use crate::error::StoreError;
use crate::generations::{Generation, find_active};
use crate::installation::{InstallRefusal, ReplayProgress};
use crate::journal::Due;
use crate::live::REPORTS_PER_STEP_MAX;
use crate::rating::{InMemory, Standing};
use crate::seasons::{self, Stretch};
use crate::standings::{STANDING, standing};
use crate::{Pending, Store, column, journal};

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
    /// Rates a queue in memory without `left_out`, as its newest revision counts the others. Occupies one reader for as long as that takes.
    pub fn preview_void(
        &self,
        queue: QueueId,
        left_out: Vec<JournalSeq>,
        engine: Arc<dyn RatingEngine>,
        shown: ShownBy,
        mut progress: impl FnMut(ReplayProgress) + Send + 'static,
    ) -> Pending<Result<Preview, InstallRefusal>> {
        self.read_public(move |connection| {
            let left_out: HashSet<JournalSeq> = left_out.into_iter().collect();
            let Some(generation) = find_active(connection, queue)? else { return Ok(Ok(Preview::default())) };
            let mut preview = Preview { generation: Some(generation.id), ..Preview::default() };
            let replay = match replay(connection, queue, &generation, &left_out, engine.as_ref(), &mut preview, &mut progress)? {
                Ok(replay) => replay,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let after = place(replay.standings.into_iter().map(|(player, standing)| Seen::of(player, &standing, shown)).collect());
            preview.moves = compare(stored(connection, generation.id, shown)?, after);
            Ok(Ok(preview))
        })
    }
}

fn replay(
    connection: &Connection,
    queue: QueueId,
    generation: &Generation,
    left_out: &HashSet<JournalSeq>,
    engine: &dyn RatingEngine,
    preview: &mut Preview,
    progress: &mut dyn FnMut(ReplayProgress),
) -> Result<Result<InMemory, InstallRefusal>, StoreError> {
    let mut replay = match InMemory::new(engine) {
        Ok(replay) => replay,
        Err(fault) => return Ok(Err(InstallRefusal::Initial(fault))),
    };
    let revision = counted::newest_revision(connection, queue)?;
    let head = journal::head(connection)?.map_or(JournalSeq(0), |(seq, _)| seq);
    // What waits for the engine in force would wait for it afterwards as well.
    let in_reach = |at: JournalSeq| generation.rated_through.is_none_or(|through| at <= through);
    let (mut after, mut concerned) = (JournalSeq(0), HashSet::new());
    loop {
        let Stretch { reports, season, last } = seasons::load_stretch(connection, queue, revision, after, REPORTS_PER_STEP_MAX)?;
        for Due { seq, facts, .. } in reports.iter().filter(|due| in_reach(due.at)) {
            if left_out.contains(seq) {
                concerned.extend(facts.players.iter().map(|player| player.player));
            } else if facts.disposition == Disposition::Ratable {
                if let Err(fault) = replay.rate(engine, facts) {
                    return Ok(Err(InstallRefusal::Replay { seq: *seq, fault }));
                }
                preview.reports += 1;
            }
        }
        after = reports.last().map_or(after, |due| due.at);
        progress(ReplayProgress { through: after, head });
        let Some(season) = season.filter(|season| in_reach(season.seq)) else {
            if last || reports.is_empty() {
                break;
            }
            continue;
        };
        after = season.seq;
        if let Err(fault) = season.reset_through(engine, &mut replay.standings, PlayerId(u64::MAX)) {
            return Ok(Err(InstallRefusal::Replay { seq: season.seq, fault }));
        }
    }
    preview.players = concerned.len() as u64;
    Ok(Ok(replay))
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
