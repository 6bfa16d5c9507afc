//! What is said, into recordings: a tap on what is heard anyway, which changes nothing on the wire
//! (INTEROP 19).

use base::Time;

use super::{Sink, Slot, Worker, stream};
use crate::record::{Block, BlockSink, RecordCommand, Recorder, RecordingId, UnsupportedRate};

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
        for (&recording, recorder) in &mut self.recorders {
            recorder.tick(now, &mut Blocks { recording, sink });
        }
    }

    fn stop(&mut self, now: Time, recording: RecordingId, sink: &mut impl Sink) -> Option<u64> {
        let mut recorder = self.recorders.remove(&recording)?;
        recorder.finish(now, &mut Blocks { recording, sink });
        for slot in 0..self.streams.len() {
            let of_it = stream(&mut self.streams, slot)
                .filter(|stream| stream.recording == Some(recording));
            if let Some(stream) = of_it {
                stream.recording = None;
                self.retune(slot);
            }
        }
        Some(recorder.frames())
    }
}
