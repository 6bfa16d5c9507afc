//! ATTACKS 24: tokens, roles, origins, headers.

use b2bua::api::{Actor, Command, Reply};

use crate::fake::{
    ADMIN, AGENT, Answer, EXPIRED, INTEGRATOR, OTHER, SUPERVISOR, World, event, interaction,
};

fn with_header(world: &World, header: &str) -> Answer {
    world.send(&format!("GET /v1/interactions HTTP/1.1\r\nHost: h\r\n{header}\r\n"))
}

#[test]
fn without_a_valid_token_everything_is_401() {
    let world = World::empty();
    let none_alg = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJyb2xlIjoiYWRtaW4ifQ.";
    for header in [
        String::new(),
        format!("Authorization: Bearer {}x\r\n", &ADMIN[..ADMIN.len() - 1]),
        format!("Authorization: Bearer {EXPIRED}\r\n"),
        format!("Authorization: Bearer {none_alg}\r\n"),
        format!("Authorization: Basic {ADMIN}\r\n"),
        format!("Authorization: {ADMIN}\r\n"),
        "Authorization: Bearer \r\n".to_owned(),
        format!("Authorization: Bearer {ADMIN}\r\nAuthorization: Bearer {ADMIN}\r\n"),
        format!("Cookie: token={ADMIN}\r\n"),
        format!("Authorization: Bearer {}\r\n", "x".repeat(8000)),
    ] {
        let answer = with_header(&world, &header);
        assert_eq!((answer.status, answer.code().as_str()), (401, "UNAUTHORIZED"), "{header}");
        assert!(answer.headers["www-authenticate"].starts_with("Bearer"));
    }
    let in_the_url = format!("GET /v1/interactions?token={ADMIN} HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(world.send(&in_the_url).status, 401);
    assert_eq!(with_header(&world, &format!("Authorization: bearer {ADMIN}\r\n")).status, 200);
}

#[test]
fn every_route_of_the_document_but_the_open_ones_needs_a_token() {
    let world = World::empty();
    let document = world.get("", "/v1/openapi.json").json();
    assert_eq!(
        document["openapi"].as_str().unwrap().split('.').take(2).collect::<Vec<_>>(),
        ["3", "1"]
    );
    let mut guarded = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let path = path.replace("{id}", "call-1").replace("{pid}", "leg-1");
            let request = format!(
                "{} {path} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}",
                method.to_uppercase()
            );
            let status = world.send(&request).status;
            match path.as_str() {
                "/healthz" => assert_eq!(status, 200),
                // The core of this test says "no such thing": it answers.
                "/readyz" => assert_eq!(status, 200),
                // No WebSocket handshake.
                "/v1/events" => assert_eq!(status, 400),
                _ => {
                    assert_eq!(status, 401, "{method} {path}");
                    guarded += 1;
                }
            }
        }
    }
    assert!(guarded > 40, "{guarded} guarded routes");
    assert!(world.commands().iter().all(|(actor, _)| *actor == Actor::Admin), "only /readyz asked");
}

#[test]
fn roles_limit_what_can_be_seen_and_done() {
    let world = World::empty();
    for (token, method, path, expected) in [
        (AGENT, "GET", "/v1/trunks", 403),
        (AGENT, "GET", "/v1/recordings", 403),
        (AGENT, "GET", "/v1/recordings/call-1", 403),
        (AGENT, "GET", "/v1/recordings/call-1/audio", 403),
        (AGENT, "GET", "/v1/monitoring-sessions", 403),
        (AGENT, "DELETE", "/v1/monitoring-sessions/leg-1", 403),
        (INTEGRATOR, "GET", "/v1/monitoring-sessions", 403),
        (SUPERVISOR, "GET", "/v1/monitoring-sessions", 200),
        (AGENT, "GET", "/metrics", 403),
        (INTEGRATOR, "GET", "/metrics", 200),
        (SUPERVISOR, "POST", "/v1/config/validate", 403),
        (ADMIN, "POST", "/v1/config/validate", 200),
    ] {
        let answer = world.request(method, token, path, "", "");
        assert_eq!(answer.status, expected, "{method} {path} {}", answer.text());
    }
    let other = r#"{"to":"1","extension":"1002"}"#;
    assert_eq!(world.post(AGENT, "/v1/interactions", other).code(), "FORBIDDEN");
    let start = r#"{"interactionId":"call-1","mode":"monitor"}"#;
    assert_eq!(world.post(AGENT, "/v1/monitoring-sessions", start).code(), "FORBIDDEN");
}

#[test]
fn an_agent_sees_its_own_interactions_records_and_routes_only() {
    let world = World::empty();
    for (id, extension) in [("call-1", "1001"), ("call-2", "1002")] {
        let shown = interaction(id, "connected", &[extension]);
        world.teller.event(event(b2bua::api::EventKind::Created, shown));
    }
    let ids = |token: &str, path: &str| -> Vec<String> {
        let list = world.get(token, path).json();
        let ids = list.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned());
        ids.collect()
    };
    assert_eq!(ids(AGENT, "/v1/interactions"), ["call-1"]);
    assert_eq!(ids(OTHER, "/v1/interactions"), ["call-2"]);
    assert_eq!(ids(SUPERVISOR, "/v1/interactions"), ["call-1", "call-2"]);
    assert_eq!(ids(AGENT, "/v1/call-records"), ["call-1"]);
    assert_eq!(ids(ADMIN, "/v1/call-records"), ["call-3", "call-2", "call-1", "call-0"]);
    assert_eq!(world.get(AGENT, "/v1/call-records/call-2").status, 404);
    assert_eq!(world.get(OTHER, "/v1/call-records/call-2").status, 200);
    assert_eq!(ids(AGENT, "/v1/routes"), ["world"]);
    assert_eq!(ids(OTHER, "/v1/routes"), Vec::<String>::new());
}

#[test]
fn the_core_is_told_who_asks() {
    let shown = || interaction("call-1", "connected", &["1001"]);
    let world = World::new(move |_, _| Some(Ok(Reply::Done(Box::new(shown())))));
    for token in [AGENT, SUPERVISOR, ADMIN, INTEGRATOR] {
        assert_eq!(world.get(token, "/v1/interactions/call-1").status, 200);
    }
    let asked = Command::Interaction { interaction: "call-1".into() };
    let expected = [
        Actor::Agent { extension: "1001".into() },
        Actor::Supervisor { extension: Some("1009".into()) },
        Actor::Admin,
        Actor::Integrator,
    ];
    assert_eq!(world.commands(), expected.map(|actor| (actor, asked.clone())));
}

#[test]
fn pages_of_other_origins_get_nothing() {
    let world = World::empty();
    let preflight = |origin: &str| {
        world.send(&format!(
            "OPTIONS /v1/interactions HTTP/1.1\r\nHost: h\r\nOrigin: {origin}\r\n\
             Access-Control-Request-Method: POST\r\n\r\n"
        ))
    };
    let allowed = preflight("https://desk.example.com");
    assert_eq!(allowed.status, 204);
    assert_eq!(allowed.headers["access-control-allow-origin"], "https://desk.example.com");
    assert!(allowed.headers["access-control-allow-headers"].contains("authorization"));
    for origin in ["https://evil.example", "null", "https://desk.example.com.evil.example"] {
        let refused = preflight(origin);
        assert_eq!(refused.status, 403, "{origin}");
        assert!(!refused.headers.contains_key("access-control-allow-origin"));
        let header = format!("Origin: {origin}\r\n");
        let read = world.request("GET", ADMIN, "/v1/interactions", &header, "");
        assert!(!read.headers.contains_key("access-control-allow-origin"), "{origin}");
    }
    let header = "Origin: https://desk.example.com\r\n";
    let read = world.request("GET", ADMIN, "/v1/interactions", header, "");
    assert_eq!(read.headers["access-control-allow-origin"], "https://desk.example.com");
    assert!(!read.headers.contains_key("access-control-allow-credentials"));
}

#[test]
fn every_answer_says_that_it_is_not_to_be_guessed_framed_or_kept() {
    let world = World::empty();
    for answer in [
        world.get(ADMIN, "/v1/interactions"),
        world.get("", "/v1/interactions"),
        world.get("", "/healthz"),
        world.get("", "/nowhere"),
    ] {
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert!(answer.headers["content-security-policy"].contains("default-src 'none'"));
    }
}

#[test]
fn a_form_of_another_page_changes_nothing() {
    let world = World::empty();
    // A form sends no Authorization header, and none of these types is JSON.
    for kind in
        ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x"]
    {
        let form = format!(
            "POST /v1/interactions/call-1/end HTTP/1.1\r\nHost: h\r\nContent-Type: {kind}\r\n\
             Content-Length: 2\r\n\r\n{{}}"
        );
        assert_eq!(world.send(&form).status, 401);
        let with_token =
            form.replace("Host: h\r\n", &format!("Host: h\r\nAuthorization: Bearer {ADMIN}\r\n"));
        assert_eq!(world.send(&with_token).code(), "UNSUPPORTED_MEDIA_TYPE", "{kind}");
    }
    assert!(world.commands().is_empty());
}
