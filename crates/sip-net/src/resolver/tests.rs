use std::collections::BTreeMap;

use super::*;

/// Records by name.
#[derive(Debug, Default)]
struct Zone {
    naptr: BTreeMap<&'static str, Vec<Naptr>>,
    srv: BTreeMap<&'static str, Vec<Srv>>,
    addresses: BTreeMap<&'static str, Vec<IpAddr>>,
    broken: bool,
}

fn found<'a, T: Clone + Send + 'a>(
    zone: &Zone,
    table: &BTreeMap<&'static str, Vec<T>>,
    name: &str,
) -> DnsFuture<'a, T> {
    let answer = match zone.broken {
        true => Err(DnsError("SERVFAIL".into())),
        false => Ok(table.get(name).cloned().unwrap_or_default()),
    };
    Box::pin(std::future::ready(answer))
}

impl DnsSource for Zone {
    fn naptr<'a>(&'a self, name: &'a str) -> DnsFuture<'a, Naptr> {
        found(self, &self.naptr, name)
    }

    fn srv<'a>(&'a self, name: &'a str) -> DnsFuture<'a, Srv> {
        found(self, &self.srv, name)
    }

    fn addresses<'a>(&'a self, name: &'a str) -> DnsFuture<'a, IpAddr> {
        found(self, &self.addresses, name)
    }
}

fn naptr(order: u16, preference: u16, service: &str, replacement: &str) -> Naptr {
    let (flags, service, replacement) = ("s".into(), service.into(), replacement.into());
    Naptr { order, preference, flags, service, replacement }
}

fn srv(priority: u16, weight: u16, port: u16, target: &str) -> Srv {
    Srv { priority, weight, port, target: target.into() }
}

/// `one.example`: addresses only; `two.example`: SRV; `three.example`: NAPTR; `off.example`: a
/// service that is decidedly not there.
fn zone() -> Zone {
    let ips = |ips: &[&str]| ips.iter().map(|ip| ip.parse().unwrap()).collect();
    Zone {
        naptr: [(
            "three.example",
            vec![
                naptr(20, 1, "SIP+D2U", "u.three.example"),
                naptr(10, 2, "SIP+D2T", "t.three.example"),
                naptr(10, 1, "SIPS+D2T", "s.three.example"),
                naptr(1, 1, "E2U+sip", "enum.example"),
            ],
        )]
        .into(),
        srv: [
            ("_sip._udp.two.example", vec![srv(2, 0, 5062, "b"), srv(1, 0, 5061, "a")]),
            ("_sip._tcp.two.example", vec![srv(1, 0, 5070, "a")]),
            ("_sips._tcp.two.example", vec![srv(1, 0, 5071, "a")]),
            ("u.three.example", vec![srv(1, 0, 5080, "a")]),
            ("t.three.example", vec![srv(1, 0, 5081, "a")]),
            ("s.three.example", vec![srv(1, 0, 5082, "192.0.2.77")]),
            ("_sip._udp.off.example", vec![srv(0, 0, 0, ".")]),
        ]
        .into(),
        addresses: [
            ("one.example", ips(&["2001:db8::1", "192.0.2.1"])),
            ("off.example", ips(&["192.0.2.1"])),
            ("a", ips(&["192.0.2.10"])),
            ("b", ips(&["192.0.2.11"])),
        ]
        .into(),
        broken: false,
    }
}

const BOTH: UdpFamilies = UdpFamilies { v4: true, v6: true };

async fn resolve(dns: &Zone, families: UdpFamilies, uri: &str) -> Result<Vec<Target>, DnsError> {
    let uri: sip::message::Uri = uri.parse().unwrap();
    let transport = uri.transport().map(|name| match name {
        "udp" => Transport::Udp,
        "tcp" => Transport::Tcp,
        "tls" => Transport::Tls,
        _ => Transport::Ws,
    });
    let (port, secure) = (uri.port, uri.is_secure());
    let question = Question { host: uri.host, port, transport, secure };
    match question.immediate() {
        Some(targets) => Ok(targets),
        None => Search { dns, families, rng: Rng::from_u64(1) }.run(&question).await,
    }
}

fn text(targets: &[Target]) -> String {
    let one = |target: &Target| {
        let name = target.tls_name.as_deref().map(|name| format!("={name}")).unwrap_or_default();
        format!("{} {}{name}", target.transport.as_str(), target.addr)
    };
    targets.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn uris_resolve_as_rfc_3263_says() {
    for (uri, expected) in [
        ("sip:192.0.2.9", "UDP 192.0.2.9:5060"),
        ("sip:[2001:db8::9]:5070;transport=tcp", "TCP [2001:db8::9]:5070"),
        ("sips:192.0.2.9", "TLS 192.0.2.9:5061"),
        ("sips:192.0.2.9;transport=udp", ""),
        ("sip:one.example", "UDP 192.0.2.1:5060, UDP [2001:db8::1]:5060"),
        ("sip:one.example:5090", "UDP 192.0.2.1:5090, UDP [2001:db8::1]:5090"),
        (
            "sips:one.example:5090;transport=tcp",
            "TLS 192.0.2.1:5090=one.example, TLS [2001:db8::1]:5090=one.example",
        ),
        ("sip:two.example:5090", ""),
        (
            "sip:two.example",
            "UDP 192.0.2.10:5061, UDP 192.0.2.11:5062, TCP 192.0.2.10:5070, TLS 192.0.2.10:5071=two.example",
        ),
        ("sip:two.example;transport=tcp", "TCP 192.0.2.10:5070"),
        ("sips:two.example", "TLS 192.0.2.10:5071=two.example"),
        (
            "sip:three.example",
            "TLS 192.0.2.77:5082=three.example, TCP 192.0.2.10:5081, UDP 192.0.2.10:5080",
        ),
        ("sips:three.example", "TLS 192.0.2.77:5082=three.example"),
        ("sip:one.example;transport=ws", "WS 192.0.2.1:80, WS [2001:db8::1]:80"),
        ("sip:off.example", ""),
        ("sip:none.example", ""),
    ] {
        assert_eq!(text(&resolve(&zone(), BOTH, uri).await.unwrap()), expected, "{uri}");
    }
}

#[tokio::test]
async fn datagrams_go_only_where_there_is_a_socket() {
    let v6 = UdpFamilies { v4: false, v6: true };
    assert_eq!(
        text(&resolve(&zone(), v6, "sip:one.example").await.unwrap()),
        "UDP [2001:db8::1]:5060"
    );
}

#[tokio::test]
async fn a_failing_server_is_no_empty_answer_and_answers_are_bounded() {
    let broken = Zone { broken: true, ..zone() };
    assert!(resolve(&broken, BOTH, "sip:two.example").await.is_err());
    let mut many = Zone::default();
    let ips = (0..100).map(|n| IpAddr::from([192, 0, 2, n])).collect();
    many.addresses.insert("many.example", ips);
    let targets = resolve(&many, BOTH, "sip:many.example").await.unwrap();
    assert_eq!(targets.len(), RESOLVED_TARGETS_MAX);
}

#[test]
fn weights_are_shares_and_every_server_is_drawn_once() {
    let mut rng = Rng::from_u64(1);
    let records = || vec![srv(1, 0, 1, "zero"), srv(1, 30, 2, "small"), srv(1, 70, 3, "large")];
    let mut firsts = BTreeMap::new();
    for _ in 0..2000 {
        let order = by_weight(records(), &mut rng);
        assert_eq!(order.len(), 3);
        *firsts.entry(order[0].target.clone()).or_insert(0) += 1;
    }
    let share = |name: &str| firsts.get(name).copied().unwrap_or(0);
    assert!((1250..1550).contains(&share("large")), "{firsts:?}");
    assert!((450..750).contains(&share("small")), "{firsts:?}");
    assert!(share("zero") < 60, "{firsts:?}");
}

/// A name server on loopback that knows one SRV and one address record.
async fn name_server() -> SocketAddr {
    use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
    use hickory_resolver::proto::rr::rdata::{A, SRV};
    use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
            let mut message = Message::from_vec(&buffer[..len]).unwrap();
            let query = message.queries[0].clone();
            let host = Name::from_ascii("pbx.test.").unwrap();
            let data = match (query.name().to_string().as_str(), query.query_type()) {
                ("_sip._udp.test.", RecordType::SRV) => {
                    Some(RData::SRV(SRV::new(1, 1, 5077, host)))
                }
                ("pbx.test.", RecordType::A) => Some(RData::A(A::new(127, 0, 0, 42))),
                _ => None,
            };
            message.metadata.message_type = MessageType::Response;
            match data {
                Some(data) => {
                    message.answers.push(Record::from_rdata(query.name().clone(), 60, data));
                }
                None => message.metadata.response_code = ResponseCode::NXDomain,
            }
            socket.send_to(&message.to_vec().unwrap(), from).await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn a_real_name_server_is_asked() {
    let config = ResolverConfig { name_servers: vec![name_server().await], ..Default::default() };
    let (to_core, mut answers) = mpsc::channel(4);
    let runtime = tokio::runtime::Handle::current();
    let resolver = Resolver::new(&config, BOTH, to_core, runtime);
    let host = Host::Name("test".into());
    let question = Question { host, port: None, transport: None, secure: false };
    assert!(resolver.ask(QueryId(7), question).is_none());
    let Some(ToCore::Input(Input::Resolved { query, targets })) = answers.recv().await else {
        panic!("no answer");
    };
    assert_eq!((query, text(&targets).as_str()), (QueryId(7), "UDP 127.0.0.42:5077"));
}
