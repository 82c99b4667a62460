//! Lines that game servers send for the operator: bounded, escaped, rate-limited, and never more trusted than anything else they say.

use std::sync::Mutex;
use std::time::Duration;

use ladder::time::UnixMillis;
use protocol::message::v1;

use super::board::Board;
use super::budget::Rate;
use crate::net::peer::ServerPeer;

/// Entries of one message that are looked at.
const ENTRIES_MAX: usize = 64;
/// Bytes of one entry that are kept.
const ENTRY_BYTES_MAX: usize = 1024;
/// Entries of one game server.
const ENTRIES: Rate = Rate { burst: 600, period: Duration::from_secs(60) };

/// Writes the entries to the log as what they are: something that a game server said.
pub(super) fn write(board: &Mutex<Board>, peer: &ServerPeer, entries: &[v1::LogEntry], now: UnixMillis) {
    let mut dropped = entries.len().saturating_sub(ENTRIES_MAX);
    for entry in entries.iter().take(ENTRIES_MAX) {
        let may_log = board.lock().expect("nobody panics while holding the board").may_log(peer.server, ENTRIES, now);
        if !may_log {
            dropped += 1;
            continue;
        }
        let text = printable(&entry.message);
        let (session, server, owner) = (peer.session_id, peer.server, peer.owner.escape_debug());
        match entry.level() {
            v1::LogLevel::Error => tracing::error!(target: "game-server", %session, %server, %owner, at_ms = entry.at_ms, "{text}"),
            v1::LogLevel::Warn => tracing::warn!(target: "game-server", %session, %server, %owner, at_ms = entry.at_ms, "{text}"),
            v1::LogLevel::Debug => tracing::debug!(target: "game-server", %session, %server, %owner, at_ms = entry.at_ms, "{text}"),
            v1::LogLevel::Info | v1::LogLevel::Unspecified => {
                tracing::info!(target: "game-server", %session, %server, %owner, at_ms = entry.at_ms, "{text}");
            }
        }
    }
    if dropped > 0 {
        tracing::debug!(session = %peer.session_id, server = %peer.server, dropped, reason = "log-entries", "dropped a game server's log entries");
    }
}

/// The first bytes of a text, whole characters only, control characters escaped.
fn printable(text: &str) -> String {
    text[..text.floor_char_boundary(ENTRY_BYTES_MAX)].escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_cannot_forge_a_line_or_fill_the_disk() {
        assert_eq!(printable("bad\nERROR forged\u{1b}[2J"), "bad\\nERROR forged\\u{1b}[2J");
        assert_eq!(printable(&"ä".repeat(600)).chars().count(), 512);
    }
}
