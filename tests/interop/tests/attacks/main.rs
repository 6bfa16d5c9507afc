//! What an attacker on the network tries, and what breaks by itself, against the running server.
//! A row is one of the list of attacks; each is shown here, at full scale by `tests/load`, or beside
//! the machine that withstands it:
//!
//! | row | here | elsewhere |
//! |---|---|---|
//! | 1, 2, 4 | `parsing` | tables of the crate `sip` (RFC 4475, 5118), `sdp`; `tests/fuzz` |
//! | 3 | | `load mutations`; `tests/fuzz` |
//! | 5, 6, 7 | `streams` | `load connections`; `sip-net/tests/net/hostile.rs`, `websocket.rs` |
//! | 8, 9, 10, 12, 17 | `access` | `sip::auth`, `b2bua::core`; the attacker of `tests/sim` |
//! | 11 | `access` | `load guesses`; `sip::auth::guard` |
//! | 13 to 16 | `calls` | `b2bua`; the attacker of `tests/sim` |
//! | 18 | `streams` | `load flood` |
//! | 19, 20 | `media` | `load strays`; `media::latch`, `rtcp_latch`, `worker::tests::reports` |
//! | 21 | `media` | `media::worker::tests::properties`, `keys`; `media::dtmf` |
//! | 22, 23 | | `media::srtp`, `path`, `dtls`, `worker::tests::protection` |
//! | 24, 25 | `web` | `api/tests/api` |
//! | 27 | `web`, the end of every test | `base::redacted`, `server/tests/cli.rs` |
//! | 29 | `outages`, `calls.rs` | `server/tests/first_call.rs` |
//! | 30, 31 | | `media-net/src/recording/tests.rs`; `store` |
//! | 32, 33 | `outages`, `partitions` | `tests/sim`; `sip-net/tests/net/streams.rs` |
//! | 34 | `faults`, `outages` | `media-net/tests/loopback.rs` |
//! | 35 | `faults` | `sip-net/tests/net/udp.rs`, `b2bua::core` |

mod access;
mod calls;
mod faults;
mod media;
mod outages;
mod parsing;
mod partitions;
mod streams;
mod web;
mod webrtc;

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use interop::client::{Client, Message};
use interop::digest::{Credentials, Hash};
use interop::{CUSTOMER, Server, Setup, password};

const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);
/// Long enough for an answer that must not come.
const SILENCE: Duration = Duration::from_millis(300);

fn server() -> Server {
    Server::start(&Setup::default())
}

/// A request of `extension` for `user`, with a digest for the challenge in `challenged`.
fn authorized(
    client: &Client,
    method: &str,
    user: &str,
    extension: &str,
    credentials: &Credentials,
    body: &str,
) -> Message {
    let header = format!("Authorization: {}", credentials.header());
    client.ask(&client.request_with(method, user, extension, &[&header], body))
}

fn credentials(client: &Client, server: &Server, method: &str, user: &str) -> Credentials {
    let challenged = client.ask(&client.request(method, ""));
    assert_eq!(challenged.status(), 401, "{challenged}");
    let challenge = challenged.challenge(Hash::Md5).expect("a challenge");
    let uri = format!("sip:{}", server.sip());
    let secret = if user == "1001" { password("1001") } else { "a wrong one" };
    Credentials::answer(challenge, method, &uri, user, secret)
}

#[track_caller]
fn is_well(server: &Server) {
    let client = Client::at(CUSTOMER, server.sip());
    let asked = Instant::now();
    assert_eq!(client.ask(&client.request("OPTIONS", "ping")).status(), 200);
    assert!(asked.elapsed() < Duration::from_millis(500), "{:?}", asked.elapsed());
}

/// Declines what has been called in the meantime, so that the server need not wait for an answer.
fn decline(client: &Client) {
    while let Some(message) = client.receive_within(Duration::from_millis(100)) {
        if message.start().starts_with("INVITE") {
            client.send(&client.reply(&message, "603 Decline", &[], ""));
        }
    }
}
