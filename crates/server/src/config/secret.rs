//! Passwords and tokens: in the file itself, in a file of their own, or in the environment.

use std::path::Path;

use base::Redacted;

use super::reader::{At, Section, Sink};

/// Shortest password taken, in characters.
pub(super) const PASSWORD_MIN: usize = 8;
/// Longest password taken, in bytes.
pub(super) const PASSWORD_MAX: usize = 256;

/// Fewest and most characters of a bearer token.
const TOKEN: std::ops::RangeInclusive<usize> = api::TOKEN_MIN..=api::TOKEN_MAX;

/// Reads `password`, `password_file` or `password_env`, exactly one of which must be there.
pub(super) fn password(
    section: &mut Section<'_>,
    sink: &Sink,
    directory: &Path,
) -> Redacted<String> {
    let keys = ["password", "password_file", "password_env"];
    let Some(At { value, span }) = secret(section, directory, keys) else {
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

/// Reads `token`, `token_file` or `token_env`, exactly one of which must be there.
pub(super) fn token(section: &mut Section<'_>, sink: &Sink, directory: &Path) -> Redacted<String> {
    let keys = ["token", "token_file", "token_env"];
    let Some(At { value, span }) = secret(section, directory, keys) else {
        return Redacted::default();
    };
    // RFC 6750 §2.1: b64token.
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if !TOKEN.contains(&value.len()) || !value.bytes().all(fits) {
        let (least, most) = (TOKEN.start(), TOKEN.end());
        let reason = format!("a token has {least} to {most} letters, digits or any of -._~+/=");
        sink.problem(&span, reason);
    }
    Redacted::new(value)
}

/// Reads a secret by one of three keys: the value, a file with it, a variable with it.
fn secret(
    section: &mut Section<'_>,
    directory: &Path,
    keys: [&'static str; 3],
) -> Option<At<String>> {
    let inline = section.text(keys[0]);
    let file = section.parsed(keys[1], |name| {
        let path = directory.join(name);
        let text = std::fs::read_to_string(&path);
        let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
        // An editor's line break at the end is not part of it.
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    });
    let environment = section.parsed(keys[2], |name| {
        std::env::var(name).map_err(|_| format!("the environment has no {name}"))
    });
    if keys.iter().filter(|key| section.has(key)).count() != 1 {
        let [value, file, environment] = keys;
        let reason = format!("needs exactly one of `{value}`, `{file}` and `{environment}`");
        section.problem(reason);
    }
    inline.or(file).or(environment)
}
