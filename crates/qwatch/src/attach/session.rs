//! One attachment: from the connection to its end.

use std::num::NonZeroI64;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;

use qmp_client::{CloseReason, ConnectErrorKind, Socket};
use qmp_protocol::{ClientSession, SessionOptions};
use rustix::event::EventfdFlags;
use tokio::time::{Instant, sleep_until};

use super::Shared;
use super::beginning::Beginning;
use super::kept::{Kept, name_of};
use super::line::{Line, Look, now};
use super::names::Lease;
use super::notes;
use super::process::Process;
use super::tail::{Portion, Tail};
use crate::journal::{Batch, Connected, ConnectionId, Entry, Mark, RunEnd, RunId, WriteError};
use crate::limits::{PATIENCE_LOOK, PATIENCE_MIN_BYTES};
use crate::time;

/// Where a connection came from.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// As QEMU spells it.
    pub(super) address: String,
    /// What to call a machine without a name; `None` if the address says nothing of it.
    pub(super) fallback: Option<String>,
    /// QEMU dialled us.
    pub(super) dialled_in: bool,
}

/// How an attachment ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// QEMU ended it.
    Closed,
    /// The recorder is being stopped.
    Stopped,
    /// The same QEMU is recorded through another monitor.
    Duplicate,
    /// The journal is closed.
    Journal,
    /// It never came about.
    Failed(ConnectErrorKind),
}

/// Records a new connection until it ends.
pub(super) fn attend(
    socket: Socket,
    origin: Origin,
    shared: &Shared,
) -> impl Future<Output = Ended> + Send {
    let id = ConnectionId::random();
    // Before anything is read off it, so that nothing is lost from the first byte on.
    if let Err(error) = shared.manager.keep(&name_of(id, None), socket.as_fd()) {
        tracing::warn!(address = %origin.address, "if the recorder is killed, events will be missed, as the service manager does not keep the connection: {error}");
    }
    let session = ClientSession::new(SessionOptions::default(), now().instant);
    let line = Line::new(socket, Tail::new(id, session));
    begin(Beginning::new(id, line, origin, shared))
}

/// What is needed at the beginning only is given back before the long part.
async fn begin(beginning: Box<Beginning<'_>>) -> Ended {
    match Box::pin(beginning.attach()).await {
        Ok(attachment) => Box::pin(attachment.record()).await,
        Err(ended) => ended,
    }
}

/// Goes on with a connection that another recorder had.
pub(super) async fn go_on(mut kept: Kept, origin: Origin, shared: &Shared) -> Ended {
    let (id, drained_since_s) = (kept.id, kept.drained_since_s);
    let (known, lease) = (kept.known.take(), kept.lease.take());
    let name = kept.socket.name.clone();
    let socket = match kept.into_socket() {
        Ok(socket) => socket,
        Err(error) => {
            shared.manager.forget(&name);
            return Ended::Failed(error.into());
        }
    };
    match (known, lease) {
        (Some(known), Some(lease)) => {
            let line = Line::resume(socket, &known, first_id(), drained_since_s.is_some());
            let mut attachment = Attachment::of(id, line, known.run, lease, shared);
            attachment.process = known
                .info
                .pid
                .map(|pid| Process::again(pid, known.info.started_us));
            if let Some(since_s) = drained_since_s {
                let from_us = since_s.saturating_mul(1_000_000);
                attachment.drained_since_s = drained_since_s.and_then(NonZeroI64::new);
                let gap = notes::overflow_unknown(from_us, time::now_us());
                attachment.line.tail.note_gap(gap);
            }
            tracing::info!(machine = %attachment.lease.name, address = %origin.address, "goes on");
            Box::pin(attachment.record()).await
        }
        _ => {
            let session =
                ClientSession::take_over(SessionOptions::default(), now().instant, first_id());
            let line = Line::new(socket, Tail::new(id, session));
            begin(Beginning::new(id, line, origin, shared)).await
        }
    }
}

/// Says goodbye to a connection that another recorder had and this one is not to have.
pub(super) async fn give_up(mut kept: Kept, shared: &Shared) {
    let name = kept.socket.name.clone();
    let (known, lease) = (kept.known.take(), kept.lease.take());
    let (id, drained_since_s) = (kept.id, kept.drained_since_s);
    let (Some(known), Some(lease), Ok(socket)) = (known, lease, kept.into_socket()) else {
        return shared.manager.forget(&name);
    };
    let line = Line::resume(socket, &known, first_id(), drained_since_s.is_some());
    let mut attachment = Attachment::of(id, line, known.run, lease, shared);
    attachment.drained_since_s = drained_since_s.and_then(NonZeroI64::new);
    attachment.stopped().await;
}

/// Above all ids that an earlier recorder used: it counted on from the time of its own start.
fn first_id() -> u64 {
    time::now_us().unsigned_abs()
}

/// Something to be kept for its name alone. The socket itself cannot be kept under a second name, and under
/// another only with a moment in which nobody keeps it: a manager takes each open file once.
fn mark() -> std::io::Result<OwnedFd> {
    Ok(rustix::event::eventfd(0, EventfdFlags::CLOEXEC)?)
}

/// A commit under way.
type Commit = Pin<Box<dyn Future<Output = Result<(), WriteError>> + Send>>;

/// A connection that is recorded.
pub(super) struct Attachment<'s> {
    id: ConnectionId,
    line: Line,
    run: RunId,
    lease: Lease,
    pub(super) process: Option<Process>,
    /// What the journal is to be told of the connection with the first records.
    pub(super) begin: Option<Box<Connected>>,
    commit: Option<Commit>,
    /// When the socket is looked at again, once patience is over.
    look_again: Option<Instant>,
    /// The service manager knows that events are let go, from then on, seconds since 1970.
    drained_since_s: Option<NonZeroI64>,
    shared: &'s Shared,
}

/// What there is to do next.
enum Wake {
    /// The recorder is being stopped.
    Stop,
    /// Something came, or the other side has closed.
    Readable { closed: bool },
    /// More can be sent.
    Writable,
    /// The records under way are on disk.
    Committed(Result<(), WriteError>),
    /// It is time for something.
    Deadline,
}

impl<'s> Attachment<'s> {
    pub(super) fn of(
        id: ConnectionId,
        line: Line,
        run: RunId,
        lease: Lease,
        shared: &'s Shared,
    ) -> Box<Self> {
        Box::new(Self {
            id,
            line,
            run,
            lease,
            process: None,
            begin: None,
            commit: None,
            look_again: None,
            drained_since_s: None,
            shared,
        })
    }

    pub(super) async fn record(mut self: Box<Self>) -> Ended {
        let mut portion = self.line.handle_timeout();
        loop {
            if let Some(portion) = portion {
                self.commit = Some(self.append(portion));
            }
            if self.line.tail.is_done() {
                return Box::pin(self.ended()).await;
            }
            portion = match self.wake().await {
                Wake::Stop => return Box::pin(self.stopped()).await,
                Wake::Readable { closed } => self.line.turn(Look::New { closed }),
                Wake::Writable => {
                    self.line.flush();
                    None
                }
                Wake::Committed(Ok(())) => self.committed(),
                Wake::Committed(Err(_)) => return Ended::Journal,
                Wake::Deadline => {
                    self.look_whether_to_let_go();
                    self.line.handle_timeout()
                }
            };
        }
    }

    /// Waits for the first thing that happens. Cancel safe.
    async fn wake(&mut self) -> Wake {
        self.line.tail.rest();
        let mut stop = self.shared.stop.clone();
        let deadline = self.deadline();
        let Self { line, commit, .. } = self;
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => Wake::Stop,
            committed = wait_for(commit), if commit.is_some() => Wake::Committed(committed),
            closed = line.readable(), if line.wants_to_read() => Wake::Readable { closed },
            () = line.writable(), if line.wants_to_write() => Wake::Writable,
            () = sleep_until_some(deadline), if deadline.is_some() => Wake::Deadline,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let patience = self.line.tail.waits_since().map(|since| {
            let over = Instant::from_std(since) + self.shared.patience;
            self.look_again.map_or(over, |again| again.max(over))
        });
        let other = self.line.tail.poll_timeout().map(Instant::from_std);
        patience.into_iter().chain(other).min()
    }

    /// Queues records; the future is done when they are on disk.
    fn append(&mut self, portion: Portion) -> Commit {
        let (entries, mark) = portion.into_mark(self.id, self.begin.take());
        let batch = Batch {
            run: self.run,
            entries,
            end: None,
        };
        self.write(batch, mark)
    }

    fn write(&self, batch: Batch, mark: Mark) -> Commit {
        let writer = self.shared.writer.clone();
        // Nobody will ask for it where descriptors are not kept.
        let mark = Some(mark).filter(|_| self.shared.manager.keeps_descriptors());
        Box::pin(async move {
            let receipt = writer.append_marked(batch, mark).await?;
            receipt.committed().await.map(drop)
        })
    }

    fn committed(&mut self) -> Option<Portion> {
        self.commit = None;
        self.look_again = None;
        let wants_state = self.shared.writer.wants_state(self.run);
        if wants_state {
            self.line.tail.ask_state();
        }
        if !self.line.tail.is_letting_go() {
            self.forget_mark();
        }
        match self.line.committed() {
            // Nothing else makes us ask.
            None if wants_state => self.line.handle_timeout(),
            next => next,
        }
    }

    /// Lets events go if the journal has taken nothing for too long and QEMU is held up.
    fn look_whether_to_let_go(&mut self) {
        let now = now();
        let since = self.line.tail.waits_since().map(Instant::from_std);
        if since.is_none_or(|since| since + self.shared.patience > Instant::from_std(now.instant)) {
            return;
        }
        if self.line.waiting_bytes() < PATIENCE_MIN_BYTES {
            self.look_again = Some(Instant::from_std(now.instant) + PATIENCE_LOOK);
            return;
        }
        tracing::error!(machine = %self.lease.name, "events are lost: the journal takes none for too long");
        let since_s = self.line.tail.let_go(now).div_euclid(1_000_000);
        self.drained_since_s = NonZeroI64::new(since_s);
        self.keep_mark(since_s);
    }

    /// Tells the service manager, and so the next recorder, that events are let go.
    fn keep_mark(&self, since_s: i64) {
        let name = name_of(self.id, Some(since_s));
        let kept = mark().and_then(|mark| self.shared.manager.keep(&name, mark.as_fd()));
        if let Err(error) = kept {
            tracing::warn!(machine = %self.lease.name, "the service manager was not told that events are lost: {error}");
        }
    }

    fn forget_mark(&mut self) {
        if let Some(since_s) = self.drained_since_s.take() {
            let name = name_of(self.id, Some(since_s.get()));
            self.shared.manager.forget(&name);
        }
    }

    /// Says goodbye, or leaves all as it is for the next recorder.
    async fn stopped(mut self: Box<Self>) -> Ended {
        if let Some(commit) = self.commit.take() {
            if commit.await.is_err() {
                return Ended::Journal;
            }
            self.line.tail.committed();
            self.line.settle();
        }
        if self.shared.hands_over() {
            return Ended::Stopped;
        }
        if let Some(portion) = self.line.turn(Look::Again) {
            if self.append(portion).await.is_err() {
                return Ended::Journal;
            }
            self.line.tail.committed();
            self.line.settle();
        }
        let at_us = time::now_us();
        let reason = if self.shared.is_recorder_stopped() {
            "the recorder was stopped"
        } else {
            "it was taken out of the recorder's settings"
        };
        match self
            .end(notes::detached(reason, None, None, at_us), at_us, None)
            .await
        {
            Ok(()) => Ended::Stopped,
            Err(_) => Ended::Journal,
        }
    }

    async fn ended(mut self: Box<Self>) -> Ended {
        let at_us = time::now_us();
        self.lease.ending();
        let reason = match (self.line.broken(), self.line.tail.closed()) {
            (Some(broken), _) => broken.clone(),
            (None, Some(end)) => CloseReason::of_session(end.clone()),
            (None, None) => CloseReason::Eof,
        };
        let ended = self.how_it_ended(&reason).await;
        // One that said goodbye needs no explanation.
        let evidence = match (&ended, self.line.tail.shutdown()) {
            (Some(_), None) => self.process.as_ref().and_then(Process::evidence),
            _ => None,
        };
        // Where it was cut off, what happened since the last event may be missing.
        let heard_us = match reason {
            CloseReason::Eof => at_us,
            _ => self.line.tail.heard_us().unwrap_or(at_us).min(at_us),
        };
        let reason = reason.to_string();
        tracing::info!(
            machine = %self.lease.name,
            reason,
            ended,
            "detached"
        );
        let entry = notes::detached(&reason, ended.as_deref(), evidence.as_ref(), at_us);
        match self.end(entry, heard_us, ended).await {
            Ok(()) => Ended::Closed,
            Err(_) => Ended::Journal,
        }
    }

    /// Ends the run. Once that is on disk, nobody need keep the connection.
    async fn end(
        &mut self,
        entry: Entry,
        heard_us: i64,
        ended: Option<String>,
    ) -> Result<(), WriteError> {
        let batch = Batch {
            run: self.run,
            entries: vec![entry],
            end: Some(RunEnd {
                detached_us: heard_us,
                ended,
            }),
        };
        self.write(batch, Mark::End(self.id)).await?;
        self.shared.manager.forget(&name_of(self.id, None));
        self.forget_mark();
        Ok(())
    }

    /// In words, if the process has ended.
    async fn how_it_ended(&mut self, reason: &CloseReason) -> Option<String> {
        let after = match self.line.tail.shutdown() {
            Some("") => Some("exited after SHUTDOWN".to_owned()),
            Some(reason) => Some(format!("exited after SHUTDOWN: {reason}")),
            None => None,
        };
        match &self.process {
            Some(process) if process.exits_soon().await => Some(after.unwrap_or_else(|| {
                "exited without SHUTDOWN: it crashed, was killed, or a watchdog powered it off"
                    .to_owned()
            })),
            Some(_) => None,
            None => after.filter(|_| *reason == CloseReason::Eof),
        }
    }
}

async fn wait_for(commit: &mut Option<Commit>) -> Result<(), WriteError> {
    match commit {
        Some(commit) => commit.await,
        None => std::future::pending().await,
    }
}

/// In a place of its own: an idle machine waits for no time.
pub(super) async fn sleep_until_some(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => Box::pin(sleep_until(deadline)).await,
        None => std::future::pending().await,
    }
}
