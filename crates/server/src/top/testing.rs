//! A board as the tests of this module need it.

use serde_json::{Value, json};

use super::board::Board;

pub(super) fn interaction(id: &str, state: &str) -> Value {
    let time = "2026-01-01T00:00:00.000Z";
    let leg = |codec: &str| {
        json!({ "id": "leg-1", "codec": codec, "protection": "dtls", "holds": false,
                "quality": { "mos": 4.21, "lossPercent": 1.25, "jitterMs": 3.5, "roundTripMs": null } })
    };
    let party = |id: &str, role: &str, party: &str, codec: &str| {
        json!({
            "id": id, "role": role, "state": "connected", "primary": role == "agent",
            "party": party, "number": party, "name": "", "holds": false, "muted": false,
            "joined": time, "legs": [leg(codec)], "controls": {},
            "noiseSuppression": { "enabled": role == "customer" },
        })
    };
    json!({
        "id": id, "state": state, "primary": null, "from": "+4930123456", "to": "1001",
        "started": time, "answered": time, "ended": null, "recording": "on", "segments": [],
        "participants": [
            party("leg-1", "customer", "carrier", "PCMA"), party("leg-2", "agent", "1001", "opus"),
        ],
    })
}

pub(super) fn event(seq: u64, kind: &str, data: Value) -> String {
    let time = "2026-01-01T00:00:05.000Z";
    json!({ "seq": seq, "id": "x", "time": time, "type": kind, "data": data }).to_string()
}

pub(super) fn board() -> Board {
    let mut board = Board::default();
    let snapshot = json!({
        "interactions": [interaction("call-1", "connected")],
        "registrations": [{ "extension": "1001", "contacts": 2 }],
        "trunks": [
            { "name": "backup", "up": true, "gatewaysUp": 1, "gateways": 2 },
            { "name": "carrier", "up": true, "gatewaysUp": 1, "gateways": 1 },
        ],
    });
    board.take(&event(7, "stream.snapshot", snapshot)).unwrap();
    board
}
