//! The changes of an emulated machine: each says what it does to the state and which events follow.

use qmp_events::vocabulary::{
    BalloonChange, BlockErrorAction, BlockIoError, GuestPanicAction, GuestPanicked,
    IoOperationType, Migration, MigrationPass, MigrationStatus, Powerdown, Reset, Resume, Shutdown,
    ShutdownCause, Stop, Suspend, VserportChange, Wakeup, Watchdog, WatchdogAction,
};
use qmp_events::{Event, Version};

use super::action::MigrationPhase;
use super::jobs::JobEnd;
use super::machine::{Machine, Outcome, RunState};

impl Machine {
    pub(super) fn resume(&mut self) -> Vec<Event<'static>> {
        match self.run {
            RunState::Running | RunState::Suspended | RunState::GuestPanicked => Vec::new(),
            _ => {
                self.run = RunState::Running;
                for disk in &mut self.disks {
                    disk.io_status = "ok";
                }
                vec![Resume::default().into()]
            }
        }
    }

    /// Stops the CPUs if they run.
    pub(super) fn stop(&mut self, into: RunState) -> Vec<Event<'static>> {
        if self.run != RunState::Running {
            return Vec::new();
        }
        self.run = into;
        vec![Stop::default().into()]
    }

    pub(super) fn reset(&mut self, guest: bool) -> Vec<Event<'static>> {
        if self.run != RunState::Running {
            self.run = RunState::Prelaunch;
        }
        let reason = match guest {
            true => ShutdownCause::GuestReset,
            false => ShutdownCause::HostQmpSystemReset,
        };
        let reset = Reset {
            guest: Some(guest),
            reason: Some(reason),
            ..Reset::default()
        };
        let mut events = vec![reset.into()];
        for port in std::mem::take(&mut self.open_ports) {
            events.push(port_change(port, false));
        }
        events
    }

    /// The process ends, with a word on the cause or without.
    pub(super) fn exit(&mut self, cause: Option<ShutdownCause>) -> Outcome {
        self.run = RunState::Gone;
        let events = cause.map(|cause| {
            let guest = cause.as_str().starts_with("guest-");
            let shutdown = Shutdown {
                guest: Some(guest),
                reason: Some(cause),
                ..Shutdown::default()
            };
            shutdown.into()
        });
        Outcome {
            events: events.into_iter().collect(),
            exits: true,
        }
    }

    pub(super) fn suspend(&mut self) -> Vec<Event<'static>> {
        if self.run != RunState::Running {
            return Vec::new();
        }
        self.run = RunState::Suspended;
        vec![Suspend::default().into()]
    }

    pub(super) fn wake_up(&mut self) -> Vec<Event<'static>> {
        if self.run != RunState::Suspended {
            return Vec::new();
        }
        self.run = RunState::Running;
        vec![Wakeup::default().into()]
    }

    pub(super) fn disk_error(
        &mut self,
        node: &str,
        operation: &IoOperationType,
        action: &BlockErrorAction,
        reason: &str,
    ) -> Vec<Event<'static>> {
        let running = self.run == RunState::Running;
        let Some(disk) = self.disks.iter_mut().find(|disk| disk.node == node) else {
            return Vec::new();
        };
        if !running {
            // Its guest asks nothing of its disks.
            return Vec::new();
        }
        let nospace = reason == "No space left on device";
        let error = BlockIoError {
            qom_path: Some(disk.qom_path().into()),
            device: "".into(),
            node_name: Some(disk.node.clone().into()),
            operation: operation.clone(),
            action: action.clone(),
            // Told only where the state of the disk is kept, which is where it could stop the machine.
            nospace: (*action != BlockErrorAction::Ignore).then_some(nospace),
            reason: Some(reason.to_owned().into()),
            ..BlockIoError::default()
        };
        let mut events = vec![error.into()];
        if *action == BlockErrorAction::Stop {
            disk.io_status = if nospace { "nospace" } else { "failed" };
            events.extend(self.stop(RunState::IoError));
        }
        events
    }

    pub(super) fn panic(&mut self, action: &GuestPanicAction) -> Outcome {
        if self.run != RunState::Running {
            return Outcome::default();
        }
        let panicked = GuestPanicked {
            action: action.clone(),
            ..GuestPanicked::default()
        };
        let mut events = vec![panicked.into()];
        let mut exits = false;
        match action {
            GuestPanicAction::Pause => events.extend(self.stop(RunState::GuestPanicked)),
            GuestPanicAction::Poweroff => {
                events.extend(self.stop(RunState::GuestPanicked));
                let end = self.exit(Some(ShutdownCause::GuestPanic));
                events.extend(end.events);
                exits = true;
            }
            _ => {}
        }
        Outcome { events, exits }
    }

    pub(super) fn watchdog(&mut self, action: &WatchdogAction) -> Outcome {
        if self.run != RunState::Running {
            return Outcome::default();
        }
        let expired = Watchdog {
            action: action.clone(),
            ..Watchdog::default()
        };
        let mut events = vec![expired.into()];
        let mut exits = false;
        match action {
            WatchdogAction::Reset => events.extend(self.reset(true)),
            WatchdogAction::Pause => events.extend(self.stop(RunState::Watchdog)),
            WatchdogAction::Shutdown => events.push(Powerdown::default().into()),
            WatchdogAction::Poweroff => exits = self.exit(None).exits,
            _ => {}
        }
        Outcome { events, exits }
    }

    pub(super) fn migrate(&mut self, phase: MigrationPhase) -> Vec<Event<'static>> {
        let mut events = Vec::new();
        match phase {
            MigrationPhase::Setup => events.push(self.migration_is(MigrationStatus::Setup)),
            MigrationPhase::Active => {
                if self.version < PASSES_FROM_2_SINCE {
                    events.push(pass(1));
                }
                events.push(self.migration_is(MigrationStatus::Active));
            }
            MigrationPhase::Pass(number) => events.push(pass(number)),
            MigrationPhase::Complete => {
                events.extend(self.stop(RunState::PostMigrate));
                if self.version >= DEVICE_PHASE_SINCE {
                    events.push(self.migration_is(MigrationStatus::Device));
                }
                events.push(self.migration_is(MigrationStatus::Completed));
            }
            MigrationPhase::Fail => {
                if self.version >= PASSES_FROM_2_SINCE {
                    events.push(self.migration_is(MigrationStatus::Failing));
                }
                events.push(self.migration_is(MigrationStatus::Failed));
            }
            MigrationPhase::Cancel => {
                events.push(self.migration_is(MigrationStatus::Cancelling));
                events.push(self.migration_is(MigrationStatus::Cancelled));
            }
        }
        events
    }

    fn migration_is(&mut self, status: MigrationStatus) -> Event<'static> {
        self.migration = Some(status.clone());
        let migration = Migration {
            status,
            ..Migration::default()
        };
        migration.into()
    }

    pub(super) fn end_job(&mut self, id: &str, end: JobEnd) -> Vec<Event<'static>> {
        match self.jobs.iter().position(|job| job.id == id) {
            Some(index) => self.jobs.remove(index).end(end),
            None => Vec::new(),
        }
    }

    pub(super) fn inflate(&mut self, actual: i64) -> Vec<Event<'static>> {
        if std::mem::replace(&mut self.balloon, actual) == actual {
            return Vec::new();
        }
        let change = BalloonChange {
            actual,
            ..BalloonChange::default()
        };
        vec![change.into()]
    }

    pub(super) fn port(&mut self, port: &str, open: bool) -> Vec<Event<'static>> {
        if !self.settings.ports.iter().any(|known| known == port) {
            return Vec::new();
        }
        self.open_ports.retain(|known| known != port);
        if open {
            self.open_ports.push(port.to_owned());
        }
        vec![port_change(port.to_owned(), open)]
    }
}

/// First release that does not announce the first pass of a migration, and has the phase `failing`.
const PASSES_FROM_2_SINCE: Version = Version::new(11, 1);

/// First release in which every migration goes through the phase `device`.
const DEVICE_PHASE_SINCE: Version = Version::new(10, 0);

fn pass(number: i64) -> Event<'static> {
    let pass = MigrationPass {
        pass: number,
        ..MigrationPass::default()
    };
    pass.into()
}

fn port_change(id: String, open: bool) -> Event<'static> {
    let change = VserportChange {
        id: id.into(),
        open,
        ..VserportChange::default()
    };
    change.into()
}
