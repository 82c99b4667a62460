//! What a game server has to say again: the starts of matches that still run, after every reconnect, and reports that got no answer.

use std::collections::BTreeSet;

use ladder::id::{MatchId, ReportId};

/// Running matches that are remembered at most: more than any host lets one game server have.
const STARTED_MAX: usize = 1024;

/// Matches that started here and are neither reported nor voided.
///
/// The host cannot know that a match started if nobody could tell it, and voids it after a while.
#[derive(Debug, Default)]
pub(crate) struct Started(BTreeSet<MatchId>);

impl Started {
    /// The match started. Of too many, the oldest is forgotten.
    pub(crate) fn note(&mut self, match_id: MatchId) {
        self.0.insert(match_id);
        if self.0.len() > STARTED_MAX {
            self.0.pop_first();
        }
    }

    /// The match is over: reported, or nobody's any more.
    pub(crate) fn forget(&mut self, match_id: MatchId) {
        self.0.remove(&match_id);
    }

    /// What to say in a new session.
    pub(crate) fn iter(&self) -> impl Iterator<Item = MatchId> + '_ {
        self.0.iter().copied()
    }
}

/// Finds the reports of one session that have waited for their answer since the last look.
#[derive(Debug, Default)]
pub(crate) struct Overdue(BTreeSet<ReportId>);

impl Overdue {
    /// Of what waits now, what waited at the last look already.
    pub(crate) fn look(&mut self, waiting: impl Iterator<Item = ReportId>) -> Vec<ReportId> {
        let waiting = waiting.collect();
        let before = std::mem::replace(&mut self.0, waiting);
        before.intersection(&self.0).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_said_again_until_the_match_is_over() {
        let mut started = Started::default();
        [3, 1, 2, 1].into_iter().for_each(|number| started.note(MatchId(number)));
        started.forget(MatchId(2));
        started.forget(MatchId(9));
        assert_eq!(started.iter().collect::<Vec<_>>(), [MatchId(1), MatchId(3)]);
    }

    #[test]
    fn no_more_starts_are_remembered_than_matches_can_run() {
        let mut started = Started::default();
        (0..=STARTED_MAX as u64).for_each(|number| started.note(MatchId(number)));
        assert_eq!((started.iter().count(), started.iter().next()), (STARTED_MAX, Some(MatchId(1))));
    }

    #[test]
    fn a_report_is_sent_again_at_every_look_after_the_first_until_it_is_answered() {
        let [first, second] = [ReportId([1; 16]), ReportId([2; 16])];
        let table: [(&[ReportId], &[ReportId]); 5] =
            [(&[first], &[]), (&[first, second], &[first]), (&[first, second], &[first, second]), (&[second], &[second]), (&[], &[])];
        let mut overdue = Overdue::default();
        for (step, (waiting, again)) in table.into_iter().enumerate() {
            assert_eq!(overdue.look(waiting.iter().copied()), again, "look {step}");
        }
    }
}
