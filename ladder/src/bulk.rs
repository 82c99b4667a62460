//! Many contests in one call, in columns: what replays, shadows and forecasts are made of.
//!
//! A [`Cohort`] is what is known of players, a [`Journal`] is who met whom and how it ended; players are numbered by their place in the
//! cohort. Both can only be built so that their columns fit each other. A bulk answer is the answer of [`RatingEngine::rate`] called
//! contest by contest, bit for bit; only the speed differs.
//!
//! [`RatingEngine::rate`]: crate::rating::RatingEngine::rate

use alloc::vec::Vec;

use crate::fault::PluginFault;
use crate::rating::{Contest, Entrant, Rating, Setting, Stat};
use crate::report::ReportFacts;
use crate::time::UnixSeconds;

/// A map, mode or side that is not known, in a column.
pub const INDEX_UNKNOWN: u16 = u16::MAX;

/// What the ladder asks of a rating engine that rates thousands of contests a call.
///
/// Implementations have already checked every answer, and compare samples bit for bit with [`rate`](crate::rating::RatingEngine::rate).
pub trait BulkRatingEngine: Send + Sync {
    /// Predicts and rates the contests of `journal` in order. `memory` is that of the queue, empty before the first contest. `traced`:
    /// whether [`Outcome::trace`] is wanted.
    ///
    /// # Errors
    /// The plugin's fault: nothing was rated. A contest that the engine declines is no error, see [`Outcome::declined`].
    ///
    /// # Panics
    /// The caller's fault: a contest names a player that the cohort does not have.
    fn rate_many(&self, memory: &[u8], cohort: Cohort, journal: &Journal, traced: bool) -> Result<Outcome, PluginFault>;

    /// Predicts every line-up from the same cohort: one probability per pair of teams, line-up after line-up, 0.5 where the engine declines.
    ///
    /// # Errors
    /// The plugin's fault.
    ///
    /// # Panics
    /// The caller's fault: a line-up names a player that the cohort does not have.
    fn predict_many(&self, memory: &[u8], cohort: &Cohort, line_ups: &Journal) -> Result<Vec<f64>, PluginFault>;

    /// What people see, for every player of the cohort.
    ///
    /// # Errors
    /// The plugin's fault.
    fn visible_many(&self, cohort: &Cohort) -> Result<Vec<f64>, PluginFault>;
}

/// What rating a journal came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// The cohort after the last contest.
    pub cohort: Cohort,
    /// What the engine remembers of the queue after the last contest.
    pub memory: Vec<u8>,
    /// Contests that the engine declined, in order: they changed nothing, and the contests after them were rated all the same.
    pub declined: Vec<Declined>,
    /// What the engine predicted of each contest before it was rated, one probability per pair of teams ([`Journal::pairs`] each).
    pub predicted: Vec<f64>,
    /// What each contest left behind; empty unless it was asked for.
    pub trace: Trace,
}

/// A contest that the engine did not rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declined {
    /// Which contest of the journal, from 0.
    pub contest: usize,
    /// The WIT case, kebab-case: the detail of [`PluginFault::Declined`].
    pub detail: &'static str,
}

/// Per entrant of the journal, in its order: the rating after that contest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// Expected skill.
    pub mean: Vec<f64>,
    /// Standard deviation.
    pub uncertainty: Vec<f64>,
    /// What people see.
    pub visible: Vec<f64>,
}

/// What is known of players, in columns of one length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cohort {
    mean: Vec<f64>,
    uncertainty: Vec<f64>,
    contests: Vec<u32>,
    last_at_s: Vec<i64>,
    /// Empty as long as no player has a memory.
    memories: Vec<Vec<u8>>,
}

impl Cohort {
    /// Adds a player; returns its number. `last_at` means nothing while `contests` is 0.
    ///
    /// # Panics
    /// The caller's fault: more than 2^32 players.
    pub fn push(&mut self, rating: &Rating, contests: u32, last_at: UnixSeconds) -> u32 {
        let player = u32::try_from(self.len()).expect("a cohort numbers its players with 32 bits");
        self.mean.push(rating.mean);
        self.uncertainty.push(rating.uncertainty);
        self.contests.push(contests);
        self.last_at_s.push(last_at.0);
        if !self.memories.is_empty() || !rating.memory.is_empty() {
            self.memories.resize_with(self.mean.len(), Vec::new);
            self.memories[player as usize].clone_from(&rating.memory);
        }
        player
    }

    /// A cohort of columns that came back from an engine. `memories` is empty or has one entry a player.
    ///
    /// # Panics
    /// The caller's fault: columns of different lengths.
    #[must_use]
    pub fn from_columns(mean: Vec<f64>, uncertainty: Vec<f64>, contests: Vec<u32>, last_at_s: Vec<i64>, memories: Vec<Vec<u8>>) -> Self {
        let len = mean.len();
        let fits = [uncertainty.len(), contests.len(), last_at_s.len()] == [len; 3] && (memories.is_empty() || memories.len() == len);
        assert!(fits, "the columns of a cohort have one length");
        Self { mean, uncertainty, contests, last_at_s, memories }
    }

    /// Number of players.
    #[must_use]
    pub fn len(&self) -> usize {
        self.mean.len()
    }

    /// Whether there are no players.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.mean.is_empty()
    }

    /// The belief about one player.
    ///
    /// # Panics
    /// The caller's fault, like all panics of this type: no such player.
    #[must_use]
    pub fn rating(&self, player: u32) -> Rating {
        let memory = self.memory(player).to_vec();
        let player = player as usize;
        Rating { mean: self.mean[player], uncertainty: self.uncertainty[player], memory }
    }

    /// Contests rated, and the time of the last one.
    #[must_use]
    pub fn played(&self, player: u32) -> (u32, UnixSeconds) {
        (self.contests[player as usize], UnixSeconds(self.last_at_s[player as usize]))
    }

    /// What the engine remembers of one player.
    #[must_use]
    pub fn memory(&self, player: u32) -> &[u8] {
        self.memories.get(player as usize).map_or(&[], Vec::as_slice)
    }

    /// Whether the engine remembers anything of any player.
    #[must_use]
    pub fn has_memories(&self) -> bool {
        !self.memories.is_empty()
    }

    /// Replaces everything about one player.
    pub fn set(&mut self, player: u32, belief: (f64, f64), contests: u32, last_at: UnixSeconds, memory: &[u8]) {
        let index = player as usize;
        (self.mean[index], self.uncertainty[index]) = belief;
        self.contests[index] = contests;
        self.last_at_s[index] = last_at.0;
        if !self.memories.is_empty() || !memory.is_empty() {
            self.memories.resize_with(self.mean.len(), Vec::new);
            self.memories[index].clear();
            self.memories[index].extend_from_slice(memory);
        }
    }

    /// Expected skill of every player.
    #[must_use]
    pub fn means(&self) -> &[f64] {
        &self.mean
    }

    /// Standard deviation of every player.
    #[must_use]
    pub fn uncertainties(&self) -> &[f64] {
        &self.uncertainty
    }

    /// Contests rated, of every player.
    #[must_use]
    pub fn contests(&self) -> &[u32] {
        &self.contests
    }

    /// Time of the last rated contest of every player, in Unix seconds; means nothing where there was none.
    #[must_use]
    pub fn last_at_s(&self) -> &[i64] {
        &self.last_at_s
    }

    /// Players of another cohort, in the order of `players`.
    #[must_use]
    pub fn pick(&self, players: &[u32]) -> Self {
        let index = |&player: &u32| player as usize;
        Self {
            mean: players.iter().map(|player| self.mean[index(player)]).collect(),
            uncertainty: players.iter().map(|player| self.uncertainty[index(player)]).collect(),
            contests: players.iter().map(|player| self.contests[index(player)]).collect(),
            last_at_s: players.iter().map(|player| self.last_at_s[index(player)]).collect(),
            memories: if self.memories.is_empty() {
                Vec::new()
            } else {
                players.iter().map(|player| self.memories[index(player)].clone()).collect()
            },
        }
    }

    /// Puts the players of `picked` back where [`Self::pick`] with the same `players` took them from.
    ///
    /// # Panics
    /// The caller's fault: another number of players.
    pub fn put_back(&mut self, players: &[u32], picked: Self) {
        assert_eq!(players.len(), picked.len(), "as many players come back as were picked");
        for (at, &player) in players.iter().enumerate() {
            let player = player as usize;
            self.mean[player] = picked.mean[at];
            self.uncertainty[player] = picked.uncertainty[at];
            self.contests[player] = picked.contests[at];
            self.last_at_s[player] = picked.last_at_s[at];
        }
        if !picked.memories.is_empty() || !self.memories.is_empty() {
            self.memories.resize_with(self.mean.len(), Vec::new);
            let mut memories = picked.memories;
            memories.resize_with(players.len(), Vec::new);
            for (&player, memory) in players.iter().zip(memories) {
                self.memories[player as usize] = memory;
            }
        }
    }

    /// One player as the contest before which the engine is asked sees it.
    #[must_use]
    pub fn entrant(&self, player: u32, team: u16, at: UnixSeconds) -> Entrant {
        let (contests, last_at) = self.played(player);
        let idle = if contests == 0 { 0 } else { at.0.saturating_sub(last_at.0) };
        Entrant {
            rating: self.rating(player),
            team,
            contests,
            // Reports may arrive out of time order: nobody was idle for less than nothing.
            idle_s: u64::try_from(idle).unwrap_or(0),
            presence: 1.0,
            stats: Vec::new(),
        }
    }
}

/// Contests in columns, as the contract's `journal`. Ends are cumulative: what belongs to entry n lies between the ends of n - 1 and n.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    /// Per contest: when it ended.
    pub at_s: Vec<i64>,
    /// Per contest: how far the host trusts the result, 0 to 1.
    pub trust: Vec<f64>,
    /// Per contest; [`INDEX_UNKNOWN`] if not known.
    pub map_index: Vec<u16>,
    /// Per contest; [`INDEX_UNKNOWN`] if not known.
    pub mode_index: Vec<u16>,
    /// Per team; [`INDEX_UNKNOWN`] if not known.
    pub side: Vec<u16>,
    /// Per contest: 1 if `score` means something.
    pub has_score: Vec<u8>,
    /// Per contest: end in `total_index` and `total_value`.
    pub total_end: Vec<u32>,
    /// Which contest-wide statistic.
    pub total_index: Vec<u16>,
    /// Its value.
    pub total_value: Vec<f64>,
    /// Per contest: end in the columns of teams.
    pub team_end: Vec<u32>,
    /// Per team: 0 is best.
    pub place: Vec<u16>,
    /// Per team; 0 where the contest has none.
    pub score: Vec<f64>,
    /// Per team: end in the columns of entrants.
    pub entrant_end: Vec<u32>,
    /// Per entrant: player of the cohort.
    pub entrant: Vec<u32>,
    /// Per entrant: 0 to 1.
    pub presence: Vec<f64>,
    /// Per entrant: end in `stat_index` and `stat_value`.
    pub stat_end: Vec<u32>,
    /// Which statistic.
    pub stat_index: Vec<u16>,
    /// Its value.
    pub stat_value: Vec<f64>,
}

/// Contests in the order in which they are rated. Within a contest entrants stand team after team.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Journal(Columns);

/// One entrant on its way into the columns.
#[derive(Clone, Copy)]
struct Seat<'a> {
    team: u16,
    player: u32,
    presence: f64,
    stats: &'a [Stat],
}

impl Journal {
    /// The columns, for whoever hands them to an engine.
    #[must_use]
    pub fn columns(&self) -> &Columns {
        &self.0
    }

    /// Number of contests.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.at_s.len()
    }

    /// Whether there are no contests.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.at_s.is_empty()
    }

    /// Adds a contest. `players` numbers its entrants in their order; what the entrants say about ratings is not looked at, the cohort
    /// knows it. Entrants are stored team after team, those of a team in their order.
    ///
    /// # Panics
    /// The caller's fault: another number of players than entrants.
    pub fn push(&mut self, contest: &Contest, players: &[u32]) {
        let seats = seats(&contest.entrants, players);
        self.push_setting(&contest.setting, contest.places.len());
        self.push_result(contest.trust, &contest.places, &contest.scores, &contest.totals);
        self.push_seats(seats, contest.places.len());
    }

    /// Adds an accepted report. `players` numbers the report's players in their order.
    ///
    /// # Panics
    /// The caller's fault: another number of players than the report has.
    pub fn push_report(&mut self, facts: &ReportFacts, players: &[u32]) {
        assert_eq!(facts.players.len(), players.len(), "each player of a report has a number");
        let numbered = facts.players.iter().zip(players);
        let seats = numbered.map(|(from, &player)| Seat { team: from.team, player, presence: from.presence, stats: &from.stats }).collect();
        let setting = Setting { at_s: facts.provenance.at, map: facts.map, mode: facts.mode, sides: facts.sides.clone() };
        self.push_setting(&setting, facts.places.len());
        self.push_result(facts.provenance.trust, &facts.places, &facts.scores, &facts.totals);
        self.push_seats(seats, facts.places.len());
    }

    /// Adds a contest that is yet to play, of `teams` teams: for [`BulkRatingEngine::predict_many`].
    ///
    /// # Panics
    /// The caller's fault: another number of players than entrants.
    pub fn push_line_up(&mut self, line_up: &[Entrant], setting: &Setting, teams: usize, players: &[u32]) {
        let seats = seats(line_up, players);
        self.push_setting(setting, teams);
        self.push_result(1.0, &[], &[], &[]);
        self.push_seats(seats, teams);
    }

    /// Some of the contests, with players numbered anew by `number`.
    ///
    /// # Panics
    /// The caller's fault: the range goes beyond the contests.
    #[must_use]
    pub fn slice(&self, contests: core::ops::Range<usize>, number: impl FnMut(u32) -> u32) -> Self {
        let columns = &self.0;
        let before = |ends: &[u32], index: usize| index.checked_sub(1).map_or(0, |last| ends[last] as usize);
        let range = |ends: &[u32], of: &core::ops::Range<usize>| before(ends, of.start)..before(ends, of.end);
        // Cannot overflow: no end is before the one that its slice starts after.
        let rebased = |ends: &[u32], of: &core::ops::Range<usize>| {
            let start = before(ends, of.start) as u32;
            ends[of.clone()].iter().map(|end| end - start).collect::<Vec<u32>>()
        };
        let teams = range(&columns.team_end, &contests);
        let entrants = range(&columns.entrant_end, &teams);
        let (totals, stats) = (range(&columns.total_end, &contests), range(&columns.stat_end, &entrants));
        Self(Columns {
            at_s: columns.at_s[contests.clone()].to_vec(),
            trust: columns.trust[contests.clone()].to_vec(),
            map_index: columns.map_index[contests.clone()].to_vec(),
            mode_index: columns.mode_index[contests.clone()].to_vec(),
            side: columns.side[teams.clone()].to_vec(),
            has_score: columns.has_score[contests.clone()].to_vec(),
            total_end: rebased(&columns.total_end, &contests),
            total_index: columns.total_index[totals.clone()].to_vec(),
            total_value: columns.total_value[totals].to_vec(),
            team_end: rebased(&columns.team_end, &contests),
            place: columns.place[teams.clone()].to_vec(),
            score: columns.score[teams.clone()].to_vec(),
            entrant_end: rebased(&columns.entrant_end, &teams),
            entrant: columns.entrant[entrants.clone()].iter().copied().map(number).collect(),
            presence: columns.presence[entrants.clone()].to_vec(),
            stat_end: rebased(&columns.stat_end, &entrants),
            stat_index: columns.stat_index[stats.clone()].to_vec(),
            stat_value: columns.stat_value[stats].to_vec(),
        })
    }

    /// Pairs of teams of one contest: as many values its prediction has.
    #[must_use]
    pub fn pairs(&self, contest: usize) -> usize {
        let teams = self.teams(contest).len();
        teams * teams.saturating_sub(1) / 2
    }

    /// Teams of one contest, as positions in the columns.
    ///
    /// # Panics
    /// The caller's fault: no such contest.
    #[must_use]
    pub fn teams(&self, contest: usize) -> core::ops::Range<usize> {
        span(&self.0.team_end, contest)
    }

    /// Entrants of one contest, as positions in the columns and in [`Trace`].
    ///
    /// # Panics
    /// The caller's fault: no such contest.
    #[must_use]
    pub fn entrants(&self, contest: usize) -> core::ops::Range<usize> {
        let teams = self.teams(contest);
        let end = |teams: usize| teams.checked_sub(1).map_or(0, |last| self.0.entrant_end[last] as usize);
        end(teams.start)..end(teams.end)
    }

    /// Players of one team, by its position in the columns, as numbered by the cohort.
    ///
    /// # Panics
    /// The caller's fault: no such team.
    #[must_use]
    pub fn members(&self, team: usize) -> &[u32] {
        &self.0.entrant[span(&self.0.entrant_end, team)]
    }

    /// Places of one contest, per team.
    ///
    /// # Panics
    /// The caller's fault: no such contest.
    #[must_use]
    pub fn places(&self, contest: usize) -> &[u16] {
        &self.0.place[self.teams(contest)]
    }

    /// Players of one contest, as numbered by the cohort.
    ///
    /// # Panics
    /// The caller's fault: no such contest.
    #[must_use]
    pub fn players(&self, contest: usize) -> &[u32] {
        &self.0.entrant[self.entrants(contest)]
    }

    /// One contest as a live call would see it, with what `cohort` knows of its players.
    ///
    /// # Panics
    /// The caller's fault: no such contest, or a player that the cohort does not have.
    #[must_use]
    pub fn contest(&self, contest: usize, cohort: &Cohort) -> Contest {
        let columns = &self.0;
        let known = |index: u16| (index != INDEX_UNKNOWN).then_some(index);
        let at = UnixSeconds(columns.at_s[contest]);
        let teams = self.teams(contest);
        let sides = &columns.side[teams.clone()];
        let setting = Setting {
            at_s: at,
            map: known(columns.map_index[contest]),
            mode: known(columns.mode_index[contest]),
            sides: if sides.iter().all(|&side| side == INDEX_UNKNOWN) { Vec::new() } else { sides.to_vec() },
        };
        let stats = |range: core::ops::Range<usize>, index: &[u16], value: &[f64]| {
            let stats = index[range.clone()].iter().zip(&value[range]);
            stats.map(|(&index, &value)| Stat { index, value }).collect()
        };
        let mut entrants = Vec::with_capacity(self.entrants(contest).len());
        for (number, team) in teams.clone().enumerate() {
            for position in span(&columns.entrant_end, team) {
                // Cannot truncate: places count teams, and the contract counts them with 16 bits.
                let mut entrant = cohort.entrant(columns.entrant[position], number as u16, at);
                entrant.presence = columns.presence[position];
                entrant.stats = stats(span(&columns.stat_end, position), &columns.stat_index, &columns.stat_value);
                entrants.push(entrant);
            }
        }
        Contest {
            places: columns.place[teams.clone()].to_vec(),
            scores: if columns.has_score[contest] == 1 { columns.score[teams].to_vec() } else { Vec::new() },
            setting,
            totals: stats(span(&columns.total_end, contest), &columns.total_index, &columns.total_value),
            trust: columns.trust[contest],
            entrants,
        }
    }

    fn push_setting(&mut self, setting: &Setting, teams: usize) {
        let columns = &mut self.0;
        columns.at_s.push(setting.at_s.0);
        columns.map_index.push(setting.map.unwrap_or(INDEX_UNKNOWN));
        columns.mode_index.push(setting.mode.unwrap_or(INDEX_UNKNOWN));
        columns.side.extend((0..teams).map(|team| setting.sides.get(team).copied().unwrap_or(INDEX_UNKNOWN)));
    }

    fn push_result(&mut self, trust: f64, places: &[u16], scores: &[f64], totals: &[Stat]) {
        let columns = &mut self.0;
        columns.trust.push(trust);
        columns.has_score.push(u8::from(!scores.is_empty()));
        // The setting came first and says how many teams there are.
        let teams = columns.side.len() - columns.place.len();
        columns.place.extend((0..teams).map(|team| places.get(team).copied().unwrap_or(0)));
        columns.score.extend((0..teams).map(|team| scores.get(team).copied().unwrap_or(0.0)));
        columns.total_index.extend(totals.iter().map(|total| total.index));
        columns.total_value.extend(totals.iter().map(|total| total.value));
        columns.total_end.push(end(columns.total_index.len()));
    }

    fn push_seats(&mut self, mut seats: Vec<Seat<'_>>, teams: usize) {
        let columns = &mut self.0;
        seats.sort_by_key(|seat| seat.team);
        let mut rest = seats.as_slice();
        for team in 0..teams {
            let (members, others) = rest.split_at(rest.partition_point(|seat| usize::from(seat.team) <= team));
            rest = others;
            for seat in members {
                columns.entrant.push(seat.player);
                columns.presence.push(seat.presence);
                columns.stat_index.extend(seat.stats.iter().map(|stat| stat.index));
                columns.stat_value.extend(seat.stats.iter().map(|stat| stat.value));
                columns.stat_end.push(end(columns.stat_index.len()));
            }
            columns.entrant_end.push(end(columns.entrant.len()));
        }
        assert!(rest.is_empty(), "an entrant belongs to a team of the contest");
        columns.team_end.push(end(columns.place.len()));
    }
}

fn seats<'a>(entrants: &'a [Entrant], players: &[u32]) -> Vec<Seat<'a>> {
    assert_eq!(entrants.len(), players.len(), "each entrant has a number");
    let seat =
        |(entrant, &player): (&'a Entrant, &u32)| Seat { team: entrant.team, player, presence: entrant.presence, stats: &entrant.stats };
    entrants.iter().zip(players).map(seat).collect()
}

/// What the `index`-th end closes.
fn span(ends: &[u32], index: usize) -> core::ops::Range<usize> {
    let start = index.checked_sub(1).map_or(0, |before| ends[before] as usize);
    start..ends[index] as usize
}

fn end(len: usize) -> u32 {
    u32::try_from(len).expect("a journal of columns has fewer than 2^32 entries")
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn entrant(team: u16, value: f64) -> Entrant {
        let rating = Rating { mean: value, uncertainty: 1.0, memory: vec![team as u8] };
        let stats = vec![Stat { index: team, value }];
        Entrant { rating, team, contests: 3, idle_s: 40, presence: 0.5, stats }
    }

    fn contest(entrants: Vec<Entrant>) -> Contest {
        Contest {
            places: vec![1, 0],
            scores: vec![3.0, 4.0],
            setting: Setting { at_s: UnixSeconds(100), map: Some(2), mode: None, sides: vec![1, 0] },
            totals: vec![Stat { index: 0, value: 9.0 }],
            trust: 0.5,
            entrants,
        }
    }

    #[test]
    fn a_contest_comes_back_out_of_the_columns_as_it_went_in() {
        let contest = contest(vec![entrant(0, 1.0), entrant(0, 2.0), entrant(1, 3.0)]);
        let mut cohort = Cohort::default();
        let players: Vec<u32> = contest.entrants.iter().map(|entrant| cohort.push(&entrant.rating, 3, UnixSeconds(60))).collect();
        let mut journal = Journal::default();
        journal.push(&contest, &players);
        journal.push(&contest, &players);
        assert_eq!(journal.contest(1, &cohort), contest);
        assert_eq!(journal.slice(1..2, |player| player + 1).contest(0, &cohort.pick(&[2, 0, 1, 2])), contest);
        assert_eq!(journal.slice(0..2, |player| player), journal);
        assert!(journal.slice(2..2, |player| player).is_empty());
        assert_eq!((journal.players(1), journal.pairs(1), journal.entrants(1)), ([0, 1, 2].as_slice(), 1, 3..6));
        assert_eq!((journal.members(2), journal.members(3)), ([0, 1].as_slice(), [2].as_slice()));
    }

    #[test]
    fn entrants_are_stored_team_after_team() {
        let mut journal = Journal::default();
        journal.push(&contest(vec![entrant(1, 1.0), entrant(0, 2.0), entrant(1, 3.0)]), &[7, 8, 9]);
        assert_eq!(journal.players(0), [8, 7, 9]);
        assert_eq!(journal.columns().stat_value, [2.0, 1.0, 3.0]);
    }

    #[test]
    fn a_team_without_players_keeps_its_place() {
        let mut journal = Journal::default();
        journal.push(&contest(vec![entrant(1, 1.0)]), &[0]);
        assert_eq!(journal.columns().entrant_end, [0, 1]);
        assert_eq!(journal.places(0), [1, 0]);
    }

    #[test]
    fn picked_players_come_back_to_their_places() {
        let mut cohort = Cohort::default();
        for mean in [1.0, 2.0, 3.0] {
            cohort.push(&Rating { mean, uncertainty: 1.0, memory: Vec::new() }, 0, UnixSeconds(0));
        }
        let mut picked = cohort.pick(&[2, 0]);
        picked.set(0, (30.0, 1.0), 1, UnixSeconds(7), &[1]);
        cohort.put_back(&[2, 0], picked);
        assert_eq!(cohort.means(), [1.0, 2.0, 30.0]);
        assert_eq!((cohort.memory(2), cohort.memory(0), cohort.played(2)), ([1].as_slice(), [].as_slice(), (1, UnixSeconds(7))));
    }

    #[test]
    fn memories_take_no_room_until_somebody_has_one() {
        let mut cohort = Cohort::default();
        let plain = Rating { mean: 1.0, uncertainty: 1.0, memory: Vec::new() };
        let first = cohort.push(&plain, 0, UnixSeconds(0));
        assert!(!cohort.has_memories());
        let second = cohort.push(&Rating { memory: vec![1, 2], ..plain.clone() }, 0, UnixSeconds(0));
        assert_eq!((cohort.memory(first), cohort.memory(second)), ([].as_slice(), [1, 2].as_slice()));
        cohort.set(first, (2.0, 3.0), 1, UnixSeconds(5), &[9]);
        assert_eq!(cohort.rating(first), Rating { mean: 2.0, uncertainty: 3.0, memory: vec![9] });
        assert_eq!(cohort.played(first), (1, UnixSeconds(5)));
    }
}
