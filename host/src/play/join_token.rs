//! Join tokens: what a player presents to the game server of a match.
//!
//! A join token is the HMAC-SHA256 of match, game server, player and expiry under one key of the host. Nothing is stored: after a crash the
//! host derives the same token again. The game server learns the token's SHA-256 in advance and the token only from the player.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use ladder::id::{MatchId, PlayerId, ServerId};
use ladder::matches::Seat;
use ladder::time::UnixMillis;
use sha2::{Digest, Sha256};
use zeroize::ZeroizeOnDrop;

/// The host's key for join tokens.
#[derive(ZeroizeOnDrop)]
pub struct JoinKey([u8; 32]);

/// 32 bytes that admit one player to one match on one game server.
#[derive(ZeroizeOnDrop)]
pub(super) struct JoinToken([u8; 32]);

impl JoinKey {
    /// Derives the key from the community's key-encryption key, so that it survives restarts without a file of its own.
    #[must_use]
    pub fn derive(key_encryption_key: &[u8; 32]) -> Self {
        let mut key = [0; 32];
        Hkdf::<Sha256>::new(None, key_encryption_key)
            .expand(b"RankedServer/2 join token key", &mut key)
            .expect("32 bytes are a valid length for HKDF-SHA256");
        Self(key)
    }

    /// The token for a player who may be told where to connect: a [`Seat`] exists only after the game server acknowledged the allowlist.
    pub(super) fn token(&self, seat: &Seat, expires_at: UnixMillis) -> JoinToken {
        self.derive_token(seat.match_id, seat.server, seat.player, expires_at)
    }

    /// What the game server is told in advance: the SHA-256 of the token.
    pub(super) fn token_digest(&self, match_id: MatchId, server: ServerId, player: PlayerId, expires_at: UnixMillis) -> [u8; 32] {
        Sha256::digest(self.derive_token(match_id, server, player, expires_at).0).into()
    }

    fn derive_token(&self, match_id: MatchId, server: ServerId, player: PlayerId, expires_at: UnixMillis) -> JoinToken {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(&match_id.0.to_be_bytes());
        mac.update(&server.0);
        mac.update(&player.0.to_be_bytes());
        mac.update(&expires_at.0.to_be_bytes());
        JoinToken(mac.finalize().into_bytes().into())
    }
}

impl JoinToken {
    /// The bytes, for the message to that player. Never for a log line.
    pub(super) fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEAT: Seat = Seat { player: PlayerId(3), match_id: MatchId(1), server: ServerId([2; 16]), team: 0 };

    #[test]
    fn the_same_seat_gives_the_same_token_and_any_other_seat_another() {
        let key = JoinKey::derive(&[7; 32]);
        let token = |seat: &Seat, expires: u64| *key.token(seat, UnixMillis(expires)).expose();
        let ours = token(&SEAT, 9);
        assert_eq!(ours, *JoinKey::derive(&[7; 32]).token(&SEAT, UnixMillis(9)).expose(), "derivable again");
        let others = [
            ("match", token(&Seat { match_id: MatchId(8), ..SEAT }, 9)),
            ("server", token(&Seat { server: ServerId([8; 16]), ..SEAT }, 9)),
            ("player", token(&Seat { player: PlayerId(8), ..SEAT }, 9)),
            ("expiry", token(&SEAT, 8)),
            ("key", *JoinKey::derive(&[8; 32]).token(&SEAT, UnixMillis(9)).expose()),
        ];
        for (what, other) in others {
            assert_ne!(other, ours, "{what}");
        }
    }

    #[test]
    fn the_game_server_is_told_the_digest_of_the_very_token() {
        let key = JoinKey::derive(&[7; 32]);
        let digest = key.token_digest(SEAT.match_id, SEAT.server, SEAT.player, UnixMillis(9));
        assert_eq!(digest, <[u8; 32]>::from(Sha256::digest(key.token(&SEAT, UnixMillis(9)).expose())));
    }
}
