//! Parties into teams: whether they fit, and how to split them so that the teams are even.

use crate::Waiting;

/// Repackings tried at most before a party counts as not fitting; queues of up to a dozen parties never come near.
const PLACEMENTS_MAX: u32 = 5_000;

/// Rounds of exchanges at most.
const ROUNDS_MAX: u32 = 8;

/// The room left in a match while it is gathered.
///
/// Single players fit wherever room is left, so only parties are placed in teams.
pub(crate) struct Room {
    team_sizes: Vec<u16>,
    /// Room left in each team by the parties placed so far.
    free: Vec<u16>,
    /// Parties of two and more.
    parties: Vec<u16>,
    left: u32,
}

impl Room {
    /// An empty match.
    pub(crate) fn new(team_sizes: &[u16]) -> Self {
        Room {
            team_sizes: team_sizes.to_vec(),
            free: team_sizes.to_vec(),
            parties: Vec::new(),
            left: team_sizes.iter().map(|&size| u32::from(size)).sum(),
        }
    }

    /// Lets everybody leave.
    pub(crate) fn clear(&mut self) {
        self.free.clone_from(&self.team_sizes);
        self.parties.clear();
        self.left = self.team_sizes.iter().map(|&size| u32::from(size)).sum();
    }

    /// Players still missing.
    pub(crate) fn left(&self) -> u32 {
        self.left
    }

    /// Whether every team can be filled exactly by what was admitted.
    pub(crate) fn is_full(&self) -> bool {
        self.left == 0
    }

    /// Admits a ticket of `size` players if it fits whole into one team, beside everybody admitted before.
    pub(crate) fn admit(&mut self, size: u16) -> bool {
        if u32::from(size) > self.left {
            return false;
        }
        if size > 1 && !self.place(size) {
            return false;
        }
        self.left -= u32::from(size);
        true
    }

    fn place(&mut self, size: u16) -> bool {
        let tightest = self.free.iter_mut().filter(|free| **free >= size).min_by_key(|free| **free);
        if let Some(free) = tightest {
            *free -= size;
            self.parties.push(size);
            return true;
        }
        let mut parties = self.parties.clone();
        parties.push(size);
        parties.sort_unstable_by(|first, second| second.cmp(first));
        match pack(&parties, &self.team_sizes) {
            Some(teams) => {
                self.free.clone_from(&self.team_sizes);
                for (&party, &team) in parties.iter().zip(&teams) {
                    self.free[usize::from(team)] -= party;
                }
                self.parties = parties;
                true
            }
            None => false,
        }
    }
}

/// Finds a team for each party, the largest party first; `None` where they do not fit.
fn pack(parties: &[u16], team_sizes: &[u16]) -> Option<Vec<u16>> {
    fn fit(parties: &[u16], free: &mut [u16], teams: &mut Vec<u16>, budget: &mut u32) -> bool {
        let Some((&party, rest)) = parties.split_first() else { return true };
        for team in 0..free.len() {
            // A team as empty as an earlier one would only repeat what failed there.
            if free[team] < party || free[..team].contains(&free[team]) {
                continue;
            }
            *budget = budget.saturating_sub(1);
            if *budget == 0 {
                return false;
            }
            free[team] -= party;
            // Cannot truncate: the contract numbers teams with 16 bits.
            teams.push(team as u16);
            if fit(rest, free, teams, budget) {
                return true;
            }
            teams.pop();
            free[team] += party;
        }
        false
    }
    let mut teams = Vec::with_capacity(parties.len());
    let mut budget = PLACEMENTS_MAX;
    fit(parties, &mut team_sizes.to_vec(), &mut teams, &mut budget).then_some(teams)
}

/// A split of gathered tickets into teams.
pub(crate) struct Split {
    /// Per gathered ticket, its team.
    team_of: Vec<u16>,
    teams: Vec<Team>,
}

/// A team while it is put together.
struct Team {
    /// Part of the team that one player is.
    share: f64,
    /// Average mean of its players; of those who are in it so far, taken over the whole team.
    average: f64,
    /// Players still missing.
    free: u16,
}

impl Split {
    /// Per gathered ticket, its team.
    pub(crate) fn team_of(&self) -> &[u16] {
        &self.team_of
    }

    /// Widest gap between the averages of two teams.
    pub(crate) fn gap(&self) -> f64 {
        let averages = self.teams.iter().map(|team| team.average);
        let (low, high) = averages.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), mean| (low.min(mean), high.max(mean)));
        high - low
    }
}

/// Splits gathered tickets, which [`Room`] found to fit, into even teams.
///
/// Parties go where they fit, then single players one by one, the strongest first, to the team that is weakest so far; then
/// tickets of equal size change places as long as that makes the averages more even.
pub(crate) fn split(gathered: &[u32], waiting: &[Waiting], team_sizes: &[u16]) -> Split {
    let ticket = |index: u16| &waiting[gathered[usize::from(index)] as usize];
    // Cannot truncate: a match has no more tickets than the contract's 16 bits number players of it.
    let mut order: Vec<u16> = (0..gathered.len() as u16).collect();
    order.sort_by(|&first, &second| {
        let (first, second) = (ticket(first), ticket(second));
        second.size.cmp(&first.size).then(second.mean.total_cmp(&first.mean))
    });
    let team = |&size: &u16| Team { share: 1.0 / f64::from(size), average: 0.0, free: size };
    let mut split = Split { team_of: vec![0; gathered.len()], teams: team_sizes.iter().map(team).collect() };
    let parties: Vec<u16> = order.iter().map(|&index| ticket(index).size).take_while(|&size| size > 1).collect();
    let packed = pack(&parties, team_sizes).expect("what was gathered fits: the room admitted every party");
    for (position, &index) in order.iter().enumerate() {
        let Waiting { size, mean, .. } = *ticket(index);
        let team = packed.get(position).map_or_else(|| weakest(&split.teams), |&team| usize::from(team));
        let joined = &mut split.teams[team];
        joined.average += mean * f64::from(size) * joined.share;
        joined.free -= size;
        // Cannot truncate: the contract numbers teams with 16 bits.
        split.team_of[usize::from(index)] = team as u16;
    }
    if team_sizes.iter().any(|&size| size > 1) {
        even_out(&mut split, gathered, waiting);
    }
    split
}

/// The team with room whose players so far promise the least.
fn weakest(teams: &[Team]) -> usize {
    let with_room = teams.iter().enumerate().filter(|(_, team)| team.free > 0);
    let weakest = with_room.min_by(|(_, first), (_, second)| first.average.total_cmp(&second.average));
    weakest.expect("room is left: the tickets fill the teams exactly").0
}

/// Exchanges tickets of equal size between teams while that brings the averages closer.
fn even_out(split: &mut Split, gathered: &[u32], waiting: &[Waiting]) {
    for _ in 0..ROUNDS_MAX {
        let mut improved = false;
        for first in 0..gathered.len() {
            for second in first + 1..gathered.len() {
                if split.team_of[first] != split.team_of[second] {
                    improved |= exchange(split, first, second, gathered, waiting);
                }
            }
        }
        if !improved {
            return;
        }
    }
}

/// Exchanges two tickets if that brings the averages of their two teams closer.
fn exchange(split: &mut Split, first: usize, second: usize, gathered: &[u32], waiting: &[Waiting]) -> bool {
    let (ticket, partner) = (&waiting[gathered[first] as usize], &waiting[gathered[second] as usize]);
    if ticket.size != partner.size {
        return false;
    }
    let (one, other) = (usize::from(split.team_of[first]), usize::from(split.team_of[second]));
    let moved = (partner.mean - ticket.mean) * f64::from(ticket.size);
    let (gained, lost) = (moved * split.teams[one].share, moved * split.teams[other].share);
    let gap = split.teams[one].average - split.teams[other].average;
    // The margin keeps rounding from exchanging the same two for ever.
    if (gap + gained + lost).abs() + 1e-9 >= gap.abs() {
        return false;
    }
    split.teams[one].average += gained;
    split.teams[other].average -= lost;
    split.team_of.swap(first, second);
    true
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn waiting(tickets: &[(u16, f64)]) -> Vec<Waiting> {
        let waiting = |&(size, mean): &(u16, f64)| Waiting { mean, window: 0.0, size, is_widest: false, regions: 1 };
        tickets.iter().map(waiting).collect()
    }

    #[test]
    fn a_party_is_admitted_only_where_it_stays_whole() {
        for (team_sizes, sizes, expected) in [
            (&[5, 5][..], &[3, 3, 2, 2][..], &[true, true, true, true][..]),
            (&[5, 5], &[3, 3, 3], &[true, true, false]),
            // Two and two share the first team until three and three need a team each.
            (&[5, 5], &[2, 2, 3, 3], &[true, true, true, true]),
            (&[1, 4], &[2, 2, 2, 1], &[true, true, false, true]),
            (&[1, 1, 1], &[1, 2, 1, 1], &[true, false, true, true]),
        ] {
            let mut room = Room::new(team_sizes);
            let admitted: Vec<bool> = sizes.iter().map(|&size| room.admit(size)).collect();
            assert_eq!(admitted, expected, "{team_sizes:?} {sizes:?}");
        }
    }

    #[test]
    fn teams_come_out_even() {
        let waiting = waiting(&[(1, 10.0), (1, 9.0), (1, 8.0), (1, 3.0), (1, 2.0), (1, 4.0)]);
        let split = split(&[0, 1, 2, 3, 4, 5], &waiting, &[3, 3]);
        // No split of these six is closer than 17 to 19.
        assert!(split.gap() < 0.67, "{}", split.gap());
        assert_eq!(split.team_of().iter().filter(|&&team| team == 0).count(), 3);
    }

    #[test]
    fn a_lone_player_meets_many() {
        let waiting = waiting(&[(2, 10.0), (1, 9.0), (1, 8.0), (1, 9.5)]);
        let split = split(&[0, 1, 2, 3], &waiting, &[1, 4]);
        assert_eq!(split.team_of()[0], 1);
        assert_eq!(split.team_of().iter().filter(|&&team| team == 0).count(), 1);
        assert!(split.gap() < 0.6, "{}", split.gap());
    }
}
