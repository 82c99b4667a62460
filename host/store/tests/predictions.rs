//! What was predicted of a report is there wherever its rating is: live, late, in the shadow, after a swap.
#![allow(clippy::unwrap_used, missing_docs)]

mod world;

use std::sync::Arc;

use ladder::fault::PluginFault;
use ladder::id::{Digest, MatchId, PlayerId};
use ladder::rating::{Contest, Entrant, Rating, RatingEngine, Setting, Update};
use ladder::report::ReportFacts;
use store::{MatchReportDetails, REPORTS_PER_STEP_MAX, RatingState, StoredPrediction};
use world::{NOW, Steps, World, imported, report};

fn details(world: &World, match_id: MatchId) -> MatchReportDetails {
    world.store.match_details(match_id).wait().unwrap().unwrap().report.unwrap()
}

fn play(world: &World, number: u64, winner: PlayerId, loser: PlayerId) -> MatchId {
    let match_id = world.live(winner, loser);
    world.accept(report(world.queue, match_id, number, winner, loser));
    match_id
}

fn expected(world: &World, player: PlayerId) -> Vec<Option<f64>> {
    world.store.history(player, world.queue, None, 100).wait().unwrap().iter().map(|row| row.expected).collect()
}

#[test]
fn a_rated_match_knows_what_was_predicted_and_how_surprising_it_was() {
    let world = World::new(3);
    let [a, b, c] = world.players[..] else { unreachable!() };
    let first = details(&world, play(&world, 1, a, b));
    let StoredPrediction { pairs, surprise, compared, less_surprising } = first.prediction.unwrap();
    assert_eq!((pairs, compared, less_surprising), (vec![0.5], 0, 0));
    assert_eq!(surprise.to_bits(), 2.0_f64.ln().to_bits());
    // The favorite wins, then loses: less, then more of a surprise than what came before.
    let expected_win = details(&world, play(&world, 2, a, b)).prediction.unwrap();
    let upset = details(&world, play(&world, 3, c, a));
    let upset_prediction = upset.prediction.unwrap();
    assert!(expected_win.pairs[0] > 0.5 && upset_prediction.pairs[0] < 0.5);
    assert_eq!((expected_win.compared, expected_win.less_surprising), (1, 0));
    assert_eq!((upset_prediction.compared, upset_prediction.less_surprising), (2, 2));
    let RatingState::Rated(changes) = &upset.rating else { panic!("{:?}", upset.rating) };
    let [won, lost] = [0, 1].map(|player: usize| changes[player].expected.unwrap());
    assert_eq!((won, won + lost), (upset_prediction.pairs[0], 1.0));
    assert_eq!(expected(&world, c), [Some(won)]);
    assert_eq!(expected(&world, a)[0], Some(lost));
    assert_eq!(upset.shown.as_ref().map(|shown| shown.parameters.as_str()), Some("{\"step\":4}"));
    assert_eq!(upset.shown, upset.rated_by);
}

#[test]
fn a_report_that_is_rated_late_was_predicted_late() {
    let world = World::new(2);
    let [a, b] = world.players[..] else { unreachable!() };
    play(&world, 1, a, b);
    world.engine.fault_on(2);
    let waiting = play(&world, 2, a, b);
    assert_eq!(details(&world, waiting).prediction, None);
    world.engine.recover();
    assert!(!world.store.rate_waiting(world.queue, REPORTS_PER_STEP_MAX).wait().unwrap().unwrap().waits);
    let late = details(&world, waiting).prediction.unwrap();
    assert!(late.pairs[0] > 0.5, "{late:?}");
    assert_eq!(expected(&world, a), [Some(late.pairs[0]), Some(0.5)]);
}

/// Goal: another engine's generation says what that engine would have predicted. Method: the same matches through two engines, one of them
/// built afterwards and one in the shadow; each generation has its own predictions, and the old one's go with it.
#[test]
fn every_generation_has_its_own_predictions() {
    let world = World::new(2);
    let [a, b] = world.players[..] else { unreachable!() };
    play(&world, 1, a, b);
    let last = play(&world, 2, a, b);
    let before = details(&world, last);
    world.install(&Steps::new(40.0));
    let swapped = details(&world, last);
    assert_ne!(swapped.shown, before.shown);
    assert_eq!(swapped.rated_by, before.rated_by);
    assert!(swapped.prediction.unwrap().pairs[0] > before.prediction.clone().unwrap().pairs[0]);
    let shadow = Steps::new(400.0);
    let mut shadowing = world.store.shadow(world.queue, Arc::clone(&shadow) as Arc<dyn RatingEngine>).unwrap();
    while !matches!(shadowing.advance(NOW).unwrap(), store::ShadowStep::CaughtUp(_)) {}
    assert!(!world.install(&shadow).waits);
    assert!(details(&world, last).prediction.unwrap().pairs[0] > 0.6);
    world.install(&world.engine);
    assert_eq!(details(&world, last).prediction, before.prediction, "back to the first engine");
}

/// An engine that rates and never predicts, and calls itself something.
struct Silent(Arc<Steps>);

impl RatingEngine for Silent {
    fn digest(&self) -> Digest {
        Digest([9; 32])
    }

    fn parameters(&self) -> &str {
        self.0.parameters()
    }

    fn initial(&self) -> Result<(Rating, f64), PluginFault> {
        self.0.initial()
    }

    fn rate(&self, memory: &[u8], contest: &Contest) -> Result<Update, PluginFault> {
        self.0.rate(memory, contest)
    }

    fn soften(&self, rating: &Rating, keep: f64) -> Result<(Rating, f64), PluginFault> {
        self.0.soften(rating, keep)
    }

    fn predict(&self, _: &[u8], _: &[Entrant], _: &Setting) -> Result<Vec<f64>, PluginFault> {
        Err(PluginFault::Trap { detail: "no crystal ball".into() })
    }

    fn described(&self) -> Option<(&str, &str)> {
        Some(("silent", "1.2.3"))
    }
}

#[test]
fn an_engine_that_cannot_predict_still_rates_and_is_named() {
    let world = World::new(2);
    let [a, b] = world.players[..] else { unreachable!() };
    let silent: Arc<dyn RatingEngine> = Arc::new(Silent(Steps::new(2.0)));
    world.store.install_engine(world.queue, silent, |_| (), NOW).wait().unwrap().unwrap();
    let rated = details(&world, play(&world, 1, a, b));
    assert!(matches!(&rated.rating, RatingState::Rated(changes) if changes.len() == 2 && changes[0].expected.is_none()));
    assert_eq!(rated.prediction, None);
    assert_eq!(rated.shown.unwrap().engine, Some(("silent".to_owned(), "1.2.3".to_owned())));
}

/// Goal: what is kept of a prediction is bounded. Method: a free-for-all of 40 teams, of which an engine knows that they are equal.
#[test]
fn of_many_teams_only_what_each_was_expected_to_get_is_kept() {
    struct Equal(Arc<Steps>);
    impl RatingEngine for Equal {
        fn digest(&self) -> Digest {
            Digest([8; 32])
        }
        fn parameters(&self) -> &str {
            "{}"
        }
        fn initial(&self) -> Result<(Rating, f64), PluginFault> {
            self.0.initial()
        }
        fn rate(&self, memory: &[u8], contest: &Contest) -> Result<Update, PluginFault> {
            self.0.rate(memory, contest)
        }
        fn soften(&self, rating: &Rating, keep: f64) -> Result<(Rating, f64), PluginFault> {
            self.0.soften(rating, keep)
        }
        fn predict(&self, _: &[u8], line_up: &[Entrant], _: &Setting) -> Result<Vec<f64>, PluginFault> {
            assert!(line_up.iter().all(|entrant| entrant.presence == 1.0 && entrant.stats.is_empty()), "what the contest brought");
            Ok(vec![0.5; line_up.len() * (line_up.len() - 1) / 2])
        }
    }
    let world = World::new(40);
    let engine: Arc<dyn RatingEngine> = Arc::new(Equal(Steps::new(1.0)));
    world.store.install_engine(world.queue, engine, |_| (), NOW).wait().unwrap().unwrap();
    let one = imported(world.queue, 1, world.players[0], world.players[1]);
    let players =
        (0..).zip(&world.players).map(|(team, &player)| ladder::report::AcceptedPlayer { player, team, ..one.players[0].clone() });
    let facts = ReportFacts { players: players.collect(), places: (0..40).collect(), scores: vec![], ..one };
    let RatingState::Rated(changes) = world.accept(facts).rating else { panic!("not rated") };
    assert!(changes.iter().all(|change| change.expected == Some(0.5)));
    assert_eq!(expected(&world, world.players[39]), [Some(0.5)]);
}
