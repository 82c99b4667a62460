//! Gathers one match around a ticket: the tickets nearest in skill that accept each other and fill the teams.
//!
//! The first try takes whoever is nearest. Where it fails, a second try takes parties before single players and wide windows before
//! narrow ones: a newcomer who accepts few must not stand between those who accept each other.

use plugin_sdk::{Limit, Pool};

use crate::Waiting;
use crate::neighbors::Neighbors;
use crate::teams::Room;

/// Candidates looked at for one match at most, beside the players of the match itself.
const CANDIDATES_MAX: usize = 128;

/// Weight of pairs that must not meet.
const MUST_NOT_MEET: u8 = 255;

/// Why no match could be gathered.
pub(crate) struct Shortage {
    /// Players that were gathered.
    pub(crate) gathered: u32,
    /// What kept the others out.
    pub(crate) limit: Limit,
}

/// The search of one tick.
pub(crate) struct Gatherer<'t> {
    waiting: &'t [Waiting],
    neighbors: Neighbors,
    /// Players of a full match.
    players: u32,
    /// Players of the whole pool who are in no match yet.
    players_left: u64,
    /// Whom each ticket must not or had rather not meet: entries `apart_start[t]..apart_start[t + 1]`.
    apart: Vec<(u32, u8)>,
    apart_start: Vec<u32>,
    /// Per ticket the number of the last try in which somebody chosen refused it.
    refused_in: Vec<u32>,
    tries: u32,
    matched: Vec<bool>,
    room: Room,
    chosen: Vec<u32>,
    candidates: Vec<u32>,
    visits: u64,
}

/// One try to fill a match.
struct Try {
    /// Lowest and highest mean so far.
    span: (f64, f64),
    /// Players kept out by skill, by somebody who must not meet them, by their party.
    kept_out: [u32; 3],
}

impl<'t> Gatherer<'t> {
    pub(crate) fn new(pool: &Pool, waiting: &'t [Waiting], neighbors: Neighbors, team_sizes: &[u16]) -> Self {
        let (apart, apart_start) = pairs_by_ticket(pool);
        Gatherer {
            waiting,
            neighbors,
            players: team_sizes.iter().map(|&size| u32::from(size)).sum(),
            players_left: waiting.iter().map(|ticket| u64::from(ticket.size)).sum(),
            refused_in: if apart.is_empty() { Vec::new() } else { vec![0; waiting.len()] },
            apart,
            apart_start,
            tries: 0,
            matched: vec![false; waiting.len()],
            room: Room::new(team_sizes),
            chosen: Vec::new(),
            candidates: Vec::new(),
            visits: 0,
        }
    }

    /// Candidates looked at so far.
    pub(crate) fn visits(&self) -> u64 {
        self.visits
    }

    /// Whether a ticket is in a match already.
    pub(crate) fn is_matched(&self, ticket: usize) -> bool {
        self.matched[ticket]
    }

    /// Regions in which a ticket can play.
    pub(crate) fn regions(&self, ticket: usize) -> u64 {
        self.waiting[ticket].regions
    }

    /// Gathers a match around `anchor` in `region`; [`Self::accept`] makes it final.
    pub(crate) fn gather(&mut self, anchor: usize, region: usize) -> Result<(), Shortage> {
        let own = self.waiting[anchor];
        let there = self.neighbors.players(region);
        if there < self.players {
            // Alone here, with players enough elsewhere: another region would help.
            let elsewhere = there <= u32::from(own.size) && self.players_left >= u64::from(self.players);
            let limit = if elsewhere { Limit::Region } else { Limit::Players };
            return Err(Shortage { gathered: there.max(1), limit });
        }
        // Cannot truncate: a pool numbers its tickets with 32 bits.
        let anchor = anchor as u32;
        let shortage = match self.take_nearest(anchor, region) {
            Ok(()) => return Ok(()),
            Err(shortage) => shortage,
        };
        let seen = self.candidates.iter().map(|&ticket| u32::from(self.waiting[ticket as usize].size)).sum::<u32>();
        if seen + u32::from(own.size) < self.players {
            return Err(shortage);
        }
        self.take_widest(anchor).map_err(|second| if second.gathered > shortage.gathered { second } else { shortage })
    }

    /// Takes the gathered match out of the pool.
    pub(crate) fn accept(&mut self) -> &[u32] {
        for &ticket in &self.chosen {
            self.matched[ticket as usize] = true;
            self.neighbors.remove(ticket, &self.waiting[ticket as usize]);
        }
        self.players_left -= u64::from(self.players);
        &self.chosen
    }

    /// The first try: outward from the anchor, the nearer side first. Leaves all candidates that it saw.
    fn take_nearest(&mut self, anchor: u32, region: usize) -> Result<(), Shortage> {
        let own = self.waiting[anchor as usize];
        let mut attempt = self.start(anchor);
        self.candidates.clear();
        let (mut below, mut above) = (self.neighbors.below(region, anchor), self.neighbors.above(region, anchor));
        let candidates_max = CANDIDATES_MAX + self.players as usize;
        while self.candidates.len() < candidates_max {
            let distance = |side: Option<u32>| side.map(|ticket| (self.waiting[ticket as usize].mean - own.mean).abs());
            let candidate = match (distance(below), distance(above)) {
                (None, None) => break,
                (Some(down), Some(up)) if down <= up => below,
                (Some(_), None) => below,
                _ => above,
            };
            let Some(ticket) = candidate else { break };
            let mean = self.waiting[ticket as usize].mean;
            let lower = candidate == below;
            // Everybody beyond is farther still.
            let beyond_own = (mean - own.mean).abs() > own.window;
            match (lower, beyond_own) {
                (true, true) => below = None,
                (true, false) => below = self.neighbors.below(region, ticket),
                (false, true) => above = None,
                (false, false) => above = self.neighbors.above(region, ticket),
            }
            if beyond_own {
                continue;
            }
            self.candidates.push(ticket);
            if self.consider(&mut attempt, ticket) {
                return Ok(());
            }
        }
        Err(self.shortage(&attempt))
    }

    /// The second try: the candidates of the first, parties and wide windows before others.
    fn take_widest(&mut self, anchor: u32) -> Result<(), Shortage> {
        let mut candidates = core::mem::take(&mut self.candidates);
        let waiting = self.waiting;
        candidates.sort_by(|&first, &second| {
            let (first, second) = (&waiting[first as usize], &waiting[second as usize]);
            second.size.cmp(&first.size).then(second.window.total_cmp(&first.window))
        });
        let mut attempt = self.start(anchor);
        let full = candidates.iter().any(|&ticket| self.consider(&mut attempt, ticket));
        self.candidates = candidates;
        if full { Ok(()) } else { Err(self.shortage(&attempt)) }
    }

    fn start(&mut self, anchor: u32) -> Try {
        let own = &self.waiting[anchor as usize];
        let mut attempt = Try { span: (own.mean, own.mean), kept_out: [0; 3] };
        self.tries += 1;
        self.chosen.clear();
        // A single ticket always fits: larger ones have no region.
        self.room.clear();
        self.room.admit(own.size);
        self.choose(&mut attempt, anchor);
        attempt
    }

    /// Takes a candidate if everybody accepts; whether the match is full then.
    fn consider(&mut self, attempt: &mut Try, ticket: u32) -> bool {
        self.visits += 1;
        let candidate = &self.waiting[ticket as usize];
        // Differences, not sums: the host compares differences, and rounding must not tell the two apart.
        let covers = |window: f64, mean: f64, other: f64| (mean - other).abs() <= window;
        let (low, high) = attempt.span;
        let accepts = covers(candidate.window, candidate.mean, low) && covers(candidate.window, candidate.mean, high);
        let accepted = || {
            let mut chosen = self.chosen.iter().map(|&chosen| &self.waiting[chosen as usize]);
            chosen.all(|chosen| covers(chosen.window, candidate.mean, chosen.mean))
        };
        let size = u32::from(candidate.size);
        if !(accepts && accepted()) {
            attempt.kept_out[0] += size;
        } else if self.refused_in.get(ticket as usize) == Some(&self.tries) {
            attempt.kept_out[1] += size;
        } else if !self.room.admit(candidate.size) {
            attempt.kept_out[2] += size;
        } else {
            self.choose(attempt, ticket);
        }
        self.room.is_full()
    }

    fn choose(&mut self, attempt: &mut Try, ticket: u32) {
        let Waiting { mean, is_widest, .. } = self.waiting[ticket as usize];
        attempt.span = (attempt.span.0.min(mean), attempt.span.1.max(mean));
        self.chosen.push(ticket);
        if !self.refused_in.is_empty() {
            let range = self.apart_start[ticket as usize] as usize..self.apart_start[ticket as usize + 1] as usize;
            for &(other, weight) in &self.apart[range] {
                if weight == MUST_NOT_MEET || !(is_widest || self.waiting[other as usize].is_widest) {
                    self.refused_in[other as usize] = self.tries;
                }
            }
        }
    }

    fn shortage(&self, attempt: &Try) -> Shortage {
        let gathered = self.players - self.room.left();
        let [skill, apart, party] = attempt.kept_out;
        let limit = match () {
            () if apart > 0 && gathered + apart >= self.players => Limit::Apart,
            // Enough players of the right skill, but in parties that fill no team.
            () if party > 0 && skill == 0 => Limit::Players,
            () => Limit::Skill,
        };
        Shortage { gathered, limit }
    }
}

/// The pairs of the pool by ticket, in both directions.
fn pairs_by_ticket(pool: &Pool) -> (Vec<(u32, u8)>, Vec<u32>) {
    if pool.apart().len() == 0 {
        return (Vec::new(), Vec::new());
    }
    let mut pairs: Vec<(u32, u32, u8)> = Vec::with_capacity(pool.apart().len() * 2);
    for apart in pool.apart() {
        // Cannot truncate: a pool numbers its tickets with 32 bits.
        let (first, second) = (apart.tickets.0 as u32, apart.tickets.1 as u32);
        pairs.push((first, second, apart.weight));
        pairs.push((second, first, apart.weight));
    }
    pairs.sort_unstable();
    let mut start = vec![0_u32; pool.ticket_count() + 1];
    for &(ticket, _, _) in &pairs {
        start[ticket as usize + 1] += 1;
    }
    for ticket in 0..pool.ticket_count() {
        start[ticket + 1] += start[ticket];
    }
    (pairs.into_iter().map(|(_, other, weight)| (other, weight)).collect(), start)
}
