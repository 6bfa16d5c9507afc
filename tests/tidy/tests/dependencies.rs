//! The dependency table of crates/README.md against `cargo metadata`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;
use tidy::root;

/// Crates of ours that each crate may use: arrows only downward.
const ALLOWED: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("sip", &["base"]),
    ("sdp", &["base"]),
    ("media", &["base"]),
    ("call", &["base"]),
    ("b2bua", &["base", "sip", "sdp", "media", "call"]),
    ("sip-net", &["b2bua", "base", "sip"]),
    ("media-net", &["b2bua", "base", "media"]),
    ("store", &["b2bua", "base", "call", "sip"]),
    ("api", &["b2bua", "base", "call", "media"]),
    (
        "server",
        &["api", "b2bua", "base", "call", "media", "media-net", "sdp", "sip", "sip-net", "store"],
    ),
];

const PURE: &[&str] = &["base", "sip", "sdp", "media", "call", "b2bua"];

/// What no pure crate names itself: input/output, chance, the operating system.
const IMPURE: &[&str] = &[
    "dashmap",
    "getrandom",
    "hickory-resolver",
    "libc",
    "mio",
    "nix",
    "rand",
    "rusqlite",
    "socket2",
    "tokio",
    "tokio-rustls",
    "tokio-tungstenite",
];

/// What no pure crate reaches even through others.
const IMPURE_FAR: &[&str] = &["dashmap", "mio", "socket2", "tokio"];

fn metadata(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline"])
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Direct dependencies of each member, those of tests left out.
fn direct() -> BTreeMap<String, BTreeSet<String>> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    metadata(&["--no-deps"])["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            let normal = package["dependencies"].as_array().unwrap().iter();
            let normal = normal.filter(|dependency| dependency["kind"].is_null());
            (text(&package["name"]), normal.map(|dependency| text(&dependency["name"])).collect())
        })
        .collect()
}

#[test]
fn arrows_between_our_crates_go_downward_only() {
    let direct = direct();
    for (name, allowed) in ALLOWED {
        let used = direct.get(*name).unwrap_or_else(|| panic!("no crate {name}"));
        let ours = ALLOWED.iter().map(|(name, _)| *name).filter(|name| used.contains(*name));
        let wrong: Vec<_> = ours.filter(|name| !allowed.contains(name)).collect();
        assert!(wrong.is_empty(), "{name} must not use {wrong:?}");
    }
}

#[test]
fn every_crate_has_a_row_in_the_table() {
    let known: Vec<_> = ALLOWED.iter().map(|(name, _)| (*name).to_owned()).collect();
    for name in tidy::names("crates").iter().filter(|name| !name.ends_with(".md")) {
        assert!(known.contains(name), "crates/{name} is missing here and in crates/README.md");
    }
}

#[test]
fn pure_crates_name_no_input_output_and_no_chance() {
    let direct = direct();
    for name in PURE {
        let wrong: Vec<_> = IMPURE.iter().filter(|bad| direct[*name].contains(**bad)).collect();
        assert!(wrong.is_empty(), "{name} is pure and must not use {wrong:?}");
    }
}

#[test]
fn pure_crates_reach_no_runtime_through_others() {
    let graph = metadata(&["--filter-platform", "x86_64-unknown-linux-gnu"]);
    let nodes = graph["resolve"]["nodes"].as_array().unwrap();
    let name_of = |id: &str| {
        let packages = graph["packages"].as_array().unwrap();
        let package = packages.iter().find(|package| package["id"] == id).unwrap();
        package["name"].as_str().unwrap().to_owned()
    };
    for name in PURE {
        let mut open: Vec<&str> = nodes
            .iter()
            .map(|node| node["id"].as_str().unwrap())
            .filter(|id| name_of(id) == *name)
            .collect();
        let mut reached = BTreeSet::new();
        while let Some(id) = open.pop() {
            if !reached.insert(id) {
                continue;
            }
            let node = nodes.iter().find(|node| node["id"] == id).unwrap();
            for dependency in node["deps"].as_array().unwrap() {
                let kinds = dependency["dep_kinds"].as_array().unwrap();
                if kinds.iter().any(|kind| kind["kind"].is_null()) {
                    open.push(dependency["pkg"].as_str().unwrap());
                }
            }
        }
        let reached: BTreeSet<_> = reached.into_iter().map(name_of).collect();
        let wrong: Vec<_> = IMPURE_FAR.iter().filter(|bad| reached.contains(**bad)).collect();
        assert!(wrong.is_empty(), "{name} is pure but reaches {wrong:?}");
    }
}

#[test]
fn pure_crates_have_their_fence() {
    for name in PURE {
        let path = root().join("crates").join(name).join("clippy.toml");
        let fence = std::fs::read_to_string(&path).unwrap_or_default();
        for forbidden in [
            "std::time::Instant::now",
            "std::time::SystemTime::now",
            "std::thread::spawn",
            "std::collections::HashMap",
            "std::collections::HashSet",
            "std::net::UdpSocket",
            "std::net::TcpStream",
        ] {
            assert!(fence.contains(forbidden), "{} lacks {forbidden}", path.display());
        }
    }
}
