//! `[[extension]]`, `[[trunk]]`, `[[route]]`, `[[entry_point]]`, and what they say of each other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use b2bua::config::{DtmfForm, EntryPoint, Extension, Listen, Network, Route, SrtpPolicy, Trunk};
use media::sound::ANNOUNCEMENTS_MAX;
use sip::transport::Transport;

use super::listen::speaks;
use super::reader::{At, Section, Sink, Span};
use super::secret::password;
use super::trunks::{DTMF, Offered, ReadTrunk, SRTP, TRUNKS_MAX, noise, trunk};
use super::{Tls, values};

/// Most extensions, and most entry points.
const PARTIES_MAX: usize = 100_000;
/// Most routes.
const ROUTES_MAX: usize = 1000;

/// Whom calls come from and go to.
pub(super) struct Parties {
    pub(super) extensions: Vec<Extension>,
    pub(super) trunks: Vec<Trunk>,
    pub(super) routes: Vec<Route>,
    pub(super) entry_points: Vec<EntryPoint>,
    /// Files that entry points announce, each once.
    pub(super) announcements: Vec<PathBuf>,
    pub(super) trusted_ca_by_name: BTreeMap<String, PathBuf>,
}

/// A name in one table that must exist in another.
struct Reference {
    name: At<String>,
    from: &'static str,
}

/// Reads all parties.
pub(super) fn parties(
    root: &mut Section<'_>,
    sink: &Sink,
    directory: &Path,
    listen: &[At<Listen>],
    tls: Option<&Tls>,
) -> Parties {
    let offered = Offered {
        client_certificates: tls.is_some_and(|tls| tls.client_ca.is_some())
            && speaks(listen, Transport::Tls),
    };
    let (mut to_routes, mut to_trunks, mut to_extensions) = (Vec::new(), Vec::new(), Vec::new());
    let extensions: Vec<_> = tables(root, "extension", PARTIES_MAX)
        .into_iter()
        .map(|section| extension(section, sink, directory, &mut to_routes))
        .collect();
    let trunks: Vec<_> = tables(root, "trunk", TRUNKS_MAX)
        .into_iter()
        .map(|section| trunk(section, sink, directory, offered))
        .collect();
    let routes: Vec<_> = tables(root, "route", ROUTES_MAX)
        .into_iter()
        .map(|section| route(section, &mut to_trunks))
        .collect();
    let mut announcements = Vec::new();
    let entry_points: Vec<_> = tables(root, "entry_point", PARTIES_MAX)
        .into_iter()
        .map(|section| {
            entry_point(section, directory, &mut announcements, &mut to_trunks, &mut to_extensions)
        })
        .collect();

    let numbers =
        unique(sink, "extension", extensions.iter().map(|e| (e.value.number.clone(), &e.span)));
    let trunk_names =
        unique(sink, "trunk", trunks.iter().map(|t| (t.trunk.value.name.clone(), &t.trunk.span)));
    let route_names = unique(sink, "route", routes.iter().map(|r| (r.value.name.clone(), &r.span)));
    let entry = |at: &At<EntryPoint>| match &at.value.trunk {
        Some(trunk) => format!("{} on trunk {trunk}", at.value.number),
        None => at.value.number.clone(),
    };
    unique(sink, "entry_point", entry_points.iter().map(|at| (entry(at), &at.span)));
    known(sink, &to_routes, &route_names, "route");
    known(sink, &to_trunks, &trunk_names, "trunk");
    known(sink, &to_extensions, &numbers, "extension");
    callable(sink, &trunks, &to_trunks);
    disjoint(sink, &trunks);
    Parties {
        trusted_ca_by_name: trunks.iter().flat_map(authorities).collect(),
        extensions: extensions.into_iter().map(|at| at.value).collect(),
        trunks: trunks.into_iter().map(|read| read.trunk.value).collect(),
        routes: routes.into_iter().map(|at| at.value).collect(),
        entry_points: entry_points.into_iter().map(|at| at.value).collect(),
        announcements,
    }
}

/// The names its targets' certificates must carry, each with the trunk's own authorities.
fn authorities(read: &ReadTrunk) -> Vec<(String, PathBuf)> {
    let Some(path) = &read.trusted_ca else { return Vec::new() };
    let hosts = read.trunk.value.targets.iter().filter_map(|target| {
        let uri = target.parse::<sip::message::Uri>().ok()?;
        Some((uri.host.to_string(), path.clone()))
    });
    hosts.collect()
}

fn tables<'a>(root: &mut Section<'a>, key: &'static str, most: usize) -> Vec<Section<'a>> {
    let mut sections = root.tables(key);
    if let Some(first_beyond) = sections.get(most) {
        first_beyond.problem(format!("more than {most} [[{key}]]"));
        sections.truncate(most);
    }
    sections
}

fn extension(
    mut section: Section<'_>,
    sink: &Sink,
    directory: &Path,
    to_routes: &mut Vec<Reference>,
) -> At<Extension> {
    let number = section.required_parsed("number", values::name_or_number);
    let display_name = section.parsed("display_name", values::display);
    let caller_id = section.parsed("caller_id", values::number);
    let routes = section.texts("routes").unwrap_or_default();
    let extension = Extension {
        display_name: display_name.map_or_else(|| number.value.clone(), |at| at.value),
        password: password(&mut section, sink, directory),
        number: number.value,
        caller_id: caller_id.map(|at| at.value),
        routes: routes.iter().map(|at| at.value.clone()).collect(),
        calls_max: values::size(section.number("calls_max", 1..=10_000, 4)),
        calls_per_minute_max: values::count(section.number(
            "calls_per_minute_max",
            1..=100_000,
            30,
        )),
        noise_removal: noise(&mut section, "noise_removal", "noise_attenuation_db"),
        own_noise_removal: noise(&mut section, "own_noise_removal", "own_noise_attenuation_db"),
        srtp: section.word("srtp", SRTP, SrtpPolicy::Auto),
        dtmf: section.word("dtmf", DTMF, DtmfForm::Auto),
    };
    to_routes.extend(routes.into_iter().map(|name| Reference { name, from: "routes" }));
    if extension.password.reveal().contains(&extension.number) && !extension.number.is_empty() {
        section.problem("the password must not contain the extension's number");
    }
    let span = section.span.clone();
    section.finish();
    At::new(extension, span)
}

fn route(mut section: Section<'_>, to_trunks: &mut Vec<Reference>) -> At<Route> {
    let name = section.required_parsed("name", values::name);
    let prefixes = section.texts_parsed("prefixes", values::digits).unwrap_or_default();
    let prepend = section.parsed("prepend", values::digits);
    let trunks = section.texts("trunks").unwrap_or_default();
    let digits_max = b2bua::numbers::NUMBER_MAX as u64;
    let route = Route {
        name: name.value,
        prefixes: prefixes.into_iter().map(|at| at.value).collect(),
        digits_min: values::size(section.number("digits_min", 1..=digits_max, 3)),
        digits_max: values::size(section.number("digits_max", 1..=digits_max, 18)),
        strip: values::size(section.number("strip", 0..=digits_max, 0)),
        prepend: prepend.map(|at| at.value).unwrap_or_default(),
        trunks: trunks.iter().map(|at| at.value.clone()).collect(),
    };
    if route.prefixes.is_empty() && !section.has_items("prefixes") {
        section.problem("a route needs `prefixes`; [\"\"] takes every number");
    }
    if route.trunks.is_empty() && !section.has_items("trunks") {
        section.problem("a route needs `trunks`");
    }
    if route.digits_min > route.digits_max {
        section.problem("`digits_min` must not exceed `digits_max`");
    }
    if route.strip >= route.digits_max {
        section.problem("`strip` would leave nothing of any number");
    }
    to_trunks.extend(trunks.into_iter().map(|name| Reference { name, from: "trunks" }));
    let span = section.span.clone();
    section.finish();
    At::new(route, span)
}

fn entry_point(
    mut section: Section<'_>,
    directory: &Path,
    announced: &mut Vec<PathBuf>,
    to_trunks: &mut Vec<Reference>,
    to_extensions: &mut Vec<Reference>,
) -> At<EntryPoint> {
    let number = section.required_parsed("number", values::name_or_number);
    let trunk = section.text("trunk");
    let extension = section.required("extension");
    let entry_point = EntryPoint {
        number: number.value,
        trunk: trunk.as_ref().map(|at| at.value.clone()),
        extension: extension.value.clone(),
        announcements: announcements(&mut section, directory, announced),
        answer_first: section.flag("answer_first", false),
    };
    to_trunks.extend(trunk.map(|name| Reference { name, from: "trunk" }));
    if section.has("extension") {
        to_extensions.push(Reference { name: extension, from: "extension" });
    }
    let span = section.span.clone();
    section.finish();
    At::new(entry_point, span)
}

/// The files that are announced, by their places in the list of all.
fn announcements(
    section: &mut Section<'_>,
    directory: &Path,
    announced: &mut Vec<PathBuf>,
) -> Vec<u32> {
    let files = section.texts_parsed("announcements", |name| values::readable(directory, name));
    let files = files.unwrap_or_default();
    if files.len() > ANNOUNCEMENTS_MAX {
        section.problem(format!("more than {ANNOUNCEMENTS_MAX} `announcements`"));
    }
    let place = |file: At<PathBuf>| {
        let known = announced.iter().position(|known| *known == file.value);
        let at = known.unwrap_or_else(|| {
            announced.push(file.value);
            announced.len() - 1
        });
        u32::try_from(at).unwrap_or(u32::MAX)
    };
    files.into_iter().map(place).collect()
}

/// All names, each reported when it stands twice.
fn unique<'a>(
    sink: &Sink,
    what: &str,
    names: impl Iterator<Item = (String, &'a Span)>,
) -> BTreeMap<String, Span> {
    let mut first = BTreeMap::new();
    for (name, span) in names {
        if !name.is_empty() && first.contains_key(&name) {
            sink.problem(span, format!("[[{what}]] {name} stands twice"));
        }
        first.entry(name).or_insert_with(|| span.clone());
    }
    first
}

fn known(sink: &Sink, references: &[Reference], names: &BTreeMap<String, Span>, what: &str) {
    for Reference { name, from } in references {
        if !names.contains_key(&name.value) {
            let reason =
                format!("`{from}` names \"{}\", but there is no such [[{what}]]", name.value);
            sink.problem(&name.span, reason);
        }
    }
}

/// A route's trunk must say where its calls go.
fn callable(sink: &Sink, trunks: &[ReadTrunk], references: &[Reference]) {
    for Reference { name, from } in references {
        let trunk = trunks.iter().find(|read| read.trunk.value.name == name.value);
        let no_targets = trunk.is_some_and(|read| !read.has_targets);
        if *from == "trunks" && no_targets {
            sink.problem(
                &name.span,
                format!("trunk {} has no `targets` to send calls to", name.value),
            );
        }
    }
}

/// A source address must be one trunk only.
fn disjoint(sink: &Sink, trunks: &[ReadTrunk]) {
    let mut seen: Vec<(Network, &str)> = Vec::new();
    for read in trunks {
        for At { value: network, span } in &read.networks {
            let overlapping = seen.iter().find(|(other, name)| {
                *name != read.trunk.value.name
                    && (other.contains(network.address) || network.contains(other.address))
            });
            if let Some((other, name)) = overlapping {
                let (address, prefix) = (other.address, other.prefix);
                sink.problem(span, format!("overlaps {address}/{prefix} of trunk {name}"));
            }
        }
        seen.extend(read.networks.iter().map(|at| (at.value, read.trunk.value.name.as_str())));
    }
}
