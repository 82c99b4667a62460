//! Every entry of the catalog ends as it says, with a sound plugin working beside it.

use hostile::{Ending, HostileComponent, components};
use ladder::fault::PluginFault;
use ladder::pool::check;
use plugin_runtime::{FAULTS_MAX_DEFAULT, LoadError, Runtime};

use crate::trial::{Answer, Neighbor, Trial, duel, pool};

/// Entries with the endings that `pick` takes; at least `least` of them, so that a loop over them proves something.
fn ending<T>(least: usize, pick: impl Fn(Ending) -> Option<T>) -> Vec<(&'static HostileComponent, T)> {
    let found: Vec<_> = components().filter_map(|component| Some((component, pick(component.ending)?))).collect();
    assert!(found.len() >= least, "{} entries", found.len());
    found
}

fn chain(error: &LoadError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Goal: what cannot be a plugin never becomes one. Method: load each; the operator is told the cause. Where the component would trap if
/// anything of it ran, a fault instead of a refusal would show it.
#[test]
fn what_cannot_be_a_plugin_is_refused_with_its_cause() {
    let runtime = Runtime::new().unwrap();
    let neighbor = Neighbor::new(&runtime);
    for (component, says) in ending(16, |ending| if let Ending::Refused { says } = ending { Some(says) } else { None }) {
        match Trial::load(&runtime, component, component.bytes()) {
            Ok(_) => panic!("{} was loaded", component.name),
            Err(error @ LoadError::Fault { .. }) => panic!("{} ran: {}", component.name, chain(&error)),
            Err(error) => assert!(chain(&error).contains(says), "{}: {}", component.name, chain(&error)),
        }
        neighbor.is_unharmed(component.name);
    }
}

/// Goal: what breaks the contract already while it is loaded never gets into service. Method: load each; the error names function and fault.
#[test]
fn what_breaks_the_contract_while_it_is_loaded_stays_out() {
    let runtime = Runtime::new().unwrap();
    let neighbor = Neighbor::new(&runtime);
    let entries = ending(12, |ending| if let Ending::FaultAtLoad { function, code } = ending { Some((function, code)) } else { None });
    for (component, expected) in entries {
        match Trial::load(&runtime, component, component.bytes()) {
            Ok(_) => panic!("{} was loaded", component.name),
            Err(LoadError::Fault { function, source }) => assert_eq!((function, source.code()), expected, "{}: {source}", component.name),
            Err(error) => panic!("{}: {}", component.name, chain(&error)),
        }
        neighbor.is_unharmed(component.name);
    }
}

/// Goal: whatever a plugin does in a call, the call ends as its named fault, within its budget, counted, and the plugin is out of service
/// after so many in a row; the neighbor answers the same bits after each. Method: call each until its quarantine, then once more after it.
#[test]
fn each_hostile_call_is_its_named_fault_and_leads_to_quarantine() {
    let runtime = Runtime::new().unwrap();
    let neighbor = Neighbor::new(&runtime);
    for (component, (function, code)) in ending(30, |ending| match ending {
        Ending::Fault { function, code } => Some((function, code)),
        _ => None,
    }) {
        let name = component.name;
        let trial = Trial::of(&runtime, name);
        // A declined contest is an answer that the contract knows: it is counted and does not lead to quarantine.
        let in_a_row = if code == "declined" { 0 } else { FAULTS_MAX_DEFAULT };
        for _ in 0..FAULTS_MAX_DEFAULT {
            let fault = trial.call(function).expect_err(name);
            assert_eq!(fault.code(), code, "{name}: {fault}");
            neighbor.is_unharmed(name);
        }
        let counters = trial.counters();
        assert_eq!((counters.faults.iter().sum::<u64>(), counters.faults_in_a_row), (u64::from(FAULTS_MAX_DEFAULT), in_a_row), "{name}");
        assert_eq!(counters.quarantined, in_a_row > 0, "{name}");
        if in_a_row > 0 {
            assert_eq!(trial.call(function), Err(PluginFault::Quarantined { faults_in_a_row: in_a_row }), "{name}");
        }
        trial.reset_quarantine();
        assert_eq!(trial.call(function).expect_err(name).code(), code, "{name}: nothing is left of the calls before");
    }
}

/// Goal: nobody is matched against the rules of the pool, whoever proposes it, and a policy that proposes nothing else does not starve its
/// queue. Method: one bad proposal each; the call is a fault that names the rule, and enough of them in a row are a quarantine.
#[test]
fn a_policy_that_only_breaks_the_rules_of_the_pool_goes_into_quarantine() {
    let runtime = Runtime::new().unwrap();
    for (component, says) in ending(10, |ending| if let Ending::AgainstTheRules { says } = ending { Some(says) } else { None }) {
        let (name, trial) = (component.name, Trial::of(&runtime, component.name));
        for _ in 0..FAULTS_MAX_DEFAULT {
            let fault = trial.call("propose").expect_err(name);
            assert_eq!(fault.code(), "bad-output", "{name}");
            assert!(fault.to_string().contains(says), "{name}: {fault}");
        }
        assert!(trial.counters().quarantined, "{name}");
    }
}

/// Goal: slots are given out by the host. Method: a policy that does not look at them; its proposal is dropped by name, and that is no fault:
/// slots come and go by themselves.
#[test]
fn a_proposal_without_a_free_slot_is_dropped() {
    let runtime = Runtime::new().unwrap();
    for (component, says) in ending(1, |ending| if let Ending::Dropped { says } = ending { Some(says) } else { None }) {
        let trial = Trial::of(&runtime, component.name);
        let Ok(Answer::Proposals(proposals)) = trial.call("propose") else { panic!("{}", component.name) };
        let checked = check(&duel(), &pool(), &proposals);
        assert_eq!((checked.proposals.as_slice(), checked.faults.len()), ([].as_slice(), 1), "{}", component.name);
        let fault = checked.faults[0].to_string();
        assert!(fault.contains(says), "{}: {fault}", component.name);
    }
}

/// Goal: what is contained has no effect. Method: its answers, called three times, are those of the sound component that it is made from, bit
/// for bit, although the calls before may have left something.
#[test]
fn what_is_contained_answers_like_a_sound_plugin() {
    let runtime = Runtime::new().unwrap();
    let neighbor = Neighbor::new(&runtime);
    let sound = |trial: &Trial| match trial {
        Trial::Rating(_) => Trial::of_bytes(&runtime, "rating", hostile::guest::Rater::SOUND.component()),
        Trial::Rules(_) => Trial::of_bytes(&runtime, "rules", hostile::guest::Rules::SOUND.component()),
        Trial::Policy(_) => Trial::of_bytes(&runtime, "policy", hostile::guest::Policy::SOUND.component()),
    };
    for (component, ()) in ending(8, |ending| (ending == Ending::Contained).then_some(())) {
        let (name, trial) = (component.name, Trial::of(&runtime, component.name));
        let function = trial.main_function();
        if name == "counts-ticks" {
            continue; // It does change its answers: `traces` has what that comes to.
        }
        let expected = sound(&trial).call(function).unwrap();
        for _ in 0..3 {
            assert_eq!(trial.call(function).as_ref(), Ok(&expected), "{name}");
            neighbor.is_unharmed(name);
        }
    }
}

/// Goal: a fault now and then costs its own call, is counted, and is followed by good answers. Method: fifty calls that differ as live ones do.
#[test]
fn a_fault_now_and_then_costs_its_own_call_and_is_counted() {
    let runtime = Runtime::new().unwrap();
    for (component, (function, code)) in ending(4, |ending| match ending {
        Ending::FaultSometimes { function, code } => Some((function, code)),
        _ => None,
    }) {
        let (name, trial) = (component.name, Trial::of(&runtime, component.name));
        let mut faults = 0;
        for contests in 0..50 {
            // The turncoat looks for somebody with more than 3 contests: every other time it sees one.
            let contests = if name == "turncoat" { contests % 2 * 10 } else { contests };
            match trial.call_after(function, contests) {
                Ok(_) => assert_eq!(trial.counters().faults_in_a_row, 0, "{name}"),
                Err(fault) => {
                    assert_eq!(fault.code(), code, "{name}: {fault}");
                    faults += 1;
                }
            }
        }
        assert!((1..=25).contains(&faults), "{name}: {faults}");
        let counters = trial.counters();
        assert_eq!((counters.calls, counters.faults.iter().sum::<u64>(), counters.quarantined), (50, faults, false), "{name}");
    }
}
