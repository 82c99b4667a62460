//! Contests to try a rating engine with: plausible ones, played by a small population from its first day on; harsh ones, made of those; and
//! the way from a contest that fails to the smallest one that still does.

use ladder::fault::PluginFault;
use ladder::queue::QueueShape;
use ladder::rating::{Contest, Entrant, Rating, RatingEngine, Setting, Stat};
use ladder::time::UnixSeconds;

use super::Patience;
use crate::author::chance::Chance;

/// Contests that the population of one queue plays.
pub(crate) const PLAYED: usize = 40;
/// Attempts to make a failing contest smaller.
const SHRINK_MAX: usize = 300;
/// A day in 2023, in Unix seconds: when the population starts to play.
const FIRST_DAY_S: i64 = 1_700_000_000;

/// One contest, and what the engine remembered of the queue before it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) memory: Vec<u8>,
    pub(crate) contest: Contest,
}

/// A plausible contest at which an engine faulted.
#[derive(Debug)]
pub(crate) struct Unplayable {
    pub(crate) fault: PluginFault,
    pub(crate) sample: Sample,
}

/// Lets a population of half as many again as one contest needs play; every contest is a sample, rated by the engine itself, so that beliefs
/// and memories are such as the engine makes.
///
/// # Errors
/// The fault and the sample at which it happened.
pub(crate) fn play(engine: &dyn RatingEngine, shape: &QueueShape, chance: &mut Chance) -> Result<Vec<Sample>, Box<Unplayable>> {
    let empty = Sample { memory: Vec::new(), contest: draw(shape, &[], &[], 0, chance) };
    let (initial, _) = engine.initial().map_err(|fault| Unplayable { fault, sample: empty })?;
    let needed = shape.players();
    let stranger = Known { rating: initial, contests: 0, last_at: None };
    let mut population = vec![stranger; needed + needed / 2 + 1];
    let (mut memory, mut samples) = (Vec::new(), Vec::with_capacity(PLAYED));
    for number in 0..PLAYED {
        let chosen = chance.order(population.len());
        let contest = draw(shape, &population, &chosen[..needed], number, chance);
        let sample = Sample { memory: memory.clone(), contest };
        let update = match engine.rate(&memory, &sample.contest) {
            Ok(update) => update,
            Err(fault) => return Err(Box::new(Unplayable { fault, sample })),
        };
        for (&player, rating) in chosen.iter().zip(update.ratings) {
            let contests = population[player].contests + 1;
            population[player] = Known { rating, contests, last_at: Some(sample.contest.setting.at_s) };
        }
        memory = update.memory;
        samples.push(sample);
    }
    Ok(samples)
}

/// One of the population.
#[derive(Clone)]
struct Known {
    rating: Rating,
    contests: u32,
    last_at: Option<UnixSeconds>,
}

/// One contest of `chosen` players, drawn as a game might report it.
fn draw(shape: &QueueShape, population: &[Known], chosen: &[usize], number: usize, chance: &mut Chance) -> Contest {
    let teams = usize::from(shape.teams);
    let at_s = UnixSeconds(FIRST_DAY_S + 3_600 * number as i64);
    let has = |one_in: usize, chance: &mut Chance| !chance.once_in(one_in);
    let stats_known = has(3, chance);
    let mut places: Vec<u16> = chance.order(teams).into_iter().map(|place| u16::try_from(place).unwrap_or(u16::MAX)).collect();
    if chance.once_in(6) {
        places = vec![0; teams];
    }
    let mut seats = (0..=u16::MAX).take(teams).flat_map(|team| std::iter::repeat_n(team, usize::from(shape.team_size(usize::from(team)))));
    let mut entrants = Vec::with_capacity(chosen.len());
    for &player in chosen {
        let Known { rating, contests, last_at } = population[player].clone();
        let stat = |(index, _): (u16, &String)| Stat { index, value: chance.below(30) as f64 };
        let stats = if stats_known { (0..).zip(&shape.stats).map(stat).collect() } else { Vec::new() };
        entrants.push(Entrant {
            rating,
            team: seats.next().unwrap_or_default(),
            contests,
            idle_s: last_at.map_or(0, |last| u64::try_from(at_s.0 - last.0).unwrap_or(0)),
            presence: if chance.once_in(8) { 0.5 } else { 1.0 },
            stats,
        });
    }
    let index = |names: &[String], chance: &mut Chance| match names.len() {
        0 => None,
        len => Some(u16::try_from(chance.below(len)).unwrap_or_default()),
    };
    let scores = if has(3, chance) { places.iter().map(|place| 16.0 - f64::from(*place)).collect() } else { Vec::new() };
    let sides = if teams == shape.sides.len() && has(2, chance) { (0..=u16::MAX).take(teams).collect() } else { Vec::new() };
    let setting = Setting { at_s, map: index(&shape.maps, chance), mode: index(&shape.modes, chance), sides };
    let total = |(index, _)| Stat { index, value: 25.0 };
    let totals = if stats_known { (0..).zip(&shape.totals).map(total).collect() } else { Vec::new() };
    Contest { places, scores, setting, totals, trust: if chance.once_in(8) { 0.5 } else { 1.0 }, entrants }
}

/// A change that makes a contest harsh, with what it is.
type Harshness = (&'static str, fn(&mut Contest));

/// Everything that the contract allows and that no honest day brings. Each is tried on several samples.
pub(crate) const HARSH: [Harshness; 28] = [
    ("first against last by ten uncertainties", |contest| gap(contest, 10.0)),
    ("first against last by a thousand uncertainties", |contest| gap(contest, 1e3)),
    ("last beat first by a thousand uncertainties", |contest| gap(contest, -1e3)),
    ("first against last by a million uncertainties", |contest| gap(contest, 1e6)),
    ("last beat first by a million uncertainties", |contest| gap(contest, -1e6)),
    ("uncertainties a millionth", |contest| scale(contest, 1e-6)),
    ("uncertainties a thousandfold", |contest| scale(contest, 1e3)),
    ("one uncertainty a millionth", |contest| contest.entrants[0].rating.uncertainty *= 1e-6),
    ("one uncertainty a millionfold", |contest| contest.entrants[0].rating.uncertainty *= 1e6),
    ("one player never present", |contest| contest.entrants[0].presence = 0.0),
    ("one team never present", |contest| absent(contest, |team| team == 0)),
    ("nobody ever present", |contest| absent(contest, |_| true)),
    ("everybody present for a billionth", |contest| contest.entrants.iter_mut().for_each(|entrant| entrant.presence = 1e-9)),
    ("no trust", |contest| contest.trust = 0.0),
    ("hardly any trust", |contest| contest.trust = 1e-12),
    ("a century idle", |contest| idle(contest, 3_155_760_000)),
    ("idle beyond all time", |contest| idle(contest, i64::MAX.unsigned_abs())),
    ("four billion contests", |contest| contest.entrants.iter_mut().for_each(|entrant| entrant.contests = u32::MAX)),
    ("all drawn", |contest| contest.places.fill(0)),
    ("no scores", |contest| contest.scores.clear()),
    ("scores of nothing", |contest| contest.scores = vec![0.0; contest.places.len()]),
    ("scores at their limits", |contest| {
        contest.scores = contest.places.iter().map(|place| 1e9 - 2e9 * f64::from((*place).min(1))).collect()
    }),
    ("statistics at their upper limit", |contest| stats(contest, 1e9)),
    ("statistics at their lower limit", |contest| stats(contest, -1e9)),
    ("each player alone", alone),
    ("one against all", one_against_all),
    ("before 1970", |contest| contest.setting.at_s = UnixSeconds(-4_000_000_000)),
    ("nothing known of map, mode and sides", |contest| contest.setting = Setting::default()),
];

/// Moves the better half of the places up and the rest down: by `share` uncertainties in all.
fn gap(contest: &mut Contest, share: f64) {
    let middle = u16::try_from(contest.places.len() / 2).unwrap_or(u16::MAX);
    if contest.places.iter().all(|place| *place == 0) {
        contest.places = (0..=u16::MAX).take(contest.places.len()).collect();
    }
    for entrant in &mut contest.entrants {
        let sign = if contest.places[usize::from(entrant.team)] < middle { 0.5 } else { -0.5 };
        entrant.rating.mean += sign * share * entrant.rating.uncertainty;
    }
}

fn scale(contest: &mut Contest, by: f64) {
    contest.entrants.iter_mut().for_each(|entrant| entrant.rating.uncertainty *= by);
}

fn absent(contest: &mut Contest, of: fn(u16) -> bool) {
    contest.entrants.iter_mut().filter(|entrant| of(entrant.team)).for_each(|entrant| entrant.presence = 0.0);
}

fn idle(contest: &mut Contest, idle_s: u64) {
    for entrant in &mut contest.entrants {
        entrant.idle_s = idle_s;
        entrant.contests = entrant.contests.max(1);
    }
}

/// As many teams as players. An engine for two teams declines that.
fn alone(contest: &mut Contest) {
    regroup(contest, |player| player);
}

fn one_against_all(contest: &mut Contest) {
    regroup(contest, |player| player.min(1));
}

fn regroup(contest: &mut Contest, team_of: fn(u16) -> u16) {
    (0..=u16::MAX).zip(&mut contest.entrants).for_each(|(player, entrant)| entrant.team = team_of(player));
    let teams = contest.entrants.iter().map(|entrant| entrant.team + 1).max().unwrap_or_default();
    contest.places = (0..teams).collect();
    contest.scores.clear();
    contest.setting.sides.clear();
}

fn stats(contest: &mut Contest, value: f64) {
    contest.entrants.iter_mut().flat_map(|entrant| &mut entrant.stats).chain(&mut contest.totals).for_each(|stat| stat.value = value);
}

/// The smallest contest found, on the way from `sample` by leaving things out, for which `fails` still says what is wrong.
pub(crate) fn shrink(sample: Sample, problem: String, initial: &Rating, fails: &dyn Fn(&Sample) -> Option<String>) -> (Sample, String) {
    let (mut smallest, mut problem) = (sample, problem);
    let mut patience = Patience::new(SHRINK_MAX);
    loop {
        let before = smallest.clone();
        for change in simpler(&smallest, initial) {
            // Made from a larger one that has meanwhile been replaced: skip what would bring something back.
            if weight(&change, initial) >= weight(&smallest, initial) {
                continue;
            }
            if !patience.is_left() {
                return (smallest, problem);
            }
            if let Some(found) = fails(&change) {
                (smallest, problem) = (change, found);
                break;
            }
        }
        if smallest == before {
            return (smallest, problem);
        }
    }
}

/// How much there is to read in a sample.
fn weight(sample: &Sample, initial: &Rating) -> usize {
    let Contest { scores, setting, totals, trust, entrants, .. } = &sample.contest;
    let set = [setting.map.is_some(), setting.mode.is_some(), !setting.sides.is_empty(), setting.at_s.0 != 0, *trust != 1.0];
    let of = |entrant: &Entrant| {
        let set = [entrant.rating != *initial, entrant.contests != 0, entrant.idle_s != 0, entrant.presence != 1.0];
        8 + entrant.stats.len() + set.into_iter().filter(|set| *set).count()
    };
    let lists = usize::from(!sample.memory.is_empty()) + scores.len().min(1) + totals.len();
    lists + set.into_iter().filter(|set| *set).count() + entrants.iter().map(of).sum::<usize>()
}

/// The sample with one thing left out, each way.
fn simpler(sample: &Sample, initial: &Rating) -> Vec<Sample> {
    let mut simpler = Vec::new();
    let mut with = |change: &dyn Fn(&mut Sample)| {
        let mut changed = sample.clone();
        change(&mut changed);
        simpler.push(changed);
    };
    let team_size = |team: u16| sample.contest.entrants.iter().filter(|entrant| entrant.team == team).count();
    for (index, entrant) in sample.contest.entrants.iter().enumerate() {
        if team_size(entrant.team) > 1 {
            with(&|changed| drop(changed.contest.entrants.remove(index)));
        }
    }
    with(&|changed| changed.memory.clear());
    with(&|changed| changed.contest.setting = Setting { sides: changed.contest.setting.sides.clone(), ..Setting::default() });
    with(&|changed| changed.contest.setting.sides.clear());
    with(&|changed| changed.contest.scores.clear());
    with(&|changed| changed.contest.totals.clear());
    with(&|changed| changed.contest.trust = 1.0);
    with(&|changed| changed.contest.entrants.iter_mut().for_each(|entrant| entrant.stats.clear()));
    for index in 0..sample.contest.entrants.len() {
        with(&|changed| changed.contest.entrants[index].rating = initial.clone());
        with(&|changed| changed.contest.entrants[index].presence = 1.0);
        with(&|changed| (changed.contest.entrants[index].contests, changed.contest.entrants[index].idle_s) = (0, 0));
    }
    simpler
}
