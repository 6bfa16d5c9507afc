//! Decisions out of bytes. When the bytes are used up every decision is the first choice, so that a
//! shorter input is a simpler run.

/// Reads decisions.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        *first
    }

    pub(crate) fn number(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    pub(crate) fn word(&mut self) -> u32 {
        u32::from(self.number()) << 16 | u32::from(self.number())
    }

    /// True for one byte in `times`.
    pub(crate) fn one_in(&mut self, times: u8) -> bool {
        self.byte() % times == times - 1
    }

    /// An index below `len`, which must not be 0.
    pub(crate) fn below(&mut self, len: usize) -> usize {
        let wide = len > 256;
        usize::from(if wide { self.number() } else { u16::from(self.byte()) }) % len
    }

    /// One of these, which must not be none.
    pub(crate) fn pick<'b, T>(&mut self, from: &'b [T]) -> &'b T {
        &from[self.below(from.len())]
    }

    /// One of these, the last ones first; `None` of none.
    pub(crate) fn recent<'b, T>(&mut self, from: &'b [T]) -> Option<&'b T> {
        let back = self.below(from.len().max(1));
        from.len().checked_sub(1 + back).map(|at| &from[at])
    }

    /// At most `max` bytes, as many as the next one says.
    pub(crate) fn some(&mut self, max: usize) -> &'a [u8] {
        let len = self.below(max + 1).min(self.rest.len());
        let (some, rest) = self.rest.split_at(len);
        self.rest = rest;
        some
    }

    /// All that is left.
    pub(crate) fn all(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }
}
