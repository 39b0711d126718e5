//! What a guest says about itself: panics, its clock.

use super::{BURST, Recipe};
use crate::{LabError, Machine};

/// The paravirtual panic device's port and the bits a guest writes there.
const PVPANIC: u16 = 0x505;
const PANICKED: u8 = 1;
const CRASHLOADED: u8 = 2;
const PVSHUTDOWN: u8 = 4;

pub(super) const RECIPES: &[Recipe] = &[
    Recipe::new(
        "GUEST_PANICKED.pause",
        &["-device", "pvpanic", "-action", "panic=pause"],
        panic,
        &["GUEST_PANICKED action=pause", "STOP"],
    ),
    Recipe::new(
        "GUEST_PANICKED.poweroff",
        &["-device", "pvpanic", "-action", "panic=shutdown"],
        panic,
        &[
            "GUEST_PANICKED action=poweroff",
            "STOP",
            "SHUTDOWN guest=true reason=guest-panic",
        ],
    )
    .exits(),
    Recipe::new(
        "GUEST_PANICKED.run",
        &["-device", "pvpanic", "-action", "panic=none"],
        panic,
        &["GUEST_PANICKED action=run"],
    ),
    Recipe::new(
        "GUEST_CRASHLOADED",
        &["-device", "pvpanic"],
        |machine| machine.qtest().outb(PVPANIC, CRASHLOADED),
        &["GUEST_CRASHLOADED action=run"],
    ),
    Recipe::new(
        "GUEST_PVSHUTDOWN",
        &["-device", "pvpanic"],
        |machine| machine.qtest().outb(PVPANIC, PVSHUTDOWN),
        &[
            "GUEST_PVSHUTDOWN",
            "SHUTDOWN guest=true reason=guest-shutdown",
        ],
    )
    .exits()
    .since(9, 1),
    Recipe::new(
        "RTC_CHANGE",
        &["-rtc", "base=2020-01-01T00:00:00"],
        |machine| {
            // The year, in binary-coded decimal: any write to the clock is a change.
            machine.qtest().outb(0x70, 9)?;
            machine.qtest().outb(0x71, 0x21)
        },
        &["RTC_CHANGE"],
    ),
    Recipe::new(
        "RTC_CHANGE.burst",
        &["-rtc", "base=2020-01-01T00:00:00"],
        |machine| {
            machine.qtest().outb(0x70, 9)?;
            (0..BURST).try_for_each(|_| machine.qtest().outb(0x71, 0x21))
        },
        &["RTC_CHANGE", "RTC_CHANGE"],
    ),
    // An uncorrectable error of the processor's, while the guest takes no such exceptions.
    Recipe::new(
        "MEMORY_FAILURE",
        &[],
        |machine| {
            const VALID_UNCORRECTED: u64 = 1 << 63 | 1 << 61 | 1 << 60;
            let line = format!("mce 0 0 {VALID_UNCORRECTED:#x} 0 0 0");
            machine.human(&line).map(drop)
        },
        &["MEMORY_FAILURE recipient=guest action=reset", "RESET"],
    ),
];

fn panic(machine: &mut Machine) -> Result<(), LabError> {
    machine.qtest().outb(PVPANIC, PANICKED)
}
