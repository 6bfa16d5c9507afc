//! Registrations, played by SIPp; what SIPp cannot do, by a client of our own.

use std::net::SocketAddr;
use std::path::Path;

use interop::client::{Client, PATIENCE};
use interop::digest::Hash;
use interop::{CUSTOMER, PHONE, Scene, Server, Setup, Sipp, Talk, eventually};

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

/// Ends a server by `end`, and starts the next one over its data.
fn restarted(first: Server, setup: &Setup, end: impl FnOnce(Server, &dyn Fn(&Path))) -> Server {
    let name = format!("hookflash-kept-{}-{}", std::process::id(), first.sip().port());
    let kept = std::env::temp_dir().join(name);
    end(first, &|dir| std::fs::rename(dir.join("data"), &kept).expect("ours to move"));
    Server::start_with(setup, |dir| std::fs::rename(&kept, dir.join("data")).expect("ours to move"))
}

/// The phone that has registered is where it was: it is called, and hangs up when it likes.
fn is_called_at(address: SocketAddr, server: Server) {
    let talk = Talk::with(Client::at(CUSTOMER, server.sip()), Client::udp(address, server.sip()));
    let record = &talk.ends_well(server).records[0];
    assert_eq!(record.legs(), [("customer", 200), ("1001", 200)]);
}

#[test]
fn a_registered_phone_is_called_after_a_restart() {
    let setup = Setup::default();
    let first = Server::start(&setup);
    let mut phone = Client::at(PHONE, first.sip());
    assert_eq!(phone.register("1001", 600).status(), 200);
    let address = phone.local();
    drop(phone);
    let second = restarted(first, &setup, |first, keep| {
        first.stop_and(keep);
    });
    assert!(second.log().contains("registrations=1"), "{}", second.log());
    is_called_at(address, second);
}

/// Some file below the store's directory that holds these bytes.
fn is_stored(dir: &Path, text: &str) -> bool {
    let files = std::fs::read_dir(dir.join("data")).expect("its data").filter_map(Result::ok);
    let bytes = files.filter_map(|file| std::fs::read(file.path()).ok());
    bytes.into_iter().any(|bytes| bytes.windows(text.len()).any(|part| part == text.as_bytes()))
}

/// What is on its way to the disk is lost with the process: a fifth of a second's worth.
#[test]
fn a_registered_phone_is_called_after_a_crash() {
    let setup = Setup::default();
    let first = Server::start(&setup);
    let mut phone = Client::at(PHONE, first.sip());
    // One that has left must not come back.
    assert_eq!(phone.register("1002", 600).status(), 200);
    assert_eq!(phone.register("1002", 0).status(), 200);
    phone.renew();
    assert_eq!(phone.register("1001", 600).status(), 200);
    let address = phone.local();
    drop(phone);
    let contact = format!("1001@{address}");
    let stored = eventually(PATIENCE, || is_stored(first.dir(), &contact).then_some(()));
    assert!(stored.is_some(), "the store does not hold {contact}");
    let second = restarted(first, &setup, |first, keep| first.kill_and(keep));
    assert!(second.log().contains("registrations=1"), "{}", second.log());
    is_called_at(address, second);
}
