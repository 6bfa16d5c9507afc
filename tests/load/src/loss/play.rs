//! Speech in G.711 packets of 20 ms of which some are lost, as it is heard.

use std::time::Duration;

use base::Time;
use media::codec::Format;
use media::codec::g711::linear_to_ulaw;
use media::command::Codec;
use media::jitter_buffer::{Content, Incoming};
use media::playout::Playout;
use media::plc::Plc;

use super::appendix_i::{Concealment, DELAY, FRAME};

/// Samples of a packet.
pub const PACKET: usize = 160;
/// Samples a second.
pub const RATE_HZ: usize = 8000;
/// How late a method may be, samples.
const LATE_MAX: usize = 600;
/// Samples for which a delay is looked for: 100 ms.
const STRETCH: usize = 800;

/// What makes up for losses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// ITU-T G.711 Appendix I.
    AppendixI,
    /// Ours, that knows nothing of the packet after the loss.
    OneSide,
    /// A source of a mix: ours, with one packet more waiting while losses are frequent.
    Playout,
}

impl Method {
    /// All, in the order of the tables.
    pub const ALL: [Self; 3] = [Self::AppendixI, Self::OneSide, Self::Playout];

    /// What is heard of `said`, at the same time: as if nothing were late.
    pub fn hear(self, said: &[i16], lost: &[bool]) -> Vec<i16> {
        match self {
            Self::AppendixI => appendix_i(said, lost),
            Self::OneSide => one_side(said, lost),
            Self::Playout => playout(said, lost),
        }
    }
}

fn appendix_i(said: &[i16], lost: &[bool]) -> Vec<i16> {
    let mut concealment = Concealment::default();
    let mut heard = Vec::with_capacity(said.len());
    for (packet, lost) in said.chunks_exact(PACKET).zip(lost) {
        for frame in packet.as_chunks::<FRAME>().0 {
            heard.extend(if *lost { concealment.lost() } else { concealment.good(frame) });
        }
    }
    heard.split_off(DELAY)
}

fn one_side(said: &[i16], lost: &[bool]) -> Vec<i16> {
    let mut plc = Plc::new(RATE_HZ as u32);
    let mut heard = Vec::with_capacity(said.len());
    for (packet, lost) in said.chunks_exact(PACKET).zip(lost) {
        let mut samples = packet.to_vec();
        match lost {
            true => plc.conceal(&heard, &mut samples),
            false => plc.recover(&mut samples),
        }
        heard.extend(samples);
    }
    heard
}

/// All is said twice, and heard the second time, when the delay is what the losses make it.
fn playout(said: &[i16], lost: &[bool]) -> Vec<i16> {
    let format = Format::new(Codec::Pcmu, RATE_HZ as u32).expect("G.711 has one form");
    let mut playout = Playout::new(format, RATE_HZ as u32, 1).expect("a rate of its own");
    let packets = said.chunks_exact(PACKET).zip(lost);
    let count = packets.len();
    let mut heard = Vec::with_capacity(2 * said.len() + LATE_MAX);
    for (number, (packet, lost)) in packets.cycle().take(2 * count).enumerate() {
        let now = Time::ZERO + Duration::from_millis(20 * number as u64);
        if !lost {
            let payload: Vec<u8> = packet.iter().map(|x| linear_to_ulaw(*x)).collect();
            playout.put(
                now,
                &Incoming {
                    run: 1,
                    sequence: 65_000 + number as u64,
                    timestamp: (number * PACKET) as u32,
                    content: Content::Audio,
                    payload: &payload,
                },
            );
        }
        let mut out = [0; PACKET];
        playout.pull(now + Duration::from_millis(5), &mut out);
        heard.extend(out);
    }
    heard.extend([0; LATE_MAX]);
    // What does not fill a packet is not sent.
    in_time(&said[..count * PACKET], &heard[count * PACKET..])
}

/// `heard` without its delay, which changes where a pitch period is taken out or put in: found
/// anew for every [`STRETCH`].
fn in_time(said: &[i16], heard: &[i16]) -> Vec<i16> {
    let mut out = Vec::with_capacity(said.len());
    let mut late = 0;
    for start in (0..said.len()).step_by(STRETCH) {
        let end = (start + STRETCH).min(said.len());
        // What is around it tells, too, so that what was made up does not find a place of its own.
        let around = start.saturating_sub(STRETCH)..(end + STRETCH).min(said.len());
        let likeness = |late: usize| {
            let heard = &heard[around.start + late..around.end + late];
            let pairs = said[around.clone()].iter().zip(heard);
            let product: f64 = pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            let power: f64 = heard.iter().map(|x| f64::from(*x).powi(2)).sum();
            product / power.sqrt().max(1.0)
        };
        let best = (0..LATE_MAX).max_by(|a, b| likeness(*a).total_cmp(&likeness(*b))).unwrap_or(0);
        if likeness(best) > 1.02 * likeness(late) {
            late = best;
        }
        out.extend_from_slice(&heard[start + late..end + late]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fill_a_packet_is_not_heard_by_any_of_them() {
        let said: Vec<i16> = (0..50 * PACKET + 41).map(|n| ((n * n) % 9001) as i16).collect();
        let lost = vec![false; 51];
        for method in Method::ALL {
            let heard = method.hear(&said, &lost);
            assert!(heard.len().abs_diff(50 * PACKET) <= DELAY, "{method:?}: {}", heard.len());
        }
    }
}
