//! `[[listen]]` and `[media]`: addresses and ports that we own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use b2bua::config::{HoldSound, Listen, MediaConfig, NoisePolicy, RecordingPolicy, Ringback};
use media::denoise::DenoiseSettings;
use media::mixer::{MixerSettings, SEATS_MAX};
use media::record::{Container, PausePolicy};
use media::tone::Country;
use sip::transport::Transport;

use super::reader::{At, Section, Sink};
use super::{Engine, Tls, values};

/// Most listening addresses.
const LISTEN_MAX: usize = 64;
/// Ports of one call: two legs, RTP and RTCP each.
const PORTS_PER_CALL: u16 = 4;

const TRANSPORTS: &[(&str, Transport)] = &[
    ("udp", Transport::Udp),
    ("tcp", Transport::Tcp),
    ("tls", Transport::Tls),
    ("ws", Transport::Ws),
    ("wss", Transport::Wss),
];

/// `[[listen]]`, with the line of each.
pub(super) fn listeners(root: &mut Section<'_>, sink: &Sink, tls: Option<&Tls>) -> Vec<At<Listen>> {
    let mut listeners: Vec<At<Listen>> = Vec::new();
    let sections = root.tables("listen");
    if sections.is_empty() {
        root.problem("at least one [[listen]] is needed");
    }
    if sections.len() > LISTEN_MAX {
        root.problem(format!("more than {LISTEN_MAX} [[listen]]"));
    }
    for section in sections.into_iter().take(LISTEN_MAX) {
        let Some(listener) = listener(section, sink, tls) else { continue };
        let overlapping = listeners.iter().find(|other| overlap(&other.value, &listener.value));
        if let Some(other) = overlapping {
            let (mine, other) = (listener.value.address, other.value.address);
            let reason = format!("{mine} is already taken by the [[listen]] on {other}");
            sink.problem(&listener.span, reason);
        }
        listeners.push(listener);
    }
    listeners
}

fn listener(mut section: Section<'_>, sink: &Sink, tls: Option<&Tls>) -> Option<At<Listen>> {
    let span = section.span.clone();
    if !section.has("transport") {
        section.problem("`transport` is missing in [listen]");
    }
    let transport = section.word("transport", TRANSPORTS, Transport::Udp);
    if !section.has("address") {
        section.problem("`address` is missing in [listen]");
    }
    let address = section.parsed("address", values::socket);
    let advertise = section.parsed("advertise", values::advertised).map(|at| at.value);
    let said = section.has("advertise");
    section.finish();
    let address = address?;
    if transport.is_secure() && tls.is_none_or(|tls| tls.certificate.is_none()) {
        let reason = format!("{} needs `certificate` and `key` in [tls]", transport.as_str());
        sink.problem(&span, reason);
    }
    if address.value.ip().is_unspecified() && !said {
        let reason = "all addresses are listened on: say in `advertise` which one peers shall use";
        sink.problem(&address.span, reason);
    }
    let listen = Listen { transport, address: address.value, advertise };
    Some(At::new(listen, address.span))
}

fn overlap(a: &Listen, b: &Listen) -> bool {
    let is_datagram = |listen: &Listen| listen.transport == Transport::Udp;
    let (a_ip, b_ip) = (a.address.ip(), b.address.ip());
    is_datagram(a) == is_datagram(b)
        && a.address.port() == b.address.port()
        && a_ip.is_ipv4() == b_ip.is_ipv4()
        && (a_ip == b_ip || a_ip.is_unspecified() || b_ip.is_unspecified())
}

/// `[media]`; what is not said follows from the listeners.
pub(super) fn media(
    mut section: Section<'_>,
    sink: &Sink,
    listen: &[At<Listen>],
    directory: &Path,
    noise_removal: NoisePolicy,
) -> (MediaConfig, Engine) {
    let ipv4 = section.parsed("ipv4", ip::<Ipv4Addr>).map(|at| at.value);
    let ipv6 = section.parsed("ipv6", ip::<Ipv6Addr>).map(|at| at.value);
    let advertise_ipv4 = section.parsed("advertise_ipv4", reachable::<Ipv4Addr>);
    let advertise_ipv6 = section.parsed("advertise_ipv6", reachable::<Ipv6Addr>);
    let (port_min, port_max) = ports(&mut section, sink, listen);
    let codecs = codecs(&mut section);
    let mut media = MediaConfig {
        ipv4: ipv4.or_else(|| bound(listen, IpAddr::is_ipv4)),
        ipv6: ipv6.or_else(|| bound(listen, IpAddr::is_ipv6)),
        advertise_ipv4: advertise_ipv4.map(|at| at.value),
        advertise_ipv6: advertise_ipv6.map(|at| at.value),
        port_min,
        port_max,
        port_quarantine: section.seconds("port_quarantine_s", 0..=600, 30),
        rtp_timeout: section.seconds_or_off("rtp_timeout_s", 5..=86_400, 60),
        hold: section.word(
            "hold",
            &[("music", HoldSound::Music), ("silence", HoldSound::Silence)],
            HoldSound::Music,
        ),
        codecs: if codecs.is_empty() { default_codecs() } else { codecs },
        transcode: section.flag("transcode", true),
        ringback: section.word(
            "ringback",
            &[("passed", Ringback::Passed), ("local", Ringback::Local)],
            Ringback::Passed,
        ),
        refusal_tone: section.seconds_or_off("refusal_tone_s", 1..=60, 0),
        dtmf_in_band: section.word("dtmf_inband", &[("auto", true), ("off", false)], true),
        noise_removal,
        dtls: None,
        recording: None,
    };
    for (bound, advertised, key) in [
        (media.ipv4, &mut media.advertise_ipv4, "advertise_ipv4"),
        (media.ipv6, &mut media.advertise_ipv6, "advertise_ipv6"),
    ] {
        let Some(bound) = bound else { continue };
        *advertised = advertised.or_else(|| self::advertised(listen, bound));
        if bound.is_unspecified() && advertised.is_none() {
            let reason = format!("RTP is bound to {bound}: say in `{key}` which address peers use");
            section.problem(reason);
        }
    }
    let engine = engine(&mut section, directory);
    section.finish();
    (media, engine)
}

/// `[noise_removal]`: what is decided for the whole organisation.
pub(super) fn noise_removal(mut section: Section<'_>) -> NoisePolicy {
    let default = DenoiseSettings::default().attenuation_limit_db;
    let most = DenoiseSettings::ATTENUATION_LIMIT_DB_MAX;
    let limit = section.number("attenuation_limit_db", 0..=most.into(), default.into());
    let policy = NoisePolicy {
        from_customer: section.flag("from_customer", true),
        from_agent: section.flag("from_agent", false),
        settings: DenoiseSettings { attenuation_limit_db: u8::try_from(limit).unwrap_or(most) },
        locked: section.flag("locked", false),
    };
    section.finish();
    policy
}

/// `[recording]`.
pub(super) struct Recording {
    /// How calls are recorded; `None`: they are not.
    pub(super) policy: Option<RecordingPolicy>,
    /// Where the files are.
    pub(super) directory: PathBuf,
}

/// Reads `[recording]`.
pub(super) fn recording(mut section: Section<'_>) -> Recording {
    let is_on = section.flag("enabled", false);
    let directory = section.text("directory");
    let policy = RecordingPolicy {
        container: section.word(
            "format",
            &[("wav", Container::Wav), ("opus", Container::OggOpus)],
            Container::Wav,
        ),
        pause: section.word(
            "pause",
            &[("silence", PausePolicy::Silence), ("nothing", PausePolicy::Nothing)],
            PausePolicy::Silence,
        ),
        automatic: section.flag("automatic", true),
        wideband: section.flag("wideband", true),
    };
    section.finish();
    let directory = directory.map_or_else(|| "recordings".into(), |at| at.value.into());
    Recording { policy: is_on.then_some(policy), directory }
}

fn engine(section: &mut Section<'_>, directory: &Path) -> Engine {
    let music = section.parsed("music", |name| values::readable(directory, name));
    let tones = section.parsed("tones", |code| {
        let known = || Country::ALL.map(Country::code).join(", ");
        Country::from_code(code).ok_or_else(|| format!("\"{code}\" is none of {}", known()))
    });
    let workers = section.number("workers", 0..=64, 0);
    Engine {
        workers: (workers > 0).then_some(values::size(workers)),
        music: music.map(|at| at.value),
        tones: tones.map_or_else(Country::default, |at| at.value),
        announcements: Vec::new(),
        mixing: mixing(section),
        realtime: section.flag("realtime", true),
    }
}

/// How several are mixed who are heard at once.
fn mixing(section: &mut Section<'_>) -> MixerSettings {
    let usual = MixerSettings::of_people();
    let spared = usual.spared_db.unwrap_or(0);
    let spared = section.number("speakers_spared_db", 0..=60, spared.into());
    MixerSettings {
        speakers_max: values::size(section.number(
            "speakers_max",
            1..=SEATS_MAX as u64,
            usual.speakers_max as u64,
        )),
        spared_db: u8::try_from(spared).ok().filter(|db| *db > 0),
        normalises: section.flag("normalise_voices", usual.normalises),
        ..usual
    }
}

/// A list of codec names, each known and once.
pub(super) fn codecs(section: &mut Section<'_>) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    let codecs = section.texts("codecs").unwrap_or_default();
    for At { value, span } in codecs {
        if !sdp::is_known_codec(&value) {
            let reason =
                format!("\"{value}\" is no codec we know: {}", default_codecs().join(", "));
            section.problem_at(&span, reason);
        } else if seen.iter().any(|other| other.eq_ignore_ascii_case(&value)) {
            section.problem_at(&span, format!("codec {value} stands twice"));
        } else {
            seen.push(value);
        }
    }
    if !seen.is_empty() && sdp::standard_codecs(&seen).is_empty() {
        section.problem(format!("`codecs` has none to speak in: {}", seen.join(", ")));
    }
    seen
}

fn default_codecs() -> Vec<String> {
    ["opus", "G722", "PCMA", "PCMU"].map(str::to_owned).to_vec()
}

fn ports(section: &mut Section<'_>, sink: &Sink, listen: &[At<Listen>]) -> (u16, u16) {
    let min = section.number_at("port_min", 1024..=65_534);
    let max = section.number_at("port_max", 1025..=65_535);
    let span =
        |at: &Option<At<u64>>| at.as_ref().map_or(section.span.clone(), |at| at.span.clone());
    let (min_span, max_span) = (span(&min), span(&max));
    let value =
        |at: Option<At<u64>>, or: u16| at.and_then(|at| u16::try_from(at.value).ok()).unwrap_or(or);
    let (min, max) = (value(min, 10_000), value(max, 32_767));
    if min % 2 == 1 {
        sink.problem(&min_span, format!("`port_min` must be even (RFC 3550 §11), not {min}"));
    }
    if max.saturating_sub(min).saturating_add(1) < PORTS_PER_CALL {
        let reason = format!("{min} to {max} is too small: a call needs {PORTS_PER_CALL} ports");
        sink.problem(&max_span, reason);
    }
    for At { value: listener, span } in listen {
        if listener.transport == Transport::Udp && (min..=max).contains(&listener.address.port()) {
            let reason = format!("{} lies in the RTP range {min} to {max}", listener.address);
            sink.problem(span, reason);
        }
    }
    (min, max)
}

fn bound(listen: &[At<Listen>], family: fn(&IpAddr) -> bool) -> Option<IpAddr> {
    listen.iter().map(|at| at.value.address.ip()).find(family)
}

/// The address in some listener's `advertise` when that listener is bound like the media.
fn advertised(listen: &[At<Listen>], bound: IpAddr) -> Option<IpAddr> {
    let of_listener = |listen: &Listen| {
        let text = listen.advertise.as_deref()?;
        let ip = text.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|a| a.ip()));
        ip.ok().filter(|ip| listen.address.ip() == bound && ip.is_ipv4() == bound.is_ipv4())
    };
    listen.iter().find_map(|at| of_listener(&at.value))
}

fn ip<T: std::str::FromStr + Into<IpAddr>>(text: &str) -> Result<IpAddr, String> {
    let family = if size_of::<T>() == 4 { "IPv4" } else { "IPv6" };
    let ip = text.parse::<T>().map_err(|_| format!("\"{text}\" is no {family} address"))?.into();
    if ip.is_multicast() { Err(format!("{ip} is a multicast address")) } else { Ok(ip) }
}

fn reachable<T: std::str::FromStr + Into<IpAddr>>(text: &str) -> Result<IpAddr, String> {
    let ip = ip::<T>(text)?;
    if ip.is_unspecified() { Err(format!("nobody can reach {ip}")) } else { Ok(ip) }
}

/// Whether some listener speaks a transport.
pub(super) fn speaks(listen: &[At<Listen>], transport: Transport) -> bool {
    listen.iter().any(|at| at.value.transport == transport)
}
