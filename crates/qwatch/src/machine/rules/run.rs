//! Why the guest runs, sleeps or waits, and who reset it.

use super::{NONE, Rule, RuleId, run, say};
use crate::machine::explain::Certainty::{Certain, Likely, Unknown};
use crate::machine::run::Effect;

const RUN: Rule = Rule {
    effect: Some(Effect::Run),
    ..NONE
};

const RESET: Rule = Rule {
    effect: Some(Effect::Reset),
    ..NONE
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: RuleId::NotStarted,
        title: "not started yet",
        effect: Some(Effect::Wait),
        shown_by: &[
            ("state status=prelaunch", Certain),
            ("state status=preconfig", Certain),
        ],
        recognised: "`query-status` says `prelaunch` (or `preconfig`).",
        meaning: "QEMU is up and the guest has not executed an instruction: QEMU was started with `-S` (or \
            `--preconfig`), or the machine was reset while it stood still.",
        next: &[run("Start the guest", "qwatch execute {monitor} cont")],
        source: "QEMU's documentation of RunState",
        ..NONE
    },
    Rule {
        id: RuleId::AwaitsMigration,
        title: "waits for a migration",
        effect: Some(Effect::Wait),
        shown_by: &[("state status=inmigrate", Certain)],
        recognised: "`query-status` says `inmigrate`.",
        meaning: "QEMU was started with `-incoming` and waits for a machine to be sent to it.",
        next: &[run(
            "See how far it is",
            "qwatch execute {monitor} query-migrate",
        )],
        source: "QEMU's documentation of RunState",
        ..NONE
    },
    Rule {
        id: RuleId::GuestSleeps,
        title: "the guest sleeps",
        effect: Some(Effect::Sleep),
        of: &[
            ("SUSPEND", Certain),
            ("RESUME", Certain),
            ("state status=suspended", Certain),
        ],
        recognised: "SUSPEND; or `query-status` says `suspended`. There is no STOP with it.",
        meaning: "The guest went to sleep by itself (ACPI S3): its memory is kept, its CPUs do nothing.",
        next: &[run("Wake it", "qwatch execute {monitor} system_wakeup")],
        source: "QEMU's documentation of SUSPEND",
        ..NONE
    },
    Rule {
        id: RuleId::GuestWoke,
        title: "woke up",
        of: &[("WAKEUP", Certain)],
        recognised: "WAKEUP. Neither RESUME nor RESET comes with it.",
        meaning: "The guest slept (S3) and was woken, by a timer or device of its own or by `system_wakeup`.",
        next: &[say("Nothing: it runs")],
        source: "QEMU's documentation of WAKEUP",
        ..RUN
    },
    Rule {
        id: RuleId::WokenByReset,
        title: "reset out of its sleep",
        of: &[("RESET", Certain)],
        recognised: "RESET while the guest slept; no WAKEUP comes.",
        meaning: "The guest slept (S3) and was reset: it boots.",
        next: &[say("Nothing: it runs")],
        source: "QEMU's documentation of WAKEUP and RESET",
        ..RUN
    },
    Rule {
        id: RuleId::MigrationArrived,
        title: "came by migration",
        of: &[("RESUME before=inmigrate", Certain)],
        with: &["MIGRATION"],
        recognised: "RESUME of a QEMU that waited in `inmigrate`.",
        meaning: "The machine was sent here by another QEMU and goes on here.",
        next: &[say("Nothing: it runs")],
        source: "QEMU's documentation of RESUME and MIGRATION",
        ..RUN
    },
    Rule {
        id: RuleId::Started,
        title: "started",
        of: &[
            ("RESUME before=prelaunch", Certain),
            ("RESUME before=preconfig", Certain),
            ("RESUME before=unknown", Likely),
        ],
        recognised: "RESUME of a QEMU that had not started its guest.",
        meaning: "The guest was started: by `cont`, or by QEMU itself at the end of its own start.",
        next: &[say("Nothing: it runs")],
        source: "QEMU's documentation of RESUME",
        ..RUN
    },
    Rule {
        id: RuleId::MomentOver,
        title: "stood still for a moment",
        of: &[("RESUME moment", Likely)],
        recognised: "RESUME within a twentieth of a second of STOP.",
        meaning: "It hardly stood still. QEMU stops a machine for a moment by itself (to load or save a snapshot, at the \
            end of a migration that failed), and when `cont` overtakes a stop that was announced it makes up such a pair \
            without stopping anything.",
        next: &[say("Nothing: it runs")],
        source: "QEMU's documentation of STOP and RESUME",
        ..RUN
    },
    Rule {
        id: RuleId::Continued,
        title: "let go on",
        of: &[
            ("RESUME before=paused", Likely),
            ("RESUME before=panicked", Likely),
            ("RESUME before=shutdown", Likely),
            ("RESUME", Likely),
        ],
        recognised: "RESUME of a machine that stood still.",
        meaning: "Somebody sent `cont` (or a debugger or QEMU's window did); after a snapshot or a migration that failed \
            QEMU itself lets the machine go on.",
        next: &[say("Nothing: it runs")],
        source: "QEMU's documentation of RESUME",
        ..RUN
    },
    Rule {
        id: RuleId::FoundRunning,
        title: "found running",
        of: &[("state status=running", Certain)],
        recognised: "`query-status` says `running`, and no event was heard that told of a start.",
        meaning: "It ran already when it was listened to. Since when is not known.",
        next: &[say("Nothing: it runs")],
        source: "QEMU's documentation of RunState",
        ..RUN
    },
    Rule {
        id: RuleId::WatchdogReset,
        title: "reset by its watchdog",
        led_by: &["WATCHDOG action=reset"],
        recognised: "WATCHDOG with action `reset` within ten seconds before the RESET or, sent late, with a stamp not \
            later than the RESET's.",
        meaning: "The guest has not fed its watchdog in time: it hung, or was starved of processor time, and was reset.",
        next: &[run(
            "See whether it happens often",
            "qwatch history -m {machine} --event WATCHDOG,RESET",
        )],
        source: "QEMU's documentation of WATCHDOG (one a second is sent) and RESET",
        ..RESET
    },
    Rule {
        id: RuleId::MemoryReset,
        title: "reset after a memory error",
        led_by: &["MEMORY_FAILURE action=reset"],
        recognised: "MEMORY_FAILURE with action `reset` within ten seconds before the RESET.",
        meaning: "The host's memory is damaged and the guest could not take the error: it was reset.",
        next: &[say(
            "Move the machine away and look at the host's memory: its kernel log names the module",
        )],
        source: "QEMU's documentation of MEMORY_FAILURE",
        ..RESET
    },
    Rule {
        id: RuleId::GuestReset,
        title: "reset by the guest",
        of: &[
            ("RESET reason=guest-reset", Certain),
            ("RESET guest=true", Certain),
        ],
        recognised: "RESET with reason `guest-reset` (before 4.0: `guest` true). One reboot may give several.",
        meaning: "The guest rebooted.",
        next: &[say("Nothing, if it was meant to")],
        source: "QEMU's documentation of RESET: `guest` since 2.10, `reason` since 4.0",
        ..RESET
    },
    Rule {
        id: RuleId::PanicReset,
        title: "reset after a panic",
        of: &[("RESET reason=guest-panic", Certain)],
        with: &["GUEST_PANICKED"],
        recognised: "RESET with reason `guest-panic`.",
        meaning: "The guest panicked and was reset.",
        next: &[run(
            "See its panics",
            "qwatch history -m {machine} --event 'GUEST_*'",
        )],
        source: "QEMU's documentation of RESET",
        ..RESET
    },
    Rule {
        id: RuleId::HostReset,
        title: "reset from outside",
        of: &[
            ("RESET reason=host-qmp-system-reset", Certain),
            ("RESET reason=host-ui", Certain),
            ("RESET guest=false", Certain),
        ],
        recognised: "RESET with reason `host-qmp-system-reset` or `host-ui` (before 4.0: `guest` false).",
        meaning: "Somebody outside pressed the reset button: `system_reset` on a monitor, or QEMU's window.",
        next: &[say("Nothing, if it was meant to")],
        source: "QEMU's documentation of RESET",
        ..RESET
    },
    Rule {
        id: RuleId::ResetUnexplained,
        title: "reset",
        of: &[("RESET", Unknown)],
        recognised: "RESET without data, as QEMU before 2.10 sends it, or with a reason not known here.",
        meaning: "The machine was reset; the event does not say by whom.",
        next: &[say("Ask the guest's own log")],
        source: "QEMU's documentation of RESET",
        ..RESET
    },
];
