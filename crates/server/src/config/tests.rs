use super::*;
use b2bua::config::{CallerIdStyle, NoiseChoice, PlusRule};
use std::time::Duration;

const LISTEN: &str = "[[listen]]\ntransport = 'udp'\naddress = '127.0.0.1:5060'\n";

fn read_text(text: &str) -> Result<Settings, Vec<Problem>> {
    read("f", text, Path::new("/nonexistent"))
}

/// The problems of a file that begins with a good listener (lines 1 to 3).
fn problems(rest: &str) -> Vec<String> {
    let found = read_text(&format!("{LISTEN}{rest}")).err().unwrap_or_default();
    found.iter().map(Problem::to_string).collect()
}

#[test]
fn the_example_passes_its_own_check() {
    let settings = read_text(EXAMPLE).unwrap();
    assert_eq!(settings.core.extensions.len(), 2);
    let trunk = &settings.core.trunks[0];
    assert_eq!(trunk.outbound_numbers.plus, PlusRule::Add);
    assert_eq!(trunk.caller_id, CallerIdStyle::From);
    assert_eq!(settings.core.listen.len(), 3);
}

#[test]
fn conferences_are_mixed_as_is_said() {
    let mixing = |text: &str| read_text(&format!("{LISTEN}{text}")).unwrap().engine.mixing;
    let usual = mixing("");
    assert_eq!(usual, MixerSettings::of_people());
    assert_eq!((usual.speakers_max, usual.spared_db, usual.normalises), (4, Some(20), false));
    let text = "[media]\nspeakers_max = 6\nspeakers_spared_db = 0\nnormalise_voices = true\n";
    let set = mixing(text);
    assert_eq!((set.speakers_max, set.spared_db, set.normalises), (6, None, true));
}

#[test]
fn n2_each_level_may_say_whether_noise_is_removed_and_how_much() {
    let text = "[noise_removal]\nattenuation_limit_db = 25\n\
        [[extension]]\nnumber = '1001'\npassword = 'long-enough'\nnoise_attenuation_db = 12\n\
        own_noise_removal = true\nown_noise_attenuation_db = 18\n\
        [[trunk]]\nname = 'a'\ntargets = ['sip:192.0.2.1']\nnoise_removal = false\n";
    let core = read_text(&format!("{LISTEN}{text}")).unwrap().core;
    assert_eq!(core.media.noise_removal.settings.attenuation_limit_db, 25);
    let of = |enabled, attenuation_limit_db| NoiseChoice { enabled, attenuation_limit_db };
    assert_eq!(core.extensions[0].noise_removal, of(None, Some(12)));
    assert_eq!(core.extensions[0].own_noise_removal, of(Some(true), Some(18)));
    assert_eq!(core.trunks[0].noise_removal, of(Some(false), None));
}

#[test]
fn the_example_names_every_key_that_is_read() {
    let sink = Sink::new("example", EXAMPLE);
    read_into(&sink, EXAMPLE, Path::new("."));
    let mut shown = std::collections::BTreeSet::new();
    let mut table = String::new();
    for line in EXAMPLE.lines() {
        if let Some(name) = line.strip_prefix('[') {
            table = name.trim_start_matches('[').trim_end_matches(']').to_owned();
            let (parent, key) = table.rsplit_once('.').unwrap_or(("", &table));
            shown.insert(if parent.is_empty() { key.into() } else { format!("{parent}.{key}") });
        } else if let Some((key, _)) = line.trim_start_matches('#').split_once(" = ")
            && !line.starts_with("# ")
        {
            shown.insert(format!("{table}.{key}"));
        }
    }
    // The inline tables of number rules.
    for direction in ["outbound", "inbound"] {
        for key in ["prefix", "replacement"] {
            shown.insert(format!("trunk.{direction}_numbers.rules.{key}"));
        }
    }
    let missing: Vec<_> = sink.asked().into_iter().filter(|key| !shown.contains(key)).collect();
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn keys_that_the_example_shows_switched_off_are_known() {
    let text: String = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(key) if !key.starts_with(' ') => format!("{key}\n"),
            Some(_) | None => format!("{line}\n"),
        })
        .collect();
    let problems = read_text(&text).unwrap_err();
    let unknown: Vec<_> = problems
        .iter()
        .filter(|p| p.reason.contains("unknown key") || p.reason.contains("must be a"))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn a_minimal_file_has_the_defaults_of_the_example() {
    let (least, example) = (read_text(LISTEN).unwrap(), read_text(EXAMPLE).unwrap());
    assert_eq!(least.core.sip, example.core.sip);
    assert_eq!(least.core.registrar, example.core.registrar);
    assert_eq!(least.core.security, example.core.security);
    assert_eq!(least.core.media, example.core.media);
    assert_eq!(least.core.realm, example.core.realm);
    assert_eq!((least.log, least.net), (example.log, example.net));
    assert_eq!((least.records, least.drain_limit), (example.records, example.drain_limit));
    assert_eq!(least.core.sip.call_limit, Some(Duration::from_secs(14_400)));
    assert_eq!(least.core.media.ipv4, Some([127, 0, 0, 1].into()));
    assert_eq!(least.core.media.ipv6, None);
}

#[test]
fn every_problem_of_a_file_is_told_at_once() {
    let found = problems(
        "[sip]\ncalls_max = 'many'\nring = 5\n[[extension]]\nnumber = '1001'\npassword = 'short'\n",
    );
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(found[0], "f:5: `calls_max` must be a whole number, not a string");
    assert!(found[1].starts_with("f:6: unknown key `ring` in [sip]; known there: call_limit_s"));
    assert_eq!(found[2], "f:9: a password needs at least 8 characters");
}

#[test]
fn syntax_errors_have_a_line_and_do_not_hide_other_problems() {
    let found = problems("[sip]\ncalls_max = \nt1_ms = 1\n");
    assert!(found[0].starts_with("f:5: "), "{found:?}");
    assert!(found.iter().any(|line| line.starts_with("f:6: `t1_ms`")), "{found:?}");
}

/// What follows the listener of lines 1 to 3, and the one problem it must give.
const ROWS: &[(&str, &str)] = &[
    (
        "[[listen]]\ntransport = 'quic'\naddress = '127.0.0.1:5062'\n",
        "f:5: `transport`: \"quic\" is none of",
    ),
    (
        "[[listen]]\ntransport = 'tcp'\naddress = '127.0.0.1'\n",
        "f:6: `address`: \"127.0.0.1\" is not ADDRESS:PORT",
    ),
    ("[[listen]]\ntransport = 'tcp'\naddress = '127.0.0.1:0'\n", "f:6: `address`: port 0"),
    (
        "[[listen]]\ntransport = 'udp'\naddress = '127.0.0.1:5060'\n",
        "f:6: 127.0.0.1:5060 is already taken",
    ),
    (
        "[[listen]]\ntransport = 'tcp'\naddress = '0.0.0.0:5060'\n",
        "f:6: all addresses are listened on",
    ),
    ("[[listen]]\ntransport = 'tls'\naddress = '127.0.0.1:5061'\n", "f:4: TLS needs `certificate`"),
    (
        "[[listen]]\ntransport = 'ws'\naddress = '127.0.0.1:80'\nadvertise = 'a b'\n",
        "f:7: `advertise`",
    ),
    ("[[listen]]\naddress = '127.0.0.1:80'\n", "f:4: `transport` is missing"),
    ("[tls]\nclient_ca = 'none.pem'\n", "f:5: `client_ca`: /nonexistent/none.pem"),
    ("[server]\nrealm = ''\n", "f:5: `realm`"),
    ("[server]\ndomains = ['300.1.1.1']\n", "f:5: `domains`: \"300.1.1.1\" is neither"),
    (
        "[net]\nwebsocket_origins = ['https://a.example/path']\n",
        "f:5: `websocket_origins`: \"https://a.example/path\" is no origin",
    ),
    ("[log]\nlevel = 'sip=loud'\n", "f:5: `level`"),
    ("[log]\nformat = 'xml'\n", "f:5: `format`: \"xml\" is none of \"text\", \"json\""),
    ("[sip]\nmin_se_s = 60\n", "f:5: `min_se_s` must lie between 90"),
    (
        "[sip]\nsession_expires_s = 100\nmin_se_s = 120\n",
        "f:5: `session_expires_s` must not be below",
    ),
    ("[sip]\ncalls_max = -1\n", "f:5: `calls_max` must lie between"),
    ("[media]\nport_min = 20001\n", "f:5: `port_min` must be even"),
    ("[media]\nport_min = 20000\nport_max = 20002\n", "f:6: 20000 to 20002 is too small"),
    ("[media]\nport_min = 5000\nport_max = 6000\n", "f:3: 127.0.0.1:5060 lies in the RTP range"),
    ("[media]\ncodecs = ['PCMU', 'mp3']\n", "f:5: \"mp3\" is no codec"),
    ("[media]\ncodecs = ['PCMU', 'pcmu']\n", "f:5: codec pcmu stands twice"),
    ("[media]\ncodecs = ['CN', 'telephone-event']\n", "f:4: `codecs` has none to speak in"),
    ("[media]\nspeakers_max = 0\n", "f:5: `speakers_max` must lie between 1 and 16, not 0"),
    ("[media]\nspeakers_spared_db = 61\n", "f:5: `speakers_spared_db` must lie between 0 and 60"),
    ("[media]\nnormalise_voices = 1\n", "f:5: `normalise_voices`"),
    (
        "[[extension]]\nnumber = '1001'\npassword = 'long-enough'\nown_noise_attenuation_db = 61\n",
        "f:7: `own_noise_attenuation_db` must lie between 0 and 60",
    ),
    ("[media]\nipv4 = '0.0.0.0'\n", "f:4: RTP is bound to 0.0.0.0"),
    ("[media]\nipv6 = '127.0.0.1'\n", "f:5: `ipv6`: \"127.0.0.1\" is no IPv6 address"),
    ("[registrar]\nexpires_max_s = 30\n", "f:4: `expires_min_s` ≤"),
    ("[registrar]\nqualify_s = 2\n", "f:5: `qualify_s` must be 0 (off) or 5 to"),
    ("[[extension]]\nnumber = '1 1'\npassword = 'long-enough'\n", "f:5: `number`"),
    ("[[extension]]\nnumber = '1001'\n", "f:4: needs exactly one of `password`"),
    (
        "[[extension]]\nnumber = '1001'\npassword_file = 'x'\n",
        "f:6: `password_file`: /nonexistent/x",
    ),
    (
        "[[extension]]\nnumber = '1001'\npassword_env = 'HOOKFLASH_UNSET'\n",
        "f:6: `password_env`: the environment",
    ),
    (
        "[[extension]]\nnumber = '1001'\npassword = 'x1001yzzy'\n",
        "f:4: the password must not contain",
    ),
    (
        "[[extension]]\nnumber = '1001'\npassword = 'long-enough'\nroutes = ['nowhere']\n",
        "f:7: `routes` names \"nowhere\"",
    ),
    (
        "[[extension]]\nnumber = '1'\npassword = 'long-enough'\n[[extension]]\nnumber = '1'\npassword = 'long-enough'\n",
        "f:7: [[extension]] 1 stands twice",
    ),
    ("[[trunk]]\nname = 'a'\n", "f:4: a trunk without `targets`"),
    ("[[trunk]]\nname = 'a b'\ntargets = ['sip:h']\n", "f:5: `name`"),
    ("[[trunk]]\nname = 'a'\ntargets = ['http://h']\n", "f:6: `targets`: \"http://h\""),
    (
        "[[trunk]]\nname = 'a'\ntargets = ['sip:u@h']\n",
        "f:6: `targets`: \"sip:u@h\" must not name a user",
    ),
    (
        "[[trunk]]\nname = 'a'\ntargets = ['sip:h;transport=sctp']\n",
        "f:6: `targets`: \"sip:h;transport=sctp\": transport sctp",
    ),
    (
        "[[trunk]]\nname = 'a'\nnetworks = ['10.0.0.0/33']\n",
        "f:6: `networks`: \"10.0.0.0/33\" is not a network",
    ),
    (
        "[[trunk]]\nname = 'a'\nnetworks = ['10.0.0.1/8']\n",
        "f:6: `networks`: 10.0.0.1/8 has bits beyond its prefix; 10.0.0.0/8",
    ),
    (
        "[[trunk]]\nname = 'a'\nnetworks = ['0.0.0.0/0', '10.1.0.0/16']\n",
        "f:6: `networks`: 0.0.0.0/0 would trust every",
    ),
    (
        "[[trunk]]\nname = 'a'\nnetworks = ['10.0.0.0/8']\n[[trunk]]\nname = 'b'\nnetworks = ['10.1.0.0/16']\n",
        "f:9: overlaps 10.0.0.0/8 of trunk a",
    ),
    (
        "[[trunk]]\nname = 'a'\ntargets = ['sip:h']\nregister_s = 300\n",
        "f:4: `register_s` needs [trunk.credentials]",
    ),
    ("[[trunk]]\nname = 'a'\ntls_name = 'h.example'\n", "f:4: `tls_name` needs"),
    (
        "[[trunk]]\nname = 'a'\ntargets = ['sip:h']\npass_headers = ['Via']\n",
        "f:7: `pass_headers`: Via is written anew",
    ),
    (
        "[[trunk]]\nname = 'a'\ntargets = ['sip:h']\n[trunk.credentials]\nusername = 'u'\n",
        "f:7: needs exactly one of `password`",
    ),
    (
        "[[trunk]]\nname = 'a'\ntargets = ['sip:h']\n[trunk.outbound_numbers]\nplus = 'maybe'\n",
        "f:8: `plus`",
    ),
    (
        "[[trunk]]\nname = 'a'\nnetworks = ['10.0.0.0/8']\n[[route]]\nname = 'r'\nprefixes = ['']\ntrunks = ['a']\n",
        "f:10: trunk a has no `targets`",
    ),
    ("[[route]]\nname = 'r'\nprefixes = ['0']\ntrunks = ['b']\n", "f:7: `trunks` names \"b\""),
    ("[[route]]\nname = 'r'\nprefixes = ['0']\n", "f:4: a route needs `trunks`"),
    ("[[entry_point]]\nnumber = '+49'\nextension = '7'\n", "f:6: `extension` names \"7\""),
    (
        "[extension]\nnumber = '1'\n",
        "f:4: `extension` must be a list of tables: write [[extension]], not a table",
    ),
    ("[[extensions]]\nnumber = '1'\n", "f:4: unknown key `extensions` in the file"),
];

#[test]
fn each_mistake_is_named_with_its_line() {
    for (rest, expected) in ROWS {
        let found = problems(rest);
        assert_eq!(found.len(), 1, "{rest}\n{found:#?}");
        assert!(found[0].starts_with(expected), "{rest}\n{}\nis not\n{expected}", found[0]);
    }
}

#[test]
fn a_file_without_a_listener_is_refused() {
    let found = read_text("").unwrap_err();
    assert_eq!(found[0].to_string(), "f:1: at least one [[listen]] is needed");
}

#[test]
fn an_unreadable_file_is_a_problem_of_its_first_line() {
    let found = load(Path::new("/nonexistent/hookflash.toml")).unwrap_err();
    assert!(found[0].to_string().starts_with("/nonexistent/hookflash.toml:1: cannot be read"));
}

#[test]
fn a_password_may_stand_in_a_file_of_its_own() {
    let directory = std::env::temp_dir().join(format!("hookflash-config-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("pw"), "from-a-file\n").unwrap();
    let text = format!("{LISTEN}[[extension]]\nnumber = '1001'\npassword_file = 'pw'\n");
    let settings = read("f", &text, &directory).unwrap();
    assert_eq!(settings.core.extensions[0].password.reveal(), "from-a-file");
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn media_follow_the_listeners() {
    let text = "[[listen]]\ntransport = 'udp'\naddress = '0.0.0.0:5060'\nadvertise = '203.0.113.7:5070'\n\
                [[listen]]\ntransport = 'tcp'\naddress = '[::1]:5060'\n";
    let media = read_text(text).unwrap().core.media;
    assert_eq!(media.ipv4, Some([0, 0, 0, 0].into()));
    assert_eq!(media.advertise_ipv4, Some([203, 0, 113, 7].into()));
    assert_eq!(media.ipv6, "::1".parse().ok());
    assert_eq!(media.advertise_ipv6, None);
}
