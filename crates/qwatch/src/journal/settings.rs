//! How a journal is written, and whether it can be.

use std::fmt;
use std::sync::Arc;

use super::{ConnectionId, Retention};

/// How a journal is written.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Settings {
    /// The file never grows beyond so many pages of 8 KiB; at that size writing waits as on a full disk.
    pub pages_max: Option<u32>,
    /// Connections of an earlier recorder whose descriptors this process was handed.
    pub handed_over: Vec<ConnectionId>,
    /// What is kept.
    pub retention: Retention,
    /// Called by the writer before each commit.
    pub before_commit: Option<BeforeCommit>,
}

/// A function that is called before each commit: a slow disk for those who test against one.
#[derive(Clone)]
pub struct BeforeCommit(Arc<dyn Fn() + Send + Sync>);

impl BeforeCommit {
    /// Wraps a function. While it runs nothing is written.
    pub fn new(hook: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(hook))
    }

    pub(super) fn call(&self) {
        (self.0)();
    }
}

impl fmt::Debug for BeforeCommit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("BeforeCommit")
    }
}

impl Settings {
    /// Sets [`Settings::pages_max`].
    #[must_use]
    pub fn pages_max(mut self, pages: u32) -> Self {
        self.pages_max = Some(pages);
        self
    }

    /// Sets [`Settings::handed_over`].
    #[must_use]
    pub fn handed_over(mut self, connections: Vec<ConnectionId>) -> Self {
        self.handed_over = connections;
        self
    }

    /// Sets [`Settings::retention`].
    #[must_use]
    pub fn retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }

    /// Sets [`Settings::before_commit`].
    #[must_use]
    pub fn before_commit(mut self, hook: BeforeCommit) -> Self {
        self.before_commit = Some(hook);
        self
    }
}

/// Whether the journal takes records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// It does.
    #[default]
    Good,
    /// It does not; the writer keeps what it has and tries again.
    Failing {
        /// Since when, microseconds since 1970.
        since_us: i64,
        /// What the last try said.
        error: String,
    },
}
