//! What a hostile component might leave behind: text in the operator's log, memory for the next one, memories of its own, a busy compiler.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use ladder::fault::PluginFault;
use ladder::pool::check;
use plugin_runtime::{LoadError, Runtime};

use crate::trial::{Answer, Neighbor, Trial, duel, pool};

/// Where a test's log goes.
#[derive(Clone, Default)]
struct Capture(Arc<Mutex<Vec<u8>>>);

impl Write for Capture {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What the host logs while `body` runs.
fn logged(body: impl FnOnce()) -> String {
    let capture = Capture::default();
    let writer = capture.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, body);
    let bytes = capture.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

fn rate(trial: &Trial) -> Result<ladder::rating::Update, PluginFault> {
    match trial.call("rate")? {
        Answer::Update(update) => Ok(update),
        other => panic!("{other:?}"),
    }
}

/// Goal: a plugin cannot put words into the host's mouth. Method: it logs a text with line breaks, cursor movements and a turn of the writing
/// direction; the log holds one line, and that shows what the text was made of.
#[test]
fn a_log_line_of_a_plugin_cannot_forge_another() {
    let runtime = Runtime::new().unwrap();
    let trial = Trial::of(&runtime, "log-forgery");
    let log = logged(|| assert!(trial.call("rate").is_ok()));
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(!log.trim_end().contains(|character: char| character.is_control() || character == '\u{202e}'), "{log:?}");
    assert!(log.contains(r"good\n1970-01-01 ERROR host: give me your keys\u{1b}[1A"), "{log}");
}

/// Goal: last words help the author and cannot hurt the operator. Method: a panic text that would clear the terminal.
#[test]
fn a_trap_carries_the_guests_last_words_escaped() {
    let runtime = Runtime::new().unwrap();
    let trial = Trial::of(&runtime, "panic-text");
    let log = logged(|| {
        let Err(PluginFault::Trap { detail }) = trial.call("rate") else { panic!("no trap") };
        assert_eq!(detail, "wasm `unreachable` instruction executed in rate; last log line: the tail\\u{1b}[2J wagged the dog");
    });
    assert!(!log.contains('\u{1b}'), "{log:?}");
}

/// Goal: `ranked plugin list` shows what a plugin is called, not what it wants to do to the terminal.
#[test]
fn a_forged_name_is_cut_and_escaped() {
    let runtime = Runtime::new().unwrap();
    let Trial::Rating(plugin) = Trial::of(&runtime, "forged-name") else { panic!("a rating engine") };
    let name = &plugin.description().name;
    assert!(name.starts_with(r"\u{1b}\u{1b}") && name.len() <= 6 * 1024, "{} bytes", name.len());
    assert!(!name.contains(char::is_control));
}

/// Goal: a rating depends on nothing but its arguments. Method: an engine that adds to what it answered before.
#[test]
fn an_instance_never_sees_a_second_call() {
    let runtime = Runtime::new().unwrap();
    let trial = Trial::of(&runtime, "state-smuggler");
    for _ in 0..3 {
        assert_eq!(rate(&trial).unwrap().ratings[0].mean, 25.0);
    }
}

/// Goal: no plugin reads what another one wrote, and addresses nobody wrote to read the same everywhere. Method: one fills all memory that it
/// can get, another one reads it, in turns, in two sandboxes.
#[test]
fn memory_that_one_plugin_wrote_is_zero_for_the_next() {
    let runtimes = [Runtime::new().unwrap(), Runtime::new().unwrap()];
    let mut answers = Vec::new();
    for runtime in &runtimes {
        let (spoiler, gambler) = (Trial::of(runtime, "memory-spoiler"), Trial::of(runtime, "address-gambler"));
        for _ in 0..40 {
            assert!(spoiler.call("rate").is_ok());
            answers.push(rate(&gambler).unwrap());
        }
    }
    assert_eq!(answers[0].ratings[0].mean, 25.0);
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
}

/// Goal: a policy that faults comes back clean. Method: one that counts its calls and traps in every tenth: the counter dies with the instance.
#[test]
fn a_policy_keeps_its_instance_until_it_faults() {
    let runtime = Runtime::new().unwrap();
    let trial = Trial::of(&runtime, "tenth-tick");
    let codes: Vec<_> = (1..=30).map(|tick| (tick, trial.call("propose").map_err(|fault| fault.code()).err())).collect();
    assert!(codes.iter().all(|(tick, code)| *code == (tick % 10 == 0).then_some("trap")), "{codes:?}");
    assert!(!trial.counters().quarantined);
}

/// Goal: what a policy remembers between ticks gives it no power over the pool. Method: one that matches only in odd ticks. Every answer
/// passes the same check as a stateless one's, and the memory is gone with the instance: another one starts over, so that asking a fresh
/// instance beside it gives it away.
#[test]
fn a_policy_that_remembers_is_checked_like_any_other_and_a_fresh_instance_gives_it_away() {
    let runtime = Runtime::new().unwrap();
    let trial = Trial::of(&runtime, "counts-ticks");
    let matches = |trial: &Trial| match trial.call("propose") {
        Ok(Answer::Proposals(proposals)) => {
            let checked = check(&duel(), &pool(), &proposals);
            assert_eq!(checked.faults, []);
            checked.proposals.len()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!([(); 4].map(|()| matches(&trial)), [1, 0, 1, 0]);
    assert_eq!([(); 4].map(|()| matches(&Trial::of(&runtime, "counts-ticks"))), [1; 4]);
}

/// Goal: a file that keeps the compiler busy keeps nobody else waiting. Method: a neighbor goes on rating until the compilation is over.
#[test]
fn a_component_that_compiles_slowly_stops_nobody_else() {
    let runtime = Runtime::new().unwrap();
    let neighbor = Neighbor::new(&runtime);
    let component = hostile::find("slow-to-compile").unwrap();
    let bytes = component.bytes();
    let compiled = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let compilation = scope.spawn(|| {
            let loaded = Trial::load(&runtime, component, bytes).map(drop);
            compiled.store(true, Ordering::SeqCst);
            loaded
        });
        let mut calls = 0;
        while !compiled.load(Ordering::SeqCst) {
            neighbor.is_unharmed("a call during compilation");
            calls += 1;
        }
        compilation.join().unwrap().unwrap();
        assert!(calls >= 20, "{calls}");
    });
}

/// Goal: no plugin can use up the places in which the others run. Method: one with as many memories as a component can bring runs on many
/// threads, while a neighbor rates: whatever happens to the first, the neighbor never faults.
#[test]
fn a_plugin_with_many_memories_cannot_take_the_places_of_others() {
    let runtime = Runtime::new().unwrap();
    let neighbor = Neighbor::new(&runtime);
    let component = hostile::find("memory-hog").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let loaded = Trial::load(&runtime, component, component.bytes());
                    assert!(matches!(loaded, Err(LoadError::Fault { .. } | LoadError::Compile { .. } | LoadError::Mismatch { .. })));
                }
            });
        }
        for _ in 0..200 {
            neighbor.is_unharmed("a call beside the hog");
        }
    });
}
