//! The commands an emulated machine obeys.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use qmp_events::Version;
use qmp_events::vocabulary::JobStatus;
use qmp_monitor::{
    Answer, ArgumentKind, Call, CommandError, CommandInfo, CommandResult, Commands, ErrorClass,
    Object, generic_error,
};

use super::action::Action;
use super::machine::{Machine, RunState};
use super::queries::{QUERIES, has_ready};
use super::{Fate, OnCommand, lock, perform};

/// Commands by name, and what they do to the machine.
pub(super) struct MachineCommands {
    machine: Arc<Mutex<Machine>>,
    /// Commands whose answer is given.
    answers: BTreeMap<String, CommandResult>,
    on_command: Option<OnCommand>,
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

/// Commands that the monitor answers by itself.
pub(super) const BUILT_IN: [&str; 6] = [
    "query-version",
    "query-commands",
    "query-events",
    "query-qmp-schema",
    "query-name",
    "query-uuid",
];

/// First release with `query-jobs`.
const JOBS_SINCE: Version = Version::new(3, 0);

/// Every command an emulated machine may have by itself; which ones it has depends on the release.
pub fn own_commands() -> Vec<&'static str> {
    QUERIES.into_iter().chain(ORDERS).collect()
}

impl MachineCommands {
    pub(super) fn new(machine: Arc<Mutex<Machine>>) -> Self {
        Self {
            machine,
            answers: BTreeMap::new(),
            on_command: None,
        }
    }

    pub(super) fn with(
        mut self,
        answers: BTreeMap<String, CommandResult>,
        on_command: Option<OnCommand>,
    ) -> Self {
        self.answers = answers;
        self.on_command = on_command;
        self
    }

    fn run(&self, call: &Call<'_>) -> CommandResult {
        if let Some(answer) = self.answers.get(call.name()) {
            return answer.clone();
        }
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
        let own = queries
            .map(CommandInfo::new)
            .chain(ORDERS.into_iter().map(order_info))
            .filter(|info| !self.answers.contains_key(&info.name));
        let given = self.answers.keys().map(CommandInfo::new);
        own.chain(given).collect()
    }

    fn execute(&mut self, call: Call<'_>) -> Answer {
        let result = self.run(&call);
        if let Some(on_command) = &mut self.on_command {
            let fate = Fate {
                machine: Arc::clone(&self.machine),
                emitter: call.emitter().clone(),
            };
            on_command(&fate, call.name());
        }
        result.into()
    }
}

/// An order with its arguments.
fn order_info(name: &str) -> CommandInfo {
    let info = CommandInfo::new(name).without_return();
    match name {
        "block-job-cancel" => info
            .with_argument("device", ArgumentKind::String)
            .with_optional("force", ArgumentKind::Bool),
        "block-job-complete" => info.with_argument("device", ArgumentKind::String),
        _ => info,
    }
}
