//! What is said, into recordings: a tap on what is heard anyway, which changes nothing on the wire
//! (INTEROP 19).

use std::panic::{AssertUnwindSafe, catch_unwind};

use base::Time;

use super::{Sink, Slot, Worker, stream};
use crate::command::MediaEvent;
use crate::record::{
    Block, BlockSink, RecordCommand, RecordEvent, Recorder, RecordingId, UnsupportedRate,
};

/// Hands the blocks of one recording on.
struct Blocks<'a, S> {
    recording: RecordingId,
    sink: &'a mut S,
}

impl<S: Sink> BlockSink for Blocks<'_, S> {
    fn take(&mut self, block: &mut Block) {
        self.sink.recorded(self.recording, block);
    }
}

impl Worker {
    /// Obeys; `slot` is where the stream of [`RecordCommand::Track`] is. When a recording ends, the
    /// number of its frames is returned.
    ///
    /// # Errors
    /// When a recording cannot have the rate it was to start with.
    pub fn record(
        &mut self,
        now: Time,
        command: &RecordCommand,
        slot: Option<Slot>,
        sink: &mut impl Sink,
    ) -> Result<Option<u64>, UnsupportedRate> {
        match *command {
            RecordCommand::Start { recording, name: _, format } => {
                self.recorders.insert(recording, Recorder::new(now, format)?);
            }
            RecordCommand::Track { recording, stream: id, side } => {
                let (Some(recorder), Some(slot)) = (self.recorders.get_mut(&recording), slot)
                else {
                    return Ok(None);
                };
                recorder.track(id, side);
                if let Some(stream) = stream(&mut self.streams, slot.0) {
                    stream.recording = side.map(|_| recording);
                }
                self.retune(slot.0);
            }
            RecordCommand::Pause { recording } => {
                self.recorders.get_mut(&recording).into_iter().for_each(|it| it.pause(now));
            }
            RecordCommand::Resume { recording } => {
                self.recorders.get_mut(&recording).into_iter().for_each(|it| it.resume(now));
            }
            RecordCommand::Stop { recording } => return Ok(self.stop(now, recording, sink)),
        }
        Ok(None)
    }

    pub(super) fn tick_recorders(&mut self, now: Time, sink: &mut impl Sink) {
        let mut faulty = None;
        for (&recording, recorder) in &mut self.recorders {
            let mut blocks = Blocks { recording, sink };
            if catch_unwind(AssertUnwindSafe(|| recorder.tick(now, &mut blocks))).is_err() {
                faulty = Some(recording);
            }
        }
        if let Some(recording) = faulty {
            self.break_off(recording, sink);
        }
    }

    /// A panic in a recording costs the recording, not its call. Of several the others follow with
    /// the next ticks.
    fn break_off(&mut self, recording: RecordingId, sink: &mut impl Sink) {
        let Some(recorder) = self.recorders.remove(&recording) else { return };
        self.forget(recording);
        let (file, duration_ms) = (None, recorder.duration_ms());
        let error = "internal error".to_owned();
        let event = RecordEvent::Failed { recording, file, duration_ms, error };
        sink.event(MediaEvent::Recording(event));
    }

    fn stop(&mut self, now: Time, recording: RecordingId, sink: &mut impl Sink) -> Option<u64> {
        let mut recorder = self.recorders.remove(&recording)?;
        recorder.finish(now, &mut Blocks { recording, sink });
        self.forget(recording);
        Some(recorder.frames())
    }

    fn forget(&mut self, recording: RecordingId) {
        for slot in 0..self.streams.len() {
            let of_it = stream(&mut self.streams, slot)
                .filter(|stream| stream.recording == Some(recording));
            if let Some(stream) = of_it {
                stream.recording = None;
                self.retune(slot);
            }
        }
    }
}
