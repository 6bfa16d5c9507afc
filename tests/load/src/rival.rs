//! rtpengine, relaying the same calls: what the machine of the day costs the best of the field.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Where it is controlled.
const CONTROL: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 22_222);
/// How often it is asked whether it has started, and how long each answer may take.
const TRIES: usize = 40;
const PATIENCE: Duration = Duration::from_millis(100);

/// A running rtpengine in user space, with one thread.
#[derive(Debug)]
pub struct Rtpengine {
    child: Child,
    /// Where each phone sends to.
    pub ports: Vec<u16>,
}

impl Rtpengine {
    /// Starts it, with `calls` calls between phones at `first_peer` and above, two by two.
    ///
    /// # Errors
    /// When it is not installed, does not start, or refuses a call.
    pub fn start(calls: u16, first_peer: u16) -> io::Result<Self> {
        let child = Command::new("rtpengine")
            .args(["--foreground", "--table=-1", "--num-threads=1", "--log-level=2"])
            .args(["--interface=127.0.0.1", "--port-min=23000", "--port-max=26998"])
            .arg(format!("--listen-ng={}:{}", CONTROL.0, CONTROL.1))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut engine = Self { child, ports: Vec::new() };
        let control = Control::connect()?;
        control.wait()?;
        for call in 0..calls {
            let [first, second] = [first_peer + 2 * call, first_peer + 2 * call + 1];
            let for_second = control.ask("offer", call, first)?;
            let for_first = control.ask("answer", call, second)?;
            engine.ports.extend([for_first, for_second]);
        }
        Ok(engine)
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Rtpengine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Its `ng` protocol: bencoded dictionaries with a cookie in front.
struct Control(UdpSocket);

impl Control {
    fn connect() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(CONTROL)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(socket))
    }

    fn wait(&self) -> io::Result<()> {
        for n in 0..TRIES {
            match self.exchange(&format!("p{n} d7:command4:pinge")) {
                Ok(_) => return Ok(()),
                // Refused at once: nobody listens yet.
                Err(_) => std::thread::sleep(PATIENCE),
            }
        }
        Err(io::Error::other("rtpengine does not answer"))
    }

    /// Offers or answers with a phone's port; the port where the other phone is to send.
    fn ask(&self, command: &str, call: u16, port: u16) -> io::Result<u16> {
        let sdp = format!(
            "v=0\r\no=- {port} 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 0\r\n"
        );
        let mut entries = vec![
            ("ICE", "remove".to_owned()),
            ("call-id", format!("call{call}")),
            ("command", command.to_owned()),
            ("from-tag", "first".to_owned()),
            ("sdp", sdp),
        ];
        if command == "answer" {
            entries.push(("to-tag", "second".to_owned()));
        }
        let text: String =
            entries.iter().map(|(key, value)| string(key) + &string(value)).collect();
        let answer = self.exchange(&format!("{command}{call} d{text}e"))?;
        let port = answer.split("m=audio ").nth(1).and_then(|line| line.split(' ').next());
        port.and_then(|port| port.parse().ok()).ok_or_else(|| io::Error::other(answer))
    }

    fn exchange(&self, request: &str) -> io::Result<String> {
        self.0.send(request.as_bytes())?;
        let mut buffer = [0; 4096];
        let len = self.0.recv(&mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer[..len]).into_owned())
    }
}

fn string(text: &str) -> String {
    format!("{}:{text}", text.len())
}
