//! Random calls over bad networks: the invariants hold for every seed.

use std::collections::BTreeMap;

use sim::{betrayed, census, codes, random_calls, random_verbs, restored, restored_verbs};

/// `SIM_SEEDS`: how many seeds, 200 unless it says otherwise. `SIM_FIRST`: the first of them.
fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Seeds that have failed once: they run for ever.
fn committed() -> impl Iterator<Item = u64> {
    let lines = include_str!("../seeds.txt").lines();
    lines.filter_map(|line| line.split('#').next()?.trim().parse().ok())
}

#[test]
fn every_invariant_holds_whatever_peers_and_network_do() {
    let first = variable("SIM_FIRST", 0);
    for seed in committed().chain(first..first + variable("SIM_SEEDS", 200)) {
        random_calls(seed);
    }
}

#[test]
fn a_run_is_a_function_of_its_seed() {
    assert_eq!(random_calls(3), random_calls(3));
    assert_ne!(random_calls(3), random_calls(4));
}

#[test]
fn a_restored_core_goes_on_as_the_one_before_it_would_have() {
    for seed in 1000..1000 + variable("SIM_SNAPSHOTS", 10) {
        let shares = [5 + seed % 20, 30 + seed * 7 % 20, 55 + seed * 11 % 20];
        let (whole, again) = restored(seed, &shares);
        assert_eq!(again, [whole; 3], "seed {seed}, restored at {shares:?} per cent");
    }
}

/// What the random worlds are for: without it their silence would say nothing.
const MET: &[&str] = &[
    "< 100 INVITE",
    "< 180 INVITE",
    "< 183 INVITE",
    "< 200 INVITE",
    "< 200 INFO",
    "< 200 PRACK",
    "< 200 UPDATE",
    "< 401 INVITE",
    "< 401 REGISTER",
    "< 404 INVITE",
    "< 405 MESSAGE",
    "< 408 INVITE",
    "< 422 INVITE",
    "< 480 INVITE",
    "< 486 INVITE",
    "< 487 INVITE",
    "< 488 INVITE",
    "< 491 INVITE",
    "< 503 INVITE",
    "< ACK",
    "< BYE",
    "< CANCEL",
    "< INVITE",
    "< OPTIONS",
    "< PRACK",
    "< UPDATE",
    "> 200 CANCEL",
    "> 302 INVITE",
    "> 401 BYE",
    "> 401 INVITE",
    "> 422 INVITE",
    "> 481 BYE",
    "> 487 INVITE",
    "> 491 INVITE",
    "> 503 INVITE",
    "> BYE",
    "> CANCEL",
    "> INVITE",
    "> OPTIONS",
    "> PRACK",
    "> REGISTER",
    "> UPDATE",
];

#[test]
fn the_random_worlds_meet_what_they_are_for() {
    let mut seen = BTreeMap::new();
    for seed in 0..40 {
        for (kind, count) in census(seed) {
            *seen.entry(kind).or_insert(0) += count;
        }
    }
    let missing: Vec<_> = MET.iter().filter(|kind| !seen.contains_key(**kind)).collect();
    assert!(missing.is_empty(), "{missing:?} of {seen:#?}");
}

#[test]
fn every_verb_of_the_api_is_answered_and_keeps_the_invariants() {
    let first = variable("SIM_FIRST", 0);
    for seed in first..first + variable("SIM_VERB_SEEDS", 100) {
        random_verbs(seed);
    }
}

#[test]
fn a_restored_core_goes_on_with_verbs_of_the_api() {
    for seed in 2000..2000 + variable("SIM_SNAPSHOTS", 5) {
        let shares = [10 + seed % 20, 35 + seed * 7 % 20, 60 + seed * 11 % 20];
        let (whole, again) = restored_verbs(seed, &shares);
        assert_eq!(again, [whole; 3], "seed {seed}, restored at {shares:?} per cent");
    }
}

#[test]
fn the_random_worlds_dial_codes_that_do_something() {
    let (done, refused) = (0..10)
        .map(codes)
        .fold((0, 0), |(all, none), (done, refused)| (all + done, none + refused));
    assert!(done > 0 && refused > 0, "{done} done, {refused} refused");
}

#[test]
fn a_healthy_call_that_the_server_ends_is_a_fault() {
    let mut noticed = 0;
    for seed in 0..12 {
        let result = std::panic::catch_unwind(|| betrayed(seed));
        match result {
            Ok(is_betrayed) => assert!(!is_betrayed, "seed {seed}: not noticed"),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                assert!(text.contains("ended by us for nothing"), "seed {seed}: {text}");
                noticed += 1;
            }
        }
    }
    assert!(noticed > 6, "{noticed} of 12");
}
