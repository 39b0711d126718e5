//! A QEMU that exists only as its monitor.
//!
//! [`Machine`] is the pure part: a small state machine that is told what happens to it ([`Action`]), says
//! which events a QEMU emits then and in which order, and answers the state queries to match. No clock,
//! no socket. [`Emulated`] gives it a monitor that a client cannot tell from QEMU's.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use qmp_events::{Event, Message, Timestamp, Version};
use qmp_monitor::{BuildError, Builder, Emitter, Monitor};

use crate::time;

mod action;
mod changes;
mod commands;
mod jobs;
mod machine;
mod queries;
mod screens;
mod shape;

pub use action::{Action, MigrationPhase};
pub use machine::{Disk, Machine, MachineSettings, Outcome, RunState};
pub use shape::shaped;

/// A machine with a monitor. It ends when dropped, or when what happens to it ends it.
#[derive(Debug)]
pub struct Emulated {
    fate: Fate,
    monitor: Monitor,
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
        let builder = Monitor::builder()
            .version(&settings.version)
            .package(&settings.package)
            .name(&settings.name)
            .uuid(&settings.uuid);
        let machine = Arc::new(Mutex::new(Machine::new(settings)?));
        let commands = commands::MachineCommands::new(Arc::clone(&machine));
        let monitor = endpoints(builder).commands(commands).build()?;
        let emitter = monitor.emitter();
        let fate = Fate { machine, emitter };
        Ok(Self { fate, monitor })
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

fn lock(machine: &Mutex<Machine>) -> MutexGuard<'_, Machine> {
    machine.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
