//! Free places for matches on the game servers that are connected, and the choice among them.

use std::cmp::Ordering;

use ladder::id::ServerId;

/// One game server that takes matches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Berth {
    /// Which game server.
    pub server: ServerId,
    /// Matches that it hosts at once, by its own latest heartbeat.
    pub capacity: u32,
    /// Matches that the host has open on it.
    pub active: u32,
    /// Its own measure of load, 0 to 1.
    pub load: f32,
}

impl Berth {
    fn free(&self) -> u32 {
        self.capacity.saturating_sub(self.active)
    }

    /// The emptier one first; then the one with less load; then by id, so that two hosts and two runs agree.
    fn cmp_busy(&self, other: &Self) -> Ordering {
        let share = |berth: &Self, by: &Self| u64::from(berth.active) * u64::from(by.capacity);
        share(self, other)
            .cmp(&share(other, self))
            .then_with(|| self.load.total_cmp(&other.load))
            .then_with(|| self.server.cmp(&other.server))
    }
}

/// The free places of one queue's regions during one tick.
#[derive(Clone, Debug, Default)]
pub struct Slots {
    regions: Vec<Vec<Berth>>,
}

impl Slots {
    /// Forgets everything and makes room for `regions` regions; keeps its buffers.
    pub fn reset(&mut self, regions: usize) {
        self.regions.iter_mut().for_each(Vec::clear);
        self.regions.resize_with(regions, Vec::new);
    }

    /// Adds a game server of a region. A region past the queue's is not this queue's: nothing happens.
    pub fn add(&mut self, region: usize, berth: Berth) {
        if let Some(berths) = self.regions.get_mut(region) {
            berths.push(berth);
        }
    }

    /// Matches that a region can take.
    #[must_use]
    pub fn free(&self, region: usize) -> u32 {
        self.regions.get(region).map_or(0, |berths| berths.iter().fold(0, |sum, berth| sum.saturating_add(berth.free())))
    }

    /// Matches that each region can take, in the order of the queue's regions.
    pub fn free_per_region(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.regions.len()).map(|region| self.free(region))
    }

    /// Takes a place on the least busy game server of a region that is none of `tried`.
    pub fn take(&mut self, region: usize, tried: &[ServerId]) -> Option<Berth> {
        let berths = self.regions.get_mut(region)?;
        let candidates = berths.iter_mut().filter(|berth| berth.free() > 0 && !tried.contains(&berth.server));
        let chosen = candidates.min_by(|a, b| a.cmp_busy(b))?;
        chosen.active += 1;
        Some(*chosen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berth(server: u8, capacity: u32, active: u32, load: f32) -> Berth {
        Berth { server: ServerId([server; 16]), capacity, active, load }
    }

    fn slots(berths: &[Berth]) -> Slots {
        let mut slots = Slots::default();
        slots.reset(1);
        berths.iter().for_each(|&berth| slots.add(0, berth));
        slots
    }

    fn taken(slots: &mut Slots, tried: &[ServerId]) -> Option<u8> {
        slots.take(0, tried).map(|berth| berth.server.0[0])
    }

    #[test]
    fn the_least_busy_game_server_is_taken_and_ties_are_broken_by_load_then_id() {
        let table: [(&str, &[Berth], u8); 4] = [
            ("share of the capacity, not the count", &[berth(1, 2, 1, 0.0), berth(2, 10, 2, 0.9)], 2),
            ("load", &[berth(1, 4, 1, 0.5), berth(2, 4, 1, 0.1)], 2),
            ("id", &[berth(9, 4, 1, 0.5), berth(3, 4, 1, 0.5)], 3),
            ("full ones are out", &[berth(1, 1, 1, 0.0), berth(2, 5, 4, 1.0)], 2),
        ];
        for (name, berths, expected) in table {
            assert_eq!(taken(&mut slots(berths), &[]), Some(expected), "{name}");
        }
    }

    #[test]
    fn no_place_is_given_twice_and_those_tried_are_skipped() {
        let mut slots = slots(&[berth(1, 1, 0, 0.0), berth(2, 2, 0, 0.0)]);
        assert_eq!(slots.free(0), 3);
        assert_eq!(taken(&mut slots, &[ServerId([1; 16])]), Some(2));
        let rest: Vec<_> = (0..3).map(|_| taken(&mut slots, &[])).collect();
        assert_eq!(rest, [Some(1), Some(2), None]);
        assert_eq!(slots.free(0), 0);
        assert_eq!(slots.take(7, &[]), None, "an unknown region");
    }
}
