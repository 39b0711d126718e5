//! The hearing half of a connection.

use std::sync::Arc;
use std::time::SystemTime;

use crate::error::Closed;
use crate::queue::{EventQueue, Item};

/// The events of a connection, in QEMU's order, each exactly once.
///
/// Never silently quiet: the stream ends with the reason why ([`Closed`]), and what could not be
/// kept is an item ([`Item::Dropped`]). Dropped, events are discarded and the connection goes on for
/// its [`Client`](crate::Client)s.
#[derive(Debug)]
pub struct Events {
    queue: Arc<EventQueue>,
}

impl Events {
    pub(crate) fn new(queue: Arc<EventQueue>) -> Self {
        Self { queue }
    }

    /// Waits for the next item. Cancel safe.
    ///
    /// # Errors
    ///
    /// The connection is over and all items were taken; the same again at every later call.
    pub async fn next(&mut self) -> Result<Item, Closed> {
        self.queue.next().await
    }

    /// The next item if there is one now.
    ///
    /// # Errors
    ///
    /// As for [`Events::next`].
    pub fn try_next(&mut self) -> Result<Option<Item>, Closed> {
        self.queue.take().transpose()
    }

    /// When the connection ended; now, if it has not.
    pub(crate) fn ended_at(&self) -> SystemTime {
        self.queue
            .ended()
            .map_or_else(SystemTime::now, |(_, at)| at)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.queue.abandon();
    }
}
