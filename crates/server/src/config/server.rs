//! Tables that concern the node: `[server]`, `[log]`, `[tls]`, `[net]`, `[records]`, `[sip]`,
//! `[registrar]`, `[security]`, `[interactions]`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use b2bua::config::{Algorithm, InteractionPolicy, RegistrarConfig, SecurityConfig, SipLimits};
use call::control::OnFailure;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::reader::{Section, Sink};
use super::{Log, Net, Records, Tls, values};

const DAY_S: u64 = 24 * 60 * 60;

/// `[server]`.
pub(super) struct Node {
    pub(super) realm: String,
    pub(super) domains: Vec<String>,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) drain_limit: Duration,
}

pub(super) fn node(mut section: Section<'_>, directory: &Path) -> Node {
    let realm = section.parsed("realm", values::realm);
    let domains = section.texts_parsed("domains", values::host);
    let data_dir = section.parsed("data_dir", |name| Ok(directory.join(name)));
    let drain_limit = section.seconds("drain_limit_s", 0..=DAY_S, 300);
    section.finish();
    Node {
        realm: realm.map_or_else(|| "hookflash".to_owned(), |at| at.value),
        domains: domains.unwrap_or_default().into_iter().map(|at| at.value).collect(),
        data_dir: data_dir.map(|at| at.value),
        drain_limit,
    }
}

pub(super) fn log(mut section: Section<'_>) -> Log {
    let filter = section.parsed("level", |text| {
        let filter = tracing_subscriber::EnvFilter::try_new(text);
        filter.map(|_| text.to_owned()).map_err(|error| error.to_string())
    });
    let log = Log {
        filter: filter.map_or_else(|| "info".to_owned(), |at| at.value),
        json: section.word("format", &[("text", false), ("json", true)], false),
        redact_numbers: section.flag("redact_numbers", true),
        lines_per_second_max: values::count(section.number(
            "lines_per_second_max",
            1..=1_000_000,
            1000,
        )),
    };
    section.finish();
    log
}

pub(super) fn tls(root: &mut Section<'_>, directory: &Path) -> Option<Tls> {
    let present = root.has("tls");
    let mut section = root.table("tls");
    let certificate = section.parsed("certificate", |name| certificates(&directory.join(name)));
    let key = section.parsed("key", |name| {
        let path = directory.join(name);
        let key = PrivateKeyDer::from_pem_file(&path);
        key.map(|_| path.clone()).map_err(|error| format!("{}: {error}", path.display()))
    });
    let client_ca = section.parsed("client_ca", |name| certificates(&directory.join(name)));
    let trusted_ca = section.parsed("trusted_ca", |name| certificates(&directory.join(name)));
    if section.has("certificate") != section.has("key") {
        section.problem("`certificate` and `key` belong together: one of them is missing in [tls]");
    }
    section.finish();
    present.then(|| Tls {
        certificate: certificate.map(|at| at.value),
        key: key.map(|at| at.value),
        client_ca: client_ca.map(|at| at.value),
        trusted_ca: trusted_ca.map(|at| at.value),
    })
}

/// The path again, when at least one certificate can be read from it.
pub(super) fn certificates(path: &Path) -> Result<PathBuf, String> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let found = CertificateDer::pem_file_iter(path).map_err(|error| named(&error))?;
    let found = found.collect::<Result<Vec<_>, _>>().map_err(|error| named(&error))?;
    if found.is_empty() { Err(named(&"holds no certificate")) } else { Ok(path.to_owned()) }
}

pub(super) fn net(mut section: Section<'_>) -> Net {
    let origins = section.texts_parsed("websocket_origins", values::origin).unwrap_or_default();
    let name_servers = section.texts_parsed("name_servers", values::name_server);
    let most = 10_000_000;
    let net = Net {
        connections_max: values::size(section.number("connections_max", 1..=1_000_000, 20_000)),
        connections_per_address_max: values::size(section.number(
            "connections_per_address_max",
            1..=1_000_000,
            32,
        )),
        idle_timeout: section.seconds("idle_timeout_s", 10..=DAY_S, 3700),
        // ATTACKS 6, 7: what is never finished is closed within 32 s, a handshake within 10 s.
        message_timeout: section.seconds("message_timeout_s", 1..=32, 30),
        handshake_timeout: section.seconds("handshake_timeout_s", 1..=30, 10),
        messages_per_second_max: values::count(section.number(
            "messages_per_second_max",
            1..=most,
            100,
        )),
        known_messages_per_second_max: values::count(section.number(
            "known_messages_per_second_max",
            1..=most,
            50_000,
        )),
        websocket_origins: origins.into_iter().map(|at| at.value).collect(),
        name_servers: name_servers.unwrap_or_default().into_iter().map(|at| at.value).collect(),
    };
    section.finish();
    net
}

pub(super) fn records(mut section: Section<'_>) -> Records {
    let file = section.text("file");
    let records = Records {
        file: file.map_or_else(|| "calls.jsonl".into(), |at| at.value.into()),
        rotate_bytes: section.number("rotate_mib", 1..=1_000_000, 100) * 1024 * 1024,
        keep: values::size(section.number("keep", 0..=10_000, 10)),
    };
    section.finish();
    records
}

pub(super) fn memory(mut section: Section<'_>) -> Option<u64> {
    let max_mib = section.number("max_mib", 0..=1_000_000, 0);
    section.finish();
    (max_mib != 0).then_some(max_mib * 1024 * 1024)
}

pub(super) fn sip(mut section: Section<'_>, sink: &Sink) -> SipLimits {
    // RFC 4028 §5: Min-SE is never below 90 s. Session-Expires is recommended at 1800 s (§4).
    let min_se = section.seconds("min_se_s", 90..=DAY_S, 90);
    let session_expires_at = section.number_at("session_expires_s", 90..=DAY_S);
    let session_expires = session_expires_at.as_ref().map_or(1800, |at| at.value);
    if session_expires < min_se.as_secs() {
        let span = session_expires_at.map_or(section.span.clone(), |at| at.span);
        sink.problem(&span, "`session_expires_s` must not be below `min_se_s`");
    }
    let limits = SipLimits {
        t1: Duration::from_millis(section.number("t1_ms", 10..=4000, 500)),
        session_expires: Duration::from_secs(session_expires),
        min_se,
        ring_timeout: section.seconds("ring_timeout_s", 5..=600, 60),
        trunk_timeout: section.seconds("trunk_timeout_s", 1..=32, 3),
        call_limit: section.seconds_or_off("call_limit_s", 10..=7 * DAY_S, 4 * 60 * 60),
        calls_max: values::size(section.number("calls_max", 1..=1_000_000, 2000)),
        calls_per_second_max: values::count(section.number(
            "calls_per_second_max",
            1..=1_000_000,
            1000,
        )),
        redirects_max: values::small(section.number("redirects_max", 0..=10, 3)),
    };
    section.finish();
    limits
}

pub(super) fn interactions(mut section: Section<'_>) -> InteractionPolicy {
    let policies =
        [("recall", OnFailure::Recall), ("requeue", OnFailure::Requeue), ("drop", OnFailure::Drop)];
    let policy = InteractionPolicy {
        events: false, // until somebody listens
        mask_numbers: section.flag("mask_numbers", false),
        on_transfer_failure: section.word("on_transfer_failure", &policies, OnFailure::Recall),
        recording_pause: section.seconds_or_off("recording_pause_s", 5..=DAY_S, 120),
        pickup: section.flag("pickup", true),
    };
    section.finish();
    policy
}

pub(super) fn registrar(mut section: Section<'_>) -> RegistrarConfig {
    let registrar = RegistrarConfig {
        expires_min: section.seconds("expires_min_s", 1..=DAY_S, 60),
        expires_max: section.seconds("expires_max_s", 1..=30 * DAY_S, 3600),
        expires_default: section.seconds("expires_default_s", 1..=30 * DAY_S, 600),
        contacts_max: values::size(section.number("contacts_max", 1..=100, 5)),
        qualify: section.seconds_or_off("qualify_s", 5..=DAY_S, 60),
    };
    let RegistrarConfig { expires_min, expires_default, expires_max, .. } = &registrar;
    if !(expires_min <= expires_default && expires_default <= expires_max) {
        section.problem(
            "`expires_min_s` ≤ `expires_default_s` ≤ `expires_max_s` must hold in [registrar]",
        );
    }
    section.finish();
    registrar
}

pub(super) fn security(mut section: Section<'_>) -> SecurityConfig {
    let security = SecurityConfig {
        guesses_max: values::count(section.number("guesses_max", 1..=1000, 10)),
        ban: section.seconds("ban_s", 1..=30 * DAY_S, 300),
        nonce_lifetime: section.seconds("nonce_lifetime_s", 10..=DAY_S, 300),
        digest_algorithms: section
            .texts_parsed("digest_algorithms", |name| {
                let known = Algorithm::parse(name);
                known.ok_or_else(|| format!("{name:?} is not offered: SHA-256, MD5"))
            })
            .filter(|listed| !listed.is_empty())
            .map_or_else(
                || vec![Algorithm::Sha256, Algorithm::Md5],
                |listed| listed.into_iter().map(|algorithm| algorithm.value).collect(),
            ),
    };
    section.finish();
    security
}
