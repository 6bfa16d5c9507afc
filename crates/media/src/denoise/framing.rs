//! Slices of any length cut into frames of 10 ms, without losing or inventing a sample.

/// A stage that works on whole frames, fed and read sample for sample.
///
/// Slices of whole frames pass without a delay. For others, output is held back by as little as
/// keeps every call served: a frame less the greatest common divisor of all lengths seen.
#[derive(Debug, Clone)]
pub(super) struct Framing {
    frame: usize,
    /// Greatest common divisor of a frame and every slice seen.
    divisor: usize,
    /// The beginning of the next frame.
    input: Box<[i16]>,
    filled: usize,
    /// Samples that wait to be read, fewer than two frames.
    output: Box<[i16]>,
    ready: usize,
    /// What was read last, to fill the gap with when the delay has to grow.
    last: i16,
}

impl Framing {
    /// Frames of `frame` samples, not 0.
    pub(super) fn new(frame: usize) -> Self {
        assert!(frame > 0, "a frame is not empty");
        Self {
            frame,
            divisor: frame,
            input: vec![0; frame].into(),
            filled: 0,
            output: vec![0; 2 * frame].into(),
            ready: 0,
            last: 0,
        }
    }

    /// Samples by which the output is late, on top of what the frames' stage adds.
    pub(super) fn delay(&self) -> usize {
        self.frame - self.divisor
    }

    /// Replaces `pcm` by what `each` makes of the frames it completes.
    pub(super) fn run(&mut self, pcm: &mut [i16], mut each: impl FnMut(&mut [i16])) {
        self.accept(pcm.len());
        if self.delay() == 0 {
            pcm.chunks_exact_mut(self.frame).for_each(each);
        } else {
            let (mut read, mut written) = (0, 0);
            while read < pcm.len() {
                read += self.take(&pcm[read..], &mut each);
                written += self.give(&mut pcm[written..read]);
            }
            debug_assert_eq!(written, pcm.len(), "the delay serves every slice");
        }
        self.last = pcm.last().copied().unwrap_or(self.last);
    }

    /// Lets the delay grow if slices of `len` samples need it.
    fn accept(&mut self, len: usize) {
        let divisor = greatest_common_divisor(self.divisor, len);
        let more = self.divisor - divisor;
        self.divisor = divisor;
        if more > 0 {
            self.output.copy_within(..self.ready, more);
            self.output[..more].fill(self.last);
            self.ready += more;
        }
    }

    /// Takes samples up to the end of a frame; returns how many.
    fn take(&mut self, pcm: &[i16], each: &mut impl FnMut(&mut [i16])) -> usize {
        let taken = pcm.len().min(self.frame - self.filled);
        self.input[self.filled..self.filled + taken].copy_from_slice(&pcm[..taken]);
        self.filled += taken;
        if self.filled == self.frame {
            self.filled = 0;
            each(&mut self.input);
            self.output[self.ready..self.ready + self.frame].copy_from_slice(&self.input);
            self.ready += self.frame;
        }
        taken
    }

    /// Gives what is ready and fits; returns how many samples.
    fn give(&mut self, pcm: &mut [i16]) -> usize {
        let given = pcm.len().min(self.ready);
        pcm[..given].copy_from_slice(&self.output[..given]);
        self.output.copy_within(given..self.ready, 0);
        self.ready -= given;
        given
    }
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Runs a ramp through in slices of the given lengths, each frame kept as it is.
    fn pass(frame: usize, lengths: &[usize]) -> (Framing, Vec<i16>) {
        let mut framing = Framing::new(frame);
        let mut out = Vec::new();
        let mut next = 1;
        for len in lengths {
            let mut pcm: Vec<i16> = (next..).take(*len).collect();
            next += *len as i16;
            framing.run(&mut pcm, |_| {});
            out.extend(pcm);
        }
        (framing, out)
    }

    #[test]
    fn whole_frames_pass_at_once() {
        let (framing, out) = pass(80, &[160, 80, 240]);
        assert_eq!(framing.delay(), 0);
        assert_eq!(out, (1..=480).collect::<Vec<i16>>());
    }

    #[test]
    fn half_frames_cost_half_a_frame() {
        let (framing, out) = pass(80, &[40; 6]);
        assert_eq!(framing.delay(), 40);
        assert_eq!(out[40..], (1..=200).collect::<Vec<i16>>());
    }

    #[test]
    fn a_change_of_length_repeats_a_sample_and_loses_none() {
        let (framing, out) = pass(80, &[80, 40, 40, 80]);
        assert_eq!(framing.delay(), 40);
        assert_eq!(out[..80], (1..=80).collect::<Vec<i16>>());
        assert_eq!(out[80..120], [80; 40]);
        assert_eq!(out[120..], (81..=200).collect::<Vec<i16>>());
    }

    proptest! {
        #[test]
        fn no_sample_is_lost_and_order_is_kept(
            lengths in proptest::collection::vec(0_usize..400, 1..60),
        ) {
            let (framing, out) = pass(80, &lengths);
            prop_assert!(framing.delay() < 80);
            let mut kept = out.clone();
            kept.dedup();
            kept.retain(|sample| *sample != 0);
            let wrong = kept.iter().zip(1..).find(|(kept, right)| **kept != *right);
            prop_assert!(wrong.is_none(), "{wrong:?}");
            // What is repeated makes up the delay; after a change some of it is still to come.
            let repeated = out.len() - kept.len();
            prop_assert!(repeated <= framing.delay(), "{repeated} of {}", framing.delay());
        }
    }
}
