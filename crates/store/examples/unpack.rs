//! Measures taking in a layer: `cargo run --release --example unpack -- ROOT ARCHIVE [TIMES]`.
//!
//! The archive is read from the page cache as a download would come from memory; each round
//! unpacks it anew into a store of its own, made durable.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measuring tool")]

use std::path::Path;
use std::time::Instant;

use model::Digest;
use model::image::Descriptor;
use store::{Begin, LayerSource, Options, Store};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let bytes = std::fs::read(&arguments[2]).unwrap();
    let times = arguments.get(3).map_or(3, |n| n.parse().unwrap());
    let digest = Digest::sha256(&bytes);
    for round in 0..times {
        // Nothing is removed between rounds: ext4 passes one by one over inodes that were freed
        // in the last minutes, which makes whatever creates files next many times slower
        // (fs/ext4/ialloc.c, recently_deleted).
        let root = Path::new(&arguments[1]).join(round.to_string());
        let store = Store::open(&root, Options::default()).unwrap();
        let lease = store.lease();
        let source = LayerSource {
            blob: Descriptor::new("", digest.clone(), bytes.len() as u64),
            diff_id: None,
            parents: Vec::new(),
        };
        let start = Instant::now();
        let Begin::Wanted(mut ingest) = store.layer_begin(&lease, source).unwrap() else {
            panic!("it is there already")
        };
        for chunk in bytes.chunks(64 * 1024) {
            ingest.write(chunk).unwrap();
        }
        let written = start.elapsed();
        let layer = ingest.finish().unwrap();
        let done = start.elapsed();
        let rate = layer.tar_size as f64 / done.as_secs_f64() / 1e9;
        println!(
            "{} bytes, {} entries: fed {written:.3?}, visible {done:.3?}, {rate:.2} GB/s",
            layer.tar_size, layer.entries
        );
    }
}
