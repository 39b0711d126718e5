//! One attachment: from the greeting to the end of the connection.

use std::pin::Pin;

use qmp_client::{Client, CloseReason, Closed, Connection, Events, Item, RawEvent};
use qmp_events::Envelope;
use serde_json::Value;

use super::names::{Claim, Lease};
use super::notes::{self, Circumstances};
use super::process::Process;
use super::{Shared, state};
use crate::journal::{Batch, Entry, Note, RunEnd, RunId, RunInfo, WriteError};
use crate::limits::{BATCH_MAX_BYTES, IDENTIFY_TIMEOUT};
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
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// QEMU ended it.
    Closed,
    /// The recorder is being stopped.
    Stopped,
    /// The same QEMU is recorded through another monitor.
    Duplicate,
    /// The journal is closed.
    Journal,
}

/// Records one connection until it ends.
pub(super) async fn attend(connection: Connection, origin: Origin, shared: &Shared) -> Ended {
    let connected_us = time::now_us();
    let Connection { client, events } = connection;
    let process = client.peer().and_then(|peer| peer.pid).map(Process::of);
    let (name, uuid) = identify(&client).await;
    let claim = Claim {
        name: name.unwrap_or_else(|| fallback_name(&origin, uuid.as_deref(), process.as_ref())),
        pid: process.as_ref().map(|process| process.pid),
        uuid,
    };
    let Ok(lease) = shared.names.claim(claim.clone()).await else {
        tracing::debug!(machine = %claim.name, address = %origin.address, "this QEMU is recorded already");
        return Ended::Duplicate;
    };
    let greeting = client.greeting();
    let version = &greeting.version;
    let info = RunInfo {
        machine: lease.name.clone(),
        uuid: claim.uuid,
        pid: claim.pid,
        started_us: process.as_ref().and_then(|process| process.started_us),
        version: format!("{}.{}.{}", version.major, version.minor, version.micro),
        package: version.package.clone(),
        address: origin.address,
        attached_us: connected_us,
    };
    let how = Circumstances {
        dialled_in: origin.dialled_in,
        recorder_since_us: shared.since_us,
    };
    match open(info, how, shared).await {
        Ok(run) => {
            let attachment = Attachment {
                run,
                lease,
                process,
                shared,
                shutdown: None,
            };
            attachment.record(client, events).await
        }
        Err(_) => Ended::Journal,
    }
}

/// The name and the uuid QEMU has; what it does not say is `None`.
async fn identify(client: &Client) -> (Option<String>, Option<String>) {
    let client = client.with_timeout(IDENTIFY_TIMEOUT);
    let ask = async |command: &str, member: &str| {
        let answer: Value = client.execute_as(command, ()).await.ok()?;
        let text = answer.get(member)?.as_str()?;
        (!text.is_empty()).then(|| text.to_owned())
    };
    let name = ask("query-name", "name").await;
    let uuid = ask("query-uuid", "UUID").await;
    // All zeros is what a QEMU without -uuid says.
    let uuid = uuid.filter(|uuid| uuid.chars().any(|c| c != '0' && c != '-'));
    (name, uuid)
}

fn fallback_name(origin: &Origin, uuid: Option<&str>, process: Option<&Process>) -> String {
    origin
        .fallback
        .clone()
        .or_else(|| uuid.map(str::to_owned))
        .or_else(|| process.map(|process| format!("qemu-{}", process.pid)))
        .unwrap_or_else(|| "qemu".to_owned())
}

/// Opens the run and writes its first records.
async fn open(info: RunInfo, how: Circumstances, shared: &Shared) -> Result<RunId, WriteError> {
    let opened = shared.writer.open_run(info.clone()).await?;
    let missed = notes::missed(&opened, &info, how);
    tracing::info!(
        machine = %info.machine,
        qemu = %info.version,
        pid = info.pid,
        address = %info.address,
        "attached"
    );
    let gap = missed.map(|missed| notes::gap(&missed, info.attached_us));
    let entries = gap.into_iter().chain([notes::attached(&info)]).collect();
    let batch = Batch {
        run: opened.run,
        entries,
        end: None,
    };
    shared.writer.append(batch).await?;
    Ok(opened.run)
}

struct Attachment<'s> {
    run: RunId,
    lease: Lease,
    process: Option<Process>,
    shared: &'s Shared,
    /// The data of the last SHUTDOWN that no RESET followed.
    shutdown: Option<String>,
}

/// The answers to the questions about the state, when they come.
type Asking<'c> = Pin<Box<dyn Future<Output = Option<String>> + Send + 'c>>;

/// What there is to do next.
enum Wake {
    /// The recorder is being stopped.
    Stop,
    /// QEMU has told its state.
    State(Option<String>),
    /// Something came, or the connection is over.
    Item(Result<Item, Closed>),
}

impl Attachment<'_> {
    async fn record(mut self, client: Client, mut events: Events) -> Ended {
        let mut stop = self.shared.stop.clone();
        let mut asking: Option<Asking<'_>> = Some(Box::pin(state::ask(&client)));
        loop {
            let wake = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => Wake::Stop,
                answer = answer(&mut asking) => Wake::State(answer),
                item = events.next() => Wake::Item(item),
            };
            let written = match wake {
                Wake::Stop => return self.stopped(&mut events).await,
                Wake::State(data) => {
                    asking = None;
                    self.write_state(data).await
                }
                Wake::Item(Ok(item)) => {
                    let (entries, overflowed) = self.take(item, &mut events);
                    if overflowed {
                        // After a gap, what is there is asked anew.
                        asking = Some(Box::pin(state::ask(&client)));
                    }
                    self.append(entries, None).await
                }
                Wake::Item(Err(closed)) => return self.closed(&closed).await,
            };
            if written.is_err() {
                return Ended::Journal;
            }
        }
    }

    /// Turns this item and what is queued behind it into records; true if events were dropped.
    fn take(&mut self, first: Item, events: &mut Events) -> (Vec<Entry>, bool) {
        let mut entries = vec![];
        let mut overflowed = false;
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(item) = next {
            overflowed |= matches!(item, Item::Dropped(_));
            let entry = self.entry(item);
            bytes += entry.cost_bytes();
            entries.push(entry);
            if bytes >= BATCH_MAX_BYTES {
                break;
            }
            // An end that waits behind is given again by the next call.
            next = events.try_next().unwrap_or(None);
        }
        (entries, overflowed)
    }

    fn entry(&mut self, item: Item) -> Entry {
        match item {
            Item::Event(RawEvent { text, received }) => {
                let received_us = time::system_time_us(received);
                match Entry::event(&text, received_us) {
                    Ok(entry) => {
                        self.watch_for_shutdown(&text);
                        entry
                    }
                    Err(error) => notes::stray(&error.to_string(), &text, received_us),
                }
            }
            Item::Dropped(dropped) => {
                tracing::warn!(machine = %self.lease.name, count = dropped.count, "events were lost: the journal was too slow");
                notes::overflow(&dropped)
            }
            Item::Garbage(garbage) => notes::garbage(&garbage, time::now_us()),
            Item::Stray(text) => {
                notes::stray("neither an event nor an answer", &text, time::now_us())
            }
        }
    }

    /// Remembers a shutdown, to tell a machine that was shut down from one that crashed.
    fn watch_for_shutdown(&mut self, text: &str) {
        if !text.contains("SHUTDOWN") && self.shutdown.is_none() {
            return;
        }
        let Ok(envelope) = Envelope::read(text) else {
            return;
        };
        match &*envelope.name {
            "SHUTDOWN" => {
                let data: Option<Value> = envelope
                    .data
                    .and_then(|data| serde_json::from_str(data).ok());
                let reason = data.and_then(|data| Some(data.get("reason")?.as_str()?.to_owned()));
                self.shutdown = Some(reason.unwrap_or_default());
            }
            // With -no-shutdown a machine can be reset and go on.
            "RESET" | "RESUME" => self.shutdown = None,
            _ => {}
        }
    }

    async fn write_state(&mut self, data: Option<String>) -> Result<(), WriteError> {
        match data {
            Some(data) => {
                let entry = Entry::note(Note::State, data, time::now_us());
                self.append(vec![entry], None).await
            }
            None => Ok(()),
        }
    }

    async fn append(&self, entries: Vec<Entry>, end: Option<RunEnd>) -> Result<(), WriteError> {
        let batch = Batch {
            run: self.run,
            entries,
            end,
        };
        self.shared.writer.append(batch).await.map(drop)
    }

    /// Writes what has come, then the goodbye.
    async fn stopped(mut self, events: &mut Events) -> Ended {
        while let Ok(Some(item)) = events.try_next() {
            let (entries, _) = self.take(item, events);
            if self.append(entries, None).await.is_err() {
                return Ended::Journal;
            }
        }
        let at_us = time::now_us();
        let end = RunEnd {
            detached_us: at_us,
            ended: None,
        };
        let reason = if self.shared.is_recorder_stopped() {
            "the recorder was stopped"
        } else {
            "it was taken out of the recorder's settings"
        };
        let entry = notes::detached(reason, None, at_us);
        match self.append(vec![entry], Some(end)).await {
            Ok(()) => Ended::Stopped,
            Err(_) => Ended::Journal,
        }
    }

    async fn closed(self, closed: &Closed) -> Ended {
        let at_us = time::now_us();
        self.lease.ending();
        let ended = self.how_it_ended(&closed.reason).await;
        let reason = closed.reason.to_string();
        tracing::info!(
            machine = %self.lease.name,
            reason,
            ended,
            "detached"
        );
        let entry = notes::detached(&reason, ended.as_deref(), at_us);
        let end = RunEnd {
            detached_us: at_us,
            ended,
        };
        match self.append(vec![entry], Some(end)).await {
            Ok(()) => Ended::Closed,
            Err(_) => Ended::Journal,
        }
    }

    /// In words, if the process has ended.
    async fn how_it_ended(&self, reason: &CloseReason) -> Option<String> {
        let after = match self.shutdown.as_deref() {
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

async fn answer(asking: &mut Option<Asking<'_>>) -> Option<String> {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}
