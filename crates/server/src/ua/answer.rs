//! `hookflash answer`: a phone that registers and answers, one call at a time.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use base::Time;
use sip::auth::{ClientAuth, Credentials};
use sip::dialog::Dialog;
use sip::message::{Method, Name, Request, Response, StatusCode, Uri};
use sip::transaction::{Event, TransactionId};
use sip::transport::Source;

use super::Error;
use super::account::credentials;
use super::call::{domain, duration, report, say};
use super::endpoint::{ALLOW, Endpoint};
use super::media::Say;
use super::session::{Audio, GOODBYE_MAX, Next, Session, stray};
use crate::{cli, tell};

/// How long each registration is asked for.
const EXPIRES_S: u32 = 300;
/// A failed registration is tried again after this.
const RETRY: Duration = Duration::from_secs(5);

/// Registers and answers calls; whether something was heard on every one of them.
pub(crate) fn answer(arguments: &cli::Answer, stop: Arc<AtomicBool>) -> Result<bool, Error> {
    let credentials = credentials(&arguments.account, None)?;
    let say = if arguments.echo { Say::Echo } else { say(&arguments.audio)?.0 };
    let ring = duration(arguments.ring)?;
    let endpoint = Endpoint::new(arguments.account.server, stop)?;
    let mut phone = Phone::new(endpoint, arguments, credentials, say, ring);
    phone.register(EXPIRES_S)?;
    let mut answered = 0;
    let mut all_heard = true;
    while !phone.endpoint.is_stopped() && (arguments.calls == 0 || answered < arguments.calls) {
        if let Some(heard) = phone.one_call()? {
            answered += 1;
            all_heard &= heard;
        }
    }
    phone.register(0)?;
    if let Some(leaving) = phone.registering {
        phone.endpoint.finish(leaving, GOODBYE_MAX)?;
    }
    Ok(answered > 0 && all_heard)
}

struct Phone<'a> {
    endpoint: Endpoint,
    arguments: &'a cli::Answer,
    credentials: Credentials,
    auth: ClientAuth,
    say: Say,
    ring: Duration,
    /// The last REGISTER, and its transaction while there is no answer.
    register: Option<Request>,
    registering: Option<TransactionId>,
    seq: u32,
    /// When to register again.
    refresh: Time,
    registered: bool,
}

/// An INVITE that rings.
struct Ringing {
    invite: Request,
    transaction: TransactionId,
    tag: String,
    answer_at: Time,
}

impl<'a> Phone<'a> {
    fn new(
        endpoint: Endpoint,
        arguments: &'a cli::Answer,
        credentials: Credentials,
        say: Say,
        ring: Duration,
    ) -> Self {
        Self {
            endpoint,
            arguments,
            credentials,
            auth: ClientAuth::default(),
            say,
            ring,
            register: None,
            registering: None,
            seq: 0,
            refresh: Time::ZERO,
            registered: false,
        }
    }

    /// Sends REGISTER (RFC 3261 §10.2): one Call-ID for all of them, rising numbers.
    fn register(&mut self, expires_s: u32) -> Result<(), Error> {
        let (host, port) = domain(&self.arguments.account);
        let us = Uri::sip(&self.credentials.username, host.clone(), port);
        let registrar = Uri { user: None, ..Uri::sip("", host, port) };
        let mut request = match self.register.take() {
            Some(request) => request,
            None => {
                let mut request = self.endpoint.request(Method::Register, registrar, &us, &us);
                let contact = self.endpoint.contact(&self.credentials.username);
                request.headers.push(Name::Contact, contact.to_string());
                request
            }
        };
        self.seq += 1;
        request.headers.set(Name::CSeq, format!("{} REGISTER", self.seq));
        request.headers.set(Name::Expires, expires_s.to_string());
        self.auth.reauthorize(&mut request, &self.credentials);
        self.registering = Some(self.endpoint.send(request.clone())?);
        self.register = Some(request);
        self.refresh = self.endpoint.now() + Duration::from_secs(EXPIRES_S.into()) / 2;
        Ok(())
    }

    fn registration_answered(&mut self, response: &Response) -> Result<(), Error> {
        let status = response.status;
        if status.is_provisional() {
            return Ok(());
        }
        self.registering = None;
        let challenged = [StatusCode::UNAUTHORIZED, StatusCode::PROXY_AUTHENTICATION_REQUIRED];
        if challenged.contains(&status) {
            let Some(mut request) = self.register.take() else { return Ok(()) };
            let Self { auth, credentials, endpoint, .. } = self;
            auth.authorize(&mut request, response, credentials, &mut endpoint.rng)
                .map_err(|error| Error::Failed(format!("registration: {error}")))?;
            self.seq += 1;
            request.headers.set(Name::CSeq, format!("{} REGISTER", self.seq));
            self.registering = Some(self.endpoint.send(request.clone())?);
            self.register = Some(request);
            return Ok(());
        }
        if status.is_success() {
            if !self.registered {
                self.registered = true;
                let (user, server) = (&self.credentials.username, self.arguments.account.server);
                tell(format_args!("registered as {user} at {server}"));
            }
            return Ok(());
        }
        if !self.registered {
            let reason = &response.reason;
            return Err(Error::Failed(format!("registration refused: {status} {reason}")));
        }
        self.refresh = self.endpoint.now() + RETRY;
        Ok(())
    }

    /// What belongs to no call: the registration and its refresh.
    fn housekeeping(&mut self, event: Option<Event>) -> Result<(), Error> {
        match event {
            None if self.endpoint.now() >= self.refresh => self.register(EXPIRES_S),
            Some(Event::Response { transaction, response, .. })
                if transaction.is_some() && transaction == self.registering =>
            {
                self.registration_answered(&response)
            }
            Some(Event::TimedOut { transaction } | Event::TransportFailed { transaction })
                if Some(transaction) == self.registering =>
            {
                if !self.registered {
                    let server = self.arguments.account.server;
                    return Err(Error::Failed(format!("{server} does not answer")));
                }
                self.refresh = self.endpoint.now() + RETRY;
                Ok(())
            }
            Some(Event::Request { request, source }) => {
                stray(&mut self.endpoint, &request, &source);
                Ok(())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Waits for one call and sees it through; whether something was heard, `None` without a call.
    fn one_call(&mut self) -> Result<Option<bool>, Error> {
        let ringing = loop {
            match self.endpoint.next(self.refresh)? {
                Some(Event::Request { request, source }) if is_new_call(&request) => {
                    if let Some(ringing) = self.ring(request, &source) {
                        break ringing;
                    }
                }
                event => self.housekeeping(event)?,
            }
            if self.endpoint.is_stopped() {
                return Ok(None);
            }
        };
        let Some(session) = self.wait_and_answer(ringing)? else { return Ok(None) };
        self.talk(session).map(Some)
    }

    fn ring(&mut self, invite: Request, source: &Source) -> Option<Ringing> {
        let transaction = self.endpoint.accept(&invite, source)?;
        let tag = self.endpoint.rng.token(12);
        let contact = self.endpoint.contact(&self.credentials.username).to_string();
        let response = invite
            .response(StatusCode::RINGING)
            .with_to_tag(&tag)
            .with_header(Name::Contact, contact);
        self.endpoint.respond(transaction, response);
        let from = invite.from().map(|from| from.uri.to_string()).unwrap_or_default();
        tell(format_args!("ringing   {from}"));
        let answer_at = self.endpoint.now() + self.ring;
        Some(Ringing { invite, transaction, tag, answer_at })
    }

    fn wait_and_answer(&mut self, ringing: Ringing) -> Result<Option<Session>, Error> {
        let Ringing { invite, transaction, tag, answer_at } = ringing;
        loop {
            match self.endpoint.next(answer_at.min(self.refresh.max(self.endpoint.now())))? {
                Some(Event::Cancelled { transaction: id }) if id == transaction => {
                    let response = invite.response(StatusCode::REQUEST_TERMINATED);
                    self.endpoint.respond(transaction, response.with_to_tag(&tag));
                    tell("cancelled by the caller");
                    return Ok(None);
                }
                None if self.endpoint.is_stopped() => {
                    let response = invite.response(StatusCode::TEMPORARILY_UNAVAILABLE);
                    self.endpoint.respond(transaction, response.with_to_tag(&tag));
                    return Ok(None);
                }
                None if self.endpoint.now() >= answer_at => break,
                event => self.housekeeping(event)?,
            }
        }
        let mut audio =
            Audio::new(&mut self.endpoint, self.arguments.audio.codec, self.say.clone())?;
        let description = match invite.body.is_empty() {
            // RFC 3261 §13.2.1: no offer, so ours goes into the 2xx.
            true => audio.offer(),
            false => audio.answer(&invite.body),
        };
        let dialog = Dialog::uas(&invite, &tag).map_err(|_| StatusCode::BAD_REQUEST);
        match description.and_then(|description| Ok((description, dialog?))) {
            Err(status) => {
                self.endpoint.respond(transaction, invite.response(status).with_to_tag(&tag));
                tell(format_args!("refused   {status}"));
                Ok(None)
            }
            Ok((description, mut dialog)) => {
                dialog.confirm();
                let user = &self.credentials.username;
                let contact = self.endpoint.contact(user).to_string();
                let ok = invite
                    .response(StatusCode::OK)
                    .with_to_tag(&tag)
                    .with_header(Name::Contact, contact)
                    .with_header(Name::Allow, ALLOW)
                    .with_body("application/sdp", description);
                let mut session = Session::new(dialog, audio, user);
                session.accept(&mut self.endpoint, transaction, ok);
                tell("answered");
                Ok(Some(session))
            }
        }
    }

    fn talk(&mut self, mut session: Session) -> Result<bool, Error> {
        let mut next = Next::GoesOn;
        while next == Next::GoesOn {
            let wake = session.deadline().map_or(self.refresh, |at| at.min(self.refresh));
            match self.endpoint.next(wake)? {
                Some(Event::Request { request, source }) if session.owns(&request) => {
                    next = session.request(&mut self.endpoint, &request, &source);
                }
                None if self.endpoint.is_stopped() => {
                    session.hang_up(&mut self.endpoint)?;
                    next = Next::HungUp;
                }
                event => {
                    if event.is_none() {
                        next = session.fired(&mut self.endpoint)?;
                    }
                    self.housekeeping(event)?;
                }
            }
        }
        tell("ended");
        let (heard, sent) = session.audio.finish();
        report(&heard, sent, self.arguments.audio.record.as_deref())?;
        Ok(heard.is_audible())
    }
}

/// Whether a request asks for a new call (a re-INVITE has a To tag).
fn is_new_call(request: &Request) -> bool {
    request.method == Method::Invite && request.to().is_ok_and(|to| to.tag().is_none())
}
