//! What a player says: into the queue, out of the queue, still there.

use std::time::Duration;

use ladder::pool::LATENCY_UNKNOWN;
use ladder::queue::QueueShape;
use ladder::reason::Reason;
use protocol::message::{FromPlayer, v1};
use store::{EnqueueRefusal, Member, NewQueueTicket, StoreError};

use super::Play;
use super::board::Whereabouts;
use super::budget::Rate;
use super::effect::Effect;
use crate::net::peer::{PeerMisbehaved, PlayerPeer};

/// How often one player may enter and leave queues: each time costs the database a transaction.
const CHANGES: Rate = Rate { burst: 30, period: Duration::from_secs(60) };
/// Longest round trip that is believed, in milliseconds.
const LATENCY_MS_MAX: u32 = 10_000;
/// When a player whom the host could not serve may try again.
const BUSY_RETRY_MS: u32 = 2_000;

/// A request to play that can be carried out: where, with which round trips.
#[derive(Debug, PartialEq, Eq)]
struct Wish {
    queue: usize,
    regions: u64,
    latency_ms: Vec<u16>,
}

/// A message that is not carried out: the code for machines, the sentence for people.
#[derive(Debug, PartialEq, Eq)]
struct Refused {
    code: &'static str,
    detail: String,
    retry_after_ms: u32,
}

impl Refused {
    fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), retry_after_ms: 0 }
    }

    fn busy(detail: impl Into<String>) -> Self {
        Self { code: "busy", detail: detail.into(), retry_after_ms: BUSY_RETRY_MS }
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = %error, "a queue request was not stored");
        Self::busy("the host cannot store this now")
    }
}

impl Play {
    pub(super) async fn handle_player_message(&self, peer: &PlayerPeer, message: FromPlayer) -> Result<(), PeerMisbehaved> {
        let msg_type = message.msg_type();
        let outcome = match message {
            FromPlayer::Enqueue(wish) => self.handle_enqueue(peer, &wish).await,
            FromPlayer::Dequeue(v1::Dequeue {}) => self.handle_dequeue(peer).await,
            FromPlayer::KeepAlive(v1::KeepAlive {}) => {
                let received_at_ms = self.clock.now().0;
                Ok(vec![Effect::to_player(peer.player, v1::KeepAliveAck { received_at_ms })])
            }
        };
        self.deliver(outcome.unwrap_or_else(|Refused { code, detail, retry_after_ms }| {
            tracing::debug!(session = %peer.session_id, player = %peer.player, reason = code, "refused a player's message");
            vec![Effect::refusal(peer.player, msg_type, code, &detail, retry_after_ms)]
        }));
        Ok(())
    }

    async fn handle_enqueue(&self, peer: &PlayerPeer, message: &v1::Enqueue) -> Result<Vec<Effect>, Refused> {
        let now = self.clock.now();
        let wish = self.parse_wish(message)?;
        let whereabouts = self.board().whereabouts(peer.player);
        match whereabouts {
            Whereabouts::Nowhere => {}
            Whereabouts::Waiting(queue) if queue != wish.queue => {
                return Err(Refused::new("already-queued", format!("you wait in {}; leave that queue first", self.queues[queue].name())));
            }
            // Asked again, perhaps after a reconnect: the answer is how things stand.
            Whereabouts::Waiting(_) | Whereabouts::Playing(_) => return Ok(self.board().answer(peer.player, now)),
        }
        self.spend_change(peer)?;
        if self.board().queue(wish.queue).mirror.tickets() >= self.settings.waiting_max {
            return Err(Refused::busy("the queue is full"));
        }
        let member = Member { player: peer.player, latency_ms: wish.latency_ms };
        let new = NewQueueTicket { queue: self.queues[wish.queue].id, members: vec![member], regions: wish.regions };
        match self.store.enqueue(new, now).await? {
            Ok(ticket) => Ok(self.board().waits(wish.queue, &ticket, None, now)),
            // Another session of the same player was faster.
            Err(EnqueueRefusal::AlreadyQueued { .. } | EnqueueRefusal::InMatch { .. }) => Ok(self.board().answer(peer.player, now)),
            Err(refusal) => Err(Refused::new("malformed", refusal.to_string())),
        }
    }

    async fn handle_dequeue(&self, peer: &PlayerPeer) -> Result<Vec<Effect>, Refused> {
        self.spend_change(peer)?;
        if let Some(left) = self.store.dequeue(peer.player).await? {
            return Ok(self.board().left_queue(left.ticket, &left.members, &Reason::new("dequeued", "you left the queue")));
        }
        let believed = self.board().whereabouts(peer.player);
        match believed {
            Whereabouts::Nowhere => Err(Refused::new("not-queued", "you are in no queue")),
            // The store knows of no queue ticket and of no match: the board has seen things in another order than they were committed.
            Whereabouts::Waiting(_) if self.store.find_active_match(peer.player).await?.is_none() => {
                let mut board = self.board();
                board.drop_ghost(peer.player);
                Ok(board.answer(peer.player, self.clock.now()))
            }
            Whereabouts::Waiting(_) | Whereabouts::Playing(_) => Err(Refused::new("in-match", "your match is being made")),
        }
    }

    fn spend_change(&self, peer: &PlayerPeer) -> Result<(), Refused> {
        self.board().may_change(peer.player, CHANGES, self.clock.now()).map_err(|wait| Refused {
            code: "busy",
            detail: "too many changes in a short time".to_owned(),
            retry_after_ms: u32::try_from(wait.as_millis()).unwrap_or(u32::MAX),
        })
    }

    fn parse_wish(&self, message: &v1::Enqueue) -> Result<Wish, Refused> {
        let queue = self
            .queues
            .iter()
            .position(|queue| queue.name() == message.queue)
            .ok_or_else(|| Refused::new("unknown-queue", "this host has no such queue"))?;
        let (regions, latency_ms) = parse_regions(&self.queues[queue].shape, &message.regions)?;
        Ok(Wish { queue, regions, latency_ms })
    }
}

/// The regions as a mask and the round trips as a row. No region at all means every region, round trip unknown.
fn parse_regions(shape: &QueueShape, wanted: &[v1::RegionLatency]) -> Result<(u64, Vec<u16>), Refused> {
    let mut latency_ms = vec![LATENCY_UNKNOWN; shape.regions.len()];
    if wanted.is_empty() {
        return Ok((u64::MAX.checked_shr(64 - u32::try_from(shape.regions.len().min(64)).unwrap_or(64)).unwrap_or(0), latency_ms));
    }
    if wanted.len() > shape.regions.len() {
        return Err(Refused::new("malformed", format!("{} regions, the queue has {}", wanted.len(), shape.regions.len())));
    }
    let mut regions = 0;
    for v1::RegionLatency { region, latency_ms: claimed } in wanted {
        let index = shape
            .regions
            .iter()
            .position(|known| known == region)
            .ok_or_else(|| Refused::new("unknown-region", "the queue has no such region"))?;
        regions |= 1 << index;
        latency_ms[index] = u16::try_from((*claimed).min(LATENCY_MS_MAX)).unwrap_or(LATENCY_UNKNOWN);
    }
    Ok((regions, latency_ms))
}

const _: () = assert!(LATENCY_MS_MAX < LATENCY_UNKNOWN as u32, "a believed round trip must not read as an unknown one");

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(regions: &[&str]) -> QueueShape {
        QueueShape { regions: regions.iter().map(|&region| region.to_owned()).collect(), ..QueueShape::default() }
    }

    fn want(regions: &[(&str, u32)]) -> Vec<v1::RegionLatency> {
        regions.iter().map(|&(region, latency_ms)| v1::RegionLatency { region: region.to_owned(), latency_ms }).collect()
    }

    #[test]
    fn regions_become_a_mask_and_a_row_of_round_trips() {
        const UNKNOWN: u16 = LATENCY_UNKNOWN;
        type Row<'a> = (&'a str, &'a [(&'a str, u32)], Result<(u64, Vec<u16>), &'a str>);
        let table: [Row<'_>; 6] = [
            ("none means all", &[], Ok((0b111, vec![UNKNOWN; 3]))),
            ("one", &[("us", 90)], Ok((0b010, vec![UNKNOWN, 90, UNKNOWN]))),
            ("two", &[("ap", 0), ("eu", 10_001)], Ok((0b101, vec![10_000, UNKNOWN, 0]))),
            ("twice the same", &[("eu", 5), ("eu", 6)], Ok((0b001, vec![6, UNKNOWN, UNKNOWN]))),
            ("unknown", &[("mars", 5)], Err("unknown-region")),
            ("too many", &[("eu", 1), ("eu", 1), ("eu", 1), ("eu", 1)], Err("malformed")),
        ];
        for (name, wanted, expected) in table {
            let got = parse_regions(&shape(&["eu", "us", "ap"]), &want(wanted)).map_err(|refused| refused.code);
            assert_eq!(got, expected, "{name}");
        }
    }

    #[test]
    fn sixty_four_regions_fill_the_mask() {
        let names: Vec<String> = (0..64).map(|index| format!("r{index}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(parse_regions(&shape(&names), &[]).map(|(mask, _)| mask), Ok(u64::MAX));
        assert_eq!(parse_regions(&shape(&names), &want(&[("r63", 1)])).map(|(mask, _)| mask), Ok(1 << 63));
    }
}
