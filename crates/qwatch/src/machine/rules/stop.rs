//! Why the guest stands still.

use super::{NONE, Rule, RuleId, run, say};
use crate::machine::explain::Certainty::{Certain, Likely, Unknown};
use crate::machine::run::Effect;

const STOP: Rule = Rule {
    effect: Some(Effect::Stop),
    ..NONE
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: RuleId::ResetWhileStopped,
        title: "reset while stopped",
        of: &[("RESET", Certain)],
        with: &[
            "STOP",
            "GUEST_PANICKED",
            "SHUTDOWN",
            "BLOCK_IO_ERROR",
            "WATCHDOG",
        ],
        recognised: "RESET while the machine stands still; `query-status` says `prelaunch` then.",
        meaning: "The machine was reset without being let go on: it stands before its first instruction. What had \
            stopped it before does not matter any more.",
        next: &[run("Let it start", "qwatch execute {monitor} cont")],
        source: "QEMU's documentation of RESET and RunState",
        ..STOP
    },
    Rule {
        id: RuleId::DiskFull,
        title: "disk full",
        led_by: &["BLOCK_IO_ERROR action=stop nospace=true"],
        shown_by: &[("state status=io-error io-status=nospace", Certain)],
        recognised: "BLOCK_IO_ERROR with action `stop` and `nospace` true, before the STOP or, held back by \
            the rate limit of 9.2 to 10.2, up to a second after it with an older stamp. If the event was \
            merged away: `query-status` says `io-error` and `query-block` has a disk with io-status `nospace`.",
        meaning: "A write of the guest found no space on the host, and the disk's policy (`werror=enospc`, the \
            default, or `stop`) is to stop the machine rather than to lose data. The request is kept and is \
            tried again by `cont`.",
        next: &[
            say("Make room where the disk's image lies: {file}"),
            run(
                "Then let it go on; the write is tried again",
                "qwatch execute {monitor} cont",
            ),
        ],
        source: "QEMU's documentation of BLOCK_IO_ERROR; rate limit: since 9.2, not for action `stop` since 11.0",
        ..STOP
    },
    Rule {
        id: RuleId::DiskError,
        title: "disk error",
        led_by: &["BLOCK_IO_ERROR action=stop"],
        shown_by: &[
            ("state status=io-error io-status=failed", Certain),
            ("state status=io-error", Certain),
        ],
        recognised: "BLOCK_IO_ERROR with action `stop` and `nospace` false or absent, before the STOP or late as \
            above; or `query-status` says `io-error` (and `query-block` io-status `failed`).",
        meaning: "A disk request of the guest failed on the host, and the disk's policy (`rerror=stop` or \
            `werror=stop`) is to stop the machine. The request is kept and is tried again by `cont`.",
        next: &[
            say("Look at the storage under {disk}: {file}; the host's kernel log has its errors"),
            run(
                "When it is mended, let it go on; the request is tried again",
                "qwatch execute {monitor} cont",
            ),
        ],
        source: "QEMU's documentation of BLOCK_IO_ERROR",
        ..STOP
    },
    Rule {
        id: RuleId::WatchdogPause,
        title: "watchdog",
        led_by: &["WATCHDOG action=pause"],
        shown_by: &[("state status=watchdog", Certain)],
        recognised: "WATCHDOG with action `pause`, before the STOP or (one a second is sent) after it with an \
            older stamp; or `query-status` says `watchdog`.",
        meaning: "The guest has not fed its watchdog in time: it hangs, or was starved of processor time. It was \
            stopped so that somebody can look at it.",
        next: &[
            run(
                "Save its memory for a look at the hang",
                "qwatch execute {monitor} dump-guest-memory paging=false protocol=file:/var/tmp/{machine}.core",
            ),
            run(
                "Start it over",
                "qwatch execute {monitor} system_reset && qwatch execute {monitor} cont",
            ),
        ],
        source: "QEMU's documentation of WATCHDOG and `-action watchdog=`",
        ..STOP
    },
    Rule {
        id: RuleId::GuestPanic,
        title: "guest panicked",
        led_by: &[
            "GUEST_PANICKED action=pause",
            "GUEST_PANICKED action=poweroff",
        ],
        shown_by: &[("state status=guest-panicked", Certain)],
        recognised: "GUEST_PANICKED with action `pause` (STOP follows) or `poweroff` (STOP may follow, then \
            SHUTDOWN); or `query-status` says `guest-panicked`.",
        meaning: "The guest's own kernel reported that it cannot go on. What it told is decoded where it told \
            something (Hyper-V crash registers, s390x program status, TDX and SEV termination).",
        next: &[
            run(
                "Save its memory for an examination",
                "qwatch execute {monitor} dump-guest-memory paging=false protocol=file:/var/tmp/{machine}.core",
            ),
            run(
                "Start it over",
                "qwatch execute {monitor} system_reset && qwatch execute {monitor} cont",
            ),
        ],
        source: "QEMU's documentation of GUEST_PANICKED; actions: `pause` always, `poweroff` since 2.8, `run` since 5.0",
        ..STOP
    },
    Rule {
        id: RuleId::NoShutdown,
        title: "switched off, kept by -no-shutdown",
        led_by: &["SHUTDOWN"],
        within_s: i64::MAX / 2_000_000,
        shown_by: &[("state status=shutdown", Certain)],
        with: &["POWERDOWN", "SUSPEND_DISK", "GUEST_PVSHUTDOWN"],
        recognised: "SHUTDOWN, then STOP; or `query-status` says `shutdown`.",
        meaning: "The machine was switched off and QEMU stays, because it runs with `-no-shutdown` (`-action \
            shutdown=pause`). The reason in SHUTDOWN says who switched it off.",
        next: &[
            run(
                "Start it again",
                "qwatch execute {monitor} system_reset && qwatch execute {monitor} cont",
            ),
            run("Or end QEMU", "qwatch execute {monitor} quit"),
        ],
        source: "QEMU's documentation of SHUTDOWN",
        ..STOP
    },
    Rule {
        id: RuleId::MigratedAway,
        title: "migrated away",
        followed_by: &["MIGRATION status=completed"],
        shown_by: &[("state status=postmigrate", Certain)],
        with: &["MIGRATION"],
        recognised: "STOP, then MIGRATION `completed`; without the migration capability `events` (off by default) \
            only by `query-status`: `postmigrate`.",
        meaning: "The machine has moved: it goes on in another QEMU, and what is here is what it left behind. (A \
            snapshot saved by `migrate` to a file ends the same way.)",
        next: &[
            say("Do not let it run here while it runs there: two writers would destroy its disks"),
            run("End what is left here", "qwatch execute {monitor} quit"),
        ],
        source: "QEMU's documentation of MIGRATION",
        ..STOP
    },
    Rule {
        id: RuleId::SwitchingOver,
        title: "migration, switching over",
        led_by: &[
            "MIGRATION status=active",
            "MIGRATION status=pre-switchover",
            "MIGRATION status=device",
        ],
        led_is: Likely,
        within_s: 86_400,
        followed_by: &["MIGRATION status=device", "MIGRATION status=pre-switchover"],
        shown_by: &[("state status=finish-migrate", Certain)],
        with: &["MIGRATION"],
        recognised: "STOP while MIGRATION was `active`, or followed by `device`; `query-status` says \
            `finish-migrate`.",
        meaning: "The last of the machine is being copied to its destination, for which it has to stand still; \
            usually for less than a second. In `pre-switchover` it waits for a client to say `migrate-continue`.",
        next: &[run(
            "See how far it is",
            "qwatch execute {monitor} query-migrate",
        )],
        source: "QEMU's documentation of MIGRATION; `device` is always passed through since 10.0",
        ..STOP
    },
    Rule {
        id: RuleId::Saving,
        title: "snapshot or dump",
        followed_by: &["DUMP_COMPLETED"],
        shown_by: &[("state status=save-vm", Certain)],
        recognised: "`query-status` says `save-vm`, or DUMP_COMPLETED follows.",
        meaning: "A snapshot of the whole machine is being saved, or its memory dumped: it stands still meanwhile \
            and goes on by itself.",
        next: &[run(
            "See what works on it",
            "qwatch execute {monitor} query-jobs",
        )],
        source: "QEMU's documentation of RunState and DUMP_COMPLETED",
        ..STOP
    },
    Rule {
        id: RuleId::Restoring,
        title: "snapshot being loaded",
        shown_by: &[("state status=restore-vm", Certain)],
        recognised: "`query-status` says `restore-vm`.",
        meaning: "A snapshot of the whole machine is being loaded.",
        next: &[run(
            "See how far it is",
            "qwatch execute {monitor} query-jobs",
        )],
        source: "QEMU's documentation of RunState",
        ..STOP
    },
    Rule {
        id: RuleId::InternalError,
        title: "internal error of QEMU",
        shown_by: &[("state status=internal-error", Certain)],
        recognised: "`query-status` says `internal-error`. No event tells it: there is just a STOP.",
        meaning: "The virtualizer met something it cannot execute (with KVM: an emulation failure, a failed entry, a \
            broken guest state). The machine cannot go on; only a reset helps. QEMU's standard error has the state \
            of the CPU.",
        next: &[
            say("Look at QEMU's log: the registers and the bytes at the instruction are there"),
            run(
                "Start it over",
                "qwatch execute {monitor} system_reset && qwatch execute {monitor} cont",
            ),
        ],
        source: "QEMU's documentation of RunState",
        ..STOP
    },
    Rule {
        id: RuleId::Debugger,
        title: "debugger",
        shown_by: &[("state status=debug", Certain)],
        recognised: "`query-status` says `debug`.",
        meaning: "A debugger attached to QEMU's gdb server stopped the machine (a breakpoint, a step).",
        next: &[say("Continue it in the debugger")],
        source: "QEMU's documentation of RunState",
        ..STOP
    },
    Rule {
        id: RuleId::Colo,
        title: "COLO checkpoint",
        shown_by: &[("state status=colo", Certain)],
        recognised: "`query-status` says `colo`.",
        meaning: "The machine is one of a pair in lockstep and stands still while the two are made equal.",
        next: &[run(
            "See how the pair is",
            "qwatch execute {monitor} query-colo-status",
        )],
        source: "QEMU's documentation of RunState",
        ..STOP
    },
    Rule {
        id: RuleId::ClientStop,
        title: "stopped by a client",
        shown_by: &[
            ("state status=paused asked=STOP io-status=ok", Certain),
            ("state status=paused", Likely),
        ],
        recognised: "STOP with no cause before or after, and `query-status` says `paused`. Certain if that was asked \
            right after the STOP and every disk's io-status is ok; likely otherwise.",
        meaning: "Somebody asked for it: `stop` on a monitor, a management program, a debugger that attached, or the \
            pause entry of QEMU's own window. QEMU does not say who.",
        next: &[
            say("Ask whoever manages this machine; it will not go on by itself"),
            run("Let it go on", "qwatch execute {monitor} cont"),
        ],
        source: "QEMU's documentation of STOP and RunState",
        ..STOP
    },
    Rule {
        id: RuleId::StopUnexplained,
        title: "not told why",
        of: &[("STOP", Unknown), ("state", Unknown)],
        recognised: "STOP, no event that explains it, and no answer to `query-status` from the time it stood still.",
        meaning: "Nothing that was heard says why. Without an event stop: `stop` of a client, a snapshot, a dump, a \
            migration without the capability `events`, an internal error; and QEMU 9.2 to 10.2 may hold back or merge \
            away the BLOCK_IO_ERROR that tells of a disk.",
        next: &[
            run("Ask QEMU", "qwatch execute {monitor} query-status"),
            run(
                "And for its disks (io-status)",
                "qwatch execute {monitor} query-block",
            ),
        ],
        source: "QEMU's documentation of STOP",
        ..STOP
    },
];
