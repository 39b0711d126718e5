//! What a machine is doing and why, as far as its records tell.
//!
//! [`State`] is a pure fold: records in, state out; no clock, no I/O, bounded memory. The same records
//! give the same state, however they are cut into batches. It keeps facts; [`rules`] turn them into
//! causes when somebody asks ([`State::cause`], [`State::findings`]).
//!
//! * `run.rs`: run states and turns, the records after which the machine does something else.
//! * `apply.rs`, `notes.rs`: the fold, by events of QEMU and by notes of the recorder.
//! * `jobs.rs`, `disks.rs`, `screens.rs`, `migration.rs`, `devices.rs`, `memory.rs`: the rest of it.
//! * `rules/`: what is recognised, as a table; `explain.rs` applies it.
//! * `snapshot.rs`: a state on disk, so that a long journal need not be folded from its beginning.

use serde::{Deserialize, Serialize};

use crate::record::{Origin, Record};

mod apply;
mod devices;
mod disks;
mod explain;
mod fact;
mod jobs;
mod memory;
mod migration;
mod notes;
mod panic;
mod queries;
pub mod rules;
mod run;
mod screens;
mod snapshot;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod text;

pub use devices::{Device, Port};
pub use disks::Disk;
pub use explain::{Cause, Certainty};
pub use fact::{Mark, Unheard};
pub use jobs::{Job, Outcome};
pub use memory::Memory;
pub use migration::Migration;
pub use run::{Effect, RunState};
pub use screens::{ScreenKind, Session};

use devices::Devices;
use disks::Disks;
use fact::Fact;
use jobs::Jobs;
use run::{Pause, Turn};
use screens::Screens;

/// The state of one machine, folded from its records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    run: RunState,
    /// The `status` of `query-status` behind a state of waiting.
    waits_for: Option<String>,
    /// The record since which it is so.
    since: Option<Mark>,
    /// What made it so.
    turn: Option<Turn>,
    /// It was asleep when it was stopped, and will be when it goes on.
    was_asleep: bool,
    /// An event told the run state since the last time nobody listened.
    told: bool,
    /// When it began to run, by QEMU's clock.
    resumed_us: Option<i64>,
    /// Events that may lead to something.
    leads: Vec<Fact>,
    /// The last stops that are over, oldest first.
    pauses: Vec<Pause>,
    /// How many stops are over.
    paused: u64,
    reset: Option<Turn>,
    shutdown: Option<Turn>,
    panic: Option<Panic>,
    qemu: Qemu,
    heard: bool,
    /// The last times nobody listened, oldest first.
    unheard: Vec<Unheard>,
    /// Nobody has asked for the state since the last of them.
    unasked: bool,
    previous: Option<Box<Previous>>,
    jobs: Jobs,
    disks: Disks,
    screens: Screens,
    migration: Option<Migration>,
    devices: Devices,
    memory: Memory,
    rtc: Option<(i64, Mark)>,
    last_event: Option<Mark>,
    events: u64,
}

/// The QEMU process, as the note of its attachment tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Qemu {
    /// The journal's number of the run.
    pub run: Option<u64>,
    /// From its greeting, `7.2.22`; "" if not known.
    pub version: String,
    /// Where it is or was heard; "" if not known.
    pub address: String,
    /// It dialled the recorder: the address is the recorder's, no monitor of QEMU's.
    pub dialled_in: bool,
    /// A monitor it listens at, and that nobody held when it was asked last. Whether it speaks QMP is not
    /// known.
    pub free_monitor: Option<String>,
    /// Its number as a process.
    pub pid: Option<u64>,
    /// When it was attached to last.
    pub attached: Mark,
}

/// The last panic of the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Panic {
    /// The event.
    pub mark: Mark,
    /// What QEMU did: `pause`, `poweroff`, `run`.
    pub action: String,
    /// What the guest told, decoded, in lines; safe to print.
    pub told: Vec<String>,
    /// Its crash kernel took over (GUEST_CRASHLOADED).
    pub crash_kernel: bool,
}

/// The process the machine was before this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Previous {
    /// What it was doing when it was last heard.
    pub run: RunState,
    /// The last record of its run state.
    pub since: Option<Mark>,
    /// Why it was so: for an ended process, how it ended.
    pub cause: Option<Cause>,
}

impl State {
    /// Takes the next record of the machine.
    pub fn apply(&mut self, record: &Record) {
        if record.run.is_some() && record.run != self.qemu.run {
            self.begin_run(record.run);
        }
        match record.origin {
            Origin::Qwatch => self.apply_note(record),
            Origin::Qemu => self.apply_event(record),
        }
    }

    /// What it is doing.
    pub fn run_state(&self) -> RunState {
        self.run
    }

    /// What QEMU waits for, where it [waits](RunState::Waiting): its own word, such as `prelaunch`.
    pub fn waits_for(&self) -> Option<&str> {
        self.waits_for.as_deref()
    }

    /// The record since which it is so. After a time unheard: by which it was found so.
    pub fn since(&self) -> Option<&Mark> {
        self.since.as_ref()
    }

    /// Since when it is so, microseconds since 1970; after a time unheard: when it was found so.
    pub fn since_us(&self) -> Option<i64> {
        self.since.as_ref().map(|mark| mark.time_us)
    }

    /// Why it is so in a few words, where it is not simply running.
    pub fn detail(&self) -> Option<&'static str> {
        match self.run {
            RunState::Unknown | RunState::Running => None,
            _ => self.cause().map(|cause| cause.rule().title),
        }
    }

    /// Whether it is being listened to, as far as the records tell.
    pub fn is_heard(&self) -> bool {
        self.heard
    }

    /// The QEMU process.
    pub fn qemu(&self) -> &Qemu {
        &self.qemu
    }

    /// The process before, if there was one.
    pub fn previous(&self) -> Option<&Previous> {
        self.previous.as_deref()
    }

    /// The last times nobody listened, oldest first.
    pub fn unheard(&self) -> &[Unheard] {
        &self.unheard
    }

    /// All jobs by id, those that ended too, until there are too many.
    pub fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.jobs.iter()
    }

    /// A job by its id; the last one of that id.
    pub fn job(&self, id: &str) -> Option<&Job> {
        self.jobs.get(id)
    }

    /// The disks and drives that were named so far.
    pub fn disks(&self) -> impl Iterator<Item = &Disk> {
        self.disks.iter()
    }

    /// A disk by the name of its drive, its device or its node.
    pub fn disk(&self, name: &str) -> Option<&Disk> {
        self.disks.get(name)
    }

    /// Who is connected to its screens.
    pub fn sessions(&self) -> &[Session] {
        &self.screens.open
    }

    /// Who left its screens last, oldest first.
    pub fn past_sessions(&self) -> &[Session] {
        &self.screens.past
    }

    /// The last migration.
    pub fn migration(&self) -> Option<&Migration> {
        self.migration.as_ref()
    }

    /// Devices that were removed last, oldest first.
    pub fn removed_devices(&self) -> &[Device] {
        &self.devices.removed
    }

    /// The last removal of a device of this id or QOM path.
    pub fn removed_device(&self, name: &str) -> Option<&Device> {
        let is = |device: &&Device| device.id.as_deref() == Some(name) || device.path == name;
        self.devices.removed.iter().rev().find(is)
    }

    /// Devices that the guest would not let go, oldest first.
    pub fn refused_devices(&self) -> &[Device] {
        &self.devices.refused
    }

    /// The ports between guest and host that were opened or closed, by id.
    pub fn ports(&self) -> impl Iterator<Item = (&str, &Port)> {
        let ports = self.devices.ports.iter();
        ports.map(|(id, port)| (id.as_str(), port))
    }

    /// A port by its id.
    pub fn port(&self, id: &str) -> Option<&Port> {
        self.devices.ports.get(id)
    }

    /// Network back ends with a peer (stream, vhost-user), by id: open while the peer is there.
    pub fn netdevs(&self) -> impl Iterator<Item = (&str, &Port)> {
        let netdevs = self.devices.netdevs.iter();
        netdevs.map(|(id, netdev)| (id.as_str(), netdev))
    }

    /// Balloon, memory devices, hardware errors.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Seconds by which the guest moved its clock, and the event that told.
    pub fn rtc_offset(&self) -> Option<(i64, &Mark)> {
        self.rtc.as_ref().map(|(offset, mark)| (*offset, mark))
    }

    /// The last panic of the guest.
    pub fn panic(&self) -> Option<&Panic> {
        self.panic.as_ref()
    }

    /// The last event of QEMU.
    pub fn last_event(&self) -> Option<&Mark> {
        self.last_event.as_ref()
    }

    /// How many events of this run were heard.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// How many stops are over.
    pub fn pauses(&self) -> u64 {
        self.paused
    }
}
