//! Who switched the machine off, and how the process ended.

use super::{NONE, Rule, RuleId, run, say};
use crate::machine::explain::Certainty::{Certain, Likely, Unknown};
use crate::machine::run::Effect;

const SHUTDOWN: Rule = Rule {
    effect: Some(Effect::Shutdown),
    ..NONE
};

const END: Rule = Rule {
    effect: Some(Effect::End),
    ..NONE
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: RuleId::Hibernated,
        title: "the guest hibernated",
        led_by: &["SUSPEND_DISK"],
        recognised: "SUSPEND_DISK, then SHUTDOWN with reason `guest-shutdown`.",
        meaning: "The guest saved its memory to its own disk and switched off (ACPI S4). It goes on where it was at its \
            next start.",
        next: &[say(
            "Start it again when it is wanted, with the same devices",
        )],
        source: "QEMU's documentation of SUSPEND_DISK",
        ..SHUTDOWN
    },
    Rule {
        id: RuleId::WatchdogShutdown,
        title: "watchdog, power button, guest obeyed",
        of: &[("SHUTDOWN reason=guest-shutdown", Certain)],
        led_by: &["WATCHDOG action=shutdown"],
        led_is: Likely,
        within_s: 600,
        decides: true,
        with: &["POWERDOWN"],
        recognised: "WATCHDOG with action `shutdown`, POWERDOWN at once, and within ten minutes SHUTDOWN with reason \
            `guest-shutdown`.",
        meaning: "The watchdog expired and QEMU pressed the machine's power button; the guest was alive enough to obey.",
        next: &[say(
            "Find out in the guest's log why its watchdog was not fed",
        )],
        source: "QEMU's documentation of WATCHDOG: the action presses the power button, whatever older documents say",
        ..SHUTDOWN
    },
    Rule {
        id: RuleId::PowerButton,
        title: "power button, guest obeyed",
        of: &[
            ("SHUTDOWN reason=guest-shutdown", Certain),
            ("SHUTDOWN guest=true", Certain),
        ],
        led_by: &["POWERDOWN"],
        led_is: Likely,
        within_s: 600,
        decides: true,
        recognised: "POWERDOWN, and within ten minutes SHUTDOWN with reason `guest-shutdown`.",
        meaning: "Somebody pressed the machine's power button (`system_powerdown`) and the guest shut itself down. That it \
            did so because of the button is likely, not proven.",
        next: &[say("Nothing, if it was meant to")],
        source: "QEMU's documentation of POWERDOWN and SHUTDOWN",
        ..SHUTDOWN
    },
    Rule {
        id: RuleId::GuestShutdown,
        title: "the guest switched off",
        of: &[
            ("SHUTDOWN reason=guest-shutdown", Certain),
            ("SHUTDOWN guest=true", Likely),
        ],
        with: &["GUEST_PVSHUTDOWN"],
        recognised: "SHUTDOWN with reason `guest-shutdown`, no POWERDOWN shortly before it.",
        meaning: "The guest shut itself down.",
        next: &[say(
            "Nothing, if it was meant to; the guest's own log says who asked for it",
        )],
        source: "QEMU's documentation of SHUTDOWN: `guest` since 2.10, `reason` since 4.0",
        ..SHUTDOWN
    },
    Rule {
        id: RuleId::NoReboot,
        title: "the guest rebooted, -no-reboot",
        of: &[("SHUTDOWN reason=guest-reset", Certain)],
        recognised: "SHUTDOWN with reason `guest-reset`; no RESET comes.",
        meaning: "The guest asked for a reset, and QEMU runs with `-no-reboot` (`-action reboot=shutdown`): it ends instead.",
        next: &[say("Start it again, or run QEMU without -no-reboot")],
        source: "QEMU's documentation of SHUTDOWN",
        ..SHUTDOWN
    },
    Rule {
        id: RuleId::PanicShutdown,
        title: "switched off after a panic",
        of: &[("SHUTDOWN reason=guest-panic", Certain)],
        with: &["GUEST_PANICKED", "STOP"],
        recognised: "GUEST_PANICKED with action `poweroff`, perhaps STOP, then SHUTDOWN with reason `guest-panic`.",
        meaning: "The guest's kernel panicked and QEMU runs with `-action panic=shutdown` (or `exit-failure`): it ended.",
        next: &[say(
            "To look at the next panic, run QEMU with -action panic=pause",
        )],
        source: "QEMU's documentation of GUEST_PANICKED and SHUTDOWN",
        ..SHUTDOWN
    },
    Rule {
        id: RuleId::Quit,
        title: "ended by `quit`",
        of: &[("SHUTDOWN reason=host-qmp-quit", Certain)],
        with: &["MIGRATION status=completed"],
        recognised: "SHUTDOWN with reason `host-qmp-quit`.",
        meaning: "A client of a monitor sent `quit`: the guest was not asked, its plug was pulled.",
        next: &[say("Nothing, if it was meant to")],
        source: "QEMU's documentation of SHUTDOWN",
        ..SHUTDOWN
    },
    Rule {
        id: RuleId::HostResetOff,
        title: "system_reset, -no-reboot",
        of: &[("SHUTDOWN reason=host-qmp-system-reset", Certain)],
        recognised: "SHUTDOWN with reason `host-qmp-system-reset`.",
        meaning: "A client sent `system_reset`, and QEMU runs with `-no-reboot`: it ends instead.",
        next: &[say("Start it again, or run QEMU without -no-reboot")],
        source: "QEMU's documentation of SHUTDOWN",
        ..SHUTDOWN
    },
    Rule {
        id: RuleId::Signal,
        title: "ended by a signal (SIGTERM, SIGINT, SIGHUP)",
        of: &[("SHUTDOWN reason=host-signal", Certain)],
        with: &["MIGRATION status=completed"],
        recognised: "SHUTDOWN with reason `host-signal`.",
        meaning: "Something on the host told the QEMU process to end: a service manager, `kill`, Ctrl-C, a terminal that \
            was closed, the host going down. The guest was not asked.",
        next: &[run(
            "See what the host did then",
            "journalctl _PID={pid} + PRIORITY=4",
        )],
        source: "QEMU's documentation of SHUTDOWN",
        ..SHUTDOWN
    },
    Rule {
        id: RuleId::WindowClosed,
        title: "its window was closed",
        of: &[("SHUTDOWN reason=host-ui", Certain)],
        recognised: "SHUTDOWN with reason `host-ui`.",
        meaning: "Somebody closed QEMU's window.",
        next: &[say("Nothing, if it was meant to")],
        source: "QEMU's documentation of SHUTDOWN",
        ..SHUTDOWN
    },
    Rule {
        id: RuleId::HostError,
        title: "an error of the host",
        of: &[("SHUTDOWN reason=host-error", Certain)],
        recognised: "SHUTDOWN with reason `host-error`.",
        meaning: "QEMU or its host met an error it could not go on with. QEMU's log has it.",
        next: &[say(
            "Look at QEMU's standard error, and at the host's kernel log",
        )],
        source: "QEMU's documentation of SHUTDOWN",
        ..SHUTDOWN
    },
    Rule {
        id: RuleId::ShutdownUnexplained,
        title: "switched off",
        of: &[("SHUTDOWN", Unknown), ("state status=shutdown", Unknown)],
        recognised: "SHUTDOWN without a reason, as QEMU before 4.0 sends it, or with one not known here; or \
            `query-status` says `shutdown` and nothing was heard.",
        meaning: "The machine was switched off; nothing says by whom.",
        next: &[say("Ask the guest's own log")],
        source: "QEMU's documentation of SHUTDOWN",
        ..SHUTDOWN
    },
    Rule {
        id: RuleId::WatchdogPoweroff,
        title: "ended by its watchdog",
        led_by: &["WATCHDOG action=poweroff"],
        recognised: "WATCHDOG with action `poweroff`, then the end of the stream without SHUTDOWN.",
        meaning: "The guest has not fed its watchdog in time, and QEMU exits at once with this action.",
        next: &[say(
            "To look at the next hang, run QEMU with -action watchdog=pause",
        )],
        source: "QEMU's documentation of `-action watchdog=`; observed on 7.2, 10.0 and 11.1",
        ..END
    },
    Rule {
        id: RuleId::MemoryFatal,
        title: "ended by a memory error",
        led_by: &["MEMORY_FAILURE action=fatal"],
        recognised: "MEMORY_FAILURE with action `fatal`, then the end of the stream without SHUTDOWN.",
        meaning: "The host's memory is damaged where QEMU itself needs it: it had to end.",
        next: &[say(
            "Look at the host's memory: its kernel log names the module",
        )],
        source: "QEMU's documentation of MEMORY_FAILURE",
        ..END
    },
    Rule {
        id: RuleId::OomKilled,
        title: "killed by the kernel: out of memory",
        of: &[
            ("detached evidence.kernel_says=oom", Certain),
            ("detached evidence.oom_kill", Likely),
        ],
        recognised: "The end of the process without SHUTDOWN, and the kernel's log says that it killed this process for \
            want of memory (certain), or the count of such kills in the process's control group rose meanwhile (likely: \
            another process of that group may be meant).",
        meaning: "The host, or the control group QEMU ran in, was out of memory, and the kernel chose this QEMU to end.",
        next: &[
            say(
                "Give the control group more than the guest's memory (QEMU needs some beside it), or the host less to do",
            ),
            run(
                "See the kernel's words",
                "journalctl -k --grep 'oom|Out of memory'",
            ),
        ],
        source: "The kernel's documentation of memory.events (cgroup v2) and memory.oom_control (v1)",
        ..END
    },
    Rule {
        id: RuleId::Crashed,
        title: "crashed",
        of: &[
            ("detached evidence.crashed=true", Certain),
            ("detached evidence.kernel_says=fault", Certain),
        ],
        recognised: "The end of the process without SHUTDOWN, and its exit status tells of a signal that only faults give \
            (SIGSEGV, SIGABRT, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS), or the kernel's log tells of such a fault of it.",
        meaning: "QEMU itself broke: a bug of QEMU or of a library it uses, or hardware that fails.",
        next: &[
            run(
                "Look at the dump of the process, if the host keeps them",
                "coredumpctl info {pid}",
            ),
            say("Report it to whoever builds this QEMU, with that dump"),
        ],
        source: "The kernel's documentation of /proc/PID/stat and of core dumps",
        ..END
    },
    Rule {
        id: RuleId::Killed,
        title: "killed",
        of: &[("detached evidence.signal", Certain)],
        recognised: "The end of the process without SHUTDOWN, and its exit status tells of a signal that is no fault: \
            SIGKILL mostly, which leaves QEMU no time for a word.",
        meaning: "Something on the host killed the process outright: `kill -9`, a service manager whose patience was over, \
            or the kernel for want of memory (that is looked for, too).",
        next: &[run(
            "See what the host did then",
            "journalctl _PID={pid} + PRIORITY=4",
        )],
        source: "The kernel's documentation of /proc/PID/stat",
        ..END
    },
    Rule {
        id: RuleId::ExitedEarly,
        title: "exited by itself",
        of: &[("detached evidence.exit_code", Certain)],
        recognised: "The end of the process without SHUTDOWN, and its exit status is a number.",
        meaning: "QEMU ended itself without saying so on the monitor: a fatal error, usually explained on its standard \
            error, or a watchdog with action `poweroff` whose event was lost.",
        next: &[say("Look at QEMU's standard error")],
        source: "The kernel's documentation of /proc/PID/stat",
        ..END
    },
    Rule {
        id: RuleId::EndUnexplained,
        title: "killed or crashed",
        of: &[("detached", Unknown), ("state", Unknown)],
        recognised: "The end of the stream and of the process, no SHUTDOWN before it, and nothing found that says how.",
        meaning: "QEMU was killed (SIGKILL), crashed, or exited on a fatal error. Whoever started it has its exit status.",
        next: &[
            say("Ask whoever started it for the exit status"),
            run(
                "See the kernel's words",
                "journalctl -k --grep 'qemu|oom|segfault'",
            ),
            run("Look for a dump of the process", "coredumpctl info {pid}"),
        ],
        source: "QEMU's documentation of SHUTDOWN: its absence",
        ..END
    },
];
