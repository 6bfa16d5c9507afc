//! Headers of an INVITE that ask a phone to answer by itself (INTEROP, S11).

use crate::message::{Headers, Name};

/// Asks for an answer at once, in every way that phones of the field understand: RFC 5373, and the
/// `answer-after` and `Alert-Info` that came before it. Phones ignore the ways that are not theirs.
/// Policy stands with the phone: it may ring all the same.
pub fn auto_answer(headers: &mut Headers, host: &str) {
    // RFC 5373 §3: without `;require`, a phone that does not know it rings.
    headers.set(Name::AnswerMode, "Auto");
    headers.set(Name::CallInfo, format!("<sip:{host}>;answer-after=0"));
    // Poly and Yealink look for the word, Grandstream and Cisco for the parameter.
    headers.set(Name::AlertInfo, format!("<http://{host}>;info=alert-autoanswer;delay=0"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_phone_finds_its_header_once() {
        let mut headers = Headers::new();
        auto_answer(&mut headers, "pbx.example");
        auto_answer(&mut headers, "pbx.example");
        let lines: Vec<_> =
            headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(
            lines,
            [
                "Answer-Mode: Auto",
                "Call-Info: <sip:pbx.example>;answer-after=0",
                "Alert-Info: <http://pbx.example>;info=alert-autoanswer;delay=0",
            ]
        );
    }
}
