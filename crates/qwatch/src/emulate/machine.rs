//! The state of an emulated machine, and which events its changes give.

use qmp_events::vocabulary::{MigrationStatus, Powerdown, RtcChange, ShutdownCause};
use qmp_events::{Event, Version};
use qmp_monitor::BuildError;

use super::action::Action;
use super::jobs::{Job, JobEnd};
use super::screens::Screens;

/// What a machine is, before anything happens to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineSettings {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// The release of QEMU it is, such as `7.2.22`.
    pub version: String,
    /// The packager's version; may be empty.
    pub package: String,
    /// Node names of its disks.
    pub disks: Vec<String>,
    /// Ids of its virtio-serial ports.
    pub ports: Vec<String>,
    /// Its memory, in bytes.
    pub memory: i64,
    /// It has a SPICE display; else VNC.
    pub spice: bool,
}

impl Default for MachineSettings {
    /// QEMU 10.0.0 with 1 GiB of memory, one disk `root`, one port for the guest agent, and VNC.
    fn default() -> Self {
        Self {
            name: "emulated".to_owned(),
            uuid: "d0e5c0de-0000-4000-8000-000000000000".to_owned(),
            version: "10.0.0".to_owned(),
            package: String::new(),
            disks: vec!["root".to_owned()],
            ports: vec!["org.qemu.guest_agent.0".to_owned()],
            memory: 1 << 30,
            spice: false,
        }
    }
}

/// What `query-status` calls a machine's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// It has not run since it was started or reset.
    Prelaunch,
    /// Its CPUs run.
    Running,
    /// It was stopped by a client.
    Paused,
    /// It was stopped by a disk's error.
    IoError,
    /// It was stopped by its watchdog.
    Watchdog,
    /// Its guest panicked.
    GuestPanicked,
    /// Its guest sleeps.
    Suspended,
    /// It lives on elsewhere.
    PostMigrate,
    /// Its process has ended.
    Gone,
}

/// A disk of an emulated machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Its node name; the guest device above it is called the same.
    pub node: String,
    /// What `query-block` says of the last request: `ok`, `failed` or `nospace`.
    pub io_status: &'static str,
}

/// What an action leads to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// The events, in QEMU's order.
    pub events: Vec<Event<'static>>,
    /// The process ends.
    pub exits: bool,
}

/// An emulated machine; pure.
#[derive(Clone, Debug)]
pub struct Machine {
    pub(super) settings: MachineSettings,
    pub(super) version: Version,
    pub(super) run: RunState,
    pub(super) disks: Vec<Disk>,
    pub(super) jobs: Vec<Job>,
    pub(super) migration: Option<MigrationStatus>,
    /// Memory left to the guest, in bytes.
    pub(super) balloon: i64,
    pub(super) screens: Screens,
    /// Ids of the ports the guest has open.
    pub(super) open_ports: Vec<String>,
    /// Why it will stop, as an event said that was not caused here.
    pub(super) reason: Option<RunState>,
}

impl RunState {
    /// QEMU's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prelaunch => "prelaunch",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::IoError => "io-error",
            Self::Watchdog => "watchdog",
            Self::GuestPanicked => "guest-panicked",
            Self::Suspended => "suspended",
            Self::PostMigrate => "postmigrate",
            Self::Gone => "shutdown",
        }
    }
}

impl Disk {
    /// The path of the guest device, as events name it since 9.2.
    pub fn qom_path(&self) -> String {
        format!("/machine/peripheral/{}/virtio-backend", self.node)
    }
}

impl Machine {
    /// A machine that has not run yet.
    ///
    /// # Errors
    /// The version is none.
    pub fn new(settings: MachineSettings) -> Result<Self, BuildError> {
        let version = settings.version.parse();
        let version = version.map_err(|_| BuildError::Version(settings.version.clone()))?;
        let mut machine = Self {
            version,
            run: RunState::Prelaunch,
            disks: Vec::new(),
            jobs: Vec::new(),
            migration: None,
            balloon: settings.memory,
            screens: Screens::default(),
            open_ports: Vec::new(),
            reason: None,
            settings,
        };
        for node in machine.settings.disks.clone() {
            machine.add_disk(&node);
        }
        Ok(machine)
    }

    /// It has this disk from now on.
    pub(super) fn add_disk(&mut self, node: &str) {
        self.disks.push(Disk {
            node: node.to_owned(),
            io_status: "ok",
        });
    }

    /// The release of QEMU it is.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Its state.
    pub fn run_state(&self) -> RunState {
        self.run
    }

    /// Something happens.
    pub fn act(&mut self, action: &Action) -> Outcome {
        if self.run == RunState::Gone {
            return Outcome::default();
        }
        let events = match action {
            Action::PowerOn | Action::Continue => self.resume(),
            Action::Stop => self.stop(RunState::Paused),
            Action::Reset { guest } => self.reset(*guest),
            Action::PressPower => vec![Powerdown::default().into()],
            Action::SwitchOff => return self.exit(Some(ShutdownCause::GuestShutdown)),
            Action::Signal => return self.exit(Some(ShutdownCause::HostSignal)),
            Action::Quit => return self.exit(Some(ShutdownCause::HostQmpQuit)),
            Action::Die => return self.exit(None),
            Action::Suspend => self.suspend(),
            Action::WakeUp => self.wake_up(),
            Action::DiskError {
                disk,
                operation,
                action,
                reason,
            } => self.disk_error(disk, operation, action, reason),
            Action::Panic { action } => return self.panic(action),
            Action::Watchdog { action } => return self.watchdog(action),
            Action::Migrate(phase) => self.migrate(*phase),
            _ => self.act_on_parts(action),
        };
        Outcome {
            events,
            exits: false,
        }
    }

    /// What leaves the run state alone: jobs, screens, memory, ports, clock.
    fn act_on_parts(&mut self, action: &Action) -> Vec<Event<'static>> {
        match action {
            Action::JobStart { job, kind, length } => {
                if self.jobs.iter().any(|known| known.id == *job) {
                    return Vec::new();
                }
                let (job, events) = Job::start(job, kind.clone(), *length);
                self.jobs.push(job);
                events
            }
            Action::JobProgress { job, offset } => {
                if let Some(job) = self.jobs.iter_mut().find(|known| known.id == *job) {
                    job.offset = (*offset).min(job.length);
                }
                Vec::new()
            }
            Action::JobReady { job } => match self.jobs.iter_mut().find(|known| known.id == *job) {
                Some(job) => job.ready(),
                None => Vec::new(),
            },
            Action::JobComplete { job } => self.end_job(job, JobEnd::Completed),
            Action::JobFail { job, error } => {
                self.end_job(job, JobEnd::Failed(error.clone().into_owned()))
            }
            Action::JobCancel { job } => self.end_job(job, JobEnd::Cancelled),
            Action::VncConnect { client } => self.screens.vnc_connect(client),
            Action::VncLogin { client } => self.screens.vnc_login(client),
            Action::VncLeave { client } => self.screens.vnc_leave(client),
            Action::SpiceConnect { client, channel } => {
                self.screens.spice_connect(client, *channel)
            }
            Action::SpiceLeave { client } => self.screens.spice_leave(client),
            Action::Balloon { actual } => self.inflate(*actual),
            Action::Port { port, open } => self.port(port, *open),
            Action::SetClock { offset } => {
                let change = RtcChange {
                    offset: *offset,
                    qom_path: Some("/machine/unattached/device[3]/rtc".into()),
                    ..RtcChange::default()
                };
                vec![change.into()]
            }
            _ => Vec::new(),
        }
    }
}
