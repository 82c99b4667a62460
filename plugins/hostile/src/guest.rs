//! Small components in WebAssembly text: each keeps the contract, except where a caller replaces the body of a function.
//!
//! They are made for a queue of one against one: a [`Rater`] answers with two ratings, a [`Policy`] proposes two queue tickets.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Text of the plugin contract.
pub const CONTRACT: &str = include_str!("../../../wit/v1/ranked.wit");

/// Layout of the first page: texts from 16, description at 128, good result of `configure` at 192, rating 25 +- 8 at 256, two of them at
/// 320 and 344, good result of `rate` at 384, prediction 0.5 at 440 and its result at 448, a bad result of `configure` at 512 with its
/// problem at 640, zeros from 1024 (empty lists) to 4096, free from there.
const MEMORY: &str = r#"
    (data (i32.const 16) "hostile")
    (data (i32.const 32) "1.0.0")
    (data (i32.const 40) "{}")
    (data (i32.const 48) "the tail\1b[2J wagged the dog")
    (data (i32.const 96) "beta")
    (data (i32.const 104) "must be above 0")
    (data (i32.const 128) "\10\00\00\00\07\00\00\00\20\00\00\00\05\00\00\00\28\00\00\00\02\00\00\00")
    (data (i32.const 256) "\00\00\00\00\00\00\39\40\00\00\00\00\00\00\20\40")
    (data (i32.const 320) "\00\00\00\00\00\00\39\40\00\00\00\00\00\00\20\40\00\00\00\00\00\00\00\00")
    (data (i32.const 344) "\00\00\00\00\00\00\39\40\00\00\00\00\00\00\20\40\00\00\00\00\00\00\00\00")
    (data (i32.const 384) "\00\00\00\00\40\01\00\00\02\00\00\00")
    (data (i32.const 440) "\00\00\00\00\00\00\e0\3f")
    (data (i32.const 448) "\00\00\00\00\b8\01\00\00\01\00\00\00")
    (data (i32.const 512) "\01\00\00\00\80\02\00\00\01\00\00\00")
    (data (i32.const 640) "\60\00\00\00\04\00\00\00\68\00\00\00\0f\00\00\00")
"#;

/// Bumps, and starts again with every call of a policy, whose instance is kept.
const REALLOC: &str = "(local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.set $next (i32.add (local.get $at) (local.get 3)))
    (local.get $at)";

/// What every role shares, as bodies of functions. They see `$log` and memory.
#[derive(Clone, Copy, Debug)]
pub struct Base {
    /// More imports.
    pub imports: &'static str,
    /// Initial size of memory, in pages of 64 KiB.
    pub pages: u32,
    /// Body of `describe`: the address of a description.
    pub describe: &'static str,
    /// Body of `configure`: the address of a result.
    pub configure: &'static str,
    /// Body of the allocator through which the host writes arguments.
    pub realloc: &'static str,
    /// Further fields of the module.
    pub extra: &'static str,
}

impl Base {
    /// Keeps the contract.
    pub const SOUND: Self =
        Self { imports: "", pages: 2, describe: "(i32.const 128)", configure: "(i32.const 192)", realloc: REALLOC, extra: "" };

    fn module(&self, functions: &str) -> String {
        let Self { imports, pages, describe, configure, realloc, extra } = self;
        format!(
            r#"(module
                (import "ranked:plugin/log@1.0.0" "log" (func $log (param i32 i32 i32)))
                {imports}
                (memory (export "memory") {pages})
                {MEMORY}
                (global $next (mut i32) (i32.const 4096))
                (global $ok_two i32 (i32.const 384))
                (global $calls (mut i32) (i32.const 0))
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {realloc})
                {extra}
                (func (export "ranked:plugin/lifecycle@1.0.0#describe") (result i32) {describe})
                (func (export "ranked:plugin/lifecycle@1.0.0#configure") (param i32) (result i32) {configure})
                {functions})"#
        )
    }
}

/// A rating engine that answers every contest with the same two ratings. Bodies see `$ok_two`, the address of that answer.
#[derive(Clone, Copy, Debug)]
pub struct Rater {
    /// What every role shares.
    pub base: Base,
    /// Body of `initial`: the address of a rating.
    pub initial: &'static str,
    /// Body of `rate`: from the address of the arguments to that of a result.
    pub rate: &'static str,
    /// Body of `predict`: the address of a result.
    pub predict: &'static str,
    /// Body of `visible`: from the mean to what people see.
    pub visible: &'static str,
}

impl Rater {
    /// Keeps the contract.
    pub const SOUND: Self = Self {
        base: Base::SOUND,
        initial: "(i32.const 256)",
        rate: "(global.get $ok_two)",
        predict: "(i32.const 448)",
        visible: "(local.get 0)",
    };

    /// Sound but for `rate`.
    #[must_use]
    pub const fn rating(rate: &'static str) -> Self {
        Self { rate, ..Self::SOUND }
    }

    /// The component.
    #[must_use]
    pub fn component(&self) -> Vec<u8> {
        encode(&self.module(), &[CONTRACT], "rating")
    }

    /// The same functions under these contract texts, the last of which has `world`.
    #[must_use]
    pub fn component_for(&self, contracts: &[&str], world: &str) -> Vec<u8> {
        encode(&self.module(), contracts, world)
    }

    /// The same functions, built for another version of the contract, such as `2.0.0`.
    #[must_use]
    pub fn component_of_version(&self, version: &str) -> Vec<u8> {
        let renamed = |text: &str| text.replace("@1.0.0", &format!("@{version}"));
        encode(&renamed(&self.module()), &[&renamed(CONTRACT)], "rating")
    }

    fn module(&self) -> String {
        let Self { base, initial, rate, predict, visible } = self;
        base.module(&format!(
            r#"
                (func (export "ranked:plugin/rating-engine@1.0.0#initial") (result i32) {initial})
                (func (export "ranked:plugin/rating-engine@1.0.0#rate") (param i32) (result i32) {rate})
                (func (export "ranked:plugin/rating-engine@1.0.0#predict")
                    (param i32 i32 i32 i32 i64 i32 i32 i32 i32 i32 i32) (result i32) {predict})
                (func (export "ranked:plugin/rating-engine@1.0.0#soften") (param f64 f64 i32 i32 f64) (result i32) (i32.const 256))
                (func (export "ranked:plugin/rating-engine@1.0.0#visible") (param f64 f64 i32 i32) (result f64) {visible})"#
        ))
    }
}

/// Stat rules without bounds and without findings.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// What every role shares.
    pub base: Base,
    /// Body of `bounds`: the address of a list.
    pub bounds: &'static str,
    /// Body of `review`: the address of a verdict.
    pub review: &'static str,
}

impl Rules {
    /// Keeps the contract.
    pub const SOUND: Self = Self { base: Base::SOUND, bounds: "(i32.const 1024)", review: "(i32.const 1024)" };

    /// Sound but for `review`.
    #[must_use]
    pub const fn reviewing(review: &'static str) -> Self {
        Self { review, ..Self::SOUND }
    }

    /// The component.
    #[must_use]
    pub fn component(&self) -> Vec<u8> {
        let Self { base, bounds, review } = self;
        let functions = format!(
            r#"
                (func (export "ranked:plugin/stat-rules@1.0.0#bounds") (result i32) {bounds})
                (func (export "ranked:plugin/stat-rules@1.0.0#review")
                    (param i32 i32 i32 i32 i32 i32 i32 i32 f64 f64) (result i32) {review})"#
        );
        encode(&base.module(&functions), &[CONTRACT], "rules")
    }
}

/// A matchmaking policy that proposes nothing. Its body sees `$match`, which makes one match of two queue tickets; `$calls` counts the
/// calls of this instance, this one included. The answer stands at 1024; its columns follow from 1152 and its zeros (limits) from 2048.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// What every role shares.
    pub base: Base,
    /// Statements that run before the answer is handed over.
    pub propose: &'static str,
}

impl Policy {
    /// Keeps the contract.
    pub const SOUND: Self = Self { base: Base::SOUND, propose: "" };

    /// Sound but for `propose`.
    #[must_use]
    pub const fn proposing(propose: &'static str) -> Self {
        Self { propose, ..Self::SOUND }
    }

    /// The component.
    #[must_use]
    pub fn component(&self) -> Vec<u8> {
        self.component_for("policy")
    }

    /// The same functions under another world of the contract.
    #[must_use]
    pub fn component_for(&self, world: &str) -> Vec<u8> {
        let Self { base, propose } = self;
        let functions = format!(
            r#"
                (func $match (param $first i32) (param $second i32)
                    (i32.store (i32.const 1152) (local.get $first)) (i32.store (i32.const 1156) (local.get $second))
                    (i32.store (i32.const 1160) (i32.const 1)) (i32.store (i32.const 1164) (i32.const 2))
                    (i32.store (i32.const 1168) (i32.const 2)) (i32.store16 (i32.const 1172) (i32.const 0))
                    (f64.store (i32.const 1176) (f64.const 0.5)) (i32.store (i32.const 1184) (i32.const -1))
                    (call $column (i32.const 0) (i32.const 1152) (i32.const 2)) (call $column (i32.const 1) (i32.const 1160) (i32.const 2))
                    (call $column (i32.const 2) (i32.const 1168) (i32.const 1)) (call $column (i32.const 3) (i32.const 1172) (i32.const 1))
                    (call $column (i32.const 5) (i32.const 1176) (i32.const 1)) (call $column (i32.const 6) (i32.const 1184) (i32.const 1)))
                (func $column (param $index i32) (param $at i32) (param $len i32)
                    (i32.store offset=1024 (i32.mul (local.get $index) (i32.const 8)) (local.get $at))
                    (i32.store offset=1028 (i32.mul (local.get $index) (i32.const 8)) (local.get $len)))
                (func (export "ranked:plugin/matchmaking-policy@1.0.0#propose") (param $pool i32) (result i32)
                    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
                    (global.set $next (i32.const 4096))
                    (call $column (i32.const 7) (i32.const 2048) (i32.load offset=28 (local.get $pool)))
                    {propose}
                    (i32.const 1024))"#
        );
        encode(&base.module(&functions), &[CONTRACT], world)
    }
}

fn encode(module: &str, contracts: &[&str], world: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let packages = contracts.iter().map(|text| resolve.push_str("contract.wit", text).expect("the contract parses"));
    let package = packages.last().expect("there is a contract");
    let world = resolve.select_world(&[package], Some(world)).expect("the contract has this world");
    let mut module = wat::parse_str(module).expect("the text is WebAssembly");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("a module takes a section more");
    let encoder = ComponentEncoder::default().module(&module).map(|encoder| encoder.validate(true).encode());
    encoder.expect("the module fits the world").expect("a module with metadata is one step from a component")
}
