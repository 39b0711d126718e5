//! Events that were not caused by an action, taken over into the state: what is asked afterwards is
//! answered as if it had happened here.

use qmp_events::Event;
use qmp_events::vocabulary::{
    BlockErrorAction, BlockIoError, GuestPanicAction, JobStatus, JobStatusChange, JobType,
    WatchdogAction,
};

use super::jobs::Job;
use super::machine::{Machine, RunState};
use crate::limits::{EMULATED_DISKS_MAX, EMULATED_JOBS_MAX};

impl Machine {
    /// Takes over what an event says of the machine.
    pub fn heard(&mut self, event: &Event<'_>) {
        match event {
            Event::Stop(_) => self.run = self.reason.take().unwrap_or(RunState::Paused),
            Event::Resume(_) => {
                self.reason = None;
                self.resume();
            }
            Event::Suspend(_) => self.run = RunState::Suspended,
            Event::Wakeup(_) => self.run = RunState::Running,
            Event::BlockIoError(error) => self.heard_disk_error(error),
            Event::GuestPanicked(panic) if panic.action == GuestPanicAction::Pause => {
                self.reason = Some(RunState::GuestPanicked);
            }
            Event::Watchdog(watchdog) if watchdog.action == WatchdogAction::Pause => {
                self.reason = Some(RunState::Watchdog);
            }
            Event::Migration(migration) => self.migration = Some(migration.status.clone()),
            Event::BalloonChange(change) => self.balloon = change.actual,
            Event::VserportChange(change) => {
                self.open_ports.retain(|port| *port != change.id);
                if change.open {
                    self.open_ports.push(change.id.to_string());
                }
            }
            Event::JobStatusChange(change) => self.heard_job(change),
            Event::BlockJobReady(ready) => {
                if let Some(job) = self.jobs.iter_mut().find(|job| job.id == ready.device) {
                    (job.kind, job.length, job.offset) =
                        (ready.r#type.clone(), ready.len, ready.offset);
                }
            }
            _ => {}
        }
    }

    /// On one of its disks, or on one that becomes its own by that.
    fn heard_disk_error(&mut self, error: &BlockIoError<'_>) {
        if error.action != BlockErrorAction::Stop {
            return;
        }
        self.reason = Some(RunState::IoError);
        if self.run == RunState::Paused {
            // From 9.2 to 10.2 the error may come after the stop it caused.
            self.run = RunState::IoError;
            self.reason = None;
        }
        let node = error.node_name.as_deref().unwrap_or(&error.device);
        let is_new = self.disks.iter().all(|disk| disk.node != node);
        if is_new && self.disks.len() < EMULATED_DISKS_MAX {
            self.add_disk(node);
        }
        if let Some(disk) = self.disks.iter_mut().find(|disk| disk.node == node) {
            disk.io_status = match error.nospace {
                Some(true) => "nospace",
                _ => "failed",
            };
        }
    }

    fn heard_job(&mut self, change: &JobStatusChange<'_>) {
        if change.status == JobStatus::Null {
            self.jobs.retain(|job| job.id != change.id);
            return;
        }
        let room = self.jobs.len() < EMULATED_JOBS_MAX;
        match self.jobs.iter_mut().find(|job| job.id == change.id) {
            Some(job) => job.status = change.status.clone(),
            None if room => {
                // The event does not say what kind of job it is.
                let (mut job, _) = Job::start(&change.id, JobType::Backup, 0);
                job.status = change.status.clone();
                self.jobs.push(job);
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use qmp_events::Message;
    use qmp_monitor::compact;

    use super::*;
    use crate::emulate::MachineSettings;

    fn hear(machine: &mut Machine, name: &str, data: &str) {
        let line = format!(
            r#"{{"timestamp": {{"seconds": 1, "microseconds": 2}}, "event": "{name}", "data": {data}}}"#
        );
        machine.heard(&Message::decode(&line).expect("an event").event);
    }

    fn asked(machine: &Machine, query: &str) -> String {
        compact(&machine.query(query).expect("an answer"))
    }

    #[test]
    fn what_was_told_is_answered() {
        let mut vm = Machine::new(MachineSettings::default()).expect("a version");
        hear(&mut vm, "RESUME", "{}");
        assert_eq!(vm.run_state(), RunState::Running);
        let error = r#"{"device": "", "node-name": "d", "operation": "write", "action": "stop", "nospace": true, "reason": "x"}"#;
        hear(&mut vm, "BLOCK_IO_ERROR", error);
        hear(&mut vm, "STOP", "{}");
        assert_eq!(vm.run_state(), RunState::IoError);
        assert!(asked(&vm, "query-block").contains(r#""io-status": "nospace""#));
        hear(&mut vm, "RESUME", "{}");
        hear(&mut vm, "STOP", "{}");
        assert_eq!(vm.run_state(), RunState::Paused);
        hear(&mut vm, "BLOCK_IO_ERROR", error);
        assert_eq!(vm.run_state(), RunState::IoError, "told late");
        hear(
            &mut vm,
            "JOB_STATUS_CHANGE",
            r#"{"id": "j", "status": "ready"}"#,
        );
        assert!(asked(&vm, "query-jobs").contains(r#""status": "ready""#));
        hear(
            &mut vm,
            "JOB_STATUS_CHANGE",
            r#"{"id": "j", "status": "null"}"#,
        );
        assert_eq!(asked(&vm, "query-jobs"), "[]");
        hear(&mut vm, "MIGRATION", r#"{"status": "failed"}"#);
        assert!(asked(&vm, "query-migrate").contains("failed"));
        hear(&mut vm, "BALLOON_CHANGE", r#"{"actual": 7}"#);
        assert_eq!(asked(&vm, "query-balloon"), r#"{"actual": 7}"#);
    }
}
