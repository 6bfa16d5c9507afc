//! The API in front of the running server: what it shows.

use interop::web::{ADMIN, AGENT_1001, SUPERVISOR};
use interop::{Server, Setup};

fn server() -> Server {
    Server::start(&Setup::with_api())
}

#[test]
fn phones_trunks_routes_and_entry_points_are_shown() {
    let server = server();
    server.register("1001", ([127, 0, 0, 11], 0).into());
    let admin = server.web(ADMIN);
    let phones = admin.get("/v1/registrations").json();
    assert_eq!((&phones[0]["extension"], &phones[0]["transport"]), (&"1001".into(), &"UDP".into()));
    let trunks = admin.get("/v1/trunks").json();
    let names: Vec<_> = trunks.as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["customer", "carrier", "backup"]);
    assert_eq!(admin.get("/v1/routes").json()[0]["extensions"].as_array().unwrap().len(), 3);
    assert_eq!(admin.get("/v1/entry-points").json()[0]["number"], "+4930100");
    // 1004 may use no route.
    assert_eq!(server.web(AGENT_1001).get("/v1/routes").json()[0]["id"], "world");
    assert_eq!(server.web(SUPERVISOR).get("/v1/recordings").text(), "[]");
    let checked = admin.post("/v1/config/validate", "[[listen]]\ntransport = 'quic'\n").json();
    assert_eq!((&checked["valid"], &checked["problems"][0]["line"]), (&false.into(), &1.into()));
    server.stop();
}
