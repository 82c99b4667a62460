//! Generates the message types from `proto/ranked/v1`, without an installed `protoc`.

fn main() {
    let files = ["proto/ranked/v1/s2s.proto", "proto/ranked/v1/rdv.proto"];
    println!("cargo::rerun-if-changed=proto");
    let descriptors = match protox::compile(files, ["proto"]) {
        Ok(descriptors) => descriptors,
        Err(error) => panic!("the message schema does not compile: {error}"),
    };
    if let Err(error) = prost_build::Config::new().compile_fds(descriptors) {
        panic!("no code for the message schema: {error}");
    }
}
