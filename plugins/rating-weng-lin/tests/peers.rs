//! The engine beside other implementations of the same models: the same numbers to 1e-9.
//!
//! `peers/peers.json` holds what openskill.py and openskill.js make of several hundred drawn contests (teams of all sizes, ties, weights,
//! margins, drift), and what the paper's formulas give with sixty digits where the ratings are too far apart for those;
//! `peers/generate.py` wrote it and says how. skillratings is a crate and is asked here and now.
#![allow(missing_docs, clippy::unwrap_used)]

use plugin_sdk::{Contest, Entrant, LineUp, Plugin, QueueShape, Rating, RatingEngine, Setting, Update, parse_parameters};
use rating_weng_lin::model::Model;
use rating_weng_lin::{Parameters, WengLin};
use serde::Deserialize;
use skillratings::MultiTeamOutcome;
use skillratings::weng_lin::{WengLinConfig, WengLinRating, expected_score_two_teams, weng_lin_multi_team};

type Teams = Vec<Vec<(f64, f64)>>;

#[derive(Deserialize)]
struct Case {
    peer: String,
    parameters: serde_json::Value,
    teams: Teams,
    places: Vec<u16>,
    #[serde(default)]
    scores: Vec<f64>,
    presence: Option<Vec<Vec<f64>>>,
    after: Teams,
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("peers/peers.json")).unwrap()
}

fn contest(teams: &Teams, presence: Option<&Vec<Vec<f64>>>, places: &[u16], scores: &[f64]) -> Contest {
    let mut entrants = Vec::new();
    for (index, team) in teams.iter().enumerate() {
        for (player, &(mean, uncertainty)) in team.iter().enumerate() {
            let presence = presence.map_or(1.0, |presence| presence[index][player]);
            let (rating, team) = (Rating::new(mean, uncertainty), u16::try_from(index).unwrap());
            entrants.push(Entrant { rating, team, presence, ..Entrant::default() });
        }
    }
    let line_up = LineUp::new(entrants, Setting::default());
    Contest { line_up, places: places.to_vec(), scores: scores.to_vec(), trust: 1.0, ..Contest::default() }
}

#[track_caller]
fn assert_alike(what: &str, engine: &WengLin, contest: &Contest, expected: &Teams) {
    let mut update = Update::before(contest, Vec::new());
    engine.rate(contest, &mut update).unwrap();
    let expected: Vec<_> = expected.iter().flatten().collect();
    assert_eq!(update.ratings.len(), expected.len(), "{what}");
    for (got, &&(mean, uncertainty)) in update.ratings.iter().zip(&expected) {
        // A mean of thousands has no more than twelve digits behind the point.
        let tolerance = 1e-9 * f64::max(1.0, mean.abs() / 1_000.0);
        assert!((got.mean - mean).abs() <= tolerance, "{what}: {got:?}, expected {mean}");
        assert!((got.uncertainty - uncertainty).abs() <= 1e-9, "{what}: {got:?}, expected {uncertainty}");
    }
}

#[test]
fn every_contest_ends_as_with_the_peers() {
    let cases = cases();
    for peer in ["openskill.py 6.2.0", "openskill.js 5.0.1", "sixty digits"] {
        assert!(cases.iter().filter(|case| case.peer == peer).count() >= 40, "{peer}");
    }
    for (number, case) in cases.iter().enumerate() {
        let mut parameters = serde_json::json!({ "tau_per_day": 0 });
        parameters.as_object_mut().unwrap().extend(case.parameters.as_object().unwrap().clone());
        let parameters = parse_parameters::<Parameters>(&parameters.to_string()).unwrap();
        let engine = WengLin::configure(&QueueShape::default(), parameters).unwrap();
        let what = format!("case {number}, {}, {}", case.peer, case.parameters);
        assert_alike(&what, &engine, &contest(&case.teams, case.presence.as_ref(), &case.places, &case.scores), &case.after);
    }
}

/// Numbers from 0 to below 1, always the same.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn up_to(&mut self, most: u16) -> u16 {
        (self.roll() * f64::from(most)) as u16
    }

    fn teams(&mut self, count: u16) -> Teams {
        let team = |dice: &mut Dice| (0..=dice.up_to(5)).map(|_| (40.0 * dice.roll(), 0.1 + 9.0 * dice.roll())).collect();
        (0..count).map(|_| team(self)).collect()
    }
}

#[test]
fn every_contest_ends_as_with_skillratings() {
    let mut dice = Dice(2011);
    for number in 0..300 {
        let count = 2 + dice.up_to(5);
        let teams = dice.teams(count);
        let places: Vec<u16> = (0..count).map(|_| dice.up_to(count)).collect();
        let beta = 1.0 + 8.0 * dice.roll();
        let parameters =
            Parameters { model: Model::BradleyTerryFull, beta, kappa: 1e-6, tau: 0.0, tau_per_day: 0.0, ..Parameters::default() };
        let engine = WengLin::configure(&QueueShape::default(), parameters).unwrap();
        let contest = contest(&teams, None, &places, &[]);

        let config = WengLinConfig { beta, uncertainty_tolerance: 1e-6 };
        let theirs: Vec<Vec<WengLinRating>> =
            teams.iter().map(|team| team.iter().map(|&(rating, uncertainty)| WengLinRating { rating, uncertainty }).collect()).collect();
        let ranked: Vec<_> =
            theirs.iter().zip(&places).map(|(team, &place)| (&team[..], MultiTeamOutcome::new(usize::from(place)))).collect();
        let after = weng_lin_multi_team(&ranked, &config);
        let after: Teams = after.iter().map(|team| team.iter().map(|rating| (rating.rating, rating.uncertainty)).collect()).collect();
        assert_alike(&format!("contest {number}"), &engine, &contest, &after);

        let mut pairs = Vec::new();
        engine.predict(&contest.line_up, &[], &mut pairs).unwrap();
        let expected = expected_score_two_teams(&theirs[0], &theirs[1], &config).0;
        assert!((pairs[0] - expected).abs() < 1e-12, "contest {number}: {} {expected}", pairs[0]);
    }
}
