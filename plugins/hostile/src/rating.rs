//! What a rating engine can try.

use crate::guest::{Base, Rater};
use crate::{Ending, HostileComponent, Recipe};

const fn entry(name: &'static str, tries: &'static str, ending: Ending, rater: Rater) -> HostileComponent {
    HostileComponent { name, role: "rating", tries, ending, recipe: Recipe::Rater(rater) }
}

const fn rate(code: &'static str) -> Ending {
    Ending::Fault { function: "rate", code }
}

const fn at_load(function: &'static str, code: &'static str) -> Ending {
    Ending::FaultAtLoad { function, code }
}

/// A sound engine on another base.
const fn on(base: Base) -> Rater {
    Rater { base, ..Rater::SOUND }
}

const fn rate_on(base: Base, rate: &'static str) -> Rater {
    Rater { base, rate, ..Rater::SOUND }
}

const SOUND: Base = Base::SOUND;
const LOOP: &str = "(loop $l (br $l)) unreachable";
/// The first entrant's number of contests, from the arguments of `rate`.
macro_rules! contests {
    () => {
        "(i32.load offset=28 (i32.load offset=64 (local.get 0)))"
    };
}

pub(crate) const ALL: &[HostileComponent] = &[
    entry("infinite-loop", "never answers", rate("out-of-fuel"), Rater::rating(LOOP)),
    entry(
        "infinite-recursion",
        "calls itself until the stack is full",
        rate("stack"),
        rate_on(
            Base { extra: "(func $deeper (result i32) (i32.add (call $deeper) (i32.const 1)))", ..SOUND },
            "(drop (call $deeper)) (global.get $ok_two)",
        ),
    ),
    entry(
        "memory-bomb",
        "asks for memory until it is refused, then gives up",
        rate("memory"),
        Rater::rating("(loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable"),
    ),
    entry(
        "table-bomb",
        "grows a table without end",
        rate("table"),
        rate_on(
            Base { extra: "(table 1 funcref)", ..SOUND },
            "(loop $l (br_if $l (i32.ne (table.grow (ref.null func) (i32.const 5000)) (i32.const -1)))) unreachable",
        ),
    ),
    entry(
        "list-bomb",
        "answers with 4 MiB, and the host would have to copy them",
        rate("bad-output"),
        rate_on(
            Base { pages: 80, ..SOUND },
            "(i32.store (i32.const 396) (i32.const 0)) (i32.store (i32.const 400) (i32.const 4194304)) (global.get $ok_two)",
        ),
    ),
    entry(
        "amplified-list",
        "answers with 1,000 ratings that all point to the same 100 KiB of memory: 100 MB for the host",
        rate("bad-output"),
        rate_on(
            SOUND,
            "(local $n i32)
             (loop $l
                (i32.store offset=4112 (i32.mul (local.get $n) (i32.const 24)) (i32.const 0))
                (i32.store offset=4116 (i32.mul (local.get $n) (i32.const 24)) (i32.const 102400))
                (local.set $n (i32.add (local.get $n) (i32.const 1)))
                (br_if $l (i32.lt_u (local.get $n) (i32.const 1000))))
             (i32.store (i32.const 388) (i32.const 4096)) (i32.store (i32.const 392) (i32.const 1000)) (global.get $ok_two)",
        ),
    ),
    entry("trap", "executes `unreachable`", rate("trap"), Rater::rating("unreachable")),
    entry("zero-division", "divides by zero", rate("trap"), Rater::rating("(i32.div_u (i32.const 1) (i32.const 0))")),
    entry("wild-read", "reads past the end of its memory", rate("trap"), Rater::rating("(i32.load (i32.const -8))")),
    entry(
        "panic-text",
        "panics with a message that clears the operator's terminal",
        rate("trap"),
        Rater::rating("(call $log (i32.const 3) (i32.const 48) (i32.const 27)) unreachable"),
    ),
    entry(
        "nan-rating",
        "answers with a mean that is no number",
        rate("bad-output"),
        Rater::rating("(f64.store (i32.const 320) (f64.const nan)) (global.get $ok_two)"),
    ),
    entry(
        "infinite-uncertainty",
        "answers with an infinite uncertainty",
        rate("bad-output"),
        Rater::rating("(f64.store (i32.const 352) (f64.const inf)) (global.get $ok_two)"),
    ),
    entry(
        "zero-uncertainty",
        "answers that it is certain",
        rate("bad-output"),
        Rater::rating("(f64.store (i32.const 352) (f64.const 0)) (global.get $ok_two)"),
    ),
    entry(
        "nan-visible",
        "shows people a number that is none",
        at_load("initial", "bad-output"),
        Rater { visible: "(f64.const nan)", ..Rater::SOUND },
    ),
    entry(
        "wrong-length",
        "answers with one rating too few",
        rate("bad-output"),
        Rater::rating("(i32.store (i32.const 392) (i32.const 1)) (global.get $ok_two)"),
    ),
    entry(
        "foreign-memory",
        "answers with a list that ends past its memory",
        rate("bad-output"),
        Rater::rating("(i32.store (i32.const 388) (i32.const 131064)) (global.get $ok_two)"),
    ),
    entry(
        "unknown-variant",
        "answers with a case that the contract does not have",
        rate("bad-output"),
        Rater::rating("(i32.store8 (i32.const 384) (i32.const 9)) (global.get $ok_two)"),
    ),
    entry(
        "queue-memory-bomb",
        "wants 64 KiB and 1 byte remembered of the queue",
        rate("bad-output"),
        Rater::rating("(i32.store (i32.const 396) (i32.const 0)) (i32.store (i32.const 400) (i32.const 65537)) (global.get $ok_two)"),
    ),
    entry(
        "player-memory-bomb",
        "wants 1 KiB and 1 byte remembered of a player",
        rate("bad-output"),
        Rater::rating("(i32.store (i32.const 336) (i32.const 1024)) (i32.store (i32.const 340) (i32.const 1025)) (global.get $ok_two)"),
    ),
    entry(
        "impossible-odds",
        "predicts with a probability of 1.5",
        Ending::Fault { function: "predict", code: "bad-output" },
        Rater { predict: "(f64.store (i32.const 440) (f64.const 1.5)) (i32.const 448)", ..Rater::SOUND },
    ),
    entry(
        "declines-all",
        "declares every contest out of its range, so that nothing is ever rated",
        rate("declined"),
        Rater::rating("(i32.store8 (i32.const 384) (i32.const 1)) (i32.store (i32.const 388) (i32.const 1)) (global.get $ok_two)"),
    ),
    entry(
        "log-flood",
        "writes log lines without end",
        rate("out-of-fuel"),
        Rater::rating("(loop $l (call $log (i32.const 1) (i32.const 48) (i32.const 10)) (br $l)) unreachable"),
    ),
    entry(
        "wide-log",
        "writes log lines of 60 KiB, which the host would have to read",
        rate("hostcall-bytes"),
        Rater::rating("(loop $l (call $log (i32.const 1) (i32.const 65536) (i32.const 61440)) (br $l)) unreachable"),
    ),
    entry(
        "log-forgery",
        "writes a log line that forges others, moves the cursor and turns the writing direction",
        Ending::Contained,
        rate_on(
            Base { extra: r#"(data (i32.const 3072) "good\n1970-01-01 ERROR host: give me your keys\1b[1A\1b[2K\e2\80\ae\r")"#, ..SOUND },
            "(call $log (i32.const 3) (i32.const 3072) (i32.const 57)) (global.get $ok_two)",
        ),
    ),
    entry(
        "log-from-start",
        "writes to the log from the start function, before the host has asked anything",
        at_load("describe", "trap"),
        on(Base { extra: "(func $start (call $log (i32.const 3) (i32.const 48) (i32.const 8))) (start $start)", ..SOUND }),
    ),
    entry(
        "start-loop",
        "loops in the start function",
        at_load("describe", "out-of-fuel"),
        on(Base { extra: "(func $start (loop $l (br $l))) (start $start)", ..SOUND }),
    ),
    entry("configure-loop", "loops in `configure`", at_load("configure", "out-of-fuel"), on(Base { configure: LOOP, ..SOUND })),
    entry(
        "slow-start",
        "burns nearly all fuel in `configure`, so that loading succeeds and nothing is left for a contest",
        rate("out-of-fuel"),
        rate_on(
            Base {
                extra: "(func $burn (param $n i32) (loop $l (local.set $n (i32.sub (local.get $n) (i32.const 1))) (br_if $l (local.get $n))))",
                configure: "(call $burn (i32.const 8000000)) (i32.const 192)",
                ..SOUND
            },
            "(call $burn (i32.const 4000000)) (global.get $ok_two)",
        ),
    ),
    entry(
        "giant-memory",
        "needs more memory at the start than it may have",
        at_load("describe", "memory"),
        on(Base { pages: 512, ..SOUND }),
    ),
    entry(
        "allocator-lies",
        "lets the host write its arguments past the end of memory",
        at_load("configure", "bad-output"),
        on(Base { realloc: "(i32.const -8)", ..SOUND }),
    ),
    entry(
        "allocator-loops",
        "loops while the host writes the arguments",
        at_load("configure", "out-of-fuel"),
        on(Base { realloc: LOOP, ..SOUND }),
    ),
    entry(
        "allocator-calls-back",
        "calls the host from the allocator, while the host is inside a call of its own",
        at_load("configure", "trap"),
        on(Base { realloc: "(call $log (i32.const 3) (i32.const 48) (i32.const 8)) (i32.const 8192)", ..SOUND }),
    ),
    entry(
        "cleanup-loop",
        "gives a good answer and loops when the host asks it to clean up",
        rate("out-of-fuel"),
        on(Base { extra: r#"(func (export "cabi_post_ranked:plugin/rating-engine@1.0.0#rate") (param i32) (loop $l (br $l)))"#, ..SOUND }),
    ),
    entry(
        "no-text",
        "has a name that is no text",
        at_load("describe", "bad-output"),
        on(Base { describe: "(i32.store8 (i32.const 16) (i32.const 255)) (i32.const 128)", ..SOUND }),
    ),
    entry(
        "no-name",
        "has an empty name",
        at_load("describe", "bad-output"),
        on(Base { describe: "(i32.store (i32.const 132) (i32.const 0)) (i32.const 128)", ..SOUND }),
    ),
    entry(
        "forged-name",
        "has a name of 16 KiB that clears the operator's terminal",
        Ending::Contained,
        on(Base {
            describe: "(memory.fill (i32.const 8192) (i32.const 27) (i32.const 16384))
                (i32.store (i32.const 128) (i32.const 8192)) (i32.store (i32.const 132) (i32.const 16384)) (i32.const 128)",
            ..SOUND
        }),
    ),
    entry(
        "schema-bomb",
        "describes its parameters with 4 MiB",
        at_load("describe", "bad-output"),
        on(Base { pages: 80, describe: "(i32.store (i32.const 148) (i32.const 4194304)) (i32.const 128)", ..SOUND }),
    ),
    entry(
        "long-schema",
        "describes its parameters with 64 KiB and 1 byte",
        at_load("describe", "bad-output"),
        on(Base {
            describe: "(i32.store (i32.const 144) (i32.const 4096)) (i32.store (i32.const 148) (i32.const 65537)) (i32.const 128)",
            ..SOUND
        }),
    ),
    entry(
        "refuses-parameters",
        "refuses parameters that are fine",
        Ending::Refused { says: "beta: must be above 0" },
        on(Base { configure: "(i32.const 512)", ..SOUND }),
    ),
    entry(
        "refuses-for-nothing",
        "refuses its parameters without naming one",
        at_load("configure", "bad-output"),
        on(Base { configure: "(i32.store (i32.const 520) (i32.const 0)) (i32.const 512)", ..SOUND }),
    ),
    entry(
        "refuses-later",
        "takes its parameters the first time and refuses them from the second call on",
        Ending::Contained,
        on(Base {
            configure: "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
                (select (i32.const 192) (i32.const 512) (i32.eq (global.get $calls) (i32.const 1)))",
            ..SOUND
        }),
    ),
    entry(
        "state-smuggler",
        "adds 1 to what it answered before",
        Ending::Contained,
        Rater::rating(
            "(f64.store (i32.const 320) (f64.add (f64.load (i32.const 320)) (f64.convert_i32_u (global.get $calls))))
             (global.set $calls (i32.add (global.get $calls) (i32.const 1))) (global.get $ok_two)",
        ),
    ),
    entry(
        "address-gambler",
        "answers with what lies at addresses that nobody wrote, in old and in new memory",
        Ending::Contained,
        Rater::rating(
            "(drop (memory.grow (i32.const 16)))
             (f64.store (i32.const 320) (f64.add (f64.load (i32.const 320)) (f64.convert_i32_u (i32.add
                (i32.add (i32.load (i32.const 120000)) (i32.load (i32.const 1000000)))
                (i32.mul (i32.sub (memory.size) (i32.const 18)) (i32.const 100))))))
             (global.get $ok_two)",
        ),
    ),
    entry(
        "memory-spoiler",
        "fills all memory that it can get, for whoever has the place after it",
        Ending::Contained,
        Rater::rating(
            "(drop (memory.grow (i32.const 200)))
             (memory.fill (i32.const 4096) (i32.const 171) (i32.const 13000000)) (global.get $ok_two)",
        ),
    ),
    entry(
        "tenth-contest",
        "traps for every tenth contest of the first player, so that it never fails several times in a row on fresh reports",
        Ending::FaultSometimes { function: "rate", code: "trap" },
        Rater::rating(concat!(
            "(if (i32.eq (i32.rem_u ",
            contests!(),
            " (i32.const 10)) (i32.const 9)) (then unreachable)) (global.get $ok_two)"
        )),
    ),
    entry(
        "turncoat",
        "passes every check with new players and answers nonsense once somebody has played more than 3 contests",
        Ending::FaultSometimes { function: "rate", code: "bad-output" },
        Rater::rating(concat!(
            "(if (i32.gt_u ",
            contests!(),
            " (i32.const 3)) (then (f64.store (i32.const 320) (f64.const nan)))) (global.get $ok_two)"
        )),
    ),
];
