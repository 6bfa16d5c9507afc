//! Habits of the source text.

use tidy::{Source, sources};

const LINES_MAX: usize = 800;

fn rust() -> Vec<Source> {
    let mut all = sources("crates", "rs");
    all.extend(sources("tests", "rs"));
    all
}

#[test]
fn no_file_outgrows_its_page() {
    for Source { path, text } in rust() {
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{path} has {lines} lines, more than {LINES_MAX}");
    }
}

#[test]
fn nothing_is_left_for_later() {
    // Written in two halves, so that this file passes.
    let words = [
        concat!("to", "do!("),
        concat!("unimplem", "ented!("),
        concat!("#[ig", "nore"),
        concat!("FIX", "ME"),
        concat!("TO", "DO"),
        concat!("XX", "X:"),
        concat!("dbg", "!("),
    ];
    for Source { path, text } in rust() {
        for (number, line) in text.lines().enumerate() {
            let found = words.iter().find(|word| line.contains(**word));
            assert!(found.is_none(), "{path}:{}: {line}", number + 1);
        }
    }
}

#[test]
fn rsip_is_known_to_the_message_module_only() {
    for Source { path, text } in rust() {
        let names_it = text.lines().any(|line| {
            let code = line.split("//").next().unwrap_or("");
            code.contains(concat!("rsip", "::")) || code.contains(concat!("extern crate ", "rsip"))
        });
        let inside = path.starts_with("crates/sip/src/message");
        assert!(!names_it || inside, "{path} names rsip: its container stays in sip::message");
    }
}

#[test]
fn code_that_ships_does_not_unwrap() {
    for source in sources("crates", "rs").iter().filter(|source| !source.is_test()) {
        for (number, line) in source.without_tests().lines().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            let wrong = code.contains(".unwrap()") || code.contains(".unwrap_err()");
            assert!(!wrong, "{}:{}: {line}", source.path, number + 1);
        }
    }
}

#[test]
fn every_module_says_what_it_is() {
    for Source { path, text } in sources("crates", "rs") {
        if path.ends_with("/lib.rs") || path.ends_with("/main.rs") || path.ends_with("/mod.rs") {
            assert!(text.starts_with("//!"), "{path} begins with no module documentation");
        }
    }
}
