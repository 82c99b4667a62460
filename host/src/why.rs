//! Why a match did what it did to the ratings, in plain sentences: for players over HTTP, for operators on the terminal.
//!
//! Everything said here is public. What a plugin said about its own fault is not: it stands in the host's log and is for the operator.

use ladder::clamp_note::ClampNote;
use ladder::matches::MatchState;
use ladder::queue::QueueShape;
use ladder::reason::{Reason, code};
use ladder::report::{Disposition, ReportFacts};
use ladder::score::share_of_pairs;
use store::{MatchDetails, MatchReportDetails, RatingState, SeatDetails, StoredPrediction, Unrated};

/// Earlier contests from which on a surprise is compared with them: of fewer, a share says little.
const SURPRISES_COMPARED_MIN: u32 = 20;

/// What a match's state means, and what happens next.
pub(crate) fn state_in_words(details: &MatchDetails) -> String {
    match details.state {
        MatchState::Pending => "The game server has not agreed to host the match yet. If it does not, the match is moved to another game \
                                server, or given up and its players are told."
            .to_owned(),
        MatchState::Admitted => "The game server expects the players; the match begins when they are aboard.".to_owned(),
        MatchState::Live => "The match is being played. It is rated when its game server reports the result.".to_owned(),
        MatchState::Voided => {
            let why = details.void_reason.as_ref().map(|reason| format!(" ({})", said(reason))).unwrap_or_default();
            format!("The match counts for nothing{why}: nobody's rating moved.")
        }
        MatchState::Reported => details.report.as_ref().map_or_else(String::new, report_in_words),
    }
}

fn report_in_words(report: &MatchReportDetails) -> String {
    match (&report.rating, report.disposition) {
        (RatingState::Rated(changes), _) if changes.is_empty() => {
            "The result is rated. What it changed in these ratings, which were built anew, is still being written down.".to_owned()
        }
        (RatingState::Rated(_), _) => "The result is rated.".to_owned(),
        (RatingState::Waits(Unrated::NoEngine), _) => {
            "The result is accepted and waits: the queue has no rating engine yet. It is rated, in the order of the results, when it has one."
                .to_owned()
        }
        (RatingState::Waits(Unrated::Restored), _) => {
            "An operator took back that the result counts for nothing: ratings with it are being built, and come into force at once.".to_owned()
        }
        (RatingState::Waits(_), _) => "The result is accepted and waits: the rating engine could not rate it, or one before it. It is rated, in \
                                       the order of the results, as soon as the engine can, or an operator gives up the one in front; \
                                       nothing is lost."
            .to_owned(),
        (RatingState::Voided { why, .. }, _) => format!(
            "An operator took the result back ({why}): it counts for nothing once the ratings without it are in force, unless it is restored."
        ),
        (RatingState::NotRatable, Disposition::Held) => format!(
            "The result is held for review{}: an operator releases it, and then it is rated, or voids it, and then it never is.",
            found(&report.facts)
        ),
        (RatingState::NotRatable, Disposition::Rejected) => {
            format!("The stat rules rejected the result{}: it is kept and never rated.", found(&report.facts))
        }
        (RatingState::NotRatable, Disposition::Ratable) => "An operator gave up rating this result: nobody's rating moved.".to_owned(),
    }
}

/// What the stat rules said, which stands last.
fn found(facts: &ReportFacts) -> String {
    facts.reasons.last().map(|reason| format!(" ({})", said(reason))).unwrap_or_default()
}

fn said(reason: &Reason) -> &str {
    if reason.detail.is_empty() { &reason.code } else { &reason.detail }
}

/// One player's match in a sentence or two; `None` if the player's rating did not move.
pub(crate) fn seat_in_words(details: &MatchDetails, team: usize, seat: &SeatDetails) -> Option<String> {
    let (change, report) = (seat.change.as_ref()?, details.report.as_ref()?);
    let mut words = match change.expected {
        Some(expected) => expectation(&seat.name, &report.facts.places, team, expected),
        None => format!("The rating engine made no prediction for {}.", seat.name),
    };
    if let Some(prediction) = &report.prediction {
        words.push_str(&format!(" A surprise of {:.2}{}.", prediction.surprise, compared(prediction)));
    }
    let moved = change.visible - change.visible_before;
    words.push_str(&format!(" Rating {} to {} ({moved:+.2}).", two(change.visible_before), two(change.visible)));
    let accepted = report.facts.players.iter().find(|accepted| accepted.player == seat.player);
    if let Some(away) = accepted.map(|accepted| 1.0 - accepted.presence).filter(|away| *away > 0.0) {
        words.push_str(&format!(" Was away for {} of the match.", percent(away)));
    }
    if report.facts.provenance.trust < 1.0 {
        words.push_str(&format!(" The host trusted this result by {}.", percent(report.facts.provenance.trust)));
    }
    Some(words)
}

/// What was expected of a team, and what came.
fn expectation(name: &str, places: &[u16], team: usize, expected: f64) -> String {
    let got = share_of_pairs(places, team).unwrap_or_default();
    if places.len() == 2 {
        let came = match got {
            1.0 => "won",
            0.0 => "lost",
            _ => "drew",
        };
        return format!("{name} was expected to win {} such matches, and {came}.", of_hundred(expected));
    }
    format!("{name} was expected to finish ahead of {} of the other teams, and finished ahead of {}.", percent(expected), percent(got))
}

/// "81 of 100", and never a certainty that was none.
fn of_hundred(share: f64) -> String {
    match (share * 100.0).round() {
        100.0.. if share < 1.0 => "more than 99 of 100".to_owned(),
        ..1.0 if share > 0.0 => "fewer than 1 of 100".to_owned(),
        hundredths => format!("{hundredths:.0} of 100"),
    }
}

/// How the surprise stands beside those before it; empty if there are too few.
pub(crate) fn compared(prediction: &StoredPrediction) -> String {
    match larger_than(prediction) {
        Some(share) => format!(", larger than in {} of the {} matches before", percent(share), prediction.compared),
        None => String::new(),
    }
}

/// Share of the matches before that surprised less, 0 to 1; `None`: there are too few to say.
pub(crate) fn larger_than(prediction: &StoredPrediction) -> Option<f64> {
    let StoredPrediction { compared, less_surprising, .. } = prediction;
    (*compared >= SURPRISES_COMPARED_MIN).then(|| f64::from(*less_surprising) / f64::from(*compared))
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn two(value: f64) -> String {
    format!("{value:.2}")
}

/// The reasons of a report as everybody may read them: names in the place of numbers, and nothing of what a plugin said when it faulted.
pub(crate) fn reasons(details: &MatchDetails, report: &MatchReportDetails, shape: Option<&QueueShape>) -> Vec<Reason> {
    let public = |reason: &Reason| match reason.detail.parse::<ClampNote>() {
        Ok(note) => Reason::new(reason.code.clone(), clamp_in_words(&note, details, report, shape)),
        Err(_other_text) if reason.code == code::RULES_FAULT => {
            Reason::new(code::RULES_FAULT, "the stat rules failed; the declared bounds alone were enforced")
        }
        Err(_other_text) => reason.clone(),
    };
    report.facts.reasons.iter().map(public).collect()
}

/// Numbers of one player that were changed.
pub(crate) fn clamps_of(
    details: &MatchDetails,
    report: &MatchReportDetails,
    seat: &SeatDetails,
    shape: Option<&QueueShape>,
) -> Vec<String> {
    let position = report.facts.players.iter().position(|accepted| accepted.player == seat.player);
    let notes = report.facts.reasons.iter().filter_map(|reason| reason.detail.parse::<ClampNote>().ok());
    let own = notes.filter(|note| note.player.map(usize::from) == position && position.is_some());
    own.map(|note| clamp_in_words(&note, details, report, shape)).collect()
}

fn clamp_in_words(note: &ClampNote, details: &MatchDetails, report: &MatchReportDetails, shape: Option<&QueueShape>) -> String {
    let ClampNote { player, stat, claimed, accepted } = note;
    let named = |names: fn(&QueueShape) -> &[String]| shape.and_then(|shape| names(shape).get(usize::from(*stat))).cloned();
    let Some(player) = player else {
        let total = named(|shape| &shape.totals).unwrap_or_else(|| format!("total {stat}"));
        return format!("{total}: {claimed} became {accepted}");
    };
    let id = report.facts.players.get(usize::from(*player)).map(|accepted| accepted.player);
    let name = details.teams.iter().flatten().find(|seat| Some(seat.player) == id).map(|seat| seat.name.clone());
    let stat = named(|shape| &shape.stats).unwrap_or_else(|| format!("statistic {stat}"));
    format!("{stat} of {}: {claimed} became {accepted}", name.unwrap_or_else(|| format!("player {player}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expectation_reads_as_a_sentence() {
        for (places, team, expected, words) in [
            (vec![0, 1], 1, 0.813, "ada was expected to win 81 of 100 such matches, and lost."),
            (vec![1, 0], 1, 0.9996, "ada was expected to win more than 99 of 100 such matches, and won."),
            (vec![0, 0], 0, 0.001, "ada was expected to win fewer than 1 of 100 such matches, and drew."),
            (vec![0, 1], 0, 1.0, "ada was expected to win 100 of 100 such matches, and won."),
            (vec![2, 0, 1, 3], 0, 0.5, "ada was expected to finish ahead of 50 % of the other teams, and finished ahead of 33 %."),
        ] {
            assert_eq!(expectation("ada", &places, team, expected), words);
        }
    }

    #[test]
    fn a_surprise_is_compared_with_enough_others_only() {
        let prediction = |compared, less_surprising| StoredPrediction { pairs: vec![0.5], surprise: 0.7, compared, less_surprising };
        assert_eq!(compared(&prediction(19, 19)), "");
        assert_eq!(compared(&prediction(200, 184)), ", larger than in 92 % of the 200 matches before");
    }
}
