//! Errors as RFC 9457 problems: one table of codes, one shape on the wire.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use b2bua::api::Refused;
use call::control::Refusal;
use serde::Serialize;
use utoipa::ToSchema;

/// Media type of every error.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

macro_rules! codes {
    ($($name:ident $word:literal $status:ident $title:literal,)*) => {
        /// Why a request was refused; the word is what clients go by.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = $title] $name,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word on the wire.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// The status that goes with it.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            /// What it means, in words.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

codes! {
    Malformed "MALFORMED" BAD_REQUEST "The request cannot be read",
    Unauthorized "UNAUTHORIZED" UNAUTHORIZED "A valid bearer token is needed",
    Forbidden "FORBIDDEN" FORBIDDEN "This role may not do that",
    NotOwner "NOT_OWNER" FORBIDDEN "Only the owner of the interaction may do that",
    NoisePolicyLocked "NOISE_POLICY_LOCKED" FORBIDDEN "Noise removal is locked by policy",
    NotFound "NOT_FOUND" NOT_FOUND "There is no such thing",
    MethodNotAllowed "METHOD_NOT_ALLOWED" METHOD_NOT_ALLOWED "This resource has no such method",
    RequestTimeout "REQUEST_TIMEOUT" REQUEST_TIMEOUT "The body did not come in time",
    InvalidState "INVALID_STATE" CONFLICT "The interaction's state does not allow it",
    EndWhileHeld "END_WHILE_HELD" CONFLICT "A held call cannot be ended",
    AlreadyHeld "ALREADY_HELD" CONFLICT "It is on hold already",
    RecordingPauseNotAllowed "RECORDING_PAUSE_NOT_ALLOWED" CONFLICT "The recording cannot be paused now",
    PostCall "POST_CALL" CONFLICT "The customer has left",
    AgentNotAvailable "AGENT_NOT_AVAILABLE" CONFLICT "That agent is not available",
    ConferenceFull "CONFERENCE_FULL" CONFLICT "The conference is full",
    ConsultInProgress "CONSULT_IN_PROGRESS" CONFLICT "A consult is going on",
    OfferPending "OFFER_PENDING" CONFLICT "An offer is up",
    AgentInWrapUp "AGENT_IN_WRAP_UP" CONFLICT "That agent is wrapping up",
    CallbackStarted "CALLBACK_STARTED" CONFLICT "The callback has begun",
    VariableConflict "VARIABLE_CONFLICT" PRECONDITION_FAILED "Somebody else saved first",
    VariableTooLong "VARIABLE_TOO_LONG" UNPROCESSABLE_ENTITY "A value has at most 256 characters",
    CallbackTooSoon "CALLBACK_TOO_SOON" UNPROCESSABLE_ENTITY "The time is too soon",
    CallbackTooLate "CALLBACK_TOO_LATE" UNPROCESSABLE_ENTITY "The time is too late",
    IdempotencyInProgress "IDEMPOTENCY_IN_PROGRESS" CONFLICT "The first request with this key is still going on",
    PayloadTooLarge "PAYLOAD_TOO_LARGE" PAYLOAD_TOO_LARGE "The body is too large",
    UnsupportedMediaType "UNSUPPORTED_MEDIA_TYPE" UNSUPPORTED_MEDIA_TYPE "The body is of another type",
    RangeNotSatisfiable "RANGE_NOT_SATISFIABLE" RANGE_NOT_SATISFIABLE "The file has no such part",
    UnsupportedDestination "UNSUPPORTED_DESTINATION" UNPROCESSABLE_ENTITY "Calls cannot go there",
    InvalidDialNumber "INVALID_DIAL_NUMBER" UNPROCESSABLE_ENTITY "That is no dial number",
    Validation "VALIDATION" UNPROCESSABLE_ENTITY "The body does not fit",
    IdempotencyKeyReused "IDEMPOTENCY_KEY_REUSED" UNPROCESSABLE_ENTITY "The key was used for another request",
    CallLimitNode "CALL_LIMIT_NODE" TOO_MANY_REQUESTS "The node has as many calls as it may",
    CallLimitTenant "CALL_LIMIT_TENANT" TOO_MANY_REQUESTS "The tenant has as many calls as it may",
    CallLimitTrunk "CALL_LIMIT_TRUNK" TOO_MANY_REQUESTS "The trunk has as many calls as it may",
    Internal "INTERNAL" INTERNAL_SERVER_ERROR "Something failed inside",
    Overloaded "OVERLOADED" SERVICE_UNAVAILABLE "The server cannot keep up; try again",
    Draining "DRAINING" SERVICE_UNAVAILABLE "The server is going down and takes no new calls",
    Timeout "TIMEOUT" GATEWAY_TIMEOUT "The core did not answer in time",
}

/// One refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Which.
    pub(crate) code: Code,
    /// What is wrong with this request in particular; never a secret.
    pub(crate) detail: String,
}

impl Problem {
    /// A refusal with its particulars.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Self::new(code, "")
    }
}

impl From<Refused> for Problem {
    fn from(Refused { code, detail }: Refused) -> Self {
        Self { code: code.into(), detail }
    }
}

impl From<Refusal> for Code {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::InvalidState => Self::InvalidState,
            Refusal::EndWhileHeld => Self::EndWhileHeld,
            Refusal::AlreadyHeld => Self::AlreadyHeld,
            Refusal::RecordingPauseNotAllowed => Self::RecordingPauseNotAllowed,
            Refusal::PostCall => Self::PostCall,
            Refusal::AgentNotAvailable => Self::AgentNotAvailable,
            Refusal::AgentInWrapUp => Self::AgentInWrapUp,
            Refusal::ConferenceFull => Self::ConferenceFull,
            Refusal::ConsultInProgress => Self::ConsultInProgress,
            Refusal::OfferPending => Self::OfferPending,
            Refusal::CallbackStarted => Self::CallbackStarted,
            Refusal::NotOwner => Self::NotOwner,
            Refusal::NoisePolicyLocked => Self::NoisePolicyLocked,
            Refusal::Forbidden => Self::Forbidden,
            Refusal::NotFound => Self::NotFound,
            Refusal::VariableConflict => Self::VariableConflict,
            Refusal::UnsupportedDestination => Self::UnsupportedDestination,
            Refusal::InvalidDialNumber => Self::InvalidDialNumber,
            Refusal::VariableTooLong => Self::VariableTooLong,
            Refusal::CallbackTooSoon => Self::CallbackTooSoon,
            Refusal::CallbackTooLate => Self::CallbackTooLate,
            Refusal::Validation => Self::Validation,
            Refusal::CallLimitNode => Self::CallLimitNode,
            Refusal::CallLimitTenant => Self::CallLimitTenant,
            Refusal::CallLimitTrunk => Self::CallLimitTrunk,
        }
    }
}

/// How a problem reads.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// Always `about:blank`: `code` tells problems apart.
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    /// The code in words.
    pub(crate) title: &'static str,
    /// The HTTP status again.
    pub(crate) status: u16,
    /// What clients go by, e.g. `INVALID_STATE`.
    pub(crate) code: &'static str,
    /// What is wrong with this request in particular.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) detail: String,
}

impl From<Problem> for ProblemBody {
    fn from(Problem { code, detail }: Problem) -> Self {
        Self {
            kind: "about:blank",
            title: code.title(),
            status: code.status().as_u16(),
            code: code.word(),
            detail,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let code = self.code;
        let body = serde_json::to_vec(&ProblemBody::from(self)).unwrap_or_default();
        let mut response = (code.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if code == Code::Unauthorized {
            // RFC 6750 §3.
            let bearer = HeaderValue::from_static("Bearer realm=\"hookflash\"");
            headers.insert(header::WWW_AUTHENTICATE, bearer);
        }
        if matches!(code, Code::Overloaded | Code::Draining) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_word_of_its_own_and_an_error_status() {
        let words: std::collections::BTreeSet<_> = Code::ALL.iter().map(|c| c.word()).collect();
        assert_eq!(words.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(code.status().is_client_error() || code.status().is_server_error());
        }
    }
}
