//! From an address to a conversation that is ready.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};

use crate::address::Address;
use crate::client::{Client, Inner};
use crate::driver::{Driver, HandshakeError};
use crate::error::{ConnectError, ConnectErrorKind};
use crate::events::Events;
use crate::limits::REQUESTS_MAX_COUNT;
use crate::options::Options;
use crate::peer::Peer;
use crate::queue::EventQueue;
use crate::socket::{Transport, dial};

/// A connection to a monitor, negotiated: from here on every event is heard.
///
/// It is closed when its [`Events`] and the last [`Client`] are dropped.
#[derive(Debug)]
pub struct Connection {
    /// For commands.
    pub client: Client,
    /// For events.
    pub events: Events,
}

/// Connects to a monitor, waits for its greeting and negotiates.
///
/// # Errors
///
/// Each way in which this can fail has its own [`ConnectErrorKind`]; at the latest after
/// [`Options::greeting_timeout`].
pub async fn connect(address: &Address, options: &Options) -> Result<Connection, ConnectError> {
    let started = Instant::now();
    let limit = options.greeting_timeout;
    let dialled = timeout(limit, dial(address)).await;
    let result = match dialled.unwrap_or(Err(ConnectErrorKind::Unreachable(limit))) {
        Ok(socket) => {
            let spent = started.elapsed();
            greet(socket.into_transport(), options, spent).await
        }
        Err(kind) => Err(kind),
    };
    result.map_err(|kind| ConnectError {
        address: address.clone(),
        kind,
    })
}

impl Connection {
    /// Speaks QMP over a stream that is connected already: a file descriptor that was passed on, a
    /// tunnel, a pair in memory.
    ///
    /// # Errors
    ///
    /// As for [`connect`], without those of dialling.
    pub async fn from_stream<S>(stream: S, options: &Options) -> Result<Self, ConnectErrorKind>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        greet((Box::new(stream), None), options, Duration::ZERO).await
    }
}

/// The handshake; on success the driver runs in a task of its own. `spent` of the time limit is used
/// up already.
pub(crate) async fn greet(
    (stream, peer): (Box<dyn Transport>, Option<Peer>),
    options: &Options,
    spent: Duration,
) -> Result<Connection, ConnectErrorKind> {
    let (requests, received) = mpsc::channel(REQUESTS_MAX_COUNT);
    let gave_up = Arc::new(Notify::new());
    let queue = Arc::new(EventQueue::new(options));
    let limit = options.greeting_timeout;
    let options = Options {
        greeting_timeout: limit.saturating_sub(spent),
        ..options.clone()
    };
    let notify = Arc::clone(&gave_up);
    let mut driver = Driver::new(stream, &options, received, notify, Arc::clone(&queue));
    let (greeting, oob) = driver
        .handshake()
        .await
        .map_err(|error| explain(error, limit, peer.and_then(|peer| peer.pid)))?;
    tokio::spawn(driver.run());
    let inner = Inner {
        requests,
        gave_up,
        events: Arc::clone(&queue),
        greeting,
        oob,
        peer,
    };
    Ok(Connection {
        client: Client::new(inner, options.command_timeout),
        events: Events::new(queue),
    })
}

fn explain(error: HandshakeError, waited: Duration, pid: Option<u32>) -> ConnectErrorKind {
    match error {
        HandshakeError::Io(error) => ConnectErrorKind::Io(error),
        HandshakeError::Session(end) => ConnectErrorKind::of_session(end, waited, pid),
    }
}
