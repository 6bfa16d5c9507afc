/// Samples of one source: those played last, and behind them those to be played.
#[derive(Clone, Debug)]
pub(super) struct Line {
    samples: Box<[i16]>,
    /// Samples kept after they were played.
    history: usize,
    /// The first sample to be played.
    head: usize,
    /// One after the last.
    end: usize,
}

impl Line {
    /// Keeps `history` samples, and holds up to `pending`. The history is silence at first.
    pub(super) fn new(history: usize, pending: usize) -> Self {
        let samples = vec![0; 2 * history + pending].into();
        Self { samples, history, head: history, end: history }
    }

    /// Samples to be played.
    pub(super) fn pending(&self) -> usize {
        self.end - self.head
    }

    /// The first `len` samples to be played; there must be as many.
    pub(super) fn front(&self, len: usize) -> &[i16] {
        &self.samples[self.head..self.head + len]
    }

    /// Counts the first `len` samples as played.
    pub(super) fn advance(&mut self, len: usize) {
        self.head = (self.head + len).min(self.end);
    }

    /// Everything known so far, newest last, and room for `len` samples behind it; less when the
    /// line is full.
    pub(super) fn room(&mut self, len: usize) -> (&[i16], &mut [i16]) {
        if self.end + len > self.samples.len() {
            let start = self.head - self.history;
            self.samples.copy_within(start..self.end, 0);
            self.head -= start;
            self.end -= start;
        }
        let last = (self.end + len).min(self.samples.len());
        let (known, room) = self.samples.split_at_mut(self.end);
        (known, &mut room[..last - self.end])
    }

    /// Counts the first `len` samples of the room as to be played.
    pub(super) fn push(&mut self, len: usize) {
        self.end = (self.end + len).min(self.samples.len());
    }

    /// The samples to be played, to be made shorter by `shorten`, which returns by how much.
    pub(super) fn shorten(&mut self, shorten: impl FnOnce(&mut [i16]) -> usize) -> usize {
        let less = shorten(&mut self.samples[self.head..self.end]);
        self.end -= less;
        less
    }

    /// All samples, to be made longer by up to `most` at the place where those to be played begin.
    /// `lengthen` gets the samples with room behind them, that place, and how many are known.
    pub(super) fn lengthen(
        &mut self,
        most: usize,
        lengthen: impl FnOnce(&mut [i16], usize, usize) -> usize,
    ) -> usize {
        let room = self.room(most).1.len();
        let more = lengthen(&mut self.samples[..self.end + room], self.head, self.end);
        self.end += more;
        more
    }
}
