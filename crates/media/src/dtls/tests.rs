//! Handshakes of ours with ours and with webrtc-rs' own, over a network that loses and repeats.
#![allow(clippy::disallowed_methods, reason = "webrtc-rs wants an Instant to begin with")]

use proptest::prelude::*;
use rtc_crypto::RTCCryptoProvider;
use rtc_crypto::providers::RingProvider;
use rtc_dtls::crypto::Certificate;

use super::*;
use crate::srtp::Srtp;

pub(crate) fn identity() -> Arc<Identity> {
    let made = rcgen::generate_simple_self_signed(vec!["hookflash".to_owned()]).unwrap();
    let key = made.signing_key.serialize_der();
    Arc::new(Identity::new(made.cert.der(), &key, Instant::now()).unwrap())
}

pub(crate) fn peer(role: Role, of: &Identity) -> Peer {
    Peer { role, fingerprints: vec![of.fingerprint().clone()] }
}

fn pair() -> (Dtls, Dtls) {
    let (a, b) = (identity(), identity());
    let client = Dtls::new(a.clone(), peer(Role::Client, &b));
    (client, Dtls::new(b, peer(Role::Server, &a)))
}

fn at(millis: u64) -> Time {
    Time::ZERO + Duration::from_millis(millis)
}

/// What each came to, passing datagrams through `network`, which says how often each arrives.
fn run(
    client: &mut Dtls,
    server: &mut Dtls,
    mut network: impl FnMut() -> usize,
) -> [Option<Event>; 2] {
    let mut came = [client.start(at(0)), None];
    for step in 0..400u64 {
        let now = at(step * 100);
        for _ in 0..6 {
            while let Some(datagram) = client.poll_transmit() {
                for _ in 0..network() {
                    let event = server.handle(now, &datagram);
                    came[1] = came[1].take().or(event);
                }
            }
            while let Some(datagram) = server.poll_transmit() {
                for _ in 0..network() {
                    let event = client.handle(now, &datagram);
                    came[0] = came[0].take().or(event);
                }
            }
        }
        for (leg, came) in [&mut *client, &mut *server].into_iter().zip(&mut came) {
            let event = leg.handle_timeout(now);
            *came = came.take().or(event);
        }
    }
    came
}

fn keys(came: [Option<Event>; 2]) -> [Keying; 2] {
    came.map(|event| match event {
        Some(Event::Keyed(keying)) => keying,
        other => panic!("{other:?}"),
    })
}

/// Both hold the same keys crosswise, and packets pass.
fn assert_fits([a, b]: [Keying; 2]) {
    assert_eq!((a.profile, &a.send, &a.receive), (b.profile, &b.receive, &b.send));
    assert_ne!(a.send, a.receive);
    let (mut here, mut there) = (Srtp::new(a), Srtp::new(b));
    let mut packet = [0x80; 80];
    let len = here.protect_rtp(&mut packet, 50).unwrap();
    assert_eq!(there.unprotect_rtp(&mut packet[..len]), Ok(50));
}

#[test]
fn two_legs_make_the_same_keys_crosswise() {
    let (mut client, mut server) = pair();
    let came = run(&mut client, &mut server, || 1);
    let [here, there] = keys(came);
    assert_eq!(here.profile, Profile::AeadAes128Gcm);
    assert_fits([here, there]);
    // Nothing is left to be done, and what comes now changes nothing.
    assert_eq!(
        (client.poll_timeout(), server.poll_timeout()),
        (Some(at(60_000)), Some(at(60_000)))
    );
    for leg in [&mut client, &mut server] {
        assert_eq!(
            leg.handle(at(50_000), &[21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40]),
            None
        );
        assert_eq!(leg.handle_timeout(at(60_000)), None);
        assert_eq!(leg.poll_timeout(), None);
        assert_eq!(leg.start(at(61_000)), None);
    }
}

#[test]
fn a_certificate_that_was_not_announced_gets_no_keys() {
    let (a, b, other) = (identity(), identity(), identity());
    for (expected_of_server, expected_of_client) in [(&other, &a), (&b, &other)] {
        let mut client = Dtls::new(a.clone(), peer(Role::Client, expected_of_server));
        let mut server = Dtls::new(b.clone(), peer(Role::Server, expected_of_client));
        let came = run(&mut client, &mut server, || 1);
        assert!(came.contains(&Some(Event::Failed(Failure::NotThePeer))), "{came:?}");
        // Whoever was cheated has no keys; the other one is told so.
        let cheated = usize::from(Arc::ptr_eq(expected_of_server, &b));
        assert_eq!(came[cheated], Some(Event::Failed(Failure::NotThePeer)));
    }
    let nobody = Peer { role: Role::Client, fingerprints: Vec::new() };
    let mut client = Dtls::new(a.clone(), nobody);
    let mut server = Dtls::new(b, peer(Role::Server, &a));
    let came = run(&mut client, &mut server, || 1);
    assert_eq!(came[0], Some(Event::Failed(Failure::NotThePeer)));
}

#[test]
fn a_peer_that_stays_away_is_given_up_after_30_s() {
    let (mut client, mut server) = pair();
    assert_eq!(server.poll_timeout(), None);
    let came = run(&mut client, &mut server, || 0);
    assert_eq!(came, [Some(Event::Failed(Failure::TimedOut)), None]);
    assert_eq!(client.poll_timeout(), None);
}

/// A peer of webrtc-rs with this configuration against ours in the other role.
fn against(ours: Role, change: impl Fn(ConfigBuilder) -> ConfigBuilder) -> [Option<Event>; 2] {
    let provider: Arc<dyn RTCCryptoProvider> = Arc::new(RingProvider::new());
    let certificate =
        Certificate::generate_self_signed(vec!["peer".to_owned()], provider.crypto()).unwrap();
    let of = Fingerprint::of(&certificate.certificate[0], Hash::Sha256);
    let builder = ConfigBuilder::default()
        .with_crypto_provider(provider)
        .with_certificates(vec![certificate])
        .with_insecure_skip_verify(true)
        .with_srtp_protection_profiles(vec![SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80]);
    let is_client = ours == Role::Server;
    let config = Arc::new(change(builder).build(is_client, Some(PEER)).unwrap());
    let identity = identity();
    let (start, epoch) = (at(0), identity.epoch);
    let mut leg = Dtls::new(identity, Peer { role: ours, fingerprints: vec![of] });
    let server = (!is_client).then(|| config.clone());
    let mut peer = Endpoint::new(PEER, TransportProtocol::UDP, server);
    if is_client {
        peer.connect(epoch, PEER, config, None).unwrap();
    }
    let mut came = [leg.start(start), None];
    for step in 0..400u32 {
        let (now, instant) = (at(u64::from(step) * 100), epoch + Duration::from_millis(100) * step);
        for _ in 0..6 {
            while let Some(transmit) = peer.poll_transmit() {
                let event = leg.handle(now, &transmit.message);
                came[0] = came[0].take().or(event);
            }
            while let Some(datagram) = leg.poll_transmit() {
                let Ok(events) = peer.read(instant, PEER, None, datagram) else { continue };
                if events.iter().any(|it| matches!(it, EndpointEvent::HandshakeComplete)) {
                    let session = peer.get_connection_state(PEER).unwrap();
                    let material = session.export_keying_material(LABEL, &[], 60).unwrap();
                    let material = material.as_ref();
                    let profile = Profile::AesCm128HmacSha1_80;
                    let key = |at: usize| {
                        let salt = &material[32 + 14 * at..][..14];
                        MasterKey::from_parts(profile, &material[16 * at..][..16], salt).unwrap()
                    };
                    let (client, server) = (key(0), key(1));
                    let (send, receive) =
                        if is_client { (client, server) } else { (server, client) };
                    came[1] = Some(Event::Keyed(Keying { profile, send, receive }));
                }
            }
        }
        let event = leg.handle_timeout(now);
        came[0] = came[0].take().or(event);
        let _ = peer.handle_timeout(PEER, instant);
    }
    came
}

#[test]
fn webrtc_rs_makes_the_same_keys_in_both_roles() {
    for ours in [Role::Client, Role::Server] {
        assert_fits(keys(against(ours, |builder| builder)));
        // A hello and a certificate in pieces.
        assert_fits(keys(against(ours, |builder| builder.with_mtu(100))));
    }
}

#[test]
fn a_peer_without_certificate_or_profile_gets_no_keys() {
    let none = against(Role::Server, |builder| builder.with_certificates(Vec::new()));
    assert!(matches!(none[0], Some(Event::Failed(_))), "{none:?}");
    let plain = against(Role::Server, |builder| builder.with_srtp_protection_profiles(Vec::new()));
    assert_eq!(plain[0], Some(Event::Failed(Failure::NoProfile)));
    let wide = [SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm];
    let other =
        against(Role::Server, |builder| builder.with_srtp_protection_profiles(wide.to_vec()));
    assert!(matches!(other[0], Some(Event::Failed(_))), "{other:?}");
    // A server that does not ask for ours is not the peer's business: it still is who it is.
    let asks_nothing = against(Role::Client, |builder| builder);
    assert!(matches!(asks_nothing[0], Some(Event::Keyed(_))));
}

/// A ClientHello with these cipher suites, without extensions but `use_srtp`.
pub(crate) fn client_hello(suites: &[u16], cookie: &[u8], sequence: u8) -> Vec<u8> {
    let mut body = vec![0xfe, 0xfd];
    body.extend_from_slice(&[7; 32]);
    body.push(0);
    body.push(cookie.len() as u8);
    body.extend_from_slice(cookie);
    body.extend_from_slice(&(suites.len() as u16 * 2).to_be_bytes());
    suites.iter().for_each(|suite| body.extend_from_slice(&suite.to_be_bytes()));
    body.extend_from_slice(&[1, 0]);
    body.extend_from_slice(&[0, 9, 0, 14, 0, 5, 0, 2, 0, 1, 0]);
    let len = [0, 0, body.len() as u8];
    let header = [&[1], &len[..], &[0, sequence], &[0, 0, 0], &len].concat();
    let total = (header.len() + body.len()) as u16;
    let record = [22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, sequence];
    [&record[..], &total.to_be_bytes(), &header, &body].concat()
}

#[test]
fn null_and_anonymous_ciphers_are_refused() {
    // NULL_SHA of RSA, ECDHE_ECDSA and ECDHE_RSA, ECDH_anon with AES, and none at all.
    for suites in [&[0x0002, 0xc006, 0xc010][..], &[0xc018], &[]] {
        let (_, mut server) = pair();
        let mut answers = Vec::new();
        for sequence in 0..10 {
            server.handle(at(0), &client_hello(suites, &[], sequence));
            answers.extend(std::iter::from_fn(|| server.poll_transmit()));
        }
        // Fatal alerts only: no HelloVerifyRequest, no ServerHello.
        assert!(answers.iter().all(|answer| answer[0] == 21 && answer[13] == 2), "{answers:?}");
        assert!(!matches!(server.state, State::Keyed));
    }
    // The same hello with a cipher of ours is answered with a cookie.
    let (_, mut server) = pair();
    server.handle(at(0), &client_hello(&[0xc006, 0xc02b], &[], 0));
    assert_eq!(server.poll_transmit().unwrap()[13], 3);
}

#[test]
fn what_a_peer_may_make_us_keep_is_bounded() {
    let (_, mut server) = pair();
    let mut sent = 0usize;
    let mut answered = 0usize;
    for n in 0..10_000u32 {
        // Pieces of ever new messages, each a valid record.
        let mut piece = client_hello(&[0xc02b], &[0; 40], (n % 16) as u8);
        piece[7..11].copy_from_slice(&n.to_be_bytes());
        piece[14..17].copy_from_slice(&[0, 0x30, 0]);
        server.handle(at(0), &piece);
        sent += piece.len();
        answered += std::iter::from_fn(|| server.poll_transmit()).map(|it| it.len()).sum::<usize>();
    }
    assert!(server.taken <= TAKEN_MAX && answered < sent / 10);
    assert_eq!(server.outgoing.len(), 0);
}

#[test]
fn the_same_agreement_is_the_same_association() {
    let (a, b) = (identity(), identity());
    let agreed = peer(Role::Client, &b);
    let leg = Dtls::resume(a.clone(), agreed.clone());
    assert_eq!(leg.peer(), &agreed);
    assert_ne!(leg.peer(), &peer(Role::Server, &b));
    assert_ne!(leg.peer(), &peer(Role::Client, &identity()));
    assert_eq!(leg.poll_timeout(), None);
    let shown = format!("{a:?} {leg:?}");
    assert!(shown.contains("keyed") && shown.contains("Sha256"), "{shown}");
}

#[test]
fn it_can_move_to_the_thread_of_a_worker() {
    fn is_send<T: Send>(_: &T) {}
    let (client, _) = pair();
    is_send(&client);
    is_send(&client.identity);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A fifth lost, some repeated: it takes longer, that is all.
    #[test]
    fn a_bad_network_only_delays(seed in any::<u64>()) {
        let (mut client, mut server) = pair();
        let mut rng = base::Rng::from_u64(seed);
        let came = run(&mut client, &mut server, || match rng.below(10) {
            0 | 1 => 0,
            2 => 2,
            _ => 1,
        });
        assert_fits(keys(came));
    }

    /// Nonsense from the right source, before, amid and after the handshake.
    #[test]
    fn nonsense_neither_panics_nor_stops_a_handshake(
        nonsense in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 1..12),
        shaped in any::<bool>(),
    ) {
        let (mut client, mut server) = pair();
        let mut nonsense = nonsense.into_iter().map(|mut bytes| {
            if shaped && bytes.len() > 13 {
                let len = (bytes.len() - 13) as u16;
                bytes[..3].copy_from_slice(&[22, 0xfe, 0xfd]);
                bytes[3..5].copy_from_slice(&[0, 0]);
                bytes[11..13].copy_from_slice(&len.to_be_bytes());
            }
            bytes
        }).cycle();
        prop_assert_eq!(client.start(at(0)), None);
        let (mut keyed, mut turns) = (0, 0);
        while keyed < 2 && turns < 60 {
            turns += 1;
            for (from, to) in [(true, false), (false, true)] {
                let (from, to) = if from && !to { (&mut client, &mut server) } else { (&mut server, &mut client) };
                prop_assert!(!matches!(to.handle(at(turns), &nonsense.next().unwrap()), Some(Event::Keyed(_))));
                while let Some(datagram) = from.poll_transmit() {
                    keyed += usize::from(matches!(to.handle(at(turns), &datagram), Some(Event::Keyed(_))));
                }
            }
        }
        prop_assert_eq!(keyed, 2);
        for leg in [&mut client, &mut server] {
            for _ in 0..20 {
                prop_assert_eq!(leg.handle(at(1000), &nonsense.next().unwrap()), None);
            }
        }
    }
}
