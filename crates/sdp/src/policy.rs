//! Which codecs a leg is offered: the configured set, or what another leg brought, filtered.

use serde::{Deserialize, Serialize};

use crate::Codec;
use crate::parse::decimal;
use crate::payload_types::PayloadTypes;

/// Whose order of preference counts in [`pass_through`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// The offerer's.
    #[default]
    Offer,
    /// The configured list's.
    Policy,
}

/// What an offer and a leg's configured codec names share. Telephone events and comfort noise
/// (RFC 3389) are always kept as long as a codec is that they go with; so is any other name the
/// configuration spells out, ours or not.
pub fn pass_through<S: AsRef<str>>(offered: &[Codec], allowed: &[S], order: Order) -> Vec<Codec> {
    let rank = |codec: &Codec| allowed.iter().position(|entry| permits(entry.as_ref(), codec));
    let goes_along = |codec: &Codec| codec.is_telephone_event() || codec.is_comfort_noise();
    let mut kept: Vec<&Codec> =
        offered.iter().filter(|c| goes_along(c) || rank(c).is_some()).collect();
    match order {
        Order::Offer => {}
        // Events and noise go last, where phones expect them.
        Order::Policy => kept.sort_by_key(|c| (!c.is_audio(), rank(c))),
    }
    only_useful_events(kept.into_iter().cloned().collect())
}

/// Our whole offer for configured names, in their order, for a leg that nobody has offered
/// anything to yet (INVITE without SDP). A name may have clock and channels (`L16/8000`,
/// `L16/44100/2`). Unknown names are skipped. Telephone events are added at the clock of each
/// codec (RFC 4733 §2.1: 8000 when in doubt), comfort noise only where it is named (`CN`): a peer
/// that is offered it may cease to send.
pub fn standard_codecs<S: AsRef<str>>(names: &[S]) -> Vec<Codec> {
    let mut codecs: Vec<Codec> = Vec::new();
    for codec in names.iter().filter_map(|name| standard_codec(name.as_ref())) {
        if codec.is_audio() && !codecs.iter().any(|known| known.same_as(&codec)) {
            codecs.push(codec);
        }
    }
    if codecs.is_empty() {
        return codecs;
    }
    let wide = codecs.iter().any(|codec| codec.clock_rate == 48_000);
    let noise = names.iter().filter_map(|name| standard_codec(name.as_ref()));
    let noise = noise.filter(Codec::is_comfort_noise).take(1);
    // RFC 3389 §4: beside a codec of its clock.
    let noise: Vec<_> =
        noise.filter(|cn| codecs.iter().any(|c| c.clock_rate == cn.clock_rate)).collect();
    codecs.extend(noise);
    codecs.push(Codec::new(101, "telephone-event", 8000, 1).with_fmtp("0-16"));
    if wide {
        codecs.push(Codec::new(102, "telephone-event", 48_000, 1).with_fmtp("0-16"));
    }
    PayloadTypes::new().assign(&codecs)
}

/// Whether a configured name is one that [`standard_codecs`] can offer.
pub fn is_known_codec(name: &str) -> bool {
    standard_codec(name).is_some()
}

fn standard_codec(entry: &str) -> Option<Codec> {
    let (name, clock, channels) = split(entry);
    let codec = match name.to_ascii_uppercase().as_str() {
        "PCMU" => Codec::new(0, "PCMU", 8000, 1),
        "GSM" => Codec::new(3, "GSM", 8000, 1),
        "PCMA" => Codec::new(8, "PCMA", 8000, 1),
        "G722" => Codec::new(9, "G722", 8000, 1),
        // RFC 7261 §3.1: without annexb=no, a peer may send silence frames.
        "G729" => Codec::new(18, "G729", 8000, 1).with_fmtp("annexb=no"),
        "OPUS" => Codec::new(96, "opus", 48_000, 2).with_fmtp("useinbandfec=1"),
        "L16" => {
            let clock_rate = decimal(clock.unwrap_or("16000"))?;
            Codec::new(97, "L16", clock_rate, decimal(channels.unwrap_or("1"))?)
        }
        "CN" => Codec::new(13, "CN", 8000, 1),
        "TELEPHONE-EVENT" => Codec::new(101, "telephone-event", 8000, 1).with_fmtp("0-16"),
        _ => return None,
    };
    permits(entry, &codec).then_some(codec)
}

/// Whether a configured entry (`PCMU`, `L16/8000`, `opus/48000/2`) means this codec.
fn permits(entry: &str, codec: &Codec) -> bool {
    let (name, clock, channels) = split(entry);
    codec.is(name)
        && clock.is_none_or(|clock| decimal(clock) == Some(codec.clock_rate))
        && channels.is_none_or(|channels| decimal(channels) == Some(codec.channels))
}

fn split(entry: &str) -> (&str, Option<&str>, Option<&str>) {
    let mut parts = entry.splitn(3, '/').map(str::trim);
    (parts.next().unwrap_or_default(), parts.next(), parts.next())
}

/// Drops events and noise whose clock is that of no codec left (RFC 4733 §2.1, RFC 3389 §4), but
/// keeps events at another clock when there are no others: many phones offer opus with
/// `telephone-event/8000` alone. Nothing is left without a codec.
pub(crate) fn only_useful_events(codecs: Vec<Codec>) -> Vec<Codec> {
    let clocks: Vec<u32> = codecs.iter().filter(|c| c.is_audio()).map(|c| c.clock_rate).collect();
    if clocks.is_empty() {
        return Vec::new();
    }
    let fits = |codec: &Codec| clocks.contains(&codec.clock_rate);
    let events_fit = codecs.iter().any(|codec| codec.is_telephone_event() && fits(codec));
    codecs
        .into_iter()
        .filter(|c| c.is_audio() || fits(c) || (c.is_telephone_event() && !events_fit))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered() -> Vec<Codec> {
        vec![
            Codec::new(111, "opus", 48_000, 2).with_fmtp("minptime=10"),
            Codec::new(9, "G722", 8000, 1),
            Codec::new(0, "PCMU", 8000, 1),
            Codec::new(8, "PCMA", 8000, 1),
            Codec::new(13, "CN", 8000, 1),
            Codec::new(110, "telephone-event", 48_000, 1),
            Codec::new(126, "telephone-event", 8000, 1),
        ]
    }

    fn numbers(codecs: &[Codec]) -> Vec<u8> {
        codecs.iter().map(|codec| codec.payload_type).collect()
    }

    #[test]
    fn only_what_the_offer_and_the_configuration_share_passes() {
        for (allowed, order, kept) in [
            (&["PCMA", "pcmu"][..], Order::Offer, &[0, 8, 13, 126][..]),
            (&["PCMA", "pcmu"], Order::Policy, &[8, 0, 13, 126]),
            (&["CN", "PCMA", "opus"], Order::Policy, &[8, 111, 110, 126, 13]),
            (&["opus"], Order::Offer, &[111, 110]),
            (&["opus/48000/2", "PCMU/16000"], Order::Offer, &[111, 110]),
            (&["telephone-event"], Order::Offer, &[]),
            (&["G729"], Order::Policy, &[]),
            (&[], Order::Offer, &[]),
        ] {
            assert_eq!(numbers(&pass_through(&offered(), allowed, order)), kept, "{allowed:?}");
        }
        assert_eq!(pass_through(&offered(), &["opus"], Order::Offer)[0], offered()[0]);
    }

    #[test]
    fn events_at_another_clock_stay_when_there_are_no_others() {
        let offered = [offered()[0].clone(), offered()[6].clone()];
        assert_eq!(numbers(&pass_through(&offered, &["opus"], Order::Policy)), [111, 126]);
    }

    #[test]
    fn our_own_offer_has_the_configured_codecs_and_their_events() {
        let names = ["opus", "G722", "PCMU", "PCMA", "G729", "L16", "L16/8000", "pcmu", "nonsense"];
        let codecs = standard_codecs(&names);
        assert_eq!(numbers(&codecs), [96, 9, 0, 8, 18, 97, 98, 101, 102]);
        assert_eq!(codecs[4].fmtp.as_deref(), Some("annexb=no"));
        assert_eq!((codecs[0].clock_rate, codecs[0].channels), (48_000, 2));
        assert_eq!((codecs[7].clock_rate, codecs[8].clock_rate), (8000, 48_000));
        assert_eq!(numbers(&standard_codecs(&["PCMA"])), [8, 101]);
        assert_eq!(numbers(&standard_codecs(&["L16/44100/2"])), [10, 101]);
        assert!(standard_codecs(&["telephone-event"]).is_empty());
    }

    #[test]
    fn comfort_noise_is_offered_where_it_is_named_and_goes_with_a_codec() {
        assert_eq!(numbers(&standard_codecs(&["CN", "PCMA"])), [8, 13, 101]);
        assert_eq!(numbers(&standard_codecs(&["opus", "CN", "G722"])), [96, 9, 13, 101, 102]);
        assert_eq!(numbers(&standard_codecs(&["opus", "CN"])), [96, 101, 102], "another clock");
        assert!(standard_codecs(&["CN"]).is_empty());
    }

    #[test]
    fn configured_names_can_be_checked() {
        for (name, known) in [
            ("PCMU", true),
            ("g722", true),
            ("L16/8000", true),
            ("CN", true),
            ("CN/16000", false),
            ("L16/x", false),
            ("PCMU/16000", false),
            ("MP3", false),
            ("", false),
        ] {
            assert_eq!(is_known_codec(name), known, "{name}");
        }
    }
}
