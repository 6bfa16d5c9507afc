//! The recurrent network of RNNoise, in frames of 10 ms at 48 kHz.

use nnnoiseless::DenoiseState;

use super::polyphase::Polyphase;

/// Samples of a frame at the network's rate.
const FRAME: usize = DenoiseState::FRAME_SIZE;

/// One stream's suppressor at the stream's own rate.
pub(super) struct Suppressor {
    network: Box<DenoiseState<'static>>,
    polyphase: Polyphase,
    frame: usize,
    high: [f32; FRAME],
    clean: [f32; FRAME],
}

impl Suppressor {
    /// For frames of `frame` samples, a divisor of 480.
    pub(super) fn new(frame: usize) -> Self {
        Self {
            network: DenoiseState::new(),
            polyphase: Polyphase::new(frame, FRAME / frame),
            frame,
            high: [0.0; FRAME],
            clean: [0.0; FRAME],
        }
    }

    /// Samples by which the output is late: the network's overlap and the resampling.
    pub(super) fn delay(&self) -> usize {
        self.frame + self.polyphase.round_trip()
    }

    /// Cleans one frame.
    pub(super) fn run(&mut self, input: &[i16], output: &mut [f32]) {
        self.polyphase.up(input, &mut self.high);
        let _voice = self.network.process_frame(&mut self.clean, &self.high);
        self.polyphase.down(&self.clean, output);
    }
}
