//! Somebody on the Internet who has overheard a call and guesses the rest.

use base::Rng;

use crate::script::pick;
use crate::text::Msg;

/// What he tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// A request inside a dialog whose Call-ID he knows, with tags that he guesses.
    GuessedTags,
    /// A request inside a dialog that he has overheard entirely, from his own address.
    Overheard,
    /// An INVITE that names an extension or the trunk in From, without credentials.
    Spoofed,
    /// REGISTER with a wrong password.
    Password,
    /// A 200 to a request that the server never sent to him.
    Forged,
    /// Bytes.
    Garbage,
}

pub(crate) const ATTACKS: [Attack; 6] = [
    Attack::GuessedTags,
    Attack::Overheard,
    Attack::Spoofed,
    Attack::Password,
    Attack::Forged,
    Attack::Garbage,
];

/// What he knows of a call.
pub(crate) struct Overheard {
    pub(crate) call_id: String,
    pub(crate) server_tag: String,
    pub(crate) peer_tag: String,
}

/// Number that nobody may ever reach.
pub(crate) const FORBIDDEN: &str = "0666123";

/// One packet of his. `address` is his own.
pub(crate) fn packet(
    rng: &mut Rng,
    attack: Attack,
    known: Option<&Overheard>,
    address: &str,
) -> Vec<u8> {
    let branch = format!("z9hG4bK-evil-{}", rng.token(10));
    let via = format!("SIP/2.0/UDP {address};branch={branch};rport");
    let guess = rng.token(12);
    let (call_id, server_tag, peer_tag) = match known {
        Some(known) if attack == Attack::Overheard => {
            (known.call_id.clone(), known.server_tag.clone(), known.peer_tag.clone())
        }
        Some(known) => (known.call_id.clone(), guess.clone(), rng.token(8)),
        None => (rng.token(16), guess.clone(), rng.token(8)),
    };
    let method = *pick(rng, &["BYE", "INVITE", "CANCEL", "UPDATE", "PRACK", "ACK", "INFO"]);
    let base = |method: &str, uri: &str| {
        Msg::request(method, uri).with("Via", via.clone()).with("Max-Forwards", "70")
    };
    let contact = format!("<sip:evil@{address}>");
    let msg = match attack {
        Attack::GuessedTags | Attack::Overheard => base(method, "sip:127.0.0.1:5060")
            .with("From", format!("<sip:1001@hookflash.test>;tag={peer_tag}"))
            .with("To", format!("<sip:1002@hookflash.test>;tag={server_tag}"))
            .with("Call-ID", call_id)
            .with("CSeq", format!("{} {method}", 500 + rng.below(1000)))
            .with("Contact", contact),
        Attack::Spoofed => {
            let from = *pick(rng, &["sip:1002@hookflash.test", "sip:carrier@127.0.0.2"]);
            let to = *pick(rng, &[FORBIDDEN, "1001", "+4930100"]);
            base("INVITE", &format!("sip:{to}@127.0.0.1:5060"))
                .with("From", format!("<{from}>;tag={guess}"))
                .with("P-Asserted-Identity", "<sip:1002@hookflash.test>")
                .with("To", format!("<sip:{to}@hookflash.test>"))
                .with("Call-ID", rng.token(16))
                .with("CSeq", "1 INVITE")
                .with("Contact", contact)
        }
        Attack::Password => base("REGISTER", "sip:hookflash.test")
            .with("From", format!("<sip:1001@hookflash.test>;tag={guess}"))
            .with("To", "<sip:1001@hookflash.test>")
            .with("Call-ID", rng.token(16))
            .with("CSeq", "1 REGISTER")
            .with("Contact", contact)
            .with(
                "Authorization",
                "Digest username=\"1001\", realm=\"hookflash.test\", nonce=\"00\", \
                 uri=\"sip:hookflash.test\", response=\"00\", algorithm=MD5, cnonce=\"1\", \
                 qop=auth, nc=00000001",
            ),
        Attack::Forged => {
            Msg { start: "SIP/2.0 200 OK".to_owned(), headers: Vec::new(), body: String::new() }
                .with("Via", format!("SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK{guess}"))
                .with("From", format!("<sip:x@y>;tag={server_tag}"))
                .with("To", format!("<sip:x@y>;tag={peer_tag}"))
                .with("Call-ID", call_id)
                .with("CSeq", "1 INVITE")
                .with("Contact", contact)
        }
        Attack::Garbage => {
            let mut bytes = base("INVITE", "sip:1001@x").with("From", guess).to_bytes();
            let at = usize::try_from(rng.below(bytes.len() as u64)).unwrap_or(0);
            bytes.truncate(at);
            bytes.push(u8::try_from(rng.below(256)).unwrap_or(0));
            return bytes;
        }
    };
    msg.to_bytes()
}

/// What is wrong with what he got for his packets.
pub(crate) fn fault_of_reply(bytes: &[u8]) -> Option<String> {
    let Some(msg) = Msg::parse(bytes) else {
        return Some("an unreadable message to a stranger".to_owned());
    };
    match msg.status() {
        None => Some(format!("a request to a stranger: {}", msg.start)),
        Some(101..=299) => Some(format!("a stranger is served: {}", msg.start)),
        Some(_) => None,
    }
}
