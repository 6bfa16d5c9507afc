//! Row 33: the way to a trunk is gone for a while; packets are lost and nobody is told.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use interop::audio::Audio;
use interop::client::{Client, PATIENCE};
use interop::{Network, Server, Setup, Talk, eventually};

use crate::decline;
use crate::media::{MARKS, both_heard, converse};

/// The last numbers of addresses.
const CUSTOMER: u8 = 2;
const CARRIER: u8 = 3;
const PHONES: [(&str, u8); 2] = [("1001", 11), ("1002", 12)];
/// Where 1003 dials out.
const DIALS: u8 = 13;
/// How long the longer partition lasts, seconds, instead of as long as it must.
const AWAY_S: &str = "HOOKFLASH_PARTITION_S";
/// The least that it must last: OPTIONS every 5 s that fail after 3 s, twice, are 13 s.
const AWAY_LEAST_S: u64 = 16;
/// One look at who hears whom: 400 ms.
const PACKETS: usize = 10;

#[test]
fn five_seconds_without_a_trunk_end_no_call() {
    Network::within("partitions::five_seconds_without_a_trunk_end_no_call", |network| {
        let mut scene = Scene::start(network, 10);
        scene.both_talk();
        network.cut(scene.carrier);
        let cut = Instant::now();
        assert!(scene.backup_is_asked_after() <= Duration::from_secs(4));
        while cut.elapsed() < Duration::from_secs(5) {
            scene.customer_alone_talks();
        }
        network.mend(scene.carrier);
        scene.both_talk();
        let [of_carrier, of_customer] = scene.end();
        assert_eq!([of_carrier, of_customer], ["caller", "caller"]);
    });
}

#[test]
fn a_trunk_that_stays_away_loses_its_calls_and_no_other() {
    Network::within(
        "partitions::a_trunk_that_stays_away_loses_its_calls_and_no_other",
        |network| {
            let wished = std::env::var(AWAY_S).ok().and_then(|seconds| seconds.parse().ok());
            let away = Duration::from_secs(wished.unwrap_or(AWAY_LEAST_S).max(AWAY_LEAST_S));
            let limit = away / 3;
            let mut scene = Scene::start(network, limit.as_secs());
            scene.both_talk();
            assert_eq!(scene.told("trunk is up"), 1);
            network.cut(scene.carrier);
            let cut = Instant::now();
            assert!(scene.backup_is_asked_after() <= Duration::from_secs(4));
            let mut ended = None;
            while cut.elapsed() < away {
                scene.customer_alone_talks();
                let phone = &scene.carriers.talk.phone;
                let bye = ended.is_none().then(|| phone.receive_within(Duration::from_millis(1)));
                if let Some(bye) = bye.flatten() {
                    assert_eq!(bye.method(), "BYE", "{bye}");
                    phone.send(&phone.reply(&bye, "200 OK", &[], ""));
                    ended = Some(cut.elapsed());
                }
            }
            let ended = ended.expect("a call without audio is hung up");
            assert!(ended + Duration::from_secs(1) >= limit, "after {ended:?} of {limit:?}");
            assert_eq!(scene.told("trunk is down"), 1, "{}", scene.server.log());
            // It is not even tried.
            assert!(scene.backup_is_asked_after() <= Duration::from_secs(1));
            network.mend(scene.carrier);
            let is_up = eventually(PATIENCE * 3, || (scene.told("trunk is up") == 2).then_some(()));
            assert!(is_up.is_some(), "{}", scene.server.log());
            scene.carrier_is_asked();
            // Whoever was away hears of the end.
            scene.carriers.hears_of_the_end();
            scene.customer_alone_talks();
            let [of_carrier, of_customer] = scene.end();
            assert_eq!([of_carrier, of_customer], ["system", "caller"]);
        },
    );
}

/// A call with audio.
struct Up {
    talk: Talk,
    audio: [Audio; 2],
    places: [SocketAddr; 2],
}

impl Up {
    /// Whoever was away for as long as a BYE is repeated (RFC 3261 §17.1.2.2: 32 s) is told once he
    /// says something himself.
    fn hears_of_the_end(&self) {
        let Talk { customer, of_customer, .. } = &self.talk;
        if let Some(bye) = customer.receive_within(PATIENCE) {
            assert_eq!(bye.method(), "BYE", "{bye}");
            customer.send(&customer.reply(&bye, "200 OK", &[], ""));
        }
        assert_eq!(customer.ask(&customer.within(of_customer, "BYE", 90, "")).status(), 481);
    }
}

/// A call of the trunk that will be away, one of a trunk that will not, and who answers for the first.
struct Scene {
    server: Server,
    carrier: Ipv4Addr,
    carriers: Up,
    customers: Up,
    dials_at: Ipv4Addr,
    backup: Client,
    desk: Desk,
}

impl Scene {
    fn start(network: &Network, rtp_timeout_s: u64) -> Self {
        let media = format!("rtp_timeout_s = {rtp_timeout_s}").leak();
        let setup = Setup {
            media,
            trunk_timeout_s: 3, // the default
            options_interval_s: 5,
            drain_limit_s: 5,
            ..Setup::across(network).with_untouched_audio()
        };
        let server = Server::start(&setup);
        let desk = Desk::open(Client::udp(server.carrier(), server.sip()));
        let backup = Client::udp(server.backup(), server.sip());
        let [first, second] = PHONES.map(|(number, host)| {
            let mut phone = Client::at(network.at(host), server.sip());
            assert_eq!(phone.register(number, 600).status(), 200);
            phone
        });
        let call = |host: u8, number, phone: Client| {
            let [one, two] = [network.at(host).into(), phone.local().ip()];
            let audio = [Audio::at(one, MARKS[0]), Audio::at(two, MARKS[1])];
            let caller = Client::at(one, server.sip());
            let (talk, places) = Talk::with_audio(caller, phone, number, [&audio[0], &audio[1]]);
            Up { talk, audio, places }
        };
        let carriers = call(CARRIER, "+4930100", first);
        let customers = call(CUSTOMER, "+4930200", second);
        let asked = eventually(PATIENCE, || (desk.asked.load(Ordering::Relaxed) > 0).then_some(()));
        assert!(asked.is_some(), "OPTIONS");
        let [carrier, dials_at] = [CARRIER, DIALS].map(|host| network.at(host));
        Self { server, carrier, carriers, customers, dials_at, backup, desk }
    }

    fn both_talk(&mut self) {
        for Up { audio, places, .. } in [&mut self.carriers, &mut self.customers] {
            both_heard(&converse(audio, *places, PACKETS), PACKETS, 1);
        }
    }

    /// The phone of the other call goes on, too, and is not heard.
    fn customer_alone_talks(&mut self) {
        let Up { audio, places, .. } = &mut self.carriers;
        let heard = converse(audio, *places, PACKETS);
        assert_eq!(heard.concat(), [0; 0], "the trunk is away");
        let Up { audio, places, .. } = &mut self.customers;
        both_heard(&converse(audio, *places, PACKETS), PACKETS, 1);
    }

    /// Somebody dials out.
    fn dial(&self) -> Client {
        let phone = Client::at(self.dials_at, self.server.sip());
        phone.send_with_digest("1003", &|lines| {
            phone.request_with("INVITE", "030123456", "1003", lines, &phone.sdp())
        });
        phone
    }

    /// How long it takes until the second trunk has the call.
    fn backup_is_asked_after(&self) -> Duration {
        let phone = self.dial();
        let dialled = Instant::now();
        let invite = self.backup.receive_request("INVITE");
        let took = dialled.elapsed();
        self.backup.send(&self.backup.reply(&invite, "603 Decline", &[], ""));
        decline(&self.backup);
        assert_eq!(phone.receive_own_final().status(), 603);
        took
    }

    fn carrier_is_asked(&self) {
        let before = self.desk.called.load(Ordering::Relaxed);
        assert_eq!(self.dial().receive_own_final().status(), 603);
        assert_eq!(self.desk.called.load(Ordering::Relaxed), before + 1);
    }

    /// How often something was told of the trunk.
    fn told(&self, what: &str) -> usize {
        let log = self.server.log();
        log.lines().filter(|line| line.contains(what) && line.contains("trunk=carrier")).count()
    }

    /// Ends what is up; who ended the call of the trunk, and who that of the customer.
    fn end(self) -> [String; 2] {
        if self.told("trunk is down") == 0 {
            self.carriers.talk.hang_up();
        }
        self.customers.talk.hang_up();
        self.desk.close();
        let records = self.server.stop().records;
        ["+4930100", "+4930200"].map(|number| {
            let record = records.iter().find(|record| record.text("to") == number);
            record.expect("a record").ended_by().to_owned()
        })
    }
}

/// The trunk `carrier` itself: answers OPTIONS, and wants no calls.
struct Desk {
    asked: Arc<AtomicUsize>,
    called: Arc<AtomicUsize>,
    is_closed: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Desk {
    fn open(client: Client) -> Self {
        let [asked, called]: [Arc<AtomicUsize>; 2] = Default::default();
        let is_closed = Arc::<AtomicBool>::default();
        let (a, c, is_over) = (asked.clone(), called.clone(), is_closed.clone());
        let thread = thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                let message = client.receive_within(Duration::from_millis(100));
                let Some(message) = message else { continue };
                let (count, answer) = match message.method() {
                    "OPTIONS" => (&a, "200 OK"),
                    "INVITE" => (&c, "603 Decline"),
                    _ => continue,
                };
                count.fetch_add(1, Ordering::Relaxed);
                client.send(&client.reply(&message, answer, &[], ""));
            }
        });
        Self { asked, called, is_closed, thread }
    }

    fn close(self) {
        self.is_closed.store(true, Ordering::Relaxed);
        self.thread.join().expect("the trunk");
    }
}
