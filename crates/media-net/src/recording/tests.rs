use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use media::record::{Container, PausePolicy};

use super::disk::{Disk, DiskFile};
use super::*;

const ID: RecordingId = RecordingId(1);
const PATIENCE: Duration = Duration::from_secs(20);

fn format(container: Container) -> RecordFormat {
    RecordFormat { container, rate: 8000, pause: PausePolicy::Silence }
}

/// An empty directory of this test's own.
struct Place(PathBuf);

impl Place {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("hookflash-{}-{test}", std::process::id()));
        assert!(!path.exists());
        Self(path)
    }

    fn config(&self) -> RecordingConfig {
        RecordingConfig { directory: self.0.clone(), queue: 64 }
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn start(&self) -> (Recordings, Receiver<RecordEvent>) {
        let (tell, told) = channel();
        (Recordings::start(self.config(), move |event| tell.send(event).unwrap()).unwrap(), told)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn next(told: &Receiver<RecordEvent>) -> RecordEvent {
    told.recv_timeout(PATIENCE).unwrap()
}

/// A second of sound.
fn second(sink: &mut RecordingSink, at: u64, level: i16) {
    let mut block = Block { at: at * 8000, samples: vec![level; 16_000] };
    sink.take(&mut block);
    assert!(block.samples.is_empty());
}

/// Sample by sample; both sides have the same here.
fn wav(path: &Path) -> Vec<i16> {
    let reader = hound::WavReader::open(path).unwrap();
    assert_eq!((reader.spec().channels, reader.spec().sample_rate), (2, 8000));
    reader.into_samples().map(Result::unwrap).collect()
}

#[test]
fn k1_a_recording_has_its_name_when_it_is_complete() {
    let place = Place::new("complete");
    let (recordings, told) = place.start();
    let mut sink = recordings.queue().start(ID, "call-1".to_owned(), format(Container::Wav));
    second(&mut sink, 0, 100);
    second(&mut sink, 1, 200);
    assert_eq!(next(&told), RecordEvent::Started { recording: ID });
    assert_eq!(place.names(), ["call-1.wav.part"]);
    sink.stop(16_000);
    let file = "call-1.wav".to_owned();
    let bytes = 80 + 64_000;
    assert_eq!(
        next(&told),
        RecordEvent::Finished { recording: ID, file, duration_ms: 2000, bytes }
    );
    assert_eq!(place.names(), ["call-1.wav"]);
    let samples = wav(&place.0.join("call-1.wav"));
    assert_eq!((samples.len(), samples[0], samples[31_999]), (32_000, 100, 200));
}

#[test]
fn opus_is_recorded_too() {
    let place = Place::new("opus");
    let (recordings, told) = place.start();
    let mut sink = recordings.queue().start(ID, "call".to_owned(), format(Container::OggOpus));
    second(&mut sink, 0, 100);
    sink.stop(8000);
    assert_eq!(next(&told), RecordEvent::Started { recording: ID });
    let RecordEvent::Finished { file, duration_ms, .. } = next(&told) else { panic!() };
    assert_eq!((&*file, duration_ms), ("call.opus", 1000));
    assert_eq!(fs::read(place.0.join(file)).unwrap()[..4], *b"OggS");
}

#[test]
fn two_recordings_are_two_files_and_the_end_of_the_server_finishes_both() {
    let place = Place::new("two");
    let (recordings, told) = place.start();
    let queue = recordings.queue();
    for n in 0..2 {
        let name = format!("call-{n}");
        let mut sink = queue.start(RecordingId(n), name, format(Container::Wav));
        second(&mut sink, 0, n as i16);
    }
    drop(recordings);
    assert_eq!(place.names(), ["call-0.wav", "call-1.wav"]);
    assert_eq!(wav(&place.0.join("call-1.wav")), [1; 16_000]);
    let finished = told.iter().filter(|event| matches!(event, RecordEvent::Finished { .. }));
    assert_eq!(finished.count(), 2);
}

#[test]
fn a_name_that_is_taken_or_leads_elsewhere_is_refused() {
    let place = Place::new("names");
    let (recordings, told) = place.start();
    fs::write(place.0.join("old.wav"), b"precious").unwrap();
    for name in ["old", "../old", "a/b", ""] {
        let mut sink = recordings.queue().start(ID, name.to_owned(), format(Container::Wav));
        second(&mut sink, 0, 1);
        sink.stop(8000);
        let event = next(&told);
        assert!(matches!(event, RecordEvent::Failed { file: None, .. }), "{name}: {event:?}");
    }
    assert_eq!(place.names(), ["old.wav"]);
    assert_eq!(fs::read(place.0.join("old.wav")).unwrap(), b"precious");
}

/// ATTACKS 30: kill -9 in the middle of a recording.
#[test]
fn k1_a_killed_server_leaves_a_file_that_plays_and_is_completed_at_the_next_start() {
    const CHILD: &str = "HOOKFLASH_TEST_RECORDING";
    if let Some(directory) = std::env::var_os(CHILD) {
        let config = RecordingConfig { directory: directory.into(), queue: 64 };
        let recordings = Recordings::start(config, |_| {}).unwrap();
        let queue = recordings.queue();
        let mut wav = queue.start(ID, "wav".to_owned(), format(Container::Wav));
        let mut opus = queue.start(RecordingId(2), "opus".to_owned(), format(Container::OggOpus));
        for at in 0.. {
            second(&mut wav, at, 77);
            second(&mut opus, at, 77);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    let place = Place::new("killed");
    fs::create_dir(&place.0).unwrap();
    let name = "recording::tests::\
                k1_a_killed_server_leaves_a_file_that_plays_and_is_completed_at_the_next_start";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, &place.0)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let len = |name: &str| fs::metadata(place.0.join(name)).map_or(0, |meta| meta.len());
    let begun = std::time::Instant::now();
    while len("wav.wav.part") < 200_000 || len("opus.opus.part") < 2000 {
        assert!(begun.elapsed() < PATIENCE, "the child records");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // As it lies there it plays.
    let before = wav(&place.0.join("wav.wav.part"));
    assert!(before.len() >= 32_000 && before.iter().all(|sample| *sample == 77));
    let (recordings, told) = place.start();
    drop(recordings);
    assert_eq!(place.names(), ["opus.opus", "wav.wav"]);
    assert!(wav(&place.0.join("wav.wav")).len() >= before.len());
    assert_eq!(told.iter().count(), 2, "both are told");
}

#[test]
fn what_is_no_recording_is_left_alone_at_the_start() {
    let place = Place::new("left");
    fs::create_dir(&place.0).unwrap();
    for name in ["a.wav.part", "b.txt.part", "c.wav"] {
        fs::write(place.0.join(name), b"not ours").unwrap();
    }
    let (recordings, told) = place.start();
    drop(recordings);
    assert_eq!(place.names(), ["a.wav.part", "b.txt.part", "c.wav"]);
    assert_eq!(told.iter().count(), 0);
}

/// A disk with so much room, in a real directory.
struct Small {
    disk: Directory,
    room: usize,
}

struct SmallFile {
    file: fs::File,
    room: usize,
}

impl Disk for Small {
    type File = SmallFile;

    fn create(&mut self, name: &str) -> io::Result<SmallFile> {
        Ok(SmallFile { file: self.disk.create(name)?, room: self.room })
    }

    fn commit(&mut self, name: &str) -> io::Result<()> {
        self.disk.commit(name)
    }

    fn discard(&mut self, name: &str) -> io::Result<()> {
        self.disk.discard(name)
    }
}

impl DiskFile for SmallFile {
    /// As much as there is room for, then an error: as a file system does it.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let fits = bytes.len().min(self.room);
        self.room -= fits;
        self.file.append(&bytes[..fits])?;
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn patch(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.patch(at, bytes)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.file.truncate(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }
}

#[test]
fn a_full_disk_ends_the_recording_with_a_file_that_plays() {
    for (room, kept_ms) in [(0, 0), (80, 0), (100, 0), (80 + 3 * 32_000 + 5000, 3000)] {
        let place = Place::new(&format!("full-{room}"));
        let disk = Small { disk: Directory::open(place.0.clone()).unwrap(), room };
        let (tell, told) = channel();
        let recordings =
            Recordings::with_disk(disk, 64, move |event| tell.send(event).unwrap()).unwrap();
        let mut sink = recordings.queue().start(ID, "call".to_owned(), format(Container::Wav));
        (0..10).for_each(|at| second(&mut sink, at, 9));
        sink.stop(80_000);
        drop(recordings);
        let events: Vec<_> = told.iter().collect();
        let Some(RecordEvent::Failed { file, duration_ms, .. }) = events.last() else {
            panic!("{room}: {events:?}");
        };
        assert_eq!(*duration_ms, kept_ms, "{room}");
        assert_eq!(file.is_some(), kept_ms > 0, "{room}");
        if kept_ms == 0 {
            assert!(place.names().is_empty(), "{room}");
        } else {
            assert_eq!(place.names(), ["call.wav"], "{room}");
            assert_eq!(wav(&place.0.join("call.wav")), [9; 48_000]);
        }
    }
}

/// What a disk that breaks cannot do any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Append,
    Patch,
    Sync,
    Commit,
}

/// A disk that breaks after three seconds of a recording, in a real directory.
struct Broken {
    disk: Directory,
    fault: Fault,
}

struct BrokenFile {
    file: fs::File,
    fault: Fault,
    appended: usize,
}

impl BrokenFile {
    fn check(&self, fault: Fault) -> io::Result<()> {
        let is_broken = self.fault == fault && self.appended > 80 + 3 * 32_000;
        if is_broken { Err(io::Error::from_raw_os_error(EIO)) } else { Ok(()) }
    }
}

/// <asm-generic/errno-base.h>
const EIO: i32 = 5;

impl Disk for Broken {
    type File = BrokenFile;

    fn create(&mut self, name: &str) -> io::Result<BrokenFile> {
        Ok(BrokenFile { file: self.disk.create(name)?, fault: self.fault, appended: 0 })
    }

    fn commit(&mut self, name: &str) -> io::Result<()> {
        match self.fault {
            Fault::Commit => Err(io::Error::from_raw_os_error(EIO)),
            Fault::Append | Fault::Patch | Fault::Sync => self.disk.commit(name),
        }
    }

    fn discard(&mut self, name: &str) -> io::Result<()> {
        self.disk.discard(name)
    }
}

impl DiskFile for BrokenFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.appended += bytes.len();
        self.check(Fault::Append)?;
        self.file.append(bytes)
    }

    fn patch(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.check(Fault::Patch)?;
        self.file.patch(at, bytes)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.file.truncate(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.check(Fault::Sync)?;
        self.file.sync()
    }
}

/// ATTACKS 30: whatever a broken disk refuses, what is on it plays, at once or at the next start.
#[test]
fn a_broken_disk_ends_the_recording_with_a_file_that_plays_by_the_next_start() {
    for fault in [Fault::Append, Fault::Patch, Fault::Sync, Fault::Commit] {
        let place = Place::new(&format!("broken-{fault:?}"));
        let disk = Broken { disk: Directory::open(place.0.clone()).unwrap(), fault };
        let (tell, told) = channel();
        let recordings =
            Recordings::with_disk(disk, 64, move |event| tell.send(event).unwrap()).unwrap();
        let mut sink = recordings.queue().start(ID, "call".to_owned(), format(Container::Wav));
        (0..5).for_each(|at| second(&mut sink, at, 9));
        sink.stop(40_000);
        drop(recordings);
        let events: Vec<_> = told.iter().collect();
        let Some(RecordEvent::Failed { duration_ms, error, file, .. }) = events.last() else {
            panic!("{fault:?}: {events:?}");
        };
        assert!(error.contains("Input/output error"), "{fault:?}: {error}");
        assert!(*duration_ms >= 3000, "{fault:?}: {duration_ms}");
        assert_eq!(file.is_some(), fault == Fault::Append, "{fault:?}");
        // As it lies there, and after the next start on a disk that is well.
        let name = if file.is_some() { "call.wav" } else { "call.wav.part" };
        assert_eq!(place.names(), [name], "{fault:?}");
        assert!(wav(&place.0.join(name)).len() >= 48_000, "{fault:?}");
        let (recordings, _) = place.start();
        drop(recordings);
        assert_eq!(place.names(), ["call.wav"], "{fault:?}");
        let samples = wav(&place.0.join("call.wav"));
        assert!(samples.len() >= 48_000 && samples.iter().all(|it| *it == 9), "{fault:?}");
    }
}

/// Every file is the operating system's own full disk.
struct Full;

impl Disk for Full {
    type File = fs::File;

    fn create(&mut self, _: &str) -> io::Result<fs::File> {
        fs::File::options().write(true).open("/dev/full")
    }

    fn commit(&mut self, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn discard(&mut self, _: &str) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_errors_of_the_system_are_told() {
    let (tell, told) = channel();
    let recordings =
        Recordings::with_disk(Full, 4, move |event| tell.send(event).unwrap()).unwrap();
    let mut sink = recordings.queue().start(ID, "call".to_owned(), format(Container::Wav));
    second(&mut sink, 0, 1);
    let RecordEvent::Failed { error, .. } = next(&told) else { panic!() };
    assert!(error.contains("No space left"), "{error}");
}

/// A disk that takes its time: each append waits for a word from the test.
struct Slow {
    disk: Directory,
    go: Option<Receiver<()>>,
}

struct SlowFile {
    file: fs::File,
    go: Receiver<()>,
}

impl Disk for Slow {
    type File = SlowFile;

    fn create(&mut self, name: &str) -> io::Result<SlowFile> {
        let go = self.go.take().ok_or(io::ErrorKind::Other)?;
        Ok(SlowFile { file: self.disk.create(name)?, go })
    }

    fn commit(&mut self, name: &str) -> io::Result<()> {
        self.disk.commit(name)
    }

    fn discard(&mut self, name: &str) -> io::Result<()> {
        self.disk.discard(name)
    }
}

impl DiskFile for SlowFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.go.recv().map_err(io::Error::other)?;
        self.file.append(bytes)
    }

    fn patch(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.patch(at, bytes)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.file.truncate(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }
}

#[test]
fn a_slow_disk_costs_blocks_and_no_time_of_the_call() {
    let place = Place::new("slow");
    let (word, go) = channel();
    let disk = Slow { disk: Directory::open(place.0.clone()).unwrap(), go: Some(go) };
    let (tell, told) = channel();
    let recordings =
        Recordings::with_disk(disk, 3, move |event| tell.send(event).unwrap()).unwrap();
    let mut sink = recordings.queue().start(ID, "call".to_owned(), format(Container::Wav));
    // The disk takes nothing, not even the header: of these three fit.
    (0..10).for_each(|at| second(&mut sink, at, 5));
    // And then everything.
    (0..100).for_each(|_| word.send(()).unwrap());
    assert_eq!(next(&told), RecordEvent::Started { recording: ID });
    let waiting = &recordings.queue.shared.waiting;
    let begun = std::time::Instant::now();
    while waiting.load(Ordering::Relaxed) > 0 {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(1));
    }
    second(&mut sink, 10, 6);
    sink.stop(12 * 8000);
    assert_eq!(next(&told), RecordEvent::Gap { recording: ID, ms: 7000 });
    assert_eq!(next(&told), RecordEvent::Gap { recording: ID, ms: 1000 });
    assert!(matches!(next(&told), RecordEvent::Finished { duration_ms: 12_000, .. }));
    let samples = wav(&place.0.join("call.wav"));
    let seconds: Vec<_> = samples.chunks(16_000).map(|second| second[8000]).collect();
    assert_eq!(seconds, [5, 5, 5, 0, 0, 0, 0, 0, 0, 0, 6, 0]);
}
