//! The commands an emulated machine obeys.

use std::sync::{Arc, Mutex};

use qmp_events::Version;
use qmp_events::vocabulary::JobStatus;
use qmp_monitor::{
    Answer, Call, CommandError, CommandInfo, CommandResult, Commands, ErrorClass, Object,
    generic_error,
};

use super::action::Action;
use super::machine::{Machine, RunState};
use super::queries::{QUERIES, has_ready};
use super::{lock, perform};

/// Commands by name, and what they do to the machine.
#[derive(Debug)]
pub(super) struct MachineCommands {
    machine: Arc<Mutex<Machine>>,
}

/// The commands that change something.
const ORDERS: [&str; 8] = [
    "stop",
    "cont",
    "system_reset",
    "system_powerdown",
    "system_wakeup",
    "quit",
    "block-job-cancel",
    "block-job-complete",
];

/// First release with `query-jobs`.
const JOBS_SINCE: Version = Version::new(3, 0);

impl MachineCommands {
    pub(super) fn new(machine: Arc<Mutex<Machine>>) -> Self {
        Self { machine }
    }

    fn run(&self, call: &Call<'_>) -> CommandResult {
        if QUERIES.contains(&call.name()) {
            call.arguments().finish()?;
            return lock(&self.machine).query(call.name());
        }
        let action = self.order(call)?;
        perform(&self.machine, call.emitter(), &action);
        Ok(Object::new().into())
    }

    /// What a command wants done, if it can be done.
    fn order(&self, call: &Call<'_>) -> Result<Action, CommandError> {
        let mut arguments = call.arguments();
        if let "block-job-cancel" | "block-job-complete" = call.name() {
            let job = arguments.string("device")?;
            let force = arguments.optional_bool("force")?;
            arguments.finish()?;
            return self.job_order(call.name(), job, force.unwrap_or(false));
        }
        arguments.finish()?;
        let run = lock(&self.machine).run_state();
        match call.name() {
            "cont" if run == RunState::GuestPanicked => {
                Err(generic_error("Resetting the Virtual Machine is required"))
            }
            "system_wakeup" if run != RunState::Suspended => {
                let error = "Unable to wake up: guest is not in suspended state";
                Err(generic_error(error))
            }
            "stop" => Ok(Action::Stop),
            "cont" => Ok(Action::Continue),
            "system_reset" => Ok(Action::Reset { guest: false }),
            "system_powerdown" => Ok(Action::PressPower),
            "system_wakeup" => Ok(Action::WakeUp),
            "quit" => Ok(Action::Quit),
            _ => Err(generic_error("The emulated machine has no such command")),
        }
    }

    fn job_order(&self, name: &str, job: &str, force: bool) -> Result<Action, CommandError> {
        let machine = lock(&self.machine);
        let Some(known) = machine.jobs.iter().find(|known| known.id == job) else {
            return Err(CommandError {
                class: ErrorClass::DeviceNotActive,
                desc: format!("Block job '{job}' not found"),
            });
        };
        let ready = known.status == JobStatus::Ready;
        let job = job.to_owned().into();
        match name {
            "block-job-complete" if !ready || !has_ready(&known.kind) => {
                let status = known.status.as_str();
                let error = format!(
                    "Job '{job}' in state '{status}' cannot accept command verb 'complete'"
                );
                Err(generic_error(error))
            }
            "block-job-complete" => Ok(Action::JobComplete { job }),
            // A mirror that has caught up ends well when cancelled, unless it is forced.
            _ if ready && !force => Ok(Action::JobComplete { job }),
            _ => Ok(Action::JobCancel { job }),
        }
    }
}

impl Commands for MachineCommands {
    fn list(&self) -> Vec<CommandInfo> {
        let version = lock(&self.machine).version();
        let queries = QUERIES
            .into_iter()
            .filter(|name| *name != "query-jobs" || version >= JOBS_SINCE);
        queries.chain(ORDERS).map(CommandInfo::new).collect()
    }

    fn execute(&mut self, call: Call<'_>) -> Answer {
        self.run(&call).into()
    }
}
