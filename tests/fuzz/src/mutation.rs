//! Mutations of the corpus without coverage, for machines without libFuzzer: blind, but seeded.

use base::Rng;

/// Longest input, as libFuzzer's default.
const INPUT_MAX: usize = 4096;

/// Numbers and texts that parsers trip over.
const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\r\n\r\n",
    b"\r",
    b"\n",
    b"\0",
    b"\xff",
    b"\"",
    b"\\",
    b"<",
    b">",
    b";",
    b",",
    b":",
    b"@",
    b"[::1]",
    b"%00",
    b"%",
    b"=",
    b"*",
    b"-1",
    b"0",
    b"65535",
    b"65536",
    b"4294967295",
    b"4294967296",
    b"2147483648",
    b"99999999999999999999",
    b"SIP/2.0",
    b"z9hG4bK",
    b";tag=",
    b";lr",
    b"sip:",
    b"sips:",
    b"tel:",
    b"\xc3\xa9",
    b"\xf0\x9f\x93\x9e",
    b"\x80",
    b"\x7f",
];

/// An endless row of inputs.
#[derive(Debug)]
pub struct Mutator {
    corpus: Vec<Vec<u8>>,
    rng: Rng,
}

impl Mutator {
    /// Over a corpus, which may be empty.
    pub fn new(corpus: Vec<Vec<u8>>, seed: u64) -> Self {
        Self { corpus, rng: Rng::from_u64(seed) }
    }

    /// The next input.
    pub fn next_input(&mut self) -> Vec<u8> {
        let mut input = self.choose();
        for _ in 0..=self.rng.below(6) {
            self.mutate(&mut input);
        }
        input.truncate(INPUT_MAX);
        input
    }

    fn choose(&mut self) -> Vec<u8> {
        if self.corpus.is_empty() {
            return Vec::new();
        }
        let at = self.rng.below(self.corpus.len() as u64) as usize;
        self.corpus[at].clone()
    }

    /// A place in a text, its end included.
    fn place(&mut self, text: &[u8]) -> usize {
        self.rng.below(text.len() as u64 + 1) as usize
    }

    fn mutate(&mut self, input: &mut Vec<u8>) {
        let (one, other) = (self.place(input), self.place(input));
        let (start, end) = (one.min(other), one.max(other));
        match self.rng.below(8) {
            0 => input.truncate(start),
            1 => drop(input.drain(start..end.min(start + 32))),
            2 => input.extend_from_within(start..end.min(start + 256)),
            3 => {
                let word = WORDS[self.rng.below(WORDS.len() as u64) as usize];
                input.splice(start..start, word.iter().copied());
            }
            4 => {
                let donor = self.choose();
                let (from, len) = (self.place(&donor), self.rng.below(64) as usize);
                let piece = &donor[from..donor.len().min(from + len)];
                input.splice(start..start, piece.iter().copied());
            }
            5 => {
                if let Some(byte) = input.get_mut(start) {
                    *byte ^= 1 << self.rng.below(8);
                }
            }
            _ => {
                let new = self.rng.next_u32() as u8;
                match input.get_mut(start) {
                    Some(byte) => *byte = new,
                    None => input.push(new),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_row() {
        let corpus = vec![b"OPTIONS sip:a SIP/2.0\r\n".to_vec(), vec![]];
        let row = |seed| {
            let mut mutator = Mutator::new(corpus.clone(), seed);
            (0..50).map(|_| mutator.next_input()).collect::<Vec<_>>()
        };
        assert_eq!(row(1), row(1));
        assert_ne!(row(1), row(2));
        assert!(row(3).iter().all(|input| input.len() <= INPUT_MAX));
    }
}
