//! Certificates made on the spot by the openssl command.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::{Child, Server, eventually};

/// Makes `ca.pem`, `server.pem` and `server.key` for 127.0.0.1, and `trunk.pem` and `trunk.key` for
/// a client named `trunk.test`, in `dir`.
pub fn make(dir: &Path) {
    make_authority(dir);
    issue(dir, "server", "subjectAltName=IP:127.0.0.1,DNS:localhost");
    issue(dir, "trunk", "subjectAltName=DNS:trunk.test");
}

/// Makes the same certificates in `dir`, by the authority in `of`, for a server that is known by
/// `name` and not by its address.
pub fn make_named(dir: &Path, of: &Path, name: &str) {
    for file in ["ca.pem", "ca.key"] {
        fs::copy(of.join(file), dir.join(file)).unwrap();
    }
    issue(dir, "server", &format!("subjectAltName=DNS:{name}"));
    issue(dir, "trunk", "subjectAltName=DNS:trunk.test");
}

/// Issues the server's certificate once more, with another key.
pub fn renew(dir: &Path) {
    issue(dir, "server", "subjectAltName=IP:127.0.0.1,DNS:localhost");
}

/// The certificate that a server shows, in PEM.
pub fn shown_by(server: &Server) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &server.tls().to_string()]).stdin(Stdio::null());
    let output = command.output().expect("openssl runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let begin = text.find("-----BEGIN").unwrap_or_default();
    let end = text.find("-----END").unwrap_or_default();
    text[begin..end].to_owned()
}

/// Makes an authority alone.
pub fn make_authority(dir: &Path) {
    openssl(dir, "req -x509 -nodes -days 2 -keyout ca.key -out ca.pem -subj /CN=interop");
}

/// Sends a request over TLS by `openssl s_client`: all that comes back until the final answer.
pub fn ask(server: &Server, arguments: &[&str], request: &str) -> String {
    let output = server.dir().join(format!("s_client-{}", arguments.len()));
    let mut command = Command::new("openssl");
    command.args(["s_client", "-quiet", "-verify_return_error", "-CAfile", "ca.pem", "-connect"]);
    command.arg(server.tls().to_string()).args(arguments).current_dir(server.dir());
    let mut client = Child::start(command, "openssl", &output);
    let mut input = client.stdin().expect("its input");
    input.write_all(request.as_bytes()).expect("it reads");
    let read = || fs::read_to_string(&output).unwrap_or_default();
    let is_final = |text: &str| {
        ["2", "3", "4", "5", "6"].iter().any(|c| text.contains(&format!("SIP/2.0 {c}")))
    };
    eventually(Duration::from_secs(5), || Some(read()).filter(|text| is_final(text)))
        .unwrap_or_else(read)
}

fn issue(dir: &Path, name: &str, extension: &str) {
    fs::write(dir.join("extension"), extension).unwrap();
    openssl(dir, &format!("req -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"));
    openssl(
        dir,
        &format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
             -out {name}.pem -extfile extension"
        ),
    );
}

fn openssl(dir: &Path, arguments: &str) {
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
    let mut command = Command::new("openssl");
    command.args(arguments.split_whitespace()).current_dir(dir);
    if arguments.starts_with("req") {
        command.args(key);
    }
    let output = command.output().expect("openssl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
