//! What one listener hears: the hearing plan's words for one stream.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::StreamId;

/// Streams that one listener hears at most: eight participants of a call, heard by a supervisor.
pub const SOURCES_MAX: usize = 8;

/// What a listener hears.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hear {
    /// Nothing is sent to it (RTCP goes on).
    #[default]
    Nothing,
    /// What the peer of another stream sends.
    Stream(StreamId),
    /// Music on hold.
    Music,
    /// Digital silence, packet by packet.
    Silence,
    /// Several at once, mixed. Nobody in it who is not open is missed; who opens later is heard.
    Mix(Sources),
    /// A call progress tone of the workers' country, from its beginning.
    Tone(CallTone),
}

/// What a network tells by a tone while there is nobody to talk to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallTone {
    /// The called phone rings.
    Ringback,
    /// The called line is in use.
    Busy,
    /// There is no way to it: congestion.
    Congestion,
}

impl CallTone {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ringback, Self::Busy, Self::Congestion];
}

/// A sound of ours that is mixed with streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Beside {
    /// Music on hold.
    Music,
    /// A call progress tone.
    Tone(CallTone),
}

/// A set of streams, at most [`SOURCES_MAX`], in ascending order; and a sound beside them where
/// the plan says so.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sources {
    /// The first `len`, ascending; the others are 0, so that equal sets are equal.
    streams: [StreamId; SOURCES_MAX],
    len: u8,
    beside: Option<Beside>,
}

impl Default for Sources {
    fn default() -> Self {
        Self { streams: [StreamId(0); SOURCES_MAX], len: 0, beside: None }
    }
}

impl Sources {
    /// Adds a stream; false when there are [`SOURCES_MAX`] others already.
    pub fn insert(&mut self, stream: StreamId) -> bool {
        let Err(at) = self.streams().binary_search(&stream) else { return true };
        let len = usize::from(self.len);
        if len == SOURCES_MAX {
            return false;
        }
        self.streams.copy_within(at..len, at + 1);
        self.streams[at] = stream;
        self.len += 1;
        true
    }

    /// The same with a sound of ours beside the streams, or without.
    pub const fn beside(self, beside: Option<Beside>) -> Self {
        Self { beside, ..self }
    }

    /// The sound beside the streams.
    pub const fn sound(&self) -> Option<Beside> {
        self.beside
    }

    /// The streams, ascending.
    pub fn streams(&self) -> &[StreamId] {
        &self.streams[..usize::from(self.len)]
    }

    /// The streams, ascending.
    pub fn iter(&self) -> impl Iterator<Item = StreamId> + '_ {
        self.streams().iter().copied()
    }

    /// Whether a stream is heard.
    pub fn contains(&self, stream: StreamId) -> bool {
        self.streams().binary_search(&stream).is_ok()
    }

    /// How many streams there are.
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Whether nobody is heard, nor a sound.
    pub fn is_empty(&self) -> bool {
        self.len == 0 && self.beside.is_none()
    }
}

/// Streams beyond [`SOURCES_MAX`] are left out: of many, those given first are heard.
impl FromIterator<StreamId> for Sources {
    fn from_iter<I: IntoIterator<Item = StreamId>>(streams: I) -> Self {
        let mut sources = Self::default();
        for stream in streams {
            sources.insert(stream);
        }
        sources
    }
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut set = f.debug_set();
        set.entries(self.streams());
        set.entries(self.beside);
        set.finish()
    }
}

/// As it is written: the streams as a list.
#[derive(Serialize, Deserialize)]
struct Written {
    streams: Vec<StreamId>,
    beside: Option<Beside>,
}

impl Serialize for Sources {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Written { streams: self.streams().to_vec(), beside: self.beside }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Sources {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Written { streams, beside } = Written::deserialize(deserializer)?;
        Ok(streams.into_iter().collect::<Self>().beside(beside))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ids: &[u64]) -> Sources {
        ids.iter().copied().map(StreamId).collect()
    }

    #[test]
    fn sets_are_equal_whatever_the_order() {
        assert_eq!(of(&[3, 1, 2, 3]), of(&[1, 2, 3]));
        assert_eq!(of(&[3, 1, 2]).streams(), [StreamId(1), StreamId(2), StreamId(3)]);
        assert_ne!(of(&[1]), of(&[1, 2]));
        assert_ne!(of(&[1]), of(&[1]).beside(Some(Beside::Music)));
        assert!(of(&[]).is_empty() && !of(&[]).beside(Some(Beside::Music)).is_empty());
        assert!(of(&[7, 9]).contains(StreamId(9)) && !of(&[7, 9]).contains(StreamId(8)));
    }

    #[test]
    fn there_are_eight_at_most() {
        let mut full = of(&[10, 20, 30, 40, 50, 60, 70, 80, 90]);
        assert_eq!((full.len(), full.contains(StreamId(90))), (SOURCES_MAX, false));
        assert!(!full.insert(StreamId(15)));
        assert!(full.insert(StreamId(20)), "is there");
    }

    #[test]
    fn a_plan_is_read_as_it_was_written() {
        for sources in [of(&[5, 4]), of(&[]).beside(Some(Beside::Tone(CallTone::Busy)))] {
            let text = serde_json::to_string(&Hear::Mix(sources)).unwrap();
            assert_eq!(serde_json::from_str::<Hear>(&text).unwrap(), Hear::Mix(sources), "{text}");
        }
        let text = serde_json::to_string(&Hear::Mix(of(&[5, 4]))).unwrap();
        assert_eq!(text, r#"{"Mix":{"streams":[4,5],"beside":null}}"#);
    }
}
