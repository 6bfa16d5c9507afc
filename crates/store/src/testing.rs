//! What the tests of this crate share.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use base::{Time, WallTime};
use call::record::{CallRecord, EndedBy};
use sip::registrar::BindingRecord;
use sip::transport::Transport;

/// A directory of its own, removed at the end.
#[derive(Debug)]
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("hookflash-store-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn binding(aor: &str, cseq: u32) -> BindingRecord {
    BindingRecord {
        aor: aor.into(),
        key: "<urn:uuid:00000000-0000-1000-8000-000a95a0e128>;1".into(),
        contact: format!("sip:{aor}@192.0.2.7:5062;transport=udp").parse().unwrap(),
        params: Default::default(),
        path: Box::default(),
        transport: Transport::Udp,
        addr: "198.51.100.9:40000".parse().unwrap(),
        call_id: "843817637684230@998sdasdh09".into(),
        cseq,
        user_agent: "baresip v3.9.0 (x86_64/Linux)".into(),
        expires_at: Time::ZERO,
        expires_wall: WallTime(1_800_000_000_000 + u64::from(cseq)),
    }
}

pub(crate) fn call_record(number: usize) -> CallRecord {
    CallRecord {
        recording: None,
        recordings: Vec::new(),
        id: format!("call-{number}"),
        started: WallTime(1_800_000_000_000),
        ringing: None,
        answered: None,
        ended: WallTime(1_800_000_000_100),
        talk_ms: 0,
        hold_ms: 0,
        from: "+4930123456".into(),
        to: "1001".into(),
        ended_by: EndedBy::Caller,
        sip_status: 487,
        q850_cause: 16,
        reason: "cancelled".into(),
        legs: Vec::new(),
        segments: Vec::new(),
        times: Default::default(),
        merged_into: None,
    }
}
