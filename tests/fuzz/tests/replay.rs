//! Every committed input under every target: what was found once stays fixed, and what one target
//! is fed may trip another.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::panic;

use fuzz::{TARGETS, corpus};

/// All committed inputs together, bytes.
const CORPUS_MAX: usize = 1 << 20;

#[test]
fn the_corpus_finds_nothing() {
    let mut failed = Vec::new();
    for seeded in TARGETS {
        for (path, bytes) in corpus::inputs(seeded.name).unwrap() {
            let targets =
                TARGETS.iter().filter(|target| target.name == seeded.name || !target.script);
            for target in targets {
                if panic::catch_unwind(|| (target.run)(&bytes)).is_err() {
                    failed.push((target.name, path.clone()));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn every_target_has_a_corpus_and_it_is_small() {
    let mut total = 0;
    for target in TARGETS {
        let own = corpus::directories(target.name).remove(0);
        let files =
            std::fs::read_dir(&own).unwrap().map(|entry| entry.unwrap().metadata().unwrap());
        let sizes: Vec<_> = files.map(|file| file.len() as usize).collect();
        assert!(!sizes.is_empty(), "{}", target.name);
        total += sizes.iter().sum::<usize>();
    }
    assert!(total < CORPUS_MAX, "{total} bytes");
}

#[test]
fn every_target_has_its_libfuzzer_binary() {
    let manifest = include_str!("../libfuzzer/Cargo.toml");
    for target in TARGETS {
        assert!(manifest.contains(&format!("name = \"{}\"\n", target.name)), "{}", target.name);
    }
}
