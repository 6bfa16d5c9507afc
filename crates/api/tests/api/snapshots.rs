//! The document says what the wire says.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::fake::World;

fn document() -> Value {
    serde_json::to_value(api::document()).unwrap()
}

/// Every field of `shown` is in the schema, and every required field is in `shown`.
fn agrees(document: &Value, schema: &Value, shown: &Value, place: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap();
        let schema = &document["components"]["schemas"][name];
        assert!(schema.is_object(), "{place}: no schema {name}");
        return agrees(document, schema, shown, place);
    }
    if let Some(options) = schema["oneOf"].as_array() {
        let is_null = |one: &Value| one["type"] == "null";
        if shown.is_null() {
            assert!(options.iter().any(is_null), "{place} may not be null");
        } else {
            agrees(document, options.iter().find(|one| !is_null(one)).unwrap(), shown, place);
        }
        return;
    }
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(shown), "{place}: {shown} is none of {words:?}");
        return;
    }
    match shown {
        Value::Object(fields) => {
            if let Some(properties) = schema["properties"].as_object() {
                for (name, field) in fields {
                    let known = properties.get(name);
                    let known = known.unwrap_or_else(|| panic!("{place}.{name} is undocumented"));
                    agrees(document, known, field, &format!("{place}.{name}"));
                }
                let required = schema["required"].as_array().cloned().unwrap_or_default();
                for name in required {
                    assert!(fields.contains_key(name.as_str().unwrap()), "{place} lacks {name}");
                }
            } else {
                let of = &schema["additionalProperties"];
                fields.iter().for_each(|(name, field)| {
                    agrees(document, of, field, &format!("{place}.{name}"));
                });
            }
        }
        Value::Array(items) => {
            items.iter().for_each(|item| agrees(document, &schema["items"], item, place));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// An interaction with everything that it can have.
fn full() -> Value {
    let time = "2026-01-01T00:00:00.000Z";
    let quality = json!({ "mos": 4.1, "lossPercent": 0.5, "jitterMs": 1.5, "roundTripMs": 20.0 });
    let written: b2bua::api::InteractionSnapshot = serde_json::from_value(json!({
        "id": "call-1", "state": "conference", "primary": "leg-1", "from": "a", "to": "b",
        "started": time, "answered": time, "ended": time, "recording": "paused",
        "mergedInto": "call-2",
        "segments": [{ "kind": "talk", "started": time, "durationMs": 5, "participants": ["leg-1"] }],
        "participants": [{
            "id": "leg-1", "role": "supervisor", "state": "monitoring", "primary": false,
            "party": "1001", "number": "1001", "name": "Ada", "holds": false, "muted": false,
            "mode": "barge", "joined": time, "noiseSuppression": { "enabled": true },
            "legs": [{ "id": "leg-1", "codec": "PCMA", "protection": "sdes", "holds": false, "quality": quality }],
            "controls": { "hold": { "enabled": false, "reason": "POST_CALL" } },
        }],
    }))
    .unwrap();
    serde_json::to_value(written).unwrap()
}

#[test]
fn snapshots_read_as_the_document_says() {
    let document = document();
    let of = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    agrees(&document, &of("Interaction"), &full(), "interaction");
    let phone = b2bua::api::RegistrationSnapshot {
        extension: "1001".into(),
        contact: "sip:1001@h".into(),
        address: "192.0.2.1:5060".parse().unwrap(),
        transport: "UDP".into(),
        user_agent: "x".into(),
        expires_in_s: 1,
        reachable: true,
    };
    let phone = serde_json::to_value(phone).unwrap();
    agrees(&document, &of("Registration"), &phone, "registration");
    let name = "carrier".into();
    let trunk = b2bua::api::TrunkSnapshot {
        name,
        up: true,
        gateways: vec![b2bua::api::GatewaySnapshot {
            address: "192.0.2.1:5060".parse().unwrap(),
            transport: "UDP".into(),
            up: true,
        }],
        registered: Some(true),
        calls: 1,
        calls_max: 2,
    };
    agrees(&document, &of("Trunk"), &serde_json::to_value(trunk).unwrap(), "trunk");
    for record in crate::fake::records() {
        agrees(&document, &of("CallRecord"), &serde_json::to_value(record).unwrap(), "record");
    }
}

/// Every word that the core can write is in the document, and no other.
fn words<T: serde::de::DeserializeOwned + serde::Serialize>(document: &Value, name: &str) {
    let words = document["components"]["schemas"][name]["enum"].as_array().unwrap();
    for word in words {
        let read: T =
            serde_json::from_value(word.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(serde_json::to_value(read).unwrap(), *word);
    }
    // What serde says is expected instead of nonsense: all its words.
    let error = serde_json::from_value::<T>("?".into()).err().unwrap().to_string();
    let known = error.matches('`').count() / 2 - 1;
    assert_eq!(known, words.len(), "{name}: {error}");
}

#[test]
fn the_words_of_the_document_are_those_of_the_core() {
    use b2bua::api::*;
    let document = document();
    words::<DestinationType>(&document, "DestinationType");
    words::<OnFailure>(&document, "OnFailure");
    words::<MonitorMode>(&document, "MonitorMode");
    words::<NoiseDirection>(&document, "NoiseDirection");
    words::<InteractionState>(&document, "InteractionState");
    words::<ParticipantRole>(&document, "ParticipantRole");
    words::<ParticipantState>(&document, "ParticipantState");
    words::<RecordingState>(&document, "RecordingState");
    words::<call::record::LegProtection>(&document, "LegProtection");
}

#[test]
fn the_document_is_complete_in_itself_and_served() {
    let document = document();
    let text = document.to_string();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for part in text.split("#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name} is named but not there");
    }
    let mut ids = BTreeSet::new();
    for methods in document["paths"].as_object().unwrap().values() {
        for operation in methods.as_object().unwrap().values() {
            assert!(operation["security"].is_array(), "{operation}");
            let id = operation["operationId"].as_str().unwrap().to_owned();
            assert!(ids.insert(id), "{operation} twice");
        }
    }
    let world = World::empty();
    let served = world.get("", "/v1/openapi.json");
    assert_eq!(served.headers["content-type"], "application/json");
    assert_eq!(served.json(), document);
}
