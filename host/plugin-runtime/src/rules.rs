//! Stat rules in service: a fresh instance per call, every answer checked.

use ladder::fault::PluginFault;
use ladder::id::Digest;
use ladder::reason::Reason;
use ladder::rules::{Claim, Clamp, DeclaredBound, Finding, Line, StatRules, Verdict};
use ladder::stats::Bound;

use crate::bindings::rules::RulesIndices;
use crate::bindings::rules::exports::ranked::plugin::stat_rules as wit;
use crate::counters::PluginCounters;
use crate::error::LoadError;
use crate::runtime::{Description, Loaded, Prepared, shown};
use crate::service::{Service, Stop, bad_output};

/// Findings of one review.
pub const FINDINGS_MAX: usize = 64;
/// Bytes of a finding's code.
pub const FINDING_CODE_BYTES_MAX: usize = 64;

/// Stat rules for one queue. Made by `Runtime::load_rules`; shared between threads as they are.
pub struct RulesPlugin {
    service: Service,
    prepared: Prepared,
    exports: RulesIndices,
    description: Description,
    bounds: Vec<DeclaredBound>,
}

impl RulesPlugin {
    pub(crate) fn new(loaded: Loaded) -> Result<Self, LoadError> {
        let Loaded { mut service, prepared, description, .. } = loaded;
        let exports = RulesIndices::new(&prepared.pre).map_err(|source| LoadError::Mismatch { source })?;
        prepared.compare_types(&service, |store, instance| exports.load(store, instance))?;
        let bounds = service.call_fresh("bounds", |store| {
            let instance = prepared.start(&service, store)?;
            let rules = exports.load(&mut *store, &instance)?;
            checked_bounds(&service, &rules.ranked_plugin_stat_rules().call_bounds(store)?)
        });
        let bounds = bounds.map_err(|source| LoadError::Fault { function: "bounds", source })?;
        service.begin();
        Ok(Self { service, prepared, exports, description, bounds })
    }

    /// What the plugin says about itself.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Counters since the plugin was loaded.
    #[must_use]
    pub fn counters(&self) -> PluginCounters {
        self.service.counters()
    }

    /// Takes the plugin back into service: an operator said so.
    pub fn reset_quarantine(&self) {
        self.service.reset_quarantine();
    }
}

impl StatRules for RulesPlugin {
    fn digest(&self) -> Digest {
        self.service.digest
    }

    fn bounds(&self) -> &[DeclaredBound] {
        &self.bounds
    }

    fn review(&self, claim: &Claim) -> Result<Verdict, PluginFault> {
        let line = |&Line { player, team, stat, value }: &Line| wit::Line { player, team, stat, value };
        let lines: Vec<_> = claim.lines.iter().map(line).collect();
        let argument = wit::Claim {
            duration_s: claim.duration_s,
            places: &claim.places,
            scores: &claim.scores,
            lines: &lines,
            server_contests: claim.server.contests,
            server_clamped: claim.server.clamped,
            server_disputed: claim.server.disputed,
        };
        self.service.call_fresh("review", |store| {
            let instance = self.prepared.start(&self.service, store)?;
            let rules = self.exports.load(&mut *store, &instance)?;
            let verdict = rules.ranked_plugin_stat_rules().call_review(store, argument)?;
            Ok(Verdict { clamps: checked_clamps(&verdict.clamps, lines.len())?, findings: checked_findings(verdict.findings)? })
        })
    }
}

fn checked_bounds(service: &Service, declared: &[wit::Bound]) -> Result<Vec<DeclaredBound>, Stop> {
    let bad = |problem| bad_output("bounds", problem);
    let mut bounds: Vec<DeclaredBound> = Vec::new();
    for &wit::Bound { stat, total, min, max } in declared {
        let names = if total { &service.shape.totals } else { &service.shape.stats };
        let Some(name) = names.get(usize::from(stat)) else {
            return Err(bad(format!("statistic {stat} of {} does not exist", names.len())));
        };
        // Names are few, so that looking back beats a set; it also bounds the list.
        if bounds.iter().any(|bound| (bound.stat, bound.total) == (stat, total)) {
            return Err(bad(format!("{name} is bounded twice")));
        }
        let bound = Bound::new(min, max).map_err(|error| bad(format!("{name}: {error}")))?;
        bounds.push(DeclaredBound { stat, total, bound });
    }
    Ok(bounds)
}

fn checked_clamps(clamps: &[wit::Clamp], lines: usize) -> Result<Vec<Clamp>, Stop> {
    let bad = |problem| Err(bad_output("review", problem));
    let mut clamped = vec![false; lines];
    let mut checked = Vec::with_capacity(clamps.len().min(lines));
    for &wit::Clamp { line, to } in clamps {
        match clamped.get_mut(line as usize) {
            None => return bad(format!("clamps line {line} of {lines}")),
            Some(true) => return bad(format!("clamps line {line} twice")),
            Some(_) if !to.is_finite() => return bad(format!("clamps line {line} to {to}")),
            Some(seen) => *seen = true,
        }
        checked.push(Clamp { line, to });
    }
    Ok(checked)
}

fn checked_findings(findings: Vec<wit::Finding>) -> Result<Vec<Finding>, Stop> {
    if findings.len() > FINDINGS_MAX {
        return Err(bad_output("review", format!("{} findings, at most {FINDINGS_MAX}", findings.len())));
    }
    let reason = |reason: wit::Reason| match is_kebab_case(&reason.code) {
        true => Ok(Reason::new(reason.code, shown(&reason.detail))),
        false => Err(bad_output("review", "the code of a finding is not in kebab-case")),
    };
    let finding = |finding| {
        Ok(match finding {
            wit::Finding::Suspicious(why) => Finding::Suspicious(reason(why)?),
            wit::Finding::Hold(why) => Finding::Hold(reason(why)?),
            wit::Finding::Reject(why) => Finding::Reject(reason(why)?),
        })
    };
    findings.into_iter().map(finding).collect()
}

/// Lower-case letters, digits and single hyphens between them: what metrics and SQL can hold without quoting.
fn is_kebab_case(code: &str) -> bool {
    let word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    code.len() <= FINDING_CODE_BYTES_MAX && code.split('-').all(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails<R>(result: Result<R, Stop>) -> bool {
        matches!(result, Err(Stop::Fault(PluginFault::BadOutput { place: "review", .. })))
    }

    #[test]
    fn a_clamp_names_each_line_once_and_a_finite_value() {
        let clamp = |line, to| wit::Clamp { line, to };
        let table: [(&str, &[wit::Clamp], bool); 6] = [
            ("none", &[], false),
            ("two lines", &[clamp(1, 0.0), clamp(0, -1.0)], false),
            ("past the end", &[clamp(2, 0.0)], true),
            ("twice", &[clamp(1, 0.0), clamp(1, 0.0)], true),
            ("not a number", &[clamp(0, f64::NAN)], true),
            ("infinite", &[clamp(0, f64::INFINITY)], true),
        ];
        for (name, clamps, refused) in table {
            assert_eq!(fails(checked_clamps(clamps, 2)), refused, "{name}");
        }
    }

    #[test]
    fn findings_are_bounded_and_their_codes_kebab_case() {
        let finding = |code: &str| wit::Finding::Hold(wit::Reason { code: code.to_owned(), detail: "a\nb".to_owned() });
        for (code, refused) in [("too-fast", false), ("a1", false), ("", true), ("Too-fast", true), ("a--b", true), ("a b", true)] {
            assert_eq!(fails(checked_findings(vec![finding(code)])), refused, "{code}");
        }
        assert!(fails(checked_findings(vec![finding(&"a".repeat(FINDING_CODE_BYTES_MAX + 1))])));
        assert!(fails(checked_findings(vec![finding("a"); FINDINGS_MAX + 1])));
        let escaped = checked_findings(vec![finding("a")]).ok();
        assert_eq!(escaped, Some(vec![Finding::Hold(Reason::new("a", "a\\nb"))]));
    }
}
