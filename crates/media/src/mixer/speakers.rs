use super::{SEATS_MAX, Seats};

/// Who speaks already is displaced by who is louder by this factor (6 dB) only.
const HYSTERESIS: f32 = 2.0;

/// Who is heard when too many speak at once.
#[derive(Clone, Debug, Default)]
pub(super) struct Speakers {
    chosen: Seats,
}

impl Speakers {
    /// The loudest `most` of the `audible`, and all who are as loud as the share `spared` of the
    /// loudest; who was chosen before counts as 6 dB louder.
    pub(super) fn choose(
        &mut self,
        loudness: &[f32; SEATS_MAX],
        audible: Seats,
        most: usize,
        spared: f32,
    ) -> Seats {
        let mut left = audible;
        self.chosen &= audible;
        if audible.count_ones() as usize <= most {
            self.chosen = audible;
            return audible;
        }
        let weight = |seat: usize| {
            let is_chosen = self.chosen & (1 << seat) != 0;
            if is_chosen { loudness[seat] * HYSTERESIS } else { loudness[seat] }
        };
        let of = |seats: Seats| (0..SEATS_MAX).filter(move |seat| seats & (1 << seat) != 0);
        let loudest = of(audible).map(|seat| loudness[seat]).fold(0.0, f32::max);
        let is_spared = |seat: &usize| weight(*seat) >= spared * loudest;
        let mut next = of(audible).filter(is_spared).fold(0, |all: Seats, seat| all | 1 << seat);
        for _ in 0..most {
            let seats = of(left);
            // Of equals the first, so that the choice does not depend on the order of looking.
            let Some(loudest) = seats.reduce(|a, b| if weight(b) > weight(a) { b } else { a })
            else {
                break;
            };
            left &= !(1 << loudest);
            next |= 1 << loudest;
        }
        self.chosen = next;
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody is spared.
    const STRICT: f32 = f32::INFINITY;

    fn loudness(of: &[f32]) -> [f32; SEATS_MAX] {
        std::array::from_fn(|seat| of.get(seat).copied().unwrap_or(0.0))
    }

    #[test]
    fn all_are_heard_while_there_is_room() {
        let mut speakers = Speakers::default();
        assert_eq!(speakers.choose(&loudness(&[1.0, 9.0, 5.0]), 0b111, 4, STRICT), 0b111);
        assert_eq!(speakers.choose(&loudness(&[1.0, 9.0, 5.0]), 0b101, 1, STRICT), 0b100);
        assert_eq!(speakers.choose(&loudness(&[1.0, 9.0, 5.0]), 0, 1, STRICT), 0);
        assert_eq!(speakers.choose(&loudness(&[1.0]), 0b1, 0, STRICT), 0);
    }

    #[test]
    fn a_speaker_is_displaced_only_by_who_is_clearly_louder() {
        let mut speakers = Speakers::default();
        let row = [100.0, 80.0, 60.0, 50.0, 40.0];
        assert_eq!(speakers.choose(&loudness(&row), 0b1_1111, 4, STRICT), 0b0_1111);
        let row = [100.0, 80.0, 60.0, 50.0, 99.0];
        assert_eq!(speakers.choose(&loudness(&row), 0b1_1111, 4, STRICT), 0b0_1111);
        let row = [100.0, 80.0, 60.0, 50.0, 101.0];
        assert_eq!(speakers.choose(&loudness(&row), 0b1_1111, 4, STRICT), 0b1_0111);
        let row = [100.0, 80.0, 60.0, 190.0, 101.0];
        assert_eq!(
            speakers.choose(&loudness(&row), 0b1_1111, 4, STRICT),
            0b1_1011,
            "the quietest goes"
        );
    }

    #[test]
    fn who_is_nearly_as_loud_as_the_loudest_is_heard_however_many_there_are() {
        let mut speakers = Speakers::default();
        let row = [100.0, 9.0, 60.0, 11.0, 40.0];
        assert_eq!(speakers.choose(&loudness(&row), 0b1_1111, 2, 0.1), 0b1_1101);
        let row = [100.0, 9.0, 60.0, 6.0, 40.0];
        assert_eq!(speakers.choose(&loudness(&row), 0b1_1111, 2, 0.1), 0b1_1101, "it was heard");
        let row = [100.0, 9.0, 60.0, 4.0, 40.0];
        assert_eq!(speakers.choose(&loudness(&row), 0b1_1111, 2, 0.1), 0b1_0101);
        let row = [100.0, 1.0, 2.0, 1.0, 1.0];
        assert_eq!(speakers.choose(&loudness(&row), 0b1_1111, 2, 0.1), 0b0_0101, "the two");
    }
}
