//! The day of the demo: when, where, what.

use qmp_events::vocabulary::{
    BlockErrorAction, GuestPanicAction, IoOperationType, JobType, WatchdogAction,
};

use crate::emulate::{Action, MigrationPhase};

/// One line of the script.
#[derive(Clone, Debug)]
pub struct Step {
    /// When, in milliseconds of the demo at its own speed.
    pub at_ms: u32,
    /// What.
    pub what: What,
}

/// What a line of the script says.
#[derive(Clone, Debug)]
pub enum What {
    /// A part of the day begins.
    Chapter(&'static str),
    /// Something happens to a machine.
    Happens(&'static str, Action),
    /// The operator sends a machine a command with these arguments.
    Operator(&'static str, &'static str, &'static str),
    /// The recorder is stopped.
    RecorderLeaves,
    /// The recorder is started again.
    RecorderReturns,
}

/// The day, in order.
pub fn day() -> Vec<Step> {
    let mut steps = Vec::new();
    for part in [
        morning as fn() -> Vec<Step>,
        full_disk,
        jobs,
        trouble,
        nobody_listens,
        moving_out,
        evening,
    ] {
        steps.extend(part());
    }
    steps
}

#[rustfmt::skip]
fn morning() -> Vec<Step> {
    vec![
        chapter(0, "08:00  Four machines are switched on: QEMU 2.6, 7.2, 10.0 and 11.1"),
        at(  50, "web",   Action::PowerOn),
        at( 100, "db",    Action::PowerOn),
        at( 150, "build", Action::PowerOn),
        at( 200, "attic", Action::PowerOn),
        at( 350, "attic", Action::SetClock { offset: -3600 }),
        at( 400, "web",   agent(true)),
        at( 450, "db",    agent(true)),
        at( 500, "db",    Action::Balloon { actual: 12 << 30 }),

        chapter(800, "09:00  Somebody looks at web's screen, somebody else at attic's"),
        at( 850, "web",   Action::VncConnect { client: VISITOR.into() }),
        at( 950, "web",   Action::VncLogin { client: VISITOR.into() }),
        at(1050, "attic", Action::SpiceConnect { client: GUEST.into(), channel: 1 }),
        at(1080, "attic", Action::SpiceConnect { client: GUEST.into(), channel: 2 }),
        at(1350, "attic", Action::SpiceLeave { client: GUEST.into() }),
        at(1450, "web",   Action::VncLeave { client: VISITOR.into() }),
    ]
}

#[rustfmt::skip]
fn full_disk() -> Vec<Step> {
    vec![
        chapter(1800, "10:30  The store under db's disk is full. The operator makes room, too little"),
        at(1850, "db",    disk_full("data")),
        operator(2250, "db", "cont"),
        // Within a second of the first: QEMU 9.2 to 10.2 holds this error back, but not its STOP.
        at(2300, "db",    disk_full("data")),
        operator(3000, "db", "cont"),
    ]
}

#[rustfmt::skip]
fn jobs() -> Vec<Step> {
    vec![
        chapter(3400, "12:00  A backup, one that fails, and a disk that moves while in use"),
        at(3450, "build", job_start("backup0", JobType::Backup, 8)),
        at(3500, "web",   job_start("mirror0", JobType::Mirror, 4)),
        at(3700, "web",   Action::JobReady { job: "mirror0".into() }),
        at(3800, "build", Action::JobComplete { job: "backup0".into() }),
        what(3950, What::Operator("web", "block-job-complete", r#"{"device": "mirror0"}"#)),
        at(4100, "build", job_start("backup1", JobType::Backup, 8)),
        at(4200, "build", Action::JobProgress { job: "backup1".into(), offset: 3 << 30 }),
        at(4300, "build", Action::JobFail { job: "backup1".into(), error: NO_SPACE.into() }),
    ]
}

#[rustfmt::skip]
fn trouble() -> Vec<Step> {
    vec![
        chapter(4700, "14:00  build's guest panics; attic's hangs until its watchdog bites, twice"),
        at(4750, "build", Action::Panic { action: GuestPanicAction::Pause }),
        at(4900, "attic", Action::Watchdog { action: WatchdogAction::Reset }),
        operator(5100, "build", "system_reset"),
        operator(5150, "build", "cont"),
        // The second within a second: held back, and so it comes after the RESET that it caused.
        at(5300, "attic", Action::Watchdog { action: WatchdogAction::Reset }),
    ]
}

#[rustfmt::skip]
fn nobody_listens() -> Vec<Step> {
    vec![
        chapter(6200, "16:00  The recorder is away. What happens now, nobody hears"),
        what(6250, What::RecorderLeaves),
        at(6300, "web",   Action::VncConnect { client: STRANGER.into() }),
        at(6350, "web",   Action::VncLogin { client: STRANGER.into() }),
        at(6400, "db",    disk_full("data")),
        at(6450, "build", job_start("backup2", JobType::Backup, 8)),
        chapter(6800, "16:10  The recorder is back: a gap, and what the machines say of their state"),
        what(6850, What::RecorderReturns),
        operator(7500, "db", "cont"),
        at(7550, "build", Action::JobComplete { job: "backup2".into() }),
        at(7600, "web",   Action::VncLeave { client: STRANGER.into() }),
    ]
}

#[rustfmt::skip]
fn moving_out() -> Vec<Step> {
    vec![
        chapter(7900, "17:00  web moves to another host"),
        at(7950, "web",   Action::Migrate(MigrationPhase::Setup)),
        at(8000, "web",   Action::Migrate(MigrationPhase::Active)),
        at(8200, "web",   Action::Migrate(MigrationPhase::Pass(2))),
        at(8400, "web",   Action::Migrate(MigrationPhase::Pass(3))),
        at(8500, "web",   Action::Migrate(MigrationPhase::Complete)),
        operator(8650, "web", "quit"),
    ]
}

#[rustfmt::skip]
fn evening() -> Vec<Step> {
    vec![
        chapter(8900, "18:00  db is shut down, build crashes, attic's watchdog cuts the power"),
        operator(8950, "db", "system_powerdown"),
        at(9150, "db",    agent(false)),
        at(9200, "db",    Action::SwitchOff),
        at(9300, "build", Action::Die),
        at(9400, "attic", Action::Watchdog { action: WatchdogAction::Poweroff }),
    ]
}

/// Addresses for documentation.
const VISITOR: &str = "192.0.2.10:50212";
const GUEST: &str = "198.51.100.7:41822";
const STRANGER: &str = "203.0.113.66:60001";

const NO_SPACE: &str = "No space left on device";

fn what(at_ms: u32, what: What) -> Step {
    Step { at_ms, what }
}

fn chapter(at_ms: u32, title: &'static str) -> Step {
    what(at_ms, What::Chapter(title))
}

fn at(at_ms: u32, machine: &'static str, action: Action) -> Step {
    what(at_ms, What::Happens(machine, action))
}

fn operator(at_ms: u32, machine: &'static str, command: &'static str) -> Step {
    what(at_ms, What::Operator(machine, command, "{}"))
}

fn agent(open: bool) -> Action {
    Action::Port {
        port: "org.qemu.guest_agent.0".into(),
        open,
    }
}

fn disk_full(disk: &'static str) -> Action {
    Action::DiskError {
        disk: disk.into(),
        operation: IoOperationType::Write,
        action: BlockErrorAction::Stop,
        reason: NO_SPACE.into(),
    }
}

fn job_start(job: &'static str, kind: JobType, length_gib: i64) -> Action {
    Action::JobStart {
        job: job.into(),
        kind,
        length: length_gib << 30,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::demo::cast;
    use crate::emulate::Machine;

    fn order(command: &str, arguments: &str) -> Action {
        match command {
            "cont" => Action::Continue,
            "system_reset" => Action::Reset { guest: false },
            "system_powerdown" => Action::PressPower,
            "quit" => Action::Quit,
            "block-job-complete" => {
                let arguments: serde_json::Value = serde_json::from_str(arguments).expect("JSON");
                let job = arguments["device"].as_str().expect("a job").to_owned();
                Action::JobComplete { job: job.into() }
            }
            other => panic!("`{other}` is no command of the emulated machine"),
        }
    }

    /// A line that does nothing would be a slip in the story.
    #[test]
    fn every_line_has_its_effect_when_its_turn_comes() {
        let machines = cast::machine_names().map(|name| {
            let settings = cast::settings(name).expect("in the cast");
            (name, Machine::new(settings).expect("a version"))
        });
        let mut machines: BTreeMap<&str, Machine> = machines.collect();
        let (mut at_ms, mut chapters, mut recorder) = (0, 0, true);
        for step in day() {
            assert!(step.at_ms >= at_ms, "out of order: {step:?}");
            at_ms = step.at_ms;
            let (machine, action) = match &step.what {
                What::Happens(machine, action) => (*machine, action.clone()),
                What::Operator(machine, command, arguments) => {
                    (*machine, order(command, arguments))
                }
                What::Chapter(_) => {
                    chapters += 1;
                    continue;
                }
                What::RecorderLeaves => {
                    assert!(std::mem::replace(&mut recorder, false));
                    continue;
                }
                What::RecorderReturns => {
                    assert!(!std::mem::replace(&mut recorder, true));
                    continue;
                }
            };
            let machine = machines.get_mut(machine).expect("in the cast");
            let outcome = machine.act(&action);
            let silent = matches!(action, Action::JobProgress { .. });
            assert!(
                silent || outcome.exits || !outcome.events.is_empty(),
                "{step:?}"
            );
        }
        assert!(recorder && chapters > 5);
        for (name, machine) in machines {
            assert_eq!(
                machine.run_state().as_str(),
                "shutdown",
                "{name} outlives the day"
            );
        }
    }
}
