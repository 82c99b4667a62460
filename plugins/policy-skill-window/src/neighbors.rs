//! Who is next to whom in skill: per region a list of its tickets in the order of their means, from which tickets drop out.
//!
//! Sorting happens once per tick. Afterwards the next and the previous ticket are one step away, however many have gone.

use crate::{Waiting, regions_of};

/// End of a list, and position of a ticket that is not in it.
const NONE: u32 = u32::MAX;

/// The lists of all regions.
pub(crate) struct Neighbors {
    regions: Vec<Line>,
}

/// One region. Entry i is about the ticket `ticket[i]`.
#[derive(Default)]
struct Line {
    ticket: Vec<u32>,
    next: Vec<u32>,
    previous: Vec<u32>,
    /// Per ticket of the pool: its entry, or [`NONE`].
    entry_of: Vec<u32>,
    /// Players still in the list.
    players: u32,
}

impl Neighbors {
    /// Lists every ticket in each of its regions.
    pub(crate) fn new(waiting: &[Waiting], region_count: usize) -> Self {
        let able = waiting.iter().enumerate().filter(|(_, ticket)| ticket.regions != 0);
        // Cannot truncate: a pool numbers its tickets with 32 bits.
        let mut order: Vec<u64> = able.map(|(index, ticket)| ascending(ticket.mean) | u64::from(index as u32)).collect();
        order.sort_unstable();
        let mut regions: Vec<Line> = Vec::new();
        regions.resize_with(region_count, Line::default);
        for ticket in order.into_iter().map(|key| key as u32) {
            for region in regions_of(waiting[ticket as usize].regions) {
                regions[region].push(ticket, waiting);
            }
        }
        for line in &mut regions {
            line.link();
        }
        Neighbors { regions }
    }

    /// Players still listed in a region.
    pub(crate) fn players(&self, region: usize) -> u32 {
        self.regions[region].players
    }

    /// The ticket with the next higher mean.
    pub(crate) fn above(&self, region: usize, ticket: u32) -> Option<u32> {
        let line = &self.regions[region];
        line.ticket.get(line.next[line.entry_of[ticket as usize] as usize] as usize).copied()
    }

    /// The ticket with the next lower mean.
    pub(crate) fn below(&self, region: usize, ticket: u32) -> Option<u32> {
        let line = &self.regions[region];
        line.ticket.get(line.previous[line.entry_of[ticket as usize] as usize] as usize).copied()
    }

    /// Takes a ticket out of all its regions.
    pub(crate) fn remove(&mut self, ticket: u32, waiting: &Waiting) {
        for region in regions_of(waiting.regions) {
            self.regions[region].remove(ticket, waiting.size);
        }
    }
}

impl Line {
    fn push(&mut self, ticket: u32, waiting: &[Waiting]) {
        if self.entry_of.is_empty() {
            self.entry_of.resize(waiting.len(), NONE);
        }
        // Cannot truncate: a pool numbers its tickets with 32 bits.
        self.entry_of[ticket as usize] = self.ticket.len() as u32;
        self.ticket.push(ticket);
        self.players += u32::from(waiting[ticket as usize].size);
    }

    fn link(&mut self) {
        let count = self.ticket.len() as u32;
        self.next.extend((0..count).map(|entry| if entry + 1 < count { entry + 1 } else { NONE }));
        self.previous.extend((0..count).map(|entry| entry.checked_sub(1).unwrap_or(NONE)));
    }

    fn remove(&mut self, ticket: u32, size: u16) {
        let entry = self.entry_of[ticket as usize] as usize;
        let (next, previous) = (self.next[entry], self.previous[entry]);
        if let Some(before) = self.next.get_mut(previous as usize) {
            *before = next;
        }
        if let Some(after) = self.previous.get_mut(next as usize) {
            *after = previous;
        }
        self.players -= u32::from(size);
    }
}

/// Orders numbers as integers, in the upper half: single precision decides who is next to whom well enough, and leaves the lower
/// half to the ticket.
fn ascending(mean: f64) -> u64 {
    let bits = (mean as f32).to_bits();
    let ordered = if bits >> 31 == 0 { bits | (1 << 31) } else { !bits };
    u64::from(ordered) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_order_means() {
        let means = [f64::NEG_INFINITY, -1e30, -2.5, -0.0, 0.0, 1e-30, 7.0, f64::INFINITY];
        assert!(means.windows(2).all(|pair| ascending(pair[0]) < ascending(pair[1])));
    }

    #[test]
    fn neighbors_close_up_around_who_leaves() {
        let waiting: Vec<Waiting> =
            [3.0, 1.0, 2.0, 4.0].map(|mean| Waiting { mean, window: 1.0, size: 1, is_widest: false, regions: 0b10 }).to_vec();
        let mut neighbors = Neighbors::new(&waiting, 2);
        assert_eq!((neighbors.players(0), neighbors.players(1)), (0, 4));
        assert_eq!((neighbors.below(1, 2), neighbors.above(1, 2)), (Some(1), Some(0)));
        neighbors.remove(0, &waiting[0]);
        assert_eq!((neighbors.above(1, 2), neighbors.below(1, 3)), (Some(3), Some(2)));
        neighbors.remove(1, &waiting[1]);
        assert_eq!((neighbors.below(1, 2), neighbors.players(1)), (None, 2));
    }
}
