//! `[api]`: who may use REST and the event stream, from where, and within which bounds.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use api::{Limits, Role, TokenConfig};
use b2bua::config::Extension;

use super::reader::{Section, Sink};
use super::{secret, values};

/// Where the API listens unless it is said otherwise.
pub(crate) const DEFAULT_ADDRESS: &str = "127.0.0.1:8080";

/// The API.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Api {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Who is let in.
    pub(crate) tokens: Vec<TokenConfig>,
    /// Web pages that may use it.
    pub(crate) origins: Vec<String>,
    /// Whether `/metrics` is shown to everybody.
    pub(crate) public_metrics: bool,
    /// Bounds on connections.
    pub(crate) limits: Limits,
    /// Event streams at once.
    pub(crate) streams_max: usize,
    /// Events that a client may miss.
    pub(crate) events_kept: usize,
}

/// Reads it; `None`: there is no such table, and no API.
pub(super) fn api(
    root: &mut Section<'_>,
    sink: &Sink,
    directory: &Path,
    extensions: &[Extension],
) -> Option<Api> {
    let present = root.has("api");
    let mut section = root.table("api");
    let address = section.parsed("listen", |text| {
        text.parse::<SocketAddr>().map_err(|_| format!("\"{text}\" is not ADDRESS:PORT"))
    });
    let origins = section.texts_parsed("origins", origin).unwrap_or_default();
    let defaults = Limits::default();
    let count = |section: &mut Section<'_>, key, default: usize| {
        values::size(section.number(key, 1..=1_000_000, default as u64))
    };
    let connections_max = count(&mut section, "connections_max", defaults.connections_max);
    let per_address = defaults.connections_per_address_max;
    let limits = Limits {
        connections_max,
        connections_per_address_max: count(
            &mut section,
            "connections_per_address_max",
            per_address,
        ),
        // ATTACKS 6: what is never finished is closed within 32 s.
        head_within: section.seconds("request_timeout_s", 1..=32, 10),
        ..defaults
    };
    let api = Api {
        address: address.map_or_else(default_address, |at| at.value),
        origins: origins.into_iter().map(|at| at.value).collect(),
        public_metrics: section.flag("public_metrics", false),
        limits: Limits { body_within: limits.head_within, ..limits },
        streams_max: count(&mut section, "event_streams_max", 256),
        events_kept: values::size(section.number("events_kept", 1..=100_000, 2_000)),
        tokens: tokens(&mut section, sink, directory, extensions),
    };
    section.finish();
    present.then_some(api)
}

fn default_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8080))
}

/// One page's origin: a wildcard would open the API to every page in the browser of an agent.
fn origin(text: &str) -> Result<String, String> {
    if text == "*" {
        return Err("\"*\" would let in every page: name them".into());
    }
    values::origin(text)
}

fn tokens(
    section: &mut Section<'_>,
    sink: &Sink,
    directory: &Path,
    extensions: &[Extension],
) -> Vec<TokenConfig> {
    let roles = [
        ("agent", Role::Agent),
        ("supervisor", Role::Supervisor),
        ("admin", Role::Admin),
        ("integrator", Role::Integrator),
    ];
    let (mut names, mut secrets) = (BTreeSet::new(), BTreeSet::new());
    let mut tokens = Vec::new();
    for mut table in section.tables("token") {
        let name = table.required_parsed("name", values::name);
        let role = table.word("role", &roles, Role::Agent);
        if !table.has("role") {
            table.problem("`role` is missing in [api.token]");
        }
        let extension = table.text("extension");
        if let Some(at) = &extension
            && !extensions.iter().any(|extension| extension.number == at.value)
        {
            sink.problem(&at.span, format!("`extension` names \"{}\", which is none", at.value));
        }
        if role == Role::Agent && extension.is_none() {
            table.problem("an agent's token needs an `extension`");
        }
        let expires = table.instant("expires");
        let token = secret::token(&mut table, sink, directory);
        if !names.insert(name.value.clone()) {
            sink.problem(&name.span, format!("token {} stands twice", name.value));
        }
        if !secrets.insert(token.reveal().clone()) {
            table.problem("two entries have the same token");
        }
        table.finish();
        let (name, extension) = (name.value, extension.map(|at| at.value));
        tokens.push(TokenConfig { name, token, role, extension, expires });
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read;
    use base::WallTime;

    const HEAD: &str = "[[listen]]\ntransport = 'udp'\naddress = '127.0.0.1:5060'\n\
                        [[extension]]\nnumber = '1001'\npassword = 'long-enough'\n";

    fn of(rest: &str) -> Result<Option<Api>, Vec<String>> {
        let read = read("f", &format!("{HEAD}{rest}"), Path::new("/nonexistent"));
        let told = |problems: Vec<crate::config::Problem>| {
            problems.iter().map(ToString::to_string).collect()
        };
        read.map(|settings| settings.api).map_err(told)
    }

    #[test]
    fn without_its_table_there_is_no_api_and_with_it_the_loopback_only() {
        assert_eq!(of(""), Ok(None));
        let api = of("[api]\n").unwrap().unwrap();
        assert_eq!(api.address.to_string(), DEFAULT_ADDRESS);
        assert!(api.tokens.is_empty() && api.origins.is_empty() && !api.public_metrics);
    }

    #[test]
    fn a_token_has_a_name_a_role_and_an_end() {
        let api = of("[[api.token]]\nname = 'a'\nrole = 'admin'\n\
                      token = 'abcdefghijklmnopqrstuvwxyz'\nexpires = 2027-01-01T01:00:00+01:00\n");
        let token = &api.unwrap().unwrap().tokens[0];
        assert_eq!(token.role, Role::Admin);
        assert_eq!(token.expires, Some(WallTime(1_798_761_600_000)));
    }

    #[test]
    fn each_mistake_is_named_with_its_line() {
        let token = "token = 'abcdefghijklmnopqrstuvwxyz'\n";
        for (rest, expected) in [
            ("[api]\nlisten = 'here'\n".to_owned(), "f:8: `listen`: \"here\" is not ADDRESS:PORT"),
            ("[api]\norigins = ['*']\n".into(), "f:8: `origins`: \"*\" would let in every page"),
            (format!("[[api.token]]\nname = 'a'\n{token}"), "f:7: `role` is missing"),
            (format!("[[api.token]]\nname = 'a'\nrole = 'boss'\n{token}"), "f:7: an agent's token"),
            (
                format!("[[api.token]]\nname = 'a'\nrole = 'agent'\nextension = '7'\n{token}"),
                "f:10: `extension` names \"7\"",
            ),
            (
                "[[api.token]]\nname = 'a'\nrole = 'admin'\n".into(),
                "f:7: needs exactly one of `token`",
            ),
            (
                "[[api.token]]\nname = 'a'\nrole = 'admin'\ntoken = 'short'\n".into(),
                "f:10: a token has 20 to",
            ),
            (
                format!("[[api.token]]\nname = 'a'\nrole = 'admin'\nexpires = 2027-01-01\n{token}"),
                "f:10: `expires` must be a time with an offset",
            ),
        ] {
            let found = of(&rest).unwrap_err();
            assert!(found[0].starts_with(expected), "{rest}\n{found:?}");
        }
    }
}
