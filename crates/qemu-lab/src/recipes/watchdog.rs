//! WATCHDOG with every action QEMU knows.
//!
//! `shutdown` presses the power button: the event that follows is POWERDOWN. `poweroff` ends
//! QEMU with no SHUTDOWN at all.

use super::{BURST, Recipe};
use crate::{LabError, Machine};

pub(super) const RECIPES: &[Recipe] = &[
    Recipe::new(
        "WATCHDOG.reset",
        &["-device", "ib700", "-action", "watchdog=reset"],
        expire,
        &["WATCHDOG action=reset", "RESET"],
    ),
    Recipe::new(
        "WATCHDOG.shutdown",
        &["-device", "ib700", "-action", "watchdog=shutdown"],
        expire,
        &["WATCHDOG action=shutdown", "POWERDOWN"],
    ),
    Recipe::new(
        "WATCHDOG.poweroff",
        &["-device", "ib700", "-action", "watchdog=poweroff"],
        expire,
        &["WATCHDOG action=poweroff"],
    )
    .exits(),
    Recipe::new(
        "WATCHDOG.pause",
        &["-device", "ib700", "-action", "watchdog=pause"],
        expire,
        &["WATCHDOG action=pause", "STOP"],
    ),
    Recipe::new(
        "WATCHDOG.debug",
        &["-device", "ib700", "-action", "watchdog=debug"],
        expire,
        &["WATCHDOG action=debug"],
    ),
    Recipe::new(
        "WATCHDOG.none",
        &["-device", "ib700", "-action", "watchdog=none"],
        expire,
        &["WATCHDOG action=none"],
    ),
    Recipe::new(
        "WATCHDOG.inject-nmi",
        &["-device", "ib700", "-action", "watchdog=inject-nmi"],
        expire,
        &["WATCHDOG action=inject-nmi"],
    ),
    Recipe::new(
        "WATCHDOG.burst",
        &["-device", "ib700", "-action", "watchdog=none"],
        |machine| (0..BURST).try_for_each(|_| expire(machine)),
        &["WATCHDOG action=none", "WATCHDOG action=none"],
    ),
];

/// Starts the timer with its shortest time, which is none.
fn expire(machine: &mut Machine) -> Result<(), LabError> {
    machine.qtest().outb(0x443, 0xF)
}
