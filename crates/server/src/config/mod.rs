//! The configuration file: TOML in, validated data out, or every problem with file and line.
//!
//! `example.toml` documents every key; a test compares it with the keys that are read here.

mod codes;
mod listen;
mod parties;
mod reader;
mod secret;
mod server;
mod trunks;
mod values;
mod web;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use b2bua::config::Config;
use media::mixer::MixerSettings;
use media::tone::Country;
use toml::de::DeTable;

pub(crate) use reader::Problem;
use reader::{Section, Sink};
pub(crate) use web::{Api, DEFAULT_ADDRESS as API_ADDRESS};

/// The documented example, in which every value shown is the default or a plausible one.
pub(crate) const EXAMPLE: &str = include_str!("example.toml");

/// What a file says.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// For the core.
    pub(crate) core: Config,
    /// Where state is kept; `None` = not said in the file.
    pub(crate) data_dir: Option<PathBuf>,
    /// How long calls may go on after SIGTERM.
    pub(crate) drain_limit: Duration,
    /// How the audio is moved.
    pub(crate) engine: Engine,
    /// Authorities of single names that we connect to, for trunks with a CA of their own.
    pub(crate) trusted_ca_by_name: BTreeMap<String, PathBuf>,
    /// What is logged, and how.
    pub(crate) log: Log,
    /// Certificates, when TLS is spoken.
    pub(crate) tls: Option<Tls>,
    /// Limits of connections.
    pub(crate) net: Net,
    /// Call records.
    pub(crate) records: Records,
    /// Resident memory beyond which no new calls are taken, bytes; `None` = no limit.
    pub(crate) memory_max: Option<u64>,
    /// REST and event stream; `None` = not served.
    pub(crate) api: Option<Api>,
    /// Directory of the recordings, relative to the data directory.
    pub(crate) recordings: PathBuf,
}

/// The media engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Engine {
    /// Threads; `None` = one per two CPUs.
    pub(crate) workers: Option<usize>,
    /// Music on hold; `None` = the built-in melody.
    pub(crate) music: Option<PathBuf>,
    /// Whose call progress tones are played.
    pub(crate) tones: Country,
    /// What entry points announce, by place.
    pub(crate) announcements: Vec<PathBuf>,
    /// How several are mixed who are heard at once.
    pub(crate) mixing: MixerSettings,
    /// Ask for real-time scheduling.
    pub(crate) realtime: bool,
}

/// Logging.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Log {
    /// A level or a list of `target=level` as in `RUST_LOG`.
    pub(crate) filter: String,
    /// One JSON object a line instead of text.
    pub(crate) json: bool,
    /// Mask telephone numbers.
    pub(crate) redact_numbers: bool,
    /// Lines per second; what comes beyond is counted and told later.
    pub(crate) lines_per_second_max: u32,
}

/// Certificates; the paths are absolute or relative to the working directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tls {
    /// Our certificate chain, PEM; `None` = only outgoing TLS.
    pub(crate) certificate: Option<PathBuf>,
    /// Its private key, PEM.
    pub(crate) key: Option<PathBuf>,
    /// Authorities whose client certificates are asked for and verified.
    pub(crate) client_ca: Option<PathBuf>,
    /// Authorities for outgoing connections; `None` = the system's.
    pub(crate) trusted_ca: Option<PathBuf>,
}

/// Limits of connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Net {
    /// Connections in all.
    pub(crate) connections_max: usize,
    /// Connections from one address.
    pub(crate) connections_per_address_max: usize,
    /// How long a connection that has spoken may be silent.
    pub(crate) idle_timeout: Duration,
    /// How long a message may take from its first byte to its last, and a connection to its first.
    pub(crate) message_timeout: Duration,
    /// How long a TLS or WebSocket handshake may take.
    pub(crate) handshake_timeout: Duration,
    /// Messages a second from one address that is no trunk and no registered phone's.
    pub(crate) messages_per_second_max: u32,
    /// Messages a second from one other address.
    pub(crate) known_messages_per_second_max: u32,
    /// Web pages that may open a WebSocket; `*` = any.
    pub(crate) websocket_origins: Vec<String>,
    /// DNS servers; empty = those of the system.
    pub(crate) name_servers: Vec<SocketAddr>,
}

/// Call records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Records {
    /// JSON lines; relative to the data directory.
    pub(crate) file: PathBuf,
    /// A new file begins beyond this many bytes.
    pub(crate) rotate_bytes: u64,
    /// Old files that are kept.
    pub(crate) keep: usize,
}

/// Reads and checks a file.
pub(crate) fn load(path: &Path) -> Result<Settings, Vec<Problem>> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        vec![Problem { file: file.clone(), line: 1, reason: format!("cannot be read: {error}") }]
    })?;
    read(&file, &text, path.parent().unwrap_or(Path::new(".")))
}

/// Reads and checks a text; files it names are relative to `directory`.
pub(crate) fn read(file: &str, text: &str, directory: &Path) -> Result<Settings, Vec<Problem>> {
    let sink = Sink::new(file, text);
    let settings = read_into(&sink, text, directory);
    if sink.is_clean() { Ok(settings) } else { Err(sink.into_problems()) }
}

fn read_into(sink: &Sink, text: &str, directory: &Path) -> Settings {
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        sink.problem(&error.span().unwrap_or(0..0), error.message());
    }
    let mut root = Section::root(sink, document.get_ref());
    let node = server::node(root.table("server"), directory);
    let tls = server::tls(&mut root, directory);
    let listen = listen::listeners(&mut root, sink, tls.as_ref());
    let noise = listen::noise_removal(root.table("noise_removal"));
    let recording = listen::recording(root.table("recording"));
    let (mut media, mut engine) =
        listen::media(root.table("media"), sink, &listen, directory, noise);
    media.recording = recording.policy;
    let parties = parties::parties(&mut root, sink, directory, &listen, tls.as_ref());
    let api = web::api(&mut root, sink, directory, &parties.extensions);
    engine.announcements.clone_from(&parties.announcements);
    let core = Config {
        product: concat!("Hookflash/", env!("CARGO_PKG_VERSION")).to_owned(),
        realm: node.realm,
        domains: node.domains,
        listen: listen.into_iter().map(|at| at.value).collect(),
        sip: server::sip(root.table("sip"), sink),
        media,
        registrar: server::registrar(root.table("registrar")),
        security: server::security(root.table("security")),
        extensions: parties.extensions,
        trunks: parties.trunks,
        routes: parties.routes,
        entry_points: parties.entry_points,
        interactions: server::interactions(root.table("interactions")),
        feature_codes: codes::feature_codes(&mut root),
    };
    let settings = Settings {
        core,
        data_dir: node.data_dir,
        drain_limit: node.drain_limit,
        engine,
        trusted_ca_by_name: parties.trusted_ca_by_name,
        log: server::log(root.table("log")),
        tls,
        net: server::net(root.table("net")),
        records: server::records(root.table("records")),
        memory_max: server::memory(root.table("memory")),
        recordings: recording.directory,
        api,
    };
    root.finish();
    settings
}
