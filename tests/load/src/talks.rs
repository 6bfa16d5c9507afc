//! Calls with audio through the whole server: customers' calls to a phone, both of which talk.

use std::error::Error;

use interop::client::Client;
use interop::{CUSTOMER, PHONE, Server, Setup, Talk};

use crate::machine::cpu_seconds;
use crate::rtp::{Load, Outcome};
use crate::sip::text::sdp;

const ENTRY: &str = "+4930100";
/// Ports of the phones' audio.
const FIRST_PEER: u16 = 42_000;
/// Calls for which a block of ports has room (`interop::ports`).
const CALLS_PER_BLOCK: u16 = 25;

/// What they cost.
#[derive(Debug)]
pub struct Talked {
    /// CPU of the server in a second, seconds.
    pub cpu: f64,
    /// What was heard; without delays where noise is removed, for then nothing arrives as it was sent.
    pub audio: Outcome,
}

/// `calls` calls talk for `seconds`. With `removes_noise` the server is as it comes, and removes noise
/// from what customers say, which is loud noise then; without it, audio is relayed as it is.
///
/// # Errors
/// When the phones' ports are taken, or the operating system refuses descriptors.
pub fn run(calls: u16, seconds: u32, removes_noise: bool) -> Result<Talked, Box<dyn Error>> {
    let extension = "calls_max = 1000";
    let port_blocks = 1 + calls.div_ceil(CALLS_PER_BLOCK);
    let setup = Setup { extension, log: "warn", port_blocks, ..Setup::default() };
    let server = Server::start(&if removes_noise { setup } else { setup.with_untouched_audio() });
    let mut phone = Client::at(PHONE, server.sip());
    assert_eq!(phone.register("1001", 600).status(), 200);
    let mut customer = Client::at(CUSTOMER, server.sip());
    let mut ports = Vec::new();
    for n in 0..calls {
        let [one, two] = [0, 1].map(|side| sdp(FIRST_PEER + 2 * n + side));
        let (talk, places) = Talk::with_descriptions(customer, phone, ENTRY, [&one, &two]);
        ports.extend(places.map(|place| place.port()));
        Talk { customer, phone, .. } = talk;
    }
    let mut load = Load::towards(&ports, FIRST_PEER)?;
    if removes_noise {
        load.by_sequence(["pcmu"; 2])?;
    }
    load.run(2, 0)?;
    let before = cpu_seconds(server.pid())?;
    let audio = load.run(seconds, 0)?;
    let cpu = (cpu_seconds(server.pid())? - before) / f64::from(seconds);
    server.stop();
    Ok(Talked { cpu, audio })
}
