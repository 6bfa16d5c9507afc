//! Registrations, played by SIPp; what SIPp cannot do, by a client of our own.

use interop::client::Client;
use interop::digest::Hash;
use interop::{Scene, Server, Setup, Sipp};

fn phone(server: &mut Server, scenario: &str) -> Sipp {
    Sipp::new(server, scenario, [127, 0, 0, 11])
}

#[test]
fn a_phone_registers_by_md5_renews_asks_and_leaves() {
    let mut server = Server::start(&Setup::default());
    phone(&mut server, "phone-registers").as_user("1001").start().finish();
    server.stop();
}

#[test]
fn a_phone_registers_over_tcp() {
    let mut server = Server::start(&Setup::default());
    phone(&mut server, "phone-registers").by_tcp().as_user("1001").start().finish();
    server.stop();
}

/// SIPp 3.6 knows no SHA-256, so our own client answers the first of both challenges.
#[test]
fn a_phone_registers_by_sha_256_which_is_offered_first() {
    let server = Server::start(&Setup { digest: r#"["SHA-256", "MD5"]"#, ..Setup::default() });
    let mut client = Client::at([127, 0, 0, 11], server.sip());
    let challenged = client.ask(&client.request("REGISTER", ""));
    let algorithms: Vec<_> = challenged
        .headers("WWW-Authenticate")
        .into_iter()
        .map(|challenge| interop::digest::parameter(challenge, "algorithm").unwrap())
        .collect();
    assert_eq!(algorithms, ["SHA-256", "MD5"], "RFC 8760 §2.4: the strongest first");
    for hash in [Hash::Sha256, Hash::Md5] {
        let answer = client.register_by("1001", 600, hash);
        assert_eq!(answer.status(), 200, "{answer}");
        assert_eq!(answer.headers("Contact").len(), 1, "{answer}");
    }
    server.stop();
}

#[test]
fn a_wrong_password_and_an_unknown_user_look_alike() {
    let mut server = Server::start(&Setup::default());
    for (user, password) in [("1001", "not-the-password"), ("9999", "not-the-password")] {
        let sipp = phone(&mut server, "phone-wrong-password").as_user_with(user, password);
        sipp.start().finish();
    }
    server.stop();
}

#[test]
fn a_registration_that_expires_is_gone_and_its_phone_unreachable() {
    let setup = Setup { expires_min_s: 1, ..Setup::default() };
    let mut scene = Scene::with(&setup);
    phone(&mut scene.server, "phone-expires").as_user("1001").start().finish();
    let record = scene.customer("customer-gets-480", "+4930100").record();
    assert_eq!(record.status(), 480);
}

#[test]
fn an_interval_too_brief_is_423() {
    let mut server = Server::start(&Setup::default());
    phone(&mut server, "phone-interval-too-brief").as_user("1001").start().finish();
    server.stop();
}

#[test]
fn a_star_removes_all_bindings() {
    let mut server = Server::start(&Setup::default());
    phone(&mut server, "phone-unregisters-all").as_user("1001").start().finish();
    server.stop();
}

#[test]
fn registrations_survive_a_restart() {
    let setup = Setup::default();
    let first = Server::start(&setup);
    let database = first.dir().join("data");
    let mut client = Client::at([127, 0, 0, 11], first.sip());
    assert_eq!(client.register("1001", 600).status(), 200);
    let kept = std::env::temp_dir().join(format!("hookflash-kept-{}", std::process::id()));
    first.stop_and(|_| std::fs::rename(&database, &kept).unwrap());
    let second =
        Server::start_with(&setup, |dir| std::fs::rename(&kept, dir.join("data")).unwrap());
    assert!(second.log().contains("registrations=1"), "{}", second.log());
    second.stop();
}
