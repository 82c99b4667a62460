//! What would be different: plugins beside those in force, on what a queue recorded.

pub mod policies;
pub mod recording;
