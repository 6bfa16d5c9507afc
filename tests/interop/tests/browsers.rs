//! A browser's phone over WebSocket, in the manner of JsSIP (`browser/sip.mjs`, run by Node).

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use interop::{Child, Scene, Server, Setup, Sipp, certificates, eventually, password};

const PATIENCE: Duration = Duration::from_secs(20);

struct Browser {
    process: Child,
    output: std::path::PathBuf,
}

impl Browser {
    fn start(server: &Server, extension: &str, what: &[&str]) -> Self {
        let output = server.dir().join("browser");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser/sip.mjs");
        let mut command = Command::new("node");
        let authority = server.dir().join("ca.pem");
        let mut address = server.ws();
        if authority.exists() {
            command.env("CA", authority);
            address = server.wss();
        }
        command.arg(script).arg(address.ip().to_string()).arg(address.port().to_string());
        command.args([extension, password(extension)]).args(what);
        Self { process: Child::start(command, "node", &output), output }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap_or_default()
    }

    fn expect(&self, word: &str) {
        let heard = eventually(PATIENCE, || {
            let said = self.said();
            assert!(!said.contains("failed"), "{said}");
            said.lines().any(|line| line == word).then_some(())
        });
        assert!(heard.is_some(), "never {word}:\n{}", self.said());
    }

    fn finish(mut self) {
        let status = self.process.wait(PATIENCE).and_then(|status| status.code());
        assert_eq!(status, Some(0), "{}", self.said());
    }
}

#[test]
fn a_browser_registers_and_calls_an_extension() {
    let scene = Scene::new().agent("1002", "agent-answers");
    let browser = Browser::start(&scene.server, "1001", &["calls", "1002"]);
    browser.expect("over");
    browser.finish();
    let record = scene.record();
    assert_eq!((record.status(), record.ended_by()), (200, "caller"));
    assert_eq!(record.legs(), [("1001", 200), ("1002", 200)]);
}

#[test]
fn a_browser_calls_over_secure_web_socket() {
    let setup = Setup { tls: true, ..Setup::default() };
    let scene = Scene::at(Server::start_with(&setup, certificates::make));
    let scene = scene.agent("1002", "agent-answers");
    let browser = Browser::start(&scene.server, "1001", &["calls", "1002"]);
    browser.expect("over");
    browser.finish();
    let record = scene.record();
    assert_eq!((record.status(), record.ended_by()), (200, "caller"));
}

#[test]
fn a_browser_that_comes_back_keeps_its_number_and_its_call() {
    // This one has no WebRTC, so it is not called with it.
    let mut scene = Scene::with(&Setup { extension: "srtp = \"off\"", ..Setup::default() });
    let browser = Browser::start(&scene.server, "1001", &["moves"]);
    browser.expect("waiting");
    let customer = Sipp::new(&mut scene.server, "customer-calls", [127, 0, 0, 2]);
    let customer = customer.calling("+4930100").with(&["-d", "1500"]).start();
    browser.expect("moved");
    customer.finish();
    browser.finish();
    let record = scene.record();
    assert_eq!((record.status(), record.ended_by()), (200, "caller"));
}
