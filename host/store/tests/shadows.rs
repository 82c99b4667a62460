//! Shadows: another engine rates the same journal, and nobody who plays notices.
#![allow(clippy::unwrap_used, missing_docs)]

mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ladder::fault::PluginFault;
use ladder::id::{Digest, JournalSeq};
use ladder::rating::{Contest, Entrant, Rating, RatingEngine, Setting, Update};
use store::{PluginRole, SHADOW_REPORTS_PER_STEP, Shadow, ShadowState, ShadowStep};
use world::{NOW, Steps, World};

/// Counts what it was asked to rate.
struct Counting {
    engine: Arc<Steps>,
    rated: AtomicU64,
}

impl RatingEngine for Counting {
    fn digest(&self) -> Digest {
        self.engine.digest()
    }
    fn parameters(&self) -> &str {
        self.engine.parameters()
    }
    fn initial(&self) -> Result<(Rating, f64), PluginFault> {
        self.engine.initial()
    }
    fn rate(&self, memory: &[u8], contest: &Contest) -> Result<Update, PluginFault> {
        self.rated.fetch_add(1, Ordering::Relaxed);
        self.engine.rate(memory, contest)
    }
    fn soften(&self, rating: &Rating, amount: f64) -> Result<(Rating, f64), PluginFault> {
        self.engine.soften(rating, amount)
    }
    fn predict(&self, memory: &[u8], line_up: &[Entrant], setting: &Setting) -> Result<Vec<f64>, PluginFault> {
        self.engine.predict(memory, line_up, setting)
    }
}

impl Counting {
    fn new(step: f64) -> Arc<Self> {
        Arc::new(Self { engine: Steps::new(step), rated: AtomicU64::new(0) })
    }

    fn rated(&self) -> u64 {
        self.rated.load(Ordering::Relaxed)
    }
}

fn shadow(world: &World, engine: &Arc<Counting>) -> Shadow {
    world.store.shadow(world.queue, Arc::clone(engine) as Arc<dyn RatingEngine>).unwrap()
}

/// Steps until there is nothing more to do; what the last step said.
fn run(shadow: &mut Shadow) -> ShadowStep {
    for _ in 0..1_000 {
        match shadow.advance(NOW).unwrap() {
            ShadowStep::Advanced(_) | ShadowStep::Overtaken => {}
            end => return end,
        }
    }
    panic!("the shadow never comes to an end")
}

/// So many contests between players who meet several times within one step.
fn play(world: &World, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let at = usize::try_from(number).unwrap() % (world.players.len() - 1);
        world.import(number, world.players[at], world.players[at + 1]);
    }
}

fn install(world: &World, engine: &Arc<Counting>) -> store::Installed {
    world.store.install_engine(world.queue, Arc::clone(engine) as Arc<dyn RatingEngine>, |_| (), NOW).wait().unwrap().unwrap()
}

#[test]
fn a_shadow_rates_as_a_replay_does_and_takes_over_at_once() {
    let mut world = World::new(5);
    let many = u64::from(SHADOW_REPORTS_PER_STEP) * 2 + 7;
    play(&world, 1..many);
    let board = world.board();
    let engine = Counting::new(9.0);
    let mut shadow = shadow(&world, &engine);
    assert!(matches!(run(&mut shadow), ShadowStep::CaughtUp(_)));
    assert_eq!((engine.rated(), world.board()), (many - 1, board), "the players' ratings are those of the other engine");

    play(&world, many..many + 10);
    assert_eq!(run(&mut shadow), ShadowStep::CaughtUp(JournalSeq(many + 9)));
    let progress = world.store.generation_progress(world.queue, engine.digest(), engine.parameters().to_owned()).wait().unwrap().unwrap();
    assert_eq!((progress.active, progress.through, progress.last_report), (false, JournalSeq(many + 9), JournalSeq(many + 9)));
    world.assert_equals_replay();

    let installed = install(&world, &engine);
    assert_eq!((installed.generation, installed.waits), (progress.generation, false));
    assert_eq!(engine.rated(), many + 9, "nothing is rated twice");
    world.engine = Arc::clone(&engine.engine);
    world.assert_equals_replay();
    assert_eq!(run(&mut shadow), ShadowStep::Active);
    play(&world, many + 10..many + 12);
    world.assert_equals_replay();
}

#[test]
fn an_engine_that_was_in_force_goes_on_in_the_shadow() {
    let mut world = World::new(3);
    play(&world, 1..20);
    let engine = Counting::new(9.0);
    install(&world, &engine);
    world.install(&world.engine);
    play(&world, 20..40);
    let mut shadow = shadow(&world, &engine);
    assert!(matches!(run(&mut shadow), ShadowStep::CaughtUp(_)));
    assert_eq!(engine.rated(), 39);
    install(&world, &engine);
    world.engine = Arc::clone(&engine.engine);
    world.assert_equals_replay();
}

#[test]
fn a_shadow_that_faults_stops_there_and_is_not_asked_again() {
    let mut world = World::new(4);
    play(&world, 1..40);
    let engine = Counting::new(9.0);
    engine.engine.fault_on(30);
    let mut shadow = shadow(&world, &engine);
    for _ in 0..3 {
        let ShadowStep::Stopped { seq, fault } = run(&mut shadow) else { panic!("report 30 cannot be rated") };
        assert_eq!((seq, fault.code()), (JournalSeq(30), "trap"));
    }
    assert_eq!(engine.rated(), 30);
    play(&world, 40..50);
    world.assert_equals_replay();
    assert_eq!(world.store.statistics().wait().unwrap().queues[0].reports_waiting, 0);

    // The live engine rated it, so nobody can skip it; an engine that recovers goes on from there.
    engine.engine.recover();
    let mut shadow = self::shadow(&world, &engine);
    assert!(matches!(run(&mut shadow), ShadowStep::CaughtUp(_)));
    install(&world, &engine);
    world.engine = Arc::clone(&engine.engine);
    world.assert_equals_replay();
}

#[test]
fn a_report_skipped_while_a_shadow_rates_is_not_in_its_ratings() {
    let mut world = World::new(3);
    play(&world, 1..10);
    world.engine.fault_on(10);
    play(&world, 10..12);
    let engine = Counting::new(9.0);
    let mut shadow = shadow(&world, &engine);
    assert!(matches!(run(&mut shadow), ShadowStep::CaughtUp(_)));
    world.store.skip_report(JournalSeq(10), "nonsense", NOW).wait().unwrap().unwrap();
    assert!(matches!(run(&mut shadow), ShadowStep::CaughtUp(_)));
    assert_eq!(engine.rated(), 11 + 10, "a second generation without the report");
    install(&world, &engine);
    world.engine = Arc::clone(&engine.engine);
    world.assert_equals_replay();
}

#[test]
fn a_shadow_that_nobody_names_any_more_is_laid_aside_and_then_forgotten() {
    let world = World::new(3);
    play(&world, 1..10);
    let (kept, gone) = (Counting::new(9.0), Counting::new(8.0));
    let (mut keeps, mut goes) = (shadow(&world, &kept), shadow(&world, &gone));
    run(&mut keeps);
    run(&mut goes);
    let progress = |engine: &Arc<Counting>| {
        world.store.generation_progress(world.queue, engine.digest(), engine.parameters().to_owned()).wait().unwrap()
    };
    let lay_aside = || world.store.lay_shadows_aside(world.queue, vec![(kept.digest(), kept.parameters().to_owned())]).wait().unwrap();
    lay_aside();
    for step in [1.0, 2.0, 3.0] {
        run(&mut shadow(&world, &Counting::new(step)));
        lay_aside();
    }
    for _ in 0..100 {
        if !world.store.forget_old_generations(world.queue).wait().unwrap() {
            break;
        }
    }
    assert!(progress(&kept).is_some() && progress(&gone).is_none());
    run(&mut keeps);
    assert_eq!(kept.rated(), 9);
}

#[test]
fn shadows_that_are_laid_aside_push_out_no_engine_that_was_in_force() {
    let world = World::new(3);
    play(&world, 1..10);
    let [engine, next] = [9.0, 10.0].map(Counting::new);
    install(&world, &engine);
    install(&world, &next);
    let shadows = [14.0, 15.0, 16.0, 17.0].map(Counting::new);
    for tried in &shadows {
        assert!(matches!(run(&mut shadow(&world, tried)), ShadowStep::CaughtUp(_)));
        world.store.lay_shadows_aside(world.queue, vec![]).wait().unwrap();
    }
    while world.store.forget_old_generations(world.queue).wait().unwrap() {}
    let kept = |engine: &Arc<Counting>| {
        let progress = world.store.generation_progress(world.queue, engine.digest(), engine.parameters().to_owned());
        progress.wait().unwrap().is_some()
    };
    assert_eq!(shadows.each_ref().map(kept), [false, true, true, true]);
    install(&world, &engine);
    assert_eq!(engine.rated(), 9, "it is gone back to, not built again");
}

#[test]
fn a_shadow_that_has_caught_up_passes_the_reports_of_other_queues_and_misses_none_of_its_own() {
    let mut world = World::new(3);
    play(&world, 1..10);
    let engine = Counting::new(9.0);
    let mut shadow = shadow(&world, &engine);
    let quiet = world.queue;
    assert_eq!(run(&mut shadow), ShadowStep::CaughtUp(JournalSeq(9)));
    world.queue = world.store.ensure_queue("busy").wait().unwrap();
    play(&world, 10..1_010);
    assert_eq!(run(&mut shadow), ShadowStep::CaughtUp(JournalSeq(9)), "seldom enough");
    play(&world, 1_010..1_011);
    assert_eq!(run(&mut shadow), ShadowStep::CaughtUp(JournalSeq(1_010)));
    world.queue = quiet;
    play(&world, 1_011..1_021);
    assert_eq!(run(&mut shadow), ShadowStep::CaughtUp(JournalSeq(1_020)));
    assert_eq!(engine.rated(), 19);
    install(&world, &engine);
    world.engine = Arc::clone(&engine.engine);
    world.assert_equals_replay();
}

#[test]
fn what_a_host_says_about_its_shadows_is_read_back() {
    let world = World::new(0);
    let state = |name: &str, problem: Option<&str>| ShadowState {
        queue: "duel".to_owned(),
        name: name.to_owned(),
        role: PluginRole::Policy,
        digest: Digest([4; 32]),
        behind: problem.is_none().then_some(store::ReplayProgress { through: JournalSeq(3), head: JournalSeq(9) }),
        problem: problem.map(str::to_owned),
    };
    for noted in [state("b", None), state("a", None), state("b", Some("it traps"))] {
        world.store.note_shadow_state(noted).wait().unwrap();
    }
    assert_eq!(world.store.list_shadow_states().wait().unwrap(), [state("a", None), state("b", Some("it traps"))]);
    world.store.keep_shadow_states("duel".to_owned(), vec!["b".to_owned()]).wait().unwrap();
    assert_eq!(world.store.list_shadow_states().wait().unwrap(), [state("b", Some("it traps"))]);
}
