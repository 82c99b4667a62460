//! What the victim of the kill test and its killer agree on.

use ladder::id::{MatchId, PlayerId, QueueId, ReportId, ServerId};
use ladder::queue::QueueShape;
use ladder::report::{AcceptedPlayer, Disposition, Provenance, ReportFacts, Source};
use ladder::time::UnixSeconds;
use plugin_runtime::{Limits, PluginSource, PluginSpec, RatingPlugin, Role, Runtime};

/// The queue they use.
pub const QUEUE: &str = "duel";
const PLAYERS: usize = 40;

/// Where a report comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Imported history, numbered by the victim.
    Import,
    /// A match that this game server hosted, numbered by the store.
    Match(ServerId),
}

/// Names of the players.
#[must_use]
pub fn player_names() -> Vec<String> {
    (0..PLAYERS).map(|number| format!("player-{number}")).collect()
}

/// The built-in rating engine, in its sandbox. The deadline is generous: the machine may be busy with other tests.
///
/// # Errors
/// The component does not load.
pub fn engine() -> anyhow::Result<RatingPlugin> {
    engine_with("")
}

/// The same component with other parameters: another engine as far as ratings are concerned.
///
/// # Errors
/// The component does not load.
pub fn other_engine() -> anyhow::Result<RatingPlugin> {
    engine_with(r#"{"mu": 1500.0, "sigma": 350.0, "beta": 200.0, "tau": 3.5}"#)
}

fn engine_with(parameters: &str) -> anyhow::Result<RatingPlugin> {
    let shape = QueueShape { queue: QUEUE.into(), teams: 2, team_sizes: vec![1], ..QueueShape::default() };
    let source = PluginSource::builtin("gaussian").ok_or_else(|| anyhow::anyhow!("gaussian is embedded"))?;
    let limits = Limits { deadline_ms_max: 10_000, ..Limits::of(Role::Rating) };
    let spec = PluginSpec { limits, parameters: parameters.to_owned(), ..PluginSpec::new("duel.rating", Role::Rating, source) };
    Ok(Runtime::new()?.load_rating(spec, &shape)?)
}

/// Who plays contest `number`: everybody meets everybody in time.
#[must_use]
pub fn pair(players: &[PlayerId], number: u64) -> [PlayerId; 2] {
    let count = players.len() as u64;
    let (round, seat) = (number / count, number % count);
    let apart = 1 + round % (count - 1);
    [players[seat as usize], players[((seat + apart) % count) as usize]]
}

/// The report id of contest `number`: sent again after a crash it is the same.
#[must_use]
pub fn report_id(stream: Stream, number: u64) -> ReportId {
    let mut id = [0; 16];
    id[0] = u8::from(stream == Stream::Import);
    id[8..].copy_from_slice(&number.to_be_bytes());
    ReportId(id)
}

/// The report of contest `number`: who wins, or whether it is a draw, follows from the number.
#[must_use]
pub fn facts(stream: Stream, number: u64, queue: QueueId, players: &[PlayerId; 2]) -> ReportFacts {
    let (match_id, source) = match stream {
        Stream::Import => (None, Source::Import),
        Stream::Match(server) => (Some(MatchId(number)), Source::Server(server)),
    };
    let places = match number % 5 {
        0 => vec![0, 0],
        1 | 2 => vec![1, 0],
        _ => vec![0, 1],
    };
    let seat = |(player, team)| AcceptedPlayer { player, team, presence: 1.0, stats: vec![] };
    ReportFacts {
        report_id: report_id(stream, number),
        match_id,
        provenance: Provenance { queue, source, at: UnixSeconds(i64::try_from(number).unwrap_or(i64::MAX)), trust: 1.0, rules: None },
        duration_s: 600,
        places,
        scores: vec![],
        sides: vec![],
        map: None,
        mode: None,
        totals: vec![],
        players: players.iter().copied().zip(0..).map(seat).collect(),
        disposition: Disposition::Ratable,
        clamped: 0,
        reasons: vec![],
    }
}
