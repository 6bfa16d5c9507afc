//! What survives a restart and a snapshot.

use proptest::prelude::*;

use super::*;

/// The records of the last words, as the store would have them.
fn records(changes: &[Change], at_zero: WallTime) -> Vec<BindingRecord> {
    let mut kept = BTreeMap::new();
    for change in changes {
        match change {
            Change::Bound { record, .. } => {
                let mut record = (**record).clone();
                record.expires_wall = at_zero + (record.expires_at - Time::ZERO);
                let text = serde_json::to_string(&record).unwrap();
                kept.insert((record.aor.clone(), record.key.clone()), text);
            }
            Change::Unbound { aor, key } => {
                kept.remove(&(aor.clone(), key.clone()));
            }
            Change::Reachable { .. } => {}
        }
    }
    kept.into_values().map(|text| serde_json::from_str(&text).unwrap()).collect()
}

#[test]
fn bindings_come_back_with_what_is_left_of_their_time() {
    let mut w = World::new();
    w.contact(at(0), "<sip:short@10.0.0.7>;expires=60");
    w.contact(at(0), "<sip:long@10.0.0.7>;expires=600");
    let records = records(&w.changes, WallTime(9_000_000_000));
    let mut restored = World::new();
    restored.registrar.restore(at(5), WallTime(9_000_000_000) + MINUTE * 2, records.clone());
    let now = at(5);
    assert_eq!(restored.lookup(now), [("sip:long@10.0.0.7".into(), PHONE.into())]);
    let binding = restored.registrar.lookup(now, "1001").next().unwrap();
    assert_eq!(binding.expires_at, at(5 + 480));
    let addr = PHONE.parse().unwrap();
    let target = Target { transport: Transport::Udp, addr, flow: None, tls_name: None };
    assert_eq!(binding.target, target);
    // The store is told what is over.
    assert_eq!(restored.registrar.next_timeout(), Some(now));
    restored.registrar.expire(now, &mut restored.changes);
    assert!(
        matches!(&restored.changes[..], [Change::Unbound { key, .. }] if key.contains("short"))
    );
    // A wall clock that went back years gives no more than the greatest expiry.
    let mut late = World::new();
    late.registrar.restore(at(5), WallTime(0), records);
    assert!(late.registrar.bindings().all(|b| b.expires_at <= at(5) + config().expires_max));
}

#[test]
fn a_phone_refreshes_what_was_restored_and_its_old_requests_stay_old() {
    let mut w = World::new();
    w.contact(at(0), "<sip:1001@10.0.0.7>");
    let records = records(&w.changes, WallTime(0));
    let mut restored = World::new();
    restored.registrar.restore(at(0), WallTime(0), records);
    assert_eq!(restored.contact(at(1), "<sip:1001@10.0.0.7>").status.0, 500);
    assert_eq!(restored.contact(at(1), "<sip:1001@10.0.0.7>").status.0, 200);
    assert_eq!(restored.registrar.len(), 1);
    let binding = restored.registrar.bindings().next().unwrap();
    assert_eq!(binding.target.flow, Some(FlowId(1)));
}

#[test]
fn restoring_twice_or_too_much_keeps_the_bounds() {
    let mut w = World::new();
    for i in 0..3 {
        w.contact(at(0), &format!("<sip:{i}@10.0.0.7>"));
    }
    let mut records = records(&w.changes, WallTime(0));
    let mut more = records[0].clone();
    more.key = "more".into();
    records.push(more);
    let mut restored = World::new();
    for _ in 0..2 {
        restored.registrar.restore(at(0), WallTime(0), records.clone());
    }
    assert_eq!(restored.registrar.len(), 3);
}

/// What can happen to a registrar.
#[derive(Clone, Debug)]
enum Step {
    Register { user: usize, contact: usize, expires: u64, tcp: bool },
    Star { user: usize },
    Wait { seconds: u64 },
    Close { flow: u64 },
    Qualify { answered: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let expires = prop_oneof![Just(0), 1..59_u64, 60..4000_u64];
    prop_oneof![
        6 => (0..3_usize, 0..5_usize, expires, any::<bool>()).prop_map(
            |(user, contact, expires, tcp)| Step::Register { user, contact, expires, tcp }
        ),
        1 => (0..3_usize).prop_map(|user| Step::Star { user }),
        2 => (0..900_u64).prop_map(|seconds| Step::Wait { seconds }),
        1 => (0..6_u64).prop_map(|flow| Step::Close { flow }),
        2 => any::<bool>().prop_map(|answered| Step::Qualify { answered }),
    ]
}

fn run(w: &mut World, now: &mut u64, step: &Step) {
    const USERS: [&str; 3] = ["1001", "1002", "1003"];
    match *step {
        Step::Register { user, contact, expires, tcp } => {
            w.user = USERS[user];
            let transport = if tcp { Transport::Tcp } else { Transport::Udp };
            w.source = source(transport, contact as u64 + 1, PHONE);
            let instance = if contact % 2 == 0 { "" } else { ";+sip.instance=\"<u:1>\"" };
            let contact = format!("<sip:{contact}@198.51.100.7>{instance};expires={expires}");
            w.contact(at(*now), &contact);
        }
        Step::Star { user } => {
            w.user = USERS[user];
            w.send(at(*now), &[(Name::Contact, "*"), (Name::Expires, "0")]);
        }
        Step::Wait { seconds } => *now += seconds,
        Step::Close { flow } => {
            w.registrar.flow_closed(at(*now), FlowId(flow), &mut w.changes);
        }
        Step::Qualify { answered } => {
            let mut due = Vec::new();
            w.registrar.qualify_due(at(*now), &mut due);
            for id in due {
                let answer = answered.then_some(Duration::from_millis(1));
                w.registrar.qualify_result(at(*now), id, answer, &mut w.changes);
            }
        }
    }
    w.registrar.expire(at(*now), &mut w.changes);
}

/// Every table agrees with every other.
fn check(registrar: &Registrar, now: Time) {
    let listed: usize = registrar.by_aor.values().map(Vec::len).sum();
    assert_eq!(listed, registrar.bindings.len());
    assert_eq!(registrar.expiry.len(), registrar.bindings.len());
    assert_eq!(registrar.qualify.len(), registrar.bindings.len());
    assert!(registrar.by_aor.values().all(|ids| (1..=3).contains(&ids.len())));
    for binding in registrar.bindings() {
        assert!(binding.expires_at > now);
        assert_eq!(registrar.expiry.deadline(binding.id), Some(binding.expires_at));
        assert!(registrar.by_aor[&*binding.aor].contains(&binding.id));
    }
    let on_flows: Vec<_> = registrar.by_flow.values().flatten().collect();
    let connected = registrar.bindings().filter(|b| connection(b).is_some());
    assert_eq!(connected.count(), on_flows.len());
}

fn lasting(registrar: &Registrar) -> Vec<BindingRecord> {
    let mut records: Vec<_> = registrar.bindings().map(Binding::record).collect();
    records.sort_by(|a, b| (&a.aor, &a.key).cmp(&(&b.aor, &b.key)));
    records
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_story_keeps_the_tables_whole_the_changes_true_and_survives_a_snapshot(
        before in prop::collection::vec(step(), 0..40),
        after in prop::collection::vec(step(), 0..20),
    ) {
        let config = RegistrarConfig { qualify: Some(MINUTE), ..config() };
        let mut w = World::with(config.clone());
        let mut now = 0;
        for step in &before {
            run(&mut w, &mut now, step);
            check(&w.registrar, at(now));
        }
        // What the store was told is what there is.
        let mut restored = Registrar::new(config);
        restored.restore(at(now), WallTime(now * 1000), records(&w.changes, WallTime(0)));
        prop_assert_eq!(lasting(&restored), lasting(&w.registrar));
        check(&restored, at(now));
        // A snapshot goes on as the original does.
        let text = serde_json::to_string(&w.registrar).unwrap();
        let registrar = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&registrar, &w.registrar);
        let source = w.source.clone();
        let mut copy = World { registrar, changes: w.changes.clone(), source, ..w };
        let mut copy_now = now;
        for step in &after {
            run(&mut w, &mut now, step);
            run(&mut copy, &mut copy_now, step);
        }
        prop_assert_eq!(copy.registrar, w.registrar);
        prop_assert_eq!(copy.changes, w.changes);
    }
}
