//! Which codecs two legs can be joined by: one that both have, else any that we decode and encode.

use sdp::{Codec, Order};

use super::Core;

impl Core {
    /// What a leg that offered `offered` is answered when the other has agreed to `agreed`: what
    /// they share, so that audio passes as it is; else what can be transcoded.
    pub(super) fn answer(
        &self,
        offered: &[Codec],
        agreed: &[Codec],
        allowed: &[String],
    ) -> Vec<Codec> {
        let mut shared = shared(offered, agreed);
        if self.can_transcode(agreed) {
            // Keys go from any form to any other, and comfort noise can be made sound of: both are
            // taken whatever the other side has.
            for is_kind in [Codec::is_telephone_event, Codec::is_comfort_noise] {
                if !shared.iter().any(is_kind) {
                    shared.extend(offered.iter().filter(|codec| is_kind(codec)).cloned());
                }
            }
        }
        if has_audio(&shared) || !self.can_transcode(agreed) {
            return shared;
        }
        let mut codecs = sdp::pass_through(offered, allowed, Order::Offer);
        codecs.retain(|codec| !codec.is_audio() || is_transcodable(codec));
        if has_audio(&codecs) { codecs } else { shared }
    }

    /// What is offered to a leg when another brought `brought`: those of them that it may have, then
    /// what could be transcoded to them.
    pub(super) fn with_others(&self, brought: &[Codec], allowed: &[String]) -> Vec<Codec> {
        let mut codecs = sdp::pass_through(brought, allowed, Order::Offer);
        if self.can_transcode(brought) {
            let ours = sdp::standard_codecs(allowed);
            let ours = ours.into_iter().filter(|codec| !codec.is_audio() || is_transcodable(codec));
            for codec in ours {
                if !codecs.iter().any(|known| known.same_as(&codec)) {
                    codecs.push(codec);
                }
            }
        }
        codecs
    }

    /// Whether legs that agreed to these can hear each other.
    pub(super) fn can_bridge(&self, ours: &[Codec], theirs: &[Codec]) -> bool {
        has_audio(&shared(ours, theirs)) || self.can_transcode(ours) && self.can_transcode(theirs)
    }

    fn can_transcode(&self, codecs: &[Codec]) -> bool {
        self.config.media.transcode && codecs.iter().any(is_transcodable)
    }
}

/// The codecs of `offered` (with its payload types, in its order) that `agreed` has too.
fn shared(offered: &[Codec], agreed: &[Codec]) -> Vec<Codec> {
    let both = |codec: &&Codec| agreed.iter().any(|other| other.same_as(codec));
    offered.iter().filter(both).cloned().collect()
}

/// Whether there is something to talk in, beside DTMF and comfort noise.
pub(super) fn has_audio(codecs: &[Codec]) -> bool {
    codecs.iter().any(Codec::is_audio)
}

/// Whether the media engine decodes and encodes it.
pub(super) fn is_transcodable(codec: &Codec) -> bool {
    let mono = codec.channels == 1 || codec.is("opus");
    mono && media::codec::sample_rate(media_codec(codec), codec.clock_rate).is_some()
}

/// The engine's name for it.
pub(super) fn media_codec(codec: &Codec) -> media::command::Codec {
    use media::command::Codec as Media;
    match &*codec.name {
        "PCMU" => Media::Pcmu,
        "PCMA" => Media::Pcma,
        "G722" => Media::G722,
        "opus" => Media::Opus,
        // Two channels are two samples, which the engine only passes on.
        "L16" if codec.channels == 1 => Media::L16,
        "telephone-event" => Media::TelephoneEvent,
        "CN" => Media::ComfortNoise,
        _ => Media::Other,
    }
}
