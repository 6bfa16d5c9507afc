//! The configuration under test.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;

use crate::Network;

/// Extensions and their passwords.
pub const PASSWORDS: [(&str, &str); 4] = [
    ("1001", "quiet-battery-horse"),
    ("1002", "green-staple-mine"),
    ("1003", "seven-lazy-otters"),
    ("1004", "marble-kettle-song"),
];

/// What the carrier's challenges are answered with.
pub const TRUNK_PASSWORD: &str = "secret-of-carrier";

/// What the trunk `gateway` proves itself with, wherever it is: name and password.
pub const GATEWAY: (&str, &str) = ("gateway-7", "secret-of-gateway");

/// The password of an extension.
pub fn password(extension: &str) -> &'static str {
    let known = PASSWORDS.iter().find(|(number, _)| *number == extension);
    known.map(|(_, password)| *password).expect("a known extension")
}

/// What differs from test to test; the rest is the same for all.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Address of the server.
    pub ip: IpAddr,
    /// Another one, at which it listens over UDP and TCP, too.
    pub also: Option<IpAddr>,
    /// What the addresses of trunks begin with; each ends with a number of its own.
    pub peers: [u8; 3],
    /// The process in whose network namespace the server runs, if not in ours.
    pub namespace: Option<u32>,
    /// Digest algorithms, in order. SIPp reads the first challenge only, and knows MD5 only.
    pub digest: &'static str,
    /// Codecs, best first.
    pub codecs: &'static str,
    /// How long a phone rings, in seconds: 5 at least.
    pub ring_timeout_s: u32,
    /// How long a trunk may be silent, in seconds.
    pub trunk_timeout_s: u32,
    /// How long calls may go on after SIGTERM, in seconds.
    pub drain_limit_s: u32,
    /// Least registration granted, in seconds.
    pub expires_min_s: u32,
    /// Whether the trunks are reached, and the carrier listens, over TCP.
    pub trunks_by_tcp: bool,
    /// Whether there are TLS and secure WebSocket listeners.
    pub tls: bool,
    /// How long the ports of a call rest, in seconds.
    pub port_quarantine_s: u32,
    /// The call, counted from 1, whose next step panics at SIGUSR2 (debug builds only).
    pub poison: Option<u64>,
    /// Blocks of ports; the first is good for a dozen calls at once, each other for 25.
    pub port_blocks: u16,
    /// Lines for `[net]`.
    pub net: &'static str,
    /// Lines for `[media]`.
    pub media: &'static str,
    /// Lines for `[security]`.
    pub security: &'static str,
    /// How often the trunk `carrier` is asked whether it is there, in seconds: 5 at least, or 0.
    pub options_interval_s: u32,
    /// Lines for the trunk `carrier`.
    pub carrier: &'static str,
    /// Lines for the credentials that the trunk `carrier` gets.
    pub carrier_realm: &'static str,
    /// Lines for every extension.
    pub extension: &'static str,
    /// Lines for extension 1001 alone.
    pub first_extension: &'static str,
    /// Lines for the entry point that leads to it.
    pub entry_point: &'static str,
    /// Names of the routes that extensions may use, 1004 apart.
    pub routes: &'static str,
    /// Whether the trunk `registrar` is there, at which the server registers for a minute each time.
    pub registers: bool,
    /// Whether the API is served.
    pub api: bool,
    /// Whatever else the configuration shall have.
    pub more: String,
    /// How much is logged.
    pub log: &'static str,
    /// Whether the log shows telephone numbers in full.
    pub log_numbers: bool,
    /// More of the server's environment.
    pub env: Vec<(String, String)>,
}

impl Setup {
    /// The API is served, with the tokens of [`crate::web`].
    #[must_use]
    pub fn with_api() -> Self {
        Self { api: true, ..Self::default() }
    }

    /// The server is on the other side of a network of the test's own.
    pub fn across(network: &Network) -> Self {
        let (peers, namespace) = (network.peers(), Some(network.holder()));
        Self { ip: network.server().into(), peers, namespace, ..Self::default() }
    }

    /// An address of a peer.
    pub(crate) fn peer(&self, host: u8) -> Ipv4Addr {
        let [a, b, c] = self.peers;
        Ipv4Addr::new(a, b, c, host)
    }

    /// The trunk `gateway` is there, known by nothing but its digest.
    #[must_use]
    pub fn with_gateway(mut self) -> Self {
        let (name, password) = GATEWAY;
        self.more += &format!(
            "[[trunk]]\nname = \"gateway\"\noptions_interval_s = 0\n\
             [trunk.inbound_credentials]\nusername = \"{name}\"\npassword = \"{password}\"\n"
        );
        self
    }

    /// Audio passes as it is: payloads can be recognised.
    #[must_use]
    pub fn with_untouched_audio(mut self) -> Self {
        self.more += "[noise_removal]\nfrom_customer = false\n";
        self
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            ip: Ipv4Addr::LOCALHOST.into(),
            also: None,
            peers: [127, 0, 0],
            namespace: None,
            digest: r#"["MD5", "SHA-256"]"#,
            codecs: r#"["PCMU", "PCMA"]"#,
            ring_timeout_s: 30,
            trunk_timeout_s: 2,
            drain_limit_s: 1,
            expires_min_s: 60,
            trunks_by_tcp: false,
            tls: false,
            port_quarantine_s: 1,
            poison: None,
            port_blocks: 1,
            net: "",
            media: "",
            security: "",
            options_interval_s: 0,
            carrier: "",
            carrier_realm: "",
            extension: "",
            first_extension: "",
            entry_point: "",
            routes: r#""world""#,
            registers: false,
            api: false,
            more: String::new(),
            log: "debug",
            log_numbers: false,
            env: Vec::new(),
        }
    }
}

/// Where everything is.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    pub(crate) sip: u16,
    pub(crate) tls: u16,
    pub(crate) ws: u16,
    pub(crate) wss: u16,
    pub(crate) rtp: RangeInclusive<u16>,
    pub(crate) carrier: SocketAddr,
    pub(crate) backup: SocketAddr,
    pub(crate) registrar: SocketAddr,
    pub(crate) api: SocketAddr,
}

impl Setup {
    /// The configuration file.
    pub(crate) fn toml(&self, places: &Places) -> String {
        let mut text = format!(
            "[server]\nrealm = \"hookflash.test\"\ndata_dir = \"data\"\ndrain_limit_s = {}\n\
             [log]\nlevel = \"{}\"\nredact_numbers = {}\n\n",
            self.drain_limit_s, self.log, !self.log_numbers
        );
        self.write_listeners(&mut text, places);
        let _ = write!(
            text,
            "[net]\n{}\n\n[sip]\nring_timeout_s = {}\ntrunk_timeout_s = {}\n\n\
             [media]\nport_min = {}\nport_max = {}\nport_quarantine_s = {}\ncodecs = {}\n{}\n\n\
             [registrar]\nexpires_min_s = {}\nqualify_s = 0\n\n\
             [security]\ndigest_algorithms = {}\n{}\n\n",
            self.net,
            self.ring_timeout_s,
            self.trunk_timeout_s,
            places.rtp.start(),
            places.rtp.end(),
            self.port_quarantine_s,
            self.codecs,
            self.media,
            self.expires_min_s,
            self.digest,
            self.security,
        );
        for (number, password) in PASSWORDS {
            let _ = write!(
                text,
                "[[extension]]\nnumber = \"{number}\"\npassword = \"{password}\"\n\
                 display_name = \"Agent {number}\"\ncaller_id = \"+4930555\"\n{}\n{}\n{}\n",
                format_args!("routes = [{}]", if number == "1004" { "" } else { self.routes }),
                self.extension,
                if number == "1001" { self.first_extension } else { "" },
            );
        }
        self.write_trunks(&mut text, places);
        if self.api {
            text += &crate::web::toml(places.api);
        }
        text + "\n" + &self.more
    }

    fn write_listeners(&self, text: &mut String, places: &Places) {
        let mut listen_at = |ip: IpAddr, transport: &str, port: u16| {
            let address = SocketAddr::new(ip, port);
            let _ = writeln!(
                text,
                "[[listen]]\ntransport = \"{transport}\"\naddress = \"{address}\"\n"
            );
        };
        for (ip, transport) in self.also.iter().flat_map(|ip| [(*ip, "udp"), (*ip, "tcp")]) {
            listen_at(ip, transport, places.sip);
        }
        let mut listen = |transport: &str, port: u16| listen_at(self.ip, transport, port);
        listen("udp", places.sip);
        listen("tcp", places.sip);
        listen("ws", places.ws);
        if self.tls {
            listen("tls", places.tls);
            listen("wss", places.wss);
            let _ = writeln!(
                text,
                "[tls]\ncertificate = \"server.pem\"\nkey = \"server.key\"\n\
                 client_ca = \"ca.pem\"\ntrusted_ca = \"ca.pem\"\n"
            );
        }
    }

    fn write_trunks(&self, text: &mut String, places: &Places) {
        let by = if self.trunks_by_tcp { ";transport=tcp" } else { "" };
        let _ = write!(
            text,
            "[[trunk]]\nname = \"customer\"\nnetworks = [\"{customer}/32\"]\n\
             options_interval_s = 0\npass_headers = [\"X-Ticket\", \"User-to-User\"]\n\
             calls_per_second_max = 1000\ncalls_max = 1000\n\n\
             [[trunk]]\nname = \"carrier\"\ntargets = [\"sip:{carrier}{by}\"]\n\
             networks = [\"{}/32\"]\noptions_interval_s = {interval}\n\
             caller_id = \"p-asserted-identity\"\n{extra}\n\
             [trunk.credentials]\nusername = \"customer-4711\"\npassword = \"{TRUNK_PASSWORD}\"\n{realm}\n\
             [trunk.outbound_numbers]\nrules = [{{ prefix = \"0\", replacement = \"+49\" }}]\n\n\
             [[trunk]]\nname = \"backup\"\ntargets = [\"sip:{backup}{by}\"]\n\
             networks = [\"{}/32\"]\noptions_interval_s = 0\n\
             caller_id = \"p-asserted-identity\"\n\
             [trunk.outbound_numbers]\nrules = [{{ prefix = \"0\", replacement = \"+49\" }}]\n\n\
             [[route]]\nname = \"world\"\nprefixes = [\"0\"]\ntrunks = [\"carrier\", \"backup\"]\n\n\
             [[entry_point]]\nnumber = \"+4930100\"\nextension = \"1001\"\n{entry}\n\n\
             [[entry_point]]\nnumber = \"+4930200\"\ntrunk = \"customer\"\nextension = \"1002\"\n",
            places.carrier.ip(),
            places.backup.ip(),
            customer = self.peer(2),
            interval = self.options_interval_s,
            carrier = places.carrier,
            backup = places.backup,
            extra = self.carrier,
            realm = self.carrier_realm,
            entry = self.entry_point,
        );
        if self.registers {
            let _ = write!(
                text,
                "\n[[trunk]]\nname = \"registrar\"\ntargets = [\"sip:{}\"]\nregister_s = 60\n\
                 options_interval_s = 0\n[trunk.credentials]\nusername = \"customer-4711\"\n\
                 password = \"{TRUNK_PASSWORD}\"\n",
                places.registrar
            );
        }
        if self.tls {
            text.push_str(
                "\n[[trunk]]\nname = \"by-name\"\ntls_name = \"trunk.test\"\noptions_interval_s = 0\n",
            );
        }
    }
}
