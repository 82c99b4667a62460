//! The domain of RankedServer: players, queues, matches, reports, ratings.
//!
//! Pure: no clock, no randomness, no I/O and no standard library. `now` and random bytes are arguments, effects are returned values.
//! What a stranger says becomes another type before anybody uses it:
//!
//! ```text
//! report::ClaimedReport --check_roster--> report::RosteredReport --accept--> report::AcceptedReport --> journal --> rating
//! pool::Proposals       --check---------> pool::CheckedProposal  --(store opens it)--> matches::PendingMatch
//! matches::PendingMatch --handle_ack----> matches::AdmittedMatch --assign--> assignment per player
//! ```
//!
//! The three roles that plugins fill are traits here ([`rating::RatingEngine`], [`rules::StatRules`], [`pool::MatchmakingPolicy`]), so
//! that the store and the matchmaker know what a plugin does and nothing about how it is run.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod bulk;
pub mod clamp_note;
pub mod fault;
pub mod id;
pub mod journal;
pub mod matches;
pub mod pool;
pub mod queue;
pub mod rating;
pub mod reason;
pub mod report;
pub mod rules;
pub mod score;
pub mod season;
pub mod stats;
pub mod time;
