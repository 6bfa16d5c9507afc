//! linphonec as a phone without sound hardware: it speaks a tone from a file. Unlike baresip 1.0 it can
//! transfer with consultation (REFER with Replaces).

use std::f64::consts::TAU;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{ChildStdin, Command};
use std::time::Duration;

use crate::table::Ear;
use crate::{Child, Server, eventually, password, tone};

/// Octets before the samples of its recording.
const HEAD_LEN: usize = 44;
const PATIENCE: Duration = Duration::from_secs(15);

/// A running linphonec.
#[derive(Debug)]
pub struct Linphone {
    process: Child,
    input: ChildStdin,
    dir: PathBuf,
    server: std::net::SocketAddr,
}

impl Linphone {
    /// A phone of `extension` that speaks a tone of `hz`, registered over UDP; it answers by itself.
    pub fn start(server: &mut Server, extension: &str, hz: u32) -> Self {
        let dir = server.dir().join(format!("linphone-{extension}"));
        for part in [".local/share/linphone", ".config/linphone"] {
            fs::create_dir_all(dir.join(part)).unwrap();
        }
        let tone = |at: f64| (TAU * f64::from(hz) * at).sin() / 2.0;
        tone::write_wav(&dir.join("spoken.wav"), Duration::from_secs(30), tone);
        let (registrar, sip, rtp) = (server.sip(), server.port(), server.ports(10));
        let config = format!(
            "[sip]\nsip_port={sip}\nsip_tcp_port=0\nsip_tls_port=0\ndefault_proxy=0\n\
             register_only_when_network_is_up=0\nguess_hostname=0\n[rtp]\naudio_rtp_port={rtp}\n\
             [sound]\nechocancellation=0\n[proxy_0]\nreg_proxy=<sip:{registrar}>\n\
             reg_identity=sip:{extension}@{registrar}\nreg_sendregister=1\nreg_expires=600\n\
             publish=0\n[auth_info_0]\nusername={extension}\npasswd={}\nrealm=hookflash.test\n",
            password(extension)
        );
        fs::write(dir.join("linphonerc"), config).unwrap();
        let mut command = Command::new("linphonec");
        command.arg("-a").arg("-c").arg(dir.join("linphonerc")).env("HOME", &dir);
        let mut process = Child::start(command, "linphonec", &dir.join("screen"));
        let input = process.stdin().unwrap();
        let mut phone = Self { process, input, dir, server: registrar };
        let registered = format!("registration extension={extension} contacts=1");
        let known = eventually(PATIENCE, || server.log().contains(&registered).then_some(()));
        assert!(known.is_some(), "linphonec does not register:\n{}", phone.screen());
        phone.command("soundcard use files");
        phone.command(&format!("record {}", phone.heard().display()));
        phone.command(&format!("play {}", phone.dir.join("spoken.wav").display()));
        phone
    }

    /// Gives it a command of its shell, e.g. `pause 1`.
    pub fn command(&mut self, command: &str) {
        writeln!(self.input, "{command}").unwrap();
    }

    /// Calls an extension; its calls are numbered from 1.
    pub fn dial(&mut self, number: &str) {
        let uri = format!("call sip:{number}@{}", self.server);
        self.command(&uri);
    }

    /// What it hears from now on, while its call goes on.
    pub fn ear(&self) -> Box<dyn Ear> {
        Box::new(Recording { file: self.heard(), taken: 0 })
    }

    fn heard(&self) -> PathBuf {
        self.dir.join("heard.wav")
    }

    /// Waits until its screen shows `text` for the `times`th time.
    pub fn expect(&self, text: &str, times: usize) {
        let seen = || (self.screen().matches(text).count() >= times).then_some(());
        assert!(eventually(PATIENCE, seen).is_some(), "no {text}:\n{}", self.screen());
    }

    fn screen(&self) -> String {
        fs::read_to_string(self.dir.join("screen")).unwrap_or_default()
    }
}

impl Drop for Linphone {
    fn drop(&mut self) {
        let _ = writeln!(self.input, "quit"); // its calls end by BYE, its binding by REGISTER
        let _ = self.process.wait(Duration::from_secs(5));
    }
}

/// Its recording while it writes it, and how much of it was taken.
#[derive(Debug)]
struct Recording {
    file: PathBuf,
    taken: usize,
}

impl Ear for Recording {
    fn fresh(&mut self) -> (Vec<f64>, f64) {
        // It writes the head of the file when it closes it: what follows is known.
        let bytes = fs::read(&self.file).unwrap_or_default();
        let samples: Vec<_> = tone::samples_of(bytes.get(HEAD_LEN..).unwrap_or(&[])).collect();
        let fresh = samples.get(self.taken..).unwrap_or(&[]).to_vec();
        self.taken = samples.len();
        (fresh, 8000.0)
    }
}
