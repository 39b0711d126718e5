//! Listening to monitors.

use qmp_client::{Address, Backoff, FollowItem, Listener, Options, Reconnecting};
use tokio::sync::mpsc::{self, Sender};

use super::{Screen, notes};
use crate::cli::{Exit, Failure, Ui, monitor};
use crate::output;
use crate::record::Record;

/// Records on their way to the screen, from all monitors. When they are as many, a monitor is read
/// no further until there is room: the rest waits in the kernel and in QEMU.
const QUEUE_MAX_RECORDS: usize = 1024;

/// What a monitor's task has to say.
enum Heard {
    Record(Record),
    /// Something the user should know that is no record.
    Note(String),
    /// This monitor is given up.
    GivenUp(String),
}

/// Prints what all monitors say, until the last is given up or the reader of our output has gone.
pub(super) async fn watch(
    addresses: &[Address],
    once: bool,
    screen: &mut Screen,
    ui: Ui,
) -> Result<Exit, Failure> {
    let (sender, mut heard) = mpsc::channel(QUEUE_MAX_RECORDS);
    for address in addresses {
        tokio::spawn(follow(address.clone(), once, sender.clone()));
    }
    drop(sender);
    let mut exit = Exit::Success;
    let mut gone = std::pin::pin!(output::reader_gone());
    loop {
        let first = tokio::select! {
            heard = heard.recv() => heard,
            () = &mut gone => return Ok(Exit::Success),
        };
        let Some(first) = first else {
            return Ok(exit);
        };
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Heard::Record(record) => screen.show(&record)?,
                Heard::Note(text) => ui.note(&text),
                Heard::GivenUp(text) => {
                    ui.note(&text);
                    exit = Exit::Failure;
                }
            }
            next = heard.try_recv().ok();
        }
        screen.flush()?;
    }
}

/// Follows one monitor; ends when nobody wants to hear it any more, or after one connection if that
/// is all that was asked for.
async fn follow(address: Address, once: bool, sender: Sender<Heard>) {
    let mut monitor = match open(&address).await {
        Ok(monitor) => monitor,
        Err(why) => {
            let _ = sender.send(Heard::GivenUp(why)).await;
            return;
        }
    };
    if address.is_listen() {
        let note = format!("listening on {address}, waiting for QEMU to dial in");
        let _ = sender.send(Heard::Note(note)).await;
    }
    let mut talk = Talk {
        machine: monitor::fallback_name(&address),
        address,
        once,
        last_failure: String::new(),
    };
    loop {
        let item = monitor.next().await;
        let is_end = once && matches!(item, FollowItem::Detached(_) | FollowItem::Failed(_));
        if let Some(heard) = talk.heard(item).await
            && sender.send(heard).await.is_err()
        {
            return;
        }
        if is_end {
            return;
        }
    }
}

async fn open(address: &Address) -> Result<Reconnecting, String> {
    let (options, backoff) = (Options::default(), Backoff::default());
    if !address.is_listen() {
        return Ok(Reconnecting::dial(address.clone(), options, backoff));
    }
    match Listener::bind(address).await {
        Ok(listener) => Ok(Reconnecting::accept(listener, options, backoff)),
        Err(error) => Err(error.to_string()),
    }
}

/// Turns what comes from one monitor into records and notes.
struct Talk {
    address: Address,
    machine: String,
    once: bool,
    /// The same failure again and again is told once.
    last_failure: String,
}

impl Talk {
    async fn heard(&mut self, item: FollowItem) -> Option<Heard> {
        Some(match item {
            FollowItem::Attached(attached) => {
                self.last_failure.clear();
                self.machine = monitor::machine_name(&attached.client, &self.address).await;
                let version = attached.client.greeting().version.to_string();
                Heard::Record(notes::attached(&self.machine, &self.address, &version))
            }
            FollowItem::Event(event) => match monitor::record(&self.machine, &event) {
                Ok(record) => Heard::Record(record),
                Err(error) => Heard::Note(format!("{}: skipped: {error}", self.machine)),
            },
            FollowItem::Detached(detached) => {
                let reason = detached.reason.to_string();
                Heard::Record(notes::detached(&self.machine, &reason))
            }
            FollowItem::Gap(gap) => {
                let reason = gap.reason.to_string();
                Heard::Record(notes::gap(&self.machine, gap.from, gap.until, &reason))
            }
            FollowItem::Dropped(dropped) => {
                let reason = format!("{} events came faster than they were taken", dropped.count);
                let (from, until) = (dropped.since, dropped.until);
                Heard::Record(notes::gap(&self.machine, from, until, &reason))
            }
            FollowItem::Garbage(garbage) => {
                Heard::Note(format!("{}: skipped: {garbage}", self.machine))
            }
            FollowItem::Failed(failed) => {
                let text = failed.error.to_string();
                if self.once {
                    return Some(Heard::GivenUp(text));
                }
                if text == self.last_failure {
                    return None;
                }
                self.last_failure.clone_from(&text);
                Heard::Note(format!("{text}; trying on"))
            }
            _ => return None,
        })
    }
}
