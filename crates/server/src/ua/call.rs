//! `hookflash call`: places one call and tells what it heard.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use base::Time;
use sip::auth::{ClientAuth, Credentials};
use sip::dialog::Dialog;
use sip::message::{Host, Method, Name, Request, Response, StatusCode, Uri};
use sip::transaction::{Event, TransactionId};

use super::account::credentials;
use super::endpoint::Endpoint;
use super::heard::Heard;
use super::media::Say;
use super::session::{Audio, GOODBYE_MAX, Next, Session, stray};
use super::{Error, wav};
use crate::{cli, tell};

/// Talk without a file, and the longest talk that a file asks for by its length.
const DEFAULT_TALK: Duration = Duration::from_secs(5);
const FILE_TALK_MAX: Duration = Duration::from_secs(60);
/// Longest `--duration`.
const TALK_MAX_S: f64 = 86_400.0;

/// Places the call; whether it was answered and something was heard.
pub(crate) fn call(arguments: &cli::Call, stop: Arc<AtomicBool>) -> Result<bool, Error> {
    let credentials = credentials(&arguments.account, Some(&arguments.to))?;
    let (say, file_talk) = say(&arguments.audio)?;
    let talk = match arguments.duration {
        Some(seconds) => duration(seconds)?,
        None => file_talk.unwrap_or(DEFAULT_TALK),
    };
    let mut endpoint = Endpoint::new(arguments.account.server, stop)?;
    let audio = Audio::new(&mut endpoint, arguments.audio.codec, say)?;
    let attempt = Attempt::new(&mut endpoint, arguments, credentials, audio)?;
    let ring_timeout = Duration::from_secs(arguments.ring_timeout);
    let Some(session) = attempt.run(&mut endpoint, ring_timeout)? else { return Ok(false) };
    let (heard, sent) = converse(&mut endpoint, session, talk)?;
    report(&heard, sent, arguments.audio.record.as_deref())?;
    Ok(heard.is_audible())
}

/// What is played, and how long that takes when it is a file.
pub(super) fn say(audio: &cli::Audio) -> Result<(Say, Option<Duration>), Error> {
    let Some(path) = &audio.play else {
        return Ok((Say::Samples { samples: wav::tone(audio.tone).into(), again: true }, None));
    };
    let samples = wav::load(path).map_err(Error::Usage)?;
    let length = Duration::from_secs_f64(samples.len() as f64 / f64::from(wav::RATE));
    let talk = length.clamp(Duration::from_millis(100), FILE_TALK_MAX);
    Ok((Say::Samples { samples: samples.into(), again: false }, Some(talk)))
}

/// Seconds of the command line.
pub(super) fn duration(seconds: f64) -> Result<Duration, Error> {
    if (0.0..=TALK_MAX_S).contains(&seconds) {
        return Ok(Duration::from_secs_f64(seconds));
    }
    Err(Error::Usage(format!("{seconds} s is no duration between 0 and {TALK_MAX_S} s")))
}

/// Prints and writes what was heard.
pub(super) fn report(
    heard: &Heard,
    sent: u64,
    record: Option<&std::path::Path>,
) -> Result<(), Error> {
    tell(format_args!("{heard}"));
    tell(format_args!("sent      {sent} packets"));
    if let Some(path) = record {
        wav::save(path, heard.samples()).map_err(Error::Failed)?;
        tell(format_args!("recorded  {}", path.display()));
    }
    Ok(())
}

/// An INVITE until its final response.
struct Attempt {
    invite: Request,
    transaction: TransactionId,
    seq: u32,
    auth: ClientAuth,
    credentials: Credentials,
    audio: Audio,
    started: Time,
    rang: bool,
}

/// What a response means for the attempt.
enum Step {
    Wait,
    Answered(Box<Response>),
    Refused,
}

impl Attempt {
    fn new(
        endpoint: &mut Endpoint,
        arguments: &cli::Call,
        credentials: Credentials,
        mut audio: Audio,
    ) -> Result<Self, Error> {
        let server = arguments.account.server;
        let (host, port) = domain(&arguments.account);
        let to = Uri::sip(&arguments.to, host.clone(), port);
        let from = Uri::sip(&credentials.username, host, port);
        let mut invite = endpoint.request(Method::Invite, to.clone(), &from, &to);
        let contact = endpoint.contact(&credentials.username);
        invite.headers.push(Name::Contact, contact.to_string());
        let offer = audio.offer().map_err(|_| Error::Failed("no codec to offer".into()))?;
        invite.set_body("application/sdp", offer);
        tell(format_args!("calling   {to} by {server} as {}", credentials.username));
        let started = endpoint.now();
        let transaction = endpoint.send(invite.clone())?;
        let auth = ClientAuth::default();
        Ok(Self { invite, transaction, seq: 1, auth, credentials, audio, started, rang: false })
    }

    /// Waits for the answer; `None` when the call was refused or given up, which was told.
    fn run(mut self, endpoint: &mut Endpoint, most: Duration) -> Result<Option<Session>, Error> {
        let until = self.started + most;
        while let Some(event) = endpoint.next(until)? {
            match event {
                Event::Response { transaction: Some(id), response, .. }
                    if id == self.transaction =>
                {
                    match self.response(endpoint, response)? {
                        Step::Wait => {}
                        Step::Answered(response) => {
                            return self.answered(endpoint, &response).map(Some);
                        }
                        Step::Refused => return Ok(None),
                    }
                }
                Event::TimedOut { transaction } if transaction == self.transaction => {
                    return Err(Error::Failed("no answer from the server (time-out)".into()));
                }
                Event::TransportFailed { transaction } if transaction == self.transaction => {
                    return Err(Error::Failed("the server cannot be reached".into()));
                }
                Event::Request { request, source } => stray(endpoint, &request, &source),
                Event::Send { .. }
                | Event::Response { .. }
                | Event::Cancelled { .. }
                | Event::TimedOut { .. }
                | Event::TransportFailed { .. }
                | Event::AckTimedOut { .. }
                | Event::Acked { .. }
                | Event::Ended { .. } => {}
            }
        }
        self.give_up(endpoint)?;
        Ok(None)
    }

    fn response(&mut self, endpoint: &mut Endpoint, response: Response) -> Result<Step, Error> {
        let status = response.status;
        let elapsed = (endpoint.now() - self.started).as_secs_f64() * 1000.0;
        let told = |what: &str| {
            tell(format_args!("{what:<9} {status} {} after {elapsed:.1} ms", response.reason));
        };
        if status == StatusCode::UNAUTHORIZED || status == StatusCode::PROXY_AUTHENTICATION_REQUIRED
        {
            let Self { invite, auth, credentials, .. } = self;
            if let Err(error) = auth.authorize(invite, &response, credentials, &mut endpoint.rng) {
                told("refused");
                return Err(Error::Failed(error.to_string()));
            }
            // RFC 3261 §22.2: a new number, the same Call-ID.
            self.seq += 1;
            self.invite.headers.set(Name::CSeq, format!("{} INVITE", self.seq));
            self.transaction = endpoint.send(self.invite.clone())?;
            return Ok(Step::Wait);
        }
        match status.class() {
            1 => {
                if status != StatusCode::TRYING && !self.rang {
                    self.rang = true;
                    told("ringing");
                }
                if !response.body.is_empty() {
                    self.audio.answered(&response.body);
                }
                Ok(Step::Wait)
            }
            2 => {
                told("answered");
                Ok(Step::Answered(Box::new(response)))
            }
            _ => {
                told("refused");
                Ok(Step::Refused)
            }
        }
    }

    fn answered(self, endpoint: &mut Endpoint, ok: &Response) -> Result<Session, Error> {
        let Self { invite, seq, mut audio, credentials, .. } = self;
        let dialog = Dialog::uac(&invite, ok)
            .map_err(|_| Error::Failed("the answer makes no dialog".into()))?;
        if !ok.body.is_empty() {
            audio.answered(&ok.body);
        }
        let agreed = audio.agreed();
        let mut session = Session::new(dialog, audio, &credentials.username);
        session.dialog.confirm();
        session.acknowledge(endpoint, seq);
        if let Some((codec, remote)) = agreed {
            tell(format_args!("audio     {} to {remote}", codec.as_str()));
            return Ok(session);
        }
        // RFC 3261 §13.2.2.4: an answer that cannot be used is acknowledged, then hung up.
        session.hang_up(endpoint)?;
        Err(Error::Failed("the answer has no audio that we can use".into()))
    }

    /// Nobody answered in time, or the user wants an end.
    fn give_up(self, endpoint: &mut Endpoint) -> Result<(), Error> {
        tell("gave up   no answer");
        endpoint.cancel(self.transaction);
        endpoint.finish(self.transaction, GOODBYE_MAX)
    }
}

/// Host and port of our address and of whom we call.
pub(super) fn domain(account: &cli::Account) -> (Host, Option<u16>) {
    match &account.domain {
        Some(name) => (Host::Name(name.as_str().into()), None),
        None => (Host::Ip(account.server.ip()), Some(account.server.port())),
    }
}

/// Talks for a while, then hangs up.
fn converse(
    endpoint: &mut Endpoint,
    mut session: Session,
    talk: Duration,
) -> Result<(Heard, u64), Error> {
    let until = endpoint.now() + talk;
    let mut next = Next::GoesOn;
    while next == Next::GoesOn && endpoint.now() < until && !endpoint.is_stopped() {
        let wake = session.deadline().map_or(until, |deadline| deadline.min(until));
        match endpoint.next(wake)? {
            None => next = session.fired(endpoint)?,
            Some(Event::Request { request, source }) => {
                if session.owns(&request) {
                    next = session.request(endpoint, &request, &source);
                } else {
                    stray(endpoint, &request, &source);
                }
            }
            Some(Event::Response { response, .. }) if response.status.is_success() => {
                session.acknowledge_again(endpoint);
            }
            Some(_) => {}
        }
    }
    let by = if next == Next::HungUp { "the far end hung up" } else { "we hung up" };
    if next == Next::GoesOn {
        session.hang_up(endpoint)?;
    }
    let heard = session.audio.finish();
    tell(format_args!("ended     {by}"));
    Ok(heard)
}
