//! Events of the machine's running and stopping that the host asks for.

use super::Recipe;

pub(super) const RECIPES: &[Recipe] = &[
    Recipe::new(
        "STOP",
        &[],
        |machine| machine.run("stop").map(drop),
        &["STOP"],
    ),
    Recipe::new(
        "RESUME",
        &["-S"],
        |machine| machine.run("cont").map(drop),
        &["RESUME"],
    ),
    Recipe::new(
        "RESET.host",
        &[],
        |machine| machine.run("system_reset").map(drop),
        &["RESET guest=false reason=host-qmp-system-reset"],
    ),
    // The keyboard controller's reset line, as every PC guest knows it.
    Recipe::new(
        "RESET.guest",
        &[],
        |machine| machine.qtest().outb(0x64, 0xFE),
        &["RESET guest=true reason=guest-reset"],
    ),
    Recipe::new(
        "POWERDOWN",
        &[],
        |machine| machine.run("system_powerdown").map(drop),
        &["POWERDOWN"],
    ),
    Recipe::new(
        "SHUTDOWN.quit",
        &[],
        |machine| machine.run("quit").map(drop),
        &["SHUTDOWN guest=false reason=host-qmp-quit"],
    )
    .exits(),
    Recipe::new(
        "SHUTDOWN.signal",
        &[],
        |machine| machine.terminate(),
        &["SHUTDOWN guest=false reason=host-signal"],
    )
    .exits(),
    Recipe::new(
        "SHUTDOWN.no-reboot",
        &["-no-reboot"],
        |machine| machine.qtest().outb(0x64, 0xFE),
        &["SHUTDOWN guest=true reason=guest-reset"],
    )
    .exits(),
];
