//! Configurations for tests: of this crate, of the simulation, of the fuzz targets.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use base::Redacted;
use sip::transport::Transport;

use crate::config::{
    Algorithm, CallerIdStyle, Config, DtmfForm, EntryPoint, Extension, FeatureCodes, HoldSound,
    InteractionPolicy, Listen, MediaConfig, Network, NoiseChoice, NoisePolicy, NumberRules,
    RegistrarConfig, Ringback, Route, SecurityConfig, SipLimits, SrtpPolicy, Trunk,
};

/// A node at 127.0.0.1:5060 with extensions 1001–1004, trunk `carrier` at 127.0.0.2 and trunk
/// `backup` at 127.0.0.3; `+4930100` leads to 1001, `0…` leads out.
pub fn config() -> Config {
    let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
    Config {
        product: "Hookflash".into(),
        realm: "hookflash.test".into(),
        domains: vec!["localhost".into()],
        listen: [Transport::Udp, Transport::Tcp]
            .map(|transport| Listen {
                transport,
                address: (localhost, 5060).into(),
                advertise: None,
            })
            .into(),
        sip: SipLimits {
            t1: Duration::from_millis(500),
            session_expires: Duration::from_secs(1800),
            min_se: Duration::from_secs(90),
            ring_timeout: Duration::from_secs(60),
            trunk_timeout: Duration::from_secs(4),
            call_limit: None,
            calls_max: 1000,
            calls_per_second_max: 1000,
            redirects_max: 3,
        },
        media: MediaConfig {
            ipv4: Some(localhost),
            ipv6: None,
            advertise_ipv4: None,
            advertise_ipv6: None,
            port_min: 20000,
            port_max: 29999,
            port_quarantine: Duration::from_secs(30),
            rtp_timeout: None,
            hold: HoldSound::Music,
            codecs: ["PCMU", "PCMA", "G722"].map(String::from).into(),
            transcode: true,
            ringback: Ringback::Passed,
            refusal_tone: None,
            dtmf_in_band: true,
            noise_removal: NoisePolicy::default(),
            dtls: None,
            recording: None,
        },
        registrar: RegistrarConfig {
            expires_min: Duration::from_secs(60),
            expires_max: Duration::from_secs(3600),
            expires_default: Duration::from_secs(600),
            contacts_max: 5,
            qualify: None,
        },
        security: SecurityConfig {
            guesses_max: 10,
            ban: Duration::from_secs(600),
            nonce_lifetime: Duration::from_secs(300),
            digest_algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
        },
        extensions: ["1001", "1002", "1003", "1004"].map(extension).into(),
        trunks: vec![
            trunk("carrier"),
            Trunk {
                targets: vec!["sip:127.0.0.3:5060".into()],
                networks: vec![network([127, 0, 0, 3])],
                ..trunk("backup")
            },
        ],
        routes: vec![route("out")],
        entry_points: vec![entry_point()],
        interactions: InteractionPolicy::default(),
        feature_codes: FeatureCodes::default(),
    }
}

fn entry_point() -> EntryPoint {
    EntryPoint {
        number: "+4930100".into(),
        trunk: None,
        extension: "1001".into(),
        announcements: Vec::new(),
        answer_first: false,
    }
}

/// A route for numbers that begin with 0, by `carrier`, then `backup`.
pub fn route(name: &str) -> Route {
    Route {
        name: name.into(),
        prefixes: vec!["0".into()],
        digits_min: 3,
        digits_max: 15,
        strip: 1,
        prepend: String::new(),
        trunks: vec!["carrier".into(), "backup".into()],
    }
}

/// An extension whose password is `secret-` and its number.
pub fn extension(number: &str) -> Extension {
    Extension {
        number: number.into(),
        password: Redacted::new(format!("secret-{number}")),
        display_name: format!("Agent {number}"),
        caller_id: None,
        routes: vec!["out".into()],
        calls_max: 1000,
        calls_per_minute_max: 60_000,
        noise_removal: NoiseChoice::default(),
        own_noise_removal: NoiseChoice::default(),
        dtmf: DtmfForm::Auto,
        srtp: SrtpPolicy::Auto,
    }
}

/// A trunk at 127.0.0.2 without digest, OPTIONS or registration.
pub fn trunk(name: &str) -> Trunk {
    Trunk {
        name: name.into(),
        targets: vec!["sip:127.0.0.2:5060".into()],
        networks: vec![network([127, 0, 0, 2])],
        tls_name: None,
        credentials: None,
        inbound_credentials: None,
        register: None,
        options_interval: None,
        codecs: vec![],
        pass_headers: vec!["X-Ticket".into(), "User-to-User".into()],
        outbound_numbers: NumberRules::default(),
        inbound_numbers: NumberRules::default(),
        caller_id: CallerIdStyle::PAssertedIdentity,
        calls_max: 1000,
        calls_per_second_max: 1000,
        follow_redirects: true,
        noise_removal: NoiseChoice::default(),
        dtmf: DtmfForm::Auto,
        srtp: SrtpPolicy::Auto,
    }
}

fn network(ip: [u8; 4]) -> Network {
    Network { address: ip.into(), prefix: 32 }
}
