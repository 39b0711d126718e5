//! A machine as small as the scripts allow: the commands they use, as a QEMU without devices answers them.

use std::sync::{Arc, Mutex, PoisonError};

use qmp_events::vocabulary::{Powerdown, Reset, Resume, Shutdown, Stop};
use qmp_monitor::{
    Answer, Arguments, Call, CommandError, CommandInfo, CommandResult, Commands, ErrorClass,
    Object, Reply, Value, generic_error,
};

/// What outlives a command; shared with the test.
#[derive(Clone, Default)]
pub(crate) struct State(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    running: bool,
    /// It was reset since it stopped.
    reset: bool,
    /// The answer to the slow command, while it runs.
    slow: Option<Reply>,
}

impl State {
    /// Stops the machine, silently.
    pub(crate) fn stop(&self) {
        self.with(|inner| (inner.running, inner.reset) = (false, false));
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The commands.
pub(crate) struct Emulated {
    state: State,
    /// QEMU 7.2, not 10.0.
    old: bool,
}

/// Ends the slow command; only the test sends it, out of band.
pub(crate) const RELEASE: &str = "x-release";

const COMMANDS: &[&str] = &[
    "balloon",
    "cont",
    "device_del",
    "human-monitor-command",
    "query-block",
    "query-iothreads",
    "query-jobs",
    "query-name",
    "query-stats",
    "query-status",
    "query-uuid",
    "quit",
    "ringbuf-read",
    "set_link",
    "stop",
    "system_powerdown",
    "system_reset",
    "system_wakeup",
];

impl Emulated {
    pub(crate) fn new(version: &str, state: State) -> Self {
        let old = version.starts_with("7.");
        Self { state, old }
    }

    fn run(&self, call: &Call<'_>) -> CommandResult {
        let mut arguments = call.arguments();
        match call.name() {
            "balloon" => {
                arguments.integer("value")?;
                arguments.finish()?;
                let desc = "No balloon device has been activated";
                Err(error(ErrorClass::DeviceNotActive, desc.to_owned()))
            }
            "device_del" => {
                let id = arguments.string("id")?;
                arguments.finish()?;
                if id.is_empty() {
                    let kind = if self.old {
                        "a hotpluggable device"
                    } else {
                        "a device"
                    };
                    return Err(generic_error(format!(" is not {kind}")));
                }
                Err(error(
                    ErrorClass::DeviceNotFound,
                    format!("Device '{id}' not found"),
                ))
            }
            "set_link" => {
                let name = arguments.string("name")?;
                arguments.bool("up")?;
                arguments.finish()?;
                Err(error(
                    ErrorClass::DeviceNotFound,
                    format!("Device '{name}' not found"),
                ))
            }
            "ringbuf-read" => ringbuf_read(arguments),
            // One letter less than another: random scripts come upon it.
            "query-stats" => {
                arguments.string("target")?;
                Ok(Value::Array(Vec::new()))
            }
            "migrate-pause" => {
                arguments.finish()?;
                let states = match self.old {
                    true => "postcopy-active",
                    false => "postcopy-active or postcopy-recover",
                };
                let desc =
                    format!("migrate-pause is currently only supported during {states} state");
                Err(generic_error(desc))
            }
            RELEASE => {
                let slow = self.state.with(|inner| inner.slow.take());
                let slow = slow.ok_or_else(|| generic_error("nothing is slow"))?;
                slow.send(Ok(Value::from("")));
                Ok(Object::new().into())
            }
            _ => {
                arguments.finish()?;
                self.run_plain(call)
            }
        }
    }

    /// The commands without arguments.
    fn run_plain(&self, call: &Call<'_>) -> CommandResult {
        let answer = match call.name() {
            "query-block" | "query-iothreads" | "query-jobs" => {
                return Ok(Value::Array(Vec::new()));
            }
            "query-uuid" => Object::new().with("UUID", "00000000-0000-0000-0000-000000000000"),
            "query-status" => {
                let (running, reset) = self.state.with(|inner| (inner.running, inner.reset));
                let status = match (running, reset) {
                    (true, _) => "running",
                    (false, true) => "prelaunch",
                    (false, false) => "paused",
                };
                // The older one told of single-stepping.
                let singlestep = self.old.then_some(false);
                Object::new()
                    .with("running", running)
                    .with_some("singlestep", singlestep)
                    .with("status", status)
            }
            "system_wakeup" => {
                let desc = "Unable to wake up: guest is not in suspended state";
                return Err(generic_error(desc));
            }
            name => {
                self.change(name, call);
                Object::new()
            }
        };
        Ok(answer.into())
    }

    /// The commands that do something.
    fn change(&self, name: &str, call: &Call<'_>) {
        match name {
            "stop" | "cont" => {
                let running = name == "cont";
                let before = self
                    .state
                    .with(|inner| std::mem::replace(&mut inner.running, running));
                match (before, running) {
                    (true, false) => {
                        self.state.stop();
                        call.emit(Stop::default());
                    }
                    (false, true) => call.emit(Resume::default()),
                    _ => {}
                }
            }
            "system_powerdown" => call.emit(Powerdown::default()),
            "system_reset" => {
                self.state.with(|inner| inner.reset = true);
                call.emit(Reset {
                    guest: Some(false),
                    reason: Some("host-qmp-system-reset".into()),
                    ..Default::default()
                });
            }
            "quit" => {
                call.emit(Shutdown {
                    guest: Some(false),
                    reason: Some("host-qmp-quit".into()),
                    ..Default::default()
                });
                call.emitter().close();
            }
            // query-name: the machine has none.
            _ => {}
        }
    }
}

impl Commands for Emulated {
    fn list(&self) -> Vec<CommandInfo> {
        let plain = COMMANDS.iter().map(|name| CommandInfo::new(*name));
        let urgent = ["migrate-pause", RELEASE].map(|name| CommandInfo::new(name).with_oob());
        plain.chain(urgent).collect()
    }

    fn execute(&mut self, call: Call<'_>) -> Answer {
        if call.name() == "human-monitor-command" {
            let (answer, reply) = call.defer();
            self.state.with(|inner| inner.slow = Some(reply));
            return answer;
        }
        self.run(&call).into()
    }
}

/// Its last argument is one of a few words.
fn ringbuf_read(mut arguments: Arguments<'_>) -> CommandResult {
    let device = arguments.string("device")?;
    arguments.integer("size")?;
    let format = arguments.optional_string("format")?;
    if let Some(word) = format.filter(|word| !["utf8", "base64"].contains(word)) {
        let desc = format!("Parameter 'format' does not accept value '{word}'");
        return Err(generic_error(desc));
    }
    arguments.finish()?;
    Err(generic_error(format!("Device '{device}' not found")))
}

fn error(class: ErrorClass, desc: String) -> CommandError {
    CommandError { class, desc }
}
