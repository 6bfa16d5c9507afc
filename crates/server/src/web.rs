//! The API among the other shells: its own thread, what it is told, and what it may look at.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use api::{Api, ConfigProblem, CoreTeller, Drain, EntryPoint, Figure, RecordQuery, Route, Shells};
use b2bua::io::Input;
use call::record::CallRecord;
use sip_net::Stats;
use store::{CallRecordReader, Store};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::config::{self, Settings};

/// What the others count that the metrics page shows.
pub(crate) struct Sources {
    /// The network shell's counters.
    pub(crate) net: Arc<Stats>,
    /// The store.
    pub(crate) store: Arc<Store>,
    /// Events of streams that found no room in the core's queue.
    pub(crate) lost_media_events: Arc<AtomicU64>,
}

/// The served API.
pub(crate) struct Web {
    /// What the core's thread tells it with.
    pub(crate) teller: CoreTeller,
    /// Told when the server drains.
    pub(crate) drain: Drain,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

/// Binds and serves the API, if the configuration has one, until the process ends.
pub(crate) fn start(
    settings: &Settings,
    data_dir: &Path,
    inputs: &mpsc::Sender<Input>,
    sources: Sources,
) -> Result<Option<Web>, String> {
    let Some(api) = &settings.api else { return Ok(None) };
    let listener = std::net::TcpListener::bind(api.address)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    let listener = listener.map_err(|error| format!("API on {}: {error}", api.address))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let shells = shells(settings, data_dir, inputs, sources);
    let (api, teller) = Api::new(api_settings(settings, api), inputs.clone(), shells);
    let drain = api.drain();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let serve = async move {
        match TcpListener::from_std(listener) {
            Ok(listener) => api.serve(listener).await,
            Err(error) => tracing::error!(%error, "the API cannot be served"),
        }
    };
    let thread = std::thread::Builder::new().name("api".into());
    thread.spawn(move || runtime.block_on(serve)).map_err(|error| error.to_string())?;
    Ok(Some(Web { teller, drain, address }))
}

fn api_settings(settings: &Settings, api: &config::Api) -> api::Settings {
    let core = &settings.core;
    let may_use = |route: &str| {
        let extensions = core.extensions.iter();
        let allowed = extensions.filter(|one| one.routes.iter().any(|name| name == route));
        allowed.map(|one| one.number.clone()).collect()
    };
    let routes = core.routes.iter().map(|route| Route {
        id: route.name.clone(),
        prefixes: route.prefixes.clone(),
        digits_min: route.digits_min,
        digits_max: route.digits_max,
        trunks: route.trunks.clone(),
        extensions: may_use(&route.name),
    });
    let entry_points = core.entry_points.iter().map(|point| EntryPoint {
        number: point.number.clone(),
        trunk: point.trunk.clone(),
        extension: point.extension.clone(),
    });
    api::Settings {
        tokens: api.tokens.clone(),
        origins: api.origins.clone(),
        limits: api.limits,
        streams_max: api.streams_max,
        events_kept: api.events_kept,
        public_metrics: api.public_metrics,
        mask_numbers: core.interactions.mask_numbers,
        routes: routes.collect(),
        entry_points: entry_points.collect(),
    }
}

fn shells(
    settings: &Settings,
    data_dir: &Path,
    inputs: &mpsc::Sender<Input>,
    sources: Sources,
) -> Shells {
    let file = data_dir.join(&settings.records.file);
    let reader = CallRecordReader::new(&file, settings.records.keep);
    let finder = reader.clone();
    // Weak: what waits for the core must end when all who speak to it have.
    let inputs = inputs.downgrade();
    Shells {
        records: Box::new(move |query| page(&reader, query)),
        record: Box::new(move |id| finder.find(id)),
        check: Box::new(check),
        figures: Box::new(move || figures(&sources, &inputs)),
        recordings: data_dir.join(&settings.recordings),
    }
}

fn page(reader: &CallRecordReader, query: &RecordQuery) -> std::io::Result<Vec<CallRecord>> {
    reader.page(query.limit, query.before.as_deref(), |record| {
        let own = query.extension.as_deref();
        let takes_part = own.is_none_or(|own| record.legs.iter().any(|leg| leg.party == own));
        takes_part && (!query.recorded || record.recording.is_some())
    })
}

/// Files that it names are looked for where nothing is: an API must not tell what files there are.
fn check(text: &str) -> Vec<ConfigProblem> {
    let nowhere = PathBuf::from("/nonexistent");
    let problems = config::read("", text, &nowhere).err().unwrap_or_default();
    let told =
        |problem: config::Problem| ConfigProblem { line: problem.line, reason: problem.reason };
    problems.into_iter().map(told).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counters far below 2^52")]
fn figures(sources: &Sources, inputs: &mpsc::WeakSender<Input>) -> Vec<Figure> {
    let figure = |name: String, is_counter, help, value: u64| Figure {
        name,
        is_counter,
        help,
        value: value as f64,
    };
    let net = sources.net.snapshot();
    let mut all: Vec<_> = net
        .entries()
        .map(|(name, value)| {
            figure(format!("sip_{name}_total"), true, "See sip_net::Stats.", value)
        })
        .collect();
    let store = sources.store.stats();
    let waiting = inputs.upgrade().map_or(0, |inputs| inputs.max_capacity() - inputs.capacity());
    let lost = sources.lost_media_events.load(Ordering::Relaxed);
    all.extend([
        figure("store_pending".into(), false, "Writes that wait.", store.pending as u64),
        figure("store_written_total".into(), true, "Writes that were done.", store.written),
        figure("store_dropped_total".into(), true, "Writes that found no room.", store.dropped),
        figure(
            "store_failing".into(),
            false,
            "Whether the last write failed.",
            store.failing.into(),
        ),
        figure(
            "core_inputs_waiting".into(),
            false,
            "Inputs of media and API that wait.",
            waiting as u64,
        ),
        figure(
            "media_events_lost_total".into(),
            true,
            "Events of streams that found no room.",
            lost,
        ),
    ]);
    all
}
