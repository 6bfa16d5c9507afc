//! How legs sound: the figures of their streams, and what is told when one turns bad or well again.

use base::Time;
use call::LegId;
use call::record::LegQuality;
use media::command::StreamStats;
use media::quality::{Direction, QualityChange};

use super::Core;
use crate::api::{QualityData, QualityDirection};
use crate::io::{Event, Output};

impl Core {
    /// How a leg has sounded so far, at the pace of its reports; `None` before the first.
    pub fn quality_of(&self, leg: LegId) -> Option<LegQuality> {
        self.legs.get(&leg)?.quality
    }

    /// Figures of a live stream have come.
    pub(super) fn measured(&mut self, leg: LegId, stats: &StreamStats) {
        if let Some(leg) = self.legs.get_mut(&leg) {
            leg.quality = figures(stats);
            leg.jitter_ms = stats.jitter_ms;
        }
    }

    /// A leg sounds bad, or well again.
    pub(super) fn quality_changed(
        &self,
        now: Time,
        leg: LegId,
        direction: Direction,
        change: QualityChange,
        out: &mut Vec<Output>,
    ) {
        let Some(this) = self.legs.get(&leg) else { return };
        let (is_degraded, rating) = match change {
            QualityChange::Degraded(rating) => (true, rating),
            QualityChange::Recovered(rating) => (false, rating),
        };
        let (call, party) = (this.call(), this.party().name(&self.config).to_owned());
        let quality = QualityData {
            leg_id: leg.0.to_string(),
            party: party.clone(),
            direction: match direction {
                Direction::FromPeer => QualityDirection::FromPeer,
                Direction::ToPeer => QualityDirection::ToPeer,
            },
            degraded: is_degraded,
            mos: (rating.mos * 100.0).round() / 100.0,
            figures: this.quality,
        };
        let state = self.calls.get(&call);
        let who = state.and_then(|state| state.call.leg(leg)).map(|leg| leg.of);
        out.push(Output::Event(Event::Quality {
            call,
            leg,
            party,
            direction,
            is_degraded,
            mos: rating.mos,
            figures: this.quality.map(Box::new),
        }));
        self.tell_quality(now, call, who, quality, out);
    }
}

/// What a record keeps of a stream's figures; `None` when nothing was heard of the peer.
pub(super) fn figures(stats: &StreamStats) -> Option<LegQuality> {
    let summary = stats.summary?;
    let own_score = stats.peer_metrics.and_then(|metrics| metrics.mos_cq);
    let by_reports = stats.remote_rating.map(|rating| rating.mos as f32);
    Some(LegQuality {
        mos: summary.rating.mos as f32,
        mos_worst: summary.worst_mos as f32,
        r_factor: summary.rating.r as f32,
        loss_percent: summary.loss_percent as f32,
        burst_density: summary.burst_density as f32,
        burst_ms: summary.burst_ms as u32,
        gap_density: summary.gap_density as f32,
        gap_ms: summary.gap_ms as u32,
        round_trip_ms: stats.round_trip_ms.map(|ms| ms as f32),
        remote_lost: stats.remote_lost,
        remote_jitter_ms: stats.remote_jitter_ms.map(|ms| ms as f32),
        remote_mos: own_score.map(|tenths| f32::from(tenths) / 10.0).or(by_reports),
    })
}

#[cfg(test)]
mod tests {
    use media::quality::{Rating, Summary};
    use media::xr::VoipMetrics;

    use super::*;

    #[test]
    fn the_peers_own_score_counts_before_ours_and_silence_has_none() {
        assert_eq!(figures(&StreamStats::default()), None);
        let remote = Rating { mos: 3.9, ..Rating::default() };
        let stats = StreamStats {
            summary: Some(Summary { worst_mos: 2.5, burst_ms: 140.7, ..Summary::default() }),
            remote_rating: Some(remote),
            ..StreamStats::default()
        };
        let by_reports = figures(&stats).unwrap();
        assert_eq!((by_reports.remote_mos, by_reports.burst_ms), (Some(3.9), 140));
        let told = VoipMetrics { mos_cq: Some(31), ..VoipMetrics::default() };
        let told = figures(&StreamStats { peer_metrics: Some(told), ..stats }).unwrap();
        assert_eq!((told.remote_mos, told.mos_worst), (Some(3.1), 2.5));
    }
}
