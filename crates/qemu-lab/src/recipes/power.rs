//! Sleep states, entered by the guest through the PC's ACPI power management block.

use super::Recipe;
use crate::{LabError, Machine, guest::power};

pub(super) const RECIPES: &[Recipe] = &[
    Recipe::new(
        "SHUTDOWN.guest",
        &[],
        |machine| power::sleep(machine.qtest(), power::SOFT_OFF),
        &["SHUTDOWN guest=true reason=guest-shutdown"],
    )
    .exits(),
    Recipe::new(
        "SHUTDOWN.no-shutdown",
        &["-no-shutdown"],
        |machine| power::sleep(machine.qtest(), power::SOFT_OFF),
        &["SHUTDOWN guest=true reason=guest-shutdown", "STOP"],
    ),
    Recipe::new("SUSPEND", &[], suspend, &["SUSPEND"]),
    Recipe::new(
        "WAKEUP",
        &[],
        |machine| {
            suspend(machine)?;
            // Only a machine that is asleep already can be woken.
            machine.event("SUSPEND")?;
            machine.run("system_wakeup").map(drop)
        },
        &["SUSPEND", "WAKEUP"],
    ),
    Recipe::new(
        "SUSPEND_DISK",
        &[],
        |machine| power::sleep(machine.qtest(), power::SUSPEND_TO_DISK),
        &["SUSPEND_DISK", "SHUTDOWN guest=true reason=guest-shutdown"],
    )
    .exits(),
    Recipe::new(
        "SUSPEND_DISK.no-shutdown",
        &["-no-shutdown"],
        |machine| power::sleep(machine.qtest(), power::SUSPEND_TO_DISK),
        &[
            "SUSPEND_DISK",
            "SHUTDOWN guest=true reason=guest-shutdown",
            "STOP",
        ],
    ),
];

fn suspend(machine: &mut Machine) -> Result<(), LabError> {
    power::sleep(machine.qtest(), power::SUSPEND_TO_RAM)
}
