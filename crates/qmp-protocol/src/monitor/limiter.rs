//! QEMU's rate limits: at most one event a second for the same key, and never the last one lost.
//!
//! The rules of QEMU 2.5 and later, the same up to 11.1:
//!
//! * The first event of a key is sent at once and opens a window of [`LIMIT_PERIOD`].
//! * Events of that key within the window are held; a newer one replaces the one held.
//! * When the window ends with an event held, it is sent and a new window begins *then*; with none, the
//!   key is forgotten.
//!
//! One table for the whole machine, before the fan-out to the sessions: it works on with nobody
//! connected, and whoever is connected when a window ends gets the event that was held.
//!
//! # Bounded
//!
//! Keys are names of ports, nodes and devices. The table has at most [`LIMITER_SLOTS_MAX`] of them;
//! beyond it the new keys of one event share one slot, as in the releases that had no keys. So memory
//! is bounded and no key is sent faster than it may; the price is that events of different new keys
//! replace one another while the table is full.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use qmp_events::facts::LIMIT_PERIOD;
use qmp_events::json::Reader;
use qmp_events::{EventKind, Version};

use crate::limits::LIMITER_SLOTS_MAX;

/// What events share a rate limit: those of one name, and, where the limit has a key, of one value of
/// the key's member.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LimitKey {
    kind: EventKind,
    member: Option<Box<str>>,
}

impl LimitKey {
    /// The key of an event with this `data` (a JSON object) in this release of QEMU; `None` for an
    /// event that release does not limit.
    ///
    /// A member that should be there and is not counts as the empty text, which is what QEMU itself
    /// puts where there is no device.
    pub fn of(kind: EventKind, data: Option<&str>, version: Version) -> Option<Self> {
        let limit = kind.facts().limit_at(version)?;
        if let Some((member, value)) = limit.except
            && data.and_then(|data| text_member(data, member)).as_deref() == Some(value)
        {
            return None;
        }
        let member = limit.key.map(|member| {
            let value = data.and_then(|data| text_member(data, member));
            value.unwrap_or_default()
        });
        Some(Self { kind, member })
    }

    /// The slot of all new keys of this event while the table is full.
    fn overflow(&self) -> Self {
        Self {
            kind: self.kind,
            member: None,
        }
    }
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission<E> {
    /// It is to be sent now.
    Send(E),
    /// It is held until its window ends.
    Held,
    /// It is held, and this one that was held before will never be sent.
    Replaced(E),
}

/// The table of one machine.
///
/// Pure: [`Limiter::admit`] and [`Limiter::handle_timeout`] are told the time, [`Limiter::poll_timeout`]
/// says when the latter is due.
#[derive(Debug)]
pub struct Limiter<E> {
    slots: HashMap<LimitKey, Slot<E>>,
    /// When each window ends; of equal ends the one opened first comes first.
    windows: BTreeMap<(Instant, u64), LimitKey>,
    /// Windows ever opened.
    opened: u64,
}

/// A key whose window is open.
#[derive(Debug)]
struct Slot<E> {
    held: Option<E>,
}

impl<E> Default for Limiter<E> {
    fn default() -> Self {
        Self {
            slots: HashMap::new(),
            windows: BTreeMap::new(),
            opened: 0,
        }
    }
}

impl<E> Limiter<E> {
    /// An event of a limited kind happened.
    ///
    /// Windows that ended before `now` but were not yet handled still hold it back: call
    /// [`Limiter::handle_timeout`] first.
    pub fn admit(&mut self, now: Instant, key: LimitKey, event: E) -> Admission<E> {
        let full = self.slots.len() >= LIMITER_SLOTS_MAX;
        let key = match self.slots.contains_key(&key) {
            false if full => key.overflow(),
            _ => key,
        };
        match self.slots.get_mut(&key) {
            Some(slot) => match slot.held.replace(event) {
                Some(replaced) => Admission::Replaced(replaced),
                None => Admission::Held,
            },
            None => {
                self.slots.insert(key.clone(), Slot { held: None });
                self.open_window(now, key);
                Admission::Send(event)
            }
        }
    }

    /// When the next window ends; `None` while no window is open.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let ((end, _), _) = self.windows.first_key_value()?;
        Some(*end)
    }

    /// Ends one window that is over at `now`. Call it until it gives `None`.
    ///
    /// # Returns
    /// The event that was held and is to be sent now; [`Ended::Quiet`] if the window had none.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Ended<E>> {
        let (end, _) = *self.windows.first_key_value()?.0;
        if end > now {
            return None;
        }
        let (_, key) = self.windows.pop_first()?;
        match self.slots.get_mut(&key).and_then(|slot| slot.held.take()) {
            Some(event) => {
                self.open_window(now, key);
                Some(Ended::Send(event))
            }
            None => {
                self.slots.remove(&key);
                Some(Ended::Quiet)
            }
        }
    }

    /// How many keys have an open window.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// True while no window is open.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    fn open_window(&mut self, now: Instant, key: LimitKey) {
        self.opened += 1;
        self.windows.insert((now + LIMIT_PERIOD, self.opened), key);
    }
}

/// How a window ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended<E> {
    /// With this event held: it is to be sent now, and a new window is open.
    Send(E),
    /// With nothing held: the key is forgotten.
    Quiet,
}

/// The text of a member at the top of `data`.
pub(super) fn text_member(data: &str, wanted: &str) -> Option<Box<str>> {
    let mut reader = Reader::new(data);
    let mut members = reader.object().ok()?;
    while let Some(key) = members.next(&mut reader).ok()? {
        if key.name() == wanted {
            return reader.string().ok().map(|text| text.into());
        }
        reader.skip().ok()?;
    }
    None
}
