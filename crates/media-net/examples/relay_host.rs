//! The media engine alone, relaying a number of calls: what `rtp-load` measures.
//!
//! `relay_host CALLS FIRST_PORT FIRST_PEER_PORT WORKERS [MODE]`: stream n is bound to `FIRST_PORT + 2n`
//! on 127.0.0.1 and its peer to `FIRST_PEER_PORT + n`; streams 2k and 2k+1 hear each other. Says
//! `ready`, runs until its input ends, then prints the sum of its figures. MODE is `relay`; `record`: each
//! call is recorded as WAV below the directory for temporary files; `transcode`, `transcode-pcma`,
//! `transcode-opus`: stream 2k+1 has G.722, PCMA or Opus, all others PCMU; `denoise`: noise is removed from
//! all; `srtp`: all are protected by keys as SDES brings them, `srtp-one`: streams 2k+1 are.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use media::command::{
    BridgeId, Codec, Hear, Keys, LocalPorts, MediaCommand, MediaEvent, NoiseRemoval, Payload,
    Remote, StreamConfig, StreamId,
};
use media::denoise::DenoiseSettings;
use media::record::{Container, PausePolicy, RecordCommand, RecordFormat, RecordingId, Side};
use media::srtp::{Keying, MasterKey, Profile};
use media_net::recording::RecordingConfig;
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
    let mode = std::env::args().nth(5).unwrap_or_else(|| "relay".to_owned());
    let place = std::env::temp_dir().join(format!("relay-host-{}", std::process::id()));
    let recording =
        (mode == "record").then(|| RecordingConfig { directory: place.clone(), queue: 2048 });

    let (tell, events) = channel();
    let config = MediaNetConfig { workers, queue: 32_768, recording, ..MediaNetConfig::default() };
    let media = MediaNet::start(config, move |event| {
        let _ = tell.send(event);
    })?;
    for n in 0..2 * calls {
        open(&media, n, first_port + 2 * n, first_peer + n, &mode)?;
    }
    for n in 0..2 * calls {
        let source = Hear::Stream(StreamId(u64::from(n ^ 1)));
        media.send(MediaCommand::Hear { listener: StreamId(n.into()), source })?;
    }
    if mode == "record" {
        for n in 0..calls {
            record(&media, n)?;
        }
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
    sum_up(&events, 2 * calls)?;
    drop(media);
    if place.exists() {
        std::fs::remove_dir_all(place)?;
    }
    Ok(())
}

fn record(media: &MediaNet, n: u16) -> Result<(), media_net::Full> {
    let (bridge, recording) = (BridgeId(n.into()), RecordingId(n.into()));
    let send = |command| media.send(MediaCommand::Record { bridge, command });
    let format =
        RecordFormat { container: Container::Wav, rate: 8000, pause: PausePolicy::Silence };
    send(RecordCommand::Start { recording, name: format!("call-{n}"), format })?;
    for (k, side) in [(0, Side::Customer), (1, Side::Agents)] {
        let stream = StreamId(u64::from(2 * n + k));
        send(RecordCommand::Track { recording, stream, side: Some(side) })?;
    }
    Ok(())
}

fn open(media: &MediaNet, n: u16, port: u16, peer: u16, mode: &str) -> Result<(), media_net::Full> {
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
    let is_second = n % 2 == 1;
    let (codec, number, clock_rate) = match mode {
        "transcode" if is_second => (Codec::G722, 9, 8000),
        "transcode-pcma" if is_second => (Codec::Pcma, 8, 8000),
        "transcode-opus" if is_second => (Codec::Opus, 111, 48_000),
        _ => (Codec::Pcmu, 0, 8000),
    };
    let payload = Payload { codec, key: number, send: number, receive: number, clock_rate };
    let is_protected = mode == "srtp" || mode == "srtp-one" && is_second;
    let settings = DenoiseSettings::default();
    let config = StreamConfig {
        remote: Some(Remote { rtp: peer, rtcp: peer, rtcp_mux: true }),
        signalling_source: Some(LOCALHOST),
        payloads: vec![payload],
        send: true,
        receive: true,
        ptime_ms: 20,
        rtp_timeout: None,
        symmetric: true,
        srtp: is_protected.then(|| keying(n)).flatten(),
        path: None,
        noise_removal: (mode == "denoise").then_some(NoiseRemoval { enabled: true, settings }),
        voip_metrics: false,
        keys: Keys::default(),
        opus: media::codec::OpusFormat::default(),
    };
    media.send(MediaCommand::Configure { stream, config: Box::new(config) })
}

/// The keys of a stream.
fn keying(n: u16) -> Option<Keying> {
    let profile = Profile::AesCm128HmacSha1_80;
    let key = |seed: u16| MasterKey::new(profile, &vec![seed as u8; profile.key_and_salt_len()]);
    Some(Keying { profile, send: key(2 * n)?, receive: key(2 * n + 1)? })
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
            MediaEvent::Overrun { .. } => overruns += 1,
            MediaEvent::Path { .. } => {}
            MediaEvent::BindFailed { .. }
            | MediaEvent::Broken { .. }
            | MediaEvent::FirstPacket { .. }
            | MediaEvent::RtpTimeout { .. }
            | MediaEvent::RtpResumed { .. }
            | MediaEvent::Recording(_)
            | MediaEvent::Announced { .. }
            | MediaEvent::Dtmf { .. }
            | MediaEvent::Quality { .. }
            | MediaEvent::Stats { .. } => {}
        }
    }
    writeln!(
        io::stdout(),
        "received {received}, sent {sent}, strays {strays}, late ticks {overruns}"
    )?;
    Ok(())
}
