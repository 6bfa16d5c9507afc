use proptest::prelude::*;

use super::super::testing::invite;
use super::*;

const SDP: &str = "Content-Type: application/sdp";
const MIXED: &str = "Content-Type: multipart/mixed;boundary=\"b 1\"";
const ISUP: &str = "Content-Type: application/isup\r\n\r\n\u{1}\u{2}";
const OPTIONAL_ISUP: &str = "Content-Type: application/isup\r\n\
                             Content-Disposition: signal;handling=optional\r\n\r\n\u{1}\u{2}";
const DESCRIBED: &str = "content-type: application/sdp\r\n\r\nv=0\r\n";

/// A multipart body of these parts.
fn mixed(parts: &[&str]) -> String {
    let mut text = "a preamble, to be ignored\r\n".to_owned();
    for part in parts {
        text.push_str(&format!("--b 1\r\n{part}\r\n"));
    }
    text + "--b 1--\r\nan epilogue"
}

/// Status of the refusal, 0 for none, and the description found.
fn outcome(headers: &str, body: &str) -> (u16, Option<String>) {
    let mut request = invite(headers);
    request.body = Bytes::copy_from_slice(body.as_bytes());
    let refused = check(&request).err();
    if let Some(response) = &refused {
        let accepts = response.headers.get(Name::Accept);
        assert_eq!(accepts, (response.status.0 == 415).then_some(ACCEPT));
    }
    let description = description(&request.headers, &request.body);
    let text = description.map(|d| String::from_utf8_lossy(&d).into_owned());
    (refused.map_or(0, |response| response.status.0), text)
}

#[test]
fn a_plain_body_is_read_ignored_or_refused() {
    let early = format!("{SDP}\r\nContent-Disposition: early-session");
    let optional = "Content-Disposition: session;handling=optional";
    let rows = [
        (SDP.to_owned(), 0, true),
        ("Content-Type: Application/SDP;charset=utf-8".into(), 0, true),
        (format!("{SDP}\r\nContent-Disposition: session;handling=required"), 0, true),
        (format!("{SDP}\r\nContent-Disposition: Session"), 0, true),
        (format!("{SDP}\r\nContent-Encoding: identity"), 0, true),
        (format!("{SDP}\r\nContent-Encoding: gzip"), 415, false),
        (format!("{SDP}\r\nContent-Encoding: identity, gzip"), 415, false),
        (format!("{SDP}\r\nContent-Encoding: gzip\r\n{optional}"), 0, false),
        (early.clone(), 415, false),
        (format!("{early}; Handling = \"optional\""), 0, false),
        ("Content-Type: application/isup".into(), 415, false),
        ("Content-Type: nonsense".into(), 415, false),
        (String::new(), 415, false),
        (format!("Content-Type: application/isup\r\n{optional}"), 0, false),
    ];
    for (headers, status, described) in rows {
        assert_eq!(outcome(&headers, ""), (0, None), "no body, no question: {headers}");
        let expected = (status, described.then(|| "v=0".to_owned()));
        assert_eq!(outcome(&headers, "v=0"), expected, "{headers}");
    }
}

#[test]
fn what_encodings_we_take_is_told() {
    let mut request = invite(&format!("{SDP}\r\nContent-Encoding: gzip"));
    request.body = "v=0".into();
    let refused = check(&request).unwrap_err();
    assert_eq!(refused.headers.get(Name::AcceptEncoding), Some("identity"));
}

/// RFC 5621 §3.2, §8.
#[test]
fn a_multipart_body_is_taken_for_its_description() {
    let description = Some("v=0\r\n".to_owned());
    let base64 = "Content-Type: application/sdp\r\nContent-Transfer-Encoding: base64\r\n\r\ndj0w";
    let early =
        "Content-Type: application/sdp\r\nContent-Disposition: early-session\r\n\r\nv=1\r\n";
    let optional_early = early.replace("early-session", "early-session;handling=optional");
    let rows: [(&[&str], u16, bool); 10] = [
        (&[DESCRIBED], 0, true),
        (&[OPTIONAL_ISUP, DESCRIBED], 0, true),
        (&[DESCRIBED, OPTIONAL_ISUP], 0, true),
        (&[DESCRIBED, &optional_early], 0, true),
        (&[OPTIONAL_ISUP], 0, false),
        (&[ISUP, DESCRIBED], 415, true),
        (&[DESCRIBED, "\r\nplain text by default, RFC 2046 §5.2"], 415, true),
        (&[early], 415, false),
        (&[base64], 415, false),
        (&[], 400, false),
    ];
    for (parts, status, described) in rows {
        let body = if parts.is_empty() { "nothing".to_owned() } else { mixed(parts) };
        let expected = (status, description.clone().filter(|_| described));
        assert_eq!(outcome(MIXED, &body), expected, "{body}");
    }
    // All of it optional: ignored as a whole.
    let optional = format!("{MIXED}\r\nContent-Disposition: render;handling=optional");
    assert_eq!(outcome(&optional, &mixed(&[ISUP, DESCRIBED])), (0, None));
}

#[test]
fn of_alternatives_the_last_that_is_understood_counts() {
    let alternative = MIXED.replace("mixed", "alternative");
    let later = "Content-Type: application/sdp\r\n\r\nv=0 later";
    let rows: [(&[&str], u16, Option<&str>); 3] = [
        (&[DESCRIBED, ISUP], 0, Some("v=0\r\n")),
        (&[DESCRIBED, later], 0, Some("v=0 later")),
        (&[ISUP], 415, None),
    ];
    for (parts, status, text) in rows {
        let expected = (status, text.map(str::to_owned));
        assert_eq!(outcome(&alternative, &mixed(parts)), expected, "{parts:?}");
    }
}

#[test]
fn parts_and_depth_are_bounded() {
    let many = |count: usize| {
        let mut parts = vec![OPTIONAL_ISUP; count - 1];
        parts.push(DESCRIBED);
        outcome(MIXED, &mixed(&parts)).0
    };
    assert_eq!((many(PARTS_MAX), many(PARTS_MAX + 1), many(1000)), (0, 415, 415));
    let inner = |name: &str, part: &str| {
        format!(
            "Content-Type: multipart/mixed;boundary={name}\r\n\r\n--{name}\r\n{part}\r\n--{name}--"
        )
    };
    let (one, two) = (inner("c", DESCRIBED), inner("d", &inner("c", DESCRIBED)));
    assert_eq!(outcome(MIXED, &mixed(&[&one])), (0, Some("v=0\r\n".to_owned())));
    assert_eq!(outcome(MIXED, &mixed(&[&two])), (415, None));
}

#[test]
fn what_cannot_be_taken_apart_is_400() {
    let whole = mixed(&[DESCRIBED]);
    let no_boundary = "Content-Type: multipart/mixed";
    let long = format!("{no_boundary};boundary={}", "x".repeat(BOUNDARY_MAX + 1));
    let unclosed = whole.split("--b 1--").next().unwrap();
    for (headers, body) in [
        (no_boundary, &*whole),
        (&long, &whole),
        (MIXED, unclosed),
        (MIXED, "--b 1\r\nContent-Type: application/sdp\r\n\r\nv=0"),
        (MIXED, "--b 1 --b 1--"),
        (MIXED, "--b 1\r\nno header at all\r\n\r\nv=0\r\n--b 1--"),
    ] {
        assert_eq!(outcome(headers, body), (400, None), "{headers}\n{body}");
    }
}

proptest! {
    /// Nothing that stands in a part is lost or added.
    #[test]
    fn parts_come_out_as_they_went_in(parts in prop::collection::vec("[a-z\r\n-]{0,40}", 1..PARTS_MAX)) {
        prop_assume!(parts.iter().all(|part| !part.contains("--b")));
        let body = Bytes::from(
            parts.iter().map(|part| format!("--b\r\n{part}\r\n")).collect::<String>() + "--b--",
        );
        let found = split(&body, "b").unwrap();
        let found: Vec<_> = found.iter().map(|p| String::from_utf8_lossy(p).into_owned()).collect();
        prop_assert_eq!(found, parts);
    }

    #[test]
    fn any_bytes_are_read(body in prop::collection::vec(prop::sample::select(b"-b\r\n :;".to_vec()), 0..200)) {
        let mut request = invite("Content-Type: multipart/mixed;boundary=b");
        request.body = body.into();
        let described = description(&request.headers, &request.body);
        prop_assert_eq!(described, None);
        let _ = check(&request);
    }
}
