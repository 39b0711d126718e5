//! The writer thread and the handles to it.

use std::mem;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::lock::WriterLock;
use super::store::{Change, Outcome, Store};
use super::{
    ConnectionId, Entry, KeptConnection, Mark, OpenError, OpenedRun, RunEnd, RunId, RunInfo,
    Snapshot, WriteError,
};
use crate::limits::{
    COMMIT_MAX_BYTES, COMMIT_MAX_ROWS, PLACES_QUIET, QUEUE_ENTRY_BYTES, QUEUE_MAX_BYTES,
    WAL_MAX_BYTES, WAL_QUIET_BYTES, WRITE_RETRY_MAX, WRITE_RETRY_MIN, WRITER_QUIET,
};
use crate::time;

/// How a journal is written.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Settings {
    /// The file never grows beyond so many pages of 8 KiB; at that size writing waits as on a full disk.
    pub pages_max: Option<u32>,
    /// Connections of an earlier recorder whose descriptors this process was handed.
    pub handed_over: Vec<ConnectionId>,
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

/// Records of one run, appended together and in this order.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The run they belong to.
    pub run: RunId,
    /// The records.
    pub entries: Vec<Entry>,
    /// Ends the attachment in the same transaction.
    pub end: Option<RunEnd>,
}

/// A journal open for writing. Dropping it writes what is queued and closes the file.
#[derive(Debug)]
pub struct Journal {
    writer: Writer,
    kept: Vec<KeptConnection>,
    thread: Option<thread::JoinHandle<()>>,
}

/// Hands records to the writer thread. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Writer {
    requests: mpsc::Sender<Request>,
    room: Arc<Semaphore>,
    position: watch::Receiver<u64>,
    health: watch::Receiver<Health>,
}

/// Tells when a batch is on disk.
#[derive(Debug)]
pub struct Receipt(oneshot::Receiver<Result<Outcome, WriteError>>);

impl Journal {
    /// Opens the journal for writing, or makes it, and starts its writer thread.
    ///
    /// # Errors
    /// When another process writes it, when it is no journal or a newer one, or the disk refuses.
    pub fn open(path: &Path, settings: &Settings) -> Result<Self, OpenError> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(|source| OpenError::Io {
                path: path.to_path_buf(),
                source,
            })?;
        }
        let lock = WriterLock::take(path)?;
        let mut store = Store::open(path, settings, time::now_us())?;
        let kept = store.take_kept();
        let (requests, queue) = mpsc::channel();
        let (position_tx, position) = watch::channel(store.last_seq());
        let (health_tx, health) = watch::channel(Health::Good);
        let worker = Worker {
            store,
            queue,
            position: position_tx,
            health: health_tx,
            log_bytes: 0,
            _lock: lock,
        };
        let thread = thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || worker.work())
            .map_err(|source| OpenError::Io {
                path: path.to_path_buf(),
                source,
            })?;
        Ok(Self {
            writer: Writer {
                requests,
                room: Arc::new(Semaphore::new(QUEUE_MAX_BYTES)),
                position,
                health,
            },
            kept,
            thread: Some(thread),
        })
    }

    /// A handle for an attachment.
    pub fn writer(&self) -> Writer {
        self.writer.clone()
    }

    /// The connections of [`Settings::handed_over`] that are known and whose runs go on; given once.
    pub fn take_kept(&mut self) -> Vec<KeptConnection> {
        mem::take(&mut self.kept)
    }

    /// Number of the last committed record, as it moves. It never runs ahead of the disk.
    pub fn position(&self) -> watch::Receiver<u64> {
        self.writer.position.clone()
    }

    /// Whether the journal takes records, as it changes.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.writer.health.clone()
    }

    /// Commits what is queued and closes the file. A disk that refuses is tried once more, not waited for.
    ///
    /// # Errors
    /// When records that were queued could not be written.
    pub async fn close(mut self) -> Result<(), WriteError> {
        let (reply, closed) = oneshot::channel();
        self.send_close(reply);
        let result = closed.await.unwrap_or(Err(WriteError::Closed));
        if let Some(thread) = self.thread.take() {
            // The reply is the last thing the thread does but for closing the file.
            let joined = tokio::task::spawn_blocking(move || thread.join().is_ok()).await;
            if !matches!(joined, Ok(true)) {
                return Err(WriteError::Closed);
            }
        }
        result
    }

    fn send_close(&self, reply: oneshot::Sender<Result<(), WriteError>>) {
        // A thread that has already ended answers by the dropped reply.
        let _ = self.writer.requests.send(Request::Close(reply));
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.send_close(oneshot::channel().0);
            if thread.join().is_err() {
                tracing::error!("the journal's writer panicked");
            }
        }
    }
}

impl Writer {
    /// Begins a run of a machine, or goes on with its last one if that is the same QEMU process.
    ///
    /// # Errors
    /// When the journal is closed.
    pub async fn open_run(&self, info: RunInfo) -> Result<OpenedRun, WriteError> {
        let permit = self.room_for(QUEUE_ENTRY_BYTES).await?;
        let (reply, opened) = oneshot::channel();
        self.send(Request::Change(Pending {
            work: Work::Open(info),
            reply,
            bytes: QUEUE_ENTRY_BYTES,
            _room: permit,
        }))?;
        match opened.await {
            Ok(Ok(Outcome::Opened(run))) => Ok(run),
            Ok(Err(error)) => Err(error),
            Ok(Ok(_)) | Err(_) => Err(WriteError::Closed),
        }
    }

    /// Queues records; returns when there is room for them, not when they are on disk: that is
    /// [`Receipt::committed`]. Calls made one after the other keep their order.
    ///
    /// # Errors
    /// When the journal is closed.
    pub async fn append(&self, batch: Batch) -> Result<Receipt, WriteError> {
        self.append_marked(batch, None).await
    }

    /// As [`Writer::append`], and says in the same transaction how far the connection has come.
    ///
    /// # Errors
    /// When the journal is closed.
    pub async fn append_marked(
        &self,
        batch: Batch,
        mark: Option<Mark>,
    ) -> Result<Receipt, WriteError> {
        let bytes = batch.entries.iter().map(Entry::cost_bytes).sum::<usize>() + QUEUE_ENTRY_BYTES;
        let room = self.room_for(bytes).await?;
        let (reply, done) = oneshot::channel();
        self.send(Request::Change(Pending {
            work: Work::Append(batch, mark),
            reply,
            bytes,
            _room: room,
        }))?;
        Ok(Receipt(done))
    }

    /// Keeps a snapshot of a state; returns when it is on disk.
    ///
    /// # Errors
    /// When the journal is closed.
    pub async fn keep(&self, snapshot: Snapshot) -> Result<(), WriteError> {
        let bytes = snapshot.cost_bytes();
        let room = self.room_for(bytes).await?;
        let (reply, done) = oneshot::channel();
        self.send(Request::Change(Pending {
            work: Work::Keep(snapshot),
            reply,
            bytes,
            _room: room,
        }))?;
        done.await.map_err(|_| WriteError::Closed)?.map(drop)
    }

    /// Whether the journal takes records, as it changes.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    /// Returns when the writer's thread next looks at its queue, which one that tries again on a full disk
    /// does at once, and one that hangs does not.
    ///
    /// # Errors
    /// When the journal is closed.
    pub async fn answers(&self) -> Result<(), WriteError> {
        let (reply, answered) = oneshot::channel();
        self.send(Request::Ping(reply))?;
        answered.await.map_err(|_| WriteError::Closed)
    }

    async fn room_for(&self, bytes: usize) -> Result<OwnedSemaphorePermit, WriteError> {
        let permits = u32::try_from(bytes.min(QUEUE_MAX_BYTES)).unwrap_or(u32::MAX);
        Arc::clone(&self.room)
            .acquire_many_owned(permits)
            .await
            .map_err(|_| WriteError::Closed)
    }

    fn send(&self, request: Request) -> Result<(), WriteError> {
        self.requests.send(request).map_err(|_| WriteError::Closed)
    }

    /// Runs SQL on the writing connection, to bring about failures.
    #[cfg(test)]
    fn execute(&self, sql: &'static str) {
        self.send(Request::Execute(sql)).expect("a writer");
    }
}

impl Receipt {
    /// Waits until the batch is on disk; gives the numbers of its first and last record.
    ///
    /// # Errors
    /// When the journal was closed before.
    pub async fn committed(self) -> Result<std::ops::RangeInclusive<u64>, WriteError> {
        match self.0.await {
            Ok(Ok(Outcome::Appended { after, last })) => Ok(after + 1..=last),
            Ok(Err(error)) => Err(error),
            Ok(Ok(_)) | Err(_) => Err(WriteError::Closed),
        }
    }
}

const _: () =
    assert!(QUEUE_MAX_BYTES <= u32::MAX as usize && QUEUE_MAX_BYTES <= Semaphore::MAX_PERMITS);

enum Request {
    Change(Pending),
    Close(oneshot::Sender<Result<(), WriteError>>),
    Ping(oneshot::Sender<()>),
    #[cfg(test)]
    Execute(&'static str),
}

/// Queued work; its room in the queue is free again when this is dropped.
struct Pending {
    work: Work,
    reply: oneshot::Sender<Result<Outcome, WriteError>>,
    bytes: usize,
    _room: OwnedSemaphorePermit,
}

enum Work {
    Open(RunInfo),
    Keep(Snapshot),
    Append(Batch, Option<Mark>),
}

impl Pending {
    fn change(&self) -> Change<'_> {
        match &self.work {
            Work::Open(info) => Change::Open(info),
            Work::Keep(snapshot) => Change::Keep(snapshot),
            Work::Append(batch, mark) => Change::Append {
                run: batch.run,
                entries: &batch.entries,
                end: batch.end.as_ref(),
                mark: mark.as_ref(),
            },
        }
    }

    fn rows(&self) -> usize {
        match &self.work {
            Work::Open(_) | Work::Keep(_) => 1,
            Work::Append(batch, _) => batch.entries.len(),
        }
    }
}

/// The writer thread.
struct Worker {
    store: Store,
    queue: mpsc::Receiver<Request>,
    position: watch::Sender<u64>,
    health: watch::Sender<Health>,
    /// About how much was written to the log since it was last moved into the file.
    log_bytes: usize,
    // Dropped after the store: fields go in order.
    _lock: WriterLock,
}

/// What the queue held.
#[derive(Default)]
struct Taken {
    pending: Vec<Pending>,
    rows: usize,
    bytes: usize,
    close: Option<oneshot::Sender<Result<(), WriteError>>>,
}

impl Worker {
    fn work(mut self) {
        loop {
            let mut taken = self.wait();
            let result = self.commit_until_done(&mut taken);
            if let Some(reply) = taken.close {
                let tidied = self.store.settle(0).and_then(|()| self.store.checkpoint());
                if let Err(error) = tidied {
                    tracing::warn!(%error, "the journal's log stays for the next opening");
                }
                let _ = reply.send(result);
                return;
            }
            self.checkpoint_if(WAL_MAX_BYTES);
        }
    }

    /// Waits for work and takes all there is, up to the limits of a transaction.
    fn wait(&mut self) -> Taken {
        let mut taken = Taken::default();
        let first = loop {
            match self.queue.recv_timeout(WRITER_QUIET) {
                Ok(request) => break request,
                Err(RecvTimeoutError::Timeout) => self.tidy(),
                Err(RecvTimeoutError::Disconnected) => break Request::Close(oneshot::channel().0),
            }
        };
        self.take(first, &mut taken);
        while taken.close.is_none()
            && taken.rows < COMMIT_MAX_ROWS
            && taken.bytes < COMMIT_MAX_BYTES
        {
            let Ok(request) = self.queue.try_recv() else {
                break;
            };
            self.take(request, &mut taken);
        }
        taken
    }

    fn take(&mut self, request: Request, taken: &mut Taken) {
        match request {
            Request::Change(pending) => {
                taken.rows += pending.rows();
                taken.bytes += pending.bytes;
                taken.pending.push(pending);
            }
            Request::Close(reply) => taken.close = Some(reply),
            // Whoever asked may have given up.
            Request::Ping(reply) => drop(reply.send(())),
            #[cfg(test)]
            Request::Execute(sql) => self.store.execute(sql),
        }
    }

    /// Commits; while the disk refuses, keeps everything and tries again, unless asked to close.
    fn commit_until_done(&mut self, taken: &mut Taken) -> Result<(), WriteError> {
        let mut pause = WRITE_RETRY_MIN;
        loop {
            let Err(error) = self.commit(taken) else {
                self.publish_health(None);
                return Ok(());
            };
            self.publish_health(Some(&error));
            if taken.close.is_some() {
                let lost = WriteError::Lost(error.to_string());
                for pending in mem::take(&mut taken.pending) {
                    let _ = pending.reply.send(Err(lost.clone()));
                }
                return Err(lost);
            }
            self.pause(pause, taken);
            pause = (pause * 2).min(WRITE_RETRY_MAX);
        }
    }

    /// Waits before the next try, taking what comes meanwhile: its room bounds it. A wish to close ends it.
    fn pause(&mut self, length: Duration, taken: &mut Taken) {
        let until = Instant::now() + length;
        while taken.close.is_none() {
            let left = until.saturating_duration_since(Instant::now());
            match self.queue.recv_timeout(left) {
                Ok(request) => self.take(request, taken),
                Err(RecvTimeoutError::Timeout) => return,
                Err(RecvTimeoutError::Disconnected) => taken.close = Some(oneshot::channel().0),
            }
        }
    }

    fn commit(&mut self, taken: &mut Taken) -> rusqlite::Result<()> {
        if taken.pending.is_empty() {
            return Ok(());
        }
        let before = self.store.last_seq();
        let changes: Vec<Change<'_>> = taken.pending.iter().map(Pending::change).collect();
        let outcomes = self.store.commit(&changes)?;
        assert_eq!(
            outcomes.len(),
            taken.pending.len(),
            "one outcome for each change"
        );
        let last = self.store.last_seq();
        assert!(last >= before, "numbers only grow");
        // Committed: now, and only now, anyone may see it.
        self.position
            .send_if_modified(|seq| mem::replace(seq, last) != last);
        for (pending, outcome) in taken.pending.drain(..).zip(outcomes) {
            self.log_bytes += pending.bytes;
            let _ = pending.reply.send(Ok(outcome));
        }
        Ok(())
    }

    fn publish_health(&self, error: Option<&rusqlite::Error>) {
        self.health.send_if_modified(|health| match (error, &mut *health) {
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
    }

    /// What can wait for a quiet moment.
    fn tidy(&mut self) {
        if let Err(error) = self.store.settle(PLACES_QUIET) {
            tracing::debug!(%error, "the index by run stays behind");
        }
        self.checkpoint_if(WAL_QUIET_BYTES);
    }

    fn checkpoint_if(&mut self, above: usize) {
        if self.log_bytes < above {
            return;
        }
        match self.store.checkpoint() {
            Ok(true) => self.log_bytes = 0,
            // A reader holds an old state; what was moved need not be moved again.
            Ok(false) => self.log_bytes = WAL_QUIET_BYTES,
            Err(error) => {
                tracing::debug!(%error, "no checkpoint");
                self.log_bytes = WAL_QUIET_BYTES;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::journal::{Query, Reader};

    const LINE: &str = r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}"#;

    fn batch(run: RunId, count: usize) -> Batch {
        let entry = Entry::event(LINE, 3).expect("an event");
        Batch {
            run,
            entries: vec![entry; count],
            end: None,
        }
    }

    async fn opened(journal: &Journal) -> RunId {
        let info = RunInfo {
            machine: "web".to_owned(),
            ..RunInfo::default()
        };
        journal.writer().open_run(info).await.expect("a run").run
    }

    #[tokio::test]
    async fn a_full_disk_is_a_state_and_nothing_is_lost() {
        let dir = TempDir::new().expect("a folder");
        let path = dir.path().join("j.db");
        let settings = Settings::default().pages_max(64);
        let journal = Journal::open(&path, &settings).expect("a journal");
        let writer = journal.writer();
        let run = opened(&journal).await;
        let mut health = journal.health();
        let mut receipts = Vec::new();
        let full = |health: &Health| matches!(health, Health::Failing { error, .. } if error.contains("full"));
        loop {
            tokio::select! {
                biased;
                seen = health.wait_for(full) => { seen.expect("a writer"); break; }
                receipt = writer.append(batch(run, 500)) => receipts.push(receipt.expect("room")),
            }
        }
        let position = *journal.position().borrow();
        assert!(position < 500 * receipts.len() as u64);
        writer.answers().await.expect("it tries on, and says so");

        // The pragma is heard between tries; so is the work that came meanwhile.
        writer.execute("PRAGMA max_page_count = 1000000");
        health
            .wait_for(|health| *health == Health::Good)
            .await
            .expect("a writer");
        let mut expected = 1;
        for receipt in receipts {
            let range = receipt.committed().await.expect("committed after all");
            assert_eq!(range, expected..=expected + 499);
            expected += 500;
        }
        journal.close().await.expect("closed");
        let reader = Reader::open(&path).expect("a reader");
        let records = reader.records(&Query::default()).expect("a query");
        assert_eq!(records.filter(Result::is_ok).count() as u64, expected - 1);
    }

    #[tokio::test]
    async fn closing_on_a_full_disk_says_what_is_lost() {
        let dir = TempDir::new().expect("a folder");
        let path = dir.path().join("j.db");
        let journal = Journal::open(&path, &Settings::default().pages_max(20)).expect("a journal");
        let writer = journal.writer();
        let run = opened(&journal).await;
        let receipt = writer.append(batch(run, 5000)).await.expect("room");
        let mut health = journal.health();
        health
            .wait_for(|health| *health != Health::Good)
            .await
            .expect("a writer");
        assert!(matches!(journal.close().await, Err(WriteError::Lost(_))));
        assert!(matches!(
            receipt.committed().await,
            Err(WriteError::Lost(_))
        ));
        assert!(matches!(
            writer.append(batch(run, 1)).await,
            Err(WriteError::Closed)
        ));
    }

    #[tokio::test]
    async fn the_position_never_runs_ahead_of_the_disk() {
        let dir = TempDir::new().expect("a folder");
        let path = dir.path().join("j.db");
        let journal = Journal::open(&path, &Settings::default()).expect("a journal");
        let run = opened(&journal).await;
        let writer = journal.writer();
        let mut position = journal.position();
        let reader = Reader::open(&path).expect("a reader");
        let sender = tokio::spawn(async move {
            for _ in 0..200 {
                writer.append(batch(run, 3)).await.expect("room");
            }
        });
        while *position.borrow() < 600 {
            position.changed().await.expect("a writer");
            let seen = *position.borrow_and_update();
            assert!(reader.last_seq().expect("readable") >= seen);
        }
        sender.await.expect("no panic");
    }

    #[tokio::test]
    async fn the_queue_is_bounded_by_bytes() {
        let dir = TempDir::new().expect("a folder");
        let path = dir.path().join("j.db");
        let journal = Journal::open(&path, &Settings::default().pages_max(20)).expect("a journal");
        let writer = journal.writer();
        let run = opened(&journal).await;
        let _first = writer.append(batch(run, 5000)).await.expect("room");
        let mut health = journal.health();
        health
            .wait_for(|health| *health != Health::Good)
            .await
            .expect("a writer");
        let per_batch = batch(run, 5000)
            .entries
            .iter()
            .map(Entry::cost_bytes)
            .sum::<usize>();
        let mut queued = 1;
        loop {
            tokio::select! {
                biased;
                receipt = writer.append(batch(run, 5000)) => { receipt.expect("room"); queued += 1; }
                () = std::future::ready(()) => break,
            }
        }
        assert!(
            queued * per_batch <= QUEUE_MAX_BYTES && (queued + 2) * per_batch > QUEUE_MAX_BYTES
        );
    }
}
