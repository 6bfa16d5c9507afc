//! What the operator decides, as plain validated data. The server reads it from TOML
//! (`hookflash config --example` documents every key); the core never sees a file.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base::Redacted;
use media::denoise::DenoiseSettings;
use media::dtls::Fingerprint;
use media::dtmf::info::Body;
use media::record::{Container, PausePolicy};
use serde::{Deserialize, Serialize};
pub use sip::auth::Algorithm;
use sip::transport::Transport;

pub use crate::feature::{CODE_KEYS, Feature, FeatureCodes};

/// Everything the core needs to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Name in `User-Agent` and `Server`.
    pub product: String,
    /// Digest realm and domain of our addresses-of-record.
    pub realm: String,
    /// Other host names and addresses (beside every listen address) that mean us.
    pub domains: Vec<String>,
    /// Where we listen, in the order of the configuration.
    pub listen: Vec<Listen>,
    /// SIP timers and limits.
    pub sip: SipLimits,
    /// Audio.
    pub media: MediaConfig,
    /// Registrar.
    pub registrar: RegistrarConfig,
    /// Protection against abuse.
    pub security: SecurityConfig,
    /// Agents' phones.
    pub extensions: Vec<Extension>,
    /// Carriers and other SIP peers.
    pub trunks: Vec<Trunk>,
    /// Ways out, tried in order.
    pub routes: Vec<Route>,
    /// Numbers that customers dial.
    pub entry_points: Vec<EntryPoint>,
    /// What may be done with calls.
    pub interactions: InteractionPolicy,
    /// What agents may dial during them.
    pub feature_codes: FeatureCodes,
}

/// What may be done with calls, and who is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InteractionPolicy {
    /// Whether anybody listens to what happens to interactions.
    pub events: bool,
    /// Whether only the last four digits of numbers are shown (V7).
    pub mask_numbers: bool,
    /// What happens to a customer whose blind transfer failed (T4).
    pub on_transfer_failure: call::control::OnFailure,
    /// Whether agents may pause recordings (K2), and for how long at most (K3).
    pub recording_pause: Option<Duration>,
    /// Whether any agent may take calls that ring at another's extension (I2).
    pub pickup: bool,
}

impl Default for InteractionPolicy {
    fn default() -> Self {
        Self {
            events: false,
            mask_numbers: false,
            on_transfer_failure: call::control::OnFailure::Recall,
            recording_pause: Some(Duration::from_secs(120)),
            pickup: true,
        }
    }
}

/// One listening address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listen {
    /// Its transport.
    pub transport: Transport,
    /// Address to bind.
    pub address: SocketAddr,
    /// Address or name to write into Via and Contact instead (behind NAT, or a TLS name).
    pub advertise: Option<String>,
}

impl Listen {
    /// Host (IPv6 in brackets) and port as written into Via and Contact.
    pub fn advertised(&self) -> (String, u16) {
        let Some(name) = &self.advertise else {
            return (bracketed(self.address.ip()), self.address.port());
        };
        if let Ok(address) = name.parse::<SocketAddr>() {
            return (bracketed(address.ip()), address.port());
        }
        if let Ok(ip) = name.parse::<IpAddr>() {
            return (bracketed(ip), self.address.port());
        }
        match name.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
            Some((host, Ok(port))) => (host.to_owned(), port),
            Some((_, Err(_))) | None => (name.clone(), self.address.port()),
        }
    }
}

fn bracketed(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// SIP timers and limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SipLimits {
    /// RFC 3261 T1; 500 ms unless a test says otherwise.
    pub t1: Duration,
    /// Session-Expires we ask for (RFC 4028).
    pub session_expires: Duration,
    /// Least Session-Expires we accept (RFC 4028 Min-SE), at least 90 s on the wire.
    pub min_se: Duration,
    /// How long a phone may ring before the call is given up with 480.
    pub ring_timeout: Duration,
    /// How long a trunk may take to its first answer before the next target is tried.
    pub trunk_timeout: Duration,
    /// Longest call; `None` = unlimited.
    pub call_limit: Option<Duration>,
    /// Calls at once on this node; one more gets 503 + Retry-After.
    pub calls_max: usize,
    /// New calls a second on this node; one more gets 503 + Retry-After.
    pub calls_per_second_max: u32,
    /// How many redirections (3xx) of a trunk one call follows; 0 = none.
    pub redirects_max: u8,
}

/// What a held party hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HoldSound {
    /// Music on hold, H1.
    Music,
    /// Comfortable nothing: packets of silence.
    Silence,
}

/// Audio.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MediaConfig {
    /// IPv4 address to bind RTP sockets to.
    pub ipv4: Option<IpAddr>,
    /// IPv6 address to bind RTP sockets to.
    pub ipv6: Option<IpAddr>,
    /// Addresses to write into SDP instead, v4 and v6.
    pub advertise_ipv4: Option<IpAddr>,
    /// See `advertise_ipv4`.
    pub advertise_ipv6: Option<IpAddr>,
    /// First (even) port of the range, inclusive.
    pub port_min: u16,
    /// Last port of the range, inclusive.
    pub port_max: u16,
    /// How long a closed call's ports stay unused, so that late packets never reach the next call.
    pub port_quarantine: Duration,
    /// A leg that should send audio and is silent this long is an orphan: the call is ended.
    pub rtp_timeout: Option<Duration>,
    /// What the held side hears.
    pub hold: HoldSound,
    /// Codec names allowed, most preferred first: PCMU, PCMA, G722, opus, L16, G729. `CN` among them:
    /// comfort noise is offered.
    pub codecs: Vec<String>,
    /// Whether legs without a common codec are joined by transcoding. Legs with one never need it.
    pub transcode: bool,
    /// Who lets callers hear that it rings.
    pub ringback: Ringback,
    /// How long a caller whose call fails hears why, as busy or congestion tone in early media,
    /// before it is refused; `None`: it is refused at once and its own network says why.
    pub refusal_tone: Option<Duration>,
    /// Whether tones among the speech of a leg are keys, where it has no other form for them.
    pub dtmf_in_band: bool,
    /// What is decided for the whole organisation (N2).
    pub noise_removal: NoisePolicy,
    /// Of the certificate that the media engine shows in DTLS; `None`: no keys by DTLS.
    pub dtls: Option<Fingerprint>,
    /// How calls are recorded (K1); `None`: they are not.
    pub recording: Option<RecordingPolicy>,
}

/// Who lets callers hear that it rings at the far end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ringback {
    /// 180 is passed on: the caller's own network or phone plays the tone.
    #[default]
    Passed,
    /// We do, in early media, unless the far end has early media of its own.
    Local,
}

/// How calls are recorded (K1, K6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingPolicy {
    /// What the files are.
    pub container: Container,
    /// What a pause leaves in them (K2).
    pub pause: PausePolicy,
    /// Whether every call is recorded from its answer on; otherwise agents begin and end it (K6).
    pub automatic: bool,
    /// Whether files have 16 kHz where any codec that phones and trunks may use has more than 8.
    pub wideband: bool,
}

impl Default for RecordingPolicy {
    fn default() -> Self {
        let (container, pause) = (Container::Wav, PausePolicy::Silence);
        Self { container, pause, automatic: true, wideband: true }
    }
}

/// From whom background noise is removed, unless something narrower says otherwise (N1, N2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoisePolicy {
    /// From what customers say, i.e. from whoever is behind a trunk.
    pub from_customer: bool,
    /// From what agents say, i.e. from extensions.
    pub from_agent: bool,
    /// How much.
    pub settings: DenoiseSettings,
    /// Nobody switches it by hand during a call (N3: `NOISE_POLICY_LOCKED`).
    pub locked: bool,
}

impl Default for NoisePolicy {
    fn default() -> Self {
        Self {
            from_customer: true,
            from_agent: false,
            settings: DenoiseSettings::default(),
            locked: false,
        }
    }
}

/// What one level decides about noise removal (N2): an agent, a queue, a trunk. What it leaves open
/// is up to the next wider one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoiseChoice {
    /// Whether noise is removed.
    pub enabled: Option<bool>,
    /// How much, see [`DenoiseSettings::attenuation_limit_db`].
    pub attenuation_limit_db: Option<u8>,
}

impl NoiseChoice {
    /// What this level says, and where it says nothing, `wider`.
    pub fn or(self, wider: Self) -> Self {
        Self {
            enabled: self.enabled.or(wider.enabled),
            attenuation_limit_db: self.attenuation_limit_db.or(wider.attenuation_limit_db),
        }
    }
}

/// Registrar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegistrarConfig {
    /// Least expiry granted; shorter gets 423.
    pub expires_min: Duration,
    /// Greatest expiry granted; longer is shortened.
    pub expires_max: Duration,
    /// Expiry when none is asked for.
    pub expires_default: Duration,
    /// Contacts per extension.
    pub contacts_max: usize,
    /// How often each contact is asked by OPTIONS whether it lives; `None` = never.
    pub qualify: Option<Duration>,
}

/// Protection against abuse.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SecurityConfig {
    /// Evaluated passwords per source address and 30 s.
    pub guesses_max: u32,
    /// How long a source that exceeded it is refused.
    pub ban: Duration,
    /// How long a digest nonce stays valid.
    pub nonce_lifetime: Duration,
    /// Digest algorithms offered to phones, in this order (RFC 8760 §2.4: strongest first; SIPp and
    /// some old phones read the first challenge only).
    pub digest_algorithms: Vec<Algorithm>,
}

/// One agent's phone line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Extension {
    /// Number and digest user name, e.g. `1001`.
    pub number: String,
    /// Digest password.
    pub password: Redacted<String>,
    /// Shown to whom it calls.
    pub display_name: String,
    /// Number shown to trunks as the caller; `None` = the extension's number.
    pub caller_id: Option<String>,
    /// Names of the routes it may use; empty = none (no outside calls).
    pub routes: Vec<String>,
    /// Calls at once; ATTACKS 17.
    pub calls_max: usize,
    /// New calls a minute; ATTACKS 17.
    pub calls_per_minute_max: u32,
    /// How this agent hears customers: with or without their noise.
    pub noise_removal: NoiseChoice,
    /// How it is heard itself.
    pub own_noise_removal: NoiseChoice,
    /// How its audio is protected.
    pub srtp: SrtpPolicy,
    /// How pressed keys are told.
    pub dtmf: DtmfForm,
}

/// A carrier or another SIP peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trunk {
    /// Unique name.
    pub name: String,
    /// Where its calls go: `sip:host[:port][;transport=]`, tried in order (each by RFC 3263).
    pub targets: Vec<String>,
    /// Source networks that are this trunk (calls from them need no digest).
    pub networks: Vec<Network>,
    /// Name its TLS client certificate must carry, when calls come over TLS.
    pub tls_name: Option<String>,
    /// Digest credentials: we answer its challenges with them.
    pub credentials: Option<TrunkCredentials>,
    /// Digest user and password the trunk itself uses towards us when it has no fixed address.
    pub inbound_credentials: Option<TrunkCredentials>,
    /// Register at it, for this long each time.
    pub register: Option<Duration>,
    /// Ask it by OPTIONS this often whether it lives; `None` = always taken for up.
    pub options_interval: Option<Duration>,
    /// Codec names allowed; empty = those of [`MediaConfig`].
    pub codecs: Vec<String>,
    /// Names of headers that pass from the other leg to this trunk and back.
    pub pass_headers: Vec<String>,
    /// How numbers are written towards it.
    pub outbound_numbers: NumberRules,
    /// How its numbers are read.
    pub inbound_numbers: NumberRules,
    /// How the caller's number is carried to it.
    pub caller_id: CallerIdStyle,
    /// Calls at once, both directions.
    pub calls_max: usize,
    /// New calls a second, both directions.
    pub calls_per_second_max: u32,
    /// Whether its 3xx answers are followed.
    pub follow_redirects: bool,
    /// Whether noise is removed from what its callers say.
    pub noise_removal: NoiseChoice,
    /// How its audio is protected.
    pub srtp: SrtpPolicy,
    /// How pressed keys are told.
    pub dtmf: DtmfForm,
}

/// Digest credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrunkCredentials {
    /// User name.
    pub username: String,
    /// Password.
    pub password: Redacted<String>,
    /// Realm the challenge must name; `None` = any realm, from this trunk only.
    pub realm: Option<String>,
}

/// How the audio of a party's legs is protected (RFC 3711, keys by RFC 4568 or RFC 5764).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SrtpPolicy {
    /// Taken where it is asked for, offered where the signalling is encrypted (RFC 8643) and to
    /// browsers.
    #[default]
    Auto,
    /// Always; whoever does not gets 488.
    Required,
    /// Always, and always with keys by DTLS.
    Dtls,
    /// Never; whoever insists gets 488.
    Off,
}

/// How pressed keys are told to a party. Whatever it sends is understood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DtmfForm {
    /// As named events (RFC 4733) where they are agreed on, else as tones.
    #[default]
    Auto,
    /// As named events or not at all.
    Rfc4733,
    /// By SIP INFO with `application/dtmf-relay`; named events are not offered.
    Info,
    /// By SIP INFO with `application/dtmf`, the digit alone.
    InfoPlain,
    /// As tones; named events are not offered.
    InBand,
}

impl DtmfForm {
    /// Whether named events are left out of descriptions.
    pub const fn is_without_events(self) -> bool {
        match self {
            Self::Auto | Self::Rfc4733 => false,
            Self::Info | Self::InfoPlain | Self::InBand => true,
        }
    }

    /// The body of a SIP INFO, where keys are told so.
    pub const fn info(self) -> Option<Body> {
        match self {
            Self::Info => Some(Body::Relay),
            Self::InfoPlain => Some(Body::Plain),
            Self::Auto | Self::Rfc4733 | Self::InBand => None,
        }
    }
}

/// How the caller's number is carried to a trunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallerIdStyle {
    /// In From only.
    From,
    /// In From and P-Asserted-Identity (RFC 3325).
    PAssertedIdentity,
}

/// A network in CIDR form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Any address in it.
    pub address: IpAddr,
    /// Prefix length, 0–32 or 0–128.
    pub prefix: u8,
}

impl Network {
    /// Whether `ip` (an IPv4-mapped IPv6 address counts as IPv4) lies in the network.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.address.to_canonical(), ip.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix.min(32))).unwrap_or(0);
                net.to_bits() & mask == ip.to_bits() & mask
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                let shift = 128 - u32::from(self.prefix.min(128));
                let mask = u128::MAX.checked_shl(shift).unwrap_or(0);
                net.to_bits() & mask == ip.to_bits() & mask
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// How a number is rewritten; applied top-down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberRules {
    /// Ordered rules; the first whose prefix matches is applied, then no more.
    pub rules: Vec<PrefixRule>,
    /// What happens to a leading `+` after the rules.
    pub plus: PlusRule,
}

/// `prefix` is cut off and `replacement` put in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrefixRule {
    /// What the number must begin with; empty matches every number.
    pub prefix: String,
    /// What takes its place.
    pub replacement: String,
}

/// What happens to a leading `+`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlusRule {
    /// As it is.
    #[default]
    Keep,
    /// Written before a number that lacks it.
    Add,
    /// Taken away.
    Strip,
}

/// A way out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// Unique name; extensions name it to be allowed to use it.
    pub name: String,
    /// Prefixes of dialled numbers that it takes; an empty string takes all.
    pub prefixes: Vec<String>,
    /// Shortest and longest number it takes.
    pub digits_min: usize,
    /// See `digits_min`.
    pub digits_max: usize,
    /// Characters cut off the front of the dialled number (an outside-line `0`).
    pub strip: usize,
    /// Put before what is left.
    pub prepend: String,
    /// Trunks tried in this order: fail-over on 408, 480, 5xx, time-out and transport errors.
    pub trunks: Vec<String>,
}

/// A number that customers dial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EntryPoint {
    /// The number as it reads after the trunk's inbound rules.
    pub number: String,
    /// Only from this trunk; `None` = from every trunk.
    pub trunk: Option<String>,
    /// The extension that gets the call.
    pub extension: String,
    /// What the caller hears before the extension is called, one after another: places in the
    /// media engine's list of announcements.
    pub announcements: Vec<u32>,
    /// Whether the call is answered before them; else they are early media.
    pub answer_first: bool,
}
