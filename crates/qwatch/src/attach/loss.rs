//! What is let go because the journal has taken nothing for too long.

use std::collections::BTreeMap;

use crate::limits::LOSS_NAMES_MAX_COUNT;

/// Events that were read off the socket and not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Loss {
    /// When the first one was read, microseconds since 1970; before there is one, when reading on began.
    pub(super) from_us: i64,
    /// When the last one was read.
    pub(super) until_us: i64,
    /// How many.
    pub(super) count: u64,
    /// How many of each name, for the first names.
    pub(super) by_name: BTreeMap<String, u64>,
}

impl Loss {
    pub(super) fn since(now_us: i64) -> Self {
        Self {
            from_us: now_us,
            until_us: now_us,
            count: 0,
            by_name: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, name: &str, now_us: i64) {
        if self.count == 0 {
            self.from_us = now_us;
        }
        self.until_us = now_us;
        self.count += 1;
        if let Some(count) = self.by_name.get_mut(name) {
            *count += 1;
        } else if self.by_name.len() < LOSS_NAMES_MAX_COUNT {
            self.by_name.insert(name.to_owned(), 1);
        }
    }
}
