use std::f64::consts::TAU;

use super::*;

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

fn mean_square(samples: &[i16]) -> f64 {
    samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len() as f64
}

/// dBm0 of a piece of sound.
fn dbm0(samples: &[i16]) -> f64 {
    10.0 * (2.0 * mean_square(samples) / amplitude(0.0).powi(2)).log10()
}

fn all() -> impl Iterator<Item = (Country, ToneKind)> {
    Country::ALL.into_iter().flat_map(|country| ToneKind::ALL.map(|kind| (country, kind)))
}

#[test]
fn every_step_of_every_country_has_its_frequencies_its_level_and_its_length() {
    for (country, kind) in all() {
        let cadence = cadence(country, kind);
        for rate in [8000, 16_000, 48_000] {
            let pcm = cadence.render(LEVEL_DBM0, rate);
            let ms = |ms: u32| (u64::from(ms) * u64::from(rate) / 1000) as usize;
            let mut start = 0;
            for step in cadence.steps {
                let name = format!("{country:?} {kind:?} {step:?} at {rate}");
                // The ramps are no part of it.
                let middle = &pcm[ms(start + 6)..ms(start + step.ms - 6)];
                let steady = &middle[..middle.len().min(ms(1000))];
                start += step.ms;
                if step.pitch == Pitch::Silence {
                    assert!(middle.iter().all(|sample| *sample == 0), "{name}");
                    continue;
                }
                let db = dbm0(steady);
                assert!((db - LEVEL_DBM0).abs() < 0.6, "{name}: {db} dBm0");
                let (Pitch::Single(hertz) | Pitch::Sum(hertz, _) | Pitch::Modulated(hertz, _)) =
                    step.pitch
                else {
                    continue;
                };
                let wrong = level(steady, hertz + 150.0, rate) / level(steady, hertz, rate);
                assert!(wrong < 0.2, "{name}: {wrong}");
            }
        }
    }
}

#[test]
fn two_frequencies_are_those_of_the_table() {
    let pcm = cadence(Country::Us, ToneKind::Busy).render(LEVEL_DBM0, 8000);
    let on = &pcm[400..3600];
    let each = amplitude(LEVEL_DBM0) / 2f64.sqrt();
    for hertz in [480.0, 620.0] {
        let level = level(on, hertz, 8000);
        assert!((level / each - 1.0).abs() < 0.02, "{hertz}: {level}");
    }
}

#[test]
fn loops_are_whole_frames_and_join_without_a_click() {
    for (country, kind) in all() {
        for rate in [8000, 16_000] {
            let pcm = cadence(country, kind).render(LEVEL_DBM0, rate);
            let name = format!("{country:?} {kind:?} at {rate}");
            assert_eq!(pcm.len() % (rate as usize / 50), 0, "{name}");
            // No step is steeper than the steepest frequency of that level.
            let steepest = TAU * 1800.0 / f64::from(rate) * amplitude(LEVEL_DBM0) * 1.7;
            let around = pcm.iter().zip(pcm.iter().cycle().skip(1));
            let step = around.map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(f64::from(step) < steepest, "{name}: {step} of {steepest}");
        }
    }
}

/// What a switched tone spills far away from its frequency, through a window of 60 ms around the
/// edge.
#[test]
fn switching_does_not_click() {
    let spill = |pcm: &[i16], edge: usize| {
        let around = (0..480).map(|n| {
            let window = 0.5 - 0.5 * (TAU * n as f64 / 480.0).cos();
            (f64::from(pcm[(edge + pcm.len() + n - 240) % pcm.len()]) * window) as i16
        });
        level(&around.collect::<Vec<_>>(), 2500.0, 8000) / amplitude(LEVEL_DBM0)
    };
    let pcm = cadence(Country::De, ToneKind::Busy).render(LEVEL_DBM0, 8000);
    let hard: Vec<_> = (0..7680)
        .map(|n| if n < 3840 { (5000.0 * (TAU * 0.053_125 * n as f64).cos()) as i16 } else { 0 })
        .collect();
    for edge in [0, 480 * 8] {
        assert!(spill(&pcm, edge) < 0.0005, "at {edge}: {}", spill(&pcm, edge));
        assert!(spill(&hard, edge) > 0.0015, "{} of a click", spill(&hard, edge));
    }
}

#[test]
fn a_cadence_played_in_pieces_is_the_one_played_at_once() {
    for (country, kind) in [(Country::Gb, ToneKind::Busy), (Country::De, ToneKind::Dial)] {
        let cadence = cadence(country, kind);
        let mut whole = vec![0; 24_000];
        ToneSource::new(cadence, LEVEL_DBM0, 8000).fill(&mut whole);
        let mut source = ToneSource::new(cadence, LEVEL_DBM0, 8000);
        let mut pieces = vec![0; 24_000];
        pieces.chunks_mut(77).for_each(|piece| assert!(source.fill(piece)));
        assert!(whole == pieces);
        let looped: Vec<_> =
            cadence.render(LEVEL_DBM0, 8000).into_iter().cycle().take(24_000).collect();
        let apart = whole.iter().zip(&looped).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(apart <= 1, "{country:?}: {apart}");
    }
}

#[test]
fn a_beep_sounds_once() {
    let mut source = ToneSource::new(cadence(Country::Fr, ToneKind::Beep), LEVEL_DBM0, 8000);
    let mut pcm = vec![1; 1600];
    assert!(source.fill(&mut pcm));
    assert!(dbm0(&pcm) > -11.0);
    assert!(!source.fill(&mut pcm));
    assert!(pcm.iter().all(|sample| *sample == 0));
}

#[test]
fn countries_are_known_by_their_codes() {
    for country in Country::ALL {
        assert_eq!(Country::from_code(&country.code().to_lowercase()), Some(country));
    }
    assert_eq!(Country::from_code("uk"), Some(Country::Gb));
    assert_eq!(Country::from_code("XX"), None);
    assert_eq!(serde_json::to_string(&Country::Ch).unwrap(), "\"CH\"");
    assert_eq!(serde_json::to_string(&ToneKind::CallWaiting).unwrap(), "\"call-waiting\"");
}
