//! Game servers on the board: sessions, heartbeats, and who may speak about which match.

use ladder::id::{MatchId, ServerId};
use ladder::time::UnixMillis;
use protocol::certificate::Scope;
use protocol::message::v1;

use super::super::budget::Rate;
use super::super::effect::Effect;
use super::super::matchmaker::slots::Berth;
use super::{Board, GameServer, Phase};
use crate::net::peer::{Ending, ServerPeer};

/// Matches that one game server may offer to host at once; more are not believed.
pub(in super::super) const CAPACITY_MAX: u32 = 1000;
/// Longest address that players are sent to, in bytes.
const ADDRESS_BYTES_MAX: usize = 255;

/// The part of a heartbeat that the matchmaker uses, checked.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Beat {
    /// Matches at once.
    pub(super) capacity: u32,
    /// Region name.
    pub(super) region: String,
    /// Where players connect.
    pub(super) address: String,
    /// 0 to 1.
    load: f32,
    /// Why it gets no matches.
    pub(super) idle: Option<&'static str>,
}

impl Beat {
    /// Checks a heartbeat. What cannot be used makes the game server idle and says why; it is no offense.
    pub(in super::super) fn parse(message: &v1::Heartbeat, scope: Scope, region_is_known: bool) -> Self {
        let idle = if !scope.contains(Scope::HOST) {
            Some("scope")
        } else if !region_is_known {
            Some("unknown-region")
        } else if !is_address(&message.address) {
            Some("bad-address")
        } else if message.capacity == 0 {
            Some("no-capacity")
        } else {
            None
        };
        Self {
            capacity: message.capacity.min(CAPACITY_MAX),
            region: if region_is_known { message.region.clone() } else { String::new() },
            address: if is_address(&message.address) { message.address.clone() } else { String::new() },
            load: if message.load.is_nan() { 1.0 } else { message.load.clamp(0.0, 1.0) },
            idle,
        }
    }

    pub(super) fn berth(&self, server: ServerId, active: u32) -> Berth {
        Berth { server, capacity: self.capacity, active, load: self.load }
    }
}

/// `host:port`, printable, bounded. Whether anybody answers there is for the players to find out.
fn is_address(text: &str) -> bool {
    let printable = text.len() <= ADDRESS_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
    let parts = text.rsplit_once(':');
    printable && parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
}

impl Board {
    /// A game server's session began: it is told again whom to admit, also to matches that it has acknowledged: it may have
    /// restarted and forgotten them.
    pub(in super::super) fn server_opened(&mut self, peer: &ServerPeer, now: UnixMillis) -> Vec<Effect> {
        let known = self.servers.entry(peer.server).or_default();
        known.owner.clone_from(&peer.owner);
        known.session = Some(peer.session_id);
        known.credential_dead = false;
        known.name_mismatch_noted = false;
        let open: Vec<MatchId> = self.matches_on(peer.server).collect();
        open.into_iter().filter_map(|match_id| self.invite_again(match_id, now)).collect()
    }

    /// A game server's session is over. Its matches wait for it for a while, unless its certificate is dead.
    pub(in super::super) fn server_closed(&mut self, peer: &ServerPeer, ending: Ending, now: UnixMillis) {
        let Some(known) = self.servers.get_mut(&peer.server).filter(|known| known.session == Some(peer.session_id)) else { return };
        known.session = None;
        known.lost_at = now;
        known.credential_dead = ending == Ending::CredentialDead;
    }

    /// Takes a heartbeat. Players learn a changed address at once.
    pub(in super::super) fn handle_heartbeat(&mut self, peer: &ServerPeer, message: &v1::Heartbeat, now: UnixMillis) -> Vec<Effect> {
        let region_is_known = self.queues.iter().any(|queue| queue.shape.regions.contains(&message.region));
        let beat = Beat::parse(message, peer.scope, region_is_known);
        let ack =
            v1::HeartbeatAck { received_at_ms: now.0, name: peer.owner.clone(), idle_reason: beat.idle.unwrap_or_default().to_owned() };
        let mut effects = vec![Effect::to_server(peer.server, ack)];
        let Some(known) = self.servers.get_mut(&peer.server) else { return effects };
        let moved = known.beat.as_ref().is_none_or(|old| old.address != beat.address);
        known.beat = Some(beat);
        if moved {
            let matches: Vec<MatchId> = self.matches_on(peer.server).collect();
            effects.extend(matches.into_iter().flat_map(|match_id| self.assignments(match_id)));
        }
        effects
    }

    /// Whether a claimed name deserves a line in the log: it differs from the certificate's owner, and no heartbeat of this session said
    /// so before.
    pub(in super::super) fn note_claimed_name(&mut self, peer: &ServerPeer, claimed: &str) -> bool {
        let Some(known) = self.servers.get_mut(&peer.server) else { return false };
        let news = !claimed.is_empty() && claimed != peer.owner && !known.name_mismatch_noted;
        known.name_mismatch_noted |= news;
        news
    }

    /// Spends a game server's budget for mistakes.
    ///
    /// # Errors
    /// It is used up: the session should end.
    pub(in super::super) fn strike(&mut self, server: ServerId, rate: Rate, now: UnixMillis) -> Result<(), std::time::Duration> {
        self.servers.get_mut(&server).map_or(Ok(()), |known| known.strikes.spend(rate, now))
    }

    /// Spends a game server's budget for log entries; `false` if it is used up.
    pub(in super::super) fn may_log(&mut self, server: ServerId, rate: Rate, now: UnixMillis) -> bool {
        self.servers.get_mut(&server).is_some_and(|known| known.log_entries.spend(rate, now).is_ok())
    }

    /// Whether that match is open on any game server.
    pub(in super::super) fn is_open(&self, match_id: MatchId) -> bool {
        self.matches.contains_key(&match_id)
    }

    /// Whether this game server hosts that open match.
    pub(in super::super) fn hosts(&self, server: ServerId, match_id: MatchId) -> bool {
        self.matches.get(&match_id).is_some_and(|open| open.server == server)
    }

    /// The host started and this game server, which has matches, is not there yet.
    pub(super) fn expect_server(&mut self, server: ServerId, now: UnixMillis) {
        self.servers.entry(server).or_insert_with(|| GameServer { lost_at: now, ..GameServer::default() });
    }

    /// Forgets a game server that is gone and has nothing open. Called from the sweep.
    pub(super) fn forget_idle_servers(&mut self) {
        let active = self.active_per_server();
        self.servers.retain(|server, known| known.session.is_some() || active.contains_key(server));
    }

    fn matches_on(&self, server: ServerId) -> impl Iterator<Item = MatchId> + '_ {
        self.matches.iter().filter(move |(_, open)| open.server == server).map(|(&match_id, _)| match_id)
    }

    fn invite_again(&mut self, match_id: MatchId, now: UnixMillis) -> Option<Effect> {
        let ack_within = std::time::Duration::from_millis(self.settings.allowlist_ack_ms_max);
        let open = self.matches.get_mut(&match_id)?;
        match open.phase {
            Phase::Pending(_) => open.overdue_at = now.plus(ack_within),
            Phase::Admitted(_) | Phase::Live(_) => {}
            Phase::Deciding => return None,
        }
        self.invitation(match_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unusable_heartbeat_makes_the_game_server_idle_and_says_why() {
        let good = v1::Heartbeat { capacity: 4, address: "play.example:7800".to_owned(), load: 0.5, ..v1::Heartbeat::default() };
        let table = [
            ("good", good.clone(), Scope::ALL, true, None),
            ("ipv6", v1::Heartbeat { address: "[::1]:7800".to_owned(), ..good.clone() }, Scope::ALL, true, None),
            ("scope", good.clone(), Scope::HEARTBEAT, true, Some("scope")),
            ("region", good.clone(), Scope::ALL, false, Some("unknown-region")),
            ("no port", v1::Heartbeat { address: "play.example".to_owned(), ..good.clone() }, Scope::ALL, true, Some("bad-address")),
            ("port 0", v1::Heartbeat { address: "play.example:0".to_owned(), ..good.clone() }, Scope::ALL, true, Some("bad-address")),
            ("no host", v1::Heartbeat { address: ":7800".to_owned(), ..good.clone() }, Scope::ALL, true, Some("bad-address")),
            ("escape", v1::Heartbeat { address: "a\u{1b}[2J:7800".to_owned(), ..good.clone() }, Scope::ALL, true, Some("bad-address")),
            ("long", v1::Heartbeat { address: format!("{}:7800", "a".repeat(251)), ..good.clone() }, Scope::ALL, true, Some("bad-address")),
            ("full", v1::Heartbeat { capacity: 0, ..good.clone() }, Scope::ALL, true, Some("no-capacity")),
        ];
        for (name, message, scope, region_is_known, idle) in table {
            assert_eq!(Beat::parse(&message, scope, region_is_known).idle, idle, "{name}");
        }
    }

    #[test]
    fn capacity_and_load_are_forced_into_their_ranges() {
        let claim = |capacity, load| {
            let beat = Beat::parse(&v1::Heartbeat { capacity, load, ..v1::Heartbeat::default() }, Scope::ALL, true);
            (beat.capacity, beat.load)
        };
        assert_eq!(claim(u32::MAX, f32::NAN), (CAPACITY_MAX, 1.0));
        assert_eq!(claim(1, f32::INFINITY), (1, 1.0));
        assert_eq!(claim(1, -3.0), (1, 0.0));
    }
}
