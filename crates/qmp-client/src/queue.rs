//! What waits between the driver and the consumer of the events: bounded in bytes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use qmp_events::{DecodeError, Envelope, Message};
use qmp_protocol::Garbage;
use tokio::sync::Notify;

use crate::error::{CloseReason, Closed};
use crate::limits::{DROPPED_NAMES_MAX_COUNT, ITEM_OVERHEAD_BYTES};
use crate::options::Options;

/// Something that came from QEMU and answers no command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// An event.
    Event(RawEvent),
    /// Here events are missing: they came faster than they were taken.
    Dropped(Dropped),
    /// Here bytes are missing that were no message.
    Garbage(Garbage),
    /// A message that is no event and answers no command of ours, as sent: QEMU's error about
    /// something it could not read, or no QMP at all.
    Stray(String),
}

/// An event as QEMU sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawEvent {
    /// The JSON object, without line end.
    pub text: String,
    /// When it was read from the socket.
    pub received: SystemTime,
}

impl RawEvent {
    /// Name, stamp and the span of the data.
    ///
    /// # Errors
    ///
    /// Only if the sender is no QEMU: the text has an `event` member, but is not laid out as an event.
    pub fn envelope(&self) -> Result<Envelope<'_>, DecodeError> {
        Envelope::read(&self.text)
    }

    /// The event with every member typed. Unknown events and members are kept, not an error.
    ///
    /// # Errors
    ///
    /// As for [`RawEvent::envelope`].
    pub fn decode(&self) -> Result<Message<'_>, DecodeError> {
        Message::decode(&self.text)
    }
}

/// Events that were lost on our side because nobody took them in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// How many messages.
    pub count: u64,
    /// How many of them by event name. At most 256 names.
    pub by_name: BTreeMap<String, u64>,
    /// When the first of them was read from the socket.
    pub since: SystemTime,
    /// When the last of them was read from the socket.
    pub until: SystemTime,
}

/// The queue, shared by the driver, the consumer and the clients.
#[derive(Debug)]
pub(crate) struct EventQueue {
    state: Mutex<Queued>,
    /// There is something to take, or the end.
    filled: Notify,
    /// There is room again, or the consumer has gone. For a driver that stopped reading.
    pub(crate) room: Notify,
    max_bytes: usize,
    hard_max_bytes: usize,
}

#[derive(Debug, Default)]
struct Queued {
    items: VecDeque<Item>,
    bytes: usize,
    /// Events are being dropped: the last item is the count of them.
    dropping: bool,
    /// The driver waits for room.
    paused: bool,
    /// Nobody will ever take anything.
    abandoned: bool,
    end: Option<(Closed, SystemTime)>,
}

impl EventQueue {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            state: Mutex::default(),
            filled: Notify::new(),
            room: Notify::new(),
            max_bytes: options.event_queue_max_bytes,
            hard_max_bytes: options.event_queue_hard_max_bytes,
        }
    }

    /// Adds an item. If it was read only because a reply stands behind it (`forced`) and the hard
    /// limit is reached, it is counted as dropped instead; but an empty queue takes any item.
    pub(crate) fn push(&self, item: Item, now: SystemTime, forced: bool) {
        let mut state = self.lock();
        if state.abandoned || state.end.is_some() {
            return;
        }
        let bytes = size(&item);
        // Once events are dropped, they are until there is room to speak of.
        let limit = if state.dropping {
            self.max_bytes
        } else {
            self.hard_max_bytes
        };
        if forced && state.bytes > 0 && state.bytes + bytes > limit {
            state.drop_item(&item, now);
        } else {
            state.dropping = false;
            state.bytes += bytes;
            state.items.push_back(item);
        }
        drop(state);
        self.filled.notify_one();
    }

    /// True if the socket should not be read for the sake of events. The driver is told when that
    /// changes.
    pub(crate) fn is_full(&self) -> bool {
        let mut state = self.lock();
        state.paused = !state.abandoned && state.bytes >= self.max_bytes;
        state.paused
    }

    /// Ends the queue; the first reason counts.
    pub(crate) fn end(&self, reason: CloseReason) {
        let now = SystemTime::now();
        self.lock().end.get_or_insert((Closed { reason }, now));
        self.filled.notify_one();
    }

    /// Why and when it ended, if it did.
    pub(crate) fn ended(&self) -> Option<(Closed, SystemTime)> {
        self.lock().end.clone()
    }

    pub(crate) fn abandon(&self) {
        let mut state = self.lock();
        state.abandoned = true;
        state.items.clear();
        state.bytes = 0;
        drop(state);
        self.room.notify_one();
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.lock().abandoned
    }

    /// Waits for the next item; then, again and again, gives the end.
    pub(crate) async fn next(&self) -> Result<Item, Closed> {
        loop {
            if let Some(next) = self.take() {
                return next;
            }
            self.filled.notified().await;
        }
    }

    /// The next item, or the end, or nothing yet.
    pub(crate) fn take(&self) -> Option<Result<Item, Closed>> {
        let mut state = self.lock();
        let Some(item) = state.items.pop_front() else {
            return state.end.clone().map(|(closed, _)| Err(closed));
        };
        state.bytes -= size(&item);
        if state.items.is_empty() {
            state.dropping = false;
        }
        // Half empty: the driver is not woken for every single item.
        let wake = state.paused && state.bytes <= self.max_bytes / 2;
        state.paused &= !wake;
        drop(state);
        if wake {
            self.room.notify_one();
        }
        Some(Ok(item))
    }

    /// Nothing in here can be left half changed by a panic.
    fn lock(&self) -> MutexGuard<'_, Queued> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queued {
    fn drop_item(&mut self, item: &Item, now: SystemTime) {
        if !self.dropping {
            self.dropping = true;
            let none = Dropped {
                count: 0,
                by_name: BTreeMap::new(),
                since: now,
                until: now,
            };
            self.bytes += ITEM_OVERHEAD_BYTES;
            self.items.push_back(Item::Dropped(none));
        }
        let Some(Item::Dropped(dropped)) = self.items.back_mut() else {
            unreachable!("while dropping, the last item is the count of what is dropped");
        };
        dropped.count += 1;
        dropped.until = now;
        if let Item::Event(event) = item
            && let Ok(envelope) = event.envelope()
            && (dropped.by_name.len() < DROPPED_NAMES_MAX_COUNT
                || dropped.by_name.contains_key(envelope.name.as_ref()))
        {
            *dropped
                .by_name
                .entry(envelope.name.into_owned())
                .or_default() += 1;
        }
    }
}

/// What an item counts. Must not change while it waits.
fn size(item: &Item) -> usize {
    let text = match item {
        Item::Event(event) => event.text.len(),
        Item::Stray(text) => text.len(),
        Item::Garbage(garbage) => garbage.sample.len(),
        Item::Dropped(_) => 0,
    };
    text + ITEM_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(max: usize, hard: usize) -> EventQueue {
        EventQueue::new(&Options {
            event_queue_max_bytes: max,
            event_queue_hard_max_bytes: hard,
            ..Options::default()
        })
    }

    fn event(name: &str) -> Item {
        Item::Event(RawEvent {
            text: format!("{{\"event\": \"{name}\"}}"),
            received: SystemTime::UNIX_EPOCH,
        })
    }

    fn push(queue: &EventQueue, name: &str) {
        queue.push(event(name), SystemTime::UNIX_EPOCH, true);
    }

    #[test]
    fn what_does_not_fit_is_counted_where_it_would_have_stood() {
        let queue = queue(100, 200);
        for name in ["A", "B", "C", "C", "D"] {
            push(&queue, name);
        }
        assert_eq!(queue.take(), Some(Ok(event("A"))));
        push(&queue, "E");
        assert_eq!(queue.take(), Some(Ok(event("B"))));
        let Some(Ok(Item::Dropped(dropped))) = queue.take() else {
            panic!("the drop is told")
        };
        assert_eq!(dropped.count, 4);
        let names: Vec<_> = dropped.by_name.into_iter().collect();
        assert_eq!(names, [("C".into(), 2), ("D".into(), 1), ("E".into(), 1)]);
        push(&queue, "F");
        assert_eq!(queue.take(), Some(Ok(event("F"))));
        assert_eq!(queue.take(), None);
    }

    #[test]
    fn one_item_larger_than_all_limits_is_still_delivered() {
        let queue = queue(1, 2);
        push(&queue, "A");
        assert!(queue.is_full());
        assert_eq!(queue.take(), Some(Ok(event("A"))));
        assert!(!queue.is_full());
    }

    #[test]
    fn nothing_is_dropped_that_was_not_read_by_force() {
        let queue = queue(100, 200);
        for name in ["A", "B", "C"] {
            push(&queue, name);
        }
        queue.push(event("D"), SystemTime::UNIX_EPOCH, false);
        let items: Vec<_> = std::iter::from_fn(|| queue.take()).collect();
        assert_eq!(items.len(), 4);
        assert!(matches!(&items[2], Ok(Item::Dropped(dropped)) if dropped.count == 1));
        assert_eq!(items[3], Ok(event("D")));
    }

    #[test]
    fn the_end_comes_after_the_items_and_stays() {
        let queue = queue(1000, 2000);
        push(&queue, "A");
        queue.end(CloseReason::Eof);
        queue.end(CloseReason::ByUs);
        push(&queue, "B");
        assert_eq!(queue.take(), Some(Ok(event("A"))));
        for _ in 0..2 {
            let reason = CloseReason::Eof;
            assert_eq!(queue.take(), Some(Err(Closed { reason })));
        }
    }
}
