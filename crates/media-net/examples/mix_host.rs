//! The media engine alone, mixing a number of conferences: what `mix-load` measures.
//!
//! `mix_host CONFERENCES PARTIES FIRST_PORT FIRST_PEER_PORT WORKERS CODEC`: stream n is bound to
//! `FIRST_PORT + 2n` on 127.0.0.1 and its peer to `FIRST_PEER_PORT + n`; each run of `PARTIES`
//! streams hears each other, or with 2 of them and two codecs (`pcmu+pcma`) each other's transcoded.
//! Says `ready`, runs until its input ends, then prints when ticks were late (`late`, nanoseconds since
//! 1970, microseconds: at most once a second, the latest since the time before), and the sum of its figures.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, SystemTime};

use media::command::{
    BridgeId, Codec, Hear, Keys, LocalPorts, MediaCommand, MediaEvent, Payload, Remote,
    StreamConfig, StreamId,
};
use media_net::{MediaNet, MediaNetConfig};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Who talks to whom, and where.
struct Setup {
    conferences: u16,
    parties: u16,
    first_port: u16,
    first_peer: u16,
    /// Of the parties in turn.
    codecs: Vec<Payload>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let usage = "usage: mix_host CONFERENCES PARTIES FIRST_PORT FIRST_PEER_PORT WORKERS CODEC";
    let number = |n: usize| arguments.get(n).and_then(|text| text.parse::<u16>().ok()).ok_or(usage);
    let codecs = arguments.get(5).ok_or(usage)?.split('+').map(payload);
    let setup = Setup {
        conferences: number(0)?,
        parties: number(1)?,
        first_port: number(2)?,
        first_peer: number(3)?,
        codecs: codecs.collect::<Option<_>>().ok_or(usage)?,
    };
    let (tell, events) = channel();
    let config = MediaNetConfig {
        workers: number(4)?.into(),
        queue: 32_768,
        overrun: Duration::from_micros(50),
        ..MediaNetConfig::default()
    };
    let media = MediaNet::start(config, move |event| {
        let _ = tell.send((SystemTime::now(), event));
    })?;
    let streams = setup.conferences * setup.parties;
    for n in 0..streams {
        setup.open(&media, n)?;
    }
    for n in 0..streams {
        let source = setup.hears(n);
        media.send(MediaCommand::Hear { listener: StreamId(n.into()), source })?;
    }
    std::thread::sleep(Duration::from_millis(1500));
    for (_, event) in events.try_iter() {
        if let MediaEvent::BindFailed { stream, error, .. } = event {
            return Err(format!("{stream}: {error}").into());
        }
    }
    writeln!(io::stdout(), "ready")?;
    io::stdin().read_to_end(&mut Vec::new())?;
    for n in 0..streams {
        media.send(MediaCommand::Close { stream: StreamId(n.into()) })?;
    }
    sum_up(&events, streams)
}

/// What a phone speaks.
fn payload(name: &str) -> Option<Payload> {
    let (codec, number, clock_rate) = match name {
        "pcmu" => (Codec::Pcmu, 0, 8000),
        "pcma" => (Codec::Pcma, 8, 8000),
        "g722" => (Codec::G722, 9, 8000),
        "opus" => (Codec::Opus, 111, 48_000),
        _ => return None,
    };
    Some(Payload { codec, key: number, send: number, receive: number, clock_rate })
}

impl Setup {
    fn hears(&self, n: u16) -> Hear {
        let first = n / self.parties * self.parties;
        let mut others = (first..first + self.parties).filter(|other| *other != n);
        let stream = |other: u16| StreamId(other.into());
        match self.parties {
            2 => others.next().map(stream).map_or(Hear::Nothing, Hear::Stream),
            _ => Hear::Mix(others.map(stream).collect()),
        }
    }

    fn open(&self, media: &MediaNet, n: u16) -> Result<(), media_net::Full> {
        let stream = StreamId(n.into());
        let port = self.first_port + 2 * n;
        let local = LocalPorts { ip: LOCALHOST, rtp: port, rtcp: Some(port + 1) };
        media.send(MediaCommand::Open {
            stream,
            bridge: BridgeId(u64::from(n / self.parties)),
            local,
            ssrc: 0x1000_0000 + u32::from(n),
            sequence: n,
            timestamp: 0,
        })?;
        let peer = SocketAddr::new(LOCALHOST, self.first_peer + n);
        let codec = self.codecs[usize::from(n % self.parties) % self.codecs.len()];
        let config = StreamConfig {
            remote: Some(Remote { rtp: peer, rtcp: peer, rtcp_mux: true }),
            signalling_source: Some(LOCALHOST),
            payloads: vec![codec],
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
        };
        media.send(MediaCommand::Configure { stream, config: Box::new(config) })
    }
}

fn sum_up(
    events: &Receiver<(SystemTime, MediaEvent)>,
    streams: u16,
) -> Result<(), Box<dyn std::error::Error>> {
    let (mut open, mut received, mut sent) = (streams, 0, 0);
    while open > 0 {
        let (at, event) = events.recv_timeout(Duration::from_secs(5))?;
        if let MediaEvent::Closed { stats, .. } = &event {
            open -= 1;
            received += stats.packets_received;
            sent += stats.packets_sent;
        }
        if let MediaEvent::Overrun { late_us, .. } = event {
            let at = at.duration_since(SystemTime::UNIX_EPOCH)?.as_nanos();
            writeln!(io::stdout(), "late {at} {late_us}")?;
        }
    }
    writeln!(io::stdout(), "received {received}, sent {sent}")?;
    Ok(())
}
