//! What stat rules can try.

use crate::guest::{Base, Rules};
use crate::{Ending, HostileComponent, Recipe};

const fn entry(name: &'static str, tries: &'static str, ending: Ending, rules: Rules) -> HostileComponent {
    HostileComponent { name, role: "rules", tries, ending, recipe: Recipe::Rules(rules) }
}

const fn review(code: &'static str) -> Ending {
    Ending::Fault { function: "review", code }
}

const AT_LOAD: Ending = Ending::FaultAtLoad { function: "bounds", code: "bad-output" };

pub(crate) const ALL: &[HostileComponent] = &[
    entry("review-loop", "never comes to a verdict", review("out-of-fuel"), Rules::reviewing("(loop $l (br $l)) unreachable")),
    entry("review-trap", "traps on every report", review("trap"), Rules::reviewing("unreachable")),
    entry(
        "unknown-line",
        "clamps a line that the report does not have",
        review("bad-output"),
        // One clamp at 2048, of line 4,000,000,000.
        Rules::reviewing(
            "(i32.store (i32.const 2048) (i32.const 4000000000)) (i32.store (i32.const 1024) (i32.const 2048))
             (i32.store (i32.const 1028) (i32.const 1)) (i32.const 1024)",
        ),
    ),
    entry(
        "double-clamp",
        "clamps one line twice",
        review("bad-output"),
        Rules::reviewing("(i32.store (i32.const 1024) (i32.const 2048)) (i32.store (i32.const 1028) (i32.const 2)) (i32.const 1024)"),
    ),
    entry(
        "nan-clamp",
        "clamps a line to what is no number",
        review("bad-output"),
        Rules::reviewing(
            "(f64.store (i32.const 2056) (f64.const nan)) (i32.store (i32.const 1024) (i32.const 2048))
             (i32.store (i32.const 1028) (i32.const 1)) (i32.const 1024)",
        ),
    ),
    entry(
        "finding-flood",
        "finds 3,000 things in one report",
        review("bad-output"),
        Rules::reviewing("(i32.store (i32.const 1032) (i32.const 8192)) (i32.store (i32.const 1036) (i32.const 3000)) (i32.const 1024)"),
    ),
    entry(
        "code-forgery",
        "finds something whose code would break metrics and tables",
        review("bad-output"),
        // One finding at 2048, `suspicious`, whose code is the text at 48: spaces and an escape.
        Rules::reviewing(
            "(i32.store (i32.const 2052) (i32.const 48)) (i32.store (i32.const 2056) (i32.const 27))
             (i32.store (i32.const 1032) (i32.const 2048)) (i32.store (i32.const 1036) (i32.const 1)) (i32.const 1024)",
        ),
    ),
    entry(
        "unknown-statistic",
        "bounds a statistic that the queue does not have",
        AT_LOAD,
        Rules {
            bounds: "(i32.store16 (i32.const 2048) (i32.const 999)) (i32.store (i32.const 1024) (i32.const 2048))
            (i32.store (i32.const 1028) (i32.const 1)) (i32.const 1024)",
            ..Rules::SOUND
        },
    ),
    entry(
        "reversed-bounds",
        "declares a minimum above the maximum",
        AT_LOAD,
        Rules {
            bounds: "(f64.store (i32.const 2056) (f64.const 1)) (i32.store (i32.const 1024) (i32.const 2048))
            (i32.store (i32.const 1028) (i32.const 1)) (i32.const 1024)",
            ..Rules::SOUND
        },
    ),
    entry(
        "grudge",
        "remembers that it was called and faults from the second report on",
        Ending::Contained,
        Rules {
            base: Base::SOUND,
            review: "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
                (if (i32.gt_u (global.get $calls) (i32.const 1)) (then unreachable)) (i32.const 1024)",
            ..Rules::SOUND
        },
    ),
];
