//! What a sealed and opened record costs, next to the bare cryptography in it.
//!
//! `record` is `Sealer::seal` and then `Opener::check_header` and `open`; `bare` is AES-256-GCM and HMAC-SHA256 over the same bytes, once to
//! protect and once to verify, with keys set up beforehand. Neither allocates per message. The table is in `docs/performance.md`.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../tests/world/mod.rs"]
mod world;

use std::hint::black_box;

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Tag};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hmac::{Hmac, Mac};
use ladder::time::UnixMillis;
use protocol::frame::HEADER_LEN;
use protocol::message::{Channel, MsgType};
use protocol::record::{Opened, Opener, Sealer};
use sha2::Sha256;
use world::{T0, World};

/// Both ends of one direction, with a clock that never reaches the age limit of a key twice in a minute.
struct Pair {
    sealer: Sealer,
    opener: Opener,
    messages: u64,
    buffer: Vec<u8>,
}

impl Pair {
    fn new() -> Self {
        let (server, client, _) = World::new().connect(Channel::S2s);
        let (_, sealer, _) = client.established.split();
        let (_, _, opener) = server.split();
        Self { sealer, opener, messages: 0, buffer: Vec::with_capacity(131_072) }
    }

    fn seal_and_open(&mut self, plaintext: &[u8]) {
        self.messages += 1;
        let now = UnixMillis(T0 + 1000 + self.messages / 16);
        self.buffer.clear();
        self.sealer.seal(MsgType::MatchReport, plaintext, now, &mut self.buffer).unwrap();
        let mut frames = self.buffer.as_mut_slice();
        while let Some((header, rest)) = frames.split_first_chunk_mut::<HEADER_LEN>() {
            let expected = self.opener.check_header(header).unwrap();
            let (payload, rest) = rest.split_at_mut(expected.payload_len());
            match self.opener.open(expected, payload, now).unwrap() {
                Opened::Message { plaintext, .. } => assert!(!black_box(plaintext).is_empty()),
                Opened::KeyUpdate { .. } => {}
                Opened::Close(close) => panic!("{close:?}"),
            }
            frames = rest;
        }
    }
}

/// The primitives, as anybody would call them.
struct Bare {
    cipher: Aes256Gcm,
    mac: Hmac<Sha256>,
    buffer: Vec<u8>,
}

impl Bare {
    fn new() -> Self {
        Self {
            cipher: Aes256Gcm::new(&[1; 32].into()),
            mac: KeyInit::new_from_slice(&[2; 32]).unwrap(),
            buffer: Vec::with_capacity(131_072),
        }
    }

    fn protect_and_verify(&mut self, header: &[u8; 25], nonce: [u8; 12], plaintext: &[u8]) {
        self.buffer.clear();
        self.buffer.extend_from_slice(plaintext);
        let tag = self.cipher.encrypt_inout_detached(&nonce.into(), header, self.buffer.as_mut_slice().into()).unwrap();
        self.buffer.extend_from_slice(&tag);
        let mut mac = self.mac.clone();
        mac.update(header);
        mac.update(&self.buffer);
        let hmac = black_box(mac.finalize().into_bytes());

        let mut mac = self.mac.clone();
        mac.update(header);
        mac.update(&self.buffer);
        mac.verify_slice(&hmac).unwrap();
        let (ciphertext, tag) = self.buffer.split_last_chunk_mut::<16>().unwrap();
        let tag = Tag::from(*tag);
        self.cipher.decrypt_inout_detached(&nonce.into(), header, (&mut *ciphertext).into(), &tag).unwrap();
        black_box(ciphertext);
    }
}

fn seal_and_open(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("seal_and_open");
    for len in [64, 256, 1024, 4096] {
        let plaintext = vec![0x5a; len];
        group.throughput(Throughput::Bytes(len as u64));
        let mut pair = Pair::new();
        group.bench_function(BenchmarkId::new("record", len), |bencher| {
            bencher.iter(|| pair.seal_and_open(black_box(&plaintext)));
        });
        let mut bare = Bare::new();
        group.bench_function(BenchmarkId::new("bare", len), |bencher| {
            bencher.iter(|| bare.protect_and_verify(black_box(&[7; 25]), black_box([9; 12]), black_box(&plaintext)));
        });
    }
    group.finish();
}

criterion_group!(benches, seal_and_open);
criterion_main!(benches);
