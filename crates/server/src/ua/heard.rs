//! What a call sounded like: packets by RFC 3550, level and pitch of the samples.

use std::fmt;
use std::time::Duration;

use super::wav::{RATE, SECONDS_MAX};

/// RTP clock ticks a second of G.711.
const CLOCK: f64 = RATE as f64;
/// Samples of the spectrum: about a second, bins of 0.98 Hz.
const SPECTRUM: usize = 8192;
/// Below this, what was heard counts as silence, in dBFS.
const SILENCE_DBFS: f64 = -50.0;
/// A jump in sequence numbers beyond this is a new start, not loss (RFC 3550 A.1, MAX_DROPOUT).
const DROPOUT_MAX: u16 = 3000;

/// Everything that arrived on a call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    samples: Vec<i16>,
    packets: u64,
    lost: u64,
    late: u64,
    next_sequence: Option<u16>,
    /// RFC 3550 A.8, in clock ticks.
    jitter: f64,
    transit: Option<f64>,
}

impl Heard {
    /// Takes a packet's audio. `at` is its time of arrival since some start.
    pub(crate) fn packet(&mut self, at: Duration, sequence: u16, timestamp: u32, audio: &[i16]) {
        self.packets += 1;
        let transit = at.as_secs_f64() * CLOCK - f64::from(timestamp);
        if let Some(last) = self.transit.replace(transit) {
            self.jitter += ((transit - last).abs() - self.jitter) / 16.0;
        }
        let gap = self.next_sequence.map_or(0, |next| sequence.wrapping_sub(next));
        if gap > u16::MAX - DROPOUT_MAX {
            // Behind what we have: late or doubled. It was counted as lost before.
            self.late += 1;
            self.lost = self.lost.saturating_sub(1);
            return;
        }
        if gap <= DROPOUT_MAX {
            self.lost += u64::from(gap);
            // The recording keeps its clock: what is lost is silence.
            self.keep(&vec![0; usize::from(gap.min(50)) * audio.len()]);
        }
        self.next_sequence = Some(sequence.wrapping_add(1));
        self.keep(audio);
    }

    fn keep(&mut self, audio: &[i16]) {
        let room = (SECONDS_MAX * RATE as usize).saturating_sub(self.samples.len());
        self.samples.extend_from_slice(&audio[..audio.len().min(room)]);
    }

    /// The samples in order.
    pub(crate) fn samples(&self) -> &[i16] {
        &self.samples
    }

    /// Whether there was something to hear.
    pub(crate) fn is_audible(&self) -> bool {
        self.packets > 0 && Level::of(&self.samples).rms_dbfs > SILENCE_DBFS
    }

    fn loss_percent(&self) -> f64 {
        let expected = self.packets + self.lost;
        if expected == 0 { 0.0 } else { self.lost as f64 * 100.0 / expected as f64 }
    }
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.packets == 0 {
            return write!(f, "heard     nothing: no packet came");
        }
        let seconds = self.samples.len() as f64 / f64::from(RATE);
        let level = Level::of(&self.samples);
        let (loss, jitter) = (self.loss_percent(), self.jitter / CLOCK * 1000.0);
        writeln!(
            f,
            "heard     {seconds:.2} s{}",
            if self.is_audible() { "" } else { ", silence" }
        )?;
        writeln!(f, "level     {:.1} dBFS RMS, {:.1} dBFS peak", level.rms_dbfs, level.peak_dbfs)?;
        if self.is_audible() {
            writeln!(f, "frequency {:.0} Hz is the strongest", level.frequency_hz)?;
        }
        write!(
            f,
            "packets   {} received, {} lost ({loss:.2} %), {} late; jitter {jitter:.2} ms",
            self.packets, self.lost, self.late
        )
    }
}

/// Loudness and pitch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level {
    /// Of a full-scale square wave; a full-scale sine has −3 dB.
    pub(crate) rms_dbfs: f64,
    pub(crate) peak_dbfs: f64,
    /// The strongest one, in hertz.
    pub(crate) frequency_hz: f64,
}

impl Level {
    pub(crate) fn of(samples: &[i16]) -> Self {
        let square = |&sample: &i16| f64::from(sample) * f64::from(sample);
        let mean = samples.iter().map(square).sum::<f64>() / samples.len().max(1) as f64;
        let peak = samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0);
        Self {
            rms_dbfs: decibels(mean.sqrt()),
            peak_dbfs: decibels(f64::from(peak)),
            frequency_hz: strongest(samples),
        }
    }
}

fn decibels(amplitude: f64) -> f64 {
    // One step of 16 bits is −90.3 dBFS; silence reads −99.
    if amplitude < 0.5 { -99.0 } else { 20.0 * (amplitude / 32_768.0).log10() }
}

/// Frequency of the highest peak in the spectrum of the loudest stretch.
fn strongest(samples: &[i16]) -> f64 {
    let stretch = loudest(samples);
    let len = stretch.len().max(1) as f64;
    let mut spectrum = vec![(0.0, 0.0); SPECTRUM];
    for (n, (slot, &sample)) in spectrum.iter_mut().zip(stretch).enumerate() {
        // Hann, so that a tone beside a bin does not spread.
        let window = 0.5 - 0.5 * (std::f64::consts::TAU * n as f64 / len).cos();
        slot.0 = f64::from(sample) * window;
    }
    fourier(&mut spectrum);
    let power: Vec<f64> =
        spectrum[..SPECTRUM / 2].iter().map(|(re, im)| re * re + im * im).collect();
    // From 20 Hz on: what is below is an offset, not a tone.
    let lowest = 20 * SPECTRUM / RATE as usize;
    let peak = (lowest..power.len() - 1).max_by(|&a, &b| power[a].total_cmp(&power[b]));
    let peak = peak.unwrap_or(lowest);
    let (left, top, right) = (
        power[peak - 1].max(1e-9).ln(),
        power[peak].max(1e-9).ln(),
        power[peak + 1].max(1e-9).ln(),
    );
    let curve = left - 2.0 * top + right;
    let shift = if curve.abs() < 1e-12 { 0.0 } else { 0.5 * (left - right) / curve };
    (peak as f64 + shift.clamp(-0.5, 0.5)) * f64::from(RATE) / SPECTRUM as f64
}

fn loudest(samples: &[i16]) -> &[i16] {
    let energy = |part: &[i16]| part.iter().map(|&s| i64::from(s) * i64::from(s)).sum::<i64>();
    if samples.len() <= SPECTRUM {
        return samples;
    }
    samples.chunks_exact(SPECTRUM).max_by_key(|part| energy(part)).unwrap_or(samples)
}

/// Radix-2 in place; the length is a power of two.
fn fourier(values: &mut [(f64, f64)]) {
    let len = values.len();
    let bits = len.trailing_zeros();
    for at in 0..len {
        let mirrored = at.reverse_bits() >> (usize::BITS - bits);
        if mirrored > at {
            values.swap(at, mirrored);
        }
    }
    let mut size = 2;
    while size <= len {
        let (sin, cos) = (-std::f64::consts::TAU / size as f64).sin_cos();
        for block in values.chunks_exact_mut(size) {
            let (low, high) = block.split_at_mut(size / 2);
            let mut turn = (1.0, 0.0);
            for (a, b) in low.iter_mut().zip(high) {
                let turned = (b.0 * turn.0 - b.1 * turn.1, b.0 * turn.1 + b.1 * turn.0);
                *b = (a.0 - turned.0, a.1 - turned.1);
                *a = (a.0 + turned.0, a.1 + turned.1);
                turn = (turn.0 * cos - turn.1 * sin, turn.0 * sin + turn.1 * cos);
            }
        }
        size *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ua::wav::tone;

    fn at(packet: u32) -> Duration {
        Duration::from_millis(20) * packet
    }

    #[test]
    fn a_tone_is_measured_in_level_and_pitch() {
        for hertz in [100.0, 440.0, 1004.0, 3300.0] {
            let level = Level::of(&tone(hertz));
            assert!((level.frequency_hz - hertz).abs() < 1.0, "{hertz}: {level:?}");
            assert!((level.rms_dbfs + 15.05).abs() < 0.1, "{hertz}: {level:?}");
            assert!((level.peak_dbfs + 12.04).abs() < 0.2, "{hertz}: {level:?}");
        }
    }

    #[test]
    fn loss_is_counted_across_the_wrap_and_late_packets_are_taken_back() {
        let mut heard = Heard::default();
        let audio = [100; 160];
        for (packet, sequence) in [65_534u16, 65_535, 2, 1, 3].into_iter().enumerate() {
            let packet = u32::try_from(packet).unwrap();
            heard.packet(at(packet), sequence, packet * 160, &audio);
        }
        assert_eq!((heard.packets, heard.lost, heard.late), (5, 1, 1));
        // Six packets' worth of clock: four heard in time, two silent.
        assert_eq!(heard.samples().len(), 6 * 160);
    }

    #[test]
    fn a_restarted_sender_is_no_loss() {
        let mut heard = Heard::default();
        heard.packet(at(0), 100, 0, &[1; 160]);
        heard.packet(at(1), 30_000, 160, &[1; 160]);
        assert_eq!((heard.lost, heard.late), (0, 0));
    }

    #[test]
    fn an_even_stream_has_no_jitter_and_an_uneven_one_has() {
        let (mut even, mut uneven) = (Heard::default(), Heard::default());
        for packet in 0..200u16 {
            let n = u32::from(packet);
            even.packet(at(n), packet, n * 160, &[0; 160]);
            let late = Duration::from_millis(u64::from(n % 2) * 10);
            uneven.packet(at(n) + late, packet, n * 160, &[0; 160]);
        }
        assert!(even.jitter < 0.001);
        let ms = uneven.jitter / CLOCK * 1000.0;
        assert!((ms - 10.0).abs() < 0.1, "{ms}");
    }

    #[test]
    fn silence_and_nothing_are_told_apart() {
        assert!(Heard::default().to_string().contains("no packet came"));
        let mut heard = Heard::default();
        heard.packet(at(0), 1, 0, &[0; 160]);
        assert!(!heard.is_audible());
        assert!(heard.to_string().contains("silence"));
        heard.packet(at(1), 2, 160, &tone(440.0));
        assert!(heard.is_audible());
        assert!(heard.to_string().contains("440 Hz"));
    }
}
