//! Frames to spectra and back at a stream's own rate, and the network's bands in them.
//!
//! The network was trained at 48 kHz on windows of 20 ms. Windows of 20 ms at any rate have their
//! lines at the same 50 Hz, so a slow stream is not brought up to 48 kHz: it just has fewer lines.

use std::f64::consts::PI;
use std::sync::{Arc, LazyLock};

use realfft::num_complex::Complex32;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use super::network::BANDS;

/// Rate that the network was trained at, hertz.
pub(super) const NETWORK_HZ: usize = 48_000;
/// Samples of a window at the highest rate.
pub(super) const WINDOW_MAX: usize = 960;
/// Lines of a spectrum at the highest rate.
pub(super) const LINES_MAX: usize = WINDOW_MAX / 2 + 1;

/// Where the bands peak, in lines of 50 Hz: a band falls to nothing at its neighbours' peaks.
const PEAKS: [usize; BANDS] =
    [0, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 136, 160, 192, 240, 312, 400];

static SPECTRA: [LazyLock<Spectrum>; 4] = [
    LazyLock::new(|| Spectrum::new(6)),
    LazyLock::new(|| Spectrum::new(3)),
    LazyLock::new(|| Spectrum::new(2)),
    LazyLock::new(|| Spectrum::new(1)),
];

/// The tables of one rate, shared by all streams.
pub(super) struct Spectrum {
    /// How many times faster the network's rate is.
    pub(super) factor: usize,
    window: Box<[f32]>,
    /// How far each line is from its band's peak towards the next one's, 0 to 1.
    slopes: Box<[f32]>,
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
}

/// Room for one transform.
pub(super) struct Room<const WINDOW: usize> {
    time: [f32; WINDOW],
    scratch: [Complex32; WINDOW],
}

impl<const WINDOW: usize> Room<WINDOW> {
    pub(super) const fn new() -> Self {
        Self { time: [0.0; WINDOW], scratch: [Complex32::ZERO; WINDOW] }
    }
}

impl Spectrum {
    /// The tables for `rate_hz`, if it is one of [`super::RATES_HZ`].
    pub(super) fn of(rate_hz: u32) -> Option<&'static Self> {
        let at = super::RATES_HZ.iter().position(|rate| *rate == rate_hz)?;
        SPECTRA.get(at).map(|spectrum| &**spectrum)
    }

    fn new(factor: usize) -> Self {
        let window_len = WINDOW_MAX / factor;
        let half = window_len / 2;
        let window = (0..window_len).map(|n| {
            let n = n.min(window_len - 1 - n) as f64;
            let sine = (0.5 * PI * (n + 0.5) / half as f64).sin();
            (0.5 * PI * sine * sine).sin() as f32
        });
        let mut planner = RealFftPlanner::new();
        let (forward, inverse) =
            (planner.plan_fft_forward(window_len), planner.plan_fft_inverse(window_len));
        let scratch = forward.get_scratch_len().max(inverse.get_scratch_len());
        assert!(scratch <= window_len, "a transform of {window_len} needs {scratch}");
        Self { factor, window: window.collect(), slopes: slopes(half + 1), forward, inverse }
    }

    /// Samples of a window; every half of it, a frame, there is another one.
    pub(super) fn window(&self) -> usize {
        self.window.len()
    }

    /// Lines of a spectrum.
    pub(super) fn lines(&self) -> usize {
        self.window() / 2 + 1
    }

    /// The spectrum of a window's samples: a sine of amplitude 1 counts the same at every rate.
    #[inline(always)]
    pub(super) fn analyse<const WINDOW: usize>(
        &self,
        samples: &[f32],
        room: &mut Room<WINDOW>,
        spectrum: &mut [Complex32],
    ) {
        // The forward transform carries the whole scale, as RNNoise has it.
        let scale = 2.0 / self.window() as f32;
        for ((y, x), window) in room.time.iter_mut().zip(samples).zip(&*self.window) {
            *y = x * window * scale;
        }
        let scratch = &mut room.scratch[..self.forward.get_scratch_len()];
        let done = self.forward.process_with_scratch(&mut room.time, spectrum, scratch);
        debug_assert!(done.is_ok(), "the lengths are those of the plan");
    }

    /// Turns a spectrum back into samples: the first half completes what `overlap` kept of the
    /// window before, the second half is kept.
    #[inline(always)]
    pub(super) fn synthesise<const WINDOW: usize>(
        &self,
        spectrum: &mut [Complex32],
        room: &mut Room<WINDOW>,
        overlap: &mut [f32],
        output: &mut [f32],
    ) {
        // Rounding may leave something where a real signal has nothing.
        spectrum[0].im = 0.0;
        spectrum[WINDOW / 2].im = 0.0;
        let scratch = &mut room.scratch[..self.inverse.get_scratch_len()];
        let done = self.inverse.process_with_scratch(spectrum, &mut room.time, scratch);
        debug_assert!(done.is_ok(), "the lengths are those of the plan");
        let (first, second) = room.time.split_at(WINDOW / 2);
        let (rising, falling) = self.window.split_at(WINDOW / 2);
        for (((y, kept), x), window) in output.iter_mut().zip(&*overlap).zip(first).zip(rising) {
            *y = 0.5 * x * window + kept;
        }
        for ((kept, x), window) in overlap.iter_mut().zip(second).zip(falling) {
            *kept = 0.5 * x * window;
        }
    }

    /// Sums of what lines have, by band.
    #[inline(always)]
    pub(super) fn sum(&self, lines: &[f32]) -> [f32; BANDS] {
        let mut sums = [0.0; BANDS];
        for (band, peaks) in PEAKS.windows(2).enumerate() {
            let end = peaks[1].min(lines.len());
            if peaks[0] >= end {
                break;
            }
            let (mut all, mut upper) = (0.0, 0.0);
            for (x, slope) in lines[peaks[0]..end].iter().zip(&self.slopes[peaks[0]..end]) {
                all += x;
                upper += x * slope;
            }
            sums[band] += all - upper;
            sums[band + 1] += upper;
        }
        sums[0] *= 2.0;
        sums[BANDS - 1] *= 2.0;
        sums
    }

    /// Spreads what bands have over the lines: straight from peak to peak, nothing above the last.
    #[inline(always)]
    pub(super) fn spread(&self, bands: &[f32; BANDS], lines: &mut [f32]) {
        for ((peaks, ends), start) in PEAKS.windows(2).zip(bands.windows(2)).zip(PEAKS) {
            let end = peaks[1].min(lines.len());
            if start >= end {
                return;
            }
            for (y, slope) in lines[start..end].iter_mut().zip(&self.slopes[start..end]) {
                *y = ends[0] + slope * (ends[1] - ends[0]);
            }
        }
        if let Some(above) = lines.get_mut(PEAKS[BANDS - 1]..) {
            above.fill(0.0);
        }
    }
}

fn slopes(lines: usize) -> Box<[f32]> {
    let slope = |line: usize| {
        let next = PEAKS.iter().position(|peak| *peak > line)?;
        let (from, to) = (PEAKS[next - 1], PEAKS[next]);
        Some((line - from) as f32 / (to - from) as f32)
    };
    (0..lines).map(|line| slope(line).unwrap_or(0.0)).collect()
}
