//! A migration, away from here or to here.

use qmp_events::vocabulary::MigrationStatus;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fact::Mark;
use super::queries::{number, text};
use super::text::clipped;

/// The last migration of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    /// Its phase, in QEMU's words.
    pub status: String,
    /// The machine comes here; else it goes away. As far as is known.
    pub incoming: bool,
    /// The record by which it was first heard of.
    pub first: Mark,
    /// The record that told its phase.
    pub since: Mark,
    /// Passes over memory so far.
    pub passes: u64,
    /// How long it took, in milliseconds, as `query-migrate` said.
    pub total_ms: Option<u64>,
    /// How long the guest stood still, in milliseconds.
    pub downtime_ms: Option<u64>,
    /// Why it failed, if `query-migrate` was asked in time.
    pub error: Option<String>,
}

impl Migration {
    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        matches!(self.status.as_str(), "completed" | "failed" | "cancelled")
    }

    /// From its beginning to its end or, while it goes on, to `now_us`, in microseconds.
    pub fn length_us(&self, now_us: i64) -> i64 {
        let end = if self.is_over() {
            self.since.time_us
        } else {
            now_us
        };
        end.saturating_sub(self.first.time_us).max(0)
    }

    /// MIGRATION. A new one begins with `setup`, or with anything after the end of the last.
    pub(super) fn status(
        own: &mut Option<Self>,
        status: &MigrationStatus,
        waits_for_it: bool,
        mark: &Mark,
    ) {
        if *status == MigrationStatus::None {
            return;
        }
        let fresh = *status == MigrationStatus::Setup || own.as_ref().is_none_or(Self::is_over);
        if fresh {
            // A pass may be told before the first phase.
            let early = own.take().filter(|own| own.status.is_empty());
            *own = Some(Self {
                incoming: waits_for_it,
                first: mark.clone(),
                passes: early.map_or(0, |own| own.passes),
                ..Self::default()
            });
        }
        if let Some(own) = own {
            own.status = clipped(status.as_str());
            own.since = mark.clone();
        }
    }

    /// MIGRATION_PASS.
    pub(super) fn pass(own: &mut Option<Self>, pass: i64, mark: &Mark) {
        let pass = u64::try_from(pass).unwrap_or(0);
        if own.as_ref().is_none_or(Self::is_over) {
            *own = Some(Self {
                first: mark.clone(),
                since: mark.clone(),
                ..Self::default()
            });
        }
        if let Some(own) = own {
            own.passes = own.passes.max(pass);
        }
    }

    /// What `query-migrate` said.
    pub(super) fn found(own: &mut Option<Self>, data: &Value, mark: &Mark) {
        let Some(told) = data.get("query-migrate") else {
            return;
        };
        let Some(status) = text(told, "status").filter(|status| *status != "none") else {
            return;
        };
        let own = own.get_or_insert_with(|| Self {
            first: mark.clone(),
            ..Self::default()
        });
        if own.status != status {
            own.status = clipped(status);
            own.since = mark.clone();
        }
        own.total_ms = number(told, "total-time").or(own.total_ms);
        own.downtime_ms = number(told, "downtime").or(own.downtime_ms);
        own.error = text(told, "error-desc").map(clipped).or(own.error.take());
        if let Some(passes) = told
            .get("ram")
            .and_then(|ram| number(ram, "dirty-sync-count"))
        {
            own.passes = own.passes.max(passes);
        }
    }
}
