//! What a policy answers, built match by match and handed to the host in columns.

/// What keeps a queue ticket waiting, shown to its players.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// Too few players.
    Players = 1,
    /// Players enough, but not of this skill.
    Skill = 2,
    /// Nobody else in these regions.
    Region = 3,
    /// Every region is too far for somebody.
    Latency = 4,
    /// A role nobody fills.
    Role = 5,
    /// No game server is free.
    Servers = 6,
    /// Only players whom somebody must not meet.
    Apart = 7,
    /// The ticket can never be matched in this queue.
    Impossible = 8,
}

/// Code of a ticket that is in a match.
const MATCHED: u8 = 0;

/// What a match that fills no hole names as its backfill.
const NO_BACKFILL: u32 = u32::MAX;

/// Finished proposals, in the columns of the contract. Policies build them with [`ProposalsBuilder`]; tests read them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Proposals {
    /// Queue tickets, match after match, team after team.
    pub ticket: Vec<u32>,
    /// Where each team ends in `ticket`.
    pub team_end: Vec<u32>,
    /// Where each match ends in `team_end`.
    pub match_end: Vec<u32>,
    /// Region of each match.
    pub region: Vec<u16>,
    /// Role of each player in the order of tickets and members, or empty.
    pub role: Vec<u16>,
    /// Quality of each match, 0 to 1.
    pub quality: Vec<f64>,
    /// Per match: index of the contest to fill, or the largest index for a new match.
    pub backfill: Vec<u32>,
    /// Per ticket of the pool: 0 matched, else a [`Limit`].
    pub limit: Vec<u8>,
}

impl Proposals {
    /// The matches, each as its teams of queue tickets.
    pub fn matches(&self) -> impl Iterator<Item = Vec<&[u32]>> {
        let (mut team, mut ticket) = (0, 0);
        self.match_end.iter().map(move |&match_end| {
            let ends = &self.team_end[team..match_end as usize];
            team = match_end as usize;
            ends.iter()
                .map(|&end| {
                    let members = &self.ticket[ticket..end as usize];
                    ticket = end as usize;
                    members
                })
                .collect()
        })
    }
}

/// Collects the proposals of one tick.
///
/// Tickets that end in no match are reported as waiting for players, unless the policy says otherwise with
/// [`Self::limit`].
pub struct ProposalsBuilder {
    proposals: Proposals,
}

impl ProposalsBuilder {
    /// No proposals yet, for a pool of `ticket_count` tickets.
    pub fn new(ticket_count: usize) -> Self {
        ProposalsBuilder { proposals: Proposals { limit: vec![Limit::Players as u8; ticket_count], ..Proposals::default() } }
    }

    /// Starts a new match in `region`; the teams follow.
    pub fn start_match(&mut self, region: usize) -> MatchBuilder<'_> {
        // Cannot truncate: the contract numbers regions with 16 bits.
        self.proposals.region.push(region as u16);
        self.proposals.quality.push(1.0);
        self.proposals.backfill.push(NO_BACKFILL);
        self.proposals.match_end.push(self.proposals.team_end.len() as u32);
        MatchBuilder { proposals: &mut self.proposals }
    }

    /// Says what keeps a ticket waiting.
    pub fn limit(&mut self, ticket: usize, limit: Limit) {
        self.proposals.limit[ticket] = limit as u8;
    }

    /// Number of matches so far.
    pub fn match_count(&self) -> usize {
        self.proposals.match_end.len()
    }

    /// The finished columns.
    pub fn finish(self) -> Proposals {
        self.proposals
    }
}

/// Adds to the match started last.
pub struct MatchBuilder<'b> {
    proposals: &'b mut Proposals,
}

impl MatchBuilder<'_> {
    /// Adds the next team: indices of queue tickets.
    pub fn team(&mut self, tickets: impl IntoIterator<Item = u32>) -> &mut Self {
        for ticket in tickets {
            self.proposals.ticket.push(ticket);
            self.proposals.limit[ticket as usize] = MATCHED;
        }
        // Cannot truncate, here and below: a pool numbers its tickets with 32 bits.
        self.proposals.team_end.push(self.proposals.ticket.len() as u32);
        if let Some(end) = self.proposals.match_end.last_mut() {
            *end = self.proposals.team_end.len() as u32;
        }
        self
    }

    /// States how good the match is, 0 to 1; shown to people and recorded. 1 unless stated.
    pub fn quality(&mut self, quality: f64) -> &mut Self {
        if let Some(last) = self.proposals.quality.last_mut() {
            *last = quality.clamp(0.0, 1.0);
        }
        self
    }

    /// Gives the players of the match their roles, in the order of tickets and members.
    pub fn roles(&mut self, roles: impl IntoIterator<Item = u16>) -> &mut Self {
        self.proposals.role.extend(roles);
        self
    }

    /// Makes the players fill a running contest instead of starting a new one.
    pub fn backfill(&mut self, contest: usize) -> &mut Self {
        if let Some(last) = self.proposals.backfill.last_mut() {
            *last = contest as u32;
        }
        self
    }
}
