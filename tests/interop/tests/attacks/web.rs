//! Rows 24, 25 and 27 against the API of the running server, while a call is up.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use interop::web::{ADMIN, AGENT_1001};
use interop::{Server, Setup, Talk};

use super::is_well;

#[test]
fn row_24_slow_clients_of_the_api_delay_neither_it_nor_calls() {
    let server = Server::start(&Setup::with_api());
    let talk = Talk::start(&server);
    let admin = server.web(ADMIN);
    let address = admin.address();
    let slow: Vec<_> = (0..200)
        .map(|number| {
            let mut client = TcpStream::connect(address).unwrap();
            let head = "POST /v1/interactions HTTP/1.1\r\nHost: a\r\n";
            match number % 4 {
                0 => {}
                1 => client.write_all(b"GET /v1/inter").unwrap(),
                2 => client.write_all(head.as_bytes()).unwrap(),
                _ => {
                    let auth = format!("Authorization: Bearer {ADMIN}\r\n");
                    let rest = "Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{";
                    client.write_all(format!("{head}{auth}{rest}").as_bytes()).unwrap();
                }
            }
            client
        })
        .collect();
    for _ in 0..10 {
        let asked = Instant::now();
        assert_eq!(admin.get("/v1/interactions").status, 200);
        assert!(asked.elapsed() < Duration::from_millis(500), "{:?}", asked.elapsed());
        is_well(&server);
    }
    // Each is closed by us within 32 s.
    for mut client in slow {
        client.set_read_timeout(Some(Duration::from_secs(32))).unwrap();
        let mut rest = Vec::new();
        let closed = client.read_to_end(&mut rest).map_err(|error| error.kind());
        assert!(matches!(closed, Ok(_) | Err(ErrorKind::ConnectionReset)), "{closed:?}");
    }
    talk.ends_well(server);
}

#[test]
fn row_24_twenty_megabytes_deep_json_and_paths_to_elsewhere_are_refused() {
    let server = Server::start(&Setup::with_api());
    let admin = server.web(ADMIN);
    let mut client = TcpStream::connect(admin.address()).unwrap();
    let head = format!(
        "POST /v1/interactions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {ADMIN}\r\n\
         Content-Type: application/json\r\nContent-Length: 20971520\r\nConnection: close\r\n\r\n"
    );
    client.write_all(head.as_bytes()).unwrap();
    // As much as it takes; it hangs up long before the end.
    let mut sent = 0;
    while sent < 20 << 20 && client.write_all(&[b' '; 1 << 16]).is_ok() {
        sent += 1 << 16;
    }
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut answer = [0; 12];
    if client.read_exact(&mut answer).is_ok() {
        assert_eq!(&answer, b"HTTP/1.1 413");
    }
    assert!(sent < 20 << 20, "all of it was read");
    assert_eq!(admin.post("/v1/interactions", &"[".repeat(20_000)).status, 400);
    for path in ["../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e%2fhookflash.toml"] {
        let got = admin.get(&format!("/v1/recordings/{path}/audio"));
        assert!(matches!(got.status, 400 | 404), "{path}: {}", got.status);
    }
    is_well(&server);
    server.stop();
}

#[test]
fn rows_25_and_27_line_breaks_write_no_log_lines_and_secrets_stay_secret() {
    let server = Server::start(&Setup::with_api());
    let admin = server.web(ADMIN);
    let forged = "x\\r\\n2026-01-01T00:00:00Z ERROR forged=true";
    let body = format!("{{\"to\":\"{forged}\",\"extension\":\"1001\"}}");
    let refused = admin.post("/v1/interactions", &body);
    assert!((400..500).contains(&refused.status), "{}", refused.text());
    let path = "/v1/interactions/x%0d%0aERROR%20forged=true";
    assert_eq!(admin.get(path).status, 404);
    let agent = server.web(AGENT_1001);
    assert_eq!(
        agent.request("GET", "/v1/interactions", "X-Forged: \tERROR forged=true\r\n", "").status,
        200
    );
    let sql = "{\"to\":\"' OR 1=1--\",\"extension\":\"1001\"}";
    assert!((400..500).contains(&admin.post("/v1/interactions", sql).status));
    let wrong = "Authorization: Bearer a-token-that-somebody-mistyped";
    let answer = admin.raw(&format!(
        "GET /v1/trunks HTTP/1.1\r\nHost: a\r\n{wrong}\r\nConnection: close\r\n\r\n"
    ));
    assert_eq!(answer.status, 401);
    assert!(!answer.text().contains("mistyped"));
    // The tokens themselves are looked for in every log at the end of every server.
    let ended = server.stop();
    assert!(!ended.log.contains("mistyped"), "{}", ended.log);
    let forged = ended.log.lines().filter(|line| line.starts_with("2026-01-01T00:00:00Z"));
    assert_eq!(forged.count(), 0);
}
