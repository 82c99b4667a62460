//! The road of a match report, from what a game server claims to what everybody is told. Read from the top.
//!
//! ```text
//! MatchReport --read--> ClaimedReport --check_right--> RosteredReport --review--> AcceptedReport --store--> Accepted --> told
//!                            |                |                                        |
//!                    seen before: the    ReportRefused: final                one transaction: journal,
//!                    same ReportAck      and a mistake of the sender         ratings, end of the match
//! ```
//!
//! The acknowledgement leaves after the commit. If the store fails, nothing is answered and nothing has happened: the session ends with
//! Close 6, and the game server, which keeps the report, sends it again in the next one. If a plugin fails, the report is accepted all the same: without the rules the declared bounds are enforced,
//! without the rating engine it waits for its rating.

use std::sync::Arc;

use ladder::id::{MatchId, PlayerId, ReportId};
use ladder::matches::MatchState;
use ladder::reason::Reason;
use ladder::report::{
    AcceptedReport, ClaimedPlayer, ClaimedReport, ClaimedTeam, Disposition, Provenance, ReportRefusal, RosteredReport, Source, check_roster,
};
use ladder::time::UnixMillis;
use protocol::message::v1;
use store::{AcceptOptions, Accepted, RatingChange, RatingState, StoreError};

use super::effect::{Effect, notice, wire_reason};
use super::{Play, PlayQueue};
use crate::config::{NAME_LEN_MAX, NAMES_MAX, PLAYERS_MAX, TEAMS_MAX};
use crate::metrics::{Alert, AlertLabels, ByQueue, MatchEnd, MatchEndLabels, ReportLabels, ReportResult};
use crate::net::peer::{PeerMisbehaved, ServerPeer};

/// How far the host trusts a game server whose certificate is in force. One value for all of them in this version.
const TRUST: f64 = 1.0;

/// How long a game server whose report was not stored stays away before it tries again.
const STORE_RETRY_MS: u32 = 5_000;

/// Why a report was not taken.
#[derive(Debug, thiserror::Error)]
enum NotTaken {
    /// The game server's fault: it must not send the report again.
    #[error(transparent)]
    Refused(#[from] ReportRefusal),
    /// Our storage failed: nothing happened, and the game server will send the report again.
    #[error("the report was not stored")]
    Store(#[from] StoreError),
}

/// What a taken report is answered with.
struct Taken {
    disposition: Disposition,
    reasons: Vec<Reason>,
    /// What it did; `None` if it was only sent again.
    first_time: Option<FirstTime>,
}

struct FirstTime {
    rating: RatingState,
    /// Everybody in the match.
    players: Vec<PlayerId>,
}

impl Play {
    /// A game server reports a match: takes the report, or says why not, and tells everybody who should know.
    pub(super) async fn handle_report(&self, from: &ServerPeer, message: v1::MatchReport) -> Result<(), PeerMisbehaved> {
        let (report_id, match_id) = (message.report_id.clone(), message.match_id);
        match self.take_report(from, message).await {
            Ok(taken) => {
                self.acknowledge(from, report_id, match_id, &taken);
                if let Some(first_time) = &taken.first_time {
                    self.close_match(MatchId(match_id), &taken, first_time);
                }
                Ok(())
            }
            Err(NotTaken::Refused(refusal)) => self.refuse(from, report_id, match_id, &refusal),
            Err(NotTaken::Store(error)) => {
                tracing::error!(session = %from.session_id, match_id, error = %error, "a report was not stored; it will come again");
                self.outboxes.overload_server(from, STORE_RETRY_MS);
                Ok(())
            }
        }
    }

    /// From the claim to the commit.
    async fn take_report(&self, from: &ServerPeer, message: v1::MatchReport) -> Result<Taken, NotTaken> {
        let claimed = read_claim(message)?;
        if let Some(seen_before) = self.find_answer(from, &claimed).await? {
            return Ok(seen_before);
        }
        let (queue, rostered) = self.check_right(from, claimed).await?;
        let now = self.clock.now();
        let report = self.review(from, queue, rostered, now).await?;
        let clamped = u64::from(report.facts().clamped);
        let players = report.facts().players.iter().map(|player| player.player).collect();
        let accepted = self.store.accept_report(report, AcceptOptions::default(), now).await??;
        self.count_accepted(queue, &accepted, clamped);
        let Accepted { disposition, reasons, rating, repeated, .. } = accepted;
        Ok(Taken { disposition, reasons, first_time: (!repeated).then_some(FirstTime { rating, players }) })
    }

    /// A report that was accepted before is answered as it was then, whatever became of its match.
    async fn find_answer(&self, from: &ServerPeer, claimed: &ClaimedReport) -> Result<Option<Taken>, NotTaken> {
        let Some(stored) = self.store.find_report(claimed.report_id).await? else { return Ok(None) };
        if stored.server != Some(from.server) {
            return Err(ReportRefusal::ForeignMatch.into());
        }
        if stored.match_id != Some(claimed.match_id) {
            return Err(ReportRefusal::Malformed { problem: "the report id was used for another match".to_owned() }.into());
        }
        self.metrics.reports.get_or_create(&ReportLabels { queue: String::new(), result: ReportResult::Repeated }).inc();
        Ok(Some(Taken { disposition: stored.disposition, reasons: stored.reasons, first_time: None }))
    }

    /// Only the game server that hosts a match reports it, once, with the players who were assigned to it.
    async fn check_right(&self, from: &ServerPeer, claimed: ClaimedReport) -> Result<(&PlayQueue, RosteredReport), NotTaken> {
        let found = self.store.find_match_for_report(claimed.match_id).await?.ok_or(ReportRefusal::UnknownMatch)?;
        if found.server != from.server {
            return Err(ReportRefusal::ForeignMatch.into());
        }
        match found.state {
            MatchState::Admitted | MatchState::Live => {}
            MatchState::Reported => return Err(ReportRefusal::AlreadyReported.into()),
            state => return Err(ReportRefusal::WrongState { state: state.name() }.into()),
        }
        let (_, queue) = self.queue_of(found.queue).ok_or(ReportRefusal::UnknownMatch)?;
        Ok((queue, check_roster(claimed, &found.roster, &queue.shape)?))
    }

    /// Lets the rules look at the claim, away from the async threads; then every number is forced into its bounds, whatever they said.
    async fn review(
        &self,
        from: &ServerPeer,
        queue: &PlayQueue,
        rostered: RosteredReport,
        now: UnixMillis,
    ) -> Result<AcceptedReport, StoreError> {
        let claim = rostered.to_claim(self.store.server_record(from.server).await?);
        // Rules and bounds of one plugin, whatever is swapped in meanwhile.
        let reviewing = queue.reviewing();
        let rules = Arc::clone(&reviewing.rules);
        let review = tokio::task::spawn_blocking(move || rules.review(&claim)).await;
        let verdict = review.expect("a rules call answers with a fault where it fails");
        if let Err(fault) = &verdict {
            tracing::warn!(queue = queue.name(), reason = fault.code(), error = %fault, "the rules failed; the bounds alone are enforced");
        }
        let (source, rules) = (Source::Server(from.server), Some(reviewing.rules.digest()));
        let provenance = Provenance { queue: queue.id, source, at: now.seconds(), trust: TRUST, rules };
        Ok(rostered.accept(provenance, &reviewing.bounds, verdict))
    }

    fn acknowledge(&self, from: &ServerPeer, report_id: Vec<u8>, match_id: u64, taken: &Taken) {
        let disposition = match taken.disposition {
            Disposition::Ratable => v1::Disposition::Ratable,
            Disposition::Held => v1::Disposition::Held,
            Disposition::Rejected => v1::Disposition::Rejected,
        };
        let reasons = taken.reasons.iter().map(wire_reason).collect();
        let ack = v1::ReportAck { report_id, match_id, disposition: disposition.into(), reasons };
        self.deliver(vec![Effect::to_server(from.server, ack)]);
    }

    /// Frees the players and tells each how it ended.
    fn close_match(&self, match_id: MatchId, taken: &Taken, first_time: &FirstTime) {
        self.board().closed(match_id);
        let tell = |player: &PlayerId| Effect::to_player(*player, ended(match_id, *player, taken, &first_time.rating));
        self.deliver(first_time.players.iter().map(tell).collect());
    }

    /// Final: the game server drops the report. It counts as a mistake, and the session ends after too many.
    fn refuse(&self, from: &ServerPeer, mut report_id: Vec<u8>, match_id: u64, refusal: &ReportRefusal) -> Result<(), PeerMisbehaved> {
        tracing::warn!(session = %from.session_id, server = %from.server, match_id, reason = refusal.code(), error = %refusal, "refused a report");
        if matches!(refusal, ReportRefusal::ForeignMatch) {
            self.metrics.alerts.get_or_create(&AlertLabels { alert: Alert::ForeignReport }).inc();
        }
        self.metrics.reports.get_or_create(&ReportLabels { queue: String::new(), result: ReportResult::Refused }).inc();
        // An id of another length is echoed only as far as an honest one would reach.
        report_id.truncate(16);
        let reason = Some(v1::Reason { code: refusal.code().to_owned(), detail: refusal.to_string() });
        self.deliver(vec![Effect::to_server(from.server, v1::ReportRefused { report_id, match_id, reason })]);
        self.note_mistake(from)
    }

    fn count_accepted(&self, queue: &PlayQueue, accepted: &Accepted, clamped: u64) {
        let name = || queue.name().to_owned();
        let result = match (accepted.repeated, accepted.disposition) {
            (true, _) => ReportResult::Repeated,
            (false, Disposition::Ratable) => ReportResult::Accepted,
            (false, Disposition::Held) => ReportResult::Held,
            (false, Disposition::Rejected) => ReportResult::Voided,
        };
        self.metrics.reports.get_or_create(&ReportLabels { queue: name(), result }).inc();
        if accepted.repeated {
            return;
        }
        self.metrics.matches_ended.get_or_create(&MatchEndLabels { queue: name(), end: MatchEnd::Reported }).inc();
        self.metrics.clamps.get_or_create(&ByQueue::new(queue.name())).inc_by(clamped);
        if let RatingState::Waits(why) = &accepted.rating {
            tracing::warn!(queue = queue.name(), seq = %accepted.seq, error = %why, "a report waits for its rating");
        }
    }
}

/// Reads the claim. Every length is bounded before anything is made of it; what the numbers say is judged later.
fn read_claim(message: v1::MatchReport) -> Result<ClaimedReport, ReportRefusal> {
    let malformed = |problem: &str| ReportRefusal::Malformed { problem: problem.to_owned() };
    let v1::MatchReport { report_id, match_id, duration_s, teams, totals, map, mode } = message;
    let report_id: [u8; 16] = report_id.try_into().map_err(|_wrong: Vec<u8>| malformed("a report id has 16 bytes"))?;
    let players = teams.iter().map(|team| team.players.len()).sum::<usize>();
    if teams.len() > usize::from(TEAMS_MAX) || players > PLAYERS_MAX {
        return Err(malformed("too many teams or players"));
    }
    if totals.len() > NAMES_MAX || teams.iter().flat_map(|team| &team.players).any(|player| player.stats.len() > NAMES_MAX) {
        return Err(malformed("too many statistics"));
    }
    if teams.iter().map(|team| &team.side).chain([&map, &mode]).any(|name| name.len() > NAME_LEN_MAX) {
        return Err(malformed("the name of a side, map or mode is too long"));
    }
    let teams = teams.into_iter().map(read_team).collect();
    Ok(ClaimedReport { report_id: ReportId(report_id), match_id: MatchId(match_id), duration_s, teams, totals, map, mode })
}

fn read_team(team: v1::TeamReport) -> ClaimedTeam {
    let read_player = |player: v1::PlayerReport| ClaimedPlayer {
        player: PlayerId(player.player_id),
        stats: player.stats,
        presence: player.presence.unwrap_or(1.0),
    };
    ClaimedTeam { place: team.place, score: team.score, players: team.players.into_iter().map(read_player).collect(), side: team.side }
}

/// How the match ended for one player: with the ratings before and after, or with the reason why they did not move.
fn ended(match_id: MatchId, player: PlayerId, taken: &Taken, rating: &RatingState) -> v1::MatchEnded {
    let ended = v1::MatchEnded { match_id: match_id.0, ..v1::MatchEnded::default() };
    match rating {
        RatingState::Rated(changes) => {
            let change = changes.iter().find(|change| change.player == player);
            change.map_or(ended, |change| rated_ending(match_id, change))
        }
        RatingState::Waits(why) => {
            let code = ladder::reason::code::RATING_FAULT.to_owned();
            v1::MatchEnded {
                ending: v1::MatchEnding::RatingWaits.into(),
                notice: Some(v1::Notice { code, detail: why.to_string() }),
                ..ended
            }
        }
        // A report is voided after it was accepted, never while it is.
        RatingState::NotRatable | RatingState::Voided { .. } => {
            let held = taken.disposition == Disposition::Held;
            let ending = if held { v1::MatchEnding::HeldForReview } else { v1::MatchEnding::NotRated };
            v1::MatchEnded { ending: ending.into(), notice: taken.reasons.last().map(notice), ..ended }
        }
    }
}

/// The ending of a match that moved this player's rating, at once or from the backlog.
pub(super) fn rated_ending(match_id: MatchId, change: &RatingChange) -> v1::MatchEnded {
    v1::MatchEnded {
        match_id: match_id.0,
        ending: v1::MatchEnding::Rated.into(),
        place: Some(u32::from(change.place)),
        visible_before: Some(change.visible_before),
        visible_after: Some(change.visible),
        ..v1::MatchEnded::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> v1::MatchReport {
        let player = |player_id| v1::PlayerReport { player_id, stats: vec![1.0], presence: None };
        let team = |player_id| v1::TeamReport { players: vec![player(player_id)], ..v1::TeamReport::default() };
        v1::MatchReport { report_id: vec![1; 16], match_id: 7, teams: vec![team(1), team(2)], ..v1::MatchReport::default() }
    }

    #[test]
    fn an_absent_presence_means_the_whole_contest() {
        let claimed = read_claim(message()).expect("a sound message");
        assert_eq!(claimed.teams[1].players, [ClaimedPlayer { player: PlayerId(2), stats: vec![1.0], presence: 1.0 }]);
    }

    #[test]
    fn lengths_are_bounded_before_anything_is_made_of_them() {
        let team = |players: usize| v1::TeamReport { players: vec![v1::PlayerReport::default(); players], ..v1::TeamReport::default() };
        let long_name = "x".repeat(NAME_LEN_MAX + 1);
        let long_stats = v1::PlayerReport { stats: vec![0.0; NAMES_MAX + 1], ..v1::PlayerReport::default() };
        let table = [
            ("report id", v1::MatchReport { report_id: vec![1; 15], ..message() }),
            ("teams", v1::MatchReport { teams: vec![team(0); usize::from(TEAMS_MAX) + 1], ..message() }),
            ("players", v1::MatchReport { teams: vec![team(PLAYERS_MAX), team(1)], ..message() }),
            ("totals", v1::MatchReport { totals: vec![0.0; NAMES_MAX + 1], ..message() }),
            (
                "stats",
                v1::MatchReport { teams: vec![v1::TeamReport { players: vec![long_stats], ..v1::TeamReport::default() }], ..message() },
            ),
            ("map", v1::MatchReport { map: long_name.clone(), ..message() }),
            ("mode", v1::MatchReport { mode: long_name.clone(), ..message() }),
            ("side", v1::MatchReport { teams: vec![v1::TeamReport { side: long_name, ..team(1) }], ..message() }),
        ];
        for (name, message) in table {
            assert_eq!(read_claim(message).map_err(|refusal| refusal.code()), Err("malformed"), "{name}");
        }
    }
}
