//! Random calls over bad networks: the invariants hold for every seed.

use sim::{random_calls, restored};

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
        let whole = random_calls(seed);
        for step in [40, 200 + seed % 700, 900 + seed * 7 % 600] {
            assert_eq!(restored(seed, step), whole, "seed {seed}, restored at step {step}");
        }
    }
}
