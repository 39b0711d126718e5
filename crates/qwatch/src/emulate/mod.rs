//! A QEMU that exists only as its monitor.
//!
//! [`Machine`] is the pure part: a small state machine that is told what happens to it ([`Action`]), says
//! which events a QEMU emits then and in which order, and answers the state queries to match. No clock,
//! no socket. [`Emulated`] gives it a monitor that a client cannot tell from QEMU's.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use qmp_events::{DecodeError, Envelope, Event, Message, Timestamp, Version};
use qmp_monitor::{BuildError, Builder, CommandResult, Emitter, Monitor, Observer, SessionId};

use crate::time;

mod action;
mod changes;
mod commands;
mod deed;
mod faults;
mod heard;
mod jobs;
mod machine;
mod player;
mod queries;
mod relay;
mod replay;
mod scenario;
mod screens;
mod shape;
mod timeline;

pub use action::{Action, MigrationPhase};
pub use commands::own_commands;
pub use deed::{ACTIONS, Deed, DeedError, Parameters};
pub use faults::{FAULTS, Fault, Faulty, Sent, Then};
pub use machine::{Disk, Machine, MachineSettings, Outcome, RunState};
pub use player::{Player, Waiting};
pub use relay::{Door, Listening, Relays, Said, What};
pub use replay::{ReplayError, recording};
pub use scenario::{Scenario, ScenarioError};
pub use shape::shaped;
pub use timeline::{Repeat, Sequence, Timeline};

/// A machine with a monitor. It ends when dropped, or when what happens to it ends it.
#[derive(Debug)]
pub struct Emulated {
    fate: Fate,
    monitor: Monitor,
}

/// What an emulated machine does besides being itself.
#[derive(Default)]
pub struct Hooks {
    /// Commands it has besides its own, or instead of them, and what is answered.
    pub answers: BTreeMap<String, CommandResult>,
    /// Told of each command but the negotiation, before it is answered and after what it does by
    /// itself; what this lets happen is emitted before the answer.
    pub on_command: Option<OnCommand>,
    /// Told of each client that has negotiated.
    pub on_ready: Option<Box<dyn FnMut() + Send>>,
}

/// See [`Hooks::on_command`].
pub type OnCommand = Box<dyn FnMut(&Fate, &str) + Send>;

impl std::fmt::Debug for Hooks {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Hooks")
            .field("answers", &self.answers)
            .finish_non_exhaustive()
    }
}

/// Passes on that a client is ready.
struct ClientWatch {
    on_ready: Box<dyn FnMut() + Send>,
}

impl Observer for ClientWatch {
    fn client_ready(&mut self, _client: SessionId) {
        (self.on_ready)();
    }
}

/// Through which things happen to a machine, from any thread. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Fate {
    machine: Arc<Mutex<Machine>>,
    emitter: Emitter,
}

impl Emulated {
    /// Starts a machine's monitor; `endpoints` says where clients reach it
    /// (`|builder| builder.listen_unix(path)`). The machine is not powered on yet.
    ///
    /// # Errors
    /// As [`Builder::build`].
    pub fn start(
        settings: MachineSettings,
        endpoints: impl FnOnce(Builder) -> Builder,
    ) -> Result<Self, BuildError> {
        Self::start_with(settings, Hooks::default(), endpoints)
    }

    /// As [`Emulated::start`], with commands of its own and somebody who is told of clients.
    ///
    /// # Errors
    /// As [`Builder::build`].
    pub fn start_with(
        settings: MachineSettings,
        hooks: Hooks,
        endpoints: impl FnOnce(Builder) -> Builder,
    ) -> Result<Self, BuildError> {
        let builder = Monitor::builder()
            .version(&settings.version)
            .package(&settings.package)
            .name(&settings.name)
            .uuid(&settings.uuid);
        let builder = match hooks.on_ready {
            Some(on_ready) => builder.observer(ClientWatch { on_ready }),
            None => builder,
        };
        let machine = Arc::new(Mutex::new(Machine::new(settings)?));
        let commands = commands::MachineCommands::new(Arc::clone(&machine))
            .with(hooks.answers, hooks.on_command);
        let monitor = endpoints(builder).commands(commands).build()?;
        let emitter = monitor.emitter();
        let fate = Fate { machine, emitter };
        Ok(Self { fate, monitor })
    }

    /// The addresses of its TCP listeners, in the order they were asked for.
    pub fn tcp_addresses(&self) -> &[SocketAddr] {
        self.monitor.tcp_addresses()
    }

    /// What lets things happen to it.
    pub fn fate(&self) -> Fate {
        self.fate.clone()
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// As [`Monitor::wait`].
    pub fn wait(self) -> io::Result<()> {
        self.monitor.wait()
    }
}

impl Fate {
    /// Something happens to the machine, other than by a command.
    pub fn act(&self, action: &Action) {
        perform(&self.machine, &self.emitter, action);
    }

    /// Does what was written down.
    pub fn perform(&self, deed: &Deed) {
        match deed {
            Deed::Act(action) => self.act(action),
            Deed::Event {
                name,
                data,
                timestamp,
            } => {
                let now = || Timestamp::from_unix_micros(time::now_us());
                let stamp = timestamp.unwrap_or_else(now);
                let line = deed::message(name, data.as_ref(), stamp);
                self.tell(&line, Emitter::emit_text);
            }
            Deed::Recorded(line) => self.tell(&stamped(line), Emitter::emit_unlimited),
        }
    }

    /// An event that no action caused: emitted, and taken over into the state.
    fn tell(&self, line: &str, emit: impl Fn(&Emitter, &str) -> Result<(), DecodeError>) {
        let mut machine = lock(&self.machine);
        if machine.run_state() == RunState::Gone {
            return;
        }
        if let Ok(message) = Message::decode(line) {
            machine.heard(&message.event);
        }
        if let Err(error) = emit(&self.emitter, line) {
            // It was read as JSON with a name before.
            tracing::error!(%error, line, "no event");
        }
    }

    /// The machine's state.
    pub fn run_state(&self) -> RunState {
        lock(&self.machine).run_state()
    }

    /// What became of the machine's events.
    pub fn stats(&self) -> qmp_monitor::Stats {
        self.emitter.stats()
    }
}

/// Lets an action happen and emits what follows from it, in one piece: what two threads do to a machine
/// does not mix.
fn perform(machine: &Mutex<Machine>, emitter: &Emitter, action: &Action) {
    let mut machine = lock(machine);
    let outcome = machine.act(action);
    for event in outcome.events {
        emit(emitter, event, machine.version());
    }
    if outcome.exits {
        emitter.close();
    }
}

/// Emits an event in the shape this release gave it.
fn emit(emitter: &Emitter, event: Event<'static>, version: Version) {
    let now = Timestamp::from_unix_micros(time::now_us());
    let line = shaped(&Message::new(now, event), version);
    if let Err(error) = emitter.emit_text(&line) {
        // Our own encoder wrote it.
        tracing::error!(%error, line, "an emulated machine wrote no event");
    }
}

/// The message with the time as its stamp if it has none.
fn stamped(line: &str) -> Cow<'_, str> {
    match (Envelope::read(line), line.strip_prefix('{')) {
        (Ok(event), Some(rest)) if event.timestamp.is_none() => {
            let at = Timestamp::from_unix_micros(time::now_us());
            let (seconds, microseconds) = (at.seconds, at.microseconds);
            let stamp = format!("{{\"seconds\": {seconds}, \"microseconds\": {microseconds}}}");
            Cow::Owned(format!("{{\"timestamp\": {stamp}, {rest}"))
        }
        _ => Cow::Borrowed(line),
    }
}

fn lock(machine: &Mutex<Machine>) -> MutexGuard<'_, Machine> {
    machine.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
