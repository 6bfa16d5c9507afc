//! `[[trunk]]`.

use std::path::{Path, PathBuf};

use b2bua::config::{
    CallerIdStyle, DtmfForm, Network, NoiseChoice, NumberRules, PlusRule, PrefixRule, SrtpPolicy,
    Trunk, TrunkCredentials,
};
use media::denoise::DenoiseSettings;

use super::listen::codecs;
use super::reader::{At, Section, Sink};
use super::secret::password;
use super::{server, values};

/// Most trunks.
pub(super) const TRUNKS_MAX: usize = 1000;
/// Most targets, networks, rules or headers of one trunk.
const LIST_MAX: usize = 256;
const DAY_S: u64 = 24 * 60 * 60;

/// What the listeners allow a trunk to ask for.
#[derive(Clone, Copy)]
pub(super) struct Offered {
    /// TLS listeners ask for client certificates.
    pub(super) client_certificates: bool,
}

/// One trunk, with the line of each of its networks for the comparison with other trunks.
pub(super) struct ReadTrunk {
    pub(super) trunk: At<Trunk>,
    pub(super) networks: Vec<At<Network>>,
    /// Whether it says where its calls go, right or wrong.
    pub(super) has_targets: bool,
    /// Authorities for TLS connections to its targets.
    pub(super) trusted_ca: Option<PathBuf>,
}

pub(super) fn trunk(
    mut section: Section<'_>,
    sink: &Sink,
    directory: &Path,
    offered: Offered,
) -> ReadTrunk {
    let name = section.required_parsed("name", values::name);
    let targets = section.texts_parsed("targets", values::target).unwrap_or_default();
    let networks = section.texts_parsed("networks", values::network).unwrap_or_default();
    let tls_name = section.parsed("tls_name", values::host);
    let pass_headers = section.texts_parsed("pass_headers", values::header).unwrap_or_default();
    for (key, len) in [
        ("targets", targets.len()),
        ("networks", networks.len()),
        ("pass_headers", pass_headers.len()),
    ] {
        if len > LIST_MAX {
            section.problem(format!("`{key}` has more than {LIST_MAX} entries"));
        }
    }
    let trusted_ca =
        section.parsed("trusted_ca", |name| server::certificates(&directory.join(name)));
    let register = section.seconds_or_off("register_s", 30..=DAY_S, 0);
    let trunk = Trunk {
        name: name.value,
        targets: targets.into_iter().map(|at| at.value).collect(),
        networks: networks.iter().map(|at| at.value).collect(),
        tls_name: tls_name.map(|at| at.value),
        credentials: credentials(&mut section, "credentials", sink, directory),
        inbound_credentials: credentials(&mut section, "inbound_credentials", sink, directory),
        register,
        options_interval: section.seconds_or_off("options_interval_s", 5..=DAY_S, 30),
        codecs: codecs(&mut section),
        pass_headers: pass_headers.into_iter().map(|at| at.value).collect(),
        outbound_numbers: numbers(&mut section, "outbound_numbers"),
        inbound_numbers: numbers(&mut section, "inbound_numbers"),
        caller_id: section.word("caller_id", CALLER_ID, CallerIdStyle::From),
        calls_max: values::size(section.number("calls_max", 1..=1_000_000, 100)),
        calls_per_second_max: values::count(section.number(
            "calls_per_second_max",
            1..=1_000_000,
            10,
        )),
        follow_redirects: section.flag("follow_redirects", true),
        noise_removal: noise(&mut section, "noise_removal", "noise_attenuation_db"),
        srtp: section.word("srtp", SRTP, SrtpPolicy::Auto),
        dtmf: section.word("dtmf", DTMF, DtmfForm::Auto),
    };
    consistent(&trunk, &section, offered);
    let (span, has_targets) = (section.span.clone(), section.has_items("targets"));
    section.finish();
    ReadTrunk {
        trunk: At::new(trunk, span),
        networks,
        has_targets,
        trusted_ca: trusted_ca.map(|at| at.value),
    }
}

/// How audio is protected.
pub(super) const SRTP: &[(&str, SrtpPolicy)] = &[
    ("auto", SrtpPolicy::Auto),
    ("required", SrtpPolicy::Required),
    ("dtls", SrtpPolicy::Dtls),
    ("off", SrtpPolicy::Off),
];

/// How pressed keys are told.
pub(super) const DTMF: &[(&str, DtmfForm)] = &[
    ("auto", DtmfForm::Auto),
    ("rfc4733", DtmfForm::Rfc4733),
    ("info", DtmfForm::Info),
    ("info-plain", DtmfForm::InfoPlain),
    ("inband", DtmfForm::InBand),
];

const CALLER_ID: &[(&str, CallerIdStyle)] =
    &[("from", CallerIdStyle::From), ("p-asserted-identity", CallerIdStyle::PAssertedIdentity)];

/// What one key says against another.
fn consistent(trunk: &Trunk, section: &Section<'_>, offered: Offered) {
    // By key, not by value: what was wrong with a value is told already.
    let keys = ["targets", "networks", "tls_name", "inbound_credentials"];
    if !keys.iter().any(|key| section.has(key)) {
        let keys = "`targets`, `networks`, `tls_name` and `inbound_credentials`";
        section.problem(format!("a trunk without {keys} can neither be called nor call"));
    }
    if trunk.register.is_some() && !section.has("credentials") {
        section.problem("`register_s` needs [trunk.credentials]");
    }
    if trunk.register.is_some() && !section.has("targets") {
        section.problem("`register_s` needs `targets`: whom to register at");
    }
    if trunk.tls_name.is_some() && !offered.client_certificates {
        section.problem(
            "`tls_name` needs a [[listen]] with transport \"tls\" and `client_ca` in [tls]",
        );
    }
}

/// What one level decides about noise removal.
pub(super) fn noise(
    section: &mut Section<'_>,
    enabled: &'static str,
    limit: &'static str,
) -> NoiseChoice {
    let most = DenoiseSettings::ATTENUATION_LIMIT_DB_MAX;
    NoiseChoice {
        enabled: section.flag_if_any(enabled),
        attenuation_limit_db: section
            .number_at(limit, 0..=most.into())
            .map(|at| u8::try_from(at.value).unwrap_or(most)),
    }
}

fn credentials(
    section: &mut Section<'_>,
    key: &'static str,
    sink: &Sink,
    directory: &Path,
) -> Option<TrunkCredentials> {
    let mut section = section.table_if(key)?;
    let username = section.required_parsed("username", values::user);
    let realm = section.parsed("realm", values::realm);
    let credentials = TrunkCredentials {
        username: username.value,
        password: password(&mut section, sink, directory),
        realm: realm.map(|at| at.value),
    };
    section.finish();
    Some(credentials)
}

fn numbers(section: &mut Section<'_>, key: &'static str) -> NumberRules {
    let mut section = section.table(key);
    let plus = section.word(
        "plus",
        &[("keep", PlusRule::Keep), ("add", PlusRule::Add), ("strip", PlusRule::Strip)],
        PlusRule::Keep,
    );
    let mut rules = Vec::new();
    for mut rule in section.tables("rules").into_iter().take(LIST_MAX) {
        let prefix = rule.required_parsed("prefix", values::digits);
        let replacement = rule.required_parsed("replacement", values::digits);
        rule.finish();
        rules.push(PrefixRule { prefix: prefix.value, replacement: replacement.value });
    }
    section.finish();
    NumberRules { rules, plus }
}
