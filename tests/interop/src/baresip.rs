//! baresip 1.0 as a phone without sound hardware: it speaks a tone and records what it hears.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::table::Ear;
use crate::{Child, Ports, Server, eventually, password, tone};

const PATIENCE: Duration = Duration::from_secs(20);
/// From one key to the next.
const KEY: Duration = Duration::from_millis(300);

/// A running baresip.
#[derive(Debug)]
pub struct Baresip {
    process: Child,
    dir: PathBuf,
    control: TcpStream,
    /// Events of its control connection that nobody has asked for yet.
    events: String,
    server: SocketAddr,
    suffix: &'static str,
}

impl Baresip {
    /// A phone of `extension` that speaks a tone of `hz`, registered over UDP.
    pub fn start(server: &mut Server, extension: &str, hz: u32) -> Self {
        Self::start_at(server, (server.sip(), ""), "", extension, &sine(hz))
    }

    /// A phone that speaks what is in a WAV file, again and again.
    pub fn start_playing(server: &mut Server, extension: &str, file: &Path) -> Self {
        let source = format!("aufile,{}", file.display());
        Self::start_at(server, (server.sip(), ""), "", extension, &source)
    }

    /// The same with parameters of its account, e.g. `;audio_codecs=opus/48000/2`.
    pub fn start_with(server: &mut Server, account: &str, extension: &str, hz: u32) -> Self {
        Self::start_at(server, (server.sip(), ""), account, extension, &sine(hz))
    }

    /// The same over TLS; the server's certificate must be good.
    pub fn start_by_tls(server: &mut Server, extension: &str, hz: u32) -> Self {
        Self::start_at(server, (server.tls(), ";transport=tls"), "", extension, &sine(hz))
    }

    /// The same with parameters of its account.
    pub fn start_by_tls_with(server: &mut Server, account: &str, extension: &str, hz: u32) -> Self {
        Self::start_at(server, (server.tls(), ";transport=tls"), account, extension, &sine(hz))
    }

    fn start_at(
        server: &mut Server,
        (registrar, suffix): (SocketAddr, &'static str),
        more: &str,
        extension: &str,
        source: &str,
    ) -> Self {
        let account = format!(
            "<sip:{extension}@{registrar}{suffix}>;auth_user={extension};auth_pass={};\
             regint=60;answermode=auto{more}",
            password(extension)
        );
        let (dir, ca) =
            (server.dir().join(format!("baresip-{extension}")), server.dir().join("ca.pem"));
        let ports = [server.ports(2), server.port(), server.ports(10)];
        let phone = Self::run(dir, ports, &ca, &account, source, (registrar, suffix));
        let registered = format!("registration extension={extension} contacts=1");
        let known = eventually(PATIENCE, || server.log().contains(&registered).then_some(()));
        assert!(known.is_some(), "baresip does not register:\n{}", phone.screen());
        phone
    }

    /// A phone whose account is the line that its owner was given, such as
    /// `<sip:1001@127.0.0.1:5060>;auth_pass=…`, and nothing else; its files are in `dir`. Whether it
    /// gets registered is for the caller to see.
    pub fn start_given(account: &str, dir: PathBuf, ports: &mut Ports, hz: u32) -> Self {
        let registrar = account.split(['@', '>']).nth(1).and_then(|at| at.parse().ok());
        let registrar = registrar.unwrap_or_else(|| panic!("no registrar in {account}"));
        let mut first = |len| *ports.take_range(len, 1).start();
        let ports = [first(2), first(1), first(10)];
        Self::run(dir, ports, Path::new(""), account, &sine(hz), (registrar, ""))
    }

    /// Starts it with its first ports for SIP (baresip listens for TLS at the next one), for control
    /// and for audio.
    fn run(
        dir: PathBuf,
        [sip, control, rtp]: [u16; 3],
        ca: &Path,
        account: &str,
        source: &str,
        (server, suffix): (SocketAddr, &'static str),
    ) -> Self {
        fs::create_dir_all(&dir).unwrap();
        let (local, path) = (Ipv4Addr::LOCALHOST, dir.display());
        let trust =
            if ca.exists() { format!("sip_cafile {}", ca.display()) } else { String::new() };
        let config = format!(
            "poll_method epoll\nsip_listen {local}:{sip}\n{trust}\ncall_max_calls 4\n\
             audio_player aubridge,heard\naudio_source {source}\naudio_alert aubridge,alert\n\
             ausrc_srate 48000\nausrc_channels 2\naudio_buffer 20-160\n\
             rtp_ports {rtp}-{}\nnet_interface {local}\nsnd_path {path}\n\
             module_path /usr/lib/baresip/modules\nmodule g711.so\nmodule g722.so\n\
             module opus.so\nmodule l16.so\nmodule srtp.so\nmodule dtls_srtp.so\nmodule sndfile.so\n\
             module aubridge.so\nmodule ausine.so\nmodule aufile.so\nmodule_tmp account.so\nmodule_app menu.so\n\
             module_app ctrl_tcp.so\nctrl_tcp_listen {local}:{control}\n",
            rtp + 9
        );
        fs::write(dir.join("config"), config).unwrap();
        fs::write(dir.join("accounts"), format!("{account}\n")).unwrap();
        fs::write(dir.join("contacts"), "").unwrap();
        let mut command = Command::new("baresip");
        command.arg("-f").arg(&dir).arg("-v");
        let process = Child::start(command, "baresip", &dir.join("screen"));
        let address = SocketAddr::from((local, control));
        let control = eventually(PATIENCE, || TcpStream::connect(address).ok());
        let control = control.expect("baresip's control port");
        control.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        Self { process, dir, control, events: String::new(), server, suffix }
    }

    /// Gives it a command, RFC-less but documented: netstrings of JSON.
    pub fn command(&mut self, command: &str, parameters: &str) {
        let text = format!(r#"{{"command":"{command}","params":"{parameters}","token":"t"}}"#);
        write!(self.control, "{}:{text},", text.len()).unwrap();
    }

    /// Calls an extension.
    pub fn dial(&mut self, number: &str) {
        let uri = format!("sip:{number}@{}{}", self.server, self.suffix);
        self.command("dial", &uri);
    }

    /// Presses keys, one after another.
    pub fn press(&mut self, keys: &str) {
        for key in keys.chars() {
            self.command("sndcode", &key.to_string());
            sleep(KEY);
        }
    }

    /// The keys it has been told of since anybody last waited for an event.
    pub fn keys_by_now(&mut self) -> String {
        let mut buffer = [0; 4096];
        while let Ok(len @ 1..) = self.control.read(&mut buffer) {
            self.events.push_str(&String::from_utf8_lossy(&buffer[..len]));
        }
        let events = std::mem::take(&mut self.events);
        let keys = events.split('}').filter(|event| event.contains(r#""CALL_DTMF_START""#));
        let key = |event: &str| event.split(r#""param":""#).nth(1)?.chars().next();
        keys.filter_map(key).collect()
    }

    /// Waits for an event such as `CALL_ESTABLISHED`, and forgets those before it.
    pub fn expect_event(&mut self, event: &str) {
        self.expect(event, "");
    }

    /// Waits for a key.
    pub fn expect_key(&mut self, key: char) {
        self.expect("CALL_DTMF_START", &format!(r#""param":"{key}""#));
    }

    fn expect(&mut self, event: &str, parameter: &str) {
        let end = Instant::now() + PATIENCE;
        let wanted = format!(r#""type":"{event}""#);
        loop {
            // Netstrings of JSON objects without others inside.
            while let Some(len) = self.events.find('}') {
                let object: String = self.events.drain(..=len).collect();
                if object.contains(&wanted) && object.contains(parameter) {
                    return;
                }
            }
            assert!(Instant::now() < end, "no {event} {parameter}:\n{}", self.screen());
            let mut buffer = [0; 4096];
            if let Ok(len) = self.control.read(&mut buffer) {
                self.events.push_str(&String::from_utf8_lossy(&buffer[..len]));
            }
        }
    }

    /// What it hears from now on, while its calls go on.
    pub fn ear(&self) -> Box<dyn Ear> {
        Box::new(Recordings { dir: self.dir.clone(), taken: BTreeMap::new() })
    }

    fn screen(&self) -> String {
        fs::read_to_string(self.dir.join("screen")).unwrap_or_default()
    }

    /// Ends it; everything it heard, and the rate in Hz.
    pub fn heard(mut self) -> (Vec<f64>, f64) {
        self.process.terminate();
        assert!(self.process.wait(PATIENCE).is_some(), "baresip does not end");
        let mut all = (Vec::new(), 8000.0);
        for file in recordings(&self.dir) {
            let (samples, rate) = tone::read_wav(&file);
            all.0.extend(samples);
            all.1 = rate;
        }
        all
    }
}

/// Its recordings of what it heard, in the order of time.
fn recordings(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.to_string_lossy().ends_with("-dec.wav")).collect();
    files.sort();
    files
}

/// Its recordings while it writes them, and how much of each was taken.
#[derive(Debug)]
struct Recordings {
    dir: PathBuf,
    taken: BTreeMap<PathBuf, usize>,
}

impl Ear for Recordings {
    fn fresh(&mut self) -> (Vec<f64>, f64) {
        let mut fresh = (Vec::new(), 8000.0);
        for file in recordings(&self.dir) {
            let Some((samples, rate)) = tone::read_growing(&file) else { continue };
            let taken = self.taken.entry(file).or_default();
            fresh.0.extend(samples.get(*taken..).unwrap_or(&[]));
            fresh.1 = rate;
            *taken = samples.len().max(*taken);
        }
        fresh
    }
}

fn sine(hz: u32) -> String {
    format!("ausine,{hz}")
}
