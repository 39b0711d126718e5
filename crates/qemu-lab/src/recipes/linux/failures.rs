//! Linux panics, or stops feeding its watchdog.

use super::{Recipe, power::obey_the_button};
use crate::{LabError, Machine};

const WATCHDOG: &str = "i6300esb";

pub(in crate::recipes) const RECIPES: &[Recipe] = &[
    Recipe::new(
        "GUEST_PANICKED.linux-pause",
        &["-device", "pvpanic-pci", "-action", "panic=pause"],
        |machine| panic(machine, "pvpanic-pci"),
        &["GUEST_PANICKED action=pause", "STOP"],
    )
    .in_linux(),
    // What QEMU does if it is told nothing.
    Recipe::new(
        "GUEST_PANICKED.linux-poweroff",
        &["-device", "pvpanic"],
        |machine| panic(machine, "pvpanic-mmio"),
        &[
            "GUEST_PANICKED action=poweroff",
            "SHUTDOWN guest=true reason=guest-panic",
        ],
    )
    .in_linux()
    .exits(),
    Recipe::new(
        "GUEST_PANICKED.linux-no-shutdown",
        &["-device", "pvpanic", "-no-shutdown"],
        |machine| panic(machine, "pvpanic-mmio"),
        &["GUEST_PANICKED action=pause", "STOP"],
    )
    .in_linux(),
    // QEMU goes on, and the guest starts anew by itself.
    Recipe::new(
        "GUEST_PANICKED.linux-run",
        &["-device", "pvpanic", "-action", "panic=none"],
        |machine| {
            machine.shell("echo -1 > /proc/sys/kernel/panic")?;
            panic(machine, "pvpanic-mmio")
        },
        &[
            "GUEST_PANICKED action=run",
            "RESET guest=true reason=guest-reset",
        ],
    )
    .in_linux(),
    Recipe::new(
        "WATCHDOG.linux-reset",
        &["-device", WATCHDOG, "-action", "watchdog=reset"],
        starve_watchdog,
        &["WATCHDOG action=reset", "RESET"],
    )
    .in_linux(),
    // Without a guest that listens to the power button, nothing follows the POWERDOWN.
    Recipe::new(
        "WATCHDOG.linux-shutdown",
        &["-device", WATCHDOG, "-action", "watchdog=shutdown"],
        |machine| {
            obey_the_button(machine)?;
            starve_watchdog(machine)
        },
        &[
            "WATCHDOG action=shutdown",
            "POWERDOWN",
            "SHUTDOWN guest=true reason=guest-shutdown",
        ],
    )
    .in_linux()
    .exits(),
];

fn panic(machine: &mut Machine, driver: &str) -> Result<(), LabError> {
    machine.shell(&format!("load {driver}"))?;
    machine.shell_start("echo c > /proc/sysrq-trigger")
}

/// Starts the watchdog with two seconds and never feeds it.
fn starve_watchdog(machine: &mut Machine) -> Result<(), LabError> {
    machine.shell("load watchdog && insmod /modules/i6300esb.ko heartbeat=2")?;
    machine.shell_start("echo x > /dev/watchdog")
}
