//! ATTACKS 24: sizes, depth, slowness; and POSTs that are done once.

use std::time::{Duration, Instant};

use api::Limits;
use b2bua::api::{Command, Refused, Reply};
use call::control::Refusal;

use crate::fake::{ADMIN, AGENT, Client, OTHER, World, interaction, settings};

fn obliging() -> World {
    let shown = || interaction("call-1", "held", &["1001"]);
    World::new(move |_, _| Some(Ok(Reply::Pending(Box::new(shown())))))
}

const HOLD: &str = "/v1/interactions/call-1/hold";

#[test]
fn a_body_too_large_is_413_before_it_is_read() {
    let world = obliging();
    // 20 MB are announced, and not one byte is sent.
    let announced = world.send(&format!(
        "POST {HOLD} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {ADMIN}\r\n\
         Content-Type: application/json\r\nContent-Length: 20000000\r\n\r\n"
    ));
    assert_eq!((announced.code().as_str(), announced.status), ("PAYLOAD_TOO_LARGE", 413));
    // Without a length it is cut where it gets too long.
    let mut client = Client::new(world.address);
    client.write(
        format!(
            "POST {HOLD} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {ADMIN}\r\n\
             Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        .as_bytes(),
    );
    let chunk = [b"10000\r\n", &[b' '; 0x10000][..], b"\r\n"].concat();
    client.write(&chunk);
    client.write(&chunk);
    assert_eq!(client.answer().code(), "PAYLOAD_TOO_LARGE");
    // A stranger's body is not even looked at.
    let stranger =
        world.send(&format!("POST {HOLD} HTTP/1.1\r\nHost: h\r\nContent-Length: 20000000\r\n\r\n"));
    assert_eq!(stranger.status, 401);
    assert_eq!(world.commands(), []);
}

#[test]
fn a_configuration_may_be_larger_but_has_its_bound() {
    let world = obliging();
    let path = "/v1/config/validate";
    assert_eq!(world.post(ADMIN, path, "good").json()["valid"], true);
    let bad = world.post(ADMIN, path, &"x".repeat(500_000)).json();
    let problems = serde_json::json!([{ "line": 3, "reason": "bad" }]);
    assert_eq!((&bad["valid"], &bad["problems"]), (&false.into(), &problems));
    assert_eq!(world.post(ADMIN, path, &"x".repeat((1 << 20) + 1)).status, 413);
}

#[test]
fn deep_json_is_400() {
    let world = obliging();
    for deep in ["[".repeat(30_000), format!("{}1{}", r#"{"a":"#.repeat(17), "}".repeat(17))] {
        assert_eq!(world.post(ADMIN, HOLD, &deep).code(), "MALFORMED");
    }
    assert_eq!(world.commands(), []);
}

#[test]
fn heads_too_long_or_broken_end_the_connection_and_nothing_else() {
    let world = obliging();
    for head in [
        format!("GET /healthz HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(100_000)),
        format!("GET /healthz HTTP/1.1\r\nHost: h\r\n{}\r\n", "X: y\r\n".repeat(2_000)),
        format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(100_000)),
        "GET /healthz HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_owned(),
        "\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03".to_owned(),
        "INVITE sip:1001@h SIP/2.0\r\n\r\n".to_owned(),
    ] {
        let mut client = Client::new(world.address);
        let _ = std::io::Write::write_all(&mut client.stream, head.as_bytes());
        assert!(client.is_closed(), "{:.60}", head);
        assert_eq!(world.get("", "/healthz").status, 200);
    }
}

#[test]
fn slow_heads_and_bodies_are_given_up_and_others_are_served_meanwhile() {
    let limits = Limits {
        head_within: Duration::from_millis(1_500),
        body_within: Duration::from_millis(1_500),
        ..Limits::default()
    };
    let settings = api::Settings { limits, ..settings() };
    let world = World::with(settings, |_, _| Some(Err(Refusal::NotFound.into())));
    let slow_head = b"GET /healthz HTTP/1.1\r\nHost: h\r\nX: ";
    let slow_body = format!(
        "POST {HOLD} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {ADMIN}\r\n\
         Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{{"
    );
    let mut slow: Vec<_> = (0..200).map(|_| Client::new(world.address)).collect();
    for (number, client) in slow.iter_mut().enumerate() {
        match number % 3 {
            0 => client.write(slow_head),
            1 => client.write(slow_body.as_bytes()),
            _ => {}
        }
    }
    for _ in 0..20 {
        let begun = Instant::now();
        assert_eq!(world.get(ADMIN, "/v1/interactions").status, 200);
        assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    }
    for (number, client) in slow.iter_mut().enumerate() {
        if number % 3 == 1 {
            assert_eq!(client.answer().code(), "REQUEST_TIMEOUT");
        } else {
            assert!(client.is_closed(), "{number}");
        }
    }
    let connections = metric(&world, "hookflash_api_connections ");
    assert!(connections < 100.0, "{connections} are still open");
}

fn metric(world: &World, name: &str) -> f64 {
    let page = world.get(ADMIN, "/metrics");
    let line = page.text().lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn one_address_has_so_many_connections_and_no_more() {
    let limits = Limits { connections_per_address_max: 10, ..Limits::default() };
    let settings = api::Settings { limits, ..settings() };
    let world = World::with(settings, |_, _| Some(Err(Refusal::NotFound.into())));
    let mut held: Vec<_> = (0..10).map(|_| Client::new(world.address)).collect();
    // The ten are accepted when the last of them is served.
    held[9].write(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(held[9].answer().status, 200);
    let mut more = Client::new(world.address);
    assert!(more.is_closed());
    drop(held);
    let served = (0..50).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        let mut client = Client::new(world.address);
        let _ = std::io::Write::write_all(
            &mut client.stream,
            b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        );
        let mut answer = String::new();
        let _ = std::io::Read::read_to_string(&mut client.stream, &mut answer);
        answer.starts_with("HTTP/1.1 200")
    });
    assert!(served, "places come back");
}

#[test]
fn a_post_with_a_key_is_done_once_and_its_answer_told_again() {
    let world = obliging();
    let post = |token, key: &str, body: &str| {
        world.request("POST", token, HOLD, &format!("Idempotency-Key: {key}\r\n"), body)
    };
    let first = post(AGENT, "k1", "{}");
    let again = post(AGENT, "k1", "{}");
    assert_eq!((first.status, again.status), (202, 202));
    assert_eq!(first.body, again.body);
    assert_eq!(again.headers["content-type"], "application/json");
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert!(!first.headers.contains_key("idempotency-replayed"));
    assert_eq!(world.commands().len(), 1);

    let other = post(AGENT, "k1", r#"{"releaseLine":true}"#);
    assert_eq!((other.code().as_str(), other.status), ("IDEMPOTENCY_KEY_REUSED", 422));
    // Another token's key, and another key.
    assert_eq!(post(OTHER, "k1", "{}").status, 202);
    assert_eq!(post(AGENT, "k2", "{}").status, 202);
    assert_eq!(world.commands().len(), 3);
    assert_eq!(post(AGENT, &"k".repeat(256), "{}").code(), "MALFORMED");
    // Refusals are told again too.
    let world = World::empty();
    let post = || world.request("POST", AGENT, HOLD, "Idempotency-Key: k\r\n", "");
    assert_eq!((post().code(), post().code()), ("NOT_FOUND".into(), "NOT_FOUND".into()));
    assert_eq!(world.commands().len(), 1);
}

#[test]
fn what_failed_inside_may_be_tried_again_with_its_key() {
    let mut tries = 0;
    let world = World::new(move |_, command| match command {
        Command::Act { .. } => {
            tries += 1;
            Some(match tries {
                1 => Err(Refused::from(Refusal::CallLimitNode)),
                _ => Ok(Reply::Done(Box::new(interaction("call-1", "held", &["1001"])))),
            })
        }
        _ => Some(Err(Refusal::NotFound.into())),
    });
    let post = || world.request("POST", AGENT, HOLD, "Idempotency-Key: k\r\n", "");
    assert_eq!((post().status, post().status, post().status), (429, 200, 200));
    assert_eq!(world.commands().len(), 2);
}
