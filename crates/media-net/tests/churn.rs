//! Calls come and go: what they took is given back. Alone in its process, for it counts.
#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::channel;
use std::time::Duration;

use media::command::{
    BridgeId, Codec, Hear, Keys, LocalPorts, MediaCommand, MediaEvent, Payload, Remote,
    StreamConfig, StreamId,
};
use media_net::{MediaNet, MediaNetConfig};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ROUNDS: u64 = 30;
const STREAMS: u64 = 40;
const FIRST_PORT: u16 = 52_000;

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn open(media: &MediaNet, id: u64, port: u16, peer: SocketAddr) {
    let stream = StreamId(id);
    let local = LocalPorts { ip: LOCALHOST, rtp: port, rtcp: Some(port + 1) };
    let open = MediaCommand::Open {
        stream,
        bridge: BridgeId(id / 2),
        local,
        ssrc: 1,
        sequence: 0,
        timestamp: 0,
    };
    let pcmu = Payload { codec: Codec::Pcmu, key: 0, send: 0, receive: 0, clock_rate: 8000 };
    let config = Box::new(StreamConfig {
        remote: Some(Remote { rtp: peer, rtcp: peer, rtcp_mux: true }),
        signalling_source: None,
        payloads: vec![pcmu],
        send: true,
        receive: true,
        ptime_ms: 20,
        rtp_timeout: None,
        symmetric: true,
        srtp: None,
        path: None,
        noise_removal: None,
        voip_metrics: false,
        keys: Keys::default(),
        opus: media::codec::OpusFormat::default(),
    });
    media.send(open).unwrap();
    media.send(MediaCommand::Configure { stream, config }).unwrap();
}

#[test]
fn a_thousand_calls_leave_nothing_behind() {
    let (tell, events) = channel();
    let config = MediaNetConfig { workers: 2, ..MediaNetConfig::default() };
    let media = MediaNet::start(config, move |event| {
        let _ = tell.send(event);
    })
    .unwrap();
    let phone = UdpSocket::bind((LOCALHOST, 0)).unwrap();
    let peer = phone.local_addr().unwrap();
    let mut before = None;
    for round in 0..ROUNDS {
        let ids = round * STREAMS..(round + 1) * STREAMS;
        let port = |id: u64| FIRST_PORT + 2 * (id % STREAMS) as u16;
        for id in ids.clone() {
            open(&media, id, port(id), peer);
        }
        for id in ids.clone() {
            let source = if id % 4 == 0 { Hear::Music } else { Hear::Stream(StreamId(id ^ 1)) };
            media.send(MediaCommand::Hear { listener: StreamId(id), source }).unwrap();
            let mut packet = [0; 172];
            packet[0] = 0x80;
            phone.send_to(&packet, (LOCALHOST, port(id))).unwrap();
        }
        for id in ids {
            media.send(MediaCommand::Close { stream: StreamId(id) }).unwrap();
        }
        let mut open = STREAMS;
        while open > 0 {
            match events.recv_timeout(Duration::from_secs(10)).unwrap() {
                MediaEvent::Closed { .. } => open -= 1,
                MediaEvent::BindFailed { stream, error, .. } => panic!("{stream}: {error}"),
                MediaEvent::Broken { stream } => panic!("{stream} is broken"),
                MediaEvent::FirstPacket { .. }
                | MediaEvent::RtpTimeout { .. }
                | MediaEvent::RtpResumed { .. }
                | MediaEvent::Stats { .. }
                | MediaEvent::Path { .. }
                | MediaEvent::Recording(_)
                | MediaEvent::Announced { .. }
                | MediaEvent::Dtmf { .. }
                | MediaEvent::Quality { .. }
                | MediaEvent::Overrun { .. } => {}
            }
        }
        let now = descriptors();
        assert!(now <= *before.get_or_insert(now), "round {round}: {now} descriptors");
    }
}
