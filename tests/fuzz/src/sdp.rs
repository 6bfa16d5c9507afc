//! A session description: read, printed, read again, and taken as an offer and as an answer.

use std::net::IpAddr;

use sdp::{Direction, LocalAudio, Negotiation, RemoteAudio, Session, parse};

/// The bytes are a body as a peer may send it.
pub fn sdp(bytes: &[u8]) {
    let session = match parse(bytes) {
        Ok(session) => session,
        Err(error) => return assert_eq!(error.status(), 400),
    };
    let printed = session.to_bytes();
    assert_eq!(parse(&printed).as_ref(), Ok(&session), "printed and read again");
    let _ = format!("{session:?}");
    for media in &session.media {
        if let Ok(audio) = RemoteAudio::read(&session, media) {
            let _ = (sdp::is_sendable(audio.rtp), sdp::is_sendable(audio.rtcp));
            assert!(audio.codecs.iter().all(|codec| codec.payload_type < 128));
        }
    }
    offered(session.clone());
    answered(session);
}

fn offered(session: Session) {
    let streams = session.media.len();
    let mut answerer = leg(1);
    match answerer.receive_offer(session) {
        Ok(remote) => {
            let codecs = remote.codecs.clone();
            let body = answerer.answer(&codecs, Direction::SendRecv).expect("a codec is there");
            let answer = parse(&body).expect("ours can be read");
            assert_eq!(answer.media.len(), streams);
            assert_eq!(answer.media.iter().filter(|media| media.port != 0).count(), 1);
            let agreed = answerer.agreed().expect("answered is agreed");
            assert!((1..=240).contains(&agreed.ptime));
            answerer.refresh().expect("an agreed description can be sent again");
        }
        Err(error) => assert!(matches!(error.status(), 400 | 488)),
    }
}

fn answered(session: Session) {
    let mut offerer = leg(2);
    let codecs = sdp::standard_codecs(&["PCMU", "PCMA", "G722", "opus"]);
    offerer.offer(&codecs, Direction::SendRecv).expect("a codec is there");
    let accepted = offerer.receive_answer(session).is_ok();
    assert_eq!(offerer.agreed().is_some(), accepted);
}

/// A leg with nothing exchanged.
pub(crate) fn leg(id: u8) -> Negotiation {
    let address = IpAddr::from([192, 0, 2, id]);
    let local = LocalAudio { address, rtp_port: 4000, rtcp_mux: id == 1, ptime: Some(20) };
    Negotiation::new(u64::from(id), local)
}
