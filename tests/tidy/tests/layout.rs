//! Where things are, and that the pages which list them are true.

use std::fs;

use tidy::{directories, names, root, sources};

/// What stands at the top of the repository, and nothing else.
const TOP: &[&str] = &[
    ".ci",
    ".gitignore",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "Makefile",
    "README.md",
    "clippy.toml",
    "crates",
    "deny.toml",
    "docker",
    "rustfmt.toml",
    "sipp-scenarios",
    "tests",
];

/// What tools leave there; `.gitignore` names it.
const LEFT: &[&str] = &[".git", "target", "data"];

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn the_top_of_the_repository_is_what_the_readme_says() {
    let found: Vec<_> = names(".").into_iter().filter(|name| !LEFT.contains(&&**name)).collect();
    assert_eq!(found, TOP);
}

#[test]
fn every_crate_and_directory_is_on_the_architecture_page() {
    let page = read("crates/README.md");
    for path in directories("crates") {
        // Crates and their modules: `crates/NAME` and `crates/NAME/src/MODULE`. What stands below a
        // module is told by the module's own page.
        let parts: Vec<_> = path.split('/').collect();
        if let [_, name] | [_, _, "src", name] = parts[..] {
            assert!(page.contains(&format!("{name}/")), "crates/README.md does not know {path}");
        }
    }
    for name in names("tests") {
        assert!(page.contains(&format!("{name}/")), "crates/README.md does not know tests/{name}");
    }
}

#[test]
fn every_sipp_scenario_has_a_row_and_every_row_a_scenario() {
    let page = read("sipp-scenarios/README.md");
    let scenarios = sources("sipp-scenarios", "xml");
    assert!(!scenarios.is_empty());
    for scenario in &scenarios {
        let file = scenario.path.rsplit('/').next().unwrap_or(&scenario.path);
        let is_row = |line: &&str| line.starts_with('|') && line.contains(&format!("`{file}`"));
        assert!(page.lines().any(|line| is_row(&line)), "{file} has no row in the README");
    }
    let named = page.split('`').filter(|word| word.ends_with(".xml") && !word.contains('*'));
    for word in named {
        let known = scenarios.iter().any(|scenario| scenario.path.ends_with(&format!("/{word}")));
        assert!(known, "the README names {word}, which does not exist");
    }
}

/// The last column of the page names the files of tests in which a scenario is played.
#[test]
fn every_sipp_scenario_is_played_where_its_row_says() {
    let page = read("sipp-scenarios/README.md");
    let tests = sources("tests/interop/tests", "rs");
    let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| `")).collect();
    assert!(!rows.is_empty());
    for row in rows {
        let columns: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let (Some(file), Some(column)) = (columns.first(), columns.last()) else { continue };
        let scenario = format!("\"{}\"", file.trim_matches('`').trim_end_matches(".xml"));
        let mut said: Vec<_> = column.split('`').skip(1).step_by(2).collect();
        said.sort_unstable();
        let plays = tests.iter().filter(|test| test.text.contains(&scenario));
        let stem =
            |path: &str| path.rsplit('/').next().unwrap_or(path).trim_end_matches(".rs").to_owned();
        let mut played: Vec<_> = plays.map(|test| stem(&test.path)).collect();
        played.sort_unstable();
        assert_eq!(said, played, "{file}");
    }
}

#[test]
fn the_makefile_has_the_targets_that_the_readme_names() {
    let makefile = read("Makefile");
    for target in ["run", "test", "lint", "bench", "load", "fuzz", "docker"] {
        assert!(makefile.contains(&format!("\n{target}:")), "make {target}");
    }
}

#[test]
fn members_of_the_workspace_inherit_its_lints() {
    for manifest in sources("crates", "toml").iter().chain(&sources("tests", "toml")) {
        if manifest.path.ends_with("Cargo.toml") && !manifest.path.contains("libfuzzer") {
            assert!(manifest.text.contains("[lints]\nworkspace = true"), "{}", manifest.path);
        }
    }
}
