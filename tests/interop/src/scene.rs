//! One call told as a cast: who plays which scenario where.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use crate::{Ended, Record, Server, Setup, Sipp};

/// Address of the trunk `customer`.
const CUSTOMER: [u8; 4] = [127, 0, 0, 2];
/// Phones live at 127.0.0.11 and up.
const PHONES: u8 = 11;

/// A server and the players of one test.
#[derive(Debug)]
pub struct Scene {
    /// The server under test.
    pub server: Server,
    by_tcp: bool,
    phones: u8,
    waiting: Vec<Sipp>,
    acting: Vec<Sipp>,
}

impl Scene {
    /// A server as every test has it, and nobody there yet.
    pub fn new() -> Self {
        Self::with(&Setup::default())
    }

    /// A server with a configuration of its own.
    pub fn with(setup: &Setup) -> Self {
        Self { by_tcp: setup.trunks_by_tcp, ..Self::at(Server::start(setup)) }
    }

    /// A server that runs already.
    pub fn at(server: Server) -> Self {
        Self { server, by_tcp: false, phones: 0, waiting: Vec::new(), acting: Vec::new() }
    }

    /// An address for one more phone.
    pub fn phone_address(&mut self) -> SocketAddr {
        self.phones += 1;
        let ip: IpAddr = match self.server.sip().ip() {
            IpAddr::V4(_) => Ipv4Addr::new(127, 0, 0, PHONES + self.phones).into(),
            IpAddr::V6(ip) => ip.into(),
        };
        self.server.address(ip)
    }

    /// A registered phone of `extension` that waits for a call.
    #[must_use]
    pub fn agent(self, extension: &str, scenario: &str) -> Self {
        self.agent_with(extension, scenario, &[])
    }

    /// The same with arguments.
    #[must_use]
    pub fn agent_with(mut self, extension: &str, scenario: &str, arguments: &[&str]) -> Self {
        let address = self.phone_address();
        self.server.register(extension, address);
        let sipp = Sipp::at(&mut self.server, scenario, address).with(arguments);
        self.waiting.push(sipp.start());
        self
    }

    /// The same for a phone that places calls of its own meanwhile, with its extension's password.
    #[must_use]
    pub fn calling_agent(mut self, extension: &str, scenario: &str, arguments: &[&str]) -> Self {
        let address = self.phone_address();
        self.server.register(extension, address);
        let sipp = Sipp::at(&mut self.server, scenario, address).as_user(extension);
        self.waiting.push(sipp.with(arguments).start());
        self
    }

    /// The gateway of the trunk `carrier`.
    #[must_use]
    pub fn carrier(self, scenario: &str) -> Self {
        let address = self.server.carrier();
        self.gateway(scenario, address, &[])
    }

    /// The gateway of the trunk `backup`.
    #[must_use]
    pub fn backup(self, scenario: &str) -> Self {
        let address = self.server.backup();
        self.gateway(scenario, address, &[])
    }

    /// A gateway with arguments.
    #[must_use]
    pub fn gateway(mut self, scenario: &str, address: SocketAddr, arguments: &[&str]) -> Self {
        let mut sipp = Sipp::at(&mut self.server, scenario, address).with(arguments);
        if self.by_tcp {
            sipp = sipp.by_tcp();
        }
        self.waiting.push(sipp.start());
        self
    }

    /// A customer who calls `number` through the trunk `customer`.
    #[must_use]
    pub fn customer(self, scenario: &str, number: &str) -> Self {
        self.customer_with(scenario, number, &[])
    }

    /// The same with arguments.
    #[must_use]
    pub fn customer_with(mut self, scenario: &str, number: &str, arguments: &[&str]) -> Self {
        let sipp = Sipp::new(&mut self.server, scenario, CUSTOMER).calling(number).with(arguments);
        let sipp = if self.by_tcp { sipp.by_tcp() } else { sipp };
        self.acting.push(sipp.start());
        self
    }

    /// A phone of `extension` that calls `number`.
    #[must_use]
    pub fn phone(self, scenario: &str, extension: &str, number: &str) -> Self {
        self.phone_with(scenario, extension, number, &[])
    }

    /// The same with arguments.
    #[must_use]
    pub fn phone_with(
        mut self,
        scenario: &str,
        extension: &str,
        number: &str,
        arguments: &[&str],
    ) -> Self {
        let address = self.phone_address();
        let sipp = Sipp::at(&mut self.server, scenario, address).as_user(extension);
        self.acting.push(sipp.calling(number).with(arguments).start());
        self
    }

    /// Everybody plays to the end; then the server leaves.
    pub fn end(self) -> Ended {
        self.end_and(|_| ())
    }

    /// The same; then `after` has the server's directory before it is removed.
    pub fn end_and(self, after: impl FnOnce(&Path)) -> Ended {
        let Self { server, waiting, acting, .. } = self;
        acting.into_iter().for_each(Sipp::finish);
        waiting.into_iter().for_each(Sipp::finish);
        server.stop_and(after)
    }

    /// The server leaves while these, and all who wait, still play; then they play to the end.
    pub fn stop_while_they_play(self, playing: Vec<Sipp>) -> Ended {
        let Self { server, waiting, .. } = self;
        let ended = server.stop();
        playing.into_iter().chain(waiting).for_each(Sipp::finish);
        ended
    }

    /// The same, for a test of one call: its record.
    pub fn record(self) -> Record {
        let Ended { mut records, log } = self.end();
        assert_eq!(records.len(), 1, "{records:?}\n{log}");
        records.remove(0)
    }
}

impl Default for Scene {
    fn default() -> Self {
        Self::new()
    }
}
