//! One call of the user agent: dialog, offer/answer and audio, and what comes inside the dialog.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base::Time;
use sdp::{Direction, LocalAudio, Negotiation};
use sip::dialog::{Accept, Dialog};
use sip::message::{Method, Name, Request, Response, StatusCode};
use sip::transaction::{T1, TransactionId};
use sip::transport::Source;

use super::Error;
use super::endpoint::{ALLOW, Endpoint};
use super::heard::Heard;
use super::media::{Agreed, Ports, Say, Stream};
use crate::cli::CodecName;

const SDP: &str = "application/sdp";

/// The audio side: from the first offer to the last packet.
pub(super) struct Audio {
    negotiation: Negotiation,
    codecs: Vec<sdp::Codec>,
    /// Until the stream starts.
    idle: Option<(Ports, Say)>,
    stream: Option<Stream>,
    seed: [u32; 3],
    signalling: IpAddr,
}

impl Audio {
    /// Binds ports and is ready to offer or answer.
    pub(super) fn new(endpoint: &mut Endpoint, codec: CodecName, say: Say) -> Result<Self, Error> {
        let ports = Ports::bind(endpoint.local().ip())?;
        let local = LocalAudio {
            address: endpoint.local().ip(),
            rtp_port: ports.rtp_port()?,
            rtcp_mux: false,
            ptime: Some(20),
        };
        let other = match codec {
            CodecName::Pcmu => CodecName::Pcma,
            CodecName::Pcma => CodecName::Pcmu,
        };
        let session_id = endpoint.rng.next_u64() >> 2;
        let mut random = || endpoint.rng.next_u32();
        let seed = [random(), random(), random()];
        Ok(Self {
            negotiation: Negotiation::new(session_id, local),
            codecs: sdp::standard_codecs(&[codec.as_str(), other.as_str()]),
            idle: Some((ports, say)),
            stream: None,
            seed,
            signalling: endpoint.server().ip(),
        })
    }

    /// Our offer.
    pub(super) fn offer(&mut self) -> Result<bytes::Bytes, StatusCode> {
        let offer = self.negotiation.offer(&self.codecs, Direction::SendRecv);
        offer.map_err(|_| StatusCode::SERVER_INTERNAL_ERROR)
    }

    /// Their offer, answered.
    pub(super) fn answer(&mut self, offer: &[u8]) -> Result<bytes::Bytes, StatusCode> {
        let not_acceptable = StatusCode::NOT_ACCEPTABLE_HERE;
        let offer = sdp::parse(offer).map_err(|_| StatusCode::BAD_REQUEST)?;
        self.negotiation.receive_offer(offer).map_err(|_| not_acceptable)?;
        let answer = self.negotiation.answer(&self.codecs, Direction::SendRecv);
        let answer = answer.map_err(|_| {
            self.negotiation.reject_offer();
            not_acceptable
        })?;
        self.apply();
        Ok(answer)
    }

    /// Their answer to our offer; one that cannot be read changes nothing.
    pub(super) fn answered(&mut self, body: &[u8]) {
        let answer = sdp::parse(body).ok();
        if answer.is_some_and(|answer| self.negotiation.receive_answer(answer).is_ok()) {
            self.apply();
        }
    }

    /// What was agreed: a codec and where to send it.
    pub(super) fn agreed(&self) -> Option<(CodecName, SocketAddr)> {
        self.agreement().map(|agreed| (agreed.codec, agreed.remote))
    }

    fn agreement(&self) -> Option<Agreed> {
        let agreed = self.negotiation.agreed()?;
        let codecs = [CodecName::Pcmu, CodecName::Pcma];
        let codec = codecs.into_iter().find(|codec| agreed.codec.is(codec.as_str()))?;
        Some(Agreed {
            codec,
            payload_types: (agreed.codec.payload_type, agreed.receive_payload_type),
            remote: agreed.remote_rtp,
            signalling: self.signalling,
            send: agreed.direction.sends() && sdp::is_sendable(agreed.remote_rtp),
        })
    }

    fn apply(&mut self) {
        let Some(agreed) = self.agreement() else { return };
        if let Some(stream) = &self.stream {
            stream.change(agreed);
        } else if let Some((ports, say)) = self.idle.take() {
            self.stream = Stream::start(ports, agreed, say, self.seed).ok();
        }
    }

    /// Ends the audio: what was heard, and how many packets were sent.
    pub(super) fn finish(self) -> (Heard, u64) {
        self.stream.map(Stream::finish).unwrap_or_default()
    }
}

/// A call with a dialog.
pub(super) struct Session {
    pub(super) dialog: Dialog,
    pub(super) audio: Audio,
    user: String,
    /// A 2xx of ours that is not acknowledged yet.
    accepted: Option<(TransactionId, Response, Accept)>,
    /// Sent again for every 2xx that comes again.
    ack: Option<Request>,
}

/// Whether a call goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    GoesOn,
    /// The far end hung up.
    HungUp,
}

impl Session {
    pub(super) fn new(dialog: Dialog, audio: Audio, user: &str) -> Self {
        Self { dialog, audio, user: user.to_owned(), accepted: None, ack: None }
    }

    /// Whether a message belongs here.
    pub(super) fn owns(&self, request: &Request) -> bool {
        let id = self.dialog.id();
        let tag = |address: Result<sip::message::NameAddr, _>| {
            address.ok().and_then(|address| address.tag().map(Into::into)).unwrap_or_default()
        };
        let (to, from): (Box<str>, Box<str>) = (tag(request.to()), tag(request.from()));
        request.call_id().is_ok_and(|call_id| *call_id == *id.call_id)
            && to == id.local_tag
            && from == id.remote_tag
    }

    /// Acknowledges a 2xx to our INVITE numbered `seq`, and every further copy of it.
    pub(super) fn acknowledge(&mut self, endpoint: &mut Endpoint, seq: u32) {
        let ack = self.dialog.ack(seq);
        endpoint.send_ack(ack.clone());
        self.ack = Some(ack);
    }

    /// A 2xx came again: its ACK was lost.
    pub(super) fn acknowledge_again(&self, endpoint: &mut Endpoint) {
        if let Some(ack) = &self.ack {
            endpoint.send_ack(ack.clone());
        }
    }

    /// Sends a 2xx to an INVITE, again and again until its ACK.
    pub(super) fn accept(&mut self, endpoint: &mut Endpoint, id: TransactionId, ok: Response) {
        endpoint.respond(id, ok.clone());
        self.accepted = Some((id, ok, Accept::start(endpoint.now(), T1)));
    }

    /// When [`Session::fired`] is due.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.accepted.as_ref().map(|(_, _, accept)| accept.deadline())
    }

    /// The deadline has come: the 2xx goes out again; a peer that never acknowledges is gone.
    pub(super) fn fired(&mut self, endpoint: &mut Endpoint) -> Result<Next, Error> {
        let now = endpoint.now();
        let Some((id, ok, accept)) = &mut self.accepted else { return Ok(Next::GoesOn) };
        if accept.deadline() > now {
            return Ok(Next::GoesOn);
        }
        if accept.fired(now) {
            endpoint.respond(*id, ok.clone());
            return Ok(Next::GoesOn);
        }
        self.accepted = None;
        self.hang_up(endpoint)?;
        Ok(Next::HungUp)
    }

    /// Sends BYE and waits for its answer.
    pub(super) fn hang_up(&mut self, endpoint: &mut Endpoint) -> Result<(), Error> {
        let bye = endpoint.send(self.dialog.request(Method::Bye))?;
        endpoint.finish(bye, GOODBYE_MAX)
    }

    /// A request inside the dialog.
    pub(super) fn request(
        &mut self,
        endpoint: &mut Endpoint,
        request: &Request,
        source: &Source,
    ) -> Next {
        if request.method == Method::Ack {
            self.accepted = None;
            if !request.body.is_empty() {
                self.audio.answered(&request.body);
            }
            return Next::GoesOn;
        }
        let Some(id) = endpoint.accept(request, source) else { return Next::GoesOn };
        if let Err(status) = self.dialog.check_request(request) {
            endpoint.respond(id, request.response(status));
            return Next::GoesOn;
        }
        match request.method {
            Method::Bye => {
                endpoint.respond(id, request.response(StatusCode::OK));
                return Next::HungUp;
            }
            Method::Invite | Method::Update => self.change(endpoint, request, id),
            Method::Options | Method::Info => {
                endpoint.respond(id, self.ok(endpoint, request));
            }
            Method::Ack
            | Method::Cancel
            | Method::Register
            | Method::Message
            | Method::Notify
            | Method::Prack
            | Method::Publish
            | Method::Refer
            | Method::Subscribe
            | Method::Other(_) => endpoint.respond(id, not_allowed(request)),
        }
        Next::GoesOn
    }

    /// A re-INVITE or UPDATE: hold, another address, or a refresh.
    fn change(&mut self, endpoint: &mut Endpoint, request: &Request, id: TransactionId) {
        let is_invite = request.method == Method::Invite;
        let body = if !request.body.is_empty() {
            self.audio.answer(&request.body).map(Some)
        } else if is_invite {
            self.audio.offer().map(Some)
        } else {
            Ok(None)
        };
        match body {
            Err(status) => endpoint.respond(id, request.response(status)),
            Ok(body) => {
                self.dialog.refresh_target(&request.headers);
                let mut ok = self.ok(endpoint, request);
                if let Some(body) = body {
                    ok.set_body(SDP, body);
                }
                if is_invite {
                    self.accept(endpoint, id, ok);
                } else {
                    endpoint.respond(id, ok);
                }
            }
        }
    }

    fn ok(&self, endpoint: &Endpoint, request: &Request) -> Response {
        request
            .response(StatusCode::OK)
            .with_header(Name::Contact, endpoint.contact(&self.user).to_string())
            .with_header(Name::Allow, ALLOW)
    }
}

/// A request that belongs to no call of ours. An INVITE is for the caller of this.
pub(super) fn stray(endpoint: &mut Endpoint, request: &Request, source: &Source) {
    let response = match request.method {
        Method::Ack => return,
        Method::Options => request.response(StatusCode::OK).with_header(Name::Allow, ALLOW),
        Method::Invite => request.response(StatusCode::BUSY_HERE),
        Method::Bye | Method::Cancel | Method::Update | Method::Prack | Method::Info => {
            request.response(StatusCode::CALL_DOES_NOT_EXIST)
        }
        Method::Register
        | Method::Message
        | Method::Notify
        | Method::Publish
        | Method::Refer
        | Method::Subscribe
        | Method::Other(_) => not_allowed(request),
    };
    if let Some(id) = endpoint.accept(request, source) {
        let tag = endpoint.rng.token(12);
        endpoint.respond(id, response.with_to_tag(&tag));
    }
}

fn not_allowed(request: &Request) -> Response {
    request.response(StatusCode::METHOD_NOT_ALLOWED).with_header(Name::Allow, ALLOW)
}

/// How long a BYE may take to be answered before we leave all the same.
pub(super) const GOODBYE_MAX: Duration = Duration::from_secs(3);
