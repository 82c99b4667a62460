//! Bots: players with a hidden true skill, and game servers that decide results from it. For the demo, for tests and for load.
//!
//! A bot's game is real as far as the host can see: the player opens a TCP connection to the assigned address and presents the join token, the
//! game server compares its hash with the allowlist, says who joined and left, and reports. Only the game itself is a draw from the skills.

mod contest;
mod game_server;
mod player;

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use ladder::id::PlayerId;

pub use contest::{Contest, decide};
pub use game_server::{BotGameServer, BotGameServerError, GameServerTally};
pub use player::{BotPlayer, BotPlayerError, BotPlayerPlan, PlayerTally};

/// The true skill of every bot, which the host never sees. One unit is about one standard deviation of the population.
#[derive(Clone, Debug, Default)]
pub struct HiddenSkills(Arc<RwLock<BTreeMap<PlayerId, f64>>>);

impl HiddenSkills {
    /// Notes a bot's skill.
    pub fn set(&self, player: PlayerId, skill: f64) {
        self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner).insert(player, skill);
    }

    /// A bot's skill; strangers are average.
    #[must_use]
    pub fn of(&self, player: PlayerId) -> f64 {
        self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner).get(&player).copied().unwrap_or(0.0)
    }
}

/// Bytes with which a bot player joins: match id, player id, join token.
const JOIN_LEN: usize = 8 + 8 + 32;
/// The game server's answer to a join: come in.
const ADMITTED: u8 = 1;
