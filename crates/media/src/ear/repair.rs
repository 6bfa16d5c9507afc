//! What stands for lost packets before noise is removed: the remover's windows reach over a loss, and
//! would make a click of the step in it.

use crate::codec::Format;
use crate::plc::Plc;

/// Longest loss that is made up for, milliseconds: beyond it nothing of what was said is left.
const LOSS_MS_MAX: usize = 60;

/// Makes up for what is lost of one codec's packets.
pub(super) struct Repair {
    plc: Plc,
    /// What was said last, newest last.
    past: Box<[i16]>,
    longest: usize,
}

impl Repair {
    /// Allocates; nothing after it does.
    pub(super) fn new(format: &Format) -> Self {
        let plc = Plc::new(format.sample_rate);
        let past = vec![0; plc.history_len()].into();
        Self { plc, past, longest: format.samples_of_ms(LOSS_MS_MAX) }
    }

    /// Whether so much can be made up for.
    pub(super) fn can(&self, lost: usize) -> bool {
        (1..=self.longest).contains(&lost)
    }

    /// Takes note of what was said.
    pub(super) fn hear(&mut self, pcm: &[i16]) {
        let len = pcm.len().min(self.past.len());
        self.past.copy_within(len.., 0);
        let newest = self.past.len() - len;
        self.past[newest..].copy_from_slice(&pcm[pcm.len() - len..]);
    }

    /// Fills `lost`, behind which `fresh` comes.
    pub(super) fn bridge(&mut self, fresh: &[i16], lost: &mut [i16]) {
        self.plc.bridge(&self.past, fresh, lost);
    }
}
