//! The host's columns as those of the SDK, so that the same contests can be rated by native code.

use ladder::bulk::{Cohort, Columns};
use plugin_sdk::bindings::rating::exports::ranked::plugin::rating_engine_bulk as wit;

/// Players without memories.
pub(crate) fn native_cohort(cohort: &Cohort) -> wit::Cohort {
    wit::Cohort {
        mean: cohort.means().to_vec(),
        uncertainty: cohort.uncertainties().to_vec(),
        contests: cohort.contests().to_vec(),
        last_at_s: cohort.last_at_s().to_vec(),
        memory: Vec::new(),
        memory_end: vec![0; cohort.len()],
    }
}

/// A journal.
pub(crate) fn native_journal(columns: &Columns) -> wit::Journal {
    let Columns { at_s, trust, map_index, mode_index, side, has_score, total_end, total_index, total_value, .. } = columns.clone();
    let Columns { team_end, place, score, entrant_end, entrant, presence, stat_end, stat_index, stat_value, .. } = columns.clone();
    wit::Journal {
        at_s,
        trust,
        map_index,
        mode_index,
        side,
        has_score,
        total_end,
        total_index,
        total_value,
        team_end,
        place,
        score,
        entrant_end,
        entrant,
        presence,
        stat_end,
        stat_index,
        stat_value,
    }
}
