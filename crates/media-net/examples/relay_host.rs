//! The media engine alone, relaying a number of calls: what `rtp-load` measures.
//!
//! `relay_host CALLS FIRST_PORT FIRST_PEER_PORT WORKERS`: stream n is bound to `FIRST_PORT + 2n`
//! on 127.0.0.1 and its peer to `FIRST_PEER_PORT + n`; streams 2k and 2k+1 hear each other. Says
//! `ready`, runs until its input ends, then prints the sum of its figures.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use media::command::{
    BridgeId, Codec, Hear, Keys, LocalPorts, MediaCommand, MediaEvent, Payload, Remote,
    StreamConfig, StreamId,
};
use media_net::{MediaNet, MediaNetConfig};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = || arguments.next().and_then(|text| text.parse::<u16>().ok());
    let usage = "usage: relay_host CALLS FIRST_PORT FIRST_PEER_PORT WORKERS";
    let calls = number().ok_or(usage)?;
    let first_port = number().ok_or(usage)?;
    let first_peer = number().ok_or(usage)?;
    let workers = number().ok_or(usage)?.into();

    let (tell, events) = channel();
    let config = MediaNetConfig { workers, queue: 32_768, ..MediaNetConfig::default() };
    let media = MediaNet::start(config, move |event| {
        let _ = tell.send(event);
    })?;
    for n in 0..2 * calls {
        open(&media, n, first_port + 2 * n, first_peer + n)?;
    }
    for n in 0..2 * calls {
        let source = Hear::Stream(StreamId(u64::from(n ^ 1)));
        media.send(MediaCommand::Hear { listener: StreamId(n.into()), source })?;
    }
    std::thread::sleep(Duration::from_millis(300));
    for event in events.try_iter() {
        if let MediaEvent::BindFailed { stream, error, .. } = event {
            return Err(format!("{stream}: {error}").into());
        }
    }
    writeln!(io::stdout(), "ready")?;
    io::stdin().read_to_end(&mut Vec::new())?;
    for n in 0..2 * calls {
        media.send(MediaCommand::Close { stream: StreamId(n.into()) })?;
    }
    sum_up(&events, 2 * calls)
}

fn open(media: &MediaNet, n: u16, port: u16, peer: u16) -> Result<(), media_net::Full> {
    let stream = StreamId(n.into());
    let local = LocalPorts { ip: LOCALHOST, rtp: port, rtcp: Some(port + 1) };
    let bridge = BridgeId(u64::from(n / 2));
    media.send(MediaCommand::Open {
        stream,
        bridge,
        local,
        ssrc: 0x1000_0000 + u32::from(n),
        sequence: n,
        timestamp: 0,
    })?;
    let peer = SocketAddr::new(LOCALHOST, peer);
    let pcmu = Payload { codec: Codec::Pcmu, key: 0, send: 0, receive: 0, clock_rate: 8000 };
    let config = StreamConfig {
        remote: Some(Remote { rtp: peer, rtcp: peer, rtcp_mux: true }),
        signalling_source: Some(LOCALHOST),
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
    };
    media.send(MediaCommand::Configure { stream, config: Box::new(config) })
}

fn sum_up(events: &Receiver<MediaEvent>, streams: u16) -> Result<(), Box<dyn std::error::Error>> {
    let (mut open, mut received, mut sent, mut strays, mut overruns) = (streams, 0, 0, 0, 0);
    while open > 0 {
        match events.recv_timeout(Duration::from_secs(5))? {
            MediaEvent::Closed { stats, .. } => {
                open -= 1;
                received += stats.packets_received;
                sent += stats.packets_sent;
                strays += stats.strays_dropped;
            }
            MediaEvent::Path { .. }
            | MediaEvent::Recording(_)
            | MediaEvent::Dtmf { .. }
            | MediaEvent::Quality { .. }
            | MediaEvent::Overrun { .. } => overruns += 1,
            MediaEvent::BindFailed { .. }
            | MediaEvent::FirstPacket { .. }
            | MediaEvent::RtpTimeout { .. }
            | MediaEvent::RtpResumed { .. }
            | MediaEvent::Stats { .. } => {}
        }
    }
    writeln!(
        io::stdout(),
        "received {received}, sent {sent}, strays {strays}, late ticks {overruns}"
    )?;
    Ok(())
}
