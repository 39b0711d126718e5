//! The beginning of an attachment: from the connection to the first records of its run.

use std::time::Duration;

use qmp_client::{CloseReason, ConnectErrorKind, Greeting};
use qmp_protocol::{CloseReason as SessionEnd, SessionOptions, State};
use tokio::time::{Instant, timeout};

use super::Shared;
use super::kept::name_of;
use super::line::{Line, Look};
use super::names::{Claim, Lease};
use super::notes::{self, Circumstances};
use super::process::Process;
use super::session::{Attachment, Ended, Origin, sleep_until_some};
use super::tail::Identity;
use crate::journal::{Connected, ConnectionId, Entry, Memory, OpenedRun, RunInfo};
use crate::limits::HANDSHAKE_HOLD;
use crate::time;

/// A connection of which nothing is known yet.
pub(super) struct Beginning<'s> {
    id: ConnectionId,
    line: Line,
    origin: Origin,
    connected_us: i64,
    process: Option<Process>,
    shared: &'s Shared,
}

impl<'s> Beginning<'s> {
    pub(super) fn new(
        id: ConnectionId,
        line: Line,
        origin: Origin,
        shared: &'s Shared,
    ) -> Box<Self> {
        let pid = line.socket.peer().and_then(|peer| peer.pid);
        Box::new(Self {
            id,
            line,
            origin,
            connected_us: time::now_us(),
            process: pid.map(Process::of),
            shared,
        })
    }

    /// Everything up to the first records.
    pub(super) async fn attach(mut self: Box<Self>) -> Result<Box<Attachment<'s>>, Ended> {
        let shared = self.shared;
        let id = self.id;
        let ended = match self.identify().await {
            Ok(identity) => match self.open(identity).await {
                Ok(attachment) => return Ok(attachment),
                Err(ended) => ended,
            },
            Err(ended) => ended,
        };
        // The next recorder begins anew: nothing was read off the socket.
        if !(matches!(ended, Ended::Stopped) && shared.hands_over()) {
            shared.manager.forget(&name_of(id, None));
        }
        Err(ended)
    }

    /// Greets, negotiates, asks who it is.
    async fn identify(&mut self) -> Result<Identity, Ended> {
        let mut stop = self.shared.stop.clone();
        let started = Instant::now();
        let mut hold = Some(started + HANDSHAKE_HOLD);
        loop {
            self.line.flush();
            if let Some(identity) = self.line.tail.take_identity() {
                return Ok(identity);
            }
            match self.line.tail.closed() {
                None => {}
                // It has said something before it went.
                Some(SessionEnd::Eof {
                    during: State::Ready,
                    ..
                }) => return Ok(Identity::default()),
                Some(end) => return Err(self.failed(end.clone(), started.elapsed())),
            }
            if self.line.is_full() {
                self.line.tail.make_room();
                self.line.turn(Look::Again);
            }
            let deadline = self.line.tail.poll_timeout().map(Instant::from_std);
            let deadline = deadline.into_iter().chain(hold).min();
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return Err(Ended::Stopped),
                closed = self.line.readable(), if self.line.wants_to_read() => {
                    self.line.turn(Look::New { closed });
                }
                () = self.line.writable(), if self.line.wants_to_write() => {}
                () = sleep_until_some(deadline), if deadline.is_some() => {
                    if hold.take_if(|hold| *hold <= Instant::now()).is_some() {
                        self.line.tail.make_room();
                    }
                    self.line.handle_timeout();
                }
            }
        }
    }

    fn failed(&self, end: SessionEnd, waited: Duration) -> Ended {
        if let Some(CloseReason::Io { kind, message }) = self.line.broken() {
            return Ended::Failed(std::io::Error::new(*kind, message.clone()).into());
        }
        let pid = self.line.socket.peer().and_then(|peer| peer.pid);
        // As long as was meant, not as long as it took.
        let waited = match end {
            SessionEnd::GreetingTimeout | SessionEnd::NegotiationTimeout => {
                SessionOptions::default().greeting_timeout
            }
            _ => waited,
        };
        Ended::Failed(ConnectErrorKind::of_session(end, waited, pid))
    }

    /// Takes a name, opens the run, and has its first records ready.
    async fn open(mut self: Box<Self>, identity: Identity) -> Result<Box<Attachment<'s>>, Ended> {
        let Identity { name, uuid } = identity;
        let name = name.unwrap_or_else(|| self.fallback_name(uuid.as_deref()));
        let pid = self.process.as_ref().map(|process| process.pid);
        let claim = Claim { name, pid, uuid };
        let Ok(lease) = self.shared.names.claim(claim.clone()).await else {
            tracing::debug!(machine = %claim.name, address = %self.origin.address, "this QEMU is recorded already");
            return Err(Ended::Duplicate);
        };
        let greeting = self.line.tail.greeting().cloned().unwrap_or_default();
        let info = self.run_info(&lease, &claim, &greeting);
        // A journal that takes nothing for so long must not make QEMU pile up what nobody reads.
        let opening = self.shared.writer.open_run(info.clone());
        let opened = match timeout(self.shared.patience, opening).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(_)) => return Err(Ended::Journal),
            Err(_) => {
                tracing::warn!(machine = %info.machine, "let go of again: the journal takes no records");
                return Err(Ended::Closed);
            }
        };
        tracing::info!(
            machine = %info.machine,
            qemu = %info.version,
            pid = info.pid,
            address = %info.address,
            "attached"
        );
        self.line.tail.begin(self.first_entries(&opened, &info));
        let connected = Connected {
            id: self.id,
            claimed: claim.name,
            greeting: greeting.to_json(),
            oob: false,
            dialled_in: self.origin.dialled_in,
            memory: Memory::default(),
        };
        let mut attachment = Attachment::of(self.id, self.line, opened.run, lease, self.shared);
        attachment.begin = Some(Box::new(connected));
        attachment.process = self.process;
        Ok(attachment)
    }

    fn fallback_name(&self, uuid: Option<&str>) -> String {
        (self.origin.fallback.clone())
            .or_else(|| uuid.map(str::to_owned))
            .or_else(|| {
                let process = self.process.as_ref()?;
                Some(format!("qemu-{}", process.pid))
            })
            .unwrap_or_else(|| "qemu".to_owned())
    }

    fn run_info(&self, lease: &Lease, claim: &Claim, greeting: &Greeting) -> RunInfo {
        let version = &greeting.version;
        RunInfo {
            machine: lease.name.clone(),
            uuid: claim.uuid.clone(),
            pid: claim.pid,
            started_us: self.process.as_ref().and_then(|process| process.started_us),
            version: format!("{}.{}.{}", version.major, version.minor, version.micro),
            package: version.package.clone(),
            address: self.origin.address.clone(),
            attached_us: self.connected_us,
        }
    }

    fn first_entries(&self, opened: &OpenedRun, info: &RunInfo) -> Vec<Entry> {
        let how = Circumstances {
            dialled_in: self.origin.dialled_in,
            recorder_since_us: self.shared.since_us,
        };
        let gap = notes::missed(opened, info, how);
        // What QEMU emits before the negotiation is over, it tells nobody; by now it is.
        let gap = gap.map(|missed| notes::gap(&missed, time::now_us()));
        gap.into_iter()
            .chain([notes::attached(info, how)])
            .collect()
    }
}
