//! The whole core as a run of operations: peers that follow a script, peers that do not, time,
//! media, look-ups, failures, restarts. See [`world`] for what must hold after every one of them.

mod config;
mod peer;
mod streams;
mod text;
mod world;

use std::time::Duration;

use b2bua::io::Input;
use bytes::Bytes;
use media::command::MediaEvent;
use sip::message::Message;
use sip::transport::Target;

use crate::edit::edited;
use crate::reader::Reader;
use peer::{CARRIER, STRANGER};
use world::World;

/// Most operations of one run.
const OPERATIONS_MAX: usize = 200;
/// Longest message of the input's own.
const RAW_MAX: usize = 255;

const PAUSES_MS: [u64; 12] =
    [10, 100, 500, 1000, 4000, 10_000, 32_000, 64_000, 180_000, 900_000, 1_800_000, 4_000_000];

/// The first two bytes choose the configuration; the rest are operations.
pub fn whole_core(bytes: &[u8]) {
    run(bytes);
}

/// SIP status of every call of the run.
fn run(bytes: &[u8]) -> Vec<u16> {
    let mut reader = Reader::new(bytes);
    let mut world = World::new(config::config(reader.number()));
    for _ in 0..OPERATIONS_MAX {
        if reader.is_empty() {
            break;
        }
        operation(&mut world, &mut reader);
    }
    world.finish();
    world.results
}

fn operation(world: &mut World, reader: &mut Reader<'_>) {
    match reader.below(32) {
        0..=2 => call_from_trunk(world, reader),
        3 | 4 => register(world, reader),
        5 | 6 => call_from_phone(world, reader),
        7..=13 => reply(world, reader),
        14..=18 => inside_dialog(world, reader),
        19 => by_the_book(world, reader),
        20 => stranger(world, reader),
        21 => raw(world, reader),
        22 => repeat(world, reader),
        23..=25 => world.pass(Duration::from_millis(*reader.pick(&PAUSES_MS))),
        26 => media(world, reader),
        27 => resolved(world, reader),
        28 => failure(world, reader),
        29 => world.restore_snapshot(),
        30 => any_request(world, reader),
        _ => rare(world, reader),
    }
}

fn call_from_trunk(world: &mut World, reader: &mut Reader<'_>) {
    let from = CARRIER + reader.below(2);
    let number = *reader.pick(&["+4930100", "+4930100", "+4930100", "1001", "0441234", "x%00y"]);
    let text = world.peers[from].invite(number, text::body(reader), text::extras(reader));
    world.deliver(from, &edited(text.as_bytes(), reader));
}

fn register(world: &mut World, reader: &mut Reader<'_>) {
    let from = phone(reader);
    let expires = *reader.pick(&["600", "600", "0", "61", "1", "4294967295"]);
    let text = world.peers[from].register(expires);
    let text = edited(text.as_bytes(), reader);
    world.ask(from, &text);
}

fn call_from_phone(world: &mut World, reader: &mut Reader<'_>) {
    let from = phone(reader);
    let number = *reader.pick(&["1002", "1001", "0441234", "0441234", "+4930100", "9999"]);
    let text = world.peers[from].invite(number, text::body(reader), text::extras(reader));
    let text = edited(text.as_bytes(), reader);
    world.ask(from, &text);
}

/// Answers one of the last requests a peer got.
fn reply(world: &mut World, reader: &mut Reader<'_>) {
    let from = trusted(reader);
    let peer = &world.peers[from];
    let Some(request) = reader.recent(&peer.requests).cloned() else { return };
    let status = *reader.pick(text::STATUSES);
    let fork = reader.byte();
    let text = peer.reply(&request, status, fork, text::body(reader), text::extras(reader));
    world.deliver(from, &edited(text.as_bytes(), reader));
}

/// A request in the dialog of one of the last messages a peer got.
fn inside_dialog(world: &mut World, reader: &mut Reader<'_>) {
    let from = trusted(reader);
    let Some(known) = reader.recent(&world.peers[from].dialogs).cloned() else { return };
    let method = *reader.pick(text::IN_DIALOG);
    let (body, extras) = (text::body(reader), text::extras(reader));
    let text = world.peers[from].inside(&known, method, body, extras);
    world.deliver(from, &edited(text.as_bytes(), reader));
}

/// What a good peer would do now: 2xx for requests, ACK for 2xx.
fn by_the_book(world: &mut World, reader: &mut Reader<'_>) {
    let from = trusted(reader);
    let body = text::body(reader);
    let peer = &mut world.peers[from];
    let mut texts = Vec::new();
    for request in std::mem::take(&mut peer.requests) {
        texts.push(peer.reply(&request, "200 OK", 0, body.clone(), ""));
    }
    for known in peer.dialogs.clone() {
        if matches!(&known, Message::Response(response) if response.status.is_success()) {
            texts.push(peer.inside(&known, "ACK", String::new(), ""));
        }
    }
    for text in texts {
        world.deliver(from, text.as_bytes());
    }
}

/// Somebody we do not know, who knows everything that was said, and says what a trunk or a phone
/// would say, or has said.
fn stranger(world: &mut World, reader: &mut Reader<'_>) {
    let text = match reader.below(8) {
        0 => world.peers[STRANGER].invite("+4930100", text::body(reader), text::extras(reader)),
        1 => world.peers[STRANGER].register("600"),
        2 => {
            let overheard = &world.peers[trusted(reader)].dialogs;
            let Some(known) = reader.recent(overheard).cloned() else { return };
            let method = *reader.pick(text::IN_DIALOG);
            world.peers[STRANGER].inside(&known, method, text::body(reader), text::extras(reader))
        }
        3 => {
            let method = *reader.pick(text::METHODS);
            world.peers[STRANGER].request(method, "1001", text::body(reader), text::extras(reader))
        }
        4 | 5 => {
            let peer = trusted(reader);
            let Some(known) = reader.recent(&world.peers[peer].dialogs).cloned() else { return };
            let method = *reader.pick(text::IN_DIALOG);
            world.peers[peer].inside(&known, method, text::body(reader), text::extras(reader))
        }
        6 => {
            let overheard = &world.peers[trusted(reader)].sent;
            let Some(said) = reader.recent(overheard) else { return };
            // ATTACKS 14: who knows our branches can forge responses.
            if said.starts_with(b"SIP/2.0") {
                return;
            }
            String::from_utf8_lossy(said).into_owned()
        }
        _ => return world.deliver(STRANGER, reader.some(RAW_MAX)),
    };
    world.deliver(STRANGER, &edited(text.as_bytes(), reader));
}

fn raw(world: &mut World, reader: &mut Reader<'_>) {
    let from = trusted(reader);
    world.deliver(from, reader.some(RAW_MAX));
}

/// The network, or somebody on the way, repeats a datagram.
fn repeat(world: &mut World, reader: &mut Reader<'_>) {
    let from = trusted(reader);
    let Some(text) = reader.recent(&world.peers[from].sent).cloned() else { return };
    let by = if reader.one_in(8) { trusted(reader) } else { from };
    world.deliver(by, &edited(&text, reader));
}

fn media(world: &mut World, reader: &mut Reader<'_>) {
    let Some(stream) = reader.recent(&world.streams.open()).copied() else { return };
    let event = match reader.below(6) {
        0 => MediaEvent::FirstPacket { stream, from: world.peers[CARRIER].address },
        1 => MediaEvent::RtpTimeout { stream },
        2 => MediaEvent::RtpResumed { stream },
        3 => MediaEvent::Stats { stream, stats: Box::default() },
        4 => MediaEvent::Broken { stream },
        _ => {
            world.streams.failed(stream);
            let taken = reader.one_in(2);
            MediaEvent::BindFailed { stream, error: "address in use".into(), taken }
        }
    };
    world.input(Input::Media(event));
}

fn resolved(world: &mut World, reader: &mut Reader<'_>) {
    let Some(query) = reader.recent(&world.queries).copied() else { return };
    let targets: Vec<Target> =
        (0..reader.below(4)).map(|_| world.peers[reader.below(STRANGER)].target()).collect();
    world.queries.retain(|open| *open != query || reader.one_in(8)); // answered twice, now and then
    world.input(Input::Resolved { query, targets });
}

fn failure(world: &mut World, reader: &mut Reader<'_>) {
    if reader.one_in(2) {
        let flow = world.peers[trusted(reader)].flow;
        return world.input(Input::FlowClosed(flow));
    }
    let Some(transaction) = reader.recent(&world.transactions).copied() else { return };
    world.input(Input::SendFailed(transaction));
}

fn any_request(world: &mut World, reader: &mut Reader<'_>) {
    let from = trusted(reader);
    let method = *reader.pick(text::METHODS);
    let number = *reader.pick(&["", "1001", "+4930100"]);
    let text = world.peers[from].request(method, number, text::body(reader), text::extras(reader));
    world.ask(from, &edited(text.as_bytes(), reader));
}

fn rare(world: &mut World, reader: &mut Reader<'_>) {
    match reader.below(8) {
        0 => world.drain(Duration::from_millis(*reader.pick(&PAUSES_MS))),
        1 => world.kill_and_start(),
        _ => {}
    }
}

fn trusted(reader: &mut Reader<'_>) -> usize {
    reader.below(STRANGER)
}

fn phone(reader: &mut Reader<'_>) -> usize {
    *reader.pick(&peer::PHONES)
}

/// A datagram as the shell would hand it over.
fn parsed(bytes: &[u8]) -> Result<Message, sip::message::ParseError> {
    sip::message::parse_datagram(Bytes::copy_from_slice(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seeds reach what they are for; else mutations of them reach little.
    #[test]
    fn the_seeds_make_calls() {
        for (name, results) in [
            ("talk", &[200][..]),
            ("hold", &[200]),
            ("out", &[200]),
            ("cancel", &[487]),
            ("inside", &[200]),
            ("drain", &[200]),
        ] {
            let path = crate::corpus::directories("whole_core").remove(0).join(name);
            let bytes = std::fs::read(path).expect("a seed");
            assert_eq!(run(&bytes), results, "{name}");
        }
    }
}
