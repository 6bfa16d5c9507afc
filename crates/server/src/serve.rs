//! `hookflash serve`: makes the shells and the core, joins them, and sees them through to the end.
//!
//! ```text
//! configuration ─▶ store, media engine, sockets ─▶ core ─▶ loop of sip-net ─▶ drained or stopped
//! signals ─▶ Drain, then stop            outputs of the core ─▶ rim ─▶ media, store, log, bans
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use b2bua::io::{Input, Output};
use base::{Rng, Time, WallTime};
use media::command::MediaEvent;
use media::dtls::{Fingerprint, Hash};
use media_net::recording::RecordingConfig;
use media_net::{Certificate, MediaNet, MediaNetConfig};
use sip::transport::Transport;
use sip_net::{
    AdmissionConfig, Bound, ConnectionLimits, Ended, KnownSources, ListenSpec, NetConfig, Rate,
    ResolverConfig, TlsClient, TlsFiles,
};
use store::{Store, StoreConfig, Write};
use tokio::sync::{mpsc, oneshot};

use crate::config::{Problem, Settings};
use crate::renewal::Renewal;
use crate::rim::Rim;
use crate::{cli, config, demo, dtls, limits, log, memory, seed, tell, web};

/// Inputs of the media engine and of signals that wait for the core. A stream has a handful in its
/// life; when so many wait the core stands still, and what is lost is told.
const INPUTS_MAX: usize = 65_536;
/// Seconds of recordings that may wait for the disk, of all calls together.
const RECORDING_QUEUE: usize = 2048;
/// How long the last registrations and call records may take to be written.
const FLUSH_MAX: Duration = Duration::from_secs(5);

/// How long after the drain's limit the last BYEs and CANCELs may take: a peer that says nothing
/// would keep us for 64*T1.
const GOODBYES_MAX: Duration = Duration::from_secs(5);
/// The same after a second signal: somebody is in a hurry.
const HURRIED_GOODBYES_MAX: Duration = Duration::from_secs(2);
/// How long the last figures of the streams may take after that.
const FIGURES_MAX: Duration = Duration::from_secs(1);

/// Why the server did not run, or did not go on.
#[derive(Debug)]
pub(crate) enum ServeError {
    /// The configuration is wrong.
    Config(Vec<Problem>),
    /// Something it needs cannot be had.
    Failed(String),
}

impl ServeError {
    fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Runs the server until it is told to end.
pub(crate) fn serve(arguments: &cli::Serve) -> Result<(), ServeError> {
    let (settings, data_dir) = settings(arguments)?;
    let log = log::start(&settings.log);
    log_panics();
    match limits::raise_descriptors() {
        Ok(descriptors) => tracing::info!(descriptors, "descriptors allowed"),
        Err(error) => tracing::warn!(%error, "the limit of descriptors stays as it is"),
    }
    let result = run(settings, &data_dir, arguments.config.clone(), log.level());
    if let Err(ServeError::Failed(reason)) = &result {
        tracing::error!(reason, "hookflash ends");
    }
    result
}

/// The named configuration, or that of the demo, which is made at the first start.
fn settings(arguments: &cli::Serve) -> Result<(Settings, PathBuf), ServeError> {
    let given = arguments.data_dir.as_deref();
    if let Some(file) = &arguments.config {
        let settings = config::load(file).map_err(ServeError::Config)?;
        let data_dir = demo::data_dir(given.or(settings.data_dir.as_deref()));
        let private = demo::make_private_dir(&data_dir);
        private.map_err(|error| ServeError::Failed(format!("{}: {error}", data_dir.display())))?;
        return Ok((settings, data_dir));
    }
    let data_dir = demo::data_dir(given);
    let named = |error| ServeError::Failed(format!("{}: {error}", data_dir.display()));
    let mut rng = Rng::new(seed().map_err(ServeError::failed)?);
    let is_first_start = demo::create(&data_dir, &mut rng).map_err(named)?;
    let file = demo::file(&data_dir);
    let settings = config::load(&file).map_err(ServeError::Config)?;
    if is_first_start {
        tell(demo::welcome(&settings, &file));
    } else {
        tell(format_args!("Demo without --config; extensions and passwords: {}", file.display()));
    }
    Ok((settings, data_dir))
}

/// A panic is told by its place only: its message may hold what a peer sent.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic");
    }));
}

fn run(
    mut settings: Settings,
    data_dir: &Path,
    file: Option<PathBuf>,
    level: log::Level,
) -> Result<(), ServeError> {
    let store = Store::open(&StoreConfig {
        database: data_dir.join("hookflash.sqlite"),
        call_records: Some(data_dir.join(&settings.records.file)),
        call_records_len_max: settings.records.rotate_bytes,
        call_records_keep: settings.records.keep,
    });
    let store = Arc::new(store.map_err(ServeError::failed)?);
    let bindings = store.load_registrations().map_err(ServeError::failed)?;

    let networks = settings.core.trunks.iter().flat_map(|trunk| trunk.networks.clone()).collect();
    let known = Arc::new(KnownSources::new(networks));
    let bound = sip_net::bind(net_config(&settings, &known)).map_err(ServeError::failed)?;
    let clock = bound.clock();
    let (inputs, waiting) = mpsc::channel(INPUTS_MAX);
    let lost_media_events = Arc::<AtomicU64>::default();
    let lost = Arc::clone(&lost_media_events);
    let certificate = dtls::certificate(data_dir).map_err(ServeError::Failed)?;
    settings.core.media.dtls = Some(Fingerprint::of(&certificate.certificate, Hash::Sha256));
    let media = start_media(&settings, data_dir, certificate, inputs.clone(), lost)?;
    let sounds = media.sounds();
    let mut rim = Rim::new(Arc::clone(&store), media, known, bound.bans(), clock);
    rim.restored(&bindings);

    let core_seed = seed().map_err(ServeError::failed)?;
    let (now, wall) = (clock.now(), wall());
    let at_zero = WallTime(wall.0.saturating_sub(millis(now - Time::ZERO)));
    tell_listeners(&bound, &settings, bindings.len());
    // The first input, before anything from the wire: it starts the core too.
    let restore = Input::Restore { wall, bindings };
    inputs.try_send(restore).map_err(ServeError::failed)?;
    // After it: the API asks what was restored.
    let sources = web::Sources { net: bound.stats(), store: Arc::clone(&store), lost_media_events };
    let drain = serve_api(&mut settings, data_dir, &inputs, &mut rim, sources)?;
    let core = Started::new(b2bua::Core::new(settings.core, core_seed, at_zero));
    let (stop, stopped) = oneshot::channel();
    let renewal = Renewal { file, level, certificates: bound.certificates(), sounds };
    let draining = Draining { inputs, stop, api: drain, limit: settings.drain_limit };
    watch_signals(draining, renewal, settings.memory_max).map_err(ServeError::failed)?;
    let (mut core, ended) =
        bound.run(core, Box::new(rim), waiting, stopped).map_err(ServeError::failed)?;
    match ended {
        Ended::Drained => tracing::info!("drained: no call is left"),
        Ended::Stopped => {
            tracing::warn!(calls = core.core.calls_len(), "stopped without the last figures");
            for record in core.core.last_records(clock.now()) {
                if !store.save(Write::Call(Box::new(record))) {
                    tracing::error!("the store is full: a call record is lost");
                }
            }
        }
    }
    if !store.flush(FLUSH_MAX) {
        tracing::error!(pending = store.stats().pending, "not everything could be stored");
    }
    Ok(())
}

/// Serves the API if there shall be one, and has the core tell it what happens.
fn serve_api(
    settings: &mut Settings,
    data_dir: &Path,
    inputs: &mpsc::Sender<Input>,
    rim: &mut Rim,
    sources: web::Sources,
) -> Result<Option<api::Drain>, ServeError> {
    let web = web::start(settings, data_dir, inputs, sources).map_err(ServeError::Failed)?;
    let Some(web) = web else { return Ok(None) };
    tracing::info!(address = %web.address, "the API is served");
    settings.core.interactions.events = true;
    rim.tell(web.teller);
    Ok(Some(web.drain))
}

/// The core, started by its first input: what the start asks for reaches the shells.
struct Started {
    core: b2bua::Core,
    is_started: bool,
}

impl Started {
    fn new(core: b2bua::Core) -> Self {
        Self { core, is_started: false }
    }
}

impl sip_net::Core for Started {
    fn handle(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        if !self.is_started {
            self.is_started = true;
            self.core.start(now, out);
        }
        #[cfg(debug_assertions)]
        if let Some(call) = crate::poison::take() {
            self.core.poison(call);
        }
        self.core.handle(now, input, out);
    }

    fn next_timeout(&self) -> Option<Time> {
        self.core.next_timeout()
    }
}

fn net_config(settings: &Settings, known: &Arc<KnownSources>) -> NetConfig {
    let net = &settings.net;
    let tls = settings.tls.as_ref();
    let files = tls.and_then(|tls| {
        let (cert, key) = (tls.certificate.clone()?, tls.key.clone()?);
        Some(TlsFiles { cert, key, client_ca: tls.client_ca.clone() })
    });
    let listen = settings.core.listen.iter().map(|listen| ListenSpec {
        transport: listen.transport,
        address: listen.address,
        tls: files.clone().filter(|_| listen.transport.is_secure()),
        ws_origins: net.websocket_origins.clone(),
    });
    let rate = |per_second: u32| Rate { per_second, burst: per_second.saturating_mul(2) };
    NetConfig {
        listen: listen.collect(),
        connections: ConnectionLimits {
            total: net.connections_max,
            per_address: net.connections_per_address_max,
            idle: net.idle_timeout,
            partial: net.message_timeout,
            handshake: net.handshake_timeout,
            ..ConnectionLimits::default()
        },
        tls_client: TlsClient {
            ca_file: tls.and_then(|tls| tls.trusted_ca.clone()),
            ca_by_name: settings.trusted_ca_by_name.clone(),
            identity: files.map(|files| (files.cert, files.key)),
        },
        admission: AdmissionConfig {
            unknown: rate(net.messages_per_second_max),
            known: rate(net.known_messages_per_second_max),
        },
        known: Arc::clone(known),
        resolver: ResolverConfig { name_servers: net.name_servers.clone(), ..Default::default() },
    }
}

fn start_media(
    settings: &Settings,
    data_dir: &Path,
    certificate: Certificate,
    inputs: mpsc::Sender<Input>,
    lost: Arc<AtomicU64>,
) -> Result<MediaNet, ServeError> {
    let engine = &settings.engine;
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let udp = settings.core.listen.iter().filter(|listen| listen.transport == Transport::Udp);
    // ATTACKS 4: no media to our own ports. The engine itself refuses those of its streams; a phone
    // beside us may have another one of the same range.
    let own_ports =
        udp.map(|listen| listen.address.port()..=listen.address.port()).collect::<Vec<_>>();
    let config = MediaNetConfig {
        workers: engine.workers.unwrap_or(cpus / 2).max(1),
        music: engine.music.clone(),
        country: engine.tones,
        announcements: engine.announcements.clone(),
        mixing: engine.mixing,
        realtime: engine.realtime,
        own_ports,
        recording: settings.core.media.recording.map(|_| RecordingConfig {
            directory: data_dir.join(&settings.recordings),
            queue: RECORDING_QUEUE,
        }),
        seed: seed().map_err(ServeError::failed)?,
        dtls: Some(certificate),
        ..MediaNetConfig::default()
    };
    let events = move |event| {
        let ends_a_stream = matches!(event, MediaEvent::Closed { .. } | MediaEvent::Broken { .. });
        match inputs.try_send(Input::Media(event)) {
            // The record of its call waits for this one. The core never waits for us: no deadlock.
            Err(mpsc::error::TrySendError::Full(event)) if ends_a_stream => {
                let _ = inputs.blocking_send(event);
            }
            Err(_) => {
                lost.fetch_add(1, Ordering::Relaxed);
                tracing::error!("an event of a stream is lost: the core does not keep up");
            }
            Ok(()) => {}
        }
    };
    MediaNet::start(config, events).map_err(ServeError::failed)
}

/// What a drain needs.
struct Draining {
    inputs: mpsc::Sender<Input>,
    stop: oneshot::Sender<()>,
    /// Says that the server is not ready.
    api: Option<api::Drain>,
    /// How long calls may go on.
    limit: Duration,
}

/// The first SIGTERM or SIGINT drains, the second hangs up what is left. Whoever does not answer a
/// BYE in time is not waited for: its call is over, and recorded. SIGHUP renews.
fn watch_signals(
    draining: Draining,
    renewal: Renewal,
    memory_max: Option<u64>,
) -> std::io::Result<()> {
    let Draining { inputs, stop, api, limit } = draining;
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut terminate, mut interrupt, mut hangup) = {
        let _context = runtime.enter();
        let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
        let [terminate, interrupt, hangup] = kinds.map(signal);
        (terminate?, interrupt?, hangup?)
    };
    runtime.spawn(async move {
        while hangup.recv().await.is_some() {
            renewal.renew();
        }
    });
    if let Some(max) = memory_max {
        runtime.spawn(memory::watch(max, inputs.clone()));
    }
    #[cfg(debug_assertions)]
    runtime.spawn(crate::poison::watch());
    let watch = async move {
        let mut signalled = async || {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        };
        signalled().await;
        tracing::info!(limit_s = limit.as_secs(), "draining: no new calls");
        if let Some(api) = api {
            // Before the core is told: who balances calls sends no more from now on.
            api.begin();
        }
        // The core is gone: nothing is left to drain.
        let _ = inputs.send(Input::Drain { limit }).await;
        let is_hurried = tokio::select! {
            () = signalled() => true,
            () = tokio::time::sleep(limit + GOODBYES_MAX) => false,
        };
        if is_hurried {
            tracing::info!("hanging up: told twice to end");
            let _ = inputs.send(Input::Drain { limit: Duration::ZERO }).await;
            tokio::time::sleep(HURRIED_GOODBYES_MAX).await;
        }
        let _ = inputs.send(Input::GiveUp).await;
        tokio::time::sleep(FIGURES_MAX).await;
        let _ = stop.send(());
    };
    let thread = std::thread::Builder::new().name("signals".into());
    thread.spawn(move || runtime.block_on(watch)).map(drop)
}

fn tell_listeners(bound: &Bound, settings: &Settings, registrations: usize) {
    for (transport, address) in bound.local_addrs() {
        tracing::info!(transport = transport.as_str(), %address, "listening");
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        extensions = settings.core.extensions.len(),
        trunks = settings.core.trunks.len(),
        registrations,
        "hookflash is ready"
    );
}

fn wall() -> WallTime {
    // A clock before 1970 gives records of 1970, and nothing worse.
    WallTime(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
