//! What goes wrong, by blame, and the SIP status it becomes.

use thiserror::Error;

/// The bytes are no session description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SdpError {
    /// Does not begin with `v=0`.
    #[error("not a session description")]
    NotSdp,
    /// A bound of the parser is exceeded; names which.
    #[error("too large: {0}")]
    TooLarge(&'static str),
    /// A line that cannot be read: its type letter, `?` when not even that.
    #[error("malformed {0}= line")]
    Malformed(char),
}

impl SdpError {
    /// 400 (Bad Request): the peer sent nonsense.
    pub const fn status(self) -> u16 {
        400
    }
}

/// One audio stream cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum StreamError {
    /// Neither the session nor the stream has a `c=` line (RFC 8866 §5.7).
    #[error("no connection address")]
    NoConnection,
    /// The `c=` line has a host name or an address of an unknown kind: media are never sent to
    /// what a peer's resolver might say.
    #[error("the connection address is not an IP address")]
    HostName,
    /// No audio codec that can be understood.
    #[error("no usable codec")]
    NoCodec,
    /// The transport profile is not one this leg may use (SRTP or plain RTP by its policy, SCTP,
    /// T.38 …).
    #[error("transport profile not supported")]
    Protocol,
    /// Plain RTP, where the leg's policy wants it protected.
    #[error("the media are not protected")]
    Insecure,
    /// Protected RTP without a key or fingerprint that we can use.
    #[error("no usable key for the media")]
    NoKey,
}

impl StreamError {
    /// 400 for a broken stream, 488 (Not Acceptable Here) for one we cannot use.
    pub const fn status(self) -> u16 {
        match self {
            Self::NoConnection => 400,
            Self::HostName | Self::NoCodec | Self::Protocol | Self::Insecure | Self::NoKey => 488,
        }
    }
}

/// A received offer cannot be taken up; the state is as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OfferError {
    /// Our own offer is unanswered (RFC 3261 §14.2, RFC 3311 §5.2).
    #[error("our own offer is outstanding")]
    Glare,
    /// Their former offer is unanswered (RFC 3261 §14.2, RFC 3311 §5.2).
    #[error("their former offer is not answered yet")]
    Overlapping,
    /// No audio stream, or only disabled ones (port 0).
    #[error("no audio stream")]
    NoAudio,
    /// There is an audio stream, but none that can be used.
    #[error(transparent)]
    Stream(#[from] StreamError),
}

impl OfferError {
    /// 491 for glare, 500 (with Retry-After) for an overlapping offer, 400 or 488 otherwise.
    pub const fn status(self) -> u16 {
        match self {
            Self::Glare => 491,
            Self::Overlapping => 500,
            Self::NoAudio => 488,
            Self::Stream(error) => error.status(),
        }
    }
}

/// A received answer does not fit our offer; the offer stays outstanding until
/// [`Negotiation::offer_failed`](crate::Negotiation::offer_failed).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AnswerError {
    /// We have made no offer that it could answer.
    #[error("an answer without an offer")]
    NotExpected,
    /// Not as many m-lines as the offer (RFC 3264 §6).
    #[error("the answer has not as many streams as the offer")]
    LineCount,
    /// The stream in the place of our audio stream is not audio.
    #[error("the answer has another kind of stream")]
    Kind,
    /// The audio stream was refused (port 0).
    #[error("the audio stream was refused")]
    Refused,
    /// The stream cannot be used, or has no codec of our offer.
    #[error(transparent)]
    Stream(#[from] StreamError),
}

/// We asked for a description that cannot be made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DescribeError {
    /// Asked to answer, but there is no offer.
    #[error("no offer to answer")]
    NoOffer,
    /// An offer, theirs or ours, is unanswered (RFC 3264 §4).
    #[error("an offer is outstanding")]
    Outstanding,
    /// None of the codecs given is in their offer, or none was given.
    #[error("no codec in common")]
    NoCodec,
    /// Nothing was agreed yet that could be offered again.
    #[error("nothing to refresh")]
    NothingAgreed,
}

impl DescribeError {
    /// 488 without a common codec, 491 while an offer is outstanding, 500 for a misuse of ours.
    pub const fn status(self) -> u16 {
        match self {
            Self::NoCodec => 488,
            Self::Outstanding => 491,
            Self::NoOffer | Self::NothingAgreed => 500,
        }
    }
}
