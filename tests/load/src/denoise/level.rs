//! How loud speech is.

use super::measure::speech_frames;

/// ITU-T P.56 method B: time constant of the envelope, how long speech goes on after it has fallen,
/// and how far below the level the threshold is.
const SMOOTH_S: f64 = 0.03;
const HANG_OVER_S: f64 = 0.2;
const MARGIN_DB: f64 = 15.9;
/// Thresholds that are tried, by powers of two.
const THRESHOLDS: usize = 15;

/// The active level of speech by ITU-T P.56, method B: its root mean square while somebody speaks,
/// short pauses included. 0 when there is no speech.
pub fn active_level(samples: &[f64], rate_hz: usize) -> f64 {
    let rate = rate_hz as f64;
    let keep = (-1.0 / (rate * SMOOTH_S)).exp();
    let hang_over = (HANG_OVER_S * rate) as usize;
    let thresholds: [f64; THRESHOLDS] = std::array::from_fn(|n| (1 << n) as f64);
    let mut active = [0_usize; THRESHOLDS];
    let mut idle = [hang_over; THRESHOLDS];
    let (mut first, mut envelope, mut power) = (0.0, 0.0, 0.0);
    for x in samples {
        power += x * x;
        first = keep * first + (1.0 - keep) * x.abs();
        envelope = keep * envelope + (1.0 - keep) * first;
        for (n, threshold) in thresholds.iter().enumerate() {
            idle[n] = if envelope >= *threshold { 0 } else { idle[n] + 1 };
            active[n] += usize::from(idle[n] <= hang_over);
        }
    }
    let db = |power: f64| 10.0 * power.log10();
    // How far the level is above each threshold: the right one is in between two of them.
    let levels = active.iter().zip(&thresholds).take_while(|(active, _)| **active > 0);
    let levels: Vec<(f64, f64)> = levels
        .map(|(active, threshold)| {
            let level = db(power / *active as f64);
            (level, level - 2.0 * db(*threshold))
        })
        .collect();
    let found = levels.windows(2).find(|pair| pair[1].1 <= MARGIN_DB);
    let level = match (found, levels.first()) {
        (Some([(level, above), (next, next_above)]), _) if *above > MARGIN_DB => {
            let part = (above - MARGIN_DB) / (above - next_above);
            level + part * (next - level)
        }
        (_, Some((level, _))) => *level,
        (_, None) => return 0.0,
    };
    10.0_f64.powf(level / 20.0)
}

/// The root mean square of the frames that are less than 40 dB below the loudest.
pub fn loud_level(samples: &[f64], rate_hz: usize) -> f64 {
    let frame = rate_hz / 100;
    let speech = speech_frames(samples, rate_hz);
    let frames = samples.chunks_exact(frame).zip(&speech).filter(|(_, speech)| **speech);
    let (sum, count) = frames.fold((0.0, 0), |(sum, count), (samples, _)| {
        (sum + samples.iter().map(|x| x * x).sum::<f64>(), count + frame)
    });
    (sum / count.max(1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_do_not_count() {
        // A second of a tone, three of nothing, four times.
        let sample = |n: usize| {
            if (n / 8000).is_multiple_of(4) { (n as f64 * 0.7).sin() * 2000.0 } else { 0.0 }
        };
        let samples: Vec<f64> = (0..16 * 8000).map(sample).collect();
        let expected = 2000.0 / std::f64::consts::SQRT_2;
        let loud = loud_level(&samples, 8000);
        assert!((loud / expected - 1.0).abs() < 0.01, "{loud}");
        // The time after it has fallen counts: 0.2 s and more of 1.2.
        let active = 20.0 * (active_level(&samples, 8000) / expected).log10();
        assert!((-1.4..-0.7).contains(&active), "{active} dB");
    }

    #[test]
    fn silence_has_no_level() {
        assert!(active_level(&[0.0; 8000], 8000) < 1e-9);
    }
}
