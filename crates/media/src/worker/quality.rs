//! How good each leg sounds, in both directions: rated once a second by what comes, and with each
//! report of the peer by what reaches it.

use base::Time;

use super::Sink;
use crate::command::{Codec, MediaEvent};
use crate::playout::{DELAY_MS_MAX, PlayoutStats};
use crate::quality::{Conditions, Counters, Direction, Limits, Monitor, Summary};
use crate::rtcp::{AboutUs, Incoming};
use crate::stream::Stream;
use crate::xr::{self, VoipMetrics};

/// Length of packets while nobody has said another, milliseconds.
const PACKET_MS: u8 = 20;

/// Watch over both directions of one stream.
pub(crate) struct Watch {
    from_peer: Monitor,
    to_peer: Monitor,
    /// Score of the worst second of what comes.
    worst_mos: Option<f64>,
    /// What the peer's first report said: highest sequence number, and losses.
    first: Option<(u32, i32)>,
    /// Packets that had reached it by its last report, and those lost.
    counted: (u64, u64),
    /// Loss to be prepared for, per cent.
    expected_loss: u8,
}

impl Default for Watch {
    fn default() -> Self {
        let monitor = || Monitor::new(Limits::default());
        Self {
            from_peer: monitor(),
            to_peer: monitor(),
            worst_mos: None,
            first: None,
            counted: (0, 0),
            expected_loss: 0,
        }
    }
}

impl Watch {
    /// Takes what has reached the peer and what has not, in all: what it loses is expected at once,
    /// and for some reports after it has ended.
    fn expect(&mut self, received: u64, lost: u64) {
        let (received_before, lost_before) = std::mem::replace(&mut self.counted, (received, lost));
        let lost = lost.saturating_sub(lost_before);
        let sent = lost + received.saturating_sub(received_before);
        let percent = (100 * lost).checked_div(sent).unwrap_or(0).min(100) as u8;
        self.expected_loss = percent.max(self.expected_loss - self.expected_loss.div_ceil(4));
    }
}

impl Stream {
    /// Rates what came in the last second.
    pub(super) fn rate(&mut self, now: Time, sink: &mut impl Sink) {
        let counters = Counters {
            codec: self.stats.codec,
            received: self.reception.received() - self.reception.discarded(),
            lost: self.reception.lost() + self.reception.discarded(),
            burst_ratio: self.reception.losses(false).burst_ratio,
            delay_ms: self.delay_from_peer(),
        };
        let watch = &mut self.watch;
        let change = watch.from_peer.observe(now, &counters);
        let rating = watch.from_peer.rating();
        let mos = rating.map(|rating| rating.mos);
        watch.worst_mos = watch.worst_mos.into_iter().chain(mos).reduce(f64::min);
        self.stats.rating = rating;
        if let Some(change) = change {
            let direction = Direction::FromPeer;
            sink.event(MediaEvent::Quality { stream: self.id, direction, change });
        }
    }

    /// Takes note of what the peer reports about what we send.
    pub(super) fn take_report(
        &mut self,
        now: Time,
        ntp: u64,
        incoming: &Incoming,
        sink: &mut impl Sink,
    ) {
        self.stats.peer_metrics = incoming.metrics.or(self.stats.peer_metrics);
        let Some(about_us) = incoming.about_us else { return };
        let sent = self.sent_payload_audio();
        let clock_rate = sent.map_or(8000, |(_, clock_rate)| clock_rate);
        let jitter_ms = f64::from(about_us.jitter) * 1000.0 / f64::from(clock_rate);
        let stats = &mut self.stats;
        stats.remote_lost = Some(about_us.lost);
        stats.remote_jitter_ms = Some(jitter_ms);
        stats.round_trip_ms = about_us.round_trip_ms(ntp).or(stats.round_trip_ms);
        let (received, lost) = self.counted_by_peer(&about_us);
        let counters = Counters {
            codec: sent.map(|(codec, _)| codec),
            received,
            lost,
            burst_ratio: 0.0,
            delay_ms: Conditions::delay(self.stats.round_trip_ms, jitter_ms, None),
        };
        self.watch.expect(received, lost);
        let loss = self.expected_loss();
        if let Some(mouth) = &mut self.mouth {
            mouth.expect_loss(loss);
        }
        let change = self.watch.to_peer.observe(now, &counters);
        self.stats.remote_rating = self.watch.to_peer.rating();
        if let Some(change) = change {
            let direction = Direction::ToPeer;
            sink.event(MediaEvent::Quality { stream: self.id, direction, change });
        }
    }

    /// How much of what we send the peer is expected to lose, per cent.
    pub(crate) fn expected_loss(&self) -> u8 {
        self.watch.expected_loss
    }

    /// Packets of ours that the peer got and missed since its first report; never more than were
    /// sent, whatever it says.
    fn counted_by_peer(&mut self, about_us: &AboutUs) -> (u64, u64) {
        let (highest, before) = *self.watch.first.get_or_insert((about_us.highest, about_us.lost));
        let expected = u64::from(about_us.highest.wrapping_sub(highest));
        let expected = expected.min(self.sender.packets());
        let lost = about_us.lost.saturating_sub(before).max(0);
        let lost = u64::from(lost.unsigned_abs()).min(expected);
        (expected - lost, lost)
    }

    /// What a peer that asked is told of how it sounds to us (RFC 3611 §4.7).
    pub(super) fn metrics(&self) -> Option<VoipMetrics> {
        let about = self.reception.ssrc().filter(|_| self.config.voip_metrics)?;
        let losses = self.reception.losses(false);
        let rating = self.summary(false).map(|summary| summary.rating);
        let metrics = VoipMetrics::of(about, &losses, self.packet_ms(), rating);
        let (lost, discarded) = (self.reception.lost(), self.reception.discarded());
        let all = lost + self.reception.received();
        let share = |part: u64| (256 * part).checked_div(all).unwrap_or(0).min(255) as u8;
        let ms = |ms: f64| ms.round().clamp(0.0, 65_535.0) as u16;
        let metrics = VoipMetrics {
            loss_rate: share(lost),
            discard_rate: share(discarded),
            round_trip_ms: ms(self.stats.round_trip_ms.unwrap_or(0.0)),
            ..metrics
        };
        let cleaning = self.cleaning_ms();
        let Some(playout) = self.playout() else {
            // Those who hear it have the buffer, and conceal; but what is cleaned is whole before.
            let rx_config = if cleaning > 0.0 { xr::CONCEALS } else { 0 };
            return Some(VoipMetrics { rx_config, end_system_ms: ms(cleaning), ..metrics });
        };
        let buffer = f64::from(playout.delay_ms);
        let most = ms(DELAY_MS_MAX as f64);
        Some(VoipMetrics {
            rx_config: xr::CONCEALS | xr::ADAPTS,
            end_system_ms: ms(f64::from(self.packet_ms()) + buffer + cleaning),
            buffer_ms: [ms(buffer), most, most],
            ..metrics
        })
    }

    /// How the peer sounded over its whole time; `None` while nothing has come.
    pub(crate) fn summary(&self, is_over: bool) -> Option<Summary> {
        let codec = self.stats.codec?;
        let losses = self.reception.losses(is_over);
        let loss_percent = 100.0 * losses.loss;
        let rating = Conditions {
            codec: Some(codec),
            loss_percent,
            burst_ratio: losses.burst_ratio,
            delay_ms: self.delay_from_peer(),
        }
        .rating();
        let ms = |packets: f64| packets * f64::from(self.packet_ms());
        Some(Summary {
            rating,
            worst_mos: self.watch.worst_mos.unwrap_or(rating.mos).min(rating.mos),
            loss_percent,
            burst_density: losses.burst_density,
            burst_ms: ms(losses.burst_packets),
            gap_density: losses.gap_density,
            gap_ms: ms(losses.gap_packets),
        })
    }

    fn delay_from_peer(&self) -> f64 {
        let buffer_ms = self.playout().map(|playout| f64::from(playout.delay_ms));
        let jitter_ms = self.reception.jitter_ms();
        Conditions::delay(self.stats.round_trip_ms, jitter_ms, buffer_ms) + self.cleaning_ms()
    }

    /// The jitter buffer of what the peer says, when it is heard in a mix.
    fn playout(&self) -> Option<PlayoutStats> {
        self.said.as_ref()?.stats()
    }

    /// How late the removal of noise is, milliseconds.
    fn cleaning_ms(&self) -> f64 {
        self.ear.as_ref().map_or(0.0, |ear| ear.delay_ms())
    }

    fn packet_ms(&self) -> u8 {
        Some(self.config.ptime_ms).filter(|ms| *ms > 0).unwrap_or(PACKET_MS)
    }

    /// The codec preferred for what we send, and its clock.
    fn sent_payload_audio(&self) -> Option<(Codec, u32)> {
        let audio = self.config.payloads.iter().find(|payload| payload.codec.is_audio())?;
        Some((audio.codec, audio.clock_rate))
    }
}
