use std::f64::consts::TAU;

use proptest::prelude::*;

use super::*;

const CODED: [(Codec, u32); 6] = [
    (Codec::Pcmu, 8000),
    (Codec::Pcma, 8000),
    (Codec::G722, 8000),
    (Codec::Opus, 48_000),
    (Codec::L16, 8000),
    (Codec::L16, 48_000),
];

fn tone(hertz: f64, amplitude: f64, rate: u32, len: usize) -> Vec<i16> {
    (0..len)
        .map(|n| (amplitude * (TAU * hertz * n as f64 / f64::from(rate)).sin()).round() as i16)
        .collect()
}

/// Amplitude of one frequency.
fn level(samples: &[i16], hertz: f64, rate: u32) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let phase = TAU * hertz * n as f64 / f64::from(rate);
        re += f64::from(*sample) * phase.cos();
        im += f64::from(*sample) * phase.sin();
    }
    2.0 * f64::hypot(re, im) / samples.len() as f64
}

/// Power beside one frequency, in dB below it.
fn distortion_db(samples: &[i16], hertz: f64, rate: u32) -> f64 {
    let power = samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len() as f64;
    let tone = level(samples, hertz, rate).powi(2) / 2.0;
    10.0 * ((power - tone).max(1e-9) / tone).log10()
}

fn rms(samples: &[i16]) -> f64 {
    (samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len() as f64).sqrt()
}

fn opus(format: OpusFormat, rate: u32) -> Format {
    Format { opus: format, ..Format::new(Codec::Opus, 48_000).unwrap() }.for_rate(rate)
}

/// The payloads of `pcm` in frames of 20 ms.
fn encode(encoder: &mut Encoder, format: &Format, pcm: &[i16]) -> Vec<Vec<u8>> {
    pcm.chunks_exact(format.samples_of_ms(20))
        .map(|frame| {
            let mut payload = [0; 4000];
            let len = encoder.encode(frame, &mut payload).unwrap();
            payload[..len].to_vec()
        })
        .collect()
}

fn decode(decoder: &mut Decoder, payload: &[u8]) -> Vec<i16> {
    let mut out = [0; SAMPLES_MAX];
    let len = decoder.decode(payload, &mut out).unwrap();
    out[..len].to_vec()
}

fn there_and_back(format: &Format, pcm: &[i16]) -> Vec<i16> {
    let mut encoder = Encoder::new(format, OpusSettings::default()).unwrap();
    let mut decoder = Decoder::new(format).unwrap();
    let payloads = encode(&mut encoder, format, pcm);
    payloads.iter().flat_map(|payload| decode(&mut decoder, payload)).collect()
}

#[test]
fn rates_are_those_of_the_codecs() {
    for (codec, clock, rate) in [
        (Codec::Pcmu, 8000, Some(8000)),
        (Codec::G722, 8000, Some(16_000)),
        (Codec::G722, 16_000, None),
        (Codec::Opus, 48_000, Some(48_000)),
        (Codec::Opus, 8000, None),
        (Codec::L16, 16_000, Some(16_000)),
        (Codec::L16, 44_100, None),
        (Codec::ComfortNoise, 8000, None),
        (Codec::Other, 8000, None),
    ] {
        assert_eq!(sample_rate(codec, clock), rate, "{codec:?} {clock}");
    }
    let g722 = Format::new(Codec::G722, 8000).unwrap();
    assert_eq!((g722.samples(160), g722.units(320), g722.samples_of_ms(20)), (320, 160, 320));
}

#[test]
fn opus_is_coded_at_the_rate_of_the_other_side() {
    let opus = Format::new(Codec::Opus, 48_000).unwrap();
    for (rate, own) in [(8000, 8000), (16_000, 16_000), (32_000, 48_000), (48_000, 48_000)] {
        assert_eq!(opus.for_rate(rate).sample_rate, own);
    }
    let pcmu = Format::new(Codec::Pcmu, 8000).unwrap();
    assert_eq!(pcmu.for_rate(16_000), pcmu);
}

#[test]
fn a_tone_keeps_its_level_in_every_codec() {
    for ((codec, clock), limit) in CODED.into_iter().zip([-35.0, -35.0, -28.0, -28.0, -75.0, -75.0])
    {
        let format = Format::new(codec, clock).unwrap();
        let rate = format.sample_rate;
        let out = there_and_back(&format, &tone(1020.0, 8000.0, rate, rate as usize));
        assert_eq!(out.len(), rate as usize, "{codec:?}");
        let steady = &out[rate as usize / 2..];
        let gain = 20.0 * (level(steady, 1020.0, rate) / 8000.0).log10();
        let noise = distortion_db(steady, 1020.0, rate);
        let tolerance = if codec == Codec::Opus { 0.5 } else { 0.1 };
        assert!(gain.abs() < tolerance, "{codec:?}: {gain} dB");
        assert!(noise < limit, "{codec:?}: {noise} dB");
    }
}

#[test]
fn silence_is_bit_exact() {
    for (codec, byte) in [(Codec::Pcmu, 0xff), (Codec::Pcma, 0xd5), (Codec::L16, 0)] {
        let format = Format::new(codec, 8000).unwrap();
        let mut encoder = Encoder::new(&format, OpusSettings::default()).unwrap();
        let payloads = encode(&mut encoder, &format, &[0; 160]);
        assert!(payloads[0].iter().all(|b| *b == byte), "{codec:?}: {payloads:02x?}");
    }
}

#[test]
fn every_rate_of_opus_carries_its_band() {
    for (rate, hertz) in [(8000, 3000.0), (16_000, 6500.0), (24_000, 10_000.0), (48_000, 11_000.0)]
    {
        let format = opus(OpusFormat::default(), rate);
        let out = there_and_back(&format, &tone(hertz, 8000.0, rate, rate as usize));
        let level = level(&out[rate as usize / 2..], hertz, rate);
        assert!((4000.0..11_000.0).contains(&level), "{rate}: {level}");
    }
}

#[test]
fn the_receiver_of_opus_bounds_band_and_bits() {
    let pcm: Vec<_> = {
        let (low, high) =
            (tone(700.0, 6000.0, 48_000, 48_000), tone(9000.0, 6000.0, 48_000, 48_000));
        low.iter().zip(high).map(|(a, b)| a + b).collect()
    };
    let narrow = OpusFormat { max_playback_rate: 8000, ..OpusFormat::default() };
    let out = there_and_back(&opus(narrow, 48_000), &pcm);
    assert!(level(&out[24_000..], 9000.0, 48_000) < 60.0, "nothing above 4 kHz");
    let little = OpusFormat { max_average_bitrate: Some(8000), cbr: true, ..OpusFormat::default() };
    let format = opus(little, 48_000);
    let mut encoder = Encoder::new(&format, OpusSettings::default()).unwrap();
    let bytes: usize = encode(&mut encoder, &format, &pcm).iter().map(Vec::len).sum();
    assert!((900..=1010).contains(&bytes), "{bytes} bytes a second at 8000 bit/s");
}

#[test]
fn opus_pauses_when_the_receiver_likes_it() {
    let format = opus(OpusFormat { dtx: true, ..OpusFormat::default() }, 16_000);
    let mut encoder = Encoder::new(&format, OpusSettings::default()).unwrap();
    let decoder = Decoder::new(&format).unwrap();
    let payloads = encode(&mut encoder, &format, &vec![0; 32_000]);
    let pauses = payloads.iter().filter(|payload| decoder.is_pause(payload)).count();
    assert!(pauses > 50, "{pauses} of {}", payloads.len());
    assert!(!Decoder::Pcmu.is_pause(&[0xff]));
}

#[test]
fn redundancy_of_the_next_packet_is_better_than_concealment() {
    let rate = 16_000;
    let format = opus(OpusFormat::OURS, rate);
    let settings = OpusSettings { expected_loss_percent: 30, ..OpusSettings::default() };
    let mut encoder = Encoder::new(&format, settings).unwrap();
    // A tone that glides, so that what is lost cannot be guessed.
    let pcm: Vec<_> = (0..2 * rate)
        .map(|n| {
            let t = f64::from(n) / f64::from(rate);
            (8000.0 * (TAU * (300.0 * t + 400.0 * t * t)).sin()) as i16
        })
        .collect();
    let payloads = encode(&mut encoder, &format, &pcm);
    let (mut whole, mut fec, mut plc) = [(); 3].map(|()| Decoder::new(&format).unwrap()).into();
    let mut error = [0.0; 2];
    for (n, payload) in payloads.iter().enumerate() {
        let right = decode(&mut whole, payload);
        let mut guesses = [[0; 320]; 2];
        if n % 10 == 5 {
            assert!(fec.decode_fec(&payloads[n + 1], &mut guesses[0]));
            assert!(plc.conceal(&mut guesses[1]));
            for (error, guess) in error.iter_mut().zip(&guesses) {
                let wrong: Vec<_> = right.iter().zip(guess).map(|(a, b)| a - b).collect();
                *error += rms(&wrong);
            }
        } else {
            decode(&mut fec, payload);
            decode(&mut plc, payload);
        }
    }
    assert!(error[0] < 0.7 * error[1], "{error:?}");
}

#[test]
fn whoever_makes_use_of_redundancy_gets_it_at_every_rate() {
    for rate in [8000, 16_000, 24_000, 48_000] {
        for (wish, is_repeated) in [(OpusFormat::OURS, true), (OpusFormat::default(), false)] {
            let format = opus(wish, rate);
            let mut encoder = Encoder::new(&format, OpusSettings::default()).unwrap();
            let said = crate::speech::speech(rate, 2 * rate as usize);
            let payloads = encode(&mut encoder, &format, &said);
            let decoder = Decoder::new(&format).unwrap();
            let repeating = payloads.iter().filter(|it| decoder.has_redundancy(it)).count();
            assert_eq!(repeating > 50, is_repeated, "{rate}: {repeating} of {}", payloads.len());
            assert!(is_repeated || repeating == 0, "{rate}: {repeating}");
        }
    }
}

#[test]
fn only_opus_conceals_by_itself_and_only_its_own_lengths() {
    let mut out = [1; 960];
    assert!(!Decoder::Pcmu.conceal(&mut out));
    assert!(!Decoder::Pcmu.decode_fec(&[0xff; 160], &mut out));
    let mut opus = Decoder::new(&opus(OpusFormat::default(), 16_000)).unwrap();
    assert!(opus.conceal(&mut out[..320]));
    for refused in [0, 1, 319] {
        assert!(!opus.conceal(&mut out[..refused]), "{refused}");
        assert!(!opus.decode_fec(&[0xff; 10], &mut out[..refused]), "{refused}");
    }
}

#[test]
fn what_is_too_long_is_refused() {
    let mut out = [0; 160];
    for (codec, clock) in CODED {
        let format = Format::new(codec, clock).unwrap();
        let mut decoder = Decoder::new(&format).unwrap();
        // 60 ms of Opus are 3 frames of config 1.
        let payload = if codec == Codec::Opus { vec![0x0b, 3, 1, 2, 3] } else { vec![0; 400] };
        assert_eq!(decoder.decode(&payload, &mut out), Err(CodecError::TooLong), "{codec:?}");
        assert_eq!(decoder.decode(&[], &mut out), Ok(0), "{codec:?}");
    }
    assert_eq!(Encoder::Pcmu.encode(&[0; 160], &mut [0; 159]), Err(CodecError::FrameLength));
    let format = Format::new(Codec::Opus, 48_000).unwrap();
    let mut encoder = Encoder::new(&format, OpusSettings::default()).unwrap();
    assert_eq!(encoder.encode(&[0; 161], &mut [0; 400]), Err(CodecError::FrameLength));
    assert_eq!(encoder.encode(&[], &mut [0; 400]), Err(CodecError::FrameLength));
    assert!(encoder.encode(&[0; 960], &mut []).is_err());
}

#[test]
fn codecs_may_move_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Decoder>();
    is_send::<Encoder>();
}

proptest! {
    #[test]
    fn no_payload_breaks_a_decoder(
        payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..400), 1..8),
        lost in proptest::collection::vec(any::<bool>(), 8),
        room in 0..SAMPLES_MAX,
    ) {
        let mut out = vec![0; room];
        for (codec, clock) in CODED {
            let mut decoder = Decoder::new(&Format::new(codec, clock).unwrap()).unwrap();
            for (payload, lost) in payloads.iter().zip(&lost) {
                if *lost {
                    decoder.decode_fec(payload, &mut out);
                    decoder.conceal(&mut out);
                }
                if let Ok(len) = decoder.decode(payload, &mut out) {
                    prop_assert!(len <= room);
                    prop_assert_eq!(decoder.samples(payload), Ok(len));
                }
                decoder.is_pause(payload);
            }
        }
    }

    #[test]
    fn linear_survives_bit_by_bit(pcm in proptest::collection::vec(any::<i16>(), 160)) {
        let format = Format::new(Codec::L16, 8000).unwrap();
        prop_assert_eq!(there_and_back(&format, &pcm), pcm);
    }
}
