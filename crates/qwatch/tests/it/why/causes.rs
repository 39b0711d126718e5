//! Each cause, produced on each QEMU, is explained rightly.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use qemu_lab::{LabError, QemuBinary, Version, installed, recipes};
use qwatch::machine::State;
use qwatch::record::Origin;

use super::{assert_page, fold, page, told, told_by, why};
use crate::recorder::Place;

/// Machines at a time; most of a machine's life is waiting.
const AT_ONCE: usize = 4;

/// The pages that are compared with a file, from this QEMU.
const SHOWN_ON: Version = Version::new(10, 0);

/// A recipe and how it is to be explained.
struct Case {
    recipe: &'static str,
    /// State, certainty and cause; "" if another test looks at that.
    told: &'static str,
    /// Who reset it.
    reset: Option<&'static str>,
    /// What is found beside that.
    finding: Option<&'static str>,
    /// The page is compared with a file.
    shown: bool,
}

const fn case(recipe: &'static str, told: &'static str) -> Case {
    Case {
        recipe,
        told,
        reset: None,
        finding: None,
        shown: false,
    }
}

impl Case {
    const fn reset(self, by: &'static str) -> Self {
        Self {
            reset: Some(by),
            ..self
        }
    }

    const fn finding(self, id: &'static str) -> Self {
        Self {
            finding: Some(id),
            ..self
        }
    }

    const fn shown(self) -> Self {
        Self {
            shown: true,
            ..self
        }
    }

    fn is_met(&self, state: &State) -> bool {
        let by = state.reset_cause().map(|cause| cause.id.name());
        let findings = state.findings();
        let mut found = findings.iter().map(|cause| cause.id.name());
        (self.told.is_empty() || told(state) == self.told)
            && (self.reset.is_none() || self.reset == by)
            && self.finding.is_none_or(|id| found.any(|own| own == id))
    }
}

const CASES: &[Case] = &[
    case("STOP", "paused certain client-stop").shown(),
    case("RESUME", "running certain started"),
    case("RESET.host", "running certain found-running").reset("host-reset"),
    case("RESET.guest", "running certain found-running").reset("guest-reset"),
    case("WATCHDOG.reset", "running certain found-running").reset("watchdog-reset"),
    case("WATCHDOG.pause", "paused certain watchdog-pause").shown(),
    case("WATCHDOG.poweroff", "gone certain watchdog-poweroff"),
    case("GUEST_PANICKED.pause", "panicked certain guest-panic").shown(),
    case("GUEST_PANICKED.poweroff", "gone certain panic-shutdown"),
    case("GUEST_PANICKED.run", "running certain found-running").finding("panic-run"),
    case("SHUTDOWN.quit", "gone certain quit"),
    case("SHUTDOWN.signal", "gone certain signal"),
    case("SHUTDOWN.no-reboot", "gone certain no-reboot"),
    case("SHUTDOWN.guest", "gone certain guest-shutdown"),
    case("SHUTDOWN.no-shutdown", "shutdown certain no-shutdown").shown(),
    case("GUEST_PVSHUTDOWN", "gone certain guest-shutdown"),
    case("SUSPEND", "suspended certain guest-sleeps"),
    case("WAKEUP", "running certain guest-woke"),
    case("SUSPEND_DISK", "gone certain hibernated"),
    case("SUSPEND_DISK.no-shutdown", "shutdown certain no-shutdown"),
    case("BLOCK_IO_ERROR.no-space", "paused certain disk-full").shown(),
    case("BLOCK_IO_ERROR.read-stop", "paused certain disk-error"),
    case("BLOCK_IO_ERROR.again", "paused certain disk-error"),
    case(
        "BLOCK_IO_ERROR.read-report",
        "running certain found-running",
    ),
    case("BLOCK_IMAGE_CORRUPTED", "").finding("image-corrupted"),
    case("MIGRATION", "paused certain migrated-away").shown(),
    case("MIGRATION.failed", "").finding("migration-failed"),
    case("MIGRATION.incoming", "running certain migration-arrived"),
    case("BLOCK_JOB_READY", "").finding("job-ready").shown(),
    case("BLOCK_JOB_COMPLETED.failed", "").finding("job-failed"),
    case("BLOCK_JOB_CANCELLED", "").finding("job-cancelled"),
    case("DEVICE_UNPLUG_GUEST_ERROR", "").finding("unplug-refused"),
];

#[test]
fn every_cause_on_every_qemu_is_explained() {
    let binaries = installed().unwrap_or_else(|error| panic!("{error}"));
    let place = Place::new();
    let recorder = place.listen();
    let tasks: Vec<(&QemuBinary, &Case)> = binaries
        .iter()
        .flat_map(|binary| CASES.iter().map(move |case| (binary, case)))
        .filter(|(binary, case)| recipe(case).works_on(binary.version))
        .collect();
    assert!(tasks.len() > CASES.len() * 2, "three QEMUs at least");
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some((binary, case)) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
            play(&place, binary, case)
                .unwrap_or_else(|error| panic!("{} on {}: {error}", case.recipe, binary.version));
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            worker.join().expect("a worker panicked");
        }
    });
    recorder.stop();
}

fn recipe(case: &Case) -> &'static qemu_lab::Recipe {
    recipes::named(case.recipe).unwrap_or_else(|| panic!("no recipe {}", case.recipe))
}

fn play(place: &Place, binary: &QemuBinary, case: &Case) -> Result<(), LabError> {
    let recipe = recipe(case);
    let name = format!("{} on {}", case.recipe, binary.version);
    let qemu = recipe.machine(binary).dial_out(place.socket());
    let mut machine = qemu.args(["-name", &name]).start()?;
    place.wait_attached(&name, 1);
    recipe.perform(&mut machine)?;
    let heard = machine.events().len();
    let records = place.wait_for(&format!("{name}: {}", case.told), |records| {
        let of_qemu = records
            .iter()
            .filter(|record| record.machine == name && record.origin == Origin::Qemu);
        of_qemu.count() >= heard && case.is_met(&fold(records, &name))
    });
    let state = fold(&records, &name);
    let answer = why(place, &name, &[]);
    assert_eq!(told_by(&answer), told(&state), "{name}");
    if case.shown && binary.version == SHOWN_ON {
        assert_page!(case.recipe, page(place, &name));
    }
    Ok(())
}
