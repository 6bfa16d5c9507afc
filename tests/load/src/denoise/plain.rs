//! nnnoiseless as it comes, for comparison: up to 48 kHz, through it and down again.

use std::time::Duration;

use media::resampler::Resampler;
use nnnoiseless::DenoiseState;

/// What the plain crate makes of `noisy`, and by how many samples it is late.
pub fn clean(noisy: &[i16], rate_hz: usize) -> Option<(Vec<i16>, usize)> {
    let rate = rate_hz as u32;
    let (mut up, mut down) = (Resampler::new(rate, 48_000)?, Resampler::new(48_000, rate)?);
    let mut state = DenoiseState::new();
    let (mut high, mut output) = ([0; DenoiseState::FRAME_SIZE], [0.0; DenoiseState::FRAME_SIZE]);
    let mut cleaned = Vec::new();
    for frame in noisy.chunks_exact(rate_hz / 100) {
        let len = up.process(frame, &mut high);
        let input: Vec<f32> = high[..len].iter().map(|x| f32::from(*x)).collect();
        state.process_frame(&mut output, &input);
        let samples = output.map(|x| x.round() as i16);
        let mut low = vec![0; frame.len()];
        down.process(&samples, &mut low);
        cleaned.extend(low);
    }
    let late: Duration = up.delay() + down.delay() + Duration::from_millis(10);
    Some((cleaned, (late.as_secs_f64() * rate_hz as f64).round() as usize))
}
