//! One machine, followed for as long as it takes.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use qmp_protocol::Garbage;
use tokio::time::{Instant, Sleep, sleep};

use crate::address::Address;
use crate::client::Client;
use crate::connection::{Connection, connect};
use crate::error::{Closed, ConnectError};
use crate::events::Events;
use crate::limits::{BACKOFF_FIRST, BACKOFF_MAX};
use crate::listener::Listener;
use crate::options::Options;
use crate::queue::{Dropped, Item, RawEvent};

/// How long to pause before trying again: longer every time, up to a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first pause, also after a connection that had lasted longer than `max`. 100 ms.
    pub first: Duration,
    /// The longest pause. Each is twice the one before until it is reached. 5 s.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: BACKOFF_FIRST,
            max: BACKOFF_MAX,
        }
    }
}

/// The events of one monitor across all its connections.
///
/// QMP has no replay: what QEMU emits while nobody listens is gone. So the stream says when nobody
/// did: after [`FollowItem::Detached`] nothing is heard until, right before the next
/// [`FollowItem::Attached`], a [`FollowItem::Gap`] with its bounds and reason. "Nothing happened" and
/// "nobody was listening" never look the same.
///
/// It never ends by itself. Attempts are made while [`Reconnecting::next`] is awaited; a failed one is
/// an item ([`FollowItem::Failed`]), and the caller decides whether to go on.
pub struct Reconnecting {
    source: Source,
    options: Options,
    backoff: Backoff,
    /// The pause to come.
    pause: Duration,
    phase: Phase,
    /// Attempts that failed since the last success.
    failures: u32,
    /// What is lost from when on.
    lost: Option<Detached>,
    /// Items that are ready.
    ready: VecDeque<FollowItem>,
}

/// Something that happened to the machine, or to our hearing of it.
#[derive(Debug)]
#[non_exhaustive]
pub enum FollowItem {
    /// Connected: from here on every event is heard.
    Attached(Attached),
    /// An event.
    Event(RawEvent),
    /// Here events are missing: they came faster than they were taken.
    Dropped(Dropped),
    /// Here bytes are missing that were no message.
    Garbage(Garbage),
    /// A message that is no event and answers no command, see [`Item::Stray`].
    Stray(String),
    /// The connection ended. From here on nothing is heard.
    Detached(Detached),
    /// An attempt to connect failed.
    Failed(Failed),
    /// Connected again: here events are missing that nobody heard.
    Gap(Gap),
}

/// A connection was made.
#[derive(Clone, Debug)]
pub struct Attached {
    /// For commands over this connection.
    pub client: Client,
    /// When every event began to be heard.
    pub at: SystemTime,
}

/// A connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detached {
    /// Why.
    pub reason: Closed,
    /// When.
    pub at: SystemTime,
    /// The pause before the next attempt.
    pub retry_in: Duration,
}

/// An attempt to connect failed.
#[derive(Debug)]
pub struct Failed {
    /// Why.
    pub error: ConnectError,
    /// How many attempts failed in a row, this one included.
    pub attempts: u32,
    /// The pause before the next attempt.
    pub retry_in: Duration,
}

/// Nobody was listening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// When the last connection ended.
    pub from: SystemTime,
    /// When the new one began to hear every event.
    pub until: SystemTime,
    /// Why the last connection ended.
    pub reason: Closed,
}

/// Where connections come from.
#[derive(Clone)]
enum Source {
    Dial(Address),
    Accept(Arc<Listener>),
}

/// An attempt under way.
type Attempt = Pin<Box<dyn Future<Output = Result<Connection, ConnectError>> + Send>>;

enum Phase {
    Pausing(Pin<Box<Sleep>>),
    Connecting(Attempt),
    Attached { events: Events, since: Instant },
}

impl Reconnecting {
    /// Follows a monitor that QEMU listens on.
    pub fn dial(address: Address, options: Options, backoff: Backoff) -> Self {
        Self::new(Source::Dial(address), options, backoff)
    }

    /// Follows a machine that dials in, one connection after the other.
    pub fn accept(listener: Listener, options: Options, backoff: Backoff) -> Self {
        Self::new(Source::Accept(Arc::new(listener)), options, backoff)
    }

    fn new(source: Source, options: Options, backoff: Backoff) -> Self {
        Self {
            phase: Phase::Connecting(attempt(source.clone(), options.clone())),
            source,
            options,
            backoff,
            pause: backoff.first,
            failures: 0,
            lost: None,
            ready: VecDeque::new(),
        }
    }

    /// Waits for the next item; connects and pauses as needed. Cancel safe: an attempt or a pause
    /// under way is taken up again by the next call.
    pub async fn next(&mut self) -> FollowItem {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return item;
            }
            match &mut self.phase {
                Phase::Pausing(pause) => {
                    pause.await;
                    let next = attempt(self.source.clone(), self.options.clone());
                    self.phase = Phase::Connecting(next);
                }
                Phase::Connecting(attempt) => match attempt.await {
                    Ok(connection) => self.attach(connection),
                    Err(error) => self.fail(error),
                },
                Phase::Attached { events, since } => match events.next().await {
                    Ok(item) => return item.into(),
                    Err(reason) => {
                        let (at, lasted) = (events.ended_at(), since.elapsed());
                        self.detach(reason, at, lasted);
                    }
                },
            }
        }
    }

    fn attach(&mut self, connection: Connection) {
        let Connection { client, events } = connection;
        let at = SystemTime::now();
        let since = Instant::now();
        self.phase = Phase::Attached { events, since };
        self.failures = 0;
        if let Some(lost) = self.lost.take() {
            self.ready.push_back(FollowItem::Gap(Gap {
                from: lost.at,
                until: at,
                reason: lost.reason,
            }));
        }
        self.ready
            .push_back(FollowItem::Attached(Attached { client, at }));
    }

    fn fail(&mut self, error: ConnectError) {
        self.failures = self.failures.saturating_add(1);
        let failed = Failed {
            error,
            attempts: self.failures,
            retry_in: self.begin_pause(),
        };
        self.ready.push_back(FollowItem::Failed(failed));
    }

    fn detach(&mut self, reason: Closed, at: SystemTime, lasted: Duration) {
        if lasted > self.backoff.max {
            self.pause = self.backoff.first;
        }
        let detached = Detached {
            reason,
            at,
            retry_in: self.begin_pause(),
        };
        self.lost = Some(detached.clone());
        self.ready.push_back(FollowItem::Detached(detached));
    }

    /// Starts the pause before the next attempt; the one after will be twice as long.
    fn begin_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.phase = Phase::Pausing(Box::pin(sleep(pause)));
        self.pause = pause.saturating_mul(2).min(self.backoff.max);
        pause
    }
}

impl From<Item> for FollowItem {
    fn from(item: Item) -> Self {
        match item {
            Item::Event(event) => Self::Event(event),
            Item::Dropped(dropped) => Self::Dropped(dropped),
            Item::Garbage(garbage) => Self::Garbage(garbage),
            Item::Stray(text) => Self::Stray(text),
        }
    }
}

fn attempt(source: Source, options: Options) -> Attempt {
    Box::pin(async move {
        match source {
            Source::Dial(address) => connect(&address, &options).await,
            Source::Accept(listener) => listener.accept(&options).await,
        }
    })
}
