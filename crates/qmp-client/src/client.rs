//! The commanding half of a connection.

use std::sync::Arc;
use std::time::Duration;

use qmp_protocol::{Greeting, RefusedCommand};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::timeout;

use crate::driver::Request;
use crate::error::{CloseReason, Closed, ExecuteError};
use crate::peer::Peer;
use crate::queue::EventQueue;

/// Sends commands over a connection. Cheap to clone; all clones share the connection.
///
/// Commands are sent in the order in which they are given, and any number may wait at the same time.
/// A future that is dropped takes its command back if that was not sent yet; else the answer is
/// dropped when it comes.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
    timeout: Duration,
}

/// What all clones share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) gave_up: Arc<Notify>,
    pub(crate) events: Arc<EventQueue>,
    pub(crate) greeting: Greeting,
    pub(crate) oob: bool,
    pub(crate) peer: Option<Peer>,
}

impl Client {
    pub(crate) fn new(inner: Inner, timeout: Duration) -> Self {
        Self {
            inner: Arc::new(inner),
            timeout,
        }
    }

    /// Executes a command and gives what it returned, as JSON. `arguments` is anything that
    /// serializes as a JSON object, or `()` for none.
    ///
    /// # Errors
    ///
    /// If QEMU answers with an error, does not answer in time, or is gone; see [`ExecuteError`].
    pub async fn execute(
        &self,
        command: &str,
        arguments: impl Serialize,
    ) -> Result<Box<RawValue>, ExecuteError> {
        self.send(command, arguments, false).await
    }

    /// Executes a command and reads what it returned as a `T`.
    ///
    /// # Errors
    ///
    /// As for [`Client::execute`], and if the result is not a `T`.
    pub async fn execute_as<T: DeserializeOwned>(
        &self,
        command: &str,
        arguments: impl Serialize,
    ) -> Result<T, ExecuteError> {
        let result = self.execute(command, arguments).await?;
        Ok(serde_json::from_str(result.get())?)
    }

    /// Executes a command out of band: it overtakes those that wait. Needs
    /// [`Options::oob`](crate::Options::oob) and a QEMU that offers it; few commands allow it
    /// (`migrate-pause`, `migrate-recover`, `yank`, ...).
    ///
    /// # Errors
    ///
    /// As for [`Client::execute`], and if out-of-band is not enabled.
    pub async fn execute_oob(
        &self,
        command: &str,
        arguments: impl Serialize,
    ) -> Result<Box<RawValue>, ExecuteError> {
        if !self.inner.oob {
            return Err(ExecuteError::Refused(RefusedCommand::NoOob));
        }
        self.send(command, arguments, true).await
    }

    /// The same client with another time limit for its commands.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            timeout,
        }
    }

    /// What QEMU said of itself when we connected.
    pub fn greeting(&self) -> &Greeting {
        &self.inner.greeting
    }

    /// True if out-of-band commands are enabled.
    pub fn oob(&self) -> bool {
        self.inner.oob
    }

    /// The process at the other end; `None` over TCP and over streams that are no sockets.
    pub fn peer(&self) -> Option<Peer> {
        self.inner.peer
    }

    /// Why the connection is over; `None` while it is not.
    pub fn closed(&self) -> Option<Closed> {
        self.inner.events.ended().map(|(closed, _)| closed)
    }

    async fn send(
        &self,
        command: &str,
        arguments: impl Serialize,
        oob: bool,
    ) -> Result<Box<RawValue>, ExecuteError> {
        let arguments = print_arguments(arguments)?;
        let (answer, result) = oneshot::channel();
        let request = Request {
            command: command.to_owned(),
            arguments,
            oob,
            answer,
        };
        let mut waiter = Waiter {
            result: Some(result),
            gave_up: &self.inner.gave_up,
        };
        match timeout(self.timeout, self.exchange(request, &mut waiter)).await {
            Ok(result) => result,
            Err(_) => Err(ExecuteError::TimedOut(self.timeout)),
        }
    }

    async fn exchange(
        &self,
        request: Request,
        waiter: &mut Waiter<'_>,
    ) -> Result<Box<RawValue>, ExecuteError> {
        if self.inner.requests.send(request).await.is_err() {
            return Err(self.gone());
        }
        let Some(result) = waiter.result.as_mut() else {
            return Err(self.gone());
        };
        let result = result.await;
        waiter.result = None;
        result.unwrap_or_else(|_| Err(self.gone()))
    }

    /// The driver has ended without an answer.
    fn gone(&self) -> ExecuteError {
        let by_us = Closed {
            reason: CloseReason::ByUs,
        };
        ExecuteError::Closed(self.closed().unwrap_or(by_us))
    }
}

/// Somebody who waits for an answer. When dropped before it came, the driver is told.
struct Waiter<'a> {
    result: Option<oneshot::Receiver<Result<Box<RawValue>, ExecuteError>>>,
    gave_up: &'a Notify,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        if let Some(mut result) = self.result.take() {
            result.close();
            self.gave_up.notify_one();
        }
    }
}

/// `()` and `None` are no arguments. That it is an object is checked where it is printed.
fn print_arguments(arguments: impl Serialize) -> Result<Option<String>, ExecuteError> {
    let text = serde_json::to_string(&arguments)
        .map_err(|error| ExecuteError::Arguments(error.to_string()))?;
    Ok((text != "null").then_some(text))
}
