//! A call between two of our own clients, for tests that look at single messages.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::audio::{self, Audio};
use crate::client::{Client, Dialog, Message};
use crate::{Ended, Server};

/// Address of the trunk `customer`.
pub const CUSTOMER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// CSeq of a BYE: above that of whatever a client has said before.
const LAST: u32 = 1_000_000;

/// Address of the phone of 1001.
pub const PHONE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

/// A call of the trunk `customer` to a phone of 1001, up and acknowledged.
#[derive(Debug)]
pub struct Talk {
    /// The caller.
    pub customer: Client,
    /// The phone.
    pub phone: Client,
    /// What the customer's requests carry.
    pub of_customer: Dialog,
    /// What the phone's requests carry.
    pub of_phone: Dialog,
}

impl Talk {
    /// Registers the phone, calls and answers.
    pub fn start(server: &Server) -> Self {
        let mut phone = Client::at(PHONE, server.sip());
        assert_eq!(phone.register("1001", 600).status(), 200);
        Self::with(Client::at(CUSTOMER, server.sip()), phone)
    }

    /// The same with a phone of 1001 that is registered already.
    pub fn with(customer: Client, phone: Client) -> Self {
        let (offer, answer) = (customer.sdp(), phone.sdp());
        Self::with_descriptions(customer, phone, "+4930100", [&offer, &answer]).0
    }

    /// The same with audio: where the server wants that of the customer and that of the phone, whose
    /// number is `number`.
    pub fn with_audio(
        customer: Client,
        phone: Client,
        number: &str,
        [one, two]: [&Audio; 2],
    ) -> (Self, [SocketAddr; 2]) {
        Self::with_descriptions(customer, phone, number, [&one.sdp(), &two.sdp()])
    }

    /// The same with whatever both describe.
    pub fn with_descriptions(
        customer: Client,
        phone: Client,
        number: &str,
        [offer, answer]: [&str; 2],
    ) -> (Self, [SocketAddr; 2]) {
        customer.renew();
        customer.send(&customer.request_with("INVITE", number, "+4915", &[], offer));
        Self::answered(customer, phone, answer)
    }

    /// A phone of `extension`, with its password, that calls another one with audio: the places as
    /// with a customer.
    pub fn of_phones(
        caller: Client,
        extension: &str,
        phone: Client,
        number: &str,
        [one, two]: [&Audio; 2],
    ) -> (Self, [SocketAddr; 2]) {
        caller.renew();
        caller.send_with_digest(extension, &|lines| {
            caller.request_with("INVITE", number, extension, lines, &one.sdp())
        });
        Self::answered(caller, phone, &two.sdp())
    }

    /// The phone answers what was sent to it.
    fn answered(customer: Client, phone: Client, answer: &str) -> (Self, [SocketAddr; 2]) {
        let invite = phone.receive_request("INVITE");
        let answer = phone.reply(&invite, "200 OK", &[], answer);
        phone.send(&answer);
        let answered = customer.receive_final();
        assert_eq!(answered.status(), 200, "{answered}");
        let of_customer = Dialog::of_caller(&answered);
        customer.send(&customer.within(&of_customer, "ACK", answered.seq(), ""));
        phone.receive_request("ACK");
        let of_phone = Dialog::of_callee(&invite, &Message::of(&answer));
        let places = [audio::place(answered.body()), audio::place(invite.body())];
        (Self { customer, phone, of_customer, of_phone }, places)
    }

    /// The customer hangs up, and everybody hears of it.
    pub fn hang_up(&self) {
        let Self { customer, phone, of_customer, .. } = self;
        assert_eq!(customer.ask(&customer.within(of_customer, "BYE", LAST, "")).status(), 200);
        let bye = phone.receive_request("BYE");
        phone.send(&phone.reply(&bye, "200 OK", &[], ""));
    }

    /// Still up: both sides' OPTIONS inside the dialog are answered; then it ends by BYE.
    pub fn ends_well(self, server: Server) -> Ended {
        let Self { customer, phone, of_customer, of_phone } = &self;
        let alive = customer.ask(&customer.within(of_customer, "OPTIONS", 100, ""));
        assert_eq!(alive.status(), 200, "{alive}");
        assert_eq!(phone.ask(&phone.within(of_phone, "OPTIONS", 100, "")).status(), 200);
        self.hang_up();
        let ended = server.stop();
        let ends: Vec<_> = ended.records.iter().map(|r| (r.status(), r.ended_by())).collect();
        assert_eq!(ends, [(200, "caller")]);
        ended
    }

    /// Whether the server hangs up on both within `limit`, which they confirm or do not.
    pub fn is_hung_up_within(&self, limit: Duration, confirm: bool) -> bool {
        [&self.customer, &self.phone].into_iter().all(|client| {
            let Some(bye) = client.receive_within(limit) else { return false };
            assert_eq!(bye.method(), "BYE", "{bye}");
            if confirm {
                client.send(&client.reply(&bye, "200 OK", &[], ""));
            }
            true
        })
    }
}
