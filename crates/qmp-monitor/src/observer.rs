//! Watching a monitor at work: metrics, logs.

use qmp_protocol::monitor::Closed;

use crate::hub::SessionId;

/// Told what happens at a monitor, on its own thread (or in the embedder's loop), never from within an
/// emit. Every method does nothing unless written; events are counted in [`Stats`](crate::Stats).
pub trait Observer: Send {
    /// A client connected and was greeted.
    fn client_connected(&mut self, _client: SessionId) {}

    /// A client has negotiated and hears events from now on.
    fn client_ready(&mut self, _client: SessionId) {}

    /// A client is gone, and why.
    fn client_gone(&mut self, _client: SessionId, _why: &Closed) {}

    /// A client's command is about to be run.
    fn command(&mut self, _client: SessionId, _name: &str) {}

    /// A client could not be accepted, for want of descriptors or memory.
    fn accept_failed(&mut self, _error: &std::io::Error) {}
}

/// Observes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl Observer for NoObserver {}
