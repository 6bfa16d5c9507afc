use std::f64::consts::TAU;
use std::io::Cursor;

use super::*;
use crate::codec::{Decoder, Format, SAMPLES_MAX};
use crate::command::Codec;

const WAV: RecordFormat =
    RecordFormat { container: Container::Wav, rate: 8000, pause: PausePolicy::Silence };

fn format(container: Container, rate: u32) -> RecordFormat {
    RecordFormat { container, rate, ..WAV }
}

/// 20 ms blocks of a tone on the left, another on the right.
fn blocks(rate: u32, count: u64) -> impl Iterator<Item = Block> {
    let frames = u64::from(rate / 50);
    let sine = move |hertz: f64, n: u64| {
        (8000.0 * (TAU * hertz * n as f64 / f64::from(rate)).sin()) as i16
    };
    (0..count).map(move |i| {
        let at = i * frames;
        let samples = (at..at + frames).flat_map(|n| [sine(400.0, n), sine(1000.0, n)]).collect();
        Block { at, samples }
    })
}

/// The file after each block, as a crash would leave it if the header is written every time.
fn written(format: RecordFormat, count: u64) -> (RecordingFile, Vec<u8>) {
    let mut bytes = Vec::new();
    let mut file = RecordingFile::new(format, 7, &mut bytes).unwrap();
    for block in blocks(format.rate, count) {
        assert_eq!(file.push(&block, &mut bytes), 0);
        patch(&file, &mut bytes);
    }
    (file, bytes)
}

fn patch(file: &RecordingFile, bytes: &mut [u8]) {
    if let Some(header) = file.header() {
        bytes[..header.len()].copy_from_slice(&header);
    }
}

fn level(samples: &[i16], hertz: f64, rate: u32) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let phase = TAU * hertz * n as f64 / f64::from(rate);
        re += f64::from(*sample) * phase.cos();
        im += f64::from(*sample) * phase.sin();
    }
    2.0 * f64::hypot(re, im) / samples.len() as f64
}

#[test]
fn a_wav_file_is_valid_after_every_block() {
    for rate in RecordFormat::RATES {
        let format = format(Container::Wav, rate);
        let mut bytes = Vec::new();
        let mut file = RecordingFile::new(format, 0, &mut bytes).unwrap();
        for (n, block) in blocks(rate, 10).enumerate() {
            file.push(&block, &mut bytes);
            patch(&file, &mut bytes);
            let reader = hound::WavReader::new(Cursor::new(&bytes)).unwrap();
            let spec = reader.spec();
            assert_eq!((spec.channels, spec.sample_rate, spec.bits_per_sample), (2, rate, 16));
            assert_eq!(u64::from(reader.duration()), block.at + block.samples.len() as u64 / 2);
            let samples: Vec<_> = reader.into_samples::<i16>().map(Result::unwrap).collect();
            assert_eq!(samples[samples.len() - block.samples.len()..], block.samples);
            assert_eq!(file.duration_ms(), 20 * (n as u64 + 1));
        }
    }
}

#[test]
fn a_file_beyond_4_gb_says_so() {
    let short = wav::header(8000, 1 << 29);
    assert_eq!(&short[..4], b"RIFF");
    let long = wav::header(8000, 1 << 30);
    assert_eq!(
        (&long[..4], &long[4..8], &long[12..16]),
        (&b"RF64"[..], &[0xff; 4][..], &b"ds64"[..])
    );
    let size = |at: usize| u64::from_le_bytes(long[at..at + 8].try_into().unwrap());
    assert_eq!((size(20), size(28), size(36)), ((1 << 32) + 72, 1 << 32, 1 << 30));
    assert_eq!(long[76..], [0xff; 4]);
    assert_eq!(wav::rate_of(&long), Some(8000));
}

#[test]
fn what_the_disk_did_not_take_is_silence_of_its_length() {
    let mut bytes = Vec::new();
    let mut file = RecordingFile::new(WAV, 0, &mut bytes).unwrap();
    file.push(&Block { at: 0, samples: vec![5; 320] }, &mut bytes);
    assert_eq!(file.push(&Block { at: 1000, samples: vec![6; 320] }, &mut bytes), 840);
    assert_eq!(file.fill_up_to(1200, &mut bytes), 40);
    patch(&file, &mut bytes);
    let reader = hound::WavReader::new(Cursor::new(&bytes)).unwrap();
    let samples: Vec<_> = reader.into_samples::<i16>().map(Result::unwrap).collect();
    let runs: Vec<_> = samples.chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).collect();
    assert_eq!(runs, [(5, 320), (0, 1680), (6, 320), (0, 80)]);
}

/// Packets of all pages, and the granule of the last.
fn packets(bytes: &[u8]) -> (Vec<Vec<u8>>, u64) {
    let (mut at, mut packets, mut granule) = (0, Vec::new(), 0);
    while at < bytes.len() {
        let page = ogg::page(&bytes[at..]).expect("a whole page with the right sum");
        granule = page.granule;
        let count = usize::from(bytes[at + 26]);
        let table = &bytes[at + 27..][..count];
        let mut body = &bytes[at + 27 + count..at + page.len];
        for lens in table.split_inclusive(|len| *len < 255) {
            let len = lens.iter().map(|len| usize::from(*len)).sum();
            packets.push(body[..len].to_vec());
            body = &body[len..];
        }
        at += page.len;
    }
    (packets, granule)
}

/// The two streams of a packet.
fn streams(packet: &[u8]) -> [Vec<u8>; 2] {
    let (len, from) = match packet[1] {
        len @ ..252 => (usize::from(len), 2),
        first => (usize::from(first) + 4 * usize::from(packet[2]), 3),
    };
    let left = [&packet[..1], &packet[from..from + len]].concat();
    [left, packet[from + len..].to_vec()]
}

#[test]
fn both_sides_of_an_opus_file_are_heard_apart() {
    for rate in RecordFormat::RATES {
        let (mut file, mut bytes) = written(format(Container::OggOpus, rate), 130);
        assert_eq!(file.duration_ms(), 2000, "two pages are written");
        file.finish(&mut bytes);
        assert_eq!(file.duration_ms(), 2600);
        assert_eq!(bytes[..4], *b"OggS");
        assert_eq!(bytes[5], 2, "the first page says so");
        let (packets, granule) = packets(&bytes);
        assert_eq!(&packets[0][..10], b"OpusHead\x01\x02");
        assert_eq!(&packets[0][18..], [1, 2, 0, 0, 1]);
        assert_eq!(&packets[1][..8], b"OpusTags");
        assert_eq!(granule, 312 + 130 * 960, "as long as the call");
        let opus = Format::new(Codec::Opus, 48_000).unwrap();
        let mut decoders = [(); 2].map(|()| Decoder::new(&opus).unwrap());
        let mut sides = [Vec::new(), Vec::new()];
        for packet in &packets[2..] {
            for ((stream, decoder), side) in
                streams(packet).iter().zip(&mut decoders).zip(&mut sides)
            {
                let mut buffer = [0; SAMPLES_MAX];
                let len = decoder.decode(stream, &mut buffer).unwrap();
                side.extend_from_slice(&buffer[..len]);
            }
        }
        assert!(sides[0].len() as u64 >= granule);
        let steady = sides.each_ref().map(|side| &side[48_000..96_000]);
        for (side, own, other) in [(0, 400.0, 1000.0), (1, 1000.0, 400.0)] {
            let (own, other) =
                (level(steady[side], own, 48_000), level(steady[side], other, 48_000));
            assert!((own - 8000.0).abs() < 800.0, "{rate} {side}: {own}");
            assert!(other < 80.0, "{rate} {side}: {other} of the other side");
        }
    }
}

/// As [`repair`] reads and then does it; `None` when there is nothing in it.
fn repaired(container: Container, bytes: &[u8]) -> Option<(Vec<u8>, u64)> {
    let read = |at: u64, len: usize| -> Result<Vec<u8>, ()> {
        let rest = bytes.get(at as usize..).unwrap_or_default();
        Ok(rest[..rest.len().min(len)].to_vec())
    };
    let repair = repair(container, bytes.len() as u64, read).unwrap()?;
    let mut fixed = bytes[..repair.len as usize].to_vec();
    let (at, patch) = (repair.patch.0 as usize, &repair.patch.1);
    fixed[at..at + patch.len()].copy_from_slice(patch);
    Some((fixed, repair.duration_ms))
}

#[test]
fn a_wav_file_cut_anywhere_is_repaired() {
    let (_, mut bytes) = written(WAV, 3);
    // The header of the moment before the last block.
    bytes[..80].copy_from_slice(&wav::header(8000, 320));
    for len in 0..bytes.len() {
        let frames = len.saturating_sub(80) / 4;
        let fixed = repaired(Container::Wav, &bytes[..len]);
        assert_eq!(fixed.is_some(), frames > 0, "{len}");
        if let Some((fixed, duration_ms)) = fixed {
            let reader = hound::WavReader::new(Cursor::new(&fixed)).unwrap();
            assert_eq!(reader.duration() as usize, frames);
            assert_eq!(duration_ms as usize, frames / 8);
        }
    }
    assert_eq!(repaired(Container::Wav, &[0; 4000]), None, "none of ours");
}

#[test]
fn an_opus_file_cut_anywhere_keeps_its_whole_pages() {
    let (mut file, mut bytes) = written(format(Container::OggOpus, 8000), 120);
    file.finish(&mut bytes);
    let mut longest = 0;
    for len in (0..bytes.len()).step_by(37) {
        if let Some((fixed, duration_ms)) = repaired(Container::OggOpus, &bytes[..len]) {
            let (packets, granule) = packets(&fixed);
            assert_eq!(duration_ms, granule / 48);
            assert!(packets.len() > 2 && duration_ms >= longest);
            longest = duration_ms;
            let last = fixed.windows(5).rposition(|bytes| bytes == b"OggS\0").unwrap();
            assert_eq!(fixed[last + 5] & 4, 4, "the last page says so");
        }
    }
    assert!((2000..2400).contains(&longest), "{longest}");
    // A page that was damaged ends it.
    let at = bytes.len() - 100;
    bytes[at] ^= 1;
    assert!(repaired(Container::OggOpus, &bytes).unwrap().1 <= 2000);
    assert_eq!(repaired(Container::OggOpus, &[]), None);
}

/// RFC 3533 §6: the sum that other implementations make.
#[test]
fn pages_have_the_sum_of_the_rfc() {
    let mut out = Vec::new();
    let mut pages = ogg::Pages::new(0x0102_0304);
    pages.packet(&[0xaa; 300], 960, &mut out);
    pages.flush(false, &mut out);
    // Bit by bit, from the definition.
    let mut zeroed = out.clone();
    zeroed[22..26].fill(0);
    let mut sum = 0u32;
    for byte in &zeroed {
        for bit in (0..8).rev() {
            let top = sum >> 31 ^ u32::from(byte >> bit & 1);
            sum = sum << 1 ^ if top == 1 { 0x04c1_1db7 } else { 0 };
        }
    }
    assert_eq!(out[22..26], sum.to_le_bytes());
    assert_eq!(out[26..29], [2, 255, 45]);
}
