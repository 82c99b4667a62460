//! Small components written by hand in WebAssembly text: each does what the contract asks, except where a test replaces a function.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Replaceable parts of a rating engine. The bodies see `$log`, `$ok_two` (a good answer of `rate` for two entrants) and memory.
pub struct Rater {
    pub imports: &'static str,
    pub pages: u32,
    pub describe: &'static str,
    pub configure: &'static str,
    pub initial: &'static str,
    pub rate: &'static str,
    pub predict: &'static str,
    pub visible: &'static str,
    pub extra: &'static str,
}

impl Default for Rater {
    fn default() -> Self {
        Self {
            imports: "",
            pages: 2,
            describe: "(i32.const 128)",
            configure: "(i32.const 192)",
            initial: "(i32.const 256)",
            rate: "(global.get $ok_two)",
            predict: "(i32.const 448)",
            visible: "(local.get 0)",
            extra: "",
        }
    }
}

/// Layout of the first page: texts from 16, description at 128, good result of `configure` at 192, rating 25 +- 8 at 256, two of them at
/// 320 and 344, good result of `rate` at 384, prediction 0.5 at 440 and its result at 448, a bad result of `configure` at 512, free from
/// 4096.
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

const SHARED: &str = r#"
    (global $next (mut i32) (i32.const 4096))
    (global $ok_two i32 (i32.const 384))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
        (global.set $next (i32.add (local.get $at) (local.get 3)))
        (local.get $at))
"#;

impl Rater {
    pub fn component(&self) -> Vec<u8> {
        self.component_for(&contract(), "rating")
    }

    /// The same functions under another contract text and world.
    pub fn component_for(&self, contract: &str, world: &str) -> Vec<u8> {
        encode(&self.module(), contract, world)
    }

    fn built_for(&self, version: &str) -> Vec<u8> {
        let renamed = |text: &str| text.replace("@1.0.0", version);
        encode(&renamed(&self.module()), &renamed(&contract()), "rating")
    }

    fn module(&self) -> String {
        let Self { imports, pages, describe, configure, initial, rate, predict, visible, extra } = self;
        format!(
            r#"(module
                (import "ranked:plugin/log@1.0.0" "log" (func $log (param i32 i32 i32)))
                {imports}
                (memory (export "memory") {pages})
                {MEMORY} {SHARED} {extra}
                (func (export "ranked:plugin/lifecycle@1.0.0#describe") (result i32) {describe})
                (func (export "ranked:plugin/lifecycle@1.0.0#configure") (param i32) (result i32) {configure})
                (func (export "ranked:plugin/rating-engine@1.0.0#initial") (result i32) {initial})
                (func (export "ranked:plugin/rating-engine@1.0.0#rate") (param i32) (result i32) {rate})
                (func (export "ranked:plugin/rating-engine@1.0.0#predict")
                    (param i32 i32 i32 i32 i64 i32 i32 i32 i32 i32 i32) (result i32) {predict})
                (func (export "ranked:plugin/rating-engine@1.0.0#soften") (param f64 f64 i32 i32 f64) (result i32) (i32.const 256))
                (func (export "ranked:plugin/rating-engine@1.0.0#visible") (param f64 f64 i32 i32) (result f64) {visible}))"#
        )
    }
}

/// A policy whose `propose` has this body; 4096 zero bytes at 1024 make an empty answer.
pub fn policy(propose: &str) -> Vec<u8> {
    let module = format!(
        r#"(module
            (memory (export "memory") 2)
            {MEMORY} {SHARED}
            (global $calls (mut i32) (i32.const 0))
            (func (export "ranked:plugin/lifecycle@1.0.0#describe") (result i32) (i32.const 128))
            (func (export "ranked:plugin/lifecycle@1.0.0#configure") (param i32) (result i32) (i32.const 192))
            (func (export "ranked:plugin/matchmaking-policy@1.0.0#propose") (param i32) (result i32) {propose}))"#
    );
    encode(&module, &contract(), "policy")
}

/// Text of the plugin contract.
pub fn contract() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit/v1/ranked.wit")).unwrap()
}

/// A good engine, except that it was built for another version of the contract.
pub fn of_contract_version(version: &str) -> Vec<u8> {
    let version = format!("@{version}");
    Rater::default().built_for(&version)
}

fn encode(module: &str, contract: &str, world: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let mut package = None;
    for text in contract.split("// next package") {
        package = Some(resolve.push_str("contract.wit", text).unwrap());
    }
    let package = package.unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let mut module = wat::parse_str(module).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
}
