//! How the recorder is, for the service manager and whoever asks it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::attach::Recorder;
use crate::journal::{Health, Writer};
use crate::limits::{STATUS_PAUSE, STATUS_PERIOD};
use crate::output;
use crate::service::Manager;
use crate::time;

/// What is known of a recorder from outside. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Vitals {
    machines: watch::Receiver<usize>,
    health: watch::Receiver<Health>,
    writer: Writer,
    journal: PathBuf,
}

impl Vitals {
    pub(super) fn of(recorder: &Recorder, journal: &Path) -> Self {
        Self {
            machines: recorder.machines(),
            health: recorder.journal().health(),
            writer: recorder.journal().writer(),
            journal: journal.to_owned(),
        }
    }

    /// `recording 12 machines, journal 3.4 GiB`, or what keeps the journal from it.
    pub(super) fn text(&self) -> String {
        let machines = *self.machines.borrow();
        let size = journal_size(&self.journal);
        describe(machines, size, &self.health.borrow())
    }

    /// Tells the manager when it changes, but not each time of many.
    pub(super) async fn report(mut self, manager: Manager) {
        let mut told = String::new();
        loop {
            let text = self.text();
            if text != told {
                manager.status(&text);
                told = text;
            }
            sleep(STATUS_PAUSE).await;
            let changed = async {
                tokio::select! {
                    changed = self.machines.changed() => changed,
                    changed = self.health.changed() => changed,
                }
            };
            // The journal grows all the time: its size is told now and then.
            if let Ok(Err(_)) = timeout(STATUS_PERIOD, changed).await {
                return;
            }
        }
    }

    /// Pings the manager as long as the journal's writer answers: the last link of the chain, and this task
    /// is one of those that the others share their threads with.
    pub(super) async fn ping(self, manager: Manager, limit: Duration) {
        // Two more tries before the manager's patience is over.
        let period = limit / 3;
        loop {
            let next = Instant::now() + period;
            match timeout(period, self.writer.answers()).await {
                Ok(Ok(())) => manager.ping(),
                Ok(Err(_)) => return,
                Err(_) => tracing::error!(
                    "the journal's writer hangs: the service manager is not told that all is well"
                ),
            }
            sleep_until(next).await;
        }
    }
}

fn describe(machines: usize, journal_bytes: u64, health: &Health) -> String {
    let plural = if machines == 1 { "" } else { "s" };
    match health {
        Health::Good => format!(
            "recording {machines} machine{plural}, journal {}",
            output::bytes(journal_bytes)
        ),
        Health::Failing { since_us, error } => format!(
            "the journal cannot be written since {}: {error}; {machines} machine{plural} attached, journal {}",
            time::rfc3339(*since_us),
            output::bytes(journal_bytes)
        ),
    }
}

/// The file and what its log has on top.
fn journal_size(path: &Path) -> u64 {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    [path, Path::new(&log)]
        .iter()
        .filter_map(|path| fs::metadata(path).ok())
        .map(|found| found.len())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_says_how_it_is() {
        assert_eq!(
            describe(1, 3_650_722_201, &Health::Good),
            "recording 1 machine, journal 3.3 GiB"
        );
        let failing = Health::Failing {
            since_us: 1_700_000_000_000_000,
            error: "database or disk is full".to_owned(),
        };
        assert_eq!(
            describe(12, 8192, &failing),
            "the journal cannot be written since 2023-11-14T22:13:20.000000Z: database or disk is full; 12 machines attached, journal 8 KiB"
        );
    }
}
