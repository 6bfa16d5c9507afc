//! The client's side of the event stream.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// How long the server may take to let us in.
const OPEN_WITHIN: Duration = Duration::from_secs(5);
/// The server asks every 20 s whether we are there: silent for so long, it is not.
const SILENT_MAX: Duration = Duration::from_secs(50);

pub(super) struct Link(WebSocketStream<TcpStream>);

impl Link {
    /// Connects and shows the token, which never stands in the address.
    pub(super) async fn open(
        api: SocketAddr,
        token: &str,
        since: Option<u64>,
    ) -> Result<Self, String> {
        let named = |error: &dyn std::fmt::Display| format!("{api}: {error}");
        let open = async {
            let stream = TcpStream::connect(api).await.map_err(|error| named(&error))?;
            let query = since.map(|since| format!("?since={since}")).unwrap_or_default();
            let url = format!("ws://{api}/v1/events{query}");
            let mut request = url.into_client_request().map_err(|error| named(&error))?;
            let bearer = format!("Bearer {token}").parse();
            let bearer = bearer.map_err(|_| "the token has characters that none can have")?;
            request.headers_mut().insert("authorization", bearer);
            match client_async(request, stream).await {
                Ok((socket, _)) => Ok(Self(socket)),
                Err(Error::Http(answer)) if answer.status().as_u16() == 401 => {
                    Err(format!("{api}: the token is not valid"))
                }
                Err(Error::Http(answer)) => Err(named(&answer.status())),
                Err(error) => Err(named(&error)),
            }
        };
        timeout(OPEN_WITHIN, open).await.map_err(|_| format!("{api} does not answer"))?
    }

    /// The next message. May be dropped while it waits.
    pub(super) async fn next(&mut self) -> Result<String, String> {
        loop {
            let next = timeout(SILENT_MAX, self.0.next()).await;
            match next.map_err(|_| "the server is silent")? {
                Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
                Some(Ok(Message::Close(Some(frame)))) => {
                    return Err(format!("closed: {}", frame.reason));
                }
                // Answered by the next flush.
                Some(Ok(Message::Ping(_))) => self.0.flush().await.map_err(|e| e.to_string())?,
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.to_string()),
                None => return Err("the server has closed the connection".into()),
            }
        }
    }
}
