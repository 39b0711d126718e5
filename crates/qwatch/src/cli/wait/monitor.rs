//! Waiting at a monitor: QEMU is asked how it stands, then it is listened to.
//!
//! Events and answers reach us by two ways, so their order is not known. What was heard while QEMU was being
//! asked is therefore applied after its answers, even if it came before: every change since the connection
//! was made is then seen, and the last word is the last event's.

use std::pin::Pin;
use std::time::Duration;

use qmp_client::{
    Address, Client, Closed, ConnectErrorKind, Connection, Events, ExecuteError, Item, Options,
};
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use super::condition::{Conditions, Verdict};
use super::{Args, Waited};
use crate::attach::Process;
use crate::cli::command::QmpCommand;
use crate::cli::{Failure, Ui, execute, monitor};
use crate::machine::State;
use crate::record::{Origin, Record};
use crate::time;

/// How often a QEMU that goes while we come is tried to be reached, to see that it has gone.
const GOING_MAX_TRIES: u32 = 10;

/// Pause between two such tries.
const GOING_PAUSE: Duration = Duration::from_millis(50);

/// Waits for one of the conditions at a monitor.
pub(super) async fn wait(
    args: &Args,
    address: &Address,
    conditions: &Conditions,
    ui: Ui,
) -> Result<Waited, Failure> {
    let options = Options {
        // The wait as a whole has its own limit.
        command_timeout: Duration::from_secs(u64::from(u32::MAX)),
        oob: args
            .after_command
            .as_ref()
            .is_some_and(|command| command.oob),
        ..Options::default()
    };
    let connection = if conditions.want_the_end() && !address.is_listen() {
        match connect_or_gone(address, &options).await? {
            Ok(connection) => connection,
            Err(gone) => return Ok(Waited::Already(gone)),
        }
    } else {
        monitor::connect(address, &options, ui).await?
    };
    let Connection { client, events } = connection;
    let machine = monitor::machine_name(&client, address).await;
    let mut waiting = Waiting {
        machine,
        conditions,
        ui,
        events,
        held: Vec::new(),
        state: State::default(),
    };
    waiting.run(&client, args.after_command.as_ref()).await
}

/// A connection, or a record of the end if there is no QEMU behind the socket any more.
async fn connect_or_gone(
    address: &Address,
    options: &Options,
) -> Result<Result<Connection, Record>, Failure> {
    let mut tries = 0;
    loop {
        let error = match qmp_client::connect(address, options).await {
            Ok(connection) => return Ok(Ok(connection)),
            Err(error) => error,
        };
        tries += 1;
        match error.kind {
            ConnectErrorKind::NoSuchFile | ConnectErrorKind::DeadSocket => {
                let ended = "there is no QEMU at this address";
                let data = json!({ "reason": error.to_string(), "ended": ended });
                return Ok(Err(note(
                    &monitor::fallback_name(address),
                    "detached",
                    data,
                )));
            }
            // It went while we came: the next try tells.
            ConnectErrorKind::HalfGreeting(_)
            | ConnectErrorKind::NoGreeting
            | ConnectErrorKind::GoneInNegotiation
                if tries < GOING_MAX_TRIES =>
            {
                sleep(GOING_PAUSE).await;
            }
            _ => return Err(Failure::new(error)),
        }
    }
}

struct Waiting<'w> {
    machine: String,
    conditions: &'w Conditions,
    ui: Ui,
    events: Events,
    /// What was heard while QEMU was being asked.
    held: Vec<Record>,
    state: State,
}

/// Sends the command; if it ends the connection, as `quit` does, that is no failure.
async fn send(client: &Client, command: &QmpCommand) -> Result<(), Failure> {
    let answer = match command.oob {
        true => client.execute_oob(&command.name, &command.arguments).await,
        false => client.execute(&command.name, &command.arguments).await,
    };
    match answer {
        Ok(_) | Err(ExecuteError::Closed(_)) => Ok(()),
        Err(error) => Err(execute::failure(&command.name, &error)),
    }
}

/// How the machine stands, as QEMU says.
struct Answer {
    /// As a `state` note.
    state: Record,
    /// Devices that are waited for and not there.
    removed: Vec<String>,
}

/// The answer, when it comes; `None` if nothing was asked, or QEMU is gone in the meantime.
type Asking<'c> = Pin<Box<dyn Future<Output = Result<Option<Answer>, Failure>> + 'c>>;

/// What there is to do next.
enum Wake {
    Item(Result<Item, Closed>),
    Answer(Result<Option<Answer>, Failure>),
}

impl Waiting<'_> {
    async fn run(
        &mut self,
        client: &Client,
        first: Option<&QmpCommand>,
    ) -> Result<Waited, Failure> {
        let machine = self.machine.clone();
        let devices: Vec<String> = self.conditions.devices().map(str::to_owned).collect();
        let need_state = self.conditions.need_state();
        let mut asking: Option<Asking<'_>> = Some(Box::pin(async {
            if let Some(first) = first {
                send(client, first).await?;
            }
            if !need_state {
                return Ok(None);
            }
            Ok(ask(client, &machine, &devices).await)
        }));
        let mut asked_why = false;
        // Met while the command is not answered: its error would go before.
        let mut met: Option<Record> = None;
        loop {
            let wake = tokio::select! {
                // What was heard before the connection ended comes first.
                biased;
                item = self.events.next() => Wake::Item(item),
                answer = answer(&mut asking) => Wake::Answer(answer),
            };
            match wake {
                Wake::Item(Ok(item)) => {
                    if let Some(record) = self.hear(item) {
                        self.held.push(record);
                    }
                }
                Wake::Item(Err(closed)) => return self.closed(client, &closed, met).await,
                Wake::Answer(result) => {
                    asking = None;
                    if let Some(Answer { state, removed }) = result? {
                        if let Some(id) = removed.first() {
                            self.ui
                                .note(&format!("note: there is no device {id} (any more)"));
                            return Ok(Waited::Already(state));
                        }
                        self.held.insert(0, state);
                    }
                }
            }
            if asking.is_some() {
                met = met.or_else(|| self.heard_event());
                continue;
            }
            if let Some(record) = met.take() {
                return Ok(Waited::Seen(record));
            }
            match self.settle() {
                Settled::Open => self.look_for_absent()?,
                Settled::Met(waited) => return Ok(waited),
                Settled::Never { why, unexplained } => {
                    if !unexplained || asked_why {
                        return Err(Failure::new(format!("{}: {why}", self.machine)));
                    }
                    asked_why = true;
                    asking = Some(Box::pin(async {
                        Ok(ask(client, &machine, &devices).await)
                    }));
                }
            }
        }
    }

    /// An event that is waited for, among what is held.
    fn heard_event(&self) -> Option<Record> {
        let met = self
            .held
            .iter()
            .find(|record| self.conditions.is_met_by(record));
        met.cloned()
    }

    /// Applies what is held, one after the other, until one decides.
    fn settle(&mut self) -> Settled {
        let mut held = std::mem::take(&mut self.held).into_iter();
        for record in held.by_ref() {
            if self.conditions.is_met_by(&record) {
                return Settled::Met(Waited::Seen(record));
            }
            if !self.conditions.need_state() {
                continue;
            }
            self.state.apply(&record);
            match self.conditions.judge(&self.state, 0) {
                Verdict::Open => {}
                Verdict::Met(_) => return Settled::Met(Waited::Seen(record)),
                Verdict::Never { why, unexplained } => {
                    self.held = held.collect();
                    return Settled::Never { why, unexplained };
                }
            }
        }
        Settled::Open
    }

    /// A job that is not there, and was not heard of since we listen, will not be waited for: it is most
    /// likely over.
    fn look_for_absent(&self) -> Result<(), Failure> {
        let absent = self
            .conditions
            .jobs()
            .find(|id| self.state.job(id).is_none());
        match absent {
            Some(id) if self.conditions.is_only_about_jobs() => {
                let machine = &self.machine;
                Err(Failure::new(format!(
                    "{machine}: there is no job {id}: it is over and dismissed, or has not begun"
                ))
                .hint(format!(
                    "the journal knows how it ended: qwatch wait {machine} job:{id}"
                ))
                .hint("--after-command starts a job once it is listened for"))
            }
            _ => Ok(()),
        }
    }

    fn hear(&mut self, item: Item) -> Option<Record> {
        match item {
            Item::Event(event) => match monitor::record(&self.machine, &event) {
                Ok(record) => Some(record),
                Err(error) => {
                    self.ui.note(&format!("skipped: {error}"));
                    None
                }
            },
            Item::Dropped(dropped) => {
                let count = dropped.count;
                self.ui
                    .note(&format!("{count} events came too fast and were missed"));
                None
            }
            _ => None,
        }
    }

    /// The connection is over: what was heard before counts, and that it is over may be what is waited for.
    async fn closed(
        &mut self,
        client: &Client,
        closed: &Closed,
        met: Option<Record>,
    ) -> Result<Waited, Failure> {
        if let Some(record) = met {
            return Ok(Waited::Seen(record));
        }
        if self.conditions.need_state() {
            let process = client.peer().and_then(|peer| peer.pid).map(Process::of);
            let ended = match &process {
                Some(process) => process.exits_soon().await,
                // Who is not known is taken at its word.
                None => true,
            };
            let mut data = json!({ "reason": closed.to_string() });
            if ended {
                data["ended"] = Value::from("the process has exited");
            }
            self.held.push(note(&self.machine, "detached", data));
        }
        match self.settle() {
            Settled::Met(waited) => Ok(waited),
            Settled::Never { why, .. } => Err(Failure::new(format!("{}: {why}", self.machine))),
            Settled::Open => Err(Failure::new(format!("{}: {closed}", self.machine))),
        }
    }
}

enum Settled {
    Open,
    Met(Waited),
    Never { why: String, unexplained: bool },
}

async fn answer(asking: &mut Option<Asking<'_>>) -> Result<Option<Answer>, Failure> {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}

/// Asks how the machine stands; `None` if it is gone in the meantime.
async fn ask(client: &Client, machine: &str, devices: &[String]) -> Option<Answer> {
    let mut data = Map::new();
    for query in [
        "query-status",
        "query-jobs",
        "query-block-jobs",
        "query-migrate",
    ] {
        match client.execute_as::<Value>(query, ()).await {
            Ok(answer) => drop(data.insert(query.to_owned(), answer)),
            Err(ExecuteError::Closed(_)) => return None,
            // A QEMU that does not know the query has nothing to say.
            Err(_) => {}
        }
    }
    let mut removed = Vec::new();
    if !devices.is_empty() {
        let path = json!({ "path": "/machine/peripheral" });
        let children = match client.execute_as::<Value>("qom-list", &path).await {
            Ok(children) => children,
            Err(ExecuteError::Closed(_)) => return None,
            Err(_) => Value::Null,
        };
        if let Some(children) = children.as_array() {
            let is_there = |id: &String| children.iter().any(|child| child["name"] == id.as_str());
            removed.extend(devices.iter().filter(|id| !is_there(id)).cloned());
        }
    }
    Some(Answer {
        state: note(machine, "state", Value::Object(data)),
        removed,
    })
}

/// A note as the recorder would write it.
fn note(machine: &str, name: &str, data: Value) -> Record {
    Record {
        seq: None,
        machine: machine.to_owned(),
        run: None,
        origin: Origin::Qwatch,
        name: name.to_owned(),
        timestamp: None,
        received_us: time::now_us(),
        data: Some(data.to_string()),
    }
}
