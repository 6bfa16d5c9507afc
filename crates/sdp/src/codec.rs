//! Codecs of an RTP stream: `rtpmap`, `fmtp`, and the static payload types (RFC 3551 §6).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::parse::decimal;
use crate::session::{Attribute, Media};

/// Most codecs read from one stream; more are ignored.
pub const MAX_CODECS: usize = 64;
/// Longest `fmtp` value, bytes; a codec with a longer one is ignored.
pub const MAX_FMTP: usize = 1024;
/// Longest encoding name, bytes.
const MAX_NAME: usize = 32;
/// Highest clock rate believed, hertz.
const MAX_CLOCK_RATE: u32 = 384_000;

/// Spelling of the names we know; the peers' differs.
const NAMES: [&str; 18] = [
    "PCMU",
    "PCMA",
    "G722",
    "G729",
    "opus",
    "L16",
    "telephone-event",
    "CN",
    "GSM",
    "iLBC",
    "AMR",
    "AMR-WB",
    "G723",
    "G726-32",
    "G7221",
    "speex",
    "SILK",
    "EVS",
];

/// One codec of a stream and the payload-type number it has there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Codec {
    /// Payload-type number, 0–127.
    pub payload_type: u8,
    /// Encoding name in its usual spelling: `PCMU`, `opus`, `telephone-event`. Those we know are not allocated.
    pub name: Cow<'static, str>,
    /// RTP clock rate, hertz (G.722: 8000, RFC 3551 §4.5.2).
    pub clock_rate: u32,
    /// Channels, 1 when not written.
    pub channels: u8,
    /// Format parameters, as written.
    pub fmtp: Option<Box<str>>,
}

impl Codec {
    /// A codec; the name gets its usual spelling.
    pub fn new(payload_type: u8, name: &str, clock_rate: u32, channels: u8) -> Self {
        let known = NAMES.iter().find(|known| known.eq_ignore_ascii_case(name));
        let name = known.map_or_else(|| Cow::Owned(name.into()), |known| Cow::Borrowed(*known));
        // RFC 3551 §4.5.2: the clock of G.722 is 8000 by a historic error; some write the truth.
        let clock_rate = if name == "G722" { 8000 } else { clock_rate };
        Self { payload_type, name, clock_rate, channels, fmtp: None }
    }

    /// The codec with these format parameters.
    pub fn with_fmtp(self, fmtp: &str) -> Self {
        Self { fmtp: Some(fmtp.into()), ..self }
    }

    /// Whether it has this encoding name, in any case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Named telephone events, i.e. DTMF (RFC 4733).
    pub fn is_telephone_event(&self) -> bool {
        self.is("telephone-event")
    }

    /// Comfort noise: how it sounds where nobody speaks (RFC 3389).
    pub fn is_comfort_noise(&self) -> bool {
        self.is("CN")
    }

    /// Whether it carries speech by itself: not events, comfort noise, redundancy.
    pub fn is_audio(&self) -> bool {
        const NOT_AUDIO: [&str; 7] =
            ["telephone-event", "CN", "red", "ulpfec", "flexfec", "rtx", "tone"];
        !NOT_AUDIO.iter().any(|name| self.is(name))
    }

    /// Whether packets of one can be decoded as the other: name, clock and channels, and those
    /// parameters that change the payload's layout. The payload-type number does not matter.
    pub fn same_as(&self, other: &Self) -> bool {
        self.is(&other.name)
            && self.clock_rate == other.clock_rate
            && self.channels == other.channels
            && self.same_layout(other)
    }

    fn same_layout(&self, other: &Self) -> bool {
        let same = |key: &str, default: &str| {
            let of = |codec: &Self| codec.parameter(key).unwrap_or(default).to_ascii_lowercase();
            of(self) == of(other)
        };
        match &*self.name {
            // RFC 4867 §8.3.1: each of these alone changes the payload's layout.
            "AMR" | "AMR-WB" => {
                self.is_octet_aligned() == other.is_octet_aligned()
                    && same("crc", "0")
                    && same("robust-sorting", "0")
                    && self.parameter("interleaving").is_some()
                        == other.parameter("interleaving").is_some()
            }
            "iLBC" => same("mode", "30"),   // RFC 3952 §5
            "G7221" => same("bitrate", ""), // RFC 5577 §5
            _ => true,
        }
    }

    /// RFC 4867 §8.1: crc, robust sorting and interleaving imply octet alignment.
    fn is_octet_aligned(&self) -> bool {
        self.parameter("interleaving").is_some()
            || ["octet-align", "crc", "robust-sorting"]
                .into_iter()
                .any(|key| self.parameter(key) == Some("1"))
    }

    /// A value of the format parameters: `mode` of `mode=20; x=1`.
    pub fn parameter(&self, key: &str) -> Option<&str> {
        self.fmtp.as_deref()?.split(';').find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            name.trim().eq_ignore_ascii_case(key).then(|| value.trim())
        })
    }

    /// Its `rtpmap` and `fmtp` attributes. Static numbers have an `rtpmap` too: RFC 3264 §5.1
    /// recommends it.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = Attribute> {
        let Self { payload_type, name, clock_rate, channels, fmtp } = self;
        let mut map = format!("{payload_type} {name}/{clock_rate}");
        if *channels != 1 {
            map.push_str(&format!("/{channels}"));
        }
        let fmtp = fmtp.as_ref().map(|fmtp| format!("{payload_type} {fmtp}"));
        [Some(Attribute::new("rtpmap", map)), fmtp.map(|fmtp| Attribute::new("fmtp", fmtp))]
            .into_iter()
            .flatten()
    }
}

/// The codec a static payload-type number means (RFC 3551 §6); audio only.
pub(crate) fn static_codec(payload_type: u8) -> Option<Codec> {
    let (name, clock_rate, channels) = match payload_type {
        0 => ("PCMU", 8000, 1),
        3 => ("GSM", 8000, 1),
        4 => ("G723", 8000, 1),
        5 => ("DVI4", 8000, 1),
        6 => ("DVI4", 16000, 1),
        7 => ("LPC", 8000, 1),
        8 => ("PCMA", 8000, 1),
        9 => ("G722", 8000, 1),
        10 => ("L16", 44100, 2),
        11 => ("L16", 44100, 1),
        12 => ("QCELP", 8000, 1),
        13 => ("CN", 8000, 1),
        14 => ("MPA", 90000, 1),
        15 => ("G728", 8000, 1),
        16 => ("DVI4", 11025, 1),
        17 => ("DVI4", 22050, 1),
        18 => ("G729", 8000, 1),
        _ => return None,
    };
    Some(Codec::new(payload_type, name, clock_rate, channels))
}

/// The static number of a codec, if it has one.
pub(crate) fn static_number(codec: &Codec) -> Option<u8> {
    (0..=18).find(|pt| static_codec(*pt).is_some_and(|known| known.same_as(codec)))
}

/// The codecs of an RTP stream in its order. A number without a meaning is skipped: above 127,
/// doubled, or dynamic without a valid `rtpmap`, unless `ours` gives it one (an answer by our own
/// numbers may leave the `rtpmap` out).
pub(crate) fn codecs_of(media: &Media, ours: &[Codec]) -> Vec<Codec> {
    let maps = by_number(media, "rtpmap");
    let parameters = by_number(media, "fmtp");
    let mut codecs: Vec<Codec> = Vec::new();
    for format in &media.formats {
        let Some(number) = decimal::<u8>(format).filter(|n| *n < 128) else { continue };
        let index = usize::from(number);
        let codec = maps[index]
            .and_then(|map| codec_of(number, map))
            .or_else(|| static_codec(number))
            .or_else(|| ours.iter().find(|our| our.payload_type == number).cloned());
        let Some(mut codec) = codec else { continue };
        codec.fmtp = parameters[index].filter(|text| !text.is_empty()).map(Into::into);
        let too_long = codec.fmtp.as_ref().is_some_and(|fmtp| fmtp.len() > MAX_FMTP);
        if too_long || codecs.iter().any(|known| known.payload_type == number) {
            continue;
        }
        codecs.push(codec);
        if codecs.len() == MAX_CODECS {
            break;
        }
    }
    codecs
}

/// The values of `a=name:<number> <value>` by number; the first of a number counts.
fn by_number<'a>(media: &'a Media, name: &'static str) -> [Option<&'a str>; 128] {
    let mut values = [None; 128];
    for text in media.attributes_named(name) {
        let (number, value) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let Some(slot) = decimal::<usize>(number).and_then(|n| values.get_mut(n)) else { continue };
        slot.get_or_insert(value.trim());
    }
    values
}

/// `opus/48000/2`
fn codec_of(payload_type: u8, map: &str) -> Option<Codec> {
    let mut parts = map.split('/').map(str::trim);
    let name = parts.next().filter(|name| is_name(name))?;
    let clock_rate = decimal(parts.next()?).filter(|hz| (1..=MAX_CLOCK_RATE).contains(hz))?;
    let channels = match parts.next() {
        Some(channels) => decimal(channels).filter(|n| *n > 0)?,
        None => 1,
    };
    Some(Codec::new(payload_type, name, clock_rate, channels))
}

fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.+".contains(&b);
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(formats: &str, attributes: &str) -> Media {
        let text = format!("v=0\r\nm=audio 4000 RTP/AVP {formats}\r\n{attributes}");
        crate::parse(text.as_bytes()).unwrap().media.remove(0)
    }

    fn read(formats: &str, attributes: &str) -> Vec<String> {
        let show =
            |c: &Codec| format!("{} {}/{}/{}", c.payload_type, c.name, c.clock_rate, c.channels);
        codecs_of(&stream(formats, attributes), &[]).iter().map(show).collect()
    }

    #[test]
    fn numbers_get_their_meaning_from_rtpmap_or_rfc_3551() {
        for (formats, attributes, codecs) in [
            (
                "0 8 9 18",
                "",
                &["0 PCMU/8000/1", "8 PCMA/8000/1", "9 G722/8000/1", "18 G729/8000/1"][..],
            ),
            ("10 11 13", "", &["10 L16/44100/2", "11 L16/44100/1", "13 CN/8000/1"]),
            ("96", "a=rtpmap:96 OPUS/48000/2\r\n", &["96 opus/48000/2"]),
            ("96", "a=rtpmap: 96  opus / 48000 / 2 \r\n", &["96 opus/48000/2"]),
            ("101", "a=rtpmap:101 Telephone-Event/8000\r\n", &["101 telephone-event/8000/1"]),
            ("9", "a=rtpmap:9 G722/16000\r\n", &["9 G722/8000/1"]),
            ("97", "a=rtpmap:97 X-Unknown/16000\r\n", &["97 X-Unknown/16000/1"]),
            // Without a meaning, out of range, twice.
            ("96 97", "a=rtpmap:97 PCMU/8000\r\n", &["97 PCMU/8000/1"]),
            ("128 255 256 -1 x 0 0", "a=rtpmap:128 PCMU/8000\r\n", &["0 PCMU/8000/1"]),
            // Broken maps: a static number keeps its meaning.
            ("0 96", "a=rtpmap:0 PCMU/0\r\na=rtpmap:96 opus/0/2\r\n", &["0 PCMU/8000/1"]),
            ("96", "a=rtpmap:96 opus/99999999999/2\r\n", &[]),
            ("96", "a=rtpmap:96 opus/48000/0\r\n", &[]),
            ("96", "a=rtpmap:96 opus/48000/256\r\n", &[]),
            ("96", "a=rtpmap:96 o\u{7}s/48000\r\n", &[]),
            ("96", "a=rtpmap:96\r\na=rtpmap:96 PCMU/8000\r\n", &[]),
        ] {
            assert_eq!(read(formats, attributes), codecs, "{formats} {attributes}");
        }
    }

    #[test]
    fn an_answer_by_our_numbers_needs_no_rtpmap() {
        let ours =
            [Codec::new(111, "opus", 48_000, 2), Codec::new(101, "telephone-event", 8000, 1)];
        let codecs = codecs_of(&stream("111 101", "a=fmtp:101 0-15\r\n"), &ours);
        assert_eq!(codecs.len(), 2);
        assert!(codecs[0].same_as(&ours[0]));
        assert_eq!(codecs[1].fmtp.as_deref(), Some("0-15"));
    }

    #[test]
    fn codecs_and_their_parameters_are_bounded() {
        let long = format!("a=fmtp:0 {}\r\n", "x".repeat(MAX_FMTP + 1));
        assert!(read("0", &long).is_empty());
        let maps: String = (0..128).map(|n| format!("a=rtpmap:{n} X/8000\r\n")).collect();
        let numbers: Vec<String> = (0..128).map(|n: u8| n.to_string()).collect();
        assert_eq!(read(&numbers.join(" "), &maps).len(), MAX_CODECS);
    }

    #[test]
    fn codecs_are_the_same_when_one_can_decode_the_other() {
        let codec = |name: &str, fmtp: &str| Codec::new(96, name, 8000, 1).with_fmtp(fmtp);
        for (a, b, same) in [
            (codec("PCMU", ""), codec("pcmu", "x=1"), true),
            (codec("PCMU", ""), codec("PCMA", ""), false),
            (codec("opus", "useinbandfec=1"), codec("opus", "stereo=1"), true),
            (codec("G729", "annexb=no"), codec("G729", "annexb=yes"), true),
            (codec("telephone-event", "0-15"), codec("telephone-event", "0-16"), true),
            (codec("AMR", "octet-align=1"), codec("AMR", ""), false),
            (codec("AMR", "octet-align=0; mode-set=7"), codec("AMR", ""), true),
            (codec("AMR", "crc=1"), codec("AMR", "octet-align=1; crc=1"), true),
            (codec("AMR", "octet-align=1; robust-sorting=1"), codec("AMR", "octet-align=1"), false),
            (codec("AMR-WB", "interleaving=30"), codec("AMR-WB", "octet-align=1"), false),
            (codec("iLBC", "mode=20"), codec("iLBC", "mode=30"), false),
            (codec("iLBC", ""), codec("ilbc", "MODE=30"), true),
            (codec("G7221", "bitrate=24000"), codec("G7221", "bitrate=32000"), false),
            (Codec::new(0, "L16", 8000, 1), Codec::new(0, "L16", 16_000, 1), false),
            (Codec::new(0, "L16", 8000, 1), Codec::new(0, "L16", 8000, 2), false),
        ] {
            assert_eq!(a.same_as(&b), same, "{a:?} {b:?}");
            assert_eq!(b.same_as(&a), same, "{b:?} {a:?}");
        }
    }

    #[test]
    fn static_codecs_know_their_number() {
        for number in (0..=18).filter(|n| static_codec(*n).is_some()) {
            assert_eq!(static_codec(number).as_ref().and_then(static_number), Some(number));
        }
        assert_eq!(static_number(&Codec::new(96, "opus", 48_000, 2)), None);
        assert_eq!(static_number(&Codec::new(99, "g729", 8000, 1)), Some(18));
    }
}
