//! Noise removal in a call as it is shipped (N1, N3): what the agent hears of a customer who speaks in
//! noise, and that nobody else hears any of it.

use std::thread::sleep;
use std::time::Duration;

use interop::client::Client;
use interop::speech::{self, Loudness, PACKET, Packet, Speaker};
use interop::web::{AGENT_1001, Web};
use interop::{CUSTOMER, Interaction, PHONE, Server, Setup, Talk};

const ENTRY: &str = "+4930100"; // leads to 1001
/// Until it is known what is noise, or all of a switch is heard.
const SETTLES: Duration = Duration::from_secs(2);

/// Switches noise removal from what the customer says.
fn switch(web: Web, call: &Interaction, enabled: bool) {
    let customer = call.participant("customer").expect("a customer");
    let customer = customer["id"].as_str().expect("its id");
    let path = format!("/v1/interactions/{}/participants/{customer}/noise-suppression", call.id());
    let answer = web.request("PUT", &path, "", &format!("{{\"enabled\":{enabled}}}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn octets(packets: &[Packet]) -> Vec<u8> {
    packets.iter().flat_map(|packet| packet.payload.iter().copied()).collect()
}

/// One stream: no packet is missing, repeated or out of its time.
#[track_caller]
fn is_whole(packets: &[Packet]) {
    for pair in packets.windows(2) {
        let steps = pair[1].sequence.wrapping_sub(pair[0].sequence);
        let samples = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
        assert_eq!((steps, samples), (1, PACKET as u32), "after {}", pair[0].sequence);
    }
}

/// N1, N3: in a default call the customer's noise goes and the words stay; by command it comes back and
/// goes again, within one stream; the customer hears the agent bit by bit.
#[test]
fn n1_n3_an_agent_hears_the_words_of_a_customer_and_not_the_noise() {
    let server = Server::start(&Setup::with_api());
    let said = speech::in_noise(server.dir());
    let sent = Loudness::of(&said);
    assert!(sent.words - sent.pauses > 15.0, "words in noise: {sent:?}");
    let (mut caller, mut agent) = (Speaker::at(CUSTOMER), Speaker::at(PHONE));
    let mut phone = Client::at(PHONE, server.sip());
    assert_eq!(phone.register("1001", 600).status(), 200);
    let customer = Client::at(CUSTOMER, server.sip());
    let (offer, answer) = (caller.sdp(), agent.sdp());
    let (talk, [to_caller, to_agent]) =
        Talk::with_descriptions(customer, phone, ENTRY, [&offer, &answer]);
    caller.say(said.clone(), to_caller);
    agent.say(said.clone(), to_agent);
    let web = server.web(AGENT_1001);
    let call = Interaction::that_is(web, "connected");
    let length = Duration::from_millis((said.len() / 8) as u64);
    let mut stream = Vec::new();
    let mut hears = || {
        sleep(SETTLES);
        stream.extend(agent.heard());
        sleep(length); // however the words fall into it
        let packets = agent.heard();
        let heard = Loudness::of(&octets(&packets));
        stream.extend(packets);
        heard
    };
    let by_default = hears();
    switch(web, &call, false);
    let switched_off = hears();
    switch(web, &call, true);
    let switched_on = hears();
    for cleaned in [by_default, switched_on] {
        let what = format!("sent {sent:?}, heard {cleaned:?}");
        assert!(cleaned.pauses < sent.pauses - 12.0, "the noise stays: {what}");
        assert!((cleaned.words - sent.words).abs() < 3.0, "the words: {what}");
    }
    let what = format!("sent {sent:?}, heard {switched_off:?}");
    assert!((switched_off.pauses - sent.pauses).abs() < 1.0, "switched off: {what}");
    assert!((switched_off.words - sent.words).abs() < 1.0, "switched off: {what}");
    is_whole(&stream);

    let heard = caller.heard();
    is_whole(&heard);
    let period = said.len() / PACKET;
    let first = heard[0].payload.as_slice();
    let at = said.chunks_exact(PACKET).position(|packet| packet == first);
    let at = at.expect("the customer hears what the agent says");
    let as_said = said.chunks_exact(PACKET).cycle().skip(at);
    let changed = heard.iter().zip(as_said).filter(|(heard, said)| heard.payload != *said).count();
    assert_eq!(changed, 0, "of {} packets to the customer, {period} a sentence", heard.len());
    drop((caller, agent));
    let record = &talk.ends_well(server).records[0];
    assert_eq!(record.of_legs("packetsLost"), [0, 0], "{record:?}");
}
