//! The journal open for writing, and the handles to its writer.

use std::collections::HashMap;
use std::mem;
use std::path::Path;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::lock::WriterLock;
use super::mover::Mover;
use super::queue::{Pending, Work};
use super::retention::{Retainer, Wants};
use super::status::StatusFile;
use super::store::{Outcome, Store};
use super::worker::{Request, State, Worker};
use super::{
    Entry, Health, KeptConnection, Mark, OpenError, OpenedRun, Retention, RunEnd, RunId, RunInfo,
    Settings, Snapshot, WriteError,
};
use crate::limits::{QUEUE_ENTRY_BYTES, QUEUE_MAX_BYTES, RUN_QUEUE_MAX_BYTES};
use crate::time;

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
    /// Each run's share of the room.
    shares: Arc<Mutex<HashMap<RunId, Arc<Semaphore>>>>,
    wants: Wants,
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
        let (requests, received) = mpsc::channel();
        let wants = Wants::default();
        let (position_tx, position) = watch::channel(store.last_seq());
        let (health_tx, health) = watch::channel(Health::Good);
        let worker = Worker {
            mover: Mover::start(path),
            status: StatusFile::new(path, store.last_seq(), kept.len()),
            store,
            requests: received,
            position: position_tx,
            health: health_tx,
            retainer: Retainer::new(settings.retention.clone(), wants.clone(), Instant::now()),
            before_commit: settings.before_commit.clone(),
            state: State::new(kept.iter().map(|kept| kept.run.number()).collect()),
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
                shares: Arc::default(),
                wants,
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
        let room = vec![acquire(&self.room, QUEUE_ENTRY_BYTES, QUEUE_MAX_BYTES).await?];
        let (reply, opened) = oneshot::channel();
        self.send(Request::Change(Pending {
            work: Work::Open(info),
            reply,
            bytes: QUEUE_ENTRY_BYTES,
            _room: room,
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
        let share = self.share_of(&batch);
        // Its own share first: who floods waits here, and takes nobody's room meanwhile.
        let room = vec![
            acquire(&share, bytes, RUN_QUEUE_MAX_BYTES).await?,
            acquire(&self.room, bytes, QUEUE_MAX_BYTES).await?,
        ];
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
        let room = vec![acquire(&self.room, bytes, QUEUE_MAX_BYTES).await?];
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

    /// Whether the journal would have this machine tell its state anew: what is to be removed soon is what
    /// its state is told from. Said once; said again if no `state` record comes of it.
    pub fn wants_state(&self, run: RunId) -> bool {
        self.wants.take(run)
    }

    /// Changes what is kept, from the next look at it on.
    pub fn set_retention(&self, retention: Retention) {
        // A thread that has ended keeps nothing and removes nothing.
        let _ = self.requests.send(Request::Retention(retention));
    }

    /// The run's share of the queue; a run that ends needs none after that.
    fn share_of(&self, batch: &Batch) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || Arc::new(Semaphore::new(RUN_QUEUE_MAX_BYTES));
        if batch.end.is_some() {
            return shares.remove(&batch.run).unwrap_or_else(made);
        }
        Arc::clone(shares.entry(batch.run).or_insert_with(made))
    }

    fn send(&self, request: Request) -> Result<(), WriteError> {
        self.requests.send(request).map_err(|_| WriteError::Closed)
    }

    /// Runs SQL on the writing connection, to bring about failures.
    #[cfg(test)]
    pub(crate) fn execute(&self, sql: &'static str) {
        self.send(Request::Execute(sql)).expect("a writer");
    }
}

async fn acquire(
    room: &Arc<Semaphore>,
    bytes: usize,
    most: usize,
) -> Result<OwnedSemaphorePermit, WriteError> {
    let permits = u32::try_from(bytes.min(most)).unwrap_or(u32::MAX);
    Arc::clone(room)
        .acquire_many_owned(permits)
        .await
        .map_err(|_| WriteError::Closed)
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
        let full = async |run: RunId| {
            let mut queued = 0;
            loop {
                tokio::select! {
                    biased;
                    receipt = writer.append(batch(run, 5000)) => { receipt.expect("room"); queued += 1; }
                    () = std::future::ready(()) => return queued * per_batch,
                }
            }
        };
        let share = full(run).await + per_batch;
        assert!(share <= RUN_QUEUE_MAX_BYTES && share + 2 * per_batch > RUN_QUEUE_MAX_BYTES);
        let mut all = share;
        for other in 1000.. {
            match full(RunId::of(other)).await {
                0 => break,
                bytes => all += bytes,
            }
        }
        assert!(all <= QUEUE_MAX_BYTES && all + 2 * per_batch > QUEUE_MAX_BYTES);
    }
}
