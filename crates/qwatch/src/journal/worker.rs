//! The writer thread.

use std::collections::HashSet;
use std::mem;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use super::lock::WriterLock;
use super::mover::Mover;
use super::pace::Pace;
use super::queue::{Backlog, Pending, Work};
use super::retention::Retainer;
use super::settings::BeforeCommit;
use super::status::StatusFile;
use super::store::{Change, Outcome, Store};
use super::{Health, Retention, WriteError};
use crate::limits::{
    COMMIT_MAX_BYTES, PLACES_QUIET, RETENTION_SLICE, RETENTION_STEP_ROWS, WAL_LOAD_BYTES,
    WAL_MAX_BYTES, WAL_QUIET_BYTES, WRITE_RETRY_MAX, WRITE_RETRY_MIN, WRITER_QUIET,
};
use crate::time;

/// What the writer thread is told.
pub(super) enum Request {
    Change(Pending),
    Retention(Retention),
    Close(oneshot::Sender<Result<(), WriteError>>),
    Ping(oneshot::Sender<()>),
    #[cfg(test)]
    Execute(&'static str),
}

/// The writer thread.
pub(super) struct Worker {
    pub(super) store: Store,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) position: watch::Sender<u64>,
    pub(super) health: watch::Sender<Health>,
    pub(super) retainer: Retainer,
    pub(super) status: StatusFile,
    pub(super) mover: Mover,
    pub(super) before_commit: Option<BeforeCommit>,
    pub(super) state: State,
    // Dropped after the store: fields go in order.
    pub(super) _lock: WriterLock,
}

/// What the thread remembers.
#[derive(Default)]
pub(super) struct State {
    backlog: Backlog,
    pace: Pace,
    close: Option<oneshot::Sender<Result<(), WriteError>>>,
    /// Runs that are being recorded.
    open_runs: HashSet<u64>,
    /// Bytes of records since the size of the journal was looked at.
    unweighed_bytes: usize,
}

impl State {
    pub(super) fn new(open_runs: HashSet<u64>) -> Self {
        Self {
            open_runs,
            ..Self::default()
        }
    }
}

impl Worker {
    pub(super) fn work(mut self) {
        loop {
            self.wait();
            let mut taken = self.take();
            let rows = taken.iter().map(Pending::rows).sum();
            let result = self.commit_until_done(&mut taken);
            if self.state.close.is_some() && self.state.backlog.is_empty() || result.is_err() {
                return self.end(result);
            }
            self.relieve_log();
            self.retain(rows);
        }
    }

    /// Waits for work, doing meanwhile what can wait for a quiet moment; takes in all that has come.
    fn wait(&mut self) {
        while self.state.backlog.is_empty() && self.state.close.is_none() {
            let busy = self.retainer.is_due(Instant::now());
            let quiet = if busy { Duration::ZERO } else { WRITER_QUIET };
            match self.requests.recv_timeout(quiet) {
                Ok(request) => self.hear(request),
                Err(RecvTimeoutError::Timeout) if busy => self.retain(0),
                Err(RecvTimeoutError::Timeout) => self.tidy(),
                Err(RecvTimeoutError::Disconnected) => {
                    self.state.close = Some(oneshot::channel().0);
                }
            }
        }
        while let Ok(request) = self.requests.try_recv() {
            self.hear(request);
        }
    }

    fn hear(&mut self, request: Request) {
        match request {
            Request::Change(pending) => self.state.backlog.push(pending),
            Request::Retention(policy) => self.retainer.set_policy(policy, Instant::now()),
            Request::Close(reply) => self.state.close = Some(reply),
            // Whoever asked may have given up.
            Request::Ping(reply) => drop(reply.send(())),
            #[cfg(test)]
            Request::Execute(sql) => self.store.execute(sql),
        }
    }

    /// What goes into the next transaction.
    fn take(&mut self) -> Vec<Pending> {
        let rows_max = self.state.pace.rows();
        let (mut rows, mut bytes) = (0, 0);
        let mut taken = Vec::new();
        while rows < rows_max
            && bytes < COMMIT_MAX_BYTES
            && let Some(pending) = self.state.backlog.pop()
        {
            rows += pending.rows();
            bytes += pending.bytes;
            taken.push(pending);
        }
        taken
    }

    /// Commits; while the disk refuses, keeps everything and tries again, unless asked to close.
    fn commit_until_done(&mut self, taken: &mut Vec<Pending>) -> Result<(), WriteError> {
        let mut pause = WRITE_RETRY_MIN;
        loop {
            let Err(error) = self.commit(taken) else {
                self.publish_health(None);
                return Ok(());
            };
            self.publish_health(Some(&error));
            if self.state.close.is_some() {
                let lost = WriteError::Lost(error.to_string());
                let rest = std::iter::from_fn(|| self.state.backlog.pop());
                for pending in taken.drain(..).chain(rest) {
                    let _ = pending.reply.send(Err(lost.clone()));
                }
                return Err(lost);
            }
            self.pause(pause);
            pause = (pause * 2).min(WRITE_RETRY_MAX);
        }
    }

    /// Waits before the next try, taking in what comes meanwhile: its room bounds it. A wish to close ends it.
    fn pause(&mut self, length: Duration) {
        let until = Instant::now() + length;
        while self.state.close.is_none() {
            let left = until.saturating_duration_since(Instant::now());
            match self.requests.recv_timeout(left) {
                Ok(request) => self.hear(request),
                Err(RecvTimeoutError::Timeout) => return,
                Err(RecvTimeoutError::Disconnected) => {
                    self.state.close = Some(oneshot::channel().0);
                }
            }
        }
    }

    fn commit(&mut self, taken: &mut Vec<Pending>) -> rusqlite::Result<()> {
        if taken.is_empty() {
            return Ok(());
        }
        if let Some(hook) = &self.before_commit {
            hook.call();
        }
        let started = Instant::now();
        let before = self.store.last_seq();
        let changes: Vec<Change<'_>> = taken.iter().map(Pending::change).collect();
        let outcomes = self.store.commit(&changes)?;
        assert_eq!(outcomes.len(), taken.len(), "one outcome for each change");
        let last = self.store.last_seq();
        assert!(last >= before, "numbers only grow");
        // Committed: now, and only now, anyone may see it.
        self.position
            .send_if_modified(|seq| mem::replace(seq, last) != last);
        let mut rows = 0;
        for (pending, outcome) in taken.drain(..).zip(outcomes) {
            rows += pending.rows();
            self.state.unweighed_bytes += pending.bytes;
            self.note_runs(&pending.work, outcome);
            let _ = pending.reply.send(Ok(outcome));
        }
        self.state
            .pace
            .committed(rows, started.elapsed(), self.state.backlog.waiting_runs());
        self.status.committed(last, self.state.open_runs.len());
        Ok(())
    }

    fn note_runs(&mut self, work: &Work, outcome: Outcome) {
        match (work, outcome) {
            (_, Outcome::Opened(opened)) => {
                self.state.open_runs.insert(opened.run.number());
            }
            (Work::Append(batch, _), Outcome::Appended { .. }) => {
                if batch.end.is_some() {
                    self.state.open_runs.remove(&batch.run.number());
                }
            }
            (_, Outcome::Appended { .. } | Outcome::Kept) => {}
        }
    }

    fn publish_health(&mut self, error: Option<&rusqlite::Error>) {
        let changed = self.health.send_if_modified(|health| match (error, &mut *health) {
            (None, Health::Good) => false,
            (None, Health::Failing { since_us, .. }) => {
                let seconds = (time::now_us() - *since_us) / 1_000_000;
                tracing::warn!(seconds, "the journal can be written again");
                *health = Health::Good;
                true
            }
            (Some(error), Health::Good) => {
                tracing::error!(%error, "the journal cannot be written; trying on, records wait");
                *health = Health::Failing {
                    since_us: time::now_us(),
                    error: error.to_string(),
                };
                true
            }
            (Some(new), Health::Failing { error, .. }) => {
                let new = new.to_string();
                mem::replace(error, new.clone()) != new
            }
        });
        if changed {
            self.status.health(&self.health.borrow());
        }
    }

    /// What can wait for a quiet moment.
    fn tidy(&mut self) {
        if let Err(error) = self.store.settle(PLACES_QUIET) {
            tracing::debug!(%error, "the index by run stays behind");
        }
        self.checkpoint_if(WAL_QUIET_BYTES);
        self.status.refresh();
    }

    /// A piece of what is to be removed: at least as much as has just come, or it would never end.
    fn retain(&mut self, rows_committed: usize) {
        let now = Instant::now();
        if self
            .retainer
            .patience_bytes()
            .is_some_and(|patience| self.state.unweighed_bytes > patience)
        {
            self.state.unweighed_bytes = 0;
            self.retainer.hurry(now);
        }
        let rows = RETENTION_STEP_ROWS.max(rows_committed * 2);
        while self.retainer.is_due(Instant::now()) && now.elapsed() < RETENTION_SLICE {
            let step = self.store.retain(&mut self.retainer, rows, time::now_us());
            if let Err(error) = step {
                tracing::warn!(%error, "what is too old stays for now");
                self.retainer.failed(Instant::now() + WRITE_RETRY_MAX);
            }
        }
        self.relieve_log();
    }

    /// Under load: has the log moved beside, moves the rest, and all of it only where that does not do.
    fn relieve_log(&mut self) {
        if self.mover.take_done() {
            return self.checkpoint_if(0);
        }
        let log_bytes = self.store.log_bytes();
        if log_bytes >= WAL_MAX_BYTES || (log_bytes >= WAL_LOAD_BYTES && !self.mover.order()) {
            self.checkpoint_if(0);
        }
    }

    fn checkpoint_if(&mut self, above: usize) {
        if self.store.log_bytes() < above {
            return;
        }
        if let Err(error) = self.store.checkpoint() {
            tracing::debug!(%error, "no checkpoint");
        }
    }

    fn end(mut self, result: Result<(), WriteError>) {
        let tidied = self.store.settle(0).and_then(|()| self.store.checkpoint());
        if let Err(error) = tidied {
            tracing::warn!(%error, "the journal's log stays for the next opening");
        }
        self.status.stopped(self.state.open_runs.len());
        let reply = self.state.close.take();
        if let Some(reply) = reply {
            let _ = reply.send(result);
        }
    }
}
