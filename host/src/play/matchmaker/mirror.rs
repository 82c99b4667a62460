//! The waiting queue tickets of one queue, in columns: a copy of the store's rows that a tick can read without asking the database.
//!
//! Rows stand in the order of their ids, the oldest first. A removed row is marked and squeezed out before the next look, so that a tick
//! over ten thousand queue tickets costs a few copies of columns and no allocation per row. The store decides: what it refuses to open
//! was stale here and goes.

use ladder::id::{PlayerId, QueueTicketId};
use ladder::pool::{LATENCY_UNKNOWN, Limit, Pool};
use ladder::time::UnixMillis;
use store::WaitingTicket;

/// Who waits in one queue.
#[derive(Debug)]
pub struct Mirror {
    /// Regions of the queue: the width of a row in `latency_ms`.
    regions_len: usize,
    // one entry per queue ticket
    tickets: Vec<QueueTicketId>,
    enqueued_at: Vec<UnixMillis>,
    regions: Vec<u64>,
    member_end: Vec<u32>,
    limit: Vec<Limit>,
    gone: Vec<bool>,
    gone_count: usize,
    gone_players: usize,
    // one entry per player
    players: Vec<PlayerId>,
    mean: Vec<f64>,
    uncertainty: Vec<f64>,
    contests: Vec<u32>,
    // one entry per player and region
    latency_ms: Vec<u16>,
}

/// What one waiting queue ticket looks like from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitingRow {
    /// Since when.
    pub enqueued_at: UnixMillis,
    /// Bit r set: may play in region r.
    pub regions: u64,
    /// What kept it waiting in the latest tick.
    pub limit: Limit,
}

impl Mirror {
    /// Nobody waits. `regions_len` is the number of the queue's regions.
    #[must_use]
    pub fn new(regions_len: usize) -> Self {
        Self {
            regions_len,
            tickets: Vec::new(),
            enqueued_at: Vec::new(),
            regions: Vec::new(),
            member_end: Vec::new(),
            limit: Vec::new(),
            gone: Vec::new(),
            gone_count: 0,
            gone_players: 0,
            players: Vec::new(),
            mean: Vec::new(),
            uncertainty: Vec::new(),
            contests: Vec::new(),
            latency_ms: Vec::new(),
        }
    }

    /// Queue tickets waiting.
    #[must_use]
    pub fn tickets(&self) -> usize {
        self.tickets.len() - self.gone_count
    }

    /// Players waiting.
    #[must_use]
    pub fn players(&self) -> usize {
        self.players.len() - self.gone_players
    }

    /// One waiting queue ticket.
    #[must_use]
    pub fn find(&self, ticket: QueueTicketId) -> Option<WaitingRow> {
        let row = self.row(ticket)?;
        Some(WaitingRow { enqueued_at: self.enqueued_at[row], regions: self.regions[row], limit: self.limit[row] })
    }

    /// Adds a queue ticket; one that already waits stays as it is.
    pub fn insert(&mut self, ticket: &WaitingTicket) {
        if self.row(ticket.id).is_some() {
            return;
        }
        if self.tickets.last().is_some_and(|&last| ticket.id <= last) {
            // It waited before, and comes back between younger ones: rare, so the rows may move.
            self.squeeze();
        }
        let row = self.tickets.partition_point(|&other| other < ticket.id);
        let at = self.first_member(row);
        let ahead = u32::try_from(ticket.members.len()).unwrap_or(u32::MAX);
        for end in &mut self.member_end[row..] {
            *end = end.saturating_add(ahead);
        }
        self.tickets.insert(row, ticket.id);
        self.enqueued_at.insert(row, ticket.enqueued_at);
        self.regions.insert(row, ticket.regions);
        self.member_end.insert(row, u32::try_from(at).unwrap_or(u32::MAX).saturating_add(ahead));
        self.limit.insert(row, Limit::Players);
        self.gone.insert(row, false);
        for (offset, member) in ticket.members.iter().enumerate() {
            let player = at + offset;
            self.players.insert(player, member.player);
            self.mean.insert(player, member.mean);
            self.uncertainty.insert(player, member.uncertainty);
            self.contests.insert(player, member.contests);
            let cell = player * self.regions_len;
            let latencies = member.latency_ms.iter().copied().chain(std::iter::repeat(LATENCY_UNKNOWN)).take(self.regions_len);
            self.latency_ms.splice(cell..cell, latencies);
        }
    }

    /// Brings the ratings of a queue ticket's players up to date; one that does not wait is passed over.
    pub fn refresh(&mut self, ticket: &WaitingTicket) {
        let Some(row) = self.row(ticket.id) else { return };
        let members = self.first_member(row)..self.member_end[row] as usize;
        for player in members {
            let Some(member) = ticket.members.iter().find(|member| member.player == self.players[player]) else { continue };
            (self.mean[player], self.uncertainty[player], self.contests[player]) = (member.mean, member.uncertainty, member.contests);
        }
    }

    /// Takes a queue ticket out; `false` if it did not wait.
    pub fn remove(&mut self, ticket: QueueTicketId) -> bool {
        let Some(row) = self.row(ticket) else { return false };
        self.gone[row] = true;
        self.gone_count += 1;
        self.gone_players += self.member_end[row] as usize - self.first_member(row);
        true
    }

    /// Every waiting queue ticket with its players, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (QueueTicketId, WaitingRow, &[PlayerId])> + '_ {
        (0..self.tickets.len()).filter(|&row| !self.gone[row]).map(|row| {
            let seen = WaitingRow { enqueued_at: self.enqueued_at[row], regions: self.regions[row], limit: self.limit[row] };
            (self.tickets[row], seen, &self.players[self.first_member(row)..self.member_end[row] as usize])
        })
    }

    /// Copies the columns into a pool and the ids of its queue tickets beside it; both keep their buffers.
    pub fn copy_to(&mut self, now: UnixMillis, pool: &mut Pool, tickets: &mut Vec<QueueTicketId>) {
        self.squeeze();
        pool.now_ms = now.0;
        refill(tickets, &self.tickets);
        refill(&mut pool.member_end, &self.member_end);
        refill(&mut pool.regions, &self.regions);
        refill(&mut pool.mean, &self.mean);
        refill(&mut pool.uncertainty, &self.uncertainty);
        refill(&mut pool.contests, &self.contests);
        refill(&mut pool.latency_ms, &self.latency_ms);
        pool.waited_ms.clear();
        pool.waited_ms.extend(self.enqueued_at.iter().map(|since| u32::try_from(now.since(*since).as_millis()).unwrap_or(u32::MAX)));
    }

    /// Notes what keeps each queue ticket waiting, as one tick saw it; those that are gone meanwhile are skipped.
    pub fn note_limits(&mut self, tickets: &[QueueTicketId], limits: &[u8]) {
        let mut row = 0;
        for (ticket, limit) in tickets.iter().zip(limits) {
            // Both sides ascend: one pass.
            while self.tickets.get(row).is_some_and(|other| other < ticket) {
                row += 1;
            }
            if self.tickets.get(row) == Some(ticket)
                && let Some(limit) = Limit::from_number(*limit)
            {
                self.limit[row] = limit;
            }
        }
    }

    fn row(&self, ticket: QueueTicketId) -> Option<usize> {
        self.tickets.binary_search(&ticket).ok().filter(|&row| !self.gone[row])
    }

    fn first_member(&self, row: usize) -> usize {
        row.checked_sub(1).map_or(0, |before| self.member_end[before] as usize)
    }

    /// Moves the rows that stay over those that are gone.
    fn squeeze(&mut self) {
        if self.gone_count == 0 {
            return;
        }
        let (mut to_row, mut to_player, mut first) = (0, 0, 0);
        for row in 0..self.tickets.len() {
            let end = self.member_end[row] as usize;
            if !self.gone[row] {
                self.tickets[to_row] = self.tickets[row];
                self.enqueued_at[to_row] = self.enqueued_at[row];
                self.regions[to_row] = self.regions[row];
                self.limit[to_row] = self.limit[row];
                self.players.copy_within(first..end, to_player);
                self.mean.copy_within(first..end, to_player);
                self.uncertainty.copy_within(first..end, to_player);
                self.contests.copy_within(first..end, to_player);
                let cells = first * self.regions_len..end * self.regions_len;
                self.latency_ms.copy_within(cells, to_player * self.regions_len);
                to_player += end - first;
                // Players are counted in u32 by the pool's contract; this one was below a value that fitted.
                self.member_end[to_row] = u32::try_from(to_player).unwrap_or(u32::MAX);
                to_row += 1;
            }
            first = end;
        }
        self.tickets.truncate(to_row);
        self.enqueued_at.truncate(to_row);
        self.regions.truncate(to_row);
        self.member_end.truncate(to_row);
        self.limit.truncate(to_row);
        self.gone.clear();
        self.gone.resize(to_row, false);
        self.players.truncate(to_player);
        self.mean.truncate(to_player);
        self.uncertainty.truncate(to_player);
        self.contests.truncate(to_player);
        self.latency_ms.truncate(to_player * self.regions_len);
        (self.gone_count, self.gone_players) = (0, 0);
    }
}

fn refill<T: Copy>(to: &mut Vec<T>, from: &[T]) {
    to.clear();
    to.extend_from_slice(from);
}

#[cfg(test)]
mod tests {
    use super::*;
    use ladder::id::QueueId;
    use store::WaitingMember;

    /// A queue ticket whose players are numbered from ten times its id.
    fn ticket(id: u64, members: u64) -> WaitingTicket {
        let member = |offset| WaitingMember {
            player: PlayerId(id * 10 + offset),
            mean: (id * 10 + offset) as f64,
            uncertainty: 1.0,
            contests: 0,
            latency_ms: vec![id as u16, offset as u16],
        };
        let members = (0..members).map(member).collect();
        WaitingTicket { id: QueueTicketId(id), queue: QueueId(1), enqueued_at: UnixMillis(1000 * id), regions: 0b11, members }
    }

    fn seen(mirror: &mut Mirror) -> (Vec<u64>, Pool) {
        let (mut pool, mut tickets) = (Pool::default(), Vec::new());
        mirror.copy_to(UnixMillis(10_000), &mut pool, &mut tickets);
        (tickets.iter().map(|ticket| ticket.0).collect(), pool)
    }

    #[test]
    fn columns_stay_aligned_whatever_comes_and_goes() {
        let mut mirror = Mirror::new(2);
        [ticket(1, 1), ticket(2, 3), ticket(3, 2), ticket(5, 1)].iter().for_each(|ticket| mirror.insert(ticket));
        assert!(mirror.remove(QueueTicketId(2)));
        assert!(!mirror.remove(QueueTicketId(2)), "it is gone");
        assert_eq!((mirror.tickets(), mirror.players()), (3, 4));
        let (tickets, pool) = seen(&mut mirror);
        assert_eq!(tickets, [1, 3, 5]);
        assert_eq!(pool.member_end, [1, 3, 4]);
        assert_eq!(pool.mean, [10.0, 30.0, 31.0, 50.0]);
        assert_eq!(pool.latency_ms, [1, 0, 3, 0, 3, 1, 5, 0]);
        assert_eq!(pool.waited_ms, [9000, 7000, 5000]);
        // A failed match brings its queue tickets back between the others, with their waiting time.
        mirror.insert(&ticket(2, 3));
        mirror.insert(&ticket(2, 3));
        let (tickets, pool) = seen(&mut mirror);
        assert_eq!(tickets, [1, 2, 3, 5]);
        assert_eq!(pool.member_end, [1, 4, 6, 7]);
        assert_eq!(pool.mean, [10.0, 20.0, 21.0, 22.0, 30.0, 31.0, 50.0]);
        assert_eq!(pool.latency_ms, [1, 0, 2, 0, 2, 1, 2, 2, 3, 0, 3, 1, 5, 0]);
        assert_eq!(pool.waited_ms, [9000, 8000, 7000, 5000]);
    }

    #[test]
    fn ratings_of_those_who_wait_follow_the_store() {
        let mut mirror = Mirror::new(2);
        (1..=3).for_each(|id| mirror.insert(&ticket(id, 2)));
        mirror.remove(QueueTicketId(1));
        let mut rated = ticket(2, 2);
        (rated.members[1].mean, rated.members[1].uncertainty, rated.members[1].contests) = (7.0, 0.5, 9);
        mirror.refresh(&rated);
        mirror.refresh(&ticket(1, 2));
        let (tickets, pool) = seen(&mut mirror);
        assert_eq!(tickets, [2, 3]);
        assert_eq!((pool.mean, pool.uncertainty), (vec![20.0, 7.0, 30.0, 31.0], vec![1.0, 0.5, 1.0, 1.0]));
        assert_eq!(pool.contests, [0, 9, 0, 0]);
    }

    #[test]
    fn limits_find_their_queue_tickets_when_others_left_meanwhile() {
        let mut mirror = Mirror::new(2);
        (1..=4).for_each(|id| mirror.insert(&ticket(id, 1)));
        let tickets: Vec<_> = (1..=4).map(QueueTicketId).collect();
        mirror.remove(QueueTicketId(2));
        seen(&mut mirror);
        mirror.note_limits(&tickets, &[Limit::Skill as u8, 0, Limit::Region as u8, 200]);
        let limits: Vec<_> = mirror.iter().map(|(ticket, row, _)| (ticket.0, row.limit)).collect();
        assert_eq!(limits, [(1, Limit::Skill), (3, Limit::Region), (4, Limit::Players)]);
    }

    #[test]
    fn a_missing_latency_is_an_unknown_one() {
        let mut mirror = Mirror::new(3);
        mirror.insert(&ticket(1, 1));
        assert_eq!(seen(&mut mirror).1.latency_ms, [1, 0, LATENCY_UNKNOWN]);
    }
}
