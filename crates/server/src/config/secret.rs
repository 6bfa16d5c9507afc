//! Passwords: in the file itself, in a file of their own, or in the environment.

use std::path::Path;

use base::Redacted;

use super::reader::{At, Section, Sink};

/// Shortest password taken, in characters.
pub(super) const PASSWORD_MIN: usize = 8;
/// Longest password taken, in bytes.
pub(super) const PASSWORD_MAX: usize = 256;

/// Reads `password`, `password_file` or `password_env`, exactly one of which must be there.
pub(super) fn password(
    section: &mut Section<'_>,
    sink: &Sink,
    directory: &Path,
) -> Redacted<String> {
    let inline = section.text("password");
    let file = section.parsed("password_file", |name| {
        let path = directory.join(name);
        let text = std::fs::read_to_string(&path);
        let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
        // An editor's line break at the end is not part of it.
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    });
    let environment = section.parsed("password_env", |name| {
        std::env::var(name).map_err(|_| format!("the environment has no {name}"))
    });
    let keys = ["password", "password_file", "password_env"];
    let given = keys.iter().filter(|key| section.has(key)).count();
    if given != 1 {
        let reason = "needs exactly one of `password`, `password_file` and `password_env`";
        section.problem(reason);
    }
    let Some(At { value, span }) = inline.or(file).or(environment) else {
        return Redacted::default();
    };
    if value.chars().count() < PASSWORD_MIN {
        sink.problem(&span, format!("a password needs at least {PASSWORD_MIN} characters"));
    } else if value.len() > PASSWORD_MAX || value.chars().any(char::is_control) {
        let reason =
            format!("a password has at most {PASSWORD_MAX} bytes and no control characters");
        sink.problem(&span, reason);
    }
    Redacted::new(value)
}
