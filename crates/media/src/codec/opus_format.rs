//! What the receiver of Opus packets asks of their sender: the `fmtp` of RFC 7587 §6.1.

use std::fmt;

use serde::{Deserialize, Serialize};

const BITRATES: (u32, u32) = (6000, 510_000);
const PLAYBACK_RATES: (u32, u32) = (8000, 48_000);

/// Parameters of one `a=fmtp` line. The default is the line that says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpusFormat {
    /// Highest rate the receiver can play, hertz, 8000–48000: nothing above half of it is coded.
    pub max_playback_rate: u32,
    /// Highest rate the sender captures (`sprop-maxcapturerate`), hertz, 8000–48000.
    pub max_capture_rate: u32,
    /// Most bits a second the receiver wants, 6000–510000.
    pub max_average_bitrate: Option<u32>,
    /// Whether the receiver wants a constant bit rate.
    pub cbr: bool,
    /// Whether the receiver uses forward error correction in the packets.
    pub fec: bool,
    /// Whether the receiver likes silence not to be sent.
    pub dtx: bool,
}

impl Default for OpusFormat {
    fn default() -> Self {
        Self {
            max_playback_rate: PLAYBACK_RATES.1,
            max_capture_rate: PLAYBACK_RATES.1,
            max_average_bitrate: None,
            cbr: false,
            fec: false,
            dtx: false,
        }
    }
}

impl OpusFormat {
    /// What we ask of peers: speech with forward error correction, mono.
    pub const OURS: Self = Self {
        max_playback_rate: PLAYBACK_RATES.1,
        max_capture_rate: PLAYBACK_RATES.1,
        max_average_bitrate: None,
        cbr: false,
        fec: true,
        dtx: false,
    };

    /// Reads the parameters after `a=fmtp:<pt> `. What is unknown is passed over, what is out of
    /// range is moved into it. `stereo` is not taken up: we send and play mono, which every
    /// receiver must accept (RFC 7587 §3.4).
    pub fn parse(parameters: &str) -> Self {
        let mut format = Self::default();
        for parameter in parameters.split(';') {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let (name, value) = (name.trim(), value.trim());
            let number = value.parse::<u32>().ok();
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            if let Some(rate) = number.filter(|_| is("maxplaybackrate")) {
                format.max_playback_rate = rate.clamp(PLAYBACK_RATES.0, PLAYBACK_RATES.1);
            } else if let Some(rate) = number.filter(|_| is("sprop-maxcapturerate")) {
                format.max_capture_rate = rate.clamp(PLAYBACK_RATES.0, PLAYBACK_RATES.1);
            } else if let Some(bits) = number.filter(|_| is("maxaveragebitrate")) {
                format.max_average_bitrate = Some(bits.clamp(BITRATES.0, BITRATES.1));
            } else if is("cbr") {
                format.cbr = number == Some(1);
            } else if is("useinbandfec") {
                format.fec = number == Some(1);
            } else if is("usedtx") {
                format.dtx = number == Some(1);
            }
        }
        format
    }
}

/// The parameters that are not their defaults, as in SDP; empty when there are none.
impl fmt::Display for OpusFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let default = Self::default();
        let mut separator = "";
        let mut write = |name: &str, value: u32, is_said: bool| {
            if !is_said {
                return Ok(());
            }
            write!(f, "{separator}{name}={value}")?;
            separator = ";";
            Ok(())
        };
        let playback = self.max_playback_rate;
        write("maxplaybackrate", playback, playback != default.max_playback_rate)?;
        let capture = self.max_capture_rate;
        write("sprop-maxcapturerate", capture, capture != default.max_capture_rate)?;
        let bitrate = self.max_average_bitrate;
        write("maxaveragebitrate", bitrate.unwrap_or(0), bitrate.is_some())?;
        write("cbr", 1, self.cbr)?;
        write("useinbandfec", 1, self.fec)?;
        write("usedtx", 1, self.dtx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_example_of_the_rfc() {
        let line = "maxplaybackrate=16000; sprop-maxcapturerate=16000;maxaveragebitrate=20000; \
                    stereo=1; useinbandfec=1; usedtx=0";
        let format = OpusFormat::parse(line);
        let expected = OpusFormat {
            max_playback_rate: 16_000,
            max_capture_rate: 16_000,
            max_average_bitrate: Some(20_000),
            cbr: false,
            fec: true,
            dtx: false,
        };
        assert_eq!(format, expected);
        let printed = "maxplaybackrate=16000;sprop-maxcapturerate=16000;maxaveragebitrate=20000;\
                       useinbandfec=1";
        assert_eq!(format.to_string(), printed);
    }

    #[test]
    fn what_is_printed_is_read_back() {
        for format in [
            OpusFormat::default(),
            OpusFormat::OURS,
            OpusFormat { cbr: true, dtx: true, ..OpusFormat::OURS },
            OpusFormat { max_average_bitrate: Some(6000), ..OpusFormat::default() },
        ] {
            assert_eq!(OpusFormat::parse(&format.to_string()), format);
        }
    }

    #[test]
    fn nonsense_is_moved_into_range_or_passed_over() {
        let read = OpusFormat::parse("maxplaybackrate=1;maxaveragebitrate=99999999;cbr=2;;=;x");
        assert_eq!((read.max_playback_rate, read.max_average_bitrate), (8000, Some(510_000)));
        assert!(!read.cbr);
        for line in ["", ";", "usedtx", "maxplaybackrate=-3", "maxaveragebitrate=99999999999"] {
            assert_eq!(OpusFormat::parse(line), OpusFormat::default(), "{line}");
        }
        assert!(OpusFormat::parse("UseInbandFEC = 1").fec);
    }
}
