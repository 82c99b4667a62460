//! The bulk interface against the live one: the same contests, one by one and in columns, must give the same bits.
#![allow(clippy::unwrap_used)]

use crate::bindings::rating::exports::ranked::plugin::rating_engine_bulk as wit;
use crate::bulk::{predict_many, rate_many, visible_many};
use crate::rating_glue::{predict_checked, rate_checked};
use crate::{Contest, Entrant, Fault, LineUp, ParameterError, Plugin, QueueShape, Rating, RatingEngine, Setting, StatValue, Update};

/// Mixes every input into its answer, so that a column read wrongly shows.
struct Blender;

impl Plugin for Blender {
    const NAME: &'static str = "blender";
    const VERSION: &'static str = "0.0.0";
    const PARAMETERS_SCHEMA: &'static str = "{}";
    type Parameters = ();

    fn configure(_: &QueueShape, (): ()) -> Result<Self, Vec<ParameterError>> {
        Ok(Blender)
    }
}

impl RatingEngine for Blender {
    fn initial(&self) -> Rating {
        Rating::new(25.0, 8.0)
    }

    fn rate(&self, contest: &Contest, update: &mut Update) -> Result<(), Fault> {
        // What fails must leave no trace, whatever it wrote before.
        update.memory.push(contest.places.len() as u8);
        let setting = &contest.line_up.setting;
        let shared = f64::from(setting.map.unwrap_or(90)) + f64::from(setting.mode.unwrap_or(80)) + contest.trust;
        let totals: f64 = contest.totals.iter().map(|total| f64::from(total.index + 1) * total.value).sum();
        for (entrant, rating) in contest.line_up.entrants.iter().zip(&mut update.ratings) {
            let team = usize::from(entrant.team);
            let stats: f64 = entrant.stats.iter().map(|stat| f64::from(stat.index + 1) * stat.value).sum();
            let side = setting.sides.get(team).copied().flatten().map_or(0.7, f64::from);
            let score = contest.scores.get(team).copied().unwrap_or(0.3);
            let place = f64::from(contest.places[team]);
            rating.mean += (shared + totals + stats + side + score + place + entrant.presence).sin();
            rating.mean += f64::from(entrant.contests).cos() + (entrant.idle_s as f64).sqrt() + update.memory.len() as f64;
            rating.uncertainty *= 0.9;
            if team == 1 {
                rating.memory.push(entrant.contests as u8);
            }
        }
        if contest.totals.iter().any(|total| total.value < 0.0) { Err(Fault::OutOfRange) } else { Ok(()) }
    }

    fn predict(&self, line_up: &LineUp, memory: &[u8], pairs: &mut Vec<f64>) -> Result<(), Fault> {
        let sum = |entrant: &Entrant| entrant.rating.mean + entrant.presence + entrant.rating.memory.len() as f64 + entrant.idle_s as f64;
        assert!(line_up.entrants.iter().all(|entrant| entrant.stats.is_empty()), "statistics before the contest");
        let value = line_up.entrants.iter().map(sum).sum::<f64>() + memory.len() as f64;
        pairs.resize(line_up.pair_count(), value.sin().abs());
        Ok(())
    }

    fn soften(&self, rating: &Rating, _: f64) -> Rating {
        rating.clone()
    }

    fn visible(&self, rating: &Rating) -> f64 {
        rating.mean - rating.uncertainty + rating.memory.len() as f64
    }
}

const PLAYERS: usize = 6;

fn cohort() -> wit::Cohort {
    wit::Cohort {
        mean: (0..PLAYERS).map(|player| 20.0 + player as f64).collect(),
        uncertainty: vec![8.0; PLAYERS],
        contests: vec![0; PLAYERS],
        last_at_s: vec![0; PLAYERS],
        memory: Vec::new(),
        memory_end: vec![0; PLAYERS],
    }
}

/// Contests as (time, teams of players, places, scores, totals); the second has an empty team, the fourth a total that
/// the engine refuses.
type Spec = (i64, Vec<Vec<u32>>, Vec<u16>, Vec<f64>, Vec<f64>);

fn specs() -> Vec<Spec> {
    vec![
        (-50, vec![vec![0, 1], vec![2, 3]], vec![0, 1], vec![], vec![]),
        (10, vec![vec![0], vec![]], vec![0, 1], vec![], vec![]),
        (99, vec![vec![4], vec![0, 5], vec![2]], vec![1, 0, 1], vec![3.0, 2.0, 1.0], vec![7.0]),
        (120, vec![vec![1], vec![2]], vec![0, 0], vec![], vec![-1.0]),
        (60, vec![vec![3], vec![2]], vec![1, 0], vec![0.0, 4.0], vec![2.0, 5.0]),
    ]
}

fn stats_of(player: u32) -> Vec<StatValue> {
    (0..player % 3).map(|index| StatValue { index: index as u16, value: f64::from(player) * 0.5 }).collect()
}

fn presence_of(player: u32) -> f64 {
    1.0 - f64::from(player) * 0.1
}

fn journal(specs: &[Spec]) -> wit::Journal {
    let mut journal = wit::Journal {
        at_s: Vec::new(),
        trust: Vec::new(),
        map_index: Vec::new(),
        mode_index: Vec::new(),
        side: Vec::new(),
        has_score: Vec::new(),
        total_end: Vec::new(),
        total_index: Vec::new(),
        total_value: Vec::new(),
        team_end: Vec::new(),
        place: Vec::new(),
        score: Vec::new(),
        entrant_end: Vec::new(),
        entrant: Vec::new(),
        presence: Vec::new(),
        stat_end: Vec::new(),
        stat_index: Vec::new(),
        stat_value: Vec::new(),
    };
    for (index, (at_s, teams, places, scores, totals)) in specs.iter().enumerate() {
        journal.at_s.push(*at_s);
        journal.trust.push(0.25);
        journal.map_index.push(if index == 0 { u16::MAX } else { index as u16 });
        journal.mode_index.push(index as u16);
        journal.has_score.push(u8::from(!scores.is_empty()));
        for (position, total) in totals.iter().enumerate() {
            journal.total_index.push(position as u16);
            journal.total_value.push(*total);
        }
        journal.total_end.push(journal.total_value.len() as u32);
        for (team, players) in teams.iter().enumerate() {
            journal.side.push(if team == 2 { u16::MAX } else { team as u16 });
            journal.place.push(places[team]);
            journal.score.push(scores.get(team).copied().unwrap_or(0.0));
            for &player in players {
                journal.entrant.push(player);
                journal.presence.push(presence_of(player));
                for stat in stats_of(player) {
                    journal.stat_index.push(stat.index);
                    journal.stat_value.push(stat.value);
                }
                journal.stat_end.push(journal.stat_value.len() as u32);
            }
            journal.entrant_end.push(journal.entrant.len() as u32);
        }
        journal.team_end.push(journal.place.len() as u32);
    }
    journal
}

/// A player as the host keeps it between live calls.
#[derive(Clone)]
struct Kept {
    rating: Rating,
    contests: u32,
    last_at_s: i64,
}

fn line_up(index: usize, spec: &Spec, kept: &[Kept]) -> LineUp {
    let mut entrants = Vec::new();
    for (team, players) in spec.1.iter().enumerate() {
        for &player in players {
            let Kept { rating, contests, last_at_s } = kept[player as usize].clone();
            let idle_s = if contests == 0 { 0 } else { (spec.0 - last_at_s).max(0) as u64 };
            entrants.push(Entrant { rating, team: team as u16, contests, idle_s, presence: 1.0, stats: Vec::new() });
        }
    }
    let setting = Setting {
        at_s: spec.0,
        map: (index != 0).then_some(index as u16),
        mode: Some(index as u16),
        sides: (0..spec.1.len()).map(|team| (team != 2).then_some(team as u16)).collect(),
    };
    let mut line_up = LineUp::new(entrants, setting);
    line_up.count_teams(spec.1.len());
    line_up
}

#[test]
fn columns_and_single_contests_agree_bit_for_bit() {
    let start = cohort();
    let kept = |player: usize| Kept { rating: Rating::new(start.mean[player], 8.0), contests: 0, last_at_s: 0 };
    let mut kept: Vec<Kept> = (0..PLAYERS).map(kept).collect();
    let (mut memory, mut predicted, mut faults, mut trace) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (index, spec) in specs().iter().enumerate() {
        let mut line_up = line_up(index, spec, &kept);
        let mut pairs = Vec::new();
        if predict_checked(&Blender, &line_up, &memory, &mut pairs).is_err() {
            pairs = vec![0.5; line_up.pair_count()];
        }
        predicted.extend(pairs);
        let players = spec.1.concat();
        for (entrant, &player) in line_up.entrants.iter_mut().zip(&players) {
            entrant.presence = presence_of(player);
            entrant.stats = stats_of(player);
        }
        let totals = spec.4.iter().enumerate().map(|(index, &value)| StatValue { index: index as u16, value }).collect();
        let contest = Contest { line_up, places: spec.2.clone(), scores: spec.3.clone(), totals, trust: 0.25 };
        let mut update = Update::before(&contest, memory.clone());
        match rate_checked(&Blender, &contest, &mut update) {
            Ok(()) => {
                faults.push(0);
                memory = update.memory;
                for (&player, rating) in players.iter().zip(update.ratings) {
                    let contests = kept[player as usize].contests + 1;
                    kept[player as usize] = Kept { rating, contests, last_at_s: spec.0 };
                }
            }
            Err(Fault::UnsupportedShape) => faults.push(1),
            Err(Fault::OutOfRange) => faults.push(2),
        }
        trace.extend(players.iter().map(|&player| kept[player as usize].rating.clone()));
    }

    let outcome = rate_many(&Blender, Vec::new(), cohort(), &journal(&specs()), true);
    assert_eq!(faults, [0, 1, 0, 2, 0]);
    assert_eq!(outcome.fault, faults);
    assert_eq!(outcome.memory, memory);
    assert_eq!(outcome.predicted, predicted);
    assert_eq!(outcome.trace.mean, trace.iter().map(|rating| rating.mean).collect::<Vec<_>>());
    assert_eq!(outcome.trace.uncertainty, trace.iter().map(|rating| rating.uncertainty).collect::<Vec<_>>());
    assert_eq!(outcome.trace.visible, trace.iter().map(|rating| Blender.visible(rating)).collect::<Vec<_>>());
    let untraced = rate_many(&Blender, Vec::new(), cohort(), &journal(&specs()), false);
    assert!(untraced.trace.mean.is_empty() && untraced.cohort.mean == outcome.cohort.mean);
    let mut memory_start = 0;
    for (player, kept) in kept.iter().enumerate() {
        assert_eq!(outcome.cohort.mean[player].to_bits(), kept.rating.mean.to_bits(), "player {player}");
        assert_eq!(outcome.cohort.uncertainty[player].to_bits(), kept.rating.uncertainty.to_bits(), "player {player}");
        assert_eq!((outcome.cohort.contests[player], outcome.cohort.last_at_s[player]), (kept.contests, kept.last_at_s));
        let memory_end = outcome.cohort.memory_end[player] as usize;
        assert_eq!(outcome.cohort.memory[memory_start..memory_end], kept.rating.memory, "player {player}");
        memory_start = memory_end;
    }

    let visible: Vec<f64> = kept.iter().map(|kept| Blender.visible(&kept.rating)).collect();
    assert_eq!(visible_many(&Blender, outcome.cohort), visible);
}

#[test]
fn line_ups_without_results_are_predicted_as_live_ones() {
    let mut line_ups = journal(&specs());
    // What a policy asks about has no result: the columns of results are empty.
    line_ups.place.clear();
    line_ups.score.clear();
    line_ups.has_score.clear();
    line_ups.trust.clear();
    line_ups.presence.clear();
    line_ups.total_end.clear();
    line_ups.stat_end.clear();
    let start = cohort();
    let kept = |player: usize| Kept { rating: Rating::new(start.mean[player], 8.0), contests: 0, last_at_s: 0 };
    let kept: Vec<Kept> = (0..PLAYERS).map(kept).collect();
    let mut expected = Vec::new();
    for (index, spec) in specs().iter().enumerate() {
        let line_up = line_up(index, spec, &kept);
        let mut pairs = Vec::new();
        if predict_checked(&Blender, &line_up, &[], &mut pairs).is_err() {
            pairs = vec![0.5; line_up.pair_count()];
        }
        expected.extend(pairs);
    }
    assert_eq!(predict_many(&Blender, &[], cohort(), &line_ups), expected);
}
