//! What a matchmaking policy can try. Its instance is kept from tick to tick, so that it can remember; its answers are checked all the same.

use crate::guest::Policy;
use crate::{Ending, HostileComponent, Recipe};

const fn entry(name: &'static str, tries: &'static str, ending: Ending, propose: &'static str) -> HostileComponent {
    HostileComponent { name, role: "policy", tries, ending, recipe: Recipe::Policy(Policy::proposing(propose)) }
}

const fn propose(code: &'static str) -> Ending {
    Ending::Fault { function: "propose", code }
}

const fn against_the_rules(says: &'static str) -> Ending {
    Ending::AgainstTheRules { says }
}

/// The pool that the numbers below are about: [`crate::guest`] says how an answer is laid out.
pub(crate) const ALL: &[HostileComponent] = &[
    entry("propose-loop", "never answers, with more fuel than a tick has time", propose("deadline"), "(loop $l (br $l))"),
    entry("propose-trap", "traps in every tick", propose("trap"), "unreachable"),
    entry(
        "ticket-twice",
        "matches a queue ticket with itself",
        against_the_rules("queue ticket 0 is used twice"),
        "(call $match (i32.const 0) (i32.const 0))",
    ),
    entry(
        "past-the-pool",
        "matches somebody who does not wait",
        against_the_rules("queue ticket 99 is not in the pool"),
        "(call $match (i32.const 0) (i32.const 99))",
    ),
    entry(
        "party-split",
        "puts a party on both sides of a match",
        against_the_rules("queue ticket 2 is used twice"),
        "(call $match (i32.const 2) (i32.const 2))",
    ),
    entry(
        "party-against-one",
        "matches a party of two against one player",
        against_the_rules("the teams do not have the queue's shape"),
        "(call $match (i32.const 2) (i32.const 0))",
    ),
    entry(
        "no-slots",
        "opens a match in a region without a free slot",
        Ending::Dropped { says: "no game server slot is free in region 1" },
        "(call $match (i32.const 0) (i32.const 1)) (i32.store16 (i32.const 1172) (i32.const 1))",
    ),
    entry(
        "unknown-region",
        "opens a match in a region that the queue does not have",
        against_the_rules("region 63 is not open to everybody"),
        "(call $match (i32.const 0) (i32.const 1)) (i32.store16 (i32.const 1172) (i32.const 63))",
    ),
    entry(
        "shift-overflow",
        "opens a match in region 65,535, to see whether the host counts bits that far",
        against_the_rules("region 65535 is not open to everybody"),
        "(call $match (i32.const 0) (i32.const 1)) (i32.store16 (i32.const 1172) (i32.const 65535))",
    ),
    entry(
        "enemies",
        "matches two who must not meet",
        against_the_rules("two queue tickets that must not meet were matched"),
        "(call $match (i32.const 0) (i32.const 3))",
    ),
    entry(
        "mismatch",
        "matches a beginner with a champion who is out of reach",
        against_the_rules("the match is wider than queue ticket 0 accepts"),
        "(call $match (i32.const 0) (i32.const 4))",
    ),
    entry(
        "no-backfill",
        "fills a hole that no match has",
        against_the_rules("backfill 7 was not offered"),
        "(call $match (i32.const 0) (i32.const 1)) (i32.store (i32.const 1184) (i32.const 7))",
    ),
    entry(
        "crooked-ends",
        "lets a team end where no team is",
        against_the_rules("the columns of the answer contradict each other"),
        "(call $match (i32.const 0) (i32.const 1)) (i32.store (i32.const 1164) (i32.const -1))",
    ),
    entry(
        "proposal-flood",
        "proposes more queue tickets than wait",
        propose("bad-output"),
        "(call $match (i32.const 0) (i32.const 1)) (call $column (i32.const 0) (i32.const 1152) (i32.const 600))",
    ),
    entry(
        "quality-out-of-range",
        "praises its match with a quality of 1.5",
        propose("bad-output"),
        "(call $match (i32.const 0) (i32.const 1)) (f64.store (i32.const 1176) (f64.const 1.5))",
    ),
    entry(
        "nan-quality",
        "praises its match with a quality that is no number",
        propose("bad-output"),
        "(call $match (i32.const 0) (i32.const 1)) (f64.store (i32.const 1176) (f64.const nan))",
    ),
    entry(
        "unknown-limit",
        "says that a player waits for a reason that does not exist",
        propose("bad-output"),
        "(i32.store8 (i32.const 2048) (i32.const 200))",
    ),
    entry(
        "silent-limits",
        "does not say why anybody waits",
        propose("bad-output"),
        "(call $column (i32.const 7) (i32.const 2048) (i32.const 0))",
    ),
    entry(
        "hoarder",
        "keeps 16 MiB more with every tick",
        Ending::FaultSometimes { function: "propose", code: "memory" },
        "(if (i32.eq (memory.grow (i32.const 256)) (i32.const -1)) (then unreachable))",
    ),
    entry(
        "tenth-tick",
        "traps in every tenth tick, so that it never fails several times in a row",
        Ending::FaultSometimes { function: "propose", code: "trap" },
        "(if (i32.eq (global.get $calls) (i32.const 10)) (then unreachable))",
    ),
    entry(
        "counts-ticks",
        "remembers how often it was asked and matches the same two only in odd ticks",
        Ending::Contained,
        "(call $column (i32.const 0) (i32.const 1152) (i32.const 0)) (call $column (i32.const 1) (i32.const 1160) (i32.const 0))
         (call $column (i32.const 2) (i32.const 1168) (i32.const 0)) (call $column (i32.const 3) (i32.const 1172) (i32.const 0))
         (call $column (i32.const 5) (i32.const 1176) (i32.const 0)) (call $column (i32.const 6) (i32.const 1184) (i32.const 0))
         (if (i32.and (global.get $calls) (i32.const 1)) (then (call $match (i32.const 0) (i32.const 1))))",
    ),
];
