use proptest::prelude::*;

use super::super::testing::{answer, invite, restored};
use super::*;

fn timer() -> SessionTimer {
    SessionTimer::new(Duration::from_secs(1800), MIN_SE)
}

fn at(seconds: u64) -> Time {
    Time::ZERO + Duration::from_secs(seconds)
}

/// Seconds until it fires.
fn due(timer: &SessionTimer) -> Option<u64> {
    timer.deadline().map(|deadline| (deadline - Time::ZERO).as_secs())
}

/// A request of ours, with what it says about timers.
fn offered(timer: &SessionTimer) -> (Option<String>, Option<String>) {
    let mut headers = Headers::new();
    timer.offer(&mut headers);
    let value = |name| headers.get(name).map(str::to_owned);
    (value(Name::SessionExpires), value(Name::MinSe))
}

/// Our session timer after their 2xx at time 0.
fn accepted(headers: &str) -> SessionTimer {
    let mut timer = timer();
    timer.accepted(Time::ZERO, &answer(200, headers));
    timer
}

#[test]
fn a_first_request_leaves_the_refresher_open() {
    assert_eq!(offered(&timer()), (Some("1800".into()), Some("90".into())));
    let short = SessionTimer::new(Duration::from_secs(10), Duration::ZERO);
    assert_eq!(offered(&short), (Some("10".into()), None), "Min-SE is never below 90");
    let odd = SessionTimer::new(Duration::from_secs(60), Duration::from_secs(120));
    assert_eq!(offered(&odd).0.unwrap(), "120", "we ask for no less than we accept");
}

#[test]
fn a_later_request_keeps_the_roles_and_the_interval() {
    let rows = [
        ("Session-Expires: 600;refresher=uac", "600;refresher=uac"),
        ("Session-Expires: 600;refresher=uas", "600;refresher=uas"),
        ("Session-Expires: 600", "600;refresher=uac"),
        ("", "1800;refresher=uac"),
    ];
    for (granted, later) in rows {
        assert_eq!(offered(&accepted(granted)).0.unwrap(), later, "{granted}");
    }
}

#[test]
fn our_requests_2xx_decides_who_refreshes_and_when() {
    // What they grant, when we act, and what we do then.
    let rows = [
        ("Session-Expires: 1800;refresher=uac", 900, SessionDue::Refresh),
        ("Session-Expires: 1800;refresher=uas", 1768, SessionDue::Expired),
        ("Session-Expires: 90;refresher=uas", 60, SessionDue::Expired),
        ("Session-Expires: 90;refresher=uac", 45, SessionDue::Refresh),
        ("x: 93;refresher=UAS", 62, SessionDue::Expired),
        // Less than 90 s is allowed to nobody; JsSIP of old says 60.
        ("Session-Expires: 60;refresher=uas", 60, SessionDue::Expired),
        ("Session-Expires: 1;refresher=uac", 45, SessionDue::Refresh),
        ("Session-Expires: 4294967295;refresher=uac", 43_200, SessionDue::Refresh),
        ("Session-Expires: soon;refresher=uas", 900, SessionDue::Refresh),
        ("", 900, SessionDue::Refresh),
    ];
    for (headers, seconds, expected) in rows {
        let mut timer = accepted(headers);
        assert_eq!(due(&timer), Some(seconds), "{headers}");
        assert_eq!(timer.fired(at(seconds)), expected, "{headers}");
    }
}

#[test]
fn a_request_below_our_min_se_gets_a_422_that_says_it() {
    let rows = [
        ("Session-Expires: 60\r\nSupported: timer", true),
        ("Session-Expires: 60\r\nRequire: timer", true),
        ("Session-Expires: 89;refresher=uas\r\nk: replaces, timer", true),
        ("Session-Expires: 90\r\nSupported: timer", false),
        // RFC 4028 §9: a caller without timers cannot be refused; a proxy wrote this.
        ("Session-Expires: 60", false),
        ("Session-Expires: x\r\nSupported: timer", false),
        ("Supported: timer", false),
    ];
    for (headers, refused) in rows {
        let response = timer().check_request(&invite(headers)).err();
        assert_eq!(response.is_some(), refused, "{headers}");
        if let Some(response) = response {
            assert_eq!(response.status.0, 422);
            assert_eq!(response.min_se(), Some(90));
        }
    }
}

#[test]
fn our_2xx_says_who_refreshes_as_in_table_2_of_rfc_4028() {
    // Their request; what our 2xx says, whether it requires timers, when we act and how.
    let rows = [
        (
            "Supported: timer\r\nSession-Expires: 600",
            Some("600;refresher=uac"),
            true,
            568,
            SessionDue::Expired,
        ),
        (
            "Supported: timer\r\nSession-Expires: 600;refresher=uac",
            Some("600;refresher=uac"),
            true,
            568,
            SessionDue::Expired,
        ),
        (
            "Supported: timer\r\nSession-Expires: 600;refresher=uas",
            Some("600;refresher=uas"),
            false,
            300,
            SessionDue::Refresh,
        ),
        ("Session-Expires: 600", Some("600;refresher=uas"), false, 300, SessionDue::Refresh),
        ("Supported: timer", Some("1800;refresher=uac"), true, 1768, SessionDue::Expired),
        ("", None, false, 900, SessionDue::Refresh),
        // Lowered to ours, but not below their Min-SE.
        (
            "Supported: timer\r\nSession-Expires: 7200",
            Some("1800;refresher=uac"),
            true,
            1768,
            SessionDue::Expired,
        ),
        (
            "Supported: timer\r\nSession-Expires: 7200\r\nMin-SE: 3600",
            Some("3600;refresher=uac"),
            true,
            3568,
            SessionDue::Expired,
        ),
        (
            "Supported: timer\r\nMin-SE: 3600",
            Some("3600;refresher=uac"),
            true,
            3568,
            SessionDue::Expired,
        ),
        (
            "Supported: timer\r\nMin-SE: 4294967295",
            Some("86400;refresher=uac"),
            true,
            86_368,
            SessionDue::Expired,
        ),
    ];
    for (headers, says, requires, seconds, expected) in rows {
        let request = invite(headers);
        let mut response = request.response(StatusCode::OK);
        let mut timer = timer();
        timer.answer(Time::ZERO, &request, &mut response);
        assert_eq!(response.headers.get(Name::SessionExpires), says, "{headers}");
        assert_eq!(response.headers.has_token(Name::Require, "timer"), requires, "{headers}");
        assert_eq!(due(&timer), Some(seconds), "{headers}");
        assert_eq!(timer.fired(at(seconds)), expected, "{headers}");
    }
}

#[test]
fn a_422_raises_what_we_ask_for_a_few_times() {
    let too_small = |min: u32| answer(422, &format!("Min-SE: {min}"));
    let mut timer = timer();
    assert!(!timer.too_small(&answer(422, "")), "it says nothing");
    assert!(!timer.too_small(&too_small(1800)), "we ask for that already");
    assert!(!timer.too_small(&too_small(86_401)), "no session lasts that long");
    for raise in 0..RAISES_MAX {
        let min = 3600 + u32::from(raise);
        assert!(timer.too_small(&too_small(min)));
        assert_eq!(offered(&timer), (Some(min.to_string()), Some(min.to_string())));
    }
    assert!(!timer.too_small(&too_small(7200)), "no endless climbing");
    timer.accepted(Time::ZERO, &answer(200, "Session-Expires: 3603;refresher=uac"));
    assert!(timer.too_small(&too_small(7200)), "within the session too");
    assert_eq!(offered(&timer).0.unwrap(), "7200;refresher=uac");
    assert_eq!(due(&timer), Some(1801), "what is in force stays");
}

#[test]
fn a_lost_refresh_is_tried_again_until_the_end_and_no_later() {
    let rows = [
        ("90", vec![45, 56, 66, 76, 86, 90]),
        (
            "1800",
            vec![
                900, 1125, 1293, 1420, 1515, 1586, 1639, 1679, 1709, 1732, 1749, 1761, 1771, 1781,
                1791, 1800,
            ],
        ),
    ];
    for (interval, expected) in rows {
        let mut timer = accepted(&format!("Session-Expires: {interval};refresher=uac"));
        let mut fired = Vec::new();
        while let Some(deadline) = timer.deadline() {
            fired.push((deadline - Time::ZERO).as_secs());
            match timer.fired(deadline) {
                SessionDue::Refresh => {}
                SessionDue::Expired => break,
            }
        }
        assert_eq!(fired, expected, "{interval}");
        assert_eq!(timer.deadline(), None);
    }
}

#[test]
fn a_late_success_begins_the_session_anew() {
    let mut timer = accepted("Session-Expires: 90;refresher=uac");
    timer.fired(at(45));
    timer.refresh_failed(at(46));
    assert_eq!(due(&timer), Some(57));
    timer.accepted(at(60), &answer(200, "Session-Expires: 90;refresher=uac"));
    assert_eq!(due(&timer), Some(105));
    timer.accepted(at(61), &answer(200, "Session-Expires: 90;refresher=uas"));
    assert_eq!(due(&timer), Some(121), "the roles may change");
    timer.refresh_failed(at(62));
    assert_eq!(due(&timer), Some(121), "no refresh of ours was awaited");
}

#[test]
fn a_far_end_without_timers_is_asked_for_ever_and_never_expires() {
    let mut timer = accepted("");
    for turn in 1..50 {
        assert_eq!(due(&timer), Some(turn * 900));
        assert_eq!(timer.fired(at(turn * 900)), SessionDue::Refresh);
        timer.refresh_failed(at(turn * 900));
    }
    let request = invite("Session-Expires: 600");
    timer.answer(at(0), &request, &mut request.response(StatusCode::OK));
    assert_eq!(timer.fired(at(300)), SessionDue::Refresh);
    assert_eq!(timer.fired(at(600)), SessionDue::Refresh, "their proxies may forget, not we");
}

#[test]
fn their_refresh_moves_the_end() {
    let mut timer = timer();
    for turn in 0..5 {
        let request = invite("Supported: timer\r\nSession-Expires: 90;refresher=uac");
        let mut response = request.response(StatusCode::OK);
        timer.answer(at(turn * 45), &request, &mut response);
        assert_eq!(due(&timer), Some(turn * 45 + 60));
    }
    assert_eq!(timer.fired(at(240)), SessionDue::Expired);
}

#[derive(Clone, Debug)]
enum Step {
    Accepted(Option<(u32, Option<bool>)>),
    Answered(Option<(u32, Option<bool>)>, bool),
    Fire,
    Failed,
    TooSmall(u32),
}

fn expires(value: Option<(u32, Option<bool>)>) -> String {
    let refresher = |uac| if uac { ";refresher=uac" } else { ";refresher=uas" };
    value.map_or(String::new(), |(seconds, uac)| {
        format!("Session-Expires: {seconds}{}", uac.map_or("", refresher))
    })
}

fn step() -> impl Strategy<Value = Step> {
    let value = || prop::option::of((0u32..200_000, prop::option::of(any::<bool>())));
    prop_oneof![
        value().prop_map(Step::Accepted),
        (value(), any::<bool>()).prop_map(|(value, supported)| Step::Answered(value, supported)),
        Just(Step::Fire),
        Just(Step::Fire),
        Just(Step::Failed),
        any::<u32>().prop_map(Step::TooSmall),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// Whatever the far end says: no refresh within 45 s of a success nor within 10 s of the last
    /// attempt, and an expiry leaves no timer.
    #[test]
    fn no_far_end_makes_us_refresh_in_a_storm(steps in prop::collection::vec(step(), 0..40)) {
        let (mut timer, mut now, mut last) = (timer(), Time::ZERO, None::<Time>);
        for step in steps {
            timer = restored(&timer);
            match step {
                Step::Accepted(value) => timer.accepted(now, &answer(200, &expires(value))),
                Step::Answered(value, supported) => {
                    let supported = if supported { "Supported: timer" } else { "" };
                    let headers = format!("{}\r\n{supported}", expires(value));
                    let request = invite(headers.trim());
                    timer.answer(now, &request, &mut request.response(StatusCode::OK));
                }
                Step::Failed => timer.refresh_failed(now),
                Step::TooSmall(min) => {
                    timer.too_small(&answer(422, &format!("Min-SE: {min}")));
                }
                Step::Fire => {
                    let Some(deadline) = timer.deadline() else { continue };
                    prop_assert!(deadline >= now);
                    now = deadline;
                    match timer.fired(now) {
                        SessionDue::Refresh => {
                            prop_assert!(last.is_none_or(|last| now - last >= RETRY));
                            last = Some(now);
                        }
                        SessionDue::Expired => prop_assert_eq!(timer.deadline(), None),
                    }
                }
            }
        }
    }
}
