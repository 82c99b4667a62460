//! One hostile component on trial: loaded for the role that it is tried as, and called as the host would.

use std::borrow::Cow;

use hostile::HostileComponent;
use ladder::fault::PluginFault;
use ladder::pool::{MUST_NOT_MEET, MatchmakingPolicy, Pool, Proposals};
use ladder::queue::QueueShape;
use ladder::rating::{Contest, Entrant, Rating, RatingEngine, Setting};
use ladder::rules::{Claim, Line, ServerRecord, StatRules};
use plugin_runtime::{LoadError, PluginCounters, PluginSource, PluginSpec, PolicyPlugin, RatingPlugin, Role, RulesPlugin, Runtime};

/// One against one, in two regions.
pub fn duel() -> QueueShape {
    QueueShape {
        queue: "duel".to_owned(),
        teams: 2,
        team_sizes: vec![1],
        stats: vec!["kills".to_owned(), "deaths".to_owned()],
        regions: vec!["eu".to_owned(), "us".to_owned()],
        ..QueueShape::default()
    }
}

pub fn contest() -> Contest {
    let entrant = |team| Entrant {
        rating: Rating { mean: 25.0, uncertainty: 8.0, memory: Vec::new() },
        team,
        contests: 0,
        idle_s: 0,
        presence: 1.0,
        stats: Vec::new(),
    };
    Contest {
        places: vec![0, 1],
        scores: Vec::new(),
        setting: Setting::default(),
        totals: Vec::new(),
        trust: 1.0,
        entrants: vec![entrant(0), entrant(1)],
    }
}

pub fn claim() -> Claim {
    let line = |player, stat| Line { player, team: player, stat, value: 7.0 };
    Claim {
        duration_s: 300,
        places: vec![0, 1],
        scores: Vec::new(),
        lines: vec![line(0, 0), line(0, 1), line(1, 0), line(1, 1)],
        server: ServerRecord::default(),
    }
}

/// Who waits: 0 and 1 fit; 2 is a party of two; 3 must not meet 0; 4 is far better than anybody. Slots are free in region 0 only.
pub fn pool() -> Pool {
    Pool {
        waited_ms: vec![1_000; 5],
        member_end: vec![1, 2, 4, 5, 6],
        regions: vec![0b11; 5],
        mean: vec![25.0, 26.0, 25.0, 25.0, 25.0, 50.0],
        uncertainty: vec![8.0; 6],
        contests: vec![0; 6],
        roles: vec![0; 6],
        latency_ms: vec![20; 12],
        apart: vec![0, 3],
        apart_weight: vec![MUST_NOT_MEET],
        reach: vec![5.0; 5],
        latency_max_ms: vec![100; 5],
        slots: vec![4, 0],
        ..Pool::default()
    }
}

/// A component in service.
#[allow(clippy::large_enum_variant)] // One at a time.
pub enum Trial {
    Rating(RatingPlugin),
    Rules(RulesPlugin),
    Policy(PolicyPlugin),
}

/// What a good call brought.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Update(ladder::rating::Update),
    Prediction(Vec<f64>),
    Verdict(ladder::rules::Verdict),
    Proposals(Proposals),
}

impl Trial {
    pub fn load(runtime: &Runtime, component: &HostileComponent, bytes: impl Into<Cow<'static, [u8]>>) -> Result<Self, LoadError> {
        Self::load_as(runtime, component.name, component.role, bytes)
    }

    fn load_as(runtime: &Runtime, name: &str, role: &str, bytes: impl Into<Cow<'static, [u8]>>) -> Result<Self, LoadError> {
        let role = Role::ALL.into_iter().find(|known| known.name() == role).unwrap();
        let spec = PluginSpec::new(name, role, PluginSource::new(bytes));
        Ok(match role {
            Role::Rating => Self::Rating(runtime.load_rating(spec, &duel())?),
            Role::Rules => Self::Rules(runtime.load_rules(spec, &duel())?),
            Role::Policy => Self::Policy(runtime.load_policy(spec, &duel())?),
        })
    }

    /// By its name in the catalog; it must load.
    pub fn of(runtime: &Runtime, name: &str) -> Self {
        let component = hostile::find(name).unwrap();
        Self::load(runtime, component, component.bytes()).unwrap_or_else(|error| panic!("{name}: {error:?}"))
    }

    /// A component that must load.
    pub fn of_bytes(runtime: &Runtime, role: &str, bytes: Vec<u8>) -> Self {
        Self::load_as(runtime, "sound", role, bytes).unwrap_or_else(|error| panic!("{role}: {error:?}"))
    }

    pub fn call(&self, function: &str) -> Result<Answer, PluginFault> {
        self.call_after(function, 0)
    }

    /// With a first player who has so many contests behind.
    pub fn call_after(&self, function: &str, contests: u32) -> Result<Answer, PluginFault> {
        let mut contest = contest();
        contest.entrants[0].contests = contests;
        match (self, function) {
            (Self::Rating(plugin), "rate") => plugin.rate(&[], &contest).map(Answer::Update),
            (Self::Rating(plugin), "predict") => plugin.predict(&[], &contest.entrants, &Setting::default()).map(Answer::Prediction),
            (Self::Rules(plugin), "review") => plugin.review(&claim()).map(Answer::Verdict),
            (Self::Policy(plugin), "propose") => plugin.propose(&pool()).map(Answer::Proposals),
            _ => panic!("no function {function}"),
        }
    }

    /// The function that the host calls most.
    pub fn main_function(&self) -> &'static str {
        match self {
            Self::Rating(_) => "rate",
            Self::Rules(_) => "review",
            Self::Policy(_) => "propose",
        }
    }

    pub fn counters(&self) -> PluginCounters {
        match self {
            Self::Rating(plugin) => plugin.counters(),
            Self::Rules(plugin) => plugin.counters(),
            Self::Policy(plugin) => plugin.counters(),
        }
    }

    pub fn reset_quarantine(&self) {
        match self {
            Self::Rating(plugin) => plugin.reset_quarantine(),
            Self::Rules(plugin) => plugin.reset_quarantine(),
            Self::Policy(plugin) => plugin.reset_quarantine(),
        }
    }
}

/// A sound rating engine in the same sandbox, and what it answered before anything hostile ran.
pub struct Neighbor {
    plugin: RatingPlugin,
    before: ladder::rating::Update,
}

impl Neighbor {
    pub fn new(runtime: &Runtime) -> Self {
        let spec = PluginSpec::new("neighbor.rating", Role::Rating, PluginSource::builtin("gaussian").unwrap());
        let plugin = runtime.load_rating(spec, &duel()).unwrap();
        let before = plugin.rate(&[], &contest()).unwrap();
        Self { plugin, before }
    }

    /// Asks again: the same bits as before.
    pub fn is_unharmed(&self, after: &str) {
        assert_eq!(self.plugin.rate(&[], &contest()).as_ref(), Ok(&self.before), "after {after}");
        assert_eq!(self.plugin.counters().faults_in_a_row, 0, "after {after}");
    }
}
